#include "registry.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "avro_fingerprint.h"
#include "log.h"
#include "pattern.h"
#include "registry_wire.h"
#include "schema_guard.h"

#define TIMEOUT_MS 10000
#define VERIFY_MS 3000 /* a remembered id does not wait longer for a registry that is down */
#define RETRY_MIN_MS 500
#define RETRY_MAX_MS 20000
#define RETRY_MODE_MS 60000 /* a registry in READONLY mode is somebody's decision: ask slowly */
#define CACHE_MAX 65536

/* Ids never change meaning inside one registry, so entries never expire. */
struct known {
    struct known *next;
    int32_t id;
    char *schema;
    char subject[];
};

/* What a new text goes through; each step is one request. */
enum step {
    STEP_VERIFY, /* is a remembered id still this text's? */
    STEP_LOOKUP, /* does the subject have the text? That works in READONLY mode, too */
    STEP_LATEST, /* what the semantic guard compares it with */
    STEP_REGISTER,
    STEP_PIN, /* does a key's remembered id still stand for it, beside the one answered? */
};

struct wf_registry {
    const struct wf_format_conf *conf;
    struct wf_http *http;
    struct wf_loop *loop;
    struct wf_schema_ids *ids; /* or NULL */
    struct wf_http_tls tls;
    struct known *known;
    unsigned nknown;
    size_t url; /* index of the one in use */
    /* the request under way: one at a time, the pipeline waits for it anyway */
    struct wf_http_req req;
    enum step step;
    bool busy;
    struct wf_timer retry;
    bool waiting; /* for retry */
    long retry_ms;
    bool down; /* it did not answer: remembered ids are taken as they are */
    char url_text[WF_REGISTRY_URL_MAX], subject[WF_SUBJECT_MAX];
    char *body;
    char *schema;         /* of the request; a copy, for the stream may go meanwhile */
    char *table;          /* of the schema; "" = none */
    char *latest;         /* the subject's text, once it is known */
    bool key;             /* it is a key's */
    int32_t remembered;   /* its id from an earlier run, 0 = none */
    bool lost;            /* which the registry does not have any more */
    enum wf_rc answer_rc; /* WF_OK with answer_id, or WF_REJECT with answer_err; WF_AGAIN = none */
    int32_t answer_id;
    struct wf_err answer_err;
    char trouble[400]; /* "" = none */
};

enum wf_rc wf_registry_new(struct wf_registry **out, const struct wf_registry_env *env,
                           struct wf_err *err)
{
    const struct wf_format_conf *conf = env->conf;
    struct wf_registry *r = calloc(1, sizeof(*r));

