#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failover.h"
#include "log.h"
#include "lsn.h"
#include "mutant.h"
#include "plugins.h"
#include "select.h"
#include "source_parts.h"

/* libpq reads at most what its buffer holds, and the buffer grows with the largest message seen:
 * one large answer before the stream makes 16 KiB reads into 256 KiB ones. */
#define PRIME_SQL "SELECT pg_catalog.repeat('x', 250000)"

static enum wf_rc start_error(const struct wf_source_conf *conf, struct wf_err *err)
{
    if (wf_pg_is(err, "55006")) {
        const char *pid = strstr(err->text, "PID ");

        return wf_slot_is_active(conf, pid ? (int)strtol(pid + 4, NULL, 10) : 0, err);
    }
    if (wf_pg_is(err, "42704") && strstr(err->text, "publication"))
        return wf_err_refuse(err, "publication_missing",
                             "the server cannot find publication \"%s\" at the slot's position; "
                             "hint: it must exist before the slot does; make it, make the "
                             "slot anew, take its position with `walferry checkpoint set FILE "
                             "slot`, and load the tables anew",
                             conf->publication);
    return wf_err_wrap(err, "starting to read slot \"%s\"", conf->slot);
}

static enum wf_rc start_variant(struct wf_source *s, PGconn *conn, const char *slot, uint64_t lsn,
                                const struct wf_start *start, struct wf_err *err)
{
    wf_autoresult PGresult *res = NULL;
    struct wf_buf sql;
    enum wf_rc rc;

    wf_buf_init(&sql, 1 << 20);
    wf_buf_printf(&sql, "START_REPLICATION SLOT %s LOGICAL %s (", slot, wf_lsn_text(lsn).s);
    wf_decoders[s->conf->decoder]->options(start, &sql);
    wf_buf_put(&sql, ")", 2);
    rc = sql.failed && wf_buf_starved() ? wf_err_set(err, WF_FATAL, "memory", "out of memory")
         : sql.failed ? wf_err_config(err, "source.tables is too long for the plugin's options")
                      : wf_pg_query(conn, (const char *)sql.data, &s->cancel, &res, err);
    wf_buf_deinit(&sql);
    return rc;
}

bool wf_source_falls_back(struct wf_source *s, const struct wf_start *start, const char *sqlstate)
{
    const struct wf_decoder_ops *ops = wf_decoders[s->conf->decoder];
    const struct wf_fallback *back = ops->falls_back ? ops->falls_back(start, sqlstate) : NULL;

    if (back)
        wf_log(WF_LOG_WARN, back->code, NULL, "%s", back->why);
    return back;
}

static enum wf_rc start_stream(struct wf_source *s, PGconn *conn, const char *slot, uint64_t lsn,
                               struct wf_err *err)
{
    wf_autoquoted char *slot_quoted = NULL, *ident = NULL, *names = NULL;
    struct wf_start start = {s->conf, PQserverVersion(conn), s->attempt.variant, NULL};
    enum wf_rc rc = wf_pg_ident(conn, slot, &slot_quoted, err);

    if (rc == WF_OK)
        rc = wf_pg_ident(conn, s->conf->publication, &ident, err);
    if (rc == WF_OK)
        rc = wf_pg_literal(conn, ident, &names, err);
    if (rc != WF_OK)
        return rc;
    start.publication = names;
    rc = start_variant(s, conn, slot_quoted, lsn, &start, err);
    while (rc != WF_OK && strncmp(err->code, "sqlstate_", 9) == 0 &&
           wf_source_falls_back(s, &start, err->code + 9)) {
        s->attempt.variant = ++start.variant;
        rc = start_variant(s, conn, slot_quoted, lsn, &start, err);
    }
    return rc == WF_OK ? rc : start_error(s->conf, err);
}

/* A plugin's text in the database's encoding is no UTF-8 where that is another. */
static enum wf_rc check_encoding(const struct wf_source *s, PGconn *conn, struct wf_err *err)
{
    const struct wf_decoder_ops *ops = wf_decoders[s->conf->decoder];
    const char *encoding = PQparameterStatus(conn, "server_encoding");

    if (!ops->needs_utf8 || (encoding && strcmp(encoding, "UTF8") == 0))
        return WF_OK;
    return wf_err_config(err,
                         "the database is in %s and %s writes that as it is; hint: source.decoder: "
                         "pgoutput, which converts it to UTF-8",
                         encoding ? encoding : "an unknown encoding", ops->name);
}

