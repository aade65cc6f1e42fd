/* pgoutput, protocol version 1, text tuples.
 * Source: PostgreSQL documentation, "Logical Replication Message Formats". */
#include <stdlib.h>

#include "config.h"
#include "decoder.h"
#include "reader.h"

#define PG_EPOCH_US INT64_C(946684800000000) /* 2000-01-01 since the Unix epoch */
#define FIRST_USER_OID 10000                 /* built-in types have no Type message */
#define MAX_KNOWN 262144                     /* tables, or types, of one connection */

/* Open addressing over oid -> pointer; grows, never shrinks. */
struct oid_map {
    struct oid_entry {
        uint32_t oid; /* 0 = free: no table or type has it */
        void *value;
    } *entries;
    uint32_t size, used; /* size is a power of two */
};

struct wf_decoder {
    struct oid_map relations; /* struct wf_relation * */
    struct oid_map types;     /* char *: name */
    struct wf_relation *last; /* most changes are of the same table as the one before */
    struct wf_txn txn;
    uint64_t last_end_lsn; /* of the transaction before, or where the stream began */
    bool in_txn;
    char origin[512];
    struct wf_relation **truncated;
    uint32_t truncated_cap;
    struct wf_col old_row[WF_MAX_COLUMNS], new_row[WF_MAX_COLUMNS];
};

/* ---- oid -> pointer ------------------------------------------------------------------------ */

static void **map_slot(const struct oid_map *m, uint32_t oid)
{
    uint32_t i = oid * UINT32_C(2654435761) & (m->size - 1);

    while (m->entries[i].oid && m->entries[i].oid != oid)
        i = (i + 1) & (m->size - 1);
    return m->entries[i].oid ? &m->entries[i].value : NULL;
}

static void *map_get(const struct oid_map *m, uint32_t oid)
{
    void **slot = m->size ? map_slot(m, oid) : NULL;

    return slot ? *slot : NULL;
}

static void map_insert(struct oid_map *m, uint32_t oid, void *value)
{
    uint32_t i = oid * UINT32_C(2654435761) & (m->size - 1);

    while (m->entries[i].oid)
        i = (i + 1) & (m->size - 1);
    m->entries[i] = (struct oid_entry){oid, value};
    m->used++;
}

static bool map_grow(struct oid_map *m)
{
    struct oid_map bigger = {.size = m->size ? m->size * 2 : 64};

    bigger.entries = calloc(bigger.size, sizeof(*bigger.entries));
    if (!bigger.entries)
        return false;
    for (uint32_t i = 0; i < m->size; i++) {
        if (m->entries[i].oid)
            map_insert(&bigger, m->entries[i].oid, m->entries[i].value);
    }
    free(m->entries);
    *m = bigger;
    return true;
}

/* Where @oid's value stands, made if need be; NULL when memory or the limit says no. */
static void **map_put(struct oid_map *m, uint32_t oid)
{
    void **slot = m->size ? map_slot(m, oid) : NULL;

    if (slot)
        return slot;
    if (m->used >= MAX_KNOWN || (m->used * 4 >= m->size * 3 && !map_grow(m)))
        return NULL;
    map_insert(m, oid, NULL);
    return map_slot(m, oid);
}

static void free_relation(void *relation)
{
    struct wf_relation *rel = relation;

    if (rel && rel->plan_free)
        rel->plan_free(rel->plan);
    free(rel);
}

static void map_clear(struct oid_map *m, void (*release)(void *))
{
    for (uint32_t i = 0; i < m->size; i++) {
        if (m->entries[i].oid)
            release(m->entries[i].value);
    }
    free(m->entries);
    *m = (struct oid_map){0};
}

/* ---- errors ---------------------------------------------------------------------------------- */

