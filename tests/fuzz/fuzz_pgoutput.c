/* A stream of messages, each after two bytes of length; length 0 is a new connection. */
#include <stdlib.h>
#include <string.h>

#include "decoder.h"

extern const struct wf_decoder_ops wf_decoder_pgoutput;

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
        else if (row[i].kind != WF_COL_NULL && row[i].kind != WF_COL_UNCHANGED)
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
    if (rel->ncols > WF_MAX_COLUMNS || !rel->version || !rel->oid)
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

/* Return: false after a malformed message, where the product stops. */
static int feed(struct wf_decoder *d, const unsigned char *data, size_t len)
{
    char *exact = malloc(len ? len : 1);
    struct wf_msg msg = {.data = exact, .len = len, .start_lsn = 1};
    struct wf_change change;
    struct wf_err err = {0};
    enum wf_rc rc;

    memcpy(exact, data, len);
    rc = wf_decoder_pgoutput.decode(d, &msg, &change, &err);
    if (rc == WF_OK)
        touch_change(&change);
    else if (rc != WF_AGAIN && (rc != WF_FATAL || strcmp(err.code, "malformed") != 0))
        abort();
    free(exact);
    return rc != WF_FATAL;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct wf_decoder *d;

    if (wf_decoder_pgoutput.open(&d, NULL) != WF_OK)
        return 0;
    while (size >= 2) {
        size_t len = (size_t)data[0] << 8 | data[1];

        data += 2;
        size -= 2;
        if (len > size)
            len = size;
        if (!len || !feed(d, data, len))
            wf_decoder_pgoutput.reset(d, 0);
        data += len;
        size -= len;
    }
    wf_decoder_pgoutput.close(d);
    return 0;
}
