/* Puts events into a Kinesis or Firehose stream: lanes of batches with results per record. */
#ifndef WF_AWS_PUT_H
#define WF_AWS_PUT_H

#include "aws/conf.h"
#include "sink.h"

struct wf_aws_put_conf {
    struct wf_aws_conf aws;
    char *stream; /* name or ARN; NULL = the topic's name */
    int64_t lanes, linger_ms, queue_bytes, request_bytes, max_record, timeout_ms, shards;
    bool create, aggregate;
};

/* Options that mean the same to both. */
/* clang-format off */
#define WF_AWS_PUT_OPTS \
    {.key = "queue", .type = WF_OPT_SIZE, .dflt = "4MiB", .min = "64KiB", .max = "1GiB", \
     .field = offsetof(struct wf_aws_put_conf, queue_bytes), \
     .help = "Most bytes waiting for AWS; when it is full the slot is not read."}, \
    {.key = "timeout", .type = WF_OPT_TIME, .dflt = "30s", .min = "1s", .max = "10m", \
     .field = offsetof(struct wf_aws_put_conf, timeout_ms), \
     .help = "Longest wait for an answer; then the request is repeated."}, \
    WF_AWS_OPTS(offsetof(struct wf_aws_put_conf, aws))
/* clang-format on */

/* What tells the services apart. */
struct wf_aws_put_kind {
    const char *service;                 /* "kinesis" */
    const char *put, *describe, *create; /* X-Amz-Target; create may be NULL */
    const char *name_member, *arn_member;
    const char *results, *id; /* members of the answer and of one result */
    const char *max_record;   /* option that bounds an event */
    size_t overhead;          /* bytes of a record beside the event's value */
    bool keyed;               /* records have a partition key, and an order per key */
    bool newline;             /* ends a record's data */
    enum wf_rc (*judge)(const struct wf_aws_put_conf *c, const char *name, const char *answer,
                        size_t len, struct wf_err *err); /* of describe's answer */
};

enum { WF_AWS_RECORDS_MAX = 500 }; /* of one request, both services */

enum wf_rc wf_aws_put_open(struct wf_sink **self, const struct wf_aws_put_conf *conf,
                           const struct wf_aws_put_kind *kind, const struct wf_sink_env *env,
                           struct wf_err *err);
/* As the functions of struct wf_sink_ops. */
enum wf_rc wf_aws_put_validate(const void *conf, struct wf_err *err);
enum wf_rc wf_aws_put_prepare(struct wf_sink *s, struct wf_stream *stream, struct wf_err *err);
enum wf_rc wf_aws_put_publish(struct wf_sink *s, const struct wf_event *ev, struct wf_err *err);
enum wf_rc wf_aws_put_poll(struct wf_sink *s, struct wf_err *err);
void wf_aws_put_drain(struct wf_sink *s);
void wf_aws_put_close(struct wf_sink *s);
void wf_aws_put_check(const struct wf_aws_put_conf *conf, const struct wf_aws_put_kind *kind,
                      void (*report)(void *arg, const char *level, const char *what,
                                     const char *cure),
                      void *arg);

/**
 * wf_aws_partition_key() - a row's key as a partition key
 * @key:  as framed by the encoder; NULL = none
 * @out:  printable ASCII or UTF-8, at most WF_AWS_KEY_MAX bytes, not NUL-terminated
 *
 * JSON stays as it is; of Avro the datum in hexadecimal, without the schema's id, so that a new
 * schema moves no key; what is too long becomes its SHA-256.
 * Return: its length.
 */
#define WF_AWS_KEY_MAX 256
size_t wf_aws_partition_key(const unsigned char *key, size_t len, const char *topic,
                            unsigned char out[WF_AWS_KEY_MAX]);

#endif
