/* Random values with their meaning and PostgreSQL's text of it, for the tests of plans. */
#ifndef WF_TEST_ORACLE_KIT_H
#define WF_TEST_ORACLE_KIT_H

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_MAX 4096
#define PARTS_MAX 4

enum what {
    W_BOOL,
    W_BIT,
    W_INT,
    W_REAL,
    W_NUMERIC,
    W_MONEY,
    W_TEXT,
    W_OTHER, /* a text whose type Debezium has not */
    W_BYTEA,
    W_BITS,
    W_DATE,
    W_TIME,
    W_STAMP,
    W_ZONED,
    W_TIMETZ,
    W_INTERVAL,
    W_HSTORE,
    W_POINT,
    W_LINE,
    W_CIRCLE,
    W_SHAPE,
    W_EWKB,
    W_INTS,
    W_REALS,
    W_SPARSE,
    W_ARRAY,
    W_RECORD,
};

/* A value as PostgreSQL prints it, and what it is. */
struct meaning {
    enum what what;
    bool null;
    int special;         /* 1 infinity, -1 its negative, 2 NaN */
    char text[TEXT_MAX]; /* of a W_HSTORE without its quotes: see parts */
    int64_t n;           /* integer; seconds since 1970 or of the day; days of a sparse vector */
    int us;              /* behind n */
    int digits;          /* of a time: as the type modifier says */
    int months, days;    /* of an interval, whose microseconds are n */
    double real[12];     /* coordinates and the like */
    unsigned nreal;
    int64_t ints[PARTS_MAX]; /* of a vector */
    char shape;              /* lseg l, open path o, closed path c, box b, polygon g */
    unsigned char bytes[64];
    size_t len;
    struct meaning *part[PARTS_MAX]; /* elements, fields; of an hstore key and value by turns */
    unsigned nparts;
};

static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

static inline uint64_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static inline unsigned below(unsigned n)
{
    return (unsigned)(rnd() % n);
}

/* Small and large numbers alike. */
static inline int64_t rnd_long(void)
{
    int64_t v = (int64_t)rnd();

    return v >> rnd() % 64;
}

/* Append to a text of TEXT_MAX bytes. */
static inline __attribute__((format(printf, 2, 3))) void add(char *out, const char *fmt, ...)
{
    size_t len = strlen(out);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(out + len, TEXT_MAX - len, fmt, ap);
    va_end(ap);
}

static inline void gen_bool(struct meaning *m)
{
    m->n = below(2);
    add(m->text, m->n ? "t" : "f");
}

static inline void put_int(struct meaning *m, int64_t n)
{
    m->what = W_INT;
    m->n = n;
    add(m->text, "%lld", (long long)n);
}

static inline void gen_int2(struct meaning *m)
{
    put_int(m, (int16_t)rnd_long());
}

static inline void gen_int4(struct meaning *m)
{
    put_int(m, (int32_t)rnd_long());
}

static inline void gen_int8(struct meaning *m)
{
    put_int(m, rnd_long());
}

static inline void gen_oid(struct meaning *m)
{
    put_int(m, (uint32_t)rnd_long());
}

