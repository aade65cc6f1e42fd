/* The schema-driven reader: Avro bytes to JSON, and what it refuses. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "avro_json.h"

struct read {
    enum wf_rc rc;
    size_t used;
    char json[8192];
    struct wf_err err;
};

static size_t unhex(const char *hex, unsigned char *out)
{
    size_t n = 0;

    for (; *hex; hex++) {
        char pair[3] = {hex[0], hex[1], 0};

        if (*hex == ' ')
            continue;
        out[n++] = (unsigned char)strtoul(pair, NULL, 16);
        hex++;
    }
    return n;
}

static struct read read_hex(const char *schema, const char *hex)
{
    unsigned char data[4096];
    struct wf_avro_reader *r = NULL;
    struct read out = {0};
    size_t n = unhex(hex, data);
    struct wf_buf b;

    wf_buf_init(&b, sizeof(out.json) - 1);
    out.rc = wf_avro_reader_new(&r, schema, strlen(schema), &out.err);
    if (out.rc == WF_OK)
        out.rc = wf_avro_to_json(r, data, n, NULL, &b, &out.err);
    if (b.len)
        memcpy(out.json, b.data, b.len);
    wf_avro_reader_free(r);
    wf_buf_deinit(&b);
    return out;
}

#define DECIMAL(s) "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"scale\":" s "}"

Test(avro_json, every_kind_of_type)
{
    static const char *const v[][3] = {
        {"\"null\"", "", "null"},
        {"\"boolean\"", "01", "true"},
        {"\"int\"", "01", "-1"},
        {"{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}", "8080f28183898506",
         "1700000000000000"},
        {"\"long\"", "ffffffffffffffffff01", "-9223372036854775808"},
        {"\"float\"", "0000c03f", "1.5"},
        {"\"float\"", "cdcccc3d", "0.1"},
        {"\"double\"", "9a9999999999b93f", "0.1"},
        {"\"double\"", "000000000000f87f", "\"NaN\""},
        {"\"double\"", "000000000000f0ff", "\"-Infinity\""},
        {"\"string\"", "0a 61 22 5c 0a c3", "\"a\\\"\\\\\\n\xef\xbf\xbd\""},
        {"\"string\"", "08 f09f9880", "\"\xf0\x9f\x98\x80\""},
        {"\"string\"", "06 eda080", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\"bytes\"", "06 00ff10", "\"AP8Q\""},
        {"\"bytes\"", "08 00ff1011", "\"AP8QEQ==\""},
        {"\"bytes\"", "00", "\"\""},
        {"{\"type\":\"fixed\",\"name\":\"f\",\"size\":2}", "abcd", "\"q80=\""},
        {"{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[\"A\",\"B\"]}", "02", "\"B\""},
        {"{\"type\":\"array\",\"items\":\"int\"}", "040206 00", "[1,3]"},
        {"{\"type\":\"array\",\"items\":\"int\"}", "030602 04 00", "[1,2]"},
        {"{\"type\":\"array\",\"items\":\"int\"}", "00", "[]"},
        {"{\"type\":\"map\",\"values\":\"int\"}", "02 0261 0e 02 0262 10 00", "{\"a\":7,\"b\":8}"},
        {"[\"null\",\"int\"]", "00", "null"},
        {"[\"null\",\"int\"]", "0254", "42"},
        {"{\"type\":\"record\",\"name\":\"r\",\"namespace\":\"n\",\"fields\":[{\"name\":\"a\","
         "\"type\":\"int\"},{\"name\":\"b\",\"type\":{\"type\":\"record\",\"name\":\"s\","
         "\"fields\":[]}},{\"name\":\"c\",\"type\":\"n.s\"},{\"name\":\"d\",\"type\":\"s\"}]}",
         "02", "{\"a\":1,\"b\":{},\"c\":{},\"d\":{}}"},
        {"{\"type\":\"record\",\"name\":\"l\",\"fields\":[{\"name\":\"v\",\"type\":\"int\"},"
         "{\"name\":\"next\",\"type\":[\"null\",\"l\"]}]}",
         "02 02 04 00", "{\"v\":1,\"next\":{\"v\":2,\"next\":null}}"},
        {DECIMAL("2"), "04 04e2", "12.50"},
        {DECIMAL("2"), "02 ff", "-0.01"},
        {DECIMAL("0"), "02 00", "0"},
        {DECIMAL("5"), "02 7b", "0.00123"},
        {DECIMAL("0"), "20 0949b0f6f0023313c4499050de38f34e",
         "12345678901234567890123456789012345678"},
        {DECIMAL("2"), "10 8000000000000000", "-92233720368547758.08"},
        {DECIMAL("1"), "00", "0.0"},
        {DECIMAL("-1"), "02 05", "\"BQ==\""},
        {"{\"type\":{\"type\":\"int\"},\"default\":\"\\u0000\"}", "02", "1"},
    };

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct read r = read_hex(v[i][0], v[i][1]);

        cr_expect_eq(r.rc, WF_OK, "%s: %s", v[i][0], r.err.text);
        cr_expect_str_eq(r.json, v[i][2]);
    }
}

Test(avro_json, damaged_data_is_refused)
{
    static const char *const v[][2] = {
        {"\"int\"", ""},
        {"\"int\"", "80"},
        {"\"int\"", "ffffffffffffffffff01"},
        {"\"long\"", "ffffffffffffffffffff01"},
        {"\"long\"", "ffffffffffffffffff02"},
        {"\"boolean\"", "02"},
        {"\"double\"", "00000000"},
        {"\"string\"", "04 61"},
        {"\"string\"", "01"},
        {"\"bytes\"", "feffffffffffffffff01 00"},
        {"[\"null\",\"int\"]", "04"},
        {"[\"null\",\"int\"]", "01"},
        {"{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[\"A\"]}", "02"},
        {"{\"type\":\"array\",\"items\":\"int\"}", "0402"},
        {"{\"type\":\"array\",\"items\":\"int\"}", "ffffffffffffffffff01"},
        {"{\"type\":\"array\",\"items\":\"null\"}", "feffffffffffffffff01"},
        {"{\"type\":\"map\",\"values\":\"int\"}", "02 04"},
        {"\"int\"", "0202"},
    };

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct read r = read_hex(v[i][0], v[i][1]);

        cr_expect_eq(r.rc, WF_REJECT, "%s %s", v[i][0], v[i][1]);
    }
}

/* A few bytes cannot make us print or recurse without end. */
Test(avro_json, recursion_and_empty_items_are_bounded)
{
    static const char list[] = "{\"type\":\"record\",\"name\":\"l\",\"fields\":[{\"name\":\"n\","
                               "\"type\":[\"null\",\"l\"]}]}";
    struct read r = read_hex("{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"r\","
                             "\"type\":\"r\"}]}",
                             "");
    char hex[1000];

    cr_expect_eq(r.rc, WF_REJECT);
    memset(hex, '0', sizeof(hex));
    for (size_t i = 1; i < sizeof(hex) - 1; i += 2)
        hex[i] = '2';
    hex[sizeof(hex) - 2] = '\0';
    cr_expect_eq(read_hex(list, hex).rc, WF_REJECT);
}

