/* Converters of dates and times. PostgreSQL's calendar is the proleptic Gregorian one
 * ("History of Units"); DateStyle ISO, IntervalStyle postgres, TimeZone UTC are pinned. */
#include "avro_put.h"
#include "types_conv.h"

#define SECOND_US INT64_C(1000000)
#define DAY_US (86400 * SECOND_US)
#define DAY_MS (86400 * INT64_C(1000))
#define MONTH_US (DAY_US * 487 / 16) /* Debezium: 365.25 / 12 days = 30.4375 */

struct reader {
    const char *s, *end;
    bool bad; /* sticks */
};

struct stamp {
    int32_t year; /* astronomical: 0 = 1 BC */
    unsigned month, day;
    int64_t us; /* of the day, to 24:00 */
};

static bool take(struct reader *r, char c)
{
    if (r->s < r->end && *r->s == c) {
        r->s++;
        return true;
    }
    return false;
}

static void expect(struct reader *r, char c)
{
    if (!take(r, c))
        r->bad = true;
}

/* A number of @min to @max digits; all there are when fewer than @max. */
static int64_t number(struct reader *r, unsigned min, unsigned max)
{
    int64_t v = 0;
    unsigned n = 0;

    for (; n < max && r->s < r->end; n++, r->s++) {
        unsigned d = (unsigned char)(*r->s - '0');

        if (d > 9)
            break;
        v = v * 10 + d;
    }
    if (n < min)
        r->bad = true;
    return v;
}

/* Two digits up to @max. */
static inline unsigned two(struct reader *r, unsigned max)
{
    unsigned hi, lo;

    if (r->end - r->s < 2) {
        r->bad = true;
        return 0;
    }
    hi = (unsigned char)(r->s[0] - '0');
    lo = (unsigned char)(r->s[1] - '0');
    r->s += 2;
    if (hi > 9 || lo > 9 || hi * 10 + lo > max)
        r->bad = true;
    return hi * 10 + lo;
}

static void read_date(struct reader *r, struct stamp *t)
{
    t->year = (int32_t)number(r, 4, 7);
    expect(r, '-');
    t->month = two(r, 12);
    expect(r, '-');
    t->day = two(r, 31);
    if (!t->year || !t->month || !t->day)
        r->bad = true;
}

/* ".5" as 500000; absent is 0. More than six digits are not PostgreSQL's. */
static int64_t fraction(struct reader *r)
{
    const char *start = r->s + 1;
    int64_t v;

    if (!take(r, '.'))
        return 0;
    v = number(r, 1, 6);
    for (long n = r->s - start; n < 6; n++)
        v *= 10;
    return v;
}

static void read_time(struct reader *r, struct stamp *t)
{
    int64_t seconds = two(r, 24) * INT64_C(3600);

    expect(r, ':');
    seconds += two(r, 59) * INT64_C(60);
    expect(r, ':');
    seconds += two(r, 60);
    t->us = seconds * SECOND_US + fraction(r);
    if (t->us > DAY_US)
        r->bad = true;
}

/* "+05:30", "-08", "+01:02:03" in seconds east of UTC. */
static int64_t read_zone(struct reader *r)
{
    bool west = take(r, '-');
    int64_t seconds;

    if (!west)
        expect(r, '+');
    seconds = two(r, 24) * INT64_C(3600);
    if (take(r, ':'))
        seconds += two(r, 59) * INT64_C(60);
    if (take(r, ':'))
        seconds += two(r, 59);
    return west ? -seconds : seconds;
}

/* " BC" at the end, or nothing. */
static void read_era(struct reader *r, struct stamp *t)
{
    if (take(r, ' ')) {
        expect(r, 'B');
        expect(r, 'C');
        t->year = 1 - t->year;
    }
    if (r->s != r->end)
        r->bad = true;
}

/* Days since 1970-01-01. Counts from 1 March so that the leap day ends the year; a cycle of 400
 * years has 146,097 days. */
static int64_t days_of(const struct stamp *t)
{
    int64_t y = t->year - (t->month <= 2);
    int64_t cycle = (y >= 0 ? y : y - 399) / 400;
    int64_t in_cycle = y - cycle * 400;
    int64_t month = t->month > 2 ? t->month - 3 : t->month + 9;
    int64_t day = (153 * month + 2) / 5 + t->day - 1;

    return cycle * 146097 + in_cycle * 365 + in_cycle / 4 - in_cycle / 100 + day - 719468;
}

