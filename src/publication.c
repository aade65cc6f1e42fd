#include "publication.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

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

bool wf_tables_match(const struct wf_list *tables, const char *schema, const char *table)
{
    char name[136];

    snprintf(name, sizeof(name), "%s.%s", schema, table);
    for (size_t i = 0; i < tables->n; i++) {
        if (fnmatch(tables->items[i], name, 0) == 0)
            return true;
    }
    return tables->n == 0;
}

/* A partitioned table is one table to its consumers, so one topic. */
#define VIA_ROOT " WITH (publish_via_partition_root = true)"

static bool wants_all(const struct wf_list *tables)
{
    return tables->n == 0 || (tables->n == 1 && (strcmp(tables->items[0], "*.*") == 0 ||
                                                 strcmp(tables->items[0], "*") == 0));
}

/* Ordinary and partitioned tables that a publication may hold, leaves of partitions left to their
 * root. identity_ok: UPDATE and DELETE keep working once published. */
static const char tables_sql[] =
    "SELECT n.nspname, c.relname, "
    "c.relreplident = 'f' OR EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid "
    "AND i.indisvalid AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND "
    "i.indisreplident)) "
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

        if (PQgetvalue(res, i, 2)[0] == 't' || !wf_tables_match(&conf->tables, schema, table))
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

/* "schema"."table", "schema"."table", ...; WF_FATAL when no table matches. */
static enum wf_rc put_tables(PGconn *conn, const struct wf_source_conf *conf, bool safe_only,
                             wf_cancel *cancel, struct wf_buf *sql, struct wf_err *err)
{
    wf_autoresult PGresult *res = NULL;
    enum wf_rc rc = wf_pg_query(conn, tables_sql, cancel, &res, err);
    int named = 0;

    for (int i = 0; rc == WF_OK && i < PQntuples(res); i++) {
        const char *schema = PQgetvalue(res, i, 0), *table = PQgetvalue(res, i, 1);

        if (!wf_tables_match(&conf->tables, schema, table) ||
            (safe_only && PQgetvalue(res, i, 2)[0] != 't'))
            continue;
        wf_buf_str(sql, named++ ? ", " : "");
        rc = put_quoted(conn, sql, schema, err);
        wf_buf_str(sql, ".");
        if (rc == WF_OK)
            rc = put_quoted(conn, sql, table, err);
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
    if (rc == WF_OK && !safe_only && wants_all(&conf->tables)) {
        wf_buf_put(&sql, "ALL TABLES" VIA_ROOT, sizeof("ALL TABLES" VIA_ROOT));
        rc = wf_pg_query(conn, (const char *)sql.data, cancel, &res, err);
        if (rc == WF_OK || !wf_pg_is(err, "42501"))
            goto out;
        rc = WF_OK; /* not a superuser: the tables that are there now, one by one */
    }
    sql.len = head;
    wf_buf_str(&sql, "TABLE ");
    if (rc == WF_OK)
        rc = put_tables(conn, conf, safe_only, cancel, &sql, err);
    wf_buf_put(&sql, VIA_ROOT, sizeof(VIA_ROOT));
    if (rc == WF_OK && sql.failed)
        rc = wf_err_config(err, "source.tables names too many tables for one statement");
    if (rc == WF_OK)
        rc = wf_pg_query(conn, (const char *)sql.data, cancel, &res, err);
out:
    wf_buf_deinit(&sql);
    if (rc != WF_OK && wf_pg_is(err, "42710")) /* somebody was faster */
        return WF_OK;
    if (rc != WF_OK && wf_pg_is(err, "42501"))
        return wf_err_config(err,
                             "the role may not create publication \"%s\" (%s); hint: let the "
                             "tables' owner run CREATE PUBLICATION, then start again",
                             conf->publication, strstr(err->text, "says: ") + 6);
    return rc;
}
