/* Providers that ask somebody: a command, STS, the container's agent, the instance. */
#include "aws/provider.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "aws/sigv4.h"
#include "http.h"

#define SLICE_US 100000 /* between two looks at `stop` */
#define CONTAINER_MS 2000
#define CONTAINER_TRIES 3
#define IMDS_MS 1000
#define STS_MS 10000
#define PROCESS_MS 60000
#define TEXT_MAX (1 << 20)

static void wipe(struct wf_buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->cap);
    wf_buf_deinit(b);
}

/* c->body is the caller's to wipe whatever happens. c->status 0: see c->error. */
static void ask(const struct wf_aws_provider *p, struct wf_http_req *req, struct wf_http_reply *c)
{
    struct wf_err err;

    if (wf_http_ask(req, TEXT_MAX, p->stop, c, &err) != WF_OK)
        snprintf(c->error, sizeof(c->error), "%.*s", (int)sizeof(c->error) - 1, err.text);
}

static enum wf_rc no_keys(const char *who, const struct wf_http_reply *c, struct wf_err *err)
{
    if (c->status == 0)
        return wf_err_set(err, WF_RETRY, "aws_credentials", "%s: %s", who, c->error);
    return wf_err_set(err, WF_RETRY, "aws_credentials", "%s: status %ld%s", who, c->status,
                      c->status == 200 ? ", but the answer holds no keys" : "");
}

/* A whole small file, NUL-terminated and without the newline at its end. */
static bool read_text(const char *path, struct wf_buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char chunk[4096];
    ssize_t n = -1;

    wf_buf_init(out, TEXT_MAX);
    while (fd >= 0 && (n = read(fd, chunk, sizeof(chunk))) > 0)
        wf_buf_put(out, chunk, (size_t)n);
    explicit_bzero(chunk, sizeof(chunk));
    if (fd >= 0)
        close(fd);
    while (out->len && (out->data[out->len - 1] == '\n' || out->data[out->len - 1] == '\r'))
        out->len--;
    wf_buf_byte(out, '\0');
    return n == 0 && !out->failed && strlen((char *)out->data) + 1 == out->len;
}

/* ---- container: ECS, EKS Pod Identity ---- */

/* The token must not travel in the clear to just anybody. */
static bool is_trusted(const char *url)
{
    static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", NULL};
    const char *host = url + strlen("http://");
    size_t n;

    if (strncmp(url, "https://", 8) == 0)
        return true;
    if (strncmp(url, "http://", 7) != 0)
        return false;
    n = wf_host_len(host);
    if (host[n] == '@' || strchr(host, '@'))
        return false;
    if (wf_is_loopback(host, n))
        return true;
    for (size_t i = 0; hosts[i]; i++) {
        if (n == strlen(hosts[i]) && memcmp(host, hosts[i], n) == 0)
            return true;
    }
    return false;
}

/* "Authorization: ..." into @line. */
static enum wf_rc container_header(struct wf_buf *line, struct wf_err *err)
{
    const char *file = wf_aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = wf_aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    struct wf_buf text = {0};
    enum wf_rc rc = WF_OK;

    if (file && !read_text(file, &text))
        rc = wf_err_set(err, WF_RETRY, "aws_credentials", "cannot read the token in %s", file);
    else if (file)
        token = (const char *)text.data;
    if (rc == WF_OK && token && strpbrk(token, "\r\n"))
        rc = wf_err_set(err, WF_RETRY, "aws_credentials",
                        "the container's authorization token has a line break in it");
    else if (rc == WF_OK && token)
        wf_buf_printf(line, "Authorization: %s", token);
    wf_buf_byte(line, '\0');
    wipe(&text);
    return rc;
}

enum wf_rc wf_aws_from_container(const struct wf_aws_provider *p, struct wf_aws_keys *out,
                                 struct wf_err *err)
{
    const char *relative = wf_aws_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = wf_aws_env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    char url[1024];
    struct wf_buf line;
    struct wf_http_reply c = {0};
    enum wf_rc rc = WF_RETRY;

