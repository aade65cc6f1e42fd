/* Random rows in every profile and mode, over every row of the converter table, arrays and
 * composites of them too: avro-c reads all bytes, writes the same ones, and its values mean what
 * the row was made from. WALFERRY_ROWS and WALFERRY_SEED say how many and which. */
#include "encode_kit.h"
#include "log.h"
#include "oracle_check.h"
#include "types.h"

#define ROWS 3000
#define COLUMNS 44 /* of a table, picked from all */
#define NUMERIC(p, s) (((p) << 16 | ((s) & 0x7ff)) + 4)
#define OID_FREE 70000 /* for types that are known by name */

/* ---- what a column may be ---- */

struct leaf {
    const char *name;
    uint32_t oid;
    int32_t typmod; /* as kit_col.typmod */
    void (*gen)(struct meaning *m);
    const char *labels;
};

/* Rows of the table that are no text; the others are. */
static const struct {
    const char *name;
    void (*gen)(struct meaning *m);
} generators[] = {
    {"bool", gen_bool},
    {"int2", gen_int2},
    {"int4", gen_int4},
    {"int8", gen_int8},
    {"oid", gen_oid},
    {"float4", gen_float4},
    {"float8", gen_float8},
    {"numeric", gen_numeric},
    {"money", gen_money},
    {"uuid", gen_uuid},
    {"bytea", gen_bytea},
    {"bit", gen_bit8},
    {"varbit", gen_varbit},
    {"date", gen_date},
    {"time", gen_time},
    {"timetz", gen_timetz},
    {"timestamp", gen_stamp},
    {"timestamptz", gen_zoned},
    {"interval", gen_interval},
    {"hstore", gen_hstore},
    {"point", gen_point},
    {"lseg", gen_lseg},
    {"path", gen_path},
    {"box", gen_box},
    {"polygon", gen_polygon},
    {"line", gen_line},
    {"circle", gen_circle},
    {"int2vector", gen_int2vector},
    {"oidvector", gen_oidvector},
    {"geometry", gen_ewkb},
    {"geography", gen_ewkb},
    {"vector", gen_vector},
    {"halfvec", gen_vector},
    {"sparsevec", gen_sparse},
};

static const struct leaf more[] = {
    {"numeric", 1700, NUMERIC(10, 2), gen_numeric_10_2, NULL},
    {"numeric", 1700, NUMERIC(60, 30), gen_numeric_60_30, NULL},
    {"numeric", 1700, NUMERIC(38, 0), gen_numeric_38_0, NULL},
    {"numeric", 1700, NUMERIC(3, 5), gen_numeric_3_5, NULL},
    {"numeric", 1700, NUMERIC(5, -2), gen_numeric_5_m2, NULL},
    {"bit", 1560, 1, gen_bit1, NULL},
    {"bit", 1560, 8, gen_bit8, NULL},
    {"varbit", 1562, 70, gen_varbit, NULL},
    {"time", 1083, 3, gen_time3, NULL},
    {"timestamp", 1114, 3, gen_stamp3, NULL},
    {"timestamptz", 1184, 3, gen_zoned3, NULL},
    {"timestamptz", 1184, KIT_ZERO, gen_zoned0, NULL},
    {"mood", OID_FREE + 900, 0, gen_label, "sad,very happy"},
    {"other", OID_FREE + 901, 0, gen_other, NULL},
};

#define LEAVES_MAX 128
static struct leaf leaves[LEAVES_MAX];
static unsigned nleaves;

static void list_leaves(void)
{
    for (size_t i = 0; i < wf_ntypes; i++) {
        const struct wf_type *row = &wf_types[i];
        struct leaf *l = &leaves[nleaves++];

        *l = (struct leaf){.name = row->name,
                           .oid = row->oid ? row->oid : OID_FREE + (uint32_t)i,
                           .gen = row->extra ? gen_other : gen_text};
        for (size_t g = 0; g < sizeof(generators) / sizeof(generators[0]); g++)
            if (!strcmp(generators[g].name, row->name))
                l->gen = generators[g].gen;
    }
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
        leaves[nleaves++] = more[i];
    cr_assert_leq(nleaves, LEAVES_MAX);
}

