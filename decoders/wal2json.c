/* wal2json, format version 2: one JSON object per BEGIN, change and COMMIT. What it cannot say, and
 * what is made of that: docs/decoders.md. */
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "wal2json_shape.h"

#define OID_BYTEA 17
#define OID_FLOAT4 700
#define OID_FLOAT8 701
#define OID_NUMERIC 1700
/* A table whose updates leave TOASTed values out is looked up again that often, by the clock of the
 * stream: a guess between the cost of a look-up and the time that a dropped column lingers. */
#define ASK_AGAIN_US INT64_C(10000000)

/* Variants of the options. */
enum { NUMBERS_AS_TEXT, NUMBERS_PLAIN };

struct wf_decoder {
    struct wf_w2j_tables *tables;
    struct wf_w2j_table *asked; /* the last message waits for its columns */
    bool told;
    int variant;
    struct wf_txn txn;
    uint64_t last_end_lsn;
    bool in_txn;
    struct wf_relation *truncated;
    struct wf_w2j_reader reader;
    struct wf_w2j_record record;
    char *room;
    size_t room_bytes;
    struct wf_w2j_field columns[WF_MAX_COLUMNS], identity[WF_MAX_COLUMNS], pk[WF_MAX_COLUMNS];
    struct wf_col old_row[WF_MAX_COLUMNS], new_row[WF_MAX_COLUMNS];
};

/* ---- errors ------------------------------------------------------------------------------ */

static enum wf_rc malformed(const struct wf_msg *msg, const char *what, size_t at,
                            struct wf_err *err)
{
    return wf_err_set(err, WF_FATAL, "malformed",
                      "wal2json message of %zu bytes is malformed at byte %zu: %s", msg->len, at,
                      what);
}

static enum wf_rc no_memory(struct wf_err *err)
{
    return wf_err_set(err, WF_FATAL, "memory", "out of memory, or too many tables");
}

/* ---- transactions ------------------------------------------------------------------------ */

static const char *begin(struct wf_decoder *d, struct wf_change *out)
{
    const struct wf_w2j_record *rec = &d->record;

    if (d->in_txn)
        return "BEGIN inside a transaction";
    d->txn = (struct wf_txn){.final_lsn = rec->lsn,
                             .commit_us = rec->time_us,
                             .xid = rec->xid,
                             .prev_end_lsn = d->last_end_lsn};
    d->in_txn = true;
    out->kind = WF_CHANGE_BEGIN;
    return NULL;
}

static const char *commit(struct wf_decoder *d, struct wf_change *out)
{
    const struct wf_w2j_record *rec = &d->record;

    if (!d->in_txn)
        return "COMMIT outside a transaction";
    if (rec->lsn != d->txn.final_lsn || rec->next_lsn <= rec->lsn || rec->xid != d->txn.xid)
        return "COMMIT differs from its BEGIN";
    d->txn.end_lsn = rec->next_lsn;
    d->txn.commit_us = rec->time_us;
    d->last_end_lsn = rec->next_lsn;
    d->in_txn = false;
    out->kind = WF_CHANGE_COMMIT;
    return NULL;
}

static const char *message(struct wf_decoder *d, struct wf_change *out)
{
    const struct wf_w2j_record *rec = &d->record;

    if (rec->transactional && (!d->in_txn || rec->xid != d->txn.xid))
        return "message outside its transaction";
    out->kind = WF_CHANGE_MESSAGE;
    out->message.transactional = rec->transactional;
    out->message.prefix = wf_w2j_put(&d->reader, "", rec->prefix).s;
    out->message.content = rec->content.s;
    out->message.len = (uint32_t)rec->content.n;
    return NULL;
}

/* ---- values ------------------------------------------------------------------------------ */

