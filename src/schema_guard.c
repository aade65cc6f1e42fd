#include "schema_guard.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

#define DEPTH_MAX 64
#define PATH_MAX_LEN 200
#define DIFF_MAX 2000

/* One of the two schemas; named types are found by their full names. */
struct side {
    json_t *root;
    json_t *named;      /* full name to {"node", "ns"} */
    json_t *namespaces; /* storage of those that come out of a dotted name */
};

struct walk {
    struct side before, after;
    struct wf_buf *out;
    bool all;  /* list every difference, not only the first change of meaning */
    bool stop; /* a change of meaning was found */
    unsigned depth;
    char path[PATH_MAX_LEN];
};

/* A type without its nullability. */
struct view {
    const json_t *node; /* the object with its properties, or NULL */
    const char *base;   /* "int", "record", "union"; NULL = none of Avro's */
    const char *name;   /* simple name of a record, enum or fixed */
    const char *ns;     /* of what stands inside */
    const json_t *type; /* as it stands, without null */
    bool nullable, reference;
};

static const char *text_of(const json_t *j, const char *key)
{
    return json_string_value(json_object_get(j, key));
}

/* ---- reading ---- */

static bool is_named(const char *type)
{
    return type && (!strcmp(type, "record") || !strcmp(type, "error") || !strcmp(type, "enum") ||
                    !strcmp(type, "fixed"));
}

/* The namespace inside a named type. NULL: memory is out. */
static const char *inner_namespace(struct side *s, const json_t *j, const char *ns)
{
    const char *name = text_of(j, "name"), *own = text_of(j, "namespace");
    const char *dot = name ? strrchr(name, '.') : NULL;
    json_t *kept;

    if (!dot)
        return own ? own : ns;
    kept = json_stringn(name, (size_t)(dot - name));
    json_array_append_new(s->namespaces, kept);
    return kept ? json_string_value(kept) : NULL;
}

static void full_name(char *out, size_t size, const char *name, const char *ns)
{
    if (strchr(name, '.') || !*ns)
        snprintf(out, size, "%s", name);
    else
        snprintf(out, size, "%s.%s", ns, name);
}

/* Enter the named types below @j. Return: false when it is nested too deep, or memory is out. */
static bool collect(struct side *s, json_t *j, const char *ns, unsigned depth)
{
    const char *type = text_of(j, "type");
    char full[1024];
    json_t *part;
    size_t i;

    if (depth > DEPTH_MAX)
        return false;
    if (json_is_array(j)) {
        json_array_foreach(j, i, part)
        {
            if (!collect(s, part, ns, depth + 1))
                return false;
        }
        return true;
    }
    if (!json_is_object(j))
        return true;
    if (is_named(type) && text_of(j, "name")) {
        ns = inner_namespace(s, j, ns);
        if (!ns)
            return false;
        full_name(full, sizeof(full), text_of(j, "name"), ns);
        if (json_object_set_new(s->named, full, json_pack("{s:O, s:s}", "node", j, "ns", ns)) < 0)
            return false;
        json_array_foreach(json_object_get(j, "fields"), i, part)
        {
            if (!collect(s, json_object_get(part, "type"), ns, depth + 1))
                return false;
        }
        return true;
    }
    return (type || collect(s, json_object_get(j, "type"), ns, depth + 1)) &&
           collect(s, json_object_get(j, "items"), ns, depth + 1) &&
           collect(s, json_object_get(j, "values"), ns, depth + 1);
}

static void side_deinit(struct side *s)
{
    json_decref(s->named);
    json_decref(s->namespaces);
    json_decref(s->root);
}

static bool side_init(struct side *s, const char *text)
{
    s->root = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    s->named = json_object();
    s->namespaces = json_array();
    if (s->root && s->named && s->namespaces && collect(s, s->root, "", 0))
        return true;
    side_deinit(s);
    *s = (struct side){0};
    return false;
}

/* The one branch beside null, or the union itself. */
static const json_t *without_null(const json_t *j, bool *nullable)
{
    const json_t *part, *other = NULL;
    size_t i, n = 0;

    *nullable = false;
    if (!json_is_array(j))
        return j;
    json_array_foreach(j, i, part)
    {
        const char *name = json_string_value(part);

        if (name && !strcmp(name, "null")) {
            *nullable = true;
        } else {
            other = part;
            n++;
        }
    }
    return n == 1 ? other : j;
}

static struct view look(const struct side *s, const json_t *type, const char *ns)
{
    struct view v = {.ns = ns};
    char full[1024];
    const json_t *found;
    const char *word, *defined;

