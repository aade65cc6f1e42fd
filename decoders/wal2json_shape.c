#include "wal2json_shape.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096
#define MAX_TABLES 262144 /* of one connection */
#define FIRST_USER_OID 10000

/* A column on its way into a shape. */
struct candidate {
    struct wf_w2j_text name, type, type_name;
    uint32_t type_oid;
    int32_t typmod;
    uint64_t dropped_lsn;
    uint16_t attnum;
    bool varlena, key, pk, not_null;
};

struct wf_w2j_tables {
    struct wf_w2j_table *buckets[BUCKETS];
    uint32_t n;
    struct candidate cand[WF_MAX_COLUMNS];
    uint16_t ncand;
};

/* ---- texts ------------------------------------------------------------------------------- */

static struct wf_w2j_text text_of(const char *s)
{
    return (struct wf_w2j_text){s, s ? strlen(s) : 0};
}

static bool same(struct wf_w2j_text a, struct wf_w2j_text b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.s, b.s, a.n) == 0);
}

static bool is(struct wf_w2j_text a, const char *b)
{
    return same(a, text_of(b));
}

static bool begins(struct wf_w2j_text text, const char *with)
{
    size_t n = strlen(with);

    return text.n >= n && memcmp(text.s, with, n) == 0;
}

/* ---- type modifiers ---------------------------------------------------------------------- */

/* The numbers of "(10,2)" after @word: how many, 0 when there is no such bracket. */
static int modifiers(struct wf_w2j_text type, const char *word, int32_t out[2])
{
    size_t i = strlen(word);
    int n = 0;

    if (!begins(type, word) || i >= type.n || type.s[i] != '(')
        return 0;
    out[0] = out[1] = 0;
    for (i++; i < type.n && type.s[i] != ')'; n++) {
        bool negative = type.s[i] == '-';
        int32_t v = 0;

        i += negative;
        for (; i < type.n && type.s[i] >= '0' && type.s[i] <= '9'; i++) {
            if (v > 100000000)
                return 0;
            v = v * 10 + (type.s[i] - '0');
        }
        if (n == 2 || i >= type.n || (type.s[i] != ',' && type.s[i] != ')'))
            return 0;
        out[n] = negative ? -v : v;
        i += type.s[i] == ',';
    }
    return i < type.n ? n : 0;
}

/* PostgreSQL, utils/timestamp.h: the fields in the upper half, digits in the lower. */
static int32_t interval_typmod(struct wf_w2j_text type)
{
    static const struct {
        const char *text;
        int32_t fields;
    } ranges[] = {
        {"interval year to month", 1 << 2 | 1 << 1},
        {"interval day to hour", 1 << 3 | 1 << 10},
        {"interval day to minute", 1 << 3 | 1 << 10 | 1 << 11},
        {"interval day to second", 1 << 3 | 1 << 10 | 1 << 11 | 1 << 12},
        {"interval hour to minute", 1 << 10 | 1 << 11},
        {"interval hour to second", 1 << 10 | 1 << 11 | 1 << 12},
        {"interval minute to second", 1 << 11 | 1 << 12},
        {"interval year", 1 << 2},
        {"interval month", 1 << 1},
        {"interval day", 1 << 3},
        {"interval hour", 1 << 10},
        {"interval minute", 1 << 11},
        {"interval second", 1 << 12},
        {"interval", 0x7fff},
    };
    int32_t digits[2];

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (modifiers(type, ranges[i].text, digits) == 1)
            return ranges[i].fields << 16 | (digits[0] & 0xffff);
        if (is(type, ranges[i].text))
            return ranges[i].fields == 0x7fff ? -1 : ranges[i].fields << 16 | 0xffff;
    }
    return -1;
}

