#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "cmd.h"
#include "cmd_check_ha.h"
#include "cmd_common.h"
#include "config.h"
#include "failover.h"
#include "log.h"
#include "lsn.h"
#include "pg.h"
#include "plugins.h"
#include "publication.h"
#include "registry_ask.h"
#include "slot.h"

static const char help[] =
    "usage: walferry check [--json] FILE\n"
    "\n"
    "Tests the whole path of a pipeline without changing anything: configuration, PostgreSQL,\n"
    "publication, replica identities, slot against checkpoint, standbys, sink,\n"
    "registry.\n"
    "\n"
    "  --json   one JSON object per finding: level, what, cure\n"
    "\n"
    "Exit codes: 0 no errors (there may be warnings), 1 errors, 2 usage, 76 the daemon would "
    "refuse\n"
    "to start, 78 configuration.\n";

struct checker {
    bool json;
    int errors, warnings;
    enum wf_exit exit_code;
};

static void report(void *arg, const char *level, const char *what, const char *cure)
{
    struct checker *c = arg;

    c->errors += strcmp(level, "error") == 0;
    c->warnings += strcmp(level, "warning") == 0;
    if (c->json) {
        json_t *line = json_pack("{s:s, s:s, s:s?}", "level", level, "what", what, "cure", cure);
        char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;

        puts(text ? text : "{}");
        free(text);
        json_decref(line);
    } else {
        printf("%-8s %s\n", level, what);
        if (cure)
            printf("         cure: %s\n", cure);
    }
}

/* The part of an error text behind "; hint: " is its cure; @cure where it has none. */
static void report_err(struct checker *c, const struct wf_err *err, const char *cure)
{
    char what[WF_ERR_TEXT_MAX];
    char *hint;

    snprintf(what, sizeof(what), "%s", err->text);
    hint = strstr(what, "; hint: ");
    if (hint)
        *hint = '\0';
    report(c, "error", what, hint ? hint + strlen("; hint: ") : cure);
    if (err->exit_code > c->exit_code)
        c->exit_code = err->exit_code;
}

/* Minor releases before these lose rows under concurrent DDL or move slots backwards
 * (PostgreSQL 18.0, 17.6, 16.10, 15.14, 14.19, 13.22 release notes). */
static void check_version(struct checker *c, int version)
{
    static const int good[] = {130022, 140019, 150014, 160010, 170006, 180000};
    char what[200];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (version / 10000 != good[i] / 10000)
            continue;
        if (version >= good[i])
            return;
        snprintf(what, sizeof(what),
                 "PostgreSQL %d.%d has known logical decoding bugs (rows lost when a publication "
                 "changes under load, slots moved backwards)",
                 version / 10000, version % 10000);
        report(c, "warning", what, "update to the newest minor release");
    }
}

/* The sink's where it keeps it; when it cannot be asked its own check tells why. */
static enum wf_rc load_checkpoint(const struct wf_config *config, struct wf_checkpoint *cp,
                                  struct wf_err *err)
{
    const struct wf_keeper_ops *keeper = config->sink_ops->keeper;
    struct wf_checkpoint kept = {0};
    enum wf_rc rc = wf_checkpoint_peek(config->state.dir, cp, err);

    if (rc == WF_OK && keeper && keeper->enabled(config->sink) &&
        keeper->stored(config->sink, config->pipeline, &kept, err) == WF_OK && kept.state)
        *cp = kept;
    return rc;
}

static void check_slot(struct checker *c, const struct wf_config *config, PGconn *conn,
                       const struct wf_server *server)
{
    struct wf_checkpoint cp = {0};
    struct wf_slot_info slot;
    struct wf_err err;
    char what[400];
    enum wf_rc rc = wf_slot_look(conn, config->source.slot, NULL, &slot, &err);

    if (rc == WF_OK)
        rc = load_checkpoint(config, &cp, &err);
    if (rc == WF_OK)
        rc = wf_slot_check(&config->source, server, &slot, &cp, &err);
    if (rc != WF_OK) {
        report_err(c, &err, "the server's log tells more");
    } else if (!slot.exists) {
        snprintf(what, sizeof(what), "slot \"%s\" does not exist yet%s", config->source.slot,
                 config->source.create ? " and is made at the first start" : "");
        report(c, config->source.create ? "ok" : "error", what,
               config->source.create ? NULL : "create it, or source.create: on");
    } else {
        snprintf(what, sizeof(what), "slot \"%s\" stands at %s%s%s", config->source.slot,
                 wf_lsn_text(slot.confirmed_lsn).s,
                 cp.state == WF_CHECKPOINT_ACTIVE ? ", the checkpoint at " : "",
                 cp.state == WF_CHECKPOINT_ACTIVE ? wf_lsn_text(cp.lsn).s : "");
        report(c, "ok", what, NULL);
        if (strcmp(slot.wal_status, "unreserved") == 0 ||
            strcmp(slot.wal_status, "extended") == 0) {
            snprintf(what, sizeof(what), "slot \"%s\" holds much WAL (wal_status %s)",
                     config->source.slot, slot.wal_status);
            report(c, "warning", what, "start the daemon before the server removes that WAL");
        }
    }
}

