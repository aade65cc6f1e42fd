#include "pipeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aside.h"
#include "checkpoint.h"
#include "delivery.h"
#include "encode.h"
#include "group.h"
#include "http.h"
#include "log.h"
#include "loop.h"
#include "lsn.h"
#include "mutant.h"
#include "plugins.h"
#include "progress.h"
#include "registry.h"
#include "shapes.h"
#include "source.h"
#include "tables.h"
#include "transform.h"
#include "trouble.h"
#include "worker.h"

#define IN_FLIGHT_MAX 32768 /* transactions between the source and the last confirmation */
#define ROUND_MESSAGES 2048 /* then the sink, the timers and the signals get their turn */
#define IDLE_WAIT_US 1000000
#define DRAIN_US 10000000
#define STATS_US 60000000
/* The walsender makes a socket message of every row and wakes its reader for each: a reader that
 * sleeps between rounds makes it twice as cheap. A Unix socket buffers about 270 rows, so a longer
 * sleep would stop the server. Measured, see docs/performance.md. */
#define PACE_MIN_US 200
#define PACE_MAX_US 500

struct wf_pipeline {
    const struct wf_config *config;
    struct wf_pipeline_options options;
    struct wf_loop *loop;
    struct wf_worker *worker;
    struct wf_checkpoint_store *store;
    struct wf_delivery *delivery;
    struct wf_source *source;
    const struct wf_decoder_ops *decoder_ops;
    struct wf_decoder *decoder;
    struct wf_http *http;
    struct wf_schema_ids *schema_ids;
    struct wf_registry *registry;
    struct wf_encoder *encoder;
    struct wf_shapes *shapes;
    struct wf_tables *tables;
    struct wf_aside *aside;
    const struct wf_sink_ops *sink_ops;
    struct wf_sink *sink; /* NULL while it waits to be opened again */
    struct wf_sink_env sink_env;
    struct wf_progress *progress;
    struct wf_group *group; /* exactly once; NULL: the sink confirms event by event */
    struct wf_keeper keeper;
    struct wf_timer group_timer;
    bool settled; /* the sink is open and says where to go on */

    /* the message in work: it stays until all its events are taken */
    struct wf_source_item item;
    struct wf_change change;
    struct wf_events events;
    uint32_t published; /* of events */
    enum { EMPTY, ASKED, DECODED, ENCODED, PUBLISHED } stage;
    bool again; /* the change only waits for its next turn */

    uint64_t tag;       /* of the open transaction */
    bool skipping;      /* the open transaction is at or before the start point */
    uint64_t start_lsn; /* where this connection was to start */
    int64_t now_us;     /* wall clock of this round */
    uint64_t rows;      /* messages of this round */
    uint64_t pace_us;
    bool urgent; /* the server asked for a reply */
    bool draining;
    bool paused; /* the source is not read: no room, or a failure */
    uint64_t paused_since_us;

    struct wf_trouble trouble;
    struct wf_timer stats_timer, heartbeat_timer;
    bool heartbeat_due;
    struct {
        uint64_t events, transactions, logged_events;
    } total;
};

/* ---- the whole product on one screen ---- */

static enum wf_rc commit_group(struct wf_pipeline *p, enum wf_group_wish wish, struct wf_err *err);
static bool heartbeat_is_due(const struct wf_pipeline *p);
static enum wf_rc take_heartbeat(struct wf_pipeline *p);
static enum wf_rc next_change(struct wf_pipeline *p, struct wf_err *err); /* source, decoder,
                                                                             transform */
static bool is_boundary(const struct wf_pipeline *p);
static enum wf_rc encode(struct wf_pipeline *p, struct wf_err *err);
static enum wf_rc take_boundary(struct wf_pipeline *p, struct wf_err *err);
static enum wf_rc publish(struct wf_pipeline *p, struct wf_err *err);
static enum wf_group_wish wish_of(const struct wf_pipeline *p);
static void set_paused(struct wf_pipeline *p, bool paused);

/* One turn: source -> decoder -> transform -> encoder -> sink. What cannot go on yet stays where
 * it is and the next turn takes it up: nothing is skipped, nothing overtakes. */
