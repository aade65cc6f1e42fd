#include "catalog_types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pg.h"

#define MAX_NODES WF_MAX_COLUMNS /* besides two for each column */

/* Every type that a column of the table leads to: elements, base types, fields. The depth ends
 * the walk; domains count in it, so it is more than WF_TYPE_DEPTH. */
#define WALK                                                                                       \
    "WITH RECURSIVE walk(oid, depth) AS ("                                                         \
    "SELECT a.atttypid, 0 FROM pg_catalog.pg_attribute a "                                         \
    "WHERE a.attrelid = %u AND a.attnum > 0 AND NOT a.attisdropped "                               \
    "UNION SELECT n.oid, w.depth + 1 FROM walk w "                                                 \
    "JOIN pg_catalog.pg_type t ON t.oid = w.oid CROSS JOIN LATERAL ("                              \
    "SELECT e.oid FROM pg_catalog.pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid "       \
    "UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd' "                                        \
    "UNION ALL SELECT f.atttypid FROM pg_catalog.pg_attribute f WHERE t.typtype = 'c' "            \
    "AND f.attrelid = t.typrelid AND f.attnum > 0 AND NOT f.attisdropped) n "                      \
    "WHERE w.depth < 24) "

static const char types_sql[] =
    WALK "SELECT t.oid, t.typname, n.nspname, t.typtype, t.typdelim, t.typbasetype, t.typtypmod, "
         "e.oid, (SELECT pg_catalog.string_agg(l.enumlabel, ',' ORDER BY l.enumsortorder) "
         "FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid) "
         "FROM (SELECT DISTINCT oid FROM walk) w JOIN pg_catalog.pg_type t ON t.oid = w.oid "
         "JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace "
         "LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid";
enum {
    TYPE_OID,
    TYPE_NAME,
    TYPE_SCHEMA,
    TYPE_TYPE,
    TYPE_DELIM,
    TYPE_BASE,
    TYPE_MOD,
    TYPE_ELEM,
    TYPE_LABELS
};

static const char fields_sql[] =
    WALK "SELECT t.oid, f.attname, f.atttypid, f.atttypmod "
         "FROM (SELECT DISTINCT oid FROM walk) w JOIN pg_catalog.pg_type t ON t.oid = w.oid "
         "JOIN pg_catalog.pg_attribute f ON f.attrelid = t.typrelid "
         "WHERE t.typtype = 'c' AND f.attnum > 0 AND NOT f.attisdropped ORDER BY t.oid, f.attnum";
enum { FIELD_OF, FIELD_NAME, FIELD_TYPE, FIELD_MOD };

static uint32_t oid_value(const PGresult *res, int row, int col)
{
    return (uint32_t)strtoul(PQgetvalue(res, row, col), NULL, 10); /* "" for NULL */
}

static int32_t int_value(const PGresult *res, int row, int col)
{
    return (int32_t)strtol(PQgetvalue(res, row, col), NULL, 10);
}

/* Return: the row, -1 when there is none. */
static int find_oid(const PGresult *res, int col, uint32_t oid)
{
    for (int row = 0; row < PQntuples(res); row++)
        if (oid_value(res, row, col) == oid)
            return row;
    return -1;
}

static struct wf_catalog_type *take_nodes(struct wf_catalog *c, size_t n)
{
    struct wf_catalog_type *first = c->nodes + c->nnodes;

    if (n > c->max_nodes - c->nnodes)
        return NULL;
    c->nnodes += n;
    return first;
}

static char kind_of(const PGresult *types, int row)
{
    char type = *PQgetvalue(types, row, TYPE_TYPE);

    if (!PQgetisnull(types, row, TYPE_ELEM))
        return 'a';
    return (char)(type == 'c' || type == 'r' || type == 'm' ? type : 'b');
}

/* The row a type ends at, domains followed; a domain's type modifier counts where none is set. */
static int follow_domains(const PGresult *types, uint32_t oid, struct wf_catalog_type *t)
{
    int row = find_oid(types, TYPE_OID, oid);

    if (row < 0)
        return -1;
    t->type_name = wf_pg_value(types, row, TYPE_NAME);
    t->delim = *PQgetvalue(types, row, TYPE_DELIM);
    for (int i = 0; row >= 0 && *PQgetvalue(types, row, TYPE_TYPE) == 'd'; i++) {
        t->domain = true;
        if (t->typmod < 0)
            t->typmod = int_value(types, row, TYPE_MOD);
        row = i < 32 ? find_oid(types, TYPE_OID, oid_value(types, row, TYPE_BASE)) : -1;
    }
    return row;
}

