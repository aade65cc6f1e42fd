/* Converters: PostgreSQL's text to Avro bytes, schema texts and defaults. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "lsn.h"
#include "types.h"

#define NUMERIC(p, s) (((p) << 16 | ((s) & 0x7ff)) + 4)

struct converted {
    bool ok;
    enum wf_conv_why why;
    char hex[4096];
};

static struct converted convert(uint32_t oid, int32_t typmod, const char *name, const char *text)
{
    struct wf_type_in in = {.oid = oid, .typmod = typmod, .name = name};
    struct wf_coltype t;
    struct converted c = {0};
    struct wf_buf b;

    wf_buf_init(&b, 1u << 20);
    wf_type_resolve(&t, &in);
    c.ok = wf_type_put(&t, text, strlen(text), &b, &c.why);
    for (size_t i = 0; i < b.len && i < 2000; i++)
        snprintf(c.hex + 2 * i, 3, "%02x", b.data[i]);
    wf_buf_deinit(&b);
    return c;
}

struct vector {
    uint32_t oid;
    int32_t typmod;
    const char *text, *hex;
};

static void check(const struct vector *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct converted c = convert(v[i].oid, v[i].typmod, NULL, v[i].text);

        cr_expect(c.ok, "oid %u: %s refused", v[i].oid, v[i].text);
        cr_expect_str_eq(c.hex, v[i].hex, "oid %u typmod %d: %s gave %s, not %s", v[i].oid,
                         v[i].typmod, v[i].text, c.hex, v[i].hex);
    }
}

/* An Avro long as hex, computed the slow way. */
static const char *long_hex(int64_t v)
{
    static char buf[8][32];
    static unsigned turn;
    char *out = buf[turn++ % 8];
    uint64_t z = v < 0 ? ~((uint64_t)v << 1) : (uint64_t)v << 1;
    size_t n = 0;

    do {
        snprintf(out + n, 3, "%02x", (unsigned)(z & 0x7f) | (z > 0x7f ? 0x80u : 0));
        n += 2;
        z >>= 7;
    } while (z);
    return out;
}

static const char *text_hex(const char *s)
{
    static char buf[8][512];
    static unsigned turn;
    char *out = buf[turn++ % 8];
    size_t n = (size_t)snprintf(out, 32, "%s", long_hex((int64_t)strlen(s)));

    for (; *s; s++)
        n += (size_t)snprintf(out + n, 3, "%02x", (unsigned char)*s);
    return out;
}

static void check_longs(uint32_t oid, int32_t typmod, const char *const *texts,
                        const int64_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check(&(struct vector){oid, typmod, texts[i], long_hex(values[i])}, 1);
}

Test(types, integers_to_their_limits)
{
    static const char *const texts[] = {"0",
                                        "-1",
                                        "7",
                                        "42",
                                        "123",
                                        "1234",
                                        "-12345",
                                        "123456",
                                        "1234567",
                                        "12345678",
                                        "123456789",
                                        "-1234567890123",
                                        "999999999999999999",
                                        "9223372036854775807",
                                        "-9223372036854775808"};
    static const int64_t values[] = {0,
                                     -1,
                                     7,
                                     42,
                                     123,
                                     1234,
                                     -12345,
                                     123456,
                                     1234567,
                                     12345678,
                                     123456789,
                                     -1234567890123,
                                     999999999999999999,
                                     INT64_MAX,
                                     INT64_MIN};

    check_longs(20, -1, texts, values, 15);
    check_longs(23, -1, texts, values, 11);
    check_longs(21, -1, texts, values, 7);
    check_longs(26, -1, (const char *const[]){"4294967295", "0"}, (const int64_t[]){4294967295, 0},
                2);
}

Test(types, refuses_what_is_no_integer)
{
    static const char *const texts[] = {"",
                                        "-",
                                        "1a",
                                        "a1",
                                        " 1",
                                        "1 ",
                                        "+1",
                                        "--1",
                                        "1.0",
                                        "12345x7",
                                        "1234567x",
                                        "x2345678",
                                        "0x1",
                                        "12345678901234567890",
                                        "9223372036854775808",
                                        "-9223372036854775809",
                                        "99999999999999999999"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_expect(!convert(20, -1, NULL, texts[i]).ok, "int8 %s", texts[i]);
        cr_expect(!convert(26, -1, NULL, texts[i]).ok, "oid %s", texts[i]);
    }
    cr_expect(!convert(21, -1, NULL, "32768").ok);
    cr_expect(convert(21, -1, NULL, "-32768").ok);
    cr_expect(!convert(23, -1, NULL, "2147483648").ok);
    cr_expect(convert(23, -1, NULL, "-2147483648").ok);
    cr_expect(!convert(26, -1, NULL, "4294967296").ok);
}

