#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "sink_kit.h"

extern const struct wf_sink_ops wf_sink_stdout;
static const struct wf_sink_ops *const ops = &wf_sink_stdout;

static int saved_stdout, reader;
static struct wf_stream orders = {.topic = "shop.\"orders\""};

/* Standard output is a pipe while a test runs. */
static void make(void)
{
    int ends[2];

    kit_make(ops);
    kit_open(ops);
    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    saved_stdout = dup(STDOUT_FILENO);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
    reader = ends[0];
    fcntl(reader, F_SETFL, O_NONBLOCK);
}

static void destroy(void)
{
    dup2(saved_stdout, STDOUT_FILENO);
    close(saved_stdout);
    close(reader);
    kit_destroy(ops);
}

TestSuite(sink_stdout, .init = make, .fini = destroy);

static enum wf_rc publish(const char *key, const char *value)
{
    struct wf_event ev = {.stream = &orders,
                          .key = (const unsigned char *)key,
                          .key_len = key ? strlen(key) : 0,
                          .value = (const unsigned char *)value,
                          .value_len = value ? strlen(value) : 0};

    return kit_send(ops, &ev);
}

/* What has arrived so far; the rest of a pipe is not waited for. */
static size_t drain_pipe(char *text, size_t size)
{
    size_t len = 0;
    ssize_t n;

    while (len + 1 < size && (n = read(reader, text + len, size - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    return len;
}

Test(sink_stdout, writes_a_line_per_event)
{
    char text[1024];

    cr_assert_eq(publish("{\"id\":1}", "{\"op\":\"c\"}"), WF_OK);
    cr_assert_eq(publish("{\"id\":1}", NULL), WF_OK);
    cr_assert_eq(publish(NULL, "{\"op\":\"t\"}"), WF_OK);
    cr_expect_eq(wf_delivery_in_flight(env.delivery), 3);
    cr_assert_eq(ops->poll(sink, &err), WF_OK);
    cr_expect(all_confirmed());
    drain_pipe(text, sizeof(text));
    cr_expect_str_eq(text,
                     "{\"topic\":\"shop.\\\"orders\\\"\",\"key\":{\"id\":1},\"value\":"
                     "{\"op\":\"c\"}}\n"
                     "{\"topic\":\"shop.\\\"orders\\\"\",\"key\":{\"id\":1},\"value\":null}\n"
                     "{\"topic\":\"shop.\\\"orders\\\"\",\"key\":null,\"value\":{\"op\":\"t\"}}\n");
}

Test(sink_stdout, neither_blocks_nor_loses_a_byte_when_the_reader_is_slow)
{
    static char value[5000], text[4 << 20];
    size_t len = 0;
    int sent = 0;

    memset(value, '1', sizeof(value) - 1);
    while (publish(NULL, value) == WF_OK)
        cr_assert_lt(++sent, 1000);
    cr_expect_gt(sent, 100, "about 1 MiB is taken");
    cr_assert_eq(ops->poll(sink, &err), WF_OK, "returns though the pipe is full");
    cr_expect_eq(wf_delivery_in_flight(env.delivery), (uint64_t)sent, "nothing is confirmed yet");
    cr_expect_eq(publish(NULL, value), WF_AGAIN);

    for (uint64_t end = wf_mono_us() + 5000000; !all_confirmed() && wf_mono_us() < end;) {
        len += drain_pipe(text + len, sizeof(text) - len);
        cr_assert_eq(kit_turn(ops), WF_OK);
    }
    cr_assert(all_confirmed());
    len += drain_pipe(text + len, sizeof(text) - len);
    for (const char *p = text; *p; sent--) {
        cr_assert(strncmp(p, "{\"topic\":", 9) == 0);
        p = strchr(p, '\n') + 1;
    }
    cr_expect_eq(sent, 0);
    cr_expect_eq(publish(NULL, value), WF_OK, "there is room again");
}

Test(sink_stdout, ends_the_process_when_the_reader_is_gone)
{
    close(reader);
    reader = -1;
    cr_assert_eq(publish(NULL, "1"), WF_OK);
    cr_expect_eq(ops->poll(sink, &err), WF_FATAL);
    cr_expect_str_eq(err.code, "reader_gone", "%s", err.text);
    cr_expect_eq(wf_delivery_in_flight(env.delivery), 1);
}

Test(sink_stdout, forgets_what_was_not_written_when_closed)
{
    cr_assert_eq(publish(NULL, "1"), WF_OK);
    kit_close(ops);
    ops->close(NULL);
    cr_expect_eq(wf_delivery_in_flight(env.delivery), 1);
}
