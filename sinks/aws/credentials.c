#include "aws/credentials.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/provider.h"
#include "log.h"
#include "worker.h"

#define SOURCES_MAX 5 /* profiles that lead to one another */
#define AHEAD_S 900   /* from then on new keys are fetched while the old ones serve */
#define RETRY_MIN_US 1000000
#define RETRY_MAX_US 60000000
#define REFUSED_US 5000000 /* between two fetches that a refusal asks for */

static void wipe(char **s)
{
    if (*s)
        explicit_bzero(*s, strlen(*s));
    free(*s);
    *s = NULL;
}

void wf_aws_keys_deinit(struct wf_aws_keys *k)
{
    wipe(&k->access_key);
    wipe(&k->secret_key);
    wipe(&k->token);
    *k = (struct wf_aws_keys){0};
}

/* ---- foreign answers ---- */

/* ISO 8601 in UTC, fractions and zone ignored; 0 = none. */
static int64_t parse_time(const char *text)
{
    struct tm tm = {0};

    return text && strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) : 0;
}

/* Into header lines nothing goes that could end one. */
static bool is_usable(const char *s)
{
    if (!s || !*s)
        return false;
    for (; *s; s++) {
        if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 127)
            return false;
    }
    return true;
}

static bool complete(struct wf_aws_keys *out)
{
    if (is_usable(out->access_key) && is_usable(out->secret_key) &&
        (!out->token || is_usable(out->token)))
        return true;
    wf_aws_keys_deinit(out);
    return false;
}

static char *copy(const char *s)
{
    return s && *s ? strdup(s) : NULL;
}

bool wf_aws_keys_of_json(const char *text, size_t len, struct wf_aws_keys *out)
{
    json_t *j = text ? json_loadb(text, len, 0, NULL) : NULL;
    const char *token = json_string_value(json_object_get(j, "SessionToken"));
    const char *code = json_string_value(json_object_get(j, "Code"));

    if (!token)
        token = json_string_value(json_object_get(j, "Token"));
    out->access_key = copy(json_string_value(json_object_get(j, "AccessKeyId")));
    out->secret_key = copy(json_string_value(json_object_get(j, "SecretAccessKey")));
    out->token = copy(token);
    out->expires_s = parse_time(json_string_value(json_object_get(j, "Expiration")));
    if (code && strcmp(code, "Success") != 0)
        wf_aws_keys_deinit(out);
    json_decref(j);
    return complete(out);
}

/* The text of the first <@tag>; NULL when there is none. */
static char *xml_text(const char *text, size_t len, const char *tag)
{
    char open[64], close[64];
    const char *at, *end;
    size_t n = (size_t)snprintf(open, sizeof(open), "<%s>", tag);

    snprintf(close, sizeof(close), "</%s>", tag);
    at = text ? memmem(text, len, open, n) : NULL;
    if (!at)
        return NULL;
    at += n;
    end = memmem(at, len - (size_t)(at - text), close, strlen(close));
    return end && end > at ? strndup(at, (size_t)(end - at)) : NULL;
}

bool wf_aws_keys_of_xml(const char *text, size_t len, struct wf_aws_keys *out)
{
    char *expires = xml_text(text, len, "Expiration");

    out->access_key = xml_text(text, len, "AccessKeyId");
    out->secret_key = xml_text(text, len, "SecretAccessKey");
    out->token = xml_text(text, len, "SessionToken");
    out->expires_s = parse_time(expires);
    free(expires);
    return complete(out);
}

/* ---- the chain ---- */

static enum wf_rc take(const char *access_key, const char *secret_key, const char *token,
                       const char *provider, struct wf_aws_keys *out, struct wf_err *err)
{
    out->access_key = copy(access_key);
    out->secret_key = copy(secret_key);
    out->token = copy(token);
    out->provider = provider;
    if (complete(out))
        return WF_OK;
    return wf_err_set(err, WF_RETRY, "aws_credentials",
                      "%s: the key id comes without a usable secret", provider);
}

static enum wf_rc from_environment(struct wf_aws_keys *out, struct wf_err *err)
{
    const char *id = wf_aws_env("AWS_ACCESS_KEY_ID");

