#include "txn_counts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void wf_txn_counts_reset(struct wf_txn_counts *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        free(t->collections[i].name);
    t->n = 0;
    t->events = 0;
    t->begun = false;
}

void wf_txn_counts_free(struct wf_txn_counts *t)
{
    wf_txn_counts_reset(t);
    free(t->collections);
    *t = (struct wf_txn_counts){0};
}

static bool is_named(const struct wf_collection *c, const char *schema, const char *table)
{
    size_t n = schema ? strlen(schema) : 0;

    if (!schema)
        return !strcmp(c->name, table);
    return !strncmp(c->name, schema, n) && c->name[n] == '.' && !strcmp(c->name + n + 1, table);
}

static uint32_t add(struct wf_txn_counts *t, const char *schema, const char *table)
{
    uint32_t cap = t->cap ? t->cap * 2 : 16;
    void *p;

    if (t->n == t->cap) {
        p = realloc(t->collections, cap * sizeof(*t->collections));
        if (!p)
            return UINT32_MAX;
        t->collections = p;
        t->cap = cap;
    }
    t->collections[t->n].events = 0;
    if (asprintf(&t->collections[t->n].name, "%s%s%s", schema ? schema : "", schema ? "." : "",
                 table) < 0)
        return UINT32_MAX;
    return t->n++;
}

uint32_t wf_txn_counts_of(struct wf_txn_counts *t, const char *schema, const char *table,
                          uint32_t *hint)
{
    uint32_t i = *hint;

    if (i < t->n && is_named(&t->collections[i], schema, table))
        return i;
    for (i = 0; i < t->n; i++)
        if (is_named(&t->collections[i], schema, table))
            break;
    return *hint = i < t->n ? i : add(t, schema, table);
}

struct wf_txn_id wf_txn_id(uint32_t xid, uint64_t lsn)
{
    struct wf_txn_id id;

    snprintf(id.s, sizeof(id.s), "%" PRIu32 ":%" PRIu64, xid, lsn);
    return id;
}
