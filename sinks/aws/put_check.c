/* `walferry check` for Kinesis and Firehose: credentials, address, the stream. Blocks. */
#include <stdio.h>
#include <string.h>

#include "aws/credentials.h"
#include "aws/profile.h"
#include "aws/put.h"

#define CHECK_US 15000000

typedef void (*report_fn)(void *arg, const char *level, const char *what, const char *cure);

/* As the daemon would make ready for it, but that nothing is created. */
static void check_stream(const struct wf_aws_put_conf *conf, const struct wf_aws_put_kind *kind,
                         report_fn report, void *arg)
{
    struct wf_aws_put_conf asks = *conf;
    struct wf_stream stream = {.topic = conf->stream};
    struct wf_err err = {0};
    struct wf_loop *loop = wf_loop_new(&err);
    struct wf_delivery *delivery = wf_delivery_new(2);
    struct wf_sink_env env = {.loop = loop, .delivery = delivery, .pipeline = "check"};
    struct wf_sink *sink = NULL;
    uint64_t deadline = wf_mono_us() + CHECK_US;
    enum wf_rc rc = loop && delivery ? WF_AGAIN : WF_FATAL;
    char what[600];

    asks.create = false;
    if (rc == WF_AGAIN && wf_aws_put_open(&sink, &asks, kind, &env, &err) != WF_OK)
        rc = WF_FATAL;
    while (rc == WF_AGAIN && wf_mono_us() < deadline) {
        rc = wf_aws_put_prepare(sink, &stream, &err);
        if (rc == WF_AGAIN && wf_loop_turn(loop, 100000, &err) != WF_OK)
            rc = WF_FATAL;
    }
    if (rc == WF_OK) {
        snprintf(what, sizeof(what), "%s stream %s answers", kind->service, conf->stream);
        report(arg, "ok", what, NULL);
    } else if (rc == WF_AGAIN) {
        snprintf(what, sizeof(what), "%s stream %s: no answer in %d s", kind->service, conf->stream,
                 CHECK_US / 1000000);
        report(arg, "error", what, "sink.region, sink.endpoint, the network, a proxy");
    } else {
        report(arg, "error", err.text, "docs/aws.md has the policy and the states");
    }
    wf_aws_put_close(sink);
    wf_delivery_free(delivery);
    wf_loop_free(loop);
}

void wf_aws_put_check(const struct wf_aws_put_conf *conf, const struct wf_aws_put_kind *kind,
                      report_fn report, void *arg)
{
    const char *arn = conf->stream && strncmp(conf->stream, "arn:", 4) == 0 ? conf->stream : NULL;
    struct wf_aws_endpoint at;
    struct wf_aws_keys keys = {0};
    struct wf_err err;
    char what[600];

    if (wf_aws_put_validate(conf, &err) != WF_OK ||
        wf_aws_endpoint(&conf->aws, kind->service, arn, &at, &err) != WF_OK) {
        report(arg, "error", err.text, "correct the configuration");
        return;
    }
    if (wf_aws_fetch(&conf->aws, at.region, NULL, &keys, &err) != WF_OK) {
        report(arg, "error", err.text, "docs/aws.md names the places that are looked at");
        return;
    }
    snprintf(what, sizeof(what), "AWS credentials come from: %s; %s is asked at %s", keys.provider,
             kind->service, at.host);
    report(arg, "ok", what, NULL);
    wf_aws_keys_deinit(&keys);
    if (conf->stream)
        check_stream(conf, kind, report, arg);
    else
        report(arg, "warning", "each topic is a stream of its own: they are not looked at",
               "sink.stream, or look when the first event of each table arrives");
}
