/* Signed calls to one AWS service: sent on the loop, their failures sorted by what helps. */
#ifndef WF_AWS_CLIENT_H
#define WF_AWS_CLIENT_H

#include "aws/conf.h"
#include "aws/profile.h"
#include "http.h"

enum wf_aws_outcome {
    WF_AWS_OK,
    WF_AWS_RETRY,    /* throttled, down, cut off, new keys or a corrected clock needed: the same
                        again; it may have been carried out all the same */
    WF_AWS_OPERATOR, /* a right, a key or the resource is missing: again, slowly, and tell people */
    WF_AWS_POISON,   /* the request can never pass as it is */
};

struct wf_aws_client;

/* The owner's storage, zeroed; alive until done() or wf_aws_cancel(). done() may start it again. */
struct wf_aws_call {
    const char *target; /* "Kinesis_20131202.PutRecords" */
    const char *body;   /* JSON; the owner's until done() */
    size_t body_len;
    long timeout_ms;
    void (*done)(struct wf_aws_call *call); /* on the loop thread */
    void *arg;
    /* out, valid in done() */
    enum wf_aws_outcome outcome;
    char error[96];    /* "ProvisionedThroughputExceededException", "status 503", "network" */
    char message[256]; /* the other side's words, printable */
    const char *answer;
    size_t answer_len;
    /* the client's own */
    struct wf_aws_client *client;
    struct wf_http_req http;
    struct wf_http_tls tls;
    struct wf_buf lines[4];
    const char *headers[7];
};

/**
 * wf_aws_client_new() - reads settings and begins to look for credentials
 * @conf:    outlives the client
 * @service: "kinesis"
 * @arn:     see wf_aws_endpoint()
 *
 * Return: WF_OK, *out is the caller's to free; WF_FATAL with exit code 78: conf makes no sense.
 */
enum wf_rc wf_aws_client_new(struct wf_aws_client **out, const struct wf_aws_conf *conf,
                             const char *service, const char *arn, struct wf_loop *loop,
                             struct wf_err *err);
/* After its calls were cancelled. NULL is fine. */
void wf_aws_client_free(struct wf_aws_client *c);

const struct wf_aws_endpoint *wf_aws_client_endpoint(const struct wf_aws_client *c);

/* WF_OK: done() will be called; WF_AGAIN: no credentials yet, call again after a turn of the loop;
 * WF_RETRY: there are none, @err says why. */
enum wf_rc wf_aws_start(struct wf_aws_client *c, struct wf_aws_call *call, struct wf_err *err);
/* Not under way is fine; frees what the call holds. */
void wf_aws_cancel(struct wf_aws_call *call);

/* How long to wait before try @n, 1 for the first repeat: full jitter up to 20 s. */
uint64_t wf_aws_backoff_us(unsigned n);

/* What a failed answer means; for the client and its tests. Fills error, message and outcome of
 * @call from status, header (X-Amzn-ErrorType, may be "") and body. */
void wf_aws_classify(struct wf_aws_call *call, long status, const char *type, const char *body,
                     size_t len);

#endif
