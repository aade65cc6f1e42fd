/* Converters of texts, bytes, bits and small composites. */
#include "avro_put.h"
#include "config.h"
#include "types_conv.h"

WF_CONV(wf_conv_nothing)
{
    (void)t;
    (void)s;
    (void)n;
    (void)why;
    return p;
}

WF_CONV(wf_conv_text)
{
    (void)t;
    (void)why;
    return wf_put_bytes(p, s, n);
}

/* Whether @s is one of the labels joined by ','; a label may hold commas itself. */
static bool is_label(const char *labels, const char *s, size_t n)
{
    const char *end = labels + strlen(labels);

    for (const char *at = labels;; at++) {
        if ((size_t)(end - at) >= n && !memcmp(at, s, n) && (at[n] == ',' || !at[n]))
            return true;
        at = memchr(at, ',', (size_t)(end - at));
        if (!at)
            return false;
    }
}

WF_CONV(wf_conv_enum)
{
    if (!is_label(t->labels, s, n))
        return wf_conv_fail(why, WF_CONV_LABEL);
    return wf_put_bytes(p, s, n);
}

/* Value of a hex digit plus one, 0 for anything else. */
static const unsigned char hex_table[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* -1 for what is no hex digit. */
static inline int hex_value(char c)
{
    return hex_table[(unsigned char)c] - 1;
}

/* bytea_output is pinned to hex. */
WF_CONV(wf_conv_bytea)
{
    (void)t;
    if (n < 2 || n % 2 || s[0] != '\\' || s[1] != 'x')
        return wf_conv_fail(why, WF_CONV_BAD);
    p = wf_put_long(p, (int64_t)(n / 2 - 1));
    for (size_t i = 2; i < n; i += 2) {
        int hi = hex_value(s[i]), lo = hex_value(s[i + 1]);

        if ((hi | lo) < 0)
            return wf_conv_fail(why, WF_CONV_BAD);
        *p++ = (unsigned char)(hi << 4 | lo);
    }
    return p;
}

static const char base64_plain[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Bytes to show: as they are, or as pairs of valid hex digits. */
struct source {
    const char *s;
    size_t len;
    bool hex;
};

static inline unsigned byte_at(const struct source *b, size_t i)
{
    if (i >= b->len)
        return 0;
    return b->hex ? (unsigned)(hex_value(b->s[2 * i]) << 4 | hex_value(b->s[2 * i + 1]))
                  : (unsigned char)b->s[i];
}

static unsigned char *put_hex(unsigned char *p, const struct source *b)
{
    p = wf_put_long(p, (int64_t)b->len * 2);
    for (size_t i = 0; i < b->len; i++) {
        unsigned char byte = (unsigned char)byte_at(b, i);

        p = wf_put_hex(p, &byte, 1, WF_HEX_LOWER);
    }
    return p;
}

/* With padding (RFC 4648, sections 4 and 5). */
static unsigned char *put_base64(unsigned char *p, const struct source *b, const char *digits)
{
    p = wf_put_long(p, (int64_t)((b->len + 2) / 3 * 4));
    for (size_t i = 0; i < b->len; i += 3) {
        unsigned v = byte_at(b, i) << 16 | byte_at(b, i + 1) << 8 | byte_at(b, i + 2);

        *p++ = (unsigned char)digits[v >> 18];
        *p++ = (unsigned char)digits[v >> 12 & 63];
        *p++ = i + 1 < b->len ? (unsigned char)digits[v >> 6 & 63] : '=';
        *p++ = i + 2 < b->len ? (unsigned char)digits[v & 63] : '=';
    }
    return p;
}

static unsigned char *put_binary(unsigned char *p, const struct source *b, int mode)
{
    if (mode == WF_BINARY_HEX)
        return put_hex(p, b);
    return put_base64(p, b, mode == WF_BINARY_BASE64 ? base64_plain : base64_url);
}

/* bytea as text by t->arg (enum wf_binary_mode). */
WF_CONV(wf_conv_bytea_text)
{
    struct source b = {.hex = true};

    if (n < 2 || n % 2 || s[0] != '\\' || s[1] != 'x')
        return wf_conv_fail(why, WF_CONV_BAD);
    for (size_t i = 2; i < n; i++)
        if (hex_value(s[i]) < 0)
            return wf_conv_fail(why, WF_CONV_BAD);
    b.s = s + 2;
    b.len = n / 2 - 1;
    return put_binary(p, &b, t->arg);
}

/* Any text as Debezium shows the bytes of a type it does not know. */
WF_CONV(wf_conv_raw_text)
{
    struct source b = {.s = s, .len = n};

    (void)why;
    return put_binary(p, &b, t->arg);
}

WF_CONV(wf_conv_bit_text)
{
    (void)t;
    for (size_t i = 0; i < n; i++)
        if (s[i] != '0' && s[i] != '1')
            return wf_conv_fail(why, WF_CONV_BAD);
    return wf_put_bytes(p, s, n);
}

WF_CONV(wf_conv_bool)
{
    (void)t;
    if (n != 1 || (*s != 't' && *s != 'f'))
        return wf_conv_fail(why, WF_CONV_BAD);
    *p++ = *s == 't';
    return p;
}

/* bit(1) and varbit(1); a boolean has no third value for the empty varbit. */
WF_CONV(wf_conv_bit1)
{
    (void)t;
    if (!n)
        return wf_conv_fail(why, WF_CONV_RANGE);
    if (n > 1 || (*s != '0' && *s != '1'))
        return wf_conv_fail(why, WF_CONV_BAD);
    *p++ = *s == '1';
    return p;
}

/* The bits as an unsigned number, little endian, without leading zero bytes. */
WF_CONV(wf_conv_bits)
{
    size_t first = 0;
    unsigned byte = 0, shift = 0;

    (void)t;
    while (first < n && s[first] == '0')
        first++;
    p = wf_put_long(p, (int64_t)((n - first + 7) / 8));
    for (size_t i = n; i > first; i--) {
        if (s[i - 1] != '0' && s[i - 1] != '1')
            return wf_conv_fail(why, WF_CONV_BAD);
        byte |= (unsigned)(s[i - 1] - '0') << shift;
        if (++shift == 8) {
            *p++ = (unsigned char)byte;
            byte = shift = 0;
        }
    }
    if (shift)
        *p++ = (unsigned char)byte;
    return p;
}

WF_CONV(wf_conv_uuid)
{
    (void)t;
    if (n != 36)
        return wf_conv_fail(why, WF_CONV_BAD);
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? s[i] != '-' : hex_value(s[i]) < 0)
            return wf_conv_fail(why, WF_CONV_BAD);
    }
    return wf_put_bytes(p, s, n);
}