Test(types, floats_keep_every_bit)
{
    static const struct vector v[] = {
        {701, -1, "2.25", "0000000000000240"},
        {701, -1, "-0", "0000000000000080"},
        {701, -1, "0.1", "9a9999999999b93f"},
        {701, -1, "5e-324", "0100000000000000"},
        {701, -1, "2.2250738585072014e-308", "0000000000001000"},
        {701, -1, "1.7976931348623157e+308", "ffffffffffffef7f"},
        {701, -1, "NaN", "000000000000f87f"},
        {701, -1, "Infinity", "000000000000f07f"},
        {701, -1, "-Infinity", "000000000000f0ff"},
        {701, -1, "123456789012345680", "350f63bab4697b43"},
        {700, -1, "1.5", "0000c03f"},
        {700, -1, "0.1", "cdcccc3d"},
        {700, -1, "1e-45", "01000000"},
        {700, -1, "-3.4028235e+38", "ffff7fff"},
        {700, -1, "NaN", "0000c07f"},
    };

    check(v, sizeof(v) / sizeof(v[0]));
}

/* Every float has one nearest decimal text; reading it back must give the same bits. */
Test(types, random_floats_read_back)
{
    uint64_t state = 88172645463325252u;
    char text[64], hex[20];

    for (int i = 0; i < 200000; i++) {
        uint64_t bits;
        double d;

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memcpy(&d, &state, sizeof(d));
        if (i % 2)
            d = (double)(int64_t)(state % 1000000000) / 1000.0;
        if (d != d || d - d != 0)
            continue;
        snprintf(text, sizeof(text), "%.17g", d);
        memcpy(&bits, &d, sizeof(bits));
        for (int k = 0; k < 8; k++)
            snprintf(hex + 2 * k, 3, "%02x", (unsigned)(bits >> (8 * k)) & 255);
        cr_assert_str_eq(convert(701, -1, NULL, text).hex, hex, "%s", text);
    }
}

Test(types, refuses_what_is_no_float)
{
    static const char *const texts[] = {"",   "-",  ".",     "inf",  "nan", "0x1p3", "1e", "1 ",
                                        " 1", "+1", "1.5.5", "-NaN", "e5",  "1-",    "--1"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_expect(!convert(701, -1, NULL, texts[i]).ok, "float8 %s", texts[i]);
        cr_expect(!convert(700, -1, NULL, texts[i]).ok, "float4 %s", texts[i]);
    }
}

/* Values and bytes as a real Debezium wrote them. */
Test(types, decimals_have_the_columns_scale)
{
    static const struct vector v[] = {
        {1700, NUMERIC(10, 2), "123.45", "043039"},
        {1700, NUMERIC(10, 2), "-99999999.99", "0afdabf41c01"},
        {1700, NUMERIC(10, 2), "1", "0264"},
        {1700, NUMERIC(10, 2), "0.10", "020a"},
        {1700, NUMERIC(10, 2), "0", "0200"},
        {1700, NUMERIC(10, 2), "-1.28", "0280"},
        {1700, NUMERIC(10, 2), "1.28", "040080"},
        {1700, NUMERIC(38, 0), "12345678901234567890123456789012345678",
         "200949b0f6f0023313c4499050de38f34e"},
        {1700, NUMERIC(38, 0), "-1", "02ff"},
        {1700, NUMERIC(3, 5), "0.00123", "027b"},
        {1700, NUMERIC(3, 5), "-0.00999", "04fc19"},
        {1700, NUMERIC(5, -2), "12300", "04300c"},
        {1700, NUMERIC(38, 0), "18446744073709551616", "12010000000000000000"},
        {1700, NUMERIC(38, 0), "-18446744073709551616", "12ff0000000000000000"},
        {1700, NUMERIC(38, 0), "9223372036854775807", "107fffffffffffffff"},
        {1700, NUMERIC(38, 0), "9223372036854775808", "12008000000000000000"},
        {1700, NUMERIC(38, 0), "-9223372036854775808", "108000000000000000"},
        {1700, NUMERIC(38, 0), "0000000000000000000000000", "0200"},
        {1700, NUMERIC(38, 0), "999999999999999999", "100de0b6b3a763ffff"},
        {790, -1, "$1,234.56", "0601e240"},
        {790, -1, "-$92,233,720,368,547,758.08", "108000000000000000"},
        {790, -1, "$92,233,720,368,547,758.07", "107fffffffffffffff"},
        {790, -1, "$0.01", "0201"},
    };

    check(v, sizeof(v) / sizeof(v[0]));
    cr_expect(!convert(1700, NUMERIC(10, 2), NULL, "1.234").ok);
    cr_expect(convert(1700, NUMERIC(10, 2), NULL, "1.230").ok);
    cr_expect(!convert(790, -1, NULL, "$92,233,720,368,547,758.08").ok);
    cr_expect(!convert(790, -1, NULL, "$1").ok);
    cr_expect(!convert(790, -1, NULL, "1.2").ok);
}

