/* AWS's shared configuration files, and the settings that come from there or the environment. */
#ifndef WF_AWS_PROFILE_H
#define WF_AWS_PROFILE_H

#include "aws/conf.h"
#include "buf.h"
#include "err.h"

/* Both files as they are now; empty when they are missing. */
struct wf_aws_files {
    struct wf_buf credentials, config;
};

/* WF_RETRY: a file is there but cannot be read. @f is the caller's to deinit whatever happens. */
enum wf_rc wf_aws_files_read(struct wf_aws_files *f, struct wf_err *err);
/* Wipes them. */
void wf_aws_files_deinit(struct wf_aws_files *f);
/* The value of a profile's key, the caller's to free; NULL when there is none. */
char *wf_aws_profile_get(const struct wf_aws_files *f, const char *profile, const char *key);
/* The profile's name that counts. */
const char *wf_aws_profile_name(const struct wf_aws_conf *c);
/* An environment variable that is set and not empty, or NULL. */
const char *wf_aws_env(const char *name);

#define WF_AWS_REGION_MAX 64
#define WF_AWS_HOST_MAX 320
#define WF_AWS_URL_MAX (WF_AWS_HOST_MAX + 10)

/* Where a service answers. */
struct wf_aws_endpoint {
    char region[WF_AWS_REGION_MAX];
    char url[WF_AWS_URL_MAX];   /* "https://host[:port]/" */
    char host[WF_AWS_HOST_MAX]; /* as the Host header has it */
    bool custom;                /* not AWS's own */
};

/* As wf_aws_endpoint() refuses addresses: without TLS only on this host, unless allowed. */
enum wf_rc wf_aws_take_address(const struct wf_aws_conf *c, const char *url,
                               struct wf_aws_endpoint *out, struct wf_err *err);

/**
 * wf_aws_endpoint() - region and address of a service
 * @service: "kinesis", "firehose", "glue", "sts"
 * @arn:     of the resource, whose region counts before the environment's; NULL = none
 *
 * Return: WF_OK; WF_FATAL, exit code 78: no region is known, an address is none or is not safe.
 */
enum wf_rc wf_aws_endpoint(const struct wf_aws_conf *c, const char *service, const char *arn,
                           struct wf_aws_endpoint *out, struct wf_err *err);

#endif
