/* A bounds-checked reader over big-endian wire bytes; the first failure sticks. */
#ifndef WF_READER_H
#define WF_READER_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Read all fields, then test `what` once: NULL = every byte was there. */
struct wf_reader {
    const char *start, *at, *end;
    const char *what; /* the field that did not fit; failed_at = its offset */
    size_t failed_at;
};

static inline struct wf_reader wf_reader(const char *data, size_t len)
{
    return (struct wf_reader){.start = data, .at = data, .end = data + len};
}

/* @n bytes, or NULL with the failure noted. */
static inline const char *wf_read_bytes(struct wf_reader *r, size_t n, const char *what)
{
    const char *at = r->at;

    if ((size_t)(r->end - at) < n || r->what) {
        if (!r->what) {
            r->what = what;
            r->failed_at = (size_t)(at - r->start);
        }
        return NULL;
    }
    r->at = at + n;
    return at;
}

static inline uint8_t wf_read_u8(struct wf_reader *r, const char *what)
{
    const char *p = wf_read_bytes(r, 1, what);

    return p ? (uint8_t)*p : 0;
}

static inline uint16_t wf_read_u16(struct wf_reader *r, const char *what)
{
    const char *p = wf_read_bytes(r, 2, what);
    uint16_t v = 0;

    if (p)
        memcpy(&v, p, sizeof(v));
    return be16toh(v);
}

static inline uint32_t wf_read_u32(struct wf_reader *r, const char *what)
{
    const char *p = wf_read_bytes(r, 4, what);
    uint32_t v = 0;

    if (p)
        memcpy(&v, p, sizeof(v));
    return be32toh(v);
}

static inline uint64_t wf_read_u64(struct wf_reader *r, const char *what)
{
    const char *p = wf_read_bytes(r, 8, what);
    uint64_t v = 0;

    if (p)
        memcpy(&v, p, sizeof(v));
    return be64toh(v);
}

/* A NUL-terminated string inside the message; "" after a failure. */
static inline const char *wf_read_str(struct wf_reader *r, const char *what)
{
    const char *nul = r->what ? NULL : memchr(r->at, '\0', (size_t)(r->end - r->at));
    const char *at = r->at;

    if (!nul) {
        wf_read_bytes(r, SIZE_MAX, what);
        return "";
    }
    r->at = nul + 1;
    return at;
}

/* Mark a value that is there but cannot be. */
static inline void wf_read_fail(struct wf_reader *r, const char *what)
{
    wf_read_bytes(r, SIZE_MAX, what);
}

#endif
