#include "pg.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"

#define MAX_PARAMS 64
#define POLL_MS 200 /* how soon a raised cancel flag is seen */

/* What the server prints must not depend on role or database defaults: a replay after ALTER ROLE
 * ... SET has to give the same bytes. */
static const char pinned_options[] =
    "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3 -c timezone=UTC "
    "-c bytea_output=hex -c lc_monetary=C -c statement_timeout=0 -c lock_timeout=0 "
    "-c idle_in_transaction_session_timeout=0";

struct params {
    const char *keys[MAX_PARAMS];
    const char *values[MAX_PARAMS];
    int n;
    char options[1024];
    char timeout[16];
};

/* One server of those that a DSN may name; "" = not said. */
struct place {
    char host[256], hostaddr[64], port[16];
    const char *attrs; /* target_session_attrs; NULL = as the DSN says */
};

static void add(struct params *p, const char *key, const char *value)
{
    if (p->n < MAX_PARAMS - 1) {
        p->keys[p->n] = key;
        p->values[p->n++] = value;
    }
}

static const char *dsn_value(const PQconninfoOption *dsn, const char *key)
{
    for (; dsn->keyword; dsn++) {
        if (strcmp(dsn->keyword, key) == 0)
            return dsn->val && *dsn->val ? dsn->val : NULL;
    }
    return NULL;
}

/* What libpq takes them from. */
static const char *host_list(const PQconninfoOption *dsn)
{
    const char *list = dsn_value(dsn, "host");

    return list ? list : getenv("PGHOST");
}

static const char *addr_list(const PQconninfoOption *dsn)
{
    const char *list = dsn_value(dsn, "hostaddr");

    return list ? list : getenv("PGHOSTADDR");
}

static const char *port_list(const PQconninfoOption *dsn)
{
    const char *list = dsn_value(dsn, "port");

    return list ? list : getenv("PGPORT");
}

static bool is_local_host(const char *host, size_t len)
{
    return len == 0 || host[0] == '/' || host[0] == '@' || (len > 4 && !memcmp(host, "127.", 4)) ||
           (len == 3 && !memcmp(host, "::1", 3)) || (len == 9 && !memcmp(host, "localhost", 9));
}

/* Every host of the comma-separated list is a Unix socket or a loopback address. */
static bool all_local(const char *hosts)
{
    for (;;) {
        size_t len = strcspn(hosts, ",");

        if (!is_local_host(hosts, len))
            return false;
        if (!hosts[len])
            return true;
        hosts += len + 1;
    }
}

static void add_defaults(struct params *p, const PQconninfoOption *dsn)
{
    const char *host = host_list(dsn);
    const char *addr = addr_list(dsn);

    if (!dsn_value(dsn, "sslmode") && !getenv("PGSSLMODE") &&
        !all_local(addr   ? addr
                   : host ? host
                          : ""))
        add(p, "sslmode", "verify-full");
    if (!dsn_value(dsn, "target_session_attrs") && host && strchr(host, ','))
        add(p, "target_session_attrs", "read-write");
    if (!dsn_value(dsn, "gssencmode"))
        add(p, "gssencmode", "disable");
    if (!dsn_value(dsn, "keepalives_idle")) {
        add(p, "keepalives_idle", "30");
        add(p, "keepalives_interval", "10");
        add(p, "keepalives_count", "3");
    }
    if (!dsn_value(dsn, "tcp_user_timeout"))
        add(p, "tcp_user_timeout", "60000");
    if (!dsn_value(dsn, "connect_timeout"))
        add(p, "connect_timeout", p->timeout);
}

static bool is_place_key(const char *key)
{
    return !strcmp(key, "host") || !strcmp(key, "hostaddr") || !strcmp(key, "port");
}

static void add_place(struct params *p, const struct place *place)
{
    if (place->host[0])
        add(p, "host", place->host);
    if (place->hostaddr[0])
        add(p, "hostaddr", place->hostaddr);
    if (place->port[0])
        add(p, "port", place->port);
    if (place->attrs)
        add(p, "target_session_attrs", place->attrs);
}

