/* Row events: an envelope or a flat row, with its key. */
#include "avro_json.h"
#include "avro_put.h"
#include "encode_parts.h"

/* One event of a change: which rows it shows. */
struct part {
    bool before, after;
    char op;
};

unsigned char *wf_encode_block(struct wf_encoder *e, const struct wf_change *c, uint32_t collection,
                               unsigned char *p)
{
    struct wf_txn_id id = wf_txn_id(c->txn->xid, c->lsn);
    uint64_t order = e->counts.collections[collection].events + 1;

    if (c->rel) /* the events of a truncate are of different tables */
        order += e->counted;
    p[-1] = 2;
    p = wf_put_bytes(p, id.s, strlen(id.s));
    p = wf_put_long(p, (int64_t)(e->counts.events + e->counted + 1));
    return wf_put_long(p, (int64_t)order);
}

/* Names of the columns whose values the server did not send. */
static void put_unsent(struct wf_encoder *e, const struct wf_plan *plan)
{
    struct wf_buf *b = &e->value;
    size_t room = (size_t)2 * WF_LONG_ROOM;

    for (uint16_t i = 0; i < plan->nunsent; i++)
        room += strlen(plan->cols[plan->unsent[i]].field) + WF_LONG_ROOM;
    if (!wf_buf_reserve(b, room))
        return;
    if (plan->nunsent)
        b->len = (size_t)(wf_put_long(b->data + b->len, plan->nunsent) - b->data);
    for (uint16_t i = 0; i < plan->nunsent; i++) {
        const char *name = plan->cols[plan->unsent[i]].field;

        b->len = (size_t)(wf_put_bytes(b->data + b->len, name, strlen(name)) - b->data);
    }
    wf_buf_byte(b, 0);
}

/* Behind the rows of profile native. */
static unsigned char *put_native(struct wf_encoder *e, const struct wf_change *c, char op,
                                 unsigned char *p)
{
    const struct wf_plan *plan = c->rel->plan;

    *p++ = 2;
    *p++ = (unsigned char)op;
    p = wf_put_long(p, c->txn->commit_us);
    return wf_envelope_native(&e->envelope, p, plan->table.data, plan->table.len, c->lsn,
                              e->counts.events + e->counted + 1);
}

/* Behind the columns of profile row. */
static unsigned char *put_flat(const struct wf_change *c, char op, unsigned char *p)
{
    *p++ = 2;
    *p++ = (unsigned char)op;
    p = wf_put_long(p, (int64_t)c->lsn);
    p = wf_put_long(p, c->txn->commit_us / 1000 - (c->txn->commit_us % 1000 < 0));
    *p++ = op == 'd';
    return p;
}

/* What profiles native and row have in place of Debezium's source block and clock. */
static __attribute__((noinline)) enum wf_rc
put_own_end(struct wf_encoder *e, const struct wf_change *c, char op, struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    unsigned char *p;

    if (!wf_buf_reserve(&e->value, wf_envelope_room(&e->envelope, plan->table.len)))
        return wf_row_too_large(c->rel->schema, c->rel->name, err);
    p = e->value.data + e->value.len;
    p = e->rules->shape == WF_SHAPE_NATIVE ? put_native(e, c, op, p) : put_flat(c, op, p);
    e->value.len = (size_t)(p - e->value.data);
    if (plan->mark_unsent)
        put_unsent(e, plan);
    return WF_OK;
}

/* source, transaction, op, ts_ms, ts_us, or what the profile has instead */
static inline __attribute__((always_inline)) enum wf_rc
put_end(struct wf_encoder *e, const struct wf_change *c, char op, struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    unsigned char *p;

    if (__builtin_expect(e->rules->shape != WF_SHAPE_DEBEZIUM, 0))
        return put_own_end(e, c, op, err);
    if (!wf_buf_reserve(&e->value, wf_envelope_room(&e->envelope, plan->table.len)))
        return wf_row_too_large(c->rel->schema, c->rel->name, err);
    p = wf_envelope_source(&e->envelope, e->value.data + e->value.len, plan->table.data,
                           plan->table.len, c->lsn);
    if (__builtin_expect(e->conf->transactions, 0))
        p = wf_encode_block(e, c, plan->collection, p);
    *p++ = 2;
    *p++ = (unsigned char)op;
    p = wf_envelope_now(&e->envelope, p);
    e->value.len = (size_t)(p - e->value.data);
    return WF_OK;
}

