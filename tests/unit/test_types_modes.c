/* Forms of types by profile and mode; values, bytes and schema texts as a real Debezium wrote them
 * where it has the mode. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "config.h"
#include "profile.h"
#include "types.h"

#define NUMERIC(p, s) (((p) << 16 | ((s) & 0x7ff)) + 4)

enum { BOOL = 16, BYTEA = 17, INT2 = 21, INT4 = 23, TEXT = 25, FLOAT4 = 700, MONEY = 790 };
enum { DATE = 1082, TIME = 1083, TIMESTAMP = 1114, TIMESTAMPTZ = 1184, INTERVAL = 1186 };
enum { BIT = 1560, VARBIT = 1562, NUM = 1700, UUID = 2950, INET = 869, LSN = 3220, JSONB = 3802 };

static struct wf_type_modes modes_of(int profile)
{
    struct wf_format_conf conf = {.profile = profile, .money_digits = 2};

    return wf_profile_modes(&conf);
}

/* The modes of the captured runs: main, alt1, alt2, alt3, alt4. */
static struct wf_type_modes run(int n)
{
    struct wf_type_modes m = modes_of(WF_PROFILE_STRICT);
    static const int times[] = {WF_TIME_ADAPTIVE, WF_TIME_CONNECT, WF_TIME_ADAPTIVE_TIME_MICROS,
                                WF_TIME_ISOSTRING, WF_TIME_MICROS};
    static const int binaries[] = {WF_BINARY_BYTES, WF_BINARY_BASE64, WF_BINARY_HEX,
                                   WF_BINARY_BASE64_URL, WF_BINARY_BYTES};

    m.time = times[n];
    m.binary = binaries[n];
    m.decimal = n == 1 ? WF_DECIMAL_STRING : n == 2 ? WF_DECIMAL_DOUBLE : WF_DECIMAL_PRECISE;
    m.interval = n == 1 || n == 4 ? WF_INTERVAL_STRING : WF_INTERVAL_NUMERIC;
    m.unknown = n == 1;
    return m;
}

struct column {
    struct wf_coltype t;
    struct wf_buf b;
    enum wf_resolved resolved;
};

static void open_column(struct column *c, const struct wf_type_modes *m, uint32_t oid,
                        int32_t typmod, const char *name)
{
    struct wf_type_in in = {
        .oid = oid, .typmod = typmod, .name = name, .text_name = name, .modes = m};

    wf_buf_init(&c->b, 1u << 20);
    c->resolved = wf_type_resolve(&c->t, &in);
}

static void close_column(struct column *c)
{
    wf_type_free(&c->t);
    wf_buf_deinit(&c->b);
}

/* Avro bytes for reading: longs and strings as text, doubles by %.17g, others in hex. */
static void show(const struct column *c, char *out, size_t size)
{
    const unsigned char *p = c->b.data;
    uint64_t z = 0;
    size_t i = 0;
    unsigned shift = 0;
    double d;

    out[0] = '\0';
    if (c->t.avro.record == WF_RECORD_NONE && c->t.avro.base[0] == 'd') {
        memcpy(&d, p, sizeof(d));
        snprintf(out, size, "%.17g", d);
        return;
    }
    if (c->t.avro.record == WF_RECORD_NONE && strchr("ils", c->t.avro.base[0])) {
        do {
            z |= (uint64_t)(p[i] & 0x7f) << shift;
            shift += 7;
        } while (p[i++] & 0x80);
        if (c->t.avro.base[0] == 's')
            snprintf(out, size, "%.*s", (int)(c->b.len - i), (const char *)p + i);
        else
            snprintf(out, size, "%lld", (long long)(z >> 1 ^ -(z & 1)));
        return;
    }
    for (i = 0; i < c->b.len && 2 * i + 3 < size; i++)
        snprintf(out + 2 * i, 3, "%02x", p[i]);
}

/* The value, or how it was refused. */
static const char *convert(const struct wf_type_modes *m, uint32_t oid, int32_t typmod,
                           const char *text)
{
    static const char *const refusals[] = {"bad", "range", "special"};
    static char out[5000];
    enum wf_conv_why why;
    struct column c;

    open_column(&c, m, oid, typmod, NULL);
    if (wf_type_put(&c.t, text, strlen(text), &c.b, &why))
        show(&c, out, sizeof(out));
    else
        snprintf(out, sizeof(out), "%s", refusals[why]);
    close_column(&c);
    return out;
}

struct value {
    uint32_t oid;
    int32_t typmod;
    const char *text, *want;
};

static void check(const struct wf_type_modes *m, const struct value *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *have = convert(m, v[i].oid, v[i].typmod, v[i].text);

        cr_expect_str_eq(have, v[i].want, "oid %u typmod %d: %s gave %s, not %s", v[i].oid,
                         v[i].typmod, v[i].text, have, v[i].want);
    }
}

#define CHECK(m, v) check((m), (v), sizeof(v) / sizeof((v)[0]))

