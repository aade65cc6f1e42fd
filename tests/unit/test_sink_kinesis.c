/* Order per key and completeness against a scripted Kinesis. */
#include "sink_kit.h"

#include <fcntl.h>
#include <openssl/evp.h>

#include "aws/put.h"
#include "http_stub.h"

extern const struct wf_sink_ops wf_sink_kinesis, wf_sink_firehose;

static const struct wf_sink_ops *ops = &wf_sink_kinesis;
static struct stub stub;
static struct wf_stream stream = {.topic = "orders"};

static void make(void)
{
    unsetenv("HOME");
    unsetenv("AWS_ENDPOINT_URL");
    ops = &wf_sink_kinesis;
    kit_make(ops);
}

static void destroy(void)
{
    kit_destroy(ops);
    stub_stop(&stub);
}

TestSuite(sink_kinesis, .init = make, .fini = destroy);

#define DESCRIBED                                                                                  \
    {.status = 200, .body = "{\"StreamDescriptionSummary\":{\"StreamStatus\":\"ACTIVE\"}}"}
#define OK(n) "{\"SequenceNumber\":\"" n "\",\"ShardId\":\"shardId-0\"}"
#define THROTTLED                                                                                  \
    "{\"ErrorCode\":\"ProvisionedThroughputExceededException\",\"ErrorMessage\":\"m\"}"
#define ANSWER(records)                                                                            \
    {.status = 200, .body = "{\"FailedRecordCount\":0,\"Records\":[" records "]}"}

static enum wf_rc prepare(void)
{
    enum wf_rc rc;

    while ((rc = ops->prepare(sink, &stream, &err)) == WF_AGAIN)
        cr_assert_eq(kit_turn(ops), WF_OK, "%s", err.text);
    return rc;
}

static void start(const struct stub_answer *script, size_t n)
{
    char url[64];

    stub_start(&stub, script, n);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", stub.port);
    kit_option(ops, "endpoint", url);
    kit_option(ops, "region", "us-east-1");
    kit_option(ops, "access_key", "AK");
    kit_option(ops, "secret_key", "SK");
    kit_option(ops, "lanes", "1");
    kit_open(ops);
}

static void send_event(const char *key, const char *value)
{
    struct wf_event ev = {.stream = &stream,
                          .key = (const unsigned char *)key,
                          .key_len = key ? strlen(key) : 0,
                          .value = (const unsigned char *)value,
                          .value_len = value ? strlen(value) : 0};

    cr_assert_eq(kit_send(ops, &ev), WF_OK, "%s", err.text);
}

/* Data: YQ== is a, Yg== b, Yw== c. */
Test(sink_kinesis, sends_only_what_failed_and_lets_nothing_of_its_key_pass)
{
    static const struct stub_answer script[] = {DESCRIBED, ANSWER(THROTTLED "," OK("5")),
                                                ANSWER(OK("6")), ANSWER(OK("10"))};

    start(script, 4);
    cr_assert_eq(prepare(), WF_OK, "%s", err.text);
    send_event("{\"id\":1}", "a");
    send_event("{\"id\":1}", "b");
    send_event("{\"id\":2}", "c");
    kit_wait_confirmed(ops);
    cr_assert_eq(stub_seen(&stub), 4);
    cr_expect_str_eq(stub.got[1].body, "{\"StreamName\":\"orders\",\"Records\":["
                                       "{\"Data\":\"YQ==\",\"PartitionKey\":\"{\\\"id\\\":1}\"},"
                                       "{\"Data\":\"Yw==\",\"PartitionKey\":\"{\\\"id\\\":2}\"}]}");
    cr_expect(strstr(stub.got[2].body, "YQ==") && !strstr(stub.got[2].body, "Yg=="));
    cr_expect(strstr(stub.got[3].body, "Yg=="));
}

/* Stored or not, nobody knows: the same records in the same order. */
Test(sink_kinesis, repeats_a_request_that_was_cut_as_it_was)
{
    static const struct stub_answer script[] = {DESCRIBED,
                                                {.status = 0},
                                                {.status = 503, .body = "<html>"},
                                                ANSWER(OK("5")),
                                                ANSWER(OK("6") "," OK("7")),
                                                ANSWER(OK("8"))};

    start(script, 6);
    cr_assert_eq(prepare(), WF_OK, "%s", err.text);
    send_event("{\"id\":1}", "a");
    send_event("{\"id\":2}", "c");
    kit_wait_confirmed(ops);
    cr_assert_eq(stub_seen(&stub), 5);
    for (int i = 2; i < 5; i++)
        cr_expect_str_eq(stub.got[i].body, stub.got[1].body);
}

