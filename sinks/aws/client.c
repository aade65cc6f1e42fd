#include "aws/client.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "aws/credentials.h"
#include "aws/sigv4.h"
#include "log.h"

#define JSON_TYPE "application/x-amz-json-1.1"
#define HEADER_MAX (1 << 20)
#define BACKOFF_MIN_US 50000
#define BACKOFF_MAX_US 20000000
#define SKEW_MIN_S 60 /* a smaller difference is no reason to mistrust the clock */

struct wf_aws_client {
    const struct wf_aws_conf *conf;
    const char *service;
    struct wf_loop *loop;
    struct wf_http *http;
    struct wf_aws_endpoint at;
    struct wf_aws_credentials *credentials;
    struct wf_sigv4 signer;
    int64_t skew_s; /* AWS's clock minus ours */
    bool skew_told;
};

enum wf_rc wf_aws_client_new(struct wf_aws_client **out, const struct wf_aws_conf *conf,
                             const char *service, const char *arn, struct wf_loop *loop,
                             struct wf_err *err)
{
    struct wf_aws_client *c = calloc(1, sizeof(*c));
    enum wf_rc rc;

    if (!c)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    c->conf = conf;
    c->service = service;
    c->loop = loop;
    rc = wf_aws_endpoint(conf, service, arn, &c->at, err);
    if (rc == WF_OK) {
        c->http = wf_http_new(loop, err);
        c->credentials = c->http ? wf_aws_credentials_new(conf, c->at.region, loop, err) : NULL;
        rc = c->credentials ? WF_OK : WF_FATAL;
    }
    if (rc != WF_OK) {
        wf_aws_client_free(c);
        return rc;
    }
    *out = c;
    return WF_OK;
}

void wf_aws_client_free(struct wf_aws_client *c)
{
    if (!c)
        return;
    wf_aws_credentials_free(c->credentials);
    wf_http_free(c->http);
    wf_sigv4_deinit(&c->signer);
    free(c);
}

const struct wf_aws_endpoint *wf_aws_client_endpoint(const struct wf_aws_client *c)
{
    return &c->at;
}

uint64_t wf_aws_backoff_us(unsigned n)
{
    uint64_t limit = BACKOFF_MIN_US, random = 0;

    while (n-- > 1 && limit < BACKOFF_MAX_US)
        limit *= 2;
    if (limit > BACKOFF_MAX_US)
        limit = BACKOFF_MAX_US;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
        random = wf_mono_us();
    return random % (limit + 1);
}

/* ---- what an answer means ---- */

static const struct {
    const char *prefix;
    enum wf_aws_outcome outcome;
} meanings[] = {
    {"ProvisionedThroughputExceeded", WF_AWS_RETRY},
    {"LimitExceeded", WF_AWS_RETRY},
    {"Throttling", WF_AWS_RETRY},
    {"KMSThrottling", WF_AWS_RETRY},
    {"TooManyRequests", WF_AWS_RETRY},
    {"RequestLimitExceeded", WF_AWS_RETRY},
    {"InternalFailure", WF_AWS_RETRY},
    {"InternalServer", WF_AWS_RETRY},
    {"InternalService", WF_AWS_RETRY},
    {"ServiceUnavailable", WF_AWS_RETRY},
    {"ConcurrentModification", WF_AWS_RETRY},
    {"ResourceInUse", WF_AWS_RETRY},
    {"RequestTimeout", WF_AWS_RETRY},
    {"ExpiredToken", WF_AWS_RETRY},
    {"UnrecognizedClient", WF_AWS_RETRY},
    {"InvalidClientTokenId", WF_AWS_RETRY},
    {"RequestExpired", WF_AWS_RETRY},
    {"ResourceNotFound", WF_AWS_OPERATOR},
    {"AccessDenied", WF_AWS_OPERATOR},
    {"KMS", WF_AWS_OPERATOR},
    {"InvalidKMSResource", WF_AWS_OPERATOR},
    {"InvalidSource", WF_AWS_OPERATOR},
    {"InvalidSignature", WF_AWS_OPERATOR},
    {"SignatureDoesNotMatch", WF_AWS_OPERATOR},
    {"InvalidArgument", WF_AWS_POISON},
    {"Validation", WF_AWS_POISON},
    {"Serialization", WF_AWS_POISON},
};

