/* Single providers of credentials; only credentials.c and provider*.c include it. */
#ifndef WF_AWS_PROVIDER_H
#define WF_AWS_PROVIDER_H

#include "aws/credentials.h"
#include "aws/profile.h"

struct wf_aws_provider {
    const struct wf_aws_conf *conf;
    const char *region;
    const atomic_bool *stop;
    struct wf_aws_files files;
};

/* A role and how to get it; NULL = not given. */
struct wf_aws_role {
    const char *arn, *external_id, *session, *token_file;
    int64_t duration_s;
};

/* Each: WF_OK; WF_AGAIN it is not configured; WF_RETRY it is, and failed. */
enum wf_rc wf_aws_from_container(const struct wf_aws_provider *p, struct wf_aws_keys *out,
                                 struct wf_err *err);
enum wf_rc wf_aws_from_imds(const struct wf_aws_provider *p, struct wf_aws_keys *out,
                            struct wf_err *err);
enum wf_rc wf_aws_from_process(const struct wf_aws_provider *p, const char *command,
                               struct wf_aws_keys *out, struct wf_err *err);
/* @base: signs the call; NULL: the token in role->token_file speaks for itself. */
enum wf_rc wf_aws_from_sts(const struct wf_aws_provider *p, const struct wf_aws_role *role,
                           const struct wf_aws_keys *base, struct wf_aws_keys *out,
                           struct wf_err *err);

#endif
