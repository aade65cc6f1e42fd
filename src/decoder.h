/* Contract of a decoder: it turns one replication message into at most one change. */
#ifndef WF_DECODER_H
#define WF_DECODER_H

#include "buf.h"
#include "change.h"
#include "err.h"
#include "table.h"

struct wf_decoder;
struct wf_source_conf;

/* One payload of XLogData; borrowed from the source until its next message. */
struct wf_msg {
    const char *data;
    size_t len;
    uint64_t start_lsn; /* 0 when the server does not say (Relation, Type) */
};

/* What the options of START_REPLICATION depend on. */
struct wf_start {
    const struct wf_source_conf *conf;
    int server_version;      /* PQserverVersion() */
    int variant;             /* 0 = all that the decoder likes; see falls_back() */
    const char *publication; /* its quoted name as an SQL literal */
};

/* For the log. */
struct wf_fallback {
    const char *code, *why;
};

/*
 * Threads: everything is called from the pipeline's loop thread, options() and falls_back() from
 * any. No I/O, nothing blocks.
 * Lifetime: what `out` points to (columns, transaction, relation) lives until the next
 * decode() or reset(); a relation's struct lives until a Relation message replaces it.
 */
struct wf_decoder_ops {
    const char *name; /* value of `source.decoder` in the YAML, and of the slot's plugin */
    const char *help;
    bool needs_publication;
    bool needs_utf8; /* the server does not convert its messages to our encoding */
    /* required. Appends "name 'value', ..."; out->failed when there is no room. */
    void (*options)(const struct wf_start *start, struct wf_buf *out);
    /* optional. What goes on without when the server's error @sqlstate, on start or later, means
     * that the next variant of the options may do; else NULL. */
    const struct wf_fallback *(*falls_back)(const struct wf_start *start, const char *sqlstate);
    /* required. *self is the caller's to close() */
    enum wf_rc (*open)(struct wf_decoder **self, struct wf_err *err);
    /* required. WF_OK: `out` holds a change; WF_AGAIN: consumed, no change for the pipeline
     * (Relation, Type, Origin), or asks() wants an answer; WF_FATAL: malformed, @err names what
     * and the byte offset. */
    enum wf_rc (*decode)(struct wf_decoder *self, const struct wf_msg *msg, struct wf_change *out,
                         struct wf_err *err);
    /* optional. After WF_AGAIN: the table whose columns in the live catalog the message cannot be
     * read without, or NULL. tell() answers, then the same message is decoded once more. */
    const struct wf_table_name *(*asks)(const struct wf_decoder *self);
    /* with asks(). @table becomes the decoder's. */
    void (*tell)(struct wf_decoder *self, struct wf_table *table);
    /* optional. The variant of the options that the connection began with; after reset(). */
    void (*started)(struct wf_decoder *self, int variant);
    /* required. A new connection that reads from @start_lsn on: half a transaction and all
     * relations are forgotten. */
    void (*reset)(struct wf_decoder *self, uint64_t start_lsn);
    /* required; NULL is fine */
    void (*close)(struct wf_decoder *self);
};

#endif
