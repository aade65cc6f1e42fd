/* Reads everything that the decoder's contract says is there. */
#ifndef WF_FUZZ_TOUCH_H
#define WF_FUZZ_TOUCH_H

#include <stdlib.h>
#include <string.h>

#include "decoder.h"

static volatile unsigned char seen;

/* The next message of an input: two bytes of length, then so many, or as many as there are.
 * Return: false at the end. */
static bool next_message(const unsigned char **data, size_t *size, const unsigned char **msg,
                         size_t *len)
{
    if (*size < 2)
        return false;
    *len = (size_t)(*data)[0] << 8 | (*data)[1];
    *size -= 2;
    if (*len > *size)
        *len = *size;
    *msg = *data + 2;
    *data = *msg + *len;
    *size -= *len;
    return true;
}

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

#endif
