/* The chain of providers, its foreign answers, and where services answer. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "aws/credentials.h"
#include "aws/ini.h"
#include "aws/profile.h"
#include "http_stub.h"

static struct wf_aws_conf conf;
static struct wf_aws_keys keys;
static struct wf_err err;
static struct stub stub;

static void make(void)
{
    static const char *const names[] = {"HOME",
                                        "AWS_PROFILE",
                                        "AWS_REGION",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_CONFIG_FILE",
                                        "AWS_SHARED_CREDENTIALS_FILE",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_ROLE_ARN"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

static char paths[8][64];
static unsigned npaths;

static void destroy(void)
{
    while (npaths)
        unlink(paths[--npaths]);
    wf_aws_keys_deinit(&keys);
    stub_stop(&stub);
}

TestSuite(aws_credentials, .init = make, .fini = destroy);

static enum wf_rc fetch(void)
{
    wf_aws_keys_deinit(&keys);
    return wf_aws_fetch(&conf, "eu-west-1", NULL, &keys, &err);
}

/* A file of the test's own, named by an environment variable. */
static void write_file(const char *env, const char *text)
{
    char *path = paths[npaths];
    FILE *f;

    cr_assert_lt(npaths, 8);
    snprintf(path, sizeof(paths[0]), "/tmp/walferry-test-%d-%u", (int)getpid(), npaths++);
    f = fopen(path, "w");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
    setenv(env, path, 1);
}

static const char *serve(const struct stub_answer *script, size_t n)
{
    static char url[64];

    stub_start(&stub, script, n);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", stub.port);
    return url;
}

#define KEYS_JSON                                                                                  \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"SK\",\"Token\":\"T\","     \
    "\"Expiration\":\"2030-01-02T03:04:05Z\"}"
#define KEYS_XML                                                                                   \
    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>XA</AccessKeyId>"             \
    "<SecretAccessKey>XS</SecretAccessKey><SessionToken>XT==</SessionToken>"                       \
    "<Expiration>2030-01-02T03:04:05.123Z</Expiration></Credentials></AssumeRoleResult>"           \
    "</AssumeRoleResponse>"

Test(aws_credentials, come_from_the_configuration_first)
{
    char id[] = "CONF", secret[] = "secret";

    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    conf.access_key = id;
    conf.secret_key = secret;
    cr_assert_eq(fetch(), WF_OK, "%s", err.text);
    cr_expect_str_eq(keys.access_key, "CONF");
    cr_expect_null(keys.token);
}

Test(aws_credentials, come_from_the_environment)
{
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    cr_assert_eq(fetch(), WF_RETRY, "an id alone is an error");
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    setenv("AWS_SESSION_TOKEN", "t", 1);
    cr_assert_eq(fetch(), WF_OK, "%s", err.text);
    cr_expect_str_eq(keys.access_key, "ENV");
    cr_expect_str_eq(keys.token, "t");
    setenv("AWS_SESSION_TOKEN", "a\r\nX-Evil: 1", 1);
    cr_expect_eq(fetch(), WF_RETRY);
}

Test(aws_credentials, come_from_a_profile)
{
    char name[] = "shop";

    write_file("AWS_SHARED_CREDENTIALS_FILE", "[default]\naws_access_key_id=D\n"
                                              "aws_secret_access_key = ds # not mine\n[shop]\n"
                                              "aws_access_key_id = S\naws_secret_access_key=ss\n");
    cr_assert_eq(fetch(), WF_OK, "%s", err.text);
    cr_expect_str_eq(keys.secret_key, "ds");
    conf.profile = name;
    cr_assert_eq(fetch(), WF_OK, "%s", err.text);
    cr_expect_str_eq(keys.access_key, "S");
    name[0] = 'x';
    cr_assert_eq(fetch(), WF_RETRY);
    cr_expect(strstr(err.text, "xhop"), "%s", err.text);
}

