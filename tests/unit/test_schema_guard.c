#include <criterion/criterion.h>
#include <stdio.h>

#include "schema_guard.h"

static char texts[2][4096];

/* An envelope around one row; a column is `"type":...` with what else its field has. */
static const char *envelope(unsigned i, const char *columns, const char *more)
{
    snprintf(texts[i], sizeof(texts[i]),
             "{\"type\":\"record\",\"name\":\"Envelope\",\"namespace\":\"s.t\",\"fields\":[{"
             "\"name\":\"before\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"Value\","
             "\"fields\":[%s],\"connect.name\":\"s.t.Value\"}],\"default\":null},"
             "{\"name\":\"after\",\"type\":[\"null\",\"Value\"],\"default\":null}]%s}",
             columns, more);
    return texts[i];
}

#define COL(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define OPT(name, type) "{\"name\":\"" name "\",\"type\":[\"null\"," type "],\"default\":null}"
#define NAMED(base, name)                                                                          \
    "{\"type\":\"" base "\",\"connect.version\":1,\"connect.name\":\"" name "\"}"
#define LOGICAL(base, name) "{\"type\":\"" base "\",\"logicalType\":\"" name "\"}"
#define BOTH(base, name, logical)                                                                  \
    "{\"type\":\"" base "\",\"connect.name\":\"" name "\",\"logicalType\":\"" logical "\"}"
#define DECIMAL(p, s)                                                                              \
    "{\"type\":\"bytes\",\"scale\":" s ",\"precision\":" p ",\"logicalType\":\"decimal\"}"
#define RECORD(name, fields) "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[" fields "]}"

struct change {
    const char *before, *after;
    const char *said; /* NULL: it passes */
};

static void expect(const struct change *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct wf_err err = {0};
        enum wf_rc rc =
            wf_guard_check(envelope(0, c[i].before, ""), envelope(1, c[i].after, ""), false, &err);

        cr_expect_eq(rc, c[i].said ? WF_REJECT : WF_OK, "%s -> %s: %s", c[i].before, c[i].after,
                     err.text);
        if (c[i].said)
            cr_expect_str_eq(err.text, c[i].said);
    }
}

#define EXPECT(...)                                                                                \
    static const struct change rows[] = {__VA_ARGS__};                                             \
    expect(rows, sizeof(rows) / sizeof(rows[0]))

Test(schema_guard, lets_pass_what_keeps_its_meaning)
{
    EXPECT(
        {COL("a", "\"int\""), COL("a", "\"int\""), NULL},
        {COL("a", "\"int\""), COL("a", "\"int\"") "," OPT("b", "\"string\""), NULL},
        {COL("a", "\"int\"") "," OPT("b", "\"string\""), COL("a", "\"int\""), NULL},
        {COL("a", "\"int\""), COL("a", "\"long\""), NULL},
        {OPT("a", "\"float\""), COL("a", "\"double\""), NULL},
        {COL("a", "\"int\""), OPT("a", "\"int\""), NULL},
        {COL("a", DECIMAL("10", "2")), COL("a", DECIMAL("12", "2")), NULL},
        {COL("a", "\"int\"") "," COL("b", "\"string\""),
         COL("b", "\"string\"") "," COL("a", "\"int\""), NULL},
        {COL("a", NAMED("long", "io.debezium.time.MicroTimestamp")),
         COL("a", BOTH("long", "io.debezium.time.MicroTimestamp", "local-timestamp-micros")), NULL},
        {COL("a", NAMED("int", "io.debezium.time.Date")), COL("a", LOGICAL("int", "date")), NULL},
        {COL("a", "{\"type\":\"int\",\"connect.type\":\"int16\"}"), COL("a", "\"int\""), NULL},
        {COL("a", "\"int\""), COL("b", "\"string\""), NULL},
        {COL("a", "{\"type\":\"array\",\"items\":[\"null\",\"int\"]}"),
         COL("a", "{\"type\":\"array\",\"items\":[\"null\",\"long\"]}"), NULL});
}

