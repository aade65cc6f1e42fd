#include "slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failover.h"
#include "log.h"
#include "lsn.h"
#include "mutant.h"
#include "plugins.h"
#include "publication.h"

static void copy_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text ? text : "");
}

static uint64_t lsn_value(const PGresult *res, int row, int col)
{
    const char *text = wf_pg_value(res, row, col);
    uint64_t lsn = 0;

    if (text)
        wf_lsn_parse(text, &lsn, NULL);
    return lsn;
}

/* A line of a history file: parentTLI <tab> switchpoint <tab> reason (PostgreSQL source,
 * readTimeLineHistory()). */
static void note_forks(struct wf_server *server, const char *history)
{
    while (*history) {
        struct wf_fork fork = {0};
        char *end, point[24];

        fork.timeline = (uint32_t)strtoul(history, &end, 10);
        if (fork.timeline && *end == '\t') {
            snprintf(point, sizeof(point), "%.*s", (int)strcspn(end + 1, "\t\n"), end + 1);
            if (wf_lsn_parse(point, &fork.lsn, NULL) == WF_OK) {
                if (server->nforks == WF_FORKS_MAX)
                    memmove(server->forks, server->forks + 1,
                            --server->nforks * sizeof(server->forks[0]));
                server->forks[server->nforks++] = fork;
            }
        }
        history += strcspn(history, "\n");
        history += *history == '\n';
    }
}

static enum wf_rc read_history(PGconn *conn, wf_cancel *cancel, struct wf_server *server,
                               struct wf_err *err)
{
    wf_autoresult PGresult *res = NULL;
    char sql[64];
    enum wf_rc rc;

    if (server->timeline <= 1)
        return WF_OK;
    snprintf(sql, sizeof(sql), "TIMELINE_HISTORY %u", server->timeline);
    rc = wf_pg_query(conn, sql, cancel, &res, err);
    if (rc == WF_OK && PQntuples(res) && !PQgetisnull(res, 0, 1))
        note_forks(server, PQgetvalue(res, 0, 1));
    return rc;
}

/* The start of the server's main process, in microseconds: no two servers share it. */
#define INSTANCE_SQL "(extract(epoch FROM pg_catalog.pg_postmaster_start_time()) * 1000000)::int8"

static uint32_t instance_value(const PGresult *res, int row, int col)
{
    uint32_t instance = (uint32_t)strtoull(PQgetvalue(res, row, col), NULL, 10);

    return instance ? instance : 1;
}

static bool is_true(const PGresult *res, int row, int col)
{
    return *PQgetvalue(res, row, col) == 't';
}

/* pg_settings tells a number in its setting's unit: here ms. */
static const char settings_sql[] =
    "SELECT (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_level'), "
    "(SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'), "
    "pg_catalog.pg_is_in_recovery(), " INSTANCE_SQL;

static enum wf_rc read_settings(PGconn *conn, wf_cancel *cancel, struct wf_server *out,
                                struct wf_err *err)
{
    wf_autoresult PGresult *res = NULL;
    enum wf_rc rc = wf_pg_query(conn, settings_sql, cancel, &res, err);

    if (rc != WF_OK)
        return rc;
    out->sender_timeout_ms = strtoll(PQgetvalue(res, 0, 1), NULL, 10);
    out->in_recovery = is_true(res, 0, 2);
    out->instance = instance_value(res, 0, 3);
    if (strcmp(PQgetvalue(res, 0, 0), "logical") != 0)
        return wf_err_config(err,
                             "wal_level is %s, logical decoding needs logical; hint: ALTER SYSTEM "
                             "SET wal_level = logical, then restart PostgreSQL (on RDS: "
                             "rds.logical_replication = 1)",
                             PQgetvalue(res, 0, 0));
    if (out->in_recovery && out->version < 160000)
        return wf_err_config(err,
                             "the server is a standby, and PostgreSQL %d cannot decode there (16 "
                             "and later can); hint: name the primary in source.dsn, or all servers "
                             "(host=a,b), of which the primary is taken",
                             out->version / 10000);
    return WF_OK;
}

