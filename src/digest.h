/* SHA-256 as people and files write it. */
#ifndef WF_DIGEST_H
#define WF_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define WF_SHA256_HEX 64 /* digits, without the NUL */

/* Return: false when the library has no room for it; @out holds nothing then. */
bool wf_sha256_hex(const void *data, size_t len, char out[WF_SHA256_HEX + 1]);

#endif
