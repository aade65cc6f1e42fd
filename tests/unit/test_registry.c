#include <criterion/criterion.h>

#include "http_stub.h"
#include "log.h"
#include "registry.h"
#include "registry_ask.h"

#define KEY "{\"type\":\"record\",\"name\":\"Key\",\"fields\":[]}"
#define VALUE "{\"type\":\"record\",\"name\":\"Value\",\"fields\":[]}"

static struct stub stub, second;
static struct wf_loop *loop;
static struct wf_http *http;
static struct wf_registry *registry;
static struct wf_registry_env env;
static struct wf_format_conf conf;
static char url[128], second_url[128];
static char *urls[] = {url, second_url};
static struct wf_stream stream;
static struct wf_err err;

static void make(void)
{
    wf_log_setup(WF_LOG_ERROR, false, NULL);
    loop = wf_loop_new(&err);
    http = wf_http_new(loop, &err);
    cr_assert_not_null(http);
    conf.registry = (struct wf_list){urls, 1};
    env = (struct wf_registry_env){.conf = &conf, .http = http, .loop = loop};
    cr_assert_eq(wf_registry_new(&registry, &env, &err), WF_OK);
    stream = (struct wf_stream){.topic = "shop.public.orders", .value_schema = VALUE};
    stub_bind(&stub);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", stub.port);
}

static void destroy(void)
{
    wf_registry_free(registry);
    wf_http_free(http);
    wf_loop_free(loop);
    stub_stop(&stub);
    stub_stop(&second);
}

TestSuite(registry, .init = make, .fini = destroy);
TestSuite(registry_refusal, .init = make, .fini = destroy);
TestSuite(registry_trouble, .init = make, .fini = destroy);
TestSuite(registry_new, .init = make, .fini = destroy);
TestSuite(registry_subject, .init = make, .fini = destroy);

#define SERVE(...)                                                                                 \
    static const struct stub_answer script[] = {__VA_ARGS__};                                      \
    stub_start(&stub, script, sizeof(script) / sizeof(script[0]))

/* As the pipeline does it: asks again after each turn of the loop. */
static enum wf_rc resolve_within(unsigned ms)
{
    uint64_t end = wf_mono_us() + ms * UINT64_C(1000);
    enum wf_rc rc = wf_registry_resolve(registry, &stream, &err);

    while (rc == WF_AGAIN && wf_mono_us() < end) {
        cr_assert_eq(wf_loop_turn(loop, 20000, &err), WF_OK);
        rc = wf_registry_resolve(registry, &stream, &err);
    }
    return rc;
}

static enum wf_rc resolve(void)
{
    return resolve_within(8000);
}

/* The sentence about what a WF_AGAIN waits for, once there is one. */
static const char *wait_for_trouble(void)
{
    for (uint64_t end = wf_mono_us() + 8000000;
         !wf_registry_trouble(registry) && wf_mono_us() < end;)
        cr_assert_eq(resolve_within(1), WF_AGAIN);
    cr_assert_not_null(wf_registry_trouble(registry));
    return wf_registry_trouble(registry);
}

/* ---- registering -------------------------------------------------------------------------- */

Test(registry, registers_key_and_value_under_the_topics_name)
{
    SERVE({.status = 200, .body = "{\"id\":7}"}, {.status = 200, .body = "{\"id\":8}"});
    stream.key_schema = KEY;
    cr_assert_eq(resolve(), WF_OK, "%s", err.text);
    cr_expect_eq(stream.key_id, 7);
    cr_expect_eq(stream.value_id, 8);
    cr_expect(stream.resolved);
    cr_expect(stub_has_line(&stub.got[0], "POST /subjects/shop.public.orders-key HTTP/1.1"), "%s",
              stub.got[0].head);
    cr_expect(stub_has_line(&stub.got[1], "POST /subjects/shop.public.orders-value HTTP/1.1"));
    cr_expect(stub_has_line(&stub.got[0], "Content-Type: application/vnd.schemaregistry.v1+json"));
    cr_expect_str_eq(stub.got[0].body, "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":"
                                       "\\\"Key\\\",\\\"fields\\\":[]}\"}");
    cr_expect_null(wf_registry_trouble(registry));
}

