#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "option.h"
#include "secret.h"

struct conf {
    char *text, *secret, *dflt;
    bool flag;
    int64_t count, bytes, wait_ms;
    int kind;
    struct wf_list list;
    struct wf_map map;
};

static const char *const kinds[] = {"avro", "json", NULL};

/* clang-format off */
#define FIELD(f) .field = offsetof(struct conf, f)
static const struct wf_opt opts[] = {
    {.key = "text", .type = WF_OPT_STR, FIELD(text)},
    {.key = "secret", .type = WF_OPT_SECRET, FIELD(secret)},
    {.key = "dflt", .type = WF_OPT_STR, .dflt = "here", FIELD(dflt)},
    {.key = "flag", .type = WF_OPT_BOOL, .dflt = "on", FIELD(flag)},
    {.key = "count", .type = WF_OPT_INT, .min = "-1", .max = "10", FIELD(count)},
    {.key = "bytes", .type = WF_OPT_SIZE, .dflt = "64KiB", .max = "1GiB", FIELD(bytes)},
    {.key = "linger", .type = WF_OPT_TIME, .dflt = "5ms", .min = "1ms", .max = "1s",
     FIELD(wait_ms)},
    {.key = "kind", .type = WF_OPT_ENUM, .dflt = "json", .choices = kinds, FIELD(kind)},
    {.key = "list", .type = WF_OPT_LIST, .dflt = "*.*", FIELD(list)},
    {.key = "map", .type = WF_OPT_MAP, FIELD(map)},
    {.key = NULL},
};
/* clang-format on */

static struct conf conf;
static struct wf_err err;

static void make(void)
{
    conf = (struct conf){0};
    cr_assert_eq(wf_opts_defaults(opts, &conf, &err), WF_OK);
}

static void destroy(void)
{
    wf_opts_free(opts, &conf);
}

TestSuite(option, .init = make, .fini = destroy);

static enum wf_rc set(const char *key, const char *text)
{
    char name[64];

    snprintf(name, sizeof(name), "sink.%s", key);
    err.text[0] = '\0';
    return wf_opt_set(wf_opt_find(opts, key), &conf, name, text, &err);
}

static void expect_refused(const char *key, const char *text, const char *message)
{
    cr_expect_eq(set(key, text), WF_FATAL, "%s: %s", key, text);
    cr_expect_eq(err.exit_code, WF_EXIT_CONFIG);
    cr_expect_str_eq(err.text, message);
}

static void expect_printed(const char *key, const char *wanted)
{
    struct wf_buf out;

    wf_buf_init(&out, 4096);
    cr_expect(wf_opt_print(wf_opt_find(opts, key), &conf, &out), "%s is unset", key);
    wf_buf_byte(&out, '\0');
    cr_expect_str_eq((char *)out.data, wanted);
    wf_buf_deinit(&out);
}

Test(option, defaults_are_parsed_like_values)
{
    cr_expect_null(conf.text);
    cr_expect_str_eq(conf.dflt, "here");
    cr_expect(conf.flag);
    cr_expect_eq(conf.bytes, 65536);
    cr_expect_eq(conf.wait_ms, 5);
    cr_expect_eq(conf.kind, 1);
    cr_assert_eq(conf.list.n, 1);
    cr_expect_str_eq(conf.list.items[0], "*.*");
    cr_expect_eq(conf.map.n, 0);
}

Test(option, sizes_and_times_have_units)
{
    static const struct {
        const char *key, *text;
        int64_t value;
    } rows[] = {
        {"bytes", "512", 512},      {"bytes", "64KiB", 65536},    {"bytes", "64 KiB", 65536},
        {"bytes", "8MiB", 8 << 20}, {"bytes", "1GiB", 1 << 30},   {"bytes", "3kB", 3000},
        {"bytes", "2MB", 2000000},  {"bytes", "1GB", 1000000000}, {"bytes", "7B", 7},
        {"bytes", "0", 0},          {"linger", "500ms", 500},     {"linger", "1s", 1000},
        {"linger", "001s", 1000},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_expect_eq(set(rows[i].key, rows[i].text), WF_OK, "%s: %s", rows[i].text, err.text);
        cr_expect_eq(rows[i].key[0] == 'b' ? conf.bytes : conf.wait_ms, rows[i].value, "%s",
                     rows[i].text);
    }
}