Test(schema_guard, refuses_another_meaning_under_an_old_name)
{
    EXPECT({COL("a", DECIMAL("10", "2")), COL("a", DECIMAL("10", "4")),
            "a: decimal of scale 2 becomes decimal of scale 4"},
           {COL("a", NAMED("long", "io.debezium.time.Timestamp")),
            COL("a", BOTH("long", "io.debezium.time.MicroTimestamp", "local-timestamp-micros")),
            "a: long (timestamp in milliseconds) becomes long (timestamp in microseconds, local)"},
           {COL("a", LOGICAL("long", "timestamp-millis")),
            OPT("a", LOGICAL("long", "timestamp-micros")),
            "a: long (timestamp in milliseconds) becomes long (timestamp in microseconds)"},
           {COL("a", LOGICAL("long", "timestamp-micros")),
            COL("a", LOGICAL("long", "local-timestamp-micros")),
            "a: long (timestamp in microseconds) becomes long (timestamp in microseconds, local)"},
           {COL("a", "\"string\""), COL("a", NAMED("string", "io.debezium.data.Json")),
            "a: string becomes string (io.debezium.data.Json)"},
           {COL("a", "\"int\""), COL("a", "\"string\""), "a: int becomes string"},
           {COL("a", "\"long\""), COL("a", "\"int\""), "a: long becomes int"},
           {COL("a", "\"int\""), COL("a", "\"double\""), "a: int becomes double"},
           {COL("a", "\"int\""), COL("a", NAMED("long", "io.debezium.time.MicroTime")),
            "a: int becomes long (time in microseconds)"},
           {COL("a", "{\"type\":\"array\",\"items\":\"int\"}"),
            COL("a", "{\"type\":\"array\",\"items\":\"string\"}"), "a: int becomes string"},
           {COL("a", "{\"type\":\"map\",\"values\":\"int\"}"),
            COL("a", "{\"type\":\"map\",\"values\":\"string\"}"), "a: int becomes string"},
           {COL("a", RECORD("addr", COL("b", "\"int\""))),
            COL("a", RECORD("addr", COL("b", "\"string\""))), "a.b: int becomes string"},
           {COL("a", RECORD("addr", COL("b", "\"int\""))),
            COL("a", RECORD("point", COL("b", "\"int\""))), "a: record addr becomes record point"},
           {COL("a", "[\"int\",\"string\"]"), COL("a", "[\"int\",\"string\",\"long\"]"),
            "a: a union gets other branches"});
}

Test(schema_guard, takes_a_field_gone_and_one_new_of_its_type_for_a_rename)
{
    EXPECT({COL("a", "\"int\"") "," COL("b", "\"string\""),
            COL("a", "\"int\"") "," COL("c", "\"string\""),
            "b is gone and c is new, both string: a rename"},
           {OPT("a", "\"int\""), COL("b", "\"int\""), "a is gone and b is new, both int: a rename"},
           {COL("a", "\"long\""), COL("b", NAMED("long", "io.debezium.time.MicroTime")), NULL});
}

Test(schema_guard, refuses_another_profile)
{
    struct wf_err err;
    const char *row = ",\"walferry.profile\":\"row\"", *native = ",\"walferry.profile\":\"native\"";
    const char *a = COL("a", "\"int\"");

    cr_expect_eq(wf_guard_check(envelope(0, a, row), envelope(1, a, row), false, &err), WF_OK);
    cr_expect_eq(wf_guard_check(envelope(0, a, row), envelope(1, a, native), false, &err),
                 WF_REJECT);
    cr_expect_str_eq(err.text, "profile row becomes profile native");
    cr_expect_eq(wf_guard_check(envelope(0, a, ""), envelope(1, a, native), false, &err),
                 WF_REJECT);
    cr_expect_str_eq(err.text, "profile with Debezium's envelope becomes profile native");
}

