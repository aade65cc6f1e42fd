#include "registry_ask.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"
#include "registry_wire.h"

#define TIMEOUT_MS 10000
#define ANSWER_MAX (4 << 20)

/* @body: NULL = GET, else POST. c->body is the caller's to deinit whatever happens. */
static enum wf_rc ask(const struct wf_format_conf *conf, const char *path, const char *body,
                      struct wf_http_reply *c, struct wf_err *err)
{
    const struct wf_http_tls tls = {conf->registry_ca, conf->registry_cert, conf->registry_key};
    const char *base = conf->registry.items[0];
    char url[WF_REGISTRY_URL_MAX];
    struct wf_http_req req = {.method = body ? "POST" : "GET",
                              .url = url,
                              .headers = wf_registry_headers,
                              .body = body,
                              .body_len = body ? strlen(body) : 0,
                              .user = conf->registry_user,
                              .password = conf->registry_password,
                              .tls = &tls,
                              .timeout_ms = TIMEOUT_MS};

    wf_registry_url(url, sizeof(url), base, path);
    return wf_http_ask(&req, ANSWER_MAX, NULL, c, err);
}

/* As ask(), and the answer as JSON (NULL when it is none). */
static enum wf_rc ask_json(const struct wf_format_conf *conf, const char *path, const char *body,
                           json_t **json, long *status, struct wf_err *err)
{
    struct wf_http_reply c;
    enum wf_rc rc = ask(conf, path, body, &c, err);

    *json = NULL;
    *status = c.status;
    if (rc == WF_OK && c.status == 0)
        rc = wf_err_set(err, WF_REJECT, "registry", "registry %s: %s", conf->registry.items[0],
                        c.error);
    else if (rc == WF_OK && c.status / 100 != 2 && c.status != 404)
        rc = wf_err_set(err, WF_REJECT, "registry", "registry %s: status %ld for %s",
                        conf->registry.items[0], c.status, path);
    else if (rc == WF_OK)
        *json = json_loadb((const char *)c.body.data, c.body.len, JSON_ALLOW_NUL, NULL);
    wf_buf_deinit(&c.body);
    return rc;
}

void wf_registry_check(const struct wf_format_conf *conf,
                       void (*report)(void *arg, const char *level, const char *what,
                                      const char *cure),
                       void *arg)
{
    struct wf_http_reply c;
    struct wf_err err;
    char what[600];

    if (ask(conf, "config", NULL, &c, &err) != WF_OK) {
        report(arg, "error", err.text, NULL);
    } else if (c.status / 100 == 2) {
        snprintf(what, sizeof(what), "registry %s answers: %.*s", conf->registry.items[0],
                 c.body.len < 200 ? (int)c.body.len : 200, (const char *)c.body.data);
        report(arg, "ok", what, NULL);
    } else {
        snprintf(what, sizeof(what), "registry %s: %s (status %ld)", conf->registry.items[0],
                 c.error[0] ? c.error : "refuses", c.status);
        report(arg, "error", what,
               "format.registry, format.registry_user, format.registry_password, "
               "format.registry_ca");
    }
    wf_buf_deinit(&c.body);
}

/* The string @key of an answer; *out is the caller's to free(), NULL when it has none. */
static enum wf_rc ask_text(const struct wf_format_conf *conf, const char *path, const char *key,
                           char **out, long *status, struct wf_err *err)
{
    const char *text;
    json_t *json;
    enum wf_rc rc = ask_json(conf, path, NULL, &json, status, err);

    text = json_string_value(json_object_get(json, key));
    *out = text ? strdup(text) : NULL;
    json_decref(json);
    return rc;
}

enum wf_rc wf_registry_schema(const struct wf_format_conf *conf, int32_t id, char **text,
                              struct wf_err *err)
{
    char path[64];
    long status;
    enum wf_rc rc;

    snprintf(path, sizeof(path), "schemas/ids/%d", id);
    rc = ask_text(conf, path, "schema", text, &status, err);
    if (rc == WF_OK && !*text)
        rc = wf_err_set(err, WF_REJECT, "registry", "registry %s has no schema %d (status %ld)",
                        conf->registry.items[0], id, status);
    return rc;
}

/* ---- verdicts ---- */

static enum wf_rc read_mode(const struct wf_format_conf *conf, const char *subject,
                            struct wf_schema_verdict *out, struct wf_err *err)
{
    char path[WF_REGISTRY_PATH_MAX];
    char *level;
    long status;
    enum wf_rc rc;

    snprintf(path, sizeof(path), "config/%s?defaultToGlobal=true", subject);
    rc = ask_text(conf, path, "compatibilityLevel", &level, &status, err);
    snprintf(out->mode, sizeof(out->mode), "%s", level ? level : "");
    free(level);
    return rc;
}

static void read_messages(const json_t *json, struct wf_schema_verdict *out)
{
    const json_t *list = json_object_get(json, "messages");
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(list) && n < sizeof(out->messages); i++) {
        const char *text = json_string_value(json_array_get(list, i));

        n += (size_t)snprintf(out->messages + n, sizeof(out->messages) - n, "%s%s", n ? "; " : "",
                              text ? text : "");
    }
}

static enum wf_rc check_compatible(const struct wf_format_conf *conf, const char *subject,
                                   const char *body, struct wf_schema_verdict *out,
                                   struct wf_err *err)
{
    char path[WF_REGISTRY_PATH_MAX];
    long status;
    json_t *json;
    enum wf_rc rc;

    snprintf(path, sizeof(path), "compatibility/subjects/%s/versions/latest?verbose=true", subject);
    rc = ask_json(conf, path, body, &json, &status, err);
    if (rc == WF_OK) {
        out->state = json_is_true(json_object_get(json, "is_compatible")) ? WF_SCHEMA_COMPATIBLE
                                                                          : WF_SCHEMA_INCOMPATIBLE;
        read_messages(json, out);
    }
    json_decref(json);
    return rc;
}

static enum wf_rc look_up(const struct wf_format_conf *conf, const char *subject, const char *body,
                          struct wf_schema_verdict *out, struct wf_err *err)
{
    char path[WF_REGISTRY_PATH_MAX];
    long status;
    json_t *json;
    enum wf_rc rc;

    snprintf(path, sizeof(path), "subjects/%s", subject);
    rc = ask_json(conf, path, body, &json, &status, err);
    if (rc != WF_OK)
        return rc;
    if (status == 404) {
        snprintf(path, sizeof(path), "subjects/%s/versions/latest", subject);
        rc = ask_text(conf, path, "schema", &out->latest, &status, err);
        out->state = WF_SCHEMA_FIRST;
        if (rc == WF_OK && out->latest)
            rc = check_compatible(conf, subject, body, out, err);
    } else {
        out->state = WF_SCHEMA_SAME;
        out->id = (int32_t)json_integer_value(json_object_get(json, "id"));
        out->version = (int)json_integer_value(json_object_get(json, "version"));
    }
    json_decref(json);
    return rc;
}

enum wf_rc wf_registry_verdict(const struct wf_format_conf *conf, const char *subject,
                               const char *schema, struct wf_schema_verdict *out,
                               struct wf_err *err)
{
    char encoded[3 * WF_SUBJECT_MAX];
    char *body = wf_registry_body(schema);
    enum wf_rc rc;

    *out = (struct wf_schema_verdict){0};
    if (!body)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    wf_registry_escape(encoded, sizeof(encoded), subject);
    rc = look_up(conf, encoded, body, out, err);
    if (rc == WF_OK)
        rc = read_mode(conf, encoded, out, err);
    free(body);
    return rc;
}
