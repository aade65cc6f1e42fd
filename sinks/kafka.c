/* Kafka through librdkafka: idempotent, acks=all.
 *
 * At least once: gapless, no delivery time-out; a failed delivery report closes the producer, and
 * everything from the checkpoint on comes again. Within a partition keys repeat, but never go back
 * without the same run again.
 * Exactly once: events and checkpoint in one transaction; a delivery report means nothing, the
 * commit everything. */
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "event_queue.h"
#include "kafka_conf.h"
#include "kafka_topics.h"
#include "kafka_txn.h"
#include "log.h"
#include "mutant.h"
#include "sink.h"

#define PREPARE_US 20000      /* between two looks at a topic that is being made ready */
#define LOG_EVERY_US 30000000 /* one line per kind of broker trouble */
#define LOGGED_KINDS 4
#define HELD_PART 4 /* of sink.queue: what may be taken while a commit is under way */

struct wf_sink {
    const struct wf_kafka_conf *conf;
    const struct wf_sink_env *env;
    rd_kafka_t *rk;
    rd_kafka_queue_t *main_queue;
    struct wf_kafka_topics *topics;
    struct wf_kafka_pins *pins; /* of what is published to; the worker's while job is queued */
    struct saving *saving;      /* them, at least once: the file; NULL = nothing is being saved */
    struct wf_err save_err;     /* of the last save; rc OK = none failed */
    struct wf_timer prepare_timer;
    int event_fd;
    /* of a delivery report: nothing after it is confirmed; the worker's while txn.job is queued */
    enum wf_rc failure;
    struct wf_err failure_err;
    struct {
        int code;
        uint64_t at_us;
    } logged[LOGGED_KINDS];
    unsigned logged_next;
    struct wf_kafka_txn *txn;   /* NULL: at least once */
    struct wf_event_queue held; /* taken while no transaction was open for them */
    struct wf_job job;          /* recover or commit */
    enum { RECOVERING, READY, COMMITTING, COMMITTED } step;
    bool closed; /* by the pipeline: the job ends it */
    struct {     /* the job's in and out */
        struct wf_checkpoint cp;
        uint64_t events;
        bool renew;
        enum wf_rc rc;
        struct wf_err err;
    } call;
};

/* ---- delivery reports
 * -------------------------------------------------------------------------------- */

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct wf_sink *s = opaque;

    (void)rk;
    if (s->failure != WF_OK) /* what follows a failure is not confirmed: it comes again, in order */
        return;
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR || WF_MUTANT(failure_confirmed)) {
        if (!s->txn)
            wf_delivery_acked(s->env->delivery, (uint64_t)(uintptr_t)m->_private, 1);
        return;
    }
    if (WF_MUTANT(failure_passed))
        return;
    s->failure =
        wf_kafka_error(m->err, m->rkt ? rd_kafka_topic_name(m->rkt) : "?", NULL, &s->failure_err);
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

        cause = wf_kafka_cause(cause, text);
        if (s->failure == WF_OK && cause == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
            s->failure = wf_kafka_txn_error(s->env->pipeline, cause, text, &s->failure_err);
        else if (s->failure == WF_OK)
            s->failure =
                wf_err_set(&s->failure_err, wf_kafka_needs_person(cause) ? WF_REJECT : WF_RETRY,
                           "kafka_fatal", "%s%s", text, wf_kafka_cure(cause));
        return;
    }
    if (code == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE &&
        s->failure == WF_OK) /* no second try there */
        s->failure = wf_err_set(&s->failure_err, WF_RETRY, "kafka", "%s", reason);
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
    struct wf_kafka_topics_conf topics = wf_kafka_topics_of(s->conf);
    char text[256];

    rd_kafka_conf_set_dr_msg_cb(rc, on_delivery);
    rd_kafka_conf_set_error_cb(rc, on_error);
    rd_kafka_conf_set_opaque(rc, s);
    if (s->txn)
        wf_kafka_txn_observe(s->txn, rc);
    s->rk = rd_kafka_new(RD_KAFKA_PRODUCER, rc, text, sizeof(text));
    if (!s->rk) {
        rd_kafka_conf_destroy(rc);
        return wf_kafka_no_client(text, err);
    }
    s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->event_fd < 0)
        return wf_err_sys(err, WF_FATAL, "cannot create an eventfd");
    s->main_queue = rd_kafka_queue_get_main(s->rk);
    rd_kafka_queue_io_event_enable(s->main_queue, s->event_fd, &one, sizeof(one));
    s->topics = wf_kafka_topics_new(s->rk, s->event_fd, &topics, s->pins);
    if (!s->topics)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    return wf_loop_watch(s->env->loop, s->event_fd, EPOLLIN, on_event_fd, s, err);
}

