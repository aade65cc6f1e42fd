/* Relations, catalogs and rows for the tests of the encoder, by hand. */
#ifndef WF_TEST_ENCODE_KIT_H
#define WF_TEST_ENCODE_KIT_H

#include <stdlib.h>
#include <string.h>

#include "avro_json.h"
#include "encode.h"
#include "plan.h"

#define KIT_MAX 128
#define KIT_ZERO (-2) /* type modifier 0 */

/* A column: what the Relation message and the catalog say. */
struct kit_col {
    const char *name;
    uint32_t oid;
    int32_t typmod; /* 0 = none, so that it can be left out; KIT_ZERO = 0 */
    bool key;       /* part of the identity */
    bool required;  /* NOT NULL in the catalog */
    const char *dflt;
    const char *labels; /* enum */
    const char *type_name;
    char typtype;
    uint32_t base_oid;
    int32_t base_typmod;
    bool unknown; /* the catalog lost it */
    const struct wf_catalog_type *tree;
};

struct kit {
    struct wf_format_conf conf;
    const struct wf_source_conf *source;
    struct wf_encoder *encoder;
    struct wf_relcol relcols[KIT_MAX];
    struct wf_relation rel;
    struct wf_catalog_col catcols[KIT_MAX];
    uint16_t key[KIT_MAX];
    struct wf_catalog cat;
    struct wf_txn txn;
    struct wf_change change;
    struct wf_col new_row[KIT_MAX], old_row[KIT_MAX];
    struct wf_events events;
    struct wf_err err;
    enum wf_rc rc;
    struct wf_buf json;
};

/* A number from the environment. */
static inline uint64_t kit_asked(const char *variable, uint64_t otherwise)
{
    const char *s = getenv(variable);

    return s && *s ? strtoull(s, NULL, 10) : otherwise;
}

#define KIT_COMMIT_US INT64_C(1700000000123456)
#define KIT_NOW_US INT64_C(1700000001654321)

static inline int32_t kit_typmod(int32_t typmod)
{
    return typmod == KIT_ZERO ? 0 : typmod ? typmod : -1;
}

static const char kit_unchanged[] = "unchanged";
#define UNCHANGED kit_unchanged

/* As k->conf and k->source say; everything else starts afresh. @raw_text: the database is
 * SQL_ASCII. */
static inline void kit_start(struct kit *k, enum wf_framing framing, size_t max_event,
                             bool raw_text)
{
    static char prefix[] = "srv", topic[] = "{prefix}.{schema}.{table}";
    const struct wf_origin origin = {"shop", 7000000000000000001, 2, raw_text};
    const struct wf_source_conf *source = k->source;
    struct wf_format_conf conf = k->conf;

    memset(k, 0, sizeof(*k));
    k->conf = conf;
    k->conf.prefix = prefix;
    k->conf.topic = topic;
    k->source = source;
    wf_buf_init(&k->json, 1u << 24);
    k->rc = wf_encoder_new(&k->encoder, &k->conf, k->source, framing, max_event, &origin, &k->err);
    k->txn = (struct wf_txn){
        .final_lsn = 2000, .commit_us = KIT_COMMIT_US, .xid = 777, .prev_end_lsn = 1000};
}

static inline void kit_open_framed(struct kit *k, enum wf_framing framing, size_t max_event)
{
    *k = (struct kit){.conf = {.tombstones = true, .money_digits = 2}};
    kit_start(k, framing, max_event, false);
}

static inline void kit_open(struct kit *k)
{
    kit_open_framed(k, WF_FRAME_NONE, 1u << 20);
}

static inline void kit_close(struct kit *k)
{
    if (k->rel.plan)
        k->rel.plan_free(k->rel.plan);
    wf_encoder_free(k->encoder);
    wf_buf_deinit(&k->json);
}

/* Forget the relation, keep the encoder. */
static inline void kit_drop_table(struct kit *k)
{
    if (k->rel.plan)
        k->rel.plan_free(k->rel.plan);
    memset(&k->rel, 0, sizeof(k->rel));
}

