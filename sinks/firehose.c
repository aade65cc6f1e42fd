/* Data Firehose: PutRecordBatch, JSON lines, at least once; Firehose itself keeps no order. */
#include <jansson.h>
#include <string.h>

#include "aws/put.h"

#define NEWLINE 1

static enum wf_rc judge(const struct wf_aws_put_conf *c, const char *name, const char *answer,
                        size_t len, struct wf_err *err)
{
    json_t *j = json_loadb(answer, len, 0, NULL);
    const json_t *about = json_object_get(j, "DeliveryStreamDescription");
    const char *status = json_string_value(json_object_get(about, "DeliveryStreamStatus"));
    const char *type = json_string_value(json_object_get(about, "DeliveryStreamType"));
    enum wf_rc rc = WF_OK;

    (void)c;
    if (status && strcmp(status, "CREATING") == 0)
        rc = WF_AGAIN;
    else if (type && strcmp(type, "DirectPut") != 0)
        rc = wf_err_set(err, WF_REJECT, "stream_type",
                        "delivery stream %s takes its records from another source; hint: one of "
                        "type DirectPut",
                        name);
    json_decref(j);
    return rc;
}

static const struct wf_aws_put_kind kind = {
    .service = "firehose",
    .put = "Firehose_20150804.PutRecordBatch",
    .describe = "Firehose_20150804.DescribeDeliveryStream",
    .name_member = "DeliveryStreamName",
    .results = "RequestResponses",
    .id = "RecordId",
    .max_record = "sink.max_record",
    .overhead = NEWLINE,
    .newline = true,
    .judge = judge,
};

static enum wf_rc firehose_open(struct wf_sink **self, const void *conf,
                                const struct wf_sink_env *env, struct wf_err *err)
{
    return wf_aws_put_open(self, conf, &kind, env, err);
}

static size_t firehose_largest(const void *conf)
{
    return (size_t)((const struct wf_aws_put_conf *)conf)->max_record - NEWLINE;
}

static void firehose_check(const void *conf, const char *pipeline,
                           void (*report)(void *arg, const char *level, const char *what,
                                          const char *cure),
                           void *arg)
{
    (void)pipeline;
    wf_aws_put_check(conf, &kind, report, arg);
}

#define FIELD(f) offsetof(struct wf_aws_put_conf, f)

/* clang-format off */
static const struct wf_opt opts[] = {
    {.key = "stream", .type = WF_OPT_STR, .dflt_note = "the topic's name", .field = FIELD(stream),
     .help = "Delivery stream for all events. Without it each topic (`format.topic`) is one of that "
             "name."},
    {.key = "lanes", .type = WF_OPT_INT, .dflt = "4", .min = "1", .max = "64",
     .field = FIELD(lanes), .help = "Requests under way at once."},
    {.key = "linger", .type = WF_OPT_TIME, .dflt = "100ms", .min = "0ms", .max = "10s",
     .field = FIELD(linger_ms), .help = "Longest wait for a fuller request."},
    {.key = "request_size", .type = WF_OPT_SIZE, .dflt = "1MiB", .min = "64KiB", .max = "4MiB",
     .field = FIELD(request_bytes),
     .help = "Most bytes of data in a request."},
    {.key = "max_record", .type = WF_OPT_SIZE, .dflt = "1000KiB", .min = "1KiB", .max = "1000KiB",
     .field = FIELD(max_record),
     .help = "Largest event. What is larger: `format.on_large_event`."},
    WF_AWS_PUT_OPTS,
    {.key = NULL},
};
/* clang-format on */

const struct wf_sink_ops wf_sink_firehose = {
    .name = "firehose",
    .help = "Amazon Data Firehose, JSON lines",
    .opts = opts,
    .conf_size = sizeof(struct wf_aws_put_conf),
    .framing = WF_FRAME_JSON,
    .json_only = true,
    .no_tombstones = true,
    .validate = wf_aws_put_validate,
    .largest = firehose_largest,
    .open = firehose_open,
    .prepare = wf_aws_put_prepare,
    .publish = wf_aws_put_publish,
    .poll = wf_aws_put_poll,
    .drain = wf_aws_put_drain,
    .check = firehose_check,
    .close = wf_aws_put_close,
};