/* ---- pins of topics: durable before the first event, in the file or in the same transaction ----
 */

struct saving {
    struct wf_job job;
    struct wf_sink *sink; /* NULL: closed meanwhile */
    struct wf_buf text;
    char *dir;
    enum wf_rc rc;
    struct wf_err err;
};

static void free_saving(struct saving *v)
{
    wf_buf_deinit(&v->text);
    free(v->dir);
    free(v);
}

static void saving_run(struct wf_job *job)
{
    struct saving *v = wf_container_of(job, struct saving, job);

    v->rc = wf_kafka_pins_write(v->dir, &v->text, &v->err);
}

static void saving_done(struct wf_job *job)
{
    struct saving *v = wf_container_of(job, struct saving, job);

    if (v->sink) {
        v->sink->saving = NULL;
        if (v->rc == WF_OK)
            wf_kafka_pins_keep(v->sink->pins, true);
        else
            v->sink->save_err = v->err;
    }
    free_saving(v);
}

static enum wf_rc save_pins(struct wf_sink *s, struct wf_err *err)
{
    struct saving *v = calloc(1, sizeof(*v));

    if (!v || !(v->dir = strdup(s->pins->dir))) {
        free(v);
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    }
    wf_kafka_pins_text(s->pins, &v->text);
    v->job = (struct wf_job){.run = saving_run, .done = saving_done};
    v->sink = s;
    s->saving = v;
    wf_worker_submit(s->env->worker, &v->job);
    return WF_AGAIN;
}

/* At least once: nothing is added meanwhile, so what was saved is all. */
static enum wf_rc keep_pins(struct wf_sink *s, struct wf_err *err)
{
    enum wf_rc failed = s->save_err.rc;

    if (s->txn || !s->pins->dir || wf_kafka_pins_kept(s->pins))
        return WF_OK;
    if (s->saving)
        return WF_AGAIN;
    if (failed != WF_OK) { /* told once; the next call tries again */
        *err = s->save_err;
        s->save_err.rc = WF_OK;
        return failed;
    }
    return save_pins(s, err);
}

/* With exactly once the file is a copy, and the way there from at least once. */
static enum wf_rc load_pins(struct wf_sink *s, struct wf_err *err)
{
    enum wf_rc rc;

    s->pins = wf_kafka_pins_new(s->env->state_dir);
    if (!s->pins)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    rc = wf_kafka_pins_load(s->pins, err);
    return s->conf->delivery == WF_EXACTLY_ONCE && rc == WF_FATAL ? WF_OK : rc;
}

/* Closing a producer waits for its threads: on the worker, while there is one. */
struct ending {
    struct wf_job job;
    rd_kafka_t *rk;
    struct wf_kafka_txn *txn; /* its threads write there to their end */
};