/* @place may be NULL. Return: false when the options of the DSN leave no room for ours. */
static bool build(struct params *p, const struct wf_source_conf *conf, enum wf_pg_kind kind,
                  const PQconninfoOption *dsn, const struct place *place)
{
    const char *options = dsn_value(dsn, "options");
    int len;

    *p = (struct params){0};
    for (const PQconninfoOption *o = dsn; o->keyword; o++) {
        if (o->val && *o->val && !(place && is_place_key(o->keyword)))
            add(p, o->keyword, o->val);
    }
    snprintf(p->timeout, sizeof(p->timeout), "%d", (int)((conf->connect_timeout_ms + 999) / 1000));
    add_defaults(p, dsn);
    if (place)
        add_place(p, place);
    if (conf->password)
        add(p, "password", conf->password);
    len = snprintf(p->options, sizeof(p->options), "%s %s", options ? options : "", pinned_options);
    add(p, "options", p->options); /* the later of two equal keys wins */
    add(p, "client_encoding", "UTF8");
    add(p, "fallback_application_name", "walferry");
    if (kind == WF_PG_REPLICATION)
        add(p, "replication", "database");
    return len >= 0 && (size_t)len < sizeof(p->options);
}

/* libpq hides the SQLSTATE of a failed connect, so the server's words decide; a server that speaks
 * another language is retried, with its message in the log. */
static bool is_permanent(const char *message)
{
    static const char *const words[] = {
        "password authentication failed",
        "authentication failed for user",
        "no password supplied",
        "no pg_hba.conf entry",
        "permission denied to start WAL",
        "must be superuser or",
        "is not permitted to log in",
        "root certificate file",
        "invalid sslmode",
        "does not support SSL",
        "certificate verify failed",
        "does not match host name",
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strstr(message, words[i]))
            return true;
    }
    return strstr(message, "FATAL") && strstr(message, "does not exist");
}

static const char *hint_for(const char *message)
{
    if (strstr(message, "start WAL") || strstr(message, "must be superuser or"))
        return "; hint: ALTER ROLE ... REPLICATION (on RDS: GRANT rds_replication)";
    if (strstr(message, "no pg_hba.conf entry"))
        return "; hint: pg_hba.conf needs a line for the database by name, not for `replication`";
    if (strstr(message, "password") || strstr(message, "authentication failed"))
        return "; hint: source.password, source.password_file or ~/.pgpass";
    if (strstr(message, "certificate verify failed") || strstr(message, "does not match host name"))
        return "; hint: sslrootcert in source.dsn has to hold the authority of the server's "
               "certificate, which has to name the host in source.dsn";
    if (strstr(message, "root certificate file"))
        return "; hint: sslrootcert=FILE in source.dsn; TLS is verified unless sslmode says not to";
    return "";
}

/* libpq's messages end in a newline and may hold several lines. */
static void one_line(char *out, size_t size, const char *message)
{
    size_t n = 0;

    for (; *message && n + 1 < size; message++) {
        if (*message == '\t') /* the indent of a further line */
            continue;
        if (*message != '\n')
            out[n++] = *message;
        else if (message[1] && n + 2 < size)
            out[n++] = ' ';
    }
    out[n] = '\0';
}

static enum wf_rc connect_error(PGconn *conn, struct wf_err *err)
{
    char text[700];

    one_line(text, sizeof(text), PQerrorMessage(conn));
    if (is_permanent(text))
        return wf_err_config(err, "cannot connect to PostgreSQL: %s%s", text, hint_for(text));
    return wf_err_set(err, WF_RETRY, "connect", "cannot connect to PostgreSQL: %s", text);
}

static bool cancelled(const wf_cancel *cancel)
{
    return cancel && atomic_load(cancel);
}

static int wait_socket(PGconn *conn, short events)
{
    struct pollfd fd = {.fd = PQsocket(conn), .events = events};

    return poll(&fd, 1, POLL_MS);
}

/* PQconnectPoll() with a deadline: name look-up inside it may still block. */
static enum wf_rc finish_connect(PGconn *conn, int64_t timeout_ms, wf_cancel *cancel,
                                 struct wf_err *err)
{
    uint64_t deadline = wf_mono_us() + (uint64_t)timeout_ms * 1000;
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    while (status != PGRES_POLLING_OK) {
        if (status == PGRES_POLLING_FAILED)
            return connect_error(conn, err);
        if (cancelled(cancel))
            return wf_err_set(err, WF_RETRY, "cancelled", "connecting was cancelled");
        if (wf_mono_us() > deadline)
            return wf_err_set(err, WF_RETRY, "connect",
                              "cannot connect to PostgreSQL: no answer from %s within %lld ms",
                              PQhost(conn), (long long)timeout_ms);
        if (wait_socket(conn, status == PGRES_POLLING_READING ? POLLIN : POLLOUT) != 0)
            status = PQconnectPoll(conn);
    }
    return WF_OK;
}

