#include "source.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "log.h"
#include "lsn.h"
#include "plugins.h"
#include "source_parts.h"

#define PG_EPOCH_US INT64_C(946684800000000) /* 2000-01-01 since the Unix epoch */
#define XLOGDATA_HEADER 25
#define KEEPALIVE_BYTES 18
#define STATUS_BYTES 34
/* A server that shuts down asks again at once with one position (postgres.md, "Feedback"). */
#define STORM_REPLIES 40
#define STORM_US 2000000
#define RECONNECT_MIN_MS 100
#define STANDBY_RETRY_MS 1000
#define SHORT_US 1000000 /* a stream that ends sooner counts as an attempt that failed */

static void connect_done(struct wf_job *job);
static void status_due(void *arg);

/* ---- connecting ---------------------------------------------------------------------------- */

static void begin_attempt(void *arg)
{
    struct wf_source *s = arg;

    if (s->attempt.job.queued)
        return;
    s->attempt.job.run = wf_source_connect;
    s->attempt.job.done = connect_done;
    s->attempt.conn = s->attempt.side = NULL;
    s->attempt.read_lsn = s->read_lsn;
    s->attempt.variant = s->variant;
    if (s->state != WF_SOURCE_STANDBY)
        s->state = WF_SOURCE_CONNECTING;
    wf_worker_submit(s->worker, &s->attempt.job);
}

/* Full jitter over the upper half keeps many pipelines of one server apart. */
static int64_t jittered(int64_t ms)
{
    uint32_t r = 0;

    if (getrandom(&r, sizeof(r), GRND_NONBLOCK) < 0)
        r = (uint32_t)wf_mono_us();
    return ms / 2 + (int64_t)(r % (uint32_t)(ms / 2 + 1));
}

static void attempt_later(struct wf_source *s, int64_t ms)
{
    wf_loop_timer_set(s->env.loop, &s->connect_timer, (uint64_t)ms * 1000, begin_attempt, s);
}

static void attempt_failed(struct wf_source *s, const struct wf_err *err)
{
    bool blocked = err->rc == WF_REJECT;
    char fields[64];

    if (strcmp(err->code, "slot_active") == 0) {
        if (s->state != WF_SOURCE_STANDBY)
            wf_log(WF_LOG_INFO, "standby", NULL, "%s", err->text);
        s->state = WF_SOURCE_STANDBY;
        s->backoff_ms = 0;
        attempt_later(s, jittered(STANDBY_RETRY_MS));
        return;
    }
    s->backoff_ms = s->backoff_ms ? s->backoff_ms * 2 : RECONNECT_MIN_MS;
    if (s->backoff_ms > s->conf->reconnect_max_ms)
        s->backoff_ms = s->conf->reconnect_max_ms;
    s->state = WF_SOURCE_WAITING;
    snprintf(fields, sizeof(fields), "%sretry_ms=%lld", blocked ? "state=blocked " : "",
             (long long)s->backoff_ms);
    wf_log(blocked ? WF_LOG_ERROR : WF_LOG_WARN, err->code, fields, "%s", err->text);
    attempt_later(s, jittered(s->backoff_ms));
}

/* Wrong password in mid-run is somebody's rotation: the slot holds the data, keep trying. */
static bool ends_process(const struct wf_source *s, const struct wf_err *err)
{
    return err->rc == WF_FATAL && !(s->connected_once && err->exit_code == WF_EXIT_CONFIG);
}

static void fail(struct wf_source *s, const struct wf_err *err)
{
    s->failure = WF_FATAL;
    s->failure_err = *err;
    s->failure_err.rc = WF_FATAL;
    s->state = WF_SOURCE_REFUSED;
}

static void on_socket(void *arg, int fd, uint32_t events);

/* Reading is the pipeline's turn; here only: what wakes the loop. */
static void watch_socket(struct wf_source *s)
{
    uint32_t want = s->paused ? 0 : EPOLLIN;

    if (PQflush(s->conn) == 1)
        want |= EPOLLOUT;
    if (want != s->watching && wf_loop_watch(s->env.loop, s->fd, want, on_socket, s, NULL) == WF_OK)
        s->watching = want;
}