static void ending_run(struct wf_job *job)
{
    struct ending *e = (struct ending *)job;

    rd_kafka_destroy_flags(e->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    free(e->txn);
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
        *e = (struct ending){.job = {.run = ending_run, .done = ending_done}, s->rk, s->txn};
        wf_worker_submit(s->env->worker, &e->job);
    } else {
        rd_kafka_destroy_flags(s->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        free(s->txn);
    }
    s->txn = NULL;
}

static void kafka_stop(struct wf_sink *s)
{
    atomic_store(&s->txn->stop, true);
}

static void kafka_close(struct wf_sink *s)
{
    if (!s)
        return;
    if (s->job.queued && s->env->worker) { /* its call returns soon; done() comes back here */
        s->closed = true;
        kafka_stop(s);
        return;
    }
    wf_event_queue_deinit(&s->held);
    wf_kafka_topics_free(s->topics);
    if (s->main_queue) {
        rd_kafka_queue_io_event_enable(s->main_queue, -1, NULL, 0);
        rd_kafka_queue_destroy(s->main_queue);
    }
    if (s->rk)
        end_producer(s);
    free(s->txn);
    if (s->saving && s->env->worker)
        s->saving->sink = NULL;
    else if (s->saving) /* the worker has ended without it */
        free_saving(s->saving);
    wf_kafka_pins_free(s->pins);
    wf_loop_timer_off(s->env->loop, &s->prepare_timer);
    if (s->event_fd >= 0) {
        wf_loop_watch(s->env->loop, s->event_fd, 0, NULL, NULL, NULL);
        close(s->event_fd);
    }
    free(s);
}

static enum wf_rc kafka_validate(const void *conf, struct wf_err *err)
{
    rd_kafka_conf_t *rc = rd_kafka_conf_new();
    enum wf_rc ok = wf_kafka_settings(conf, NULL, rc, err);

    rd_kafka_conf_destroy(rc);
    return ok;
}

#define RECORD_OVERHEAD 256 /* of librdkafka's bound for an event, headers' own included */

static size_t kafka_largest(const void *conf)
{
    return (size_t)((const struct wf_kafka_conf *)conf)->max_message - RECORD_OVERHEAD;
}

static enum wf_rc prepare_transactions(struct wf_sink *s, struct wf_err *err)
{
    s->txn = calloc(1, sizeof(*s->txn));
    if (!s->txn)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    s->txn->conf = s->conf;
    s->txn->pipeline = s->env->pipeline;
    wf_event_queue_init(&s->held, (size_t)s->conf->queue_bytes / HELD_PART);
    s->txn->pins = s->pins;
    return WF_OK;
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
    ok = wf_kafka_settings(s->conf, env->pipeline, rc, err);
    if (ok == WF_OK)
        ok = load_pins(s, err);
    if (ok == WF_OK && s->conf->delivery == WF_EXACTLY_ONCE)
        ok = prepare_transactions(s, err);
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
    enum wf_rc rc = WF_AGAIN;

    if (!s->job.queued && !s->saving) /* they have the pins */
        rc = wf_kafka_topics_ready(s->topics, stream->topic,
                                   stream->key_schema ? WF_TOPIC_KEYED : WF_TOPIC_KEYLESS, &handle,
                                   err);
    if (rc == WF_OK)
        rc = keep_pins(s, err);
    if (rc == WF_OK)
        stream->sink_data = handle;
    else if (rc == WF_AGAIN)
        wf_loop_timer_set(s->env->loop, &s->prepare_timer, PREPARE_US, NULL, NULL);
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
    rd_kafka_vu_t args[PRODUCE_ARGS + WF_HEADERS_MAX] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = ev->stream->sink_data},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)ev->value, ev->value_len}},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)(uintptr_t)ev->key, ev->key_len}},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)ev->tag}};
    rd_kafka_error_t *error;
    rd_kafka_resp_err_t code;

    if (ev->nheaders > WF_HEADERS_MAX)
        return RD_KAFKA_RESP_ERR__INVALID_ARG;
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

static enum wf_rc publish_now(struct wf_sink *s, const struct wf_event *ev, struct wf_err *err)
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
    return wf_kafka_error(code, ev->stream->topic, NULL, err);
}

/* What came during the last commit goes first. */
static enum wf_rc publish_held(struct wf_sink *s, struct wf_err *err)
{
    struct wf_event ev;
    enum wf_rc rc = WF_OK;

    while (rc == WF_OK && wf_event_queue_front(&s->held, &ev)) {
        rc = publish_now(s, &ev, err);
        if (rc == WF_OK)
            wf_event_queue_pop(&s->held);
    }
    return rc;
}

/* Between a commit and the next transaction: nothing can be produced. */
static bool is_between(const struct wf_sink *s)
{
    return (s->job.queued || s->step == COMMITTED) && !WF_MUTANT(publish_in_commit);
}

static enum wf_rc kafka_publish(struct wf_sink *s, const struct wf_event *ev, struct wf_err *err)
{
    enum wf_rc rc = WF_OK;

    if (is_between(s))
        return wf_event_queue_put(&s->held, ev) ? WF_OK : WF_AGAIN;
    if (!wf_event_queue_empty(&s->held) && !WF_MUTANT(held_overtaken))
        rc = publish_held(s, err);
    return rc == WF_OK ? publish_now(s, ev, err) : rc;
}

static enum wf_rc kafka_poll(struct wf_sink *s, struct wf_err *err)
{
    enum wf_rc rc = wf_kafka_topics_poll(s->topics, err);