enum wf_rc wf_server_identify(PGconn *conn, wf_cancel *cancel, struct wf_server *out,
                              struct wf_err *err)
{
    wf_autoresult PGresult *res = NULL;
    enum wf_rc rc;

    *out = (struct wf_server){.version = PQserverVersion(conn)};
    if (out->version < 130000)
        return wf_err_config(err, "PostgreSQL %d.%d is too old: walferry reads 13 and later",
                             out->version / 10000, out->version % 10000);
    rc = wf_pg_query(conn, "IDENTIFY_SYSTEM", cancel, &res, err);
    if (rc != WF_OK)
        return rc;
    out->system_id = strtoull(PQgetvalue(res, 0, 0), NULL, 10);
    out->timeline = (uint32_t)strtoul(PQgetvalue(res, 0, 1), NULL, 10);
    copy_text(out->database, sizeof(out->database), wf_pg_value(res, 0, 3));
    out->raw_text = wf_pg_raw_text(conn);
    rc = read_settings(conn, cancel, out, err);
    return rc == WF_OK ? read_history(conn, cancel, out, err) : rc;
}

/* PostgreSQL documentation, "pg_replication_slots": columns grew with the versions. */
static const char *invalidation_column(int version)
{
    if (version >= 170000)
        return "invalidation_reason";
    return version >= 160000 ? "CASE WHEN conflicting THEN 'conflict with recovery' END" : "NULL";
}

static void read_slot(const PGresult *res, struct wf_slot_info *out)
{
    copy_text(out->plugin, sizeof(out->plugin), wf_pg_value(res, 0, 0));
    copy_text(out->type, sizeof(out->type), wf_pg_value(res, 0, 1));
    copy_text(out->database, sizeof(out->database), wf_pg_value(res, 0, 2));
    out->confirmed_lsn = lsn_value(res, 0, 3);
    out->active_pid = (int)strtol(PQgetvalue(res, 0, 4), NULL, 10); /* "" for NULL */
    copy_text(out->wal_status, sizeof(out->wal_status), wf_pg_value(res, 0, 5));
    out->temporary = is_true(res, 0, 6);
    copy_text(out->invalidation, sizeof(out->invalidation), wf_pg_value(res, 0, 7));
    out->failover = is_true(res, 0, 8);
    out->synced = is_true(res, 0, 9);
    if (!out->invalidation[0] && strcmp(out->wal_status, "lost") == 0)
        copy_text(out->invalidation, sizeof(out->invalidation), "wal_removed");
}

enum wf_rc wf_slot_look(PGconn *conn, const char *slot, wf_cancel *cancel, struct wf_slot_info *out,
                        struct wf_err *err)
{
    wf_autoquoted char *quoted = NULL;
    wf_autoresult PGresult *res = NULL;
    char sql[900];
    int version = PQserverVersion(conn);
    enum wf_rc rc = wf_pg_literal(conn, slot, &quoted, err);

    *out = (struct wf_slot_info){0};
    if (rc != WF_OK)
        return rc;
    snprintf(sql, sizeof(sql),
             "SELECT plugin, slot_type, database, confirmed_flush_lsn, active_pid, wal_status, "
             "temporary, %s, %s, "
             "CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() "
             "ELSE pg_catalog.pg_current_wal_flush_lsn() END, " INSTANCE_SQL ", "
             "EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_type = 'physical') "
             "FROM (SELECT 1) AS one LEFT JOIN pg_catalog.pg_replication_slots "
             "ON slot_name = %s",
             invalidation_column(version), version >= 170000 ? "failover, synced" : "NULL, NULL",
             quoted);
    rc = wf_pg_query(conn, sql, cancel, &res, err);
    if (rc != WF_OK)
        return rc;
    out->wal_lsn = lsn_value(res, 0, 10);
    out->instance = instance_value(res, 0, 11);
    out->has_standbys = is_true(res, 0, 12);
    out->exists = !PQgetisnull(res, 0, 1);
    if (out->exists)
        read_slot(res, out);
    return WF_OK;
}

