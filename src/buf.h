/* A byte buffer that grows up to its limit; meeting the limit sticks until the next reset. */
#ifndef WF_BUF_H
#define WF_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wf_buf {
    unsigned char *data;
    size_t len;
    size_t cap;
    size_t max;  /* never grows past this many bytes */
    bool failed; /* a write did not fit (or memory ran out): the content is incomplete */
};

/* Starts empty and allocates nothing before the first byte. */
void wf_buf_init(struct wf_buf *b, size_t max);
void wf_buf_deinit(struct wf_buf *b);

static inline void wf_buf_reset(struct wf_buf *b)
{
    b->len = 0;
    b->failed = false;
}

/**
 * wf_buf_starved() - whether a buffer of this thread failed for want of memory, not at its limit
 *
 * Whoever gives a failed buffer a meaning of its own (too long, no such value) asks this first.
 * Asking forgets it.
 */
bool wf_buf_starved(void);

/* What was to go in had no memory: the content is incomplete. */
void wf_buf_starve(struct wf_buf *b);

/* Slow path of wf_buf_reserve(): grow by doubling; sets failed at the limit. */
bool wf_buf_grow(struct wf_buf *b, size_t extra);

/* Make room for @n more bytes. Return: false (and failed set) when the limit is met. */
static inline bool wf_buf_reserve(struct wf_buf *b, size_t n)
{
    return b->cap - b->len >= n || wf_buf_grow(b, n);
}

static inline void wf_buf_put(struct wf_buf *b, const void *src, size_t n)
{
    if (n && wf_buf_reserve(b, n)) {
        memcpy(b->data + b->len, src, n);
        b->len += n;
    }
}

static inline void wf_buf_byte(struct wf_buf *b, unsigned char c)
{
    if (wf_buf_reserve(b, 1))
        b->data[b->len++] = c;
}

static inline void wf_buf_str(struct wf_buf *b, const char *s)
{
    wf_buf_put(b, s, strlen(s));
}

/* printf into the buffer; for texts, not for the hot path. */
void wf_buf_printf(struct wf_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Append @s[0..n) as the inside of a JSON string: only what JSON requires is escaped
 * (quote, backslash, control characters as \u00xx), UTF-8 stays as it is. */
void wf_buf_json(struct wf_buf *b, const char *s, size_t n);

#define WF_HEX_LOWER "0123456789abcdef"
#define WF_HEX_UPPER "0123456789ABCDEF"

/* Two digits of @digits for each byte. Return: one past the last digit. */
static inline unsigned char *wf_put_hex(unsigned char *p, const void *bytes, size_t n,
                                        const char *digits)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = ((const unsigned char *)bytes)[i];

        *p++ = (unsigned char)digits[byte >> 4];
        *p++ = (unsigned char)digits[byte & 15];
    }
    return p;
}

/* Whether the bytes are UTF-8 (Unicode, table 3-7). */
bool wf_is_utf8(const char *s, size_t n);

/* Append a whole JSON string, quotes included; what is no UTF-8 becomes U+FFFD, for readers refuse
 * a line that holds anything else. */
void wf_buf_json_string(struct wf_buf *b, const void *text, size_t n);

#endif