/* The shortest text that reads back as @d, as PostgreSQL prints it or longer. */
static inline void add_real(struct meaning *m, double d, bool single)
{
    char text[64];
    int digits = 0;

    if (isnan(d) || isinf(d)) {
        add(m->text, "%s", isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity");
        return;
    }
    do
        snprintf(text, sizeof(text), "%.*g", ++digits, d);
    while (single ? strtof(text, NULL) != (float)d : strtod(text, NULL) != d);
    add(m->text, "%s", text);
}

/* Finite. */
static inline double rnd_real(bool single)
{
    uint64_t bits = rnd();
    uint32_t half = (uint32_t)bits;
    double d;
    float f;

    memcpy(&d, &bits, sizeof(d));
    memcpy(&f, &half, sizeof(f));
    if (single)
        d = (double)f;
    if (below(2) || !isfinite(d))
        d = (double)(int16_t)rnd() / 4;
    return d;
}

static inline void put_real(struct meaning *m, double d, bool single)
{
    m->what = W_REAL;
    m->real[m->nreal++] = d;
    add_real(m, d, single);
}

static inline double rnd_special(bool single)
{
    static const double special[] = {NAN, INFINITY, -INFINITY, -0.0};

    return below(16) ? rnd_real(single) : special[below(4)];
}

static inline void gen_float4(struct meaning *m)
{
    put_real(m, rnd_special(true), true);
}

static inline void gen_float8(struct meaning *m)
{
    put_real(m, rnd_special(false), false);
}

static inline void add_digits(char *out, unsigned n)
{
    while (n--)
        add(out, "%u", below(10));
}

/* As a column with @scale prints it; -1: any number of digits behind the point. */
static inline void put_numeric(struct meaning *m, unsigned whole, int scale)
{
    static const char *const special[] = {"NaN", "Infinity", "-Infinity"};

    m->what = W_NUMERIC;
    if (!below(16)) {
        m->special = 1;
        add(m->text, "%s", special[below(scale < 0 ? 3 : 1)]);
        return;
    }
    if (scale < 0)
        scale = (int)below(30);
    if (whole)
        add(m->text, below(2) ? "-%u" : "%u", 1 + below(9));
    if (whole > 1)
        add_digits(m->text, below(whole));
    if (!whole)
        add(m->text, "0");
    if (scale)
        add(m->text, ".");
    add_digits(m->text, (unsigned)scale);
}

static inline void gen_numeric(struct meaning *m)
{
    put_numeric(m, below(60), -1);
}

static inline void gen_numeric_10_2(struct meaning *m)
{
    put_numeric(m, 8, 2);
}

static inline void gen_numeric_60_30(struct meaning *m)
{
    put_numeric(m, 30, 30);
}

static inline void gen_numeric_38_0(struct meaning *m)
{
    put_numeric(m, 38, 0);
}

static inline void gen_numeric_3_5(struct meaning *m)
{
    m->what = W_NUMERIC;
    add(m->text, "%s0.00%03u", below(2) ? "-" : "", below(999) + 1);
}

/* numeric(5,-2) */
static inline void gen_numeric_5_m2(struct meaning *m)
{
    int n = (int)below(199999) - 99999;

    m->what = W_NUMERIC;
    m->digits = -2;
    add(m->text, n ? "%d00" : "%d", n);
}

static inline void gen_money(struct meaning *m)
{
    int64_t n = rnd_long();
    uint64_t mag = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    char digits[32];
    size_t len;

    m->what = W_MONEY;
    m->n = n;
    len = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)(mag / 100));
    add(m->text, n < 0 ? "-$" : "$");
    for (size_t i = 0; i < len; i++)
        add(m->text, i && (len - i) % 3 == 0 ? ",%c" : "%c", digits[i]);
    add(m->text, ".%02u", (unsigned)(mag % 100));
}

static inline void gen_text(struct meaning *m)
{
    static const char *const parts[] = {"a",  "\"", "\\", "\n",   "\xc3\xa9", "\xe2\x98\x83",
                                        "{}", ",",  "(",  "NULL", ";",        " "};

    m->what = W_TEXT;
    for (unsigned n = below(10); n; n--)
        add(m->text, "%s", parts[below(12)]);
}

static inline void gen_other(struct meaning *m)
{
    gen_text(m);
    m->what = W_OTHER;
}

static inline void gen_label(struct meaning *m)
{
    m->what = W_TEXT;
    add(m->text, "%s", below(2) ? "sad" : "very happy");
}

static inline void gen_bytea(struct meaning *m)
{
    m->what = W_BYTEA;
    m->len = below(40);
    add(m->text, "\\x");
    for (size_t i = 0; i < m->len; i++) {
        m->bytes[i] = (unsigned char)rnd();
        add(m->text, "%02x", m->bytes[i]);
    }
}

static inline void gen_uuid(struct meaning *m)
{
    uint64_t a = rnd(), b = rnd();

    m->what = W_TEXT;
    add(m->text, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(a >> 32), (unsigned)(a >> 16) & 0xffff,
        (unsigned)a & 0xffff, (unsigned)(b >> 48), (unsigned long long)(b & 0xffffffffffff));
}

