#include "catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_types.h"
#include "pg.h"

/* Domains are followed to the type they end at; a domain's typmod counts where the column has
 * none. Generated columns have an expression, not a default. */
static const char columns_sql[] =
    "WITH RECURSIVE chain AS ("
    "SELECT a.attnum, t.oid, t.typtype, t.typbasetype, t.typtypmod, a.atttypmod AS typmod, "
    "a.attnotnull OR t.typnotnull AS notnull FROM pg_catalog.pg_attribute a "
    "JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
    "WHERE a.attrelid = %u AND a.attnum > 0 AND NOT a.attisdropped "
    "UNION ALL SELECT c.attnum, t.oid, t.typtype, t.typbasetype, t.typtypmod, "
    "CASE WHEN c.typmod >= 0 THEN c.typmod ELSE c.typtypmod END, c.notnull OR t.typnotnull "
    "FROM chain c JOIN pg_catalog.pg_type t ON t.oid = c.typbasetype WHERE c.typtype = 'd') "
    "SELECT a.attname, c.notnull, a.attidentity <> '', "
    "CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END, "
    "n.nspname, t.typname, t.typtype, t.typcategory, c.oid, c.typmod, b.typname, b.typtype, "
    "e.oid, e.typname, e.typtype, (SELECT pg_catalog.string_agg(l.enumlabel, ',' ORDER BY "
    "l.enumsortorder) FROM pg_catalog.pg_enum l WHERE l.enumtypid IN (b.oid, e.oid)) "
    "FROM chain c JOIN pg_catalog.pg_attribute a ON a.attrelid = %u AND a.attnum = c.attnum "
    "JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
    "JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace "
    "JOIN pg_catalog.pg_type b ON b.oid = c.oid "
    "LEFT JOIN pg_catalog.pg_type e ON e.oid = b.typelem AND e.typarray = b.oid "
    "LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
    "WHERE c.typtype <> 'd' ORDER BY a.attnum";

#define WHOLE_TABLE "AND i.indpred IS NULL "

/* The primary key, else the identity index, else a unique index without expressions, the first by
 * name; columns in the index's order. */
static const char key_sql[] =
    "SELECT a.attname FROM (SELECT i.* FROM pg_catalog.pg_index i "
    "JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = %u AND i.indisvalid "
    "AND i.indisunique AND i.indimmediate AND i.indexprs IS NULL %s"
    "ORDER BY i.indisprimary DESC, i.indisreplident DESC, c.relname LIMIT 1) i "
    "CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k(attnum, ord) "
    "JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum "
    "WHERE k.ord <= i.indnkeyatts ORDER BY k.ord";

static struct wf_catalog *new_catalog(uint16_t ncols)
{
    struct wf_catalog *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->ncols = ncols;
    c->cols = calloc(ncols + 1u, sizeof(*c->cols));
    c->key = calloc(ncols + 1u, sizeof(*c->key));
    if (!c->cols || !c->key) {
        wf_catalog_free(c);
        return NULL;
    }
    return c;
}

void wf_catalog_free(struct wf_catalog *c)
{
    if (!c)
        return;
    PQclear(c->arena);
    PQclear(c->types);
    PQclear(c->fields);
    free(c->nodes);
    free(c->cols);
    free(c->key);
    free(c);
}

static int column_index(const struct wf_relation *rel, const char *name)
{
    for (int i = 0; i < rel->ncols; i++) {
        if (strcmp(rel->cols[i].name, name) == 0)
            return i;
    }
    return -1;
}

static uint32_t oid_value(const PGresult *res, int row, int col)
{
    return PQgetisnull(res, row, col) ? 0 : (uint32_t)strtoul(PQgetvalue(res, row, col), NULL, 10);
}

static char char_value(const PGresult *res, int row, int col)
{
    return *PQgetvalue(res, row, col); /* "" for NULL */
}

static void fill_column(struct wf_catalog_col *col, const PGresult *res, int row)
{
    *col = (struct wf_catalog_col){
        .found = true,
        .not_null = char_value(res, row, 1) == 't',
        .identity = char_value(res, row, 2) == 't',
        .dflt = wf_pg_value(res, row, 3),
        .type_schema = wf_pg_value(res, row, 4),
        .type_name = wf_pg_value(res, row, 5),
        .typtype = char_value(res, row, 6),
        .typcategory = char_value(res, row, 7),
        .base_oid = oid_value(res, row, 8),
        .base_typmod = (int32_t)strtol(PQgetvalue(res, row, 9), NULL, 10),
        .base_name = wf_pg_value(res, row, 10),
        .base_typtype = char_value(res, row, 11),
        .elem_oid = oid_value(res, row, 12),
        .elem_name = wf_pg_value(res, row, 13),
        .elem_typtype = char_value(res, row, 14),
        .enum_labels = wf_pg_value(res, row, 15),
    };
}

/* What the WAL itself says about the key: the columns of the replica identity, in table order.
 * Under FULL every column is flagged, which makes no key. */
static void key_from_relation(struct wf_catalog *c, const struct wf_relation *rel)
{
    c->nkey = 0;
    if (rel->identity == 'f')
        return;
    for (uint16_t i = 0; i < rel->ncols; i++) {
        if (rel->cols[i].key)
            c->key[c->nkey++] = i;
    }
}

static enum wf_rc fetch_key(PGconn *conn, const struct wf_relation *rel, bool partial_keys,
                            struct wf_catalog *c, struct wf_err *err)
{
    wf_autoresult PGresult *res = NULL;
    char sql[sizeof(key_sql) + sizeof(WHOLE_TABLE) + 16];
    enum wf_rc rc;

    snprintf(sql, sizeof(sql), key_sql, rel->oid, partial_keys ? "" : WHOLE_TABLE);
    rc = wf_pg_query(conn, sql, NULL, &res, err);
    if (rc != WF_OK)
        return rc;
    for (int row = 0; row < PQntuples(res) && c->nkey < c->ncols; row++) {
        int i = column_index(rel, PQgetvalue(res, row, 0));

        if (i < 0) { /* renamed since, or not published: the WAL decides */
            key_from_relation(c, rel);
            return WF_OK;
        }
        c->key[c->nkey++] = (uint16_t)i;
    }
    if (c->nkey == 0)
        key_from_relation(c, rel);
    return WF_OK;
}

enum wf_rc wf_catalog_fetch(PGconn *conn, const struct wf_relation *rel, bool partial_keys,
                            struct wf_catalog **out, struct wf_err *err)
{
    struct wf_catalog *c = new_catalog(rel->ncols);
    PGresult *res = NULL;
    char sql[sizeof(columns_sql) + 32];
    enum wf_rc rc;

    if (!c)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    snprintf(sql, sizeof(sql), columns_sql, rel->oid, rel->oid);
    rc = wf_pg_query(conn, sql, NULL, &res, err);
    if (rc == WF_OK) {
        c->arena = res;
        for (int row = 0; row < PQntuples(res); row++) {
            int i = column_index(rel, PQgetvalue(res, row, 0));

            if (i >= 0)
                fill_column(&c->cols[i], res, row);
        }
        rc = fetch_key(conn, rel, partial_keys, c, err);
        if (rc == WF_OK)
            rc = wf_catalog_fetch_types(conn, rel->oid, c, err);
    }
    if (rc != WF_OK) {
        wf_catalog_free(c);
        return wf_err_wrap(err, "reading the catalog for %s.%s", rel->schema, rel->name);
    }
    *out = c;
    return WF_OK;
}