static inline enum wf_rc kit_table(struct kit *k, const char *schema, const char *name,
                                   char identity, const struct kit_col *cols, uint16_t n,
                                   const char *key)
{
    kit_drop_table(k);
    k->rel = (struct wf_relation){.oid = 16384,
                                  .version = 1,
                                  .schema = schema,
                                  .name = name,
                                  .identity = identity,
                                  .ncols = n,
                                  .cols = k->relcols};
    k->cat = (struct wf_catalog){.cols = k->catcols, .ncols = n, .key = k->key};
    for (uint16_t i = 0; i < n; i++) {
        const struct kit_col *c = &cols[i];

        k->relcols[i] = (struct wf_relcol){.name = c->name,
                                           .type_name = c->type_name,
                                           .type_oid = c->oid,
                                           .typmod = kit_typmod(c->typmod),
                                           .key = c->key};
        k->catcols[i] = (struct wf_catalog_col){.found = !c->unknown,
                                                .not_null = c->required,
                                                .dflt = c->dflt,
                                                .type_name = c->type_name,
                                                .typtype = c->typtype ? c->typtype : 'b',
                                                .base_oid = c->base_oid ? c->base_oid : c->oid,
                                                .base_typmod = kit_typmod(c->base_typmod),
                                                .base_name = c->type_name,
                                                .base_typtype = c->labels ? 'e' : 'b',
                                                .enum_labels = c->labels,
                                                .tree = c->tree};
    }
    /* key: column numbers as letters, "ca" = third, then first */
    for (; key && *key; key++)
        k->key[k->cat.nkey++] = (uint16_t)(*key - 'a');
    return k->rc = wf_encoder_plan(k->encoder, &k->rel, &k->cat, &k->err);
}

static inline void kit_row(struct wf_col *row, const char *const *values, uint16_t n)
{
    for (uint16_t i = 0; i < n; i++) {
        row[i] = (struct wf_col){.kind = WF_COL_NULL};
        if (values[i] == UNCHANGED)
            row[i].kind = WF_COL_UNCHANGED;
        else if (values[i])
            row[i] = (struct wf_col){
                .data = values[i], .len = (uint32_t)strlen(values[i]), .kind = WF_COL_TEXT};
    }
}

static inline enum wf_rc kit_encode(struct kit *k)
{
    k->change.txn = &k->txn;
    k->change.lsn = 1500;
    return k->rc = wf_encode(k->encoder, &k->change, KIT_NOW_US, &k->events, &k->err);
}

static inline enum wf_rc kit_change(struct kit *k, enum wf_change_kind kind,
                                    enum wf_old_kind old_kind, const char *const *old_values,
                                    const char *const *new_values)
{
    memset(&k->change, 0, sizeof(k->change));
    k->change.kind = kind;
    k->change.rel = &k->rel;
    k->change.old_kind = old_kind;
    if (old_values) {
        kit_row(k->old_row, old_values, k->rel.ncols);
        k->change.old_row = k->old_row;
    }
    if (new_values) {
        kit_row(k->new_row, new_values, k->rel.ncols);
        k->change.new_row = k->new_row;
    }
    return kit_encode(k);
}

static inline enum wf_rc kit_insert(struct kit *k, const char *const *values)
{
    return kit_change(k, WF_CHANGE_INSERT, WF_OLD_NONE, NULL, values);
}

static inline const char *kit_json(struct kit *k, const char *schema, const unsigned char *data,
                                   size_t len)
{
    struct wf_avro_reader *r = NULL;

    wf_buf_reset(&k->json);
    if (!data)
        return NULL;
    k->rc = wf_avro_reader_new(&r, schema, strlen(schema), &k->err);
    if (k->rc == WF_OK)
        k->rc = wf_avro_to_json(r, data, len, NULL, &k->json, &k->err);
    wf_avro_reader_free(r);
    wf_buf_byte(&k->json, '\0');
    return k->rc == WF_OK ? (char *)k->json.data : k->err.text;
}

/* Value or key of event @i as JSON; valid until the next call. "null" = tombstone or no key. */
static inline const char *kit_value(struct kit *k, uint32_t i)
{
    const struct wf_event *ev = &k->events.ev[i];
    const char *s = kit_json(k, ev->stream->value_schema, ev->value, ev->value_len);

    return s ? s : "null";
}

static inline const char *kit_key(struct kit *k, uint32_t i)
{
    const struct wf_event *ev = &k->events.ev[i];
    const char *s = ev->key ? kit_json(k, ev->stream->key_schema, ev->key, ev->key_len) : NULL;

    return s ? s : "null";
}

#endif
