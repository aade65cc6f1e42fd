/* Kafka through librdkafka: idempotent, acks=all, gapless, no delivery time-out.
 *
 * At least once: a failed delivery report closes the producer, and everything from the checkpoint
 * on comes again. Within a partition keys repeat, but never go back without the same run again. */
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kafka_topics.h"
#include "log.h"
#include "sink.h"

#define CHECK_MS 5000
#define LOG_EVERY_US 30000000 /* one line per kind of broker trouble */
#define LOGGED_KINDS 4

enum protocol { PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL };

static const char *const protocol_names[] = {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl",
                                             NULL};
static const char *const delivery_names[] = {"at_least_once", NULL};
static const char *const compression_names[] = {"none", "gzip", "snappy", "lz4", "zstd", NULL};
static const char *const mechanism_names[] = {"plain", "scram-sha-256", "scram-sha-512", NULL};

struct kafka_conf {
    char *brokers;
    int delivery, protocol, compression, mechanism;
    bool allow_insecure, create_topics;
    char *username, *password;
    char *ssl_ca, *ssl_cert, *ssl_key, *ssl_key_password;
    int64_t linger_ms, queue_bytes, max_message;
    int64_t partitions, replication;
    struct wf_map topic_config, rdkafka;
};

struct wf_sink {
    const struct kafka_conf *conf;
    const struct wf_sink_env *env;
    rd_kafka_t *rk;
    rd_kafka_queue_t *main_queue;
    struct wf_kafka_topics *topics;
    int event_fd;
    enum wf_rc failure; /* of a delivery report: nothing after it is confirmed */
    struct wf_err failure_err;
    struct {
        int code;
        uint64_t at_us;
    } logged[LOGGED_KINDS];
    unsigned logged_next;
};

/* ---- configuration
 * ------------------------------------------------------------------------------- */

/* What carries the promise is not for changing. */
static const char *const fixed_settings[][2] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    {"enable.gapless.guarantee", "true"},
    {"message.timeout.ms", "0"},
    {"partitioner", "murmur2_random"}, /* Java's default, so that keys keep their partitions */
    {"queue.buffering.max.messages", "1000000"},
};

/* Other names of the above, and what has an option of its own. */
static const char *const refused_settings[] = {
    "request.required.acks",
    "delivery.timeout.ms",
    "retries",
    "message.send.max.retries",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "transactional.id",
    "bootstrap.servers",
    "metadata.broker.list",
    "queue.buffering.max.kbytes",
    "linger.ms",
    "queue.buffering.max.ms",
    "message.max.bytes",
    "compression.codec",
    "compression.type",
    "security.protocol",
    "sasl.mechanisms",
    "sasl.mechanism",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "enable.ssl.certificate.verification",
    "ssl.endpoint.identification.algorithm",
    "plugin.library.paths",
};