static void on_socket(void *arg, int fd, uint32_t events)
{
    (void)fd;
    if (events & EPOLLOUT)
        watch_socket(arg); /* flushes, and is called no more once that is done */
}

static int64_t status_interval_ms(const struct wf_source *s)
{
    int64_t ms = s->conf->status_interval_ms;

    if (s->server.sender_timeout_ms > 0 && ms > s->server.sender_timeout_ms / 3)
        ms = s->server.sender_timeout_ms / 3;
    return ms < 100 ? 100 : ms;
}

/* Where the server begins to send. */
static uint64_t start_lsn(const struct wf_source *s)
{
    if (s->env.keeper)
        return s->slot.confirmed_lsn;
    return s->cp.lsn > s->read_lsn ? s->cp.lsn : s->read_lsn;
}

static void standby_promoted(void *arg)
{
    wf_source_reconnect(arg, 0, "the standby became a primary: connecting anew for its timeline");
}

static void connect_done(struct wf_job *job)
{
    struct wf_source *s = wf_container_of(job, struct wf_source, attempt.job);

    if (s->attempt.rc != WF_OK) {
        if (ends_process(s, &s->attempt.err))
            fail(s, &s->attempt.err);
        else
            attempt_failed(s, &s->attempt.err);
        return;
    }
    if (s->attempt.read_lsn > s->read_lsn) { /* the sink went back while this was under way */
        wf_source_drop_attempt(s);
        attempt_later(s, 0);
        return;
    }
    s->conn = s->attempt.conn;
    s->server = s->attempt.server;
    s->slot = s->attempt.slot;
    s->cp = s->attempt.cp;
    s->variant = s->attempt.variant;
    s->state = WF_SOURCE_STREAMING;
    /* A keeper's is not compared yet, and an older server would go back to it. Past the checkpoint:
     * another daemon has written since, so it is saved once more before it is acknowledged. */
    if (s->env.keeper || s->acked_lsn > s->cp.lsn)
        s->acked_lsn = 0;
    s->announce = s->connected_once = true;
    s->storm.count = 0;
    s->fd = PQsocket(s->conn);
    s->watching = 0;
    s->connected_us = wf_mono_us();
    watch_socket(s);
    if (s->attempt.side)
        wf_promotion_watch(&s->promotion, s->attempt.side, standby_promoted, s);
    wf_loop_timer_set(s->env.loop, &s->status_timer, (uint64_t)status_interval_ms(s) * 1000,
                      status_due, s);
    wf_log(
        WF_LOG_INFO, "streaming", NULL,
        "reading slot \"%s\" of database %s from %s (PostgreSQL %d.%d, system %llu, timeline %u)",
        s->env.temporary ? "(temporary)" : s->conf->slot, s->server.database,
        wf_lsn_text(start_lsn(s)).s, s->server.version / 10000, s->server.version % 10000,
        (unsigned long long)s->server.system_id, s->server.timeline);
}

/* ---- streaming ----------------------------------------------------------------------------- */

static void disconnect(struct wf_source *s)
{
    PQfreemem(s->message);
    s->message = NULL;
    if (!s->conn)
        return;
    wf_promotion_stop(&s->promotion);
    wf_loop_timer_off(s->env.loop, &s->status_timer);
    wf_loop_watch(s->env.loop, s->fd, 0, NULL, NULL, NULL);
    PQfinish(s->conn);
    s->conn = NULL;
}

static enum wf_rc lost(struct wf_source *s, const struct wf_err *err)
{
    disconnect(s);
    if (s->env.temporary || ends_process(s, err)) {
        fail(s, err); /* a temporary slot went with its connection: what follows is unknown */
    } else {
        if (wf_mono_us() - s->connected_us >= SHORT_US)
            s->backoff_ms = 0;
        attempt_failed(s, err);
    }
    return WF_AGAIN;
}

