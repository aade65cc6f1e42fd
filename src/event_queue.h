/* Events in their order, copied: what a sink took and cannot pass on yet. */
#ifndef WF_EVENT_QUEUE_H
#define WF_EVENT_QUEUE_H

#include "buf.h"
#include "stream.h"

struct wf_event_queue {
    struct wf_buf buf; /* the events, one behind the other */
    size_t at;         /* of the oldest one */
    struct wf_header headers[WF_HEADERS_MAX];
};

/* Holds at most @max bytes, about 130 of an event being its frame; allocates nothing before the
 * first event. */
void wf_event_queue_init(struct wf_event_queue *q, size_t max);
void wf_event_queue_deinit(struct wf_event_queue *q);

static inline bool wf_event_queue_empty(const struct wf_event_queue *q)
{
    return q->at == q->buf.len;
}

/* Append a copy of @ev; its stream and its headers' names are borrowed. Return: false: no room,
 * nothing was taken. */
bool wf_event_queue_put(struct wf_event_queue *q, const struct wf_event *ev);

/* The oldest event; @ev's pointers are good until the next call. Return: false: there is none. */
bool wf_event_queue_front(struct wf_event_queue *q, struct wf_event *ev);

/* Drop the oldest event; there is one. */
void wf_event_queue_pop(struct wf_event_queue *q);

#endif
