/* `walferry check`: what a promotion would meet. */
#ifndef WF_CMD_CHECK_HA_H
#define WF_CMD_CHECK_HA_H

#include "config.h"
#include "pg.h"
#include "slot.h"

/* As in wf_sink_ops: level "ok", "warning" or "error", the finding, the cure or NULL. */
typedef void (*wf_check_report)(void *arg, const char *level, const char *what, const char *cure);

/**
 * wf_check_ha() - failover slot, who holds it back, and every host of the DSN
 * @conn: a session with the server that would be read
 *
 * Nothing is said about a server without standbys.
 */
void wf_check_ha(const struct wf_source_conf *conf, PGconn *conn, const struct wf_server *server,
                 wf_check_report report, void *arg);

#endif