static enum wf_rc pipeline_turn(struct wf_pipeline *p, struct wf_err *err)
{
    enum wf_rc rc = WF_OK;

    if (p->group && p->settled && p->stage == EMPTY && wf_group_full(p->group))
        rc = commit_group(p, WF_GROUP_HURRY, err);
    if (rc == WF_OK && p->stage < DECODED)
        rc = heartbeat_is_due(p) ? take_heartbeat(p) : next_change(p, err);
    if (rc != WF_OK || p->stage < DECODED)
        return rc;
    if (is_boundary(p))
        return take_boundary(p, err);
    if (p->stage == DECODED)
        rc = encode(p, err);
    return rc == WF_OK ? publish(p, err) : rc;
}

/* Disk (or the sink's own checkpoint) first, then the slot, which frees that WAL. */
static enum wf_rc collect_confirmations(struct wf_pipeline *p, struct wf_err *err)
{
    enum wf_rc rc = WF_OK;

    if (p->sink)
        rc = p->sink_ops->poll(p->sink, err);
    if (rc == WF_OK && p->group && p->settled)
        rc = commit_group(p, wish_of(p), err);
    if (wf_source_state(p->source) != WF_SOURCE_STANDBY)
        wf_progress_turn(p->progress, p->urgent);
    p->urgent = false;
    wf_trouble_end(&p->trouble, wf_delivery_safe_lsn(p->delivery));
    return rc;
}

/* ---- its parts ---- */

static enum wf_framing framing_of(const struct wf_format_conf *format,
                                  const struct wf_sink_ops *sink)
{
    if (format->encoding == WF_ENC_JSON || sink->json_only)
        return WF_FRAME_JSON;
    return format->encoding == WF_ENC_SINGLE_OBJECT ? WF_FRAME_SINGLE_OBJECT : sink->framing;
}

/* A new connection: what was half received comes again, what is on its way to the sink goes on. */
static enum wf_rc take_connection(struct wf_pipeline *p, struct wf_err *err)
{
    const struct wf_server *server = wf_source_server(p->source);
    const struct wf_checkpoint *cp = wf_source_start_point(p->source);
    const struct wf_format_conf *format = &p->config->format;
    const struct wf_origin origin = {server->database, server->system_id, server->timeline,
                                     server->raw_text};
    uint64_t read_lsn = wf_delivery_read_lsn(p->delivery);
    enum wf_rc rc;

    wf_delivery_abandon(p->delivery);
    p->skipping = false;
    if (read_lsn < cp->lsn || p->group)
        wf_delivery_reset(p->delivery, cp->lsn);
    p->start_lsn = wf_delivery_read_lsn(p->delivery);
    if (p->shapes)
        wf_shapes_forget(p->shapes);
    wf_tables_forget(p->tables);
    p->decoder_ops->reset(p->decoder, p->start_lsn);
    if (p->decoder_ops->started)
        p->decoder_ops->started(p->decoder, wf_source_variant(p->source));
    wf_progress_start(p->progress, cp);
    if (p->encoder)
        rc = wf_encoder_origin(p->encoder, &origin, err);
    else
        rc =
            wf_encoder_new(&p->encoder, format, &p->config->source, framing_of(format, p->sink_ops),
                           wf_config_largest(p->config), &origin, err);
    if (rc == WF_OK && !p->shapes) {
        struct wf_shapes_env env = {p->config, p->worker, p->encoder, p->registry};

        p->shapes = wf_shapes_new(&env);
        if (!p->shapes)
            rc = wf_err_set(err, WF_FATAL, "memory", "out of memory");
    }
    return rc == WF_OK ? rc : (err->rc = WF_FATAL); /* without these there is no going on */
}

/* Between transactions, once the first connection has made the encoder; a standby has no sink. */
static bool heartbeat_is_due(const struct wf_pipeline *p)
{
    return p->heartbeat_due && p->sink && p->shapes && p->stage == EMPTY &&
           !wf_delivery_open_txn(p->delivery);
}

