/* A scripted HTTP server on a thread: answers requests in order, remembers what it was asked. */
#ifndef TESTS_HTTP_STUB_H
#define TESTS_HTTP_STUB_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define STUB_REQUESTS 16

struct stub_answer {
    int status;          /* 0: close the connection without an answer */
    const char *headers; /* "Name: value\r\n...", or NULL */
    const char *body;    /* or NULL */
    size_t endless;      /* body without end, this many bytes at most */
    unsigned delay_ms;
};

struct stub_request {
    char head[4096]; /* request line and headers, lines end in \r\n */
    char body[16384];
};

struct stub {
    int fd, port;
    pthread_t thread;
    const struct stub_answer *script; /* the last answer is repeated */
    size_t nscript;
    struct stub_request got[STUB_REQUESTS]; /* read it after stub_seen() counts it */
    atomic_uint seen;
    bool serving;
};

static inline unsigned stub_seen(struct stub *s)
{
    return atomic_load(&s->seen);
}

static inline size_t stub_body_length(const char *head)
{
    const char *line = strcasestr(head, "\r\nContent-Length:");

    return line ? strtoul(line + 17, NULL, 10) : 0;
}

static inline bool stub_read(int fd, struct stub_request *r)
{
    size_t n = 0, want;

    while (n < 4 || memcmp(r->head + n - 4, "\r\n\r\n", 4) != 0) {
        if (n + 1 >= sizeof(r->head) || recv(fd, r->head + n, 1, 0) != 1)
            return false;
        n++;
    }
    want = stub_body_length(r->head);
    return want < sizeof(r->body) &&
           (!want || recv(fd, r->body, want, MSG_WAITALL) == (ssize_t)want);
}

static inline void stub_write(int fd, const struct stub_answer *a)
{
    static const char filler[65536];
    char head[1024];
    int n = snprintf(head, sizeof(head), "HTTP/1.1 %d Whatever\r\nConnection: close\r\n%s",
                     a->status, a->headers ? a->headers : "");

    if (a->endless)
        n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
    else
        n += snprintf(head + n, sizeof(head) - (size_t)n, "Content-Length: %zu\r\n\r\n",
                      a->body ? strlen(a->body) : 0);
    (void)!send(fd, head, (size_t)n, MSG_NOSIGNAL);
    if (a->body)
        (void)!send(fd, a->body, strlen(a->body), MSG_NOSIGNAL);
    for (size_t sent = 0; sent < a->endless; sent += sizeof(filler)) {
        if (send(fd, filler, sizeof(filler), MSG_NOSIGNAL) <= 0)
            return;
    }
}

static inline void *stub_serve(void *arg)
{
    struct stub *s = arg;
    int fd;

    while ((fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        unsigned i = stub_seen(s);
        const struct stub_answer *a = &s->script[i < s->nscript ? i : s->nscript - 1];

        if (i < STUB_REQUESTS && stub_read(fd, &s->got[i])) {
            atomic_store(&s->seen, i + 1);
            usleep(a->delay_ms * 1000);
            if (a->status)
                stub_write(fd, a);
        }
        close(fd);
    }
    return NULL;
}

/* Takes a port; connections are refused until stub_start(). */
static inline void stub_bind(struct stub *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);

    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
        getsockname(s->fd, (struct sockaddr *)&at, &len) < 0)
        abort();
    s->port = ntohs(at.sin_port);
}

static inline void stub_start(struct stub *s, const struct stub_answer *script, size_t n)
{
    if (!s->port)
        stub_bind(s);
    s->script = script;
    s->nscript = n;
    if (listen(s->fd, 8) < 0 || pthread_create(&s->thread, NULL, stub_serve, s) != 0)
        abort();
    s->serving = true;
}

static inline void stub_stop(struct stub *s)
{
    if (s->serving) {
        shutdown(s->fd, SHUT_RDWR); /* accept() returns */
        pthread_join(s->thread, NULL);
    }
    if (s->port)
        close(s->fd);
    s->serving = false;
    s->port = 0;
}

/* Whether the request's head holds this line, whatever the case of its letters. */
static inline bool stub_has_line(const struct stub_request *r, const char *line)
{
    const char *at = strcasestr(r->head, line);

    return at && (at == r->head || at[-1] == '\n') && at[strlen(line)] == '\r';
}

#endif