Test(types, numerics_without_precision_strip_zeros)
{
    static const struct vector v[] = {
        {1700, -1, "123.4500", "04043039"},
        {1700, -1, "-0.00000000000000000001", "2802ff"},
        {1700, -1, "100000", "00060186a0"},
        {1700, -1, "10000000000000000000000000000000000000000",
         "00221d6329f1c35ca4bfabb9f5610000000000"},
        {1700, -1, "0.000", "000200"},
        {1700, -1, "1.50", "02020f"},
    };

    check(v, sizeof(v) / sizeof(v[0]));
}

Test(types, numeric_specials_are_refused_never_nulled)
{
    static const char *const texts[] = {"NaN", "Infinity", "-Infinity"};

    for (size_t i = 0; i < 3; i++) {
        cr_expect_eq(convert(1700, -1, NULL, texts[i]).why, WF_CONV_SPECIAL);
        cr_expect_eq(convert(1700, NUMERIC(10, 2), NULL, texts[i]).why, WF_CONV_SPECIAL);
    }
    cr_expect_eq(convert(1700, -1, NULL, "1e5").why, WF_CONV_BAD);
    cr_expect_eq(convert(1700, -1, NULL, ".").why, WF_CONV_BAD);
    cr_expect_eq(convert(1700, -1, NULL, "").why, WF_CONV_BAD);
    cr_expect_eq(convert(1700, -1, NULL, "1.2.3").why, WF_CONV_BAD);
}

/* The largest numeric PostgreSQL holds: 131,072 digits before and 16,383 after the point. */
Test(types, longest_numeric)
{
    struct wf_type_in in = {.oid = 1700, .typmod = -1};
    size_t n = 131072 + 1 + 16383;
    char *text = malloc(n);
    struct wf_coltype t;
    enum wf_conv_why why;
    struct wf_buf b;

    memset(text, '9', n);
    text[131072] = '.';
    wf_buf_init(&b, 1u << 20);
    wf_type_resolve(&t, &in);
    cr_assert(wf_type_put(&t, text, n, &b, &why));
    /* scale 16383 (3 bytes), length 61,230 (489,834 bits and a sign) in 3 bytes, value */
    cr_expect_eq(b.len, 3 + 3 + 61230);
    cr_expect_eq(b.data[b.len - 1], 0xff, "10^n - 1 is odd in its lowest 8 bits");
    free(text);
    wf_buf_deinit(&b);
}

Test(types, dates_and_times_of_a_real_run)
{
    static const char *const dates[] = {
        "2024-02-29", "1970-01-01", "infinity",   "-infinity",  "4713-01-01 BC", "5874897-12-31",
        "1582-10-04", "0001-01-01", "2000-03-01", "1900-03-01", "1969-12-31"};
    static const int64_t days[] = {19782,   0,       2146033979, -2147472691, -2440550, 2145042905,
                                   -141438, -719162, 11017,      -25508,      -1};
    static const char *const times[] = {"12:34:56.789012", "00:00:00",        "24:00:00",
                                        "23:59:59.999999", "00:00:00.000001", "12:34:56.7"};
    static const int64_t time_us[] = {45296789012, 0, 86400000000, 86399999999, 1, 45296700000};

    check_longs(1082, -1, dates, days, 11);
    check_longs(1083, -1, times, time_us, 6);
    check_longs(1083, 6, times, time_us, 6);
    check_longs(1083, 3, (const char *const[]){"12:34:56.789", "24:00:00", "23:59:59.999"},
                (const int64_t[]){45296789, 86400000, 86399999}, 3);
    check_longs(1083, 0, (const char *const[]){"12:34:57"}, (const int64_t[]){45297000}, 1);
}

