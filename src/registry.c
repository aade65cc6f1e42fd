#include "registry.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "log.h"

#define TIMEOUT_MS 10000
#define RETRY_MIN_MS 500
#define RETRY_MAX_MS 20000
#define RETRY_MODE_MS 60000 /* a registry in READONLY mode is somebody's decision: ask slowly */
#define CACHE_MAX 65536
#define URL_MAX 2048

static const char *const request_headers[] = {
    "Content-Type: application/vnd.schemaregistry.v1+json",
    "Accept: application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json, "
    "application/json",
    NULL,
};

/* Ids never change meaning inside one registry, so entries never expire. */
struct known {
    struct known *next;
    int32_t id;
    char *schema;
    char subject[];
};

struct wf_registry {
    const struct wf_format_conf *conf;
    struct wf_http *http;
    struct wf_loop *loop;
    struct wf_http_tls tls;
    struct known *known;
    unsigned nknown;
    size_t url; /* index of the one in use */
    /* the request under way: one at a time, the pipeline waits for it anyway */
    struct wf_http_req req;
    bool busy;
    struct wf_timer retry;
    bool waiting; /* for retry */
    long retry_ms;
    char url_text[URL_MAX], subject[300];
    char *body;
    char *schema;         /* of the request; a copy, for the stream may go meanwhile */
    enum wf_rc answer_rc; /* WF_OK with answer_id, or WF_REJECT with answer_err; WF_AGAIN = none */
    int32_t answer_id;
    struct wf_err answer_err;
    char trouble[400]; /* "" = none */
};

enum wf_rc wf_registry_new(struct wf_registry **out, const struct wf_format_conf *conf,
                           struct wf_http *http, struct wf_loop *loop, struct wf_err *err)
{
    struct wf_registry *r = calloc(1, sizeof(*r));

    if (!r)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    r->conf = conf;
    r->http = http;
    r->loop = loop;
    r->tls = (struct wf_http_tls){conf->registry_ca, conf->registry_cert, conf->registry_key};
    r->answer_rc = WF_AGAIN;
    *out = r;
    return WF_OK;
}

void wf_registry_free(struct wf_registry *r)
{
    if (!r)
        return;
    wf_http_cancel(r->http, &r->req);
    wf_loop_timer_off(r->loop, &r->retry);
    while (r->known) {
        struct known *k = r->known;

        r->known = k->next;
        free(k->schema);
        free(k);
    }
    free(r->body);
    free(r->schema);
    free(r);
}

const char *wf_registry_trouble(const struct wf_registry *r)
{
    return r->trouble[0] ? r->trouble : NULL;
}

/* ---- cache
 * ------------------------------------------------------------------------------------------ */

static const struct known *find(const struct wf_registry *r, const char *subject,
                                const char *schema)
{
    const struct known *k = r->known;

    while (k && (strcmp(k->subject, subject) != 0 || strcmp(k->schema, schema) != 0))
        k = k->next;
    return k;
}

static enum wf_rc remember(struct wf_registry *r, const char *subject, const char *schema,
                           int32_t id, struct wf_err *err)
{
    size_t size = strlen(subject) + 1;
    struct known *k = r->nknown < CACHE_MAX ? calloc(1, sizeof(*k) + size) : NULL;

    if (k)
        k->schema = strdup(schema);
    if (!k || !k->schema) {
        free(k);
        return wf_err_set(err, WF_FATAL, "memory", "out of memory, or more than %d schemas",
                          CACHE_MAX);
    }
    memcpy(k->subject, subject, size);
    k->id = id;
    k->next = r->known;
    r->known = k;
    r->nknown++;
    return WF_OK;
}

/* ---- requests
 * ----------------------------------------------------------------------------------------- */

static void percent_encode(char *out, size_t size, const char *text)
{
    size_t n = 0;

    for (; *text && n + 4 < size; text++) {
        unsigned char c = (unsigned char)*text;

        if (isalnum(c) || strchr("-._~", c))
            out[n++] = (char)c;
        else
            n += (size_t)snprintf(out + n, size - n, "%%%02X", c);
    }
    out[n] = '\0';
}

/* "<base>/<path>" with exactly one slash between. */
static void join_url(const struct wf_registry *r, char *out, size_t size, const char *path)
{
    const char *base = r->conf->registry.items[r->url];
    int len = (int)strlen(base);

    while (len && base[len - 1] == '/')
        len--;
    snprintf(out, size, "%.*s/%s", len, base, path);
}