static bool build(struct wf_catalog *c, struct wf_catalog_type *t, uint32_t oid, int depth);

static bool build_fields(struct wf_catalog *c, struct wf_catalog_type *t, int depth)
{
    int first = find_oid(c->fields, FIELD_OF, t->oid), n = 0;

    if (first < 0)
        return true;
    while (first + n < PQntuples(c->fields) && oid_value(c->fields, first + n, FIELD_OF) == t->oid)
        n++;
    t->sub = take_nodes(c, (size_t)n);
    if (!t->sub)
        return false;
    t->nsub = (uint16_t)n;
    for (int i = 0; i < n; i++) {
        t->sub[i].field = wf_pg_value(c->fields, first + i, FIELD_NAME);
        t->sub[i].typmod = int_value(c->fields, first + i, FIELD_MOD);
        if (!build(c, &t->sub[i], oid_value(c->fields, first + i, FIELD_TYPE), depth))
            return false;
    }
    return true;
}

/* @t: typmod and field are set. Return: false when it is too deep, too large or not in the
 * catalog. */
static bool build(struct wf_catalog *c, struct wf_catalog_type *t, uint32_t oid, int depth)
{
    int row = depth > WF_TYPE_DEPTH ? -1 : follow_domains(c->types, oid, t);

    if (row < 0)
        return false;
    t->oid = oid_value(c->types, row, TYPE_OID);
    t->schema = wf_pg_value(c->types, row, TYPE_SCHEMA);
    t->name = wf_pg_value(c->types, row, TYPE_NAME);
    t->enum_labels = wf_pg_value(c->types, row, TYPE_LABELS);
    t->kind = kind_of(c->types, row);
    if (t->kind == 'c')
        return build_fields(c, t, depth + 1);
    if (t->kind != 'a')
        return true;
    t->sub = take_nodes(c, 1);
    if (!t->sub)
        return false;
    t->nsub = 1;
    t->sub->typmod = -1;
    return build(c, t->sub, oid_value(c->types, row, TYPE_ELEM), depth + 1);
}

static bool has_parts(const struct wf_catalog_col *col)
{
    return col->found && (col->elem_oid || col->base_typtype == 'c');
}

static enum wf_rc ask(PGconn *conn, uint32_t rel_oid, struct wf_catalog *c, struct wf_err *err)
{
    char sql[sizeof(types_sql) + sizeof(fields_sql)];
    PGresult *res = NULL;
    enum wf_rc rc;

    snprintf(sql, sizeof(sql), types_sql, rel_oid);
    rc = wf_pg_query(conn, sql, NULL, &res, err);
    if (rc != WF_OK)
        return rc;
    c->types = res;
    snprintf(sql, sizeof(sql), fields_sql, rel_oid);
    rc = wf_pg_query(conn, sql, NULL, &res, err);
    if (rc == WF_OK)
        c->fields = res;
    return rc;
}

enum wf_rc wf_catalog_fetch_types(PGconn *conn, uint32_t rel_oid, struct wf_catalog *c,
                                  struct wf_err *err)
{
    uint16_t first = 0;
    enum wf_rc rc;

    while (first < c->ncols && !has_parts(&c->cols[first]))
        first++;
    if (first == c->ncols)
        return WF_OK;
    rc = ask(conn, rel_oid, c, err);
    if (rc != WF_OK)
        return rc;
    c->max_nodes = MAX_NODES + (size_t)2 * c->ncols;
    c->nodes = calloc(c->max_nodes, sizeof(*c->nodes));
    if (!c->nodes)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    for (uint16_t i = first; i < c->ncols; i++) {
        struct wf_catalog_type *t = has_parts(&c->cols[i]) ? take_nodes(c, 1) : NULL;

        if (!t)
            continue;
        t->typmod = c->cols[i].base_typmod;
        if (build(c, t, c->cols[i].base_oid, 0))
            c->cols[i].tree = t;
    }
    return WF_OK;
}