Test(aws_credentials, come_from_a_command)
{
    write_file("AWS_CONFIG_FILE", "[default]\ncredential_process = echo '{\"Version\":1,"
                                  "\"AccessKeyId\":\"P\",\"SecretAccessKey\":\"ps\"}'\n");
    cr_assert_eq(fetch(), WF_OK, "%s", err.text);
    cr_expect_str_eq(keys.access_key, "P");
    write_file("AWS_CONFIG_FILE", "[default]\ncredential_process = exit 3\n");
    cr_expect_eq(fetch(), WF_RETRY);
}

Test(aws_credentials, of_a_role_are_asked_of_sts_with_the_source_profiles)
{
    static const struct stub_answer script[] = {{.status = 200, .body = KEYS_XML}};

    setenv("AWS_ENDPOINT_URL_STS", serve(script, 1), 1);
    write_file("AWS_CONFIG_FILE",
               "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n"
               "external_id = e/1\n[profile base]\naws_access_key_id=B\naws_secret_access_key=b\n");
    cr_assert_eq(fetch(), WF_OK, "%s", err.text);
    cr_expect_str_eq(keys.token, "XT==");
    cr_expect_eq(keys.expires_s, 1893553445);
    cr_expect_str_eq(stub.got[0].body,
                     "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2F"
                     "r&RoleSessionName=walferry&ExternalId=e%2F1");
    cr_expect(strstr(stub.got[0].head, "Authorization: AWS4-HMAC-SHA256 Credential=B/"));
}

Test(aws_credentials, of_profiles_in_a_circle_end)
{
    write_file("AWS_CONFIG_FILE", "[default]\nrole_arn=r\nsource_profile=a\n[profile a]\n"
                                  "role_arn=r\nsource_profile=default\n");
    cr_assert_eq(fetch(), WF_RETRY);
    cr_expect(strstr(err.text, "circle"), "%s", err.text);
}

Test(aws_credentials, of_a_web_identity_are_asked_of_sts_unsigned)
{
    static const struct stub_answer script[] = {{.status = 200, .body = KEYS_XML}};

    setenv("AWS_ENDPOINT_URL_STS", serve(script, 1), 1);
    setenv("AWS_ROLE_ARN", "arn:r", 1);
    write_file("AWS_WEB_IDENTITY_TOKEN_FILE", "tok\n");
    cr_assert_eq(fetch(), WF_OK, "%s", err.text);
    cr_expect(strstr(stub.got[0].body, "&WebIdentityToken=tok"), "%s", stub.got[0].body);
    cr_expect_not(strstr(stub.got[0].head, "Authorization"));
}