static inline void put_bits(struct meaning *m, size_t width)
{
    uint64_t n = width ? rnd() >> (64 - width) : 0;

    m->what = W_BITS;
    for (size_t i = 0; i < width; i++)
        add(m->text, "%c", n >> (width - 1 - i) & 1 ? '1' : '0');
    for (m->len = 0; n; n >>= 8)
        m->bytes[m->len++] = (unsigned char)n;
}

static inline void gen_bit8(struct meaning *m)
{
    put_bits(m, 8);
}

static inline void gen_varbit(struct meaning *m)
{
    put_bits(m, below(65));
}

static inline void gen_bit1(struct meaning *m)
{
    m->what = W_BIT;
    m->n = below(2);
    add(m->text, m->n ? "1" : "0");
}

/* As above or empty. */
static inline void gen_varbit1(struct meaning *m)
{
    if (below(4)) {
        gen_bit1(m);
        return;
    }
    m->what = W_BIT;
    m->n = -1;
}

/* ---- times: libc's calendar is the other opinion ---- */

#define DAY_S INT64_C(86400)
#define YEAR_MIN_S (-INT64_C(210866803200)) /* 4713-11-24 BC, Julian day 0 */
#define STAMP_MAX_S INT64_C(9224318016000)  /* 294277-01-01 */
#define DATE_MAX_S INT64_C(185331801600000) /* in the year 5874897 */

static inline bool put_infinity(struct meaning *m)
{
    if (below(20))
        return false;
    m->special = below(2) ? 1 : -1;
    add(m->text, m->special > 0 ? "infinity" : "-infinity");
    return true;
}

/* Mostly of our days. */
static inline int64_t rnd_seconds(int64_t max)
{
    uint64_t span = (uint64_t)(max - YEAR_MIN_S);

    return below(3) ? (int64_t)(rnd() % 8000000000u) - 4000000000
                    : YEAR_MIN_S + (int64_t)(rnd() % span);
}

/* Return: whether " BC" is due at the end. */
static inline bool add_date(char *out, int64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    int year;

    gmtime_r(&t, &tm);
    year = tm.tm_year + 1900;
    add(out, "%04d-%02d-%02d", year > 0 ? year : 1 - year, tm.tm_mon + 1, tm.tm_mday);
    return year <= 0;
}

/* The shortest fraction. */
static inline void add_fraction(char *out, int us)
{
    int digits = 6;

    if (!us)
        return;
    for (; us % 10 == 0; us /= 10)
        digits--;
    add(out, ".%0*d", digits, us);
}

