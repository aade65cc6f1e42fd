/* Random rows over every type: what the plan wrote must be what avro-c reads and writes, and the
 * values must be the ones the row was made from. WALFERRY_ROWS says how many; other profiles and
 * modes are test_plan_modes.c's. */
#include <avro.h>
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "encode_kit.h"

#define ROWS 20000
#define NUMERIC(p, s) (((p) << 16 | ((s) & 0x7ff)) + 4)

#define TEXT_MAX 512

/* A value as it should come out, and as PostgreSQL would print it. */
struct value {
    char text[TEXT_MAX];
    int64_t number;          /* int, long, boolean; scale of a VariableScaleDecimal */
    double real;             /* float, double; x of a point */
    unsigned char bytes[64]; /* bytes, string */
    size_t len;
};

static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

static uint64_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Small and large numbers alike. */
static int64_t rnd_long(void)
{
    int64_t v = (int64_t)rnd();

    return v >> rnd() % 64;
}

/* Append to a text of TEXT_MAX bytes. */
static __attribute__((format(printf, 2, 3))) void add(char *out, const char *fmt, ...)
{
    size_t len = strlen(out);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(out + len, TEXT_MAX - len, fmt, ap);
    va_end(ap);
}

static void set_string(struct value *v, const char *s)
{
    v->len = strlen(s);
    memcpy(v->bytes, s, v->len);
}

/* ---- generators ---- */

static void gen_bool(struct value *v)
{
    v->number = rnd() & 1;
    add(v->text, v->number ? "t" : "f");
}

static void gen_int2(struct value *v)
{
    v->number = (int16_t)rnd_long();
    add(v->text, "%lld", (long long)v->number);
}

static void gen_int4(struct value *v)
{
    v->number = (int32_t)rnd_long();
    add(v->text, "%lld", (long long)v->number);
}

static void gen_int8(struct value *v)
{
    v->number = rnd_long();
    add(v->text, "%lld", (long long)v->number);
}

static void gen_oid(struct value *v)
{
    v->number = (uint32_t)rnd_long();
    add(v->text, "%lld", (long long)v->number);
}

static const char *real_text(double d, int digits)
{
    static char text[64];

    if (d != d)
        return "NaN";
    if (d - d != 0)
        return d > 0 ? "Infinity" : "-Infinity";
    snprintf(text, sizeof(text), "%.*g", digits, d);
    return text;
}

static void gen_float8(struct value *v)
{
    uint64_t bits = rnd();

    memcpy(&v->real, &bits, sizeof(bits));
    if (rnd() % 2)
        v->real = (double)rnd_long() / 100;
    if (v->real != v->real)
        v->real = __builtin_nan("");
    add(v->text, "%s", real_text(v->real, 17));
}

static void gen_float4(struct value *v)
{
    uint32_t bits = (uint32_t)rnd();
    float f;

    memcpy(&f, &bits, sizeof(bits));
    if (rnd() % 2)
        f = (float)(int16_t)rnd() / 10;
    if (f != f)
        f = __builtin_nanf("");
    v->real = (double)f;
    add(v->text, "%s", real_text(v->real, 9));
}

/* Two's complement of @n, big endian, shortest: byte by byte from the top. */
static void set_decimal(struct value *v, __int128 n)
{
    unsigned char all[17];

    all[0] = n < 0 ? 0xff : 0;
    for (int i = 0; i < 16; i++)
        all[16 - i] = (unsigned char)(n >> (8 * i));
    v->len = 17;
    while (v->len > 1 && all[17 - v->len] == (n < 0 ? 0xff : 0) &&
           (all[18 - v->len] >> 7) == (n < 0))
        v->len--;
    memcpy(v->bytes, all + 17 - v->len, v->len);
}

/* @n with @scale digits behind the point. */
static void decimal_text(char *text, __int128 n, int scale)
{
    char digits[64];
    int k = 0;
    unsigned __int128 m = (unsigned __int128)(n < 0 ? -n : n);

    do {
        if (k == scale && scale)
            digits[k++] = '.';
        digits[k++] = (char)('0' + (int)(m % 10));
        m /= 10;
    } while (m || k <= scale + (scale > 0));
    if (n < 0)
        *text++ = '-';
    while (k)
        *text++ = digits[--k];
    *text = '\0';
}

static __int128 rnd_huge(unsigned __int128 limit)
{
    unsigned __int128 m = ((unsigned __int128)rnd() << 64 | rnd()) >> rnd() % 128;

    m %= limit;
    return rnd() % 2 ? -(__int128)m : (__int128)m;
}

