/* The delivery tracker knows up to which LSN everything is safely delivered. */
#ifndef WF_DELIVERY_H
#define WF_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct wf_delivery;

/**
 * wf_delivery_new() - an empty tracker
 * @capacity: most transactions in flight; a power of two
 *
 * Return: NULL when memory is out. The caller frees it with wf_delivery_free().
 */
struct wf_delivery *wf_delivery_new(uint32_t capacity);
void wf_delivery_free(struct wf_delivery *d);

/* Forget everything in flight (the sink was closed); the next safe position starts at @lsn. */
void wf_delivery_reset(struct wf_delivery *d, uint64_t lsn);

/* A transaction begins. WF_AGAIN: @capacity transactions are in flight, serve the sink first. */
enum wf_rc wf_delivery_begin(struct wf_delivery *d, uint64_t *tag);
/* One event of the open transaction was taken by the sink. */
void wf_delivery_sent(struct wf_delivery *d);
/* The open transaction is complete; @end_lsn becomes safe once it and all before are confirmed. */
void wf_delivery_commit(struct wf_delivery *d, uint64_t end_lsn);
/* The connection broke inside a transaction: it never becomes safe by itself, its events will come
 * again under a new tag. What the sink still confirms for it is counted off. */
void wf_delivery_abandon(struct wf_delivery *d);

/* Everything before @lsn was received (a keepalive). Counts only between transactions; becomes safe
 * with the last complete transaction. Return: false when ignored (a transaction is open). */
bool wf_delivery_barrier(struct wf_delivery *d, uint64_t lsn);

/* The sink confirmed @n events of the transaction @tag; a stale tag (before a reset) is ignored. */
void wf_delivery_acked(struct wf_delivery *d, uint64_t tag, uint32_t n);

/* As above for the @n oldest events in flight, whatever their tags. */
void wf_delivery_acked_oldest(struct wf_delivery *d, uint64_t n);

/* Everything up to here is delivered: only whole transactions, without a hole; never moves back. */
uint64_t wf_delivery_safe_lsn(const struct wf_delivery *d);
/* End of the last complete transaction handed to the sink, or a later barrier: where to read on
 * after a reconnect while the sink stays open. */
uint64_t wf_delivery_read_lsn(const struct wf_delivery *d);
bool wf_delivery_open_txn(const struct wf_delivery *d);
/* Events taken by the sink and not confirmed yet. */
uint64_t wf_delivery_in_flight(const struct wf_delivery *d);
/* Events confirmed since wf_delivery_new(). */
uint64_t wf_delivery_confirmed(const struct wf_delivery *d);

#endif