static enum wf_rc take_heartbeat(struct wf_pipeline *p)
{
    p->heartbeat_due = false;
    p->change =
        (struct wf_change){.kind = WF_CHANGE_HEARTBEAT, .lsn = wf_delivery_read_lsn(p->delivery)};
    p->stage = DECODED;
    return WF_OK;
}

static void beat(void *arg)
{
    struct wf_pipeline *p = arg;

    p->heartbeat_due = true;
    wf_loop_timer_set(p->loop, &p->heartbeat_timer, (uint64_t)p->config->format.heartbeat_ms * 1000,
                      beat, p);
}

/* The message stays until the decoder has its answer, and is decoded once more then. */
static __attribute__((noinline)) enum wf_rc answer_decoder(struct wf_pipeline *p,
                                                           struct wf_err *err)
{
    struct wf_table *table = NULL;
    enum wf_rc rc = wf_tables_look(p->tables, p->decoder_ops->asks(p->decoder), &table, err);

    if (rc != WF_OK)
        return rc;
    p->decoder_ops->tell(p->decoder, table);
    p->stage = EMPTY;
    return WF_OK;
}

static enum wf_rc next_change(struct wf_pipeline *p, struct wf_err *err)
{
    enum wf_rc rc = __builtin_expect(p->stage == ASKED, 0)
                        ? answer_decoder(p, err)
                        : wf_source_next(p->source, &p->item, err);

    if (rc != WF_OK)
        return rc;
    p->rows++;
    switch (p->item.event) {
    case WF_SOURCE_CONNECTED:
        return take_connection(p, err);
    case WF_SOURCE_BARRIER:
        wf_delivery_barrier(p->delivery, p->item.barrier_lsn);
        p->urgent |= p->item.reply_requested;
        return WF_OK;
    case WF_SOURCE_MESSAGE:
        break;
    }
    rc = p->decoder_ops->decode(p->decoder, &p->item.msg, &p->change, err);
    if (rc == WF_AGAIN) {
        if (p->decoder_ops->asks && p->decoder_ops->asks(p->decoder))
            p->stage = ASKED;
        return WF_OK;
    }
    if (rc != WF_OK)
        return rc;
    if (p->skipping && p->change.kind != WF_CHANGE_COMMIT)
        return WF_OK;
    if (!p->change.txn && p->change.lsn < p->start_lsn + WF_MUTANT(lone_lost))
        return WF_OK; /* a message outside transactions that is delivered already */
    if (__builtin_expect(!wf_transform_wants(p->config, &p->change), 0))
        return p->group ? wf_group_changed(p->group, &p->change, err) : WF_OK;
    p->stage = DECODED;
    return WF_OK;
}

/* A BEGIN, or a COMMIT whose events, if it has any, are out. */
static bool is_boundary(const struct wf_pipeline *p)
{
    if (__builtin_expect(p->change.kind > WF_CHANGE_COMMIT, 1))
        return false;
    return p->change.kind == WF_CHANGE_BEGIN || p->skipping || p->stage == PUBLISHED ||
           (p->stage == DECODED && !wf_encoder_ends(p->encoder));
}

static __attribute__((noinline)) enum wf_rc set_aside(struct wf_pipeline *p, struct wf_err *err)
{
    enum wf_rc rc = wf_aside_take(p->aside, &p->change, p->item.msg.data, p->item.msg.len, err);

    p->again = rc == WF_OK; /* in its new form, next turn */
    return rc == WF_OK ? WF_AGAIN : rc;
}

/* Shape first, then bytes. A value may show that the shape has changed meanwhile: the next turn, at
 * once, makes it anew. */
static inline enum wf_rc encode(struct wf_pipeline *p, struct wf_err *err)
{
    enum wf_rc rc = wf_shapes_ready(p->shapes, &p->change, p->sink_ops, p->sink, err);

    if (rc != WF_OK)
        return rc;
    rc = wf_encode(p->encoder, &p->change, p->now_us, &p->events, err);
    if (__builtin_expect(rc == WF_REJECT, 0)) /* it may go elsewhere, as the operator said */
        return set_aside(p, err);
    if (rc != WF_OK) {
        p->again = rc == WF_AGAIN;
        return rc;
    }
    p->stage = ENCODED;
    p->published = 0;
    return WF_OK;
}