Test(registry, asks_once_per_subject_and_schema)
{
    struct wf_stream same = stream;

    SERVE({.status = 200, .body = "{\"id\":7}"}, {.status = 200, .body = "{\"id\":8}"},
          {.status = 200, .body = "{\"id\":9}"});
    cr_assert_eq(resolve(), WF_OK);
    cr_assert_eq(wf_registry_resolve(registry, &same, &err), WF_OK, "at once");
    cr_expect_eq(same.value_id, 7);
    cr_expect_eq(stub_seen(&stub), 1);

    stream.topic = "another";
    cr_assert_eq(resolve(), WF_OK);
    cr_expect_eq(stream.value_id, 8);
    stream.topic = "shop.public.orders";
    stream.value_schema = "{\"type\":\"string\"}";
    cr_assert_eq(resolve(), WF_OK);
    cr_expect_eq(stub_seen(&stub), 3);
}

Test(registry, takes_a_base_url_with_a_path_and_slashes)
{
    SERVE({.status = 200, .body = "{\"id\":7}"});
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/apis/ccompat/v7//", stub.port);
    cr_assert_eq(resolve(), WF_OK, "%s", err.text);
    cr_expect(stub_has_line(&stub.got[0], "POST /apis/ccompat/v7/subjects/"
                                          "shop.public.orders-value HTTP/1.1"),
              "%s", stub.got[0].head);
}

Test(registry, percent_encodes_the_subject)
{
    SERVE({.status = 200, .body = "{\"id\":7}"});
    stream.topic = "a/b c?d\xc3\xa9%~_.-Z9";
    cr_assert_eq(resolve(), WF_OK, "%s", err.text);
    cr_expect(
        stub_has_line(&stub.got[0], "POST /subjects/a%2Fb%20c%3Fd%C3%A9%25~_.-Z9-value HTTP/1.1"),
        "%s", stub.got[0].head);
}

Test(registry, never_cuts_a_subject)
{
    char topic[250] = {0}, line[1024] = "POST /subjects/";

    SERVE({.status = 200, .body = "{\"id\":7}"});
    for (int i = 0; i < 249; i++) { /* the longest name a topic can have */
        topic[i] = '/';
        strcat(line, "%2F");
    }
    strcat(line, "-value HTTP/1.1");
    stream.topic = topic;
    cr_assert_eq(resolve(), WF_OK, "%s", err.text);
    cr_expect(stub_has_line(&stub.got[0], line), "%s", stub.got[0].head);
}

Test(registry, shows_its_password_to_the_registry)
{
    SERVE({.status = 200, .body = "{\"id\":7}"});
    conf.registry_user = "aladdin";
    conf.registry_password = "open:sesame";
    cr_assert_eq(resolve(), WF_OK, "%s", err.text);
    cr_expect(stub_has_line(&stub.got[0], "Authorization: Basic YWxhZGRpbjpvcGVuOnNlc2FtZQ=="));
}

/* The stream of the request is gone, and another schema lies where its text was. */
Test(registry, gives_an_answer_to_no_other_schema)
{
    char schema[] = "{\"type\":\"string\"}";

    SERVE({.status = 200, .body = "{\"id\":7}", .delay_ms = 50},
          {.status = 200, .body = "{\"id\":8}"});
    stream.value_schema = schema;
    cr_assert_eq(wf_registry_resolve(registry, &stream, &err), WF_AGAIN);
    memcpy(schema, "{\"type\":\"double\"}", sizeof(schema));
    cr_assert_eq(resolve(), WF_OK);
    cr_expect_eq(stream.value_id, 8);
    cr_expect_eq(stub_seen(&stub), 2);
    cr_expect(strstr(stub.got[1].body, "double"));
}

/* ---- no: a person is needed --------------------------------------------------------------- */