Test(aws_credentials, come_from_the_container_with_its_token)
{
    static const struct stub_answer script[] = {{.status = 500},
                                                {.status = 200, .body = KEYS_JSON}};

    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", serve(script, 2), 1);
    write_file("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "secret-1\n");
    cr_assert_eq(fetch(), WF_OK, "%s", err.text);
    cr_expect_str_eq(keys.token, "T");
    cr_expect(stub_has_line(&stub.got[1], "Authorization: secret-1"), "%s", stub.got[1].head);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/x", 1);
    cr_expect_eq(fetch(), WF_RETRY, "not to a stranger in the clear");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1@10.0.0.1/x", 1);
    cr_expect_eq(fetch(), WF_RETRY);
}

Test(aws_credentials, come_from_the_instance)
{
    static const struct stub_answer script[] = {{.status = 200, .body = "tok"},
                                                {.status = 200, .body = "role1"},
                                                {.status = 200, .body = KEYS_JSON}};

    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", serve(script, 3), 1);
    cr_assert_eq(fetch(), WF_OK, "%s", err.text);
    cr_expect_str_eq(keys.access_key, "AK");
    cr_expect(stub_has_line(&stub.got[0], "PUT /latest/api/token HTTP/1.1"));
    cr_expect(stub_has_line(&stub.got[2],
                            "GET /latest/meta-data/iam/security-credentials/role1 HTTP/1.1"));
    cr_expect(stub_has_line(&stub.got[2], "X-aws-ec2-metadata-token: tok"));
}

Test(aws_credentials, are_missed_with_a_reason)
{
    cr_assert_eq(fetch(), WF_RETRY);
    cr_expect(strstr(err.text, "no AWS credentials"), "%s", err.text);
}

/* A slow metadata service costs its time-out on the helper thread, the loop nothing. */
Test(aws_credentials, are_fetched_beside_the_loop)
{
    static const struct stub_answer script[] = {
        {.status = 200, .body = KEYS_JSON, .delay_ms = 300}};
    struct wf_loop *loop = wf_loop_new(&err);
    struct wf_aws_credentials *a;
    const struct wf_aws_keys *got;
    uint64_t longest = 0;
    enum wf_rc rc;

    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", serve(script, 1), 1);
    a = wf_aws_credentials_new(&conf, "eu-west-1", loop, &err);
    cr_assert_not_null(a);
    while ((rc = wf_aws_credentials_get(a, &got, &err)) == WF_AGAIN) {
        uint64_t start = wf_mono_us();

        cr_assert_eq(wf_loop_turn(loop, 10000, &err), WF_OK);
        longest = wf_mono_us() - start > longest ? wf_mono_us() - start : longest;
    }
    cr_assert_eq(rc, WF_OK, "%s", err.text);
    cr_expect_str_eq(got->provider, "container");
    cr_expect_lt(longest, 200000);
    wf_aws_credentials_free(a);
    wf_loop_free(loop);
}

Test(aws_answers, that_are_none_are_refused)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "{\"AccessKeyId\":1,\"SecretAccessKey\":\"s\"}",
                                      "{\"AccessKeyId\":\"a\"}",
                                      "{\"Code\":\"Failed\",\"AccessKeyId\":\"a\","
                                      "\"SecretAccessKey\":\"s\"}",
                                      "<AccessKeyId>a</AccessKeyId><SecretAccessKey>",
                                      "<AccessKeyId></AccessKeyId>"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_expect_not(wf_aws_keys_of_json(bad[i], strlen(bad[i]), &keys), "%s", bad[i]);
        cr_expect_not(wf_aws_keys_of_xml(bad[i], strlen(bad[i]), &keys), "%s", bad[i]);
        wf_aws_keys_deinit(&keys);
    }
}

Test(aws_ini, finds_values_as_the_sdks_do)
{
    static const char text[] = "; comment\n[ profile  a ]\nregion = eu-west-1 ; here\n"
                               "s3 =\n  region = inner\nregion=eu-west-2\r\n[b\nk=v\n[services x]\n"
                               "kinesis = \n  endpoint_url = http://k\nfirehose =\n"
                               "\tendpoint_url = http://f";
    static const char *const rows[][3] = {{"profile a", "region", "eu-west-2"},
                                          {"profile a", "s3.region", "inner"},
                                          {"a", "region", NULL},
                                          {"b", "k", "v"},
                                          {"services x", "kinesis.endpoint_url", "http://k"},
                                          {"services x", "firehose.endpoint_url", "http://f"},
                                          {"services x", "endpoint_url", NULL}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *got = wf_ini_get(text, sizeof(text) - 1, rows[i][0], rows[i][1]);

        if (rows[i][2])
            cr_expect(got && strcmp(got, rows[i][2]) == 0, "%s %s: %s", rows[i][0], rows[i][1],
                      got ? got : "-");
        else
            cr_expect_null(got);
        free(got);
    }
}

TestSuite(aws_endpoint, .init = make);

