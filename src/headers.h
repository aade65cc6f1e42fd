/* Record headers as Debezium writes them. */
#ifndef WF_HEADERS_H
#define WF_HEADERS_H

#include "buf.h"
#include "stream.h"

/* Which of a key change's two keys an event tells. */
enum wf_key_header { WF_KEY_HEADER_NONE, WF_KEY_HEADER_NEW, WF_KEY_HEADER_OLD };

struct wf_headers {
    struct wf_header sets[3][WF_HEADERS_MAX]; /* by enum wf_key_header; the key's comes first */
    unsigned ncontext;
    char run_id[37];
    struct wf_buf keys; /* JSON of the new and the old key */
    size_t key_split;
};

/* @context: whether events carry __debezium.context.*; @prefix outlives the headers. Both keys of a
 * change may take @max_event bytes. */
void wf_headers_init(struct wf_headers *h, const char *prefix, bool context, size_t max_event);
void wf_headers_deinit(struct wf_headers *h);

/* The keys are in h->keys, the old one from h->key_split on: let the sets point at them. */
void wf_headers_set_keys(struct wf_headers *h);

/* The headers of one event. */
struct wf_header_set {
    const struct wf_header *first;
    uint8_t n;
};

static inline struct wf_header_set wf_headers_of(const struct wf_headers *h,
                                                 enum wf_key_header kind)
{
    return (struct wf_header_set){h->sets[kind] + (kind == WF_KEY_HEADER_NONE),
                                  (uint8_t)(h->ncontext + (kind != WF_KEY_HEADER_NONE))};
}

#define WF_NO_HEADERS ((struct wf_header_set){NULL, 0})

#endif