static void gen_decimal(struct value *v, unsigned precision, int scale)
{
    unsigned __int128 limit = 1;
    __int128 n;

    while (precision--)
        limit *= 10;
    n = rnd_huge(limit);
    set_decimal(v, n);
    decimal_text(v->text, n, scale);
}

static void gen_numeric_10_2(struct value *v)
{
    gen_decimal(v, 10, 2);
}

static void gen_numeric_38_0(struct value *v)
{
    gen_decimal(v, 38, 0);
}

static void gen_numeric_30_20(struct value *v)
{
    gen_decimal(v, 30, 20);
}

static void gen_numeric_3_5(struct value *v)
{
    gen_decimal(v, 3, 5);
}

static void gen_numeric(struct value *v)
{
    int scale = (int)(rnd() % 20);
    __int128 n = rnd_huge((unsigned __int128)1 << 100);

    decimal_text(v->text, n, scale);
    while (scale && n % 10 == 0) {
        n /= 10;
        scale--;
    }
    v->number = scale;
    set_decimal(v, n);
}

static void gen_money(struct value *v)
{
    int64_t n = rnd_long();
    char digits[64], *out = v->text;
    size_t whole;

    decimal_text(digits, n < 0 ? -(__int128)n : n, 2);
    set_decimal(v, n);
    if (n < 0)
        *out++ = '-';
    *out++ = '$';
    whole = strlen(digits) - 3;
    for (size_t i = 0; digits[i]; i++) {
        if (i && i < whole && (whole - i) % 3 == 0)
            *out++ = ',';
        *out++ = digits[i];
    }
    *out = '\0';
}

static void gen_text(struct value *v)
{
    static const char *const parts[] = {"a", "\"", "\\", "\n", "\xc3\xa9", "\xe2\x98\x83", "{}"};

    for (uint64_t n = rnd() % 12; n; n--)
        add(v->text, "%s", parts[rnd() % 7]);
    set_string(v, v->text);
}

static void gen_label(struct value *v)
{
    add(v->text, "%s", rnd() & 1 ? "a" : "b");
    set_string(v, v->text);
}

static void gen_bytea(struct value *v)
{
    v->len = rnd() % 40;
    add(v->text, "\\x");
    for (size_t i = 0; i < v->len; i++) {
        v->bytes[i] = (unsigned char)rnd();
        add(v->text, "%02x", v->bytes[i]);
    }
}

static void gen_uuid(struct value *v)
{
    uint64_t a = rnd(), b = rnd();

    add(v->text, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(a >> 32), (unsigned)(a >> 16) & 0xffff,
        (unsigned)a & 0xffff, (unsigned)(b >> 48), (unsigned long long)(b & 0xffffffffffff));
    set_string(v, v->text);
}

static void gen_bits(struct value *v)
{
    size_t width = rnd() % 65;
    uint64_t n = width ? rnd() >> (64 - width) : 0;

    for (size_t i = 0; i < width; i++)
        v->text[i] = n >> (width - 1 - i) & 1 ? '1' : '0';
    v->text[width] = '\0';
    for (v->len = 0; n; n >>= 8)
        v->bytes[v->len++] = (unsigned char)n;
}

/* Years 1 to 9999; libc's calendar is the other opinion. */
static time_t rnd_seconds(struct tm *tm)
{
    time_t t = (time_t)(rnd() % 315537897600u) - 62135596800;

    gmtime_r(&t, tm);
    return t;
}

static void fraction_text(char *out, unsigned us)
{
    size_t n;

    if (!us)
        return;
    add(out, ".%06u", us);
    n = strlen(out);
    while (out[n - 1] == '0')
        out[--n] = '\0';
}

static unsigned rnd_us(unsigned unit)
{
    return rnd() % 3 ? (unsigned)(rnd() % 1000000) / unit * unit : 0;
}

