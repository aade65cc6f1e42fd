/* Record headers as Debezium writes them. */
#ifndef WF_HEADERS_H
#define WF_HEADERS_H

#include "buf.h"
#include "stream.h"

#define WF_HEADERS_MAX 5 /* one about the key, four about the context */

/* Which of a key change's two keys an event tells. */
enum wf_key_header { WF_KEY_HEADER_NONE, WF_KEY_HEADER_NEW, WF_KEY_HEADER_OLD };

struct wf_headers {
    struct wf_header sets[3][WF_HEADERS_MAX]; /* by enum wf_key_header; the key's comes first */
    unsigned ncontext;
    char run_id[37];
    struct wf_buf keys; /* JSON of the new and the old key */
    size_t key_split;
};

/* @context: whether events carry __debezium.context.*; @prefix outlives the headers. */
void wf_headers_init(struct wf_headers *h, const char *prefix, bool context);
void wf_headers_deinit(struct wf_headers *h);

/* The keys are in h->keys, the old one from h->key_split on: let the sets point at them. */
void wf_headers_set_keys(struct wf_headers *h);

/* Give @ev the headers of its kind. */
static inline void wf_headers_give(struct wf_headers *h, struct wf_event *ev,
                                   enum wf_key_header kind)
{
    ev->headers = h->sets[kind] + (kind == WF_KEY_HEADER_NONE);
    ev->nheaders = (uint8_t)(h->ncontext + (kind != WF_KEY_HEADER_NONE));
}

#endif