/* Both rows of an envelope, or the one that a flat row shows. */
static enum wf_rc put_rows(struct wf_encoder *e, const struct wf_change *c, const struct part *part,
                           struct wf_err *err)
{
    bool flat = e->rules->shape == WF_SHAPE_ROW;
    enum wf_rc rc = WF_OK;

    if (!flat)
        wf_buf_byte(&e->value, part->before ? 2 : 0);
    if (part->before && (!flat || !part->after))
        rc = wf_row_put_old(c, &e->value, err);
    if (!flat)
        wf_buf_byte(&e->value, part->after ? 2 : 0);
    if (rc == WF_OK && part->after)
        rc = wf_row_put(c, c->new_row, &e->value, NULL, err);
    return rc;
}

/* One event with the key at @key (WF_NO_BYTES = none). */
static enum wf_rc row_event(struct wf_encoder *e, const struct wf_change *c, size_t key,
                            struct part part, enum wf_key_header header, struct wf_err *err)
{
    struct wf_plan *plan = c->rel->plan;
    size_t value = e->value.len;
    enum wf_rc rc;

    wf_put_value_frame(e, plan->stream);
    plan->nunsent = 0;
    rc = put_rows(e, c, &part, err);
    if (rc == WF_OK)
        rc = put_end(e, c, part.op, err);
    if (rc != WF_OK)
        return rc;
    wf_add_event(e, c, plan->stream, part.op, key, value, wf_headers_of(&e->headers, header));
    e->counted++;
    return WF_OK;
}

/* The row is gone: an event that says so, and one without a value, for compacted topics. */
static enum wf_rc delete_events(struct wf_encoder *e, const struct wf_change *c, size_t key,
                                enum wf_key_header header, struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    bool keyed = key != WF_NO_BYTES;
    bool tombstone = e->conf->tombstones && (keyed || e->rules->keyless_tombstones);
    bool only_tombstone = tombstone && keyed && e->rules->shape == WF_SHAPE_ROW;
    enum wf_rc rc = WF_OK;

    if (!only_tombstone)
        rc = row_event(e, c, key, (struct part){.before = true, .op = 'd'}, header, err);
    if (rc != WF_OK || !tombstone)
        return rc;
    wf_add_event(e, c, plan->stream, 'x', key, WF_NO_BYTES, wf_headers_of(&e->headers, header));
    if (only_tombstone)
        e->counted++;
    return WF_OK;
}

/* Append the framed key of @row. */
static enum wf_rc put_key(struct wf_encoder *e, const struct wf_change *c, const struct wf_col *row,
                          struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;

    wf_put_key_frame(e, plan->stream);
    return wf_row_put_key(c, row, &e->key, err);
}

/* The new row alone, under its own key of one column: the key's record is that column's bytes once
 * more, so they are copied from the row. */
static enum wf_rc copied_key_event(struct wf_encoder *e, const struct wf_change *c, char op,
                                   struct wf_err *err)
{
    struct wf_plan *plan = c->rel->plan;
    struct wf_row_mark mark = {.col = plan->key[0]};
    size_t key = e->key.len, value = e->value.len;
    enum wf_rc rc;

    wf_put_value_frame(e, plan->stream);
    plan->nunsent = 0;
    if (__builtin_expect(e->rules->shape != WF_SHAPE_ROW, 1))
        wf_buf_put(&e->value, "\0\2", 2); /* branches of before and after */
    rc = wf_row_put(c, c->new_row, &e->value, &mark, err);
    if (rc == WF_OK)
        rc = put_end(e, c, op, err);
    if (rc != WF_OK)
        return rc;
    wf_put_key_frame(e, plan->stream);
    wf_buf_put(&e->key, e->value.data + mark.at, mark.len);
    if (e->key.failed)
        return wf_row_too_large(c->rel->schema, c->rel->name, err);
    wf_add_event(e, c, plan->stream, op, key, value,
                 wf_headers_of(&e->headers, WF_KEY_HEADER_NONE));
    e->counted++;
    return WF_OK;
}