/* Printable and cut: the texts are the other side's. */
static void put_text(char *out, size_t size, const char *s, size_t n)
{
    size_t i = 0;

    for (; i < n && i + 1 < size && s[i]; i++)
        out[i] = (unsigned char)s[i] < ' ' || (unsigned char)s[i] >= 127 ? '?' : s[i];
    out[i] = '\0';
}

/* "com.amazon#Name:http://..." is Name. */
static void take_name(struct wf_aws_call *call, const char *s, size_t n)
{
    const char *colon = memchr(s, ':', n), *hash;

    n = colon ? (size_t)(colon - s) : n;
    hash = memrchr(s, '#', n);
    if (hash) {
        n -= (size_t)(hash + 1 - s);
        s = hash + 1;
    }
    put_text(call->error, sizeof(call->error), s, n);
}

static bool take_element(const char *body, size_t len, const char *open, const char *close,
                         const char **at, size_t *n)
{
    const char *start = len ? memmem(body, len, open, strlen(open)) : NULL, *end;

    if (!start)
        return false;
    start += strlen(open);
    end = memmem(start, len - (size_t)(start - body), close, strlen(close));
    *at = start;
    *n = end ? (size_t)(end - start) : 0;
    return end != NULL;
}

static void read_body(struct wf_aws_call *call, const char *body, size_t len)
{
    json_t *j = len ? json_loadb(body, len, 0, NULL) : NULL;
    const char *text = json_string_value(json_object_get(j, "__type")), *at;
    size_t n;

    if (text)
        take_name(call, text, strlen(text));
    text = json_string_value(json_object_get(j, "message"));
    if (!text)
        text = json_string_value(json_object_get(j, "Message"));
    if (text)
        put_text(call->message, sizeof(call->message), text, strlen(text));
    if (!j && take_element(body, len, "<Code>", "</Code>", &at, &n))
        take_name(call, at, n);
    if (!j && take_element(body, len, "<Message>", "</Message>", &at, &n))
        put_text(call->message, sizeof(call->message), at, n);
    json_decref(j);
}

void wf_aws_classify(struct wf_aws_call *call, long status, const char *type, const char *body,
                     size_t len)
{
    call->error[0] = call->message[0] = '\0';
    if (status == 200) {
        call->outcome = WF_AWS_OK;
        return;
    }
    read_body(call, body, len);
    if (!call->error[0] && type[0])
        take_name(call, type, strlen(type));
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (strncmp(call->error, meanings[i].prefix, strlen(meanings[i].prefix)) == 0) {
            call->outcome = meanings[i].outcome;
            return;
        }
    }
    if (!call->error[0])
        snprintf(call->error, sizeof(call->error), "status %ld", status);
    if (status == 413)
        call->outcome = WF_AWS_POISON;
    else if (status / 100 == 4 && status != 429 && status != 408)
        call->outcome = WF_AWS_OPERATOR;
    else
        call->outcome = WF_AWS_RETRY;
}

/* ---- one call ---- */

static bool blames_keys(const struct wf_aws_call *call)
{
    return strncmp(call->error, "ExpiredToken", 12) == 0 ||
           strncmp(call->error, "UnrecognizedClient", 18) == 0 ||
           strncmp(call->error, "InvalidClientTokenId", 20) == 0;
}

static bool blames_clock(const struct wf_aws_call *call)
{
    return strncmp(call->error, "RequestExpired", 14) == 0 ||
           (strncmp(call->error, "InvalidSignature", 16) == 0 &&
            (strstr(call->message, "expired") || strstr(call->message, "not yet current")));
}

/* The answer's Date header is AWS's clock: the next signature follows it. */
static void correct_clock(struct wf_aws_client *c, struct wf_aws_call *call, const char *date)
{
    time_t server = curl_getdate(date, NULL);
    int64_t skew = server > 0 ? (int64_t)server - wf_wall_us() / 1000000 : 0;

    if (server <= 0 || llabs(skew - c->skew_s) < SKEW_MIN_S)
        return;
    c->skew_s = skew;
    call->outcome = WF_AWS_RETRY;
    if (!c->skew_told)
        wf_log(WF_LOG_WARN, "aws_clock", NULL,
               "this machine's clock and AWS's differ by %lld s: requests are signed with AWS's; "
               "hint: chrony or systemd-timesyncd",
               (long long)skew);
    c->skew_told = true;
}