static void put64(char *out, uint64_t v)
{
    v = htobe64(v);
    memcpy(out, &v, sizeof(v));
}

static uint64_t get64(const char *in)
{
    uint64_t v;

    memcpy(&v, in, sizeof(v));
    return be64toh(v);
}

/* PostgreSQL documentation, "Streaming Replication Protocol", Standby status update. Until the
 * first own acknowledgement it says 0/0, "no information": older servers move slots back. */
static void send_status(struct wf_source *s)
{
    char packet[STATUS_BYTES];

    packet[0] = 'r';
    put64(packet + 1, s->acked_lsn ? s->received_lsn : 0);
    put64(packet + 9, s->acked_lsn);
    put64(packet + 17, s->acked_lsn);
    put64(packet + 25, (uint64_t)(wf_wall_us() - PG_EPOCH_US));
    packet[33] = 0;
    if (PQputCopyData(s->conn, packet, sizeof(packet)) == 1)
        watch_socket(s);
}

static void status_due(void *arg)
{
    struct wf_source *s = arg;

    if (s->state != WF_SOURCE_STREAMING)
        return;
    send_status(s);
    wf_loop_timer_set(s->env.loop, &s->status_timer, (uint64_t)status_interval_ms(s) * 1000,
                      status_due, s);
}

static bool stream_falls_back(struct wf_source *s, const char *sqlstate)
{
    struct wf_start start = {s->conf, s->server.version, s->variant, NULL};
    bool back = wf_source_falls_back(s, &start, sqlstate);

    s->variant += back;
    return back;
}

/* The stream ended: find out why. */
static enum wf_rc stream_ended(struct wf_source *s, int n)
{
    struct wf_err err;
    wf_autoresult PGresult *res = n == -1 ? PQgetResult(s->conn) : NULL;
    const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
    const char *text = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;

    if (state && text)
        wf_err_set(&err, WF_RETRY, "stream_error", "the stream ended: %s (SQLSTATE %s)", text,
                   state);
    else
        wf_err_set(&err, WF_RETRY, "stream_ended", "the server closed the stream%s%.200s",
                   n == -2 ? ": " : "", n == -2 ? PQerrorMessage(s->conn) : "");
    for (char *c = err.text; *c; c++) {
        if (*c == '\n')
            *c = ' ';
    }
    if (state && strcmp(state, "42704") == 0)
        wf_err_refuse(
            &err, "publication_missing",
            "%s; hint: publication \"%s\" must exist at the WAL position being read: one "
            "that was made later, or dropped, does not count. Make the slot anew, take its "
            "position with `walferry checkpoint set FILE slot`, and load the tables anew",
            text ? text : "?", s->conf->publication);
    else if (state && stream_falls_back(s, state))
        wf_err_set(&err, WF_RETRY, "stream_error", "connecting again: %s", text ? text : "?");
    else if (state && (strcmp(state, "22P05") == 0 || strcmp(state, "42883") == 0 ||
                       strcmp(state, "0A000") == 0))
        wf_err_refuse(&err, "undecodable",
                      "the server cannot send the next change: %s (SQLSTATE %s)", text ? text : "?",
                      state);
    return lost(s, &err);
}

static enum wf_rc too_large(struct wf_source *s, int n)
{
    struct wf_err err;

    wf_err_refuse(&err, "row_too_large",
                  "a message of %d bytes at %s is over source.max_row of %lld; hint: raise it, the "
                  "slot keeps everything from here on",
                  n, wf_lsn_text(get64(s->message + 1)).s, (long long)s->conf->max_row_bytes);
    return lost(s, &err);
}

static enum wf_rc publication_lost(struct wf_source *s)
{
    struct wf_err err;

    wf_err_refuse(&err, "publication_missing",
                  "publication \"%s\" is missing at the WAL position being read and the server "
                  "skips its changes; hint: make the publication, make the slot anew, take its "
                  "position with `walferry checkpoint set FILE slot`, and load the tables anew",
                  s->conf->publication);
    return lost(s, &err);
}