Test(option, limits_are_told_in_the_users_units)
{
    expect_refused("linger", "30s", "sink.linger: 30s is above the maximum of 1s");
    expect_refused("linger", "0ms", "sink.linger: 0ms is below the minimum of 1ms");
    expect_refused("count", "11", "sink.count: 11 is above the maximum of 10");
    expect_refused("count", "-2", "sink.count: -2 is below the minimum of -1");
    cr_expect_eq(conf.wait_ms, 5, "a refused value must leave the field alone");
}

Test(option, a_forgotten_unit_is_suggested)
{
    expect_refused("linger", "5",
                   "sink.linger: \"5\" is not a time such as 500ms, 5s, 10m, 2h or 1d; did you "
                   "mean \"5s\"?");
    expect_refused("bytes", "64mb",
                   "sink.bytes: \"64mb\" is not a size such as 512, 64KiB or 8MiB; did you mean "
                   "\"64MiB\"?");
}

Test(option, nonsense_is_no_number)
{
    static const char *const rows[] = {"",
                                       "x",
                                       "-5s",
                                       "1.5s",
                                       "5 s s",
                                       "0x10",
                                       "9e3",
                                       "5ss",
                                       " 5s",
                                       "KiB",
                                       "--1",
                                       "99999999999999999999",
                                       "9999999999999999GiB"};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_expect_eq(set("linger", rows[i]), WF_FATAL, "%s", rows[i]);
        cr_expect_eq(set("bytes", rows[i]), WF_FATAL, "%s", rows[i]);
        cr_expect_eq(set("count", rows[i]), WF_FATAL, "%s", rows[i]);
    }
}

Test(option, switches_take_the_words_of_yaml)
{
    static const char *const on[] = {"on", "true", "yes", "On", "TRUE"};
    static const char *const off[] = {"off", "false", "no", "No"};

    for (size_t i = 0; i < 5; i++)
        cr_expect(set("flag", on[i]) == WF_OK && conf.flag, "%s", on[i]);
    for (size_t i = 0; i < 4; i++)
        cr_expect(set("flag", off[i]) == WF_OK && !conf.flag, "%s", off[i]);
    expect_refused("flag", "maybe", "sink.flag: \"maybe\" is neither on nor off");
}

Test(option, an_unknown_choice_names_them_all)
{
    expect_refused("kind", "avr",
                   "sink.kind: \"avr\" is not one of avro, json; did you mean "
                   "\"avro\"?");
    expect_refused("kind", "protobuf", "sink.kind: \"protobuf\" is not one of avro, json");
}

Test(option, empty_text_switches_off_unless_a_value_is_needed)
{
    cr_expect_eq(set("text", "x"), WF_OK);
    cr_expect_eq(set("text", ""), WF_OK);
    cr_expect_null(conf.text);
    expect_refused("dflt", "", "sink.dflt: must not be empty");
}

Test(option, messages_carry_no_control_characters_and_no_novels)
{
    char text[300];

    memset(text, 'x', sizeof(text));
    text[299] = '\0';
    text[1] = '\n';
    text[2] = '\x1b';
    cr_expect_eq(set("linger", text), WF_FATAL);
    cr_expect_null(strpbrk(err.text, "\n\x1b"));
    cr_expect_lt(strlen(err.text), 200);
    /* cut between characters, not within */
    cr_expect_str_eq(wf_shown("äääääääääääääääääääääääääääääääääääääääääääääääääääää").s,
                     "ääääääääääääääääääääääääääääääääää...");
}

Test(option, a_map_refuses_a_key_given_twice)
{
    const struct wf_opt *opt = wf_opt_find(opts, "map");
    char a[] = "a", one[] = "1";
    struct wf_map_item item = {a, one, 3, 5};

    cr_expect_eq(wf_opt_map_add(opt, &conf, "sink.map", &item, &err), WF_OK);
    item.line = 4;
    cr_expect_eq(wf_opt_map_add(opt, &conf, "sink.map", &item, &err), WF_FATAL);
    cr_expect_str_eq(err.text, "sink.map.a: given twice; first in line 3");
    cr_expect_eq(conf.map.n, 1);
    cr_expect_eq(conf.map.items[0].line, 3);
}