static enum wf_rc malformed(const struct wf_msg *msg, const struct wf_reader *r, struct wf_err *err)
{
    return wf_err_set(err, WF_FATAL, "malformed",
                      "pgoutput message '%c' (0x%02x) of %zu bytes is malformed at byte %zu: %s",
                      msg->len && msg->data[0] > ' ' && msg->data[0] < 127 ? msg->data[0] : '?',
                      msg->len ? (unsigned char)msg->data[0] : 0, msg->len, r->failed_at, r->what);
}

static enum wf_rc no_memory(struct wf_err *err)
{
    return wf_err_set(err, WF_FATAL, "memory", "out of memory, or more than %d tables or types",
                      MAX_KNOWN);
}

/* ---- transactions ---------------------------------------------------------------------------- */

static void begin(struct wf_decoder *d, struct wf_reader *r, struct wf_change *out)
{
    if (d->in_txn)
        wf_read_fail(r, "Begin inside a transaction");
    d->txn =
        (struct wf_txn){.final_lsn = wf_read_u64(r, "final LSN"), .prev_end_lsn = d->last_end_lsn};
    d->txn.commit_us = (int64_t)wf_read_u64(r, "commit time") + PG_EPOCH_US;
    d->txn.xid = wf_read_u32(r, "xid");
    d->in_txn = true;
    out->kind = WF_CHANGE_BEGIN;
}

static void commit(struct wf_decoder *d, struct wf_reader *r, struct wf_change *out)
{
    uint64_t commit_lsn;

    if (!d->in_txn)
        wf_read_fail(r, "Commit outside a transaction");
    wf_read_u8(r, "flags");
    commit_lsn = wf_read_u64(r, "commit LSN");
    d->txn.end_lsn = wf_read_u64(r, "end LSN");
    d->txn.commit_us = (int64_t)wf_read_u64(r, "commit time") + PG_EPOCH_US;
    if (!r->what && (commit_lsn != d->txn.final_lsn || d->txn.end_lsn <= commit_lsn))
        wf_read_fail(r, "commit LSN differs from its Begin");
    d->last_end_lsn = d->txn.end_lsn;
    d->in_txn = false;
    out->kind = WF_CHANGE_COMMIT;
}

static void origin(struct wf_decoder *d, struct wf_reader *r)
{
    const char *name;
    size_t len;

    d->txn.origin_lsn = wf_read_u64(r, "origin LSN");
    name = wf_read_str(r, "origin name");
    len = strlen(name);
    if (len >= sizeof(d->origin))
        wf_read_fail(r, "origin name is too long");
    if (r->what)
        return;
    memcpy(d->origin, name, len + 1);
    d->txn.origin = d->origin;
}

/* ---- shapes ------------------------------------------------------------------------------------
 */

static enum wf_rc type(struct wf_decoder *d, struct wf_reader *r, struct wf_err *err)
{
    uint32_t oid = wf_read_u32(r, "type oid");
    const char *name;
    void **slot;
    char *copy;

    wf_read_str(r, "type schema");
    name = wf_read_str(r, "type name");
    if (r->what || !oid)
        return WF_AGAIN;
    copy = strdup(name);
    slot = map_put(&d->types, oid);
    if (!slot || !copy) {
        free(copy);
        return no_memory(err);
    }
    free(*slot);
    *slot = copy;
    return WF_AGAIN;
}

/* What the strings of a Relation message need, read ahead of the copy. */
struct shape {
    uint32_t oid;
    const char *schema, *name;
    char identity;
    uint16_t ncols;
    size_t text_bytes;
};

static const char *type_name_of(const struct wf_decoder *d, uint32_t oid)
{
    return oid >= FIRST_USER_OID ? map_get(&d->types, oid) : NULL;
}

static void measure_columns(const struct wf_decoder *d, struct wf_reader r, struct shape *shape)
{
    for (uint16_t i = 0; i < shape->ncols && !r.what; i++) {
        const char *type_name;

        wf_read_u8(&r, "column flags");
        shape->text_bytes += strlen(wf_read_str(&r, "column name")) + 1;
        type_name = type_name_of(d, wf_read_u32(&r, "column type"));
        wf_read_u32(&r, "column typmod");
        shape->text_bytes += type_name ? strlen(type_name) + 1 : 0;
    }
}

