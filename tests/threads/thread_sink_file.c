/* Events go into the file sink while its worker writes and renames: topics come, schemas change. */
#include <stdio.h>
#include <stdlib.h>

#include "../unit/tmpdir.h"
#include "log.h"
#include "sink.h"

#define EVENTS 50000

extern const struct wf_sink_ops wf_sink_file;
static const struct wf_sink_ops *const ops = &wf_sink_file;

static struct wf_err err;

static void check(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "failed: %s: %s\n", what, err.text);
    exit(1);
}

static void set(void *conf, const char *key, const char *text)
{
    check(wf_opt_set(wf_opt_find(ops->opts, key), conf, key, text, &err) == WF_OK, key);
}

static void turn(const struct wf_sink_env *env, struct wf_sink *sink, uint64_t wait_us)
{
    check(ops->poll(sink, &err) == WF_OK, "poll");
    check(wf_loop_turn(env->loop, wait_us, &err) == WF_OK, "turn");
}

/* One transaction per event; four topics, each with a new schema every hundred events. */
static void send_event(const struct wf_sink_env *env, struct wf_sink *sink,
                       struct wf_stream streams[4][2], uint64_t i)
{
    static const unsigned char text[] = "\x10"
                                        "8 bytes.";
    struct wf_event ev = {
        .stream = &streams[i % 4][i / 100 % 2], .value = text, .value_len = sizeof(text) - 1};

    while (wf_delivery_begin(env->delivery, &ev.tag) == WF_AGAIN)
        turn(env, sink, 1000);
    while (ops->publish(sink, &ev, &err) == WF_AGAIN)
        turn(env, sink, 1000);
    wf_delivery_sent(env->delivery);
    wf_delivery_commit(env->delivery, i + 1);
    if (i % 64 == 0)
        turn(env, sink, 0);
}

int main(void)
{
    static struct wf_stream streams[4][2];
    static const char *const topics[] = {"a", "b", "c", "d"};
    void *conf = calloc(1, ops->conf_size);
    struct wf_sink_env env = {.loop = wf_loop_new(&err), .delivery = wf_delivery_new(1024)};
    struct wf_sink *sink;

    env.worker = wf_worker_new(env.loop, "wf-test", &err);
    tmpdir_make();
    check(wf_opts_defaults(ops->opts, conf, &err) == WF_OK, "defaults");
    set(conf, "dir", tmpdir);
    set(conf, "sync", "0ms");
    set(conf, "rotate_size", "64KiB");
    wf_log_setup(WF_LOG_WARN, false, NULL);
    for (int i = 0; i < 4; i++) {
        streams[i][0] = (struct wf_stream){.topic = topics[i], .value_schema = "\"string\""};
        streams[i][1] = (struct wf_stream){.topic = topics[i], .value_schema = "\"bytes\""};
    }
    check(ops->open(&sink, conf, &env, &err) == WF_OK, "open");
    for (uint64_t i = 0; i < EVENTS; i++)
        send_event(&env, sink, streams, i);
    ops->drain(sink);
    while (wf_delivery_safe_lsn(env.delivery) < EVENTS)
        turn(&env, sink, 10000);
    wf_worker_free(env.worker);
    env.worker = NULL;
    ops->close(sink);
    wf_delivery_free(env.delivery);
    wf_loop_free(env.loop);
    wf_opts_free(ops->opts, conf);
    free(conf);
    tmpdir_remove();
    return 0;
}
