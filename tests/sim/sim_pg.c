/* PostgreSQL: a WAL, one slot, walsenders; libpq as source.c and slot.c see it. */
#include <endian.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsn.h"
#include "pg.h"
#include "sim.h"
#include "sim_msg.h"

#define CONNS 48
#define ACKS 16
#define COLUMNS 13
#define IDLE_BYTES_US 20000 /* other databases write a byte of WAL that often */
#define KEEPALIVE_US 1000000

struct ack {
    uint64_t due_us, lsn;
};

struct pg_conn {
    bool used, client, server, streaming, ended;
    int pid;
    struct sim_daemon *owner;
    unsigned item, part; /* what is sent next */
    uint64_t sent_lsn, keepalive_us, gone_us;
    /* until then the client does not notice that it broke, and reads what it has received */
    uint64_t silent_us, cut_us;
    unsigned received;
    struct ack acks[ACKS];
    unsigned nacks;
    char buf[64];
    /* the one result there is at a time */
    char value[COLUMNS][40];
    bool null[COLUMNS];
    bool rows;
};

struct sim_pg sim_pg;
static struct pg_conn conns[CONNS];
static unsigned nconns; /* those behind were never used */
static int next_pid;

void sim_pg_reset(void)
{
    memset(conns, 0, nconns * sizeof(conns[0]));
    nconns = 0;
    next_pid = 1000;
}

static struct pg_conn *conn_of(const PGconn *c)
{
    return (struct pg_conn *)(void *)(uintptr_t)c;
}

/* ---- WAL ---- */

uint64_t sim_pg_last_end(void)
{
    return sim_pg.nitems ? sim_pg.item[sim_pg.nitems - 1].end_lsn : sim_pg.start_lsn;
}

static bool is_visible(unsigned i)
{
    return i < sim_pg.nitems && sim_pg.item[i].at_us <= sim.now_us;
}

/* Up to where everything is written; other databases fill the time between two commits. */
uint64_t sim_pg_wal_end(void)
{
    uint64_t end = sim_pg.start_lsn, since = 0, grown;
    unsigned i = 0;

    for (; is_visible(i); i++) {
        end = sim_pg.item[i].end_lsn;
        since = sim_pg.item[i].at_us;
    }
    grown = end + (sim.now_us - since) / IDLE_BYTES_US;
    return i < sim_pg.nitems && grown > sim_pg.item[i].final_lsn ? sim_pg.item[i].final_lsn : grown;
}

uint32_t sim_pg_events_before(uint64_t lsn)
{
    unsigned i = 0;

    while (i < sim_pg.nitems && sim_pg.item[i].final_lsn < lsn)
        i++;
    return i < sim_pg.nitems ? sim_pg.item[i].first_event : sim_pg.nevents;
}

uint64_t sim_pg_end_of(uint32_t event)
{
    unsigned i = sim_pg.nitems;

    while (i > 0 && sim_pg.item[i - 1].first_event > event)
        i--;
    return i > 0 ? sim_pg.item[i - 1].end_lsn : 0;
}

/* ---- the server's side of a connection ---- */

static void confirm(uint64_t lsn)
{
    if (lsn <= sim_pg.slot.confirmed && !sim.old_slot)
        return;
    sim_trace("slot confirmed at %s", wf_lsn_text(lsn).s);
    sim_pg.slot.confirmed = lsn;
    if (!sim.vandal && !sim_kafka_has(sim_pg_events_before(lsn)))
        sim_bad("S2: the slot stands at %s, and not all before it is delivered",
                wf_lsn_text(lsn).s);
}

static void take_acks(struct pg_conn *c)
{
    while (c->nacks && c->acks[0].due_us <= sim.now_us) {
        if (sim_pg.slot.holder == c->pid)
            confirm(c->acks[0].lsn);
        memmove(c->acks, c->acks + 1, --c->nacks * sizeof(c->acks[0]));
    }
}

static void end_server(struct pg_conn *c)
{
    c->server = false;
    c->nacks = 0;
    if (sim_pg.slot.holder == c->pid)
        sim_pg.slot.holder = 0;
}

