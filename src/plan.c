#include "plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "avro_put.h"
#include "event_schema.h"
#include "log.h"
#include "names.h"
#include "pattern.h"
#include "profile.h"
#include "select.h"
#include "type_tree.h"
#include "types_conv.h"

#define VALUE_MAX (1u << 20) /* constants of one column: placeholder, default */

static void set_nullable(struct wf_plan_col *pc, bool nullable)
{
    pc->nullable = nullable;
    pc->value_branch = pc->dflt ? 0 : 2;
    pc->null_branch = pc->dflt ? 2 : 0;
}

/* Take over a buffer's content. Return: false when memory is out. */
static bool keep_bytes(struct wf_plan_bytes *out, struct wf_buf *b)
{
    out->len = b->len;
    out->data = malloc(b->len ? b->len : 1);
    if (out->data && b->len)
        memcpy(out->data, b->data, b->len);
    wf_buf_reset(b);
    return out->data != NULL;
}

/* The catalog's word on a column counts only while it speaks of the same type: the relation in the
 * WAL is older than the live catalog. A domain cannot be told apart from another one. */
static bool catalog_fits(const struct wf_relcol *rc, const struct wf_catalog_col *cc)
{
    return cc->found && (cc->typtype == 'd' || cc->base_oid == rc->type_oid);
}

/* "int4[]", "addr"; "_addr" is how pg_type calls an array. NULL: memory is out. */
static char *text_type_name(const struct wf_relcol *rc, const struct wf_catalog_col *cc)
{
    char *out = NULL;
    int n;

    if (cc && cc->elem_oid && cc->elem_name)
        n = asprintf(&out, "%s[]", cc->elem_name);
    else if (cc && cc->base_name)
        n = asprintf(&out, "%s", cc->base_name);
    else if (rc->type_name && rc->type_name[0] == '_')
        n = asprintf(&out, "%s[]", rc->type_name + 1);
    else if (rc->type_name)
        n = asprintf(&out, "%s", rc->type_name);
    else
        n = asprintf(&out, "oid %u", rc->type_oid);
    return n < 0 ? NULL : out;
}

/* The type's name as Debezium tells it: a domain by its own, serials by theirs. NULL: as it is. */
static const char *source_type(const struct wf_catalog_col *cc)
{
    if (!cc)
        return NULL;
    if (cc->typtype == 'd')
        return cc->type_name;
    if (cc->identity || !cc->dflt || strncmp(cc->dflt, "nextval(", 8) != 0)
        return NULL;
    switch (cc->base_oid) {
    case 20:
        return "bigserial";
    case 21:
        return "smallserial";
    case 23:
        return "serial";
    default:
        return NULL;
    }
}

/* What an array or composite is made of. Return: false when memory is out. */
static bool add_parts(struct wf_plan_col *pc, const struct wf_catalog_col *cc,
                      struct wf_type_in *in)
{
    bool shaped = cc && cc->base_typtype && strchr("crm", cc->base_typtype);

    in->kind = (char)(shaped ? cc->base_typtype : 'b');
    if (!cc || !cc->tree)
        return true;
    pc->tree = wf_type_tree_new(cc->tree);
    if (!pc->tree)
        return false;
    in->kind = pc->tree->kind;
    in->schema = pc->tree->schema;
    in->sub = pc->tree->sub;
    in->nsub = pc->tree->nsub;
    return true;
}

static bool resolve_type(struct wf_plan_col *pc, const struct wf_relcol *rc,
                         const struct wf_catalog_col *cc, const struct wf_type_modes *modes,
                         bool propagate, bool binary)
{
    enum wf_resolved resolved;
    struct wf_type_in in = {.modes = modes,
                            .oid = cc ? cc->base_oid : rc->type_oid,
                            .typmod = rc->typmod,
                            .name = cc ? cc->base_name : rc->type_name,
                            .trust_name = !cc,
                            .field_name = pc->name,
                            .propagate = propagate,
                            .source_type = source_type(cc)};

    if (cc && cc->typtype == 'd' && rc->typmod < 0)
        in.typmod = cc->base_typmod;
    pc->pg_type = text_type_name(rc, cc);
    in.text_name = pc->pg_type;
    if (cc && cc->base_typtype == 'e' && cc->enum_labels) {
        pc->labels = strdup(cc->enum_labels);
        in.enum_labels = pc->labels;
        if (!pc->labels)
            return false;
    }
    if (!add_parts(pc, cc, &in))
        return false;
    if (binary)
        pc->binary = wf_binary_new(&in);
    resolved = wf_type_resolve(&pc->type, &in);
    pc->as_text = resolved == WF_RESOLVED_TEXT;
    pc->omit = resolved == WF_RESOLVED_OMIT;
    pc->lossy = resolved == WF_RESOLVED_LOSSY;
    if (modes->raw_text)
        wf_type_check_utf8(&pc->type);
    return pc->pg_type && resolved != WF_RESOLVED_MEMORY;
}