static const char *keep(char **text, const char *s)
{
    char *at = *text;
    size_t n = strlen(s) + 1;

    memcpy(at, s, n);
    *text = at + n;
    return at;
}

static void fill_relation(struct wf_decoder *d, struct wf_reader *r, const struct shape *shape,
                          struct wf_relation *rel)
{
    char *text;

    rel->cols = (struct wf_relcol *)(rel + 1);
    text = (char *)(rel->cols + shape->ncols);
    rel->oid = shape->oid;
    rel->schema = keep(&text, shape->schema[0] ? shape->schema : "pg_catalog");
    rel->name = keep(&text, shape->name);
    rel->identity = shape->identity;
    rel->ncols = shape->ncols;
    for (uint16_t i = 0; i < rel->ncols && !r->what; i++) {
        struct wf_relcol *col = &rel->cols[i];
        const char *type_name;

        col->key = wf_read_u8(r, "column flags") & 1;
        col->name = keep(&text, wf_read_str(r, "column name"));
        col->type_oid = wf_read_u32(r, "column type");
        col->typmod = (int32_t)wf_read_u32(r, "column typmod");
        type_name = type_name_of(d, col->type_oid);
        col->type_name = type_name ? keep(&text, type_name) : NULL;
    }
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_shape(const struct wf_relation *a, const struct wf_relation *b)
{
    if (a->identity != b->identity || a->ncols != b->ncols || !same_text(a->schema, b->schema) ||
        !same_text(a->name, b->name))
        return false;
    for (uint16_t i = 0; i < a->ncols; i++) {
        const struct wf_relcol *x = &a->cols[i], *y = &b->cols[i];

        if (x->type_oid != y->type_oid || x->typmod != y->typmod || x->key != y->key ||
            !same_text(x->name, y->name) || !same_text(x->type_name, y->type_name))
            return false;
    }
    return true;
}

/* A Relation message comes after any invalidation, ANALYZE included. Equal or not it drops the
 * plan: what the catalog adds (key order, nullability, defaults) may have changed with it. */
static enum wf_rc relation(struct wf_decoder *d, struct wf_reader *r, struct wf_err *err)
{
    struct shape shape = {.oid = wf_read_u32(r, "relation oid")};
    struct wf_relation *rel, *old;
    void **slot;

    shape.schema = wf_read_str(r, "schema name");
    shape.name = wf_read_str(r, "relation name");
    shape.identity = (char)wf_read_u8(r, "replica identity");
    shape.ncols = wf_read_u16(r, "column count");
    if (!r->what && (!shape.oid || shape.ncols > WF_MAX_COLUMNS))
        wf_read_fail(r, shape.oid ? "more than 1664 columns" : "relation oid 0");
    shape.text_bytes = sizeof("pg_catalog") + strlen(shape.schema) + strlen(shape.name) + 2;
    measure_columns(d, *r, &shape);
    if (r->what)
        return WF_AGAIN;
    rel = calloc(1, sizeof(*rel) + shape.ncols * sizeof(*rel->cols) + shape.text_bytes);
    slot = rel ? map_put(&d->relations, shape.oid) : NULL;
    if (!slot) {
        free(rel);
        return no_memory(err);
    }
    fill_relation(d, r, &shape, rel);
    if (r->what) {
        free(rel);
        return WF_AGAIN;
    }
    old = *slot;
    rel->version = !old ? 1 : same_shape(old, rel) ? old->version : old->version + 1;
    free_relation(old);
    *slot = rel;
    d->last = rel;
    return WF_AGAIN;
}

static struct wf_relation *find_relation(struct wf_decoder *d, struct wf_reader *r)
{
    uint32_t oid = wf_read_u32(r, "relation oid");