int32_t wf_w2j_typmod(struct wf_w2j_text type)
{
    static const struct {
        const char *word;
        int32_t more; /* VARHDRSZ, where the type has it */
    } sized[] = {{"character varying", 4}, {"character", 4}, {"bit varying", 0}, {"bit", 0},
                 {"timestamp", 0},         {"time", 0}};
    int32_t v[2];

    while (type.n > 2 && memcmp(type.s + type.n - 2, "[]", 2) == 0)
        type.n -= 2;
    if (begins(type, "interval"))
        return interval_typmod(type);
    if (modifiers(type, "numeric", v) == 2)
        return ((int32_t)((uint32_t)v[0] << 16) | (v[1] & 0x7ff)) + 4;
    for (size_t i = 0; i < sizeof(sized) / sizeof(sized[0]); i++) {
        if (modifiers(type, sized[i].word, v) == 1)
            return v[0] + sized[i].more;
    }
    return -1;
}

/* ---- finding tables ---------------------------------------------------------------------- */

struct wf_w2j_tables *wf_w2j_tables_new(void)
{
    return calloc(1, sizeof(struct wf_w2j_tables));
}

static void free_relation(struct wf_relation *rel)
{
    if (rel && rel->plan_free)
        rel->plan_free(rel->plan);
    free(rel);
}

void wf_w2j_tables_clear(struct wf_w2j_tables *s)
{
    for (size_t i = 0; i < BUCKETS && s->n; i++) {
        while (s->buckets[i]) {
            struct wf_w2j_table *t = s->buckets[i];

            s->buckets[i] = t->next;
            free_relation(t->rel);
            free(t->live);
            free(t);
            s->n--;
        }
    }
}

void wf_w2j_tables_free(struct wf_w2j_tables *s)
{
    if (s)
        wf_w2j_tables_clear(s);
    free(s);
}

/* FNV-1a over the names and what stands between them. */
static uint32_t hash_text(uint32_t h, struct wf_w2j_text text)
{
    for (size_t i = 0; i < text.n; i++)
        h = (h ^ (unsigned char)text.s[i]) * UINT32_C(16777619);
    return (h ^ 0xff) * UINT32_C(16777619);
}

static char *copy_text(char *to, struct wf_w2j_text text)
{
    if (text.n)
        memcpy(to, text.s, text.n);
    to[text.n] = '\0';
    return to + text.n + 1;
}

struct wf_w2j_table *wf_w2j_table(struct wf_w2j_tables *s, struct wf_w2j_text schema,
                                  struct wf_w2j_text name)
{
    uint32_t hash = hash_text(hash_text(UINT32_C(2166136261), schema), name);
    struct wf_w2j_table **bucket = &s->buckets[hash % BUCKETS], *t;
    char *text;

    for (t = *bucket; t; t = t->next) {
        if (t->hash == hash && is(name, t->name.name) && is(schema, t->name.schema))
            return t;
    }
    t = s->n < MAX_TABLES ? calloc(1, sizeof(*t) + schema.n + name.n + 2) : NULL;
    if (!t)
        return NULL;
    text = (char *)(t + 1);
    t->hash = hash;
    t->name.schema = text;
    text = copy_text(text, schema);
    t->name.name = text;
    copy_text(text, name);
    t->next = *bucket;
    *bucket = t;
    s->n++;
    return t;
}

/* ---- fitting ----------------------------------------------------------------------------- */

static bool same_column(const struct wf_w2j_table *t, uint16_t i, const struct wf_w2j_field *f)
{
    const struct wf_relcol *col = &t->rel->cols[i];

    return col->type_oid == f->type_oid && t->cols[i].not_null == f->not_null &&
           is(f->name, col->name) && same(f->type, t->cols[i].type);
}

static bool is_gone(const struct wf_w2j_table *t, uint16_t i, uint64_t final_lsn)
{
    return !t->cols[i].varlena || (t->cols[i].dropped_lsn && final_lsn > t->cols[i].dropped_lsn);
}

/* "columns" over the shape, both in the order of attnum. */
static enum wf_w2j_fit fit_new(const struct wf_w2j_fitting *fit)
{
    const struct wf_w2j_table *t = fit->table;
    const struct wf_w2j_record *rec = fit->rec;
    struct wf_col *row = fit->new_row;
    uint16_t ncols = t->rel->ncols, i = 0;
    bool whole = rec->action == 'I', full = t->rel->identity == 'f', doubt = false;

