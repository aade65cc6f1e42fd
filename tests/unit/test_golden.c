/* Schema texts and rows captured from a real Debezium 3.7: the profile `debezium` writes the same
 * but for its documented additions (fixtures/golden-*.json: what the catalog said about the table,
 * the texts the registry stored, rows as PostgreSQL prints them and their Avro bytes). */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>

#include "encode_kit.h"
#include "event_schema.h"

static json_t *load(const char *name)
{
    char path[512];
    json_error_t why;
    json_t *j;

    snprintf(path, sizeof(path), "%s/tests/unit/fixtures/golden-%s.json", WF_SOURCE_DIR, name);
    j = json_load_file(path, JSON_ALLOW_NUL, &why);
    cr_assert_not_null(j, "%s: %s", path, why.text);
    return j;
}

static const char *text(const json_t *j, const char *key)
{
    return json_string_value(json_object_get(j, key));
}

static int32_t number(const json_t *j, const char *key, int32_t dflt)
{
    const json_t *n = json_object_get(j, key);

    return n ? (int32_t)json_integer_value(n) : dflt;
}

static bool is_key(const json_t *golden, size_t col)
{
    const json_t *key = json_object_get(golden, "key");

    for (size_t i = 0; i < json_array_size(key); i++)
        if ((size_t)json_integer_value(json_array_get(key, i)) == col)
            return true;
    return false;
}

static void fill_col(struct kit *k, const json_t *golden, uint16_t i)
{
    const json_t *c = json_array_get(json_object_get(golden, "columns"), i);
    const char *type = text(c, "type"), *element = text(c, "element"), *labels = text(c, "labels");
    bool domain = json_object_get(c, "domain_of");
    uint32_t oid = (uint32_t)number(c, "oid", 0);

    k->relcols[i] = (struct wf_relcol){.name = text(c, "name"),
                                       .type_name = oid >= 10000 ? type : NULL,
                                       .type_oid = oid,
                                       .typmod = number(c, "typmod", -1),
                                       .key = is_key(golden, i)};
    k->catcols[i] =
        (struct wf_catalog_col){.found = true,
                                .not_null = json_is_true(json_object_get(c, "not_null")),
                                .dflt = text(c, "default"),
                                .type_name = type,
                                .typtype = domain ? 'd' : 'b',
                                .base_oid = (uint32_t)number(c, "domain_of", (int32_t)oid),
                                .base_typmod = number(c, "domain_typmod", -1),
                                .base_name = type,
                                .base_typtype = labels && !element ? 'e' : 'b',
                                .elem_oid = element ? 1 : 0,
                                .elem_name = element,
                                .enum_labels = labels};
}

static void plan_table(struct kit *k, const json_t *golden)
{
    const json_t *key = json_object_get(golden, "key");
    uint16_t n = (uint16_t)json_array_size(json_object_get(golden, "columns"));

    k->rel = (struct wf_relation){.oid = 16384,
                                  .version = 1,
                                  .schema = text(golden, "schema"),
                                  .name = text(golden, "table"),
                                  .identity = 'd',
                                  .ncols = n,
                                  .cols = k->relcols};
    k->cat = (struct wf_catalog){.cols = k->catcols, .ncols = n, .key = k->key};
    for (uint16_t i = 0; i < n; i++)
        fill_col(k, golden, i);
    for (size_t i = 0; i < json_array_size(key); i++)
        k->key[k->cat.nkey++] = (uint16_t)json_integer_value(json_array_get(key, i));
    cr_assert_eq(wf_encoder_plan(k->encoder, &k->rel, &k->cat, &k->err), WF_OK, "%s", k->err.text);
}

struct change {
    const char *from, *to;
};

#define DBZ(x) "\"connect.name\":\"io.debezium." x "\""
#define TS_NS ",{\"name\":\"ts_ns\",\"type\":[\"null\",\"long\"],\"default\":null}"

/* The documented differences of the profile. */
static const struct change documented[] = {
    {TS_NS, ""},
    {DBZ("time.MicroTime") "}", DBZ("time.MicroTime") ",\"logicalType\":\"time-micros\"}"},
    {DBZ("time.MicroTimestamp") "}",
     DBZ("time.MicroTimestamp") ",\"logicalType\":\"local-timestamp-micros\"}"},
    {DBZ("data.Uuid") "}", DBZ("data.Uuid") ",\"logicalType\":\"uuid\"}"},
};