static char *register_body(const char *schema)
{
    json_t *body = json_pack("{s:s}", "schema", schema);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

    json_decref(body);
    return text;
}

static void on_answer(struct wf_http_req *req);

static enum wf_rc send_request(struct wf_registry *r, struct wf_err *err)
{
    char subject[3 * sizeof(r->subject)], path[sizeof(subject) + 32];
    enum wf_rc rc;

    percent_encode(subject, sizeof(subject), r->subject);
    snprintf(path, sizeof(path), "subjects/%s/versions", subject);
    join_url(r, r->url_text, sizeof(r->url_text), path);
    r->req = (struct wf_http_req){.method = "POST",
                                  .url = r->url_text,
                                  .headers = request_headers,
                                  .body = r->body,
                                  .body_len = strlen(r->body),
                                  .user = r->conf->registry_user,
                                  .password = r->conf->registry_password,
                                  .tls = &r->tls,
                                  .timeout_ms = TIMEOUT_MS,
                                  .done = on_answer,
                                  .arg = r};
    rc = wf_http_start(r->http, &r->req, err);
    r->busy = rc == WF_OK;
    return rc;
}

static void retry_due(void *arg)
{
    struct wf_registry *r = arg;

    r->waiting = false;
    if (send_request(r, &r->answer_err) != WF_OK)
        r->answer_rc = r->answer_err.rc;
}

/* Full jitter, next URL of the list; for ever, the slot holds the changes meanwhile. */
static void retry_later(struct wf_registry *r, long floor_ms)
{
    uint32_t random = 0;
    long ms = r->retry_ms ? r->retry_ms : RETRY_MIN_MS;

    r->retry_ms = ms * 2 < RETRY_MAX_MS ? ms * 2 : RETRY_MAX_MS;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) > 0)
        ms = ms / 2 + (long)(random % (uint32_t)(ms / 2 + 1));
    if (ms < floor_ms)
        ms = floor_ms;
    r->url = (r->url + 1) % r->conf->registry.n;
    r->waiting = true;
    wf_loop_timer_set(r->loop, &r->retry, (uint64_t)ms * 1000, retry_due, r);
}

/* ---- answers: the status decides, the body explains (it may be HTML, or empty)
 * ---------------------------- */

struct answer {
    int32_t id;
    int code;
    char message[400];
};

/* Foreign text may hold any byte: what could end the line or colour the terminal becomes a blank.
 */
static void one_line(char *out, size_t size, const char *text, size_t len)
{
    size_t n = 0;

    for (; n < len && n + 1 < size; n++) {
        out[n] = text[n];
        if ((unsigned char)out[n] < ' ')
            out[n] = ' ';
    }
    out[n] = '\0';
}

static void parse_answer(const struct wf_http_req *req, struct answer *out)
{
    json_t *json =
        json_loadb((const char *)req->answer.data, req->answer.len, JSON_ALLOW_NUL, NULL);
    const json_t *message = json_object_get(json, "message");
    json_int_t id;

    *out = (struct answer){0};
    id = json_integer_value(json_object_get(json, "id"));
    if (id > 0 && id <= INT32_MAX)
        out->id = (int32_t)id;
    out->code = (int)json_integer_value(json_object_get(json, "error_code"));
    if (json_is_string(message))
        one_line(out->message, sizeof(out->message), json_string_value(message),
                 json_string_length(message));
    else
        one_line(out->message, sizeof(out->message), "no explanation", 14);
    json_decref(json);
}

/* It answers again, be it with a refusal. */
static void end_trouble(struct wf_registry *r)
{
    if (r->trouble[0])
        wf_log(WF_LOG_INFO, "registry_works", NULL, "registry %s answers again",
               r->conf->registry.items[r->url]);
    r->trouble[0] = '\0';
    r->retry_ms = 0;
}

static void reject(struct wf_registry *r, const char *code, long status, const struct answer *a,
                   const char *cure)
{
    end_trouble(r);
    r->answer_rc =
        wf_err_set(&r->answer_err, WF_REJECT, code,
                   "registry %s: subject %s: status %ld, code %d: %s; hint: %s",
                   r->conf->registry.items[r->url], r->subject, status, a->code, a->message, cure);
}

