#include <criterion/criterion.h>

#include "delivery.h"

#define CAPACITY 8

static struct wf_delivery *d;

static void make(void)
{
    d = wf_delivery_new(CAPACITY);
    cr_assert_not_null(d);
}

static void destroy(void)
{
    wf_delivery_free(d);
}

TestSuite(delivery, .init = make, .fini = destroy);

static uint64_t begin(void)
{
    uint64_t tag = 0;

    cr_assert_eq(wf_delivery_begin(d, &tag), WF_OK);
    return tag;
}

/* A whole transaction of @events, none of them confirmed. */
static uint64_t transaction(uint32_t events, uint64_t end_lsn)
{
    uint64_t tag = begin();

    for (uint32_t i = 0; i < events; i++)
        wf_delivery_sent(d);
    wf_delivery_commit(d, end_lsn);
    return tag;
}

static void expect_safe(uint64_t lsn)
{
    cr_expect_eq(wf_delivery_safe_lsn(d), lsn, "safe at %lu instead of %lu",
                 (unsigned long)wf_delivery_safe_lsn(d), (unsigned long)lsn);
}

Test(delivery, starts_with_nothing)
{
    expect_safe(0);
    cr_expect_eq(wf_delivery_read_lsn(d), 0);
    cr_expect_eq(wf_delivery_in_flight(d), 0);
    cr_expect_eq(wf_delivery_confirmed(d), 0);
    cr_expect_not(wf_delivery_open_txn(d));
    wf_delivery_free(NULL);
}

Test(delivery, is_safe_up_to_the_confirmed_prefix_never_the_maximum)
{
    uint64_t a = transaction(1, 100), b = transaction(1, 200), c = transaction(1, 300);

    wf_delivery_acked(d, c, 1);
    wf_delivery_acked(d, b, 1);
    expect_safe(0);
    wf_delivery_acked(d, a, 1);
    expect_safe(300);
    cr_expect_eq(wf_delivery_in_flight(d), 0);
    cr_expect_eq(wf_delivery_confirmed(d), 3);
}

Test(delivery, waits_for_every_event_of_a_transaction)
{
    uint64_t a = transaction(3, 100);

    wf_delivery_acked(d, a, 2);
    expect_safe(0);
    cr_expect_eq(wf_delivery_in_flight(d), 1);
    wf_delivery_acked(d, a, 1);
    expect_safe(100);
}

Test(delivery, waits_for_the_commit_of_a_confirmed_transaction)
{
    uint64_t a = begin();

    wf_delivery_sent(d);
    wf_delivery_acked(d, a, 1);
    expect_safe(0);
    cr_expect(wf_delivery_open_txn(d));
    wf_delivery_sent(d);
    wf_delivery_commit(d, 100);
    expect_safe(0);
    wf_delivery_acked(d, a, 1);
    expect_safe(100);
}

Test(delivery, takes_a_transaction_without_events_as_delivered)
{
    transaction(0, 100);
    expect_safe(100);
    transaction(1, 200);
    transaction(0, 300);
    expect_safe(100);
}

Test(delivery, reads_on_behind_the_last_whole_transaction)
{
    transaction(1, 100);
    cr_expect_eq(wf_delivery_read_lsn(d), 100);
    begin();
    wf_delivery_sent(d);
    cr_expect_eq(wf_delivery_read_lsn(d), 100);
    wf_delivery_commit(d, 200);
    cr_expect_eq(wf_delivery_read_lsn(d), 200);
    expect_safe(0);
}

Test(delivery, takes_a_barrier_at_once_when_nothing_is_in_flight)
{
    cr_expect(wf_delivery_barrier(d, 500));
    expect_safe(500);
    cr_expect_eq(wf_delivery_read_lsn(d), 500);
    cr_expect(wf_delivery_barrier(d, 400));
    expect_safe(500);
}

Test(delivery, queues_a_barrier_behind_what_is_in_flight)
{
    uint64_t a = transaction(1, 100), b = transaction(1, 200);

    cr_expect(wf_delivery_barrier(d, 500));
    expect_safe(0);
    cr_expect_eq(wf_delivery_read_lsn(d), 500);
    wf_delivery_acked(d, a, 1);
    expect_safe(100);
    wf_delivery_acked(d, b, 1);
    expect_safe(500);
}

