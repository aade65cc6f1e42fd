/* Source: the Kinesis Producer Library's aggregation-format.md; protobuf, proto2. */
#include "aws/aggregate.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define MAGIC "\xF3\x89\x9A\xC2"
#define MD5_BYTES 16
#define ADDED 64 /* more than tags and lengths of an event, and of everything beside events */

/* Tags: number of the field << 3 | type, 2 = bytes, 0 = varint. */
enum { T_KEY = 0x0A, T_HASH_KEY = 0x12, T_RECORD = 0x1A };
enum { R_KEY_INDEX = 0x08, R_HASH_INDEX = 0x10, R_DATA = 0x1A };

void wf_aggregate_init(struct wf_aggregate *a)
{
    wf_buf_init(&a->keys, SIZE_MAX); /* all bounded by the caller's limit of a record */
    wf_buf_init(&a->records, SIZE_MAX);
    wf_buf_init(&a->out, SIZE_MAX);
}

void wf_aggregate_deinit(struct wf_aggregate *a)
{
    wf_buf_deinit(&a->keys);
    wf_buf_deinit(&a->records);
    wf_buf_deinit(&a->out);
}

void wf_aggregate_begin(struct wf_aggregate *a, const char *hash_key)
{
    wf_buf_reset(&a->keys);
    wf_buf_reset(&a->records);
    wf_buf_reset(&a->out);
    snprintf(a->hash_key, sizeof(a->hash_key), "%s", hash_key);
    a->nkeys = a->n = 0;
    memset(a->slot, 0, sizeof(a->slot));
}

static size_t varint_size(uint64_t v)
{
    size_t n = 1;

    while (v >>= 7)
        n++;
    return n;
}

static void put_varint(struct wf_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        wf_buf_byte(b, (unsigned char)(v | 0x80));
    wf_buf_byte(b, (unsigned char)v);
}

static void put_bytes(struct wf_buf *b, unsigned char tag, const void *data, size_t n)
{
    wf_buf_byte(b, tag);
    put_varint(b, n);
    wf_buf_put(b, data, n);
}

/* Index of the key in the table, where it is put when it is new. */
static unsigned key_index(struct wf_aggregate *a, uint64_t hash, const void *key, size_t len)
{
    size_t i = hash & (WF_AGGREGATE_SLOTS - 1);

    for (; a->slot[i]; i = (i + 1) & (WF_AGGREGATE_SLOTS - 1)) {
        unsigned at = a->slot[i] - 1U;

        if (a->key_len[at] == len && !memcmp(a->keys.data + a->key_at[at], key, len))
            return at;
    }
    put_bytes(&a->keys, T_KEY, key, len);
    if (a->keys.failed)
        return 0;
    a->key_at[a->nkeys] = (uint32_t)(a->keys.len - len);
    a->key_len[a->nkeys] = (uint32_t)len;
    a->slot[i] = (uint16_t)(a->nkeys + 1);
    return a->nkeys++;
}

void wf_aggregate_add(struct wf_aggregate *a, uint64_t hash, const void *key, size_t key_len,
                      const void *data, size_t len)
{
    unsigned index = key_index(a, hash, key, key_len);

    wf_buf_byte(&a->records, T_RECORD);
    put_varint(&a->records, 1 + varint_size(index) + 2 + 1 + varint_size(len) + len);
    wf_buf_byte(&a->records, R_KEY_INDEX);
    put_varint(&a->records, index);
    wf_buf_byte(&a->records, R_HASH_INDEX);
    put_varint(&a->records, 0);
    put_bytes(&a->records, R_DATA, data, len);
    a->n++;
}

size_t wf_aggregate_size_with(const struct wf_aggregate *a, size_t key_len, size_t len)
{
    return sizeof(MAGIC) + MD5_BYTES + sizeof(a->hash_key) + ADDED + a->keys.len + a->records.len +
           key_len + len + ADDED;
}

const struct wf_buf *wf_aggregate_end(struct wf_aggregate *a)
{
    struct wf_buf *out = &a->out;
    size_t start = sizeof(MAGIC) - 1;
    unsigned char md5[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    wf_buf_put(out, MAGIC, start);
    wf_buf_put(out, a->keys.data, a->keys.len);
    put_bytes(out, T_HASH_KEY, a->hash_key, strlen(a->hash_key));
    wf_buf_put(out, a->records.data, a->records.len);
    if (a->keys.failed || a->records.failed || out->failed ||
        EVP_Digest(out->data + start, out->len - start, md5, &n, EVP_md5(), NULL) != 1 ||
        n != MD5_BYTES)
        return NULL;
    wf_buf_put(out, md5, n);
    return out->failed ? NULL : out;
}

void wf_aggregate_lane(unsigned lane, unsigned lanes, char out[WF_HASH_KEY_MAX])
{
    unsigned __int128 key = ((unsigned __int128)1 << 127) / lanes * (2 * lane + 1);
    char digits[WF_HASH_KEY_MAX];
    size_t at = sizeof(digits) - 1;

    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + (int)(key % 10));
        key /= 10;
    } while (key);
    memcpy(out, digits + at, sizeof(digits) - at);
}
