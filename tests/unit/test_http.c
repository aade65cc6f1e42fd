#include <criterion/criterion.h>

#include "http.h"
#include "http_stub.h"

static struct stub stub;
static struct wf_loop *loop;
static struct wf_http *http;
static struct wf_err err;

/* What the last done() saw; the answer is gone afterwards. */
static struct {
    unsigned n;
    long status, retry_after_s;
    char body[256], error[256];
    size_t len;
} answer;

static void make(void)
{
    loop = wf_loop_new(&err);
    http = wf_http_new(loop, &err);
    cr_assert_not_null(http, "%s", err.text);
}

static void destroy(void)
{
    wf_http_free(http);
    wf_loop_free(loop);
    stub_stop(&stub);
}

TestSuite(http, .init = make, .fini = destroy);

static void done(struct wf_http_req *req)
{
    size_t n = req->answer.len < sizeof(answer.body) ? req->answer.len : sizeof(answer.body) - 1;

    answer.n++;
    answer.status = req->status;
    answer.retry_after_s = req->retry_after_s;
    answer.len = req->answer.len;
    if (n)
        memcpy(answer.body, req->answer.data, n);
    answer.body[n] = '\0';
    snprintf(answer.error, sizeof(answer.error), "%s", req->error);
}

static void serve(const struct stub_answer *script, size_t n)
{
    stub_start(&stub, script, n);
}

static char url[64];

static struct wf_http_req get(const char *path)
{
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", stub.port, path);
    return (struct wf_http_req){.method = "GET", .url = url, .timeout_ms = 5000, .done = done};
}

static void turn_until(unsigned n)
{
    for (uint64_t end = wf_mono_us() + 8000000; answer.n < n && wf_mono_us() < end;)
        cr_assert_eq(wf_loop_turn(loop, 1000000, &err), WF_OK);
    cr_assert_eq(answer.n, n);
}

static void send_and_wait(struct wf_http_req *req)
{
    cr_assert_eq(wf_http_start(http, req, &err), WF_OK, "%s", err.text);
    turn_until(answer.n + 1);
}

Test(http, brings_status_and_body)
{
    static const struct stub_answer script[] = {{.status = 200, .body = "hello"},
                                                {.status = 404, .body = "{\"error_code\":1}"},
                                                {.status = 204}};
    struct wf_http_req req;

    serve(script, 3);
    req = get("/a?b=c");
    send_and_wait(&req);
    cr_expect_eq(answer.status, 200);
    cr_expect_str_eq(answer.body, "hello");
    cr_expect(stub_has_line(&stub.got[0], "GET /a?b=c HTTP/1.1"), "%s", stub.got[0].head);

    req = get("/x");
    send_and_wait(&req);
    cr_expect_eq(answer.status, 404);
    cr_expect_str_eq(answer.body, "{\"error_code\":1}");
    req = get("/x");
    send_and_wait(&req);
    cr_expect_eq(answer.status, 204);
    cr_expect_eq(answer.len, 0);
}

Test(http, sends_method_headers_body_and_password)
{
    static const struct stub_answer script[] = {{.status = 200}};
    static const char *const headers[] = {"Content-Type: text/x-test", "X-More: yes", NULL};
    struct wf_http_req req;

    serve(script, 1);
    req = get("/x");
    req.method = "PUT";
    req.headers = headers;
    req.body = "a\"b";
    req.body_len = 3;
    req.user = "aladdin";
    req.password = "open:sesame";
    send_and_wait(&req);
    cr_expect(stub_has_line(&stub.got[0], "PUT /x HTTP/1.1"));
    cr_expect(stub_has_line(&stub.got[0], "Content-Type: text/x-test"));
    cr_expect(stub_has_line(&stub.got[0], "X-More: yes"));
    cr_expect(stub_has_line(&stub.got[0], "Authorization: Basic YWxhZGRpbjpvcGVuOnNlc2FtZQ=="));
    cr_expect_str_eq(stub.got[0].body, "a\"b");
}

Test(http, does_not_follow_a_redirect)
{
    static const struct stub_answer script[] = {
        {.status = 302, .headers = "Location: http://127.0.0.1:1/\r\n"}};
    struct wf_http_req req;

    serve(script, 1);
    req = get("/");
    send_and_wait(&req);
    cr_expect_eq(answer.status, 302);
    cr_expect_eq(stub_seen(&stub), 1);
}

Test(http, speaks_http_only)
{
    struct wf_http_req req = {
        .method = "GET", .url = "file:///etc/hostname", .timeout_ms = 1000, .done = done};

    send_and_wait(&req);
    cr_expect_eq(answer.status, 0);
    cr_expect_neq(answer.error[0], '\0');
}