/* One quoted string of hstore's output as a JSON string; both escape quote and backslash alike.
 * Return: the source past the closing quote, NULL when it is malformed. */
static const char *hstore_string(const char *s, const char *end, unsigned char **out)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char short_escape[32] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    unsigned char *p = *out;

    *p++ = '"';
    for (s++; s < end && *s != '"'; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '\\') {
            s++;
            if (s == end || (*s != '"' && *s != '\\'))
                return NULL;
            *p++ = '\\';
            *p++ = (unsigned char)*s;
        } else if (c >= 0x20) {
            *p++ = c;
        } else {
            *p++ = '\\';
            if (short_escape[c]) {
                *p++ = (unsigned char)short_escape[c];
            } else {
                *p++ = 'u';
                *p++ = '0';
                *p++ = '0';
                *p++ = (unsigned char)hex[c >> 4];
                *p++ = (unsigned char)hex[c & 15];
            }
        }
    }
    *p++ = '"';
    *out = p;
    return s < end ? s + 1 : NULL;
}

/* `"k"=>"v"` or `"k"=>NULL` as a JSON member. Return: as hstore_string(). */
static const char *hstore_pair(const char *s, const char *end, unsigned char **p)
{
    if (s == end || *s != '"')
        return NULL;
    s = hstore_string(s, end, p);
    if (!s || end - s < 3 || memcmp(s, "=>", 2) != 0)
        return NULL;
    s += 2;
    *(*p)++ = ':';
    if (*s == '"')
        return hstore_string(s, end, p);
    if (end - s < 4 || memcmp(s, "NULL", 4) != 0)
        return NULL;
    memcpy(*p, "null", 4);
    *p += 4;
    return s + 4;
}

/* `"a"=>"1", "b"=>NULL` to {"a":"1","b":null}, in the server's order of keys. */
WF_CONV(wf_conv_hstore)
{
    const char *end = s + n;
    unsigned char *text = p + WF_LONG_ROOM, *q = text;
    size_t len;

    (void)t;
    *q++ = '{';
    while (s < end) {
        s = hstore_pair(s, end, &q);
        if (s && s < end) {
            if (end - s < 3 || memcmp(s, ", ", 2) != 0)
                s = NULL;
            else
                s += 2;
            *q++ = ',';
        }
        if (!s)
            return wf_conv_fail(why, WF_CONV_BAD);
    }
    *q++ = '}';
    len = (size_t)(q - text);
    p = wf_put_long(p, (int64_t)len);
    memmove(p, text, len);
    return p + len;
}

static uint64_t double_bits(double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof(bits));
    return bits;
}

/* "(1.5,-2)" to {x, y, wkb, srid}; wkb is OGC's little-endian point, srid unknown. */
WF_CONV(wf_conv_point)
{
    const char *comma = n ? memchr(s, ',', n) : NULL;
    double x, y;

    (void)t;
    if (!comma || s[0] != '(' || s[n - 1] != ')' || comma == s ||
        !wf_parse_double(s + 1, (size_t)(comma - s) - 1, &x) ||
        !wf_parse_double(comma + 1, (size_t)(s + n - 1 - (comma + 1)), &y))
        return wf_conv_fail(why, WF_CONV_BAD);
    p = wf_put_u64le(p, double_bits(x));
    p = wf_put_u64le(p, double_bits(y));
    *p++ = 2; /* branch 1: bytes */
    p = wf_put_long(p, 21);
    *p++ = 1;               /* little endian */
    p = wf_put_u32le(p, 1); /* wkbPoint */
    p = wf_put_u64le(p, double_bits(x));
    p = wf_put_u64le(p, double_bits(y));
    *p++ = 0; /* branch 0: null */
    return p;
}