enum form { LEAF, ARRAY_OF, RECORD_OF, ARRAY_OF_RECORD };

struct column {
    enum form form;
    const struct leaf *part[PARTS_MAX];
    unsigned nparts;
    struct wf_catalog_type tree, record, field[PARTS_MAX], element[PARTS_MAX];
    bool array[PARTS_MAX]; /* a record's field is an array of it */
    char name[24], type_name[24];
    const char *dflt; /* of an int4: 5, of a text: x */
};

static struct column columns[COLUMNS];
static struct kit_col cols[COLUMNS];

/* ---- a table of random columns ---- */

static bool is_leaf(const struct leaf *l, const char *name)
{
    return !strcmp(l->name, name);
}

/* Arrays of bits have no value in strict, vectors of numbers no array. */
static const struct leaf *part_leaf(void)
{
    for (;;) {
        const struct leaf *l = &leaves[below(nleaves)];

        if (!is_leaf(l, "bit") && !is_leaf(l, "int2vector") && !is_leaf(l, "oidvector"))
            return l;
    }
}

static struct wf_catalog_type leaf_tree(const struct leaf *l, const char *field)
{
    return (struct wf_catalog_type){.kind = 'b',
                                    .delim = is_leaf(l, "box") ? ';' : ',',
                                    .oid = l->oid,
                                    .typmod = kit_typmod(l->typmod),
                                    .type_name = l->name,
                                    .schema = "public",
                                    .name = l->name,
                                    .enum_labels = l->labels,
                                    .field = field};
}

/* An array's modifier is its elements'. */
static void plan_array(const struct column *c, struct wf_catalog_type *out,
                       struct wf_catalog_type *element, const char *field)
{
    *out = (struct wf_catalog_type){.kind = 'a',
                                    .delim = ',',
                                    .oid = 90000,
                                    .typmod = element->typmod,
                                    .type_name = c->type_name,
                                    .schema = "public",
                                    .name = c->type_name,
                                    .field = field,
                                    .sub = element,
                                    .nsub = 1};
}

static void plan_record(struct column *c, struct wf_catalog_type *out)
{
    static const char *const names[PARTS_MAX] = {"one", "two", "three", "four"};

    c->nparts = 1 + below(PARTS_MAX);
    for (unsigned i = 0; i < c->nparts; i++) {
        c->part[i] = part_leaf();
        c->array[i] = !below(4);
        c->element[i] = leaf_tree(c->part[i], names[i]);
        c->field[i] = c->element[i];
        if (c->array[i])
            plan_array(c, &c->field[i], &c->element[i], names[i]);
    }
    *out = (struct wf_catalog_type){.kind = 'c',
                                    .delim = ',',
                                    .oid = 80000,
                                    .typmod = -1,
                                    .type_name = c->type_name,
                                    .schema = "public",
                                    .name = c->type_name,
                                    .sub = c->field,
                                    .nsub = (uint16_t)c->nparts};
}

static void plan_column(struct column *c, unsigned i, unsigned first)
{
    memset(c, 0, sizeof(*c));
    snprintf(c->name, sizeof(c->name), "c%u", i);
    snprintf(c->type_name, sizeof(c->type_name), "type%u", i);
    c->nparts = 1;
    if (i < COLUMNS - 12) {
        c->part[0] = &leaves[(first + i) % nleaves];
    } else if (i < COLUMNS - 6) {
        c->form = ARRAY_OF;
        c->part[0] = part_leaf();
        c->record = leaf_tree(c->part[0], NULL);
        plan_array(c, &c->tree, &c->record, NULL);
    } else if (i < COLUMNS - 2) {
        c->form = RECORD_OF;
        plan_record(c, &c->tree);
    } else {
        c->form = ARRAY_OF_RECORD;
        plan_record(c, &c->record);
        plan_array(c, &c->tree, &c->record, NULL);
    }
}

