/* Geometric types, PostGIS and pgvector. */
#include <string.h>

#include "avro_put.h"
#include "config.h"
#include "types_conv.h"

#define WKB_LINE_STRING 2
#define WKB_POLYGON 3
#define EWKB_SRID 0x20000000u /* PostGIS, liblwgeom: WKBSRIDFLAG */

enum shape { SHAPE_LSEG = 601, SHAPE_PATH = 602, SHAPE_BOX = 603, SHAPE_POLYGON = 604 };

struct xy {
    double x, y;
};

static unsigned char *put_double(unsigned char *p, double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof(bits));
    return wf_put_u64le(p, bits);
}

static unsigned char *put_xy(unsigned char *p, struct xy at)
{
    return put_double(put_double(p, at.x), at.y);
}

/* A number up to @stop. Return: past @stop, NULL when there is none. */
static const char *take_number(const char *s, const char *end, char stop, double *out)
{
    const char *at = s && s < end ? memchr(s, stop, (size_t)(end - s)) : NULL;

    return at && wf_parse_double(s, (size_t)(at - s), out) ? at + 1 : NULL;
}

/* "(x,y)". Return: as take_number(). */
static const char *take_point(const char *s, const char *end, struct xy *out)
{
    if (!s || s == end || *s != '(')
        return NULL;
    return take_number(take_number(s + 1, end, ',', &out->x), end, ')', &out->y);
}

/* What may stand around the points: "[...]", "((...))"; a path in neither has no `closed`. */
static bool strip(enum shape shape, const char **s, const char **end)
{
    size_t n = (size_t)(*end - *s);
    bool square = n > 2 && (*s)[0] == '[' && (*end)[-1] == ']';
    bool round = n > 3 && (*s)[0] == '(' && (*s)[1] == '(' && (*end)[-1] == ')';

    if (shape == SHAPE_BOX || (shape == SHAPE_PATH && !square && !round))
        return true;
    if (shape == SHAPE_LSEG ? !square : shape == SHAPE_POLYGON ? !round : false)
        return false;
    ++*s;
    --*end;
    return true;
}

/* The points one after the other. Return: how many, 0 when they are malformed. */
static uint32_t put_points(const char *s, const char *end, unsigned char **p, struct xy *first,
                           struct xy *last)
{
    uint32_t n = 0;

    do {
        if (n && *s++ != ',')
            return 0;
        s = take_point(s, end, last);
        if (!s)
            return 0;
        if (!n++)
            *first = *last;
        *p = put_xy(*p, *last);
    } while (s < end);
    return n;
}

/* A box as the ring around it. */
static uint32_t put_box(const char *s, const char *end, unsigned char **p)
{
    struct xy a, b;

    s = take_point(s, end, &a);
    if (!s || s == end || *s != ',' || take_point(s + 1, end, &b) != end)
        return 0;
    *p = put_xy(put_xy(*p, a), (struct xy){a.x, b.y});
    *p = put_xy(put_xy(put_xy(*p, b), (struct xy){b.x, a.y}), a);
    return 5;
}

static unsigned char *put_entry(unsigned char *p, const char *key, const char *value)
{
    return wf_put_bytes(wf_put_bytes(p, key, strlen(key)), value, strlen(value));
}

/* `extensions`, in the order of a Java hash map. @open: '[', '(' or 0 for neither. */
static unsigned char *put_extensions(unsigned char *p, enum shape shape, char open)
{
    const char *name = shape == SHAPE_LSEG   ? "lseg"
                       : shape == SHAPE_BOX  ? "box"
                       : shape == SHAPE_PATH ? "path"
                                             : "polygon";

    *p++ = 2; /* branch 1: the map */
    p = wf_put_long(p, open ? 2 : 1);
    if (open)
        p = put_entry(p, "closed", open == '(' ? "true" : "false");
    p = put_entry(p, "type", name);
    *p++ = 0;
    return p;
}