static enum wf_rc check_kind(const struct wf_source_conf *conf, const struct wf_server *server,
                             const struct wf_slot_info *slot, struct wf_err *err)
{
    const char *plugin = wf_decoders[conf->decoder]->name;

    if (strcmp(slot->type, "logical") != 0)
        return wf_err_config(err, "slot \"%s\" is a %s slot; hint: set source.slot to another name",
                             conf->slot, slot->type);
    if (strcmp(slot->plugin, plugin) != 0)
        return wf_err_config(err,
                             "slot \"%s\" decodes with %s, not with %s; hint: set source.slot to "
                             "another name, or source.decoder to %s",
                             conf->slot, slot->plugin, plugin, slot->plugin);
    if (strcmp(slot->database, server->database) != 0)
        return wf_err_config(err,
                             "slot \"%s\" belongs to database %s, source.dsn names %s; hint: set "
                             "source.slot to another name",
                             conf->slot, slot->database, server->database);
    if (slot->invalidation[0])
        return wf_err_refuse(err, "slot_lost",
                             "slot \"%s\" is invalidated (%s): WAL it had not delivered is gone; "
                             "hint: drop the slot, make it anew, take its position with `walferry "
                             "checkpoint set FILE slot`, and load the tables anew",
                             conf->slot, slot->invalidation);
    if (slot->synced && server->in_recovery)
        return wf_err_config(err,
                             "slot \"%s\" on this standby is a copy of the primary's, which nobody "
                             "can read before a promotion; hint: name the primary in source.dsn "
                             "(host=a,b takes it by itself), or set source.slot to another name",
                             conf->slot);
    return WF_OK;
}

/* Where @timeline ended in the server's history; 0 = it is no part of it. */
static uint64_t fork_of(const struct wf_server *server, uint32_t timeline)
{
    for (unsigned i = server->nforks; i-- > 0;) {
        if (server->forks[i].timeline == timeline)
            return server->forks[i].lsn;
    }
    return 0;
}

static enum wf_rc refuse_timeline(const struct wf_server *server, const struct wf_checkpoint *cp,
                                  uint64_t fork, struct wf_err *err)
{
    if (!fork)
        return wf_err_refuse(err, "other_timeline",
                             "the server is on timeline %u, which does not come from timeline %u "
                             "of the checkpoint %s (an old primary, or a restore to an earlier "
                             "point); hint: connect to the right server, or go on with "
                             "--accept-divergence %u and correct the consumers by hand",
                             server->timeline, cp->timeline, wf_lsn_text(cp->lsn).s,
                             server->timeline);
    return wf_err_refuse(err, "other_timeline",
                         "the server is on timeline %u, the checkpoint %s is on timeline %u past "
                         "the fork at %s: events were published that this server never had; hint: "
                         "connect to the right server, or go on with --accept-divergence %u and "
                         "correct the consumers by hand",
                         server->timeline, wf_lsn_text(cp->lsn).s, cp->timeline,
                         wf_lsn_text(fork).s, server->timeline);
}

/* A promotion is followed when all that was published is part of the new timeline's history: the
 * rest comes from the slot, as long as that was synchronised, which the slot's position tells. What
 * was read from a standby that was promoted meanwhile is its own history, past the fork as well. */
static enum wf_rc check_timeline(const struct wf_accept *accept, const struct wf_server *server,
                                 struct wf_checkpoint *cp, struct wf_err *err)
{
    bool same_process = cp->instance && cp->instance == server->instance;
    uint64_t fork = fork_of(server, cp->timeline);

    if (cp->timeline == server->timeline)
        return WF_OK;
    if (!same_process && accept->timeline != server->timeline && (!fork || cp->lsn > fork))
        return refuse_timeline(server, cp, fork, err);
    wf_log(WF_LOG_INFO, "timeline_followed", NULL,
           "timeline %u goes on from timeline %u, which ended at %s; the checkpoint stands at %s",
           server->timeline, cp->timeline, fork ? wf_lsn_text(fork).s : "an unknown point",
           wf_lsn_text(cp->lsn).s);
    cp->timeline = server->timeline;
    if (!same_process && fork && cp->lsn > fork) { /* accepted: what it has instead starts there */
        cp->lsn = fork;
        cp->split = (struct wf_split){0};
    }
    return WF_OK;
}