static void expect_reject(const char *code, const char *part)
{
    memset(&err, 0, sizeof(err));
    cr_assert_eq(resolve(), WF_REJECT, "%s", err.text);
    cr_expect_eq(err.rc, WF_REJECT);
    cr_expect_str_eq(err.code, code);
    cr_expect(strstr(err.text, "subject shop.public.orders-value"), "%s", err.text);
    cr_expect(strstr(err.text, "hint: "), "%s", err.text);
    cr_expect(strstr(err.text, part), "%s", err.text);
    cr_expect_not(stream.resolved);
}

Test(registry_refusal, of_an_incompatible_schema_names_subject_reason_and_cure)
{
    SERVE({.status = 409, .body = "{\"error_code\":40901,\"message\":\"READER_FIELD_MISSING\"}"},
          {.status = 409, .body = "<html>conflict</html>"});
    expect_reject("schema_incompatible", "READER_FIELD_MISSING");
    cr_expect(strstr(err.text, "compatibility level"), "%s", err.text);
    cr_expect(strstr(err.text, url), "%s", err.text);
    expect_reject("schema_incompatible", "no explanation"); /* the status decides */
}

Test(registry_refusal, is_asked_about_again_the_next_time)
{
    SERVE({.status = 409, .body = "{\"error_code\":40901,\"message\":\"no\"}"},
          {.status = 200, .body = "{\"id\":7}"});
    expect_reject("schema_incompatible", "no");
    cr_assert_eq(resolve(), WF_OK);
    cr_expect_eq(stream.value_id, 7);
}

Test(registry_refusal, has_a_code_for_each_kind)
{
    SERVE({.status = 422, .body = "{\"error_code\":42201,\"message\":\"Invalid schema\"}"},
          {.status = 422, .body = ""},
          {.status = 401, .body = "{\"error_code\":40101,\"message\":\"Unauthorized\"}"},
          {.status = 403, .body = "denied"}, {.status = 404, .body = "<html>"},
          {.status = 404, .body = "<html>"}, {.status = 404, .body = "<html>"},
          {.status = 302, .headers = "Location: http://127.0.0.1:1/\r\n"},
          {.status = 200, .body = "<html>welcome to the login page</html>"},
          {.status = 200, .body = "{\"id\":0}"}, {.status = 200, .body = "{\"id\":2147483648}"},
          {.status = 200, .body = "{\"id\":\"7\"}"}, {.status = 204});
    expect_reject("schema_refused", "Invalid schema");
    expect_reject("schema_refused", "422");
    expect_reject("registry_denied", "format.registry_user");
    expect_reject("registry_denied", "403");
    expect_reject("registry_answer", "404");
    expect_reject("registry_answer", "302");
    for (int i = 0; i < 5; i++)
        expect_reject("registry_answer", "holds no schema id");
    cr_expect_eq(stub_seen(&stub), 13, "each asked once, no redirect followed");
}

Test(registry_refusal, may_hold_any_byte_and_stays_one_line)
{
    SERVE({.status = 409,
           .body = "{\"error_code\":40901,\"message\":\"two\\nlines\\u001b[31m\\u0000\"}"},
          {.status = 409, .body = "{\"error_code\":40901,\"message\":\"two\\nlines\\u001b[31m\"}"});
    expect_reject("schema_incompatible", "two lines [31m");
    expect_reject("schema_incompatible", "two lines [31m");
}

/* ---- not now: for ever -------------------------------------------------------------------- */

Test(registry_trouble, is_waited_out_with_a_growing_pause)
{
    uint64_t start = wf_mono_us();

    SERVE({.status = 500, .body = "{\"error_code\":50002,\"message\":\"timeout\"}"},
          {.status = 503, .body = "<html>busy</html>"}, {.status = 200, .body = "{\"id\":7}"});
    cr_expect(strstr(wait_for_trouble(), "timeout"), "%s", wf_registry_trouble(registry));
    cr_expect(strstr(wf_registry_trouble(registry), url));
    cr_expect_eq(stub_seen(&stub), 1);
    cr_assert_eq(resolve(), WF_OK);
    cr_expect_eq(stream.value_id, 7);
    cr_expect_geq(wf_mono_us() - start, 740000, "250 and 500 ms at least");
    cr_expect_null(wf_registry_trouble(registry));
}