static bool is_refused(const char *key)
{
    for (size_t i = 0; i < sizeof(fixed_settings) / sizeof(fixed_settings[0]); i++) {
        if (strcmp(key, fixed_settings[i][0]) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof(refused_settings) / sizeof(refused_settings[0]); i++) {
        if (strcmp(key, refused_settings[i]) == 0)
            return true;
    }
    return false;
}

static enum wf_rc set(rd_kafka_conf_t *rc, const char *name, const char *key, const char *value,
                      struct wf_err *err)
{
    char text[256];

    if (!value || rd_kafka_conf_set(rc, key, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
        return WF_OK;
    return wf_err_config(err, "sink.%s: %s", name, text);
}

static enum wf_rc set_int(rd_kafka_conf_t *rc, const char *name, const char *key, int64_t value,
                          struct wf_err *err)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    return set(rc, name, key, text, err);
}

static bool is_loopback(const char *broker, size_t len)
{
    return (len >= 4 && !memcmp(broker, "127.", 4)) || (len >= 5 && !memcmp(broker, "[::1]", 5)) ||
           (len >= 9 && !memcmp(broker, "localhost", 9));
}

static enum wf_rc check_security(const struct kafka_conf *c, struct wf_err *err)
{
    bool tls = c->protocol == SSL || c->protocol == SASL_SSL;
    bool remote = false;

    for (const char *b = c->brokers; *b;) {
        size_t len;

        b += strspn(b, ", ");
        len = strcspn(b, ",");
        remote |= len && !is_loopback(b, len);
        b += len;
    }
    if (remote && !tls && !c->allow_insecure)
        return wf_err_config(err,
                             "sink.security is %s and sink.brokers are not on this host: "
                             "events%s would cross the network unprotected; hint: "
                             "sink.security: ssl (or sasl_ssl), or sink.allow_insecure: on",
                             protocol_names[c->protocol],
                             c->protocol == SASL_PLAINTEXT ? " and the password" : "");
    if ((c->protocol == SASL_SSL || c->protocol == SASL_PLAINTEXT) &&
        (!c->username || !c->password))
        return wf_err_config(err,
                             "sink.security is %s, but sink.username or sink.password is not "
                             "set",
                             protocol_names[c->protocol]);
    return WF_OK;
}

static enum wf_rc set_security(rd_kafka_conf_t *rc, const struct kafka_conf *c, struct wf_err *err)
{
    bool sasl = c->protocol == SASL_SSL || c->protocol == SASL_PLAINTEXT;
    static const char *const mechanisms[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};
    enum wf_rc ok = check_security(c, err);

    if (ok == WF_OK)
        ok = set(rc, "security", "security.protocol", protocol_names[c->protocol], err);
    if (ok == WF_OK && sasl)
        ok = set(rc, "mechanism", "sasl.mechanism", mechanisms[c->mechanism], err);
    if (ok == WF_OK && sasl)
        ok = set(rc, "username", "sasl.username", c->username, err);
    if (ok == WF_OK && sasl)
        ok = set(rc, "password", "sasl.password", c->password, err);
    if (ok == WF_OK)
        ok = set(rc, "ssl_ca", "ssl.ca.location", c->ssl_ca, err);
    if (ok == WF_OK)
        ok = set(rc, "ssl_cert", "ssl.certificate.location", c->ssl_cert, err);
    if (ok == WF_OK)
        ok = set(rc, "ssl_key", "ssl.key.location", c->ssl_key, err);
    if (ok == WF_OK)
        ok = set(rc, "ssl_key_password", "ssl.key.password", c->ssl_key_password, err);
    return ok;
}

static enum wf_rc set_passed_through(rd_kafka_conf_t *rc, const struct kafka_conf *c,
                                     struct wf_err *err)
{
    enum wf_rc ok = WF_OK;

    for (size_t i = 0; i < c->rdkafka.n && ok == WF_OK; i++) {
        const struct wf_map_item *item = &c->rdkafka.items[i];

        if (is_refused(item->key))
            return wf_err_config(err,
                                 "line %u: sink.rdkafka: %s is not for changing here: it "
                                 "carries the delivery promise, or has an option of its own",
                                 item->line, item->key);
        ok = set(rc, "rdkafka", item->key, item->value, err);
    }
    return ok;
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    bool told = strcmp(facility, "FAIL") == 0; /* by on_error(), with a cure */

    (void)rk;
    wf_log(told || level > 5 ? WF_LOG_DEBUG
           : level <= 3      ? WF_LOG_WARN
                             : WF_LOG_INFO,
           "rdkafka", NULL, "%s: %s", facility, text);
}

static enum wf_rc settings(const struct kafka_conf *c, const char *pipeline, rd_kafka_conf_t *rc,
                           struct wf_err *err)
{
    char client[96];
    enum wf_rc ok = set_passed_through(rc, c, err);

    snprintf(client, sizeof(client), "walferry-%s", pipeline ? pipeline : "");
    for (size_t i = 0; i < sizeof(fixed_settings) / sizeof(fixed_settings[0]) && ok == WF_OK; i++)
        ok = set(rc, fixed_settings[i][0], fixed_settings[i][0], fixed_settings[i][1], err);
    if (ok == WF_OK)
        ok = set(rc, "brokers", "bootstrap.servers", c->brokers, err);
    if (ok == WF_OK)
        ok = set(rc, "brokers", "client.id", client, err);
    if (ok == WF_OK)
        ok = set_int(rc, "linger", "linger.ms", c->linger_ms, err);
    if (ok == WF_OK)
        ok = set_int(rc, "queue", "queue.buffering.max.kbytes", c->queue_bytes >> 10, err);
    if (ok == WF_OK)
        ok = set_int(rc, "max_message", "message.max.bytes", c->max_message, err);
    if (ok == WF_OK)
        ok = set(rc, "compression", "compression.codec", compression_names[c->compression], err);
    if (ok == WF_OK)
        ok = set_security(rc, c, err);
    rd_kafka_conf_set_log_cb(rc, on_log);
    return ok;
}

/* ---- delivery reports
 * -------------------------------------------------------------------------------- */

static const rd_kafka_resp_err_t for_persons[] = {
    RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
    RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
    RD_KAFKA_RESP_ERR_INVALID_RECORD,
    RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
    RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
    RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
};

#define FOR_PERSONS (sizeof(for_persons) / sizeof(for_persons[0]))

static bool needs_person(rd_kafka_resp_err_t code)
{
    for (size_t i = 0; i < FOR_PERSONS; i++) {
        if (code == for_persons[i])
            return true;
    }
    return false;
}

/* Why the gapless guarantee could not be kept: librdkafka tells that in words only. */
static rd_kafka_resp_err_t cause_of(rd_kafka_resp_err_t fatal, const char *text)
{
    for (size_t i = 0; i < FOR_PERSONS && fatal == RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE; i++) {
        if (strstr(text, rd_kafka_err2str(for_persons[i])))
            return for_persons[i];
    }
    return fatal;
}

static const char *cure_for(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        return "; hint: raise the topic's max.message.bytes (and the broker's limits)";
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return "; hint: give the principal Write and Describe on the topic";
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        return "; hint: give the principal Write on its topics (or IdempotentWrite on the cluster)";
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return "; hint: somebody deleted the topic; it is made again if sink.create_topics is on";
    default:
        return "";
    }
}

static enum wf_rc kafka_error(rd_kafka_resp_err_t code, const char *topic, const char *text,
                              struct wf_err *err)
{
    char name[32];

    snprintf(name, sizeof(name), "kafka_%d", (int)code);
    return wf_err_set(err, needs_person(code) ? WF_REJECT : WF_RETRY, name, "topic %s: %s%s", topic,
                      text ? text : rd_kafka_err2str(code), cure_for(code));
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct wf_sink *s = opaque;

    (void)rk;
    if (s->failure != WF_OK) /* what follows a failure is not confirmed: it comes again, in order */
        return;
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        wf_delivery_acked(s->env->delivery, (uint64_t)(uintptr_t)m->_private, 1);
        return;
    }
    s->failure =
        kafka_error(m->err, m->rkt ? rd_kafka_topic_name(m->rkt) : "?", NULL, &s->failure_err);
}