/* Default, fill and placeholder. @scratch: two empty buffers. Return: false = memory is out. */
static bool compile_constants(struct wf_plan_col *pc, const char *expr, struct wf_buf scratch[2])
{
    struct wf_buf *avro = &scratch[0], *json = &scratch[1];

    wf_buf_reset(json);
    if (expr && wf_type_default(&pc->type, expr, avro, json)) {
        pc->dflt = strdup((char *)json->data);
        if (!pc->dflt)
            return false;
    } else {
        wf_buf_reset(avro);
        wf_type_put_zero(&pc->type, avro);
    }
    if (avro->failed || !keep_bytes(&pc->fill, avro))
        return false;
    return !wf_type_put_toast(&pc->type, avro) || keep_bytes(&pc->toast, avro);
}

/* What a column needs besides its relation; scratch: two empty buffers. */
struct compiler {
    const struct wf_relation *rel;
    const struct wf_catalog *cat;
    const struct wf_format_conf *conf;
    const struct wf_source_conf *source; /* or NULL */
    const struct wf_profile_rules *rules;
    struct wf_type_modes modes;
    struct wf_buf scratch[2];
};

/* Whether the schema is to tell the column's PostgreSQL type. */
static bool tells_type(const struct compiler *k, const char *column)
{
    char name[WF_SELECT_NAME];

    snprintf(name, sizeof(name), "%s.%s.%s", k->rel->schema, k->rel->name, column);
    return wf_patterns_match(&k->conf->source_type, name);
}

/* Return: false when memory is out. */
static bool select_col(struct wf_plan_col *pc, struct compiler *k)
{
    char name[WF_SELECT_NAME];
    struct wf_err err;

    if (!k->source)
        return true;
    pc->choice = wf_select_column(k->source, k->rel->schema, k->rel->name, pc->name);
    pc->omit |= pc->choice != WF_COLUMN_IN;
    snprintf(name, sizeof(name), "%s.%s.%s", k->rel->schema, k->rel->name, pc->name);
    if (wf_mask_new(k->source, name, &pc->mask, &err) != WF_OK)
        return false;
    if (!pc->mask)
        return true;
    wf_mask_apply(pc->mask, &pc->type);
    if (k->modes.raw_text && pc->mask->kind == WF_MASK_TRUNCATE) /* the others show none of it */
        wf_type_check_utf8(&pc->type);
    return true;
}

static bool name_col(struct wf_plan_col *pc, const char *name, struct compiler *k)
{
    struct wf_buf *b = &k->scratch[0];

    pc->name = strdup(name);
    wf_name_avro(b, name, true, (enum wf_name_mode)k->conf->name_mode);
    wf_buf_byte(b, '\0');
    pc->field = b->failed ? NULL : strdup((char *)b->data);
    wf_buf_reset(b);
    return pc->name && pc->field;
}

static bool compile_col(struct wf_plan_col *pc, struct compiler *k, uint16_t i)
{
    const struct wf_relcol *rc = &k->rel->cols[i];
    const struct wf_catalog_col *cc =
        i < k->cat->ncols && catalog_fits(rc, &k->cat->cols[i]) ? &k->cat->cols[i] : NULL;
    /* columns of a primary key or identity index are NOT NULL by PostgreSQL's rules */
    bool not_null =
        (cc && cc->not_null) || (rc->key && (k->rel->identity == 'd' || k->rel->identity == 'i'));
    bool shows_default = cc && cc->typtype != 'd' && !cc->identity;

    pc->identity = rc->key;
    if (!name_col(pc, rc->name, k) ||
        !resolve_type(pc, rc, cc, &k->modes, tells_type(k, rc->name),
                      k->source && k->source->binary) ||
        !select_col(pc, k) ||
        !compile_constants(pc, shows_default && !pc->mask ? cc->dflt : NULL, k->scratch))
        return false;
    pc->filled = not_null && pc->type.optional;
    set_nullable(pc, !not_null || pc->type.optional);
    return true;
}

