/* Masks hide the values of columns. */
#ifndef WF_MASK_H
#define WF_MASK_H

#include <openssl/evp.h>

#include "config.h"
#include "types.h"

enum wf_mask_kind { WF_MASK_NONE, WF_MASK_HASH, WF_MASK_FIXED, WF_MASK_TRUNCATE };

struct wf_mask {
    enum wf_mask_kind kind;
    const char *text; /* FIXED: what is shown; HASH: the salt */
    uint32_t length;  /* TRUNCATE: characters */
    EVP_MD_CTX *digest;
};

/**
 * wf_mask_read() - what a value of source.mask says
 * @spec: "hash", "fixed TEXT", "truncate N" with N 0 to 1000000; borrowed by @out
 *
 * Return: false when it is none of these.
 */
bool wf_mask_read(const char *spec, struct wf_mask *out);

/**
 * wf_mask_new() - the mask of one column
 * @name: schema.table.column
 *
 * Return: WF_OK with *out NULL when there is none, else the caller's to wf_mask_free().
 */
enum wf_rc wf_mask_new(const struct wf_source_conf *conf, const char *name, struct wf_mask **out,
                       struct wf_err *err);
void wf_mask_free(struct wf_mask *m);

/* Make @t a string that shows what @m leaves of PostgreSQL's text; nothing else of the type stays,
 * nor does wf_type_check_utf8(). @m outlives @t. */
void wf_mask_apply(const struct wf_mask *m, struct wf_coltype *t);

#endif