Test(types, timestamps_are_exact_or_refused)
{
    static const char *const us_texts[] = {"2024-02-29 12:34:56.789012",
                                           "1970-01-01 00:00:00",
                                           "infinity",
                                           "-infinity",
                                           "4713-01-01 00:00:00 BC",
                                           "0044-03-15 12:00:00 BC",
                                           "10000-01-01 00:00:00",
                                           "1500-02-28 00:00:00",
                                           "1969-12-31 23:59:59.999999",
                                           "1883-11-18 12:00:00",
                                           "294247-01-10 04:00:54.775806",
                                           "0001-12-31 00:00:00 BC"};
    static const int64_t us[] = {1709210096789012,
                                 0,
                                 INT64_MAX,
                                 INT64_MIN,
                                 -210863520000000000,
                                 -63517780800000000,
                                 253402300800000000,
                                 -14826758400000000,
                                 -1,
                                 -2717668800000000,
                                 INT64_MAX - 1,
                                 -62135683200000000};
    static const char *const ms_texts[] = {"2024-02-29 12:34:56.789",
                                           "infinity",
                                           "-infinity",
                                           "294276-12-31 23:59:59.999",
                                           "1969-12-31 23:59:59.999",
                                           "4713-01-01 00:00:00 BC"};
    static const int64_t ms[] = {
        1709210096789,   9223372036825200000, -9223372036832400000, 9224318015999999, -1,
        -210863520000000};

    check_longs(1114, -1, us_texts, us, 12);
    check_longs(1114, 4, us_texts, us, 4);
    check_longs(1114, 3, ms_texts, ms, 6);
    cr_expect_eq(convert(1114, -1, NULL, "294276-12-31 23:59:59.999999").why, WF_CONV_RANGE);
    cr_expect_eq(convert(1114, -1, NULL, "294247-01-10 04:00:54.775807").why, WF_CONV_RANGE);
    cr_expect_eq(convert(1114, 3, NULL, "2024-01-01 00:00:00.0001").why, WF_CONV_RANGE);
}

struct text_vector {
    uint32_t oid;
    int32_t typmod;
    const char *text, *out;
};

static void check_texts(const struct text_vector *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check(&(struct vector){v[i].oid, v[i].typmod, v[i].text, text_hex(v[i].out)}, 1);
}

Test(types, zoned_times_are_texts_in_utc)
{
    static const struct text_vector v[] = {
        {1184, 0, "2024-02-29 10:34:57+00", "2024-02-29T10:34:57Z"},
        {1184, 3, "2024-02-29 10:34:56.789+00", "2024-02-29T10:34:56.789Z"},
        {1184, 3, "2024-02-29 10:34:56+00", "2024-02-29T10:34:56.000Z"},
        {1184, -1, "2024-02-29 10:34:56.789012+00", "2024-02-29T10:34:56.789012Z"},
        {1184, -1, "2024-02-29 10:34:56.7+00", "2024-02-29T10:34:56.700000Z"},
        {1184, -1, "2024-02-29 10:34:56+00", "2024-02-29T10:34:56.000000Z"},
        {1184, -1, "infinity", "infinity"},
        {1184, 0, "-infinity", "-infinity"},
        {1184, 0, "4713-01-01 00:00:00+00 BC", "-4712-01-01T00:00:00Z"},
        {1184, 3, "0001-01-01 00:00:00+00 BC", "0000-01-01T00:00:00.000Z"},
        {1184, 6, "0044-03-15 12:00:00.5+00 BC", "-0043-03-15T12:00:00.500000Z"},
        {1184, 6, "294276-12-31 23:59:59.999999+00", "+294276-12-31T23:59:59.999999Z"},
        {1184, -1, "21016-11-06 15:51:11.11+00", "+21016-11-06T15:51:11.110000Z"},
        {1184, -1, "2020-01-02 03:04:05+02", "2020-01-02T01:04:05.000000Z"},
        {1184, -1, "2019-12-31 23:30:00-00:45", "2020-01-01T00:15:00.000000Z"},
        {1184, -1, "0001-01-01 00:00:00+00:00:01", "0000-12-31T23:59:59.000000Z"},
        {1266, 0, "12:34:57+05:30", "07:04:57Z"},
        {1266, 3, "12:34:56.789-08", "20:34:56.789Z"},
        {1266, -1, "12:34:56.789012+00", "12:34:56.789012Z"},
        {1266, -1, "12:34:56.7+00", "12:34:56.7Z"},
        {1266, -1, "24:00:00+00", "24:00:00Z"},
        {1266, -1, "24:00:00-08", "08:00:00Z"},
        {1266, -1, "23:59:59.999+14", "09:59:59.999Z"},
        {1266, -1, "00:00:00.000001-14", "14:00:00.000001Z"},
        {1266, -1, "00:00:00+15:59:59", "08:00:01Z"},
    };

    check_texts(v, sizeof(v) / sizeof(v[0]));
}