/* The source block and schemas hold them as strings. */
static enum wf_rc check_names(const struct compiler *k, struct wf_err *err)
{
    const struct wf_relation *rel = k->rel;
    bool good =
        wf_is_utf8(rel->schema, strlen(rel->schema)) && wf_is_utf8(rel->name, strlen(rel->name));

    for (uint16_t i = 0; i < rel->ncols; i++)
        good &= wf_is_utf8(rel->cols[i].name, strlen(rel->cols[i].name));
    if (good)
        return WF_OK;
    return wf_err_set(err, WF_REJECT, "name_encoding",
                      "table with oid %u: its name or a column's is no UTF-8 (the database is "
                      "SQL_ASCII); hint: rename it, or leave it out with source.exclude_tables",
                      rel->oid);
}

/* `_` and four digits of a hash of PostgreSQL's name. */
static bool suffix_field(struct wf_plan_col *pc)
{
    uint32_t hash = wf_name_hash(pc->name);
    char *field;

    if (asprintf(&field, "%s_%04x", pc->field, (hash >> 16 ^ hash) & 0xffff) < 0)
        return false;
    free(pc->field);
    pc->field = field;
    return true;
}

static const struct wf_plan_col *same_field(const struct wf_plan *plan, uint16_t col)
{
    for (uint16_t k = 0; k < col; k++)
        if (!plan->cols[k].omit && !strcmp(plan->cols[col].field, plan->cols[k].field))
            return &plan->cols[k];
    return NULL;
}

/* Names of profile row's own fields. */
static bool is_own_field(const struct compiler *k, const char *field)
{
    static const char *const own[] = {"__op", "__lsn", "__ts_ms", "__deleted", "__unavailable"};

    for (size_t i = 0; k->rules->shape == WF_SHAPE_ROW && i < sizeof(own) / sizeof(own[0]); i++)
        if (!strcmp(own[i], field))
            return true;
    return false;
}

/* Two columns with one Avro name cannot share a record. */
static enum wf_rc check_fields(struct wf_plan *plan, const struct compiler *k, struct wf_err *err)
{
    for (uint16_t i = 0; i < plan->ncols; i++) {
        struct wf_plan_col *pc = &plan->cols[i];
        const struct wf_plan_col *other = pc->omit ? NULL : same_field(plan, i);

        if (other && k->conf->collision_mode == WF_COLLISION_SUFFIX) {
            if (!suffix_field(pc))
                return wf_err_set(err, WF_FATAL, "memory", "out of memory");
            other = same_field(plan, i);
        }
        if (other)
            return wf_err_set(err, WF_REJECT, "column_names",
                              "table %s.%s: columns \"%s\" and \"%s\" both become field %s; hint: "
                              "format.on_collision: suffix, format.name_adjustment_mode: "
                              "avro_unicode, source.exclude_columns, or rename one of them",
                              k->rel->schema, k->rel->name, other->name, pc->name, pc->field);
        if (!pc->omit && is_own_field(k, pc->field))
            return wf_err_set(err, WF_REJECT, "column_names",
                              "table %s.%s: column \"%s\" has the name of a field that profile row "
                              "adds; hint: rename it, source.exclude_columns, or another profile",
                              k->rel->schema, k->rel->name, pc->name);
    }
    return WF_OK;
}

/* A column that its form would cut, where nobody allowed that. */
static enum wf_rc check_lossy(const struct wf_plan *plan, const struct wf_relation *rel,
                              struct wf_err *err)
{
    for (uint16_t i = 0; i < plan->ncols; i++)
        if (plan->cols[i].lossy && !plan->cols[i].omit && !plan->cols[i].mask)
            return wf_err_set(err, WF_REJECT, "lossy_column",
                              "table %s.%s: column \"%s\" of type %s has microseconds and its Avro "
                              "type milliseconds; hint: format.truncate: allow, or another "
                              "format.time_precision_mode or timestamptz_handling_mode",
                              rel->schema, rel->name, plan->cols[i].name, plan->cols[i].pg_type);
    return WF_OK;
}