/* Run alt1: connect, decimals and intervals as text, base64. */
Test(modes, connect_and_strings)
{
    static const struct value v[] = {
        {DATE, -1, "2024-02-29", "19782"},
        {DATE, -1, "infinity", "2146033979"},
        {DATE, -1, "4713-01-01 BC", "-2440550"},
        {DATE, -1, "5874897-12-31", "2145042905"},
        {TIME, 0, "12:34:57", "45297000"},
        {TIME, 6, "12:34:56.789012", "45296789"},
        {TIME, -1, "23:59:59.999999", "86399999"},
        {TIME, -1, "24:00:00", "86400000"},
        {TIMESTAMP, 4, "2024-02-29 12:34:56.7891", "1709210096789"},
        {TIMESTAMP, 4, "1969-12-31 23:59:59.9999", "-1"},
        {TIMESTAMP, -1, "1969-12-31 23:59:59.999999", "-1"},
        {TIMESTAMP, 3, "294276-12-31 23:59:59.999", "9224318015999999"},
        {TIMESTAMP, -1, "294276-12-31 23:59:59.999999", "9224318015999999"},
        {TIMESTAMP, -1, "0044-03-15 12:00:00 BC", "-63517780800000"},
        {TIMESTAMP, -1, "infinity", "9223372036825200000"},
        {TIMESTAMP, -1, "-infinity", "-9223372036832400000"},
        {TIMESTAMPTZ, -1, "2024-02-29 10:34:56+00", "2024-02-29T10:34:56.000000Z"},
        {INTERVAL, -1, "1 year 2 mons 3 days 04:05:06.789", "P1Y2M3DT4H5M6.789S"},
        {INTERVAL, -1, "00:00:00", "P0Y0M0DT0H0M0S"},
        {INTERVAL, -1, "-1 mons", "P0Y-1M0DT0H0M0S"},
        {INTERVAL, -1, "-1 years", "P-1Y0M0DT0H0M0S"},
        {INTERVAL, -1, "-00:00:00.001", "P0Y0M0DT0H0M-0.001S"},
        {INTERVAL, -1, "-04:05:06.5", "P0Y0M0DT-4H-5M-6.5S"},
        {INTERVAL, -1, "178000000 years", "P178000000Y0M0DT0H0M0S"},
        {INTERVAL, -1, "1 mon -1 days", "P0Y1M-1DT0H0M0S"},
        {INTERVAL, -1, "00:00:00.000001", "P0Y0M0DT0H0M0.000001S"},
        {INTERVAL, -1, "2562047788:00:54.775807", "P0Y0M0DT2562047788H0M54.775807S"},
        {INTERVAL, -1, "infinity", "special"},
        {NUM, -1, "123.4500", "123.4500"},
        {NUM, -1, "-0.00000000000000000001", "-0.00000000000000000001"},
        {NUM, -1, "NaN", "NAN"},
        {NUM, -1, "Infinity", "POSITIVE_INFINITY"},
        {NUM, -1, "-Infinity", "NEGATIVE_INFINITY"},
        {NUM, NUMERIC(10, 2), "NaN", "NAN"},
        {NUM, NUMERIC(10, 2), "0.10", "0.10"},
        {NUM, NUMERIC(10, 2), "1", "1.00"},
        {NUM, NUMERIC(10, 2), "-1.5", "-1.50"},
        {NUM, NUMERIC(10, 2), "1.500", "1.50"},
        {NUM, NUMERIC(10, 2), "1.234", "range"},
        {NUM, -1, "1e5", "bad"},
        {MONEY, -1, "-$92,233,720,368,547,758.08", "-92233720368547758.08"},
        {MONEY, -1, "$1,234.56", "1234.56"},
        {MONEY, -1, "$1", "bad"},
        {BYTEA, -1, "\\x00ff10", "AP8Q"},
        {BYTEA, -1, "\\x", ""},
        {BYTEA, -1, "\\x0", "bad"},
        {BYTEA, -1, "\\x0g", "bad"},
        {LSN, -1, "16/B374D848", "MTYvQjM3NEQ4NDg="},
        {BIT, 4, "0101", "0205"},
    };
    struct wf_type_modes m = run(1);

    CHECK(&m, v);
}

/* Run alt2: doubles, hexadecimal, adaptive with times in microseconds. */
Test(modes, doubles_and_adaptive_times)
{
    static const struct value v[] = {
        {NUM, -1, "123.4500", "123.45"},
        {NUM, -1, "-0.00000000000000000001", "-9.9999999999999995e-21"},
        {NUM, -1, "NaN", "nan"},
        {NUM, -1, "Infinity", "inf"},
        {NUM, -1, "-Infinity", "-inf"},
        {NUM, NUMERIC(38, 0), "12345678901234567890123456789012345678", "1.2345678901234568e+37"},
        {NUM, NUMERIC(5, -2), "12300", "12300"},
        {NUM, NUMERIC(3, 5), "0.00123", "0.00123"},
        {NUM, -1, ".", "bad"},
        {MONEY, -1, "-$92,233,720,368,547,758.08", "-92233720368547760"},
        {MONEY, -1, "$0.01", "0.01"},
        {BYTEA, -1, "\\x00FF10", "00ff10"},
        {TIME, 0, "12:34:57", "45297000000"},
        {TIME, 3, "24:00:00", "86400000000"},
        {TIMESTAMP, 3, "2024-02-29 12:34:56.789", "1709210096789"},
        {TIMESTAMP, 3, "infinity", "9223372036825200000"},
        {TIMESTAMP, 4, "1969-12-31 23:59:59.9999", "-100"},
        {TIMESTAMP, 6, "-infinity", "-9223372036854775808"},
        {TIMESTAMP, 6, "294276-12-31 23:59:59.999999", "range"},
        {INTERVAL, -1, "1 year 2 mons 3 days 04:05:06.789", "37091106789000"},
        {INTERVAL, -1, "1 mon -1 days", "2543400000000"},
        {INTERVAL, -1, "178000000 years", "range"},
    };
    struct wf_type_modes m = run(2);

    CHECK(&m, v);
}