/* Two events, which the service will not have. */
static void expect_two_refused(void)
{
    enum wf_rc rc = WF_OK;

    send_event("{\"id\":1}", "a");
    send_event("{\"id\":2}", "c");
    for (uint64_t end = wf_mono_us() + 5000000; rc == WF_OK && wf_mono_us() < end;)
        rc = kit_turn(ops);
    cr_assert_eq(rc, WF_REJECT);
    cr_expect_str_eq(err.code, "record_refused");
}

Test(sink_kinesis, halves_what_is_refused_until_one_is_left)
{
    static const struct stub_answer refused = {
        .status = 400, .body = "{\"__type\":\"SerializationException\",\"message\":\"no\"}"};
    const struct stub_answer script[] = {DESCRIBED, refused};

    start(script, 2);
    cr_assert_eq(prepare(), WF_OK, "%s", err.text);
    expect_two_refused();
    cr_expect_not(strstr(stub.got[2].body, "Yw=="));
    cr_expect_eq(wf_delivery_safe_lsn(env.delivery), 0);
}

Test(sink_kinesis, tells_of_a_stream_that_is_not_there)
{
    static const struct stub_answer script[] = {
        {.status = 400, .body = "{\"__type\":\"ResourceNotFoundException\"}"}};

    start(script, 1);
    cr_assert_eq(prepare(), WF_REJECT);
    cr_expect_str_eq(err.code, "stream_missing");
}

Test(sink_kinesis, goes_on_without_the_right_to_describe)
{
    static const struct stub_answer script[] = {
        {.status = 400, .body = "{\"__type\":\"AccessDeniedException\"}"}, ANSWER(OK("5"))};

    start(script, 2);
    cr_assert_eq(prepare(), WF_OK, "%s", err.text);
    send_event(NULL, "a");
    kit_wait_confirmed(ops);
    cr_expect(strstr(stub.got[1].body, "\"PartitionKey\":\"orders\""));
}

Test(sink_kinesis, makes_streams_when_told_to)
{
    static const struct stub_answer script[] = {
        {.status = 400, .body = "{\"__type\":\"ResourceNotFoundException\"}"},
        {.status = 200},
        DESCRIBED,
        ANSWER(OK("5"))};

    kit_option(ops, "create_streams", "on");
    start(script, 4);
    cr_assert_eq(prepare(), WF_OK, "%s", err.text);
    cr_expect_str_eq(stub.got[1].body, "{\"StreamName\":\"orders\",\"StreamModeDetails\":"
                                       "{\"StreamMode\":\"ON_DEMAND\"}}");
}

/* A tombstone is for compacted topics. */
Test(sink_kinesis, confirms_tombstones_without_sending_them)
{
    static const struct stub_answer script[] = {DESCRIBED};

    start(script, 1);
    cr_assert_eq(prepare(), WF_OK, "%s", err.text);
    send_event("{\"id\":1}", NULL);
    kit_wait_confirmed(ops);
    cr_expect_eq(stub_seen(&stub), 1);
}

Test(sink_kinesis, has_no_room_beyond_its_queue)
{
    static const struct stub_answer script[] = {DESCRIBED, {.status = 503}};
    static unsigned char value[8192];
    struct wf_event ev = {
        .stream = &stream, .value = value, .value_len = sizeof(value), .key = value, .key_len = 1};
    unsigned n = 0;

    kit_option(ops, "queue", "64KiB");
    start(script, 2);
    cr_assert_eq(prepare(), WF_OK, "%s", err.text);
    while (n < 100 && kit_send(ops, &ev) == WF_OK)
        n++;
    cr_expect_eq(n, 8);
}

/* What others leave behind a key that is stuck is given back: the queue takes new ones. */
Test(sink_kinesis, is_not_filled_by_a_key_that_is_throttled)
{
    static const struct stub_answer script[] = {
        DESCRIBED, ANSWER(THROTTLED "," OK("1") "," OK("2")),
        ANSWER(THROTTLED "," OK("3") "," OK("4")), ANSWER(THROTTLED "," OK("5") "," OK("6")),
        ANSWER(OK("9"))};
    static unsigned char value[5000];
    const char *const keys[] = {"{1", "{2", "{3"};
    unsigned turn = 0;

    start(script, 5);
    cr_assert_eq(prepare(), WF_OK, "%s", err.text);
    for (uint64_t end = wf_mono_us() + 5000000; wf_mono_us() < end && stub_seen(&stub) < 5;) {
        for (unsigned i = turn ? 1 : 0; turn < 3 && turn < stub_seen(&stub) && i < 3; i++) {
            struct wf_event ev = {.stream = &stream,
                                  .key = (const unsigned char *)keys[i],
                                  .key_len = 2,
                                  .value = value,
                                  .value_len = i ? sizeof(value) : 1};

            cr_assert_eq(kit_send(ops, &ev), WF_OK);
        }
        turn += turn < 3 && turn < stub_seen(&stub) ? 1 : 0;
        cr_assert_eq(kit_turn(ops), WF_OK, "%s", err.text);
    }
    kit_wait_confirmed(ops);
    cr_expect(strstr(stub.got[4].body, "\"Data\":\"AA==\",\"PartitionKey\":\"{1\""));
}

