#include "http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define ANSWER_MAX (4 << 20)
#define CONNECT_MS 5000

struct wf_http {
    CURLM *multi;
    struct wf_loop *loop;
    struct wf_timer timer;
    struct transfer *transfers; /* all that are under way */
};

struct transfer {
    struct transfer *next;
    struct wf_http_req *req;
    bool stuck; /* libcurl lost hold of it */
    CURL *easy;
    struct curl_slist *headers;
};

static void finish(struct wf_http *h, struct wf_http_req *req)
{
    struct transfer *t = req->priv, **at = &h->transfers;

    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    req->priv = NULL;
    curl_multi_remove_handle(h->multi, t->easy);
    curl_slist_free_all(t->headers);
    curl_easy_cleanup(t->easy);
    free(t);
}

static void take_headers(CURL *easy, struct wf_http_req *req)
{
    for (int i = 0; i < 2; i++) {
        struct curl_header *h;

        req->got[i][0] = '\0';
        if (req->wanted[i] &&
            curl_easy_header(easy, req->wanted[i], 0, CURLH_HEADER, -1, &h) == CURLHE_OK)
            snprintf(req->got[i], sizeof(req->got[i]), "%s", h->value);
    }
}

static void end(struct wf_http *h, struct wf_http_req *req)
{
    struct wf_buf answer;

    finish(h, req);
    answer = req->answer;
    req->done(req); /* may free the request or start it again */
    wf_buf_deinit(&answer);
}

static struct wf_http_req *next_stuck(const struct wf_http *h)
{
    struct transfer *t = h->transfers;

    while (t && !t->stuck)
        t = t->next;
    return t ? t->req : NULL;
}

/* libcurl failed as a whole (memory is out) and may have forgotten whom it was to wake, and when:
 * nothing under way would ever end. */
static void end_all(struct wf_http *h, CURLMcode code)
{
    struct wf_http_req *req;

    for (struct transfer *t = h->transfers; t; t = t->next)
        t->stuck = true;
    while ((req = next_stuck(h)) != NULL) {
        req->status = 0;
        snprintf(req->error, sizeof(req->error), "libcurl: %s", curl_multi_strerror(code));
        end(h, req);
    }
}

static void take_results(struct wf_http *h)
{
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(h->multi, &left)) != NULL) {
        struct wf_http_req *req = NULL;
        CURLcode code = msg->data.result;
        curl_off_t after = 0;

        if (msg->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &req);
        curl_easy_getinfo(msg->easy_handle, CURLINFO_RESPONSE_CODE, &req->status);
        curl_easy_getinfo(msg->easy_handle, CURLINFO_RETRY_AFTER, &after);
        req->retry_after_s = (long)after;
        take_headers(msg->easy_handle, req);
        if (code != CURLE_OK) {
            req->status = 0;
            if (req->answer.failed || !req->error[0])
                snprintf(req->error, sizeof(req->error), "%s",
                         req->answer.failed ? "the answer is larger than 4 MiB"
                                            : curl_easy_strerror(code));
        }
        end(h, req);
    }
}

static void act(struct wf_http *h, curl_socket_t fd, int mask)
{
    int running;
    CURLMcode code = curl_multi_socket_action(h->multi, fd, mask, &running);

    take_results(h);
    if (code != CURLM_OK)
        end_all(h, code);
}

