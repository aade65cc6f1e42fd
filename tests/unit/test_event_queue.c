#include <criterion/criterion.h>

#include "event_queue.h"

static struct wf_event_queue q;

static void init(void)
{
    wf_event_queue_init(&q, 4096);
}

static void deinit(void)
{
    wf_event_queue_deinit(&q);
}

TestSuite(event_queue, .init = init, .fini = deinit);

static struct wf_event event(const char *key, const char *value)
{
    return (struct wf_event){.key = (const unsigned char *)key,
                             .value = (const unsigned char *)value,
                             .key_len = key ? strlen(key) : 0,
                             .value_len = value ? strlen(value) : 0,
                             .tag = 7};
}

static void expect_front(const char *key, const char *value)
{
    struct wf_event ev;

    cr_assert(wf_event_queue_front(&q, &ev));
    cr_expect_eq(ev.tag, 7);
    cr_assert_eq(ev.key != NULL, key != NULL);
    cr_assert_eq(ev.value != NULL, value != NULL);
    if (key)
        cr_expect(ev.key_len == strlen(key) && !memcmp(ev.key, key, ev.key_len));
    if (value)
        cr_expect(ev.value_len == strlen(value) && !memcmp(ev.value, value, ev.value_len));
}

Test(event_queue, gives_back_copies_in_their_order)
{
    char key[] = "k1", value[] = "first";
    struct wf_event ev = event(key, value), tombstone = event("k2", NULL),
                    keyless = event(NULL, "");

    cr_expect(wf_event_queue_empty(&q));
    cr_expect(wf_event_queue_put(&q, &ev));
    cr_expect(wf_event_queue_put(&q, &tombstone));
    cr_expect(wf_event_queue_put(&q, &keyless));
    memset(key, 'x', 2);
    memset(value, 'x', 5);
    expect_front("k1", "first");
    wf_event_queue_pop(&q);
    expect_front("k2", NULL);
    wf_event_queue_pop(&q);
    expect_front(NULL, "");
    wf_event_queue_pop(&q);
    cr_expect(wf_event_queue_empty(&q));
    cr_expect_not(wf_event_queue_front(&q, &ev));
}

Test(event_queue, keeps_headers_even_those_without_a_value)
{
    struct wf_header headers[] = {{"a", (const unsigned char *)"12345", 5}, {"none", NULL, 0}};
    struct wf_event ev = event("k", "v"), out;

    ev.headers = headers;
    ev.nheaders = 2;
    cr_expect(wf_event_queue_put(&q, &ev));
    cr_expect(wf_event_queue_put(&q, &ev));
    wf_event_queue_pop(&q);
    cr_assert(wf_event_queue_front(&q, &out));
    cr_assert_eq(out.nheaders, 2);
    cr_expect_str_eq(out.headers[0].name, "a");
    cr_expect(out.headers[0].len == 5 && !memcmp(out.headers[0].value, "12345", 5));
    cr_expect_null(out.headers[1].value);
    expect_front("k", "v");
}

Test(event_queue, takes_no_more_than_its_bound_and_goes_on_after_that)
{
    struct wf_event ev = event("key", "value");
    unsigned n = 0, before = 0;

    for (int round = 0; round < 3; round++) {
        for (n = 0; wf_event_queue_put(&q, &ev); n++)
            cr_assert_lt(n, 4096 / sizeof(ev));
        cr_expect_leq(q.buf.cap, 4096);
        cr_expect(round == 0 || n == before, "%u then %u", before, n);
        before = n;
        for (; n; n--) {
            expect_front("key", "value");
            wf_event_queue_pop(&q);
        }
        cr_expect(wf_event_queue_empty(&q));
    }
}

Test(event_queue, refuses_what_is_larger_than_it_is)
{
    static unsigned char big[5000];
    struct wf_event ev = event("k", "v");

    ev.value = big;
    ev.value_len = sizeof(big);
    cr_expect_not(wf_event_queue_put(&q, &ev));
    cr_expect(wf_event_queue_empty(&q));
    ev = event("k", "v");
    cr_expect(wf_event_queue_put(&q, &ev));
    expect_front("k", "v");
}