/* The inverse of days_of(). */
static void date_of(int64_t days, struct stamp *t)
{
    int64_t shifted = days + 719468;
    int64_t cycle = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t in_cycle = shifted - cycle * 146097;
    int64_t year = (in_cycle - in_cycle / 1460 + in_cycle / 36524 - in_cycle / 146096) / 365;
    int64_t day = in_cycle - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * day + 2) / 153;

    t->day = (unsigned)(day - (153 * month + 2) / 5 + 1);
    t->month = (unsigned)(month < 10 ? month + 3 : month - 9);
    t->year = (int32_t)(year + cycle * 400 + (t->month <= 2));
}

/* Return: 1 "infinity", -1 "-infinity", else 0 */
static int infinity(const char *s, size_t n)
{
    if (n == 8 && !memcmp(s, "infinity", 8))
        return 1;
    if (n == 9 && !memcmp(s, "-infinity", 9))
        return -1;
    return 0;
}

WF_CONV(wf_conv_date)
{
    struct reader r = {.s = s, .end = s + n};
    struct stamp d = {0};
    int inf = infinity(s, n);

    (void)t;
    if (inf)
        return wf_put_long(p, inf > 0 ? WF_DATE_INFINITY : WF_DATE_NEG_INFINITY);
    read_date(&r, &d);
    read_era(&r, &d);
    if (r.bad)
        return wf_conv_fail(why, WF_CONV_BAD);
    return wf_put_long(p, days_of(&d));
}

static bool parse_time(const char *s, size_t n, int64_t *us)
{
    struct reader r = {.s = s, .end = s + n};
    struct stamp t = {0};

    read_time(&r, &t);
    *us = t.us;
    return !r.bad && r.s == r.end;
}

WF_CONV(wf_conv_time_us)
{
    int64_t us;

    (void)t;
    if (!parse_time(s, n, &us))
        return wf_conv_fail(why, WF_CONV_BAD);
    return wf_put_long(p, us);
}

WF_CONV(wf_conv_time_ms)
{
    int64_t us;

    (void)t;
    if (!parse_time(s, n, &us))
        return wf_conv_fail(why, WF_CONV_BAD);
    if (us % 1000)
        return wf_conv_fail(why, WF_CONV_RANGE);
    return wf_put_long(p, us / 1000);
}

/* ---- timestamps ---- */

static bool parse_timestamp(const char *s, size_t n, struct stamp *t)
{
    struct reader r = {.s = s, .end = s + n};

    read_date(&r, t);
    expect(&r, ' ');
    read_time(&r, t);
    read_era(&r, t);
    return !r.bad;
}

WF_CONV(wf_conv_timestamp_ms)
{
    struct stamp ts = {0};
    int inf = infinity(s, n);

    (void)t;
    if (inf)
        return wf_put_long(p, inf > 0 ? WF_TIMESTAMP_MS_INFINITY : WF_TIMESTAMP_MS_NEG_INFINITY);
    if (!parse_timestamp(s, n, &ts))
        return wf_conv_fail(why, WF_CONV_BAD);
    if (ts.us % 1000)
        return wf_conv_fail(why, WF_CONV_RANGE);
    return wf_put_long(p, days_of(&ts) * DAY_MS + ts.us / 1000);
}

/* Exact to 294247-01-10; the last 29 years of PostgreSQL's range would wrap. */
WF_CONV(wf_conv_timestamp_us)
{
    struct stamp ts = {0};
    int inf = infinity(s, n);
    int64_t us;

    (void)t;
    if (inf)
        return wf_put_long(p, inf > 0 ? INT64_MAX : INT64_MIN);
    if (!parse_timestamp(s, n, &ts))
        return wf_conv_fail(why, WF_CONV_BAD);
    if (__builtin_mul_overflow(days_of(&ts), DAY_US, &us) ||
        __builtin_add_overflow(us, ts.us, &us) || us == INT64_MAX)
        return wf_conv_fail(why, WF_CONV_RANGE);
    return wf_put_long(p, us);
}

/* ---- other units and rules ---- */

