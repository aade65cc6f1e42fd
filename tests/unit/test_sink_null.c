#include "sink_kit.h"

extern const struct wf_sink_ops wf_sink_null;

static void make(void)
{
    kit_make(&wf_sink_null);
    kit_open(&wf_sink_null);
}

static void destroy(void)
{
    kit_destroy(&wf_sink_null);
}

TestSuite(sink_null, .init = make, .fini = destroy);

Test(sink_null, confirms_everything_at_the_next_poll)
{
    static struct wf_stream stream = {.topic = "orders"};
    struct wf_event ev = {.stream = &stream, .value = (const unsigned char *)"x", .value_len = 1};

    for (int i = 0; i < 100; i++)
        cr_assert_eq(kit_send(&wf_sink_null, &ev), WF_OK);
    cr_expect_eq(wf_delivery_in_flight(env.delivery), 100);
    cr_assert_eq(wf_sink_null.poll(sink, &err), WF_OK);
    cr_expect(all_confirmed());
    wf_sink_null.close(NULL);
}