    v.type = without_null(type, &v.nullable);
    if (json_is_array(v.type)) {
        v.base = "union";
        return v;
    }
    word = json_string_value(v.type);
    if (!word && json_is_object(v.type)) {
        v.node = v.type;
        word = text_of(v.type, "type");
        if (!word)
            return look(s, json_object_get(v.type, "type"), ns);
    }
    v.base = word;
    if (!word)
        return v;
    defined = is_named(word) ? text_of(v.node, "name") : NULL;
    if (defined && text_of(v.node, "namespace"))
        ns = text_of(v.node, "namespace");
    full_name(full, sizeof(full), defined ? defined : word, ns);
    found = json_object_get(s->named, full);
    if (!found)
        found = json_object_get(s->named, word);
    if (!found)
        return v;
    v.reference = !defined;
    v.node = json_object_get(found, "node");
    v.ns = text_of(found, "ns");
    v.base = text_of(v.node, "type");
    v.name = text_of(v.node, "name");
    if (v.name && strrchr(v.name, '.'))
        v.name = strrchr(v.name, '.') + 1;
    return v;
}

/* ---- meaning ---- */

/* Names that stand for the same unit may take each other's place. */
static const struct {
    const char *name, *unit;
} units[] = {
    {"date", "days"},
    {"io.debezium.time.Date", "days"},
    {"org.apache.kafka.connect.data.Date", "days"},
    {"time-millis", "time in milliseconds"},
    {"io.debezium.time.Time", "time in milliseconds"},
    {"org.apache.kafka.connect.data.Time", "time in milliseconds"},
    {"time-micros", "time in microseconds"},
    {"io.debezium.time.MicroTime", "time in microseconds"},
    {"io.debezium.time.NanoTime", "time in nanoseconds"},
    {"timestamp-millis", "timestamp in milliseconds"},
    {"local-timestamp-millis", "timestamp in milliseconds"},
    {"io.debezium.time.Timestamp", "timestamp in milliseconds"},
    {"org.apache.kafka.connect.data.Timestamp", "timestamp in milliseconds"},
    {"timestamp-micros", "timestamp in microseconds"},
    {"local-timestamp-micros", "timestamp in microseconds"},
    {"io.debezium.time.MicroTimestamp", "timestamp in microseconds"},
    {"timestamp-nanos", "timestamp in nanoseconds"},
    {"local-timestamp-nanos", "timestamp in nanoseconds"},
    {"io.debezium.time.NanoTimestamp", "timestamp in nanoseconds"},
    {"decimal", "decimal"},
    {"org.apache.kafka.connect.data.Decimal", "decimal"},
    {"uuid", "uuid"},
    {"io.debezium.data.Uuid", "uuid"},
};

static const char *unit_of_name(const char *name)
{
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (!strcmp(units[i].name, name))
            return units[i].unit;
    return name;
}

/* "" = the bare type. A record's connect.name holds the topic; its own name is compared instead. */
static const char *unit_of(const struct view *v)
{
    const char *name = text_of(v->node, "connect.name");

    if (!v->base || is_named(v->base))
        return "";
    if (!name)
        name = text_of(v->node, "logicalType");
    return name ? unit_of_name(name) : "";
}

static bool is_local(const char *logical)
{
    return strncmp(logical, "local-", 6) == 0;
}

/* With or without time zone, where both schemas say it. */
static bool zone_differs(const struct view *a, const struct view *b)
{
    const char *x = text_of(a->node, "logicalType"), *y = text_of(b->node, "logicalType");

    return x && y && strstr(x, "timestamp") && strstr(y, "timestamp") && is_local(x) != is_local(y);
}

static json_int_t scale_of(const struct view *v)
{
    return json_integer_value(json_object_get(v->node, "scale"));
}

