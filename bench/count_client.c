/* A replication client that only counts: the yardstick walferry is measured against.
 *
 * usage: count_client eager|paced DSN SLOT PUBLICATION UNTIL_LSN
 *
 * "paced" reads as walferry does (drain the socket, then sleep 200 to 500 us), "eager" polls at
 * once. Prints one JSON object: messages, bytes, seconds, cpu_us. */
#include <endian.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double seconds_since(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static uint64_t get64(const char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return be64toh(v);
}

static void die(PGconn *conn, const char *what)
{
    fprintf(stderr, "%s: %s", what, PQerrorMessage(conn));
    exit(1);
}

static PGconn *start(char **argv)
{
    const char *keys[] = {"dbname", "replication", "options", NULL};
    const char *values[] = {argv[2], "database",
                            "-c datestyle=ISO -c timezone=UTC -c extra_float_digits=3", NULL};
    PGconn *conn = PQconnectdbParams(keys, values, 1);
    char sql[512];

    if (PQstatus(conn) != CONNECTION_OK)
        die(conn, "connect");
    PQclear(PQexec(conn, "SELECT repeat('x', 250000)"));
    snprintf(sql, sizeof(sql),
             "START_REPLICATION SLOT \"%s\" LOGICAL 0/0 (proto_version '1', publication_names "
             "'\"%s\"')",
             argv[3], argv[4]);
    if (PQresultStatus(PQexec(conn, sql)) != PGRES_COPY_BOTH)
        die(conn, "start");
    PQsetnonblocking(conn, 1);
    return conn;
}

int main(int argc, char **argv)
{
    struct timespec began, nap = {0};
    uint64_t messages = 0, bytes = 0, until, seen = 0;
    unsigned high, low;
    struct rusage use;
    PGconn *conn;
    bool paced;
    long pace_us = 200;

    if (argc != 6 || sscanf(argv[5], "%X/%X", &high, &low) != 2)
        return 2;
    until = (uint64_t)high << 32 | low;
    paced = strcmp(argv[1], "paced") == 0;
    conn = start(argv);
    clock_gettime(CLOCK_MONOTONIC, &began);
    while (seen < until) {
        struct pollfd fd = {.fd = PQsocket(conn), .events = POLLIN};
        uint64_t round = 0;
        char *message;
        int n;

        if (paced || messages == 0 || poll(&fd, 1, 1000) >= 0)
            PQconsumeInput(conn);
        for (;;) {
            n = PQgetCopyData(conn, &message, 1);
            if (n == 0 && paced) {
                PQconsumeInput(conn);
                n = PQgetCopyData(conn, &message, 1);
            }
            if (n <= 0)
                break;
            if (message[0] == 'w') {
                messages++;
                bytes += (uint64_t)n;
                if (message[25] == 'C')
                    seen = get64(message + 25 + 10);
            } else if (message[0] == 'k' && get64(message + 1) >= until) {
                seen = until;
            }
            round++;
            PQfreemem(message);
        }
        if (n < 0)
            die(conn, "stream");
        if (!paced)
            continue;
        pace_us = round < 16 ? 200 : pace_us < 500 ? pace_us + 50 : pace_us;
        nap.tv_nsec = pace_us * 1000;
        clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
    }
    getrusage(RUSAGE_SELF, &use);
    printf("{\"messages\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"seconds\": %.6f, \"cpu_us\": %ld}\n",
           messages, bytes, seconds_since(&began),
           use.ru_utime.tv_sec * 1000000 + use.ru_utime.tv_usec + use.ru_stime.tv_sec * 1000000 +
               use.ru_stime.tv_usec);
    return 0;
}