/* Long numerics round as the library rounds the same number; beyond the range they are refused. */
Test(modes, doubles_of_long_numerics)
{
    struct wf_type_modes m = run(2);
    char text[2000];

    memset(text, '0', sizeof(text));
    text[0] = '1';
    text[301] = '\0';
    cr_expect_str_eq(convert(&m, NUM, -1, text), "1.0000000000000001e+300");
    text[301] = '0';
    text[400] = '\0';
    cr_expect_str_eq(convert(&m, NUM, -1, text), "range");
    text[400] = '0';
    /* 2^53 + 1 is a tie; one more digit far behind lifts it */
    snprintf(text, 18, "9007199254740993.");
    text[17] = '0';
    text[1500] = '\0';
    cr_expect_str_eq(convert(&m, NUM, -1, text), "9007199254740992");
    text[1499] = '1';
    cr_expect_str_eq(convert(&m, NUM, -1, text), "9007199254740994");
    memset(text, '0', 400);
    text[1] = '.';
    text[399] = '1';
    text[400] = '\0';
    cr_expect_str_eq(convert(&m, NUM, -1, text), "0");
    memset(text, '0', 400);
    text[1] = '.';
    snprintf(text + 325, 10, "49");
    cr_expect_str_eq(convert(&m, NUM, -1, text), "4.9406564584124654e-324");
}

/* Run alt3: ISO 8601 texts. */
Test(modes, isostring)
{
    static const struct value v[] = {
        {DATE, -1, "2020-01-02", "2020-01-02Z"},
        {DATE, -1, "4713-01-01 BC", "-4712-01-01Z"},
        {DATE, -1, "5874897-12-31", "+5874897-12-31Z"},
        {DATE, -1, "infinity", "infinity"},
        {DATE, -1, "2020-13-02", "bad"},
        {TIME, -1, "12:34:56", "12:34:56Z"},
        {TIME, 3, "12:34:56.789", "12:34:56.789Z"},
        {TIME, -1, "12:34:56.1", "12:34:56.1Z"},
        {TIME, -1, "24:00:00", "24:00:00Z"},
        {TIMESTAMP, -1, "2020-01-02 03:04:05.123456", "2020-01-02T03:04:05.123456Z"},
        {TIMESTAMP, 3, "2020-01-02 03:04:05.120", "2020-01-02T03:04:05.12Z"},
        {TIMESTAMP, -1, "1970-01-01 00:00:00", "1970-01-01T00:00:00Z"},
        {TIMESTAMP, -1, "0001-01-01 00:00:00 BC", "0000-01-01T00:00:00Z"},
        {TIMESTAMP, -1, "294276-12-31 23:59:59.999999", "+294276-12-31T23:59:59.999999Z"},
        {TIMESTAMP, -1, "-infinity", "-infinity"},
        {BYTEA, -1, "\\x01ff", "Af8="},
        {BYTEA, -1, "\\xfbff", "-_8="},
    };
    struct wf_type_modes m = run(3);

    CHECK(&m, v);
}

/* Run alt4, and nanoseconds, which no run has. */
Test(modes, microseconds_and_nanoseconds)
{
    static const struct value micros[] = {
        {TIME, 0, "12:34:57", "45297000000"},
        {TIMESTAMP, 0, "2024-02-29 12:34:57", "1709210097000000"},
        {TIMESTAMP, 0, "infinity", "9223372036854775807"},
        {TIMESTAMP, 0, "294276-12-31 23:59:59", "range"},
        {TIMESTAMP, 0, "4713-01-01 00:00:00 BC", "-210863520000000000"},
        {INTERVAL, -1, "10 days", "P0Y0M10DT0H0M0S"},
    };
    static const struct value nanos[] = {
        {TIME, 0, "24:00:00", "86400000000000"},
        {TIME, -1, "00:00:00.000001", "1000"},
        {TIMESTAMP, -1, "1969-12-31 23:59:59.999999", "-1000"},
        {TIMESTAMP, -1, "2262-04-11 23:47:16.854775", "9223372036854775000"},
        {TIMESTAMP, -1, "2262-04-11 23:47:16.854776", "range"},
        {TIMESTAMP, -1, "1677-09-21 00:12:43", "range"},
        {TIMESTAMP, -1, "infinity", "9223372036854775807"},
        {TIMESTAMP, -1, "-infinity", "-9223372036854775808"},
    };
    struct wf_type_modes m = run(4);

    CHECK(&m, micros);
    m.time = WF_TIME_NANOS;
    CHECK(&m, nanos);
}

