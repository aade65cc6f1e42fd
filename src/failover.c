#include "failover.h"

#include <stdio.h>
#include <string.h>

#include "log.h"

#define FAILOVER_VERSION 170000

bool wf_failover_wanted(const struct wf_source_conf *conf, const struct wf_server *server)
{
    return conf->failover != WF_FAILOVER_OFF && server->version >= FAILOVER_VERSION &&
           !server->in_recovery;
}

static enum wf_rc switch_on(PGconn *conn, const struct wf_source_conf *conf, wf_cancel *cancel,
                            struct wf_err *err)
{
    wf_autoquoted char *quoted = NULL;
    wf_autoresult PGresult *res = NULL;
    char sql[200];
    enum wf_rc rc = wf_pg_ident(conn, conf->slot, &quoted, err);

    if (rc != WF_OK)
        return rc;
    snprintf(sql, sizeof(sql), "ALTER_REPLICATION_SLOT %s (FAILOVER true)", quoted);
    rc = wf_pg_query(conn, sql, cancel, &res, err);
    if (rc == WF_OK)
        wf_log(WF_LOG_INFO, "failover_on", NULL, "slot \"%s\" is a failover slot from now on",
               conf->slot);
    return rc == WF_OK ? rc : wf_err_wrap(err, "making slot \"%s\" a failover slot", conf->slot);
}

enum wf_rc wf_failover_check(const struct wf_source_conf *conf, const struct wf_server *server,
                             struct wf_err *err)
{
    if (conf->failover != WF_FAILOVER_ON || wf_failover_wanted(conf, server))
        return WF_OK;
    if (server->in_recovery)
        return wf_err_config(err, "source.failover: on needs the primary, and the server is a "
                                  "standby; hint: source.failover: auto");
    return wf_err_config(err,
                         "source.failover: on needs PostgreSQL 17 or later, this is %d.%d; hint: "
                         "source.failover: auto, and see docs/high-availability.md",
                         server->version / 10000, server->version % 10000);
}

enum wf_rc wf_failover_ready(PGconn *conn, const struct wf_source_conf *conf, wf_cancel *cancel,
                             const struct wf_server *server, const struct wf_slot_info *slot,
                             struct wf_err *err)
{
    if (slot->failover || slot->active_pid || !wf_failover_wanted(conf, server))
        return WF_OK;
    if (conf->failover == WF_FAILOVER_ON)
        return switch_on(conn, conf, cancel, err);
    if (slot->has_standbys)
        wf_log(WF_LOG_WARN, "failover_off", NULL,
               "slot \"%s\" is no failover slot: a standby that is promoted will not have it; "
               "hint: source.failover: on, and start again",
               conf->slot);
    return WF_OK;
}

/* An unquoted name is folded to lower case, and slot names have no other letters. */
static const char held_sql[] =
    "SELECT n.name, s.slot_type, s.wal_status, s.active FROM (SELECT lower(pg_catalog.btrim(word, "
    "' \"')) AS name FROM pg_catalog.regexp_split_to_table(pg_catalog.current_setting("
    "'synchronized_standby_slots'), ',') AS w(word)) AS n LEFT JOIN "
    "pg_catalog.pg_replication_slots AS s ON s.slot_name = n.name WHERE n.name <> '' ORDER BY 1";

static const char *trouble_of(const PGresult *res, int row)
{
    const char *type = wf_pg_value(res, row, 1), *status = wf_pg_value(res, row, 2);

    if (!type)
        return "does not exist";
    if (strcmp(type, "physical") != 0)
        return "is no physical slot";
    if (status && strcmp(status, "lost") == 0)
        return "is invalidated";
    return *PQgetvalue(res, row, 3) == 't' ? NULL : "is read by no standby";
}

enum wf_rc wf_failover_held_back(PGconn *conn, wf_cancel *cancel, char *out, size_t size,
                                 struct wf_err *err)
{
    wf_autoresult PGresult *res = NULL;
    enum wf_rc rc;
    size_t len = 0;

    out[0] = '\0';
    if (PQserverVersion(conn) < FAILOVER_VERSION)
        return WF_OK;
    rc = wf_pg_query(conn, held_sql, cancel, &res, err);
    for (int i = 0; rc == WF_OK && i < PQntuples(res) && len < size; i++) {
        const char *trouble = trouble_of(res, i);

        if (trouble)
            len += (size_t)snprintf(out + len, size - len, "%s\"%s\" %s", len ? ", " : "",
                                    PQgetvalue(res, i, 0), trouble);
    }
    return rc;
}