    if (!id)
        return WF_AGAIN;
    return take(id, wf_aws_env("AWS_SECRET_ACCESS_KEY"), wf_aws_env("AWS_SESSION_TOKEN"),
                "environment", out, err);
}

static enum wf_rc from_web_identity(const struct wf_aws_provider *p, struct wf_aws_keys *out,
                                    struct wf_err *err)
{
    struct wf_aws_role role = {.arn = wf_aws_env("AWS_ROLE_ARN"),
                               .session = wf_aws_env("AWS_ROLE_SESSION_NAME"),
                               .token_file = wf_aws_env("AWS_WEB_IDENTITY_TOKEN_FILE")};

    if (!role.token_file)
        return WF_AGAIN;
    if (!role.arn)
        return wf_err_set(err, WF_RETRY, "aws_credentials",
                          "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
    return wf_aws_from_sts(p, &role, NULL, out, err);
}

static enum wf_rc from_profile(const struct wf_aws_provider *p, const char *profile, int depth,
                               bool own, struct wf_aws_keys *out, struct wf_err *err);

static enum wf_rc from_source_word(const struct wf_aws_provider *p, const char *word,
                                   struct wf_aws_keys *out, struct wf_err *err)
{
    if (strcmp(word, "Environment") == 0)
        return from_environment(out, err);
    if (strcmp(word, "Ec2InstanceMetadata") == 0)
        return wf_aws_from_imds(p, out, err);
    if (strcmp(word, "EcsContainer") == 0)
        return wf_aws_from_container(p, out, err);
    return wf_err_set(err, WF_RETRY, "aws_credentials",
                      "credential_source is none of Environment, "
                      "Ec2InstanceMetadata, EcsContainer");
}

/* A role named in the files: what signs the call for it is another profile or a word's. */
static enum wf_rc from_profile_role(const struct wf_aws_provider *p, const char *profile,
                                    char *const v[], int depth, struct wf_aws_keys *out,
                                    struct wf_err *err)
{
    enum { ARN, SOURCE, WORD, EXTERNAL, SESSION, SECONDS, TOKEN_FILE };
    struct wf_aws_role role = {v[ARN], v[EXTERNAL], v[SESSION], v[TOKEN_FILE],
                               v[SECONDS] ? strtol(v[SECONDS], NULL, 10) : 0};
    struct wf_aws_keys base = {0};
    enum wf_rc rc;

    if (role.token_file)
        return wf_aws_from_sts(p, &role, NULL, out, err);
    if (v[SOURCE])
        rc = from_profile(p, v[SOURCE], depth + 1, strcmp(v[SOURCE], profile) == 0, &base, err);
    else
        rc = v[WORD] ? from_source_word(p, v[WORD], &base, err) : WF_AGAIN;
    if (rc == WF_AGAIN)
        rc = wf_err_set(err, WF_RETRY, "aws_credentials",
                        "profile %s: nothing signs the call for its role; hint: source_profile or "
                        "credential_source",
                        profile);
    if (rc == WF_OK)
        rc = wf_aws_from_sts(p, &role, &base, out, err);
    wf_aws_keys_deinit(&base);
    return rc;
}

/* @own: only the profile's own keys, for a role that has itself as source. */
static enum wf_rc from_profile(const struct wf_aws_provider *p, const char *profile, int depth,
                               bool own, struct wf_aws_keys *out, struct wf_err *err)
{
    static const char *const role_keys[] = {
        "role_arn",          "source_profile",   "credential_source",      "external_id",
        "role_session_name", "duration_seconds", "web_identity_token_file"};
    enum { NROLE = sizeof(role_keys) / sizeof(role_keys[0]) };
    char *v[NROLE];
    char *id = wf_aws_profile_get(&p->files, profile, "aws_access_key_id");
    char *secret = wf_aws_profile_get(&p->files, profile, "aws_secret_access_key");
    char *token = wf_aws_profile_get(&p->files, profile, "aws_session_token");
    char *process = wf_aws_profile_get(&p->files, profile, "credential_process");
    char *sso = wf_aws_profile_get(&p->files, profile, "sso_account_id");
    enum wf_rc rc = WF_AGAIN;

    for (int i = 0; i < NROLE; i++)
        v[i] = wf_aws_profile_get(&p->files, profile, role_keys[i]);
    if (depth > SOURCES_MAX)
        rc = wf_err_set(err, WF_RETRY, "aws_credentials", "profile %s: its sources go in a circle",
                        profile);
    else if (v[0] && !own)
        rc = from_profile_role(p, profile, v, depth, out, err);
    else if (id)
        rc = take(id, secret, token, "shared file", out, err);
    else if (process)
        rc = wf_aws_from_process(p, process, out, err);
    else if (sso)
        rc = wf_err_set(err, WF_RETRY, "aws_credentials",
                        "profile %s uses SSO, which a daemon cannot; hint: a role, or "
                        "credential_process = aws configure export-credentials --profile %s",
                        profile, profile);
    for (int i = 0; i < NROLE; i++)
        wipe(&v[i]);
    wipe(&id);
    wipe(&secret);
    wipe(&token);
    wipe(&process);
    wipe(&sso);
    return rc;
}

static enum wf_rc from_named_profile(const struct wf_aws_provider *p, struct wf_aws_keys *out,
                                     struct wf_err *err)
{
    const char *profile = wf_aws_profile_name(p->conf);
    enum wf_rc rc = from_profile(p, profile, 0, false, out, err);