/* Whether every key column comes with an old tuple, so that a delete can be keyed. A primary key
 * (identity d) that names other columns than the relation is one the live catalog has already and
 * the stream not yet. */
static bool key_fits(const struct wf_relation *rel, const struct wf_catalog *cat)
{
    uint16_t flagged = 0;

    if (rel->identity != 'd' && rel->identity != 'i')
        return true;
    for (uint16_t i = 0; i < rel->ncols; i++)
        flagged = (uint16_t)(flagged + rel->cols[i].key);
    if (!flagged)
        return true;
    for (uint16_t i = 0; i < cat->nkey; i++)
        if (cat->key[i] >= rel->ncols || !rel->cols[cat->key[i]].key)
            return false;
    return rel->identity == 'd' ? cat->nkey == flagged : cat->nkey > 0;
}

static bool is_key_col(const struct wf_plan *plan, uint16_t col)
{
    for (uint16_t i = 0; i < plan->nkey; i++)
        if (plan->key[i] == col)
            return true;
    return false;
}

static int find_col(const struct wf_plan *plan, const char *name, size_t len)
{
    for (uint16_t i = 0; i < plan->ncols; i++)
        if (!strncmp(plan->cols[i].name, name, len) && !plan->cols[i].name[len])
            return i;
    return -1;
}

/* The columns that format.keys names, in its order. */
static enum wf_rc configured_key(struct wf_plan *plan, const struct compiler *k, const char *names,
                                 struct wf_err *err)
{
    while (*names) {
        size_t len;
        int col;

        names += strspn(names, ", ");
        len = strcspn(names, ",");
        while (len && names[len - 1] == ' ')
            len--;
        col = len ? find_col(plan, names, len) : 0;
        if (col < 0)
            return wf_err_set(err, WF_REJECT, "key_column",
                              "table %s.%s: format.keys names column \"%.*s\", which it does not "
                              "have; hint: correct format.keys",
                              k->rel->schema, k->rel->name, (int)len, names);
        if (len && !is_key_col(plan, (uint16_t)col))
            plan->key[plan->nkey++] = (uint16_t)col;
        names += strcspn(names, ",");
    }
    return WF_OK;
}

static enum wf_rc compile_key(struct wf_plan *plan, const struct compiler *k, struct wf_err *err)
{
    const struct wf_relation *rel = k->rel;
    char table[WF_SELECT_NAME];
    const char *names;

    snprintf(table, sizeof(table), "%s.%s", rel->schema, rel->name);
    names = wf_patterns_value(&k->conf->keys, table);
    if (names)
        return configured_key(plan, k, names, err);
    if (key_fits(rel, k->cat)) {
        for (uint16_t i = 0; i < k->cat->nkey; i++)
            if (k->cat->key[i] < rel->ncols)
                plan->key[plan->nkey++] = k->cat->key[i];
        return WF_OK;
    }
    for (uint16_t i = 0; i < rel->ncols; i++)
        if (rel->cols[i].key)
            plan->key[plan->nkey++] = i;
    if (rel->identity == 'i')
        wf_log(WF_LOG_WARN, "key_from_identity", NULL,
               "table %s.%s: events are keyed by the replica identity index, since deletes do not "
               "carry the primary key",
               rel->schema, rel->name);
    return WF_OK;
}

/* A key's column is always there, and as it is: a hash may hide it, since equal stays equal. */
static enum wf_rc check_key(struct wf_plan *plan, const struct compiler *k, struct wf_err *err)
{
    for (uint16_t i = 0; i < plan->nkey; i++) {
        struct wf_plan_col *pc = &plan->cols[plan->key[i]];
        const char *fault = NULL, *hint = "";

        if (pc->choice == WF_COLUMN_EXCLUDED) {
            fault = "is part of the key and cannot be left out";
            hint = "change source.exclude_columns, or choose another key with format.keys";
        } else if (pc->mask && pc->mask->kind != WF_MASK_HASH) {
            fault = "is part of the key: masked so, different rows would get one key";
            hint = "mask it with hash, or choose another key with format.keys";
        } else if (pc->omit && pc->choice == WF_COLUMN_IN) {
            fault = "is part of the key and has no Avro form of its own";
            hint = "format.include_unknown_datatypes: on";
        }
        if (fault)
            return wf_err_set(err, WF_REJECT, "key_column", "column %s.%s.%s %s; hint: %s",
                              k->rel->schema, k->rel->name, pc->name, fault, hint);
        pc->omit = false;
    }
    return WF_OK;
}

