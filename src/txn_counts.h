/* Counts the events of a transaction, in all and per table. */
#ifndef WF_TXN_COUNTS_H
#define WF_TXN_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

struct wf_collection {
    char *name; /* "schema.table" */
    uint64_t events;
};

struct wf_txn_counts {
    uint64_t events;
    struct wf_collection *collections; /* in order of their first event */
    uint32_t n, cap;
    bool begun; /* its BEGIN event is out */
};

/* A transaction begins. */
void wf_txn_counts_reset(struct wf_txn_counts *t);
void wf_txn_counts_free(struct wf_txn_counts *t);

/**
 * wf_txn_counts_of() - the counter of one table
 * @schema: NULL = @table is the whole name
 * @hint:   where it was last time; updated
 *
 * Return: its index, UINT32_MAX when memory is out.
 */
uint32_t wf_txn_counts_of(struct wf_txn_counts *t, const char *schema, const char *table,
                          uint32_t *hint);

/* `<xid>:<lsn>`, at most 31 characters: how Debezium names a transaction; the position is that of
 * the event, so only the part before the colon is the same for all. */
struct wf_txn_id {
    char s[32];
};
struct wf_txn_id wf_txn_id(uint32_t xid, uint64_t lsn);

#endif