    if (rc == WF_AGAIN && (p->conf->profile || wf_aws_env("AWS_PROFILE")))
        return wf_err_set(err, WF_RETRY, "aws_credentials",
                          "profile %s has no credentials in AWS's shared files; hint: HOME may be "
                          "unset: AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE",
                          profile);
    return rc;
}

static enum wf_rc from_chain(const struct wf_aws_provider *p, struct wf_aws_keys *out,
                             struct wf_err *err)
{
    const struct wf_aws_conf *c = p->conf;
    enum wf_rc rc;

    if (c->access_key)
        return take(c->access_key, c->secret_key, c->session_token, "configuration", out, err);
    if (c->profile)
        return from_named_profile(p, out, err);
    rc = from_environment(out, err);
    if (rc == WF_AGAIN)
        rc = from_web_identity(p, out, err);
    if (rc == WF_AGAIN)
        rc = from_named_profile(p, out, err);
    if (rc == WF_AGAIN)
        rc = wf_aws_from_container(p, out, err);
    if (rc == WF_AGAIN)
        rc = wf_aws_from_imds(p, out, err);
    if (rc == WF_AGAIN)
        rc = wf_err_set(err, WF_RETRY, "aws_credentials",
                        "no AWS credentials: neither configuration, environment, shared files, "
                        "container nor instance has any");
    return rc;
}

enum wf_rc wf_aws_fetch(const struct wf_aws_conf *c, const char *region, const atomic_bool *stop,
                        struct wf_aws_keys *out, struct wf_err *err)
{
    struct wf_aws_provider p = {.conf = c, .region = region, .stop = stop};
    struct wf_aws_role role = {.arn = c->role_arn,
                               .external_id = c->external_id,
                               .session = c->session_name,
                               .duration_s = c->role_ms / 1000};
    struct wf_aws_keys base = {0};
    enum wf_rc rc = wf_aws_files_read(&p.files, err);

