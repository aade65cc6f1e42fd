/* The source reads one logical replication slot; reconnects by itself, refuses by itself. */
#ifndef WF_SOURCE_H
#define WF_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "checkpoint.h"
#include "config.h"
#include "decoder.h"
#include "loop.h"
#include "slot.h"

struct wf_source;

enum wf_source_state {
    WF_SOURCE_CONNECTING,
    WF_SOURCE_STANDBY, /* somebody else reads the slot: ready to take over */
    WF_SOURCE_STREAMING,
    WF_SOURCE_WAITING, /* between two attempts to connect */
    WF_SOURCE_REFUSED,
};

enum wf_source_event {
    WF_SOURCE_MESSAGE,   /* msg holds one message of the output plugin */
    WF_SOURCE_BARRIER,   /* everything before barrier_lsn has been received */
    WF_SOURCE_CONNECTED, /* a new connection: forget relations and half a transaction */
};

struct wf_source_item {
    enum wf_source_event event;
    struct wf_msg msg;
    uint64_t barrier_lsn;
    bool reply_requested;
};

struct wf_source_env {
    struct wf_loop *loop;
    struct wf_checkpoint_store *store;
    const struct wf_keeper
        *keeper; /* NULL = the store has the checkpoint; see wf_source_settle() */
    struct wf_accept accept;
    bool temporary; /* a temporary slot that ends with the connection: dry run and tail */
};

/* @conf outlives the source. Connecting begins at once. */
enum wf_rc wf_source_open(struct wf_source **out, const struct wf_source_conf *conf,
                          const struct wf_source_env *env, struct wf_err *err);
void wf_source_close(struct wf_source *s);

/**
 * wf_source_next() - the next thing from the server; never blocks
 * @item: out; msg is borrowed until the next call
 *
 * Return: WF_OK; WF_AGAIN nothing there (not connected, or the socket is empty); WF_FATAL a
 * refusal (exit 76), a configuration fault (78). A lost connection is logged, retried with
 * back-off and jitter for ever, and seen only as WF_SOURCE_CONNECTED later.
 */
enum wf_rc wf_source_next(struct wf_source *s, struct wf_source_item *item, struct wf_err *err);

/**
 * wf_source_settle() - with a keeper: decide where to start, before anything is read
 * @kept: what the keeper has now that the slot is ours and nobody else can write there
 *
 * Return: WF_OK: wf_source_start_point() is valid; WF_RETRY: connect again and look anew; WF_FATAL
 * a refusal.
 */
enum wf_rc wf_source_settle(struct wf_source *s, const struct wf_checkpoint *kept,
                            struct wf_err *err);

/**
 * wf_source_set_read_lsn() - where to read on after a reconnect
 * @lsn: end of the last whole transaction handed over, at or past the checkpoint; 0 = from the
 *       checkpoint
 */
void wf_source_set_read_lsn(struct wf_source *s, uint64_t lsn);

/* Tell the server that everything before @lsn is durable downstream; call it only after the
 * checkpoint is. Never moves back, never passes what was received. */
void wf_source_ack(struct wf_source *s, uint64_t lsn);

/* Do not wake the loop for incoming data: there is no room. Status packets go on. */
void wf_source_pause(struct wf_source *s, bool pause);

/* Close the connection and open it again after @after_ms; the slot stays. */
void wf_source_reconnect(struct wf_source *s, int64_t after_ms, const char *why);

/* What the server sends cannot be read: connect again with the next variant of the options. */
void wf_source_fall_back(struct wf_source *s, const struct wf_err *why);

enum wf_source_state wf_source_state(const struct wf_source *s);
/* What the last check saw; valid once a connection was made. */
const struct wf_server *wf_source_server(const struct wf_source *s);
/* Of the decoder's options, as the connection began with them. */
int wf_source_variant(const struct wf_source *s);
/* The checkpoint the stream started from. */
const struct wf_checkpoint *wf_source_start_point(const struct wf_source *s);

#endif
