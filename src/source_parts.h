/* What the parts of the source share; only source*.c include it. */
#ifndef WF_SOURCE_PARTS_H
#define WF_SOURCE_PARTS_H

#include "pg.h"
#include "promotion.h"
#include "slot.h"
#include "source.h"
#include "worker.h"

struct wf_source {
    const struct wf_source_conf *conf;
    struct wf_source_env env;
    enum wf_source_state state;
    PGconn *conn;
    char *message; /* what PQgetCopyData() gave last */
    bool announce; /* the next item is WF_SOURCE_CONNECTED */
    bool paused;
    bool connected_once;
    int variant; /* of the decoder's options: grows when the server cannot do the one before */
    int fd;      /* of conn, as the loop watches it: libpq forgets it when the connection breaks */
    uint32_t watching; /* epoll events now watched for */
    uint64_t connected_us;
    enum wf_rc failure; /* WF_FATAL once refused */
    struct wf_err failure_err;

    uint64_t received_lsn, acked_lsn, read_lsn;
    struct wf_timer status_timer, connect_timer;
    int64_t backoff_ms;
    struct {
        uint64_t lsn, since_us;
        unsigned count;
    } storm;
    atomic_bool losing; /* a notice of the stream said that changes are left out */
    char unsent[160];   /* the plugin's words, "" = it is the publication that is missing */

    struct wf_worker *worker;
    wf_cancel cancel;
    struct { /* the connect job; the worker's while job.queued */
        struct wf_job job;
        PGconn *conn;
        enum wf_rc rc;
        struct wf_err err;
        uint64_t read_lsn; /* in */
        int variant;       /* in and out */
        struct wf_server server;
        struct wf_slot_info slot; /* as it was after it became ours */
        struct wf_checkpoint cp;
        PGconn *side; /* to a standby: to be asked whether it still is one */
    } attempt;
    struct wf_promotion promotion;
    struct wf_server server;
    struct wf_slot_info slot;
    struct wf_checkpoint cp;
    uint64_t doubted_lsn; /* a keeper's checkpoint past the WAL that was seen before it */
};

/* Run of the connect job, on the worker: from nothing to a stream of a slot that is ours. */
void wf_source_connect(struct wf_job *job);
/* Close what an attempt has opened. */
void wf_source_drop_attempt(struct wf_source *s);
/* Whether the decoder knows another way to start; says so once. */
bool wf_source_falls_back(struct wf_source *s, const struct wf_start *start, const char *sqlstate);
struct wf_slot_env wf_source_slot_env(const struct wf_source *s);

#endif