Test(option, values_print_as_a_user_would_write_them)
{
    set("text", "host=db user=me");
    expect_printed("text", "\"host=db user=me\"");
    set("text", "/var/lib/x");
    expect_printed("text", "/var/lib/x");
    set("text", "a$b\"c");
    expect_printed("text", "\"a$$b\\\"c\"");
    set("bytes", "1048576");
    expect_printed("bytes", "1MiB");
    set("bytes", "1000");
    expect_printed("bytes", "1000");
    set("linger", "1000ms");
    expect_printed("linger", "1s");
    set("flag", "no");
    expect_printed("flag", "off");
    expect_printed("kind", "json");
    expect_printed("list", "[\"*.*\"]");
}

Test(option, secrets_print_as_stars_wherever_they_stand)
{
    char key[] = "ssl.key.password", value[] = "hunter2";
    struct wf_map_item item = {key, value, 1, 1};

    set("secret", "hunter2");
    expect_printed("secret", "\"********\"");
    set("text", "dbname=x password=hunter2");
    expect_printed("text", "\"dbname=x password=********\"");
    set("list", "https://u:hunter2@registry");
    expect_printed("list", "[\"https://u:********@registry\"]");
    wf_opt_map_add(wf_opt_find(opts, "map"), &conf, "map", &item, &err);
    expect_printed("map", "{ssl.key.password: \"********\"}");
}

Test(option, near_keys_are_suggested_and_far_ones_not)
{
    cr_expect_str_eq(wf_opt_nearest(opts, "ligner"), "linger");
    cr_expect_str_eq(wf_opt_nearest(opts, "LINGER"), "linger");
    cr_expect_str_eq(wf_opt_nearest(opts, "kinds"), "kind");
    cr_expect_null(wf_opt_nearest(opts, "compression"));
    cr_expect_null(wf_opt_nearest(opts, ""));
    cr_expect_null(
        wf_opt_nearest(opts, "linger_linger_linger_linger_linger_linger_linger_linger_x"));
}

/* Every form libpq reads as a password (libpq, "Connection Strings"), and what is none. */
Test(secret, masks_passwords_in_connection_strings)
{
    static const struct {
        const char *text, *masked;
    } rows[] = {
        {"dbname=x", "dbname=x"},
        {"password=p", "password=********"},
        {"a=b password=p c=d", "a=b password=******** c=d"},
        {"password = p c=d", "password = ******** c=d"},
        {"password='p q' c=d", "password=******** c=d"},
        {"password='p\\' q' c=d", "password=******** c=d"},
        {"password='p q", "password=********"},
        {"password=p\\ q c", "password=******** c"},
        {"PASSWORD=p", "PASSWORD=********"},
        {"a=b\npassword=p\nsslpassword=q", "a=b\npassword=********\nsslpassword=********"},
        {"passfile=/x sslkey=/y", "passfile=/x sslkey=/y"},
        {"password=", "password="},
        {"postgresql://u:p@h/db", "postgresql://u:********@h/db"},
        {"postgresql://u:p@q@h/db", "postgresql://u:********@h/db"},
        {"postgresql://u:p/q@h/db", "postgresql://u:********@h/db"},
        {"postgresql://u@h:5432/db", "postgresql://u@h:5432/db"},
        {"postgresql://h:5432/db", "postgresql://h:5432/db"},
        {"postgresql://h/db?password=p&user=u", "postgresql://h/db?password=********&user=u"},
        {"postgresql://h/db?user=u&pass%77ord=p", "postgresql://h/db?user=u&pass%77ord=********"},
        {"postgresql://u:p@h/db?sslpassword=q",
         "postgresql://u:********@h/db?sslpassword=********"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wf_buf out;

        wf_buf_init(&out, 4096);
        wf_secret_mask(rows[i].text, &out);
        wf_buf_byte(&out, '\0');
        cr_expect_str_eq((char *)out.data, rows[i].masked);
        wf_buf_deinit(&out);
    }
}

Test(secret, knows_free_keys_by_their_name)
{
    cr_expect(wf_secret_key("sasl.password"));
    cr_expect(wf_secret_key("ssl.key.password"));
    cr_expect(wf_secret_key("ssl.key.pem"));
    cr_expect(wf_secret_key("sasl.oauthbearer.client.secret"));
    cr_expect_not(wf_secret_key("socket.keepalive.enable"));
    cr_expect_not(wf_secret_key("ssl.ca.pem"));
}
