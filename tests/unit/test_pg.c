/* What can be said about a connection without a server: a stand-in reads the startup message and
 * answers with one byte string. Source: PostgreSQL documentation, "Message Formats". */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <endian.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"
#include "pg.h"

#define SSL_REQUEST 80877103

static struct stand_in {
    int fd, port;
    pthread_t thread;
    const char *error;  /* the message of its answer to the startup; NULL = no answer */
    bool asked_for_tls; /* refused with 'N' */
    char startup[2048]; /* key\0value\0...\0\0 */
    size_t len;
} server;

static struct wf_err err;

static bool read_packet(int fd, uint32_t *code)
{
    uint32_t head[2];
    size_t n;

    if (recv(fd, head, sizeof(head), MSG_WAITALL) != (ssize_t)sizeof(head))
        return false;
    n = be32toh(head[0]) - sizeof(head);
    *code = be32toh(head[1]);
    server.len = n < sizeof(server.startup) ? n : 0;
    return server.len == 0 || recv(fd, server.startup, n, MSG_WAITALL) == (ssize_t)n;
}

static void send_error(int fd, const char *text)
{
    char fields[512];
    uint32_t len;
    size_t n = (size_t)snprintf(fields, sizeof(fields), "SFATAL%cVFATAL%cC28000%cM%s%c", 0, 0, 0,
                                text, 0) +
               1;

    len = htobe32((uint32_t)(n + 4));
    (void)!send(fd, "E", 1, MSG_NOSIGNAL | MSG_MORE);
    (void)!send(fd, &len, 4, MSG_NOSIGNAL | MSG_MORE);
    (void)!send(fd, fields, n, MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
    int fd = accept(server.fd, NULL, NULL);
    uint32_t code = 0;
    char end;

    (void)arg;
    while (read_packet(fd, &code) && code == SSL_REQUEST) {
        server.asked_for_tls = true;
        (void)!send(fd, "N", 1, MSG_NOSIGNAL);
    }
    if (server.error && server.len)
        send_error(fd, server.error);
    (void)!recv(fd, &end, 1, 0); /* until the client leaves */
    close(fd);
    return NULL;
}

static void start(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);

    unsetenv("PGHOST");
    unsetenv("PGSSLMODE");
    unsetenv("PGOPTIONS");
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(server.fd, (struct sockaddr *)&at, sizeof(at)), 0);
    cr_assert_eq(listen(server.fd, 4), 0);
    cr_assert_eq(getsockname(server.fd, (struct sockaddr *)&at, &len), 0);
    server.port = ntohs(at.sin_port);
    pthread_create(&server.thread, NULL, serve, NULL);
}

static void stop(void)
{
    shutdown(server.fd, SHUT_RDWR); /* accept() returns */
    pthread_join(server.thread, NULL);
    close(server.fd);
}

TestSuite(pg, .init = start, .fini = stop);

/* @dsn without the port. */
static enum wf_rc connect_with(const char *dsn, enum wf_pg_kind kind, int64_t timeout_ms,
                               wf_cancel *cancel)
{
    char text[256];
    struct wf_source_conf conf = {.dsn = text, .connect_timeout_ms = timeout_ms};
    PGconn *conn = NULL;
    enum wf_rc rc;

    snprintf(text, sizeof(text), "%s port=%d", dsn, server.port);
    memset(&err, 0, sizeof(err));
    rc = wf_pg_connect(&conf, kind, cancel, &conn, &err);
    cr_expect_null(conn);
    return rc;
}

/* Value of a parameter of the startup message, NULL when it is not there. */
static const char *startup(const char *key)
{
    const char *p = server.startup, *end = p + server.len;

    while (p < end && *p) {
        const char *value = p + strlen(p) + 1;

        if (strcmp(p, key) == 0)
            return value;
        p = value + strlen(value) + 1;
    }
    return NULL;
}

Test(pg, refuses_a_dsn_that_cannot_be_read)
{
    static char *const rows[] = {"host", "colour=red", "postgresql://[::1", "dbname='shop"};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wf_source_conf conf = {.dsn = rows[i], .connect_timeout_ms = 1000};
        PGconn *conn = NULL;

        cr_expect_eq(wf_pg_connect(&conf, WF_PG_SQL, NULL, &conn, &err), WF_FATAL);
        cr_expect_eq(err.exit_code, 78, "%s", rows[i]);
        cr_expect(strncmp(err.text, "source.dsn: ", 12) == 0, "%s", err.text);
        cr_expect_null(strchr(err.text, '\n'), "%s", err.text);
        cr_expect_null(conn);
    }
}

