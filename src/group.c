#include "group.h"

#include <stdlib.h>
#include <string.h>

#include "lsn.h"
#include "mutant.h"

#define HASH_SEED UINT64_C(0x9e3779b97f4a7c15)
#define HASH_FACTOR UINT64_C(0xff51afd7ed558ccd)

struct wf_group {
    struct wf_group_env env;
    struct wf_group_limits limits;
    struct wf_checkpoint last; /* the sink holds it */
    struct wf_checkpoint next; /* of the commit under way */
    uint64_t next_events;
    bool committing;
    uint64_t last_us; /* when the last commit was done */

    /* published since the last commit began */
    uint64_t events, bytes;
    uint64_t since_us; /* the first turn that saw them; 0 = none has */

    struct wf_split done;   /* of the open source transaction; final_lsn 0 = none is open */
    struct wf_split resume; /* what the checkpoint says is published of the first one to come */
};

struct wf_group *wf_group_new(const struct wf_group_env *env, const struct wf_group_limits *limits)
{
    struct wf_group *g = calloc(1, sizeof(*g));

    if (g) {
        g->env = *env;
        g->limits = *limits;
    }
    return g;
}

void wf_group_free(struct wf_group *g)
{
    free(g);
}

void wf_group_start(struct wf_group *g, const struct wf_checkpoint *cp, uint64_t now_us)
{
    g->last = *cp;
    g->resume = cp->split;
    g->done = (struct wf_split){0};
    g->committing = false;
    g->events = g->bytes = g->since_us = 0;
    g->last_us = now_us;
}

/* ---- the open source transaction ---- */

static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * HASH_FACTOR;
    return h ^ h >> 32;
}

static uint64_t mix_bytes(uint64_t h, const char *s, size_t n)
{
    uint64_t word;

    h = mix(h, n);
    for (; n >= sizeof(word); s += sizeof(word), n -= sizeof(word)) {
        memcpy(&word, s, sizeof(word));
        h = mix(h, word);
    }
    word = 0;
    memcpy(&word, s, n);
    return mix(h, word);
}

/* Operation, relation and key: what tells one change of a transaction from another. */
static uint64_t mix_change(const struct wf_group *g, uint64_t h, const struct wf_change *c)
{
    const struct wf_col *row = c->new_row ? c->new_row : c->old_row;
    bool dead = c->kind == WF_CHANGE_DEAD;
    enum wf_change_kind kind = dead ? c->dead.was : c->kind;
    const struct wf_relation *rel = dead ? c->dead.rel : c->rel;

    h = mix(h, (uint64_t)kind);
    if (kind == WF_CHANGE_MESSAGE)
        return mix_bytes(h, c->message.content, c->message.len);
    if (kind == WF_CHANGE_TRUNCATE)
        return mix(h, c->truncate.nrels);
    h = mix(h, rel->oid);
    for (uint16_t i = 0; g->env.hash_values && row && i < rel->ncols; i++) {
        if (rel->cols[i].key && row[i].kind == WF_COL_TEXT)
            h = mix_bytes(h, row[i].data, row[i].len);
    }
    return h;
}

static enum wf_rc refuse_split(const struct wf_group *g, const char *why, struct wf_err *err)
{
    return wf_err_refuse(err, "split_differs",
                         "%llu changes of the transaction that commits at %s are published "
                         "already, and %s: what follows could be doubled or lost; hint: were "
                         "source.tables, the publication or source.decoder changed? Take the "
                         "change back, or decide with `walferry checkpoint set`",
                         (unsigned long long)g->resume.changes, wf_lsn_text(g->resume.final_lsn).s,
                         why);
}

enum wf_rc wf_group_begin(struct wf_group *g, const struct wf_txn *txn, struct wf_err *err)
{
    if (g->resume.final_lsn && txn->final_lsn != g->resume.final_lsn)
        return refuse_split(g, "the server sends another transaction in its place", err);
    g->done = (struct wf_split){.final_lsn = txn->final_lsn, .hash = HASH_SEED};
    return WF_OK;
}

enum wf_rc wf_group_changed(struct wf_group *g, const struct wf_change *c, struct wf_err *err)
{
    if (!c->txn)
        return WF_OK;
    g->done.changes++;
    g->done.hash = mix_change(g, g->done.hash, c);
    if (__builtin_expect(!wf_group_muted(g) ||
                             g->done.changes < g->resume.changes + WF_MUTANT(split_one_more),
                         1))
        return WF_OK;
    if (g->done.hash != g->resume.hash)
        return refuse_split(g, "other changes came again", err);
    g->resume = (struct wf_split){0};
    return WF_OK;
}