Test(avro_json, damaged_schemas_are_refused)
{
    static const char *const v[] = {
        "",
        "{",
        "\"nothing\"",
        "7",
        "[]",
        "{}",
        "{\"type\":\"record\"}",
        "{\"type\":\"record\",\"name\":\"r\"}",
        "{\"type\":\"record\",\"name\":\"\",\"fields\":[]}",
        "{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"type\":\"int\"}]}",
        "{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"a\"}]}",
        "{\"type\":\"record\",\"name\":\"r\",\"fields\":[7]}",
        "{\"type\":\"array\"}",
        "{\"type\":\"fixed\",\"name\":\"f\",\"size\":-1}",
        "{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[1]}",
        "[{\"type\":\"fixed\",\"name\":\"f\",\"size\":1},{\"type\":\"fixed\",\"name\":\"f\","
        "\"size\":1}]",
    };
    struct wf_avro_reader *r = NULL;
    struct wf_err err;
    char deep[1024];

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        cr_expect_eq(wf_avro_reader_new(&r, v[i], strlen(v[i]), &err), WF_REJECT, "%s", v[i]);
        cr_expect_str_eq(err.code, "schema");
    }
    memset(deep, '[', sizeof(deep));
    cr_expect_eq(wf_avro_reader_new(&r, deep, sizeof(deep), &err), WF_REJECT);
    deep[0] = '\0';
    for (int i = 0; i < 40; i++)
        strcat(deep, "{\"type\":[");
    cr_expect_eq(wf_avro_reader_new(&r, deep, strlen(deep), &err), WF_REJECT);
}

Test(avro_json, says_how_much_it_consumed)
{
    static const unsigned char data[] = {2, 4};
    struct wf_avro_reader *r = NULL;
    struct wf_err err;
    struct wf_buf b;
    size_t used = 0;

    wf_buf_init(&b, 100);
    cr_assert_eq(wf_avro_reader_new(&r, "\"int\"", 5, &err), WF_OK);
    cr_expect_eq(wf_avro_to_json(r, data, 2, &used, &b, &err), WF_OK);
    cr_expect_eq(used, 1);
    cr_expect_eq(wf_avro_to_json(r, data, 2, NULL, &b, &err), WF_REJECT);
    wf_avro_reader_free(r);
    wf_buf_deinit(&b);
}

Test(avro_json, a_text_over_the_limit_is_refused)
{
    struct wf_avro_reader *r = NULL;
    static const unsigned char data[] = {16, 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a'};
    struct wf_err err;
    struct wf_buf b;

    wf_buf_init(&b, 8);
    cr_assert_eq(wf_avro_reader_new(&r, "\"string\"", 8, &err), WF_OK);
    cr_expect_eq(wf_avro_to_json(r, data, sizeof(data), NULL, &b, &err), WF_REJECT);
    cr_expect_str_eq(err.code, "json_size");
    wf_avro_reader_free(r);
    wf_buf_deinit(&b);
}

/* Decimals against arithmetic: random 64-bit values at every scale. */
Test(avro_json, random_decimals)
{
    uint64_t state = 88172645463325252u;

    for (int i = 0; i < 20000; i++) {
        char schema[100], hex[40] = "10 ", want[64];
        int scale = i % 18;
        uint64_t m, unit = 1;
        int64_t v;

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        v = (int64_t)state >> (i % 60);
        m = v < 0 ? -(uint64_t)v : (uint64_t)v;
        for (int k = 0; k < scale; k++)
            unit *= 10;
        for (int k = 0; k < 8; k++)
            snprintf(hex + 3 + 2 * k, 3, "%02x", (unsigned)((uint64_t)v >> (56 - 8 * k)) & 255);
        snprintf(schema, sizeof(schema), DECIMAL("%d"), scale);
        if (scale)
            snprintf(want, sizeof(want), "%s%llu.%0*llu", v < 0 ? "-" : "",
                     (unsigned long long)(m / unit), scale, (unsigned long long)(m % unit));
        else
            snprintf(want, sizeof(want), "%lld", (long long)v);
        cr_assert_str_eq(read_hex(schema, hex).json, want);
    }
}