static const char *hint_for(int code, const char *reason)
{
    if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION)
        return "; hint: sink.username, sink.password, sink.mechanism";
    if (code == RD_KAFKA_RESP_ERR__SSL || strstr(reason, "SSL routines"))
        return "; hint: sink.ssl_ca has to hold the authority of the broker's certificate, and "
               "that has to name the host in sink.brokers; the broker may ask for sink.ssl_cert "
               "and sink.ssl_key";
    return "";
}

/* A broker that is away makes several kinds of trouble in turn. */
static bool said_lately(struct wf_sink *s, int code)
{
    uint64_t now = wf_mono_us();

    for (unsigned i = 0; i < LOGGED_KINDS; i++) {
        if (s->logged[i].at_us && s->logged[i].code == code &&
            now - s->logged[i].at_us < LOG_EVERY_US)
            return true;
    }
    s->logged[s->logged_next].code = code;
    s->logged[s->logged_next].at_us = now;
    s->logged_next = (s->logged_next + 1) % LOGGED_KINDS;
    return false;
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct wf_sink *s = opaque;
    char text[512];

    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        rd_kafka_resp_err_t cause = rd_kafka_fatal_error(rk, text, sizeof(text));

        cause = cause_of(cause, text);
        if (s->failure == WF_OK)
            s->failure = wf_err_set(&s->failure_err, needs_person(cause) ? WF_REJECT : WF_RETRY,
                                    "kafka_fatal", "%s%s", text, cure_for(cause));
        return;
    }
    if (!said_lately(s, code))
        wf_log(WF_LOG_WARN, "kafka", NULL, "%s: %s%s", rd_kafka_err2name((rd_kafka_resp_err_t)code),
               reason, hint_for(code, reason));
}

/* ---- contract
 * ---------------------------------------------------------------------------------------- */

static void on_event_fd(void *arg, int fd, uint32_t events)
{
    uint64_t count;

    (void)arg;
    (void)events;
    if (read(fd, &count, sizeof(count)) < 0) {
        /* somebody emptied it: poll() looks anyway */
    }
}

