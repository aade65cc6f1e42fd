/* Watches whether the standby that is being read becomes a primary. */
#ifndef WF_PROMOTION_H
#define WF_PROMOTION_H

#include <stdbool.h>

#include "loop.h"
#include "pg.h"
#include "worker.h"

/* The owner's storage; zero it before the first use. The stream itself goes on through a promotion
 * and says nothing, so a second session is asked every other second. */
struct wf_promotion {
    struct wf_job job; /* conn and over are the worker's while job.queued */
    PGconn *conn;
    bool over;    /* promoted, or the session broke */
    bool stopped; /* while the job was under way */
    struct wf_timer timer;
    struct wf_loop *loop;
    struct wf_worker *worker;
    wf_cancel *cancel;
    void (*fn)(void *arg);
    void *arg;
};

/* @conn: idle, taken over; @fn is called once, from the loop. Set loop, worker, cancel before. */
void wf_promotion_watch(struct wf_promotion *p, PGconn *conn, void (*fn)(void *arg), void *arg);
void wf_promotion_stop(struct wf_promotion *p);
/* Once the worker has ended. */
void wf_promotion_deinit(struct wf_promotion *p);

#endif
