/* Composites as records, hstore as a map. */
#include <criterion/criterion.h>

#include "config.h"
#include "event_schema.h"
#include "nested_kit.h"
#include "type_tree.h"

static struct wf_type_in addr_fields[] = {
    {.oid = 25, .typmod = -1, .kind = 'b', .field_name = "street"},
    {.oid = 23, .typmod = -1, .kind = 'b', .field_name = "no"}};
static const struct wf_type_in addr = {.oid = 70000,
                                       .typmod = -1,
                                       .kind = 'c',
                                       .name = "addr",
                                       .text_name = "addr",
                                       .schema = "public",
                                       .sub = addr_fields,
                                       .nsub = 2};

#define ADDR_FIELDS                                                                                \
    "\"fields\":[{\"name\":\"street\",\"type\":[\"null\",\"string\"],\"default\":null},"           \
    "{\"name\":\"no\",\"type\":[\"null\",\"int\"],\"default\":null}],"                             \
    "\"connect.name\":\"walferry.composite.public.addr\"}"

Test(types_record, fields_are_nullable_and_quotes_are_undone)
{
    static const char *const v[][2] = {
        {"(main,5)", "0208"
                     "6d61696e"
                     "020a"},
        {"(\"main \"\"st\"\"\",5)", "0212"
                                    "6d61696e2022737422"
                                    "020a"},
        {"(\"a\\\\b, (c)\",)", "0210"
                               "615c622c20286329"
                               "00"},
        {"(,)", "0000"},
        {"(\"\",0)", "0200"
                     "0200"},
    };
    static const char *const bad[] = {"",      "(",       "()",     "(a)",       "(a,1,2)",
                                      "(a,1",  "a,1)",    "(a,1))", "(\"a,1)",   "(\"a\"b,1)",
                                      "(a,x)", "(a,\"1)", "(a,1)x", "(a\"\",1)", "((a,1)"};
    struct nested n = nested_open(&addr);

    cr_expect_eq(n.rc, WF_RESOLVED);
    cr_expect_str_eq(nested_schema(&n), "{\"type\":\"record\",\"name\":\"addr\",\"namespace\":"
                                        "\"walferry.composite.public\"," ADDR_FIELDS);
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        const char *hex = nested_put(&n, v[i][0]);

        cr_expect_str_eq(hex ? hex : "refused", v[i][1], "%s: %s", v[i][0], hex);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect(!nested_put(&n, bad[i]) && n.why == WF_CONV_BAD, "%s", bad[i]);
    cr_expect_str_eq(nested_zero(&n), "0000");
    cr_expect_null(nested_toast(&n));
    nested_close(&n);
}

/* person(addrs addr[], home addr): in the text each level quotes and escapes the one below. */
static struct nested open_person(const struct wf_type_modes *modes)
{
    static struct wf_type_in array, fields[2], person;

    array = (struct wf_type_in){
        .kind = 'a', .typmod = -1, .sub = &addr, .nsub = 1, .field_name = "addrs"};
    fields[0] = array;
    fields[1] = addr;
    fields[1].field_name = "home";
    person = (struct wf_type_in){.oid = 70001,
                                 .typmod = -1,
                                 .kind = 'c',
                                 .name = "person",
                                 .text_name = "person",
                                 .schema = "public",
                                 .sub = fields,
                                 .nsub = 2,
                                 .modes = modes};
    return nested_open(&person);
}

Test(types_record, nested_in_arrays_and_records)
{
    struct nested n = open_person(NULL);
    const char *hex;

    cr_expect_str_eq(
        nested_schema(&n),
        "{\"type\":\"record\",\"name\":\"person\",\"namespace\":\"walferry.composite.public\","
        "\"fields\":[{\"name\":\"addrs\",\"type\":[\"null\",{\"type\":\"array\",\"items\":"
        "[\"null\",{\"type\":\"record\",\"name\":\"addr\"," ADDR_FIELDS "]}],\"default\":null},"
        "{\"name\":\"home\",\"type\":[\"null\",\"addr\"],\"default\":null}],"
        "\"connect.name\":\"walferry.composite.public.person\"}");
    hex = nested_put(
        &n, "(\"{\"\"(\\\\\"\"a b\\\\\"\",1)\"\",NULL}\",\"(\"\"x \"\"\"\"y\"\"\"\"\"\",)\")");
    cr_expect_str_eq(hex ? hex : "refused", "02"
                                            "04"
                                            "02"
                                            "0206612062"
                                            "0202"
                                            "00"
                                            "00"
                                            "02"
                                            "020a7820227922"
                                            "00");
    nested_close(&n);
}

Test(types_record, room_is_an_upper_bound)
{
    struct nested n = open_person(NULL);
    const char text[] = "(\"{\"\"(a,1)\"\",\"\"(,)\"\",NULL,\"\"(,2)\"\"}\",\"(,)\")";

    cr_expect(nested_fits(&n, text, sizeof(text) - 1));
    nested_close(&n);
}

/* Debezium knows no composites. */
Test(types_record, strict_leaves_it_out)
{
    static const struct wf_type_modes strict = {.profile = WF_PROFILE_STRICT,
                                                .placeholder = WF_TOAST_PLACEHOLDER};
    struct nested n = open_person(&strict);

    cr_expect_eq(n.rc, WF_RESOLVED_OMIT);
    nested_close(&n);
}

