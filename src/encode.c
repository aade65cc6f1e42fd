#include "encode.h"

#include <stdio.h>
#include <stdlib.h>

#include "avro_json.h"
#include "encode_parts.h"
#include "event_schema.h"
#include "log.h"
#include "names.h"
#include "pattern.h"
#include "select.h"

#define SCHEMA_MAX (4u << 20) /* as the reader of avro_json.h */
#define KEEP_MAX (1u << 20)   /* a larger buffer is given back after a small event; a guess */
#define DEFAULT_TOPIC "{prefix}.{schema}.{table}"
#define CHANGE_EVENTS 8 /* most events of one change, but for a truncate */

/* ---- making and planning ---- */

/* Records whose shape is the same for every table. */
struct fixed {
    const char *topic; /* template; {table} stands for `word` */
    const char *word;
    void (*key)(struct wf_buf *, bool ts_ns);
    void (*value)(struct wf_buf *, bool ts_ns);
};

static const struct fixed message_records = {"{prefix}.{table}", "message", wf_schema_message_key,
                                             wf_schema_message_value};
static const struct fixed truncate_records = {"{prefix}.{table}", "truncate", NULL,
                                              wf_schema_truncate};
static const struct fixed transaction_records = {
    "{prefix}.{table}", "transaction", wf_schema_transaction_key, wf_schema_transaction_value};
static const struct fixed heartbeat_records = {"{table}.{prefix}", "__debezium-heartbeat",
                                               wf_schema_heartbeat_key, wf_schema_heartbeat_value};

static const struct fixed dead_records = {"{prefix}.{table}", "dead_letter", NULL,
                                          wf_schema_dead_letter};

static enum wf_rc fixed_stream(struct wf_encoder *e, struct wf_stream **out, const struct fixed *f,
                               struct wf_err *err)
{
    struct wf_buf topic, k, v;
    enum wf_rc rc;

    wf_buf_init(&topic, SCHEMA_MAX);
    wf_buf_init(&k, SCHEMA_MAX);
    wf_buf_init(&v, SCHEMA_MAX);
    rc = wf_topic_make(&topic, f->topic, e->conf->prefix, "", f->word, err);
    if (f->key)
        f->key(&k, e->rules->ts_ns);
    wf_buf_byte(&k, '\0');
    f->value(&v, e->rules->ts_ns);
    wf_buf_byte(&v, '\0');
    if (rc == WF_OK && (k.failed || v.failed))
        rc = wf_encode_no_memory(err);
    if (rc == WF_OK)
        rc = wf_streams_claim(e->streams, (char *)topic.data, "walferry", f->word, false, err);
    if (rc == WF_OK)
        rc = wf_streams_get(e->streams, out, (char *)topic.data, f->key ? (char *)k.data : NULL,
                            (char *)v.data, NULL, err);
    wf_buf_deinit(&topic);
    wf_buf_deinit(&k);
    wf_buf_deinit(&v);
    return rc;
}

static enum wf_rc fixed_streams(struct wf_encoder *e, struct wf_err *err)
{
    enum wf_rc rc = fixed_stream(e, &e->message, &message_records, err);

    if (rc == WF_OK && !e->rules->truncate_in_topic)
        rc = fixed_stream(e, &e->truncate, &truncate_records, err);
    if (rc == WF_OK && e->conf->transactions)
        rc = fixed_stream(e, &e->transaction, &transaction_records, err);
    if (rc == WF_OK && e->conf->heartbeat_ms)
        rc = fixed_stream(e, &e->heartbeat, &heartbeat_records, err);
    if (rc == WF_OK && (e->conf->bad_value || e->conf->large_events.n))
        rc = fixed_stream(e, &e->dead, &dead_records, err);
    return rc;
}

/* Return: false when memory is out; what @p points to may have moved all the same. */
static bool grow(void *p, uint32_t n, size_t size)
{
    void **array = p, *grown = realloc(*array, n * size);

    if (grown)
        *array = grown;
    return grown != NULL;
}

enum wf_rc wf_encoder_room(struct wf_encoder *e, uint32_t n, struct wf_err *err)
{
    if (n <= e->ev_cap)
        return WF_OK;
    if (!grow(&e->ev, n, sizeof(*e->ev)) || !grow(&e->spans, n, sizeof(*e->spans)))
        return wf_encode_no_memory(err);
    e->ev_cap = n;
    return WF_OK;
}

