/* A failure that is tried again, more and more rarely, until it is over. */
#ifndef WF_TROUBLE_H
#define WF_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "loop.h"

/* Zero it before the first use. */
struct wf_trouble {
    char code[32]; /* of what failed last; "" = nothing */
    uint64_t lsn;  /* over once the safe position is past it */
    uint64_t retry_us, retry_at_us;
    struct wf_timer timer;
};

/**
 * wf_trouble_note() - tell of a failure and when the next try comes: 0.5 s, doubled up to 30 s
 * @at_lsn:   the change in work, for people
 * @over_lsn: what failed is delivered when everything up to here is
 *
 * The loop wakes for the try.
 */
void wf_trouble_note(struct wf_trouble *t, struct wf_loop *loop, const struct wf_err *err,
                     uint64_t at_lsn, uint64_t over_lsn);

/* Over when what failed is delivered: repeats of what stood before it prove nothing. */
void wf_trouble_end(struct wf_trouble *t, uint64_t safe_lsn);

static inline bool wf_trouble_is_on(const struct wf_trouble *t)
{
    return t->code[0] != '\0';
}

/* Whether work may go on: nothing failed, or it is time to try again. */
static inline bool wf_trouble_may_try(const struct wf_trouble *t)
{
    return !wf_trouble_is_on(t) || wf_mono_us() >= t->retry_at_us;
}

#endif
