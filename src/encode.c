#include "encode.h"

#include <stdlib.h>

#include "avro_json.h"
#include "avro_put.h"
#include "avro_schema.h"
#include "envelope.h"
#include "log.h"
#include "names.h"
#include "plan.h"
#include "row.h"
#include "streams.h"

#define SCHEMA_MAX (4u << 20) /* as the reader of avro_json.h */
#define KEEP_MAX (1u << 20)   /* a larger buffer is given back after a small event; a guess */
#define FRAME_LEN 5
#define DEFAULT_TOPIC "{prefix}.{schema}.{table}"

/* Where an event's bytes stand while the buffers may still move. */
struct span {
    size_t key, value; /* NO_BYTES = none */
};
#define NO_BYTES SIZE_MAX

struct wf_encoder {
    const struct wf_format_conf *conf;
    enum wf_framing framing;
    size_t max_event;
    struct wf_streams *streams;
    struct wf_stream *message, *truncate;
    struct wf_envelope envelope;
    struct wf_buf key, value, json;
    struct wf_event *ev;
    struct span *spans;
    uint32_t nev, ev_cap;
    uint32_t *announced; /* type oids carried as text */
    uint32_t nannounced;
};

static enum wf_rc no_memory(struct wf_err *err)
{
    return wf_err_set(err, WF_FATAL, "memory", "out of memory");
}

/* ---- making and planning ---- */

/* A stream of fixed records at `<prefix>.<word>`. */
static enum wf_rc fixed_stream(struct wf_encoder *e, struct wf_stream **out, const char *word,
                               void (*key)(struct wf_buf *), void (*value)(struct wf_buf *),
                               struct wf_err *err)
{
    struct wf_buf topic, k, v;
    enum wf_rc rc;

    wf_buf_init(&topic, SCHEMA_MAX);
    wf_buf_init(&k, SCHEMA_MAX);
    wf_buf_init(&v, SCHEMA_MAX);
    rc = wf_topic_make(&topic, "{prefix}.{table}", e->conf->prefix, "", word, err);
    if (key)
        key(&k);
    wf_buf_byte(&k, '\0');
    value(&v);
    wf_buf_byte(&v, '\0');
    if (rc == WF_OK && (k.failed || v.failed))
        rc = no_memory(err);
    if (rc == WF_OK)
        rc = wf_streams_claim(e->streams, (char *)topic.data, "walferry", word, err);
    if (rc == WF_OK)
        rc = wf_streams_get(e->streams, out, (char *)topic.data, key ? (char *)k.data : NULL,
                            (char *)v.data, NULL, err);
    wf_buf_deinit(&topic);
    wf_buf_deinit(&k);
    wf_buf_deinit(&v);
    return rc;
}

static enum wf_rc room_for_events(struct wf_encoder *e, uint32_t n, struct wf_err *err)
{
    void *p;

    if (n <= e->ev_cap)
        return WF_OK;
    p = realloc(e->ev, n * sizeof(*e->ev));
    if (!p)
        return no_memory(err);
    e->ev = p;
    p = realloc(e->spans, n * sizeof(*e->spans));
    if (!p)
        return no_memory(err);
    e->spans = p;
    e->ev_cap = n;
    return WF_OK;
}

enum wf_rc wf_encoder_new(struct wf_encoder **out, const struct wf_format_conf *conf,
                          enum wf_framing framing, size_t max_event, const char *database,
                          struct wf_err *err)
{
    struct wf_encoder *e = calloc(1, sizeof(*e));
    size_t limit = max_event * 16 + KEEP_MAX; /* before and after, and room asked for in advance */
    enum wf_rc rc;

    if (!e)
        return no_memory(err);
    e->conf = conf;
    e->framing = framing;
    e->max_event = max_event;
    wf_buf_init(&e->key, limit);
    wf_buf_init(&e->value, limit);
    wf_buf_init(&e->json, limit);
    e->streams = wf_streams_new();
    if (!wf_envelope_init(&e->envelope, conf->prefix, database) || !e->streams)
        rc = no_memory(err);
    else
        rc = room_for_events(e, 4, err);
    if (rc == WF_OK)
        rc = fixed_stream(e, &e->message, "message", wf_schema_message_key, wf_schema_message_value,
                          err);
    if (rc == WF_OK)
        rc = fixed_stream(e, &e->truncate, "truncate", NULL, wf_schema_truncate, err);
    if (rc == WF_OK)
        *out = e;
    else
        wf_encoder_free(e);
    return rc;
}

