#include "tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsn.h"
#include "pg.h"
#include "relation.h"

struct wf_tables {
    const struct wf_source_conf *conf;
    struct wf_worker *worker;
    struct { /* the worker's while job.queued */
        struct wf_job job;
        char schema[64], name[64]; /* NAMEDATALEN */
        struct wf_table *table;
        enum wf_rc rc;
        struct wf_err err;
    } lookup;
    bool asked, done, dropped;
};

/* The position is read after the snapshot of the statement was taken: what the rows show was
 * committed before it. The name of a type is what a Type message of pgoutput says: a domain's
 * base. */
static const char table_sql[] =
    "SELECT c.oid, c.relreplident, c.relnatts, CASE WHEN pg_catalog.pg_is_in_recovery() THEN "
    "pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END, "
    "a.attnum, a.attname, a.atttypid, a.atttypmod, a.attlen = -1, a.attnotnull, "
    "pg_catalog.format_type(a.atttypid, a.atttypmod), "
    "CASE WHEN a.atttypid >= 10000::pg_catalog.oid THEN (WITH RECURSIVE b AS ("
    "SELECT t.typname, t.typtype, t.typbasetype FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid "
    "UNION ALL SELECT t.typname, t.typtype, t.typbasetype FROM b JOIN pg_catalog.pg_type t ON "
    "t.oid = b.typbasetype WHERE b.typtype = 'd') SELECT typname FROM b WHERE typtype <> 'd') END, "
    "EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND "
    "a.attnum = ANY (i.indkey)), "
    "EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND a.attnum = ANY "
    "(i.indkey) AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND "
    "i.indisreplident)) "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT "
    "a.attisdropped WHERE n.nspname = ";
enum {
    OID,
    IDENTITY,
    NATTS,
    LSN,
    ATTNUM,
    NAME,
    TYPE_OID,
    TYPMOD,
    VARLENA,
    NOT_NULL,
    TYPE,
    TYPE_NAME,
    PK,
    KEY,
};

struct wf_tables *wf_tables_new(const struct wf_source_conf *conf, struct wf_worker *worker)
{
    struct wf_tables *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->conf = conf;
    t->worker = worker;
    return t;
}

void wf_tables_free(struct wf_tables *t)
{
    if (!t)
        return;
    free(t->lookup.table);
    free(t);
}

static uint32_t number(const PGresult *res, int row, int col)
{
    return (uint32_t)strtoul(PQgetvalue(res, row, col), NULL, 10); /* "" for NULL */
}

static bool is_true(const PGresult *res, int row, int col)
{
    return *PQgetvalue(res, row, col) == 't';
}

static const char *keep(char **text, const PGresult *res, int row, int col)
{
    size_t n = (size_t)PQgetlength(res, row, col) + 1;
    char *at = *text;

    if (PQgetisnull(res, row, col))
        return NULL;
    memcpy(at, PQgetvalue(res, row, col), n);
    *text = at + n;
    return at;
}

/* A table without columns has one row of NULLs. */
static struct wf_table *read_table(const PGresult *res)
{
    int rows = PQntuples(res), ncols = rows && !PQgetisnull(res, 0, ATTNUM) ? rows : 0;
    size_t bytes = 0;
    struct wf_table *table;
    char *text;