    if (!d->last || d->last->oid != oid)
        d->last = map_get(&d->relations, oid);
    if (!d->last)
        wf_read_fail(r, "change of a table without a Relation message before it");
    return d->last;
}

/* ---- rows
 * ---------------------------------------------------------------------------------------- */

static void fail_at(struct wf_reader *r, const char *at, const char *what)
{
    r->at = at;
    wf_read_fail(r, what);
}

/* The one loop that runs per column: bounds are checked here, not through the reader's calls. */
static void tuple(struct wf_reader *r, const struct wf_relation *rel, struct wf_col *row)
{
    uint16_t ncols = wf_read_u16(r, "column count");
    const char *at = r->at, *end = r->end;

    if (!r->what && ncols != rel->ncols)
        wf_read_fail(r, "column count differs from the Relation message");
    if (r->what)
        return;
    for (struct wf_col *col = row; col < row + ncols; col++) {
        uint32_t len = 0;

        if (at == end)
            return fail_at(r, at, "column kind");
        col->kind = (uint8_t)*at++;
        if (col->kind == WF_COL_TEXT || col->kind == WF_COL_BINARY) {
            if (end - at < 4)
                return fail_at(r, at, "column length");
            memcpy(&len, at, sizeof(len));
            len = be32toh(len);
            at += sizeof(len);
            if ((size_t)(end - at) < len)
                return fail_at(r, at, "column value");
        } else if (col->kind != WF_COL_NULL && col->kind != WF_COL_UNCHANGED) {
            return fail_at(r, at, "unknown column kind");
        }
        col->data = at;
        col->len = len;
        at += len;
    }
    r->at = at;
}

static void row_change(struct wf_decoder *d, struct wf_reader *r, enum wf_change_kind kind,
                       struct wf_change *out)
{
    uint8_t mark;

    if (!d->in_txn)
        wf_read_fail(r, "change outside a transaction");
    out->kind = kind;
    out->rel = find_relation(d, r);
    mark = wf_read_u8(r, "tuple mark");
    if (r->what)
        return;
    if (kind != WF_CHANGE_INSERT && (mark == WF_OLD_KEY || mark == WF_OLD_FULL)) {
        out->old_kind = (enum wf_old_kind)mark;
        out->old_row = d->old_row;
        tuple(r, out->rel, d->old_row);
        if (kind == WF_CHANGE_DELETE)
            return;
        mark = wf_read_u8(r, "tuple mark");
    }
    if (kind == WF_CHANGE_DELETE || mark != 'N') {
        wf_read_fail(r, "unknown tuple mark");
        return;
    }
    out->new_row = d->new_row;
    tuple(r, out->rel, d->new_row);
}

static enum wf_rc truncate(struct wf_decoder *d, struct wf_reader *r, struct wf_change *out,
                           struct wf_err *err)
{
    uint32_t n = wf_read_u32(r, "relation count");
    uint8_t options = wf_read_u8(r, "truncate options");

