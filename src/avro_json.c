#include "avro_json.h"

#include <stdio.h>
#include <stdlib.h>

#include "avro_get.h"
#include "avro_node.h"

#define DEPTH_MAX 128     /* of data: a recursive schema could go on for ever */
#define DECIMAL_MAX 1024  /* bytes; a longer decimal is shown as base64 */
#define FREE_VISITS 65536 /* values that may take no byte at all */
#define VISITS_PER_BYTE 64u

struct wf_avro_reader {
    struct wf_avro_tree tree;
};

struct walk {
    const unsigned char *start, *p, *end;
    struct wf_buf *out;
    struct wf_err *err;
    size_t visits; /* left: bounds what a few bytes can make us print */
    unsigned depth;
};

static enum wf_rc put_value(struct walk *w, const struct wf_avro_node *node);

enum wf_rc wf_avro_reader_new(struct wf_avro_reader **out, const char *text, size_t len,
                              struct wf_err *err)
{
    struct wf_avro_reader *r = calloc(1, sizeof(*r));
    enum wf_rc rc;

    if (!r)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    rc = wf_avro_tree_init(&r->tree, text, len, err);
    if (rc == WF_OK)
        *out = r;
    else
        free(r);
    return rc;
}

void wf_avro_reader_free(struct wf_avro_reader *r)
{
    if (!r)
        return;
    wf_avro_tree_deinit(&r->tree);
    free(r);
}

static enum wf_rc bad(struct walk *w, const char *what)
{
    wf_err_set(w->err, WF_REJECT, "avro_data", "avro data: %s at byte %zu", what,
               (size_t)(w->p - w->start));
    return WF_REJECT;
}

/* ---- reading ---- */

static enum wf_rc get_long(struct walk *w, int64_t *out)
{
    return wf_get_long(&w->p, w->end, out) ? WF_OK : bad(w, "a number that is cut off or too long");
}

static enum wf_rc take(struct walk *w, size_t n, const unsigned char **out)
{
    if ((size_t)(w->end - w->p) < n)
        return bad(w, "a value that is cut off");
    *out = w->p;
    w->p += n;
    return WF_OK;
}

/* Length and bytes of a string or bytes. */
static enum wf_rc take_bytes(struct walk *w, const unsigned char **out, size_t *len)
{
    int64_t n;
    enum wf_rc rc = get_long(w, &n);

    if (rc != WF_OK)
        return rc;
    if (n < 0)
        return bad(w, "a negative length");
    *len = (size_t)n;
    return take(w, *len, out);
}

/* ---- printing ---- */

static void put_base64(struct wf_buf *out, const unsigned char *s, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    wf_buf_byte(out, '"');
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        unsigned v = (unsigned)s[i] << 16 | (left > 1 ? (unsigned)s[i + 1] << 8 : 0) |
                     (left > 2 ? (unsigned)s[i + 2] : 0);

        wf_buf_byte(out, (unsigned char)digits[v >> 18]);
        wf_buf_byte(out, (unsigned char)digits[v >> 12 & 63]);
        wf_buf_byte(out, left > 1 ? (unsigned char)digits[v >> 6 & 63] : '=');
        wf_buf_byte(out, left > 2 ? (unsigned char)digits[v & 63] : '=');
    }
    wf_buf_byte(out, '"');
}

/* Digits of a big-endian two's complement number, most significant first, no leading zero but "0".
 * Return: how many. */
static size_t decimal_digits(const unsigned char *s, size_t n, char *digits, bool *neg)
{
    uint32_t limbs[DECIMAL_MAX / 4 + 1] = {0};
    size_t nlimbs = (n + 3) / 4, ndigits = 0;
    unsigned carry = 1;

    *neg = n && s[0] & 0x80;
    for (size_t i = 0; i < n; i++) { /* i counts from the least significant byte */
        unsigned c = s[n - 1 - i];

        if (*neg) {
            c = (c ^ 0xff) + carry;
            carry = c >> 8;
            c &= 0xff;
        }
        limbs[i / 4] |= c << (8 * (i % 4));
    }
    do {
        uint64_t rest = 0;

        while (nlimbs && !limbs[nlimbs - 1])
            nlimbs--;
        for (size_t i = nlimbs; i; i--) {
            rest = rest << 32 | limbs[i - 1];
            limbs[i - 1] = (uint32_t)(rest / 1000000000);
            rest %= 1000000000;
        }
        for (int k = 0; k < 9; k++, rest /= 10)
            digits[ndigits++] = (char)('0' + rest % 10);
    } while (nlimbs);
    while (ndigits > 1 && digits[ndigits - 1] == '0')
        ndigits--;
    for (size_t i = 0; i < ndigits / 2; i++) {
        char c = digits[i];

        digits[i] = digits[ndigits - 1 - i];
        digits[ndigits - 1 - i] = c;
    }
    return ndigits;
}