static inline void add_clock(char *out, int64_t s, int us)
{
    add(out, "%02d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
    add_fraction(out, us);
}

static inline int rnd_us(int digits)
{
    int unit = 1;

    for (int i = digits; i < 6; i++)
        unit *= 10;
    return below(3) ? (int)below(1000000) / unit * unit : 0;
}

static inline void gen_date(struct meaning *m)
{
    m->what = W_DATE;
    if (put_infinity(m))
        return;
    m->n = rnd_seconds(DATE_MAX_S);
    m->n -= (m->n % DAY_S + DAY_S) % DAY_S;
    if (add_date(m->text, m->n))
        add(m->text, " BC");
}

static inline void put_time(struct meaning *m, int digits)
{
    m->what = W_TIME;
    m->digits = digits;
    m->n = below(16) ? below((unsigned)DAY_S) : DAY_S;
    m->us = m->n == DAY_S ? 0 : rnd_us(digits);
    add_clock(m->text, m->n, m->us);
}

static inline void gen_time(struct meaning *m)
{
    put_time(m, 6);
}

static inline void gen_time3(struct meaning *m)
{
    put_time(m, 3);
}

static inline void put_stamp(struct meaning *m, int digits, bool zoned)
{
    bool bc;

    m->what = zoned ? W_ZONED : W_STAMP;
    m->digits = digits;
    if (put_infinity(m))
        return;
    m->n = rnd_seconds(STAMP_MAX_S);
    m->us = rnd_us(digits);
    bc = add_date(m->text, m->n);
    add(m->text, " ");
    add_clock(m->text, (m->n % DAY_S + DAY_S) % DAY_S, m->us);
    add(m->text, "%s%s", zoned ? "+00" : "", bc ? " BC" : "");
}

static inline void gen_stamp(struct meaning *m)
{
    put_stamp(m, 6, false);
}

static inline void gen_stamp3(struct meaning *m)
{
    put_stamp(m, 3, false);
}

static inline void gen_zoned(struct meaning *m)
{
    put_stamp(m, 6, true);
}

static inline void gen_zoned3(struct meaning *m)
{
    put_stamp(m, 3, true);
}

static inline void gen_zoned0(struct meaning *m)
{
    put_stamp(m, 0, true);
}

static inline void gen_timetz(struct meaning *m)
{
    int zone = ((int)below(113) - 56) * 900, s = (int)below((unsigned)DAY_S);

    m->what = W_TIMETZ;
    m->us = rnd_us(6);
    m->n = (s - zone + 2 * DAY_S) % DAY_S;
    add_clock(m->text, s, m->us);
    add(m->text, "%c%02d", zone < 0 ? '-' : '+', abs(zone) / 3600);
    if (zone % 3600)
        add(m->text, ":%02d", abs(zone) / 60 % 60);
}

static inline void add_unit(struct meaning *m, int n, const char *unit)
{
    if (n)
        add(m->text, "%d %s%s ", n, unit, n == 1 ? "" : "s");
}

/* As IntervalStyle postgres prints it, plus signs left out. */
static inline void gen_interval(struct meaning *m)
{
    int64_t us = rnd_long() >> 14, mag = us < 0 ? -us : us;

    m->what = W_INTERVAL;
    m->months = (int)rnd_long() >> 12;
    m->days = (int)rnd_long() >> 12;
    m->n = us;
    add_unit(m, m->months / 12, "year");
    add_unit(m, m->months % 12, "mon");
    add_unit(m, m->days, "day");
    add(m->text, us < 0 ? "-" : "");
    add_clock(m->text, mag / 1000000, (int)(mag % 1000000));
}

/* ---- geometry ---- */

static inline void add_point(struct meaning *m)
{
    double x = rnd_real(false), y = rnd_real(false);

    add(m->text, "(");
    add_real(m, x, false);
    add(m->text, ",");
    add_real(m, y, false);
    add(m->text, ")");
    m->real[m->nreal++] = x;
    m->real[m->nreal++] = y;
}

static inline void gen_point(struct meaning *m)
{
    m->what = W_POINT;
    add_point(m);
}

static inline void put_shape(struct meaning *m, char shape, unsigned points)
{
    const char *open = shape == 'b' ? "" : strchr("lo", shape) ? "[" : "(";

    m->what = W_SHAPE;
    m->shape = shape;
    add(m->text, "%s", open);
    for (unsigned i = 0; i < points; i++) {
        add(m->text, i ? "," : "");
        add_point(m);
    }
    add(m->text, "%s", *open == '[' ? "]" : *open ? ")" : "");
}

static inline void gen_lseg(struct meaning *m)
{
    put_shape(m, 'l', 2);
}

static inline void gen_box(struct meaning *m)
{
    put_shape(m, 'b', 2);
}

static inline void gen_path(struct meaning *m)
{
    put_shape(m, below(2) ? 'o' : 'c', 1 + below(5));
}

static inline void gen_polygon(struct meaning *m)
{
    put_shape(m, 'g', 1 + below(5));
}

static inline void add_reals(struct meaning *m, unsigned n, bool single)
{
    for (unsigned i = 0; i < n; i++) {
        size_t start;

        m->real[m->nreal] = rnd_real(single);
        add(m->text, i ? "," : "");
        start = strlen(m->text);
        add_real(m, m->real[m->nreal], single);
        m->real[m->nreal++] = strtod(m->text + start, NULL); /* of a float: its shortest text */
    }
}

static inline void gen_line(struct meaning *m)
{
    m->what = W_LINE;
    add(m->text, "{");
    add_reals(m, 3, false);
    add(m->text, "}");
}

static inline void gen_circle(struct meaning *m)
{
    m->what = W_CIRCLE;
    add(m->text, "<");
    add_point(m);
    add(m->text, ",");
    add_reals(m, 1, false);
    add(m->text, ">");
}

/* A point with or without a srid, both byte orders. */
static inline void gen_ewkb(struct meaning *m)
{
    bool little = below(2);

    m->what = W_EWKB;
    m->n = below(2) ? 4326 : -1;
    m->len = m->n < 0 ? 21 : 25;
    for (size_t i = 0; i < m->len; i++)
        m->bytes[i] = (unsigned char)rnd();
    m->bytes[0] = little;
    for (unsigned i = 0; i < 4; i++) {
        m->bytes[little ? 1 + i : 4 - i] = (unsigned char)((m->n < 0 ? 1u : 0x20000001u) >> 8 * i);
        if (m->n >= 0)
            m->bytes[little ? 5 + i : 8 - i] = (unsigned char)(4326u >> 8 * i);
    }
    for (size_t i = 0; i < m->len; i++)
        add(m->text, "%02X", m->bytes[i]);
}

static inline void put_reals(struct meaning *m, bool single)
{
    m->what = W_REALS;
    add(m->text, "[");
    add_reals(m, 1 + below(10), single);
    add(m->text, "]");
}

/* PostgreSQL's own texts of a vector are those of floats. */
static inline void gen_vector(struct meaning *m)
{
    put_reals(m, true);
}

static inline void gen_sparse(struct meaning *m)
{
    unsigned at = 0, n = below(PARTS_MAX + 1);

    m->what = W_SPARSE;
    m->n = 32767 - (int)below(10000);
    add(m->text, "{");
    for (unsigned i = 0; i < n; i++) {
        at += 1 + below(5000);
        m->ints[i] = at;
        add(m->text, i ? ",%u:" : "%u:", at);
        add_reals(m, 1, true);
    }
    add(m->text, "}/%d", (int)m->n);
}

static inline void put_ints(struct meaning *m, bool oids)
{
    m->what = W_INTS;
    m->nparts = 0;
    for (unsigned n = below(PARTS_MAX + 1), i = 0; i < n; i++) {
        m->ints[i] = oids ? (int64_t)(uint32_t)rnd_long() : (int16_t)rnd_long();
        add(m->text, i ? " %lld" : "%lld", (long long)m->ints[i]);
        m->len = i + 1;
    }
}

static inline void gen_int2vector(struct meaning *m)
{
    put_ints(m, false);
}

static inline void gen_oidvector(struct meaning *m)
{
    put_ints(m, true);
}

/* ---- what has parts ---- */

static inline struct meaning *meaning_new(void)
{
    return calloc(1, sizeof(struct meaning));
}

static inline void meaning_free(struct meaning *m)
{
    if (!m)
        return;
    for (unsigned i = 0; i < m->nparts; i++)
        meaning_free(m->part[i]);
    free(m);
}

/* In quotes, quote and backslash behind @escape, or doubled when that is 0. */
static inline void add_quoted(char *out, const char *s, char escape)
{
    add(out, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            add(out, "%c", escape ? escape : *s);
        add(out, "%c", *s);
    }
    add(out, "\"");
}

static inline void gen_hstore(struct meaning *m)
{
    m->what = W_HSTORE;
    for (unsigned n = below(PARTS_MAX / 2 + 1); n; n--) {
        struct meaning *key = meaning_new(), *value = meaning_new();

        add(key->text, "%u", n);
        gen_text(key);
        gen_text(value);
        value->null = !below(4);
        add(m->text, m->nparts ? ", " : "");
        add_quoted(m->text, key->text, '\\');
        add(m->text, "=>");
        if (value->null)
            add(m->text, "NULL");
        else
            add_quoted(m->text, value->text, '\\');
        m->part[m->nparts++] = key;
        m->part[m->nparts++] = value;
    }
}

#endif
