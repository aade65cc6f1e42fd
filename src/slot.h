/* The replication slot: made once, compared with the checkpoint on every connect. */
#ifndef WF_SLOT_H
#define WF_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "checkpoint.h"
#include "config.h"
#include "pg.h"

/* What a server says about itself and our slot. */
struct wf_server {
    int version; /* PQserverVersion() */
    uint64_t system_id;
    uint32_t timeline;
    uint64_t flush_lsn; /* end of WAL, replay position on a standby */
    char database[64];
    int64_t sender_timeout_ms; /* wal_sender_timeout, 0 = none */
    bool raw_text; /* the database is SQL_ASCII: texts come as they are, in any encoding */
};

struct wf_slot_info {
    bool exists;
    char plugin[64], type[16], database[64];
    uint64_t confirmed_lsn;
    int active_pid;        /* 0 = nobody reads it */
    char wal_status[16];   /* reserved extended unreserved lost */
    char invalidation[64]; /* reason, "" = healthy */
};

/* The operator's decisions for this start; 0 = none. */
struct wf_accept {
    uint64_t gap_lsn;  /* go on here although the slot is ahead of the checkpoint */
    uint32_t timeline; /* go on although the server is on this other timeline */
};

/**
 * wf_server_identify() - IDENTIFY_SYSTEM plus the settings logical decoding needs
 * @conn: a replication connection
 *
 * Return: WF_FATAL (exit 78) when the server is older than 13 or wal_level is not logical.
 */
enum wf_rc wf_server_identify(PGconn *conn, wf_cancel *cancel, struct wf_server *out,
                              struct wf_err *err);

/* Read pg_replication_slots; a slot that is not there is WF_OK with exists = false. */
enum wf_rc wf_slot_look(PGconn *conn, const char *slot, wf_cancel *cancel, struct wf_slot_info *out,
                        struct wf_err *err);

/**
 * wf_slot_check() - whether the slot and the checkpoint fit each other and the server
 * @cp: the checkpoint; state ACTIVE is compared, others only need a usable slot, if there is one
 *
 * Return: WF_OK, or the refusal wf_slot_ready() would give. Changes nothing.
 */
enum wf_rc wf_slot_check(PGconn *conn, const struct wf_source_conf *conf, wf_cancel *cancel,
                         const struct wf_server *server, const struct wf_slot_info *slot,
                         const struct wf_checkpoint *cp, struct wf_err *err);

/**
 * wf_slot_ready() - the position check: may streaming start, and where
 * @conn:   replication connection, idle
 * @store:  where the first checkpoint goes
 * @accept: the operator's decisions
 * @cp:     out, the checkpoint to start from; state ACTIVE
 *
 * Without a checkpoint the slot (and publication) is created if source.create allows, or an
 * existing slot is adopted at its confirmed position. With one, every doubt is a refusal (exit
 * 76): slot gone, lost, ahead of the checkpoint, other system, other timeline, server behind.
 */
enum wf_rc wf_slot_ready(PGconn *conn, const struct wf_source_conf *conf,
                         struct wf_checkpoint_store *store, const struct wf_accept *accept,
                         wf_cancel *cancel, const struct wf_server *server,
                         struct wf_checkpoint *cp, struct wf_err *err);

/* The slot is the lock: WF_RETRY with code "slot_active". */
enum wf_rc wf_slot_is_active(const struct wf_source_conf *conf, int pid, struct wf_err *err);

#endif