static void put_decimal(struct wf_buf *out, const unsigned char *s, size_t n, size_t scale)
{
    char digits[DECIMAL_MAX * 5 / 2 + 32]; /* log10(256) = 2.41 */
    size_t ndigits, whole;
    bool neg;

    if (n > DECIMAL_MAX) {
        put_base64(out, s, n);
        return;
    }
    ndigits = decimal_digits(s, n, digits, &neg);
    whole = ndigits > scale ? ndigits - scale : 0;
    if (neg)
        wf_buf_byte(out, '-');
    if (whole)
        wf_buf_put(out, digits, whole);
    else
        wf_buf_byte(out, '0');
    if (!scale)
        return;
    wf_buf_byte(out, '.');
    for (size_t i = ndigits; i < scale; i++)
        wf_buf_byte(out, '0');
    wf_buf_put(out, digits + whole, ndigits - whole);
}

/* The shortest text that reads back as the same value; JSON has no NaN, so that is a string. */
static void put_double(struct wf_buf *out, double d, int min_digits, int max_digits)
{
    char text[40];

    if (!__builtin_isfinite(d)) {
        wf_buf_str(out, d != d ? "\"NaN\"" : d > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    for (int prec = min_digits; prec <= max_digits; prec++) {
        snprintf(text, sizeof(text), "%.*g", prec, d);
        if (max_digits > 9 ? strtod(text, NULL) == d : strtof(text, NULL) == (float)d)
            break;
    }
    wf_buf_str(out, text);
}

/* ---- walking ---- */

static enum wf_rc put_float(struct walk *w, bool single)
{
    const unsigned char *s = NULL;
    size_t n = single ? 4 : 8;
    uint64_t bits = 0;
    uint32_t half;
    double d;
    float f;
    enum wf_rc rc = take(w, n, &s);

    if (rc != WF_OK)
        return rc;
    for (size_t i = 0; i < n; i++)
        bits |= (uint64_t)s[i] << (8 * i);
    if (single) {
        half = (uint32_t)bits;
        memcpy(&f, &half, sizeof(f));
        put_double(w->out, (double)f, 6, 9);
    } else {
        memcpy(&d, &bits, sizeof(d));
        put_double(w->out, d, 15, 17);
    }
    return WF_OK;
}

static enum wf_rc put_bytes(struct walk *w, const struct wf_avro_node *node)
{
    const unsigned char *s = NULL;
    size_t n = node->size;
    enum wf_rc rc = node->kind == WF_AVRO_FIXED ? take(w, n, &s) : take_bytes(w, &s, &n);

    if (rc != WF_OK)
        return rc;
    if (node->kind == WF_AVRO_STRING)
        wf_buf_json_string(w->out, s, n);
    else if (node->decimal)
        put_decimal(w->out, s, n, (size_t)node->scale);
    else
        put_base64(w->out, s, n);
    return WF_OK;
}

static void put_name(struct walk *w, const char *name)
{
    wf_buf_byte(w->out, '"');
    wf_buf_json(w->out, name, strlen(name));
    wf_buf_byte(w->out, '"');
}

static enum wf_rc put_record(struct walk *w, const struct wf_avro_node *node)
{
    enum wf_rc rc = WF_OK;

    wf_buf_byte(w->out, '{');
    for (size_t i = 0; i < node->n && rc == WF_OK; i++) {
        if (i)
            wf_buf_byte(w->out, ',');
        put_name(w, node->names[i]);
        wf_buf_byte(w->out, ':');
        rc = put_value(w, node->children[i]);
    }
    wf_buf_byte(w->out, '}');
    return rc;
}

/* Count of the next block of an array or map, 0 at the end; a negative count has its size in bytes
 * behind it (Avro, "Binary encoding"). */
static enum wf_rc get_block(struct walk *w, int64_t *count)
{
    int64_t size;
    enum wf_rc rc = get_long(w, count);

    if (rc != WF_OK || *count >= 0)
        return rc;
    if (*count == INT64_MIN)
        return bad(w, "a block of impossible length");
    *count = -*count;
    return get_long(w, &size);
}

static enum wf_rc put_items(struct walk *w, const struct wf_avro_node *node)
{
    bool map = node->kind == WF_AVRO_MAP, first = true;
    const unsigned char *key;
    int64_t count;
    size_t n;
    enum wf_rc rc;

    wf_buf_byte(w->out, map ? '{' : '[');
    while ((rc = get_block(w, &count)) == WF_OK && count)
        for (; count && rc == WF_OK; count--, first = false) {
            if (!first)
                wf_buf_byte(w->out, ',');
            if (map) {
                rc = take_bytes(w, &key, &n);
                if (rc != WF_OK)
                    return rc;
                wf_buf_json_string(w->out, key, n);
                wf_buf_byte(w->out, ':');
            }
            rc = put_value(w, node->children[0]);
            if (rc != WF_OK)
                return rc;
        }
    wf_buf_byte(w->out, map ? '}' : ']');
    return rc;
}

static enum wf_rc put_number(struct walk *w, const struct wf_avro_node *node)
{
    int64_t v;
    enum wf_rc rc = get_long(w, &v);

    if (rc != WF_OK)
        return rc;
    if (node->kind == WF_AVRO_INT && (v < INT32_MIN || v > INT32_MAX))
        return bad(w, "an int out of range");
    wf_buf_printf(w->out, "%lld", (long long)v);
    return WF_OK;
}

/* The branch of a union, or the symbol of an enum. */
static enum wf_rc put_choice(struct walk *w, const struct wf_avro_node *node)
{
    int64_t i;
    enum wf_rc rc = get_long(w, &i);

    if (rc != WF_OK)
        return rc;
    if (i < 0 || (uint64_t)i >= node->n)
        return bad(w, "a branch or symbol that does not exist");
    if (node->kind == WF_AVRO_UNION)
        return put_value(w, node->children[i]);
    put_name(w, node->names[i]);
    return WF_OK;
}

static enum wf_rc put_boolean(struct walk *w)
{
    const unsigned char *s = NULL;
    enum wf_rc rc = take(w, 1, &s);

    if (rc != WF_OK)
        return rc;
    if (*s > 1)
        return bad(w, "a boolean that is neither 0 nor 1");
    wf_buf_str(w->out, *s ? "true" : "false");
    return WF_OK;
}

static enum wf_rc put_kind(struct walk *w, const struct wf_avro_node *node)
{
    switch (node->kind) {
    case WF_AVRO_NULL:
        wf_buf_put(w->out, "null", 4);
        return WF_OK;
    case WF_AVRO_BOOLEAN:
        return put_boolean(w);
    case WF_AVRO_INT:
    case WF_AVRO_LONG:
        return put_number(w, node);
    case WF_AVRO_FLOAT:
    case WF_AVRO_DOUBLE:
        return put_float(w, node->kind == WF_AVRO_FLOAT);
    case WF_AVRO_BYTES:
    case WF_AVRO_STRING:
    case WF_AVRO_FIXED:
        return put_bytes(w, node);
    case WF_AVRO_RECORD:
        return put_record(w, node);
    case WF_AVRO_ARRAY:
    case WF_AVRO_MAP:
        return put_items(w, node);
    case WF_AVRO_UNION:
    case WF_AVRO_ENUM:
        return put_choice(w, node);
    }
    return bad(w, "an unknown kind");
}

static enum wf_rc put_value(struct walk *w, const struct wf_avro_node *node)
{
    enum wf_rc rc;

    if (!w->visits-- || ++w->depth > DEPTH_MAX) {
        w->visits = 0;
        return bad(w, "nested too deep, or too many values for its size");
    }
    rc = put_kind(w, node);
    w->depth--;
    if (rc == WF_OK && w->out->failed)
        return wf_err_set(w->err, WF_REJECT, "json_size",
                          "the JSON form takes more than %zu bytes; hint: raise the largest event",
                          w->out->max);
    return rc;
}

enum wf_rc wf_avro_to_json(const struct wf_avro_reader *r, const unsigned char *data, size_t len,
                           size_t *used, struct wf_buf *out, struct wf_err *err)
{
    struct walk w = {.start = data,
                     .p = data,
                     .end = data + len,
                     .out = out,
                     .err = err,
                     .visits = FREE_VISITS + len * VISITS_PER_BYTE};
    enum wf_rc rc = put_value(&w, r->tree.root);

    if (rc != WF_OK)
        return rc;
    if (used)
        *used = (size_t)(w.p - data);
    else if (w.p != w.end)
        return bad(&w, "bytes left over");
    return WF_OK;
}
