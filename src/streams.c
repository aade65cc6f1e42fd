#include "streams.h"

#include <stdlib.h>
#include <string.h>

#include "avro_fingerprint.h"
#include "grow.h"

struct slot {
    struct wf_stream stream; /* first: a stream is its slot */
    char *topic, *key_schema, *value_schema, *table;
    struct wf_avro_reader *key, *value;
};

struct claim {
    char *topic, *schema, *table;
    bool shared;
};

struct wf_streams {
    struct slot **slots;
    struct claim *claims;
    uint32_t nslots, nclaims;
    bool fingerprints;
};

struct wf_streams *wf_streams_new(bool fingerprints)
{
    struct wf_streams *s = calloc(1, sizeof(*s));

    if (s)
        s->fingerprints = fingerprints;
    return s;
}

static void free_slot(struct slot *slot)
{
    if (!slot)
        return;
    wf_avro_reader_free(slot->key);
    wf_avro_reader_free(slot->value);
    free(slot->topic);
    free(slot->key_schema);
    free(slot->value_schema);
    free(slot->table);
    free(slot);
}

void wf_streams_free(struct wf_streams *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->nslots; i++)
        free_slot(s->slots[i]);
    for (uint32_t i = 0; i < s->nclaims; i++) {
        free(s->claims[i].topic);
        free(s->claims[i].schema);
        free(s->claims[i].table);
    }
    free(s->slots);
    free(s->claims);
    free(s);
}

static enum wf_rc no_memory(struct wf_err *err)
{
    return wf_err_set(err, WF_FATAL, "memory", "out of memory");
}

enum wf_rc wf_streams_claim(struct wf_streams *s, const char *topic, const char *schema,
                            const char *table, bool shared, struct wf_err *err)
{
    struct claim *claims, *c;

    for (uint32_t i = 0; i < s->nclaims; i++) {
        c = &s->claims[i];
        if (strcmp(c->topic, topic) != 0)
            continue;
        if (!strcmp(c->schema, schema) && !strcmp(c->table, table))
            return WF_OK;
        if (shared && c->shared)
            continue;
        return wf_err_set(err, WF_REJECT, "topic_shared",
                          "\"%s.%s\" and \"%s.%s\" would both go to topic %s; hint: give them "
                          "different topics with format.topic, or rename one; tables that "
                          "format.topics names may share one with format.subject_name_strategy "
                          "record_name or topic_record_name",
                          c->schema, c->table, schema, table, topic);
    }
    claims = wf_grow(s->claims, s->nclaims, sizeof(*claims));
    if (!claims)
        return no_memory(err);
    s->claims = claims;
    c = &claims[s->nclaims];
    *c = (struct claim){strdup(topic), strdup(schema), strdup(table), shared};
    s->nclaims++;
    return c->topic && c->schema && c->table ? WF_OK : no_memory(err);
}

static bool same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static struct slot *make_slot(const char *topic, const char *key_schema, const char *value_schema,
                              const char *table)
{
    struct slot *slot = calloc(1, sizeof(*slot));

    if (!slot)
        return NULL;
    slot->topic = strdup(topic);
    slot->key_schema = key_schema ? strdup(key_schema) : NULL;
    slot->value_schema = strdup(value_schema);
    slot->table = table ? strdup(table) : NULL;
    if (!slot->topic || !slot->value_schema || (key_schema && !slot->key_schema) ||
        (table && !slot->table)) {
        free_slot(slot);
        return NULL;
    }
    slot->stream = (struct wf_stream){.topic = slot->topic,
                                      .key_schema = slot->key_schema,
                                      .value_schema = slot->value_schema,
                                      .table = slot->table};
    return slot;
}

static enum wf_rc add_fingerprints(struct wf_stream *st, struct wf_err *err)
{
    enum wf_rc rc = wf_avro_fingerprint(st->value_schema, strlen(st->value_schema),
                                        &st->value_fingerprint, err);

    if (rc == WF_OK && st->key_schema)
        rc = wf_avro_fingerprint(st->key_schema, strlen(st->key_schema), &st->key_fingerprint, err);
    return rc;
}

enum wf_rc wf_streams_get(struct wf_streams *s, struct wf_stream **out, const char *topic,
                          const char *key_schema, const char *value_schema, const char *table,
                          struct wf_err *err)
{
    struct slot **slots, *slot;

    for (uint32_t i = 0; i < s->nslots; i++) {
        slot = s->slots[i];
        if (same(slot->topic, topic) && same(slot->key_schema, key_schema) &&
            same(slot->value_schema, value_schema)) {
            *out = &slot->stream;
            return WF_OK;
        }
    }
    slots = wf_grow(s->slots, s->nslots, sizeof(*slots));
    if (!slots)
        return no_memory(err);
    s->slots = slots;
    slot = make_slot(topic, key_schema, value_schema, table);
    if (!slot)
        return no_memory(err);
    slot->stream.index = s->nslots;
    slots[s->nslots++] = slot;
    *out = &slot->stream;
    return s->fingerprints ? add_fingerprints(&slot->stream, err) : WF_OK;
}

void wf_streams_unready(struct wf_streams *s)
{
    for (uint32_t i = 0; i < s->nslots; i++)
        s->slots[i]->stream.ready = false;
}

enum wf_rc wf_streams_readers(struct wf_stream *stream, const struct wf_avro_reader **key,
                              const struct wf_avro_reader **value, struct wf_err *err)
{
    struct slot *slot = (struct slot *)stream;
    enum wf_rc rc = WF_OK;

    if (!slot->value)
        rc = wf_avro_reader_new(&slot->value, slot->value_schema, strlen(slot->value_schema), err);
    if (rc == WF_OK && slot->key_schema && !slot->key)
        rc = wf_avro_reader_new(&slot->key, slot->key_schema, strlen(slot->key_schema), err);
    *key = slot->key;
    *value = slot->value;
    return rc == WF_OK ? rc : wf_err_wrap(err, "schema of topic %s", slot->topic);
}