Test(registry_trouble, ends_when_the_registry_comes_up)
{
    static const struct stub_answer script[] = {{.status = 200, .body = "{\"id\":7}"}};

    wait_for_trouble(); /* refused: nobody listens */
    stub_start(&stub, script, 1);
    cr_assert_eq(resolve(), WF_OK);
    cr_expect_null(wf_registry_trouble(registry));
}

Test(registry_trouble, waits_as_long_as_it_is_told)
{
    SERVE({.status = 429, .headers = "Retry-After: 1\r\n"}, {.status = 200, .body = "{\"id\":7}"});
    wait_for_trouble();
    cr_assert_eq(resolve_within(900), WF_AGAIN);
    cr_expect_eq(stub_seen(&stub), 1);
    cr_assert_eq(resolve(), WF_OK);
}

/* Somebody set the registry to READONLY: that takes minutes, not milliseconds. */
Test(registry_trouble, of_a_read_only_registry_is_asked_about_slowly)
{
    SERVE({.status = 422, .body = "{\"error_code\":42205,\"message\":\"not permitted\"}"},
          {.status = 200, .body = "{\"id\":7}"});
    cr_expect(strstr(wait_for_trouble(), "read-only"), "%s", wf_registry_trouble(registry));
    cr_assert_eq(resolve_within(1200), WF_AGAIN);
    cr_expect_eq(stub_seen(&stub), 1);
}

Test(registry_trouble, moves_on_to_the_next_url)
{
    static const struct stub_answer other[] = {{.status = 200, .body = "{\"id\":8}"}};

    SERVE({.status = 502});
    stub_start(&second, other, 1);
    snprintf(second_url, sizeof(second_url), "http://127.0.0.1:%d/", second.port);
    conf.registry.n = 2;
    cr_assert_eq(resolve(), WF_OK);
    cr_expect_eq(stream.value_id, 8);
    cr_expect_eq(stub_seen(&stub), 1);
    cr_expect_eq(stub_seen(&second), 1);
}

Test(registry_trouble, of_an_endless_answer_ends_at_4_mib)
{
    SERVE({.status = 200, .endless = 64 << 20}, {.status = 200, .body = "{\"id\":7}"});
    cr_assert_eq(resolve(), WF_OK);
    cr_expect_eq(stub_seen(&stub), 2);
}

Test(registry_trouble, is_over_once_there_is_an_answer_even_a_refusal)
{
    SERVE({.status = 500}, {.status = 409, .body = "{\"error_code\":40901,\"message\":\"no\"}"},
          {.status = 200, .body = "{\"id\":7}", .delay_ms = 100});
    cr_assert_eq(resolve(), WF_REJECT);
    cr_expect_null(wf_registry_trouble(registry));
    cr_assert_eq(resolve(), WF_OK);
}

static unsigned ticks;
static struct wf_timer ticker;

static void tick(void *arg)
{
    (void)arg;
    ticks++;
    wf_loop_timer_set(loop, &ticker, 10000, tick, NULL);
}

Test(registry_trouble, never_blocks_the_loop)
{
    SERVE({.status = 200, .body = "{\"id\":7}", .delay_ms = 400});
    wf_loop_timer_set(loop, &ticker, 10000, tick, NULL);
    cr_assert_eq(resolve(), WF_OK);
    cr_expect_geq(ticks, 20, "%u ticks", ticks);
    wf_loop_timer_off(loop, &ticker);
}

Test(registry, may_go_while_a_request_is_under_way)
{
    SERVE({.status = 200, .body = "{\"id\":7}", .delay_ms = 50});
    cr_assert_eq(resolve_within(10), WF_AGAIN);
    wf_registry_free(registry);
    registry = NULL;
    wf_registry_free(NULL);
    cr_assert_eq(wf_loop_turn(loop, 100000, &err), WF_OK);
}

/* ---- a new text ---------------------------------------------------------------------------- */