static enum wf_rc start(struct wf_sink *s, rd_kafka_conf_t *rc, struct wf_err *err)
{
    static const uint64_t one = 1;
    struct wf_kafka_topics_conf topics = {s->conf->create_topics, s->conf->partitions,
                                          s->conf->replication, &s->conf->topic_config,
                                          s->conf->max_message};
    char text[256];

    rd_kafka_conf_set_dr_msg_cb(rc, on_delivery);
    rd_kafka_conf_set_error_cb(rc, on_error);
    rd_kafka_conf_set_opaque(rc, s);
    s->rk = rd_kafka_new(RD_KAFKA_PRODUCER, rc, text, sizeof(text));
    if (!s->rk) {
        rd_kafka_conf_destroy(rc);
        return wf_err_config(err, "%s", text);
    }
    s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->event_fd < 0)
        return wf_err_sys(err, WF_FATAL, "cannot create an eventfd");
    s->main_queue = rd_kafka_queue_get_main(s->rk);
    rd_kafka_queue_io_event_enable(s->main_queue, s->event_fd, &one, sizeof(one));
    s->topics = wf_kafka_topics_new(s->rk, s->event_fd, &topics);
    if (!s->topics)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    return wf_loop_watch(s->env->loop, s->event_fd, EPOLLIN, on_event_fd, s, err);
}

/* Closing a producer waits for its threads: on the worker, while there is one. */
struct ending {
    struct wf_job job;
    rd_kafka_t *rk;
};

static void ending_run(struct wf_job *job)
{
    struct ending *e = (struct ending *)job;

    rd_kafka_destroy_flags(e->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

static void ending_done(struct wf_job *job)
{
    free(job);
}

static void end_producer(struct wf_sink *s)
{
    struct ending *e = s->env->worker ? malloc(sizeof(*e)) : NULL;

    rd_kafka_purge(s->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                              RD_KAFKA_PURGE_F_NON_BLOCKING);
    if (e) {
        *e = (struct ending){.job = {.run = ending_run, .done = ending_done}, .rk = s->rk};
        wf_worker_submit(s->env->worker, &e->job);
    } else {
        rd_kafka_destroy_flags(s->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    }
}

static void kafka_close(struct wf_sink *s)
{
    if (!s)
        return;
    wf_kafka_topics_free(s->topics);
    if (s->main_queue) {
        rd_kafka_queue_io_event_enable(s->main_queue, -1, NULL, 0);
        rd_kafka_queue_destroy(s->main_queue);
    }
    if (s->rk)
        end_producer(s);
    if (s->event_fd >= 0) {
        wf_loop_watch(s->env->loop, s->event_fd, 0, NULL, NULL, NULL);
        close(s->event_fd);
    }
    free(s);
}

static enum wf_rc kafka_validate(const void *conf, struct wf_err *err)
{
    rd_kafka_conf_t *rc = rd_kafka_conf_new();
    enum wf_rc ok = settings(conf, NULL, rc, err);

    rd_kafka_conf_destroy(rc);
    return ok;
}

static enum wf_rc kafka_open(struct wf_sink **self, const void *conf, const struct wf_sink_env *env,
                             struct wf_err *err)
{
    struct wf_sink *s = calloc(1, sizeof(*s));
    rd_kafka_conf_t *rc = rd_kafka_conf_new();
    enum wf_rc ok;

    if (!s) {
        rd_kafka_conf_destroy(rc);
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    }
    s->conf = conf;
    s->env = env;
    s->event_fd = -1;
    ok = settings(s->conf, env->pipeline, rc, err);
    if (ok == WF_OK)
        ok = start(s, rc, err);
    else
        rd_kafka_conf_destroy(rc);
    if (ok != WF_OK) {
        kafka_close(s);
        return ok;
    }
    *self = s;
    return WF_OK;
}

static enum wf_rc kafka_prepare(struct wf_sink *s, struct wf_stream *stream, struct wf_err *err)
{
    rd_kafka_topic_t *handle;
    enum wf_rc rc =
        wf_kafka_topics_ready(s->topics, stream->topic, !stream->key_schema, &handle, err);

    if (rc == WF_OK)
        stream->sink_data = handle;
    return rc;
}

static enum wf_rc too_large(const struct wf_sink *s, const struct wf_event *ev, struct wf_err *err)
{
    return wf_err_set(err, WF_REJECT, "event_too_large",
                      "topic %s: event of %zu bytes over sink.max_message of %lld; hint: raise "
                      "sink.max_message and the topic's max.message.bytes, or leave the column out "
                      "of the publication",
                      ev->stream->topic, ev->key_len + ev->value_len,
                      (long long)s->conf->max_message);
}

#define PRODUCE_ARGS 5 /* of wf_event's headers come more */

/* As rd_kafka_produce(), for an event with headers. */
static rd_kafka_resp_err_t produce_with_headers(const struct wf_sink *s, const struct wf_event *ev)
{
    rd_kafka_vu_t args[PRODUCE_ARGS + UINT8_MAX] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = ev->stream->sink_data},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)ev->value, ev->value_len}},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)(uintptr_t)ev->key, ev->key_len}},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)ev->tag}};
    rd_kafka_error_t *error;
    rd_kafka_resp_err_t code;

    for (unsigned i = 0; i < ev->nheaders; i++)
        args[PRODUCE_ARGS + i] = (rd_kafka_vu_t){
            .vtype = RD_KAFKA_VTYPE_HEADER,
            .u.header = {ev->headers[i].name, ev->headers[i].value, (ssize_t)ev->headers[i].len}};
    error = rd_kafka_produceva(s->rk, args, (size_t)PRODUCE_ARGS + ev->nheaders);
    code = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (error)
        rd_kafka_error_destroy(error);
    return code;
}