Test(modes, native_values)
{
    static const struct value v[] = {
        {DATE, -1, "2024-02-29", "19782"},
        {DATE, -1, "infinity", "special"},
        {TIME, 3, "12:34:56.789", "45296789000"},
        {TIMESTAMP, 0, "2024-02-29 12:34:57", "1709210097000000"},
        {TIMESTAMP, -1, "-infinity", "special"},
        {TIMESTAMPTZ, -1, "2024-02-29 12:34:56.789012+02", "1709202896789012"},
        {TIMESTAMPTZ, -1, "0044-03-15 12:00:00+00 BC", "-63517780800000000"},
        {TIMESTAMPTZ, -1, "infinity", "special"},
        {INTERVAL, -1, "1 year 2 mons 3 days 04:05:06.789", "1c0690aabec96d"},
        {INTERVAL, -1, "-1 mons", "010000"},
        {NUM, -1, "123.4500", "123.4500"},
        {NUM, -1, "NaN", "NaN"},
        {NUM, -1, "-Infinity", "-Infinity"},
        {NUM, NUMERIC(10, 2), "123.45", "043039"},
        {NUM, NUMERIC(10, 2), "NaN", "special"},
        {MONEY, -1, "$1,234.56", "0601e240"},
        {BIT, 4, "0101", "0101"},
        {BIT, 1, "1", "01"},
        {VARBIT, 1, "", ""},
        {BIT, 4, "01x1", "bad"},
        {UUID, -1, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
    };
    struct wf_type_modes m = modes_of(WF_PROFILE_NATIVE);

    CHECK(&m, v);
    m = modes_of(WF_PROFILE_ROW);
    CHECK(&m, v);
}

Test(modes, money_digits)
{
    struct wf_type_modes m = modes_of(WF_PROFILE_DEBEZIUM);

    m.money_digits = 0;
    cr_expect_str_eq(convert(&m, MONEY, -1, "$5.00"), "0205");
    cr_expect_str_eq(convert(&m, MONEY, -1, "$5.01"), "range");
    m.money_digits = 4;
    cr_expect_str_eq(convert(&m, MONEY, -1, "$5.00"), "0600c350");
    m.decimal = WF_DECIMAL_STRING;
    cr_expect_str_eq(convert(&m, MONEY, -1, "$5.00"), "5.0000");
}

/* Strict: eleven bits of scale, as Debezium takes them. */
Test(modes, strict_negative_scale)
{
    struct wf_type_modes m = run(0);
    const char *hex = convert(&m, NUM, NUMERIC(5, -2), "12300");

    cr_expect_eq(strlen(hex), 2u * (2 + 852));
    cr_expect(!strncmp(hex, "a80d04c2ce5860dc47c1cdc62129b125", 32), "%.40s", hex);
    m.decimal = WF_DECIMAL_STRING;
    hex = convert(&m, NUM, NUMERIC(5, -2), "-99900");
    cr_expect_eq(strlen(hex), 6u + 1 + 2046);
    cr_expect(!strncmp(hex, "-99900.000", 10));
}

/* ---- what is refused or left out as a whole ---- */

static enum wf_resolved resolve(const struct wf_type_modes *m, uint32_t oid, int32_t typmod,
                                const char *name)
{
    enum wf_resolved r;
    struct column c;

    open_column(&c, m, oid, typmod, name);
    r = c.resolved;
    close_column(&c);
    return r;
}

Test(modes, lossy_columns_need_leave)
{
    struct wf_type_modes m = modes_of(WF_PROFILE_CONNECT);

    cr_expect_eq(resolve(&m, TIMESTAMP, -1, NULL), WF_RESOLVED_LOSSY);
    cr_expect_eq(resolve(&m, TIMESTAMP, 4, NULL), WF_RESOLVED_LOSSY);
    cr_expect_eq(resolve(&m, TIMESTAMPTZ, -1, NULL), WF_RESOLVED_LOSSY);
    cr_expect_eq(resolve(&m, TIME, -1, NULL), WF_RESOLVED_LOSSY);
    cr_expect_eq(resolve(&m, TIMESTAMP, 3, NULL), WF_RESOLVED);
    cr_expect_eq(resolve(&m, TIMESTAMPTZ, 0, NULL), WF_RESOLVED);
    cr_expect_eq(resolve(&m, DATE, -1, NULL), WF_RESOLVED);
    cr_expect_str_eq(convert(&m, TIMESTAMPTZ, 3, "2024-02-29 12:34:56.789+00"), "1709210096789");
    cr_expect_str_eq(convert(&m, TIMESTAMPTZ, 3, "2024-02-29 12:34:56.7891+00"), "range");
    m.lossy = WF_LOSSY_ALLOW;
    cr_expect_eq(resolve(&m, TIMESTAMP, -1, NULL), WF_RESOLVED);
    cr_expect_str_eq(convert(&m, TIMESTAMPTZ, -1, "1969-12-31 23:59:59.9999+00"), "-1");
    cr_expect_str_eq(convert(&m, TIMESTAMPTZ, -1, "infinity"), "special");
    m = modes_of(WF_PROFILE_DEBEZIUM);
    m.time = WF_TIME_CONNECT;
    cr_expect_eq(resolve(&m, TIMESTAMP, -1, NULL), WF_RESOLVED);
}

Test(modes, unknown_types)
{
    struct wf_type_modes m = run(0);

    cr_expect_eq(resolve(&m, LSN, -1, "pg_lsn"), WF_RESOLVED_OMIT);
    cr_expect_eq(resolve(&m, 99999, -1, "addr"), WF_RESOLVED_OMIT);
    cr_expect_eq(resolve(&m, 99999, -1, "ean13"), WF_RESOLVED_OMIT);
    cr_expect_eq(resolve(&m, 99999, -1, "isbn"), WF_RESOLVED);
    m.unknown = true;
    cr_expect_eq(resolve(&m, LSN, -1, "pg_lsn"), WF_RESOLVED);
    cr_expect_str_eq(convert(&m, LSN, -1, "1/2"), "06312f32");
    m = modes_of(WF_PROFILE_NATIVE);
    m.unknown = false;
    cr_expect_eq(resolve(&m, 99999, -1, "addr"), WF_RESOLVED_OMIT);
    cr_expect_eq(resolve(&m, LSN, -1, "pg_lsn"), WF_RESOLVED);
}

/* ---- schema texts ---- */

struct schema {
    struct wf_type_in in;
    const char *text;
};

static void check_schemas(const struct wf_type_modes *m, const struct schema *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct wf_type_in in = v[i].in;
        struct wf_coltype t;
        struct wf_buf b;
        uint32_t defined = 0;

        in.modes = m;
        wf_buf_init(&b, 4096);
        wf_type_resolve(&t, &in);
        wf_schema_type(&b, &t.avro, NULL, &defined);
        wf_buf_byte(&b, '\0');
        cr_expect_str_eq((char *)b.data, v[i].text);
        wf_buf_deinit(&b);
        wf_type_free(&t);
    }
}