static unsigned char *put_ms(unsigned char *p, int64_t days, int64_t us, int arg,
                             enum wf_conv_why *why)
{
    if (us % 1000 && !(arg & WF_STAMP_FLOOR))
        return wf_conv_fail(why, WF_CONV_RANGE);
    return wf_put_long(p, days * DAY_MS + us / 1000); /* us is of the day: this rounds down */
}

/* The longest and the shortest value stand for the infinities. */
static unsigned char *put_scaled(unsigned char *p, int64_t days, int64_t us, int64_t per_us,
                                 enum wf_conv_why *why)
{
    int64_t v;

    if (__builtin_mul_overflow(days, DAY_US * per_us, &v) ||
        __builtin_add_overflow(v, us * per_us, &v) || v == INT64_MAX || v == INT64_MIN)
        return wf_conv_fail(why, WF_CONV_RANGE);
    return wf_put_long(p, v);
}

static unsigned char *put_units(unsigned char *p, int64_t days, int64_t us, int arg,
                                enum wf_conv_why *why)
{
    switch (arg & WF_STAMP_UNIT) {
    case WF_STAMP_MS:
        return put_ms(p, days, us, arg, why);
    case WF_STAMP_US:
        return put_scaled(p, days, us, 1, why);
    default:
        return put_scaled(p, days, us, 1000, why);
    }
}

WF_CONV(wf_conv_date_finite)
{
    if (infinity(s, n))
        return wf_conv_fail(why, WF_CONV_SPECIAL);
    return wf_conv_date(t, s, n, p, why);
}

WF_CONV(wf_conv_clock)
{
    int64_t us;

    if (!parse_time(s, n, &us))
        return wf_conv_fail(why, WF_CONV_BAD);
    return put_units(p, 0, us, t->arg, why);
}

static bool parse_zoned(const char *s, size_t n, struct stamp *t)
{
    struct reader r = {.s = s, .end = s + n};
    int64_t us, zone;

    read_date(&r, t);
    expect(&r, ' ');
    read_time(&r, t);
    zone = read_zone(&r);
    read_era(&r, t);
    if (r.bad)
        return false;
    if (zone == 0 && t->us < DAY_US) /* as our sessions have it */
        return true;
    us = t->us - zone * SECOND_US + 2 * DAY_US;
    date_of(days_of(t) + us / DAY_US - 2, t);
    t->us = us % DAY_US;
    return true;
}

WF_CONV(wf_conv_stamp)
{
    int inf = infinity(s, n);
    struct stamp ts = {0};

    if (inf && t->arg & WF_STAMP_FINITE)
        return wf_conv_fail(why, WF_CONV_SPECIAL);
    if (inf && (t->arg & WF_STAMP_UNIT) == WF_STAMP_MS)
        return wf_put_long(p, inf > 0 ? WF_TIMESTAMP_MS_INFINITY : WF_TIMESTAMP_MS_NEG_INFINITY);
    if (inf)
        return wf_put_long(p, inf > 0 ? INT64_MAX : INT64_MIN);
    if (t->arg & WF_STAMP_ZONED ? !parse_zoned(s, n, &ts) : !parse_timestamp(s, n, &ts))
        return wf_conv_fail(why, WF_CONV_BAD);
    return put_units(p, days_of(&ts), ts.us, t->arg, why);
}

/* ---- texts in UTC ---- */

static unsigned char *put_two(unsigned char *p, unsigned v)
{
    *p++ = (unsigned char)('0' + v / 10);
    *p++ = (unsigned char)('0' + v % 10);
    return p;
}

/* At least four digits; a sign before years below 0 and above 9999 (ISO 8601, as Java prints). */
static unsigned char *put_year(unsigned char *p, int32_t year)
{
    unsigned v = (unsigned)(year < 0 ? -year : year);
    unsigned n = 4;

    if (year < 0 || year > 9999)
        *p++ = year < 0 ? '-' : '+';
    for (unsigned more = v / 10000; more; more /= 10)
        n++;
    for (unsigned i = n; i > 0; v /= 10)
        p[--i] = (unsigned char)('0' + v % 10);
    return p + n;
}

/* The first @digits of the fraction. Return: false when that would lose something. */
static bool put_fraction(unsigned char **out, unsigned us, int digits)
{
    unsigned char *p = *out;
    unsigned unit = 100000;

    if (digits)
        *p++ = '.';
    for (; digits > 0; digits--) {
        *p++ = (unsigned char)('0' + us / unit);
        us %= unit;
        unit /= 10;
    }
    *out = p;
    return us == 0;
}

