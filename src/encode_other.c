/* Events that are no rows: truncates, messages, transaction boundaries, heartbeats. */
#include "avro_put.h"
#include "encode_parts.h"

#define BLOCK_ROOM 64

/* op t in the table's own topic, as Debezium has it. */
static unsigned char *put_debezium_truncate(struct wf_encoder *e, const struct wf_change *c,
                                            const struct wf_plan *plan, unsigned char *p)
{
    *p++ = 0;
    *p++ = 0;
    p = wf_envelope_source(&e->envelope, p, plan->table.data, plan->table.len, c->lsn);
    if (e->conf->transactions)
        p = wf_encode_block(e, c, plan->collection, p);
    *p++ = 2;
    *p++ = 't';
    return wf_envelope_now(&e->envelope, p);
}

static unsigned char *put_truncate(struct wf_encoder *e, const struct wf_change *c,
                                   const struct wf_plan *plan, unsigned char *p)
{
    *p++ = 2;
    *p++ = 't';
    p = wf_envelope_source(&e->envelope, p, plan->table.data, plan->table.len, c->lsn);
    p--; /* no transaction field */
    *p++ = c->truncate.cascade;
    *p++ = c->truncate.restart_identity;
    return wf_envelope_now(&e->envelope, p);
}

/* One event per table of the statement, without key. */
enum wf_rc wf_encode_truncate(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err)
{
    bool in_topic = e->rules->truncate_in_topic;
    enum wf_rc rc = wf_encoder_room(e, c->truncate.nrels + 1, err);

    for (uint32_t i = 0; i < c->truncate.nrels && rc == WF_OK; i++) {
        const struct wf_relation *rel = c->truncate.rels[i];
        struct wf_plan *plan = rel->plan;
        struct wf_stream *stream = in_topic ? plan->stream : e->truncate;
        size_t value = e->value.len;
        unsigned char *p;

        if (e->conf->transactions &&
            wf_txn_counts_of(&e->counts, rel->schema, rel->name, &plan->collection) == UINT32_MAX)
            return wf_encode_no_memory(err);
        wf_put_value_frame(e, stream);
        if (!wf_buf_reserve(&e->value,
                            wf_envelope_room(&e->envelope, plan->table.len) + BLOCK_ROOM))
            return wf_row_too_large(rel->schema, rel->name, err);
        p = e->value.data + e->value.len;
        p = in_topic ? put_debezium_truncate(e, c, plan, p) : put_truncate(e, c, plan, p);
        e->value.len = (size_t)(p - e->value.data);
        wf_add_event(e, c, stream, 't', WF_NO_BYTES, value,
                     wf_headers_of(&e->headers, WF_KEY_HEADER_NONE));
        e->counted++;
    }
    return rc;
}

/* pg_logical_emit_message(): Debezium's MessageKey and MessageValue. */
enum wf_rc wf_encode_message(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err)
{
    static const unsigned char no_table[] = {0, 0}; /* schema "", table "" */
    size_t prefix_len = strlen(c->message.prefix), key = e->key.len, value = e->value.len;
    bool counts = c->txn && e->conf->transactions;
    unsigned char *p;

    if (counts &&
        wf_txn_counts_of(&e->counts, NULL, "LOGICAL_DECODING_MESSAGE", &e->messages) == UINT32_MAX)
        return wf_encode_no_memory(err);
    wf_put_key_frame(e, e->message);
    wf_put_value_frame(e, e->message);
    if (!wf_buf_reserve(&e->key, prefix_len + 1 + WF_LONG_ROOM) ||
        !wf_buf_reserve(&e->value, wf_envelope_room(&e->envelope, sizeof(no_table)) + prefix_len +
                                       c->message.len + (size_t)4 * WF_LONG_ROOM + BLOCK_ROOM))
        return wf_row_too_large("", c->message.prefix, err);
    p = e->key.data + e->key.len;
    *p++ = 2;
    e->key.len = (size_t)(wf_put_bytes(p, c->message.prefix, prefix_len) - e->key.data);
    p = e->value.data + e->value.len;
    *p++ = 2;
    *p++ = 'm';
    p = wf_envelope_now_ms(&e->envelope, p);
    p = wf_envelope_source(&e->envelope, p, no_table, sizeof(no_table), c->lsn);
    if (counts)
        p = wf_encode_block(e, c, e->messages, p);
    *p++ = 2;
    p = wf_put_bytes(p, c->message.prefix, prefix_len);
    *p++ = 2;
    p = wf_put_bytes(p, c->message.content, c->message.len);
    e->value.len = (size_t)(p - e->value.data);
    wf_add_event(e, c, e->message, 'm', key, value, WF_NO_HEADERS);
    e->counted += c->txn != NULL;
    return WF_OK;
}

/* ---- transaction metadata ---- */

static size_t collections_room(const struct wf_txn_counts *counts)
{
    size_t room = 256;

    for (uint32_t i = 0; i < counts->n; i++)
        room += strlen(counts->collections[i].name) + (size_t)3 * WF_LONG_ROOM;
    return room;
}

/* event_count and data_collections */
static unsigned char *put_counts(const struct wf_txn_counts *counts, unsigned char *p)
{
    *p++ = 2;
    p = wf_put_long(p, (int64_t)counts->events);
    *p++ = 2;
    p = wf_put_long(p, counts->n);
    for (uint32_t i = 0; i < counts->n; i++) {
        const struct wf_collection *c = &counts->collections[i];

        *p++ = 2;
        p = wf_put_bytes(p, c->name, strlen(c->name));
        p = wf_put_long(p, (int64_t)c->events);
    }
    if (counts->n)
        *p++ = 0;
    return p;
}