/* The server's own log is the only other place that tells. */
static enum wf_rc log_held_back(struct wf_source *s, PGconn *sql, struct wf_err *err)
{
    char who[300];
    enum wf_rc rc = WF_OK;

    if (s->attempt.slot.failover)
        rc = wf_failover_held_back(sql, &s->cancel, who, sizeof(who), err);
    if (rc == WF_OK && s->attempt.slot.failover && who[0])
        wf_log(WF_LOG_WARN, "standby_slots", NULL,
               "the server sends nothing while slots that synchronized_standby_slots names are not "
               "there: %s; hint: after a promotion: ALTER SYSTEM SET synchronized_standby_slots = "
               "'', or to the slots of this server's standbys, and SELECT pg_reload_conf()",
               who);
    return rc;
}

/* Now that the slot is ours nobody else moves it: look once more, on a second connection. */
static enum wf_rc verify_locked(struct wf_source *s, PGconn *conn, struct wf_err *err)
{
    wf_autoconn PGconn *sql = NULL;
    struct wf_slot_info *slot = &s->attempt.slot;
    enum wf_rc rc = wf_pg_connect_beside(s->conf, conn, &s->cancel, &sql, err);

    if (rc == WF_OK)
        rc = wf_slot_look(sql, s->conf->slot, &s->cancel, slot, err);
    if (rc == WF_OK)
        rc = log_held_back(s, sql, err);
    if (rc != WF_OK)
        return rc;
    if (slot->instance != s->attempt.server.instance)
        return wf_err_set(err, WF_RETRY, "other_server",
                          "two connections to %s reached two servers; hint: source.dsn needs an "
                          "address that is one server's",
                          PQhost(conn));
    /* Read by nobody: the stream has broken off already, reading it tells why. */
    if (slot->active_pid && slot->active_pid != PQbackendPID(conn))
        return wf_err_set(err, WF_RETRY, "slot_moved",
                          "slot \"%s\" changed hands while it was being taken", s->conf->slot);
    if (s->attempt.server.in_recovery) {
        s->attempt.side = sql;
        sql = NULL;
    }
    if (s->env.keeper)
        return WF_OK; /* compared by wf_source_settle() */
    if (slot->confirmed_lsn > s->attempt.cp.lsn)
        return wf_err_set(err, WF_RETRY, "slot_moved",
                          "slot \"%s\" moved to %s while it was being taken", s->conf->slot,
                          wf_lsn_text(slot->confirmed_lsn).s);
    /* The daemon whose slot this was can save no more from here on. If it, or our own progress
     * meanwhile, has saved once more since ours was loaded, the next attempt loads that. */
    return WF_MUTANT(no_claim) ? WF_OK : wf_checkpoint_claim(s->env.store, &s->attempt.cp, err);
}

static enum wf_rc make_temporary(struct wf_source *s, PGconn *conn, char *slot, size_t size,
                                 struct wf_err *err)
{
    wf_autoresult PGresult *res = NULL;
    char sql[256];
    enum wf_rc rc;

    snprintf(slot, size, "walferry_tail_%d", PQbackendPID(conn));
    snprintf(sql, sizeof(sql), "CREATE_REPLICATION_SLOT \"%s\" TEMPORARY LOGICAL %s %s", slot,
             wf_decoders[s->conf->decoder]->name,
             PQserverVersion(conn) >= 150000 ? "(SNAPSHOT 'nothing')" : "NOEXPORT_SNAPSHOT");
    if (s->attempt.server.in_recovery)
        wf_slot_log_wait(s->conf, slot, conn, &s->attempt.server);
    rc = wf_pg_query(conn, sql, &s->cancel, &res, err);
    if (rc == WF_OK)
        wf_lsn_parse(PQgetvalue(res, 0, 1), &s->attempt.cp.lsn, NULL);
    return rc;
}

/* wal2json leaves out changes of a table without replica identity and only warns:
 * no tuple identifier for UPDATE in table "public"."t". */
static void note_unsent(struct wf_source *s, const char *text)
{
    const char *table = strstr(text, " in table \""), *dot;
    char schema[64], name[64];
    size_t n;

    if (s->unsent[0] || strncmp(text, "no ", 3) != 0 || !strstr(text, " tuple ") || !table)
        return;
    table += strlen(" in table \"");
    dot = strstr(table, "\".\"");
    n = strlen(dot ? dot + 3 : table);
    if (dot && n > 1 && (size_t)(dot - table) < sizeof(schema) && n - 1 < sizeof(name)) {
        snprintf(schema, sizeof(schema), "%.*s", (int)(dot - table), table);
        snprintf(name, sizeof(name), "%.*s", (int)(n - 1), dot + 3);
        if (!wf_select_table(s->conf, schema, name))
            return;
    }
    snprintf(s->unsent, sizeof(s->unsent), "%s", text);
    atomic_store(&s->losing, true);
}