/* After a crash of the server its slot may lie before our start point, and then transactions come
 * that are delivered already: they end at or before it. */
static enum wf_rc take_boundary(struct wf_pipeline *p, struct wf_err *err)
{
    enum wf_rc rc = WF_OK;

    if (p->change.kind == WF_CHANGE_BEGIN) {
        p->skipping = p->change.txn->final_lsn < p->start_lsn + WF_MUTANT(skip_one_more);
        p->skipping &= !WF_MUTANT(skip_nothing);
        if (!p->skipping)
            rc = wf_delivery_begin(p->delivery, &p->tag);
        if (rc == WF_OK && p->group && !p->skipping)
            rc = wf_group_begin(p->group, p->change.txn, err);
        wf_encoder_begin(p->encoder);
    } else if (p->skipping) {
        p->skipping = false;
    } else {
        wf_delivery_commit(p->delivery, p->change.txn->end_lsn);
        if (p->group)
            rc = wf_group_end(p->group, err);
        p->total.transactions++;
    }
    if (rc == WF_OK)
        p->stage = EMPTY;
    return rc;
}

/* What stands alone ends where it begins; a message's position is past once its first byte is. */
static uint64_t end_of_lone(const struct wf_change *c)
{
    return c->kind == WF_CHANGE_HEARTBEAT || WF_MUTANT(lone_again) ? c->lsn : c->lsn + 1;
}

/* A message outside transactions (pg_logical_emit_message) is a transaction of its own. */
static enum wf_rc publish(struct wf_pipeline *p, struct wf_err *err)
{
    bool alone = !p->change.txn;
    bool muted = p->group && !alone && wf_group_muted(p->group); /* published by an earlier life */
    enum wf_rc rc = WF_OK;

    if (alone && p->published == 0 && !wf_delivery_open_txn(p->delivery))
        rc = wf_delivery_begin(p->delivery, &p->tag);
    if (muted && !WF_MUTANT(resume_published))
        p->published = p->events.n;
    while (rc == WF_OK && p->published < p->events.n) {
        struct wf_event *ev = &p->events.ev[p->published];

        ev->tag = p->tag;
        rc = p->sink_ops->publish(p->sink, ev, err);
        if (rc == WF_OK) {
            wf_delivery_sent(p->delivery);
            p->published++;
            if (p->group)
                wf_group_took(p->group, ev->key_len + ev->value_len);
        }
    }
    if (rc != WF_OK)
        return rc;
    if (alone)
        wf_delivery_commit(p->delivery, end_of_lone(&p->change));
    if (p->group && p->change.kind != WF_CHANGE_COMMIT)
        rc = wf_group_changed(p->group, &p->change, err);
    if (!muted)
        p->total.events += p->events.n;
    p->stage = p->change.kind == WF_CHANGE_COMMIT ? PUBLISHED : EMPTY;
    return rc;
}

/* ---- exactly once ---- */

static enum wf_group_wish wish_of(const struct wf_pipeline *p)
{
    if (p->draining || wf_trouble_is_on(&p->trouble)) /* what stands before it need not wait */
        return WF_GROUP_FINISH;
    if (p->options.until_lsn && wf_delivery_read_lsn(p->delivery) >= p->options.until_lsn)
        return WF_GROUP_HURRY;
    return p->urgent ? WF_GROUP_HURRY : WF_GROUP_GO_ON;
}

static enum wf_rc commit_group(struct wf_pipeline *p, enum wf_group_wish wish, struct wf_err *err)
{
    bool between = p->stage != ENCODED || p->published == 0;
    uint64_t wait_us;
    enum wf_rc rc = wf_group_turn(p->group, p->sink, wf_mono_us(), wish, between, &wait_us, err);

    if (wait_us)
        wf_loop_timer_set(p->loop, &p->group_timer, wait_us, NULL, NULL);
    return rc;
}