    if (!d->in_txn)
        wf_read_fail(r, "change outside a transaction");
    if (!r->what && n > (size_t)(r->end - r->at) / 4)
        wf_read_fail(r, "relation count is larger than the message");
    if (r->what)
        return WF_OK;
    if (n > d->truncated_cap) {
        void *bigger = realloc(d->truncated, n * sizeof(struct wf_relation *));

        if (!bigger)
            return no_memory(err);
        d->truncated = bigger;
        d->truncated_cap = n;
    }
    for (uint32_t i = 0; i < n; i++)
        d->truncated[i] = find_relation(d, r);
    out->kind = WF_CHANGE_TRUNCATE;
    out->truncate.rels = d->truncated;
    out->truncate.nrels = n;
    out->truncate.cascade = options & 1;
    out->truncate.restart_identity = options & 2;
    return WF_OK;
}

static void message(struct wf_reader *r, struct wf_change *out)
{
    out->kind = WF_CHANGE_MESSAGE;
    out->message.transactional = wf_read_u8(r, "message flags") & 1;
    out->lsn = wf_read_u64(r, "message LSN");
    out->message.prefix = wf_read_str(r, "message prefix");
    out->message.len = wf_read_u32(r, "message length");
    out->message.content = wf_read_bytes(r, out->message.len, "message content");
}

/* ---- options --------------------------------------------------------------------------------- */

static bool sends_binary(const struct wf_start *start)
{
    return start->conf->binary && start->server_version >= 140000 && start->variant == 0;
}

static void options(const struct wf_start *start, struct wf_buf *out)
{
    wf_buf_printf(out, "proto_version '1', publication_names %s%s", start->publication,
                  start->server_version >= 140000 ? ", messages 'true'" : "");
    if (sends_binary(start))
        wf_buf_str(out, ", binary 'true'");
}

/* undefined_function: "no binary output function available for type", of an array's element. */
static const struct wf_fallback *falls_back(const struct wf_start *start, const char *sqlstate)
{
    static const struct wf_fallback text = {
        "binary_off", "a type has no binary form: source.binary is off from here on"};

    return sends_binary(start) && strcmp(sqlstate, "42883") == 0 ? &text : NULL;
}

/* ---- contract -------------------------------------------------------------------------------- */

static enum wf_rc dispatch(struct wf_decoder *d, struct wf_reader *r, struct wf_change *out,
                           struct wf_err *err)
{
    switch (wf_read_u8(r, "message type")) {
    case 'I':
        row_change(d, r, WF_CHANGE_INSERT, out);
        return WF_OK;
    case 'U':
        row_change(d, r, WF_CHANGE_UPDATE, out);
        return WF_OK;
    case 'D':
        row_change(d, r, WF_CHANGE_DELETE, out);
        return WF_OK;
    case 'B':
        begin(d, r, out);
        return WF_OK;
    case 'C':
        commit(d, r, out);
        return WF_OK;
    case 'R':
        return relation(d, r, err);
    case 'Y':
        return type(d, r, err);
    case 'O':
        origin(d, r);
        return WF_AGAIN;
    case 'T':
        return truncate(d, r, out, err);
    case 'M':
        message(r, out);
        return WF_OK;
    default:
        wf_read_fail(r, "unknown message type");
        return WF_OK;
    }
}

static enum wf_rc decode(struct wf_decoder *d, const struct wf_msg *msg, struct wf_change *out,
                         struct wf_err *err)
{
    struct wf_reader r = wf_reader(msg->data, msg->len);
    enum wf_rc rc;

    *out = (struct wf_change){.lsn = msg->start_lsn};
    rc = dispatch(d, &r, out, err);
    if (rc == WF_FATAL)
        return rc;
    if (!r.what && r.at != r.end)
        wf_read_fail(&r, "bytes after the end of the message");
    if (r.what)
        return malformed(msg, &r, err);
    out->txn = d->in_txn || out->kind == WF_CHANGE_COMMIT ? &d->txn : NULL;
    return rc;
}

static void reset(struct wf_decoder *d, uint64_t start_lsn)
{
    map_clear(&d->relations, free_relation);
    map_clear(&d->types, free);
    d->last = NULL;
    d->in_txn = false;
    d->txn.origin = NULL;
    d->last_end_lsn = start_lsn;
}

static enum wf_rc open(struct wf_decoder **self, struct wf_err *err)
{
    *self = calloc(1, sizeof(**self));
    return *self ? WF_OK : no_memory(err);
}

static void close(struct wf_decoder *d)
{
    if (!d)
        return;
    reset(d, 0);
    free(d->truncated);
    free(d);
}

const struct wf_decoder_ops wf_decoder_pgoutput = {
    .name = "pgoutput",
    .help = "PostgreSQL's own output plugin, in every server",
    .needs_publication = true,
    .options = options,
    .falls_back = falls_back,
    .open = open,
    .decode = decode,
    .reset = reset,
    .close = close,
};
