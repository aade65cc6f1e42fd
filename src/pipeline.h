/* One pipeline: a slot, what is made of its changes, and where they go. */
#ifndef WF_PIPELINE_H
#define WF_PIPELINE_H

#include <signal.h>
#include <stdbool.h>

#include "config.h"
#include "slot.h"

struct wf_pipeline;

struct wf_pipeline_options {
    struct wf_accept accept; /* the operator's decisions for this start */
    bool temporary;          /* a temporary slot, no checkpoint: --dry-run and tail */
    uint64_t until_lsn;      /* stop once everything before it is delivered; 0 = never */
};

/* @config outlives the pipeline. *out is the caller's to free. */
enum wf_rc wf_pipeline_new(struct wf_pipeline **out, const struct wf_config *config,
                           const struct wf_pipeline_options *options, struct wf_err *err);

/**
 * wf_pipeline_run() - ferry until told to stop
 * @stop: set by a signal handler; then what is on its way is delivered, at most 10 s
 *
 * Return: WF_OK after a stop; WF_FATAL with the exit code in @err.
 */
enum wf_rc wf_pipeline_run(struct wf_pipeline *p, volatile sig_atomic_t *stop, struct wf_err *err);
void wf_pipeline_free(struct wf_pipeline *p);

#endif