static bool same_word(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static bool widens(const char *a, const char *b)
{
    return a && b &&
           ((!strcmp(a, "int") && !strcmp(b, "long")) ||
            (!strcmp(a, "float") && !strcmp(b, "double")));
}

/* ---- telling ---- */

static void describe(const struct view *v, char *out, size_t size)
{
    const char *unit = unit_of(v), *logical = text_of(v->node, "logicalType");

    if (v->name)
        snprintf(out, size, "%s %s", v->base, v->name);
    else if (!strcmp(unit, "decimal"))
        snprintf(out, size, "decimal of scale %lld", (long long)scale_of(v));
    else if (*unit)
        snprintf(out, size, "%s (%s%s)", v->base, unit,
                 logical && is_local(logical) ? ", local" : "");
    else
        snprintf(out, size, "%s", v->base ? v->base : "nothing");
}

__attribute__((format(printf, 3, 4))) static void note(struct walk *w, bool meaning,
                                                       const char *fmt, ...)
{
    char text[500];
    va_list args;

    if (w->stop || (!w->all && !meaning))
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (w->out->len)
        wf_buf_str(w->out, ", ");
    wf_buf_str(w->out, text);
    w->stop = w->out->failed || !w->all;
}

static void note_change(struct walk *w, const struct view *a, const struct view *b)
{
    char before[200], after[200];

    describe(a, before, sizeof(before));
    describe(b, after, sizeof(after));
    note(w, true, "%s: %s becomes %s", *w->path ? w->path : "the schema", before, after);
}

/* ---- comparing ---- */

static void compare(struct walk *w, const json_t *a, const char *ns_a, const json_t *b,
                    const char *ns_b);

static const json_t *field_named(const struct view *record, const char *name)
{
    const json_t *field;
    size_t i;

    json_array_foreach(json_object_get(record->node, "fields"), i, field)
    {
        if (same_word(text_of(field, "name"), name))
            return field;
    }
    return NULL;
}

/* Records around a row: their fields are no columns. */
static bool is_frame(const char *name)
{
    return name && (!strcmp(name, "Envelope") || !strcmp(name, "Source") || !strcmp(name, "block"));
}

static struct view look_field(const struct side *s, const json_t *field, const char *ns)
{
    return look(s, json_object_get(field, "type"), ns);
}

static bool same_type(const struct view *a, const struct view *b)
{
    return same_word(a->base, b->base) && same_word(a->name, b->name) &&
           !strcmp(unit_of(a), unit_of(b)) && scale_of(a) == scale_of(b) && !zone_differs(a, b);
}

/* A field that is gone, and a new one of its type: who reads both schemas sees two columns that
 * are null in turn. The text holds nothing that could tell it from DROP and ADD in one step. */
static void find_rename(struct walk *w, const struct view *a, const struct view *b,
                        const json_t *gone)
{
    struct view old = look_field(&w->before, gone, a->ns), new;
    const json_t *field;
    char type[200];
    size_t i;

    json_array_foreach(json_object_get(b->node, "fields"), i, field)
    {
        const char *name = text_of(field, "name");

        if (!name || field_named(a, name))
            continue;
        new = look_field(&w->after, field, b->ns);
        if (!same_type(&old, &new))
            continue;
        describe(&old, type, sizeof(type));
        note(w, true, "%s is gone and %s is new, both %s: a rename", text_of(gone, "name"), name,
             type);
        return;
    }
}

static void compare_field(struct walk *w, const json_t *old, const struct view *a,
                          const json_t *new, const struct view *b)
{
    size_t len = strlen(w->path);
    const char *name = text_of(old, "name");

    if (!is_frame(a->name)) /* a column goes by its own name */
        snprintf(w->path + len, sizeof(w->path) - len, "%s%s", len ? "." : "", name);
    compare(w, json_object_get(old, "type"), a->ns, json_object_get(new, "type"), b->ns);
    w->path[len] = '\0';
}

static void compare_records(struct walk *w, const struct view *a, const struct view *b)
{
    const json_t *field;
    size_t i;

    json_array_foreach(json_object_get(a->node, "fields"), i, field)
    {
        const char *name = text_of(field, "name");
        const json_t *other = name ? field_named(b, name) : NULL;

        if (other) {
            compare_field(w, field, a, other, b);
        } else if (name) {
            if (!is_frame(a->name))
                find_rename(w, a, b, field);
            note(w, false, "%s is gone", name);
        }
    }
    json_array_foreach(json_object_get(b->node, "fields"), i, field)
    {
        const char *name = text_of(field, "name");

        if (name && !field_named(a, name))
            note(w, false, "%s is new", name);
    }
}

static void compare_unions(struct walk *w, const struct view *a, const struct view *b)
{
    size_t n = json_array_size(a->type);

    if (n != json_array_size(b->type)) {
        note(w, true, "%s: a union gets other branches", *w->path ? w->path : "the schema");
        return;
    }
    for (size_t i = 0; i < n; i++)
        compare(w, json_array_get(a->type, i), a->ns, json_array_get(b->type, i), b->ns);
}

static void compare_inside(struct walk *w, const struct view *a, const struct view *b)
{
    if (!strcmp(a->base, "record") || !strcmp(a->base, "error"))
        compare_records(w, a, b);
    else if (!strcmp(a->base, "union"))
        compare_unions(w, a, b);
    else if (!strcmp(a->base, "array"))
        compare(w, json_object_get(a->node, "items"), a->ns, json_object_get(b->node, "items"),
                b->ns);
    else if (!strcmp(a->base, "map"))
        compare(w, json_object_get(a->node, "values"), a->ns, json_object_get(b->node, "values"),
                b->ns);
    else if (!strcmp(a->base, "fixed") && json_integer_value(json_object_get(a->node, "size")) !=
                                              json_integer_value(json_object_get(b->node, "size")))
        note(w, true, "%s: a fixed gets another size", w->path);
}

static void compare(struct walk *w, const json_t *old, const char *ns_a, const json_t *new,
                    const char *ns_b)
{
    struct view a = look(&w->before, old, ns_a), b = look(&w->after, new, ns_b);

    if (w->stop)
        return;
    if (a.nullable != b.nullable)
        note(w, false, "%s becomes %s", *w->path ? w->path : "the schema",
             b.nullable ? "nullable" : "required");
    if (!a.base || !same_word(a.base, b.base) || !same_word(a.name, b.name)) {
        if (!widens(a.base, b.base) || strcmp(unit_of(&a), unit_of(&b)) != 0) {
            note_change(w, &a, &b);
            return;
        }
        note(w, false, "%s: %s becomes %s", w->path, a.base, b.base);
        return;
    }
    if (strcmp(unit_of(&a), unit_of(&b)) != 0 || zone_differs(&a, &b) ||
        (!strcmp(unit_of(&a), "decimal") && scale_of(&a) != scale_of(&b))) {
        note_change(w, &a, &b);
        return;
    }
    if ((a.reference && b.reference) || w->depth > DEPTH_MAX) /* compared where it is defined */
        return;
    w->depth++;
    compare_inside(w, &a, &b);
    w->depth--;
}

static const char *profile_of(const json_t *root)
{
    const char *profile = text_of(root, "walferry.profile");

    return profile ? profile : "with Debezium's envelope";
}

static enum wf_rc refuse(struct wf_err *err, const char *what)
{
    return wf_err_set(err, WF_REJECT, "semantic_change", "%s", what);
}

/* Both sides are there. */
static void walk(struct walk *w)
{
    if (strcmp(profile_of(w->before.root), profile_of(w->after.root)) != 0)
        note(w, true, "profile %s becomes profile %s", profile_of(w->before.root),
             profile_of(w->after.root));
    compare(w, w->before.root, "", w->after.root, "");
}

enum wf_rc wf_guard_check(const char *before, const char *after, bool key, struct wf_err *err)
{
    struct wf_buf out;
    struct walk w = {.out = &out, .all = key};
    enum wf_rc rc = WF_OK;

    wf_buf_init(&out, DIFF_MAX);
    if (!side_init(&w.before, before) || !side_init(&w.after, after)) {
        rc = refuse(err, "the schema that the subject has cannot be read");
    } else if (!key || !json_equal(w.before.root, w.after.root)) {
        walk(&w);
        wf_buf_byte(&out, '\0');
        if (key)
            rc = wf_err_set(err, WF_REJECT, "semantic_change", "the key changes: %s",
                            out.len > 1 ? (char *)out.data : "names or properties");
        else if (w.stop)
            rc = refuse(err, (char *)out.data);
    }
    side_deinit(&w.before);
    side_deinit(&w.after);
    wf_buf_deinit(&out);
    return rc;
}

void wf_guard_diff(const char *before, const char *after, struct wf_buf *out)
{
    struct walk w = {.out = out, .all = true};

    if (side_init(&w.before, before) && side_init(&w.after, after))
        walk(&w);
    side_deinit(&w.before);
    side_deinit(&w.after);
}

bool wf_guard_same(const char *a, const char *b)
{
    json_t *x, *y;
    bool same;

    if (strcmp(a, b) == 0)
        return true;
    x = json_loads(a, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    y = json_loads(b, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    same = x && y && json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

bool wf_guard_record_name(const char *text, struct wf_buf *out)
{
    json_t *root = json_loads(text, JSON_ALLOW_NUL, NULL);
    const char *name = text_of(root, "name"), *ns = text_of(root, "namespace");

    if (name && ns && *ns && !strchr(name, '.'))
        wf_buf_printf(out, "%s.%s", ns, name);
    else if (name)
        wf_buf_str(out, name);
    json_decref(root);
    return name && !out->failed;
}