/* lseg, box, path, polygon to {wkb, srid, extensions}; wkb is OGC's, little endian. */
WF_CONV(wf_conv_shape)
{
    enum shape shape = (enum shape)t->arg;
    bool ring = shape == SHAPE_BOX || shape == SHAPE_POLYGON;
    size_t head = ring ? 13 : 9, len;
    const char *end = s + n, *whole = s;
    unsigned char *wkb = p + WF_LONG_ROOM, *q = wkb + head;
    struct xy first, last;
    uint32_t count = 0;

    if (n && strip(shape, &s, &end))
        count = shape == SHAPE_BOX ? put_box(s, end, &q) : put_points(s, end, &q, &first, &last);
    if (!count || (shape == SHAPE_LSEG && count != 2))
        return wf_conv_fail(why, WF_CONV_BAD);
    if (shape == SHAPE_POLYGON && count > 1 && !(first.x == last.x && first.y == last.y)) {
        q = put_xy(q, first); /* rings are closed */
        count++;
    }
    wkb[0] = 1; /* little endian */
    wf_put_u32le(wkb + 1, ring ? WKB_POLYGON : WKB_LINE_STRING);
    wf_put_u32le(wkb + 5, ring ? 1 : count); /* of a polygon: the number of its rings */
    if (ring)
        wf_put_u32le(wkb + 9, count);
    len = (size_t)(q - wkb);
    p = wf_put_long(p, (int64_t)len);
    memmove(p, wkb, len);
    p += len;
    *p++ = 0; /* no srid */
    return put_extensions(p, shape, (char)(shape == SHAPE_PATH && s != whole ? *whole : 0));
}

/* "<(x,y),r>" to {center, radius}. */
WF_CONV(wf_conv_circle)
{
    const char *comma = n > 2 && *s == '<' && s[n - 1] == '>' ? memrchr(s, ',', n) : NULL;
    double radius;

    if (!comma || !wf_parse_double(comma + 1, (size_t)(s + n - 1 - (comma + 1)), &radius))
        return wf_conv_fail(why, WF_CONV_BAD);
    p = wf_conv_point(t, s + 1, (size_t)(comma - s) - 1, p, why);
    return p ? put_double(p, radius) : NULL;
}

/* "{a,b,c}" of ax + by + c = 0. */
WF_CONV(wf_conv_line)
{
    const char *end = s + n;
    double a, b, c;

    (void)t;
    if (n < 2 || *s != '{')
        return wf_conv_fail(why, WF_CONV_BAD);
    s = take_number(take_number(s + 1, end, ',', &a), end, ',', &b);
    if (take_number(s, end, '}', &c) != end)
        return wf_conv_fail(why, WF_CONV_BAD);
    return put_double(put_double(put_double(p, a), b), c);
}

/* ---- PostGIS ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint32_t get_u32(const unsigned char *p, bool little)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < 4; i++)
        v |= (uint32_t)p[i] << (little ? 8 * i : 24 - 8 * i);
    return v;
}

/* Hexadecimal EWKB to {wkb, srid} of Geography, and no extensions of Geometry. */
WF_CONV(wf_conv_postgis)
{
    unsigned char *wkb;
    bool little;

    if (n < 10 || n % 2)
        return wf_conv_fail(why, WF_CONV_BAD);
    wkb = p = wf_put_long(p, (int64_t)(n / 2));
    for (size_t i = 0; i < n; i += 2) {
        int hi = hex_value(s[i]), lo = hex_value(s[i + 1]);

        if ((hi | lo) < 0)
            return wf_conv_fail(why, WF_CONV_BAD);
        *p++ = (unsigned char)(hi << 4 | lo);
    }
    little = wkb[0] == 1;
    if (!(get_u32(wkb + 1, little) & EWKB_SRID)) {
        *p++ = 0;
    } else {
        if (n < 18)
            return wf_conv_fail(why, WF_CONV_BAD);
        *p++ = 2;
        p = wf_put_long(p, (int32_t)get_u32(wkb + 5, little));
    }
    if (t->avro.record == WF_RECORD_GEOMETRY)
        *p++ = 0;
    return p;
}

/* ---- pgvector ---- */