/* librdkafka copies: the buffers are the encoder's. */
static rd_kafka_resp_err_t produce(const struct wf_sink *s, const struct wf_event *ev)
{
    rd_kafka_topic_t *topic = ev->stream->sink_data;

    if (ev->nheaders)
        return produce_with_headers(s, ev);
    if (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
                         (void *)(uintptr_t)ev->value, ev->value_len, ev->key, ev->key_len,
                         (void *)(uintptr_t)ev->tag) == 0)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    return rd_kafka_last_error();
}

static enum wf_rc kafka_publish(struct wf_sink *s, const struct wf_event *ev, struct wf_err *err)
{
    rd_kafka_resp_err_t code = produce(s, ev);

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return WF_OK;
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return WF_AGAIN;
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        return too_large(s, ev, err);
    if (s->failure != WF_OK) {
        *err = s->failure_err;
        return s->failure;
    }
    return kafka_error(code, ev->stream->topic, NULL, err);
}

static enum wf_rc kafka_poll(struct wf_sink *s, struct wf_err *err)
{
    rd_kafka_poll(s->rk, 0);
    wf_kafka_topics_poll(s->topics);
    if (s->failure == WF_OK)
        return WF_OK;
    *err = s->failure_err;
    return s->failure;
}

/* ---- walferry check
 * ------------------------------------------------------------------------------------ */

typedef void (*report_fn)(void *arg, const char *level, const char *what, const char *cure);

static void check_brokers(rd_kafka_t *rk, report_fn report, void *arg)
{
    const struct rd_kafka_metadata *meta = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, NULL, &meta, CHECK_MS);
    char what[300];

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR || !meta) {
        snprintf(what, sizeof(what), "Kafka does not answer within %d ms: %s", CHECK_MS,
                 rd_kafka_err2str(code));
        report(arg, "error", what,
               "sink.brokers, sink.security, the broker's log; run with log.level: debug");
        return;
    }
    snprintf(what, sizeof(what), "Kafka answers: %d broker%s", meta->broker_cnt,
             meta->broker_cnt == 1 ? "" : "s");
    report(arg, "ok", what, NULL);
    if (meta->broker_cnt < 3)
        report(arg, "warning", "fewer than three brokers: a disk can take confirmed events with it",
               "three brokers, replication factor 3, min.insync.replicas 2");
    rd_kafka_metadata_destroy(meta);
}

static void kafka_check(const void *conf, const char *pipeline, report_fn report, void *arg)
{
    rd_kafka_conf_t *rc = rd_kafka_conf_new();
    struct wf_err err;
    rd_kafka_t *rk;
    char text[256];

    if (settings(conf, pipeline, rc, &err) != WF_OK) {
        rd_kafka_conf_destroy(rc);
        report(arg, "error", err.text, "correct the configuration");
        return;
    }
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, rc, text, sizeof(text));
    if (!rk) {
        rd_kafka_conf_destroy(rc);
        report(arg, "error", text, "correct the configuration");
        return;
    }
    check_brokers(rk, report, arg);
    rd_kafka_destroy(rk);
}