static enum wf_rc refuse_missing(const struct wf_source_conf *conf, const struct wf_server *server,
                                 bool promoted, const struct wf_checkpoint *cp, struct wf_err *err)
{
    char why[100] = "";

    if (promoted)
        snprintf(why, sizeof(why), "this server was promoted (timeline %u) without a copy of it, ",
                 server->timeline);
    return wf_err_refuse(err, "slot_missing",
                         "slot \"%s\" is gone: %sthe checkpoint stands at %s, and what was "
                         "committed since cannot be read any more; hint: make the slot anew, take "
                         "its position with `walferry checkpoint set FILE slot`, and load the "
                         "tables anew",
                         conf->slot, why, wf_lsn_text(cp->lsn).s);
}

static enum wf_rc refuse_gap(const struct wf_source_conf *conf, const struct wf_slot_info *slot,
                             const struct wf_checkpoint *cp, struct wf_err *err)
{
    return wf_err_refuse(err, "slot_gap",
                         "slot \"%s\" stands at %s, past the checkpoint %s: it was advanced or "
                         "re-created by somebody else and %llu bytes of WAL were never read here; "
                         "hint: find out who did it, then go on with --accept-gap %s and load the "
                         "tables anew; a walferry on another machine is another reader unless both "
                         "share the checkpoint (docs/high-availability.md)",
                         conf->slot, wf_lsn_text(slot->confirmed_lsn).s, wf_lsn_text(cp->lsn).s,
                         (unsigned long long)(slot->confirmed_lsn - cp->lsn),
                         wf_lsn_text(slot->confirmed_lsn).s);
}

static enum wf_rc refuse_behind(const struct wf_server *server, const struct wf_slot_info *slot,
                                const struct wf_checkpoint *cp, struct wf_err *err)
{
    if (server->in_recovery) /* it restarted, and replays what it has received already */
        return wf_err_set(err, WF_RETRY, "standby_behind",
                          "the standby has replayed up to %s, the checkpoint stands at %s: waiting",
                          wf_lsn_text(slot->wal_lsn).s, wf_lsn_text(cp->lsn).s);
    return wf_err_refuse(err, "server_behind",
                         "the server's WAL ends at %s, before the checkpoint %s: it lost what was "
                         "already published (a restore, or a standby that lagged); hint: connect "
                         "to the right server",
                         wf_lsn_text(slot->wal_lsn).s, wf_lsn_text(cp->lsn).s);
}

enum wf_rc wf_slot_compare(const struct wf_source_conf *conf, const struct wf_accept *accept,
                           const struct wf_server *server, const struct wf_slot_info *slot,
                           struct wf_checkpoint *cp, struct wf_err *err)
{
    bool promoted = cp->timeline < server->timeline;

    if (cp->system_id != server->system_id)
        return wf_err_refuse(err, "other_system",
                             "the checkpoint %s is of system %llu, this server is %llu (a restore, "
                             "an upgrade or another server); hint: connect to the right server; "
                             "after pg_upgrade, which keeps slots from 17 on, `walferry checkpoint "
                             "set FILE slot`; else load the tables anew as well",
                             wf_lsn_text(cp->lsn).s, (unsigned long long)cp->system_id,
                             (unsigned long long)server->system_id);
    if (check_timeline(accept, server, cp, err) != WF_OK)
        return WF_FATAL;
    if (strcmp(cp->slot, conf->slot) != 0)
        return wf_err_config(err,
                             "the checkpoint is of slot \"%s\", source.slot is \"%s\"; hint: use "
                             "another state.dir for another slot",
                             cp->slot, conf->slot);
    if (!slot->exists)
        return refuse_missing(conf, server, promoted, cp, err);
    if (slot->confirmed_lsn > cp->lsn && accept->gap_lsn != slot->confirmed_lsn &&
        !WF_MUTANT(gap_ignored))
        return refuse_gap(conf, slot, cp, err);
    if (slot->confirmed_lsn > cp->lsn) {
        cp->lsn = slot->confirmed_lsn;
        cp->split = (struct wf_split){0};
    }
    if (slot->wal_lsn < cp->lsn)
        return refuse_behind(server, slot, cp, err);
    cp->instance = server->instance;
    return WF_OK;
}