Test(http, takes_no_proxy_from_the_environment)
{
    static const struct stub_answer script[] = {{.status = 200}};
    struct wf_http_req req;

    setenv("http_proxy", "http://127.0.0.1:1", 1);
    serve(script, 1);
    req = get("/");
    send_and_wait(&req);
    cr_expect_eq(answer.status, 200);
}

Test(http, tells_when_to_come_back)
{
    static const struct stub_answer script[] = {{.status = 503, .headers = "Retry-After: 7\r\n"},
                                                {.status = 503}};
    struct wf_http_req req;

    serve(script, 2);
    req = get("/");
    send_and_wait(&req);
    cr_expect_eq(answer.status, 503);
    cr_expect_eq(answer.retry_after_s, 7);
    req = get("/");
    send_and_wait(&req);
    cr_expect_eq(answer.retry_after_s, 0);
}

Test(http, says_why_there_is_no_answer)
{
    static const struct stub_answer script[] = {{.status = 0}};
    struct wf_http_req req;

    stub_bind(&stub);
    req = get("/");
    send_and_wait(&req);
    cr_expect_eq(answer.status, 0);
    cr_expect(strcasestr(answer.error, "connect"), "%s", answer.error);

    serve(script, 1);
    req = get("/");
    send_and_wait(&req);
    cr_expect_eq(answer.status, 0);
    cr_expect_neq(answer.error[0], '\0');
}

Test(http, stops_an_endless_answer_at_4_mib)
{
    static const struct stub_answer script[] = {{.status = 200, .endless = 64 << 20}};
    struct wf_http_req req;

    serve(script, 1);
    req = get("/");
    send_and_wait(&req);
    cr_expect_eq(answer.status, 0);
    cr_expect(strstr(answer.error, "4 MiB"), "%s", answer.error);
}

static unsigned ticks;
static struct wf_timer ticker;

static void tick(void *arg)
{
    (void)arg;
    ticks++;
    wf_loop_timer_set(loop, &ticker, 10000, tick, NULL);
}

Test(http, gives_up_after_its_time_and_never_blocks_the_loop)
{
    static const struct stub_answer script[] = {{.status = 200, .delay_ms = 1000}};
    struct wf_http_req req;
    uint64_t start = wf_mono_us();

    serve(script, 1);
    req = get("/");
    req.timeout_ms = 300;
    wf_loop_timer_set(loop, &ticker, 10000, tick, NULL);
    send_and_wait(&req);
    cr_expect_eq(answer.status, 0);
    cr_expect(strcasestr(answer.error, "timed out"), "%s", answer.error);
    cr_expect_lt(wf_mono_us() - start, 900000);
    cr_expect_geq(ticks, 10, "%u ticks", ticks);
    wf_loop_timer_off(loop, &ticker);
}

Test(http, carries_several_requests_at_once)
{
    static const struct stub_answer script[] = {{.status = 200, .delay_ms = 20}};
    struct wf_http_req req[4];

    serve(script, 1);
    for (int i = 0; i < 4; i++) {
        req[i] = get("/");
        cr_assert_eq(wf_http_start(http, &req[i], &err), WF_OK);
    }
    turn_until(4);
    cr_expect_eq(stub_seen(&stub), 4);
}

Test(http, calls_nobody_after_a_cancel)
{
    static const struct stub_answer script[] = {{.status = 200, .delay_ms = 50}};
    struct wf_http_req req;

    serve(script, 1);
    req = get("/");
    cr_assert_eq(wf_http_start(http, &req, &err), WF_OK);
    cr_assert_eq(wf_loop_turn(loop, 10000, &err), WF_OK);
    wf_http_cancel(http, &req);
    wf_http_cancel(http, &req);
    for (uint64_t end = wf_mono_us() + 100000; wf_mono_us() < end;)
        cr_assert_eq(wf_loop_turn(loop, 10000, &err), WF_OK);
    cr_expect_eq(answer.n, 0);
}

/* The request is the owner's again once done() runs: it may free it, or use it anew. */
static void free_in_done(struct wf_http_req *req)
{
    done(req);
    free(req);
}

static void restart_in_done(struct wf_http_req *req)
{
    done(req);
    if (answer.n < 4)
        cr_assert_eq(wf_http_start(http, req, &err), WF_OK);
}

Test(http, lets_done_free_or_restart_the_request)
{
    static const struct stub_answer script[] = {{.status = 200, .body = "hello"}};
    struct wf_http_req *gone = malloc(sizeof(*gone)), again;

    serve(script, 1);
    *gone = get("/");
    gone->done = free_in_done;
    send_and_wait(gone);
    again = get("/");
    again.done = restart_in_done;
    cr_assert_eq(wf_http_start(http, &again, &err), WF_OK);
    turn_until(4);
    cr_expect_str_eq(answer.body, "hello");
}