static unsigned char *put_clock(unsigned char *p, unsigned seconds)
{
    p = put_two(p, seconds / 3600);
    *p++ = ':';
    p = put_two(p, seconds / 60 % 60);
    *p++ = ':';
    return put_two(p, seconds % 60);
}

static unsigned char *put_date(unsigned char *p, const struct stamp *t)
{
    p = put_year(p, t->year);
    *p++ = '-';
    p = put_two(p, t->month);
    *p++ = '-';
    return put_two(p, t->day);
}

/* The clock with the shortest fraction. */
static unsigned char *put_short_clock(unsigned char *p, int64_t of_day)
{
    unsigned us = (unsigned)(of_day % SECOND_US);
    int digits = 6;

    for (unsigned rest = us; digits && rest % 10 == 0; rest /= 10)
        digits--;
    p = put_clock(p, (unsigned)(of_day / SECOND_US));
    put_fraction(&p, us, digits);
    return p;
}

/* Close a text of at most 63 bytes that starts one byte behind @p. */
static unsigned char *end_text(unsigned char *p, unsigned char *end)
{
    *p = (unsigned char)((end - p - 1) * 2);
    return end;
}

/* "12:34:56.7+05:30" to "07:04:56.7Z": the shortest fraction; 24:00:00+00 stays 24:00:00Z. */
WF_CONV(wf_conv_timetz)
{
    struct reader r = {.s = s, .end = s + n};
    struct stamp c = {0};
    unsigned char *q;
    int64_t zone;

    (void)t;
    read_time(&r, &c);
    zone = read_zone(&r);
    if (r.bad || r.s != r.end)
        return wf_conv_fail(why, WF_CONV_BAD);
    if (zone || c.us < DAY_US)
        c.us = (c.us - zone * SECOND_US + 2 * DAY_US) % DAY_US;
    q = put_short_clock(p + 1, c.us);
    *q++ = 'Z';
    return end_text(p, q);
}

/* Debezium's isostring: local values get a Z too, years are astronomical. */
WF_CONV(wf_conv_date_iso)
{
    struct reader r = {.s = s, .end = s + n};
    struct stamp d = {0};
    unsigned char *q;

    (void)t;
    if (infinity(s, n))
        return wf_put_bytes(p, s, n);
    read_date(&r, &d);
    read_era(&r, &d);
    if (r.bad)
        return wf_conv_fail(why, WF_CONV_BAD);
    q = put_date(p + 1, &d);
    *q++ = 'Z';
    return end_text(p, q);
}

WF_CONV(wf_conv_time_iso)
{
    unsigned char *q;
    int64_t us;

    (void)t;
    if (!parse_time(s, n, &us))
        return wf_conv_fail(why, WF_CONV_BAD);
    q = put_short_clock(p + 1, us);
    *q++ = 'Z';
    return end_text(p, q);
}

WF_CONV(wf_conv_timestamp_iso)
{
    struct stamp ts = {0};
    unsigned char *q;

    (void)t;
    if (infinity(s, n))
        return wf_put_bytes(p, s, n);
    if (!parse_timestamp(s, n, &ts))
        return wf_conv_fail(why, WF_CONV_BAD);
    date_of(days_of(&ts) + ts.us / DAY_US, &ts);
    q = put_date(p + 1, &ts);
    *q++ = 'T';
    q = put_short_clock(q, ts.us % DAY_US);
    *q++ = 'Z';
    return end_text(p, q);
}

/* Every byte of @v is at most 9 where @limit has 0x76, and 0 where it has 0x7f. */
static inline bool bytes_within(uint64_t v, uint64_t limit)
{
    return !((v | (v + limit)) & UINT64_C(0x8080808080808080));
}

static inline uint64_t load64(const char *s)
{
    uint64_t v;

    memcpy(&v, s, sizeof(v));
    return v;
}