Test(schema_guard, lets_no_key_change)
{
    struct wf_err err;

    cr_expect_eq(wf_guard_check(RECORD("Key", COL("a", "\"int\"")),
                                RECORD("Key", COL("a", "\"int\"")), true, &err),
                 WF_OK);
    cr_expect_eq(wf_guard_check("{\"name\":\"Key\",\"type\":\"record\",\"fields\":[]}",
                                RECORD("Key", ""), true, &err),
                 WF_OK, "the order of properties is none of a key's");
    cr_expect_eq(wf_guard_check(RECORD("Key", COL("a", "\"int\"")),
                                RECORD("Key", COL("a", "\"long\"")), true, &err),
                 WF_REJECT);
    cr_expect_str_eq(err.text, "the key changes: a: int becomes long");
    cr_expect_eq(wf_guard_check(RECORD("Key", COL("a", "\"int\"")),
                                RECORD("Key", COL("a", "\"int\"") "," COL("b", "\"int\"")), true,
                                &err),
                 WF_REJECT);
    cr_expect_str_eq(err.text, "the key changes: b is new");
}

Test(schema_guard, survives_what_is_no_schema)
{
    static const char *const foreign[] = {
        "",
        "{",
        "<html>",
        "[]",
        "{}",
        "7",
        "\"string\"",
        "{\"type\":\"record\"}",
        "{\"type\":\"record\",\"fields\":[{},7,{\"name\":7}]}",
        "{\"type\":\"record\",\"name\":\"a.b.C\",\"fields\":[{\"name\":\"x\",\"type\":\"C\"}]}",
        "{\"type\":{\"type\":{\"type\":\"enum\",\"name\":\"E\"}}}",
        "{\"type\":\"array\"}",
        "[\"null\"]",
        "{\"type\":\"fixed\",\"name\":\"F\",\"size\":\"x\"}",
    };
    struct wf_buf out;
    struct wf_err err;

    wf_buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        for (size_t k = 0; k < sizeof(foreign) / sizeof(foreign[0]); k++) {
            wf_guard_check(foreign[i], foreign[k], i & 1, &err);
            wf_guard_diff(foreign[i], foreign[k], &out);
            wf_guard_same(foreign[i], foreign[k]);
            wf_guard_record_name(foreign[i], &out);
        }
    wf_buf_deinit(&out);
    cr_expect_eq(wf_guard_check("<html>", "\"int\"", false, &err), WF_REJECT);
}

/* A list of itself, and one nested deeper than anything of ours. */
Test(schema_guard, ends_on_recursion_and_depth)
{
    const char *list = RECORD("L", OPT("next", "\"L\"") "," COL("v", "\"int\""));
    char deep[4000] = "";
    struct wf_err err;

    cr_expect_eq(wf_guard_check(list, list, false, &err), WF_OK);
    for (int i = 0; i < 100; i++)
        strcat(deep, "{\"type\":\"array\",\"items\":");
    strcat(deep, "\"int\"");
    for (int i = 0; i < 100; i++)
        strcat(deep, "}");
    cr_expect_eq(wf_guard_check(deep, deep, false, &err), WF_REJECT);
}

Test(schema_guard, lists_every_difference)
{
    struct wf_buf out;

    wf_buf_init(&out, 4096);
    wf_guard_diff(envelope(0, COL("a", "\"int\"") "," COL("b", "\"int\""), ""),
                  envelope(1, COL("a", "\"long\"") "," OPT("c", "\"string\""), ""), &out);
    wf_buf_byte(&out, '\0');
    cr_expect_str_eq((char *)out.data, "a: int becomes long, b is gone, c is new");
    wf_buf_deinit(&out);
}

Test(schema_guard, finds_a_records_full_name)
{
    static const struct {
        const char *text, *name;
    } rows[] = {
        {"{\"type\":\"record\",\"name\":\"Key\",\"namespace\":\"s.t\",\"fields\":[]}", "s.t.Key"},
        {"{\"type\":\"record\",\"name\":\"s.t.Key\",\"fields\":[]}", "s.t.Key"},
        {"{\"type\":\"record\",\"name\":\"Key\",\"fields\":[]}", "Key"},
    };
    struct wf_buf out;

    wf_buf_init(&out, 100);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        wf_buf_reset(&out);
        cr_expect(wf_guard_record_name(rows[i].text, &out));
        wf_buf_byte(&out, '\0');
        cr_expect_str_eq((char *)out.data, rows[i].name);
    }
    wf_buf_reset(&out);
    cr_expect_not(wf_guard_record_name("\"string\"", &out));
    wf_buf_deinit(&out);
}