enum wf_rc wf_group_end(struct wf_group *g, struct wf_err *err)
{
    if (wf_group_muted(g))
        return refuse_split(g, "fewer came again", err);
    g->done = (struct wf_split){0};
    return WF_OK;
}

bool wf_group_muted(const struct wf_group *g)
{
    return g->resume.final_lsn && g->resume.final_lsn == g->done.final_lsn;
}

/* ---- the group ---- */

void wf_group_took(struct wf_group *g, size_t bytes)
{
    g->events++;
    g->bytes += bytes;
}

/* Many small transactions end a group where one of them ends; a big one is cut only when it is too
 * big for any group. */
bool wf_group_full(const struct wf_group *g)
{
    if (g->done.final_lsn)
        return g->events >= g->limits.split_events || g->bytes >= g->limits.split_bytes;
    return g->events >= g->limits.events || g->bytes >= g->limits.bytes;
}

static struct wf_split split_now(const struct wf_group *g)
{
    if (g->resume.final_lsn &&
        !WF_MUTANT(
            split_forgotten)) /* still to come, or coming: what is published of it stays so */
        return g->resume;
    return g->done.changes ? g->done : (struct wf_split){0};
}

/* Inside a source transaction: only to split it. */
static uint64_t due_us(const struct wf_group *g, enum wf_group_wish wish, bool between)
{
    bool open = wf_delivery_open_txn(g->env.delivery);

    if (open && !between && !WF_MUTANT(split_in_change))
        return 0;
    if (g->events) {
        if (wf_group_full(g) || (wish != WF_GROUP_GO_ON && !open) ||
            (wish == WF_GROUP_FINISH && !(g->limits.never_split && g->done.changes)))
            return 1;
        return g->since_us + (open ? g->limits.split_us : g->limits.interval_us);
    }
    if (wf_delivery_read_lsn(g->env.delivery) <= g->last.lsn)
        return 0;
    return wish == WF_GROUP_GO_ON ? g->last_us + g->limits.idle_us : 1;
}

static enum wf_rc commit(struct wf_group *g, struct wf_sink *sink, struct wf_err *err)
{
    enum wf_rc rc;

    if (g->limits.never_split && g->done.changes && g->events)
        return wf_err_set(err, WF_REJECT, "transaction_too_large",
                          "the transaction that commits at %s does not fit one transaction of the "
                          "sink; hint: raise sink.transaction_timeout, or sink.split: auto",
                          wf_lsn_text(g->done.final_lsn).s);
    g->next = g->last;
    g->next.state = WF_CHECKPOINT_ACTIVE;
    g->next.lsn = wf_delivery_read_lsn(g->env.delivery);
    g->next.split = split_now(g);
    if (WF_MUTANT(ack_txn_end) && g->next.split.final_lsn)
        g->next.lsn = g->next.split.final_lsn + 1;
    rc = g->env.keeper->commit(sink, &g->next, g->events, err);
    if (rc != WF_OK)
        return rc;
    g->committing = true;
    if (WF_MUTANT(ack_early))
        wf_progress_committed(g->env.progress, &g->next);
    g->next_events = g->events;
    g->events = g->bytes = g->since_us = 0;
    return WF_OK;
}

static enum wf_rc committed(struct wf_group *g, struct wf_sink *sink, uint64_t now_us,
                            struct wf_err *err)
{
    bool renew = false;
    enum wf_rc rc = g->env.keeper->committed(sink, &renew, err);

    if (rc != WF_OK)
        return rc;
    g->committing = false;
    g->last = g->next;
    g->last_us = now_us;
    wf_delivery_acked_oldest(g->env.delivery, g->next_events);
    wf_progress_committed(g->env.progress, &g->last);
    if (renew)
        return wf_err_set(err, WF_RETRY, "sink_renewed",
                          "the sink's answer was late: it may still have a request on its way, so "
                          "it starts anew");
    return WF_OK;
}

enum wf_rc wf_group_turn(struct wf_group *g, struct wf_sink *sink, uint64_t now_us,
                         enum wf_group_wish wish, bool between, uint64_t *wait_us,
                         struct wf_err *err)
{
    uint64_t due;
    enum wf_rc rc = g->committing ? committed(g, sink, now_us, err) : WF_OK;

    *wait_us = 0;
    if (rc != WF_OK)
        return rc == WF_AGAIN ? WF_OK : rc;
    if (g->events && !g->since_us)
        g->since_us = now_us;
    due = due_us(g, wish, between);
    if (due > now_us)
        *wait_us = due - now_us;
    rc = due && due <= now_us ? commit(g, sink, err) : WF_OK;
    return rc == WF_AGAIN ? WF_OK : rc;
}