Test(sink_kinesis, refuses_half_a_key)
{
    kit_option(ops, "access_key", "AK");
    cr_expect_eq(ops->validate(sink_conf, &err), WF_FATAL);
    cr_expect_eq(err.exit_code, WF_EXIT_CONFIG);
    kit_option(ops, "secret_key", "SK");
    cr_expect_eq(ops->validate(sink_conf, &err), WF_OK);
}

Test(sink_kinesis, refuses_a_plain_endpoint_on_another_host)
{
    kit_option(ops, "endpoint", "http://kinesis.lan:4567");
    cr_expect_eq(ops->validate(sink_conf, &err), WF_FATAL);
    cr_expect(strstr(err.text, "sink.allow_insecure: on"), "%s", err.text);
    kit_option(ops, "allow_insecure", "on");
    cr_expect_eq(ops->validate(sink_conf, &err), WF_OK);
}

static int saved_stderr, captured;

/* Standard error goes to a file without a name until orders_logged(). */
static void capture_log(void)
{
    captured = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    cr_assert_geq(captured, 0);
    saved_stderr = dup(STDERR_FILENO);
    dup2(captured, STDERR_FILENO);
}

/* How many keys were seen to go back. */
static unsigned orders_logged(void)
{
    static char text[32768];
    ssize_t n = pread(captured, text, sizeof(text) - 1, 0);
    unsigned found = 0;

    text[n > 0 ? n : 0] = '\0';
    for (const char *at = text; (at = strstr(at, "code=order")) != NULL; at++)
        found++;
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(captured);
    return found;
}

static struct wf_stream items = {.topic = "items"};

/* Sends the same key, NULL = none, to streams one after another; returns how often it went back. */
static unsigned orders_of(const char *key, const bool *to_items, size_t n)
{
    cr_assert_eq(prepare(), WF_OK, "%s", err.text);
    while (ops->prepare(sink, &items, &err) == WF_AGAIN)
        cr_assert_eq(kit_turn(ops), WF_OK, "%s", err.text);
    capture_log();
    for (size_t i = 0; i < n; i++) {
        struct wf_event ev = {.stream = to_items[i] ? &items : &stream,
                              .key = (const unsigned char *)key,
                              .key_len = key ? strlen(key) : 0,
                              .value = (const unsigned char *)"a",
                              .value_len = 1};

        cr_assert_eq(kit_send(ops, &ev), WF_OK);
        kit_wait_confirmed(ops);
    }
    return orders_logged();
}

/* Sequence numbers of different streams have nothing to do with each other. */
Test(sink_kinesis, checks_the_order_of_a_key_within_its_stream)
{
    static const struct stub_answer script[] = {DESCRIBED,       DESCRIBED,       ANSWER(OK("9")),
                                                ANSWER(OK("5")), ANSWER(OK("7")), ANSWER(OK("6"))};
    static const bool to_items[] = {false, true, true, true};

    start(script, 6);
    cr_expect_eq(orders_of("{\"id\":1}", to_items, 4), 1, "the last one");
}

/* Events without a key have their topic's name for one, which is the stream's name, too. */
Test(sink_kinesis, checks_the_order_of_no_key_within_its_stream)
{
    static const struct stub_answer script[] = {DESCRIBED, DESCRIBED, ANSWER(OK("9")),
                                                ANSWER(OK("5"))};
    static const bool to_items[] = {false, true};

    start(script, 4);
    cr_expect_eq(orders_of(NULL, to_items, 2), 0);
}

/* One record of a lane at a time, whole: what Kinesis did not take goes first again. The order of a
 * key is that of the events in it. */
Test(sink_kinesis, aggregates_a_lane_and_keeps_its_order)
{
    static const struct stub_answer script[] = {DESCRIBED, ANSWER(THROTTLED), ANSWER(OK("5")),
                                                ANSWER(OK("6"))};
    static const char plain[] =
        "{\"Data\":\"ZA==\",\"PartitionKey\":\"{\\\"id\\\":1}\","
        "\"ExplicitHashKey\":\"170141183460469231731687303715884105728\"}]}";
    unsigned char packed[256];
    const char *data;
    int n;

    kit_option(ops, "aggregation", "on");
    start(script, 4);
    cr_assert_eq(prepare(), WF_OK, "%s", err.text);
    send_event("{\"id\":1}", "a");
    send_event("{\"id\":2}", "c");
    send_event("{\"id\":1}", "b");
    kit_wait_confirmed(ops);
    cr_assert_eq(stub_seen(&stub), 3);
    cr_expect_str_eq(stub.got[2].body, stub.got[1].body);
    data = strstr(stub.got[1].body, "\"Data\":\"");
    cr_assert(data && strstr(data, "\",\"PartitionKey\":\"a\",\"ExplicitHashKey\":\"1701411834"));
    n = EVP_DecodeBlock(packed, (const unsigned char *)data + 8, (int)strcspn(data + 8, "\""));
    cr_assert_gt(n, 100);
    cr_expect(memmem(packed, (size_t)n,
                     "\x08\0\x10\0\x1a\1a\x1a\7\x08\1\x10\0\x1a\1c\x1a\7\x08\0\x10\0\x1a\1b", 25));
    send_event("{\"id\":1}", "d"); /* alone */
    kit_wait_confirmed(ops);
    cr_expect(strstr(stub.got[3].body, plain), "%s", stub.got[3].body);
}