Test(pg, pins_what_shapes_the_text_of_values)
{
    static const char *const pinned[] = {
        "datestyle=ISO",    "intervalstyle=postgres", "extra_float_digits=3", "timezone=UTC",
        "bytea_output=hex", "lc_monetary=C",          "statement_timeout=0",
    };

    server.error = "the database system is starting up";
    connect_with("host=127.0.0.1 user=u dbname=shop options='-c work_mem=1MB'", WF_PG_SQL, 5000,
                 NULL);
    cr_assert_not_null(startup("options"));
    for (size_t i = 0; i < sizeof(pinned) / sizeof(pinned[0]); i++)
        cr_expect(strstr(startup("options"), pinned[i]), "%s", pinned[i]);
    cr_expect(strstr(startup("options"), "-c work_mem=1MB"), "the user's own stay");
    cr_expect_str_eq(startup("client_encoding"), "UTF8");
    cr_expect_str_eq(startup("application_name"), "walferry");
    cr_expect_str_eq(startup("database"), "shop");
    cr_expect_null(startup("replication"));
}

Test(pg, asks_for_a_walsender_of_the_database)
{
    server.error = "the database system is starting up";
    connect_with("host=127.0.0.1 user=u dbname=shop", WF_PG_REPLICATION, 5000, NULL);
    cr_expect_str_eq(startup("replication"), "database");
    cr_expect_str_eq(startup("database"), "shop");
}

/* 0.0.0.0 reaches this machine, yet it is no address of it that is known to be local. */
Test(pg, insists_on_verified_tls_unless_every_host_is_local)
{
    cr_expect_eq(connect_with("host=0.0.0.0 user=u", WF_PG_SQL, 5000, NULL), WF_FATAL);
    cr_expect(server.asked_for_tls);
    cr_expect_null(startup("user"), "nothing was said in the clear");
    cr_expect_eq(err.exit_code, 78, "%s", err.text);
}

Test(pg, does_as_the_dsn_says_about_tls)
{
    server.error = "the database system is starting up";
    cr_expect_eq(connect_with("host=0.0.0.0 user=u sslmode=disable", WF_PG_SQL, 5000, NULL),
                 WF_RETRY);
    cr_expect_not(server.asked_for_tls);
    cr_expect_not_null(startup("user"));
}

Test(pg, needs_no_tls_to_a_local_host)
{
    server.error = "the database system is starting up";
    cr_expect_eq(connect_with("host=127.0.0.1 user=u", WF_PG_SQL, 5000, NULL), WF_RETRY);
    cr_expect_not_null(startup("user"));
}

static const struct refusal {
    const char *message;
    enum wf_rc rc;
    const char *hint;
} refusals[] = {
    {"password authentication failed for user \"u\"", WF_FATAL, "source.password"},
    {"no pg_hba.conf entry for replication connection from host \"127.0.0.1\"", WF_FATAL,
     "pg_hba.conf needs a line"},
    {"must be superuser or replication role to start walsender", WF_FATAL, "REPLICATION"},
    {"permission denied to start WAL sender", WF_FATAL, "REPLICATION"},
    {"database \"shop\" does not exist", WF_FATAL, ""},
    {"role \"u\" does not exist", WF_FATAL, ""},
    {"role \"u\" is not permitted to log in", WF_FATAL, ""},
    {"the database system is starting up", WF_RETRY, ""},
    {"the database system is shutting down", WF_RETRY, ""},
    {"sorry, too many clients already", WF_RETRY, ""},
};

/* One stand-in serves one connection, so each row makes its own. */
Test(pg_refusal, is_final_only_where_trying_again_cannot_help)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *r = &refusals[i];

        server = (struct stand_in){.error = r->message};
        start();
        cr_expect_eq(connect_with("host=127.0.0.1 user=u sslmode=disable", WF_PG_SQL, 5000, NULL),
                     r->rc, "%s", r->message);
        cr_expect(strstr(err.text, r->message), "%s", err.text);
        cr_expect(strstr(err.text, r->hint), "%s", err.text);
        cr_expect_eq(err.exit_code, r->rc == WF_FATAL ? 78 : 1);
        stop();
    }
}