static void on_notice(void *arg, const PGresult *res)
{
    struct wf_source *s = arg;
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

    /* 18 and later skip a missing publication's changes and only warn: that is loss. */
    if (text && strstr(text, "skipped loading publication"))
        atomic_store(&s->losing, true);
    if (text)
        note_unsent(s, text);
    wf_log(WF_LOG_DEBUG, "notice", NULL, "PostgreSQL says: %s", text ? text : "?");
}

struct wf_slot_env wf_source_slot_env(const struct wf_source *s)
{
    return (struct wf_slot_env){s->conf, s->env.store, s->env.keeper, s->env.accept};
}

/* What is on its way to the sink lies past the checkpoint: a promoted server must have it too. What
 * a keeper has not committed is taken back. */
static enum wf_rc check_published(const struct wf_source *s, struct wf_err *err)
{
    const struct wf_server *server = &s->attempt.server;

    if (s->env.keeper || !s->server.timeline || s->server.timeline == server->timeline ||
        s->server.instance == server->instance)
        return WF_OK;
    for (unsigned i = 0; i < server->nforks; i++) {
        if (server->forks[i].timeline == s->server.timeline &&
            s->attempt.read_lsn > server->forks[i].lsn)
            return wf_err_refuse(err, "other_timeline",
                                 "events up to %s of timeline %u are published, and timeline %u "
                                 "forked from it at %s: the consumers have events that this "
                                 "server never had; hint: connect to the right server, or go on "
                                 "with --accept-divergence %u and correct the consumers by hand",
                                 wf_lsn_text(s->attempt.read_lsn).s, s->server.timeline,
                                 server->timeline, wf_lsn_text(server->forks[i].lsn).s,
                                 server->timeline);
    }
    return WF_OK;
}

static enum wf_rc connect_steps(struct wf_source *s, PGconn *conn, struct wf_err *err)
{
    wf_autoresult PGresult *prime = NULL;
    const char *slot = s->conf->slot;
    char temporary[64];
    uint64_t lsn;
    enum wf_rc rc = wf_server_identify(conn, &s->cancel, &s->attempt.server, err);

    if (rc == WF_OK)
        rc = check_encoding(s, conn, err);
    if (rc == WF_OK)
        rc = wf_pg_query(conn, PRIME_SQL, &s->cancel, &prime, err);
    if (rc != WF_OK)
        return rc;
    if (s->env.temporary) {
        rc = make_temporary(s, conn, temporary, sizeof(temporary), err);
        slot = temporary;
    } else {
        const struct wf_slot_env env = wf_source_slot_env(s);

        rc = wf_slot_ready(conn, &env, &s->cancel, &s->attempt.server, &s->attempt.cp, err);
        if (rc == WF_OK)
            rc = check_published(s, err);
    }
    if (rc != WF_OK)
        return rc;
    lsn = s->attempt.cp.lsn > s->attempt.read_lsn ? s->attempt.cp.lsn : s->attempt.read_lsn;
    rc = start_stream(s, conn, slot, s->env.keeper ? 0 : lsn, err);
    if (rc == WF_OK && !s->env.temporary)
        rc = verify_locked(s, conn, err);
    return rc;
}

void wf_source_drop_attempt(struct wf_source *s)
{
    PQfinish(s->attempt.conn);
    PQfinish(s->attempt.side);
    s->attempt.conn = s->attempt.side = NULL;
}

void wf_source_connect(struct wf_job *job)
{
    struct wf_source *s = wf_container_of(job, struct wf_source, attempt.job);
    PGconn *conn = NULL;

    s->attempt.rc = wf_pg_connect(s->conf, WF_PG_REPLICATION, &s->cancel, &conn, &s->attempt.err);
    if (s->attempt.rc == WF_OK) {
        PQsetNoticeReceiver(conn, on_notice, s);
        s->attempt.rc = connect_steps(s, conn, &s->attempt.err);
        if (s->attempt.rc == WF_OK && PQsetnonblocking(conn, 1) != 0)
            s->attempt.rc = wf_err_set(&s->attempt.err, WF_RETRY, "connect",
                                       "cannot make the connection non-blocking");
    }
    s->attempt.conn = conn;
    if (s->attempt.rc != WF_OK)
        wf_source_drop_attempt(s);
}
