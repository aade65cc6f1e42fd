/* Arrays, geometry and vectors: a real Debezium's schema texts and bytes, and what differs. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "config.h"
#include "nested_kit.h"

static json_t *load(const char *name)
{
    char path[512];
    json_error_t why;
    json_t *j;

    snprintf(path, sizeof(path), "%s/tests/unit/fixtures/%s.json", WF_SOURCE_DIR, name);
    j = json_load_file(path, 0, &why);
    cr_assert_not_null(j, "%s: %s", path, why.text);
    return j;
}

static const char *text(const json_t *j, const char *key)
{
    return json_string_value(json_object_get(j, key));
}

static long number(const json_t *j, const char *key)
{
    return (long)json_integer_value(json_object_get(j, key));
}

/* Without what the profile adds to Debezium's schema, until that is the profile's own matter. */
static const char *without_logical(const char *schema)
{
    static const char *const added[] = {",\"logicalType\":\"time-micros\"",
                                        ",\"logicalType\":\"local-timestamp-micros\"",
                                        ",\"logicalType\":\"uuid\""};
    static char out[4096];
    size_t n = 0;

    while (*schema && n + 1 < sizeof(out)) {
        size_t i = 0;

        while (i < 3 && strncmp(schema, added[i], strlen(added[i])))
            i++;
        if (i < 3)
            schema += strlen(added[i]);
        else
            out[n++] = *schema++;
    }
    out[n] = '\0';
    return out;
}

static struct nested open_column(const json_t *c, const struct wf_type_modes *modes)
{
    struct wf_type_in el = {.oid = (uint32_t)number(c, "oid"),
                            .name = text(c, "element"),
                            .text_name = text(c, "element"),
                            .enum_labels = text(c, "labels"),
                            .typmod = -1,
                            .kind = 'b'};
    struct wf_type_in in = {.typmod = (int32_t)number(c, "typmod"),
                            .kind = 'a',
                            .text_name = "x[]",
                            .sub = &el,
                            .nsub = 1,
                            .modes = modes};

    return nested_open(&in);
}

static const struct wf_type_modes strict = {.profile = WF_PROFILE_STRICT,
                                            .time = WF_TIME_ADAPTIVE,
                                            .zoned = WF_ZONED_STRING,
                                            .interval = WF_INTERVAL_NUMERIC,
                                            .hstore = WF_HSTORE_JSON,
                                            .money_digits = 2,
                                            .placeholder = WF_TOAST_PLACEHOLDER};

Test(types_array, schemas_and_bytes_are_debezium_s)
{
    json_t *j = load("arrays"), *columns = json_object_get(j, "columns");

    for (size_t i = 0; i < json_array_size(columns); i++) {
        const json_t *c = json_array_get(columns, i);
        struct nested n = open_column(c, &strict);

        cr_expect_eq(n.rc, WF_RESOLVED, "%s", text(c, "name"));
        cr_expect_str_eq(without_logical(nested_schema(&n)), text(c, "schema"));
        if (text(c, "text"))
            cr_expect_str_eq(nested_put(&n, text(c, "text")), text(c, "avro"), "%s: %s",
                             text(c, "name"), nested_put(&n, text(c, "text")));
        nested_close(&n);
    }
    json_decref(j);
}

/* Debezium's own schema leaves no room for these values; another profile's does. */
Test(types_array, null_among_labels_is_refused_only_where_items_are_required)
{
    json_t *c = json_pack("{s:s,s:i,s:i,s:s}", "element", "mood", "oid", 70001, "typmod", -1,
                          "labels", "sad,ok");
    struct nested n = open_column(c, &strict);

    cr_expect_str_eq(nested_put(&n, "{ok,sad}"), "0404"
                                                 "6f6b"
                                                 "06"
                                                 "736164"
                                                 "00");
    cr_expect_null(nested_put(&n, "{ok,NULL}"));
    cr_expect_eq(n.why, WF_CONV_NULL);
    nested_close(&n);
    n = open_column(c, NULL);
    cr_expect_str_eq(nested_put(&n, "{ok,NULL}"), "0402"
                                                  "046f6b"
                                                  "00"
                                                  "00");
    nested_close(&n);
    json_decref(c);
}