static void on_fd(void *arg, int fd, uint32_t events)
{
    struct wf_http *h = arg;
    int mask = (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
               (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
               (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

    act(h, fd, mask);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct wf_http *h = arg;
    uint32_t events = 0;

    (void)easy;
    (void)socket_arg;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        events |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        events |= EPOLLOUT;
    return wf_loop_watch(h->loop, fd, events, on_fd, h, NULL) == WF_OK ? 0 : -1;
}

static void on_timer(void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
    struct wf_http *h = arg;

    (void)multi;
    if (ms < 0)
        wf_loop_timer_off(h->loop, &h->timer);
    else
        wf_loop_timer_set(h->loop, &h->timer, (uint64_t)ms * 1000, on_timer, h);
    return 0;
}

struct wf_http *wf_http_new(struct wf_loop *loop, struct wf_err *err)
{
    struct wf_http *h = calloc(1, sizeof(*h));

    if (h && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        h->multi = curl_multi_init();
    if (!h || !h->multi) {
        free(h);
        wf_err_set(err, WF_FATAL, "memory", "libcurl cannot start");
        return NULL;
    }
    h->loop = loop;
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    return h;
}

void wf_http_free(struct wf_http *h)
{
    if (!h)
        return;
    curl_multi_cleanup(h->multi);
    wf_loop_timer_off(h->loop, &h->timer);
    free(h);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct wf_http_req *req = arg;

    wf_buf_put(&req->answer, data, size * n);
    return req->answer.failed ? 0 : size * n;
}

/* Without one of them it would be another request: other CAs, no password, a proxy. */
#define SET(option, value) ok &= curl_easy_setopt(easy, CURLOPT_##option, value) == CURLE_OK

static bool set_tls(CURL *easy, const struct wf_http_tls *tls)
{
    bool ok = true;

    SET(SSL_VERIFYPEER, 1L);
    SET(SSL_VERIFYHOST, 2L);
    SET(SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    if (!tls)
        return ok;
    if (tls->ca)
        SET(CAINFO, tls->ca);
    if (tls->cert)
        SET(SSLCERT, tls->cert);
    if (tls->key)
        SET(SSLKEY, tls->key);
    return ok;
}

static bool set_request(CURL *easy, struct wf_http_req *req, struct curl_slist *headers)
{
    bool ok = true;

    SET(PRIVATE, req);
    SET(URL, req->url);
    SET(CUSTOMREQUEST, req->method);
    SET(HTTPHEADER, headers);
    if (req->body) {
        SET(POSTFIELDS, req->body);
        SET(POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
    }
    if (req->user) {
        SET(HTTPAUTH, CURLAUTH_BASIC);
        SET(USERNAME, req->user);
        SET(PASSWORD, req->password ? req->password : "");
    }
    SET(PROTOCOLS_STR, "http,https");
    SET(FOLLOWLOCATION, 0L);
    if (!req->env_proxy)
        SET(PROXY, "");
    if (req->http1)
        SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(NETRC, (long)CURL_NETRC_IGNORED);
    SET(NOSIGNAL, 1L);
    SET(CONNECTTIMEOUT_MS, req->connect_ms ? req->connect_ms : (long)CONNECT_MS);
    SET(TIMEOUT_MS, req->timeout_ms);
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, req);
    SET(ERRORBUFFER, req->error);
    return set_tls(easy, req->tls) && ok;
}

static struct curl_slist *header_list(const char *const *headers)
{
    struct curl_slist *list = NULL;

    for (; headers && *headers; headers++) {
        struct curl_slist *longer = curl_slist_append(list, *headers);

        if (!longer) {
            curl_slist_free_all(list);
            return NULL;
        }
        list = longer;
    }
    return list;
}

enum wf_rc wf_http_start(struct wf_http *h, struct wf_http_req *req, struct wf_err *err)
{
    struct transfer *t = calloc(1, sizeof(*t));

    if (t)
        t->easy = curl_easy_init();
    if (!t || !t->easy) {
        free(t);
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    }
    t->req = req;
    t->next = h->transfers;
    h->transfers = t;
    t->headers = header_list(req->headers);
    req->status = 0;
    req->retry_after_s = 0;
    req->error[0] = '\0';
    memset(req->got, 0, sizeof(req->got));
    req->priv = t;
    wf_buf_init(&req->answer, ANSWER_MAX);
    if ((req->headers && *req->headers && !t->headers) || !set_request(t->easy, req, t->headers)) {
        finish(h, req);
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    }
    if (curl_multi_add_handle(h->multi, t->easy) != CURLM_OK) {
        finish(h, req);
        return wf_err_set(err, WF_FATAL, "memory", "libcurl refused the request");
    }
    return WF_OK;
}

void wf_http_cancel(struct wf_http *h, struct wf_http_req *req)
{
    if (!req->priv)
        return;
    finish(h, req);
    wf_buf_deinit(&req->answer);
}