#define CHECK_SCHEMAS(m, v) check_schemas((m), (v), sizeof(v) / sizeof((v)[0]))
#define KIND(type, name)                                                                           \
    "{\"type\":\"" type "\",\"connect.version\":1,\"connect.name\":\"" name "\""
#define LOGICAL(type, name, l) KIND(type, name) ",\"logicalType\":\"" l "\"}"
#define T "io.debezium.time."
#define K "org.apache.kafka.connect.data."
#define DECIMAL(s, p, params)                                                                      \
    "{\"type\":\"bytes\",\"scale\":" s ",\"precision\":" p                                         \
    ",\"connect.version\":1,\"connect.parameters\":{" params "},\"connect.name\":\"" K             \
    "Decimal\",\"logicalType\":\"decimal\"}"
#define DECIMAL_PARAMS(s, p) "\"scale\":\"" s "\",\"connect.decimal.precision\":\"" p "\""

Test(modes, strict_schemas)
{
    static const struct schema v[] = {
        {{.oid = INT2, .typmod = -1}, "{\"type\":\"int\",\"connect.type\":\"int16\"}"},
        {{.oid = NUM, .typmod = NUMERIC(5, -2)}, DECIMAL("2046", "5", DECIMAL_PARAMS("2046", "5"))},
        {{.oid = NUM, .typmod = NUMERIC(3, 5)}, DECIMAL("5", "3", DECIMAL_PARAMS("5", "3"))},
        {{.oid = MONEY, .typmod = -1}, DECIMAL("2", "64", "\"scale\":\"2\"")},
        {{.oid = TIME, .typmod = -1}, KIND("long", T "MicroTime") "}"},
        {{.oid = TIMESTAMP, .typmod = -1}, KIND("long", T "MicroTimestamp") "}"},
        {{.oid = UUID, .typmod = -1}, KIND("string", "io.debezium.data.Uuid") "}"},
        {{.oid = INET, .typmod = -1}, "\"string\""},
    };
    static const struct schema connect[] = {
        {{.oid = DATE, .typmod = -1}, LOGICAL("int", K "Date", "date")},
        {{.oid = TIME, .typmod = 0}, LOGICAL("int", K "Time", "time-millis")},
        {{.oid = TIMESTAMP, .typmod = -1}, LOGICAL("long", K "Timestamp", "timestamp-millis")},
        {{.oid = TIMESTAMPTZ, .typmod = -1}, KIND("string", T "ZonedTimestamp") "}"},
        {{.oid = INTERVAL, .typmod = -1}, KIND("string", T "Interval") "}"},
        {{.oid = NUM, .typmod = -1}, "\"string\""},
        {{.oid = BYTEA, .typmod = -1}, "\"string\""},
        {{.oid = LSN, .typmod = -1}, "\"string\""},
        {{.oid = BIT, .typmod = 1}, "\"boolean\""},
    };
    static const struct schema iso[] = {
        {{.oid = DATE, .typmod = -1}, KIND("string", T "IsoDate") "}"},
        {{.oid = TIME, .typmod = 0}, KIND("string", T "IsoTime") "}"},
        {{.oid = TIMESTAMP, .typmod = -1}, KIND("string", T "IsoTimestamp") "}"},
        {{.oid = INTERVAL, .typmod = -1}, KIND("long", T "MicroDuration") "}"},
    };
    struct wf_type_modes m = run(0);

    CHECK_SCHEMAS(&m, v);
    m = run(1);
    CHECK_SCHEMAS(&m, connect);
    m = run(3);
    CHECK_SCHEMAS(&m, iso);
}

