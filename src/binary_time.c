/* Dates and times under DateStyle ISO, IntervalStyle postgres and TimeZone UTC. */
#include "binary_parts.h"

#define DAY_US INT64_C(86400000000)
#define SECOND_US INT64_C(1000000)
#define EPOCH_DAY 730425    /* 2000-01-01 since 0000-03-01 */
#define DATE_MIN (-2451545) /* 4714-11-24 BC, utils/datetime.h */
#define DATE_END INT64_C(2145031949)
#define STAMP_MIN INT64_C(-211813488000000000)
#define ZONE_MAX 57600 /* seconds: below 16 hours */

static void put_padded(struct wf_buf *out, uint64_t v, int width)
{
    char digits[20];
    int n = 0;

    while (v || n < width) {
        digits[sizeof(digits) - 1 - (size_t)n++] = (char)('0' + v % 10);
        v /= 10;
    }
    wf_buf_put(out, digits + sizeof(digits) - n, (size_t)n);
}

/* Return: whether the year is BC, which is said behind everything else. */
static bool put_day(struct wf_buf *out, int64_t day)
{
    int64_t since = day + EPOCH_DAY;
    int64_t era = (since >= 0 ? since : since - 146096) / 146097, of_era = since - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t from_march = (5 * of_year + 2) / 153;
    int64_t month = from_march < 10 ? from_march + 3 : from_march - 9;
    int64_t year = year_of_era + era * 400 + (month <= 2);

    put_padded(out, (uint64_t)(year > 0 ? year : 1 - year), 4);
    wf_buf_byte(out, '-');
    put_padded(out, (uint64_t)month, 2);
    wf_buf_byte(out, '-');
    put_padded(out, (uint64_t)(of_year - (153 * from_march + 2) / 5 + 1), 2);
    return year <= 0;
}

static void put_fraction(struct wf_buf *out, uint64_t us)
{
    int width = 6;

    if (!us)
        return;
    for (; us % 10 == 0; us /= 10)
        width--;
    wf_buf_byte(out, '.');
    put_padded(out, us, width);
}

/* @us: not negative */
static void put_clock(struct wf_buf *out, uint64_t us)
{
    uint64_t seconds = us / SECOND_US;

    put_padded(out, seconds / 3600, 2);
    wf_buf_byte(out, ':');
    put_padded(out, seconds / 60 % 60, 2);
    wf_buf_byte(out, ':');
    put_padded(out, seconds % 60, 2);
    put_fraction(out, us % SECOND_US);
}

static void put_infinity(struct wf_buf *out, bool negative)
{
    wf_buf_str(out, negative ? "-infinity" : "infinity");
}

WF_BINARY(wf_binary_date)
{
    int32_t day = (int32_t)wf_read_u32(r, "date");

    (void)b;
    if (day == INT32_MAX || day == INT32_MIN)
        put_infinity(out, day == INT32_MIN);
    else if (day < DATE_MIN || day >= DATE_END)
        wf_read_fail(r, "date");
    else if (put_day(out, day))
        wf_buf_put(out, " BC", 3);
}

static uint64_t read_clock(struct wf_reader *r)
{
    int64_t us = (int64_t)wf_read_u64(r, "time");

    if (us >= 0 && us <= DAY_US)
        return (uint64_t)us;
    wf_read_fail(r, "time");
    return 0;
}

WF_BINARY(wf_binary_time)
{
    (void)b;
    put_clock(out, read_clock(r));
}

WF_BINARY(wf_binary_timetz)
{
    uint64_t us = read_clock(r);
    int32_t west = (int32_t)wf_read_u32(r, "zone");
    uint64_t seconds;

    (void)b;
    if (west <= -ZONE_MAX || west >= ZONE_MAX) {
        wf_read_fail(r, "zone");
        return;
    }
    put_clock(out, us);
    wf_buf_byte(out, west <= 0 ? '+' : '-');
    seconds = (uint64_t)(west < 0 ? -west : west);
    put_padded(out, seconds / 3600, 2);
    if (seconds % 3600) {
        wf_buf_byte(out, ':');
        put_padded(out, seconds / 60 % 60, 2);
    }
    if (seconds % 60) {
        wf_buf_byte(out, ':');
        put_padded(out, seconds % 60, 2);
    }
}

static void put_stamp(struct wf_reader *r, struct wf_buf *out, const char *zone)
{
    int64_t us = (int64_t)wf_read_u64(r, "timestamp");
    int64_t day, of_day;
    bool bc;

    if (us == INT64_MAX || us == INT64_MIN) {
        put_infinity(out, us == INT64_MIN);
        return;
    }
    if (us < STAMP_MIN) { /* above the largest: rounding to a typmod checks nothing */
        wf_read_fail(r, "timestamp");
        return;
    }
    day = us / DAY_US - (us % DAY_US < 0);
    of_day = us - day * DAY_US;
    bc = put_day(out, day);
    wf_buf_byte(out, ' ');
    put_clock(out, (uint64_t)of_day);
    wf_buf_str(out, zone);
    if (bc)
        wf_buf_put(out, " BC", 3);
}

WF_BINARY(wf_binary_timestamp)
{
    (void)b;
    put_stamp(r, out, "");
}

WF_BINARY(wf_binary_timestamptz)
{
    (void)b;
    put_stamp(r, out, "+00");
}

/* ---- intervals: EncodeInterval() of utils/adt/datetime.c ----------------------------------- */

struct parts {
    struct wf_buf *out;
    bool empty;  /* nothing is written yet */
    bool before; /* the part before was negative: a positive one has to say so */
};

static void put_part(struct parts *p, int64_t v, const char *unit)
{
    if (!v)
        return;
    wf_buf_put(p->out, " ", !p->empty);
    if (v < 0 || p->before)
        wf_buf_byte(p->out, v < 0 ? '-' : '+');
    put_padded(p->out, v < 0 ? -(uint64_t)v : (uint64_t)v, 1);
    wf_buf_byte(p->out, ' ');
    wf_buf_str(p->out, unit);
    wf_buf_put(p->out, "s", v != 1);
    p->before = v < 0;
    p->empty = false;
}

WF_BINARY(wf_binary_interval)
{
    int64_t us = (int64_t)wf_read_u64(r, "interval");
    int32_t days = (int32_t)wf_read_u32(r, "interval"),
            months = (int32_t)wf_read_u32(r, "interval");
    struct parts p = {out, true, false};

    (void)b;
    /* Infinity since 17, a finite value before: only the server knows. */
    if ((us == INT64_MAX && days == INT32_MAX && months == INT32_MAX) ||
        (us == INT64_MIN && days == INT32_MIN && months == INT32_MIN)) {
        wf_read_fail(r, "interval");
        return;
    }
    put_part(&p, months / 12, "year");
    put_part(&p, months % 12, "mon");
    put_part(&p, days, "day");
    if (!us && !p.empty)
        return;
    wf_buf_put(out, " ", !p.empty);
    if (us < 0 || p.before)
        wf_buf_byte(out, us < 0 ? '-' : '+');
    put_clock(out, us < 0 ? -(uint64_t)us : (uint64_t)us);
}