    for (uint16_t k = 0; k <= rec->columns.n; k++) {
        const struct wf_w2j_field *f = k < rec->columns.n ? &rec->columns.at[k] : NULL;

        for (; i < ncols && (!f || t->cols[i].attnum < f->position); i++) {
            if (whole || is_gone(t, i, fit->final_lsn))
                return WF_W2J_DIFFERS;
            row[i] = (struct wf_col){.kind = WF_COL_UNCHANGED};
            doubt |= !full; /* under FULL the old row proves that the column is there */
        }
        if (!f)
            break;
        if (i == ncols || t->cols[i].attnum != f->position || !same_column(t, i, f))
            return WF_W2J_DIFFERS;
        fit->put(fit->arg, &row[i++], f);
    }
    return doubt ? WF_W2J_DOUBT : WF_W2J_FITS;
}

/* "identity" over the columns of the replica identity. */
static bool fit_old(const struct wf_w2j_fitting *fit)
{
    const struct wf_relation *rel = fit->table->rel;
    const struct wf_w2j_record *rec = fit->rec;
    struct wf_col *row = fit->old_row;
    uint16_t k = 0;

    for (uint16_t i = 0; i < rel->ncols; i++) {
        row[i] = (struct wf_col){.kind = WF_COL_NULL};
        if (!rel->cols[i].key)
            continue;
        if (k == rec->identity.n || !is(rec->identity.at[k].name, rel->cols[i].name) ||
            rec->identity.at[k].type_oid != rel->cols[i].type_oid)
            return false;
        fit->put(fit->arg, &row[i], &rec->identity.at[k++]);
    }
    return k == rec->identity.n;
}

static bool fit_pk(const struct wf_w2j_table *t, const struct wf_w2j_record *rec)
{
    uint16_t k = 0;

    for (uint16_t i = 0; i < t->rel->ncols; i++) {
        if (!t->cols[i].pk)
            continue;
        if (k == rec->pk.n || !is(rec->pk.at[k].name, t->rel->cols[i].name))
            return false;
        k++;
    }
    return k == rec->pk.n;
}

enum wf_w2j_fit wf_w2j_fit(const struct wf_w2j_fitting *f)
{
    char action = f->rec->action;

    if (!f->table->rel)
        return WF_W2J_DIFFERS;
    if (action == 'T')
        return WF_W2J_FITS;
    if (!fit_pk(f->table, f->rec) || (action != 'I' && !fit_old(f)))
        return WF_W2J_DIFFERS;
    return action == 'D' ? WF_W2J_FITS : fit_new(f);
}

/* ---- piecing together: where columns come from ------------------------------------------- */

static const struct wf_table_col *live_attnum(const struct wf_table *live, uint16_t attnum)
{
    for (uint16_t i = 0; live && i < live->ncols; i++) {
        if (live->cols[i].attnum == attnum)
            return &live->cols[i];
    }
    return NULL;
}

static const struct wf_table_col *live_name(const struct wf_table *live, struct wf_w2j_text name)
{
    for (uint16_t i = 0; live && i < live->ncols; i++) {
        if (is(name, live->cols[i].name))
            return &live->cols[i];
    }
    return NULL;
}

static int known_name(const struct wf_w2j_table *t, struct wf_w2j_text name)
{
    for (uint16_t i = 0; t->rel && i < t->rel->ncols; i++) {
        if (is(name, t->rel->cols[i].name))
            return i;
    }
    return -1;
}

static const struct wf_w2j_field *field_named(const struct wf_w2j_fields *fields,
                                              struct wf_w2j_text name)
{
    for (uint16_t i = 0; i < fields->n; i++) {
        if (same(fields->at[i].name, name))
            return &fields->at[i];
    }
    return NULL;
}