Test(modes, native_and_connect_schemas)
{
    static const struct schema native[] = {
        {{.oid = INT2, .typmod = -1}, "\"int\""},
        {{.oid = NUM, .typmod = NUMERIC(3, 5)}, DECIMAL("5", "5", DECIMAL_PARAMS("5", "5"))},
        {{.oid = NUM, .typmod = -1}, "{\"type\":\"string\",\"walferry.pg.type\":\"numeric\"}"},
        {{.oid = MONEY, .typmod = -1}, DECIMAL("2", "19", DECIMAL_PARAMS("2", "19"))},
        {{.oid = DATE, .typmod = -1}, LOGICAL("int", K "Date", "date")},
        {{.oid = TIME, .typmod = 0}, LOGICAL("long", T "MicroTime", "time-micros")},
        {{.oid = TIMESTAMP, .typmod = 0},
         LOGICAL("long", T "MicroTimestamp", "local-timestamp-micros")},
        {{.oid = TIMESTAMPTZ, .typmod = -1},
         LOGICAL("long", T "MicroTimestamp", "timestamp-micros")},
        {{.oid = INTERVAL, .typmod = -1},
         "{\"type\":\"record\",\"name\":\"Interval\",\"namespace\":\"walferry\",\"fields\":["
         "{\"name\":\"months\",\"type\":\"int\"},{\"name\":\"days\",\"type\":\"int\"},"
         "{\"name\":\"micros\",\"type\":\"long\"}],\"connect.version\":1,"
         "\"connect.name\":\"walferry.Interval\"}"},
        {{.oid = UUID, .typmod = -1}, "{\"type\":\"string\",\"logicalType\":\"uuid\"}"},
        {{.oid = BIT, .typmod = 8}, "{\"type\":\"string\",\"walferry.pg.type\":\"bit\"}"},
        {{.oid = INET, .typmod = -1}, "{\"type\":\"string\",\"walferry.pg.type\":\"inet\"}"},
        {{.oid = TEXT, .typmod = -1}, "\"string\""},
    };
    static const struct schema connect[] = {
        {{.oid = INT2, .typmod = -1}, "{\"type\":\"int\",\"connect.type\":\"int16\"}"},
        {{.oid = TIME, .typmod = 3}, LOGICAL("int", K "Time", "time-millis")},
        {{.oid = TIMESTAMPTZ, .typmod = 3}, LOGICAL("long", K "Timestamp", "timestamp-millis")},
    };
    struct wf_type_modes m = modes_of(WF_PROFILE_NATIVE);

    CHECK_SCHEMAS(&m, native);
    m = modes_of(WF_PROFILE_CONNECT);
    CHECK_SCHEMAS(&m, connect);
    m = modes_of(WF_PROFILE_DEBEZIUM);
    m.zoned = WF_ZONED_TIMESTAMP_MICROS;
    check_schemas(&m, &native[7], 1);
    cr_expect_str_eq(convert(&m, TIMESTAMPTZ, -1, "infinity"), "9223372036854775807");
}

/* @front: before the parameters, @own: those in front of the column's, @rest: behind them */
#define TOLD(front, own, t, l, s, n, rest)                                                         \
    "{" front ",\"connect.parameters\":{" own "\"__debezium.source.column.type\":\"" t             \
    "\",\"__debezium.source.column.length\":\"" l "\",\"__debezium.source.column.scale\":\"" s     \
    "\",\"__debezium.source.column.name\":\"" n "\"}" rest "}"
#define PLAIN(type) "\"type\":\"" type "\""
#define NAMED(type) PLAIN(type) ",\"connect.version\":1"
#define NAME(name) ",\"connect.name\":\"" name "\""
#define IN(o, m, n, f) .oid = (o), .typmod = (m), .name = (n), .field_name = (f), .propagate = true