/* The new row alone. */
static enum wf_rc new_row_event(struct wf_encoder *e, const struct wf_change *c, char op,
                                struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    const struct part part = {.after = true, .op = op};
    size_t key = e->key.len;
    enum wf_rc rc;

    if (!plan->nkey)
        return row_event(e, c, WF_NO_BYTES, part, WF_KEY_HEADER_NONE, err);
    if (plan->nkey == 1 && c->new_row[plan->key[0]].kind == WF_COL_TEXT)
        return copied_key_event(e, c, op, err);
    rc = put_key(e, c, c->new_row, err);
    return rc == WF_OK ? row_event(e, c, key, part, WF_KEY_HEADER_NONE, err) : rc;
}

enum wf_rc wf_encode_insert(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err)
{
    return new_row_event(e, c, 'c', err);
}

enum wf_rc wf_encode_delete(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    size_t key = plan->nkey ? e->key.len : WF_NO_BYTES;
    enum wf_rc rc = WF_OK;

    if (!c->old_row)
        return wf_err_set(err, WF_REJECT, "old_missing",
                          "table %s.%s: a delete without the old row", c->rel->schema,
                          c->rel->name);
    if (plan->nkey)
        rc = put_key(e, c, c->old_row, err);
    if (rc != WF_OK)
        return rc;
    return delete_events(e, c, key, WF_KEY_HEADER_NONE, err);
}

/* Both keys as JSON, for the headers. */
static enum wf_rc describe_keys(struct wf_encoder *e, const struct wf_change *c, size_t new_key,
                                size_t old_key, struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    size_t frame = wf_frame_len(e);
    const unsigned char *new_at = e->key.data + new_key + frame, *old_at = e->key.data + old_key;
    const struct wf_avro_reader *key, *value;
    enum wf_rc rc = wf_streams_readers(plan->stream, &key, &value, err);

    old_at += frame;
    wf_buf_reset(&e->headers.keys);
    if (rc == WF_OK)
        rc = wf_avro_to_json(key, new_at, old_key - new_key - frame, NULL, &e->headers.keys, err);
    e->headers.key_split = e->headers.keys.len;
    if (rc == WF_OK)
        rc =
            wf_avro_to_json(key, old_at, e->key.len - old_key - frame, NULL, &e->headers.keys, err);
    if (e->headers.keys.failed)
        return wf_row_too_large(c->rel->schema, c->rel->name, err);
    wf_headers_set_keys(&e->headers);
    return rc;
}

/* A delete of the old key and a create of the new one: consumers that keep one record per key see
 * both. The buffer holds the new key, then the old one. */
static enum wf_rc key_change_events(struct wf_encoder *e, const struct wf_change *c, size_t new_key,
                                    size_t old_key, struct wf_err *err)
{
    enum wf_rc rc = describe_keys(e, c, new_key, old_key, err);

    if (rc == WF_OK)
        rc = delete_events(e, c, old_key, WF_KEY_HEADER_NEW, err);
    if (rc == WF_OK)
        rc = row_event(e, c, new_key, (struct part){.after = true, .op = 'c'}, WF_KEY_HEADER_OLD,
                       err);
    if (rc == WF_OK)
        e->ev[e->nev - 1].key_len = old_key - new_key;
    return rc;
}

/* Keys are compared as bytes: 1.0 and 1.00 may be one key. */
enum wf_rc wf_encode_update(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    const struct part part = {.before = true, .after = true, .op = 'u'};
    size_t new_key = e->key.len, old_key, len;
    enum wf_rc rc;

    if (!c->old_row)
        return new_row_event(e, c, 'u', err);
    if (!plan->nkey)
        return row_event(e, c, WF_NO_BYTES, part, WF_KEY_HEADER_NONE, err);
    rc = put_key(e, c, c->new_row, err);
    old_key = e->key.len;
    len = old_key - new_key;
    if (rc == WF_OK)
        rc = put_key(e, c, c->old_row, err);
    if (rc != WF_OK)
        return rc;
    if (e->key.len - old_key != len ||
        memcmp(e->key.data + new_key, e->key.data + old_key, len) != 0)
        return key_change_events(e, c, new_key, old_key, err);
    e->key.len = old_key;
    return row_event(e, c, new_key, part, WF_KEY_HEADER_NONE, err);
}
