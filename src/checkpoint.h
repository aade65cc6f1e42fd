/* The checkpoint file remembers up to which LSN everything is delivered. */
#ifndef WF_CHECKPOINT_H
#define WF_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

enum wf_checkpoint_state {
    WF_CHECKPOINT_NONE = 0, /* no file yet */
    WF_CHECKPOINT_INTENT,   /* a slot is about to be created; nothing was ever delivered */
    WF_CHECKPOINT_ACTIVE,   /* lsn is delivered */
    WF_CHECKPOINT_COPY,     /* the keeper's is the truth, this is what it was a while ago */
};

struct wf_checkpoint {
    enum wf_checkpoint_state state;
    uint64_t generation; /* grows with each save */
    uint64_t system_id;  /* IDENTIFY_SYSTEM */
    uint32_t timeline;
    uint32_t instance; /* of the server process it was read from, 0 = unknown; see wf_server */
    uint64_t lsn;      /* end of the last whole delivered transaction, or a later barrier */
    int64_t saved_us;
    char slot[64];
    /* A keeper's only: of the transaction after lsn the first changes are delivered as well. */
    struct wf_split {
        uint64_t final_lsn; /* wf_txn.final_lsn, 0 = no part is */
        uint64_t changes;   /* counted before any filter */
        uint64_t hash;      /* over them */
    } split;
};

/* Who keeps the checkpoint instead of the file: a sink that stores it together with the events. */
struct wf_keeper {
    /* What is stored there now; state NONE when nothing is. Blocks; may be called from any thread.
     */
    enum wf_rc (*stored)(void *arg, struct wf_checkpoint *cp, struct wf_err *err);
    void *arg;
};

struct wf_checkpoint_store;

/**
 * wf_checkpoint_open() - the store in a state directory
 * @dir: created with mode 0700 when only its last component is missing; must be ours
 *
 * The file "checkpoint" holds two slots written in turn, each with generation and CRC32C, so that
 * a crash at any point leaves the old checkpoint or the new one.
 */
enum wf_rc wf_checkpoint_open(const char *dir, struct wf_checkpoint_store **out,
                              struct wf_err *err);
void wf_checkpoint_close(struct wf_checkpoint_store *s);

/* The newest valid slot; state NONE when there is no file. A file without a valid slot is a
 * refusal: only a person can say what was delivered. May be called from any thread. */
enum wf_rc wf_checkpoint_load(struct wf_checkpoint_store *s, struct wf_checkpoint *cp,
                              struct wf_err *err);

/* Load without creating anything: state NONE when the directory is not there. */
enum wf_rc wf_checkpoint_peek(const char *dir, struct wf_checkpoint *cp, struct wf_err *err);

/**
 * wf_checkpoint_save() - durable when it returns WF_OK
 * @cp: state, system_id, timeline, lsn, slot; generation and saved_us are set here
 *
 * Blocks for an fdatasync. Return: WF_RETRY when the disk refused, or what stands is further: the
 * checkpoint stays, so nothing newer may be acknowledged; WF_FATAL as wf_checkpoint_load(), which
 * the first save of a store implies. May be called from any thread.
 */
enum wf_rc wf_checkpoint_save(struct wf_checkpoint_store *s, struct wf_checkpoint *cp,
                              struct wf_err *err);

/* Forget what is stored: for a file that is damaged and about to be written anew. */
enum wf_rc wf_checkpoint_remove(struct wf_checkpoint_store *s, struct wf_err *err);

/* As wf_checkpoint_save() for a @cp that was loaded a while ago, by who may write from now on:
 * WF_RETRY when anybody has saved since, for that may be acknowledged already. Loading alone gives
 * no right to save over what another store wrote. */
enum wf_rc wf_checkpoint_claim(struct wf_checkpoint_store *s, struct wf_checkpoint *cp,
                               struct wf_err *err);

#endif
