/* A helper thread for calls that can block: connecting, fsync, name look-up. */
#ifndef WF_WORKER_H
#define WF_WORKER_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "loop.h"

struct wf_worker;

/* The owner's storage; it must live until done() ran. */
struct wf_job {
    void (*run)(struct wf_job *job);  /* on the helper thread */
    void (*done)(struct wf_job *job); /* on the loop thread, in order of submission */
    struct wf_job *next;
    bool queued; /* from submit() until done() */
};

/* The owner of a job that is member @member of @type: run() and done() find their state by it. */
#define wf_container_of(job, type, member) ((type *)((char *)(job) - offsetof(type, member)))

/* @name: shown in ps/top, at most 15 bytes. */
struct wf_worker *wf_worker_new(struct wf_loop *loop, const char *name, struct wf_err *err);
/* Waits for the job that runs; done() is not called for what is left. NULL is fine. */
void wf_worker_free(struct wf_worker *w);
/* As wf_worker_free(), but done() is called for the jobs that have run. */
void wf_worker_finish(struct wf_worker *w);
void wf_worker_submit(struct wf_worker *w, struct wf_job *job);

#endif