/* The slot is ours, so the sink's checkpoint is the last word: nothing is read before it is. */
static enum wf_rc settle(struct wf_pipeline *p, struct wf_err *err)
{
    struct wf_checkpoint kept = {0};
    enum wf_rc rc = p->group ? p->sink_ops->keeper->recover(p->sink, &kept, err) : WF_OK;

    if (rc == WF_OK && p->group)
        rc = wf_source_settle(p->source, &kept, err);
    if (rc == WF_AGAIN) {
        set_paused(p, true); /* what the socket holds must not wake the loop meanwhile */
        return WF_OK;
    }
    if (rc != WF_OK)
        return rc;
    if (p->group) { /* a heartbeat may come before the stream's first item */
        const struct wf_checkpoint *cp = wf_source_start_point(p->source);

        wf_delivery_reset(p->delivery, cp->lsn);
        wf_group_start(p->group, cp, wf_mono_us());
    }
    p->settled = true;
    return WF_OK;
}

static enum wf_rc stored(void *arg, struct wf_checkpoint *cp, struct wf_err *err)
{
    const struct wf_pipeline *p = arg;

    return p->sink_ops->keeper->stored(p->config->sink, p->config->pipeline, cp, err);
}

static enum wf_rc open_group(struct wf_pipeline *p, struct wf_err *err)
{
    const struct wf_keeper_ops *ops = p->sink_ops->keeper;
    struct wf_group_env env = {p->delivery, p->progress, ops, !p->config->source.binary};
    struct wf_group_limits limits;

    if (!p->keeper.stored)
        return WF_OK;
    ops->limits(p->config->sink, &limits);
    p->group = wf_group_new(&env, &limits);
    return p->group ? WF_OK : wf_err_set(err, WF_FATAL, "memory", "out of memory");
}

/* ---- failures: never skip, never give up ---- */

static enum wf_rc open_sink(struct wf_pipeline *p, struct wf_err *err)
{
    enum wf_rc rc = p->sink_ops->open(&p->sink, p->config->sink, &p->sink_env, err);

    if (rc != WF_OK)
        p->sink = NULL;
    return rc == WF_OK ? rc : wf_err_wrap(err, "sink %s", p->sink_ops->name);
}

/* What the sink had not confirmed comes again: repeats, never a gap. Not what is confirmed and on
 * its way into the checkpoint: a repeat of that could end in the middle, with an older row last. */
static void close_sink(struct wf_pipeline *p)
{
    p->sink_ops->close(p->sink);
    p->sink = NULL;
    p->settled = false;
    if (p->encoder)
        wf_encoder_unready(p->encoder);
    if (WF_MUTANT(rewind_saved))
        wf_delivery_reset(p->delivery, wf_progress_saved_lsn(p->progress));
    else if (!WF_MUTANT(no_rewind))
        wf_delivery_reset(p->delivery, wf_delivery_safe_lsn(p->delivery));
    wf_source_set_read_lsn(p->source, wf_delivery_read_lsn(p->delivery));
    p->stage = EMPTY;
}

static void note_trouble(struct wf_pipeline *p, const struct wf_err *err)
{
    uint64_t over_lsn = wf_delivery_read_lsn(p->delivery);

    if (wf_delivery_open_txn(p->delivery) && p->change.txn)
        over_lsn = p->change.txn->final_lsn;
    wf_trouble_note(&p->trouble, p->loop, err, p->change.lsn, over_lsn);
}

/* ---- the loop ---- */

static void set_paused(struct wf_pipeline *p, bool paused)
{
    if (paused == p->paused)
        return;
    p->paused = paused;
    p->paused_since_us = wf_mono_us();
    wf_source_pause(p->source, paused);
}

static bool is_looking_up(const struct wf_pipeline *p)
{
    return p->shapes && wf_shapes_busy(p->shapes);
}

/* A walsender whose client stopped reading can be neither stopped nor invalidated: after a while
 * without progress the connection is worth less than the server's freedom. */
