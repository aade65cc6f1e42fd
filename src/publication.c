#include "publication.h"

#include <stdio.h>
#include <string.h>

#include "pattern.h"
#include "select.h"

enum wf_rc wf_publication_exists(PGconn *conn, const char *name, wf_cancel *cancel, bool *exists,
                                 struct wf_err *err)
{
    wf_autoquoted char *quoted = NULL;
    wf_autoresult PGresult *res = NULL;
    char sql[256];
    enum wf_rc rc = wf_pg_literal(conn, name, &quoted, err);

    if (rc != WF_OK)
        return rc;
    snprintf(sql, sizeof(sql), "SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = %s",
             quoted);
    rc = wf_pg_query(conn, sql, cancel, &res, err);
    if (rc == WF_OK)
        *exists = PQntuples(res) > 0;
    return rc;
}

/* A partitioned table is one table to its consumers, so one topic. */
static void put_with(const struct wf_source_conf *conf, struct wf_buf *sql)
{
    static const struct {
        enum wf_change_kind kind;
        const char *word;
    } operations[] = {{WF_CHANGE_INSERT, "insert"},
                      {WF_CHANGE_UPDATE, "update"},
                      {WF_CHANGE_DELETE, "delete"},
                      {WF_CHANGE_TRUNCATE, "truncate"}};
    int n = 0;

    wf_buf_str(sql, " WITH (publish_via_partition_root = true, publish = '");
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        if (!wf_select_skips(conf, operations[i].kind, false))
            wf_buf_printf(sql, "%s%s", n++ ? ", " : "", operations[i].word);
    wf_buf_put(sql, "')", 3);
}

/* Something that only a list of tables can say. */
static bool wants_all(const struct wf_source_conf *conf)
{
    return wf_select_all_tables(conf) && !conf->row_filters.n && !conf->columns.n;
}

/* Ordinary and partitioned tables that a publication may hold, leaves of partitions left to their
 * root. identity_ok: UPDATE and DELETE keep working once published. */
static const char tables_sql[] =
    "SELECT n.nspname, c.relname, "
    "c.relreplident = 'f' OR EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid "
    "AND i.indisvalid AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND "
    "i.indisreplident)), c.oid, c.relreplident "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition "
    "AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast' "
    "ORDER BY 1, 2";

enum wf_rc wf_tables_without_identity(PGconn *conn, const struct wf_source_conf *conf,
                                      wf_cancel *cancel, char *out, size_t size, struct wf_err *err)
{
    wf_autoresult PGresult *res = NULL;
    enum wf_rc rc = wf_pg_query(conn, tables_sql, cancel, &res, err);
    size_t len = 0;

    out[0] = '\0';
    for (int i = 0; rc == WF_OK && i < PQntuples(res); i++) {
        const char *schema = PQgetvalue(res, i, 0), *table = PQgetvalue(res, i, 1);

        if (PQgetvalue(res, i, 2)[0] == 't' || !wf_select_table(conf, schema, table))
            continue;
        if (len + strlen(schema) + strlen(table) + 8 > size) {
            snprintf(out + len, size - len, ", ...");
            break;
        }
        len += (size_t)snprintf(out + len, size - len, "%s%s.%s", len ? ", " : "", schema, table);
    }
    return rc;
}

static enum wf_rc put_quoted(PGconn *conn, struct wf_buf *sql, const char *name, struct wf_err *err)
{
    wf_autoquoted char *quoted = NULL;
    enum wf_rc rc = wf_pg_ident(conn, name, &quoted, err);

    if (rc == WF_OK)
        wf_buf_str(sql, quoted);
    return rc;
}

/* Columns of the replica identity, which a column list must hold. */
static const char identity_sql[] =
    "SELECT a.attname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON "
    "a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) WHERE i.indrelid = %s AND "
    "(i.indisreplident OR i.indisprimary AND '%s' = 'd')";

struct column_list {
    PGconn *conn;
    struct wf_buf *sql;
    struct wf_err *err;
    enum wf_rc rc;
    const PGresult *identity;
    int n;
};

static void put_column(void *arg, const char *column)
{
    struct column_list *l = arg;

    wf_buf_str(l->sql, l->n++ ? ", " : " (");
    if (l->rc == WF_OK)
        l->rc = put_quoted(l->conn, l->sql, column, l->err);
}

/* A configured column that is not of the identity: that is written already. */
static void put_other_column(void *arg, const char *column)
{
    struct column_list *l = arg;

    for (int i = 0; i < PQntuples(l->identity); i++)
        if (!strcmp(PQgetvalue(l->identity, i, 0), column))
            return;
    put_column(arg, column);
}

static void no_column(void *arg, const char *column)
{
    (void)arg;
    (void)column;
}