void wf_encoder_free(struct wf_encoder *e)
{
    if (!e)
        return;
    wf_buf_deinit(&e->key);
    wf_buf_deinit(&e->value);
    wf_buf_deinit(&e->json);
    wf_envelope_deinit(&e->envelope);
    wf_streams_free(e->streams);
    free(e->ev);
    free(e->spans);
    free(e->announced);
    free(e);
}

/* Once per type and encoder. */
static void announce_texts(struct wf_encoder *e, const struct wf_relation *rel,
                           const struct wf_plan *plan)
{
    for (uint16_t i = 0; i < plan->ncols; i++) {
        uint32_t oid = rel->cols[i].type_oid, k = 0, *grown;

        while (k < e->nannounced && e->announced[k] != oid)
            k++;
        if (!plan->cols[i].as_text || k < e->nannounced)
            continue;
        wf_log(WF_LOG_INFO, "type_as_text", NULL,
               "type %s has no Avro form of its own: column %s.%s.%s and others of the type are "
               "carried as the server's text",
               plan->cols[i].pg_type, rel->schema, rel->name, plan->cols[i].name);
        grown = realloc(e->announced, (e->nannounced + 1) * sizeof(*grown));
        if (!grown)
            return; /* announced again next time */
        e->announced = grown;
        e->announced[e->nannounced++] = oid;
    }
}

/* Find or make the stream of the plan's present schemas. */
static enum wf_rc attach_stream(struct wf_encoder *e, struct wf_plan *plan,
                                const struct wf_relation *rel, struct wf_err *err)
{
    struct wf_buf key, value, table;
    enum wf_rc rc;

    wf_buf_init(&key, SCHEMA_MAX);
    wf_buf_init(&value, SCHEMA_MAX);
    wf_buf_init(&table, SCHEMA_MAX);
    wf_plan_schemas(plan, &key, &value);
    wf_buf_printf(&table, "%s.%s", rel->schema, rel->name);
    if (key.failed || value.failed || table.failed)
        rc = wf_err_set(err, WF_REJECT, "schema_size", "table %s.%s: schema of over %u bytes",
                        rel->schema, rel->name, SCHEMA_MAX);
    else
        rc = wf_streams_get(e->streams, &plan->stream, plan->topic,
                            key.len ? (char *)key.data : NULL, (char *)value.data,
                            (char *)table.data, err);
    wf_buf_deinit(&key);
    wf_buf_deinit(&value);
    wf_buf_deinit(&table);
    return rc;
}

enum wf_rc wf_encoder_plan(struct wf_encoder *e, struct wf_relation *rel,
                           const struct wf_catalog *cat, struct wf_err *err)
{
    struct wf_plan *plan = NULL;
    struct wf_buf topic;
    enum wf_rc rc;

    wf_buf_init(&topic, SCHEMA_MAX);
    rc = wf_topic_make(&topic, e->conf->topic ? e->conf->topic : DEFAULT_TOPIC, e->conf->prefix,
                       rel->schema, rel->name, err);
    if (rc == WF_OK)
        rc = wf_streams_claim(e->streams, (char *)topic.data, rel->schema, rel->name, err);
    if (rc == WF_OK)
        rc = wf_plan_new(&plan, rel, cat, e->conf, (char *)topic.data, err);
    if (rc == WF_OK)
        rc = attach_stream(e, plan, rel, err);
    wf_buf_deinit(&topic);
    if (rc != WF_OK) {
        wf_plan_free(plan);
        return rc;
    }
    announce_texts(e, rel, plan);
    if (rel->plan)
        rel->plan_free(rel->plan);
    rel->plan = plan;
    rel->plan_free = wf_plan_free;
    return WF_OK;
}

size_t wf_encoder_streams(struct wf_encoder *e, const struct wf_change *c, struct wf_stream **out,
                          size_t max)
{
    const struct wf_plan *plan;

    if (!max)
        return 0;
    switch (c->kind) {
    case WF_CHANGE_INSERT:
    case WF_CHANGE_UPDATE:
    case WF_CHANGE_DELETE:
        plan = c->rel->plan;
        out[0] = plan->stream;
        return 1;
    case WF_CHANGE_TRUNCATE:
        out[0] = e->truncate;
        return 1;
    case WF_CHANGE_MESSAGE:
        out[0] = e->message;
        return 1;
    default:
        return 0;
    }
}

void wf_encoder_unready(struct wf_encoder *e)
{
    wf_streams_unready(e->streams);
}

/* ---- events ---- */

static inline void put_frame(const struct wf_encoder *e, struct wf_buf *b, int32_t id)
{
    const uint32_t v = (uint32_t)id;
    const unsigned char frame[FRAME_LEN] = {0, (unsigned char)(v >> 24), (unsigned char)(v >> 16),
                                            (unsigned char)(v >> 8), (unsigned char)v};

    if (e->framing == WF_FRAME_CONFLUENT)
        wf_buf_put(b, frame, sizeof(frame));
}