#define NO_SUBJECT {.status = 404, .body = "{\"error_code\":40401,\"message\":\"no subject\"}"}
#define NO_SCHEMA {.status = 404, .body = "{\"error_code\":40403,\"message\":\"no schema\"}"}
#define INT_FIELD                                                                                  \
    "{\"type\":\"record\",\"name\":\"Value\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}"
#define INT_ANSWER                                                                                 \
    "{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"Value\\\",\\\"fields\\\":[{\\\"name\\\":"       \
    "\\\"a\\\",\\\"type\\\":\\\"int\\\"}]}"
#define WITH_TYPE(type)                                                                            \
    "{\"type\":\"record\",\"name\":\"Value\",\"fields\":[{\"name\":\"a\",\"type\":\"" type "\"}]}"
#define HAS_INT {.status = 200, .body = "{\"id\":7,\"version\":1,\"schema\":\"" INT_ANSWER "\"}"}

static void expect_path(unsigned i, const char *line)
{
    cr_expect(stub_has_line(&stub.got[i], line), "%u: %s", i, stub.got[i].head);
}

#define SUBJECT "/subjects/shop.public.orders-value"

Test(registry_new, first_text_of_a_subject_is_registered_at_once)
{
    SERVE(NO_SUBJECT, {.status = 200, .body = "{\"id\":7}"});
    cr_assert_eq(resolve(), WF_OK, "%s", err.text);
    cr_expect_eq(stream.value_id, 7);
    cr_expect_eq(stub_seen(&stub), 2);
    expect_path(0, "POST " SUBJECT " HTTP/1.1");
    expect_path(1, "POST " SUBJECT "/versions HTTP/1.1");
}

Test(registry_new, text_is_compared_with_the_latest_and_registered)
{
    SERVE(NO_SCHEMA, HAS_INT, {.status = 200, .body = "{\"id\":8}"});
    stream.value_schema = WITH_TYPE("long");
    cr_assert_eq(resolve(), WF_OK, "%s", err.text);
    cr_expect_eq(stream.value_id, 8);
    expect_path(1, "GET " SUBJECT "/versions/latest HTTP/1.1");
    expect_path(2, "POST " SUBJECT "/versions HTTP/1.1");
}

Test(registry_new, meaning_under_an_old_name_is_refused_before_the_registry_has_it)
{
    SERVE(NO_SCHEMA, HAS_INT);
    stream.value_schema = WITH_TYPE("string");
    stream.table = "public.orders";
    expect_reject("semantic_change", "public.orders: a: int becomes string");
    cr_expect(strstr(err.text, "allow_semantic_change: [\"public.orders\"]"), "%s", err.text);
    cr_expect(strstr(err.text, ".v2"), "%s", err.text);
    cr_expect_eq(stub_seen(&stub), 2);
}

Test(registry_new, meaning_passes_where_it_is_allowed)
{
    char pattern[] = "public.*", *patterns[] = {pattern};

    SERVE(NO_SCHEMA, HAS_INT, {.status = 200, .body = "{\"id\":8}"});
    conf.semantic_free = (struct wf_list){patterns, 1};
    stream.value_schema = WITH_TYPE("string");
    stream.table = "public.orders";
    cr_assert_eq(resolve(), WF_OK, "%s", err.text);
    cr_expect_eq(stream.value_id, 8);
}

Test(registry_new, incompatible_text_shows_its_difference)
{
    SERVE(NO_SCHEMA, HAS_INT,
          {.status = 409, .body = "{\"error_code\":40901,\"message\":\"MISSING_UNION_BRANCH\"}"});
    stream.value_schema = WITH_TYPE("long");
    expect_reject("schema_incompatible",
                  "MISSING_UNION_BRANCH; against the latest: a: int becomes long");
}

Test(registry_new, answer_about_another_schema_is_no_answer)
{
    SERVE(HAS_INT);
    expect_reject("registry_answer", "about another schema");
}

Test(registry_new, id_that_another_schema_has_is_refused)
{
    SERVE({.status = 200, .body = "{\"id\":7}"});
    cr_assert_eq(resolve(), WF_OK);
    stream.value_schema = INT_FIELD;
    expect_reject("registry_ids", "id 7");
}

