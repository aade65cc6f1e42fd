/* Runs of delivery tags in publishing order, for sinks that confirm in that order. */
#ifndef WF_ACKS_H
#define WF_ACKS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "delivery.h"

#define WF_ACKS_MAX 65536 /* transactions between two confirmations */

struct wf_acks {
    struct wf_ack_run {
        uint64_t tag;
        uint32_t n;
    } *run;
    uint32_t n, cap;
};

/* One more event of transaction @tag. Return: false when the list is full: confirm first. */
static inline bool wf_acks_add(struct wf_acks *a, uint64_t tag)
{
    if (a->n && a->run[a->n - 1].tag == tag) {
        a->run[a->n - 1].n++;
        return true;
    }
    if (a->n == a->cap) {
        uint32_t cap = a->cap ? a->cap * 2 : 1024;
        void *run = cap <= WF_ACKS_MAX ? realloc(a->run, cap * sizeof(*a->run)) : NULL;

        if (!run)
            return false;
        a->run = run;
        a->cap = cap;
    }
    a->run[a->n++] = (struct wf_ack_run){tag, 1};
    return true;
}

/* Confirm all of them and start anew. */
static inline void wf_acks_confirm(struct wf_acks *a, struct wf_delivery *d)
{
    for (uint32_t i = 0; i < a->n; i++)
        wf_delivery_acked(d, a->run[i].tag, a->run[i].n);
    a->n = 0;
}

static inline void wf_acks_free(struct wf_acks *a)
{
    free(a->run);
    *a = (struct wf_acks){0};
}

#endif