/* Built-in types of a fixed width: pg_type.typlen > 0. */
static bool has_fixed_width(uint32_t oid)
{
    static const uint32_t fixed[] = {16,  18,   19,   20,   21,   23,   24,   26,   27,   28,
                                     29,  600,  601,  603,  628,  700,  701,  718,  774,  790,
                                     829, 1082, 1083, 1114, 1184, 1186, 1266, 2950, 3220, 5069};

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        if (fixed[i] == oid)
            return true;
    }
    return false;
}

/* The last identifier of a type's text, without its quotes and modifier. */
static struct wf_w2j_text bare_type(struct wf_w2j_text type)
{
    const char *dot = memrchr(type.s, '.', type.n), *bracket;

    if (dot)
        type = (struct wf_w2j_text){dot + 1, (size_t)(type.s + type.n - dot - 1)};
    bracket = memchr(type.s, '(', type.n);
    if (bracket && bracket > type.s)
        type.n = (size_t)(bracket - type.s);
    if (type.n > 2 && type.s[0] == '"' && type.s[type.n - 1] == '"')
        type = (struct wf_w2j_text){type.s + 1, type.n - 2};
    return type;
}

static struct candidate from_field(const struct wf_w2j_table *t, const struct wf_w2j_field *f,
                                   uint16_t attnum)
{
    const struct wf_table_col *live = live_attnum(t->live, attnum);
    bool user = f->type_oid >= FIRST_USER_OID;
    struct candidate c = {.name = f->name,
                          .type = f->type,
                          .type_oid = f->type_oid,
                          .typmod = user ? -1 : wf_w2j_typmod(f->type),
                          .attnum = attnum,
                          .varlena = !has_fixed_width(f->type_oid),
                          .not_null = f->not_null};

    if (user)
        c.type_name = bare_type(f->type);
    if (live && live->type_oid == f->type_oid) {
        c.varlena = live->varlena;
        if (user) {
            c.typmod = live->typmod;
            c.type_name = text_of(live->type_name);
        }
    }
    return c;
}

static struct candidate from_known(const struct wf_w2j_table *t, uint16_t i)
{
    const struct wf_relcol *col = &t->rel->cols[i];
    const struct wf_w2j_col *more = &t->cols[i];

    return (struct candidate){.name = text_of(col->name),
                              .type = more->type,
                              .type_name = text_of(col->type_name),
                              .type_oid = col->type_oid,
                              .typmod = col->typmod,
                              .attnum = more->attnum,
                              .varlena = more->varlena,
                              .dropped_lsn = more->dropped_lsn,
                              .not_null = more->not_null};
}

/* The messages print a type that is one quoted name without its quotes. */
static struct wf_w2j_text printed_type(const char *type)
{
    struct wf_w2j_text text = text_of(type);

    if (text.n > 2 && text.s[0] == '"' &&
        memchr(text.s + 1, '"', text.n - 1) == text.s + text.n - 1)
        text = (struct wf_w2j_text){text.s + 1, text.n - 2};
    return text;
}

static struct candidate from_live(const struct wf_table_col *col)
{
    return (struct candidate){.name = text_of(col->name),
                              .type = printed_type(col->type),
                              .not_null = col->not_null,
                              .pk = col->pk,
                              .type_name = text_of(col->type_name),
                              .type_oid = col->type_oid,
                              .typmod = col->typmod,
                              .attnum = col->attnum,
                              .varlena = col->varlena};
}

static void add(struct wf_w2j_tables *s, struct candidate c)
{
    if (s->ncand < WF_MAX_COLUMNS)
        s->cand[s->ncand++] = c;
}

/* ---- piecing together: which columns ----------------------------------------------------- */

/* Whether the catalog calls a column dropped that was there once. */
static bool is_dropped(const struct wf_table *live, uint16_t attnum)
{
    return live && live->oid && attnum <= live->natts && !live_attnum(live, attnum);
}