/* @in with every change applied; the caller frees it. */
static char *apply(const char *in)
{
    struct wf_buf b;
    char *out;

    wf_buf_init(&b, 1u << 20);
    while (*in) {
        size_t i = 0, n = sizeof(documented) / sizeof(documented[0]);

        while (i < n && strncmp(in, documented[i].from, strlen(documented[i].from)))
            i++;
        if (i < n) {
            wf_buf_str(&b, documented[i].to);
            in += strlen(documented[i].from);
        } else {
            wf_buf_byte(&b, (unsigned char)*in++);
        }
    }
    wf_buf_byte(&b, '\0');
    out = strdup((char *)b.data);
    wf_buf_deinit(&b);
    return out;
}

static void expect_texts(const struct kit *k, const json_t *golden)
{
    const struct wf_plan *plan = k->rel.plan;
    char *key = apply(text(golden, "key_schema")), *value = apply(text(golden, "value_schema"));

    cr_expect_str_eq(plan->stream->key_schema, key);
    cr_expect_str_eq(plan->stream->value_schema, value);
    free(key);
    free(value);
}

static void expect_hex(const unsigned char *data, size_t len, const char *hex, const char *what)
{
    char got[8192];

    cr_assert_lt(2 * len, sizeof(got));
    for (size_t i = 0; i < len; i++)
        snprintf(got + 2 * i, 3, "%02x", data[i]);
    got[2 * len] = '\0';
    cr_expect_str_eq(got, hex, "%s\n%s\n%s", what, got, hex);
}

static void expect_rows(struct kit *k, const json_t *golden)
{
    const json_t *rows = json_object_get(golden, "rows");
    const char *values[KIT_MAX];

    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i), *texts = json_object_get(row, "text");
        const char *after = text(row, "after");
        const struct wf_event *ev;

        for (uint16_t c = 0; c < k->rel.ncols; c++)
            values[c] = json_string_value(json_array_get(texts, c));
        cr_assert_eq(kit_insert(k, values), WF_OK, "%s", k->err.text);
        ev = &k->events.ev[0];
        expect_hex(ev->key, ev->key_len, text(row, "key"), "key");
        /* branch of before, branch of after, then the row */
        cr_assert_gt(ev->value_len, 2 + strlen(after) / 2);
        expect_hex(ev->value + 2, strlen(after) / 2, after, "after");
    }
}

static void check(const char *name)
{
    json_t *golden = load(name);
    struct kit k;

    kit_open(&k);
    plan_table(&k, golden);
    expect_texts(&k, golden);
    expect_rows(&k, golden);
    kit_close(&k);
    json_decref(golden);
}

/* registry.md, section 7: AvroData's text for one column of each common kind. */
Test(golden, schema_of_the_common_types)
{
    check("t");
}

Test(golden, dates_and_times)
{
    check("t_time");
}

Test(golden, networks_and_bits)
{
    check("t_net");
}

Test(golden, key_of_eight_columns)
{
    check("k_types");
}

Test(golden, column_defaults)
{
    check("t_def");
}

/* The fixed records stand in schemas/ for people and tools. */
Test(golden, avsc_files_are_what_the_writer_writes)
{
    static const struct {
        const char *file;
        void (*write)(struct wf_buf *out, bool ts_ns);
    } v[] = {{"source", wf_schema_source},
             {"message-key", wf_schema_message_key},
             {"message-value", wf_schema_message_value},
             {"truncate", wf_schema_truncate},
             {"transaction-key", wf_schema_transaction_key},
             {"transaction-value", wf_schema_transaction_value},
             {"heartbeat-key", wf_schema_heartbeat_key},
             {"heartbeat-value", wf_schema_heartbeat_value},
             {"dead-letter", wf_schema_dead_letter}};

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        char path[512], have[8192];
        struct wf_buf want;
        size_t n;
        FILE *f;

        snprintf(path, sizeof(path), "%s/schemas/%s.avsc", WF_SOURCE_DIR, v[i].file);
        f = fopen(path, "r");
        cr_assert_not_null(f, "%s", path);
        n = fread(have, 1, sizeof(have), f);
        fclose(f);
        wf_buf_init(&want, sizeof(have));
        v[i].write(&want, false);
        wf_buf_byte(&want, '\n');
        cr_expect(want.len == n && !memcmp(want.data, have, n), "%s differs", path);
        wf_buf_deinit(&want);
    }
}