enum wf_rc wf_slot_check(const struct wf_source_conf *conf, const struct wf_server *server,
                         const struct wf_slot_info *slot, const struct wf_checkpoint *cp,
                         struct wf_err *err)
{
    static const struct wf_accept nothing;
    struct wf_checkpoint copy = *cp;
    enum wf_rc rc = slot->exists ? check_kind(conf, server, slot, err) : WF_OK;

    if (rc == WF_OK && cp->state == WF_CHECKPOINT_ACTIVE)
        rc = wf_slot_compare(conf, &nothing, server, slot, &copy, err);
    return rc;
}

/* Who holds up CREATE_REPLICATION_SLOT: it waits for transactions that were running before it. */
static void log_blockers(const struct wf_source_conf *conf, PGconn *beside)
{
    wf_autoconn PGconn *conn = NULL;
    wf_autoresult PGresult *res = NULL;

    if (wf_pg_connect_beside(conf, beside, NULL, &conn, NULL) == WF_OK &&
        wf_pg_query(conn,
                    "SELECT pid, extract(epoch FROM now() - xact_start)::int "
                    "FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> "
                    "pg_catalog.pg_backend_pid() ORDER BY xact_start LIMIT 1",
                    NULL, &res, NULL) == WF_OK &&
        PQntuples(res))
        wf_log(WF_LOG_INFO, "slot_waits", NULL,
               "creating slot \"%s\" waits for transactions that began before it, the oldest in "
               "backend %s for %s s",
               conf->slot, PQgetvalue(res, 0, 0),
               PQgetisnull(res, 0, 1) ? "?" : PQgetvalue(res, 0, 1));
}

void wf_slot_log_wait(const struct wf_source_conf *conf, const char *slot, PGconn *conn,
                      const struct wf_server *server)
{
    if (!server->in_recovery)
        log_blockers(conf, conn);
    else
        wf_log(WF_LOG_WARN, "slot_waits", NULL,
               "creating slot \"%s\" on a standby waits until the primary writes which "
               "transactions run there: at its next checkpoint, or at once with SELECT "
               "pg_log_standby_snapshot() on the primary",
               slot);
}

/* Options of CREATE_REPLICATION_SLOT (PostgreSQL documentation, "Streaming Replication Protocol").
 */
static const char *slot_options(const struct wf_source_conf *conf, const struct wf_server *server)
{
    if (server->version < 150000)
        return "NOEXPORT_SNAPSHOT";
    return wf_failover_wanted(conf, server) ? "(SNAPSHOT 'nothing', FAILOVER true)"
                                            : "(SNAPSHOT 'nothing')";
}

static enum wf_rc create_slot(PGconn *conn, const struct wf_source_conf *conf, wf_cancel *cancel,
                              const struct wf_server *server, uint64_t *lsn, struct wf_err *err)
{
    wf_autoquoted char *quoted = NULL;
    wf_autoresult PGresult *res = NULL;
    char sql[256];
    enum wf_rc rc = wf_pg_ident(conn, conf->slot, &quoted, err);

    if (rc != WF_OK)
        return rc;
    snprintf(sql, sizeof(sql), "CREATE_REPLICATION_SLOT %s LOGICAL %s %s", quoted,
             wf_decoders[conf->decoder]->name, slot_options(conf, server));
    wf_slot_log_wait(conf, conf->slot, conn, server);
    rc = wf_pg_query(conn, sql, cancel, &res, err);
    if (rc == WF_OK)
        *lsn = lsn_value(res, 0, 1);
    else if (strstr(err->text, "output plugin"))
        return wf_err_config(err,
                             "the server does not let %s be an output plugin; hint: name it in "
                             "output_plugin_libraries in postgresql.conf, then reload",
                             wf_decoders[conf->decoder]->name);
    else if (wf_pg_is(err, "58P01"))
        return wf_err_config(err,
                             "the server has no output plugin %s; hint: install it there, or "
                             "source.decoder: pgoutput",
                             wf_decoders[conf->decoder]->name);
    else if (wf_pg_is(err, "53400"))
        return wf_err_config(err, "no free replication slot; hint: raise max_replication_slots");
    else if (wf_pg_is(err, "42501"))
        return wf_err_config(err, "the role may not create a replication slot; hint: ALTER ROLE "
                                  "... REPLICATION (on RDS: GRANT rds_replication)");
    return rc == WF_OK ? rc : wf_err_wrap(err, "creating slot \"%s\"", conf->slot);
}