/* Append the framed key of @row. */
static enum wf_rc put_key(struct wf_encoder *e, const struct wf_change *c, const struct wf_col *row,
                          struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;

    put_frame(e, &e->key, plan->stream->key_id);
    return wf_row_put_key(c, row, &e->key, err);
}

/* Another event of @stream whose key and value start at these offsets. */
static inline void add_event(struct wf_encoder *e, const struct wf_change *c,
                             struct wf_stream *stream, char op, size_t key, size_t value)
{
    struct wf_event *ev = &e->ev[e->nev];

    e->spans[e->nev] = (struct span){key, value};
    e->nev++;
    ev->stream = stream;
    ev->key = ev->value = NULL;
    ev->key_len = key == NO_BYTES ? 0 : e->key.len - key;
    ev->value_len = value == NO_BYTES ? 0 : e->value.len - value;
    ev->tag = 0;
    ev->lsn = c->lsn;
    ev->ts_us = c->txn ? c->txn->commit_us : e->envelope.now.us;
    ev->op = op;
}

/* source, transaction, op, ts_ms, ts_us */
static inline enum wf_rc put_end(struct wf_encoder *e, const struct wf_change *c, char op,
                                 struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    unsigned char *p;

    if (!wf_buf_reserve(&e->value, wf_envelope_room(&e->envelope, plan->table.len)))
        return wf_row_too_large(c->rel->schema, c->rel->name, err);
    p = wf_envelope_source(&e->envelope, e->value.data + e->value.len, plan->table.data,
                           plan->table.len, c->lsn);
    *p++ = 2;
    *p++ = (unsigned char)op;
    p = wf_envelope_now(&e->envelope, p);
    e->value.len = (size_t)(p - e->value.data);
    return WF_OK;
}

/* An envelope with its rows: @before and @after say which are there. */
static enum wf_rc put_envelope(struct wf_encoder *e, const struct wf_change *c, bool before,
                               bool after, char op, struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    enum wf_rc rc = WF_OK;

    put_frame(e, &e->value, plan->stream->value_id);
    wf_buf_byte(&e->value, before ? 2 : 0);
    if (before)
        rc = wf_row_put_old(c, &e->value, err);
    wf_buf_byte(&e->value, after ? 2 : 0);
    if (rc == WF_OK && after)
        rc = wf_row_put(c, c->new_row, &e->value, NULL, err);
    return rc == WF_OK ? put_end(e, c, op, err) : rc;
}

/* One record with the key at @key (NO_BYTES = none). */
static enum wf_rc row_event(struct wf_encoder *e, const struct wf_change *c, size_t key,
                            bool before, bool after, char op, struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    size_t value = e->value.len;
    enum wf_rc rc = put_envelope(e, c, before, after, op, err);

    if (rc == WF_OK)
        add_event(e, c, plan->stream, op, key, value);
    return rc;
}

static void tombstone(struct wf_encoder *e, const struct wf_change *c, size_t key)
{
    const struct wf_plan *plan = c->rel->plan;

    if (key != NO_BYTES && e->conf->tombstones)
        add_event(e, c, plan->stream, 'x', key, NO_BYTES);
}

/* The new row alone, under its own key of one column: the key's record is that column's bytes once
 * more, so they are copied from the row. */
static enum wf_rc copied_key_event(struct wf_encoder *e, const struct wf_change *c, char op,
                                   struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    struct wf_row_mark mark = {.col = plan->key[0]};
    enum wf_rc rc;

    put_frame(e, &e->value, plan->stream->value_id);
    wf_buf_put(&e->value, "\0\2", 2); /* branches of before and after */
    rc = wf_row_put(c, c->new_row, &e->value, &mark, err);
    if (rc == WF_OK)
        rc = put_end(e, c, op, err);
    if (rc != WF_OK)
        return rc;
    put_frame(e, &e->key, plan->stream->key_id);
    wf_buf_put(&e->key, e->value.data + mark.at, mark.len);
    if (e->key.failed)
        return wf_row_too_large(c->rel->schema, c->rel->name, err);
    add_event(e, c, plan->stream, op, 0, 0);
    return WF_OK;
}

/* The new row alone. */
static enum wf_rc new_row_event(struct wf_encoder *e, const struct wf_change *c, char op,
                                struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    enum wf_rc rc;

    if (!plan->nkey)
        return row_event(e, c, NO_BYTES, false, true, op, err);
    if (plan->nkey == 1 && c->new_row[plan->key[0]].kind == WF_COL_TEXT)
        return copied_key_event(e, c, op, err);
    rc = put_key(e, c, c->new_row, err);
    return rc == WF_OK ? row_event(e, c, 0, false, true, op, err) : rc;
}

