/* Takes everything and keeps nothing: for benchmarks of all that stands before a sink. */
#include <stdlib.h>

#include "acks.h"
#include "sink.h"

struct wf_sink {
    struct wf_delivery *delivery;
    struct wf_acks acks;
};

static enum wf_rc null_open(struct wf_sink **self, const void *conf, const struct wf_sink_env *env,
                            struct wf_err *err)
{
    (void)conf;
    *self = calloc(1, sizeof(**self));
    if (!*self)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    (*self)->delivery = env->delivery;
    return WF_OK;
}

static enum wf_rc null_publish(struct wf_sink *s, const struct wf_event *ev, struct wf_err *err)
{
    (void)err;
    return wf_acks_add(&s->acks, ev->tag) ? WF_OK : WF_AGAIN;
}

static enum wf_rc null_poll(struct wf_sink *s, struct wf_err *err)
{
    (void)err;
    wf_acks_confirm(&s->acks, s->delivery);
    return WF_OK;
}

static void null_close(struct wf_sink *s)
{
    if (s)
        wf_acks_free(&s->acks);
    free(s);
}

const struct wf_sink_ops wf_sink_null = {
    .name = "null",
    .help = "Encodes and throws away: for benchmarks only, nothing is delivered",
    .framing = WF_FRAME_NONE,
    .open = null_open,
    .publish = null_publish,
    .poll = null_poll,
    .close = null_close,
};
