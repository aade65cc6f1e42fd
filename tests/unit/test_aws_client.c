/* Signed calls against a scripted server: outcomes, headers, the clock, keys that are refused. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "aws/client.h"
#include "http_stub.h"

static struct wf_aws_conf conf;
static struct wf_aws_client *client;
static struct wf_loop *loop;
static struct wf_err err;
static struct stub stub;
static unsigned answers;
static char seen[256];
static char url[64], region[] = "us-east-1", id[] = "AKIDEXAMPLE", secret[] = "secret";

static void make(void)
{
    unsetenv("HOME");
    loop = wf_loop_new(&err);
    conf = (struct wf_aws_conf){
        .region = region, .endpoint = url, .access_key = id, .secret_key = secret};
}

static void destroy(void)
{
    wf_aws_client_free(client);
    wf_loop_free(loop);
    stub_stop(&stub);
}

TestSuite(aws_client, .init = make, .fini = destroy);

static void done(struct wf_aws_call *call)
{
    answers++;
    snprintf(seen, sizeof(seen), "%.*s", (int)call->answer_len, call->answer ? call->answer : "");
}

static void connect_to(const struct stub_answer *script, size_t n)
{
    stub_start(&stub, script, n);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", stub.port);
    cr_assert_eq(wf_aws_client_new(&client, &conf, "kinesis", NULL, loop, &err), WF_OK, "%s",
                 err.text);
}

static void send_and_wait(struct wf_aws_call *call)
{
    unsigned before = answers;
    enum wf_rc rc;

    while ((rc = wf_aws_start(client, call, &err)) == WF_AGAIN)
        cr_assert_eq(wf_loop_turn(loop, 100000, &err), WF_OK);
    cr_assert_eq(rc, WF_OK, "%s", err.text);
    while (answers == before)
        cr_assert_eq(wf_loop_turn(loop, 100000, &err), WF_OK);
}

static struct wf_aws_call put(void)
{
    return (struct wf_aws_call){.target = "Kinesis_20131202.PutRecords",
                                .body = "{}",
                                .body_len = 2,
                                .timeout_ms = 5000,
                                .done = done};
}

Test(aws_client, signs_and_brings_the_answer)
{
    static const struct stub_answer script[] = {{.status = 200, .body = "{\"a\":1}"}};
    struct wf_aws_call call = put();

    connect_to(script, 1);
    send_and_wait(&call);
    cr_expect_eq(call.outcome, WF_AWS_OK);
    cr_expect_str_eq(seen, "{\"a\":1}");
    cr_expect(stub_has_line(&stub.got[0], "POST / HTTP/1.1"));
    cr_expect(stub_has_line(&stub.got[0], "Content-Type: application/x-amz-json-1.1"));
    cr_expect(stub_has_line(&stub.got[0], "X-Amz-Target: Kinesis_20131202.PutRecords"));
    cr_expect(strstr(stub.got[0].head, "/us-east-1/kinesis/aws4_request, SignedHeaders="
                                       "content-type;host;x-amz-date;x-amz-target, Signature="));
    cr_expect_not(strstr(stub.got[0].head, "Expect"));
    cr_expect_str_eq(stub.got[0].body, "{}");
}

/* 20 minutes off: the second signature is dated by the server's clock. */
Test(aws_client, follows_the_servers_clock)
{
    static const struct stub_answer script[] = {
        {.status = 400,
         .headers = "Date: Fri, 02 Jan 2032 03:04:05 GMT\r\n",
         .body = "{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature expired: x\"}"},
        {.status = 200, .body = "{}"}};
    struct wf_aws_call call = put();

    connect_to(script, 2);
    send_and_wait(&call);
    cr_expect_eq(call.outcome, WF_AWS_RETRY);
    send_and_wait(&call);
    cr_expect_eq(call.outcome, WF_AWS_OK);
    cr_expect(strstr(stub.got[1].head, "X-Amz-Date: 20320102T0304"), "%s", stub.got[1].head);
}

Test(aws_client, takes_a_cut_connection_as_reason_to_repeat)
{
    static const struct stub_answer script[] = {{.status = 0}};
    struct wf_aws_call call = put();

    connect_to(script, 1);
    send_and_wait(&call);
    cr_expect_eq(call.outcome, WF_AWS_RETRY);
    cr_expect_str_eq(call.error, "network");
    cr_expect_neq(call.message[0], '\0');
}

Test(aws_client, sorts_failures_by_what_helps)
{
    static const struct {
        long status;
        const char *type, *body, *error;
        enum wf_aws_outcome outcome;
    } rows[] = {
        {400, "", "{\"__type\":\"com.amazonaws.kinesis.v20131202#LimitExceededException\"}",
         "LimitExceededException", WF_AWS_RETRY},
        {400, "ThrottlingException:http://internal/x", "", "ThrottlingException", WF_AWS_RETRY},
        {503, "", "<html>busy</html>", "status 503", WF_AWS_RETRY},
        {429, "", "", "status 429", WF_AWS_RETRY},
        {400, "", "{\"__type\":\"ExpiredTokenException\",\"Message\":\"m\"}",
         "ExpiredTokenException", WF_AWS_RETRY},
        {400, "", "{\"__type\":\"ResourceNotFoundException\"}", "ResourceNotFoundException",
         WF_AWS_OPERATOR},
        {403, "", "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error>",
         "SignatureDoesNotMatch", WF_AWS_OPERATOR},
        {400, "", "{\"__type\":\"KMSDisabledException\"}", "KMSDisabledException", WF_AWS_OPERATOR},
        {400, "", "{\"__type\":\"KMSThrottlingException\"}", "KMSThrottlingException",
         WF_AWS_RETRY},
        {400, "", "{\"__type\":\"SerializationException\"}", "SerializationException",
         WF_AWS_POISON},
        {413, "", "", "status 413", WF_AWS_POISON},
        {400, "", "{\"__type\":7}", "status 400", WF_AWS_OPERATOR},
        {200, "", "", "", WF_AWS_OK},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wf_aws_call call = {0};

        wf_aws_classify(&call, rows[i].status, rows[i].type, rows[i].body, strlen(rows[i].body));
        cr_expect_eq(call.outcome, rows[i].outcome, "row %zu", i);
        cr_expect_str_eq(call.error, rows[i].error);
    }
}

Test(aws_client, waits_longer_with_every_try_up_to_20_s)
{
    for (unsigned n = 1; n < 40; n++) {
        cr_expect_leq(wf_aws_backoff_us(n), 20000000);
        if (n == 1)
            cr_expect_leq(wf_aws_backoff_us(n), 50000);
    }
}