static enum wf_rc encode_delete(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    size_t key = plan->nkey ? 0 : NO_BYTES;
    enum wf_rc rc = WF_OK;

    if (!c->old_row)
        return wf_err_set(err, WF_REJECT, "old_missing",
                          "table %s.%s: a delete without the old row", c->rel->schema,
                          c->rel->name);
    if (plan->nkey)
        rc = put_key(e, c, c->old_row, err);
    if (rc == WF_OK)
        rc = row_event(e, c, key, true, false, 'd', err);
    if (rc == WF_OK)
        tombstone(e, c, key);
    return rc;
}

/* An UPDATE of the key is a delete of the old one and a create of the new one: consumers that keep
 * one record per key see both. Keys are compared as bytes: 1.0 and 1.00 may be one key. */
static enum wf_rc encode_update(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    size_t new_len, old_key;
    enum wf_rc rc;

    if (!c->old_row)
        return new_row_event(e, c, 'u', err);
    if (!plan->nkey)
        return row_event(e, c, NO_BYTES, true, true, 'u', err);
    rc = put_key(e, c, c->new_row, err);
    new_len = old_key = e->key.len;
    if (rc == WF_OK)
        rc = put_key(e, c, c->old_row, err);
    if (rc != WF_OK)
        return rc;
    if (e->key.len - old_key == new_len && !memcmp(e->key.data, e->key.data + old_key, new_len)) {
        e->key.len = new_len;
        return row_event(e, c, 0, true, true, 'u', err);
    }
    rc = row_event(e, c, old_key, true, false, 'd', err);
    if (rc != WF_OK)
        return rc;
    tombstone(e, c, old_key);
    rc = row_event(e, c, 0, false, true, 'c', err);
    e->ev[e->nev - 1].key_len = new_len;
    return rc;
}

/* One event per table of the statement, without key. */
static enum wf_rc encode_truncate(struct wf_encoder *e, const struct wf_change *c,
                                  struct wf_err *err)
{
    enum wf_rc rc = room_for_events(e, c->truncate.nrels, err);

    for (uint32_t i = 0; i < c->truncate.nrels && rc == WF_OK; i++) {
        const struct wf_relation *rel = c->truncate.rels[i];
        const struct wf_plan *plan = rel->plan;
        size_t value = e->value.len;
        unsigned char *p;

        put_frame(e, &e->value, e->truncate->value_id);
        if (!wf_buf_reserve(&e->value, wf_envelope_room(&e->envelope, plan->table.len)))
            return wf_row_too_large(rel->schema, rel->name, err);
        p = e->value.data + e->value.len;
        *p++ = 2;
        *p++ = 't';
        p = wf_envelope_source(&e->envelope, p, plan->table.data, plan->table.len, c->lsn);
        p--; /* no transaction field */
        *p++ = c->truncate.cascade;
        *p++ = c->truncate.restart_identity;
        p = wf_envelope_now(&e->envelope, p);
        e->value.len = (size_t)(p - e->value.data);
        add_event(e, c, e->truncate, 't', NO_BYTES, value);
    }
    return rc;
}

/* pg_logical_emit_message(): Debezium's MessageKey and MessageValue. */
static enum wf_rc encode_message(struct wf_encoder *e, const struct wf_change *c,
                                 struct wf_err *err)
{
    static const unsigned char no_table[] = {0, 0}; /* schema "", table "" */
    size_t prefix_len = strlen(c->message.prefix);
    unsigned char *p;

    put_frame(e, &e->key, e->message->key_id);
    put_frame(e, &e->value, e->message->value_id);
    if (!wf_buf_reserve(&e->key, prefix_len + 1 + WF_LONG_ROOM) ||
        !wf_buf_reserve(&e->value, wf_envelope_room(&e->envelope, sizeof(no_table)) + prefix_len +
                                       c->message.len + (size_t)4 * WF_LONG_ROOM))
        return wf_row_too_large("", c->message.prefix, err);
    p = e->key.data + e->key.len;
    *p++ = 2;
    e->key.len = (size_t)(wf_put_bytes(p, c->message.prefix, prefix_len) - e->key.data);
    p = e->value.data + e->value.len;
    *p++ = 2;
    *p++ = 'm';
    p = wf_envelope_now_ms(&e->envelope, p);
    p = wf_envelope_source(&e->envelope, p, no_table, sizeof(no_table), c->lsn);
    *p++ = 2;
    p = wf_put_bytes(p, c->message.prefix, prefix_len);
    *p++ = 2;
    p = wf_put_bytes(p, c->message.content, c->message.len);
    e->value.len = (size_t)(p - e->value.data);
    add_event(e, c, e->message, 'm', 0, 0);
    return WF_OK;
}

