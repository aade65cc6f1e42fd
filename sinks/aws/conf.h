/* The options of whatever talks to AWS. */
#ifndef WF_AWS_CONF_H
#define WF_AWS_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "option.h"

struct wf_aws_conf {
    char *region, *endpoint, *ca;
    bool allow_insecure, fips, dual_stack;
    char *profile, *access_key, *secret_key, *session_token;
    char *role_arn, *external_id, *session_name;
    int64_t role_ms;
};

/* Rows for a table of options; @at: offsetof() of the struct wf_aws_conf. */
#define WF_AWS_FIELD(at, f) .field = (at) + offsetof(struct wf_aws_conf, f)
/* clang-format off */
#define WF_AWS_OPTS(at) \
    {.key = "region", .type = WF_OPT_STR, WF_AWS_FIELD(at, region), \
     .help = "AWS region. Default: `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile's."}, \
    {.key = "endpoint", .type = WF_OPT_STR, WF_AWS_FIELD(at, endpoint), \
     .help = "Base URL in place of the region's own, for example of a VPC endpoint. Default: " \
             "`AWS_ENDPOINT_URL_<SERVICE>`, `AWS_ENDPOINT_URL`, the profile's `endpoint_url`."}, \
    {.key = "allow_insecure", .type = WF_OPT_BOOL, .dflt = "off", \
     WF_AWS_FIELD(at, allow_insecure), .help = "Allow an endpoint on another host without TLS."}, \
    {.key = "fips", .type = WF_OPT_BOOL, .dflt = "off", WF_AWS_FIELD(at, fips), \
     .help = "Use the FIPS endpoint."}, \
    {.key = "dual_stack", .type = WF_OPT_BOOL, .dflt = "off", WF_AWS_FIELD(at, dual_stack), \
     .help = "Use the endpoint that has IPv6 addresses, too."}, \
    {.key = "ca", .type = WF_OPT_STR, .dflt_note = "the system's", WF_AWS_FIELD(at, ca), \
     .help = "File with the certificate authorities to trust, PEM."}, \
    {.key = "profile", .type = WF_OPT_STR, WF_AWS_FIELD(at, profile), \
     .help = "Profile of AWS's shared configuration files. Default: `AWS_PROFILE`, `default`."}, \
    {.key = "access_key", .type = WF_OPT_STR, WF_AWS_FIELD(at, access_key), \
     .help = "Key id of a fixed key; better none: see docs/aws.md."}, \
    {.key = "secret_key", .type = WF_OPT_SECRET, WF_AWS_FIELD(at, secret_key), \
     .help = "Its secret."}, \
    {.key = "session_token", .type = WF_OPT_SECRET, WF_AWS_FIELD(at, session_token), \
     .help = "Its session token, for temporary keys."}, \
    {.key = "role_arn", .type = WF_OPT_STR, WF_AWS_FIELD(at, role_arn), \
     .help = "Role to assume with the credentials that were found."}, \
    {.key = "external_id", .type = WF_OPT_STR, WF_AWS_FIELD(at, external_id), \
     .help = "External id that the role asks for."}, \
    {.key = "session_name", .type = WF_OPT_STR, .dflt = "walferry", \
     WF_AWS_FIELD(at, session_name), .help = "Name of the role's session in AWS's logs."}, \
    {.key = "role_duration", .type = WF_OPT_TIME, .dflt = "1h", .min = "15m", .max = "12h", \
     WF_AWS_FIELD(at, role_ms), .help = "Life of the role's credentials."}
/* clang-format on */

#endif