/* ---- walferry read --- */

static enum wf_rc assign_all(rd_kafka_t *rk, const char *topic, int *partitions, struct wf_err *err)
{
    const struct rd_kafka_metadata *meta = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
    rd_kafka_resp_err_t code =
        handle ? rd_kafka_metadata(rk, 0, handle, &meta, CHECK_MS) : RD_KAFKA_RESP_ERR__INVALID_ARG;
    rd_kafka_topic_partition_list_t *list;

    if (meta)
        code = meta->topic_cnt ? meta->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    *partitions = meta && code == RD_KAFKA_RESP_ERR_NO_ERROR ? meta->topics[0].partition_cnt : 0;
    if (handle)
        rd_kafka_topic_destroy(handle);
    if (meta)
        rd_kafka_metadata_destroy(meta);
    list = rd_kafka_topic_partition_list_new(*partitions);
    for (int i = 0; i < *partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? WF_OK : kafka_error(code, topic, NULL, err);
}

static bool hand_over(const rd_kafka_message_t *m, wf_record_fn fn, void *arg)
{
    struct wf_record record = {.key = m->key,
                               .value = m->payload,
                               .key_len = m->key_len,
                               .value_len = m->len,
                               .partition = m->partition,
                               .offset = m->offset};

    return fn(arg, &record);
}

/* The present end is where a partition ends for the first time: one that grows on would end again,
 * in the place of one that is not read yet. */
static void end_partition(rd_kafka_t *rk, const char *topic, int partition)
{
    rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(one, topic, partition);
    rd_kafka_pause_partitions(rk, one);
    rd_kafka_topic_partition_list_destroy(one);
}

static enum wf_rc consume(rd_kafka_t *rk, const char *topic, wf_record_fn fn, void *arg,
                          struct wf_err *err)
{
    int open = 0;
    bool stop = false;
    enum wf_rc rc = assign_all(rk, topic, &open, err);

    while (rc == WF_OK && open > 0 && !stop) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 2 * CHECK_MS);

        if (!m)
            return wf_err_set(err, WF_RETRY, "kafka", "topic %s: nothing arrived for %d ms", topic,
                              2 * CHECK_MS);
        if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            end_partition(rk, topic, m->partition);
            open--;
        } else if (m->err) {
            rc = kafka_error(m->err, topic, rd_kafka_message_errstr(m), err);
        } else {
            stop = !hand_over(m, fn, arg);
        }
        rd_kafka_message_destroy(m);
    }
    return rc;
}

static enum wf_rc consumer_settings(const struct kafka_conf *c, rd_kafka_conf_t *rc,
                                    struct wf_err *err)
{
    enum wf_rc ok = set(rc, "brokers", "bootstrap.servers", c->brokers, err);

    if (ok == WF_OK)
        ok = set(rc, "read", "group.id", "walferry-read", err);
    if (ok == WF_OK)
        ok = set(rc, "read", "enable.partition.eof", "true", err);
    if (ok == WF_OK)
        ok = set(rc, "read", "enable.auto.commit", "false", err);
    if (ok == WF_OK)
        ok = set_security(rc, c, err);
    rd_kafka_conf_set_log_cb(rc, on_log);
    return ok;
}

static enum wf_rc kafka_read(const void *conf, const char *topic, wf_record_fn fn, void *arg,
                             struct wf_err *err)
{
    rd_kafka_conf_t *rkc = rd_kafka_conf_new();
    enum wf_rc rc = consumer_settings(conf, rkc, err);
    rd_kafka_t *rk;
    char text[256];

    if (rc != WF_OK) {
        rd_kafka_conf_destroy(rkc);
        return rc;
    }
    rk = rd_kafka_new(RD_KAFKA_CONSUMER, rkc, text, sizeof(text));
    if (!rk) {
        rd_kafka_conf_destroy(rkc);
        return wf_err_config(err, "%s", text);
    }
    rd_kafka_poll_set_consumer(rk);
    rc = consume(rk, topic, fn, arg, err);
    rd_kafka_destroy(rk);
    return rc;
}

/* ---- options
 * -------------------------------------------------------------------------------------------- */

#define FIELD(name) offsetof(struct kafka_conf, name)