/* ---- subjects ------------------------------------------------------------------------------ */

Test(registry_subject, may_be_the_records_name)
{
    SERVE({.status = 200, .body = "{\"id\":7}"}, {.status = 200, .body = "{\"id\":8}"});
    conf.subject_mode = WF_SUBJECT_RECORD;
    stream.value_schema =
        "{\"type\":\"record\",\"name\":\"Envelope\",\"namespace\":\"s.t\",\"fields\":[]}";
    cr_assert_eq(resolve(), WF_OK, "%s", err.text);
    expect_path(0, "POST /subjects/s.t.Envelope HTTP/1.1");
    conf.subject_mode = WF_SUBJECT_TOPIC_RECORD;
    cr_assert_eq(resolve(), WF_OK, "%s", err.text);
    expect_path(1, "POST /subjects/shop.public.orders-s.t.Envelope HTTP/1.1");
}

/* ---- what is remembered -------------------------------------------------------------------- */

static char dir[] = "/tmp/walferry-registry-XXXXXX";

/* A registry that knows what earlier ones wrote to the directory. */
static void restart(void)
{
    wf_registry_free(registry);
    wf_schema_ids_close(env.ids);
    env.ids = NULL;
    cr_assert_eq(wf_schema_ids_open(&env.ids, dir, &conf.registry, NULL, &err), WF_OK, "%s",
                 err.text);
    cr_assert_eq(wf_registry_new(&registry, &env, &err), WF_OK);
    stream.resolved = false;
    stream.key_id = stream.value_id = 0;
}

static void remembering(void)
{
    cr_assert_not_null(mkdtemp(dir));
    make();
    restart();
}

static void forgetting(void)
{
    char path[100];

    destroy();
    wf_schema_ids_close(env.ids);
    snprintf(path, sizeof(path), "%s/schemas", dir);
    unlink(path);
    rmdir(dir);
}

TestSuite(registry_restart, .init = remembering, .fini = forgetting);

#define VALUE_ANSWER "{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"Value\\\",\\\"fields\\\":[]}"
#define KEY_ANSWER "{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"Key\\\",\\\"fields\\\":[]}"

Test(registry_restart, verifies_a_remembered_id)
{
    SERVE({.status = 200, .body = "{\"id\":7}"},
          {.status = 200, .body = "{\"schema\":\"" VALUE_ANSWER "\"}"});
    cr_assert_eq(resolve(), WF_OK);
    restart();
    cr_assert_eq(resolve(), WF_OK);
    cr_expect_eq(stream.value_id, 7);
    expect_path(1, "GET /schemas/ids/7 HTTP/1.1");
    cr_expect_eq(stub_seen(&stub), 2);
}

Test(registry_restart, needs_no_registry_for_known_schemas)
{
    SERVE({.status = 200, .body = "{\"id\":7}"}, {.status = 503});
    stream.key_schema = NULL;
    cr_assert_eq(resolve(), WF_OK);
    restart();
    cr_assert_eq(resolve(), WF_OK, "%s", err.text);
    cr_expect_eq(stream.value_id, 7);
    stub_stop(&stub); /* nobody listens */
    restart();
    cr_assert_eq(resolve_within(1000), WF_OK, "%s", err.text);
    cr_expect_eq(stream.value_id, 7);
    stream.value_schema = INT_FIELD;
    cr_expect_eq(resolve_within(50), WF_AGAIN, "a new schema waits");
}

Test(registry_restart, registers_again_what_the_registry_lost)
{
    SERVE({.status = 200, .body = "{\"id\":7}"}, NO_SCHEMA, NO_SUBJECT,
          {.status = 200, .body = "{\"id\":1}"});
    cr_assert_eq(resolve(), WF_OK);
    restart();
    cr_assert_eq(resolve(), WF_OK, "%s", err.text);
    cr_expect_eq(stream.value_id, 1);
}