/* "[1,2.5]" to an array of numbers that are never NULL. */
WF_CONV(wf_conv_pgvector)
{
    wf_conv_fn conv = t->avro.items == &wf_avro_float ? wf_conv_float4 : wf_conv_float8;
    const char *end = s + n - (n > 0);
    unsigned char *start = p++;
    int64_t count = 0;

    *start = 0;
    if (n < 2 || *s++ != '[' || *end != ']')
        return wf_conv_fail(why, WF_CONV_BAD);
    while (s < end || count) {
        const char *comma = s < end ? memchr(s, ',', (size_t)(end - s)) : NULL;
        size_t len = (size_t)((comma ? comma : end) - s);

        p = len ? conv(t, s, len, p, why) : wf_conv_fail(why, WF_CONV_BAD);
        if (!p)
            return NULL;
        count++;
        if (!comma)
            break;
        s = comma + 1;
    }
    return wf_conv_close_block(start, p, count);
}

/* A whole number from 0 to 32767: int16 is what the record holds. Return: past @stop, or NULL. */
static const char *take_int16(const char *s, const char *end, char stop, int64_t *out,
                              enum wf_conv_why *why)
{
    const char *start = s;

    *out = 0;
    *why = WF_CONV_BAD;
    for (; s < end && *s >= '0' && *s <= '9'; s++) {
        *out = *out * 10 + (*s - '0');
        if (*out > INT16_MAX) {
            *why = WF_CONV_RANGE;
            return NULL;
        }
    }
    if (s == start || (stop ? s == end || *s != stop : s != end))
        return NULL;
    return s + (stop != 0);
}

/* "{1:1.5,3:2}/5" to {dimensions, vector}; a map with keys that are no strings is an array of
 * entries in Avro. */
WF_CONV(wf_conv_sparsevec)
{
    const char *close = n > 3 && *s == '{' ? memchr(s, '}', n) : NULL;
    const char *end = s + n;
    unsigned char *start;
    int64_t v, count = 0;

    (void)t;
    if (!close || close + 1 == end || close[1] != '/')
        return wf_conv_fail(why, WF_CONV_BAD);
    if (!take_int16(close + 2, end, '\0', &v, why))
        return NULL;
    start = p = wf_put_long(p, v);
    *p++ = 0;
    for (s++; s < close; count++) {
        const char *comma;

        s = take_int16(s, close, ':', &v, why);
        if (!s)
            return NULL;
        p = wf_put_long(p, v);
        comma = memchr(s, ',', (size_t)(close - s));
        p = wf_conv_float8(t, s, (size_t)((comma ? comma : close) - s), p, why);
        if (!p || (comma && comma + 1 == close))
            return wf_conv_fail(why, WF_CONV_BAD);
        s = comma ? comma + 1 : close;
    }
    return wf_conv_close_block(start, p, count);
}

/* ---- by profile ---- */

static bool is_plain(const struct wf_type_in *in)
{
    int profile = wf_type_profile(in);

    return profile == WF_PROFILE_NATIVE || profile == WF_PROFILE_ROW;
}

static void become_text(struct wf_coltype *t)
{
    t->avro = (struct wf_avro_type){.base = "string", .pg_type = t->row->name};
    t->conv = wf_conv_text;
    t->room = WF_LONG_ROOM;
    t->room_per_byte = 1;
    t->toast = WF_TOAST_TEXT;
    t->zero = "";
}

/* Debezium's builders of these make a column nullable whatever the table says. */
void wf_refine_shape(struct wf_coltype *t, const struct wf_type_in *in)
{
    t->arg = (int32_t)in->oid;
    if (is_plain(in))
        become_text(t);
    else
        t->optional = true;
}

void wf_refine_pgvector(struct wf_coltype *t, const struct wf_type_in *in)
{
    if (!is_plain(in))
        return;
    if (t->avro.record == WF_RECORD_SPARSE_VECTOR) {
        become_text(t);
        return;
    }
    t->avro = (struct wf_avro_type){.base = "array", .items = &wf_avro_float};
}