/* "2024-02-29 12:34:56" by shape and range, three words at a time. */
static inline bool plain_stamp(const char *s)
{
    uint64_t a = load64(s) ^ load64("0000-00-"), b = load64(s + 8) ^ load64("00 00:00"),
             c = load64(s + 11) ^ load64("00:00:00");

    if (!bytes_within(a, load64("\x76\x76\x76\x76\x7f\x76\x76\x7f")) ||
        !bytes_within(b, load64("\x76\x76\x7f\x76\x76\x7f\x76\x76")) ||
        !bytes_within(c, load64("\x76\x76\x7f\x76\x76\x7f\x76\x76")))
        return false;
    return memcmp(s, "0000", 4) != 0 && s[11] <= '2' && s[14] <= '5' && s[17] <= '5' &&
           (s[5] == '0' ? s[6] > '0' : s[5] == '1' && s[6] <= '2') &&
           (s[8] == '0' ? s[9] > '0' : s[8] <= '2' || (s[8] == '3' && s[9] <= '1')) &&
           (s[11] < '2' || s[12] <= '3');
}

/* "2024-02-29 12:34:56.7+00" is nearly the wanted text already. NULL: not of that shape. */
static unsigned char *put_plain_zoned(const char *s, size_t n, unsigned char *p, int digits)
{
    static const char zeros[7] = {'.', '0', '0', '0', '0', '0', '0'};
    size_t nfrac = n - 22; /* with its point */
    size_t len = 19u + (unsigned)(digits ? digits + 1 : 0) + 1u;

    if (n < 22 || n > 29 || memcmp(s + n - 3, "+00", 3) != 0 || !plain_stamp(s) || nfrac == 1 ||
        nfrac > (unsigned)(digits ? digits + 1 : 0) || (nfrac && s[19] != '.'))
        return NULL;
    if (nfrac == 7) {
        if (!bytes_within(load64(s + 18) ^ load64("0.000000"),
                          load64("\x76\x7f\x76\x76\x76\x76\x76\x76")))
            return NULL;
    } else {
        for (size_t i = 1; i < nfrac; i++)
            if ((unsigned char)(s[19 + i] - '0') > 9)
                return NULL;
    }
    *p++ = (unsigned char)(len * 2);
    memcpy(p, s, 19);
    p[10] = 'T';
    if (nfrac == 7) {
        memcpy(p + 19, s + 19, 7);
    } else {
        memcpy(p + 19, zeros, sizeof(zeros));
        memcpy(p + 19, s + 19, nfrac);
    }
    p[len - 1] = 'Z';
    return p + len;
}

/* ISO 8601 in UTC with exactly t->arg digits of fraction; years are astronomical. */
WF_CONV(wf_conv_timestamptz)
{
    unsigned char *text = p + 1, *q;
    struct stamp ts = {0};

    q = put_plain_zoned(s, n, p, t->arg);
    if (q)
        return q;
    if (infinity(s, n))
        return wf_put_bytes(p, s, n);
    if (!parse_zoned(s, n, &ts))
        return wf_conv_fail(why, WF_CONV_BAD);
    q = put_date(text, &ts);
    *q++ = 'T';
    q = put_clock(q, (unsigned)(ts.us / SECOND_US));
    if (!put_fraction(&q, (unsigned)(ts.us % SECOND_US), t->arg))
        return wf_conv_fail(why, WF_CONV_RANGE);
    *q++ = 'Z';
    return end_text(p, q);
}

/* ---- intervals ---- */

struct span {
    int64_t months, days, us;
};

/* *sum += @n * @unit. Return: false when that wraps. */
static bool add_units(int64_t *sum, int64_t n, int64_t unit)
{
    return !__builtin_mul_overflow(n, unit, &n) && !__builtin_add_overflow(*sum, n, sum);
}

/* The unit after a number: how many months or days it is. Return: false when there is none. */
static bool read_unit(struct reader *r, int64_t *months, int64_t *days)
{
    static const struct {
        const char *text;
        int64_t months, days;
    } units[] = {{" years", 12, 0}, {" year", 12, 0}, {" mons", 1, 0},
                 {" mon", 1, 0},    {" days", 0, 1},  {" day", 0, 1}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t len = strlen(units[i].text);

        if ((size_t)(r->end - r->s) >= len && !memcmp(r->s, units[i].text, len)) {
            r->s += len;
            *months = units[i].months;
            *days = units[i].days;
            return true;
        }
    }
    return false;
}