static void forget(struct pg_conn *c)
{
    if (!c->client && !c->server)
        c->used = false;
}

uint64_t sim_pg_due(void)
{
    uint64_t due = sim_pg.sync_us;

    for (unsigned i = 0; i < nconns; i++) {
        const struct pg_conn *c = &conns[i];

        if (!c->used || !c->server)
            continue;
        if (c->nacks && c->acks[0].due_us < due)
            due = c->acks[0].due_us;
        if (!c->client && c->gone_us < due)
            due = c->gone_us;
    }
    return due;
}

void sim_pg_step(void)
{
    if (sim_pg.sync_us <= sim.now_us) {
        sim_pg.slot.on_disk = sim_pg.slot.confirmed;
        sim_pg.sync_us = sim.now_us + 100000 + sim_below(1500000);
    }
    for (unsigned i = 0; i < nconns; i++) {
        struct pg_conn *c = &conns[i];

        if (!c->used || !c->server)
            continue;
        take_acks(c);
        if (!c->client && c->gone_us <= sim.now_us)
            end_server(c);
        forget(c);
    }
}

void sim_pg_crash(uint64_t down_us)
{
    sim_trace("PostgreSQL crashes; slot %s falls back to %s", wf_lsn_text(sim_pg.slot.confirmed).s,
              wf_lsn_text(sim_pg.slot.on_disk).s);
    for (unsigned i = 0; i < nconns; i++) {
        if (conns[i].used) {
            end_server(&conns[i]);
            sim_wake(conns[i].owner);
            forget(&conns[i]);
        }
    }
    sim_pg.slot.confirmed = sim_pg.slot.on_disk;
    sim_pg.down_until_us = sim.now_us + down_us;
}

/* The network between: the client sees it at once, the server later, or the other way round. */
void sim_pg_cut(void)
{
    for (unsigned i = 0; i < nconns; i++) {
        struct pg_conn *c = &conns[i];

        if (!c->used || !c->client || !c->server)
            continue;
        sim_trace("connection %d is cut", c->pid);
        if (sim_one_in(2)) {
            end_server(c);
            c->cut_us = sim.now_us;
            c->silent_us = sim_one_in(2) ? sim.now_us + sim_below(6000000) : 0;
            c->received = sim_below(60);
        } else {
            c->ended = true;
            c->nacks = sim_one_in(2) ? c->nacks : 0;
        }
        sim_wake(c->owner);
    }
}

static void leave(struct pg_conn *c, uint64_t notice_us)
{
    c->client = false;
    c->gone_us = sim.now_us + notice_us;
    if (c->nacks && c->acks[c->nacks - 1].due_us > c->gone_us)
        c->gone_us = c->acks[c->nacks - 1].due_us; /* what was sent is read first */
    forget(c);
}

void sim_pg_killed(struct sim_daemon *d)
{
    for (unsigned i = 0; i < nconns; i++) {
        if (conns[i].used && conns[i].owner == d && conns[i].client)
            leave(&conns[i], sim_delay(3000000));
    }
}

/* ---- libpq: connecting and asking ---- */

static bool is_broken(struct pg_conn *c)
{
    return (!c->server || c->ended) && c->silent_us <= sim.now_us;
}

static bool is_silent(const struct pg_conn *c)
{
    return !c->server && c->silent_us > sim.now_us;
}

enum wf_rc wf_pg_connect(const struct wf_source_conf *conf, enum wf_pg_kind kind, wf_cancel *cancel,
                         PGconn **out, struct wf_err *err)
{
    unsigned i = 0;

    (void)conf, (void)kind, (void)cancel;
    if (!err) /* who holds up the slot: for the log only */
        return WF_RETRY;
    sim_yield(sim_delay(20000));
    if (sim_pg.down_until_us > sim.now_us)
        return wf_err_set(err, WF_RETRY, "connect", "connection refused");
    while (i < nconns && conns[i].used)
        i++;
    if (i == CONNS) {
        sim_bad("too many connections are open");
        return wf_err_set(err, WF_RETRY, "connect", "too many connections");
    }
    nconns += i == nconns;
    conns[i] = (struct pg_conn){
        .used = true, .client = true, .server = true, .pid = ++next_pid, .owner = sim_self()};
    *out = (PGconn *)(void *)&conns[i];
    return WF_OK;
}