/* A column that only the catalog knows: one of variable length may be there, unsent. */
static bool is_presumed(const struct wf_w2j_table *t, const struct wf_table_col *col)
{
    uint16_t last = t->rel && t->rel->ncols ? t->cols[t->rel->ncols - 1].attnum : 0;

    return col->varlena && (!t->rel || col->attnum > last);
}

static bool has_name(const struct wf_w2j_record *rec, struct wf_w2j_text name)
{
    return field_named(&rec->columns, name) != NULL;
}

/* An UPDATE without identity FULL leaves TOASTed values out, so a column that is missing is either
 * unchanged or gone. Gone: of a fixed width; or called dropped by the catalog as of a position
 * before this transaction's end. In doubt it stays: an event may say "unchanged" about a column
 * that is no more, it must not leave one out that is there. */
static void merge_update(struct wf_w2j_tables *s, const struct wf_w2j_table *t,
                         const struct wf_w2j_record *rec, uint64_t final_lsn)
{
    uint16_t r = 0, k = 0, ncols = t->rel ? t->rel->ncols : 0;

    for (uint16_t attnum = 1; attnum <= WF_MAX_COLUMNS; attnum++) {
        const struct wf_table_col *live;

        while (k < ncols && t->cols[k].attnum < attnum)
            k++;
        if (r < rec->columns.n && rec->columns.at[r].position == attnum) {
            add(s, from_field(t, &rec->columns.at[r++], attnum));
            continue;
        }
        live = live_attnum(t->live, attnum);
        if (k < ncols && t->cols[k].attnum == attnum) {
            if (!is_gone(t, k, final_lsn) && !has_name(rec, text_of(t->rel->cols[k].name)))
                add(s, from_known(t, k));
        } else if (live && is_presumed(t, live) && !has_name(rec, text_of(live->name))) {
            add(s, from_live(live));
        }
    }
}

/* All of a list without positions, which has every column of the table. */
static void take_list(struct wf_w2j_tables *s, const struct wf_w2j_table *t,
                      const struct wf_w2j_record *rec)
{
    uint16_t last = 0;

    for (uint16_t i = 0; i < rec->identity.n; i++) {
        const struct wf_w2j_field *f = &rec->identity.at[i];
        const struct wf_w2j_field *sent = field_named(&rec->columns, f->name);
        const struct wf_table_col *live = live_name(t->live, f->name);
        int known = known_name(t, f->name);
        uint16_t attnum = sent         ? sent->position
                          : known >= 0 ? t->cols[known].attnum
                          : live       ? live->attnum
                                       : 0;
        struct candidate c;

        if (attnum <= last)
            attnum = (uint16_t)(last + 1);
        last = attnum;
        c = from_field(t, sent ? sent : f, attnum);
        if (!sent && known >= 0)
            c.not_null = t->cols[known].not_null;
        add(s, c);
    }
}

/* A DELETE names the identity's columns only. */
static void take_delete(struct wf_w2j_tables *s, const struct wf_w2j_table *t,
                        const struct wf_w2j_record *rec)
{
    bool known = t->rel != NULL;

    for (uint16_t i = 0; i < rec->identity.n && known; i++)
        known = known_name(t, rec->identity.at[i].name) >= 0;
    for (uint16_t i = 0; known && i < t->rel->ncols; i++)
        add(s, from_known(t, i));
    for (uint16_t i = 0; !known && t->live && i < t->live->ncols; i++)
        add(s, from_live(&t->live->cols[i]));
    for (uint16_t i = 0; i < s->ncand; i++) { /* the types as they were */
        const struct wf_w2j_field *f = field_named(&rec->identity, s->cand[i].name);

        if (f && f->type_oid != s->cand[i].type_oid)
            s->cand[i] = from_field(t, f, s->cand[i].attnum);
    }
}

