/* A stream of messages, each after two bytes of length; length 0 is a new connection. The catalog's
 * answers follow the first byte of the input: none, or a table of three columns. */
#include <stdlib.h>
#include <string.h>

#include "decoder.h"

extern const struct wf_decoder_ops wf_decoder_wal2json;

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static volatile unsigned char seen;

static void touch(const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        seen ^= ((const unsigned char *)p)[i];
}

static void touch_text(const char *s)
{
    if (s)
        touch(s, strlen(s) + 1);
}

static void touch_row(const struct wf_relation *rel, const struct wf_col *row)
{
    for (uint16_t i = 0; row && i < rel->ncols; i++) {
        if (row[i].kind == WF_COL_TEXT || row[i].kind == WF_COL_BINARY)
            touch(row[i].data, row[i].len);
        else if (row[i].kind != WF_COL_NULL && row[i].kind != WF_COL_UNSURE &&
                 row[i].kind != WF_COL_UNCHANGED)
            abort();
    }
}

static void free_plan(void *plan)
{
    free(plan);
}

static void touch_relation(struct wf_relation *rel)
{
    touch_text(rel->schema);
    touch_text(rel->name);
    if (rel->ncols > WF_MAX_COLUMNS || !rel->version)
        abort();
    for (uint16_t i = 0; i < rel->ncols; i++) {
        touch_text(rel->cols[i].name);
        touch_text(rel->cols[i].type_name);
    }
    if (!rel->plan) { /* as the encoder does */
        rel->plan = malloc(1);
        rel->plan_free = free_plan;
    }
}

/* Reads everything the contract says is there. */
static void touch_change(const struct wf_change *c)
{
    if (c->txn) {
        touch_text(c->txn->origin);
    } else if (c->kind != WF_CHANGE_MESSAGE) {
        abort();
    }
    if (c->rel) {
        touch_relation(c->rel);
        touch_row(c->rel, c->old_row);
        touch_row(c->rel, c->new_row);
    }
    if (c->kind == WF_CHANGE_TRUNCATE) {
        for (uint32_t i = 0; i < c->truncate.nrels; i++)
            touch_relation(c->truncate.rels[i]);
    }
    if (c->kind == WF_CHANGE_MESSAGE) {
        touch_text(c->message.prefix);
        touch(c->message.content, c->message.len);
    }
}

static struct wf_table *answer(unsigned char how)
{
    static const char *const names[] = {"id", "body", "note"};
    struct wf_table *t = calloc(1, sizeof(*t) + 3 * sizeof(t->cols[0]));

    if (!(how & 1))
        return t;
    t->oid = 16385;
    t->identity = how & 2 ? 'f' : 'd';
    t->lsn = how & 4 ? 1 : 0x2000;
    t->natts = 4;
    t->ncols = how & 8 ? 2 : 3;
    for (uint16_t i = 0; i < t->ncols; i++) {
        t->cols[i] = (struct wf_table_col){.name = names[i],
                                           .type = i ? "text" : "integer",
                                           .type_oid = i ? 25 : 23,
                                           .typmod = -1,
                                           .attnum = (uint16_t)(i + 1 + i / 2),
                                           .varlena = i > 0,
                                           .pk = !i,
                                           .key = !i};
    }
    return t;
}

/* Return: false after a malformed message, where the product stops. */
static int feed(struct wf_decoder *d, const unsigned char *data, size_t len, unsigned char how)
{
    char *exact = malloc(len ? len : 1);
    struct wf_msg msg = {.data = exact, .len = len, .start_lsn = 1};
    struct wf_change change;
    struct wf_err err = {0};
    enum wf_rc rc;

    memcpy(exact, data, len);
    rc = wf_decoder_wal2json.decode(d, &msg, &change, &err);
    if (rc == WF_AGAIN) {
        if (!wf_decoder_wal2json.asks(d))
            abort();
        touch_text(wf_decoder_wal2json.asks(d)->name);
        wf_decoder_wal2json.tell(d, answer(how));
        rc = wf_decoder_wal2json.decode(d, &msg, &change, &err);
        if (rc == WF_AGAIN)
            abort();
    }
    if (rc == WF_OK)
        touch_change(&change);
    else if ((rc != WF_FATAL || strcmp(err.code, "malformed") != 0)) /* never asked twice */
        abort();
    free(exact);
    return rc != WF_FATAL;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    unsigned char how = size ? *data : 0;
    struct wf_decoder *d;

    data += size > 0;
    size -= size > 0;
    if (wf_decoder_wal2json.open(&d, NULL) != WF_OK)
        return 0;
    wf_decoder_wal2json.started(d, how >> 7);
    while (size >= 2) {
        size_t len = (size_t)data[0] << 8 | data[1];

        data += 2;
        size -= 2;
        if (len > size)
            len = size;
        if (!len || !feed(d, data, len, how))
            wf_decoder_wal2json.reset(d, 0);
        data += len;
        size -= len;
    }
    wf_decoder_wal2json.close(d);
    return 0;
}
