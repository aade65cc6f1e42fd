/* Converters of numbers. */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

#include "avro_put.h"
#include "types_conv.h"

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') <= 9;
}

/* Eight digits at once, as values 0 to 9, the first in the lowest byte: each step joins neighbours.
 * Return: false when one is no digit. */
static inline bool join_digits(uint64_t v, uint64_t *out)
{
    if ((v | (v + UINT64_C(0x7676767676767676))) & UINT64_C(0x8080808080808080))
        return false;
    v = (v * 10 + (v >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
    v = (v * 100 + (v >> 16)) & UINT64_C(0x0000ffff0000ffff);
    *out = (v * 10000 + (v >> 32)) & UINT64_C(0xffffffff);
    return true;
}

static inline uint64_t load4(const char *s)
{
    uint32_t v;

    memcpy(&v, s, sizeof(v));
    return le32toh(v) ^ 0x30303030u;
}

/* Up to eight digits; four to eight are two overlapping loads, moved up behind leading zeros. */
static inline bool short_digits(const char *s, size_t n, uint64_t *out)
{
    uint64_t v = 0;

    if (n >= 4)
        return join_digits((load4(s) | load4(s + n - 4) << (8 * n - 32)) << (64 - 8 * n), out);
    for (; n; n--, s++) {
        unsigned d = (unsigned char)(*s - '0');

        if (d > 9)
            return false;
        v = v * 10 + d;
    }
    *out = v;
    return true;
}

/* 9 to 19 digits: eight, the rest up to eight, the rest. */
static __attribute__((noinline)) bool long_digits(const char *s, size_t n, uint64_t *out)
{
    static const uint32_t pow10[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    uint64_t v = 0, part;

    while (n) {
        size_t step = n < 8 ? n : 8;

        if (!short_digits(s, step, &part))
            return false;
        v = v * pow10[step] + part;
        s += step;
        n -= step;
    }
    *out = v;
    return true;
}

/* 1 to 19 digits always fit. */
static inline bool parse_digits(const char *s, size_t n, uint64_t *out)
{
    if (n - 1 < 8)
        return short_digits(s, n, out);
    return n - 1 < 19 && long_digits(s, n, out);
}

static inline __attribute__((always_inline)) unsigned char *
put_int(const char *s, size_t n, unsigned char *p, enum wf_conv_why *why, uint64_t max)
{
    uint64_t v;

    if (n && *s != '-' && parse_digits(s, n, &v) && v <= max)
        return wf_put_long(p, (int64_t)v);
    if (n && *s == '-' && parse_digits(s + 1, n - 1, &v) && v <= max + 1)
        return wf_put_long(p, (int64_t)-v);
    return wf_conv_fail(why, WF_CONV_BAD);
}

WF_CONV(wf_conv_int2)
{
    (void)t;
    return put_int(s, n, p, why, INT16_MAX);
}

WF_CONV(wf_conv_int4)
{
    (void)t;
    return put_int(s, n, p, why, INT32_MAX);
}

WF_CONV(wf_conv_int8)
{
    (void)t;
    return put_int(s, n, p, why, INT64_MAX);
}

WF_CONV(wf_conv_oid)
{
    uint64_t v;

    (void)t;
    if (!parse_digits(s, n, &v) || v > UINT32_MAX)
        return wf_conv_fail(why, WF_CONV_BAD);
    return wf_put_long(p, (int64_t)v);
}

/* ---- floats ---- */

#define FLOAT_TEXT_MAX 63 /* PostgreSQL prints at most 24 */

/* A short decimal as mantissa and power of ten. Return: false = use the library. */
static bool scan_float(const char *s, size_t n, uint64_t *mantissa, int *exp10, bool *neg)
{
    size_t i = 0, digits = 0, after_point = 0;
    bool point = false;
    uint64_t m = 0;

    *neg = s[0] == '-';
    for (i = *neg; i < n; i++) {
        if (s[i] == '.' && !point) {
            point = true;
            continue;
        }
        if (!is_digit(s[i]))
            return false;
        m = m * 10 + (unsigned)(s[i] - '0');
        digits++;
        after_point += point;
    }
    *mantissa = m;
    *exp10 = -(int)after_point;
    return digits && digits <= 18;
}

/* Only what PostgreSQL prints: the library would also take "inf", "0x1p3" and blanks. */
static bool copy_float(char *buf, const char *s, size_t n)
{
    if (!n || n > FLOAT_TEXT_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_digit(s[i]) && !strchr("+-.e", s[i]))
            return false;
    memcpy(buf, s, n);
    buf[n] = '\0';
    return buf[0] != '+' && strspn(buf, "-.") < n;
}

/* Return: 0 not special, 1 +infinity, -1 -infinity, 2 NaN */
static int special_float(const char *s, size_t n)
{
    if (n == 3 && !memcmp(s, "NaN", 3))
        return 2;
    if (n == 8 && !memcmp(s, "Infinity", 8))
        return 1;
    if (n == 9 && !memcmp(s, "-Infinity", 9))
        return -1;
    return 0;
}

/* Powers of ten that a double (to 22) and a float (to 10) hold exactly. */
static const double pow10_double[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

bool wf_parse_double(const char *s, size_t n, double *out)
{
    char buf[FLOAT_TEXT_MAX + 1], *end;
    uint64_t m;
    int exp10;
    bool neg;

    if (!n)
        return false;
    /* Both operands exact, so the division rounds once (W. D. Clinger, 1990). */
    if (scan_float(s, n, &m, &exp10, &neg) && m <= (UINT64_C(1) << 53)) {
        double d = (double)m / pow10_double[-exp10];

        *out = neg ? -d : d;
        return true;
    }
    switch (special_float(s, n)) {
    case 1:
        *out = __builtin_inf();
        return true;
    case -1:
        *out = -__builtin_inf();
        return true;
    case 2:
        *out = __builtin_nan("");
        return true;
    default:
        break;
    }
    if (!copy_float(buf, s, n))
        return false;
    *out = strtod(buf, &end);
    return !*end;
}

WF_CONV(wf_conv_float8)
{
    uint64_t bits;
    double d;

    (void)t;
    if (!wf_parse_double(s, n, &d))
        return wf_conv_fail(why, WF_CONV_BAD);
    memcpy(&bits, &d, sizeof(bits));
    return wf_put_u64le(p, bits);
}

static bool parse_float(const char *s, size_t n, float *out)
{
    char buf[FLOAT_TEXT_MAX + 1], *end;
    uint64_t m;
    int exp10;
    bool neg;
    double d = 0;

    if (!n)
        return false;
    if (scan_float(s, n, &m, &exp10, &neg) && m <= (1u << 24) && exp10 >= -10) {
        float f = (float)m / (float)pow10_double[-exp10];

        *out = neg ? -f : f;
        return true;
    }
    if (special_float(s, n)) {
        wf_parse_double(s, n, &d);
        *out = (float)d;
        return true;
    }
    if (!copy_float(buf, s, n))
        return false;
    *out = strtof(buf, &end);
    return !*end;
}

WF_CONV(wf_conv_float4)
{
    uint32_t bits;
    float f;

    (void)t;
    if (!parse_float(s, n, &f))
        return wf_conv_fail(why, WF_CONV_BAD);
    memcpy(&bits, &f, sizeof(bits));
    return wf_put_u32le(p, bits);
}

/* ---- decimals: two's complement, big endian, as few bytes as possible ---- */

struct dec {
    const char *whole, *frac;
    size_t nwhole, nfrac;
    size_t pad; /* zeros after the last digit */
    bool neg;
};

static bool all_digits(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_digit(s[i]))
            return false;
    return true;
}

static bool split_decimal(const char *s, size_t n, struct dec *d, enum wf_conv_why *why)
{
    const char *point;

    if (n && special_float(s, n)) {
        *why = WF_CONV_SPECIAL;
        return false;
    }
    *why = WF_CONV_BAD;
    d->neg = n && *s == '-';
    s += d->neg;
    n -= d->neg;
    point = memchr(s, '.', n);
    d->whole = s;
    d->nwhole = point ? (size_t)(point - s) : n;
    d->frac = point ? point + 1 : s + n;
    d->nfrac = n - d->nwhole - (point ? 1 : 0);
    d->pad = 0;
    return d->nwhole + d->nfrac > 0 && all_digits(s, d->nwhole) && all_digits(d->frac, d->nfrac);
}

static unsigned char *put_int64_bytes(unsigned char *p, int64_t v)
{
    uint64_t mag = (uint64_t)(v < 0 ? ~v : v);
    unsigned bits = mag ? 64u - (unsigned)__builtin_clzll(mag) : 0;
    unsigned nbytes = bits / 8 + 1; /* a sign bit is needed too */
    uint64_t be = htobe64((uint64_t)v << (64 - 8 * nbytes));

    *p++ = (unsigned char)(nbytes * 2);
    memcpy(p, &be, 8);
    return p + nbytes;
}

/* limbs = limbs * mul + add, little endian, no alignment. Return: the new number of limbs. */
static size_t mul_add(unsigned char *limbs, size_t nlimbs, uint64_t mul, uint64_t add)
{
    unsigned __int128 carry = add;
    uint64_t limb;

    for (size_t i = 0; i < nlimbs; i++) {
        memcpy(&limb, limbs + 8 * i, 8);
        carry += (unsigned __int128)le64toh(limb) * mul;
        limb = htole64((uint64_t)carry);
        memcpy(limbs + 8 * i, &limb, 8);
        carry >>= 64;
    }
    if (carry) {
        limb = htole64((uint64_t)carry);
        memcpy(limbs + 8 * nlimbs++, &limb, 8);
    }
    return nlimbs;
}

static unsigned digit_at(const struct dec *d, size_t i)
{
    if (i < d->nwhole)
        return (unsigned)(d->whole[i] - '0');
    i -= d->nwhole;
    return i < d->nfrac ? (unsigned)(d->frac[i] - '0') : 0;
}

/* Negate and turn around in place: little endian magnitude to big endian two's complement. */
static void finish_big(unsigned char *b, size_t n, bool neg)
{
    unsigned carry = 1;

    for (size_t i = 0; neg && i < n; i++) {
        unsigned v = (unsigned char)~b[i] + carry;

        b[i] = (unsigned char)v;
        carry = v >> 8;
    }
    for (size_t i = 0; i < n / 2; i++) {
        unsigned char c = b[i];

        b[i] = b[n - 1 - i];
        b[n - 1 - i] = c;
    }
}

/* Any number of digits, inside the output: 18 at a time, quadratic (the longest numeric, 147,455
 * digits, takes some 60 ms; nothing in between allocates). */
static unsigned char *put_big(unsigned char *p, const struct dec *d)
{
    unsigned char *b = p + WF_LONG_ROOM;
    size_t total = d->nwhole + d->nfrac + d->pad, nlimbs = 0, n, skip = 0;

    for (size_t i = 0; i < total;) {
        uint64_t chunk = 0, mul = 1;

        for (unsigned k = 0; k < 18 && i < total; k++, i++) {
            chunk = chunk * 10 + digit_at(d, i);
            mul *= 10;
        }
        nlimbs = mul_add(b, nlimbs, mul, chunk);
    }
    n = nlimbs * 8;
    b[n++] = 0; /* room for the sign */
    finish_big(b, n, d->neg);
    while (skip + 1 < n && (b[skip] == 0 || b[skip] == 0xff) &&
           (b[skip] & 0x80) == (b[skip + 1] & 0x80))
        skip++;
    p = wf_put_long(p, (int64_t)(n - skip));
    memmove(p, b + skip, n - skip);
    return p + n - skip;
}

static unsigned char *put_decimal(unsigned char *p, const struct dec *d)
{
    size_t total = d->nwhole + d->nfrac + d->pad;
    uint64_t v = 0;

    if (total > 18)
        return put_big(p, d);
    for (size_t i = 0; i < d->nwhole; i++)
        v = v * 10 + (unsigned)(d->whole[i] - '0');
    for (size_t i = 0; i < d->nfrac; i++)
        v = v * 10 + (unsigned)(d->frac[i] - '0');
    for (size_t i = 0; i < d->pad; i++)
        v *= 10;
    return put_int64_bytes(p, d->neg ? -(int64_t)v : (int64_t)v);
}

/* Fewer digits than the scale are filled up; more must be zeros. */
WF_CONV(wf_conv_decimal)
{
    size_t scale = (size_t)t->arg;
    struct dec d;

    if (!split_decimal(s, n, &d, why))
        return NULL;
    while (d.nfrac > scale && d.frac[d.nfrac - 1] == '0')
        d.nfrac--;
    if (d.nfrac > scale)
        return wf_conv_fail(why, WF_CONV_RANGE);
    d.pad = scale - d.nfrac;
    return put_decimal(p, &d);
}

/* The record {scale, value} with trailing zeros of the fraction stripped, scale never below 0. */
WF_CONV(wf_conv_variable_decimal)
{
    struct dec d;

    (void)t;
    if (!split_decimal(s, n, &d, why))
        return NULL;
    while (d.nfrac && d.frac[d.nfrac - 1] == '0')
        d.nfrac--;
    p = wf_put_long(p, (int64_t)d.nfrac);
    return put_decimal(p, &d);
}

/* ---- numeric as double and as text ---- */

/* As many digits decide the nearest double (767 do; a guess with room), and whether more follow. */
#define DOUBLE_DIGITS 800

/* Of any length: digits as a whole number with an exponent for the library. */
static double long_double(const struct dec *d)
{
    char buf[DOUBLE_DIGITS + 32];
    size_t total = d->nwhole + d->nfrac, i = 0, n = 0;
    long exp10;

    while (i < total && !digit_at(d, i))
        i++;
    for (; i < total && n < DOUBLE_DIGITS; i++)
        buf[n++] = (char)('0' + digit_at(d, i));
    exp10 = (long)d->nwhole - (long)i;
    for (; i < total; i++)
        if (digit_at(d, i)) {
            buf[n++] = '1'; /* lifts a tie, stands for all that follows */
            exp10--;
            break;
        }
    if (!n)
        return 0;
    snprintf(buf + n, sizeof(buf) - n, "e%ld", exp10);
    return d->neg ? -strtod(buf, NULL) : strtod(buf, NULL);
}

static unsigned char *put_double(unsigned char *p, double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof(bits));
    return wf_put_u64le(p, bits);
}

/* Rounded to the nearest double; what is beyond the largest is refused, not made infinite. */
WF_CONV(wf_conv_numeric_double)
{
    struct dec dec;
    double d;

    (void)t;
    if (n && special_float(s, n) && wf_parse_double(s, n, &d))
        return put_double(p, d);
    if (!split_decimal(s, n, &dec, why))
        return NULL;
    if (n > FLOAT_TEXT_MAX || !wf_parse_double(s, n, &d))
        d = long_double(&dec);
    if (!__builtin_isfinite(d))
        return wf_conv_fail(why, WF_CONV_RANGE);
    return put_double(p, d);
}

/* The server's digits; with a scale as many behind the point, zeros filled in. */
WF_CONV(wf_conv_decimal_text)
{
    bool scaled = t->arg >= 0;
    size_t scale = scaled ? (size_t)t->arg : 0, whole, point;
    struct dec d;

    if (!split_decimal(s, n, &d, why))
        return NULL;
    if (!scaled || d.nfrac == scale)
        return wf_put_bytes(p, s, n);
    while (d.nfrac > scale && d.frac[d.nfrac - 1] == '0')
        d.nfrac--;
    if (d.nfrac > scale)
        return wf_conv_fail(why, WF_CONV_RANGE);
    whole = d.neg + d.nwhole;
    point = scale > 0;
    p = wf_put_long(p, (int64_t)(whole + point + scale));
    memcpy(p, s, whole);
    p += whole;
    if (point)
        *p++ = '.';
    memcpy(p, d.frac, d.nfrac);
    memset(p + d.nfrac, '0', scale - d.nfrac);
    return p + scale;
}

/* As above, NaN and the infinities as PostgreSQL writes them. */
WF_CONV(wf_conv_numeric_text)
{
    if (n && special_float(s, n))
        return wf_put_bytes(p, s, n);
    return wf_conv_decimal_text(t, s, n, p, why);
}

/* As above, NaN and the infinities by the names Debezium has for them. */
WF_CONV(wf_conv_numeric_words)
{
    switch (n ? special_float(s, n) : 0) {
    case 2:
        return wf_put_bytes(p, "NAN", 3);
    case 1:
        return wf_put_bytes(p, "POSITIVE_INFINITY", 17);
    case -1:
        return wf_put_bytes(p, "NEGATIVE_INFINITY", 17);
    default:
        return wf_conv_decimal_text(t, s, n, p, why);
    }
}

/* ---- money ---- */

#define MONEY_TEXT_MAX 32 /* "-92233720368547758.08" are 21 */

/* "-$1,234.56" as hundredths: lc_monetary is pinned to C. */
static bool read_money(const char *s, size_t n, int64_t *cents)
{
    const char *end = s + n;
    bool neg = n && *s == '-', any = false;
    uint64_t v = 0;

    s += neg;
    if (s < end && *s == '$')
        s++;
    for (; s < end && *s != '.'; s++) {
        if (*s == ',')
            continue;
        if (!is_digit(*s) || v > UINT64_MAX / 2000)
            return false;
        v = v * 10 + (unsigned)(*s - '0');
        any = true;
    }
    if (!any || end - s != 3 || !is_digit(s[1]) || !is_digit(s[2]))
        return false;
    v = v * 100 + (uint64_t)(s[1] - '0') * 10 + (uint64_t)(s[2] - '0');
    if (v > (uint64_t)INT64_MAX + neg)
        return false;
    *cents = (int64_t)(neg ? -v : v);
    return true;
}

/* As numeric prints it: "-1234.56". Return: the length, 0 when it is no money. */
static size_t plain_money(const char *s, size_t n, char out[MONEY_TEXT_MAX])
{
    int64_t cents;
    uint64_t mag;

    if (!read_money(s, n, &cents))
        return 0;
    mag = cents < 0 ? 0 - (uint64_t)cents : (uint64_t)cents;
    return (size_t)snprintf(out, MONEY_TEXT_MAX, "%s%llu.%02u", cents < 0 ? "-" : "",
                            (unsigned long long)(mag / 100), (unsigned)(mag % 100));
}

WF_CONV(wf_conv_money)
{
    int64_t cents;

    (void)t;
    if (!read_money(s, n, &cents))
        return wf_conv_fail(why, WF_CONV_BAD);
    return put_int64_bytes(p, cents);
}

/* With another number of digits than two. */
WF_CONV(wf_conv_money_scaled)
{
    char text[MONEY_TEXT_MAX];
    size_t len = plain_money(s, n, text);

    return len ? wf_conv_decimal(t, text, len, p, why) : wf_conv_fail(why, WF_CONV_BAD);
}

WF_CONV(wf_conv_money_double)
{
    char text[MONEY_TEXT_MAX];
    size_t len = plain_money(s, n, text);

    return len ? wf_conv_numeric_double(t, text, len, p, why) : wf_conv_fail(why, WF_CONV_BAD);
}

WF_CONV(wf_conv_money_text)
{
    char text[MONEY_TEXT_MAX];
    size_t len = plain_money(s, n, text);

    return len ? wf_conv_decimal_text(t, text, len, p, why) : wf_conv_fail(why, WF_CONV_BAD);
}
