/* Avro binary primitives written through a pointer; whoever calls made the room. */
#ifndef WF_AVRO_PUT_H
#define WF_AVRO_PUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WF_LONG_ROOM 10 /* longest int or long: Apache Avro specification, "Binary encoding" */

static inline unsigned char *wf_put_long(unsigned char *p, int64_t v)
{
    uint64_t z = ((uint64_t)v << 1) ^ (0 - ((uint64_t)v >> 63)); /* zigzag */

    while (z > 0x7f) {
        *p++ = (unsigned char)(z | 0x80);
        z >>= 7;
    }
    *p++ = (unsigned char)z;
    return p;
}

/* A string or bytes: length, then the bytes. */
static inline unsigned char *wf_put_bytes(unsigned char *p, const void *s, size_t n)
{
    p = wf_put_long(p, (int64_t)n);
    memcpy(p, s, n);
    return p + n;
}

/* Little endian, whatever the machine. */
static inline unsigned char *wf_put_u64le(unsigned char *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        *p++ = (unsigned char)(v >> (8 * i));
    return p;
}

static inline unsigned char *wf_put_u32le(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        *p++ = (unsigned char)(v >> (8 * i));
    return p;
}

#endif