/* ---- finishing ---- */

/* Replace Avro by JSON; @len is updated. */
static enum wf_rc to_json(struct wf_encoder *e, const struct wf_avro_reader *reader,
                          const struct wf_buf *avro, size_t *at, size_t *len, struct wf_err *err)
{
    size_t start = e->json.len;
    enum wf_rc rc;

    if (*at == NO_BYTES)
        return WF_OK;
    rc = wf_avro_to_json(reader, avro->data + *at, *len, NULL, &e->json, err);
    *at = start;
    *len = e->json.len - start;
    return rc;
}

static enum wf_rc render_json(struct wf_encoder *e, struct wf_err *err)
{
    const struct wf_avro_reader *key, *value;
    enum wf_rc rc = WF_OK;

    wf_buf_reset(&e->json);
    for (uint32_t i = 0; i < e->nev && rc == WF_OK; i++) {
        struct wf_event *ev = &e->ev[i];

        rc = wf_streams_readers(ev->stream, &key, &value, err);
        if (rc == WF_OK)
            rc = to_json(e, key, &e->key, &e->spans[i].key, &ev->key_len, err);
        if (rc == WF_OK)
            rc = to_json(e, value, &e->value, &e->spans[i].value, &ev->value_len, err);
    }
    return rc;
}

/* The buffers stay where they are from here on. */
static inline enum wf_rc finish(struct wf_encoder *e, const struct wf_change *c,
                                struct wf_events *out, struct wf_err *err)
{
    const unsigned char *keys = e->key.data, *values = e->value.data;

    if (e->framing == WF_FRAME_JSON) {
        enum wf_rc rc = render_json(e, err);

        if (rc != WF_OK)
            return rc;
        keys = values = e->json.data;
    }
    for (uint32_t i = 0; i < e->nev; i++) {
        struct wf_event *ev = &e->ev[i];

        if (ev->key_len > e->max_event || ev->value_len > e->max_event)
            return wf_row_too_large(c->rel ? c->rel->schema : "", c->rel ? c->rel->name : "", err);
        ev->key = e->spans[i].key == NO_BYTES ? NULL : keys + e->spans[i].key;
        ev->value = e->spans[i].value == NO_BYTES ? NULL : values + e->spans[i].value;
    }
    out->ev = e->ev;
    out->n = e->nev;
    return WF_OK;
}

/* What one large event had blown up is given back after a small one. */
static __attribute__((noinline)) void shrink(struct wf_encoder *e)
{
    struct wf_buf *const bufs[] = {&e->key, &e->value, &e->json};

    for (size_t i = 0; i < 3; i++)
        if (bufs[i]->cap > KEEP_MAX && bufs[i]->len < KEEP_MAX / 16)
            wf_buf_deinit(bufs[i]);
}

/* Forget the last events. */
static inline void start(struct wf_encoder *e)
{
    if (__builtin_expect((e->key.cap | e->value.cap | e->json.cap) > KEEP_MAX, 0))
        shrink(e);
    wf_buf_reset(&e->key);
    wf_buf_reset(&e->value);
    e->nev = 0;
}

enum wf_rc wf_encode(struct wf_encoder *e, const struct wf_change *c, int64_t now_us,
                     struct wf_events *out, struct wf_err *err)
{
    enum wf_rc rc;

    *out = (struct wf_events){0};
    start(e);
    if (!wf_envelope_begin(&e->envelope, c->txn, now_us))
        return no_memory(err);
    switch (c->kind) {
    case WF_CHANGE_INSERT:
        rc = new_row_event(e, c, 'c', err);
        break;
    case WF_CHANGE_UPDATE:
        rc = encode_update(e, c, err);
        break;
    case WF_CHANGE_DELETE:
        rc = encode_delete(e, c, err);
        break;
    case WF_CHANGE_TRUNCATE:
        rc = encode_truncate(e, c, err);
        break;
    case WF_CHANGE_MESSAGE:
        rc = encode_message(e, c, err);
        break;
    default:
        return WF_OK;
    }
    if (rc == WF_OK)
        return finish(e, c, out, err);
    if (rc == WF_AGAIN) { /* the plan was relaxed */
        rc = attach_stream(e, c->rel->plan, c->rel, err);
        return rc == WF_OK ? WF_AGAIN : rc;
    }
    return rc;
}