    if (rc != WF_OK || s->job.queued) /* its calls serve the queue: callbacks run there */
        return rc;
    if (!s->txn || s->step != RECOVERING)
        wf_kafka_topics_watch(s->topics);
    rd_kafka_poll(s->rk, 0);
    if (s->failure != WF_OK) {
        *err = s->failure_err;
        return s->failure;
    }
    if (!is_between(s))
        rc = publish_held(s, err);
    return rc == WF_AGAIN ? WF_OK : rc;
}

/* ---- exactly once ---- */

static bool kafka_enabled(const void *conf)
{
    return ((const struct wf_kafka_conf *)conf)->delivery == WF_EXACTLY_ONCE;
}

static void call_run(struct wf_job *job)
{
    struct wf_sink *s = wf_container_of(job, struct wf_sink, job);

    if (s->step == RECOVERING)
        s->call.rc = wf_kafka_txn_recover(s->txn, &s->call.cp, &s->call.err);
    else
        s->call.rc =
            wf_kafka_txn_commit(s->txn, &s->call.cp, s->call.events, &s->call.renew, &s->call.err);
}

static void call_done(struct wf_job *job)
{
    struct wf_sink *s = wf_container_of(job, struct wf_sink, job);

    s->step = s->step == RECOVERING ? READY : COMMITTED;
    if (s->closed)
        kafka_close(s);
}

static void call(struct wf_sink *s)
{
    s->call.rc = WF_AGAIN;
    s->call.renew = false;
    s->job = (struct wf_job){.run = call_run, .done = call_done};
    wf_worker_submit(s->env->worker, &s->job);
}

static enum wf_rc result(const struct wf_sink *s, struct wf_err *err)
{
    if (s->call.rc != WF_OK)
        *err = s->call.err;
    return s->call.rc;
}

static enum wf_rc kafka_recover(struct wf_sink *s, struct wf_checkpoint *cp, struct wf_err *err)
{
    char topic[WF_KAFKA_NAME];
    enum wf_rc rc;

    if (s->job.queued)
        return WF_AGAIN;
    if (s->step == READY) {
        *cp = s->call.cp;
        return result(s, err);
    }
    wf_kafka_checkpoint_topic(s->env->pipeline, topic);
    rc = wf_kafka_topics_ready(s->topics, topic, WF_TOPIC_CHECKPOINTS, &s->txn->topic, err);
    if (rc == WF_AGAIN)
        wf_loop_timer_set(s->env->loop, &s->prepare_timer, PREPARE_US, NULL, NULL);
    if (rc != WF_OK)
        return rc;
    s->txn->rk = s->rk;
    call(s);
    return WF_AGAIN;
}

static enum wf_rc kafka_commit(struct wf_sink *s, const struct wf_checkpoint *cp, uint64_t events,
                               struct wf_err *err)
{
    enum wf_rc rc = WF_MUTANT(held_behind) ? WF_OK : publish_held(s, err);

    if (rc != WF_OK)
        return rc;
    s->call.cp = *cp;
    s->call.events = events;
    s->step = COMMITTING;
    call(s);
    return WF_OK;
}

static enum wf_rc kafka_committed(struct wf_sink *s, bool *renew, struct wf_err *err)
{
    if (s->job.queued)
        return WF_AGAIN;
    *renew = s->call.renew;
    if (s->call.rc == WF_OK && !*renew) /* else no transaction is open, nor will one be */
        s->step = READY;
    return result(s, err);
}

static const struct wf_keeper_ops keeper = {
    .enabled = kafka_enabled,
    .limits = wf_kafka_limits,
    .stored = wf_kafka_stored,
    .store = wf_kafka_store,
    .recover = kafka_recover,
    .commit = kafka_commit,
    .committed = kafka_committed,
    .stop = kafka_stop,
};

const struct wf_sink_ops wf_sink_kafka = {
    .name = "kafka",
    .help = "Apache Kafka and what speaks its protocol",
    .opts = wf_kafka_opts,
    .conf_size = sizeof(struct wf_kafka_conf),
    .framing = WF_FRAME_CONFLUENT,
    .keeper = &keeper,
    .validate = kafka_validate,
    .largest = kafka_largest,
    .open = kafka_open,
    .prepare = kafka_prepare,
    .publish = kafka_publish,
    .poll = kafka_poll,
    .check = wf_kafka_check,
    .read = wf_kafka_read,
    .topics = wf_kafka_repin,
    .close = kafka_close,
};
