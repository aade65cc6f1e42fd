#include "cmd_check_ha.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failover.h"
#include "lsn.h"

#define GUIDE "docs/high-availability.md"

struct look {
    const struct wf_source_conf *conf;
    const struct wf_server *server;
    struct wf_slot_info slot;
    bool failover; /* of the slot, or of the one that is going to be made */
    unsigned hosts;
    char primary[300]; /* the first host that takes writes */
    wf_check_report report;
    void *arg;
};

static void say(const struct look *l, const char *level, const char *cure, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void say(const struct look *l, const char *level, const char *cure, const char *fmt, ...)
{
    char what[1200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    l->report(l->arg, level, what, cure);
}

static bool ask(const struct look *l, PGconn *conn, const char *sql, PGresult **res)
{
    struct wf_err err;

    if (wf_pg_query(conn, sql, NULL, res, &err) == WF_OK)
        return true;
    say(l, "warning", "let the role read what the message names",
        "the server cannot be asked about standbys: %s", err.text);
    return false;
}

static bool is_on(const PGresult *res, int col)
{
    const char *text = PQgetvalue(res, 0, col);

    return strcmp(text, "on") == 0 || strcmp(text, "t") == 0;
}

/* What a standby must have so that the primary keeps the rows that decoding needs. */
static void check_feedback(const struct look *l, PGconn *conn, const char *name)
{
    wf_autoresult PGresult *res = NULL;

    if (!ask(l, conn,
             "SELECT pg_catalog.current_setting('hot_standby_feedback'), "
             "pg_catalog.current_setting('primary_slot_name') <> ''",
             &res))
        return;
    if (!is_on(res, 0) || !is_on(res, 1))
        say(l, "warning", "hot_standby_feedback = on and primary_slot_name = '...' there",
            "standby %s: %s: the primary may remove rows that its logical slots need", name,
            is_on(res, 0) ? "primary_slot_name is empty" : "hot_standby_feedback is off");
}

/* A failover slot can be ahead of a standby that it does not wait for. */
static void check_waits(const struct look *l, PGconn *conn)
{
    wf_autoresult PGresult *res = NULL;
    char who[400], cure[600];
    struct wf_err err;

    if (wf_failover_held_back(conn, NULL, who, sizeof(who), &err) != WF_OK ||
        !ask(l, conn,
             "SELECT pg_catalog.current_setting('synchronized_standby_slots'), "
             "pg_catalog.string_agg(slot_name, ', ' ORDER BY slot_name) FROM "
             "pg_catalog.pg_replication_slots WHERE slot_type = 'physical'",
             &res))
        return;
    if (who[0]) {
        say(l, "error",
            "after a promotion: ALTER SYSTEM SET synchronized_standby_slots = '' (or the slots of "
            "this server's standbys); SELECT pg_reload_conf(). Else: start the standby",
            "failover slots send nothing as long as a slot in synchronized_standby_slots is not "
            "there: %s",
            who);
    } else if (PQgetvalue(res, 0, 0)[0]) {
        say(l, "ok", NULL, "failover slots send only what %s has", PQgetvalue(res, 0, 0));
    } else if (l->slot.has_standbys) {
        snprintf(cure, sizeof(cure), "ALTER SYSTEM SET synchronized_standby_slots = '%s'",
                 PQgetvalue(res, 0, 1));
        say(l, "warning", cure,
            "synchronized_standby_slots is empty: events can be published that a standby does not "
            "have, and when it is promoted then, walferry refuses");
    }
}

static void check_primary(struct look *l, PGconn *conn)
{
    const char *slot = l->conf->slot;

    if (l->failover) {
        check_waits(l, conn);
    } else if (l->hosts == 1 && !l->slot.has_standbys) {
        return;
    } else if (l->server->version < 170000) {
        say(l, "warning", "PostgreSQL 17, or what else " GUIDE " has",
            "PostgreSQL %d has no failover slots: a standby that is promoted does not have slot "
            "\"%s\", unless something else makes it there, and walferry refuses then",
            l->server->version / 10000, slot);
    } else {
        say(l, "warning", "source.failover: on, and start again",
            "slot \"%s\" is no failover slot: a standby that is promoted does not have it", slot);
    }
}

static const char copy_sql[] =
    "SELECT pg_catalog.pg_is_in_recovery(), (SELECT system_identifier FROM "
    "pg_catalog.pg_control_system()), pg_catalog.current_setting('sync_replication_slots', true)";

static void check_copy(const struct look *l, PGconn *conn, const char *name, bool syncs)
{
    struct wf_slot_info copy;
    struct wf_err err;
    const char *slot = l->conf->slot;

    if (wf_slot_look(conn, slot, NULL, &copy, &err) != WF_OK)
        say(l, "warning", "let the role read pg_replication_slots there", "standby %s: %s", name,
            err.text);
    else if (l->server->version >= 170000 && !syncs)
        say(l, "warning",
            "sync_replication_slots = on there, and dbname=... in its primary_conninfo",
            "standby %s copies no slots: sync_replication_slots is off", name);
    else if (!copy.exists && l->slot.exists)
        say(l, "warning",
            "it comes once the slot has moved; dbname=... in the standby's primary_conninfo; the "
            "standby's log tells more",
            "standby %s has no copy of slot \"%s\"", name, slot);
    else if (copy.exists && copy.invalidation[0])
        say(l, "error", "drop the slot there, so that it is copied again",
            "standby %s: its copy of slot \"%s\" is invalidated (%s)", name, slot,
            copy.invalidation);
    else if (copy.exists && copy.temporary)
        say(l, "warning",
            "it stays once the slot has moved past what the standby holds: let the daemon run; "
            "SELECT pg_log_standby_snapshot() on the primary",
            "standby %s: its copy of slot \"%s\" is temporary and would be gone at a promotion",
            name, slot);
    else if (copy.exists)
        say(l, "ok", NULL, "standby %s has slot \"%s\" at %s", name, slot,
            wf_lsn_text(copy.confirmed_lsn).s);
}

static void check_host(struct look *l, unsigned host)
{
    wf_autoconn PGconn *conn = NULL;
    wf_autoresult PGresult *res = NULL;
    char name[300];
    struct wf_err err;

    if (wf_pg_connect_host(l->conf, host, name, sizeof(name), &conn, &err) != WF_OK) {
        say(l, "warning", "start it, or take it out of source.dsn", "host %s cannot be asked: %s",
            name, err.text);
        return;
    }
    if (!ask(l, conn, copy_sql, &res))
        return;
    if (strtoull(PQgetvalue(res, 0, 1), NULL, 10) != l->server->system_id) {
        say(l, "error", "take it out of source.dsn", "host %s is of another system, %s", name,
            PQgetvalue(res, 0, 1));
    } else if (is_on(res, 0)) {
        if (l->failover)
            check_feedback(l, conn, name);
        if (l->failover || l->server->version < 170000)
            check_copy(l, conn, name, is_on(res, 2));
    } else if (l->primary[0]) {
        say(l, "error", "stop the one that is not to be the primary",
            "hosts %s and %s both take writes", l->primary, name);
    } else {
        snprintf(l->primary, sizeof(l->primary), "%s", name);
    }
}

void wf_check_ha(const struct wf_source_conf *conf, PGconn *conn, const struct wf_server *server,
                 wf_check_report report, void *arg)
{
    struct look l = {
        .conf = conf, .server = server, .hosts = wf_pg_hosts(conf), .report = report, .arg = arg};
    struct wf_err err;

    if (wf_failover_check(conf, server, &err) != WF_OK ||
        wf_slot_look(conn, conf->slot, NULL, &l.slot, &err) != WF_OK)
        return; /* said already */
    l.failover = l.slot.exists ? l.slot.failover : wf_failover_wanted(conf, server);
    if (server->in_recovery)
        check_feedback(&l, conn, PQhost(conn));
    else
        check_primary(&l, conn);
    for (unsigned i = 0; l.hosts > 1 && i < l.hosts; i++)
        check_host(&l, i);
}
