/* One JSON line per event on standard output: for eyes and pipes. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "acks.h"
#include "sink.h"

#define BUFFER_MAX (1 << 20)
/* A pipe that polls writable takes this much without blocking (pipe(7), PIPE_BUF). */
#define CHUNK 4096
#define RETRY_US 5000

struct wf_sink {
    const struct wf_sink_env *env;
    struct wf_buf out;
    size_t written; /* of out */
    struct wf_acks acks;
    struct wf_timer retry; /* wakes the loop while the reader is slow */
};

static enum wf_rc stdout_open(struct wf_sink **self, const void *conf,
                              const struct wf_sink_env *env, struct wf_err *err)
{
    struct wf_sink *s = calloc(1, sizeof(*s));

    (void)conf;
    if (!s)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    s->env = env;
    wf_buf_init(&s->out, SIZE_MAX); /* a line is bounded by format.max_event */
    *self = s;
    return WF_OK;
}

static enum wf_rc stdout_publish(struct wf_sink *s, const struct wf_event *ev, struct wf_err *err)
{
    struct wf_buf *b = &s->out;

    if (b->len >= BUFFER_MAX || !wf_acks_add(&s->acks, ev->tag))
        return WF_AGAIN;
    wf_buf_str(b, "{\"topic\":\"");
    wf_buf_json(b, ev->stream->topic, strlen(ev->stream->topic));
    wf_buf_str(b, "\",\"key\":");
    if (ev->key)
        wf_buf_put(b, ev->key, ev->key_len);
    else
        wf_buf_str(b, "null");
    wf_buf_str(b, ",\"value\":");
    if (ev->value)
        wf_buf_put(b, ev->value, ev->value_len);
    else
        wf_buf_str(b, "null");
    wf_buf_str(b, "}\n");
    return b->failed ? wf_err_set(err, WF_FATAL, "memory", "out of memory") : WF_OK;
}

static enum wf_rc stdout_poll(struct wf_sink *s, struct wf_err *err)
{
    while (s->written < s->out.len) {
        struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
        size_t left = s->out.len - s->written;
        ssize_t n;

        if (poll(&fd, 1, 0) == 0) {
            wf_loop_timer_set(s->env->loop, &s->retry, RETRY_US, NULL, NULL);
            return WF_OK;
        }
        n = write(STDOUT_FILENO, s->out.data + s->written, left < CHUNK ? left : CHUNK);
        if (n < 0 && errno == EPIPE)
            return wf_err_set(err, WF_FATAL, "reader_gone", "nobody reads standard output");
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return wf_err_sys(err, WF_FATAL, "standard output");
        s->written += n > 0 ? (size_t)n : 0;
    }
    wf_buf_reset(&s->out);
    s->written = 0;
    wf_acks_confirm(&s->acks, s->env->delivery);
    return WF_OK;
}

static void stdout_close(struct wf_sink *s)
{
    if (!s)
        return;
    wf_loop_timer_off(s->env->loop, &s->retry);
    wf_buf_deinit(&s->out);
    wf_acks_free(&s->acks);
    free(s);
}

const struct wf_sink_ops wf_sink_stdout = {
    .name = "stdout",
    .help = "JSON lines on standard output",
    .framing = WF_FRAME_JSON,
    .json_only = true,
    .open = stdout_open,
    .publish = stdout_publish,
    .poll = stdout_poll,
    .close = stdout_close,
};