/* ":05:06.789" after the hours: the rest of the clock in microseconds. */
static int64_t read_clock_rest(struct reader *r)
{
    int64_t us;

    expect(r, ':');
    us = two(r, 59) * INT64_C(60) * SECOND_US;
    expect(r, ':');
    us += two(r, 59) * SECOND_US;
    return us + fraction(r);
}

/* One field: "[+-]3 days" or "[+-]04:05:06.789". Return: false when a sum wraps. */
static bool read_field(struct reader *r, struct span *sp)
{
    bool neg = take(r, '-');
    int64_t v, rest, months, days;

    if (!neg)
        take(r, '+');
    v = number(r, 1, 10);
    v = neg ? -v : v;
    if (read_unit(r, &months, &days))
        return add_units(&sp->months, v, months) && add_units(&sp->days, v, days);
    rest = read_clock_rest(r);
    return add_units(&sp->us, v, 3600 * SECOND_US) && add_units(&sp->us, neg ? -rest : rest, 1);
}

static bool parse_interval(const char *s, size_t n, struct span *sp, enum wf_conv_why *why)
{
    struct reader r = {.s = s, .end = s + n};
    bool fits = true;

    *why = WF_CONV_SPECIAL;
    if (infinity(s, n))
        return false;
    do
        fits = read_field(&r, sp) && fits;
    while (!r.bad && take(&r, ' '));
    *why = r.bad || r.s != r.end ? WF_CONV_BAD : WF_CONV_RANGE;
    return *why != WF_CONV_BAD && fits && sp->months == (int32_t)sp->months &&
           sp->days == (int32_t)sp->days;
}

/* Microseconds with months of 30.4375 days; what does not fit is refused, not saturated. */
WF_CONV(wf_conv_interval)
{
    struct span sp = {0};
    int64_t us = 0;

    (void)t;
    if (!parse_interval(s, n, &sp, why))
        return NULL;
    if (!add_units(&us, sp.months, MONTH_US) || !add_units(&us, sp.days, DAY_US) ||
        !add_units(&us, sp.us, 1))
        return wf_conv_fail(why, WF_CONV_RANGE);
    return wf_put_long(p, us);
}

/* The record walferry.Interval. */
WF_CONV(wf_conv_interval_parts)
{
    struct span sp = {0};

    (void)t;
    if (!parse_interval(s, n, &sp, why))
        return NULL;
    p = wf_put_long(p, sp.months);
    p = wf_put_long(p, sp.days);
    return wf_put_long(p, sp.us);
}

/* A decimal number, then @unit. */
static unsigned char *put_part(unsigned char *p, int64_t v, unsigned char unit)
{
    unsigned char digits[20];
    uint64_t mag = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    unsigned n = 0;

    if (v < 0)
        *p++ = '-';
    do
        digits[n++] = (unsigned char)('0' + mag % 10);
    while (mag /= 10);
    while (n)
        *p++ = digits[--n];
    *p++ = unit;
    return p;
}

/* "1 year 2 mons 3 days 04:05:06.7" to "P1Y2M3DT4H5M6.7S": zeros are shown, each part has its
 * sign. */
WF_CONV(wf_conv_interval_iso)
{
    unsigned char *q = p + 1;
    struct span sp = {0};
    int64_t seconds;
    int digits = 6;
    unsigned us;

    (void)t;
    if (!parse_interval(s, n, &sp, why))
        return NULL;
    *q++ = 'P';
    q = put_part(q, sp.months / 12, 'Y');
    q = put_part(q, sp.months % 12, 'M');
    q = put_part(q, sp.days, 'D');
    *q++ = 'T';
    q = put_part(q, sp.us / (3600 * SECOND_US), 'H');
    q = put_part(q, sp.us / (60 * SECOND_US) % 60, 'M');
    seconds = sp.us / SECOND_US % 60;
    us = (unsigned)(sp.us % SECOND_US < 0 ? -(sp.us % SECOND_US) : sp.us % SECOND_US);
    if (sp.us < 0 && seconds == 0 && us)
        *q++ = '-'; /* a zero has no sign of its own */
    q = put_part(q, seconds, '.') - 1;
    for (unsigned rest = us; digits && rest % 10 == 0; rest /= 10)
        digits--;
    put_fraction(&q, us, digits);
    *q++ = 'S';
    return end_text(p, q);
}