bool wf_pg_raw_text(PGconn *conn)
{
    const char *encoding = PQparameterStatus(conn, "server_encoding");

    return encoding && strcmp(encoding, "SQL_ASCII") == 0;
}

/* A SQL_ASCII database holds bytes of any encoding, and a server that is to send them as UTF-8 ends
 * the stream at the first that are none. Whoever reads texts of it checks them. */
static enum wf_rc take_raw_text(PGconn *conn, wf_cancel *cancel, struct wf_err *err)
{
    wf_autoresult PGresult *res = NULL;

    return wf_pg_query(conn, "SET client_encoding = 'SQL_ASCII'", cancel, &res, err);
}

#define NO_MEMORY "out of memory" /* libpq's words, which no setlocale() of ours translates */

static enum wf_rc parse_dsn(const struct wf_source_conf *conf, PQconninfoOption **dsn,
                            struct wf_err *err)
{
    char *message = NULL, text[256];

    *dsn = PQconninfoParse(conf->dsn, &message);
    if (*dsn)
        return WF_OK;
    one_line(text, sizeof(text), message ? message : NO_MEMORY);
    PQfreemem(message);
    if (strstr(text, NO_MEMORY))
        return wf_err_set(err, WF_FATAL, "memory", NO_MEMORY);
    return wf_err_config(err, "source.dsn: %s", text);
}

static enum wf_rc connect_one(const struct wf_source_conf *conf, enum wf_pg_kind kind,
                              const PQconninfoOption *dsn, const struct place *place,
                              wf_cancel *cancel, PGconn **out, struct wf_err *err)
{
    struct params p;
    PGconn *conn;
    enum wf_rc rc;

    if (!build(&p, conf, kind, dsn, place))
        return wf_err_config(err, "source.dsn: options is too long");
    conn = PQconnectStartParams(p.keys, p.values, 0);
    if (!conn)
        rc = wf_err_set(err, WF_FATAL, "memory", "out of memory");
    else if (PQstatus(conn) == CONNECTION_BAD)
        rc = connect_error(conn, err);
    else
        rc = finish_connect(conn, conf->connect_timeout_ms, cancel, err);
    if (rc == WF_OK && wf_pg_raw_text(conn))
        rc = take_raw_text(conn, cancel, err);
    if (rc != WF_OK) {
        PQfinish(conn);
        return rc;
    }
    *out = conn;
    return WF_OK;
}

static unsigned list_length(const char *list)
{
    unsigned n = list && *list;

    for (; list && *list; list++)
        n += *list == ',';
    return n;
}

/* Return: false when it does not fit. */
static bool list_item(const char *list, unsigned i, char *out, size_t size)
{
    size_t len;

    for (; i && list; i--) {
        list = strchr(list, ',');
        list += list != NULL;
    }
    len = list ? strcspn(list, ",") : 0;
    if (len >= size)
        return false;
    memcpy(out, list ? list : "", len);
    out[len] = '\0';
    return true;
}

/* How many servers the DSN names; 1 as well when its lists do not fit each other, which libpq says
 * better (PostgreSQL documentation, "Specifying Multiple Hosts"). */
static unsigned count_places(const PQconninfoOption *dsn)
{
    unsigned hosts = list_length(host_list(dsn)), addrs = list_length(addr_list(dsn));
    unsigned ports = list_length(port_list(dsn)), n = addrs ? addrs : hosts;

    if ((addrs && hosts && addrs != hosts) || (ports > 1 && ports != n))
        return 1;
    return n ? n : 1;
}

static bool nth_place(const PQconninfoOption *dsn, unsigned i, struct place *out)
{
    const char *port = port_list(dsn);

    *out = (struct place){.attrs = NULL};
    return list_item(host_list(dsn), i, out->host, sizeof(out->host)) &&
           list_item(addr_list(dsn), i, out->hostaddr, sizeof(out->hostaddr)) &&
           list_item(port, list_length(port) > 1 ? i : 0, out->port, sizeof(out->port));
}