/* Two fields with one Avro name fit in no record: the text is carried. */
Test(types_record, fields_that_collide)
{
    struct wf_type_in fields[] = {{.oid = 23, .typmod = -1, .kind = 'b', .field_name = "a b"},
                                  {.oid = 23, .typmod = -1, .kind = 'b', .field_name = "a-b"}};
    struct wf_type_in in = addr;
    struct nested n;

    in.sub = fields;
    n = nested_open(&in);
    cr_expect_eq(n.rc, WF_RESOLVED_TEXT);
    cr_expect_str_eq(nested_schema(&n), "{\"type\":\"string\",\"walferry.pg.type\":\"addr\"}");
    nested_close(&n);
}

/* "a b" and "a-b" are two types. */
Test(types_record, odd_names_stay_apart)
{
    struct wf_type_in in = addr;
    struct nested a, b;

    in.name = "a b";
    a = nested_open(&in);
    in.name = "a-b";
    b = nested_open(&in);
    cr_expect_str_neq(a.t.avro.record_name, b.t.avro.record_name);
    cr_expect_eq(strncmp(a.t.avro.record_name, "walferry.composite.public.a_b_", 30), 0);
    nested_close(&a);
    nested_close(&b);
}

Test(types_record, defined_once_in_a_text)
{
    struct nested a = nested_open(&addr), b = nested_open(&addr);
    const struct wf_schema_field fields[] = {{.name = "a", .type = &a.t_heap->avro},
                                             {.name = "b", .type = &b.t_heap->avro}};
    struct wf_buf out;

    wf_buf_init(&out, 65536);
    wf_schema_key(&out, "srv.public.t", fields, 2);
    wf_buf_byte(&out, '\0');
    cr_expect_not_null(
        strstr((char *)out.data, "{\"name\":\"b\",\"type\":\"walferry.composite.public.addr\"}"));
    wf_buf_deinit(&out);
    nested_close(&a);
    nested_close(&b);
}

/* The catalog's tree and what the table reads are the same; one block holds it. */
Test(types_record, tree_is_copied_whole)
{
    struct wf_catalog_type fields[] = {{.kind = 'b',
                                        .oid = 70002,
                                        .typmod = -1,
                                        .name = "mood",
                                        .type_name = "mood",
                                        .enum_labels = "sad,ok",
                                        .field = "m"},
                                       {.kind = 'b',
                                        .domain = true,
                                        .oid = 1700,
                                        .typmod = 10 << 16 | 6,
                                        .name = "numeric",
                                        .type_name = "price",
                                        .field = "p"}};
    struct wf_catalog_type pair = {.kind = 'c',
                                   .oid = 70003,
                                   .typmod = -1,
                                   .schema = "public",
                                   .name = "pair",
                                   .type_name = "pair",
                                   .sub = fields,
                                   .nsub = 2};
    struct wf_catalog_type array = {.kind = 'a',
                                    .oid = 70004,
                                    .typmod = -1,
                                    .name = "_pair",
                                    .type_name = "_pair",
                                    .sub = &pair,
                                    .nsub = 1};
    struct wf_type_in *in = wf_type_tree_new(&array);
    struct nested n;

    cr_assert_not_null(in);
    cr_expect_str_eq(in->text_name, "pair[]");
    cr_expect_str_eq(in->sub->sub[1].text_name, "price");
    cr_expect(in->sub->sub[1].domain);
    n = nested_open(in);
    cr_expect_eq(n.rc, WF_RESOLVED);
    cr_expect_str_eq(nested_put(&n, "{\"(ok,1.50)\"}"), "0202"
                                                        "02046f6b"
                                                        "02040096"
                                                        "00");
    nested_close(&n);
    free(in);
}

Test(types_record, hstore_as_a_map)
{
    static const struct wf_type_modes map = {.profile = WF_PROFILE_DEBEZIUM,
                                             .hstore = WF_HSTORE_MAP,
                                             .unknown = true,
                                             .placeholder = WF_TOAST_PLACEHOLDER};
    static const char *const bad[] = {
        "\"a\"",         "\"a\"=>",        "\"a\"=>1",   "\"a\"=>NUL", "a=>b",
        "\"a\"=>\"b\",", "\"a\"=>\"b\", ", "\"a\"=>\"b", "\"a\\",      "\"a\"=>\"b\"\"c\"=>\"d\""};
    struct nested n = nested_scalar(70000, "hstore", &map);

    cr_expect_str_eq(nested_schema(&n), "{\"type\":\"map\",\"values\":[\"null\",\"string\"]}");
    cr_expect_str_eq(nested_put(&n, "\"a\"=>\"1\", \"b c\"=>NULL, \"q\\\"t\"=>\"x=>y\""),
                     "06"
                     "0261"
                     "020231"
                     "06622063"
                     "00"
                     "06712274"
                     "0208783d3e79"
                     "00");
    cr_expect_str_eq(nested_put(&n, ""), "00");
    cr_expect_str_eq(nested_zero(&n), "00");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect(!nested_put(&n, bad[i]) && n.why == WF_CONV_BAD, "%s", bad[i]);
    cr_expect(nested_fits(&n, "\"\"=>\"\"", 6));
    cr_expect_eq(strncmp(nested_toast(&n), "02385f5f", 8), 0);
    nested_close(&n);
}
