#include "event_queue.h"

#include <stdalign.h>

/* An event is its struct, its headers' structs and then the bytes they point to, in that order.
 * Pointers are made anew when it is read: the buffer moves when it grows. */
#define ALIGN alignof(struct wf_event)

void wf_event_queue_init(struct wf_event_queue *q, size_t max)
{
    *q = (struct wf_event_queue){.at = 0};
    wf_buf_init(&q->buf, max);
}

void wf_event_queue_deinit(struct wf_event_queue *q)
{
    wf_buf_deinit(&q->buf);
    q->at = 0;
}

static size_t size_of(const struct wf_event *ev)
{
    size_t n = sizeof(*ev) + ev->nheaders * sizeof(*ev->headers) + ev->key_len + ev->value_len;

    for (unsigned i = 0; i < ev->nheaders; i++)
        n += ev->headers[i].len;
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

bool wf_event_queue_put(struct wf_event_queue *q, const struct wf_event *ev)
{
    size_t size = size_of(ev), len = q->buf.len;

    if (ev->nheaders > WF_HEADERS_MAX || !wf_buf_reserve(&q->buf, size)) {
        q->buf.failed = false; /* full, not broken */
        return false;
    }
    wf_buf_put(&q->buf, ev, sizeof(*ev));
    wf_buf_put(&q->buf, ev->headers, ev->nheaders * sizeof(*ev->headers));
    wf_buf_put(&q->buf, ev->key, ev->key_len);
    wf_buf_put(&q->buf, ev->value, ev->value_len);
    for (unsigned i = 0; i < ev->nheaders; i++)
        wf_buf_put(&q->buf, ev->headers[i].value, ev->headers[i].len);
    q->buf.len = len + size;
    return true;
}

bool wf_event_queue_front(struct wf_event_queue *q, struct wf_event *ev)
{
    const unsigned char *p = q->buf.data + q->at;

    if (wf_event_queue_empty(q))
        return false;
    memcpy(ev, p, sizeof(*ev));
    p += sizeof(*ev);
    memcpy(q->headers, p, ev->nheaders * sizeof(*q->headers));
    p += ev->nheaders * sizeof(*q->headers);
    ev->key = ev->key ? p : NULL;
    p += ev->key_len;
    ev->value = ev->value ? p : NULL;
    p += ev->value_len;
    for (unsigned i = 0; i < ev->nheaders; i++) {
        q->headers[i].value = q->headers[i].value ? p : NULL;
        p += q->headers[i].len;
    }
    ev->headers = q->headers;
    return true;
}

void wf_event_queue_pop(struct wf_event_queue *q)
{
    struct wf_event ev;

    memcpy(&ev, q->buf.data + q->at, sizeof(ev));
    ev.headers = (const struct wf_header *)(q->buf.data + q->at + sizeof(ev));
    q->at += size_of(&ev);
    if (!wf_event_queue_empty(q))
        return;
    q->at = 0;
    wf_buf_reset(&q->buf);
}