static void check_publication(struct checker *c, const struct wf_config *config, PGconn *conn)
{
    const struct wf_source_conf *source = &config->source;
    bool needed = wf_decoders[source->decoder]->needs_publication, exists = !needed;
    struct wf_err err;
    char what[700], names[400];
    enum wf_rc rc = WF_OK;

    if (needed)
        rc = wf_publication_exists(conn, source->publication, NULL, &exists, &err);
    if (rc == WF_OK)
        rc = wf_tables_without_identity(conn, source, NULL, names, sizeof(names), &err);
    if (rc != WF_OK) {
        report_err(c, &err, "the server's log tells more");
        return;
    }
    snprintf(what, sizeof(what), "publication \"%s\" %s", source->publication,
             exists           ? "exists"
             : source->create ? "does not exist yet and is made at the first start"
                              : "does not exist");
    if (needed)
        report(c, exists || source->create ? "ok" : "error", what,
               exists || source->create ? NULL : "CREATE PUBLICATION, before the slot is made");
    if (names[0]) {
        snprintf(what, sizeof(what), "no primary key and no other replica identity: %s; %s", names,
                 needed ? "once published, UPDATE and DELETE on it fail"
                        : "its UPDATEs and DELETEs are not sent, and the pipeline stops there");
        report(c, exists ? "warning" : "error", what,
               "ADD PRIMARY KEY, or ALTER TABLE ... REPLICA IDENTITY FULL, or leave it out of "
               "source.tables");
    }
}

static void check_source(struct checker *c, const struct wf_config *config)
{
    wf_autoconn PGconn *conn = NULL;
    struct wf_server server;
    struct wf_err err;
    char what[300];
    enum wf_rc rc = wf_pg_connect(&config->source, WF_PG_REPLICATION, NULL, &conn, &err);

    if (rc == WF_OK)
        rc = wf_server_identify(conn, NULL, &server, &err);
    if (rc != WF_OK) {
        report_err(c, &err, "source.dsn, pg_hba.conf, and whether the server runs");
        return;
    }
    snprintf(
        what, sizeof(what),
        "PostgreSQL %d.%d, database %s, system %llu, timeline %u%s: wal_level is logical and the "
        "role may replicate",
        server.version / 10000, server.version % 10000, server.database,
        (unsigned long long)server.system_id, server.timeline,
        server.in_recovery ? ", a standby" : "");
    report(c, "ok", what, NULL);
    check_version(c, server.version);
    if (server.sender_timeout_ms && server.sender_timeout_ms < 30000)
        report(c, "warning", "wal_sender_timeout is under 30 s: a short network pause reconnects",
               "set it to 60s");
    check_publication(c, config, conn);
    check_slot(c, config, conn, &server);
    if (wf_failover_check(&config->source, &server, &err) != WF_OK)
        report_err(c, &err, NULL);
    wf_check_ha(&config->source, conn, &server, report, c);
}

static void check_rest(struct checker *c, const struct wf_config *config)
{
    if (config->format.registry.n)
        wf_registry_check(&config->format, report, c);
    if (config->sink_ops->check)
        config->sink_ops->check(config->sink, config->pipeline, report, c);
}

int wf_cmd_check(int argc, char **argv)
{
    static const struct option longs[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct checker c = {0};
    struct wf_config *config = NULL;
    struct wf_err err;

    for (int o; (o = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        if (o != 'j') {
            fputs(help, o == 'h' ? stdout : stderr);
            return o == 'h' ? WF_EXIT_OK : WF_EXIT_USAGE;
        }
        c.json = true;
    }
    if (argc - optind != 1) {
        fputs(help, stderr);
        return WF_EXIT_USAGE;
    }
    if (wf_config_load(argv[optind], &config, wf_report_stderr, NULL, &err) != WF_OK) {
        report_err(&c, &err, "correct what standard error names");
        return (int)err.exit_code;
    }
    wf_log_setup(WF_LOG_ERROR, false, config->pipeline);
    report(&c, "ok", "the configuration can be read", NULL);
    check_source(&c, config);
    check_rest(&c, config);
    wf_config_free(config);
    if (!c.json)
        printf("\n%d error%s, %d warning%s\n", c.errors, c.errors == 1 ? "" : "s", c.warnings,
               c.warnings == 1 ? "" : "s");
    if (!c.errors)
        return WF_EXIT_OK;
    return c.exit_code ? (int)c.exit_code : WF_EXIT_OTHER;
}