/* The text that pgoutput sends for the value. */
static void put_value(void *arg, struct wf_col *col, const struct wf_w2j_field *f)
{
    struct wf_decoder *d = arg;
    struct wf_w2j_text text = f->value;

    if (f->kind == WF_W2J_NULL) {
        bool number =
            f->type_oid == OID_FLOAT4 || f->type_oid == OID_FLOAT8 || f->type_oid == OID_NUMERIC;

        *col = (struct wf_col){.kind = WF_COL_NULL};
        if (number && d->variant == NUMBERS_PLAIN)
            col->kind = WF_COL_UNSURE;
        return;
    }
    if (f->kind == WF_W2J_TRUE)
        text = (struct wf_w2j_text){"t", 1};
    else if (f->kind == WF_W2J_FALSE)
        text = (struct wf_w2j_text){"f", 1};
    else if (f->type_oid == OID_BYTEA)
        text = wf_w2j_put(&d->reader, "\\x", text);
    *col = (struct wf_col){.data = text.s, .len = (uint32_t)text.n, .kind = WF_COL_TEXT};
}

static bool same_value(const struct wf_col *a, const struct wf_col *b)
{
    return a->kind == b->kind && a->len == b->len &&
           (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* The plugin writes the identity of every UPDATE, the server logs an old one only when it has
 * changed (or has TOASTed parts, then it is equal): nothing else says that the key is another. */
static void old_of_update(struct wf_decoder *d, const struct wf_relation *rel,
                          struct wf_change *out)
{
    bool changed = false;

    for (uint16_t i = 0; i < rel->ncols; i++) {
        if (!rel->cols[i].key)
            continue;
        if (d->new_row[i].kind == WF_COL_UNCHANGED) /* what is unchanged is the old value */
            d->new_row[i] = d->old_row[i];
        changed |= !same_value(&d->old_row[i], &d->new_row[i]);
    }
    if (!changed)
        return;
    out->old_kind = WF_OLD_KEY;
    out->old_row = d->old_row;
}

/* ---- changes ----------------------------------------------------------------------------- */

/* The message is decoded once more when tell() has brought the table's columns. */
static enum wf_rc ask(struct wf_decoder *d, struct wf_w2j_table *t)
{
    d->asked = t;
    t->asked_us = d->txn.commit_us;
    return WF_AGAIN;
}

/* A missing column that may have been dropped: the catalog can tell, once this transaction lies
 * behind the position of the last look-up. */
static bool asks_again(const struct wf_decoder *d, const struct wf_w2j_table *t)
{
    return !t->live ||
           (d->txn.final_lsn > t->live->lsn && d->txn.commit_us - t->asked_us >= ASK_AGAIN_US);
}

/* Find the table's shape and lay the change over it. *what = why it is malformed. */
static enum wf_rc shape(struct wf_decoder *d, struct wf_w2j_table **out, const char **what,
                        struct wf_err *err)
{
    const struct wf_w2j_record *rec = &d->record;
    struct wf_w2j_table *t = wf_w2j_table(d->tables, rec->schema, rec->table);
    const struct wf_w2j_fitting over = {t,         rec, d->txn.final_lsn, d->new_row, d->old_row,
                                        put_value, d};
    char *room = d->reader.room;
    enum wf_w2j_fit fit;

    if (!t)
        return no_memory(err);
    *out = t;
    if (d->told && t == d->asked && !wf_w2j_reshape(d->tables, t, rec, d->txn.final_lsn))
        return no_memory(err);
    fit = wf_w2j_fit(&over);
    if (d->told) {
        d->told = false;
        if (fit == WF_W2J_DIFFERS)
            *what = "columns that contradict each other";
        return WF_OK;
    }
    if (fit == WF_W2J_FITS || (fit == WF_W2J_DOUBT && !asks_again(d, t)))
        return WF_OK;
    d->reader.room = room;
    return ask(d, t);
}

static enum wf_rc change(struct wf_decoder *d, struct wf_change *out, const char **what,
                         struct wf_err *err)
{
    const struct wf_w2j_record *rec = &d->record;
    struct wf_w2j_table *t = NULL;
    enum wf_rc rc;

    if (!d->in_txn || rec->xid != d->txn.xid) {
        *what = "change outside its transaction";
        return WF_OK;
    }
    rc = shape(d, &t, what, err);
    if (rc != WF_OK || *what || !t)
        return rc;
    out->rel = t->rel;
    if (rec->action == 'T') {
        out->kind = WF_CHANGE_TRUNCATE;
        out->rel = NULL;
        d->truncated = t->rel;
        out->truncate.rels = &d->truncated;
        out->truncate.nrels = 1;
        return WF_OK;
    }
    out->kind = rec->action == 'I'   ? WF_CHANGE_INSERT
                : rec->action == 'U' ? WF_CHANGE_UPDATE
                                     : WF_CHANGE_DELETE;
    out->new_row = rec->action == 'D' ? NULL : d->new_row;
    if (rec->action == 'I')
        return WF_OK;
    if (t->rel->identity != 'f' && rec->action == 'U') {
        old_of_update(d, t->rel, out);
    } else {
        out->old_kind = t->rel->identity == 'f' ? WF_OLD_FULL : WF_OLD_KEY;
        out->old_row = d->old_row;
    }
    return WF_OK;
}

/* ---- contract ---------------------------------------------------------------------------- */

/* Twice the message: a text with escapes may be copied again to get its prefix. */
static bool make_room(struct wf_decoder *d, size_t len)
{
    size_t need = 2 * len + 16;
    char *bigger;

    if (d->room_bytes >= need)
        return true;
    need += need / 2;
    bigger = realloc(d->room, need);
    if (!bigger)
        return false;
    d->room = bigger;
    d->room_bytes = need;
    return true;
}

static enum wf_rc dispatch(struct wf_decoder *d, struct wf_change *out, const char **what,
                           struct wf_err *err)
{
    switch (d->record.action) {
    case 'B':
        *what = begin(d, out);
        return WF_OK;
    case 'C':
        *what = commit(d, out);
        return WF_OK;
    case 'M':
        *what = message(d, out);
        return WF_OK;
    default:
        return change(d, out, what, err);
    }
}

static enum wf_rc decode(struct wf_decoder *d, const struct wf_msg *msg, struct wf_change *out,
                         struct wf_err *err)
{
    const char *what = NULL;
    enum wf_rc rc;

    if (!make_room(d, msg->len))
        return no_memory(err);
    d->reader = (struct wf_w2j_reader){
        .start = msg->data, .at = msg->data, .end = msg->data + msg->len, .room = d->room};
    d->record = (struct wf_w2j_record){
        .columns.at = d->columns, .identity.at = d->identity, .pk.at = d->pk};
    if (!d->told)
        d->asked = NULL;
    if (!wf_w2j_read(&d->reader, &d->record))
        return malformed(msg, d->reader.what, d->reader.failed_at, err);
    *out = (struct wf_change){.lsn = d->record.lsn};
    rc = dispatch(d, out, &what, err);
    if (what)
        return malformed(msg, what, 0, err);
    out->txn = d->in_txn || out->kind == WF_CHANGE_COMMIT ? &d->txn : NULL;
    if (out->kind == WF_CHANGE_MESSAGE && !out->message.transactional)
        out->txn = NULL;
    return rc;
}

static const struct wf_table_name *asks(const struct wf_decoder *d)
{
    return d->asked && !d->told ? &d->asked->name : NULL;
}

static void tell(struct wf_decoder *d, struct wf_table *table)
{
    if (!d->asked) {
        free(table);
        return;
    }
    free(d->asked->live);
    d->asked->live = table;
    d->told = true;
}

static void started(struct wf_decoder *d, int variant)
{
    d->variant = variant;
}

static void reset(struct wf_decoder *d, uint64_t start_lsn)
{
    wf_w2j_tables_clear(d->tables);
    d->asked = NULL;
    d->told = d->in_txn = false;
    d->last_end_lsn = start_lsn;
}

static void close(struct wf_decoder *d)
{
    if (!d)
        return;
    wf_w2j_tables_free(d->tables);
    free(d->room);
    free(d);
}

static enum wf_rc open(struct wf_decoder **self, struct wf_err *err)
{
    struct wf_decoder *d = calloc(1, sizeof(*d));

    if (d)
        d->tables = wf_w2j_tables_new();
    if (!d || !d->tables) {
        close(d);
        return no_memory(err);
    }
    *self = d;
    return WF_OK;
}

/* ---- options ----------------------------------------------------------------------------- */

static bool is_plain_table(const char *pattern)
{
    const char *dot = strchr(pattern, '.');

    return pattern[0] != '/' && !strpbrk(pattern, "*?[\\") && dot && !strchr(dot + 1, '.');
}

/* A name as the plugin's own list wants it, inside an SQL literal. */
static void put_table(struct wf_buf *out, const char *name)
{
    for (; *name; name++) {
        if (strchr(" ,\t\n\r\f\v", *name))
            wf_buf_byte(out, '\\');
        wf_buf_put(out, "''", *name == '\'' ? 2 : 0);
        if (*name != '\'')
            wf_buf_byte(out, (unsigned char)*name);
    }
}

/* Only plain names can be left to the server; the rest is filtered here. */
static void put_tables(struct wf_buf *out, const char *option, const struct wf_list *list)
{
    size_t n = 0;

    for (size_t i = 0; i < list->n; i++) {
        if (!is_plain_table(list->items[i]))
            continue;
        if (n++)
            wf_buf_byte(out, ',');
        else
            wf_buf_printf(out, ", \"%s\" '", option);
        put_table(out, list->items[i]);
    }
    if (n)
        wf_buf_byte(out, '\'');
}

static bool all_plain(const struct wf_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        if (!is_plain_table(list->items[i]))
            return false;
    }
    return true;
}

static void put_actions(struct wf_buf *out, const struct wf_list *skipped)
{
    static const char *const words[] = {"c", "insert", "u", "update",
                                        "d", "delete", "t", "truncate"};
    int n = 0;

    if (!skipped->n || strcmp(skipped->items[0], "none") == 0)
        return;
    for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w += 2) {
        bool skip = false;

        for (size_t i = 0; i < skipped->n; i++)
            skip |= strcmp(skipped->items[i], words[w]) == 0;
        if (!skip)
            wf_buf_printf(out, "%s%s", n++ ? "," : ", \"actions\" '", words[w + 1]);
    }
    if (n) /* with none left the transform drops what comes */
        wf_buf_byte(out, '\'');
}