/* Key columns that the catalog does not know: renamed or dropped since. */
static void add_missing(struct wf_w2j_tables *s, const struct wf_w2j_table *t,
                        const struct wf_w2j_fields *fields)
{
    for (uint16_t i = 0; i < fields->n; i++) {
        uint16_t last = s->ncand ? s->cand[s->ncand - 1].attnum : 0, k = 0;

        while (k < s->ncand && !same(s->cand[k].name, fields->at[i].name))
            k++;
        if (k == s->ncand)
            add(s, from_field(t, &fields->at[i], (uint16_t)(last + 1)));
    }
}

/* ---- piecing together: the identity ------------------------------------------------------- */

static bool equals_pk(const struct wf_w2j_record *rec)
{
    if (!rec->pk.n || rec->pk.n != rec->identity.n)
        return false;
    for (uint16_t i = 0; i < rec->pk.n; i++) {
        if (!same(rec->pk.at[i].name, rec->identity.at[i].name))
            return false;
    }
    return true;
}

/* Whether the identity's columns are those of the index that the catalog names. */
static bool equals_live_index(const struct wf_table *live, const struct wf_w2j_record *rec)
{
    uint16_t k = 0;

    if (!live || live->identity == 'f' || live->identity == 'n')
        return false;
    for (uint16_t i = 0; i < live->ncols; i++) {
        if (!live->cols[i].key)
            continue;
        if (k == rec->identity.n || !is(rec->identity.at[k].name, live->cols[i].name))
            return false;
        k++;
    }
    return k > 0 && k == rec->identity.n;
}

/* The message does not say the kind of its identity; under FULL it has every column. */
static bool is_full(const struct wf_w2j_table *t, const struct wf_w2j_record *rec)
{
    uint16_t others = t->rel ? t->rel->ncols : t->live ? t->live->ncols : 0;

    for (uint16_t i = 0; i < rec->columns.n; i++) {
        if (!field_named(&rec->identity, rec->columns.at[i].name))
            return false;
    }
    if (equals_pk(rec)) /* a table of nothing but its key, or others are TOASTed */
        return t->live && t->live->identity == 'f' && others <= rec->identity.n;
    return !equals_live_index(t->live, rec);
}

static char identity_of(const struct wf_w2j_table *t, const struct wf_w2j_record *rec, bool full)
{
    if (full)
        return 'f';
    if (rec->identity.present)
        return equals_pk(rec) ? 'd' : 'i';
    if (t->rel)
        return t->rel->identity;
    return (char)(t->live && t->live->oid ? t->live->identity : 'd');
}

static void mark_keys(struct wf_w2j_tables *s, const struct wf_w2j_table *t,
                      const struct wf_w2j_record *rec, char identity)
{
    for (uint16_t i = 0; i < s->ncand; i++) {
        struct candidate *c = &s->cand[i];
        const struct wf_table_col *live = live_name(t->live, c->name);
        int known = known_name(t, c->name);

        if (rec->pk.present)
            c->pk = field_named(&rec->pk, c->name) != NULL;
        if (identity == 'f')
            c->key = true;
        else if (rec->identity.present)
            c->key = field_named(&rec->identity, c->name) != NULL;
        else if (known >= 0)
            c->key = t->rel->cols[known].key;
        else
            c->key = live && t->live->identity != 'f' ? live->key : c->pk;
    }
}

/* ---- piecing together: the relation ------------------------------------------------------- */

static bool same_shape(const struct wf_w2j_tables *s, const struct wf_w2j_table *t, char identity)
{
    const struct wf_relation *rel = t->rel;

    if (!rel || rel->identity != identity || rel->ncols != s->ncand ||
        (t->live && rel->oid != t->live->oid))
        return false;
    for (uint16_t i = 0; i < rel->ncols; i++) {
        const struct candidate *c = &s->cand[i];
        const struct wf_relcol *col = &rel->cols[i];

        if (c->attnum != t->cols[i].attnum || c->type_oid != col->type_oid ||
            c->typmod != col->typmod || c->key != col->key || c->pk != t->cols[i].pk ||
            c->not_null != t->cols[i].not_null || c->varlena != t->cols[i].varlena ||
            !is(c->name, col->name) || !same(c->type, t->cols[i].type) ||
            !same(c->type_name, text_of(col->type_name)))
            return false;
    }
    return true;
}