static enum wf_rc unsent(struct wf_source *s)
{
    struct wf_err err;

    wf_err_refuse(&err, "identity_missing",
                  "the plugin leaves changes out: %s; hint: ALTER TABLE ... REPLICA IDENTITY FULL "
                  "for the changes to come, and leave the table out of source.tables until this "
                  "position is past",
                  s->unsent);
    return lost(s, &err);
}

static enum wf_rc malformed(struct wf_source *s, int n)
{
    struct wf_err err;

    wf_err_set(&err, WF_FATAL, "protocol",
               "replication message of type 0x%02x with %d bytes is malformed",
               s->message[0] & 0xff, n);
    return lost(s, &err);
}

/* Whether a stopping server keeps asking about one position that we cannot confirm yet. */
static bool is_storm(struct wf_source *s, uint64_t lsn)
{
    uint64_t now = wf_mono_us();

    if (lsn != s->storm.lsn || now - s->storm.since_us > STORM_US) {
        s->storm.lsn = lsn;
        s->storm.since_us = now;
        s->storm.count = 0;
    }
    return ++s->storm.count > STORM_REPLIES && s->acked_lsn < lsn;
}

static enum wf_rc keepalive(struct wf_source *s, struct wf_source_item *item)
{
    uint64_t lsn = get64(s->message + 1);

    item->event = WF_SOURCE_BARRIER;
    item->barrier_lsn = lsn;
    item->reply_requested = s->message[17] != 0;
    if (lsn > s->received_lsn)
        s->received_lsn = lsn;
    if (item->reply_requested) {
        if (is_storm(s, lsn)) {
            struct wf_err err;

            wf_err_set(&err, WF_RETRY, "server_stopping",
                       "the server seems to shut down and waits for what the sink has not taken "
                       "yet: leaving, the slot keeps it");
            return lost(s, &err);
        }
        send_status(s);
    }
    return WF_OK;
}

static enum wf_rc xlogdata(struct wf_source *s, int n, struct wf_source_item *item)
{
    item->event = WF_SOURCE_MESSAGE;
    item->msg.start_lsn = get64(s->message + 1);
    item->msg.data = s->message + XLOGDATA_HEADER;
    item->msg.len = (size_t)n - XLOGDATA_HEADER;
    if (item->msg.start_lsn > s->received_lsn)
        s->received_lsn = item->msg.start_lsn;
    return WF_OK;
}

/* n > 0: a message; 0: the socket is truly empty; < 0: the stream ended. */
static int read_message(struct wf_source *s)
{
    int n;

    PQfreemem(s->message);
    s->message = NULL;
    n = PQgetCopyData(s->conn, &s->message, 1);
    if (n != 0)
        return n;
    if (!PQconsumeInput(s->conn))
        return -2;
    return PQgetCopyData(s->conn, &s->message, 1);
}

enum wf_rc wf_source_next(struct wf_source *s, struct wf_source_item *item, struct wf_err *err)
{
    int n;

    if (s->failure != WF_OK) {
        *err = s->failure_err;
        return s->failure;
    }
    if (s->state != WF_SOURCE_STREAMING)
        return WF_AGAIN;
    if (s->announce) {
        s->announce = false;
        item->event = WF_SOURCE_CONNECTED;
        return WF_OK;
    }
    n = read_message(s);
    if (n == 0)
        return WF_AGAIN;
    if (n < 0)
        return stream_ended(s, n);
    if (atomic_load_explicit(&s->losing, memory_order_relaxed))
        return s->unsent[0] ? unsent(s) : publication_lost(s);
    if (n > s->conf->max_row_bytes && n >= XLOGDATA_HEADER)
        return too_large(s, n);
    if (s->message[0] == 'w' && n >= XLOGDATA_HEADER)
        return xlogdata(s, n, item);
    if (s->message[0] == 'k' && n == KEEPALIVE_BYTES)
        return keepalive(s, item);
    return malformed(s, n);
}

