/* HTTP requests on the pipeline's loop: one curl multi handle. */
#ifndef WF_HTTP_H
#define WF_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "err.h"
#include "loop.h"

struct wf_http;

struct wf_http_tls {
    const char *ca, *cert, *key; /* file paths, NULL = system CAs / no client certificate */
};

/* One request; the owner's storage, alive until done() or wf_http_cancel(). done() may free it, or
 * start it again. */
struct wf_http_req {
    const char *method; /* GET, POST, PUT, DELETE */
    const char *url;
    const char *const *headers; /* NULL-terminated "Name: value" */
    const char *body;           /* NULL = none */
    size_t body_len;
    const char *user, *password; /* basic authentication, NULL = none */
    const struct wf_http_tls *tls;
    long timeout_ms;
    long connect_ms;       /* 0 = 5 s */
    bool env_proxy;        /* as https_proxy, http_proxy and no_proxy say */
    bool http1;            /* HTTP/1.1 even where more is offered: one request, one connection */
    const char *wanted[2]; /* header names; their values are in `got` when done() is called */
    void (*done)(struct wf_http_req *req); /* on the loop thread */
    void *arg;
    /* out, valid in done() */
    long status;          /* 0 = no answer, see error */
    long retry_after_s;   /* of the Retry-After header, 0 = absent */
    struct wf_buf answer; /* the body, at most 4 MiB; freed after done() */
    char error[256];
    char got[2][160]; /* of `wanted`, "" = absent */
    void *priv;
};

/* http and https only, no redirects, no decompression, and no proxy
 * from the environment unless the request asks for it. */
struct wf_http *wf_http_new(struct wf_loop *loop, struct wf_err *err);
void wf_http_free(struct wf_http *h);
/* Copies nothing: url, headers, body stay the owner's until done(). */
enum wf_rc wf_http_start(struct wf_http *h, struct wf_http_req *req, struct wf_err *err);
void wf_http_cancel(struct wf_http *h, struct wf_http_req *req);

/* ---- one request, for who can wait ---- */

struct wf_http_reply {
    bool done;
    long status; /* 0 = no answer, see error */
    char error[256];
    struct wf_buf body;
};

/**
 * wf_http_ask() - one request on a loop of its own
 * @req:  its done and arg are not the caller's
 * @max:  bytes of the body that are taken; more fails @out->body
 * @stop: give up when it turns true; may be NULL
 *
 * Blocks. @out->body is the caller's to deinit whatever happens. Return: WF_OK even when nobody
 * answered: see @out->status.
 */
enum wf_rc wf_http_ask(struct wf_http_req *req, size_t max, const atomic_bool *stop,
                       struct wf_http_reply *out, struct wf_err *err);

#endif