static const char *keep(char **at, struct wf_w2j_text text)
{
    const char *kept = *at;

    *at = copy_text(*at, text);
    return kept;
}

static struct wf_relation *make_relation(const struct wf_w2j_tables *s,
                                         const struct wf_w2j_table *t, char identity,
                                         struct wf_w2j_col **cols)
{
    size_t bytes = strlen(t->name.schema) + strlen(t->name.name) + 2, n = s->ncand;
    struct wf_relation *rel;
    char *text;

    for (size_t i = 0; i < n; i++)
        bytes += s->cand[i].name.n + s->cand[i].type.n + s->cand[i].type_name.n + 3;
    rel = calloc(1, sizeof(*rel) + n * (sizeof(*rel->cols) + sizeof(**cols)) + bytes);
    if (!rel)
        return NULL;
    rel->cols = (struct wf_relcol *)(rel + 1);
    *cols = (struct wf_w2j_col *)(rel->cols + n);
    text = (char *)(*cols + n);
    rel->oid = t->live ? t->live->oid : 0;
    rel->version = t->rel ? t->rel->version + 1 : 1;
    rel->schema = keep(&text, text_of(t->name.schema));
    rel->name = keep(&text, text_of(t->name.name));
    rel->identity = identity;
    rel->ncols = (uint16_t)n;
    for (size_t i = 0; i < n; i++) {
        const struct candidate *c = &s->cand[i];

        rel->cols[i] = (struct wf_relcol){.name = keep(&text, c->name),
                                          .type_oid = c->type_oid,
                                          .typmod = c->typmod,
                                          .key = c->key};
        if (c->type_name.n)
            rel->cols[i].type_name = keep(&text, c->type_name);
        (*cols)[i] = (struct wf_w2j_col){.type = {keep(&text, c->type), c->type.n},
                                         .attnum = c->attnum,
                                         .varlena = c->varlena,
                                         .dropped_lsn = c->dropped_lsn,
                                         .pk = c->pk,
                                         .not_null = c->not_null};
    }
    return rel;
}

static void collect(struct wf_w2j_tables *s, const struct wf_w2j_table *t,
                    const struct wf_w2j_record *rec, uint64_t final_lsn, bool full)
{
    s->ncand = 0;
    if (rec->action == 'I') {
        for (uint16_t i = 0; i < rec->columns.n; i++)
            add(s, from_field(t, &rec->columns.at[i], rec->columns.at[i].position));
    } else if (full) {
        take_list(s, t, rec);
    } else if (rec->action == 'U') {
        merge_update(s, t, rec, final_lsn);
    } else if (rec->action == 'D') {
        take_delete(s, t, rec);
    } else {
        for (uint16_t i = 0; t->live && i < t->live->ncols; i++)
            add(s, from_live(&t->live->cols[i]));
    }
}

bool wf_w2j_reshape(struct wf_w2j_tables *s, struct wf_w2j_table *t,
                    const struct wf_w2j_record *rec, uint64_t final_lsn)
{
    struct wf_relation *rel;
    struct wf_w2j_col *cols = NULL;
    char identity;
    bool full;

    for (uint16_t i = 0; t->rel && i < t->rel->ncols; i++) {
        if (!t->cols[i].dropped_lsn && is_dropped(t->live, t->cols[i].attnum))
            t->cols[i].dropped_lsn = t->live->lsn;
    }
    full = rec->identity.present && is_full(t, rec);
    identity = identity_of(t, rec, full);
    collect(s, t, rec, final_lsn, full);
    add_missing(s, t, &rec->identity);
    add_missing(s, t, &rec->pk);
    mark_keys(s, t, rec, identity);
    if (same_shape(s, t, identity))
        return true;
    rel = make_relation(s, t, identity, &cols);
    if (!rel)
        return false;
    free_relation(t->rel);
    t->rel = rel;
    t->cols = cols;
    return true;
}