enum wf_rc wf_pg_connect_beside(const struct wf_source_conf *conf, PGconn *beside,
                                wf_cancel *cancel, PGconn **out, struct wf_err *err)
{
    (void)beside;
    return wf_pg_connect(conf, WF_PG_SQL, cancel, out, err);
}

char *PQhost(const PGconn *conn)
{
    static char host[] = "sim";

    (void)conn;
    return host;
}

static void set(struct pg_conn *c, unsigned col, const char *text)
{
    snprintf(c->value[col], sizeof(c->value[col]), "%s", text ? text : "");
    c->null[col] = !text;
}

static void answer_slot(struct pg_conn *c)
{
    char pid[16];

    for (unsigned i = 0; i < COLUMNS; i++)
        set(c, i, NULL);
    set(c, 10, wf_lsn_text(sim_pg_wal_end()).s);
    set(c, 11, "1");
    set(c, 12, "f");
    if (!sim_pg.slot.exists)
        return;
    snprintf(pid, sizeof(pid), "%d", sim_pg.slot.holder);
    set(c, 0, "pgoutput");
    set(c, 1, "logical");
    set(c, 2, "db");
    set(c, 3, wf_lsn_text(sim_pg.slot.confirmed).s);
    set(c, 4, sim_pg.slot.holder ? pid : NULL);
    set(c, 5, "reserved");
}

static enum wf_rc begin_stream(struct pg_conn *c, const char *sql, struct wf_err *err)
{
    const char *text = strstr(sql, " LOGICAL ");
    char point[32];
    uint64_t lsn = 0;

    snprintf(point, sizeof(point), "%.*s", (int)strcspn(text + 9, " "), text + 9);
    wf_lsn_parse(point, &lsn, NULL);
    if (!sim_pg.slot.exists)
        return wf_err_set(err, WF_RETRY, "sqlstate_42704", "the slot does not exist");
    if (sim_pg.slot.holder)
        return wf_err_set(err, WF_RETRY, "sqlstate_55006", "the slot is active for PID %d",
                          sim_pg.slot.holder);
    sim_pg.slot.holder = c->pid;
    if (lsn < sim_pg.slot.confirmed)
        lsn = sim_pg.slot.confirmed;
    c->streaming = true;
    while (c->item < sim_pg.nitems && sim_pg.item[c->item].final_lsn < lsn)
        c->item++;
    c->sent_lsn = lsn;
    c->keepalive_us = sim.now_us + sim_below(KEEPALIVE_US);
    sim_trace("%d reads the slot from %s", c->pid, wf_lsn_text(lsn).s);
    return WF_OK;
}

enum wf_rc wf_pg_query(PGconn *conn, const char *sql, wf_cancel *cancel, PGresult **out,
                       struct wf_err *err)
{
    struct pg_conn *c = conn_of(conn);

    (void)cancel;
    sim_yield(sim_delay(10000));
    if (is_broken(c) || is_silent(c))
        return wf_err_set(err, WF_RETRY, "connection", "the connection is broken");
    c->rows = true;
    *out = (PGresult *)(void *)c;
    if (strncmp(sql, "SELECT plugin", 13) == 0) {
        answer_slot(c);
    } else if (strncmp(sql, "IDENTIFY", 8) == 0) {
        set(c, 0, "7000000000000000001");
        set(c, 1, "1");
        set(c, 3, "db");
    } else if (strstr(sql, "wal_level")) {
        set(c, 0, "logical");
        set(c, 1, "60000");
        set(c, 2, "f");
        set(c, 3, "1");
    } else if (strncmp(sql, "CREATE_REPL", 11) == 0) {
        if (sim_pg.slot.exists)
            return wf_err_set(err, WF_RETRY, "sqlstate_42710", "the slot exists already");
        sim_pg.slot.exists = true;
        sim_pg.slot.confirmed = sim_pg.slot.on_disk = sim_pg_wal_end();
        sim_kafka_skip(sim_pg_events_before(sim_pg.slot.confirmed));
        set(c, 1, wf_lsn_text(sim_pg.slot.confirmed).s);
        sim_trace("slot created at %s", wf_lsn_text(sim_pg.slot.confirmed).s);
    } else if (strncmp(sql, "START_REPL", 10) == 0) {
        return begin_stream(c, sql, err);
    }
    return WF_OK;
}