Test(types_array, bit_array_of_debezium_never_has_a_value)
{
    json_t *c = json_pack("{s:s,s:i,s:i}", "element", "bit", "oid", 1560, "typmod", 4);
    struct nested n = open_column(c, &strict);

    cr_expect_null(nested_put(&n, "{0101,1111}"));
    cr_expect_eq(n.why, WF_CONV_NULL);
    cr_expect_str_eq(nested_zero(&n), "00");
    nested_close(&n);
    n = open_column(c, NULL);
    cr_expect_str_eq(nested_put(&n, "{0101,1111}"), "04"
                                                    "020205"
                                                    "02020f"
                                                    "00");
    nested_close(&n);
    json_decref(c);
}

Test(types_array, what_debezium_leaves_out_is_left_out_by_strict_alone)
{
    static const char *const names[] = {"interval", "xml", "varbit", "point", "money", "name"};
    static const uint32_t oids[] = {1186, 142, 1562, 600, 790, 19};

    for (size_t i = 0; i < 6; i++) {
        struct wf_type_modes modes = strict;
        json_t *c =
            json_pack("{s:s,s:i,s:i}", "element", names[i], "oid", (int)oids[i], "typmod", -1);
        struct nested n = open_column(c, &modes);

        cr_expect_eq(n.rc, WF_RESOLVED_OMIT, "%s", names[i]);
        nested_close(&n);
        modes.unknown = true;
        n = open_column(c, &modes);
        cr_expect_eq(n.rc, WF_RESOLVED_OMIT, "%s, unknown types included", names[i]);
        nested_close(&n);
        n = open_column(c, NULL);
        cr_expect_eq(n.rc, WF_RESOLVED, "%s", names[i]);
        cr_expect_str_eq(n.t.avro.base, "array");
        nested_close(&n);
        json_decref(c);
    }
}

Test(types_array, time_of_a_whole_day_is_not_zero)
{
    struct nested n = nested_array(1083, NULL);

    cr_expect_str_eq(nested_put(&n, "{24:00:00}"), "0202"
                                                   "8080bbdd8305"
                                                   "00");
    nested_close(&n);
}

struct text_case {
    const char *text, *hex;
    enum wf_conv_why why;
};

Test(types_array, text_form)
{
    static const struct text_case ints[] = {
        {"{}", "00", 0},
        {"{1}", "02020200", 0},
        {"[5:6]={1,2}", "040202020400", 0},
        {"[-2:-2]={1}", "02020200", 0},
        {"{null,NuLL}", "04000000", 0},
        {"{\"7\"}", "02020e00", 0},
        {"{{1,2},{3,4}}", NULL, WF_CONV_SHAPE},
        {"[0:0][1:1]={{1}}", NULL, WF_CONV_SHAPE},
        {"", NULL, WF_CONV_BAD},
        {"{", NULL, WF_CONV_BAD},
        {"}", NULL, WF_CONV_BAD},
        {"{1", NULL, WF_CONV_BAD},
        {"{1,}", NULL, WF_CONV_BAD},
        {"{,1}", NULL, WF_CONV_BAD},
        {"{1}}", NULL, WF_CONV_BAD},
        {"{1},2}", NULL, WF_CONV_BAD},
        {"{}}", NULL, WF_CONV_BAD},
        {"{1,\"2}", NULL, WF_CONV_BAD},
        {"{\"1\"2}", NULL, WF_CONV_BAD},
        {"{\"\\}", NULL, WF_CONV_BAD},
        {"{x}", NULL, WF_CONV_BAD},
        {"{2147483648}", NULL, WF_CONV_BAD},
        {"[1:1]{1}", NULL, WF_CONV_BAD},
        {"[1:x]={1}", NULL, WF_CONV_BAD},
        {"[", NULL, WF_CONV_BAD},
        {"[]=", NULL, WF_CONV_BAD},
    };
    struct nested n = nested_array(23, NULL);

    for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
        const char *hex = nested_put(&n, ints[i].text);

        if (ints[i].hex)
            cr_expect_str_eq(hex ? hex : "refused", ints[i].hex, "%s: %s", ints[i].text, hex);
        else
            cr_expect(!hex && n.why == ints[i].why, "%s: %s, why %d", ints[i].text, hex, n.why);
    }
    nested_close(&n);
}

Test(types_array, quotes_and_backslashes_of_texts)
{
    struct nested n = nested_array(25, NULL);

    cr_expect_str_eq(nested_put(&n, "{\"\",\"a\\\\b\",\"NULL\",\"{x}\",\"\\\"\"}"), "0a"
                                                                                    "0200"
                                                                                    "0206615c62"
                                                                                    "02084e554c4c"
                                                                                    "02067b787d"
                                                                                    "020222"
                                                                                    "00");
    nested_close(&n);
}