Test(registry_restart, compares_with_its_own_last_text)
{
    SERVE({.status = 200, .body = "{\"id\":7}"}, NO_SUBJECT);
    stream.value_schema = INT_FIELD;
    cr_assert_eq(resolve(), WF_OK);
    restart();
    stream.value_schema = WITH_TYPE("string");
    expect_reject("semantic_change", "a: int becomes string");
}

/* Another copy of the registry numbers differently, and has the old number, too. */
Test(registry_restart, pins_a_keys_id)
{
    SERVE({.status = 200, .body = "{\"id\":6}"}, {.status = 200, .body = "{\"id\":7}"},
          {.status = 200, .body = "{\"id\":60}"},
          {.status = 200, .body = "{\"schema\":\"" KEY_ANSWER "\"}"},
          {.status = 200, .body = "{\"id\":70}"});
    stream.key_schema = KEY;
    cr_assert_eq(resolve(), WF_OK);
    snprintf(url, sizeof(url), "http://localhost:%d", stub.port);
    restart();
    cr_assert_eq(resolve(), WF_OK, "%s", err.text);
    cr_expect_eq(stream.key_id, 6);
    cr_expect_eq(stream.value_id, 70, "a value's id is not pinned");
    expect_path(3, "GET /schemas/ids/6 HTTP/1.1");
}

Test(registry_restart, lets_go_of_a_keys_id_that_is_gone)
{
    SERVE({.status = 200, .body = "{\"id\":6}"}, {.status = 200, .body = "{\"id\":7}"},
          {.status = 200, .body = "{\"id\":60}"}, NO_SCHEMA,
          {.status = 200, .body = "{\"id\":70}"});
    stream.key_schema = KEY;
    cr_assert_eq(resolve(), WF_OK);
    snprintf(url, sizeof(url), "http://localhost:%d", stub.port);
    restart();
    cr_assert_eq(resolve(), WF_OK, "%s", err.text);
    cr_expect_eq(stream.key_id, 60);
}

/* ---- the command line's calls ------------------------------------------------------------- */

static char findings[1024];

static void report(void *arg, const char *level, const char *what, const char *cure)
{
    (void)arg;
    snprintf(findings + strlen(findings), sizeof(findings) - strlen(findings), "%s: %s; %s\n",
             level, what, cure ? cure : "-");
}

Test(registry, tells_check_whether_it_answers)
{
    SERVE({.status = 200, .body = "{\"compatibilityLevel\":\"BACKWARD\"}"}, {.status = 401});
    wf_registry_check(&conf, report, NULL);
    cr_expect(strncmp(findings, "ok: ", 4) == 0 && strstr(findings, "BACKWARD"), "%s", findings);
    cr_expect(stub_has_line(&stub.got[0], "GET /config HTTP/1.1"), "%s", stub.got[0].head);

    findings[0] = '\0';
    wf_registry_check(&conf, report, NULL);
    cr_expect(strncmp(findings, "error: ", 7) == 0, "%s", findings);
    cr_expect(strstr(findings, "401") && strstr(findings, "format.registry_user"), "%s", findings);
}

Test(registry, brings_a_schema_by_its_id)
{
    char *text = NULL;

    SERVE({.status = 200, .body = "{\"schema\":\"{\\\"type\\\":\\\"string\\\"}\"}"},
          {.status = 404, .body = "{\"error_code\":40403,\"message\":\"Schema not found\"}"},
          {.status = 200, .body = "<html>"});
    cr_assert_eq(wf_registry_schema(&conf, 7, &text, &err), WF_OK, "%s", err.text);
    cr_expect_str_eq(text, "{\"type\":\"string\"}");
    cr_expect(stub_has_line(&stub.got[0], "GET /schemas/ids/7 HTTP/1.1"));
    free(text);
    cr_expect_eq(wf_registry_schema(&conf, 9, &text, &err), WF_REJECT);
    cr_expect(strstr(err.text, "no schema 9") && strstr(err.text, "404"), "%s", err.text);
    cr_expect_null(text);
    cr_expect_eq(wf_registry_schema(&conf, 9, &text, &err), WF_REJECT);
    cr_expect_null(text);
}