/* Types whose values are never refused. */
static bool is_safe(const struct leaf *l)
{
    static const char *const names[] = {"bool", "int4", "int8", "text",  "uuid",   "bytea",
                                        "json", "time", "name", "point", "float8", "timetz"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (is_leaf(l, names[i]))
            return true;
    return false;
}

static void declare(struct column *c, struct kit_col *k)
{
    const struct leaf *l = c->part[0];

    *k = (struct kit_col){.name = c->name, .oid = c->tree.oid, .type_name = c->type_name};
    if (c->form != LEAF) {
        k->tree = &c->tree;
        k->typmod = c->form == ARRAY_OF ? l->typmod : 0;
        return;
    }
    k->oid = l->oid;
    k->type_name = l->name;
    k->typmod = l->typmod;
    k->labels = l->labels;
    k->required = is_safe(l) && below(3) == 0;
    if (below(3) == 0 && (is_leaf(l, "int4") || is_leaf(l, "text")))
        k->dflt = c->dflt = is_leaf(l, "int4") ? "5" : "'x'::text";
}

/* ---- a row ---- */

static struct meaning *leaf_value(const struct leaf *l)
{
    struct meaning *m = meaning_new();

    l->gen(m);
    m->null = !below(7);
    return m;
}

static void record_text(struct meaning *m)
{
    m->what = W_RECORD;
    for (unsigned i = 0; i < m->nparts; i++) {
        add(m->text, i ? "," : "(");
        if (!m->part[i]->null)
            add_quoted(m->text, m->part[i]->text, 0);
    }
    add(m->text, ")");
}

static void array_text(struct meaning *m, char delimiter)
{
    m->what = W_ARRAY;
    add(m->text, "{");
    for (unsigned i = 0; i < m->nparts; i++) {
        const char *text = m->part[i]->text;

        if (i)
            add(m->text, "%c", delimiter);
        if (m->part[i]->null)
            add(m->text, "NULL");
        else if (*text && !strpbrk(text, "{}\"\\,; \n") && strcmp(text, "NULL") != 0)
            add(m->text, "%s", text);
        else
            add_quoted(m->text, text, '\\');
    }
    add(m->text, "}");
}

static struct meaning *array_value(const struct leaf *l)
{
    struct meaning *m = meaning_new();

    for (unsigned n = below(PARTS_MAX + 1); m->nparts < n; m->nparts++)
        m->part[m->nparts] = leaf_value(l);
    array_text(m, is_leaf(l, "box") ? ';' : ',');
    m->null = !below(7);
    return m;
}

static struct meaning *record_value(const struct column *c)
{
    struct meaning *m = meaning_new();

    for (unsigned i; (i = m->nparts) < c->nparts; m->nparts++)
        m->part[i] = c->array[i] ? array_value(c->part[i]) : leaf_value(c->part[i]);
    record_text(m);
    m->null = !below(7);
    return m;
}

static struct meaning *value_of(const struct column *c)
{
    struct meaning *m;

    if (c->form == LEAF)
        return leaf_value(c->part[0]);
    if (c->form == RECORD_OF)
        return record_value(c);
    if (c->form == ARRAY_OF)
        return array_value(c->part[0]);
    m = meaning_new();
    for (unsigned n = below(3); m->nparts < n; m->nparts++)
        m->part[m->nparts] = record_value(c);
    array_text(m, ',');
    m->null = !below(7);
    return m;
}

/* One whose text had room. */
static struct meaning *whole_value_of(const struct column *c)
{
    struct meaning *m = value_of(c);

    while (strlen(m->text) >= TEXT_MAX - 1) {
        meaning_free(m);
        m = value_of(c);
    }
    return m;
}

/* ---- reading it ---- */

static uint64_t rows, values, refused, absent;
static unsigned tried[LEAVES_MAX]; /* a bit for each profile */

struct table {
    json_t *schema, *fields;
    avro_schema_t avro;
    avro_value_iface_t *iface;
    avro_value_t v;
};

static json_t *fields_of(json_t *schema)
{
    json_t *fields = json_object_get(schema, "fields"), *field;
    size_t i;

    json_array_foreach(fields, i, field)
    {
        const char *name = json_string_value(json_object_get(field, "name"));
        json_t *type = branch_of(json_object_get(field, "type"));

        if (!strcmp(name, "before") && conf.profile != WF_PROFILE_ROW)
            return json_object_get(type, "fields");
    }
    return fields;
}

static void table_open(struct table *t, const char *schema)
{
    t->schema = json_loads(schema, 0, NULL);
    t->fields = fields_of(t->schema);
    cr_assert(t->fields);
    cr_assert_eq(avro_schema_from_json_length(schema, strlen(schema), &t->avro), 0, "%s",
                 avro_strerror());
    t->iface = avro_generic_class_from_schema(t->avro);
    avro_generic_value_new(t->iface, &t->v);
}

static void table_close(struct table *t)
{
    avro_value_decref(&t->v);
    avro_value_iface_decref(t->iface);
    avro_schema_decref(t->avro);
    json_decref(t->schema);
}

/* Decode with avro-c, encode again, compare the bytes. */
static void round_trip(avro_value_t *v, const struct wf_event *ev)
{
    static char again[1u << 20];
    avro_reader_t r = avro_reader_memory((const char *)ev->value, (int64_t)ev->value_len);
    avro_writer_t w = avro_writer_memory(again, sizeof(again));
    char rest;

    avro_value_reset(v);
    cr_assert_eq(avro_value_read(r, v), 0, "%s", avro_strerror());
    cr_assert_neq(avro_read(r, &rest, 1), 0, "bytes behind the row");
    cr_assert_eq(avro_value_write(w, v), 0, "%s", avro_strerror());
    cr_assert_eq((size_t)avro_writer_tell(w), ev->value_len);
    cr_assert(!memcmp(again, ev->value, ev->value_len));
    avro_reader_free(r);
    avro_writer_free(w);
}

static json_t *field_named(json_t *fields, const char *name)
{
    json_t *field;
    size_t i;

    json_array_foreach(fields, i,
                       field) if (!strcmp(json_string_value(json_object_get(field, "name")),
                                          name)) return json_object_get(field, "type");
    return NULL;
}

/* Left out by the mode, or by strict for what Debezium leaves out. */
static bool may_be_absent(const struct column *c)
{
    bool unknown = conf.unknown_mode == WF_UNKNOWN_ON ||
                   (conf.unknown_mode == WF_UNKNOWN_AUTO && conf.profile != WF_PROFILE_STRICT);

    return !unknown || (conf.profile == WF_PROFILE_STRICT && c->form != LEAF);
}

/* Debezium's own profile writes a column's default where the row has NULL. */
static const struct meaning *shown(const struct column *c, const struct meaning *m,
                                   struct meaning *dflt)
{
    if (!m->null || !c->dflt || conf.profile != WF_PROFILE_STRICT)
        return m;
    memset(dflt, 0, sizeof(*dflt));
    if (c->dflt[0] == '5') {
        put_int(dflt, 5);
    } else {
        dflt->what = W_TEXT;
        add(dflt->text, "x");
    }
    return dflt;
}

static void check_field(avro_value_t *row, const struct column *c, const struct meaning *m,
                        json_t *fields)
{
    json_t *type = field_named(fields, c->name);
    static struct meaning dflt;
    avro_value_t v;
    bool null;

    at = c->part[0]->name;
    at_text = m->null ? "NULL" : m->text;
    if (!type) {
        EXPECT(may_be_absent(c));
        absent++;
        return;
    }
    m = shown(c, m, &dflt);
    EXPECT(avro_value_get_by_name(row, c->name, &v, NULL) == 0);
    null = m->null || !holds(branch_of(type), m);
    refused += null && !m->null;
    values++;
    check_nullable(type, &v, m, null);
}

static void try_row(struct kit *k, struct table *t)
{
    struct meaning *m[COLUMNS];
    const char *row[COLUMNS];
    avro_value_t fields = {0};

    for (unsigned i = 0; i < COLUMNS; i++) {
        m[i] = whole_value_of(&columns[i]);
        m[i]->null = m[i]->null && !cols[i].required;
        row[i] = m[i]->null ? NULL : m[i]->text;
    }
    cr_assert_eq(kit_insert(k, row), WF_OK, "%s", k->err.text);
    if (!t->schema)
        table_open(t, k->events.ev[0].stream->value_schema);
    round_trip(&t->v, &k->events.ev[0]);
    fields = conf.profile == WF_PROFILE_ROW ? t->v : part_of(&t->v, "after");
    for (unsigned i = 0; i < COLUMNS; i++)
        check_field(&fields, &columns[i], m[i], t->fields);
    for (unsigned i = 0; i < COLUMNS; i++)
        meaning_free(m[i]);
    rows++;
}

/* ---- modes ---- */

static void choose_modes(unsigned round)
{
    static char prefix[] = "srv", topic[] = "{prefix}.{schema}.{table}";

    conf = (struct wf_format_conf){.profile = (int)(round % 5),
                                   .decimal_mode = (int)below(3),
                                   .time_mode = (int)below(7),
                                   .zoned_mode = (int)below(3),
                                   .interval_mode = (int)below(3),
                                   .hstore_mode = (int)below(3),
                                   .binary_mode = (int)below(4),
                                   .array_mode = below(4) ? WF_ARRAY_ARRAY : WF_ARRAY_STRING,
                                   .unknown_mode = (int)below(3),
                                   .failure_mode = WF_FAILURE_WARN,
                                   .lossy_mode = WF_LOSSY_ALLOW,
                                   .money_digits = below(3) ? 2 : below(11),
                                   .prefix = prefix,
                                   .topic = topic,
                                   .tombstones = true};
}

static void open_kit(struct kit *k)
{
    static const struct wf_origin origin = {"shop", 7000000000000000001, 1, false};

    memset(k, 0, sizeof(*k));
    k->conf = conf;
    wf_buf_init(&k->json, 1u << 24);
    cr_assert_eq(
        wf_encoder_new(&k->encoder, &k->conf, NULL, WF_FRAME_NONE, 1u << 20, &origin, &k->err),
        WF_OK, "%s", k->err.text);
    k->txn = (struct wf_txn){
        .final_lsn = 2000, .commit_us = KIT_COMMIT_US, .xid = 777, .prev_end_lsn = 1000};
}

static void try_table(unsigned round, unsigned nrows)
{
    static struct kit k;
    struct table t = {0};

    choose_modes(round);
    for (unsigned i = 0; i < COLUMNS; i++) {
        plan_column(&columns[i], i, round / 5 * (COLUMNS - 12));
        if (columns[i].form == LEAF)
            tried[columns[i].part[0] - leaves] |= 1u << conf.profile;
        declare(&columns[i], &cols[i]);
    }
    open_kit(&k);
    cr_assert_eq(kit_table(&k, "public", "t", 'd', cols, COLUMNS, NULL), WF_OK, "%s", k.err.text);
    while (nrows--)
        try_row(&k, &t);
    table_close(&t);
    kit_close(&k);
}

Test(plan_modes, random_rows_mean_what_they_were_made_from, .timeout = 7200)
{
    uint64_t want = kit_asked("WALFERRY_ROWS", ROWS), seed = kit_asked("WALFERRY_SEED", 1);
    unsigned per_table = want > 100000 ? 200 : 10;

    state ^= seed * UINT64_C(0x2545f4914f6cdd1d);
    list_leaves();
    wf_log_setup(WF_LOG_ERROR, false, NULL); /* what is refused is counted here */
    for (unsigned round = 0; rows < want; round++)
        try_table(round, per_table);
    fprintf(stderr,
            "plan_modes: seed %llu, %llu rows, %llu values, %llu of them refused, %llu "
            "columns left out, 0 mismatches\n",
            (unsigned long long)seed, (unsigned long long)rows, (unsigned long long)values,
            (unsigned long long)refused, (unsigned long long)absent);
    for (unsigned i = 0; i < nleaves; i++)
        cr_expect_eq(tried[i], 31, "%s was not in a table of each profile", leaves[i].name);
    cr_expect_gt(refused, 0);
    cr_expect_gt(absent, 0);
}
