#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "cmd_common.h"
#include "log.h"
#include "pg.h"
#include "publication.h"

static const char tail_help[] =
    "usage: walferry tail [--table GLOB]... [--publication NAME] DSN\n"
    "\n"
    "Shows live changes as JSON lines. Needs no file: a temporary slot is used and nothing is "
    "left\n"
    "behind. DSN: a libpq connection string or URI, for example \"host=/run/postgresql "
    "dbname=shop\".\n"
    "\n"
    "  --table GLOB        only tables that match, as schema.table; may be given more than once\n"
    "  --publication NAME  read through this publication; otherwise through one FOR ALL TABLES, "
    "or\n"
    "                      one made for the time of the run (tables without a replica identity\n"
    "                      stay out: publishing them would break their UPDATEs)\n"
    "\n"
    "Exit codes: 0 stopped, 1 failed, 2 usage, 78 configuration.\n";

/* Publications of runs that were killed: their session is gone. */
static const char leftovers_sql[] =
    "SELECT pubname FROM pg_catalog.pg_publication WHERE pubname ~ '^walferry_tail_[0-9]+$' AND "
    "substr(pubname, 15) NOT IN (SELECT pid::text FROM pg_catalog.pg_stat_activity)";

static void drop_publication(PGconn *conn, const char *name)
{
    wf_autoresult PGresult *res = NULL;
    wf_autoquoted char *quoted = NULL;
    char sql[256];

    if (wf_pg_ident(conn, name, &quoted, NULL) != WF_OK)
        return;
    snprintf(sql, sizeof(sql), "DROP PUBLICATION IF EXISTS %s", quoted);
    if (wf_pg_query(conn, sql, NULL, &res, NULL) != WF_OK)
        fprintf(stderr, "walferry: publication %s is left behind: DROP PUBLICATION it\n", name);
}

static void drop_leftovers(PGconn *conn)
{
    wf_autoresult PGresult *res = NULL;

    if (wf_pg_query(conn, leftovers_sql, NULL, &res, NULL) != WF_OK)
        return;
    for (int i = 0; i < PQntuples(res); i++)
        drop_publication(conn, PQgetvalue(res, i, 0));
}

static bool for_all_tables(PGconn *conn, char *name, size_t size)
{
    wf_autoresult PGresult *res = NULL;

    if (wf_pg_query(
            conn,
            "SELECT pubname FROM pg_catalog.pg_publication WHERE puballtables AND pubinsert "
            "AND pubupdate AND pubdelete ORDER BY pubname LIMIT 1",
            NULL, &res, NULL) != WF_OK ||
        !PQntuples(res))
        return false;
    snprintf(name, size, "%s", PQgetvalue(res, 0, 0));
    return true;
}

/* The publication to read through when none was named; *made: drop it at the end. */
static enum wf_rc choose_publication(PGconn *conn, struct wf_source_conf *conf, char *name,
                                     size_t size, bool *made, struct wf_err *err)
{
    enum wf_rc rc;

    drop_leftovers(conn);
    *made = false;
    if (for_all_tables(conn, name, size))
        return WF_OK;
    snprintf(name, size, "walferry_tail_%d", PQbackendPID(conn));
    conf->publication = name;
    rc = wf_publication_create(conn, conf, WF_UNSAFE_LEAVE_OUT, NULL, err);
    *made = rc == WF_OK;
    return rc;
}

/* In YAML's single quotes: '' for ', and $$ because the configuration expands $. */
static void put_yaml(struct wf_buf *b, const char *s)
{
    wf_buf_byte(b, '\'');
    for (; *s; s++) {
        if (*s == '\'' || *s == '$')
            wf_buf_byte(b, (unsigned char)*s);
        wf_buf_byte(b, (unsigned char)*s);
    }
    wf_buf_byte(b, '\'');
}

static enum wf_rc make_config(const char *dsn, const struct wf_list *tables,
                              const char *publication, struct wf_config **config,
                              struct wf_err *err)
{
    struct wf_buf yaml;
    enum wf_rc rc;

    wf_buf_init(&yaml, 1 << 20);
    wf_buf_str(&yaml, "source:\n  dsn: ");
    put_yaml(&yaml, dsn);
    wf_buf_str(&yaml, "\n  publication: ");
    put_yaml(&yaml, publication);
    if (tables->n)
        wf_buf_str(&yaml, "\n  tables:");
    for (size_t i = 0; i < tables->n; i++) {
        wf_buf_str(&yaml, "\n    - ");
        put_yaml(&yaml, tables->items[i]);
    }
    wf_buf_str(&yaml, "\nsink: {type: stdout}\n");
    rc = wf_config_parse("tail.yaml", (const char *)yaml.data, yaml.len, config, wf_report_stderr,
                         NULL, err);
    wf_buf_deinit(&yaml);
    return rc;
}

static int tail(const char *dsn, struct wf_list *tables, const char *publication)
{
    static const struct wf_pipeline_options options = {.temporary = true};
    struct wf_config *config = NULL;
    wf_autoconn PGconn *conn = NULL;
    char name[64] = "";
    bool made = false;
    struct wf_err err;
    int code = WF_EXIT_OK;
    enum wf_rc rc =
        make_config(dsn, tables, publication ? publication : "walferry_tail", &config, &err);

    if (rc == WF_OK && !publication) {
        struct wf_source_conf conf = config->source;

        rc = wf_pg_connect(&conf, WF_PG_SQL, NULL, &conn, &err);
        if (rc == WF_OK)
            rc = choose_publication(conn, &conf, name, sizeof(name), &made, &err);
        wf_config_free(config);
        config = NULL;
        if (rc == WF_OK)
            rc = make_config(dsn, tables, name, &config, &err);
    }
    if (rc == WF_OK) {
        wf_log_setup(WF_LOG_WARN, false, NULL);
        code = wf_ferry(config, &options);
    } else {
        fprintf(stderr, "walferry: %s\n", err.text);
        code = (int)err.exit_code;
    }
    if (made)
        drop_publication(conn, name);
    wf_config_free(config);
    return code;
}

int wf_cmd_tail(int argc, char **argv)
{
    static const struct option longs[] = {{"table", required_argument, NULL, 't'},
                                          {"publication", required_argument, NULL, 'p'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct wf_list tables = {.items = calloc((size_t)argc, sizeof(char *))};
    const char *publication = NULL;
    int code = -1;

    if (!tables.items)
        return WF_EXIT_OTHER;
    for (int c; code < 0 && (c = getopt_long(argc, argv, "ht:p:", longs, NULL)) != -1;) {
        if (c == 't')
            tables.items[tables.n++] = optarg;
        else if (c == 'p')
            publication = optarg;
        else
            code = wf_usage(tail_help, c == 'h');
    }
    if (code < 0 && argc - optind != 1)
        code = wf_usage(tail_help, false);
    if (code < 0)
        code = tail(argv[optind], &tables, publication);
    free(tables.items);
    return code;
}
