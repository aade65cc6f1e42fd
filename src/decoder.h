/* Contract of a decoder: it turns one replication message into at most one change. */
#ifndef WF_DECODER_H
#define WF_DECODER_H

#include "change.h"
#include "err.h"

struct wf_decoder;

/* One payload of XLogData; borrowed from the source until its next message. */
struct wf_msg {
    const char *data;
    size_t len;
    uint64_t start_lsn; /* 0 when the server does not say (Relation, Type) */
};

/*
 * Threads: everything is called from the pipeline's loop thread. No I/O, nothing blocks.
 * Lifetime: what `out` points to (columns, transaction, relation) lives until the next
 * decode() or reset(); a relation's struct lives until a Relation message replaces it.
 */
struct wf_decoder_ops {
    const char *name; /* value of `source.decoder` in the YAML, and of the slot's plugin */
    const char *help;
    /* required. *self is the caller's to close() */
    enum wf_rc (*open)(struct wf_decoder **self, struct wf_err *err);
    /* required. WF_OK: `out` holds a change; WF_AGAIN: consumed, no change for the pipeline
     * (Relation, Type, Origin); WF_FATAL: malformed, @err names what and the byte offset. */
    enum wf_rc (*decode)(struct wf_decoder *self, const struct wf_msg *msg, struct wf_change *out,
                         struct wf_err *err);
    /* required. A new connection that reads from @start_lsn on: half a transaction and all
     * relations are forgotten. */
    void (*reset)(struct wf_decoder *self, uint64_t start_lsn);
    /* required; NULL is fine */
    void (*close)(struct wf_decoder *self);
};

#endif