/* Each single character of a good value replaced: refused or still well formed, never beyond. */
Test(types, damaged_times_are_refused)
{
    static const struct text_vector v[] = {
        {1082, -1, "2024-13-01", NULL},
        {1082, -1, "2024-00-01", NULL},
        {1082, -1, "2024-01-32", NULL},
        {1082, -1, "24-01-01", NULL},
        {1082, -1, "2024-01-01x", NULL},
        {1082, -1, "", NULL},
        {1082, -1, "0000-01-01", NULL},
        {1083, -1, "25:00:00", NULL},
        {1083, -1, "24:00:00.1", NULL},
        {1083, -1, "12:60:00", NULL},
        {1083, -1, "12:00", NULL},
        {1083, -1, "12:00:00.", NULL},
        {1083, -1, "12:00:00.1234567", NULL},
        {1114, -1, "2024-01-01", NULL},
        {1114, -1, "2024-01-01T00:00:00", NULL},
        {1114, -1, "2024-01-01 00:00:00 AD", NULL},
        {1184, -1, "2024-01-01 00:00:00", NULL},
        {1184, -1, "2024-13-01 00:00:00+00", NULL},
        {1184, -1, "2024-01-40 00:00:00+00", NULL},
        {1184, -1, "2024-01-01 24:30:00+00", NULL},
        {1184, -1, "2024-01-01 29:00:00+00", NULL},
        {1184, -1, "2024-01-01 00:6a:00+00", NULL},
        {1184, -1, "2024-01-01 00:00:00.12345a+00", NULL},
        {1184, -1, "2024-01-01 00:00:00.+00", NULL},
        {1184, 3, "2024-01-01 00:00:00.1234+00", NULL},
        {1184, -1, "0000-01-01 00:00:00+00", NULL},
        {1266, -1, "12:00:00", NULL},
        {1186, -1, "", NULL},
        {1186, -1, "1 yea", NULL},
        {1186, -1, "1 day ", NULL},
        {1186, -1, "x", NULL},
        {1186, -1, "1", NULL},
        {1186, -1, "1 day  2 days", NULL},
    };

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
        cr_expect(!convert(v[i].oid, v[i].typmod, NULL, v[i].text).ok, "oid %u: %s", v[i].oid,
                  v[i].text);
}

Test(types, intervals_are_microseconds_or_refused)
{
    static const char *const texts[] = {"1 year 2 mons 3 days 04:05:06.789",
                                        "1 year 2 mons",
                                        "3 days 04:05:06.789",
                                        "00:00:00",
                                        "-1 mons",
                                        "-1 years",
                                        "-00:00:00.001",
                                        "1000000 days",
                                        "1 mon -1 days",
                                        "10 days",
                                        "00:00:00.000001",
                                        "-1 days +02:03:00",
                                        "1 day 02:00:00",
                                        "-1 years -2 mons +3 days -04:05:06.789",
                                        "2562047788:00:54.775807"};
    static const int64_t us[] = {37091106789000,
                                 36817200000000,
                                 273906789000,
                                 0,
                                 -2629800000000,
                                 -31557600000000,
                                 -1000,
                                 86400000000000000,
                                 2543400000000,
                                 864000000000,
                                 1,
                                 -79020000000,
                                 93600000000,
                                 -36817200000000 + 259200000000 - 14706789000,
                                 INT64_MAX};

    check_longs(1186, -1, texts, us, sizeof(us) / sizeof(us[0]));
    cr_expect_eq(convert(1186, -1, NULL, "178000000 years").why, WF_CONV_RANGE);
    cr_expect_eq(convert(1186, -1, NULL, "-178000000 years").why, WF_CONV_RANGE);
    cr_expect_eq(convert(1186, -1, NULL, "infinity").why, WF_CONV_SPECIAL);
}

Test(types, bits_are_little_endian_numbers)
{
    static const struct vector v[] = {
        {1560, 1, "1", "01"},
        {1560, 1, "0", "00"},
        {1560, 4, "0101", "0205"},
        {1560, 4, "0000", "00"},
        {1560, 8, "10000000", "0280"},
        {1560, 70, "1000000000000000000000000000000000000000000000000000000000000000000000",
         "12000000000000000020"},
        {1562, -1, "00101", "0205"},
        {1562, -1, "", "00"},
        {1562, -1, "0000000000000000000000001", "0201"},
        {1562, 5, "00000", "00"},
    };

    check(v, sizeof(v) / sizeof(v[0]));
    cr_expect(!convert(1562, -1, NULL, "012").ok);
    cr_expect(!convert(1560, 1, NULL, "2").ok);
    cr_expect_eq(convert(1562, 1, NULL, "").why, WF_CONV_RANGE);
    cr_expect(!convert(1560, 1, NULL, "10").ok);
}

