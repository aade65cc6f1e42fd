#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local bool starved;

bool wf_buf_starved(void)
{
    bool was = starved;

    starved = false;
    return was;
}

void wf_buf_starve(struct wf_buf *b)
{
    b->failed = starved = true;
}

void wf_buf_init(struct wf_buf *b, size_t max)
{
    *b = (struct wf_buf){.max = max};
}

void wf_buf_deinit(struct wf_buf *b)
{
    free(b->data);
    *b = (struct wf_buf){.max = b->max};
}

bool wf_buf_grow(struct wf_buf *b, size_t extra)
{
    size_t need = b->len + extra;
    size_t cap = b->cap ? b->cap : 256;
    unsigned char *data;

    if (need < b->len || need > b->max) {
        b->failed = true;
        return false;
    }
    while (cap < need && cap <= b->max / 2)
        cap *= 2;
    if (cap < need || cap > b->max)
        cap = b->max;
    data = realloc(b->data, cap);
    if (!data) {
        wf_buf_starve(b);
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void wf_buf_printf(struct wf_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        b->failed = true;
    else if (wf_buf_reserve(b, (size_t)n + 1)) {
        vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void wf_buf_json(struct wf_buf *b, const char *s, size_t n)
{
    size_t start = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        wf_buf_put(b, s + start, i - start);
        start = i + 1;
        switch (c) {
        case '"':
            wf_buf_put(b, "\\\"", 2);
            break;
        case '\\':
            wf_buf_put(b, "\\\\", 2);
            break;
        case '\n':
            wf_buf_put(b, "\\n", 2);
            break;
        case '\r':
            wf_buf_put(b, "\\r", 2);
            break;
        case '\t':
            wf_buf_put(b, "\\t", 2);
            break;
        case '\b':
            wf_buf_put(b, "\\b", 2);
            break;
        case '\f':
            wf_buf_put(b, "\\f", 2);
            break;
        default:
            wf_buf_printf(b, "\\u%04x", (unsigned)c);
        }
    }
    wf_buf_put(b, s + start, n - start);
}

/* Length of the UTF-8 character at @s, 0 when it is none (Unicode, table 3-7). */
static size_t utf8_len(const unsigned char *s, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    uint32_t c = s[0] & (0xffu >> (len + 1));

    if (len < 2 || s[0] > 0xf4 || n < len)
        return len == 1;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}

void wf_buf_json_string(struct wf_buf *out, const void *text, size_t n)
{
    const unsigned char *s = text;
    size_t from = 0;

    wf_buf_byte(out, '"');
    for (size_t i = 0; i < n;) {
        size_t len = utf8_len(s + i, n - i);

        if (!len) {
            wf_buf_json(out, (const char *)s + from, i - from);
            wf_buf_str(out, "\xef\xbf\xbd");
            from = i + 1;
        }
        i += len ? len : 1;
    }
    wf_buf_json(out, (const char *)s + from, n - from);
    wf_buf_byte(out, '"');
}

bool wf_is_utf8(const char *s, size_t n)
{
    for (size_t i = 0, len; i < n; i += len) {
        len = utf8_len((const unsigned char *)s + i, n - i);
        if (!len)
            return false;
    }
    return true;
}