void wf_put_single_frame(struct wf_buf *b, uint64_t fingerprint)
{
    unsigned char frame[WF_FRAME_MAX] = {0xc3, 0x01};

    for (unsigned i = 0; i < 8; i++)
        frame[2 + i] = (unsigned char)(fingerprint >> (8 * i));
    wf_buf_put(b, frame, sizeof(frame));
}

enum wf_rc wf_encoder_new(struct wf_encoder **out, const struct wf_format_conf *conf,
                          const struct wf_source_conf *source, enum wf_framing framing,
                          size_t max_event, const struct wf_origin *origin, struct wf_err *err)
{
    struct wf_encoder *e = calloc(1, sizeof(*e));
    size_t limit = max_event * 16 + KEEP_MAX; /* before and after, and room asked for in advance */
    enum wf_rc rc;

    if (!e)
        return wf_encode_no_memory(err);
    e->conf = conf;
    e->source = source;
    e->raw_text = origin->raw_text;
    e->rules = wf_profile_rules(conf);
    e->framing = framing;
    e->max_event = max_event;
    wf_buf_init(&e->key, limit);
    wf_buf_init(&e->value, limit);
    wf_buf_init(&e->json, limit);
    wf_headers_init(&e->headers, conf->prefix, e->rules->context_headers, max_event);
    e->streams = wf_streams_new(framing == WF_FRAME_SINGLE_OBJECT);
    if (!wf_envelope_init(&e->envelope, conf->prefix, origin, e->rules->ts_ns) || !e->streams)
        rc = wf_encode_no_memory(err);
    else
        rc = wf_encoder_room(e, CHANGE_EVENTS, err);
    if (rc == WF_OK)
        rc = fixed_streams(e, err);
    if (rc == WF_OK)
        *out = e;
    else
        wf_encoder_free(e);
    return rc;
}

enum wf_rc wf_encoder_origin(struct wf_encoder *e, const struct wf_origin *origin,
                             struct wf_err *err)
{
    return wf_envelope_origin(&e->envelope, origin) ? WF_OK : wf_encode_no_memory(err);
}

