/* One decoded change: what any decoder hands to the rest of the pipeline. */
#ifndef WF_CHANGE_H
#define WF_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relation.h"

/* Kind bytes as on the wire (PostgreSQL, "Logical Replication Message Formats", TupleData). */
enum wf_col_kind {
    WF_COL_NULL = 'n',
    WF_COL_UNCHANGED = 'u', /* TOASTed and untouched by the UPDATE: not sent, never NULL */
    WF_COL_TEXT = 't',
    WF_COL_BINARY = 'b',
    WF_COL_UNSURE = '?', /* NULL, NaN or infinity: a plugin that writes one word for all */
};

struct wf_col {
    const char *data; /* points into the message, not NUL-terminated */
    uint32_t len;
    uint8_t kind; /* enum wf_col_kind */
};

enum wf_old_kind {
    WF_OLD_NONE = 0,
    WF_OLD_KEY = 'K',  /* only columns with wf_relcol.key hold values, the others mean nothing */
    WF_OLD_FULL = 'O', /* the whole old row */
};

enum wf_change_kind {
    WF_CHANGE_BEGIN,
    WF_CHANGE_COMMIT,
    WF_CHANGE_INSERT,
    WF_CHANGE_UPDATE,
    WF_CHANGE_DELETE,
    WF_CHANGE_TRUNCATE,
    WF_CHANGE_MESSAGE,   /* pg_logical_emit_message() */
    WF_CHANGE_HEARTBEAT, /* walferry's own: time has passed; no transaction */
    WF_CHANGE_DEAD,      /* one that could not be published, see aside.h */
    /* protocol 2-4 adds STREAM_START .. ROLLBACK_PREPARED here */
};

/* The transaction a change belongs to; filled at BEGIN, completed at COMMIT. */
struct wf_txn {
    uint64_t final_lsn; /* start of the commit record */
    uint64_t end_lsn;   /* end of the commit record; 0 before COMMIT */
    int64_t commit_us;  /* commit time, microseconds since the Unix epoch */
    uint32_t xid;
    const char *origin; /* replication origin, NULL for local transactions */
    uint64_t origin_lsn;
    uint64_t prev_end_lsn; /* end_lsn of the transaction before, or where the stream began */
};

struct wf_change {
    enum wf_change_kind kind;
    uint64_t lsn;              /* of the WAL record; 0 when the server does not say */
    uint32_t xid;              /* of the (sub)transaction inside a streamed block, else 0 */
    const struct wf_txn *txn;  /* NULL for a non-transactional message */
    struct wf_relation *rel;   /* INSERT, UPDATE, DELETE */
    enum wf_old_kind old_kind; /* UPDATE, DELETE */
    /* rel->ncols columns each; they live until the next decode() */
    const struct wf_col *old_row;
    const struct wf_col *new_row;
    struct { /* TRUNCATE */
        struct wf_relation **rels;
        uint32_t nrels;
        bool cascade, restart_identity;
    } truncate;
    struct { /* MESSAGE */
        bool transactional;
        const char *prefix;
        const char *content; /* may hold NUL */
        uint32_t len;
    } message;
    struct { /* DEAD */
        enum wf_change_kind was;
        const struct wf_relation *rel; /* NULL for a message, a truncate */
        const char *code, *reason;     /* of the rejection */
        const char *plugin, *message;  /* [message, message+len), as the plugin sent it */
        size_t len;
        const char *file; /* which holds the message, too large for an event; or NULL */
    } dead;
};

#endif
