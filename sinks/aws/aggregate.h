/* Aggregates: many events in one Kinesis record, as the Kinesis Producer Library packs them. */
#ifndef WF_AWS_AGGREGATE_H
#define WF_AWS_AGGREGATE_H

#include "buf.h"

#define WF_AGGREGATE_EVENTS 500 /* Firehose and Lambda unpack no more */
#define WF_AGGREGATE_SLOTS 1024 /* a power of two over it */
#define WF_HASH_KEY_MAX 40      /* digits of 2^128 - 1, and a NUL */

/* One at a time, used again and again. Open for its owner's storage only. */
struct wf_aggregate {
    struct wf_buf keys, records; /* encoded: the table of partition keys, the events */
    struct wf_buf out;
    char hash_key[WF_HASH_KEY_MAX];
    unsigned nkeys, n;
    uint32_t key_at[WF_AGGREGATE_EVENTS]; /* in keys */
    uint32_t key_len[WF_AGGREGATE_EVENTS];
    uint16_t slot[WF_AGGREGATE_SLOTS]; /* 1 + index of a key; 0 = empty */
};

void wf_aggregate_init(struct wf_aggregate *a);
void wf_aggregate_deinit(struct wf_aggregate *a);

/**
 * wf_aggregate_begin() - start an empty one
 * @hash_key: explicit hash key of every event in it, and of the record: a reader drops the whole
 *            aggregate when one of them is outside its shard
 */
void wf_aggregate_begin(struct wf_aggregate *a, const char *hash_key);
/* @hash: of the key. At most WF_AGGREGATE_EVENTS. */
void wf_aggregate_add(struct wf_aggregate *a, uint64_t hash, const void *key, size_t key_len,
                      const void *data, size_t len);
/* The most bytes it would have with one more of these lengths. */
size_t wf_aggregate_size_with(const struct wf_aggregate *a, size_t key_len, size_t len);
/* Its bytes, valid until the next begin; NULL when memory ran out. */
const struct wf_buf *wf_aggregate_end(struct wf_aggregate *a);

/* The explicit hash key of a lane: the middle of its share of all hash keys. @lanes: a power of
 * two. */
void wf_aggregate_lane(unsigned lane, unsigned lanes, char out[WF_HASH_KEY_MAX]);

#endif