static void release(struct wf_aws_call *call)
{
    for (int i = 0; i < 4; i++) {
        if (call->lines[i].data)
            explicit_bzero(call->lines[i].data, call->lines[i].cap);
        wf_buf_deinit(&call->lines[i]);
    }
}

static void on_answer(struct wf_http_req *req)
{
    struct wf_aws_call *call = req->arg;
    struct wf_aws_client *c = call->client;

    call->answer = (const char *)req->answer.data;
    call->answer_len = req->answer.len;
    if (req->status == 0) {
        call->outcome = WF_AWS_RETRY;
        snprintf(call->error, sizeof(call->error), "network");
        put_text(call->message, sizeof(call->message), req->error, sizeof(req->error));
    } else {
        wf_aws_classify(call, req->status, req->got[0], call->answer, call->answer_len);
        if (blames_keys(call))
            wf_aws_credentials_refused(c->credentials);
        if (blames_clock(call))
            correct_clock(c, call, req->got[1]);
    }
    release(call);
    call->done(call);
}

static bool put_lines(struct wf_aws_client *c, struct wf_aws_call *call,
                      const struct wf_aws_keys *keys)
{
    const struct wf_sigv4_keys k = {keys->access_key, keys->secret_key, keys->token};
    char date[WF_SIGV4_DATE];
    const struct wf_sigv4_request r = {.method = "POST",
                                       .host = c->at.host,
                                       .content_type = JSON_TYPE,
                                       .target = call->target,
                                       .body = call->body,
                                       .body_len = call->body_len,
                                       .region = c->at.region,
                                       .service = c->service,
                                       .date = date};
    unsigned n = 0;
    bool ok;

    wf_sigv4_date(wf_wall_us() / 1000000 + c->skew_s, date);
    for (int i = 0; i < 4; i++)
        wf_buf_init(&call->lines[i], HEADER_MAX);
    wf_buf_str(&call->lines[0], "Authorization: ");
    ok = wf_sigv4_sign(&c->signer, &k, &r, &call->lines[0]);
    wf_buf_printf(&call->lines[1], "X-Amz-Date: %s", date);
    wf_buf_printf(&call->lines[2], "X-Amz-Target: %s", call->target);
    if (keys->token)
        wf_buf_printf(&call->lines[3], "X-Amz-Security-Token: %s", keys->token);
    call->headers[n++] = "Content-Type: " JSON_TYPE;
    call->headers[n++] = "Expect:"; /* or bodies over 1 MiB wait for leave to be sent */
    for (int i = 0; i < (keys->token ? 4 : 3); i++) {
        wf_buf_byte(&call->lines[i], '\0');
        ok = ok && !call->lines[i].failed;
        call->headers[n++] = (const char *)call->lines[i].data;
    }
    call->headers[n] = NULL;
    return ok;
}

enum wf_rc wf_aws_start(struct wf_aws_client *c, struct wf_aws_call *call, struct wf_err *err)
{
    const struct wf_aws_keys *keys;
    enum wf_rc rc = wf_aws_credentials_get(c->credentials, &keys, err);

    if (rc != WF_OK)
        return rc;
    call->client = c;
    if (!put_lines(c, call, keys)) {
        release(call);
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    }
    call->tls = (struct wf_http_tls){.ca = c->conf->ca};
    call->http = (struct wf_http_req){.method = "POST",
                                      .url = c->at.url,
                                      .headers = call->headers,
                                      .body = call->body,
                                      .body_len = call->body_len,
                                      .tls = &call->tls,
                                      .timeout_ms = call->timeout_ms,
                                      .env_proxy = true,
                                      .http1 = true,
                                      .wanted = {"x-amzn-ErrorType", "Date"},
                                      .done = on_answer,
                                      .arg = call};
    rc = wf_http_start(c->http, &call->http, err);
    if (rc != WF_OK)
        release(call);
    return rc;
}

void wf_aws_cancel(struct wf_aws_call *call)
{
    if (call->client)
        wf_http_cancel(call->client->http, &call->http);
    release(call);
}
