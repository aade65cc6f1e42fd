/* What keeps a slot alive through a promotion: failover slots of PostgreSQL 17 and later. */
#ifndef WF_FAILOVER_H
#define WF_FAILOVER_H

#include <stdbool.h>

#include "config.h"
#include "pg.h"
#include "slot.h"

/* Whether a slot that is made there now is to be synchronised to standbys. */
bool wf_failover_wanted(const struct wf_source_conf *conf, const struct wf_server *server);

/* WF_FATAL (exit 78) where source.failover: on cannot be. */
enum wf_rc wf_failover_check(const struct wf_source_conf *conf, const struct wf_server *server,
                             struct wf_err *err);

/**
 * wf_failover_ready() - do for an existing slot what source.failover says
 * @conn: replication connection, idle
 * @slot: as it is
 *
 * `on` switches a slot that nobody reads; a slot that stays without failover beside standbys is a
 * warning.
 */
enum wf_rc wf_failover_ready(PGconn *conn, const struct wf_source_conf *conf, wf_cancel *cancel,
                             const struct wf_server *server, const struct wf_slot_info *slot,
                             struct wf_err *err);

/**
 * wf_failover_held_back() - who in synchronized_standby_slots keeps failover slots from sending
 * @out: "slot "a" does not exist, ...", "" = nobody, or a server that has no such setting
 *
 * A promoted server inherits the setting with the names that suited the old primary, and then sends
 * nothing (PostgreSQL documentation, "synchronized_standby_slots").
 */
enum wf_rc wf_failover_held_back(PGconn *conn, wf_cancel *cancel, char *out, size_t size,
                                 struct wf_err *err);

#endif
