/* Numbers, and shapes made of them. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "binary_parts.h"

#define NUMERIC_MINUS 0x4000 /* utils/adt/numeric.c */
#define NUMERIC_NAN 0xC000
#define NUMERIC_PINF 0xD000
#define NUMERIC_NINF 0xF000

WF_BINARY(wf_binary_bool)
{
    uint8_t v = wf_read_u8(r, "bool");

    (void)b;
    if (v > 1)
        wf_read_fail(r, "bool");
    wf_buf_byte(out, v ? 't' : 'f');
}

static void put_unsigned(struct wf_buf *out, uint64_t v)
{
    char digits[20];
    size_t n = sizeof(digits);

    do {
        digits[--n] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    wf_buf_put(out, digits + n, sizeof(digits) - n);
}

static void put_signed(struct wf_buf *out, int64_t v)
{
    if (v < 0)
        wf_buf_byte(out, '-');
    put_unsigned(out, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

WF_BINARY(wf_binary_int2)
{
    (void)b;
    put_signed(out, (int16_t)wf_read_u16(r, "int2"));
}

WF_BINARY(wf_binary_int4)
{
    (void)b;
    put_signed(out, (int32_t)wf_read_u32(r, "int4"));
}

WF_BINARY(wf_binary_int8)
{
    (void)b;
    put_signed(out, (int64_t)wf_read_u64(r, "int8"));
}

WF_BINARY(wf_binary_uint4)
{
    (void)b;
    put_unsigned(out, wf_read_u32(r, "oid"));
}

WF_BINARY(wf_binary_uint8)
{
    (void)b;
    put_unsigned(out, wf_read_u64(r, "xid8"));
}

/* ---- floats ------------------------------------------------------------------------------ */

/* A float, and the middles to its neighbours: what lies between reads back as it. */
struct target {
    double v;
    bool single; /* it is a float4 */
    long double low, high;
};

static struct target target_of(double v, double below, double above, bool single)
{
    long double exact = v;
    struct target t = {v, single, exact - (exact - (long double)below) / 2, 0};

    /* nothing is above the largest: its upper middle is as far as its lower one */
    t.high = isinf(above) ? exact + (exact - t.low) : exact + ((long double)above - exact) / 2;
    return t;
}

/* "d.dddde+XX" as snprintf() writes it, taken apart. */
struct decimal {
    char digits[20];
    int n, exponent;
};

static void decimal_of(double v, int n, struct decimal *d)
{
    char text[40];

    snprintf(text, sizeof(text), "%.*e", n - 1, v);
    d->digits[0] = text[0];
    if (n > 1)
        memcpy(d->digits + 1, text + 2, (size_t)n - 1);
    d->n = n;
    d->exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
}

/* One more in the last digit. */
static void step_up(struct decimal *d)
{
    int i = d->n - 1;

    while (i >= 0 && d->digits[i] == '9')
        d->digits[i--] = '0';
    if (i >= 0) {
        d->digits[i]++;
        return;
    }
    d->digits[0] = '1';
    d->exponent++;
}

/* Whether @d is exactly the middle @m; a long double cannot tell, its 39 digits can. */
static bool is_middle(const struct decimal *d, long double m)
{
    char text[64];

    snprintf(text, sizeof(text), "%.38Le", m);
    return text[0] == d->digits[0] && memcmp(text + 2, d->digits + 1, (size_t)d->n - 1) == 0 &&
           strspn(text + 1 + d->n, "0") == (size_t)(39 - d->n) &&
           strtol(strchr(text, 'e') + 1, NULL, 10) == d->exponent;
}

/* PostgreSQL takes no middle, though half of them would read back. */
static bool is_within(const struct decimal *d, const struct target *t)
{
    char text[40];
    long double v;

    snprintf(text, sizeof(text), "%c.%.*se%d", d->digits[0], d->n - 1, d->digits + 1, d->exponent);
    if ((t->single ? (double)strtof(text, NULL) : strtod(text, NULL)) != t->v)
        return false;
    v = strtold(text, NULL);
    return !(v == t->low && is_middle(d, t->low)) && !(v == t->high && is_middle(d, t->high));
}

/* The fewest digits that lie strictly between the middles, the nearest of them: what Ryu finds
 * (common/d2s.c). Above a power of two the gap is wider, so the next one up may do as well. Of
 * decimals of @safe digits one at most lies between, so it is the shortest but for its zeros. */
static void shortest(const struct target *t, int safe, int most, struct decimal *d)
{
    for (int n = safe; n < most; n++) {
        decimal_of(t->v, n, d);
        if (is_within(d, t))
            return;
        step_up(d);
        if (is_within(d, t))
            return;
    }
    decimal_of(t->v, most, d);
}

static void put_plain(struct wf_buf *out, const struct decimal *d)
{
    int whole = d->exponent + 1; /* digits before the point */

    if (whole <= 0) {
        wf_buf_put(out, "0.", 2);
        for (int i = whole; i < 0; i++)
            wf_buf_byte(out, '0');
        wf_buf_put(out, d->digits, (size_t)d->n);
        return;
    }
    for (int i = 0; i < whole || i < d->n; i++) {
        if (i == whole)
            wf_buf_byte(out, '.');
        wf_buf_byte(out, i < d->n ? (unsigned char)d->digits[i] : '0');
    }
}

static void put_decimal(struct wf_buf *out, struct decimal *d, int most_plain)
{
    int exponent;

    while (d->n > 1 && d->digits[d->n - 1] == '0')
        d->n--;
    if (d->exponent >= -4 && d->exponent < most_plain) {
        put_plain(out, d);
        return;
    }
    exponent = d->exponent < 0 ? -d->exponent : d->exponent;
    wf_buf_byte(out, (unsigned char)d->digits[0]);
    if (d->n > 1)
        wf_buf_byte(out, '.');
    wf_buf_put(out, d->digits + 1, (size_t)d->n - 1);
    wf_buf_put(out, d->exponent < 0 ? "e-" : "e+", 2);
    if (exponent < 10)
        wf_buf_byte(out, '0');
    put_unsigned(out, (uint64_t)exponent);
}

/* Return: true when that was all of it; else *v is positive. */
static bool put_special(struct wf_buf *out, double *v)
{
    if (isnan(*v)) {
        wf_buf_put(out, "NaN", 3);
        return true;
    }
    if (signbit(*v))
        wf_buf_byte(out, '-');
    *v = fabs(*v);
    if (isinf(*v))
        wf_buf_put(out, "Infinity", 8);
    else if (*v == 0)
        wf_buf_byte(out, '0');
    return isinf(*v) || *v == 0;
}

void wf_binary_put_float8(struct wf_buf *out, double v)
{
    struct target t;
    struct decimal d;

    if (put_special(out, &v))
        return;
    t = target_of(v, nextafter(v, 0), nextafter(v, INFINITY), false);
    shortest(&t, v < DBL_MIN ? 1 : DBL_DIG, 17, &d);
    put_decimal(out, &d, 15);
}

void wf_binary_put_float4(struct wf_buf *out, float f)
{
    double v = (double)f;
    struct target t;
    struct decimal d;

    if (put_special(out, &v))
        return;
    f = (float)v;
    t = target_of(v, (double)nextafterf(f, 0), (double)nextafterf(f, INFINITY), true);
    shortest(&t, f < FLT_MIN ? 1 : FLT_DIG, 9, &d);
    put_decimal(out, &d, 6);
}

static double read_float8(struct wf_reader *r)
{
    uint64_t bits = wf_read_u64(r, "float8");
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

static float read_float4(struct wf_reader *r)
{
    uint32_t bits = wf_read_u32(r, "float4");
    float v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

WF_BINARY(wf_binary_float4)
{
    (void)b;
    wf_binary_put_float4(out, read_float4(r));
}

WF_BINARY(wf_binary_float8)
{
    (void)b;
    wf_binary_put_float8(out, read_float8(r));
}

/* ---- numeric ----------------------------------------------------------------------------- */

static void put_group(struct wf_buf *out, unsigned v, int digits)
{
    static const unsigned tens[] = {1, 10, 100, 1000};

    while (digits-- > 0)
        wf_buf_byte(out, (unsigned char)('0' + v / tens[digits] % 10));
}

static bool put_special_numeric(struct wf_buf *out, unsigned sign)
{
    if (sign == NUMERIC_NAN)
        wf_buf_put(out, "NaN", 3);
    else if (sign == NUMERIC_PINF)
        wf_buf_put(out, "Infinity", 8);
    else if (sign == NUMERIC_NINF)
        wf_buf_put(out, "-Infinity", 9);
    else
        return false;
    return true;
}

/* The group of four digits that stands for 10000^@power; 0 outside the number. */
static unsigned group_at(const char *groups, unsigned n, int weight, int power)
{
    int i = weight - power;
    uint16_t v;

    if (i < 0 || (unsigned)i >= n)
        return 0;
    memcpy(&v, groups + 2 * (size_t)i, sizeof(v));
    return be16toh(v);
}

static void put_whole(struct wf_buf *out, const char *groups, unsigned n, int weight)
{
    unsigned first = group_at(groups, n, weight, weight);

    if (weight < 0 || n == 0) {
        wf_buf_byte(out, '0');
        return;
    }
    put_group(out, first, first >= 1000 ? 4 : first >= 100 ? 3 : first >= 10 ? 2 : 1);
    for (int power = weight - 1; power >= 0; power--)
        put_group(out, group_at(groups, n, weight, power), 4);
}

WF_BINARY(wf_binary_numeric)
{
    unsigned n = wf_read_u16(r, "numeric");
    int weight = (int16_t)wf_read_u16(r, "numeric");
    unsigned sign = wf_read_u16(r, "numeric"), scale = wf_read_u16(r, "numeric");
    const char *groups = wf_read_bytes(r, 2 * (size_t)n, "numeric digits");

    (void)b;
    if (r->what || (n == 0 && put_special_numeric(out, sign)))
        return;
    if ((sign != 0 && sign != NUMERIC_MINUS) || scale > 16383) {
        wf_read_fail(r, "numeric sign or scale");
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        if (group_at(groups, n, (int)i, 0) > 9999) {
            wf_read_fail(r, "numeric digit");
            return;
        }
    }
    if (sign == NUMERIC_MINUS)
        wf_buf_byte(out, '-');
    put_whole(out, groups, n, weight);
    if (scale)
        wf_buf_byte(out, '.');
    for (int done = 0, power = -1; done < (int)scale; done += 4, power--) {
        unsigned group = group_at(groups, n, weight, power);
        int digits = (int)scale - done < 4 ? (int)scale - done : 4;

        for (int cut = digits; cut < 4; cut++)
            group /= 10;
        put_group(out, group, digits);
    }
}

/* cash_out() under lc_monetary C: two digits of fraction, groups of three. */
WF_BINARY(wf_binary_money)
{
    int64_t cents = (int64_t)wf_read_u64(r, "money");
    uint64_t v = cents < 0 ? -(uint64_t)cents : (uint64_t)cents;
    char text[32], *p = text + sizeof(text);
    uint64_t whole = v / 100;

    (void)b;
    *--p = (char)('0' + v % 10);
    *--p = (char)('0' + v / 10 % 10);
    *--p = '.';
    for (int i = 0; i == 0 || whole; i++) {
        if (i && i % 3 == 0)
            *--p = ',';
        *--p = (char)('0' + whole % 10);
        whole /= 10;
    }
    *--p = '$';
    if (cents < 0)
        *--p = '-';
    wf_buf_put(out, p, (size_t)(text + sizeof(text) - p));
}

/* ---- shapes ------------------------------------------------------------------------------ */

static void put_pair(struct wf_reader *r, struct wf_buf *out)
{
    wf_buf_byte(out, '(');
    wf_binary_put_float8(out, read_float8(r));
    wf_buf_byte(out, ',');
    wf_binary_put_float8(out, read_float8(r));
    wf_buf_byte(out, ')');
}

static void put_pairs(struct wf_reader *r, struct wf_buf *out, uint32_t n, const char *brackets)
{
    if (n > (size_t)(r->end - r->at) / 16) {
        wf_read_fail(r, "point count");
        return;
    }
    wf_buf_put(out, brackets, brackets[0] != 0);
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            wf_buf_byte(out, ',');
        put_pair(r, out);
    }
    wf_buf_put(out, brackets[0] ? brackets + 1 : brackets, brackets[0] != 0);
}

WF_BINARY(wf_binary_point)
{
    (void)b;
    put_pair(r, out);
}

WF_BINARY(wf_binary_lseg)
{
    (void)b;
    put_pairs(r, out, 2, "[]");
}

WF_BINARY(wf_binary_box)
{
    (void)b;
    put_pairs(r, out, 2, "");
}

WF_BINARY(wf_binary_line)
{
    (void)b;
    for (int i = 0; i < 3; i++) {
        wf_buf_byte(out, i ? ',' : '{');
        wf_binary_put_float8(out, read_float8(r));
    }
    wf_buf_byte(out, '}');
}

WF_BINARY(wf_binary_circle)
{
    (void)b;
    wf_buf_byte(out, '<');
    put_pair(r, out);
    wf_buf_byte(out, ',');
    wf_binary_put_float8(out, read_float8(r));
    wf_buf_byte(out, '>');
}

WF_BINARY(wf_binary_path)
{
    uint8_t closed = wf_read_u8(r, "path");

    (void)b;
    if (closed > 1)
        wf_read_fail(r, "path");
    put_pairs(r, out, wf_read_u32(r, "path"), closed ? "()" : "[]");
}

WF_BINARY(wf_binary_polygon)
{
    (void)b;
    put_pairs(r, out, wf_read_u32(r, "polygon"), "()");
}

static void put_corner(struct wf_reader *r, struct wf_buf *out, uint32_t dims)
{
    wf_buf_byte(out, '(');
    for (uint32_t i = 0; i < dims && !r->what; i++) {
        if (i)
            wf_buf_put(out, ", ", 2);
        wf_binary_put_float8(out, read_float8(r));
    }
    wf_buf_byte(out, ')');
}

/* contrib/cube: the upper bit says that both corners are one. */
WF_BINARY(wf_binary_cube)
{
    uint32_t header = wf_read_u32(r, "cube"), dims = header & 0x7fffffff;

    (void)b;
    put_corner(r, out, dims);
    if (header >> 31 || r->what)
        return;
    wf_buf_byte(out, ',');
    put_corner(r, out, dims);
}

/* ---- pgvector ---------------------------------------------------------------------------- */

static float half(uint16_t bits)
{
    int exponent = bits >> 10 & 0x1f, mantissa = bits & 0x3ff;
    float v;

    if (exponent == 31)
        v = mantissa ? NAN : INFINITY;
    else if (exponent)
        v = ldexpf((float)(mantissa | 0x400), exponent - 25);
    else
        v = ldexpf((float)mantissa, -24);
    return bits >> 15 ? -v : v;
}

WF_BINARY(wf_binary_vector)
{
    uint16_t n = wf_read_u16(r, "vector");

    (void)b;
    if (wf_read_u16(r, "vector"))
        wf_read_fail(r, "vector");
    wf_buf_byte(out, '[');
    for (uint16_t i = 0; i < n && !r->what; i++) {
        if (i)
            wf_buf_byte(out, ',');
        wf_binary_put_float4(out, read_float4(r));
    }
    wf_buf_byte(out, ']');
}

WF_BINARY(wf_binary_halfvec)
{
    uint16_t n = wf_read_u16(r, "halfvec");

    (void)b;
    if (wf_read_u16(r, "halfvec"))
        wf_read_fail(r, "halfvec");
    wf_buf_byte(out, '[');
    for (uint16_t i = 0; i < n && !r->what; i++) {
        if (i)
            wf_buf_byte(out, ',');
        wf_binary_put_float4(out, half(wf_read_u16(r, "halfvec")));
    }
    wf_buf_byte(out, ']');
}

/* Indexes from 0 on the wire and from 1 in the text; first all of them, then the values. */
WF_BINARY(wf_binary_sparsevec)
{
    uint32_t dims = wf_read_u32(r, "sparsevec"), n = wf_read_u32(r, "sparsevec");
    struct wf_reader values;

    (void)b;
    if (wf_read_u32(r, "sparsevec") || n > (size_t)(r->end - r->at) / 8) {
        wf_read_fail(r, "sparsevec");
        return;
    }
    values = wf_reader(r->at + 4 * (size_t)n, 4 * (size_t)n);
    wf_buf_byte(out, '{');
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            wf_buf_byte(out, ',');
        put_unsigned(out, (uint64_t)wf_read_u32(r, "sparsevec") + 1);
        wf_buf_byte(out, ':');
        wf_binary_put_float4(out, read_float4(&values));
    }
    wf_buf_put(out, "}/", 2);
    put_unsigned(out, dims);
    wf_read_bytes(r, 4 * (size_t)n, "sparsevec");
}
