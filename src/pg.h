/* Connections to PostgreSQL with pinned session settings; blocking calls for helper threads. */
#ifndef WF_PG_H
#define WF_PG_H

#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "config.h"
#include "err.h"

enum wf_pg_kind {
    WF_PG_SQL,         /* an ordinary session */
    WF_PG_REPLICATION, /* a walsender of the database: replication=database */
};

/* Raised by another thread to end a blocking call early. */
typedef atomic_bool wf_cancel;

/**
 * wf_pg_connect() - open a session
 * @conf:   dsn, password, connect_timeout_ms
 * @cancel: may be NULL
 *
 * Pins DateStyle, IntervalStyle, TimeZone, extra_float_digits, bytea_output, lc_monetary and
 * client_encoding, so that a replay writes the same text (PostgreSQL documentation, "Client
 * Connection Defaults"). sslmode is verify-full unless the DSN says otherwise or every host is a
 * Unix socket or a loopback address. Several hosts are tried in order, each for connect_timeout_ms;
 * only a primary is taken unless the DSN has target_session_attrs.
 *
 * Return: WF_OK with *out for PQfinish(); WF_RETRY when trying again may help; WF_FATAL with exit
 * code 78 for a DSN, password, privilege or database that is wrong.
 */
enum wf_rc wf_pg_connect(const struct wf_source_conf *conf, enum wf_pg_kind kind, wf_cancel *cancel,
                         PGconn **out, struct wf_err *err);

/* An ordinary session with the server, at the address, that @beside is connected to. */
enum wf_rc wf_pg_connect_beside(const struct wf_source_conf *conf, PGconn *beside,
                                wf_cancel *cancel, PGconn **out, struct wf_err *err);

/* How many servers the DSN names. */
unsigned wf_pg_hosts(const struct wf_source_conf *conf);

/**
 * wf_pg_connect_host() - an ordinary session with one server of the DSN, whatever its role
 * @host: 0 .. wf_pg_hosts() - 1
 * @name: out, "host:port" for messages
 */
enum wf_rc wf_pg_connect_host(const struct wf_source_conf *conf, unsigned host, char *name,
                              size_t size, PGconn **out, struct wf_err *err);

/**
 * wf_pg_query() - run one statement by the simple protocol
 *
 * Return: WF_OK with *out for PQclear() in state COMMAND_OK, TUPLES_OK or COPY_BOTH; otherwise the
 * server's message is in @err and its SQLSTATE in @err->code as "sqlstate_42704".
 */
enum wf_rc wf_pg_query(PGconn *conn, const char *sql, wf_cancel *cancel, PGresult **out,
                       struct wf_err *err);

/* Whether the database is SQL_ASCII: the server then converts and checks no text. */
bool wf_pg_raw_text(PGconn *conn);

/* Whether @err came from wf_pg_query() with this SQLSTATE. */
bool wf_pg_is(const struct wf_err *err, const char *sqlstate);

/* Text of a field, NULL for SQL NULL; borrowed from @res. */
const char *wf_pg_value(const PGresult *res, int row, int col);

/* 'text' or "name" for use in SQL; *quoted is the caller's to PQfreemem(). */
enum wf_rc wf_pg_literal(PGconn *conn, const char *text, char **quoted, struct wf_err *err);
enum wf_rc wf_pg_ident(PGconn *conn, const char *name, char **quoted, struct wf_err *err);

static inline void wf_pg_clear(PGresult **res)
{
    PQclear(*res);
}

static inline void wf_pg_finish(PGconn **conn)
{
    PQfinish(*conn);
}

static inline void wf_pg_freemem(char **p)
{
    PQfreemem(*p);
}

/* Early returns are safe: wf_autoresult PGresult *res = NULL; */
#define wf_autoresult __attribute__((cleanup(wf_pg_clear)))
#define wf_autoconn __attribute__((cleanup(wf_pg_finish)))
#define wf_autoquoted __attribute__((cleanup(wf_pg_freemem)))

#endif
