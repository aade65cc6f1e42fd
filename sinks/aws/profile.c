#include "aws/profile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "address.h"
#include "aws/ini.h"

#define FILE_MAX (1 << 20)

const char *wf_aws_env(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

const char *wf_aws_profile_name(const struct wf_aws_conf *c)
{
    const char *env = wf_aws_env("AWS_PROFILE");

    return c->profile ? c->profile : env ? env : "default";
}

static enum wf_rc read_file(const char *env, const char *name, struct wf_buf *out,
                            struct wf_err *err)
{
    const char *given = wf_aws_env(env), *home = wf_aws_env("HOME");
    char path[512], chunk[4096];
    ssize_t n;
    int fd;

    wf_buf_init(out, FILE_MAX);
    if (!given && !home) /* as under systemd */
        return WF_OK;
    snprintf(path, sizeof(path), "%s%s%s", given ? given : home, given ? "" : "/.aws/",
             given ? "" : name);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || (!given && errno == EACCES)))
        return WF_OK;
    if (fd < 0)
        return wf_err_sys(err, WF_RETRY, "cannot open %s", path);
    while ((n = read(fd, chunk, sizeof(chunk))) > 0)
        wf_buf_put(out, chunk, (size_t)n);
    close(fd);
    explicit_bzero(chunk, sizeof(chunk));
    if (n < 0)
        return wf_err_sys(err, WF_RETRY, "cannot read %s", path);
    return out->failed ? wf_err_set(err, WF_RETRY, "aws_credentials", "%s is over 1 MiB", path)
                       : WF_OK;
}

enum wf_rc wf_aws_files_read(struct wf_aws_files *f, struct wf_err *err)
{
    enum wf_rc rc;

    wf_buf_init(&f->config, FILE_MAX);
    rc = read_file("AWS_SHARED_CREDENTIALS_FILE", "credentials", &f->credentials, err);
    return rc == WF_OK ? read_file("AWS_CONFIG_FILE", "config", &f->config, err) : rc;
}

static void wipe(struct wf_buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->cap);
    wf_buf_deinit(b);
}

void wf_aws_files_deinit(struct wf_aws_files *f)
{
    wipe(&f->credentials);
    wipe(&f->config);
}

static char *get(const struct wf_buf *file, const char *section, const char *key)
{
    return file->len ? wf_ini_get((const char *)file->data, file->len, section, key) : NULL;
}

char *wf_aws_profile_get(const struct wf_aws_files *f, const char *profile, const char *key)
{
    char section[256];
    char *value = get(&f->credentials, profile, key);

    if (value)
        return value;
    snprintf(section, sizeof(section), "profile %s", profile);
    value = get(&f->config, section, key);
    return value || strcmp(profile, "default") != 0 ? value : get(&f->config, "default", key);
}

/* ---- where a service answers ---- */

static const char *suffix_of(const char *region, bool dual_stack)
{
    if (strncmp(region, "cn-", 3) == 0)
        return dual_stack ? "api.amazonwebservices.com.cn" : "amazonaws.com.cn";
    if (dual_stack)
        return "api.aws";
    if (strncmp(region, "eusc-", 5) == 0)
        return "amazonaws.eu";
    if (strncmp(region, "us-isob-", 8) == 0)
        return "sc2s.sgov.gov";
    if (strncmp(region, "us-iso-", 7) == 0)
        return "c2s.ic.gov";
    return "amazonaws.com";
}

/* The fourth field of arn:partition:service:region:account:resource. */
static void region_of_arn(const char *arn, char out[WF_AWS_REGION_MAX])
{
    size_t n;

    for (int field = 0; arn && field < 3; field++) {
        arn = strchr(arn, ':');
        arn = arn ? arn + 1 : NULL;
    }
    n = arn ? strcspn(arn, ":") : 0;
    if (n < WF_AWS_REGION_MAX)
        snprintf(out, WF_AWS_REGION_MAX, "%.*s", (int)n, arn ? arn : "");
}

static bool is_name(const char *s)
{
    return *s && !s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-")];
}