static void trouble(struct wf_registry *r, long floor_ms, const char *what)
{
    bool news = !r->trouble[0];

    snprintf(r->trouble, sizeof(r->trouble), "registry %s: subject %s: %s",
             r->conf->registry.items[r->url], r->subject, what);
    wf_log(news ? WF_LOG_WARN : WF_LOG_DEBUG, "registry", NULL,
           "%s; new schemas wait, known ones go on", r->trouble);
    retry_later(r, floor_ms);
}

static void take_refusal(struct wf_registry *r, const struct wf_http_req *req,
                         const struct answer *a)
{
    char what[300];

    if (req->status == 409)
        reject(r, "schema_incompatible", req->status, a,
               "the new schema breaks the subject's compatibility level: change the level, or use "
               "another topic for the table; nothing is lost, the slot waits");
    else if (req->status == 422 && a->code == 42205)
        trouble(r, RETRY_MODE_MS, "is read-only (code 42205)");
    else if (req->status == 422)
        reject(r, "schema_refused", req->status, a,
               "the registry does not accept this schema or subject name");
    else if (req->status == 401 || req->status == 403)
        reject(r, "registry_denied", req->status, a,
               "format.registry_user, format.registry_password; the user must be allowed to "
               "register");
    else if (req->status == 408 || req->status == 429 || req->status >= 500) {
        snprintf(what, sizeof(what), "status %ld: %.200s", req->status, a->message);
        trouble(r, req->retry_after_s < 600 ? req->retry_after_s * 1000 : 600000, what);
    } else
        reject(r, "registry_answer", req->status, a,
               "is format.registry the base URL of a schema registry?");
}

static void on_answer(struct wf_http_req *req)
{
    struct wf_registry *r = req->arg;
    struct answer a;

    r->busy = false;
    if (req->status == 0) {
        trouble(r, 0, req->error);
        return;
    }
    parse_answer(req, &a);
    if (req->status / 100 == 2 && a.id > 0) {
        end_trouble(r);
        r->answer_id = a.id;
        r->answer_rc = WF_OK;
    } else if (req->status / 100 == 2) {
        reject(r, "registry_answer", req->status, &a,
               "the answer holds no schema id: is format.registry the base URL of a registry?");
    } else {
        take_refusal(r, req, &a);
    }
}

/* ---- contract
 * --------------------------------------------------------------------------------------------- */

/* Id of one schema under one subject. */
static enum wf_rc resolve_one(struct wf_registry *r, const char *topic, const char *suffix,
                              const char *schema, int32_t *id, struct wf_err *err)
{
    char subject[sizeof(r->subject)];
    const struct known *k;
    bool asked;
    enum wf_rc rc;

    snprintf(subject, sizeof(subject), "%s%s", topic, suffix);
    k = find(r, subject, schema);
    if (k) {
        *id = k->id;
        return WF_OK;
    }
    if (r->busy || r->waiting)
        return WF_AGAIN;
    rc = r->answer_rc;
    r->answer_rc = WF_AGAIN;
    asked = r->schema && strcmp(subject, r->subject) == 0 && strcmp(schema, r->schema) == 0;
    if (rc == WF_OK && asked) {
        *id = r->answer_id;
        return remember(r, subject, schema, *id, err);
    }
    if ((rc == WF_REJECT && asked) || rc == WF_FATAL) {
        *err = r->answer_err;
        return rc;
    }
    snprintf(r->subject, sizeof(r->subject), "%s", subject);
    free(r->schema);
    free(r->body);
    r->schema = strdup(schema);
    r->body = register_body(schema);
    if (!r->schema)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    if (!r->body)
        return wf_err_set(err, WF_REJECT, "schema", "the schema of %s is not valid UTF-8", subject);
    rc = send_request(r, err);
    return rc == WF_OK ? WF_AGAIN : rc;
}

enum wf_rc wf_registry_resolve(struct wf_registry *r, struct wf_stream *stream, struct wf_err *err)
{
    enum wf_rc rc = WF_OK;

    if (stream->key_schema)
        rc = resolve_one(r, stream->topic, "-key", stream->key_schema, &stream->key_id, err);
    if (rc == WF_OK)
        rc = resolve_one(r, stream->topic, "-value", stream->value_schema, &stream->value_id, err);
    stream->resolved = rc == WF_OK;
    return rc;
}