/* A standby cannot make one: say what the primary is to be told. */
static enum wf_rc publication_on_primary(PGconn *conn, const struct wf_source_conf *conf,
                                         wf_cancel *cancel, struct wf_err *err)
{
    struct wf_buf sql;
    enum wf_rc rc;

    wf_buf_init(&sql, 4 << 20);
    rc = wf_publication_statement(conn, conf, cancel, &sql, err);
    if (rc == WF_OK)
        rc = wf_err_config(err,
                           "publication \"%s\" does not exist, and the server is a standby, where "
                           "none can be made; hint: on the primary: %s",
                           conf->publication,
                           !sql.failed && sql.len < 700
                               ? (const char *)sql.data
                               : "CREATE PUBLICATION ... FOR TABLE ... (those of source.tables)");
    wf_buf_deinit(&sql);
    return rc;
}

static enum wf_rc ensure_publication(PGconn *conn, const struct wf_source_conf *conf, bool create,
                                     bool in_recovery, wf_cancel *cancel, struct wf_err *err)
{
    bool exists = false;
    enum wf_rc rc;

    if (!wf_decoders[conf->decoder]->needs_publication)
        return WF_OK;
    rc = wf_publication_exists(conn, conf->publication, cancel, &exists, err);

    if (rc == WF_OK && exists)
        return wf_publication_filters(conn, conf, cancel, err);
    if (rc != WF_OK)
        return rc;
    if (create && in_recovery)
        return publication_on_primary(conn, conf, cancel, err);
    if (!create)
        return wf_err_config(err,
                             "publication \"%s\" does not exist in this database; hint: CREATE "
                             "PUBLICATION before the slot is made (a later one is not seen by WAL "
                             "that is already written), or let source.create make both",
                             conf->publication);
    rc = wf_publication_create(conn, conf, WF_UNSAFE_REFUSE, cancel, err);
    if (rc == WF_OK)
        wf_log(WF_LOG_INFO, "publication_created", NULL, "publication \"%s\" created",
               conf->publication);
    return rc;
}

enum wf_rc wf_slot_is_active(const struct wf_source_conf *conf, int pid, struct wf_err *err)
{
    return wf_err_set(err, WF_RETRY, "slot_active",
                      "slot \"%s\" is read by backend %d: waiting as standby, ready to take over",
                      conf->slot, pid);
}

/* No checkpoint, or one that only says "a slot is about to be made": nothing was delivered yet. */
static enum wf_rc first_start(PGconn *conn, const struct wf_slot_env *env, wf_cancel *cancel,
                              const struct wf_server *server, const struct wf_slot_info *slot,
                              struct wf_checkpoint *cp, struct wf_err *err)
{
    const struct wf_source_conf *conf = env->conf;
    enum wf_rc rc;

