/* The replication slot: made once, compared with the checkpoint on every connect. */
#ifndef WF_SLOT_H
#define WF_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "checkpoint.h"
#include "config.h"
#include "pg.h"

#define WF_FORKS_MAX 64 /* the newest ones count */

/* Where a timeline ended in the server's history. */
struct wf_fork {
    uint32_t timeline;
    uint64_t lsn;
};

/* What a server says about itself. */
struct wf_server {
    int version; /* PQserverVersion() */
    uint64_t system_id;
    uint32_t timeline;
    char database[64];
    int64_t sender_timeout_ms; /* wal_sender_timeout, 0 = none */
    bool raw_text;     /* the database is SQL_ASCII: texts come as they are, in any encoding */
    bool in_recovery;  /* a standby */
    uint32_t instance; /* tells one running server process from every other, never 0 */
    struct wf_fork forks[WF_FORKS_MAX]; /* oldest first */
    unsigned nforks;
};

struct wf_slot_info {
    bool exists;
    char plugin[64], type[16], database[64];
    uint64_t confirmed_lsn;
    uint64_t wal_lsn;      /* end of the server's WAL; replay position on a standby */
    int active_pid;        /* 0 = nobody reads it */
    char wal_status[16];   /* reserved extended unreserved lost */
    char invalidation[64]; /* reason, "" = healthy */
    bool failover;         /* synchronised to standbys (PostgreSQL 17) */
    bool synced;           /* this is a standby's copy of the primary's */
    bool temporary;        /* gone when its session ends; a copy: not kept at a promotion yet */
    bool has_standbys;     /* there are physical slots */
    uint32_t instance;     /* of the server this was read from */
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
 * Return: WF_FATAL (exit 78) when the server is older than 13, a standby older than 16, or
 * wal_level is not logical.
 */
enum wf_rc wf_server_identify(PGconn *conn, wf_cancel *cancel, struct wf_server *out,
                              struct wf_err *err);

/* Read pg_replication_slots; a slot that is not there is WF_OK with exists = false. */
enum wf_rc wf_slot_look(PGconn *conn, const char *slot, wf_cancel *cancel, struct wf_slot_info *out,
                        struct wf_err *err);

/**
 * wf_slot_compare() - whether slot, checkpoint and server fit each other
 * @accept: the operator's decisions
 * @slot:   as it was seen after the lock was taken, or is going to be
 * @cp:     in, state ACTIVE; out, where to go on: another timeline that goes on from the
 *          checkpoint's is taken over
 *
 * Every doubt is a refusal (exit 76): slot gone, lost, ahead of the checkpoint, other system, a
 * timeline that forked before the checkpoint, server behind. WF_RETRY: a standby that has not
 * replayed as far as the checkpoint yet.
 */
enum wf_rc wf_slot_compare(const struct wf_source_conf *conf, const struct wf_accept *accept,
                           const struct wf_server *server, const struct wf_slot_info *slot,
                           struct wf_checkpoint *cp, struct wf_err *err);

/* wf_slot_compare() when there is a checkpoint; in any case whether an existing slot is usable. */
enum wf_rc wf_slot_check(const struct wf_source_conf *conf, const struct wf_server *server,
                         const struct wf_slot_info *slot, const struct wf_checkpoint *cp,
                         struct wf_err *err);

/* What wf_slot_ready() works with; @keeper may be NULL. */
struct wf_slot_env {
    const struct wf_source_conf *conf;
    struct wf_checkpoint_store *store;
    const struct wf_keeper *keeper;
    struct wf_accept accept;
};

/**
 * wf_slot_ready() - make sure that there is a slot, and where to start
 * @conn: replication connection, idle
 * @cp:   out, the store's checkpoint. Without a keeper it is the point to start from; with one it
 *        may be of any state: wf_slot_settle() decides once the slot is locked
 *
 * Without any checkpoint the slot (and publication) is created if source.create allows, or an
 * existing slot is adopted at its confirmed position. With one a slot is never created.
 */
enum wf_rc wf_slot_ready(PGconn *conn, const struct wf_slot_env *env, wf_cancel *cancel,
                         const struct wf_server *server, struct wf_checkpoint *cp,
                         struct wf_err *err);

/* Tell what CREATE_REPLICATION_SLOT is about to wait for, if there is such a thing. */
void wf_slot_log_wait(const struct wf_source_conf *conf, const char *slot, PGconn *conn,
                      const struct wf_server *server);

/**
 * wf_slot_settle() - where to start, now that the keeper's checkpoint can be read for good
 * @slot: as seen after the lock was taken
 * @kept: what the keeper has; state NONE = nothing
 * @cp:   in, the store's; out, the point to start from
 */
enum wf_rc wf_slot_settle(const struct wf_slot_env *env, const struct wf_server *server,
                          const struct wf_slot_info *slot, const struct wf_checkpoint *kept,
                          struct wf_checkpoint *cp, struct wf_err *err);

/* The slot is the lock: WF_RETRY with code "slot_active". */
enum wf_rc wf_slot_is_active(const struct wf_source_conf *conf, int pid, struct wf_err *err);

#endif