Test(pg, gives_up_on_a_server_that_does_not_answer)
{
    uint64_t start_us = wf_mono_us();

    cr_expect_eq(connect_with("host=127.0.0.1 user=u sslmode=disable", WF_PG_SQL, 300, NULL),
                 WF_RETRY);
    cr_expect_str_eq(err.code, "connect");
    cr_expect(strstr(err.text, "300 ms"), "%s", err.text);
    cr_expect_lt(wf_mono_us() - start_us, 2000000);
}

static void *raise_soon(void *arg)
{
    usleep(50000);
    atomic_store((wf_cancel *)arg, true);
    return NULL;
}

Test(pg, stops_connecting_when_cancelled)
{
    wf_cancel cancel = false;
    uint64_t start_us = wf_mono_us();
    pthread_t thread;

    pthread_create(&thread, NULL, raise_soon, &cancel);
    cr_expect_eq(connect_with("host=127.0.0.1 user=u sslmode=disable", WF_PG_SQL, 30000, &cancel),
                 WF_RETRY);
    cr_expect_str_eq(err.code, "cancelled");
    cr_expect_lt(wf_mono_us() - start_us, 2000000);
    pthread_join(thread, NULL);
}

Test(pg, tries_again_where_nobody_listens)
{
    struct wf_source_conf conf = {.dsn = "host=127.0.0.1 port=1 user=u",
                                  .connect_timeout_ms = 5000};
    PGconn *conn = NULL;

    cr_expect_eq(wf_pg_connect(&conf, WF_PG_SQL, NULL, &conn, &err), WF_RETRY);
    cr_expect_str_eq(err.code, "connect");
    cr_expect_null(strchr(err.text, '\n'), "%s", err.text);
}

Test(pg_error, is_known_by_its_sqlstate)
{
    wf_err_set(&err, WF_RETRY, "sqlstate_42704", "x");
    cr_expect(wf_pg_is(&err, "42704"));
    cr_expect_not(wf_pg_is(&err, "42501"));
    wf_err_set(&err, WF_RETRY, "connection", "x");
    cr_expect_not(wf_pg_is(&err, "42704"));
}

/* The second of two hosts, and both reasons when neither is to be had. */
Test(pg, goes_on_to_the_next_host)
{
    char dsn[100];
    struct wf_source_conf conf = {.dsn = dsn, .connect_timeout_ms = 5000};
    PGconn *conn = NULL;

    server.error = "role \"u\" does not exist";
    snprintf(dsn, sizeof(dsn), "host=127.0.0.1,127.0.0.1 port=1,%d user=u", server.port);
    cr_expect_eq(wf_pg_hosts(&conf), 2);
    cr_expect_eq(wf_pg_connect(&conf, WF_PG_SQL, NULL, &conn, &err), WF_RETRY,
                 "the first may come back");
    cr_expect_str_eq(startup("user"), "u");
    cr_expect(strstr(err.text, "port 1 "), "%s", err.text);
    cr_expect(strstr(err.text, "does not exist"), "%s", err.text);
}

Test(pg_hosts, are_counted_as_libpq_does)
{
    static const struct {
        char *dsn;
        unsigned n;
    } rows[] = {
        {"dbname=x", 1},
        {"host=a", 1},
        {"host=a,b", 2},
        {"host=a,b port=1,2", 2},
        {"host=a,b port=1", 2},
        {"hostaddr=127.0.0.1,127.0.0.2,127.0.0.3", 3},
        {"host=a,b hostaddr=127.0.0.1,127.0.0.2", 2},
        {"host=a,b hostaddr=127.0.0.1", 1}, /* libpq says what is wrong with it */
        {"host=a,b,c port=1,2", 1},
        {"host=,", 2}, /* the default socket, twice */
        {"postgresql://a:1,b:2/x", 2},
        {"colour=red", 1},
    };

    unsetenv("PGHOST");
    unsetenv("PGHOSTADDR");
    unsetenv("PGPORT");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wf_source_conf conf = {.dsn = rows[i].dsn};

        cr_expect_eq(wf_pg_hosts(&conf), rows[i].n, "%s", rows[i].dsn);
    }
}
