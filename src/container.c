#include "container.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avro_get.h"
#include "avro_json.h"
#include "avro_put.h"

#define SYNC_BYTES 16
#define BLOCK_MAX (256 << 20)
#define META_MAX (4 << 20)
#define EMPTY_MAX 65536 /* records of no byte in one block; a damaged count could be 2^62 */

struct file {
    FILE *in;
    const char *path;
    uint64_t at; /* bytes taken */
    bool torn;   /* a read came short: none is tried after it */
};

static bool get(struct file *f, void *out, size_t n)
{
    if (f->torn || fread(out, 1, n, f->in) != n) {
        f->torn = true;
        return false;
    }
    f->at += n;
    return true;
}

static int64_t get_long(struct file *f)
{
    unsigned char bytes[WF_LONG_ROOM];
    const unsigned char *p = bytes;
    size_t n = 0;
    int64_t v = 0;

    do {
        if (n == sizeof(bytes) || !get(f, &bytes[n], 1)) {
            f->torn = true;
            return 0;
        }
    } while (bytes[n++] & 0x80);
    f->torn = !wf_get_long(&p, bytes + n, &v);
    return v;
}

/* @n more bytes into @b, with a NUL behind that is not counted. */
static bool get_bytes(struct file *f, struct wf_buf *b, int64_t n)
{
    wf_buf_reset(b);
    if (n < 0 || (size_t)n >= b->max || !wf_buf_reserve(b, (size_t)n + 1) ||
        !get(f, b->data, (size_t)n)) {
        f->torn = true;
        return false;
    }
    b->len = (size_t)n;
    b->data[n] = '\0';
    return true;
}

static enum wf_rc damaged(const struct file *f, const char *what, struct wf_err *err)
{
    return wf_err_set(err, WF_REJECT, "container", "%s: %s at byte %llu", f->path, what,
                      (unsigned long long)f->at);
}

static enum wf_rc take_meta(struct file *f, const char *key, const struct wf_buf *value,
                            struct wf_avro_reader **reader, struct wf_err *err)
{
    if (strcmp(key, "avro.codec") == 0 && strcmp((const char *)value->data, "null") != 0)
        return damaged(f, "only codec \"null\" can be read", err);
    if (strcmp(key, "avro.schema") != 0 || *reader)
        return WF_OK;
    return wf_avro_reader_new(reader, (const char *)value->data, value->len, err);
}

static enum wf_rc read_header(struct file *f, struct wf_avro_reader **reader,
                              unsigned char marker[SYNC_BYTES], struct wf_err *err)
{
    struct wf_buf key, value;
    enum wf_rc rc = WF_OK;
    char magic[4];

    if (!get(f, magic, sizeof(magic)) || memcmp(magic, "Obj\001", sizeof(magic)) != 0)
        return damaged(f, "this is no Avro container file", err);
    wf_buf_init(&key, META_MAX);
    wf_buf_init(&value, META_MAX);
    for (int64_t n; rc == WF_OK && (n = get_long(f)) != 0;) {
        if (n < 0) { /* a negative count is followed by the block's size */
            get_long(f);
            n = -n;
        }
        for (int64_t i = 0; i < n && rc == WF_OK && !f->torn; i++) {
            if (get_bytes(f, &key, get_long(f)) && get_bytes(f, &value, get_long(f)))
                rc = take_meta(f, (const char *)key.data, &value, reader, err);
        }
    }
    wf_buf_deinit(&key);
    wf_buf_deinit(&value);
    if (rc == WF_OK && (!get(f, marker, SYNC_BYTES) || !*reader))
        rc = damaged(f, f->torn ? "the header is torn" : "the header has no avro.schema", err);
    return rc;
}

static enum wf_rc read_block(struct file *f, const struct wf_avro_reader *reader,
                             const struct wf_buf *block, int64_t count, wf_container_fn fn,
                             void *arg, bool *stop, struct wf_err *err)
{
    struct wf_buf json;
    enum wf_rc rc = WF_OK;
    size_t at = 0;

    wf_buf_init(&json, SIZE_MAX);
    for (int64_t i = 0; i < count && rc == WF_OK && !*stop; i++) {
        size_t used = 0;

        wf_buf_reset(&json);
        rc = wf_avro_to_json(reader, block->data + at, block->len - at, &used, &json, err);
        at += used;
        if (rc == WF_OK)
            *stop = !fn(arg, (const char *)json.data, json.len);
    }
    wf_buf_deinit(&json);
    if (rc == WF_OK && !*stop && at != block->len)
        rc = damaged(f, "a block holds more bytes than its records", err);
    return rc;
}

static enum wf_rc read_blocks(struct file *f, const struct wf_avro_reader *reader,
                              const unsigned char marker[SYNC_BYTES], wf_container_fn fn, void *arg,
                              struct wf_err *err)
{
    struct wf_buf block;
    enum wf_rc rc = WF_OK;
    bool stop = false;

    wf_buf_init(&block, BLOCK_MAX);
    while (rc == WF_OK && !stop) {
        unsigned char end[SYNC_BYTES];
        uint64_t start = f->at;
        int64_t count = get_long(f);

        if (f->torn && f->at == start) /* the file ends behind a block, as it should */
            break;
        if (!get_bytes(f, &block, get_long(f)) || !get(f, end, SYNC_BYTES))
            rc = damaged(f, "the last block is torn", err);
        else if (count < 0 || memcmp(end, marker, SYNC_BYTES) != 0)
            rc = damaged(f, "a block does not end with the file's sync marker", err);
        else if ((uint64_t)count > block.len && count > EMPTY_MAX)
            rc = damaged(f, "a block cannot hold as many records as it says", err);
        else
            rc = read_block(f, reader, &block, count, fn, arg, &stop, err);
    }
    wf_buf_deinit(&block);
    return rc;
}

enum wf_rc wf_container_read(const char *path, wf_container_fn fn, void *arg, struct wf_err *err)
{
    struct file f = {.in = fopen(path, "rbe"), .path = path};
    struct wf_avro_reader *reader = NULL;
    unsigned char marker[SYNC_BYTES];
    enum wf_rc rc;

    if (!f.in)
        return wf_err_set(err, WF_REJECT, "container", "%s: %s", path, strerror(errno));
    rc = read_header(&f, &reader, marker, err);
    if (rc == WF_OK)
        rc = read_blocks(&f, reader, marker, fn, arg, err);
    wf_avro_reader_free(reader);
    fclose(f.in);
    return rc;
}