Test(delivery, ignores_a_barrier_inside_a_transaction)
{
    uint64_t a = begin();

    wf_delivery_sent(d);
    cr_expect_not(wf_delivery_barrier(d, 500));
    wf_delivery_acked(d, a, 1);
    wf_delivery_commit(d, 100);
    expect_safe(100);
    cr_expect_eq(wf_delivery_read_lsn(d), 100);
}

/* The connection broke: the transaction comes again, under another tag. */
Test(delivery, does_not_take_an_abandoned_transaction_as_delivered)
{
    uint64_t a = begin(), b;

    wf_delivery_sent(d);
    wf_delivery_abandon(d);
    cr_expect_not(wf_delivery_open_txn(d));
    b = transaction(1, 100);
    cr_expect_neq(a, b);
    wf_delivery_acked(d, b, 1);
    expect_safe(0); /* in order: its events may still arrive */
    wf_delivery_acked(d, a, 1);
    expect_safe(100);
    cr_expect_eq(wf_delivery_in_flight(d), 0);
}

Test(delivery, forgets_an_abandoned_transaction_without_events)
{
    begin();
    wf_delivery_abandon(d);
    expect_safe(0);
    cr_expect(wf_delivery_barrier(d, 50));
    expect_safe(50);
}

Test(delivery, ignores_what_is_confirmed_after_a_reset)
{
    uint64_t a = transaction(1, 100), b = transaction(2, 200), c;

    wf_delivery_acked(d, b, 1);
    wf_delivery_reset(d, 70);
    expect_safe(70);
    cr_expect_eq(wf_delivery_read_lsn(d), 70);
    cr_expect_eq(wf_delivery_in_flight(d), 0);

    c = transaction(2, 100);
    wf_delivery_acked(d, a, 1);
    wf_delivery_acked(d, b, 1);
    expect_safe(70);
    cr_expect_eq(wf_delivery_in_flight(d), 2);
    wf_delivery_acked(d, c, 2);
    expect_safe(100);
}

/* Tags of long ago fall on the same places of the ring. */
Test(delivery, ignores_stale_tags_round_the_ring)
{
    uint64_t first = transaction(1, 1), tag = first;

    for (uint64_t i = 2; i < 4 * CAPACITY; i++) {
        wf_delivery_acked(d, tag, 1);
        tag = transaction(1, i);
        for (uint64_t stale = first; stale < tag; stale++)
            wf_delivery_acked(d, stale, 1);
        expect_safe(i - 1);
        cr_expect_eq(wf_delivery_in_flight(d), 1);
    }
}

Test(delivery, ignores_tags_it_never_gave)
{
    uint64_t a = transaction(1, 100);

    wf_delivery_acked(d, 0, 1);
    wf_delivery_acked(d, a + 1, 1);
    wf_delivery_acked(d, a + CAPACITY, 1);
    wf_delivery_acked(d, UINT64_MAX, 1);
    expect_safe(0);
    cr_expect_eq(wf_delivery_in_flight(d), 1);
}

Test(delivery, says_again_when_full_and_recovers)
{
    uint64_t tags[CAPACITY], tag = 99;

    for (unsigned i = 0; i < CAPACITY; i++)
        tags[i] = transaction(1, 100 + i);
    cr_expect_eq(wf_delivery_begin(d, &tag), WF_AGAIN);
    cr_expect_eq(tag, 99, "left alone");
    cr_expect_not(wf_delivery_open_txn(d));

    wf_delivery_acked(d, tags[1], 1); /* not the oldest: no room yet */
    cr_expect_eq(wf_delivery_begin(d, &tag), WF_AGAIN);
    wf_delivery_acked(d, tags[0], 1);
    expect_safe(101);
    transaction(1, 200);
    transaction(1, 201);
    cr_expect_eq(wf_delivery_begin(d, &tag), WF_AGAIN);
}

