/* Signs requests by AWS Signature Version 4. */
#ifndef WF_AWS_SIGV4_H
#define WF_AWS_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

#define WF_SIGV4_DATE 17       /* "20150830T123600Z" and its NUL */
#define WF_SIGV4_PARAMS_MAX 16 /* of a query, those of a presigned URL included */

/* Borrowed texts; @token NULL: long-lived keys. */
struct wf_sigv4_keys {
    const char *access_key, *secret_key, *token;
};

/* Of a query, not encoded. */
struct wf_sigv4_param {
    const char *name, *value;
};

struct wf_sigv4_request {
    const char *method;
    const char *host;                  /* with ":port" unless it is the scheme's own */
    const char *content_type, *target; /* header values; NULL = no such header */
    const struct wf_sigv4_param *params;
    size_t nparams;
    const char *body;
    size_t body_len;
    const char *region, *service;
    const char *date; /* "20150830T123600Z", as in the header X-Amz-Date */
};

/* Keeps the signing key of the day; zero it before the first use. */
struct wf_sigv4 {
    char scope[160]; /* date, region, service of `key` */
    unsigned char key[32];
    unsigned char secret[32]; /* SHA-256 of the secret that `key` comes from */
    struct wf_buf text;       /* canonical request */
};

/* The date of a request. */
void wf_sigv4_date(int64_t unix_s, char out[WF_SIGV4_DATE]);

/**
 * wf_sigv4_sign() - the value of a request's Authorization header
 * @r:   the path is "/"; signed are host, x-amz-date and what of content-type, x-amz-target and
 *       x-amz-security-token the request has
 * @out: appended to
 *
 * Return: false when memory is out or a name is too long.
 * Source: AWS General Reference, "Signature Version 4 for API requests".
 */
bool wf_sigv4_sign(struct wf_sigv4 *s, const struct wf_sigv4_keys *keys,
                   const struct wf_sigv4_request *r, struct wf_buf *out);

/**
 * wf_sigv4_presign() - a URL that carries its own signature
 * @r:         only the host is signed
 * @expires_s: its life
 * @out:       "https://host/?..." is appended
 */
bool wf_sigv4_presign(struct wf_sigv4 *s, const struct wf_sigv4_keys *keys,
                      const struct wf_sigv4_request *r, unsigned expires_s, struct wf_buf *out);

/* Append with everything but letters, digits and -_.~ as %XX. */
void wf_sigv4_escape(struct wf_buf *out, const char *text);

/* Wipes what it holds. */
void wf_sigv4_deinit(struct wf_sigv4 *s);

#endif
