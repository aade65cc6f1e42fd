#include "promotion.h"

#define INTERVAL_US 2000000

static void ask_run(struct wf_job *job)
{
    struct wf_promotion *p = wf_container_of(job, struct wf_promotion, job);
    wf_autoresult PGresult *res = NULL;

    p->over = wf_pg_query(p->conn, "SELECT pg_catalog.pg_is_in_recovery()", p->cancel, &res,
                          NULL) != WF_OK ||
              *PQgetvalue(res, 0, 0) != 't';
}

static void finish(struct wf_promotion *p)
{
    PQfinish(p->conn);
    p->conn = NULL;
}

static void ask(void *arg);

static void ask_done(struct wf_job *job)
{
    struct wf_promotion *p = wf_container_of(job, struct wf_promotion, job);

    if (p->stopped || p->over)
        finish(p);
    if (p->stopped)
        p->stopped = false;
    else if (p->over)
        p->fn(p->arg);
    else
        wf_loop_timer_set(p->loop, &p->timer, INTERVAL_US, ask, p);
}

static void ask(void *arg)
{
    struct wf_promotion *p = arg;

    p->job.run = ask_run;
    p->job.done = ask_done;
    wf_worker_submit(p->worker, &p->job);
}

void wf_promotion_watch(struct wf_promotion *p, PGconn *conn, void (*fn)(void *arg), void *arg)
{
    p->conn = conn;
    p->fn = fn;
    p->arg = arg;
    wf_loop_timer_set(p->loop, &p->timer, INTERVAL_US, ask, p);
}

void wf_promotion_stop(struct wf_promotion *p)
{
    if (!p->conn)
        return;
    wf_loop_timer_off(p->loop, &p->timer);
    if (p->job.queued)
        p->stopped = true;
    else
        finish(p);
}

void wf_promotion_deinit(struct wf_promotion *p)
{
    finish(p);
}