bool wf_pg_raw_text(PGconn *conn)
{
    (void)conn;
    return false;
}

bool wf_pg_is(const struct wf_err *err, const char *sqlstate)
{
    return strncmp(err->code, "sqlstate_", 9) == 0 && strcmp(err->code + 9, sqlstate) == 0;
}

const char *wf_pg_value(const PGresult *res, int row, int col)
{
    const struct pg_conn *c = (const void *)res;

    (void)row;
    return c->null[col] ? NULL : c->value[col];
}

static enum wf_rc quote(const char *text, char **quoted)
{
    *quoted = (char *)(uintptr_t)text;
    return WF_OK;
}

enum wf_rc wf_pg_literal(PGconn *conn, const char *text, char **quoted, struct wf_err *err)
{
    (void)conn, (void)err;
    return quote(text, quoted);
}

enum wf_rc wf_pg_ident(PGconn *conn, const char *name, char **quoted, struct wf_err *err)
{
    (void)conn, (void)err;
    return quote(name, quoted);
}

/* ---- libpq: the stream ---- */

static void put64(char *out, uint64_t v)
{
    v = htobe64(v);
    memcpy(out, &v, sizeof(v));
}

static int send_message(struct pg_conn *c, char kind, uint64_t lsn)
{
    struct sim_msg m = {kind, c->item, c->part};

    c->buf[0] = 'w';
    put64(c->buf + 1, lsn);
    memcpy(c->buf + 25, &m, sizeof(m));
    return 25 + (int)sizeof(m);
}

static int send_keepalive(struct pg_conn *c, uint64_t lsn)
{
    if (lsn > c->sent_lsn)
        c->sent_lsn = lsn;
    c->keepalive_us = sim.now_us + 1 + sim_below(KEEPALIVE_US);
    c->buf[0] = 'k';
    put64(c->buf + 1, c->sent_lsn);
    c->buf[17] = (char)sim_one_in(3);
    return 18;
}

/* What the server has sent and we have not read; 0 = it is still on its way. */
static int next_message(struct pg_conn *c)
{
    const struct sim_item *item = &sim_pg.item[c->item];
    char kind;
    int n;

    if (!is_visible(c->item))
        return c->keepalive_us <= sim.now_us ? send_keepalive(c, sim_pg_wal_end()) : 0;
    if (sim_one_in(8)) /* inside a transaction too: up to what was decoded before it */
        return send_keepalive(c, c->part || sim_one_in(2) ? c->sent_lsn : item->final_lsn);
    if (item->alone) {
        kind = SIM_MSG_ALONE;
    } else if (c->part == 0) {
        kind = SIM_MSG_BEGIN;
    } else if (c->part <= item->changes) {
        if (sim_one_in(8))
            return send_message(c, SIM_MSG_RELATION, 0);
        kind = SIM_MSG_CHANGE;
    } else {
        kind = SIM_MSG_COMMIT;
    }
    if (kind == SIM_MSG_ALONE || kind == SIM_MSG_COMMIT) {
        n = send_message(c, kind, item->alone ? item->final_lsn : item->end_lsn);
        c->sent_lsn = item->end_lsn;
        c->item++;
        c->part = 0;
    } else {
        n = send_message(c, kind, item->first_lsn);
        c->part++;
    }
    return n;
}

static bool has_received(struct pg_conn *c)
{
    return c->item < sim_pg.nitems && sim_pg.item[c->item].at_us <= c->cut_us && c->received &&
           c->received--;
}

int PQgetCopyData(PGconn *conn, char **buffer, int async)
{
    struct pg_conn *c = conn_of(conn);
    int n;

    (void)async;
    if (is_broken(c))
        return sim_one_in(2) ? -1 : -2;
    if (sim_one_in(sim.weather.short_read) || (is_silent(c) && !has_received(c)))
        n = 0;
    else
        n = next_message(c);
    if (n > 0)
        *buffer = c->buf;
    return n;
}