    *out = (struct wf_aws_keys){0};
    if (rc == WF_OK)
        rc = from_chain(&p, c->role_arn ? &base : out, err);
    if (rc == WF_OK && c->role_arn)
        rc = wf_aws_from_sts(&p, &role, &base, out, err);
    wf_aws_keys_deinit(&base);
    wf_aws_files_deinit(&p.files);
    if (rc != WF_OK)
        wf_aws_keys_deinit(out);
    return rc;
}

/* ---- kept fresh ---- */

struct wf_aws_credentials {
    const struct wf_aws_conf *conf;
    const char *region;
    struct wf_loop *loop;
    struct wf_worker *worker;
    atomic_bool stop;
    struct wf_aws_keys keys;
    bool have;
    int64_t renew_s; /* wall clock; 0 = never */
    uint64_t retry_at_us, retry_us;
    uint64_t refused_us; /* when AWS last refused them */
    struct wf_err why;   /* of the last fetch, when it failed */
    struct wf_timer timer;
    struct { /* the worker's while job.queued */
        struct wf_job job;
        struct wf_aws_keys keys;
        enum wf_rc rc;
        struct wf_err err;
    } fetch;
};

static void fetch_run(struct wf_job *job)
{
    struct wf_aws_credentials *a = wf_container_of(job, struct wf_aws_credentials, fetch.job);

    a->fetch.rc = wf_aws_fetch(a->conf, a->region, &a->stop, &a->fetch.keys, &a->fetch.err);
}

/* Long lives are renewed a quarter of an hour ahead, short ones at their half. */
static int64_t renewal(int64_t now_s, int64_t expires_s)
{
    int64_t life = expires_s - now_s;

    if (!expires_s)
        return 0;
    if (life <= 0) /* expired already when it was handed out: serve with it, ask again later */
        return now_s + 600;
    return life > 2 * AHEAD_S ? expires_s - AHEAD_S : now_s + life / 2;
}

static void fetch_done(struct wf_job *job)
{
    struct wf_aws_credentials *a = wf_container_of(job, struct wf_aws_credentials, fetch.job);

    if (a->fetch.rc != WF_OK) {
        a->retry_us = a->retry_us ? a->retry_us * 2 : RETRY_MIN_US;
        if (a->retry_us > RETRY_MAX_US)
            a->retry_us = RETRY_MAX_US;
        a->retry_at_us = wf_mono_us() + a->retry_us;
        a->why = a->fetch.err;
        wf_loop_timer_set(a->loop, &a->timer, a->retry_us, NULL, NULL);
        wf_log(WF_LOG_WARN, "aws_credentials", NULL, "%s%s", a->why.text,
               a->have ? "; the old ones serve meanwhile" : "");
        return;
    }
    wf_aws_keys_deinit(&a->keys);
    a->keys = a->fetch.keys;
    a->fetch.keys = (struct wf_aws_keys){0};
    a->have = true;
    a->retry_us = 0;
    a->retry_at_us = 0;
    a->renew_s = renewal(wf_wall_us() / 1000000, a->keys.expires_s);
    wf_log(WF_LOG_DEBUG, "aws_credentials", NULL, "credentials of the %s", a->keys.provider);
}

static void start_fetch(struct wf_aws_credentials *a)
{
    if (a->fetch.job.queued || wf_mono_us() < a->retry_at_us)
        return;
    a->fetch.job.run = fetch_run;
    a->fetch.job.done = fetch_done;
    wf_worker_submit(a->worker, &a->fetch.job);
}

struct wf_aws_credentials *wf_aws_credentials_new(const struct wf_aws_conf *c, const char *region,
                                                  struct wf_loop *loop, struct wf_err *err)
{
    struct wf_aws_credentials *a = calloc(1, sizeof(*a));

    if (!a) {
        wf_err_set(err, WF_FATAL, "memory", "out of memory");
        return NULL;
    }
    a->conf = c;
    a->region = region;
    a->loop = loop;
    a->worker = wf_worker_new(loop, "wf-aws", err);
    if (!a->worker) {
        free(a);
        return NULL;
    }
    start_fetch(a);
    return a;
}

void wf_aws_credentials_free(struct wf_aws_credentials *a)
{
    if (!a)
        return;
    atomic_store(&a->stop, true);
    wf_worker_free(a->worker);
    wf_loop_timer_off(a->loop, &a->timer);
    wf_aws_keys_deinit(&a->keys);
    wf_aws_keys_deinit(&a->fetch.keys);
    free(a);
}

enum wf_rc wf_aws_credentials_get(struct wf_aws_credentials *a, const struct wf_aws_keys **out,
                                  struct wf_err *err)
{
    if (!a->have || (a->renew_s && wf_wall_us() / 1000000 >= a->renew_s))
        start_fetch(a);
    if (a->have) {
        *out = &a->keys;
        return WF_OK;
    }
    if (a->fetch.job.queued)
        return WF_AGAIN;
    *err = a->why;
    return err->rc = WF_RETRY;
}

void wf_aws_credentials_refused(struct wf_aws_credentials *a)
{
    uint64_t now = wf_mono_us();

    if (a->refused_us && now - a->refused_us < REFUSED_US)
        return;
    a->refused_us = now;
    start_fetch(a);
}
