/* Masked columns in events: whatever type hides behind the mask. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "encode_kit.h"

/* The columns of @pattern are masked; further settings of k->conf stay. */
static void open_masked(struct kit *k, char *pattern, char *spec, bool raw_text)
{
    static struct wf_map_item item;
    static struct wf_source_conf source;

    item = (struct wf_map_item){.key = pattern, .value = spec};
    source = (struct wf_source_conf){.mask = {&item, 1}, .mask_salt = "pepper"};
    k->source = &source;
    kit_start(k, WF_FRAME_NONE, 1u << 20, raw_text);
    cr_assert_eq(k->rc, WF_OK, "%s", k->err.text);
}

static const struct kit_col keyed[] = {{.name = "id", .oid = 23, .key = true, .required = true},
                                       {.name = "w", .oid = 1700}};

/* A number as key tells where the row is, unless nobody is to see it. */
Test(masks, of_a_key_hold_in_messages)
{
    static const char *const bad[] = {"4711", "bad"};
    struct kit k = {0};

    open_masked(&k, "*.*.nothing", "hash", false);
    cr_assert_eq(kit_table(&k, "public", "t", 'd', keyed, 2, "a"), WF_OK, "%s", k.err.text);
    cr_assert_eq(kit_insert(&k, bad), WF_REJECT);
    cr_expect(strstr(k.err.text, ", id = 4711)"), "%s", k.err.text);
    kit_close(&k);
    open_masked(&k, "*.*.id", "hash", false);
    cr_assert_eq(kit_table(&k, "public", "t", 'd', keyed, 2, "a"), WF_OK, "%s", k.err.text);
    cr_assert_eq(kit_insert(&k, bad), WF_REJECT);
    cr_expect(strstr(k.err.text, "public.t.w (LSN 0/5DC)"), "%s", k.err.text);
    cr_expect_not(strstr(k.err.text, "4711"), "%s", k.err.text);
    kit_close(&k);
}

static struct wf_catalog_type text_type = {
    .kind = 'b', .delim = ',', .oid = 25, .typmod = -1, .type_name = "text", .name = "text"};
static const struct wf_catalog_type texts = {.kind = 'a',
                                             .delim = ',',
                                             .oid = 1009,
                                             .typmod = -1,
                                             .type_name = "_text",
                                             .name = "_text",
                                             .sub = &text_type,
                                             .nsub = 1};
/* an array, a map, a number, a text made of a number, a record that is nullable by its type */
static const struct kit_col shapes[] = {
    {.name = "id", .oid = 23, .key = true, .required = true},
    {.name = "a", .oid = 1009, .required = true, .type_name = "_text", .tree = &texts},
    {.name = "h", .oid = 50001, .required = true, .type_name = "hstore"},
    {.name = "n", .oid = 1700, .required = true, .type_name = "numeric"},
    {.name = "m", .oid = 790, .required = true, .type_name = "money"},
    {.name = "g", .oid = 50002, .required = true, .type_name = "geometry"},
    {.name = "p", .oid = 600, .required = true, .type_name = "point"},
};
#define SHAPES 7

/* The columns behind the key, all with the same text. */
static const char *columns(const char *value)
{
    static char text[600];

    snprintf(
        text, sizeof(text),
        "{\"id\":1,\"a\":\"%s\",\"h\":\"%s\",\"n\":\"%s\",\"m\":\"%s\",\"g\":\"%s\",\"p\":\"%s\"}",
        value, value, value, value, value, value);
    return text;
}

static void expect_columns(struct kit *k, const char *value)
{
    cr_assert_eq(k->rc, WF_OK, "%s", k->err.text);
    cr_expect(strstr(kit_value(k, 0), columns(value)), "%s", kit_value(k, 0));
}

static const int decimals[] = {WF_DECIMAL_PRECISE, WF_DECIMAL_DOUBLE, WF_DECIMAL_STRING};

/* What the type would have had in its place is gone with the type. */
Test(masks, of_every_shape_are_required_strings)
{
    static const char *const sent[] = {"1", "{a}", "\"k\"=>\"v\"", "1.5", "$1.50", "00", "(1,2)"};
    static const char *const unsent[] = {"1",       UNCHANGED, UNCHANGED, UNCHANGED,
                                         UNCHANGED, UNCHANGED, UNCHANGED};
    static const char *const old[] = {"1", NULL, NULL, NULL, NULL, NULL, NULL};

    for (size_t i = 0; i < 3; i++) {
        struct kit k = {.conf = {.hstore_mode = WF_HSTORE_MAP, .decimal_mode = decimals[i]}};

        open_masked(&k, "*.*.?", "fixed ***", false);
        cr_assert_eq(kit_table(&k, "public", "t", 'd', shapes, SHAPES, "a"), WF_OK, "%s",
                     k.err.text);
        kit_insert(&k, sent);
        expect_columns(&k, "***");
        cr_expect(
            strstr(k.events.ev[0].stream->value_schema,
                   "{\"name\":\"g\",\"type\":\"string\"},{\"name\":\"p\",\"type\":\"string\"}"),
            "%s", k.events.ev[0].stream->value_schema);
        kit_change(&k, WF_CHANGE_UPDATE, WF_OLD_NONE, NULL, unsent);
        expect_columns(&k, WF_TOAST_PLACEHOLDER);
        kit_change(&k, WF_CHANGE_DELETE, WF_OLD_KEY, old, NULL);
        expect_columns(&k, "");
        kit_close(&k);
    }
}

/* A SQL_ASCII database checks nothing; a mask that shows some of the text has to. */
Test(masks, show_no_bytes_that_are_no_utf8)
{
    static const struct kit_col cols[] = {{.name = "id", .oid = 23, .key = true, .required = true},
                                          {.name = "v", .oid = 25}};
    static const char *const bad[] = {"1", "ab\xff"
                                           "cd"},
                             *const good[] = {"1", "a\xc3\xb6z"};
    struct kit k = {0};

    open_masked(&k, "*.*.v", "truncate 3", true);
    cr_assert_eq(kit_table(&k, "public", "t", 'd', cols, 2, "a"), WF_OK, "%s", k.err.text);
    cr_expect_eq(kit_insert(&k, bad), WF_REJECT);
    cr_expect_str_eq(k.err.code, "value_encoding");
    cr_assert_eq(kit_insert(&k, good), WF_OK, "%s", k.err.text);
    cr_expect(strstr(kit_value(&k, 0), "\"v\":\"a\xc3\xb6z\""), "%s", kit_value(&k, 0));
    kit_close(&k);
    k = (struct kit){0};
    open_masked(&k, "*.*.v", "fixed x", true);
    cr_assert_eq(kit_table(&k, "public", "t", 'd', cols, 2, "a"), WF_OK, "%s", k.err.text);
    cr_assert_eq(kit_insert(&k, bad), WF_OK, "%s", k.err.text);
    cr_expect(strstr(kit_value(&k, 0), "\"v\":\"x\""), "%s", kit_value(&k, 0));
    kit_close(&k);
}