void wf_encoder_free(struct wf_encoder *e)
{
    if (!e)
        return;
    wf_buf_deinit(&e->key);
    wf_buf_deinit(&e->value);
    wf_buf_deinit(&e->json);
    wf_envelope_deinit(&e->envelope);
    wf_headers_deinit(&e->headers);
    wf_txn_counts_free(&e->counts);
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
    wf_plan_schemas(plan, e->rules, &key, &value);
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

/* Where a table's events go, and the topic that names its records. */
struct table_topic {
    struct wf_buf topic, names;
    bool shared; /* other tables may go there */
};

/* Subjects that come from the records' names keep tables of one topic apart, as long as the
 * records are not named after that topic. */
static enum wf_rc make_topic(const struct wf_encoder *e, const struct wf_relation *rel,
                             struct table_topic *t, struct wf_err *err)
{
    const struct wf_format_conf *conf = e->conf;
    const char *common = conf->topic ? conf->topic : DEFAULT_TOPIC, *own;
    char table[WF_SELECT_NAME];
    enum wf_rc rc;

    wf_buf_init(&t->topic, SCHEMA_MAX);
    wf_buf_init(&t->names, SCHEMA_MAX);
    snprintf(table, sizeof(table), "%s.%s", rel->schema, rel->name);
    own = wf_patterns_value(&conf->topics, table);
    t->shared = own && conf->subject_mode != WF_SUBJECT_TOPIC && !strstr(own, "{table}");
    rc = wf_topic_make(&t->topic, own ? own : common, conf->prefix, rel->schema, rel->name, err);
    if (rc == WF_OK)
        rc = wf_topic_make(&t->names, own && !t->shared ? own : common, conf->prefix, rel->schema,
                           rel->name, err);
    return rc;
}

enum wf_rc wf_encoder_plan(struct wf_encoder *e, struct wf_relation *rel,
                           const struct wf_catalog *cat, struct wf_err *err)
{
    struct wf_plan *plan = NULL;
    struct table_topic t;
    enum wf_rc rc;

    wf_buf_starved();
    rc = make_topic(e, rel, &t, err);
    if (rc == WF_OK)
        rc = wf_streams_claim(e->streams, (char *)t.topic.data, rel->schema, rel->name, t.shared,
                              err);
    if (rc == WF_OK)
        rc = wf_plan_new(&plan, rel, cat,
                         &(struct wf_plan_env){e->conf, e->source, e->raw_text,
                                               (char *)t.topic.data, (char *)t.names.data},
                         err);
    if (rc == WF_OK)
        rc = attach_stream(e, plan, rel, err);
    wf_buf_deinit(&t.topic);
    wf_buf_deinit(&t.names);
    if (wf_buf_starved()) /* a default that found no room would be left out, a long name be too long
                           */
        rc = wf_encode_no_memory(err);
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

static struct wf_stream *stream_of(const struct wf_relation *rel)
{
    const struct wf_plan *plan = rel->plan;

    return plan->stream;
}

size_t wf_encoder_streams(struct wf_encoder *e, const struct wf_change *c, struct wf_stream **out,
                          size_t max)
{
    size_t n = 0;

    if (e->transaction && c->txn && max)
        out[n++] = e->transaction;
    if (n == max)
        return n;
    switch (c->kind) {
    case WF_CHANGE_INSERT:
    case WF_CHANGE_UPDATE:
    case WF_CHANGE_DELETE:
        out[n++] = stream_of(c->rel);
        return n;
    case WF_CHANGE_TRUNCATE:
        if (e->truncate) {
            out[n++] = e->truncate;
            return n;
        }
        for (uint32_t i = 0; i < c->truncate.nrels && n < max; i++)
            out[n++] = stream_of(c->truncate.rels[i]);
        return n;
    case WF_CHANGE_MESSAGE:
        out[n++] = e->message;
        return n;
    case WF_CHANGE_HEARTBEAT:
        out[n++] = e->heartbeat;
        return n;
    case WF_CHANGE_DEAD:
        out[n++] = e->dead;
        return n;
    default:
        return n;
    }
}

bool wf_encoder_is_ready(const struct wf_encoder *e, const struct wf_change *c)
{
    return c->rel && c->rel->plan && stream_of(c->rel)->ready &&
           (!e->transaction || e->transaction->ready);
}

void wf_encoder_unready(struct wf_encoder *e)
{
    wf_streams_unready(e->streams);
}

/* ---- finishing ---- */

/* Replace Avro by JSON; @len is updated. */
static enum wf_rc to_json(struct wf_encoder *e, const struct wf_avro_reader *reader,
                          const struct wf_buf *avro, size_t *at, size_t *len, struct wf_err *err)
{
    size_t start = e->json.len;
    enum wf_rc rc;

    if (*at == WF_NO_BYTES)
        return WF_OK;
    rc = wf_avro_to_json(reader, avro->data + *at, *len, NULL, &e->json, err);
    *at = start;
    *len = e->json.len - start;
    return rc;
}

static __attribute__((noinline)) enum wf_rc render_json(struct wf_encoder *e, struct wf_err *err)
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

static __attribute__((noinline)) size_t size_of_headers(const struct wf_event *ev)
{
    size_t size = 0;

    for (unsigned i = 0; i < ev->nheaders; i++)
        size += strlen(ev->headers[i].name) + ev->headers[i].len;
    return size;
}

/* The buffers stay where they are from here on. */
static inline enum wf_rc finish(struct wf_encoder *e, const struct wf_change *c,
                                struct wf_events *out, struct wf_err *err)
{
    const unsigned char *keys = e->key.data, *values = e->value.data;

    if (__builtin_expect(e->key.failed | e->value.failed, 0)) /* a frame, say, that is missing */
        return wf_row_too_large(c->rel ? c->rel->schema : "", c->rel ? c->rel->name : "", err);
    if (__builtin_expect(e->framing == WF_FRAME_JSON, 0)) {
        enum wf_rc rc = render_json(e, err);

        if (rc != WF_OK)
            return rc;
        keys = values = e->json.data;
    }
    for (uint32_t i = 0; i < e->nev; i++) {
        struct wf_event *ev = &e->ev[i];
        size_t size = ev->key_len + ev->value_len;

        if (__builtin_expect(ev->nheaders != 0, 0))
            size += size_of_headers(ev);
        if (size > e->max_event)
            return wf_row_too_large(c->rel ? c->rel->schema : "", c->rel ? c->rel->name : "", err);
        ev->key = e->spans[i].key == WF_NO_BYTES ? NULL : keys + e->spans[i].key;
        ev->value = e->spans[i].value == WF_NO_BYTES ? NULL : values + e->spans[i].value;
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
    e->counted = 0;
}

void wf_encoder_begin(struct wf_encoder *e)
{
    wf_txn_counts_reset(&e->counts);
}

bool wf_encoder_ends(const struct wf_encoder *e)
{
    return e->counts.begun;
}

/* The transaction's BEGIN, before its first event; the table's counter. */
static __attribute__((noinline)) enum wf_rc
note_transaction(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err)
{
    struct wf_plan *plan = c->rel ? c->rel->plan : NULL;

    if (plan &&
        wf_txn_counts_of(&e->counts, c->rel->schema, c->rel->name, &plan->collection) == UINT32_MAX)
        return wf_encode_no_memory(err);
    return e->counts.begun || c->kind == WF_CHANGE_COMMIT ? WF_OK : wf_encode_begin(e, c, err);
}

/* All events are there: the tables' counters, too, take them. */
static __attribute__((noinline)) void count_by_table(struct wf_encoder *e,
                                                     const struct wf_change *c)
{
    struct wf_collection *of = e->counts.collections;
    const struct wf_plan *plan = c->rel ? c->rel->plan : NULL;

    e->counts.begun = c->kind != WF_CHANGE_COMMIT;
    if (plan)
        of[plan->collection].events += e->counted;
    if (c->kind == WF_CHANGE_MESSAGE)
        of[e->messages].events++;
    for (uint32_t i = 0; c->kind == WF_CHANGE_TRUNCATE && i < c->truncate.nrels; i++) {
        plan = c->truncate.rels[i]->plan;
        of[plan->collection].events++;
    }
}

static inline enum wf_rc encode_change(struct wf_encoder *e, const struct wf_change *c,
                                       struct wf_err *err)
{
    switch (c->kind) {
    case WF_CHANGE_INSERT:
        return wf_encode_insert(e, c, err);
    case WF_CHANGE_UPDATE:
        return wf_encode_update(e, c, err);
    case WF_CHANGE_DELETE:
        return wf_encode_delete(e, c, err);
    case WF_CHANGE_TRUNCATE:
        return wf_encode_truncate(e, c, err);
    case WF_CHANGE_MESSAGE:
        return wf_encode_message(e, c, err);
    case WF_CHANGE_HEARTBEAT:
        return wf_encode_heartbeat(e, c, err);
    case WF_CHANGE_DEAD:
        return wf_encode_dead(e, c, err);
    case WF_CHANGE_COMMIT:
        return e->counts.begun ? wf_encode_end(e, c, err) : WF_OK;
    default:
        return WF_OK;
    }
}

enum wf_rc wf_encode(struct wf_encoder *e, const struct wf_change *c, int64_t now_us,
                     struct wf_events *out, struct wf_err *err)
{
    enum wf_rc rc = WF_OK;

    *out = (struct wf_events){0};
    start(e);
    if (!wf_envelope_begin(&e->envelope, c->txn, now_us))
        return wf_encode_no_memory(err);
    if (__builtin_expect(e->transaction && c->txn, 0))
        rc = note_transaction(e, c, err);
    if (rc == WF_OK)
        rc = encode_change(e, c, err);
    if (rc == WF_OK)
        rc = finish(e, c, out, err);
    if (rc == WF_OK) {
        e->counts.events += e->counted;
        if (__builtin_expect(e->transaction && c->txn, 0))
            count_by_table(e, c);
        return rc;
    }
    if (wf_buf_starved())
        return wf_encode_no_memory(
            err); /* what had no room is not too large, and not a bad value */
    if (rc == WF_AGAIN && c->rel->stale) {
        c->rel->plan_free(c->rel->plan);
        c->rel->plan = NULL;
        c->rel->stale = false;
    } else if (rc == WF_AGAIN) { /* the plan was relaxed */
        rc = attach_stream(e, c->rel->plan, c->rel, err);
        return rc == WF_OK ? WF_AGAIN : rc;
    }
    return rc;
}
