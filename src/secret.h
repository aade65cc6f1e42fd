/* Finds the secrets inside values, so that nobody prints them. */
#ifndef WF_SECRET_H
#define WF_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

#define WF_SECRET_MASK "********"

/**
 * wf_secret_find() - the next password inside a connection string or URL
 * @from: where to start looking
 * @start, @len: out, the secret's bytes; never empty
 *
 * Knows `password=...` with libpq's quoting (also sslpassword and friends), `scheme://user:pw@host`
 * and `?password=...`. When in doubt it takes more rather than less.
 * Return: false when there is none.
 */
bool wf_secret_find(const char *text, size_t from, size_t *start, size_t *len);

/* Append @text with every secret inside it masked. */
void wf_secret_mask(const char *text, struct wf_buf *out);

/* Whether a free key ("ssl.key.password") names a value that must not be shown. */
bool wf_secret_key(const char *key);

/* Wipe and free; NULL is fine. */
void wf_secret_free(char *s);

#endif