static enum wf_rc find_region(const struct wf_aws_conf *c, const struct wf_aws_files *files,
                              const char *arn, char out[WF_AWS_REGION_MAX], struct wf_err *err)
{
    const char *env = wf_aws_env("AWS_REGION");
    char *profile = NULL;

    out[0] = '\0';
    if (!env)
        env = wf_aws_env("AWS_DEFAULT_REGION");
    if (!c->region && arn)
        region_of_arn(arn, out);
    if (!c->region && !out[0] && !env)
        profile = wf_aws_profile_get(files, wf_aws_profile_name(c), "region");
    if (!out[0])
        snprintf(out, WF_AWS_REGION_MAX, "%s",
                 c->region ? c->region
                 : env     ? env
                 : profile ? profile
                           : "");
    free(profile);
    if (is_name(out))
        return WF_OK;
    return wf_err_config(err, "no AWS region is known; hint: region, for example eu-central-1, or "
                              "AWS_REGION");
}

/* An address that was put in the place of AWS's own; the caller's to free, NULL = none. */
static char *find_address(const struct wf_aws_conf *c, const struct wf_aws_files *files,
                          const char *service)
{
    char name[64], key[128];
    const char *ignore = wf_aws_env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), *env;
    char *services, *url = NULL;
    size_t n;

    if (c->endpoint && strcmp(service, "sts") != 0)
        return strdup(c->endpoint);
    if (ignore && strcasecmp(ignore, "true") == 0)
        return NULL;
    n = (size_t)snprintf(name, sizeof(name), "AWS_ENDPOINT_URL_%s", service);
    for (size_t i = 0; i < n && i < sizeof(name); i++)
        name[i] = (char)toupper((unsigned char)name[i]);
    env = wf_aws_env(name);
    if (!env)
        env = wf_aws_env("AWS_ENDPOINT_URL");
    if (env)
        return strdup(env);
    services = wf_aws_profile_get(files, wf_aws_profile_name(c), "services");
    if (services) {
        char section[160];

        snprintf(section, sizeof(section), "services %s", services);
        snprintf(key, sizeof(key), "%s.endpoint_url", service);
        url = get(&files->config, section, key);
        free(services);
    }
    return url ? url : wf_aws_profile_get(files, wf_aws_profile_name(c), "endpoint_url");
}

enum wf_rc wf_aws_take_address(const struct wf_aws_conf *c, const char *url,
                               struct wf_aws_endpoint *out, struct wf_err *err)
{
    bool tls = strncasecmp(url, "https://", 8) == 0;
    const char *host = url + (tls ? 8 : 7), *own = tls ? ":443" : ":80";
    size_t n;

    if (!tls && strncasecmp(url, "http://", 7) != 0)
        return wf_err_config(err, "endpoint: an address begins with https:// or http://");
    n = strcspn(host, "/?#@ \t\r\n");
    if (!n || n >= WF_AWS_HOST_MAX || (host[n] && strcmp(host + n, "/") != 0))
        return wf_err_config(err, "endpoint: an address is scheme, host and port, no path; hint: "
                                  "https://host:port");
    if (!tls && !c->allow_insecure && !wf_is_loopback(host, wf_host_len(host)))
        return wf_err_config(err,
                             "endpoint http://%.*s is not on this host: events and session tokens "
                             "would cross the network unprotected; hint: https://, or "
                             "sink.allow_insecure: on",
                             (int)n, host);
    snprintf(out->url, sizeof(out->url), "%s%.*s/", tls ? "https://" : "http://", (int)n, host);
    if (n > strlen(own) && memcmp(host + n - strlen(own), own, strlen(own)) == 0)
        n -= strlen(own);
    snprintf(out->host, sizeof(out->host), "%.*s", (int)n, host);
    out->custom = true;
    return WF_OK;
}

enum wf_rc wf_aws_endpoint(const struct wf_aws_conf *c, const char *service, const char *arn,
                           struct wf_aws_endpoint *out, struct wf_err *err)
{
    struct wf_aws_files files;
    char *address = NULL;
    enum wf_rc rc = wf_aws_files_read(&files, err);

    *out = (struct wf_aws_endpoint){0};
    if (rc == WF_OK)
        rc = find_region(c, &files, arn, out->region, err);
    if (rc == WF_OK)
        address = find_address(c, &files, service);
    if (rc == WF_OK && address) {
        rc = wf_aws_take_address(c, address, out, err);
    } else if (rc == WF_OK) {
        snprintf(out->host, sizeof(out->host), "%s%s.%s.%s", service, c->fips ? "-fips" : "",
                 out->region, suffix_of(out->region, c->dual_stack));
        snprintf(out->url, sizeof(out->url), "https://%s/", out->host);
    }
    free(address);
    wf_aws_files_deinit(&files);
    return rc;
}
