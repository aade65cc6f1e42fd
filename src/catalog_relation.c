#include "catalog_relation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "pg.h"

#define SQL_MAX 4096

/* One row per column; the key flags are those of the replica identity. */
static const char columns_sql[] =
    "SELECT c.oid, n.nspname, c.relname, c.relreplident, a.attname, a.atttypid, a.atttypmod, "
    "CASE WHEN a.atttypid >= 10000 THEN t.typname END, c.relreplident = 'f' OR EXISTS (SELECT FROM "
    "pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND a.attnum = ANY (i.indkey) "
    "AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)) "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
    "AND a.attgenerated = '' JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
    "WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = ";

static uint32_t number(const PGresult *res, int row, int col)
{
    return (uint32_t)strtoul(PQgetvalue(res, row, col), NULL, 10);
}

static char *copy(const PGresult *res, int row, int col)
{
    return PQgetisnull(res, row, col) ? NULL : strdup(PQgetvalue(res, row, col));
}

static bool fill(struct wf_relation *out, const PGresult *res)
{
    int n = PQntuples(res) < WF_MAX_COLUMNS ? PQntuples(res) : WF_MAX_COLUMNS;

    out->oid = number(res, 0, 0);
    out->version = 1;
    out->schema = copy(res, 0, 1);
    out->name = copy(res, 0, 2);
    out->identity = PQgetvalue(res, 0, 3)[0];
    out->cols = calloc((size_t)n, sizeof(*out->cols));
    if (!out->schema || !out->name || !out->cols)
        return false;
    out->ncols = (uint16_t)n;
    for (int i = 0; i < n; i++) {
        struct wf_relcol *col = &out->cols[i];

        col->name = copy(res, i, 4);
        col->type_oid = number(res, i, 5);
        col->typmod = (int32_t)strtol(PQgetvalue(res, i, 6), NULL, 10);
        col->type_name = copy(res, i, 7);
        col->key = PQgetvalue(res, i, 8)[0] == 't';
        if (!col->name)
            return false;
    }
    return true;
}

enum wf_rc wf_catalog_relation(PGconn *conn, const char *name, struct wf_relation *out,
                               struct wf_err *err)
{
    wf_autoquoted char *quoted = NULL;
    wf_autoresult PGresult *res = NULL;
    struct wf_buf sql;
    enum wf_rc rc = wf_pg_literal(conn, name, &quoted, err);

    *out = (struct wf_relation){0};
    if (rc != WF_OK)
        return rc;
    wf_buf_init(&sql, SQL_MAX);
    wf_buf_str(&sql, columns_sql);
    wf_buf_str(&sql, quoted);
    wf_buf_put(&sql, " ORDER BY a.attnum", sizeof(" ORDER BY a.attnum"));
    if (sql.failed)
        rc = wf_buf_starved()
                 ? wf_err_set(err, WF_FATAL, "memory", "out of memory")
                 : wf_err_set(err, WF_REJECT, "no_table", "the name is too long for a table's");
    else
        rc = wf_pg_query(conn, (const char *)sql.data, NULL, &res, err);
    wf_buf_deinit(&sql);
    if (rc != WF_OK)
        return rc;
    if (PQntuples(res) == 0)
        return wf_err_set(err, WF_REJECT, "no_table",
                          "there is no table %s with columns; hint: schema.table, as \\dt shows it",
                          name);
    return fill(out, res) ? WF_OK : wf_err_set(err, WF_FATAL, "memory", "out of memory");
}

static void drop(const char *text)
{
    free((void *)(uintptr_t)text);
}

void wf_catalog_relation_free(struct wf_relation *rel)
{
    if (rel->plan)
        rel->plan_free(rel->plan);
    for (uint16_t i = 0; i < rel->ncols; i++) {
        drop(rel->cols[i].name);
        drop(rel->cols[i].type_name);
    }
    free(rel->cols);
    drop(rel->schema);
    drop(rel->name);
    *rel = (struct wf_relation){0};
}
