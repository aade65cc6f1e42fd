/* Writes what surrounds the rows of an event: the source block and the envelope's end. */
#ifndef WF_ENVELOPE_H
#define WF_ENVELOPE_H

#include "buf.h"
#include "change.h"

/* Bytes that stay the same for a transaction or for an instant are kept, since they are most of a
 * small event. Short ones are copied as whole words, hence the round sizes. */
struct wf_envelope {
    bool ts_ns;
    struct wf_buf fixed; /* version, connector, name | snapshot, db: two parts */
    size_t fixed_split;
    struct wf_buf native; /* system_id, timeline, db */
    struct {
        bool valid;
        uint64_t final_lsn, prev_end_lsn;
        struct wf_buf head;                 /* version ... db, branch of sequence */
        unsigned char sequence[32];         /* `["123","` or `[null,"` */
        unsigned char ts_us[32], tx_id[16]; /* ts_us with ts_ns */
        size_t sequence_len, ts_us_len, tx_id_len;
        struct wf_buf tail;       /* xmin, origin, origin_lsn, null for transaction */
        struct wf_buf commit_lsn; /* native: txid, commit_lsn */
    } txn;
    struct {
        int64_t us;
        unsigned char text[32]; /* ts_ms, ts_us, ts_ns */
        size_t len, ms_len;
    } now;
};

/* Where the changes come from. */
struct wf_origin {
    const char *database;
    uint64_t system_id;
    uint32_t timeline;
    bool raw_text; /* the database is SQL_ASCII */
};

/* @ts_ns: nanoseconds beside microseconds. Return: false when memory is out. */
bool wf_envelope_init(struct wf_envelope *e, const char *prefix, const struct wf_origin *origin,
                      bool ts_ns);
void wf_envelope_deinit(struct wf_envelope *e);
/* A promotion gives the same database another timeline. Return: false when memory is out. */
bool wf_envelope_origin(struct wf_envelope *e, const struct wf_origin *origin);

/**
 * wf_envelope_begin() - make ready for the events of one change
 * @txn:    NULL outside a transaction: the source block then says @now_us and no transaction
 * @now_us: wall clock, microseconds since the Unix epoch
 *
 * Return: false when memory is out.
 */
bool wf_envelope_begin(struct wf_envelope *e, const struct wf_txn *txn, int64_t now_us);

/* Most bytes wf_envelope_source() or _native(), a transaction block and wf_envelope_now() write
 * together. */
static inline size_t wf_envelope_room(const struct wf_envelope *e, size_t table_len)
{
    return e->txn.head.len + e->native.len + table_len + e->txn.tail.len + 448;
}

/* The source block and the null transaction. @table: Avro strings schema and table; @lsn: 0 =
 * unknown. Return: one past the last byte. */
unsigned char *wf_envelope_source(const struct wf_envelope *e, unsigned char *p,
                                  const unsigned char *table, size_t table_len, uint64_t lsn);
/* The source block of profile native; only inside transactions. @ordinal: of the event in its
 * transaction, from 1. */
unsigned char *wf_envelope_native(const struct wf_envelope *e, unsigned char *p,
                                  const unsigned char *table, size_t table_len, uint64_t lsn,
                                  uint64_t ordinal);
/* ts_ms and ts_us, ts_ns. */
unsigned char *wf_envelope_now(const struct wf_envelope *e, unsigned char *p);
/* ts_ms alone, as message records have it. */
unsigned char *wf_envelope_now_ms(const struct wf_envelope *e, unsigned char *p);

#endif