Test(delivery, lets_a_double_confirmation_not_confirm_the_neighbours)
{
    uint64_t a = transaction(1, 100), b = transaction(2, 200);

    wf_delivery_acked(d, b, 1);
    wf_delivery_acked(d, a, 5);
    expect_safe(100);
    cr_expect_eq(wf_delivery_in_flight(d), 1);
    wf_delivery_acked(d, a, 1);
    expect_safe(100);
    cr_expect_eq(wf_delivery_confirmed(d), 2);
    wf_delivery_acked(d, b, 1);
    expect_safe(200);
}

/* ---- against a naive model: a list of all that ever happened ------------------------------- */

#define STEPS 100000

struct item {
    uint64_t tag; /* 0 = a barrier */
    uint64_t lsn;
    uint32_t unconfirmed;
    bool open;
};

static struct model {
    struct item items[STEPS];
    size_t n, first; /* items before first were forgotten by a reset */
    uint64_t safe, read;
    bool open;
} model;

static uint64_t seed = 20240229;

static uint32_t below(uint32_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % n;
}

static struct item *newest(void)
{
    return &model.items[model.n - 1];
}

/* Walks the whole prefix anew; drops what is behind it only to stay fast. */
static void settle(void)
{
    for (; model.first < model.n; model.first++) {
        const struct item *item = &model.items[model.first];

        if (item->open || item->unconfirmed)
            return;
        if (item->lsn > model.safe)
            model.safe = item->lsn;
    }
}

static uint32_t transactions_in_flight(void)
{
    uint32_t n = 0;

    for (size_t i = model.first; i < model.n; i++)
        n += model.items[i].tag != 0;
    return n;
}

static void step_begin(void)
{
    uint64_t tag;

    if (model.open)
        return;
    if (transactions_in_flight() == CAPACITY) {
        cr_assert_eq(wf_delivery_begin(d, &tag), WF_AGAIN);
        return;
    }
    cr_assert_eq(wf_delivery_begin(d, &tag), WF_OK);
    model.items[model.n++] = (struct item){.tag = tag, .open = true};
    model.open = true;
}

static void step_end(uint64_t lsn)
{
    if (!model.open)
        return;
    newest()->open = model.open = false;
    if (lsn) {
        wf_delivery_commit(d, lsn);
        newest()->lsn = model.read = lsn;
    } else {
        wf_delivery_abandon(d);
    }
}

static void step_barrier(uint64_t lsn)
{
    cr_assert_eq(wf_delivery_barrier(d, lsn), !model.open);
    if (model.open)
        return;
    model.items[model.n++] = (struct item){.lsn = lsn};
    model.read = lsn;
}

static void step_acked(void)
{
    uint32_t n = 1 + below(3);
    size_t back = below(CAPACITY + 4);
    struct item *item = back < model.n ? &model.items[model.n - 1 - back] : NULL;

    if (!item || !item->tag)
        return;
    wf_delivery_acked(d, item->tag, n);
    if (item >= &model.items[model.first])
        item->unconfirmed -= n < item->unconfirmed ? n : item->unconfirmed;
}

static void step_reset(void)
{
    wf_delivery_reset(d, model.safe);
    model.first = model.n;
    model.read = model.safe;
    model.open = false;
}

Test(delivery, agrees_with_a_naive_model)
{
    uint64_t lsn = 1;

    for (int i = 0; i < STEPS; i++) {
        uint32_t dice = below(100);
        uint64_t in_flight = 0;

        lsn += below(50) + 1;
        if (dice < 20)
            step_begin();
        else if (dice < 45 && model.open) {
            wf_delivery_sent(d);
            newest()->unconfirmed++;
        } else if (dice < 60)
            step_end(lsn);
        else if (dice < 62)
            step_end(0);
        else if (dice < 70)
            step_barrier(lsn);
        else if (dice == 70)
            step_reset();
        else
            step_acked();
        settle();

        for (size_t k = model.first; k < model.n; k++)
            in_flight += model.items[k].unconfirmed;
        cr_assert_eq(wf_delivery_safe_lsn(d), model.safe, "step %d", i);
        cr_assert_eq(wf_delivery_read_lsn(d), model.read, "step %d", i);
        cr_assert_eq(wf_delivery_in_flight(d), in_flight, "step %d", i);
        cr_assert_eq(wf_delivery_open_txn(d), model.open, "step %d", i);
    }
    cr_expect_gt(model.safe, lsn / 2, "the walk gets somewhere");
}