/* Profiles of their own require the key's columns and nothing else: then every ordinary change of a
 * table is compatible both ways (registry.md, section 8). */
static void set_required(struct wf_plan *plan, const struct wf_profile_rules *rules)
{
    for (uint16_t i = 0; i < plan->ncols; i++) {
        struct wf_plan_col *pc = &plan->cols[i];

        pc->null_as_default = rules->null_as_default && pc->dflt;
        if (rules->required_by_catalog || pc->omit)
            continue;
        free(pc->dflt);
        pc->dflt = NULL;
        set_nullable(pc, pc->nullable || !is_key_col(plan, i));
    }
}

static void leave_out(struct wf_plan *plan)
{
    for (uint16_t i = 0; i < plan->ncols; i++) {
        struct wf_plan_col *pc = &plan->cols[i];

        if (!pc->omit)
            continue;
        pc->type.conv = wf_conv_nothing;
        set_nullable(pc, false);
    }
}

/* Return: false when memory is out. */
static bool compile_cols(struct wf_plan *plan, struct compiler *k, const struct wf_plan_env *env)
{
    const struct wf_relation *rel = k->rel;
    size_t room = strlen(rel->schema) + strlen(rel->name) + (size_t)2 * WF_LONG_ROOM;
    unsigned char *p;

    plan->name_mode = (uint8_t)k->conf->name_mode;
    plan->toast_mode = (uint8_t)wf_profile_toast(k->conf);
    plan->mark_unsent = plan->toast_mode == WF_TOAST_MARK;
    plan->failed_to_null = k->conf->failure_mode == WF_FAILURE_WARN;
    plan->unsent = calloc(rel->ncols ? rel->ncols : 1, sizeof(*plan->unsent));
    plan->topic = strdup(env->topic);
    plan->names = strdup(env->names);
    plan->key = calloc(rel->ncols ? rel->ncols : 1, sizeof(*plan->key));
    plan->table.data = malloc(room);
    if (!plan->topic || !plan->names || !plan->key || !plan->unsent || !plan->table.data)
        return false;
    p = wf_put_bytes(plan->table.data, rel->schema, strlen(rel->schema));
    p = wf_put_bytes(p, rel->name, strlen(rel->name));
    plan->table.len = (size_t)(p - plan->table.data);
    for (uint16_t i = 0; i < rel->ncols; i++)
        if (!compile_col(&plan->cols[i], k, i))
            return false;
    return true;
}

static enum wf_rc compile(struct wf_plan *plan, struct compiler *k, const struct wf_plan_env *env,
                          struct wf_err *err)
{
    enum wf_rc rc;

    if (!compile_cols(plan, k, env))
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    rc = check_names(k, err);
    if (rc == WF_OK)
        rc = compile_key(plan, k, err);
    if (rc == WF_OK)
        rc = check_key(plan, k, err);
    if (rc == WF_OK)
        rc = check_fields(plan, k, err);
    if (rc == WF_OK) {
        set_required(plan, k->rules);
        leave_out(plan);
    }
    return rc;
}

enum wf_rc wf_plan_new(struct wf_plan **out, const struct wf_relation *rel,
                       const struct wf_catalog *cat, const struct wf_plan_env *env,
                       struct wf_err *err)
{
    struct wf_plan *plan = calloc(1, sizeof(*plan) + rel->ncols * sizeof(plan->cols[0]));
    struct compiler k = {.rel = rel,
                         .cat = cat,
                         .conf = env->conf,
                         .source = env->source,
                         .rules = wf_profile_rules(env->conf),
                         .modes = wf_profile_modes(env->conf)};
    enum wf_rc rc;