    if (!slot->exists && !conf->create)
        return wf_err_config(err,
                             "slot \"%s\" does not exist and source.create is off; hint: SELECT "
                             "pg_create_logical_replication_slot('%s', '%s'), or source.create: on",
                             conf->slot, conf->slot, wf_decoders[conf->decoder]->name);
    rc = ensure_publication(conn, conf, !slot->exists, server->in_recovery, cancel, err);
    if (rc != WF_OK)
        return rc;
    if (slot->exists && slot->active_pid) /* its position moves as long as somebody reads it */
        return wf_slot_is_active(conf, slot->active_pid, err);
    if (slot->exists) {
        cp->lsn = slot->confirmed_lsn;
        wf_log(WF_LOG_INFO, "slot_adopted", NULL, "no checkpoint: going on from slot \"%s\" at %s",
               conf->slot, wf_lsn_text(cp->lsn).s);
    } else {
        cp->state = WF_CHECKPOINT_INTENT;
        rc = wf_checkpoint_claim(env->store, cp, err);
        if (rc == WF_OK)
            rc = create_slot(conn, conf, cancel, server, &cp->lsn, err);
        if (rc != WF_OK)
            return rc;
        wf_log(WF_LOG_INFO, "slot_created", NULL, "slot \"%s\" created at %s", conf->slot,
               wf_lsn_text(cp->lsn).s);
    }
    cp->state = WF_CHECKPOINT_ACTIVE;
    return wf_checkpoint_claim(env->store, cp, err);
}

static void begin_checkpoint(const struct wf_source_conf *conf, const struct wf_server *server,
                             struct wf_checkpoint *cp)
{
    cp->system_id = server->system_id;
    cp->timeline = server->timeline;
    cp->instance = server->instance;
    cp->lsn = 0;
    copy_text(cp->slot, sizeof(cp->slot), conf->slot);
}

static enum wf_rc refuse_kept_elsewhere(const struct wf_checkpoint *cp, struct wf_err *err)
{
    return wf_err_refuse(err, "checkpoint_elsewhere",
                         "the checkpoint of this pipeline is kept by the sink (delivery: "
                         "exactly_once), state.dir only says where it was a while ago: %s; hint: "
                         "sink.delivery: exactly_once, or take over what the sink has with "
                         "`walferry checkpoint export FILE`",
                         wf_lsn_text(cp->lsn).s);
}

/* Another daemon may have made the slot, and published, since it was looked for. */
static enum wf_rc compare_missing(PGconn *conn, const struct wf_slot_env *env, wf_cancel *cancel,
                                  const struct wf_server *server, struct wf_checkpoint *kept,
                                  struct wf_err *err)
{
    struct wf_slot_info slot;
    enum wf_rc rc = wf_slot_look(conn, env->conf->slot, cancel, &slot, err);

    if (rc != WF_OK)
        return rc;
    if (slot.exists)
        return wf_err_set(err, WF_RETRY, "slot_moved", "slot \"%s\" was made meanwhile",
                          env->conf->slot);
    return wf_slot_compare(env->conf, &env->accept, server, &slot, kept, err);
}

/* The slot comes first, as the lock; what the keeper has counts only after that. A slot that is not
 * there is no lock, but then a checkpoint anywhere means that it was there once. */
static enum wf_rc ready_for_keeper(PGconn *conn, const struct wf_slot_env *env, wf_cancel *cancel,
                                   const struct wf_server *server, const struct wf_slot_info *slot,
                                   struct wf_checkpoint *cp, struct wf_err *err)
{
    struct wf_checkpoint kept = {0};
    enum wf_rc rc;

    if (slot->exists)
        return ensure_publication(conn, env->conf, false, false, cancel, err);
    rc = env->keeper->stored(env->keeper->arg, &kept, err);
    if (rc != WF_OK)
        return rc;
    if (kept.state != WF_CHECKPOINT_NONE)
        return compare_missing(conn, env, cancel, server, &kept, err);
    if (cp->state == WF_CHECKPOINT_ACTIVE || cp->state == WF_CHECKPOINT_COPY)
        return wf_slot_compare(env->conf, &env->accept, server, slot, cp, err);
    begin_checkpoint(env->conf, server, cp);
    return first_start(conn, env, cancel, server, slot, cp, err);
}

/* As wf_slot_ready(), once slot and checkpoint have been looked at. */
static enum wf_rc start_from(PGconn *conn, const struct wf_slot_env *env, wf_cancel *cancel,
                             const struct wf_server *server, const struct wf_slot_info *slot,
                             struct wf_checkpoint *cp, struct wf_err *err)
{
    enum wf_rc rc;