    if (ncols > WF_MAX_COLUMNS)
        ncols = WF_MAX_COLUMNS;
    for (int i = 0; i < ncols; i++)
        bytes += (size_t)PQgetlength(res, i, NAME) + (size_t)PQgetlength(res, i, TYPE) +
                 (size_t)PQgetlength(res, i, TYPE_NAME) + 3;
    table = calloc(1, sizeof(*table) + (size_t)ncols * sizeof(table->cols[0]) + bytes);
    if (!table || !rows)
        return table;
    text = (char *)&table->cols[ncols];
    table->oid = number(res, 0, OID);
    table->identity = *PQgetvalue(res, 0, IDENTITY);
    table->natts = (uint16_t)number(res, 0, NATTS);
    table->ncols = (uint16_t)ncols;
    wf_lsn_parse(PQgetvalue(res, 0, LSN), &table->lsn, NULL);
    for (int i = 0; i < ncols; i++)
        table->cols[i] = (struct wf_table_col){
            .name = keep(&text, res, i, NAME),
            .type = keep(&text, res, i, TYPE),
            .type_name = keep(&text, res, i, TYPE_NAME),
            .type_oid = number(res, i, TYPE_OID),
            .typmod = (int32_t)strtol(PQgetvalue(res, i, TYPMOD), NULL, 10),
            .attnum = (uint16_t)number(res, i, ATTNUM),
            .varlena = is_true(res, i, VARLENA),
            .not_null = is_true(res, i, NOT_NULL),
            .pk = is_true(res, i, PK),
            .key = is_true(res, i, KEY),
        };
    return table;
}

static enum wf_rc fetch(struct wf_tables *t, PGconn *conn, struct wf_err *err)
{
    wf_autoquoted char *schema = NULL, *name = NULL;
    wf_autoresult PGresult *res = NULL;
    char sql[sizeof(table_sql) + 400];
    enum wf_rc rc = wf_pg_literal(conn, t->lookup.schema, &schema, err);

    if (rc == WF_OK)
        rc = wf_pg_literal(conn, t->lookup.name, &name, err);
    if (rc != WF_OK)
        return rc;
    snprintf(sql, sizeof(sql), "%s%s AND c.relname = %s ORDER BY a.attnum", table_sql, schema,
             name);
    rc = wf_pg_query(conn, sql, NULL, &res, err);
    if (rc != WF_OK)
        return rc;
    t->lookup.table = read_table(res);
    return t->lookup.table ? WF_OK : wf_err_set(err, WF_RETRY, "memory", "out of memory");
}

static void lookup_run(struct wf_job *job)
{
    struct wf_tables *t = wf_container_of(job, struct wf_tables, lookup.job);
    wf_autoconn PGconn *conn = NULL;

    t->lookup.rc = wf_pg_connect(t->conf, WF_PG_SQL, NULL, &conn, &t->lookup.err);
    if (t->lookup.rc == WF_OK)
        t->lookup.rc = fetch(t, conn, &t->lookup.err);
}

static void lookup_done(struct wf_job *job)
{
    struct wf_tables *t = wf_container_of(job, struct wf_tables, lookup.job);

    t->done = true;
    if (t->dropped)
        wf_tables_forget(t);
}

void wf_tables_forget(struct wf_tables *t)
{
    t->dropped = t->lookup.job.queued;
    if (t->dropped && !t->done)
        return;
    free(t->lookup.table);
    t->lookup.table = NULL;
    t->asked = t->done = t->dropped = false;
}

/* Return: false for a name that no table can have. */
static bool copy_name(char out[64], const char *name)
{
    size_t n = strlen(name);

    if (n >= 64)
        return false;
    memcpy(out, name, n + 1);
    return true;
}

enum wf_rc wf_tables_look(struct wf_tables *t, const struct wf_table_name *name,
                          struct wf_table **out, struct wf_err *err)
{
    enum wf_rc rc;

    if (t->lookup.job.queued)
        return WF_AGAIN;
    if (!t->asked) {
        if (!copy_name(t->lookup.schema, name->schema) || !copy_name(t->lookup.name, name->name)) {
            *out = calloc(1, sizeof(**out));
            return *out ? WF_OK : wf_err_set(err, WF_RETRY, "memory", "out of memory");
        }
        t->asked = true;
        t->lookup.job.run = lookup_run;
        t->lookup.job.done = lookup_done;
        wf_worker_submit(t->worker, &t->lookup.job);
        return WF_AGAIN;
    }
    rc = t->lookup.rc;
    if (rc == WF_OK) {
        *out = t->lookup.table;
        t->lookup.table = NULL;
    } else {
        *err = t->lookup.err;
        wf_err_wrap(err, "looking up the columns of %s.%s", name->schema, name->name);
        rc = err->rc = WF_RETRY;
    }
    wf_tables_forget(t);
    return rc;
}