    if (!plan)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    k.modes.raw_text = env->raw_text;
    plan->ncols = rel->ncols;
    wf_buf_init(&plan->text, UINT32_MAX);
    wf_buf_init(&k.scratch[0], VALUE_MAX);
    wf_buf_init(&k.scratch[1], VALUE_MAX);
    rc = compile(plan, &k, env, err);
    wf_buf_deinit(&k.scratch[0]);
    wf_buf_deinit(&k.scratch[1]);
    if (rc == WF_OK)
        rc = check_lossy(plan, rel, err);
    if (rc == WF_OK)
        *out = plan;
    else
        wf_plan_free(plan);
    return rc;
}

void wf_plan_free(void *arg)
{
    struct wf_plan *plan = arg;

    if (!plan)
        return;
    for (uint16_t i = 0; i < plan->ncols; i++) {
        struct wf_plan_col *pc = &plan->cols[i];

        wf_type_free(&pc->type);
        wf_mask_free(pc->mask);
        free(pc->toast.data);
        free(pc->fill.data);
        free(pc->name);
        free(pc->field);
        free(pc->dflt);
        free(pc->pg_type);
        free(pc->labels);
        free(pc->tree);
        wf_binary_free(pc->binary);
    }
    wf_buf_deinit(&plan->text);
    free(plan->table.data);
    free(plan->topic);
    free(plan->names);
    free(plan->key);
    free(plan->unsent);
    free(plan);
}

static struct wf_schema_field field_of(const struct wf_plan_col *pc)
{
    return (struct wf_schema_field){
        .name = pc->field, .type = &pc->type.avro, .nullable = pc->nullable, .dflt = pc->dflt};
}

static void put_value_schema(const struct wf_plan *plan, const struct wf_profile_rules *rules,
                             const char *ns, const struct wf_schema_field *fields, size_t n,
                             struct wf_buf *out)
{
    static void (*const writers[])(struct wf_buf *, const char *, const struct wf_schema_field *,
                                   size_t, const struct wf_schema_shape *) = {
        [WF_SHAPE_DEBEZIUM] = wf_schema_envelope,
        [WF_SHAPE_NATIVE] = wf_schema_native,
        [WF_SHAPE_ROW] = wf_schema_row,
    };
    struct wf_schema_shape shape = {.ts_ns = rules->ts_ns, .mark = plan->mark_unsent};

    writers[rules->shape](out, ns, fields, n, &shape);
}

/* @fields: room for the plan's columns. Return: false when memory is out. */
static bool put_key_schema(const struct wf_plan *plan, const char *ns,
                           struct wf_schema_field *fields, struct wf_buf *out)
{
    struct wf_avro_type *types;

    if (!plan->nkey)
        return true;
    types = calloc(plan->nkey, sizeof(*types));
    if (!types)
        return false;
    for (uint16_t i = 0; i < plan->nkey; i++) {
        const struct wf_plan_col *pc = &plan->cols[plan->key[i]];

        types[i] = wf_type_in_key(&pc->type);
        fields[i] = field_of(pc);
        fields[i].type = &types[i];
    }
    wf_schema_key(out, ns, fields, plan->nkey);
    wf_buf_byte(out, '\0');
    free(types);
    return true;
}

void wf_plan_schemas(const struct wf_plan *plan, const struct wf_profile_rules *rules,
                     struct wf_buf *key, struct wf_buf *value)
{
    struct wf_schema_field *fields = calloc((size_t)plan->ncols + 1, sizeof(*fields));
    struct wf_buf ns;
    size_t n = 0;

    wf_buf_init(&ns, VALUE_MAX);
    wf_name_avro(&ns, plan->names, false, (enum wf_name_mode)plan->name_mode);
    wf_buf_byte(&ns, '\0');
    if (ns.failed) {
        value->failed = true;
    } else if (!fields || !put_key_schema(plan, (char *)ns.data, fields, key)) {
        wf_buf_starve(value);
    } else {
        for (uint16_t i = 0; i < plan->ncols; i++)
            if (!plan->cols[i].omit)
                fields[n++] = field_of(&plan->cols[i]);
        put_value_schema(plan, rules, (char *)ns.data, fields, n, value);
        wf_buf_byte(value, '\0');
    }
    wf_buf_deinit(&ns);
    free(fields);
}

void wf_plan_relax(struct wf_plan_col *pc)
{
    set_nullable(pc, true);
}
