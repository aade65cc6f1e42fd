#include "delivery.h"

#include "mutant.h"

#include <stdlib.h>

/* One transaction in flight. The ring's order is commit order, so the safe position is the end of
 * the longest prefix that is complete and confirmed: never a maximum over acknowledgements. */
struct entry {
    uint64_t end_lsn; /* 0 while the transaction is open */
    uint32_t unconfirmed;
};

struct wf_delivery {
    uint64_t safe_lsn;
    uint64_t read_lsn;
    uint64_t in_flight; /* events of all entries */
    uint64_t confirmed;
    uint64_t head; /* tag of the oldest entry */
    uint64_t tail; /* tag the next transaction gets */
    bool open;     /* the newest entry has not seen its commit */
    uint64_t mask;
    struct entry ring[];
};

struct wf_delivery *wf_delivery_new(uint32_t capacity)
{
    struct wf_delivery *d = calloc(1, sizeof(*d) + capacity * sizeof(d->ring[0]));

    if (d) {
        d->mask = capacity - 1;
        d->head = d->tail = 1;
    }
    return d;
}

void wf_delivery_free(struct wf_delivery *d)
{
    free(d);
}

static struct entry *entry_of(struct wf_delivery *d, uint64_t tag)
{
    return &d->ring[tag & d->mask];
}

void wf_delivery_reset(struct wf_delivery *d, uint64_t lsn)
{
    d->head = d->tail; /* tags never repeat, so late confirmations find nothing */
    d->open = false;
    d->in_flight = 0;
    d->safe_lsn = d->read_lsn = lsn;
}

enum wf_rc wf_delivery_begin(struct wf_delivery *d, uint64_t *tag)
{
    if (d->tail - d->head > d->mask)
        return WF_AGAIN;
    *entry_of(d, d->tail) = (struct entry){0};
    d->open = true;
    *tag = d->tail++;
    return WF_OK;
}

void wf_delivery_sent(struct wf_delivery *d)
{
    entry_of(d, d->tail - 1)->unconfirmed++;
    d->in_flight++;
}

static void advance(struct wf_delivery *d)
{
    while (d->head != d->tail) {
        const struct entry *e = entry_of(d, d->head);

        if (e->unconfirmed || (d->open && d->head == d->tail - 1 && !WF_MUTANT(open_is_safe)))
            return;
        if (e->end_lsn > d->safe_lsn) /* an abandoned one has 0 and moves nothing */
            d->safe_lsn = e->end_lsn;
        d->head++;
    }
}

void wf_delivery_commit(struct wf_delivery *d, uint64_t end_lsn)
{
    entry_of(d, d->tail - 1)->end_lsn = end_lsn;
    d->open = false;
    if (end_lsn > d->read_lsn)
        d->read_lsn = end_lsn;
    advance(d);
}

void wf_delivery_abandon(struct wf_delivery *d)
{
    d->open = false;
    advance(d);
}

bool wf_delivery_barrier(struct wf_delivery *d, uint64_t lsn)
{
    if (d->open)
        return false;
    if (lsn > d->read_lsn)
        d->read_lsn = lsn;
    if (d->head == d->tail || WF_MUTANT(barrier_in_flight)) {
        if (lsn > d->safe_lsn)
            d->safe_lsn = lsn;
    } else if (lsn > entry_of(d, d->tail - 1)->end_lsn) {
        /* whoever waits for the newest transaction waits for the barrier too */
        entry_of(d, d->tail - 1)->end_lsn = lsn;
    }
    return true;
}

void wf_delivery_acked(struct wf_delivery *d, uint64_t tag, uint32_t n)
{
    struct entry *e = entry_of(d, tag);

    if (tag < d->head || tag >= d->tail)
        return;
    if (n > e->unconfirmed) /* a sink that confirms twice must not confirm its neighbours */
        n = e->unconfirmed;
    e->unconfirmed -= n;
    d->in_flight -= n;
    d->confirmed += n;
    if (WF_MUTANT(max_not_prefix) && e->unconfirmed == 0 && e->end_lsn > d->safe_lsn)
        d->safe_lsn = e->end_lsn;
    if (e->unconfirmed == 0 && tag == d->head)
        advance(d);
}

void wf_delivery_acked_oldest(struct wf_delivery *d, uint64_t n)
{
    for (uint64_t tag = d->head; n && tag != d->tail; tag++) {
        struct entry *e = entry_of(d, tag);
        uint32_t part = n < e->unconfirmed ? (uint32_t)n : e->unconfirmed;

        e->unconfirmed -= part;
        d->in_flight -= part;
        d->confirmed += part;
        n -= part;
    }
    advance(d);
}

uint64_t wf_delivery_safe_lsn(const struct wf_delivery *d)
{
    return d->safe_lsn;
}

uint64_t wf_delivery_read_lsn(const struct wf_delivery *d)
{
    return d->read_lsn;
}

bool wf_delivery_open_txn(const struct wf_delivery *d)
{
    return d->open;
}

uint64_t wf_delivery_in_flight(const struct wf_delivery *d)
{
    return d->in_flight;
}

uint64_t wf_delivery_confirmed(const struct wf_delivery *d)
{
    return d->confirmed;
}