/* One more server could not be had: as long as one may come back, trying again may help. */
static void add_failure(struct wf_err *all, const struct wf_err *one)
{
    static const char head[] = "cannot connect to PostgreSQL: ";
    const char *text = one->text;
    size_t len = strlen(all->text);

    if (!len) {
        *all = *one;
        return;
    }
    if (strncmp(text, head, sizeof(head) - 1) == 0)
        text += sizeof(head) - 1;
    snprintf(all->text + len, sizeof(all->text) - len, "; %s", text);
    if (one->rc == WF_RETRY && all->rc != WF_RETRY) {
        all->rc = one->rc;
        all->exit_code = one->exit_code;
        memcpy(all->code, one->code, sizeof(all->code));
    }
}

/* libpq goes through several hosts by itself, but only where it waits by itself can it leave one
 * that does not answer: here each gets its own deadline. */
static enum wf_rc try_places(const struct wf_source_conf *conf, enum wf_pg_kind kind,
                             const PQconninfoOption *dsn, const char *attrs, wf_cancel *cancel,
                             PGconn **out, struct wf_err *all)
{
    unsigned n = count_places(dsn);

    for (unsigned i = 0; i < n && !cancelled(cancel); i++) {
        struct wf_err one = {0};
        struct place place;
        enum wf_rc rc = WF_OK;

        if (!nth_place(dsn, i, &place))
            rc = wf_err_config(&one, "source.dsn: a host of the list is too long");
        place.attrs = attrs;
        if (rc == WF_OK)
            rc = connect_one(conf, kind, dsn, &place, cancel, out, &one);
        if (rc == WF_OK)
            return WF_OK;
        add_failure(all, &one);
    }
    return all->text[0] ? all->rc
                        : wf_err_set(all, WF_RETRY, "cancelled", "connecting was cancelled");
}

static enum wf_rc connect_any(const struct wf_source_conf *conf, enum wf_pg_kind kind,
                              const PQconninfoOption *dsn, wf_cancel *cancel, PGconn **out,
                              struct wf_err *err)
{
    const char *attrs = dsn_value(dsn, "target_session_attrs");
    bool standby_first = attrs && strcmp(attrs, "prefer-standby") == 0;
    struct wf_err all = {0};
    enum wf_rc rc;

    if (count_places(dsn) == 1)
        return connect_one(conf, kind, dsn, NULL, cancel, out, err);
    rc = try_places(conf, kind, dsn, standby_first ? "standby" : NULL, cancel, out, &all);
    if (rc != WF_OK && standby_first) {
        all = (struct wf_err){0};
        rc = try_places(conf, kind, dsn, "any", cancel, out, &all);
    }
    if (rc != WF_OK && err)
        *err = all;
    return rc;
}

enum wf_rc wf_pg_connect(const struct wf_source_conf *conf, enum wf_pg_kind kind, wf_cancel *cancel,
                         PGconn **out, struct wf_err *err)
{
    PQconninfoOption *dsn;
    enum wf_rc rc = parse_dsn(conf, &dsn, err);

    if (rc != WF_OK)
        return rc;
    rc = connect_any(conf, kind, dsn, cancel, out, err);
    PQconninfoFree(dsn);
    return rc;
}

enum wf_rc wf_pg_connect_beside(const struct wf_source_conf *conf, PGconn *beside,
                                wf_cancel *cancel, PGconn **out, struct wf_err *err)
{
    struct place place = {.attrs = "any"};
    PQconninfoOption *dsn;
    enum wf_rc rc = parse_dsn(conf, &dsn, err);

    if (rc != WF_OK)
        return rc;
    snprintf(place.host, sizeof(place.host), "%s", PQhost(beside));
    snprintf(place.hostaddr, sizeof(place.hostaddr), "%s", PQhostaddr(beside));
    snprintf(place.port, sizeof(place.port), "%s", PQport(beside));
    rc = connect_one(conf, WF_PG_SQL, dsn, &place, cancel, out, err);
    PQconninfoFree(dsn);
    return rc;
}

unsigned wf_pg_hosts(const struct wf_source_conf *conf)
{
    PQconninfoOption *dsn;
    unsigned n;

    if (parse_dsn(conf, &dsn, NULL) != WF_OK)
        return 1;
    n = count_places(dsn);
    PQconninfoFree(dsn);
    return n;
}

