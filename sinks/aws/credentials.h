/* The keys that sign requests: found by AWS's chain of providers, renewed before they expire. */
#ifndef WF_AWS_CREDENTIALS_H
#define WF_AWS_CREDENTIALS_H

#include <stdatomic.h>

#include "aws/conf.h"
#include "err.h"
#include "loop.h"

struct wf_aws_keys {
    char *access_key, *secret_key, *token; /* token NULL: long-lived */
    int64_t expires_s;                     /* since the Unix epoch, 0 = never */
    const char *provider;                  /* a word for people: "environment" */
};

/* Wipe and free what it holds. */
void wf_aws_keys_deinit(struct wf_aws_keys *k);

/**
 * wf_aws_fetch() - ask the first provider that is configured
 * @region: for requests to STS
 * @stop:   give up soon when it becomes true; may be NULL
 * @out:    the caller's to deinit; empty on failure
 *
 * Blocks, at most for the time-outs of the provider; from any thread. A provider that is configured
 * but fails is an error: the ones after it are not asked.
 * Return: WF_OK; WF_RETRY with the provider and its reason.
 */
enum wf_rc wf_aws_fetch(const struct wf_aws_conf *c, const char *region, const atomic_bool *stop,
                        struct wf_aws_keys *out, struct wf_err *err);

/* The two readers of foreign answers, here for their tests; false = not what was promised. */
bool wf_aws_keys_of_json(const char *text, size_t len, struct wf_aws_keys *out);
bool wf_aws_keys_of_xml(const char *text, size_t len, struct wf_aws_keys *out);

struct wf_aws_credentials;

/* Fetches on a thread of its own; arguments are borrowed and outlive it. */
struct wf_aws_credentials *wf_aws_credentials_new(const struct wf_aws_conf *c, const char *region,
                                                  struct wf_loop *loop, struct wf_err *err);
/* Waits for a fetch under way, which ends soon. NULL is fine. */
void wf_aws_credentials_free(struct wf_aws_credentials *a);

/**
 * wf_aws_credentials_get() - the keys as they are now
 * @out: borrowed until the next turn of the loop
 *
 * Return: WF_OK; WF_AGAIN: a fetch is under way, the loop wakes when it is over; WF_RETRY: the last
 * one failed, @err says why, and the next one is planned.
 */
enum wf_rc wf_aws_credentials_get(struct wf_aws_credentials *a, const struct wf_aws_keys **out,
                                  struct wf_err *err);
/* AWS refused them: fetch new ones at once. */
void wf_aws_credentials_refused(struct wf_aws_credentials *a);

#endif