/* A row of tables_sql. */
struct table {
    const char *schema, *name, *oid;
    char identity;
};

/* " (a, b)", or nothing; a whole old row needs all columns. */
static enum wf_rc put_column_list(PGconn *conn, const struct wf_source_conf *conf,
                                  const struct table *t, wf_cancel *cancel, struct wf_buf *sql,
                                  struct wf_err *err)
{
    wf_autoresult PGresult *res = NULL;
    struct column_list l = {.conn = conn, .sql = sql, .err = err};
    char query[sizeof(identity_sql) + 32];

    if (PQserverVersion(conn) < 150000 || t->identity == 'f' ||
        !wf_select_column_list(conf, t->schema, t->name, no_column, NULL))
        return WF_OK;
    snprintf(query, sizeof(query), identity_sql, t->oid, t->identity == 'd' ? "d" : "i");
    l.rc = wf_pg_query(conn, query, cancel, &res, err);
    if (l.rc != WF_OK)
        return l.rc;
    l.identity = res;
    for (int i = 0; i < PQntuples(res); i++)
        put_column(&l, PQgetvalue(res, i, 0));
    wf_select_column_list(conf, t->schema, t->name, put_other_column, &l);
    wf_buf_str(sql, l.n ? ")" : "");
    return l.rc;
}

static enum wf_rc put_row_filter(PGconn *conn, const struct wf_source_conf *conf,
                                 const struct table *t, struct wf_buf *sql, struct wf_err *err)
{
    char name[WF_SELECT_NAME];
    const char *filter;

    snprintf(name, sizeof(name), "%s.%s", t->schema, t->name);
    filter = wf_patterns_value(&conf->row_filters, name);
    if (filter && PQserverVersion(conn) < 150000)
        return wf_err_config(err, "source.row_filters needs PostgreSQL 15 or later; hint: filter "
                                  "in the consumer");
    if (filter)
        wf_buf_printf(sql, " WHERE (%s)", filter);
    return WF_OK;
}

static enum wf_rc put_table(PGconn *conn, const struct wf_source_conf *conf, const struct table *t,
                            wf_cancel *cancel, struct wf_buf *sql, struct wf_err *err)
{
    enum wf_rc rc = put_quoted(conn, sql, t->schema, err);

    wf_buf_str(sql, ".");
    if (rc == WF_OK)
        rc = put_quoted(conn, sql, t->name, err);
    if (rc == WF_OK)
        rc = put_column_list(conn, conf, t, cancel, sql, err);
    return rc == WF_OK ? put_row_filter(conn, conf, t, sql, err) : rc;
}

/* "schema"."table", "schema"."table" (columns) WHERE (filter), ...; WF_FATAL when no table matches.
 */
static enum wf_rc put_tables(PGconn *conn, const struct wf_source_conf *conf, bool safe_only,
                             wf_cancel *cancel, struct wf_buf *sql, struct wf_err *err)
{
    wf_autoresult PGresult *res = NULL;
    enum wf_rc rc = wf_pg_query(conn, tables_sql, cancel, &res, err);
    int named = 0;

    for (int i = 0; rc == WF_OK && i < PQntuples(res); i++) {
        const struct table t = {PQgetvalue(res, i, 0), PQgetvalue(res, i, 1), PQgetvalue(res, i, 3),
                                PQgetvalue(res, i, 4)[0]};

        if (!wf_select_table(conf, t.schema, t.name) ||
            (safe_only && PQgetvalue(res, i, 2)[0] != 't'))
            continue;
        wf_buf_str(sql, named++ ? ", " : "");
        rc = put_table(conn, conf, &t, cancel, sql, err);
    }
    if (rc == WF_OK && !named)
        return wf_err_config(err, "source.tables names no table of this database, so no "
                                  "publication can be made; hint: create the tables first, or "
                                  "correct source.tables");
    return rc;
}

static enum wf_rc refuse_without_identity(PGconn *conn, const struct wf_source_conf *conf,
                                          wf_cancel *cancel, struct wf_err *err)
{
    char names[400];
    enum wf_rc rc = wf_tables_without_identity(conn, conf, cancel, names, sizeof(names), err);

    if (rc == WF_OK && names[0])
        return wf_err_config(err,
                             "publishing %s would make UPDATE and DELETE on it fail: no primary "
                             "key and no other replica identity; hint: ALTER TABLE ... ADD "
                             "PRIMARY KEY, or ALTER TABLE ... REPLICA IDENTITY FULL, or leave it "
                             "out of source.tables",
                             names);
    return rc;
}