/* clang-format off */
static const struct schema told[] = {
    {{IN(INT2, -1, "int2", "i2")},
     TOLD(PLAIN("int"), "", "INT2", "5", "0", "i2", ",\"connect.type\":\"int16\"")},
    {{IN(NUM, -1, "numeric", "n")}, TOLD(PLAIN("double"), "", "NUMERIC", "131089", "0", "n", "")},
    {{IN(NUM, NUMERIC(5, -2), "numeric", "n")},
     TOLD(PLAIN("double"), "", "NUMERIC", "5", "2046", "n", "")},
    {{IN(NUM, NUMERIC(8, 3), "numeric", "dp"), .source_type = "price"},
     TOLD(PLAIN("double"), "", "PRICE", "8", "3", "dp", "")},
    {{IN(FLOAT4, -1, "float4", "f")}, TOLD(PLAIN("float"), "", "FLOAT4", "8", "8", "f", "")},
    {{IN(1043, 24, "varchar", "vc")}, TOLD(PLAIN("string"), "", "VARCHAR", "20", "0", "vc", "")},
    {{IN(BIT, 4, "bit", "b4")},
     TOLD(NAMED("bytes"), "\"length\":\"4\",", "BIT", "4", "0", "b4",
          NAME("io.debezium.data.Bits"))},
    {{IN(TIME, 3, "time", "t3")},
     TOLD(NAMED("long"), "", "TIME", "12", "3", "t3", NAME(T "MicroTime"))},
    {{IN(TIMESTAMPTZ, -1, "timestamptz", "tt")},
     TOLD(NAMED("string"), "", "TIMESTAMPTZ", "35", "6", "tt", NAME(T "ZonedTimestamp"))},
    {{IN(INTERVAL, 6 << 16 | 0xffff, "interval", "ivm")},
     TOLD(NAMED("long"), "", "INTERVAL", "49", "65535", "ivm", NAME(T "MicroDuration"))},
    {{IN(600, -1, "point", "p")},
     TOLD("\"type\":\"record\",\"name\":\"Point\",\"namespace\":\"io.debezium.data.geometry\","
          "\"fields\":[{\"name\":\"x\",\"type\":\"double\"},{\"name\":\"y\",\"type\":\"double\"},"
          "{\"name\":\"wkb\",\"type\":[\"null\",\"bytes\"],\"default\":null},"
          "{\"name\":\"srid\",\"type\":[\"null\",\"int\"],\"default\":null}],"
          "\"connect.doc\":\"Geometry (POINT)\",\"connect.version\":1",
          "", "POINT", "2147483647", "0", "p", NAME("io.debezium.data.geometry.Point"))},
};
/* clang-format on */

/* Run alt2: column.propagate.source.type. */
Test(modes, column_parameters)
{
    struct wf_type_modes m = run(2);

    CHECK_SCHEMAS(&m, told);
}

/* ---- constants: defaults, fills, placeholders ---- */

static const char *default_of(const struct wf_type_modes *m, uint32_t oid, int32_t typmod,
                              const char *expr)
{
    static char text[512];
    struct wf_buf json;
    struct column c;
    bool ok;

    open_column(&c, m, oid, typmod, NULL);
    wf_buf_init(&json, 4096);
    ok = wf_type_default(&c.t, expr, &c.b, &json);
    snprintf(text, sizeof(text), "%s", ok ? (char *)json.data : "none");
    wf_buf_deinit(&json);
    close_column(&c);
    return text;
}

Test(modes, defaults_take_the_form)
{
    static const struct {
        int run;
        uint32_t oid;
        int32_t typmod;
        const char *expr, *json;
    } v[] = {
        {1, NUM, -1, "3.14", "\"3.14\""},
        {1, NUM, -1, "2.50", "\"2.50\""},
        {1, NUM, NUMERIC(10, 2), "1.5", "\"1.50\""},
        {1, MONEY, -1, "1.23", "none"},
        {1, DATE, -1, "CURRENT_DATE", "0"},
        {1, TIME, -1, "'12:34:56'::time without time zone", "45296000"},
        {1, TIMESTAMP, -1, "'2020-01-02 03:04:05.123456'::timestamp without time zone",
         "1577934245123"},
        {1, INTERVAL, -1, "'1 day 02:00:00'::interval", "\"P0Y0M1DT2H0M0S\""},
        {1, BYTEA, -1, "'\\x01ff'::bytea", "none"},
        {2, NUM, -1, "3.14", "3.14"},
        {2, NUM, NUMERIC(10, 2), "1.5", "1.5"},
        {2, TIME, 3, "'12:34:56.789'::time without time zone", "45296789000"},
        {2, TIMESTAMP, 3, "'2020-01-02 03:04:05.123'::timestamp without time zone",
         "1577934245123"},
        {3, DATE, -1, "'2020-01-02'::date", "\"2020-01-02Z\""},
        {3, DATE, -1, "CURRENT_DATE", "\"1970-01-01Z\""},
        {3, TIME, 3, "'12:34:56.789'::time without time zone", "\"12:34:56.789Z\""},
        {3, TIMESTAMP, -1, "now()", "\"1970-01-01T00:00:00Z\""},
        {3, BIT, 3, "'101'::\"bit\"", "\"\\u0005\""},
        {4, TIMESTAMP, 3, "'2020-01-02 03:04:05.123'::timestamp without time zone",
         "1577934245123000"},
    };

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct wf_type_modes m = run(v[i].run);

        cr_expect_str_eq(default_of(&m, v[i].oid, v[i].typmod, v[i].expr), v[i].json, "%s",
                         v[i].expr);
    }
}

static const char *constant(const struct wf_type_modes *m, uint32_t oid, int32_t typmod,
                            bool (*put)(const struct wf_coltype *, struct wf_buf *))
{
    static char out[512];
    struct column c;

    open_column(&c, m, oid, typmod, NULL);
    if (put(&c.t, &c.b))
        show(&c, out, sizeof(out));
    else
        snprintf(out, sizeof(out), "none");
    close_column(&c);
    return out;
}

