/* Avro binary primitives read within bounds. */
#ifndef WF_AVRO_GET_H
#define WF_AVRO_GET_H

#include <stdbool.h>
#include <stdint.h>

/* The int or long at *@p: Apache Avro specification, "Binary encoding". Return: false when it is
 * cut off or has more than 64 bits; *@p then stands where that showed. */
static inline bool wf_get_long(const unsigned char **p, const unsigned char *end, int64_t *out)
{
    uint64_t z = 0;

    for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
        unsigned char c = *(*p)++;

        if (shift == 63 && c > 1)
            break;
        z |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) {
            *out = (int64_t)(z >> 1) ^ -(int64_t)(z & 1); /* zigzag */
            return true;
        }
    }
    return false;
}

#endif
