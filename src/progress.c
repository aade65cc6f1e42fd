#include "progress.h"

#include <stdlib.h>

#include "log.h"
#include "mutant.h"

#define BARRIER_US 1000000 /* between saves that only record a keepalive's position */
#define RETRY_US 1000000
#define COPY_US 1000000 /* between copies of a checkpoint that the sink keeps */

struct wf_progress {
    struct wf_progress_env env;
    struct wf_checkpoint cp; /* the last one saved */
    uint64_t confirmed;      /* events confirmed when the last save began */
    uint64_t last_us;        /* when the last save began */
    struct wf_timer timer;
    bool failing;        /* the last save failed: logged already */
    uint64_t copied_lsn; /* kept: of the last copy */
    struct {             /* the worker's while job.queued */
        struct wf_job job;
        struct wf_checkpoint cp;
        enum wf_rc rc;
        struct wf_err err;
    } save;
};

struct wf_progress *wf_progress_new(const struct wf_progress_env *env)
{
    struct wf_progress *p = calloc(1, sizeof(*p));

    if (p)
        p->env = *env;
    return p;
}

void wf_progress_free(struct wf_progress *p)
{
    if (!p)
        return;
    wf_loop_timer_off(p->env.loop, &p->timer);
    free(p);
}

void wf_progress_start(struct wf_progress *p, const struct wf_checkpoint *cp)
{
    p->cp = *cp;
    p->copied_lsn = p->cp.lsn; /* the sink may have nothing yet: the first commit makes a copy */
}

static void save_run(struct wf_job *job)
{
    struct wf_progress *p = wf_container_of(job, struct wf_progress, save.job);
    struct wf_checkpoint old;

    if (!p->env.kept) {
        p->save.rc = wf_checkpoint_save(p->env.store, &p->save.cp, &p->save.err);
        return;
    }
    /* Whoever had the slot before may have written since. */
    p->save.rc = wf_checkpoint_load(p->env.store, &old, &p->save.err);
    p->save.cp.generation = old.generation;
    p->save.cp.saved_us = old.saved_us;
    if (p->save.rc == WF_OK)
        p->save.rc = wf_checkpoint_claim(p->env.store, &p->save.cp, &p->save.err);
}

static void acknowledge(struct wf_progress *p, uint64_t lsn)
{
    p->cp.lsn = lsn;
    wf_source_ack(p->env.source, lsn);
}

static void save_done(struct wf_job *job)
{
    struct wf_progress *p = wf_container_of(job, struct wf_progress, save.job);

    if (p->save.rc == WF_OK || WF_MUTANT(save_ignored)) {
        if (p->failing)
            wf_log(WF_LOG_INFO, "checkpoint_works", NULL, "the checkpoint can be written again");
        p->failing = false;
        if (p->env.kept)
            p->copied_lsn = p->save.cp.lsn;
        else
            acknowledge(p, p->save.cp.lsn);
        return;
    }
    if (!p->failing)
        wf_log(WF_LOG_ERROR, "checkpoint_write", NULL, "%s; hint: free space in state.dir",
               p->save.err.text);
    p->failing = true;
}

static void submit(struct wf_progress *p, uint64_t lsn)
{
    p->save.cp = p->cp;
    p->save.cp.state = p->env.kept ? WF_CHECKPOINT_COPY : WF_CHECKPOINT_ACTIVE;
    p->save.cp.lsn = lsn;
    p->save.job.run = save_run;
    if (WF_MUTANT(ack_before_save))
        wf_source_ack(p->env.source, lsn);
    p->save.job.done = save_done;
    wf_worker_submit(p->env.worker, &p->save.job);
}

/* An idle database's keepalives alone are not worth a disk write each. */
static uint64_t next_save_us(const struct wf_progress *p, bool urgent)
{
    if (p->failing)
        return p->last_us + RETRY_US;
    if (urgent)
        return 0;
    if (p->env.kept)
        return p->last_us + COPY_US;
    return p->last_us + (wf_delivery_confirmed(p->env.delivery) != p->confirmed ? p->env.interval_us
                                                                                : BARRIER_US);
}

void wf_progress_turn(struct wf_progress *p, bool urgent)
{
    uint64_t safe = p->env.kept ? p->cp.lsn : wf_delivery_safe_lsn(p->env.delivery);
    uint64_t now, next;

    if (safe <= (p->env.kept ? p->copied_lsn : p->cp.lsn) || p->save.job.queued)
        return;
    if (!p->env.store) {
        acknowledge(p, safe);
        return;
    }
    now = wf_mono_us();
    next = next_save_us(p, urgent);
    if (now < next) {
        wf_loop_timer_set(p->env.loop, &p->timer, next - now, NULL, NULL);
        return;
    }
    p->last_us = now;
    p->confirmed = wf_delivery_confirmed(p->env.delivery);
    submit(p, safe);
}

void wf_progress_committed(struct wf_progress *p, const struct wf_checkpoint *cp)
{
    p->cp = *cp;
    wf_source_ack(p->env.source, cp->lsn);
}

uint64_t wf_progress_saved_lsn(const struct wf_progress *p)
{
    return p->cp.lsn;
}

bool wf_progress_settled(const struct wf_progress *p)
{
    return !p->save.job.queued && wf_delivery_safe_lsn(p->env.delivery) <= p->cp.lsn;
}