Test(modes, fills_take_the_form)
{
    static const struct {
        int run;
        uint32_t oid;
        int32_t typmod;
        const char *want;
    } v[] = {
        {1, NUM, -1, "0"},
        {1, NUM, NUMERIC(10, 2), "0.00"},
        {1, MONEY, -1, "0.00"},
        {1, DATE, -1, "0"},
        {1, TIME, 3, "0"},
        {1, INTERVAL, -1, "P0Y0M0DT0H0M0S"},
        {1, BYTEA, -1, ""},
        {1, TIMESTAMPTZ, -1, "1970-01-01T00:00:00Z"},
        {2, NUM, NUMERIC(10, 2), "0"},
        {2, MONEY, -1, "0"},
        {3, DATE, -1, "1970-01-01Z"},
        {3, TIME, 3, "00:00:00Z"},
        {3, TIMESTAMP, -1, "1970-01-01T00:00:00Z"},
        {0, NUM, NUMERIC(5, -2), "0200"},
    };

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct wf_type_modes m = run(v[i].run);

        cr_expect_str_eq(constant(&m, v[i].oid, v[i].typmod, wf_type_put_zero), v[i].want,
                         "run %d oid %u", v[i].run, v[i].oid);
    }
}

Test(modes, placeholders_take_the_form)
{
    struct wf_type_modes m = run(0);

    cr_expect_str_eq(constant(&m, BYTEA, -1, wf_type_put_toast),
                     "385f5f646562657a69756d5f756e617661696c61626c655f76616c7565");
    cr_expect_str_eq(constant(&m, NUM, -1, wf_type_put_toast), "none");
    m = run(1);
    cr_expect_str_eq(constant(&m, BYTEA, -1, wf_type_put_toast),
                     "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==");
    cr_expect_str_eq(constant(&m, NUM, -1, wf_type_put_toast), WF_TOAST_PLACEHOLDER);
    cr_expect_str_eq(constant(&m, LSN, -1, wf_type_put_toast),
                     "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==");
    m.placeholder = "gone";
    cr_expect_str_eq(constant(&m, JSONB, -1, wf_type_put_toast), "gone");
    cr_expect_str_eq(constant(&m, BYTEA, -1, wf_type_put_toast), "Z29uZQ==");
}

/* ---- what holds in every mode ---- */

/* Ten combinations: the captured runs and the profiles. */
static struct wf_type_modes combination(unsigned i)
{
    struct wf_type_modes m = i < 5 ? run((int)i) : modes_of((int)i - 5);

    m.money_digits = i % 2 ? 2 : 10;
    m.unknown = true;
    return m;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* The converter on a copy without anything behind it: the sanitizer sees a byte too far. */
static void convert_exactly(const struct wf_coltype *t, const char *text, size_t n)
{
    size_t room = t->room + n * t->room_per_byte;
    char *copy = malloc(n ? n : 1);
    unsigned char *p = malloc(room), *end;
    enum wf_conv_why why;

    cr_assert(copy && p);
    memcpy(copy, text, n);
    end = t->conv(t, copy, n, p, &why);
    cr_expect(!end || (size_t)(end - p) <= room, "%s: %.*s", t->row->name, (int)n, text);
    free(copy);
    free(p);
}

Test(modes, texts_cut_and_changed_stay_inside_text_and_room)
{
    static const char *const texts[] = {
        "-178956970 years -11 mons -2147483648 days -2562047788:59:59.999999",
        "\\x00112233445566778899",
        "294276-12-31 23:59:59.999999+00",
        "0044-03-15 12:00:00.5-15:59:59 BC",
        "-$92,233,720,368,547,758.08",
        "-123456789012345678901234567890.0123456789",
        "\"a\"=>\"1\", \"b\"=>NULL",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "(1e300,-1e-300)",
        "-infinity",
        "-Infinity",
        "NaN",
        "24:00:00.000000-15:59",
        "10110",
    };
    uint64_t state = 88172645463325252u;
    char text[128];

    for (unsigned i = 0; i < wf_ntypes * 10; i++) {
        const struct wf_type *row = &wf_types[i / 10];
        struct wf_type_modes m = combination(i % 10);
        struct column c;

        open_column(&c, &m, row->oid, row->oid == NUM ? NUMERIC(5, -2) : -1, row->name);
        for (unsigned k = 0; k < 300; k++) {
            const char *from = texts[k % (sizeof(texts) / sizeof(texts[0]))];
            size_t n = strlen(from);

            memcpy(text, from, n);
            if (k % 3)
                text[next_random(&state) % n] = (char)(next_random(&state) % 128);
            convert_exactly(&c.t, text, k % 5 ? n : next_random(&state) % (n + 1));
        }
        close_column(&c);
    }
}

/* A delete's fill is a value: no form lacks a zero. */
Test(modes, every_form_has_a_zero)
{
    static const int32_t typmods[] = {-1, 1, 3, 8};

    for (unsigned i = 0; i < wf_ntypes * 40; i++) {
        const struct wf_type *row = &wf_types[i / 40];
        struct wf_type_modes m = combination(i / 4 % 10);
        int32_t typmod = row->oid == NUM && i % 4 ? NUMERIC(5, 2) : typmods[i % 4];
        struct column c;

        open_column(&c, &m, row->oid, typmod, row->name);
        cr_expect(wf_type_put_zero(&c.t, &c.b) && c.b.len, "%s(%d) combination %u", row->name,
                  typmod, i / 4 % 10);
        close_column(&c);
    }
}