Test(aws_endpoint, follows_region_and_partition)
{
    static const struct {
        const char *region, *url;
        bool fips, dual;
    } rows[] = {{"us-east-1", "https://kinesis.us-east-1.amazonaws.com/", false, false},
                {"cn-north-1", "https://kinesis.cn-north-1.amazonaws.com.cn/", false, false},
                {"us-gov-west-1", "https://kinesis-fips.us-gov-west-1.amazonaws.com/", true, false},
                {"eusc-de-east-1", "https://kinesis.eusc-de-east-1.amazonaws.eu/", false, false},
                {"us-iso-east-1", "https://kinesis.us-iso-east-1.c2s.ic.gov/", false, false},
                {"us-isob-east-1", "https://kinesis.us-isob-east-1.sc2s.sgov.gov/", false, false},
                {"us-east-1", "https://kinesis.us-east-1.api.aws/", false, true}};
    struct wf_aws_endpoint at;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        setenv("AWS_REGION", rows[i].region, 1);
        conf.fips = rows[i].fips;
        conf.dual_stack = rows[i].dual;
        cr_assert_eq(wf_aws_endpoint(&conf, "kinesis", NULL, &at, &err), WF_OK, "%s", err.text);
        cr_expect_str_eq(at.url, rows[i].url);
    }
    cr_assert_eq(
        wf_aws_endpoint(&conf, "kinesis", "arn:aws:kinesis:sa-east-1:1:stream/s", &at, &err),
        WF_OK);
    cr_expect_str_eq(at.region, "sa-east-1");
}

Test(aws_endpoint, can_be_another)
{
    char given[] = "http://127.0.0.1:4567";
    struct wf_aws_endpoint at;

    cr_expect_eq(wf_aws_endpoint(&conf, "kinesis", NULL, &at, &err), WF_FATAL, "no region");
    cr_expect_eq(err.exit_code, WF_EXIT_CONFIG);
    setenv("AWS_REGION", "us-east-1", 1);
    setenv("AWS_ENDPOINT_URL", "https://all:443/", 1);
    cr_assert_eq(wf_aws_endpoint(&conf, "kinesis", NULL, &at, &err), WF_OK, "%s", err.text);
    cr_expect_str_eq(at.url, "https://all:443/");
    cr_expect_str_eq(at.host, "all");
    setenv("AWS_ENDPOINT_URL_KINESIS", "http://[::1]:99", 1);
    cr_assert_eq(wf_aws_endpoint(&conf, "kinesis", NULL, &at, &err), WF_OK, "%s", err.text);
    cr_expect_str_eq(at.host, "[::1]:99");
    conf.endpoint = given;
    cr_assert_eq(wf_aws_endpoint(&conf, "kinesis", NULL, &at, &err), WF_OK, "%s", err.text);
    cr_expect_str_eq(at.host, "127.0.0.1:4567");
    given[0] = 'x';
    cr_expect_eq(wf_aws_endpoint(&conf, "kinesis", NULL, &at, &err), WF_FATAL);
}

Test(aws_endpoint, on_another_host_needs_tls_or_leave)
{
    static const struct {
        const char *url;
        bool safe;
    } rows[] = {{"http://127.0.0.1:4567", true},
                {"http://LocalHost/", true},
                {"http://[::1]:99", true},
                {"https://kinesis.lan", true},
                {"http://kinesis.lan", false},
                {"HTTP://10.0.0.1:4567", false},
                {"http://127.evil.com", false},
                {"http://localhost.evil.com", false},
                {"http://[::1].evil.com", false},
                {"http://[::2]:4567", false},
                {"http://[::1", false}};
    struct wf_aws_endpoint at;

    setenv("AWS_REGION", "us-east-1", 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        setenv("AWS_ENDPOINT_URL", rows[i].url, 1);
        conf.allow_insecure = false;
        cr_expect_eq(wf_aws_endpoint(&conf, "kinesis", NULL, &at, &err),
                     rows[i].safe ? WF_OK : WF_FATAL, "%s", rows[i].url);
        if (!rows[i].safe)
            cr_expect(strstr(err.text, "sink.allow_insecure: on"), "%s", err.text);
        conf.allow_insecure = true;
        cr_expect_eq(wf_aws_endpoint(&conf, "sts", NULL, &at, &err), WF_OK, "%s", rows[i].url);
    }
}
