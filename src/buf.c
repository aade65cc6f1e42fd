#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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
        b->failed = true;
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