/* Never half a statement: what is missing at its end would change its meaning. */
static enum wf_rc run_statement(PGconn *conn, const struct wf_buf *sql, wf_cancel *cancel,
                                PGresult **res, struct wf_err *err)
{
    if (sql->failed)
        return wf_buf_starved()
                   ? wf_err_set(err, WF_FATAL, "memory", "out of memory")
                   : wf_err_config(err, "source.tables names too many tables for one statement");
    return wf_pg_query(conn, (const char *)sql->data, cancel, res, err);
}

enum wf_rc wf_publication_create(PGconn *conn, const struct wf_source_conf *conf,
                                 enum wf_unsafe unsafe, wf_cancel *cancel, struct wf_err *err)
{
    wf_autoresult PGresult *res = NULL;
    struct wf_buf sql;
    size_t head;
    bool safe_only = unsafe == WF_UNSAFE_LEAVE_OUT;
    enum wf_rc rc = safe_only ? WF_OK : refuse_without_identity(conn, conf, cancel, err);

    if (rc != WF_OK)
        return rc;
    wf_buf_init(&sql, 4 << 20);
    wf_buf_str(&sql, "CREATE PUBLICATION ");
    rc = put_quoted(conn, &sql, conf->publication, err);
    wf_buf_str(&sql, " FOR ");
    head = sql.len;
    if (rc == WF_OK && !safe_only && wants_all(conf)) {
        wf_buf_str(&sql, "ALL TABLES");
        put_with(conf, &sql);
        rc = run_statement(conn, &sql, cancel, &res, err);
        if (rc == WF_OK || !wf_pg_is(err, "42501"))
            goto out;
        rc = WF_OK; /* not a superuser: the tables that are there now, one by one */
    }
    sql.len = head;
    wf_buf_str(&sql, "TABLE ");
    if (rc == WF_OK)
        rc = put_tables(conn, conf, safe_only, cancel, &sql, err);
    put_with(conf, &sql);
    if (rc == WF_OK)
        rc = run_statement(conn, &sql, cancel, &res, err);
out:
    wf_buf_deinit(&sql);
    if (rc != WF_OK && wf_pg_is(err, "42710")) /* somebody was faster */
        return WF_OK;
    if (rc != WF_OK && wf_pg_is(err, "25006"))
        return wf_err_config(err,
                             "the server is a standby, where no publication can be made; hint: "
                             "make one on the primary");
    if (rc != WF_OK && wf_pg_is(err, "42501"))
        return wf_err_config(err,
                             "the role may not create publication \"%s\" (%s); hint: let the "
                             "tables' owner run CREATE PUBLICATION, then start again",
                             conf->publication, strstr(err->text, "says: ") + 6);
    return rc;
}

enum wf_rc wf_publication_statement(PGconn *conn, const struct wf_source_conf *conf,
                                    wf_cancel *cancel, struct wf_buf *sql, struct wf_err *err)
{
    enum wf_rc rc;

    wf_buf_str(sql, "CREATE PUBLICATION ");
    rc = put_quoted(conn, sql, conf->publication, err);
    wf_buf_str(sql, wants_all(conf) ? " FOR ALL TABLES" : " FOR TABLE ");
    if (rc == WF_OK && !wants_all(conf))
        rc = put_tables(conn, conf, false, cancel, sql, err);
    put_with(conf, sql);
    return rc;
}

enum wf_rc wf_publication_filters(PGconn *conn, const struct wf_source_conf *conf,
                                  wf_cancel *cancel, struct wf_err *err)
{
    wf_autoquoted char *quoted = NULL;
    wf_autoresult PGresult *res = NULL;
    char sql[300], name[WF_SELECT_NAME];
    enum wf_rc rc;

    if (!conf->row_filters.n)
        return WF_OK;
    if (PQserverVersion(conn) < 150000)
        return wf_err_config(err, "source.row_filters needs PostgreSQL 15 or later; hint: filter "
                                  "in the consumer");
    rc = wf_pg_literal(conn, conf->publication, &quoted, err);
    if (rc != WF_OK)
        return rc;
    snprintf(sql, sizeof(sql),
             "SELECT schemaname, tablename FROM pg_catalog.pg_publication_tables WHERE pubname = "
             "%s AND rowfilter IS NULL",
             quoted);
    rc = wf_pg_query(conn, sql, cancel, &res, err);
    for (int i = 0; rc == WF_OK && i < PQntuples(res); i++) {
        snprintf(name, sizeof(name), "%s.%s", PQgetvalue(res, i, 0), PQgetvalue(res, i, 1));
        if (wf_patterns_value(&conf->row_filters, name))
            return wf_err_config(err,
                                 "source.row_filters has a condition for %s, but publication "
                                 "\"%s\" publishes all its rows; hint: ALTER PUBLICATION ... SET "
                                 "TABLE ... WHERE (...), or drop the publication so that walferry "
                                 "makes it",
                                 name, conf->publication);
    }
    return rc;
}
