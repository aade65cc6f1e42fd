/* What a sink needs around it: a loop, a worker, a delivery tracker, options by name. */
#ifndef TESTS_SINK_KIT_H
#define TESTS_SINK_KIT_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "sink.h"

static struct wf_sink_env env;
static struct wf_sink *sink;
static void *sink_conf;
static struct wf_err err;
static uint64_t sent_lsn; /* end of the newest transaction */

static inline void kit_make(const struct wf_sink_ops *ops)
{
    env.loop = wf_loop_new(&err);
    env.worker = wf_worker_new(env.loop, "wf-test", &err);
    env.delivery = wf_delivery_new(4096);
    env.pipeline = "test";
    cr_assert(env.loop && env.worker && env.delivery);
    sink_conf = calloc(1, ops->conf_size + 1);
    if (ops->opts)
        cr_assert_eq(wf_opts_defaults(ops->opts, sink_conf, &err), WF_OK, "%s", err.text);
}

static inline void kit_option(const struct wf_sink_ops *ops, const char *key, const char *text)
{
    const struct wf_opt *opt = wf_opt_find(ops->opts, key);

    cr_assert_not_null(opt);
    cr_assert_eq(wf_opt_set(opt, sink_conf, key, text, &err), WF_OK, "%s", err.text);
}

static inline void kit_open(const struct wf_sink_ops *ops)
{
    cr_assert_eq(ops->open(&sink, sink_conf, &env, &err), WF_OK, "%s", err.text);
}

/* As the pipeline ends: the worker first, for it may hold a job of the sink. */
static inline void kit_close(const struct wf_sink_ops *ops)
{
    wf_worker_free(env.worker);
    env.worker = NULL;
    ops->close(sink);
    sink = NULL;
    env.worker = wf_worker_new(env.loop, "wf-test", &err);
}

static inline void kit_destroy(const struct wf_sink_ops *ops)
{
    wf_worker_free(env.worker);
    env.worker = NULL;
    ops->close(sink);
    wf_delivery_free(env.delivery);
    wf_loop_free(env.loop);
    if (ops->opts)
        wf_opts_free(ops->opts, sink_conf);
    free(sink_conf);
}

static inline enum wf_rc kit_turn(const struct wf_sink_ops *ops)
{
    enum wf_rc rc = ops->poll(sink, &err);

    cr_assert_eq(wf_loop_turn(env.loop, 5000, NULL), WF_OK);
    return rc;
}

/* A transaction of one event. Return: what publish() said; nothing was sent unless WF_OK. */
static inline enum wf_rc kit_send(const struct wf_sink_ops *ops, struct wf_event *ev)
{
    enum wf_rc rc;

    cr_assert_eq(wf_delivery_begin(env.delivery, &ev->tag), WF_OK);
    rc = ops->publish(sink, ev, &err);
    if (rc == WF_OK) {
        wf_delivery_sent(env.delivery);
        wf_delivery_commit(env.delivery, ++sent_lsn);
    } else {
        wf_delivery_abandon(env.delivery);
    }
    return rc;
}

static inline bool all_confirmed(void)
{
    return wf_delivery_in_flight(env.delivery) == 0 &&
           wf_delivery_safe_lsn(env.delivery) == sent_lsn;
}

static inline void kit_wait_confirmed(const struct wf_sink_ops *ops)
{
    for (uint64_t end = wf_mono_us() + 5000000; !all_confirmed() && wf_mono_us() < end;)
        cr_assert_eq(kit_turn(ops), WF_OK, "%s", err.text);
    cr_assert(all_confirmed());
}

static inline void kit_mark_done(struct wf_job *job)
{
    (void)job;
}

/* Until every job the sink gave to the worker has been reported. */
static inline void kit_wait_worker(void)
{
    struct wf_job job = {.run = kit_mark_done, .done = kit_mark_done};

    wf_worker_submit(env.worker, &job);
    while (job.queued)
        cr_assert_eq(wf_loop_turn(env.loop, 1000000, NULL), WF_OK);
}

#endif