    if (!relative && !full)
        return WF_AGAIN;
    snprintf(url, sizeof(url), "%s%s", relative ? "http://169.254.170.2" : full,
             relative ? relative : "");
    if (relative ? relative[0] != '/' : !is_trusted(url))
        return wf_err_set(err, WF_RETRY, "aws_credentials",
                          "the container's credentials are to come from an address that is neither "
                          "https nor local; hint: AWS_CONTAINER_CREDENTIALS_FULL_URI");
    wf_buf_init(&line, TEXT_MAX);
    for (int try = 0; rc == WF_RETRY && try < CONTAINER_TRIES; try++) {
        const char *headers[] = {NULL, NULL};
        struct wf_http_req req = {
            .method = "GET", .url = url, .headers = headers, .timeout_ms = CONTAINER_MS};

        wf_buf_reset(&line);
        if (container_header(&line, err) != WF_OK)
            break;
        headers[0] = line.len > 1 ? (const char *)line.data : NULL;
        ask(p, &req, &c);
        rc = c.status == 200 && wf_aws_keys_of_json((char *)c.body.data, c.body.len, out)
                 ? WF_OK
                 : no_keys("the container's credentials endpoint", &c, err);
        wipe(&c.body);
        if (c.status / 100 == 4)
            break;
    }
    wipe(&line);
    out->provider = "container";
    return rc;
}

/* ---- instance metadata, version 2 ---- */

static bool imds(const struct wf_aws_provider *p, const char *method, const char *path,
                 const char *header, struct wf_http_reply *c)
{
    const char *base = wf_aws_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *headers[] = {header, NULL};
    char url[1024];
    struct wf_http_req req = {.method = method,
                              .url = url,
                              .headers = headers,
                              .timeout_ms = IMDS_MS,
                              .connect_ms = IMDS_MS};
    size_t n;

    if (!base)
        base = "http://169.254.169.254";
    n = strlen(base);
    snprintf(url, sizeof(url), "%.*s%s", (int)(n && base[n - 1] == '/' ? n - 1 : n), base, path);
    ask(p, &req, c);
    wf_buf_byte(&c->body, '\0');
    return c->status == 200 && !c->body.failed && strlen((char *)c->body.data) + 1 == c->body.len;
}

enum wf_rc wf_aws_from_imds(const struct wf_aws_provider *p, struct wf_aws_keys *out,
                            struct wf_err *err)
{
    const char *off = wf_aws_env("AWS_EC2_METADATA_DISABLED");
    char header[1024], path[512], *role;
    struct wf_http_reply token, name = {0}, keys = {0};
    bool ok;

    if (off && strcasecmp(off, "true") == 0)
        return WF_AGAIN;
    ok = imds(p, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 21600",
              &token) &&
         !strpbrk((char *)token.body.data, "\r\n");
    if (!ok)
        no_keys("instance metadata", &token, err);
    snprintf(header, sizeof(header), "X-aws-ec2-metadata-token: %s",
             ok ? (char *)token.body.data : "");
    if (ok && !imds(p, "GET", "/latest/meta-data/iam/security-credentials/", header, &name)) {
        no_keys("instance metadata: the role's name", &name, err);
        ok = false;
    }
    if (ok) {
        role = (char *)name.body.data;
        role[strcspn(role, " \r\n")] = '\0';
        snprintf(path, sizeof(path), "/latest/meta-data/iam/security-credentials/%s", role);
        ok = imds(p, "GET", path, header, &keys) &&
             wf_aws_keys_of_json((char *)keys.body.data, keys.body.len - 1, out);
        if (!ok)
            no_keys("instance metadata: the role's keys", &keys, err);
    }
    explicit_bzero(header, sizeof(header));
    wipe(&token.body);
    wipe(&name.body);
    wipe(&keys.body);
    out->provider = "instance metadata";
    return ok ? WF_OK : WF_RETRY;
}