static void options(const struct wf_start *start, struct wf_buf *out)
{
    wf_buf_str(out, "\"format-version\" '2', \"include-transaction\" '1', \"include-xids\" '1', "
                    "\"include-timestamp\" '1', \"include-lsn\" '1', \"include-origin\" '1', "
                    "\"include-types\" '1', \"include-typmod\" '1', \"include-type-oids\" '1', "
                    "\"include-not-null\" '1', \"include-pk\" '1', "
                    "\"include-column-positions\" '1'");
    if (start->variant == NUMBERS_AS_TEXT)
        wf_buf_str(out, ", \"numeric-data-types-as-string\" '1'");
    if (all_plain(&start->conf->tables))
        put_tables(out, "add-tables", &start->conf->tables);
    put_tables(out, "filter-tables", &start->conf->exclude_tables);
    put_actions(out, &start->conf->skipped_operations);
}

/* invalid_parameter_value: an option that this release of the plugin does not know. */
static const struct wf_fallback *falls_back(const struct wf_start *start, const char *sqlstate)
{
    static const struct wf_fallback plain = {
        "plugin_old",
        "this wal2json has no numeric-data-types-as-string (2.6 has): NaN and infinity come as "
        "null, so a null in a float or numeric column stops the pipeline unless "
        "format.event_converting_failure_handling_mode is warn"};

    return start->variant == NUMBERS_AS_TEXT && strcmp(sqlstate, "22023") == 0 ? &plain : NULL;
}

const struct wf_decoder_ops wf_decoder_wal2json = {
    .name = "wal2json",
    .help = "JSON, where only that is installed: see docs/decoders.md",
    .needs_utf8 = true,
    .options = options,
    .falls_back = falls_back,
    .open = open,
    .decode = decode,
    .asks = asks,
    .tell = tell,
    .started = started,
    .reset = reset,
    .close = close,
};