enum wf_rc wf_source_settle(struct wf_source *s, const struct wf_checkpoint *kept,
                            struct wf_err *err)
{
    const struct wf_slot_env env = wf_source_slot_env(s);
    enum wf_rc rc = wf_slot_settle(&env, &s->server, &s->slot, kept, &s->cp, err);

    /* The slot may be lost again without our knowledge, and its new reader ahead of what we saw of
     * the server: a look of after that decides. */
    if (rc == WF_FATAL && kept->lsn > s->slot.wal_lsn && kept->lsn != s->doubted_lsn) {
        s->doubted_lsn = kept->lsn;
        return err->rc = WF_RETRY;
    }
    if (rc == WF_OK)
        wf_log(WF_LOG_INFO, "settled", NULL, "the checkpoint stands at %s, the slot at %s",
               wf_lsn_text(s->cp.lsn).s, wf_lsn_text(s->slot.confirmed_lsn).s);
    return rc;
}

void wf_source_ack(struct wf_source *s, uint64_t lsn)
{
    if (lsn > s->received_lsn) /* the server believes anything: a position past the end is loss */
        lsn = s->received_lsn;
    if (lsn <= s->acked_lsn)
        return;
    s->acked_lsn = lsn;
    if (s->state == WF_SOURCE_STREAMING)
        send_status(s);
}

void wf_source_pause(struct wf_source *s, bool pause)
{
    s->paused = pause;
    if (s->state == WF_SOURCE_STREAMING)
        watch_socket(s);
}

void wf_source_reconnect(struct wf_source *s, int64_t after_ms, const char *why)
{
    if (s->state != WF_SOURCE_STREAMING)
        return;
    wf_log(WF_LOG_WARN, "disconnecting", NULL, "%s", why);
    disconnect(s);
    s->state = WF_SOURCE_WAITING;
    s->backoff_ms = 0;
    attempt_later(s, after_ms);
}

void wf_source_fall_back(struct wf_source *s, const struct wf_err *why)
{
    wf_log(WF_LOG_WARN, why->code, NULL, "%s", why->text);
    wf_source_reconnect(s, s->variant++ ? s->conf->reconnect_max_ms : 0, /* it should be the last */
                        "connecting again for another form of the values");
}

void wf_source_set_read_lsn(struct wf_source *s, uint64_t lsn)
{
    s->read_lsn = lsn;
}

/* ---- life ----------------------------------------------------------------------------------- */

enum wf_rc wf_source_open(struct wf_source **out, const struct wf_source_conf *conf,
                          const struct wf_source_env *env, struct wf_err *err)
{
    struct wf_source *s = calloc(1, sizeof(*s));

    if (!s)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    s->conf = conf;
    s->env = *env;
    s->worker = wf_worker_new(env->loop, "wf-connect", err);
    if (!s->worker) {
        free(s);
        return WF_FATAL;
    }
    s->promotion =
        (struct wf_promotion){.loop = env->loop, .worker = s->worker, .cancel = &s->cancel};
    begin_attempt(s);
    *out = s;
    return WF_OK;
}

void wf_source_close(struct wf_source *s)
{
    if (!s)
        return;
    atomic_store(&s->cancel, true);
    wf_loop_timer_off(s->env.loop, &s->connect_timer);
    disconnect(s);
    wf_worker_free(s->worker);
    if (s->attempt.job.queued) /* finished after its last look at the loop */
        wf_source_drop_attempt(s);
    wf_promotion_deinit(&s->promotion);
    free(s);
}

enum wf_source_state wf_source_state(const struct wf_source *s)
{
    return s->state;
}

int wf_source_variant(const struct wf_source *s)
{
    return s->variant;
}

const struct wf_server *wf_source_server(const struct wf_source *s)
{
    return &s->server;
}

const struct wf_checkpoint *wf_source_start_point(const struct wf_source *s)
{
    return &s->cp;
}