enum wf_rc wf_pg_connect_host(const struct wf_source_conf *conf, unsigned host, char *name,
                              size_t size, PGconn **out, struct wf_err *err)
{
    struct place place;
    PQconninfoOption *dsn;
    enum wf_rc rc = parse_dsn(conf, &dsn, err);

    if (rc != WF_OK)
        return rc;
    if (!nth_place(dsn, host, &place))
        rc = wf_err_config(err, "source.dsn: a host of the list is too long");
    place.attrs = "any";
    snprintf(name, size, "%s%s%s", place.host[0] ? place.host : place.hostaddr,
             place.port[0] ? ":" : "", place.port);
    if (rc == WF_OK)
        rc = connect_one(conf, WF_PG_SQL, dsn, &place, NULL, out, err);
    PQconninfoFree(dsn);
    return rc;
}

static enum wf_rc result_error(PGconn *conn, const PGresult *res, struct wf_err *err)
{
    const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
    const char *primary = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *detail = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL) : NULL;
    char code[32], text[600];

    if (!state)
        snprintf(code, sizeof(code), "connection");
    else
        snprintf(code, sizeof(code), "sqlstate_%s", state);
    one_line(text, sizeof(text), primary ? primary : PQerrorMessage(conn));
    return wf_err_set(err, WF_RETRY, code, "PostgreSQL says: %s%s%s", text, detail ? ": " : "",
                      detail ? detail : "");
}

static void cancel_query(PGconn *conn)
{
    PGcancel *handle = PQgetCancel(conn);
    char text[128];

    if (handle) {
        PQcancel(handle, text, sizeof(text));
        PQfreeCancel(handle);
    }
}

enum wf_rc wf_pg_query(PGconn *conn, const char *sql, wf_cancel *cancel, PGresult **out,
                       struct wf_err *err)
{
    bool asked = false;
    PGresult *res, *next;
    enum wf_rc rc;

    if (!PQsendQuery(conn, sql))
        return result_error(conn, NULL, err);
    while (PQflush(conn) == 1)
        wait_socket(conn, POLLOUT);
    while (PQisBusy(conn)) {
        if (cancelled(cancel) && !asked) {
            cancel_query(conn);
            asked = true;
        }
        if (wait_socket(conn, POLLIN) != 0 && !PQconsumeInput(conn))
            return result_error(conn, NULL, err);
    }
    res = PQgetResult(conn);
    if (PQresultStatus(res) == PGRES_COPY_BOTH) {
        *out = res;
        return WF_OK;
    }
    /* Nothing but NULL follows: one statement was sent. A closing walsender may add an error. */
    while ((next = PQgetResult(conn)) != NULL)
        PQclear(next);
    if (PQresultStatus(res) == PGRES_TUPLES_OK || PQresultStatus(res) == PGRES_COMMAND_OK) {
        *out = res;
        return WF_OK;
    }
    rc = result_error(conn, res, err);
    PQclear(res);
    return rc;
}

bool wf_pg_is(const struct wf_err *err, const char *sqlstate)
{
    return strncmp(err->code, "sqlstate_", 9) == 0 && strcmp(err->code + 9, sqlstate) == 0;
}

const char *wf_pg_value(const PGresult *res, int row, int col)
{
    return PQgetisnull(res, row, col) ? NULL : PQgetvalue(res, row, col);
}

static enum wf_rc quoting_error(const PGconn *conn, const char *text, struct wf_err *err)
{
    if (strstr(PQerrorMessage(conn), NO_MEMORY))
        return wf_err_set(err, WF_FATAL, "memory", NO_MEMORY);
    return wf_err_config(err, "\"%s\" cannot be quoted for SQL", text);
}

enum wf_rc wf_pg_literal(PGconn *conn, const char *text, char **quoted, struct wf_err *err)
{
    *quoted = PQescapeLiteral(conn, text, strlen(text));
    return *quoted ? WF_OK : quoting_error(conn, text, err);
}

enum wf_rc wf_pg_ident(PGconn *conn, const char *name, char **quoted, struct wf_err *err)
{
    *quoted = PQescapeIdentifier(conn, name, strlen(name));
    return *quoted ? WF_OK : quoting_error(conn, name, err);
}