/* clang-format off */
static const struct wf_opt kafka_opts[] = {
    {.key = "brokers", .type = WF_OPT_STR, .field = FIELD(brokers), .required = true,
     .help = "Bootstrap brokers: `host:port[,host:port...]`."},
    {.key = "delivery", .type = WF_OPT_ENUM, .field = FIELD(delivery), .dflt = "at_least_once",
     .choices = delivery_names,
     .help = "`at_least_once`: idempotent producer, acks=all, no delivery time-out; after a crash "
             "events may repeat, in order, none is lost."},
    {.key = "linger", .type = WF_OPT_TIME, .field = FIELD(linger_ms), .dflt = "1ms", .min = "0ms",
     .max = "1s", .help = "Longest wait for a fuller batch."},
    {.key = "queue", .type = WF_OPT_SIZE, .field = FIELD(queue_bytes), .dflt = "8MiB",
     .min = "64KiB", .max = "1GiB",
     .help = "Most bytes waiting for the brokers; when it is full the slot is not read."},
    {.key = "max_message", .type = WF_OPT_SIZE, .field = FIELD(max_message), .dflt = "1000000",
     .min = "1000", .max = "1000000000",
     .help = "Largest event in bytes, key included. A larger one blocks the pipeline: nothing is "
             "skipped. The topic's `max.message.bytes` must allow as much."},
    {.key = "compression", .type = WF_OPT_ENUM, .field = FIELD(compression), .dflt = "none",
     .choices = compression_names, .help = "Compression of batches."},
    {.key = "create_topics", .type = WF_OPT_BOOL, .field = FIELD(create_topics), .dflt = "on",
     .help = "Create missing topics, with the settings below; never by the broker's auto-creation."},
    {.key = "partitions", .type = WF_OPT_INT, .field = FIELD(partitions), .dflt = "1", .min = "1",
     .max = "10000", .help = "Partitions of created topics."},
    {.key = "replication", .type = WF_OPT_INT, .field = FIELD(replication), .dflt = "-1",
     .min = "-1", .max = "1000",
     .help = "Replication factor of created topics; -1 = the broker's default."},
    {.key = "topic_config", .type = WF_OPT_MAP, .field = FIELD(topic_config),
     .help = "Settings of created topics, for example `{cleanup.policy: compact}`."},
    {.key = "security", .type = WF_OPT_ENUM, .field = FIELD(protocol), .dflt = "plaintext",
     .choices = protocol_names,
     .help = "Protocol. TLS verifies certificate and host name. Brokers on other hosts need `ssl` "
             "or `sasl_ssl`."},
    {.key = "allow_insecure", .type = WF_OPT_BOOL, .field = FIELD(allow_insecure), .dflt = "off",
     .help = "Allow brokers on other hosts without TLS."},
    {.key = "mechanism", .type = WF_OPT_ENUM, .field = FIELD(mechanism), .dflt = "scram-sha-512",
     .choices = mechanism_names, .help = "SASL mechanism."},
    {.key = "username", .type = WF_OPT_STR, .field = FIELD(username), .help = "SASL user."},
    {.key = "password", .type = WF_OPT_SECRET, .field = FIELD(password), .help = "SASL password."},
    {.key = "ssl_ca", .type = WF_OPT_STR, .field = FIELD(ssl_ca),
     .help = "File with the CA certificates (PEM); default: the system's."},
    {.key = "ssl_cert", .type = WF_OPT_STR, .field = FIELD(ssl_cert),
     .help = "File with the client certificate (PEM)."},
    {.key = "ssl_key", .type = WF_OPT_STR, .field = FIELD(ssl_key),
     .help = "File with the client's private key (PEM)."},
    {.key = "ssl_key_password", .type = WF_OPT_SECRET, .field = FIELD(ssl_key_password),
     .help = "Password of the private key."},
    {.key = "rdkafka", .type = WF_OPT_MAP, .field = FIELD(rdkafka),
     .help = "Any other librdkafka setting, for example `{socket.keepalive.enable: true}`; what "
             "carries the delivery promise is refused."},
    {.key = NULL},
};
/* clang-format on */

const struct wf_sink_ops wf_sink_kafka = {
    .name = "kafka",
    .help = "Apache Kafka and what speaks its protocol",
    .opts = kafka_opts,
    .conf_size = sizeof(struct kafka_conf),
    .framing = WF_FRAME_CONFLUENT,
    .validate = kafka_validate,
    .open = kafka_open,
    .prepare = kafka_prepare,
    .publish = kafka_publish,
    .poll = kafka_poll,
    .check = kafka_check,
    .read = kafka_read,
    .close = kafka_close,
};