static void gen_date(struct value *v)
{
    struct tm tm;
    time_t t = rnd_seconds(&tm);

    v->number = (t - tm.tm_hour * 3600 - tm.tm_min * 60 - tm.tm_sec) / 86400;
    add(v->text, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

static void stamp_text(char *out, const struct tm *tm, char between, unsigned us)
{
    add(out, "%04d-%02d-%02d%c%02d:%02d:%02d", tm->tm_year + 1900, tm->tm_mon + 1, tm->tm_mday,
        between, tm->tm_hour, tm->tm_min, tm->tm_sec);
    fraction_text(out, us);
}

static void gen_timestamp(struct value *v)
{
    struct tm tm;
    time_t t = rnd_seconds(&tm);
    unsigned us = rnd_us(1);

    v->number = t * INT64_C(1000000) + us;
    stamp_text(v->text, &tm, ' ', us);
}

static void gen_timestamp3(struct value *v)
{
    struct tm tm;
    time_t t = rnd_seconds(&tm);
    unsigned us = rnd_us(1000);

    v->number = t * INT64_C(1000) + us / 1000;
    stamp_text(v->text, &tm, ' ', us);
}

static void gen_zoned(struct value *v, unsigned unit, int digits)
{
    char text[TEXT_MAX] = "";
    struct tm tm;
    unsigned us = rnd_us(unit);

    rnd_seconds(&tm);
    stamp_text(v->text, &tm, ' ', us);
    add(v->text, "+00");
    stamp_text(text, &tm, 'T', 0);
    if (digits)
        add(text, ".%0*u", digits, us / unit);
    add(text, "Z");
    set_string(v, text);
}

static void gen_timestamptz(struct value *v)
{
    gen_zoned(v, 1, 6);
}

static void gen_timestamptz3(struct value *v)
{
    gen_zoned(v, 1000, 3);
}

static void gen_timestamptz0(struct value *v)
{
    gen_zoned(v, 1000000, 0);
}

static void gen_time(struct value *v)
{
    unsigned s = (unsigned)(rnd() % 86400), us = rnd_us(1);

    v->number = s * INT64_C(1000000) + us;
    add(v->text, "%02u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
    fraction_text(v->text, us);
}

static void gen_time3(struct value *v)
{
    unsigned s = (unsigned)(rnd() % 86400), us = rnd_us(1000);

    v->number = s * INT64_C(1000) + us / 1000;
    add(v->text, "%02u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
    fraction_text(v->text, us);
}

static void gen_timetz(struct value *v)
{
    int s = (int)(rnd() % 86400), zone = (int)(rnd() % 113 - 56) * 900, utc;
    unsigned us = rnd_us(1);
    char text[TEXT_MAX] = "";

    add(v->text, "%02d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
    fraction_text(v->text, us);
    add(v->text, "%c%02d", zone < 0 ? '-' : '+', abs(zone) / 3600);
    if (zone % 3600)
        add(v->text, ":%02d", abs(zone) / 60 % 60);
    utc = (s - zone + 172800) % 86400;
    add(text, "%02d:%02d:%02d", utc / 3600, utc / 60 % 60, utc % 60);
    fraction_text(text, us);
    add(text, "Z");
    set_string(v, text);
}

static void gen_interval(struct value *v)
{
    int months = (int)(rnd() % 2400), days = (int)(rnd() % 1000), s = (int)(rnd() % 1000000);
    unsigned us = rnd_us(1);

    v->number =
        months * INT64_C(2629800000000) - days * INT64_C(86400000000) + s * INT64_C(1000000) + us;
    add(v->text, "%d years %d mons -%d days +%02d:%02d:%02d", months / 12, months % 12, days,
        s / 3600, s / 60 % 60, s % 60);
    fraction_text(v->text, us);
}

static void gen_point(struct value *v)
{
    gen_float8(v);
    v->text[0] = '\0';
    add(v->text, "(%s,7)", real_text(v->real, 17));
}

static void gen_hstore(struct value *v)
{
    char text[TEXT_MAX] = "";
    unsigned n = (unsigned)rnd() % 1000;

    add(v->text, "\"k\"=>\"%u\", \"q\\\"\"=>NULL", n);
    add(text, "{\"k\":\"%u\",\"q\\\"\":null}", n);
    set_string(v, text);
}

/* ---- the relation: each type, by turns required, nullable, nullable with default ---- */

enum kind { NUMBER, REAL, BYTES, VARIABLE, POINT };

static const struct {
    struct kit_col col;
    void (*gen)(struct value *v);
    enum kind kind;
} types[] = {
    {{.name = "id", .oid = 20, .key = true, .required = true}, gen_int8, NUMBER},
    {{.name = "b", .oid = 16}, gen_bool, NUMBER},
    {{.name = "i2", .oid = 21, .dflt = "7"}, gen_int2, NUMBER},
    {{.name = "i4", .oid = 23, .required = true, .dflt = "5"}, gen_int4, NUMBER},
    {{.name = "i8", .oid = 20}, gen_int8, NUMBER},
    {{.name = "o", .oid = 26}, gen_oid, NUMBER},
    {{.name = "f4", .oid = 700, .dflt = "1.5"}, gen_float4, REAL},
    {{.name = "f8", .oid = 701, .required = true}, gen_float8, REAL},
    {{.name = "n", .oid = 1700}, gen_numeric, VARIABLE},
    {{.name = "nr", .oid = 1700, .required = true}, gen_numeric, VARIABLE},
    {{.name = "n10", .oid = 1700, .typmod = NUMERIC(10, 2)}, gen_numeric_10_2, BYTES},
    {{.name = "n38", .oid = 1700, .typmod = NUMERIC(38, 0)}, gen_numeric_38_0, BYTES},
    {{.name = "n30", .oid = 1700, .typmod = NUMERIC(30, 20), .required = true},
     gen_numeric_30_20,
     BYTES},
    {{.name = "n3", .oid = 1700, .typmod = NUMERIC(3, 5)}, gen_numeric_3_5, BYTES},
    {{.name = "m", .oid = 790}, gen_money, BYTES},
    {{.name = "t", .oid = 25, .dflt = "'it''s \"q\"'::text"}, gen_text, BYTES},
    {{.name = "vc", .oid = 1043, .typmod = 24, .required = true}, gen_text, BYTES},
    {{.name = "c", .oid = 1042}, gen_text, BYTES},
    {{.name = "nm", .oid = 19}, gen_text, BYTES},
    {{.name = "ct", .oid = 70000, .type_name = "citext"}, gen_text, BYTES},
    {{.name = "j", .oid = 3802}, gen_text, BYTES},
    {{.name = "x", .oid = 142}, gen_text, BYTES},
    {{.name = "e", .oid = 70001, .labels = "a,b"}, gen_label, BYTES},
    {{.name = "u", .oid = 2950}, gen_uuid, BYTES},
    {{.name = "by", .oid = 17, .required = true}, gen_bytea, BYTES},
    {{.name = "vb", .oid = 1562}, gen_bits, BYTES},
    {{.name = "d", .oid = 1082}, gen_date, NUMBER},
    {{.name = "t6", .oid = 1083}, gen_time, NUMBER},
    {{.name = "t3", .oid = 1083, .typmod = 3}, gen_time3, NUMBER},
    {{.name = "tz", .oid = 1266}, gen_timetz, BYTES},
    {{.name = "ts", .oid = 1114, .dflt = "now()"}, gen_timestamp, NUMBER},
    {{.name = "ts3", .oid = 1114, .typmod = 3}, gen_timestamp3, NUMBER},
    {{.name = "tt", .oid = 1184, .dflt = "now()"}, gen_timestamptz, BYTES},
    {{.name = "tt3", .oid = 1184, .typmod = 3}, gen_timestamptz3, BYTES},
    {{.name = "tt0", .oid = 1184, .typmod = KIT_ZERO}, gen_timestamptz0, BYTES},
    {{.name = "tt1", .oid = 1184, .required = true}, gen_timestamptz, BYTES},
    {{.name = "iv", .oid = 1186}, gen_interval, NUMBER},
    {{.name = "p", .oid = 600}, gen_point, POINT},
    {{.name = "pr", .oid = 600, .required = true}, gen_point, POINT},
    {{.name = "hs", .oid = 70002, .type_name = "hstore"}, gen_hstore, BYTES},
    {{.name = "ine", .oid = 869}, gen_text, BYTES},
    {{.name = "arr", .oid = 70005, .type_name = "_other"}, gen_text, BYTES},
};

#define NTYPES (sizeof(types) / sizeof(types[0]))

static void expect_bytes(avro_value_t *got, const struct value *want, const char *name)
{
    const void *data;
    const char *text;
    size_t len;

    if (avro_value_get_type(got) == AVRO_STRING) {
        avro_value_get_string(got, &text, &len);
        data = text;
        len--; /* avro-c counts the NUL */
    } else {
        avro_value_get_bytes(got, &data, &len);
    }
    cr_assert(len == want->len && !memcmp(data, want->bytes, len), "%s: %s", name, want->text);
}

static int64_t number_of(avro_value_t *v)
{
    int32_t i = 0;
    int64_t l = 0;
    int b = 0;

    switch (avro_value_get_type(v)) {
    case AVRO_BOOLEAN:
        avro_value_get_boolean(v, &b);
        return b;
    case AVRO_INT32:
        avro_value_get_int(v, &i);
        return i;
    default:
        avro_value_get_long(v, &l);
        return l;
    }
}

static double real_of(avro_value_t *v)
{
    double d = 0;
    float f = 0;

    if (avro_value_get_type(v) == AVRO_FLOAT) {
        avro_value_get_float(v, &f);
        return (double)f;
    }
    avro_value_get_double(v, &d);
    return d;
}

static void expect_real(double got, double want, const char *text)
{
    cr_assert(!memcmp(&got, &want, sizeof(got)), "%s", text);
}

static void expect_value(avro_value_t *got, size_t i, const struct value *want)
{
    const char *name = types[i].col.name;
    avro_value_t part;

    switch (types[i].kind) {
    case NUMBER:
        cr_assert_eq(number_of(got), want->number, "%s: %s", name, want->text);
        break;
    case REAL:
        expect_real(real_of(got), want->real, want->text);
        break;
    case BYTES:
        expect_bytes(got, want, name);
        break;
    case VARIABLE:
        avro_value_get_by_name(got, "scale", &part, NULL);
        cr_assert_eq(number_of(&part), want->number, "%s: %s", name, want->text);
        avro_value_get_by_name(got, "value", &part, NULL);
        expect_bytes(&part, want, name);
        break;
    case POINT:
        avro_value_get_by_name(got, "x", &part, NULL);
        expect_real(real_of(&part), want->real, want->text);
        avro_value_get_by_name(got, "y", &part, NULL);
        expect_real(real_of(&part), 7, want->text);
        break;
    }
}

/* A field: the branch avro-c sees must be null exactly where the row had NULL. */
static void expect_field(avro_value_t *row, size_t i, const struct value *want, bool is_null)
{
    avro_value_t field, branch;

    cr_assert_eq(avro_value_get_by_name(row, types[i].col.name, &field, NULL), 0);
    if (avro_value_get_type(&field) != AVRO_UNION) {
        expect_value(&field, i, want);
        return;
    }
    avro_value_get_current_branch(&field, &branch);
    cr_assert_eq(avro_value_get_type(&branch) == AVRO_NULL, is_null, "%s", types[i].col.name);
    if (!is_null)
        expect_value(&branch, i, want);
}

/* Decode with avro-c, encode again, compare the bytes. */
static void round_trip(avro_value_t *v, const struct wf_event *ev)
{
    static char again[65536];
    avro_reader_t r = avro_reader_memory((const char *)ev->value, (int64_t)ev->value_len);
    avro_writer_t w = avro_writer_memory(again, sizeof(again));

    avro_value_reset(v);
    cr_assert_eq(avro_value_read(r, v), 0, "%s", avro_strerror());
    cr_assert_eq(avro_value_write(w, v), 0, "%s", avro_strerror());
    cr_assert_eq((size_t)avro_writer_tell(w), ev->value_len);
    cr_assert(!memcmp(again, ev->value, ev->value_len));
    avro_reader_free(r);
    avro_writer_free(w);
}

Test(plan_oracle, random_rows_of_every_type, .timeout = 3600)
{
    static struct value values[NTYPES];
    static struct kit_col cols[NTYPES];
    const char *row[NTYPES];
    avro_value_iface_t *iface;
    avro_value_t v, after, fields;
    avro_schema_t schema;
    struct wf_plan *plan;
    uint64_t rows = kit_asked("WALFERRY_ROWS", ROWS);
    struct kit k;

    for (size_t i = 0; i < NTYPES; i++)
        cols[i] = types[i].col;
    kit_open(&k);
    cr_assert_eq(kit_table(&k, "public", "t", 'd', cols, NTYPES, "a"), WF_OK, "%s", k.err.text);
    plan = k.rel.plan;
    cr_assert_eq(avro_schema_from_json_length(plan->stream->value_schema,
                                              strlen(plan->stream->value_schema), &schema),
                 0, "%s", avro_strerror());
    iface = avro_generic_class_from_schema(schema);
    avro_generic_value_new(iface, &v);
    for (uint64_t n = 0; n < rows; n++) {
        for (size_t i = 0; i < NTYPES; i++) {
            bool is_null = !cols[i].required && rnd() % 8 == 0;

            values[i] = (struct value){.len = 0};
            types[i].gen(&values[i]);
            row[i] = is_null ? NULL : values[i].text;
        }
        cr_assert_eq(kit_insert(&k, row), WF_OK, "%s", k.err.text);
        round_trip(&v, &k.events.ev[0]);
        avro_value_get_by_name(&v, "after", &after, NULL);
        avro_value_get_current_branch(&after, &fields);
        for (size_t i = 0; i < NTYPES; i++)
            expect_field(&fields, i, &values[i], !row[i]);
    }
    avro_value_decref(&v);
    avro_value_iface_decref(iface);
    avro_schema_decref(schema);
    kit_close(&k);
}