    if (!r)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    r->conf = conf;
    r->http = env->http;
    r->loop = env->loop;
    r->ids = env->ids;
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
    free(r->table);
    free(r->latest);
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

/* Readers find one schema under an id: two that write different bytes cannot share it. */
static enum wf_rc check_id(const struct wf_registry *r, const char *subject, const char *schema,
                           int32_t id, struct wf_err *err)
{
    uint64_t ours, theirs;

    for (const struct known *k = r->known; k; k = k->next) {
        if (k->id != id || strcmp(k->schema, schema) == 0 ||
            wf_avro_fingerprint(schema, strlen(schema), &ours, err) != WF_OK ||
            wf_avro_fingerprint(k->schema, strlen(k->schema), &theirs, err) != WF_OK ||
            ours == theirs)
            continue;
        return wf_err_set(err, WF_REJECT, "registry_ids",
                          "registry %s: id %d for subject %s is that of another schema under "
                          "subject %s already; hint: are there several registries, or one that "
                          "was emptied, behind format.registry? Start walferry again once there "
                          "is one",
                          r->conf->registry.items[r->url], (int)id, subject, k->subject);
    }
    return WF_OK;
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

static void on_answer(struct wf_http_req *req);

static void step_path(const struct wf_registry *r, char *path, size_t size)
{
    char subject[3 * WF_SUBJECT_MAX];

    wf_registry_escape(subject, sizeof(subject), r->subject);
    switch (r->step) {
    case STEP_VERIFY:
    case STEP_PIN:
        snprintf(path, size, "schemas/ids/%d", (int)r->remembered);
        return;
    case STEP_LOOKUP:
        snprintf(path, size, "subjects/%s", subject);
        return;
    case STEP_LATEST:
        snprintf(path, size, "subjects/%s/versions/latest", subject);
        return;
    case STEP_REGISTER:
        snprintf(path, size, "subjects/%s/versions", subject);
        return;
    }
}

static enum wf_rc send_request(struct wf_registry *r, struct wf_err *err)
{
    bool post = r->step == STEP_LOOKUP || r->step == STEP_REGISTER;
    char path[WF_REGISTRY_PATH_MAX];
    enum wf_rc rc;

    step_path(r, path, sizeof(path));
    wf_registry_url(r->url_text, sizeof(r->url_text), r->conf->registry.items[r->url], path);
    r->req = (struct wf_http_req){.method = post ? "POST" : "GET",
                                  .url = r->url_text,
                                  .headers = wf_registry_headers,
                                  .body = post ? r->body : NULL,
                                  .body_len = post ? strlen(r->body) : 0,
                                  .user = r->conf->registry_user,
                                  .password = r->conf->registry_password,
                                  .tls = &r->tls,
                                  .timeout_ms = r->step == STEP_VERIFY ? VERIFY_MS : TIMEOUT_MS,
                                  .done = on_answer,
                                  .arg = r};
    rc = wf_http_start(r->http, &r->req, err);
    r->busy = rc == WF_OK;
    return rc;
}

static void next_step(struct wf_registry *r, enum step step)
{
    r->step = step;
    if (send_request(r, &r->answer_err) != WF_OK)
        r->answer_rc = r->answer_err.rc;
}

static void retry_due(void *arg)
{
    struct wf_registry *r = arg;

    r->waiting = false;
    next_step(r, r->step);
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
    char *schema; /* NULL = none */
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
    const json_t *schema = json_object_get(json, "schema");
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
    out->schema = json_is_string(schema) ? strdup(json_string_value(schema)) : NULL;
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
    r->down = false;
}

static void reject(struct wf_registry *r, const char *code, long status, const struct answer *a,
                   const char *cure)
{
    struct wf_buf diff;

    wf_buf_init(&diff, 4096);
    if (status == 409 && r->latest)
        wf_guard_diff(r->latest, r->schema, &diff);
    wf_buf_byte(&diff, '\0');
    end_trouble(r);
    r->answer_rc = wf_err_set(
        &r->answer_err, WF_REJECT, code,
        "registry %s: subject %s: status %ld, code %d: %.*s%s%.250s; hint: %s",
        r->conf->registry.items[r->url], r->subject, status, a->code, diff.len > 1 ? 200 : 400,
        a->message, diff.len > 1 ? "; against the latest: " : "",
        diff.len > 1 ? (char *)diff.data : "", cure);
    wf_buf_deinit(&diff);
}

static void trouble(struct wf_registry *r, long floor_ms, const char *what)
{
    bool news = !r->trouble[0];

    snprintf(r->trouble, sizeof(r->trouble), "registry %.100s: subject %.150s: %.120s",
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

/* ---- steps ---- */

static const char *who(const struct wf_registry *r)
{
    return *r->table ? r->table : r->subject;
}

/* The id is known; a key's remembered one goes on as long as it stands for the same text: records
 * of one row must not have keys that differ in an id. */
static void take_id(struct wf_registry *r, int32_t id)
{
    bool changed = r->remembered && r->remembered != id;

    if (changed && !r->lost && r->key && r->step != STEP_PIN) {
        r->answer_id = id;
        next_step(r, STEP_PIN);
        return;
    }
    end_trouble(r);
    if (changed && r->lost)
        wf_log(WF_LOG_WARN, "schema_ids_lost", NULL,
               "registry %s: subject %s: ids were lost: what was written with id %d cannot be "
               "read through it; id %d from now on",
               r->conf->registry.items[r->url], r->subject, (int)r->remembered, (int)id);
    r->answer_id = id;
    r->answer_rc = WF_OK;
}

static void on_verified(struct wf_registry *r, const struct wf_http_req *req,
                        const struct answer *a)
{
    if (req->status / 100 == 2 && a->schema && wf_guard_same(a->schema, r->schema)) {
        take_id(r, r->remembered);
        return;
    }
    if (req->status / 100 == 2 || req->status == 404) {
        r->lost = true;
        next_step(r, STEP_LOOKUP);
        return;
    }
    if (!r->down)
        wf_log(WF_LOG_WARN, "registry_down", NULL,
               "registry %s cannot verify remembered schema ids: status %ld: %s; they are used as "
               "they are",
               r->conf->registry.items[r->url], req->status, req->status ? a->message : req->error);
    r->down = true;
    r->url = (r->url + 1) % r->conf->registry.n;
    r->answer_id = r->remembered;
    r->answer_rc = WF_OK;
}

static void on_pin(struct wf_registry *r, const struct wf_http_req *req, const struct answer *a)
{
    if (req->status / 100 == 2 && a->schema && wf_guard_same(a->schema, r->schema)) {
        wf_log(WF_LOG_WARN, "key_id_pinned", NULL,
               "registry %s: subject %s: id %d stays in use, though it answers %d: keys of one row "
               "stay equal",
               r->conf->registry.items[r->url], r->subject, (int)r->remembered, (int)r->answer_id);
        take_id(r, r->remembered);
        return;
    }
    r->lost = true;
    take_id(r, r->answer_id);
}

/* Whether readers of @before would misread the new text, and nobody allowed that. */
static bool guard_refuses(struct wf_registry *r, const char *before)
{
    struct wf_err why;

    if (!before || (*r->table && wf_patterns_match(&r->conf->semantic_free, r->table)) ||
        wf_guard_check(before, r->schema, r->key, &why) == WF_OK)
        return false;
    end_trouble(r);
    r->answer_rc = wf_err_set(
        &r->answer_err, WF_REJECT, why.code,
        "%s: %.500s: readers of subject %s would misread it, so it is not registered; hint: if "
        "that is meant: format.allow_semantic_change: [\"%s\"], or another topic: format.topics: "
        "{\"%s\": \"{prefix}.{schema}.{table}.v2\"}",
        who(r), why.text, r->subject, who(r), who(r));
    return true;
}

static void guard_and_register(struct wf_registry *r)
{
    const char *last = r->ids ? wf_schema_ids_text(r->ids, r->subject) : NULL;

    if (!guard_refuses(r, r->latest) && !guard_refuses(r, last))
        next_step(r, STEP_REGISTER);
}

/* 2xx: the answer has to be whole, and about this text. */
static void take_success(struct wf_registry *r, const struct wf_http_req *req, struct answer *a)
{
    uint64_t ours, theirs;

    if (r->step == STEP_LATEST && a->schema) {
        free(r->latest);
        r->latest = a->schema;
        a->schema = NULL;
        guard_and_register(r);
    } else if (r->step == STEP_LATEST || a->id <= 0) {
        reject(r, "registry_answer", req->status, a,
               r->step == STEP_LATEST
                   ? "the answer holds no schema: is format.registry the base URL of a registry?"
                   : "the answer holds no schema id: is format.registry the base URL of a "
                     "registry?");
    } else if (a->schema && (wf_avro_fingerprint(r->schema, strlen(r->schema), &ours, NULL) ||
                             wf_avro_fingerprint(a->schema, strlen(a->schema), &theirs, NULL) ||
                             ours != theirs)) {
        reject(r, "registry_answer", req->status, a,
               "the answer is about another schema: is there a proxy that mixes up answers?");
    } else {
        take_id(r, a->id);
    }
}

static void on_answer(struct wf_http_req *req)
{
    struct wf_registry *r = req->arg;
    struct answer a = {0};

    r->busy = false;
    if (req->status)
        parse_answer(req, &a);
    if (r->step == STEP_VERIFY)
        on_verified(r, req, &a);
    else if (req->status == 0)
        trouble(r, 0, req->error);
    else if (r->step == STEP_PIN && (req->status / 100 == 2 || req->status == 404))
        on_pin(r, req, &a);
    else if (req->status / 100 == 2)
        take_success(r, req, &a);
    else if (req->status == 404 && r->step == STEP_LOOKUP && a.code != 40401)
        next_step(r, STEP_LATEST);
    else if (req->status == 404 && r->step < STEP_REGISTER)
        guard_and_register(r); /* its first schema */
    else
        take_refusal(r, req, &a);
    free(a.schema);
}

/* ---- contract
 * --------------------------------------------------------------------------------------------- */

static bool replace(char **text, const char *by)
{
    free(*text);
    *text = strdup(by);
    return *text != NULL;
}

/* The first request for a text. */
static enum wf_rc ask(struct wf_registry *r, const char *subject, const char *schema, bool key,
                      const char *table, struct wf_err *err)
{
    const struct wf_schema_id *old = r->ids ? wf_schema_ids_find(r->ids, subject, schema) : NULL;
    enum wf_rc rc;

    snprintf(r->subject, sizeof(r->subject), "%s", subject);
    free(r->body);
    free(r->latest);
    r->latest = NULL;
    r->body = wf_registry_body(schema);
    r->key = key;
    r->remembered = old ? old->id : 0;
    r->lost = false;
    if (!replace(&r->schema, schema) || !replace(&r->table, table ? table : ""))
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    if (!r->body)
        return wf_err_set(err, WF_REJECT, "schema", "the schema of %s is not valid UTF-8", subject);
    if (old && !old->foreign && r->down) {
        r->answer_id = old->id;
        r->answer_rc = WF_OK;
        return WF_OK;
    }
    r->step = old && !old->foreign ? STEP_VERIFY : STEP_LOOKUP;
    rc = send_request(r, err);
    return rc == WF_OK ? WF_AGAIN : rc;
}

static enum wf_rc take_answer(struct wf_registry *r, int32_t *id, struct wf_err *err)
{
    enum wf_rc rc = check_id(r, r->subject, r->schema, r->answer_id, err);

    if (rc == WF_OK)
        rc = remember(r, r->subject, r->schema, r->answer_id, err);
    if (rc == WF_OK && r->ids && r->answer_id != r->remembered)
        rc = wf_schema_ids_put(r->ids, r->subject, r->schema, r->key, r->answer_id, err);
    *id = r->answer_id;
    return rc;
}

/* Id of one schema under one subject. */
static enum wf_rc resolve_one(struct wf_registry *r, const struct wf_stream *stream, bool key,
                              int32_t *id, struct wf_err *err)
{
    const char *schema = key ? stream->key_schema : stream->value_schema;
    char subject[WF_SUBJECT_MAX];
    const struct known *k;
    bool asked;
    enum wf_rc rc = wf_registry_subject(r->conf, stream->topic, schema, key, subject, err);

    if (rc != WF_OK)
        return rc;
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
    if (rc == WF_OK && asked)
        return take_answer(r, id, err);
    if ((rc == WF_REJECT && asked) || rc == WF_FATAL) {
        *err = r->answer_err;
        return rc;
    }
    rc = ask(r, subject, schema, key, stream->table, err);
    if (rc != WF_OK)
        return rc;
    r->answer_rc = WF_AGAIN;
    return take_answer(r, id, err);
}

enum wf_rc wf_registry_resolve(struct wf_registry *r, struct wf_stream *stream, struct wf_err *err)
{
    enum wf_rc rc = WF_OK;

    if (stream->key_schema)
        rc = resolve_one(r, stream, true, &stream->key_id, err);
    if (rc == WF_OK)
        rc = resolve_one(r, stream, false, &stream->value_id, err);
    stream->resolved = rc == WF_OK;
    return rc;
}