static enum wf_rc boundary(struct wf_encoder *e, const struct wf_change *c, uint64_t lsn, bool end,
                           struct wf_err *err)
{
    const char *status = end ? "END" : "BEGIN";
    struct wf_txn_id id = wf_txn_id(c->txn->xid, lsn);
    size_t key = e->key.len, value = e->value.len;
    int64_t us = c->txn->commit_us;
    unsigned char *p;

    wf_put_key_frame(e, e->transaction);
    wf_put_value_frame(e, e->transaction);
    if (!wf_buf_reserve(&e->key, sizeof(id)) ||
        !wf_buf_reserve(&e->value, collections_room(&e->counts)))
        return wf_row_too_large("", "transaction", err);
    e->key.len = (size_t)(wf_put_bytes(e->key.data + e->key.len, id.s, strlen(id.s)) - e->key.data);
    p = wf_put_bytes(e->value.data + e->value.len, status, strlen(status));
    p = wf_put_bytes(p, id.s, strlen(id.s));
    if (end) {
        p = put_counts(&e->counts, p);
    } else {
        *p++ = 0;
        *p++ = 0;
    }
    p = wf_put_long(p, us / 1000 - (us % 1000 < 0));
    e->value.len = (size_t)(p - e->value.data);
    wf_add_event(e, c, e->transaction, end ? 'e' : 'b', key, value, WF_NO_HEADERS);
    return WF_OK;
}

enum wf_rc wf_encode_begin(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err)
{
    return boundary(e, c, c->lsn, false, err);
}

enum wf_rc wf_encode_end(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err)
{
    return boundary(e, c, c->txn->final_lsn, true, err);
}

enum wf_rc wf_encode_heartbeat(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err)
{
    const char *name = e->conf->prefix;
    int64_t us = e->envelope.now.us;

    wf_put_key_frame(e, e->heartbeat);
    wf_put_value_frame(e, e->heartbeat);
    if (!wf_buf_reserve(&e->key, strlen(name) + WF_LONG_ROOM) ||
        !wf_buf_reserve(&e->value, WF_LONG_ROOM))
        return wf_encode_no_memory(err);
    e->key.len = (size_t)(wf_put_bytes(e->key.data + e->key.len, name, strlen(name)) - e->key.data);
    e->value.len = (size_t)(wf_put_long(e->value.data + e->value.len, us / 1000) - e->value.data);
    wf_add_event(e, c, e->heartbeat, 'h', 0, 0, WF_NO_HEADERS);
    return WF_OK;
}

/* ---- dead letters ---- */

static char op_of(enum wf_change_kind kind)
{
    switch (kind) {
    case WF_CHANGE_INSERT:
        return 'c';
    case WF_CHANGE_UPDATE:
        return 'u';
    case WF_CHANGE_DELETE:
        return 'd';
    case WF_CHANGE_TRUNCATE:
        return 't';
    default:
        return 'm';
    }
}

static unsigned char *put_text(unsigned char *p, const char *text)
{
    return wf_put_bytes(p, text, strlen(text));
}

static unsigned char *put_optional_long(unsigned char *p, bool there, uint64_t v)
{
    *p++ = there ? 2 : 0;
    return there ? wf_put_long(p, (int64_t)v) : p;
}

/* wf_schema_dead_letter() */
enum wf_rc wf_encode_dead(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err)
{
    const struct wf_relation *rel = c->dead.rel;
    const char *file = c->dead.file, *schema = rel ? rel->schema : "",
               *table = rel ? rel->name : "";
    const char op[] = {op_of(c->dead.was), '\0'};
    size_t value = e->value.len, inside = file ? strlen(file) : c->dead.len;
    unsigned char *p;

    wf_put_value_frame(e, e->dead);
    if (!wf_buf_reserve(&e->value, inside + strlen(c->dead.reason) + strlen(schema) +
                                       strlen(table) + BLOCK_ROOM + (size_t)12 * WF_LONG_ROOM +
                                       strlen(c->dead.code) + strlen(c->dead.plugin)))
        return wf_row_too_large(schema, table, err);
    p = put_text(e->value.data + e->value.len, c->dead.code);
    p = put_text(p, c->dead.reason);
    p = put_text(p, op);
    p = put_text(p, schema);
    p = put_text(p, table);
    p = wf_put_long(p, (int64_t)c->lsn);
    p = put_optional_long(p, c->txn, c->txn ? c->txn->final_lsn : 0);
    p = put_optional_long(p, c->txn, c->txn ? c->txn->xid : 0);
    p = wf_put_long(p, c->txn ? c->txn->commit_us : e->envelope.now.us);
    p = put_text(p, c->dead.plugin);
    p = wf_put_long(p, (int64_t)c->dead.len);
    *p++ = file ? 0 : 2;
    if (!file)
        p = wf_put_bytes(p, c->dead.message, c->dead.len);
    *p++ = file ? 2 : 0;
    if (file)
        p = put_text(p, file);
    e->value.len = (size_t)(p - e->value.data);
    wf_add_event(e, c, e->dead, op[0], WF_NO_BYTES, value, WF_NO_HEADERS);
    return WF_OK;
}