Test(sink_kinesis, halves_an_aggregate_that_is_refused)
{
    static const struct stub_answer refused =
        ANSWER("{\"ErrorCode\":\"InvalidArgumentException\",\"ErrorMessage\":\"m\"}");
    const struct stub_answer script[] = {DESCRIBED, refused};

    kit_option(ops, "aggregation", "on");
    start(script, 2);
    cr_assert_eq(prepare(), WF_OK, "%s", err.text);
    expect_two_refused();
    cr_expect_eq(stub_seen(&stub), 2 + 1);
    cr_expect(strstr(stub.got[2].body, "\"Data\":\"YQ==\""));
    cr_expect_eq(wf_delivery_safe_lsn(env.delivery), 0);
}

Test(sink_kinesis, aggregates_on_a_power_of_two_of_lanes)
{
    kit_option(ops, "aggregation", "on");
    cr_expect_eq(ops->validate(sink_conf, &err), WF_OK);
    kit_option(ops, "lanes", "6");
    cr_expect_eq(ops->validate(sink_conf, &err), WF_FATAL);
}

static char findings[2048];

static void note(void *arg, const char *level, const char *what, const char *cure)
{
    size_t n = strlen(findings);

    (void)arg;
    (void)cure;
    snprintf(findings + n, sizeof(findings) - n, "%s: %s\n", level, what);
}

Test(sink_kinesis, is_checked_with_its_stream)
{
    static const struct stub_answer script[] = {
        DESCRIBED, {.status = 400, .body = "{\"__type\":\"ResourceNotFoundException\"}"}};

    kit_option(ops, "stream", "orders");
    kit_option(ops, "create_streams", "on");
    start(script, 2);
    ops->check(sink_conf, "shop", note, NULL);
    cr_expect(strstr(findings, "ok: AWS credentials come from: configuration"), "%s", findings);
    cr_expect(strstr(findings, "ok: kinesis stream orders answers"), "%s", findings);
    ops->check(sink_conf, "shop", note, NULL);
    cr_expect(strstr(findings, "error: stream orders does not exist"), "%s", findings);
    cr_expect_eq(stub_seen(&stub), 2, "nothing is created");
}

Test(sink_firehose, ends_records_with_a_newline)
{
    static const struct stub_answer script[] = {
        {.status = 200, .body = "{}"},
        {.status = 200,
         .body = "{\"FailedPutCount\":0,\"RequestResponses\":[{\"RecordId\":\"r\"}]}"}};

    unsetenv("HOME");
    ops = &wf_sink_firehose;
    kit_make(ops);
    start(script, 2);
    cr_assert_eq(prepare(), WF_OK, "%s", err.text);
    send_event(NULL, "{}");
    kit_wait_confirmed(ops);
    cr_expect_str_eq(stub.got[1].body,
                     "{\"DeliveryStreamName\":\"orders\",\"Records\":[{\"Data\":\"e30K\"}]}");
    destroy();
}

static const char *key_of(const char *key, size_t len)
{
    static char text[WF_AWS_KEY_MAX + 1];
    size_t n =
        wf_aws_partition_key((const unsigned char *)key, len, "topic", (unsigned char *)text);

    text[n] = '\0';
    return text;
}

Test(partition_key, is_the_rows_key_without_its_schema_id)
{
    char json[300];

    cr_expect_str_eq(key_of("{\"id\":1}", 8), "{\"id\":1}");
    cr_expect_str_eq(key_of("\0\0\0\0\7\2ab", 8), "026162");
    cr_expect_str_eq(key_of("\0\0\0\1\7\2ab", 8), "026162");
    cr_expect_str_eq(key_of("\xC3\1\1\2\3\4\5\6\7\x8\2ab", 13), "026162");
    cr_expect_str_eq(key_of(NULL, 0), "topic");
    memset(json, 'x', sizeof(json));
    json[0] = '{';
    cr_expect_eq(strlen(key_of(json, sizeof(json))), 64);
}