/* A box has commas of its own. */
Test(types_array, delimiter_is_the_element_type_s)
{
    struct nested n = nested_array(603, NULL);

    cr_expect_not_null(nested_put(&n, "{(1,1),(0,0);(2,2),(1,1)}"));
    cr_expect_null(nested_put(&n, "{(1,1),(0,0),(2,2),(1,1)}"));
    nested_close(&n);
}

Test(types_array, counts_beyond_one_byte)
{
    static char text[4096], want[8192];
    struct nested n = nested_array(23, NULL);
    size_t len = 1, w = (size_t)snprintf(want, sizeof(want), "8010");

    text[0] = '{';
    for (unsigned i = 0; i < 1024; i++) {
        text[len++] = '1';
        text[len++] = i < 1023 ? ',' : '}';
        w += (size_t)snprintf(want + w, sizeof(want) - w, "0202");
    }
    snprintf(want + w, sizeof(want) - w, "00");
    cr_expect_str_eq(nested_put(&n, text), want);
    nested_close(&n);
}

/* The room asked for holds what comes out, for the shortest texts of every element too. */
Test(types_array, room_is_an_upper_bound)
{
    static const struct {
        uint32_t oid;
        const char *element;
    } v[] = {{16, "t"},
             {21, "1"},
             {20, "1"},
             {26, "9"},
             {700, "1"},
             {701, "1"},
             {1700, "0"},
             {1700, "99"},
             {790, "$0.00"},
             {25, "a"},
             {25, "\"\""},
             {17, "\"\\\\x\""},
             {1082, "infinity"},
             {1083, "00:00:00"},
             {1266, "00:00:00+00"},
             {1114, "infinity"},
             {1184, "infinity"},
             {1186, "00:00:00"},
             {1186, "\"1 day\""},
             {600, "\"(0,0)\""},
             {718, "\"<(0,0),0>\""},
             {628, "\"{0,1,0}\""},
             {602, "\"((0,0))\""},
             {23, "NULL"},
             {869, "::"}};

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct nested n = nested_array(v[i].oid, NULL);
        struct wf_buf b;

        wf_buf_init(&b, 1u << 20);
        for (unsigned k = 0; k < 1000; k++)
            wf_buf_printf(&b, "%c%s", k ? ',' : '{', v[i].element);
        wf_buf_byte(&b, '}');
        cr_expect(nested_fits(&n, (char *)b.data, b.len), "oid %u: %s, why %d", v[i].oid,
                  v[i].element, n.why);
        wf_buf_deinit(&b);
        nested_close(&n);
    }
}

Test(types_array, old_vectors_have_values)
{
    struct nested n = nested_scalar(22, "int2vector", NULL);

    cr_expect_str_eq(
        nested_schema(&n),
        "{\"type\":\"array\",\"items\":{\"type\":\"int\",\"connect.type\":\"int16\"}}");
    cr_expect_str_eq(nested_put(&n, "1 2"), "04020400");
    cr_expect_str_eq(nested_put(&n, ""), "00");
    cr_expect_null(nested_put(&n, "1 "));
    nested_close(&n);
    n = nested_scalar(30, "oidvector", NULL);
    cr_expect_str_eq(nested_schema(&n), "{\"type\":\"array\",\"items\":\"long\"}");
    cr_expect_str_eq(nested_put(&n, "3 4294967295"), "0406feffffff1f00");
    nested_close(&n);
}

/* What the catalog does not know any more, its number still tells. */
Test(types_array, built_in_array_without_catalog)
{
    struct wf_type_in in = {.oid = 1231, .typmod = (6 << 16 | 2) + 4, .trust_name = true};
    struct nested n = nested_open(&in);

    cr_expect_str_eq(nested_put(&n, "{1.50,NULL}"), "0402040096"
                                                    "00"
                                                    "00");
    nested_close(&n);
}

Test(types_array, as_text_by_option)
{
    struct wf_type_modes modes = {.profile = WF_PROFILE_DEBEZIUM,
                                  .array = WF_ARRAY_STRING,
                                  .unknown = true,
                                  .placeholder = WF_TOAST_PLACEHOLDER};
    struct nested n = nested_array(23, &modes);

    cr_expect_eq(n.rc, WF_RESOLVED);
    cr_expect_str_eq(nested_schema(&n), "{\"type\":\"string\",\"walferry.pg.type\":\"x[]\"}");
    cr_expect_str_eq(nested_put(&n, "{{1}}"), "0a7b7b317d7d");
    nested_close(&n);
}