static void leave_when_stalled(struct wf_pipeline *p)
{
    uint64_t limit_us = (uint64_t)p->config->source.stall_limit_ms * 1000;

    if (p->rows && p->paused) /* full, but it moves */
        p->paused_since_us = wf_mono_us();
    if (!p->paused || wf_mono_us() - p->paused_since_us < limit_us ||
        wf_source_state(p->source) != WF_SOURCE_STREAMING || is_looking_up(p))
        return;
    p->stage = EMPTY;
    wf_delivery_abandon(p->delivery);
    wf_source_reconnect(p->source, p->config->source.reconnect_max_ms,
                        "no room downstream for source.stall_limit: the connection is closed, "
                        "the slot keeps the WAL");
    p->paused_since_us = wf_mono_us();
}

/* As many turns as there is input and room for. */
static enum wf_rc read_some(struct wf_pipeline *p, bool *from_sink, struct wf_err *err)
{
    bool busy = p->stage == EMPTY && is_looking_up(p); /* it outlived its change: decode nothing */
    enum wf_rc rc = busy ? WF_AGAIN : WF_OK;

    *from_sink = false;
    for (int n = 0; n < ROUND_MESSAGES && rc == WF_OK; n++)
        rc = pipeline_turn(p, err);
    wf_source_set_read_lsn(p->source, wf_delivery_read_lsn(p->delivery));
    if (rc == WF_OK)
        set_paused(p, false);
    else if (rc == WF_AGAIN)
        set_paused(p, p->stage != EMPTY || busy); /* else the source is dry, not we full */
    else
        *from_sink = p->stage == ENCODED;
    return rc == WF_AGAIN ? WF_OK : rc;
}

/* The slot is the lock: only who reads it touches the destination, a standby holds nothing. */
static enum wf_rc follow_lock(struct wf_pipeline *p, struct wf_err *err)
{
    enum wf_source_state state = wf_source_state(p->source);

    enum wf_rc rc = WF_OK;

    if (!p->sink && state == WF_SOURCE_STREAMING)
        rc = open_sink(p, err);
    else if (p->sink && state == WF_SOURCE_STANDBY)
        close_sink(p);
    return rc;
}

/* A value in binary form that the encoder cannot read: the transaction comes again as text. */
static bool falls_back(struct wf_pipeline *p, const struct wf_err *err)
{
    if (err->rc != WF_RETRY || strcmp(err->code, "binary_off") != 0)
        return false;
    p->stage = EMPTY;
    wf_delivery_abandon(p->delivery);
    wf_source_fall_back(p->source, err);
    return true;
}

static enum wf_rc round_of(struct wf_pipeline *p, bool reading, struct wf_err *err)
{
    bool may_try = wf_trouble_may_try(&p->trouble);
    bool from_sink = true;
    enum wf_rc rc = WF_OK;

    p->rows = 0;
    p->again = false;
    p->now_us = wf_wall_us();
    if (p->group && p->sink && wf_source_state(p->source) != WF_SOURCE_STREAMING &&
        !WF_MUTANT(keep_sink))
        close_sink(p); /* with the slot goes the right to publish: the next one begins anew */
    if (may_try)
        rc = follow_lock(p, err);
    if (rc == WF_OK && p->sink && (p->stage != EMPTY || !p->settled)) /* it may be waited for */
        rc = p->sink_ops->poll(p->sink, err);
    if (rc == WF_OK && p->sink && !p->settled && may_try)
        rc = settle(p, err);
    if (rc == WF_OK && p->group && p->settled && may_try)
        rc = commit_group(p, wish_of(p), err);
    if (rc == WF_OK && reading && may_try && (p->settled || !p->sink))
        rc = read_some(p, &from_sink, err);
    if (rc == WF_OK) {
        from_sink = true;
        rc = collect_confirmations(p, err);
    }
    if (rc == WF_OK || rc == WF_FATAL)
        return rc;
    if (falls_back(p, err))
        return WF_OK;
    note_trouble(p, err);
    set_paused(p, true);
    if (p->sink && from_sink) {
        close_sink(p);
        wf_source_reconnect(p->source, 0,
                            "the sink has to be opened again: going back to the checkpoint");
    }
    return WF_OK;
}