/* ---- credential_process ---- */

static pid_t start_command(const char *command, int *fd)
{
    char sh[] = "sh", c[] = "-c", *text = strdup(command);
    char *argv[] = {sh, c, text, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    pid_t pid = -1;
    int pipes[2];

    if (!text || pipe2(pipes, O_CLOEXEC) < 0) {
        free(text);
        return -1;
    }
    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
    if (posix_spawn(&pid, "/bin/sh", &actions, &attr, argv, environ) != 0)
        pid = -1;
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    free(text);
    close(pipes[1]);
    *fd = pipes[0];
    if (pid < 0)
        close(pipes[0]);
    return pid;
}

/* Return: whether it closed its output in time. */
static bool read_command(const struct wf_aws_provider *p, int fd, struct wf_buf *out)
{
    uint64_t deadline = wf_mono_us() + PROCESS_MS * 1000;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    char chunk[4096];
    ssize_t n;

    while (wf_mono_us() < deadline && !(p->stop && atomic_load(p->stop)) && !out->failed) {
        if (poll(&ready, 1, SLICE_US / 1000) <= 0)
            continue;
        n = read(fd, chunk, sizeof(chunk));
        if (n <= 0)
            return n == 0;
        wf_buf_put(out, chunk, (size_t)n);
        explicit_bzero(chunk, sizeof(chunk));
    }
    return false;
}

/* One that has closed its output may go on all the same. */
static bool has_ended(const struct wf_aws_provider *p, pid_t pid, int *status)
{
    uint64_t deadline = wf_mono_us() + PROCESS_MS * 1000;
    pid_t got;

    while ((got = waitpid(pid, status, WNOHANG)) == 0 && wf_mono_us() < deadline &&
           !(p->stop && atomic_load(p->stop)))
        poll(NULL, 0, 10);
    return got == pid;
}

enum wf_rc wf_aws_from_process(const struct wf_aws_provider *p, const char *command,
                               struct wf_aws_keys *out, struct wf_err *err)
{
    struct wf_buf text;
    int fd = -1, status = -1;
    pid_t pid = start_command(command, &fd);
    bool ok;

    if (pid < 0)
        return wf_err_sys(err, WF_RETRY, "credential_process: cannot start it");
    wf_buf_init(&text, TEXT_MAX);
    ok = read_command(p, fd, &text);
    close(fd);
    ok = ok && has_ended(p, pid, &status);
    if (!ok) {
        kill(-pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    ok = ok && status == 0 && wf_aws_keys_of_json((char *)text.data, text.len, out);
    wipe(&text);
    out->provider = "credential_process";
    return ok ? WF_OK
              : wf_err_set(err, WF_RETRY, "aws_credentials",
                           "credential_process: it failed, took over %d s or printed no keys",
                           PROCESS_MS / 1000);
}

/* ---- STS ---- */

static void put_form(struct wf_buf *b, const char *name, const char *value)
{
    if (!value)
        return;
    wf_buf_printf(b, "&%s=", name);
    wf_sigv4_escape(b, value);
}

static bool put_body(struct wf_buf *b, const struct wf_aws_role *role, const char *token)
{
    char seconds[24];

    snprintf(seconds, sizeof(seconds), "%lld", (long long)role->duration_s);
    wf_buf_printf(b, "Action=AssumeRole%s&Version=2011-06-15", token ? "WithWebIdentity" : "");
    put_form(b, "RoleArn", role->arn);
    put_form(b, "RoleSessionName", role->session ? role->session : "walferry");
    put_form(b, "ExternalId", token ? NULL : role->external_id);
    put_form(b, "DurationSeconds", role->duration_s ? seconds : NULL);
    put_form(b, "WebIdentityToken", token);
    return !b->failed;
}

/* Header lines of a signed request: strings in @text, pointers in @headers. */
static bool sign_form(const struct wf_aws_endpoint *at, const struct wf_aws_keys *base,
                      const struct wf_buf *body, struct wf_buf text[3], const char *headers[5])
{
    char date[WF_SIGV4_DATE];
    struct wf_sigv4 signer = {0};
    const struct wf_sigv4_keys keys = {base->access_key, base->secret_key, base->token};
    struct wf_sigv4_request r = {.method = "POST",
                                 .host = at->host,
                                 .content_type = headers[0] + strlen("Content-Type: "),
                                 .body = (const char *)body->data,
                                 .body_len = body->len,
                                 .region = at->region,
                                 .service = "sts",
                                 .date = date};
    bool ok;

    wf_sigv4_date(wf_wall_us() / 1000000, date);
    wf_buf_str(&text[0], "Authorization: ");
    ok = wf_sigv4_sign(&signer, &keys, &r, &text[0]);
    wf_buf_printf(&text[1], "X-Amz-Date: %s", date);
    wf_buf_printf(&text[2], "X-Amz-Security-Token: %s", base->token ? base->token : "");
    for (int i = 0; i < (base->token ? 3 : 2); i++) {
        wf_buf_byte(&text[i], '\0');
        ok = ok && !text[i].failed;
        headers[i + 1] = (const char *)text[i].data;
    }
    wf_sigv4_deinit(&signer);
    return ok;
}

static enum wf_rc call_sts(const struct wf_aws_provider *p, const struct wf_aws_keys *base,
                           const struct wf_buf *body, struct wf_aws_keys *out, struct wf_err *err)
{
    const char *headers[5] = {"Content-Type: application/x-www-form-urlencoded; charset=utf-8"};
    struct wf_buf text[3];
    struct wf_aws_endpoint at;
    struct wf_aws_conf conf = *p->conf;
    struct wf_http_tls tls = {.ca = conf.ca};
    struct wf_http_req req = {.method = "POST",
                              .headers = headers,
                              .body = (const char *)body->data,
                              .body_len = body->len,
                              .tls = &tls,
                              .timeout_ms = STS_MS,
                              .env_proxy = true,
                              .http1 = true};
    char region[WF_AWS_REGION_MAX];
    struct wf_http_reply c = {0};
    enum wf_rc rc;

    snprintf(region, sizeof(region), "%s", p->region);
    conf.region = region;
    for (int i = 0; i < 3; i++)
        wf_buf_init(&text[i], TEXT_MAX);
    rc = wf_aws_endpoint(&conf, "sts", NULL, &at, err);
    req.url = at.url;
    if (rc == WF_OK && base && !sign_form(&at, base, body, text, headers))
        rc = wf_err_set(err, WF_RETRY, "memory", "out of memory");
    if (rc == WF_OK) {
        ask(p, &req, &c);
        rc = c.status == 200 && wf_aws_keys_of_xml((char *)c.body.data, c.body.len, out)
                 ? WF_OK
                 : no_keys("STS", &c, err);
        wipe(&c.body);
    }
    for (int i = 0; i < 3; i++)
        wipe(&text[i]);
    return rc == WF_OK ? rc : WF_RETRY;
}

enum wf_rc wf_aws_from_sts(const struct wf_aws_provider *p, const struct wf_aws_role *role,
                           const struct wf_aws_keys *base, struct wf_aws_keys *out,
                           struct wf_err *err)
{
    struct wf_buf token = {0}, body;
    enum wf_rc rc = WF_OK;

    wf_buf_init(&body, TEXT_MAX);
    if (!base && !read_text(role->token_file, &token))
        rc = wf_err_set(err, WF_RETRY, "aws_credentials",
                        "cannot read the web identity token in %s", role->token_file);
    else if (!put_body(&body, role, base ? NULL : (const char *)token.data))
        rc = wf_err_set(err, WF_RETRY, "memory", "out of memory");
    else
        rc = call_sts(p, base, &body, out, err);
    wipe(&token);
    wipe(&body);
    out->provider = base ? "assumed role" : "web identity";
    return rc == WF_OK ? rc : wf_err_wrap(err, "role %s", role->arn);
}