/* binary_handling_mode is about bytes: it does not reach this text. */
Test(types_array, as_text_in_strict_too)
{
    struct wf_type_modes modes = {.profile = WF_PROFILE_STRICT,
                                  .array = WF_ARRAY_STRING,
                                  .binary = WF_BINARY_BASE64,
                                  .placeholder = WF_TOAST_PLACEHOLDER};
    struct nested n = nested_array(23, &modes);

    cr_expect_eq(n.rc, WF_RESOLVED);
    cr_expect_str_eq(nested_schema(&n), "\"string\"");
    cr_expect_str_eq(nested_put(&n, "{{1}}"), "0a7b7b317d7d");
    nested_close(&n);
    modes.binary = WF_BINARY_BYTES;
    n = nested_array(23, &modes);
    cr_expect_str_eq(nested_schema(&n), "\"string\"");
    nested_close(&n);
}

/* events.md's captured update: 28 numbers, one text, one UUID made of the name; others have none.
 */
Test(types_array, unsent_values)
{
    static const uint32_t numbers[] = {23, 20, 1082}, texts[] = {25, 1043, 1042, 114, 3802},
                          none[] = {701, 1184, 1700, 700, 21, 17};
    const char *placeholder = WF_TOAST_PLACEHOLDER;
    char want[512];
    size_t w = (size_t)snprintf(want, sizeof(want), "38");
    struct nested n;

    for (const char *s = placeholder; *s; s++)
        w += (size_t)snprintf(want + w, sizeof(want) - w, *s < 64 ? "02%02x" : "02%02x01",
                              (unsigned)(*s << 1 & 0x7f) | 0x80u);
    snprintf(want + w, sizeof(want) - w, "00");
    for (size_t i = 0; i < 3; i++) {
        n = nested_array(numbers[i], NULL);
        cr_expect_str_eq(nested_toast(&n), want);
        nested_close(&n);
    }
    w = (size_t)snprintf(want, sizeof(want), "020238");
    for (const char *s = placeholder; *s; s++)
        w += (size_t)snprintf(want + w, sizeof(want) - w, "%02x", (unsigned)*s);
    snprintf(want + w, sizeof(want) - w, "00");
    for (size_t i = 0; i < 5; i++) {
        n = nested_array(texts[i], NULL);
        cr_expect_str_eq(nested_toast(&n), want);
        nested_close(&n);
    }
    n = nested_array(2950, NULL);
    w = (size_t)snprintf(want, sizeof(want), "020248");
    for (const char *s = "b68a35a7-17ad-35b3-af2a-ae46edb4545a"; *s; s++)
        w += (size_t)snprintf(want + w, sizeof(want) - w, "%02x", (unsigned)*s);
    snprintf(want + w, sizeof(want) - w, "00");
    cr_expect_str_eq(nested_toast(&n), want);
    nested_close(&n);
    for (size_t i = 0; i < 6; i++) {
        n = nested_array(none[i], NULL);
        cr_expect_null(nested_toast(&n), "oid %u", none[i]);
        nested_close(&n);
    }
}

/* ---- geometry ---- */

Test(types_geo, schemas_and_bytes_are_debezium_s)
{
    json_t *j = load("geometry"), *columns = json_object_get(j, "columns"),
           *fills = json_object_get(j, "fills");
    uint32_t defined = 0;

    for (size_t i = 0; i < json_array_size(columns); i++) {
        const json_t *c = json_array_get(columns, i), *values = json_object_get(c, "values");
        struct nested n = nested_scalar((uint32_t)number(c, "oid"), NULL, NULL);

        cr_expect_str_eq(nested_schema_in(&n, &defined), text(c, "schema"));
        for (size_t k = 0; k < json_array_size(values); k++) {
            const json_t *v = json_array_get(values, k);
            const char *hex = nested_put(&n, text(v, "text"));

            cr_expect_str_eq(hex ? hex : "refused", text(v, "avro"), "%s: %s", text(v, "text"),
                             hex);
        }
        cr_expect_eq(n.t.optional, number(c, "oid") != 600);
        nested_close(&n);
    }
    for (size_t i = 0; i < json_array_size(fills); i++) {
        const json_t *f = json_array_get(fills, i);
        struct nested n = nested_scalar((uint32_t)number(f, "oid"), NULL, NULL);

        cr_expect_str_eq(nested_zero(&n), text(f, "avro"));
        nested_close(&n);
    }
    json_decref(j);
}