Test(types, other_scalars)
{
    static const struct vector v[] = {
        {16, -1, "t", "01"},
        {16, -1, "f", "00"},
        {17, -1, "\\x00ff10", "0600ff10"},
        {17, -1, "\\x", "00"},
        {17, -1, "\\xDEADbeef", "08deadbeef"},
        {600, -1, "(1.5,-2)",
         "000000000000f83f00000000000000c0022a0101000000000000000000f83f00000000000000c000"},
        {600, -1, "(NaN,Infinity)",
         "000000000000f87f000000000000f07f022a0101000000000000000000f87f000000000000f07f00"},
    };
    static const char *const bad_points[] = {"", "()", "(1)", "(,)", "(1,2", "1,2)", "(1,2,3)"};

    check(v, sizeof(v) / sizeof(v[0]));
    cr_expect(!convert(16, -1, NULL, "true").ok);
    cr_expect(!convert(17, -1, NULL, "\\x0").ok);
    cr_expect(!convert(17, -1, NULL, "\\xzz").ok);
    cr_expect(!convert(17, -1, NULL, "abc").ok);
    cr_expect(convert(2950, -1, NULL, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").ok);
    cr_expect(!convert(2950, -1, NULL, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g").ok);
    cr_expect(!convert(2950, -1, NULL, "a0eebc999c0b-4ef8-bb6d-6bb9bd380a11-").ok);
    for (size_t i = 0; i < sizeof(bad_points) / sizeof(bad_points[0]); i++)
        cr_expect(!convert(600, -1, NULL, bad_points[i]).ok, "%s", bad_points[i]);
}

Test(types, hstore_becomes_a_json_object)
{
    static const char *const v[][2] = {
        {"", "{}"},
        {"\"a\"=>\"1\", \"b c\"=>NULL, \"q\\\"t\"=>\"x=>y\"",
         "{\"a\":\"1\",\"b c\":null,\"q\\\"t\":\"x=>y\"}"},
        {"\"n\"=>\"a\nb\x01\"", "{\"n\":\"a\\nb\\u0001\"}"},
        {"\"\\\\\"=>\"\"", "{\"\\\\\":\"\"}"},
    };
    static const char *const bad[] = {"a=>1",          "\"a\"",  "\"a\"=>",
                                      "\"a\"=>\"1\",", "\"a=>1", "\"a\"=>\"1\" \"b\"=>\"2\"",
                                      "\"a\"=>nul",    "\"a\\"};

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
        cr_expect_str_eq(convert(70000, -1, "hstore", v[i][0]).hex, text_hex(v[i][1]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect(!convert(70000, -1, "hstore", bad[i]).ok, "%s", bad[i]);
}

/* ---- schema texts and defaults ---- */

static const char *schema_of(const struct wf_type_in *in)
{
    static char text[1024];
    struct wf_coltype t;
    struct wf_buf b;
    uint32_t defined = 0;

    wf_buf_init(&b, 4096);
    wf_type_resolve(&t, in);
    wf_schema_type(&b, &t.avro, NULL, &defined);
    snprintf(text, sizeof(text), "%.*s", (int)b.len, (char *)b.data);
    wf_buf_deinit(&b);
    return text;
}

#define D(x) "io.debezium." x

Test(types, schema_texts)
{
    static const struct {
        struct wf_type_in in;
        const char *text;
    } v[] = {
        {{.oid = 21, .typmod = -1}, "{\"type\":\"int\",\"connect.type\":\"int16\"}"},
        {{.oid = 23, .typmod = -1}, "\"int\""},
        {{.oid = 26, .typmod = -1}, "\"long\""},
        {{.oid = 1700, .typmod = NUMERIC(5, -2)},
         "{\"type\":\"bytes\",\"scale\":0,\"precision\":7,\"connect.version\":1,"
         "\"connect.parameters\":{\"scale\":\"0\",\"connect.decimal.precision\":\"7\"},"
         "\"connect.name\":\"org.apache.kafka.connect.data.Decimal\",\"logicalType\":\"decimal\"}"},
        {{.oid = 790, .typmod = -1},
         "{\"type\":\"bytes\",\"scale\":2,\"precision\":64,\"connect.version\":1,"
         "\"connect.parameters\":{\"scale\":\"2\"},"
         "\"connect.name\":\"org.apache.kafka.connect.data.Decimal\",\"logicalType\":\"decimal\"}"},
        {{.oid = 1082, .typmod = -1},
         "{\"type\":\"int\",\"connect.version\":1,\"connect.name\":\"" D("time.Date") "\"}"},
        {{.oid = 1083, .typmod = 3},
         "{\"type\":\"int\",\"connect.version\":1,\"connect.name\":\"" D("time.Time") "\"}"},
        {{.oid = 1083, .typmod = 4},
         "{\"type\":\"long\",\"connect.version\":1,\"connect.name\":\"" D(
             "time.MicroTime") "\",\"logicalType\":\"time-micros\"}"},
        {{.oid = 1114, .typmod = 0},
         "{\"type\":\"long\",\"connect.version\":1,\"connect.name\":\"" D("time.Timestamp") "\"}"},
        {{.oid = 1114, .typmod = -1},
         "{\"type\":\"long\",\"connect.version\":1,\"connect.name\":\"" D(
             "time.MicroTimestamp") "\",\"logicalType\":\"local-timestamp-micros\"}"},
        {{.oid = 2950, .typmod = -1},
         "{\"type\":\"string\",\"connect.version\":1,\"connect.name\":\"" D(
             "data.Uuid") "\",\"logicalType\":\"uuid\"}"},
        {{.oid = 1562, .typmod = -1},
         "{\"type\":\"bytes\",\"connect.version\":1,\"connect.parameters\":{\"length\":"
         "\"2147483647\"},\"connect.name\":\"" D("data.Bits") "\"}"},
        {{.oid = 1560, .typmod = 1}, "\"boolean\""},
        {{.oid = 70001, .typmod = -1, .enum_labels = "sad,very, happy,it's"},
         "{\"type\":\"string\",\"connect.version\":1,\"connect.parameters\":{\"allowed\":\"sad,"
         "very, happy,it's\"},\"connect.name\":\"" D("data.Enum") "\"}"},
        {{.oid = 1007, .typmod = -1, .name = "_int4", .text_name = "int4[]"},
         "{\"type\":\"array\",\"items\":[\"null\",\"int\"]}"},
        {{.oid = 70002, .typmod = -1, .name = "int4", .trust_name = true}, "\"int\""},
        {{.oid = 70002, .typmod = -1, .name = "int4", .text_name = "int4"},
         "{\"type\":\"string\",\"walferry.pg.type\":\"int4\"}"},
        {{.oid = 70003, .typmod = -1, .name = "citext"}, "\"string\""},
    };

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
        cr_expect_str_eq(schema_of(&v[i].in), v[i].text);
}

/* NULL: no default is shown. */
static const char *default_of(uint32_t oid, int32_t typmod, const char *labels, const char *name,
                              const char *expr)
{
    static char text[512];
    struct wf_type_in in = {.oid = oid, .typmod = typmod, .enum_labels = labels, .name = name};
    struct wf_coltype t;
    struct wf_buf avro, json;
    bool ok;

    wf_buf_init(&avro, 4096);
    wf_buf_init(&json, 4096);
    wf_type_resolve(&t, &in);
    ok = wf_type_default(&t, expr, &avro, &json);
    snprintf(text, sizeof(text), "%s", ok ? (char *)json.data : "");
    wf_buf_deinit(&avro);
    wf_buf_deinit(&json);
    return ok ? text : NULL;
}

/* What a real run showed for a table of defaults, the expressions as pg_get_expr() prints them. */
Test(types, defaults_of_a_real_run)
{
    static const struct {
        uint32_t oid;
        int32_t typmod;
        const char *expr, *json;
    } v[] = {
        {23, -1, "nextval('t_def_id_seq'::regclass)", "0"},
        {25, -1, "'x'::text", "\"x\""},
        {25, -1, "'it''s \"q\"'::text", "\"it's \\\"q\\\"\""},
        {25, -1, "''::text", "\"\""},
        {25, -1, "E'a\\\\b'::text", "\"a\\\\b\""},
        {1043, 9, "'ab'::character varying(5)", "\"ab\""},
        {1042, 7, "'ab'::bpchar", "\"ab\""},
        {21, -1, "7", "7"},
        {23, -1, "'-5'::integer", "-5"},
        {20, -1, "'9000000000'::bigint", "9000000000"},
        {20, -1, "(7)::bigint", "7"},
        {700, -1, "1.5", "1.5"},
        {701, -1, "2.25", "2.25"},
        {701, -1, "'1e+20'::numeric", "1.0E20"},
        {701, -1, "0.00001", "1.0E-5"},
        {701, -1, "100", "100.0"},
        {700, -1, "'-9.2233678e+20'::real", "-9.223368E20"},
        {701, -1, "'NaN'::double precision", NULL},
        {16, -1, "true", "true"},
        {16, -1, "false", "false"},
        {1700, -1, "3.14", NULL},
        {1700, NUMERIC(10, 2), "1.5", "\"\\u0000\xc2\x96\""},
        {790, -1, "1.23", NULL},
        {1082, -1, "'2020-01-02'::date", "18263"},
        {1082, -1, "CURRENT_DATE", "0"},
        {1083, -1, "'12:34:56'::time without time zone", "45296000000"},
        {1083, 3, "'12:34:56.789'::time without time zone", "45296789"},
        {1114, -1, "'2020-01-02 03:04:05.123456'::timestamp without time zone", "1577934245123456"},
        {1114, -1, "now()", "0"},
        {1114, 3, "'2020-01-02 03:04:05.123'::timestamp without time zone", "1577934245123"},
        {1184, -1, "'2020-01-02 01:04:05+00'::timestamp with time zone",
         "\"2020-01-02T01:04:05.000000Z\""},
        {1184, -1, "now()", "\"1970-01-01T00:00:00.000000Z\""},
        {1266, -1, "'10:00:00+02'::time with time zone", NULL},
        {1186, -1, "'1 day 02:00:00'::interval", "93600000000"},
        {2950, -1, "'00000000-0000-0000-0000-00000000000a'::uuid",
         "\"00000000-0000-0000-0000-00000000000a\""},
        {2950, -1, "gen_random_uuid()", "\"00000000-0000-0000-0000-000000000000\""},
        {3802, -1, "'{\"a\": 1}'::jsonb", "\"{\\\"a\\\": 1}\""},
        {114, -1, "'[]'::json", "\"[]\""},
        {17, -1, "'\\x01ff'::bytea", NULL},
        {1007, -1, "'{1,2}'::integer[]", NULL},
        {23, -1, "(1 + 2)", NULL},
        {23, -1, "1 + 2", NULL},
        {25, -1, "lower('ABC'::text)", "\"\""},
        {869, -1, "'10.0.0.1'::inet", NULL},
        {1560, 3, "'101'::\"bit\"", "\"\\u0005\""},
        {1560, 3, "B'101'::\"bit\"", "\"\\u0005\""},
        {1560, 1, "'1'::\"bit\"", "true"},
        {600, -1, "'(1,2)'::point", NULL},
        {3904, -1, "'[1,5)'::int4range", NULL},
        {142, -1, "'<a/>'::xml", "\"<a/>\""},
        {25, -1, "CURRENT_USER", "\"CURRENT_USER\""},
        {25, -1, "NULL::text", NULL},
        {25, -1, "('a'::text || 'b'::text)", NULL},
        {25, -1, "'unclosed", NULL},
        {23, -1, "CURRENT_USER", NULL},
        {23, -1, "", NULL},
        {23, -1, "'99999999999'::integer", NULL},
        {1082, -1, "'now'::text::date", NULL},
    };

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        const char *json = default_of(v[i].oid, v[i].typmod, NULL, NULL, v[i].expr);

        cr_expect_eq(json == NULL, v[i].json == NULL, "oid %u: %s gave %s", v[i].oid, v[i].expr,
                     json ? json : "none");
        if (json && v[i].json)
            cr_expect_str_eq(json, v[i].json);
    }
    cr_expect_str_eq(default_of(70000, -1, "sad,very, happy", "mood", "'very, happy'::mood"),
                     "\"very, happy\"");
    cr_expect_null(default_of(70000, -1, NULL, "citext", "'Ci'::citext"));
    cr_expect_null(default_of(70000, -1, NULL, "ltree", "'a.b'::ltree"));
}

/* Whatever the length of a text, the converters stay inside the room they ask for. */
Test(types, room_is_enough)
{
    static const char *const texts[] = {"999999999999999999999999999999",
                                        "-0.1",
                                        "\\xffff",
                                        "\"\x01\x01\x01\x01\x01\x01\"=>\"\x02\x02\x02\x02\"",
                                        "294276-12-31 23:59:59.999999+00",
                                        "(1e300,-1e-300)",
                                        ""};

    for (size_t i = 0; i < wf_ntypes; i++)
        for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
            struct wf_type_in in = {.oid = wf_types[i].oid, .typmod = -1, .name = wf_types[i].name};
            size_t n = strlen(texts[k]), room;
            enum wf_conv_why why;
            unsigned char *p, *end;
            struct wf_coltype t;

            wf_type_resolve(&t, &in);
            room = t.room + n * t.room_per_byte;
            p = malloc(room);
            end = t.conv(&t, texts[k], n, p, &why);
            cr_expect(!end || (size_t)(end - p) <= room, "%s", wf_types[i].name);
            free(p);
        }
}

/* docs/types.md is written by `wf_types_docs()`; to renew it, copy the file this test leaves. */
Test(types, documentation_is_up_to_date)
{
    FILE *f = fopen(WF_SOURCE_DIR "/docs/types.md", "r");
    static char have[65536];
    struct wf_buf want;
    size_t n;

    cr_assert_not_null(f, "docs/types.md is missing");
    n = fread(have, 1, sizeof(have), f);
    fclose(f);
    wf_buf_init(&want, sizeof(have));
    wf_types_docs(&want);
    if (want.len != n || memcmp(want.data, have, n)) {
        f = fopen("types.md.new", "w");
        cr_assert_not_null(f);
        fwrite(want.data, 1, want.len, f);
        fclose(f);
        cr_expect(false, "docs/types.md differs from the table: compare with types.md.new");
    }
    wf_buf_deinit(&want);
}
