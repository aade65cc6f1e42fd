/* Kinesis Data Streams: PutRecords, at least once, in order per key. */
#include <jansson.h>
#include <string.h>

#include "aws/put.h"

#define KEY_BYTES 256 /* of a partition key, which counts with the data */

static enum wf_rc judge(const struct wf_aws_put_conf *c, const char *name, const char *answer,
                        size_t len, struct wf_err *err)
{
    json_t *j = json_loadb(answer, len, 0, NULL);
    const json_t *summary = json_object_get(j, "StreamDescriptionSummary");
    const char *status = json_string_value(json_object_get(summary, "StreamStatus"));
    json_int_t kib = json_integer_value(json_object_get(summary, "MaxRecordSizeInKiB"));
    enum wf_rc rc = WF_OK;

    if (kib <= 0)
        kib = 1024;
    if (status && strcmp(status, "CREATING") == 0)
        rc = WF_AGAIN;
    else if (status && strcmp(status, "DELETING") == 0)
        rc = wf_err_set(err, WF_REJECT, "stream_missing", "stream %s is being deleted", name);
    else if (c->max_record > kib * 1024)
        rc = wf_err_set(err, WF_REJECT, "stream_limit",
                        "stream %s takes records of %lld KiB, sink.max_record is %lld bytes; hint: "
                        "lower it, or raise the stream's maximum record size",
                        name, (long long)kib, (long long)c->max_record);
    json_decref(j);
    return rc;
}

static const struct wf_aws_put_kind kind = {
    .service = "kinesis",
    .put = "Kinesis_20131202.PutRecords",
    .describe = "Kinesis_20131202.DescribeStreamSummary",
    .create = "Kinesis_20131202.CreateStream",
    .name_member = "StreamName",
    .arn_member = "StreamARN",
    .results = "Records",
    .id = "SequenceNumber",
    .max_record = "sink.max_record",
    .overhead = KEY_BYTES,
    .keyed = true,
    .judge = judge,
};

static enum wf_rc kinesis_open(struct wf_sink **self, const void *conf,
                               const struct wf_sink_env *env, struct wf_err *err)
{
    return wf_aws_put_open(self, conf, &kind, env, err);
}

static size_t kinesis_largest(const void *conf)
{
    return (size_t)((const struct wf_aws_put_conf *)conf)->max_record - KEY_BYTES;
}

static void kinesis_check(const void *conf, const char *pipeline,
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
     .help = "Stream for all events, by name or ARN. Without it each topic (`format.topic`) is a "
             "stream of that name."},
    {.key = "create_streams", .type = WF_OPT_BOOL, .dflt = "off", .field = FIELD(create),
     .help = "Create missing streams. They cost money."},
    {.key = "shards", .type = WF_OPT_INT, .dflt = "0", .min = "0", .max = "10000",
     .field = FIELD(shards), .help = "Shards of created streams; 0 = on demand."},
    {.key = "lanes", .type = WF_OPT_INT, .dflt = "4", .min = "1", .max = "64",
     .field = FIELD(lanes),
     .help = "Requests under way at once. A key always takes the same one, and waits there for its "
             "earlier events."},
    {.key = "aggregation", .type = WF_OPT_BOOL, .dflt = "off", .field = FIELD(aggregate),
     .help = "Pack events into aggregates as the Kinesis Producer Library does. Cheaper, and faster "
             "for keys that change all the time, but readers have to unpack them: the KCL does, "
             "plain GetRecords does not. `lanes`, a power of two, should be four times the shards; "
             "a change of it moves keys to other shards."},
    {.key = "linger", .type = WF_OPT_TIME, .dflt = "10ms", .min = "0ms", .max = "10s",
     .field = FIELD(linger_ms), .help = "Longest wait for a fuller request."},
    {.key = "request_size", .type = WF_OPT_SIZE, .dflt = "1MiB", .min = "64KiB", .max = "10MiB",
     .field = FIELD(request_bytes),
     .help = "Most bytes of data and keys in a request; one event may be more."},
    {.key = "max_record", .type = WF_OPT_SIZE, .dflt = "1MiB", .min = "1KiB", .max = "10MiB",
     .field = FIELD(max_record),
     .help = "Largest event. Over 1 MiB only as far as the stream's own limit was raised. What is "
             "larger: `format.on_large_event`."},
    WF_AWS_PUT_OPTS,
    {.key = NULL},
};
/* clang-format on */

const struct wf_sink_ops wf_sink_kinesis = {
    .name = "kinesis",
    .help = "Amazon Kinesis Data Streams",
    .opts = opts,
    .conf_size = sizeof(struct wf_aws_put_conf),
    .framing = WF_FRAME_CONFLUENT,
    .no_tombstones = true,
    .validate = wf_aws_put_validate,
    .largest = kinesis_largest,
    .open = kinesis_open,
    .prepare = wf_aws_put_prepare,
    .publish = wf_aws_put_publish,
    .poll = wf_aws_put_poll,
    .drain = wf_aws_put_drain,
    .check = kinesis_check,
    .close = wf_aws_put_close,
};