/* The other order of definitions: the circle brings its own Point. */
Test(types_geo, circle_in_front_of_a_point)
{
    struct nested circle = nested_scalar(718, NULL, NULL), point = nested_scalar(600, NULL, NULL);
    uint32_t defined = 0;

    cr_expect_not_null(strstr(nested_schema_in(&circle, &defined),
                              "{\"name\":\"center\",\"type\":{\"type\":\"record\",\"name\":"
                              "\"Point\",\"fields\":[{\"name\":\"x\""));
    cr_expect_str_eq(nested_schema_in(&point, &defined), "\"io.debezium.data.geometry.Point\"");
    nested_close(&circle);
    nested_close(&point);
}

Test(types_geo, damaged_texts)
{
    static const struct {
        uint32_t oid;
        const char *texts[8];
    } v[] = {{601, {"", "[]", "[(0,0)]", "[(0,0),(1,1)", "((0,0),(1,1))", "[(0,0),(1,1),(2,2)]"}},
             {602, {"", "()", "[", "[(0,0),]", "[(0,0)(1,1)]", "[(0,0),(1)]", "((0,0)]"}},
             {603, {"", "(0,0)", "(0,0),(1,1),(2,2)", "[(0,0),(1,1)]", "(0,0);(1,1)"}},
             {604, {"", "(0,0)", "((0,0)", "((x,0))", "[(0,0)]"}},
             {628, {"", "{", "{1,2}", "{1,2,3", "{1,2,3}x", "{1,2,3,4}"}},
             {718, {"", "<>", "<(0,0)>", "<(0,0),>", "<(0,0),1", "(0,0),1", "<0,0,1>"}}};

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct nested n = nested_scalar(v[i].oid, NULL, NULL);

        for (size_t k = 0; k < 8 && v[i].texts[k]; k++)
            cr_expect(!nested_put(&n, v[i].texts[k]) && n.why == WF_CONV_BAD, "%u: %s", v[i].oid,
                      v[i].texts[k]);
        nested_close(&n);
    }
}

Test(types_geo, postgis_keeps_the_ewkb_and_tells_the_srid)
{
    struct nested n = nested_scalar(70000, "geometry", NULL);

    /* SRID=4326;POINT(1 2), little endian, then without an SRID, then big endian */
    cr_expect_str_eq(nested_put(&n, "0101000020E6100000000000000000F03F0000000000000040"),
                     "32"
                     "0101000020e6100000000000000000f03f0000000000000040"
                     "02cc43"
                     "00");
    cr_expect_str_eq(nested_put(&n, "0101000000000000000000F03F0000000000000040"),
                     "2a"
                     "0101000000000000000000f03f0000000000000040"
                     "00"
                     "00");
    cr_expect_str_eq(nested_put(&n, "0020000001000010E63FF00000000000004000000000000000"),
                     "32"
                     "0020000001000010e63ff00000000000004000000000000000"
                     "02cc43"
                     "00");
    cr_expect_null(nested_put(&n, "0101000020E6"));
    cr_expect_null(nested_put(&n, "01010000zz"));
    cr_expect_null(nested_put(&n, ""));
    cr_expect_str_eq(nested_zero(&n), "12"
                                      "010700000000000000"
                                      "00"
                                      "00");
    nested_close(&n);
    n = nested_scalar(70000, "geography", NULL);
    cr_expect_str_eq(nested_put(&n, "0101000020E6100000000000000000F03F0000000000000040"),
                     "32"
                     "0101000020e6100000000000000000f03f0000000000000040"
                     "02cc43");
    nested_close(&n);
}

