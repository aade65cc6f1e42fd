#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"

static int saved_stderr, captured;
static char text[32768];

/* Standard error goes to a file without a name while a test logs. */
static void capture(void)
{
    captured = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    cr_assert_geq(captured, 0);
    saved_stderr = dup(STDERR_FILENO);
    dup2(captured, STDERR_FILENO);
}

static const char *logged(void)
{
    ssize_t n = pread(captured, text, sizeof(text) - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    if (ftruncate(captured, 0) < 0 || lseek(captured, 0, SEEK_SET) < 0)
        text[0] = '\0';
    return text;
}

static void release(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(captured);
}

TestSuite(log, .init = capture, .fini = release);

/* "ts=2024-02-29T12:00:00.000Z level=..." without the time */
static const char *after_time(const char *line)
{
    unsigned ms;

    cr_expect_eq(sscanf(line, "ts=%*4d-%*2d-%*2dT%*2d:%*2d:%*2d.%3uZ", &ms), 1, "%s", line);
    return strchr(line, ' ') + 1;
}

static json_t *json_line(void)
{
    json_t *json = json_loads(logged(), JSON_REJECT_DUPLICATES, NULL);

    cr_assert_not_null(json, "%s", text);
    cr_expect_eq(strchr(text, '\n'), text + strlen(text) - 1, "one line");
    return json;
}

static const char *field(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

Test(log, writes_one_event_as_one_line_of_pairs)
{
    wf_log_setup(WF_LOG_INFO, false, "shop");
    wf_log(WF_LOG_WARN, "slot_lag", "lsn=0/16B3748 retry_ms=2000", "%d bytes behind", 7);
    cr_expect_str_eq(after_time(logged()), "level=warn pipeline=shop code=slot_lag lsn=0/16B3748 "
                                           "retry_ms=2000 msg=\"7 bytes behind\"\n");
    wf_log_setup(WF_LOG_INFO, false, NULL);
    wf_log(WF_LOG_ERROR, "x", NULL, "y");
    cr_expect_str_eq(after_time(logged()), "level=error code=x msg=\"y\"\n");
}

Test(log, writes_json_with_a_member_for_each_pair)
{
    json_t *json;

    wf_log_setup(WF_LOG_INFO, true, "shop");
    wf_log(WF_LOG_WARN, "slot_lag", "lsn=0/16B3748 retry_ms=2000", "%d bytes behind", 7);
    json = json_line();
    cr_expect_eq(json_object_size(json), 7);
    cr_expect_not_null(field(json, "ts"));
    cr_expect_str_eq(field(json, "level"), "warn");
    cr_expect_str_eq(field(json, "pipeline"), "shop");
    cr_expect_str_eq(field(json, "code"), "slot_lag");
    cr_expect_str_eq(field(json, "lsn"), "0/16B3748");
    cr_expect_str_eq(field(json, "retry_ms"), "2000");
    cr_expect_str_eq(field(json, "msg"), "7 bytes behind");
    json_decref(json);
}

Test(log, keeps_an_event_on_one_line_whatever_it_says)
{
    json_t *json;

    wf_log_setup(WF_LOG_INFO, false, NULL);
    wf_log(WF_LOG_INFO, "x", NULL, "%s", "a \"b\"\nlevel=error c\\\x1b[31m");
    cr_expect_str_eq(after_time(logged()),
                     "level=info code=x msg=\"a \\\"b\\\"\\nlevel=error c\\\\\\u001b[31m\"\n");

    wf_log_setup(WF_LOG_INFO, true, NULL);
    wf_log(WF_LOG_INFO, "x", NULL, "%s", "a \"b\"\n\x1b");
    json = json_line();
    cr_expect_str_eq(field(json, "msg"), "a \"b\"\n\x1b");
    json_decref(json);
}

/* A sentence cut inside a character, or a server that speaks Latin-1, is still valid JSON. */
Test(log, writes_valid_utf8_whatever_it_is_given)
{
    static const char *const rows[][2] = {
        {"caf\xe9 \xc3", "caf\xef\xbf\xbd \xef\xbf\xbd"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xe2\x82x", "\xef\xbf\xbd\xef\xbf\xbdx"},
        {"\xc0\xafx", "\xef\xbf\xbd\xef\xbf\xbdx"},                               /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* too large */
    };

    wf_log_setup(WF_LOG_INFO, true, NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *json;

        wf_log(WF_LOG_INFO, "x", NULL, "%s", rows[i][0]);
        json = json_line();
        cr_expect_str_eq(field(json, "msg"), rows[i][1], "row %zu", i);
        json_decref(json);
    }
}

Test(log, cuts_a_long_sentence_and_ends_the_line)
{
    static char control[5000];
    json_t *json;

    memset(control, 1, sizeof(control) - 1); /* each takes six characters */
    wf_log_setup(WF_LOG_INFO, true, NULL);
    wf_log(WF_LOG_INFO, "x", "a=1", "%s", control);
    json = json_line();
    cr_expect_gt(strlen(field(json, "msg")), 1000);
    json_decref(json);
}

Test(log, leaves_out_what_is_below_its_level)
{
    static const enum wf_level levels[] = {WF_LOG_ERROR, WF_LOG_WARN, WF_LOG_INFO, WF_LOG_DEBUG};

    for (int set = 0; set < 4; set++) {
        wf_log_setup(levels[set], false, NULL);
        for (int level = 0; level < 4; level++) {
            wf_log(levels[level], "x", NULL, "y");
            cr_expect_eq(logged()[0] != '\0', level <= set);
            cr_expect_eq(wf_log_enabled(levels[level]), level <= set);
        }
    }
}

Test(log, survives_a_closed_standard_error)
{
    close(STDERR_FILENO);
    wf_log_setup(WF_LOG_INFO, false, NULL);
    wf_log(WF_LOG_ERROR, "x", NULL, "nobody hears this");
}