    if (env->keeper)
        return ready_for_keeper(conn, env, cancel, server, slot, cp, err);
    if (cp->state == WF_CHECKPOINT_COPY)
        return refuse_kept_elsewhere(cp, err);
    if (cp->state != WF_CHECKPOINT_ACTIVE) {
        begin_checkpoint(env->conf, server, cp);
        return first_start(conn, env, cancel, server, slot, cp, err);
    }
    if (slot->active_pid) /* its position moves, and so does what its reader saves */
        return wf_slot_is_active(env->conf, slot->active_pid, err);
    rc = wf_slot_compare(env->conf, &env->accept, server, slot, cp, err);
    return rc == WF_OK ? ensure_publication(conn, env->conf, false, false, cancel, err) : rc;
}

/* Who reads the slot saves first and acknowledges then: a checkpoint that is loaded after the look
 * is not behind it. One that is past the WAL of that look was saved after it: look again. */
static enum wf_rc look_and_load(PGconn *conn, const struct wf_slot_env *env, wf_cancel *cancel,
                                struct wf_slot_info *slot, struct wf_checkpoint *cp,
                                struct wf_err *err)
{
    enum wf_rc rc = wf_slot_look(conn, env->conf->slot, cancel, slot, err);

    if (rc == WF_OK)
        rc = wf_checkpoint_load(env->store, cp, err);
    if (rc == WF_OK && cp->lsn > slot->wal_lsn)
        rc = wf_slot_look(conn, env->conf->slot, cancel, slot, err);
    return rc;
}

enum wf_rc wf_slot_ready(PGconn *conn, const struct wf_slot_env *env, wf_cancel *cancel,
                         const struct wf_server *server, struct wf_checkpoint *cp,
                         struct wf_err *err)
{
    struct wf_slot_info slot;
    enum wf_rc rc = look_and_load(conn, env, cancel, &slot, cp, err);

    if (rc == WF_OK)
        rc = wf_failover_check(env->conf, server, err);
    if (rc == WF_OK && slot.exists)
        rc = check_kind(env->conf, server, &slot, err);
    if (rc == WF_OK)
        rc = start_from(conn, env, cancel, server, &slot, cp, err);
    if (rc == WF_OK && slot.exists)
        rc = wf_failover_ready(conn, env->conf, cancel, server, &slot, err);
    return rc;
}

enum wf_rc wf_slot_settle(const struct wf_slot_env *env, const struct wf_server *server,
                          const struct wf_slot_info *slot, const struct wf_checkpoint *kept,
                          struct wf_checkpoint *cp, struct wf_err *err)
{
    if (kept->state == WF_CHECKPOINT_NONE && cp->state == WF_CHECKPOINT_COPY)
        return wf_err_refuse(err, "checkpoint_missing",
                             "the sink has no checkpoint, but state.dir says that it had one at "
                             "%s or later; the slot stands at %s, so what lies between would be "
                             "published twice; hint: bring the checkpoint topic back, or set the "
                             "position with `walferry checkpoint set FILE LSN`",
                             wf_lsn_text(cp->lsn).s, wf_lsn_text(slot->confirmed_lsn).s);
    if (kept->state != WF_CHECKPOINT_NONE) {
        if (!WF_MUTANT(copy_is_truth) || cp->state != WF_CHECKPOINT_COPY)
            *cp = *kept;
        if (WF_MUTANT(slot_is_truth))
            cp->lsn = slot->confirmed_lsn;
    } else if (cp->state != WF_CHECKPOINT_ACTIVE) { /* none anywhere: the slot is all there is */
        begin_checkpoint(env->conf, server, cp);
        cp->lsn = slot->confirmed_lsn;
        wf_log(WF_LOG_INFO, "slot_adopted", NULL, "no checkpoint: going on from slot \"%s\" at %s",
               env->conf->slot, wf_lsn_text(cp->lsn).s);
    }
    cp->state = WF_CHECKPOINT_ACTIVE;
    return wf_slot_compare(env->conf, &env->accept, server, slot, cp, err);
}
