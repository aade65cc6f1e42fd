/* Progress persists what is delivered, and only then acknowledges it to the server. */
#ifndef WF_PROGRESS_H
#define WF_PROGRESS_H

#include <stdint.h>

#include "checkpoint.h"
#include "delivery.h"
#include "loop.h"
#include "source.h"
#include "worker.h"

struct wf_progress;

struct wf_progress_env {
    struct wf_loop *loop;
    struct wf_worker *worker;          /* does the fdatasync */
    struct wf_checkpoint_store *store; /* NULL = nothing to persist (temporary slot) */
    struct wf_delivery *delivery;
    struct wf_source *source;
    uint64_t interval_us; /* shortest time between two saves */
    bool kept;            /* by the sink: wf_progress_committed() tells, the store gets a copy */
};

/* @env is copied; what it points to outlives the progress. NULL when memory is out. */
struct wf_progress *wf_progress_new(const struct wf_progress_env *env);
void wf_progress_free(struct wf_progress *p);

/* A stream begins at @cp: what is saved from now on belongs to its system, timeline and slot. */
void wf_progress_start(struct wf_progress *p, const struct wf_checkpoint *cp);

/**
 * wf_progress_turn() - save the safe position when it moved, acknowledge it once it is saved
 * @urgent: the server asked for it, or the process ends: do not wait for company
 *
 * Never blocks: the save runs on the worker. A disk that refuses is logged and tried again each
 * second; meanwhile nothing newer than the last checkpoint is acknowledged.
 */
void wf_progress_turn(struct wf_progress *p, bool urgent);

/* With env.kept: the sink holds @cp now, so it can be acknowledged. */
void wf_progress_committed(struct wf_progress *p, const struct wf_checkpoint *cp);

/* End of what is persisted (and acknowledged). */
uint64_t wf_progress_saved_lsn(const struct wf_progress *p);
/* The safe position is persisted and no save is under way. */
bool wf_progress_settled(const struct wf_progress *p);

#endif