/* When the socket has something next: it wakes the loop that watches it. */
static uint64_t arrival(const struct pg_conn *c)
{
    uint64_t due = c->keepalive_us;

    if (c->item < sim_pg.nitems && sim_pg.item[c->item].at_us < due)
        due = sim_pg.item[c->item].at_us;
    return due > sim.now_us ? due : sim.now_us + 100 + sim_below(400);
}

uint64_t sim_pg_arrival(struct sim_daemon *d)
{
    for (unsigned i = 0; i < nconns; i++) {
        if (conns[i].used && conns[i].owner == d && conns[i].client && conns[i].streaming)
            return arrival(&conns[i]);
    }
    return SIM_NEVER;
}

static uint64_t get64(const char *in)
{
    uint64_t v;

    memcpy(&v, in, sizeof(v));
    return be64toh(v);
}

/* A position past what is durable must not even be sent. */
static void check_ack(uint64_t lsn)
{
    uint64_t durable = sim.eos ? sim_kafka_kept_lsn() : sim_disk_durable_lsn(sim_self()->dir);

    if (lsn > durable && lsn > sim_pg.start_lsn)
        sim_bad("I7: %s is acknowledged, the checkpoint stands at %s", wf_lsn_text(lsn).s,
                wf_lsn_text(durable).s);
}

int PQputCopyData(PGconn *conn, const char *buffer, int n)
{
    struct pg_conn *c = conn_of(conn);
    uint64_t flush = get64(buffer + 9), due = sim.now_us + sim_delay(200000);

    (void)n;
    if (is_broken(c))
        return -1;
    if (!flush)
        return 1;
    check_ack(flush);
    if (is_silent(c))
        return 1;
    if (c->nacks && due < c->acks[c->nacks - 1].due_us)
        due = c->acks[c->nacks - 1].due_us;
    if (c->nacks == ACKS)
        c->nacks--; /* they only grow */
    c->acks[c->nacks++] = (struct ack){due, flush};
    return 1;
}

/* ---- libpq: the rest ---- */

void PQfinish(PGconn *conn)
{
    if (conn)
        leave(conn_of(conn), sim_delay(300000));
}

int PQbackendPID(const PGconn *conn)
{
    return conn_of(conn)->pid;
}

int PQserverVersion(const PGconn *conn)
{
    (void)conn;
    return 150000;
}

int PQntuples(const PGresult *res)
{
    return ((const struct pg_conn *)(const void *)res)->rows;
}

int PQgetisnull(const PGresult *res, int row, int col)
{
    (void)row;
    return ((const struct pg_conn *)(const void *)res)->null[col];
}

char *PQgetvalue(const PGresult *res, int row, int col)
{
    (void)row;
    return ((struct pg_conn *)(void *)(uintptr_t)res)->value[col];
}

const char *PQparameterStatus(const PGconn *conn, const char *name)
{
    (void)conn, (void)name;
    return "UTF8";
}

int PQsocket(const PGconn *conn)
{
    (void)conn;
    return 50;
}

int PQconsumeInput(PGconn *conn)
{
    (void)conn;
    return 1;
}

int PQflush(PGconn *conn)
{
    (void)conn;
    return 0;
}

int PQsetnonblocking(PGconn *conn, int arg)
{
    (void)conn, (void)arg;
    return 0;
}

PQnoticeReceiver PQsetNoticeReceiver(PGconn *conn, PQnoticeReceiver proc, void *arg)
{
    (void)conn, (void)proc, (void)arg;
    return NULL;
}

char *PQerrorMessage(const PGconn *conn)
{
    static char text[] = "the connection broke";

    (void)conn;
    return text;
}

PGresult *PQgetResult(PGconn *conn)
{
    (void)conn;
    return NULL;
}

char *PQresultErrorField(const PGresult *res, int field)
{
    (void)res, (void)field;
    return NULL;
}

void PQclear(PGresult *res)
{
    (void)res;
}

void PQfreemem(void *p)
{
    (void)p;
}