/* Longer sleeps as long as full rounds come in, none when the source is idle. */
static void pace(struct wf_pipeline *p)
{
    struct timespec t = {0};

    if (p->rows < 16) {
        p->pace_us = PACE_MIN_US;
        if (p->rows == 0)
            return;
    } else if (p->pace_us < PACE_MAX_US) {
        p->pace_us += 50;
    }
    if (p->rows >= ROUND_MESSAGES) /* behind: the socket was not empty */
        return;
    t.tv_nsec = (long)p->pace_us * 1000;
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static void tell_counts(const struct wf_pipeline *p, const char *code, const char *what)
{
    char fields[160];

    snprintf(fields, sizeof(fields),
             "events=%" PRIu64 " transactions=%" PRIu64 " in_flight=%" PRIu64 " lsn=%s",
             p->total.events, p->total.transactions, wf_delivery_in_flight(p->delivery),
             wf_lsn_text(wf_progress_saved_lsn(p->progress)).s);
    wf_log(WF_LOG_INFO, code, fields, "%s", what);
}

static void log_stats(void *arg)
{
    struct wf_pipeline *p = arg;

    wf_loop_timer_set(p->loop, &p->stats_timer, STATS_US, log_stats, p);
    if (p->total.events == p->total.logged_events)
        return;
    p->total.logged_events = p->total.events;
    tell_counts(p, "progress", "running");
}

static enum wf_rc drain(struct wf_pipeline *p, struct wf_err *err)
{
    uint64_t deadline = wf_mono_us() + DRAIN_US;
    enum wf_rc rc = WF_OK;

    p->draining = true;
    set_paused(p, true);
    if (p->sink && p->sink_ops->drain)
        p->sink_ops->drain(p->sink);
    while (rc == WF_OK && wf_mono_us() < deadline && p->sink &&
           (wf_delivery_in_flight(p->delivery) || !wf_progress_settled(p->progress))) {
        p->urgent = true;
        rc = round_of(p, false, err);
        if (rc == WF_OK)
            rc = wf_loop_turn(p->loop, 10000, err);
    }
    tell_counts(p, "stopped",
                wf_delivery_in_flight(p->delivery) || wf_trouble_is_on(&p->trouble)
                    ? "stopped; what was in flight comes again"
                    : "stopped; everything taken is delivered");
    return rc;
}

static bool is_through(const struct wf_pipeline *p)
{
    uint64_t until = p->options.until_lsn;

    if (!until || wf_progress_saved_lsn(p->progress) < until)
        return false;
    wf_log(WF_LOG_INFO, "until_reached", NULL, "everything before %s is delivered",
           wf_lsn_text(until).s);
    return true;
}

enum wf_rc wf_pipeline_run(struct wf_pipeline *p, volatile sig_atomic_t *stop, struct wf_err *err)
{
    enum wf_rc rc = WF_OK;

    wf_loop_timer_set(p->loop, &p->stats_timer, STATS_US, log_stats, p);
    if (p->config->format.heartbeat_ms)
        beat(p);
    while (rc == WF_OK && !*stop && !is_through(p)) {
        rc = wf_loop_turn(p->loop, p->rows || p->again ? 0 : IDLE_WAIT_US, err);
        if (rc == WF_OK)
            rc = round_of(p, true, err);
        leave_when_stalled(p);
        pace(p);
    }
    return rc == WF_OK ? drain(p, err) : rc;
}

/* ---- life ---- */

static enum wf_rc open_registry(struct wf_pipeline *p, struct wf_err *err)
{
    struct wf_registry_env env = {.conf = &p->config->format, .loop = p->loop};
    enum wf_rc rc = WF_OK;

    p->http = wf_http_new(p->loop, err);
    if (!p->http)
        return WF_FATAL;
    if (p->store)
        rc = wf_schema_ids_open(&p->schema_ids, p->config->state.dir, &p->config->format.registry,
                                p->worker, err);
    env.http = p->http;
    env.ids = p->schema_ids;
    return rc == WF_OK ? wf_registry_new(&p->registry, &env, err) : rc;
}

static enum wf_rc open_parts(struct wf_pipeline *p, struct wf_err *err)
{
    struct wf_source_env env = {
        .loop = p->loop, .accept = p->options.accept, .temporary = p->options.temporary};
    enum wf_rc rc = WF_OK;

    if (p->sink_ops->validate)
        rc = p->sink_ops->validate(p->config->sink, err);
    if (rc == WF_OK && !p->options.temporary)
        rc = wf_checkpoint_open(p->config->state.dir, &p->store, err);
    if (rc == WF_OK)
        rc = p->decoder_ops->open(&p->decoder, err);
    p->tables = wf_tables_new(&p->config->source, p->worker);
    p->aside = wf_aside_new(p->config, p->decoder_ops->name, p->worker);
    if (rc == WF_OK && (!p->tables || !p->aside))
        rc = wf_err_set(err, WF_FATAL, "memory", "out of memory");
    if (rc == WF_OK && p->config->format.registry.n && p->sink_ops->framing == WF_FRAME_CONFLUENT &&
        p->config->format.encoding == WF_ENC_AVRO) {
        rc = open_registry(p, err);
    }
    env.store = p->store;
    if (p->sink_ops->keeper && !p->options.temporary &&
        p->sink_ops->keeper->enabled(p->config->sink)) {
        p->keeper = (struct wf_keeper){stored, p};
        env.keeper = &p->keeper;
    }
    if (rc == WF_OK)
        rc = wf_source_open(&p->source, &p->config->source, &env, err);
    return rc;
}

enum wf_rc wf_pipeline_new(struct wf_pipeline **out, const struct wf_config *config,
                           const struct wf_pipeline_options *options, struct wf_err *err)
{
    struct wf_pipeline *p = calloc(1, sizeof(*p));
    struct wf_progress_env env;
    enum wf_rc rc;

    if (!p)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    p->config = config;
    p->options = *options;
    p->sink_ops = config->sink_ops;
    p->decoder_ops = wf_decoders[config->source.decoder];
    p->delivery = wf_delivery_new(IN_FLIGHT_MAX);
    p->loop = wf_loop_new(err);
    p->worker = p->loop ? wf_worker_new(p->loop, "wf-worker", err) : NULL;
    p->sink_env = (struct wf_sink_env){p->loop, p->worker, p->delivery, config->pipeline,
                                       options->temporary ? NULL : config->state.dir};
    if (!p->delivery)
        wf_err_set(err, WF_FATAL, "memory", "out of memory");
    rc = p->delivery && p->worker ? open_parts(p, err) : WF_FATAL;
    env = (struct wf_progress_env){p->loop,
                                   p->worker,
                                   p->store,
                                   p->delivery,
                                   p->source,
                                   (uint64_t)config->state.interval_ms * 1000,
                                   p->keeper.stored != NULL};
    p->progress = rc == WF_OK ? wf_progress_new(&env) : NULL;
    if (!p->progress || open_group(p, err) != WF_OK) {
        wf_pipeline_free(p);
        return rc == WF_OK ? wf_err_set(err, WF_FATAL, "memory", "out of memory") : rc;
    }
    *out = p;
    return WF_OK;
}

/* The sink is told first, so that a call of its ends soon; then the threads, for their jobs point
 * into the parts. */
void wf_pipeline_free(struct wf_pipeline *p)
{
    if (!p)
        return;
    if (p->group && p->sink)
        p->sink_ops->keeper->stop(p->sink);
    p->sink_env.worker = NULL;
    wf_worker_finish(p->worker);
    wf_source_close(p->source);
    p->sink_ops->close(p->sink);
    wf_shapes_free(p->shapes);
    wf_tables_free(p->tables);
    wf_aside_free(p->aside);
    wf_registry_free(p->registry);
    wf_schema_ids_close(p->schema_ids);
    wf_http_free(p->http);
    p->decoder_ops->close(p->decoder);
    wf_encoder_free(p->encoder);
    wf_group_free(p->group);
    wf_progress_free(p->progress);
    wf_checkpoint_close(p->store);
    wf_delivery_free(p->delivery);
    wf_loop_free(p->loop);
    free(p);
}
