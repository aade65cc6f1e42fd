#include "plan.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "avro_put.h"
#include "log.h"
#include "names.h"
#include "profile.h"
#include "type_tree.h"

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

/* What an array or composite is made of. Return: false when memory is out. */
static bool add_parts(struct wf_plan_col *pc, const struct wf_catalog_col *cc,
                      struct wf_type_in *in)
{
    in->kind = cc && strchr("crm", cc->base_typtype) && cc->base_typtype ? cc->base_typtype : 'b';
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

static bool resolve_type(struct wf_plan_col *pc, const struct wf_relcol *rc,
                         const struct wf_catalog_col *cc, const struct wf_type_modes *modes,
                         bool propagate)
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
    resolved = wf_type_resolve(&pc->type, &in);
    pc->as_text = resolved == WF_RESOLVED_TEXT;
    pc->omit = resolved == WF_RESOLVED_OMIT;
    pc->lossy = resolved == WF_RESOLVED_LOSSY;
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

/* Whether a pattern over schema.table.column fits. */
static bool column_matches(const struct wf_list *patterns, const struct wf_relation *rel,
                           const char *column)
{
    char name[208]; /* three names of up to 63 bytes */

    snprintf(name, sizeof(name), "%s.%s.%s", rel->schema, rel->name, column);
    for (size_t i = 0; i < patterns->n; i++)
        if (!fnmatch(patterns->items[i], name, 0))
            return true;
    return false;
}

static bool compile_col(struct wf_plan_col *pc, const struct wf_relation *rel, uint16_t i,
                        const struct wf_catalog *cat, const struct wf_type_modes *modes,
                        const struct wf_list *tells_type, struct wf_buf scratch[2])
{
    const struct wf_relcol *rc = &rel->cols[i];
    const struct wf_catalog_col *cc =
        i < cat->ncols && catalog_fits(rc, &cat->cols[i]) ? &cat->cols[i] : NULL;
    /* columns of a primary key or identity index are NOT NULL by PostgreSQL's rules */
    bool not_null =
        (cc && cc->not_null) || (rc->key && (rel->identity == 'd' || rel->identity == 'i'));
    bool shows_default = cc && cc->typtype != 'd' && !cc->identity;

    pc->identity = rc->key;
    pc->name = strdup(rc->name);
    wf_name_avro(&scratch[0], rc->name, true);
    wf_buf_byte(&scratch[0], '\0');
    pc->field = scratch[0].failed ? NULL : strdup((char *)scratch[0].data);
    wf_buf_reset(&scratch[0]);
    if (!pc->name || !pc->field ||
        !resolve_type(pc, rc, cc, modes, column_matches(tells_type, rel, rc->name)) ||
        !compile_constants(pc, shows_default ? cc->dflt : NULL, scratch))
        return false;
    pc->filled = not_null && pc->type.optional;
    set_nullable(pc, !not_null || pc->type.optional);
    return true;
}

/* Two columns with one Avro name cannot share a record. */
static enum wf_rc check_fields(const struct wf_plan *plan, const struct wf_relation *rel,
                               struct wf_err *err)
{
    for (uint16_t i = 0; i < plan->ncols; i++)
        for (uint16_t k = 0; k < i; k++)
            if (!strcmp(plan->cols[i].field, plan->cols[k].field))
                return wf_err_set(err, WF_REJECT, "column_names",
                                  "table %s.%s: columns \"%s\" and \"%s\" both become field %s; "
                                  "hint: rename one of them",
                                  rel->schema, rel->name, plan->cols[k].name, plan->cols[i].name,
                                  plan->cols[i].field);
    return WF_OK;
}

/* A column that its form would cut, where nobody allowed that. */
static enum wf_rc check_lossy(const struct wf_plan *plan, const struct wf_relation *rel,
                              struct wf_err *err)
{
    for (uint16_t i = 0; i < plan->ncols; i++)
        if (plan->cols[i].lossy)
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

static void compile_key(struct wf_plan *plan, const struct wf_relation *rel,
                        const struct wf_catalog *cat)
{
    if (key_fits(rel, cat)) {
        for (uint16_t i = 0; i < cat->nkey; i++)
            if (cat->key[i] < rel->ncols)
                plan->key[plan->nkey++] = cat->key[i];
        return;
    }
    for (uint16_t i = 0; i < rel->ncols; i++)
        if (rel->cols[i].key)
            plan->key[plan->nkey++] = i;
    if (rel->identity == 'i')
        wf_log(WF_LOG_WARN, "key_from_identity", NULL,
               "table %s.%s: events are keyed by the replica identity index, since deletes do not "
               "carry the primary key",
               rel->schema, rel->name);
}

static bool compile(struct wf_plan *plan, const struct wf_relation *rel,
                    const struct wf_catalog *cat, const struct wf_format_conf *conf,
                    const char *topic, struct wf_buf scratch[2])
{
    struct wf_type_modes modes = wf_profile_modes(conf);
    size_t room = strlen(rel->schema) + strlen(rel->name) + (size_t)2 * WF_LONG_ROOM;

    plan->topic = strdup(topic);
    plan->key = calloc(rel->ncols ? rel->ncols : 1, sizeof(*plan->key));
    plan->table.data = malloc(room);
    if (!plan->topic || !plan->key || !plan->table.data)
        return false;
    plan->table.len =
        (size_t)(wf_put_bytes(wf_put_bytes(plan->table.data, rel->schema, strlen(rel->schema)),
                              rel->name, strlen(rel->name)) -
                 plan->table.data);
    for (uint16_t i = 0; i < rel->ncols; i++)
        if (!compile_col(&plan->cols[i], rel, i, cat, &modes, &conf->source_type, scratch))
            return false;
    compile_key(plan, rel, cat);
    return true;
}

enum wf_rc wf_plan_new(struct wf_plan **out, const struct wf_relation *rel,
                       const struct wf_catalog *cat, const struct wf_format_conf *conf,
                       const char *topic, struct wf_err *err)
{
    struct wf_plan *plan = calloc(1, sizeof(*plan) + rel->ncols * sizeof(plan->cols[0]));
    struct wf_buf scratch[2];
    enum wf_rc rc;
    bool ok;

    if (!plan)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    plan->ncols = rel->ncols;
    wf_buf_init(&scratch[0], VALUE_MAX);
    wf_buf_init(&scratch[1], VALUE_MAX);
    ok = compile(plan, rel, cat, conf, topic, scratch);
    wf_buf_deinit(&scratch[0]);
    wf_buf_deinit(&scratch[1]);
    rc = ok ? check_fields(plan, rel, err) : wf_err_set(err, WF_FATAL, "memory", "out of memory");
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
        free(pc->toast.data);
        free(pc->fill.data);
        free(pc->name);
        free(pc->field);
        free(pc->dflt);
        free(pc->pg_type);
        free(pc->labels);
        free(pc->tree);
    }
    free(plan->table.data);
    free(plan->topic);
    free(plan->key);
    free(plan);
}

static struct wf_schema_field field_of(const struct wf_plan_col *pc)
{
    return (struct wf_schema_field){
        .name = pc->field, .type = &pc->type.avro, .nullable = pc->nullable, .dflt = pc->dflt};
}

void wf_plan_schemas(const struct wf_plan *plan, struct wf_buf *key, struct wf_buf *value)
{
    struct wf_schema_field *fields = calloc((size_t)plan->ncols + 1, sizeof(*fields));
    struct wf_buf ns;

    wf_buf_init(&ns, VALUE_MAX);
    wf_name_avro(&ns, plan->topic, false);
    wf_buf_byte(&ns, '\0');
    if (!fields || ns.failed) {
        value->failed = true;
    } else {
        for (uint16_t i = 0; i < plan->nkey; i++)
            fields[i] = field_of(&plan->cols[plan->key[i]]);
        if (plan->nkey) {
            wf_schema_key(key, (char *)ns.data, fields, plan->nkey);
            wf_buf_byte(key, '\0');
        }
        for (uint16_t i = 0; i < plan->ncols; i++)
            fields[i] = field_of(&plan->cols[i]);
        wf_schema_envelope(value, (char *)ns.data, fields, plan->ncols);
        wf_buf_byte(value, '\0');
    }
    wf_buf_deinit(&ns);
    free(fields);
}

void wf_plan_relax(struct wf_plan_col *pc)
{
    set_nullable(pc, true);
}