Test(types_geo, pgvector)
{
    static const struct wf_type_modes native = {
        .profile = WF_PROFILE_NATIVE, .unknown = true, .placeholder = WF_TOAST_PLACEHOLDER};
    struct nested n = nested_scalar(70000, "vector", NULL);

    cr_expect_str_eq(nested_schema(&n),
                     "{\"type\":\"array\",\"items\":\"double\",\"connect.version\":1,"
                     "\"connect.name\":\"io.debezium.data.DoubleVector\"}");
    cr_expect_str_eq(nested_put(&n, "[1,-2.5]"), "04"
                                                 "000000000000f03f"
                                                 "00000000000004c0"
                                                 "00");
    cr_expect_str_eq(nested_zero(&n), "00");
    cr_expect_null(nested_put(&n, "[1,]"));
    cr_expect_null(nested_put(&n, "[,1]"));
    cr_expect_null(nested_put(&n, "[1"));
    cr_expect_null(nested_put(&n, ""));
    nested_close(&n);
    n = nested_scalar(70000, "vector", &native);
    cr_expect_str_eq(nested_schema(&n), "{\"type\":\"array\",\"items\":\"float\"}");
    nested_close(&n);
    n = nested_scalar(70000, "halfvec", NULL);
    cr_expect_str_eq(nested_put(&n, "[1]"), "02"
                                            "0000803f"
                                            "00");
    nested_close(&n);
    n = nested_scalar(70000, "sparsevec", NULL);
    cr_expect_str_eq(nested_put(&n, "{1:1.5,9:2}/3000"), "f02e"
                                                         "04"
                                                         "02000000000000f83f"
                                                         "120000000000000040"
                                                         "00");
    cr_expect_str_eq(nested_put(&n, "{}/5"), "0a00");
    cr_expect_null(nested_put(&n, "{}/32768"));
    cr_expect_eq(n.why, WF_CONV_RANGE);
    cr_expect_null(nested_put(&n, "{1:1,}/5"));
    cr_expect_null(nested_put(&n, "{1}/5"));
    cr_expect_null(nested_put(&n, "{}5"));
    nested_close(&n);
}

/* An extension's type is found by its name; a user's own of another kind is not it. */
Test(types_geo, names_belong_to_base_types)
{
    struct wf_type_in in = {.oid = 70000, .name = "vector", .text_name = "vector", .kind = 'r'};
    struct nested n = nested_open(&in);

    cr_expect_eq(n.rc, WF_RESOLVED_TEXT);
    nested_close(&n);
}

/* Another captured run: connect times, decimals and bytes as text, unknown types included. */
Test(types_array, elements_follow_the_modes)
{
    static const struct wf_type_modes modes = {.profile = WF_PROFILE_STRICT,
                                               .time = WF_TIME_CONNECT,
                                               .zoned = WF_ZONED_STRING,
                                               .interval = WF_INTERVAL_STRING,
                                               .hstore = WF_HSTORE_MAP,
                                               .decimal = WF_DECIMAL_STRING,
                                               .binary = WF_BINARY_BASE64,
                                               .unknown = true,
                                               .money_digits = 2,
                                               .placeholder = WF_TOAST_PLACEHOLDER};
    static const struct wf_type_in field = {.oid = 25, .typmod = -1, .kind = 'b'};
    static const struct {
        struct wf_type_in el;
        const char *schema, *text, *hex;
    } v[] = {
        {{.oid = 1700, .typmod = -1, .kind = 'b'},
         "{\"type\":\"array\",\"items\":[\"null\",\"string\"]}",
         "{1.50,NULL}",
         "040208312e35300000"},
        {{.oid = 17, .typmod = -1, .kind = 'b'},
         "{\"type\":\"array\",\"items\":[\"null\",\"string\"]}",
         "{\"\\\\x00ff\",NULL}",
         "0402084150383d0000"},
        {{.oid = 70000, .name = "hstore", .typmod = -1, .kind = 'b'},
         "{\"type\":\"array\",\"items\":[\"null\",{\"type\":\"map\",\"values\":[\"null\","
         "\"string\"]}]}",
         "{\"\\\"a\\\"=>\\\"1\\\"\"}",
         "020202026102023100"
         "00"},
        {{.oid = 70001, .name = "addr", .typmod = -1, .kind = 'c', .sub = &field, .nsub = 1},
         "{\"type\":\"array\",\"items\":\"string\"}",
         "{\"(s,1)\"}",
         "02104b484d734d536b3d00"},
        {{.oid = 23, .name = "int4", .typmod = -1, .kind = 'b', .domain = true},
         "{\"type\":\"array\",\"items\":\"string\"}",
         "{1,2}",
         "04084d513d3d084d673d3d00"},
    };

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct wf_type_in in = {
            .kind = 'a', .typmod = -1, .sub = &v[i].el, .nsub = 1, .modes = &modes};
        struct nested n = nested_open(&in);
        const char *hex;

        cr_expect_str_eq(nested_schema(&n), v[i].schema);
        hex = nested_put(&n, v[i].text);
        cr_expect_str_eq(hex ? hex : "refused", v[i].hex, "%s: %s", v[i].text, hex);
        nested_close(&n);
    }
}
