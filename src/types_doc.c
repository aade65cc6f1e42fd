/* docs/types.md: the resolver run over the table, once per profile and mode. */
#include "config.h"
#include "profile.h"
#include "types_conv.h"

#define NUMERIC(p, s) (((p) << 16 | ((s) & 0x7ff)) + 4)

struct sample {
    const struct wf_type *row; /* NULL: enum or any other */
    int32_t typmod;
    const char *label; /* NULL: the row's name */
    const char *enum_labels;
};

/* Modifiers that change a form. */
static const struct {
    const char *type, *label;
    int32_t typmod;
} modified[] = {
    {"numeric", "numeric(10,2)", NUMERIC(10, 2)},
    {"numeric", "numeric(3,5)", NUMERIC(3, 5)},
    {"numeric", "numeric(5,-2)", NUMERIC(5, -2)},
    {"bit", "bit(8)", 8},
    {"varbit", "varbit(1)", 1},
    {"time", "time(3)", 3},
    {"timestamp", "timestamp(3)", 3},
    {"timestamptz", "timestamptz(3)", 3},
};

typedef void (*sample_fn)(struct wf_buf *out, const struct sample *s, const void *arg);

/* bit without a length is bit(1). */
static void for_row(struct wf_buf *out, const struct wf_type *row, sample_fn fn, const void *arg)
{
    bool bit = !strcmp(row->name, "bit");

    fn(out, &(struct sample){.row = row, .typmod = bit ? 1 : -1}, arg);
    for (size_t i = 0; i < sizeof(modified) / sizeof(modified[0]); i++)
        if (!strcmp(modified[i].type, row->name))
            fn(out,
               &(struct sample){
                   .row = row, .typmod = modified[i].typmod, .label = modified[i].label},
               arg);
}

static void for_each(struct wf_buf *out, sample_fn fn, const void *arg)
{
    for (size_t i = 0; i < wf_ntypes; i++)
        for_row(out, &wf_types[i], fn, arg);
    fn(out, &(struct sample){.typmod = -1, .label = "enum", .enum_labels = "a,b"}, arg);
    fn(out, &(struct sample){.typmod = -1, .label = "any other"}, arg);
}

static enum wf_resolved resolve(struct wf_coltype *t, const struct sample *s,
                                const struct wf_type_modes *m)
{
    struct wf_type_in in = {.oid = s->row ? s->row->oid : 0,
                            .name = s->row ? s->row->name : "other",
                            .text_name = s->row ? s->row->name : "its name",
                            .typmod = s->typmod,
                            .enum_labels = s->enum_labels,
                            .modes = m};

    return wf_type_resolve(t, &in);
}

static const char *label_of(const struct sample *s)
{
    return s->label ? s->label : s->row->name;
}

static void put_form(struct wf_buf *out, const struct wf_coltype *t)
{
    const struct wf_avro_type *a = &t->avro;

    if (a->record != WF_RECORD_NONE)
        wf_buf_printf(out, "`%s`", wf_avro_record_name(a->record));
    else if (a->items)
        wf_buf_printf(out, "`%s` of `%s`", a->base, a->items->base);
    else
        wf_buf_printf(out, "`%s`", a->base);
    if (a->decimal)
        wf_buf_printf(out, a->precision ? " (%d,%d)" : " (64,%d)",
                      a->precision ? a->precision : a->scale, a->scale);
    wf_buf_printf(out, " | %s | %s | %s", a->connect_name ? a->connect_name : "",
                  a->logical ? a->logical : "", a->pg_type ? a->pg_type : "");
}

static const char *unchanged(const struct wf_coltype *t)
{
    switch (t->toast) {
    case WF_TOAST_FIXED:
        return "always sent";
    case WF_TOAST_NONE:
        return "refused";
    default:
        return "placeholder";
    }
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static bool same_form(const struct wf_coltype *a, const struct wf_coltype *b)
{
    return a->conv == b->conv && same_text(a->avro.connect_name, b->avro.connect_name) &&
           same_text(a->avro.connect_type, b->avro.connect_type) &&
           same_text(a->avro.logical, b->avro.logical) &&
           same_text(a->avro.pg_type, b->avro.pg_type) && a->avro.precision == b->avro.precision &&
           a->avro.scale == b->avro.scale;
}

/* A profile, and the one it is described against; or NULL. */
struct profiles {
    struct wf_type_modes m;
    const struct wf_type_modes *base;
};

static bool as_base(const struct sample *s, const struct profiles *p, const struct wf_coltype *t,
                    enum wf_resolved r)
{
    struct wf_coltype base;
    bool same;

    if (!p->base)
        return false;
    same = resolve(&base, s, p->base) == r && same_form(t, &base);
    wf_type_free(&base);
    return same;
}

static void profile_row(struct wf_buf *out, const struct sample *s, const void *arg)
{
    const struct profiles *p = arg;
    struct wf_coltype t;
    enum wf_resolved r = resolve(&t, s, &p->m);
    const char *note = !p->base && (!s->label || !s->row) && t.row->note ? t.row->note : "";

    if (r == WF_RESOLVED_LOSSY)
        note = "refused unless `truncate: allow`";
    if (as_base(s, p, &t, r)) {
        ; /* described there */
    } else if (r == WF_RESOLVED_OMIT) {
        wf_buf_printf(out, "| %s | left out |  |  |  |  |  |\n", label_of(s));
    } else {
        wf_buf_printf(out, "| %s | ", label_of(s));
        put_form(out, &t);
        wf_buf_printf(out, " | %s | %s |\n", unchanged(&t), note);
    }
    wf_type_free(&t);
}

static struct wf_type_modes modes_of(int profile)
{
    struct wf_format_conf conf = {.profile = profile, .money_digits = 2};

    return wf_profile_modes(&conf);
}

/* @base: the profile whose types are meant where a row is missing; -1 = all are shown */
static void put_profile(struct wf_buf *out, const char *name, int profile, int base,
                        const char *text)
{
    struct wf_type_modes base_modes = modes_of(base < 0 ? profile : base);
    struct profiles p = {.m = modes_of(profile), .base = base < 0 ? NULL : &base_modes};

    wf_buf_printf(out,
                  "\n## Profile `%s`\n\n%s\n\n"
                  "| PostgreSQL | Avro | connect.name | logicalType | walferry.pg.type | unchanged "
                  "| remarks |\n|---|---|---|---|---|---|---|\n",
                  name, text);
    for_each(out, profile_row, &p);
}

/* ---- modes ---- */

struct mode {
    const char *option, *value;
    size_t field; /* in struct wf_type_modes */
    int number;
};

#define MODE(o, v, f, n) {(o), (v), offsetof(struct wf_type_modes, f), (n)}

static const struct mode modes[] = {
    MODE("decimal_handling_mode", "double", decimal, WF_DECIMAL_DOUBLE),
    MODE("decimal_handling_mode", "string", decimal, WF_DECIMAL_STRING),
    MODE("time_precision_mode", "adaptive_time_microseconds", time, WF_TIME_ADAPTIVE_TIME_MICROS),
    MODE("time_precision_mode", "microseconds", time, WF_TIME_MICROS),
    MODE("time_precision_mode", "nanoseconds", time, WF_TIME_NANOS),
    MODE("time_precision_mode", "connect", time, WF_TIME_CONNECT),
    MODE("time_precision_mode", "isostring", time, WF_TIME_ISOSTRING),
    MODE("timestamptz_handling_mode", "timestamp_micros", zoned, WF_ZONED_TIMESTAMP_MICROS),
    MODE("interval_handling_mode", "string", interval, WF_INTERVAL_STRING),
    MODE("hstore_handling_mode", "map", hstore, WF_HSTORE_MAP),
    MODE("binary_handling_mode", "base64", binary, WF_BINARY_BASE64),
    MODE("binary_handling_mode", "base64-url-safe", binary, WF_BINARY_BASE64_URL),
    MODE("binary_handling_mode", "hex", binary, WF_BINARY_HEX),
};

/* The forms that a mode changes. */
static void mode_row(struct wf_buf *out, const struct sample *s, const void *arg)
{
    const struct mode *mode = arg;
    struct wf_type_modes m = wf_form_default_modes;
    struct wf_coltype plain, t;

    memcpy((char *)&m + mode->field, &mode->number, sizeof(mode->number));
    resolve(&plain, s, &wf_form_default_modes);
    resolve(&t, s, &m);
    if (!same_form(&t, &plain)) {
        wf_buf_printf(out, "| %s | %s | %s | ", mode->option, mode->value, label_of(s));
        put_form(out, &t);
        wf_buf_str(out, " |\n");
    }
    wf_type_free(&plain);
    wf_type_free(&t);
}

static void put_modes(struct wf_buf *out)
{
    wf_buf_str(
        out,
        "\n## Modes\n\n"
        "What an option of `format` changes in profile `debezium`; `debezium-strict` is the same "
        "without the logical types beside `io.debezium` names. Values are those of Debezium: "
        "`connect` cuts microseconds, `double` rounds; what does not fit is refused. With "
        "`string`, NaN and the infinities are `NAN`, `POSITIVE_INFINITY`, `NEGATIVE_INFINITY`. "
        "`isostring` writes `24:00:00Z`, `infinity` and `-infinity` as such.\n\n"
        "| option | value | PostgreSQL | Avro | connect.name | logicalType | walferry.pg.type |\n"
        "|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        for_each(out, mode_row, &modes[i]);
}

void wf_types_docs(struct wf_buf *out)
{
    wf_buf_str(
        out,
        "# PostgreSQL types in events\n\n"
        "Generated by running the resolver over the converter table (`src/types.c`); a test "
        "compares. One section for each profile, then what the modes change.\n\n"
        "Domains are resolved to their base type. A value an Avro type cannot hold stops the "
        "pipeline with table and column; nothing is rounded, wrapped or turned into null unless a "
        "mode says so. \"Unchanged\" says what an UPDATE shows for a TOASTed value it did not "
        "touch, when the table's replica identity is not FULL: the placeholder "
        "`" WF_TOAST_PLACEHOLDER "`, or a refusal; types of fixed width are never TOASTed. A "
        "decimal's precision is 64 where the type has none.\n");
    put_profile(out, "debezium", WF_PROFILE_DEBEZIUM, -1,
                "Debezium's types, with Avro's logical types beside them where they do not clash.");
    put_profile(out, "debezium-strict", WF_PROFILE_STRICT, WF_PROFILE_DEBEZIUM,
                "The schema text of Debezium to the byte. A negative scale is written as Debezium "
                "reads it, modulo 2048. `include_unknown_datatypes: on` shows what is left out "
                "as the bytes of its text. What differs from `debezium`:");
    put_profile(out, "native", WF_PROFILE_NATIVE, WF_PROFILE_DEBEZIUM,
                "Avro's logical types. NaN and infinities stand in floats and texts only; infinite "
                "dates and timestamps are refused. What differs from `debezium`:");
    put_profile(out, "connect", WF_PROFILE_CONNECT, WF_PROFILE_DEBEZIUM,
                "Kafka Connect's types, in milliseconds. Infinite dates and timestamps are "
                "refused. What differs from `debezium`:");
    wf_buf_str(out, "\n## Profile `row`\n\nThe types of `native`.\n");
    put_modes(out);
    wf_buf_str(
        out,
        "\n## Arrays and composites\n\n"
        "An array is an Avro `array` of its element's type, each element nullable, whatever the "
        "element is. Bounds that do not start at 1 are not carried. A value of more than one "
        "dimension is refused: `array_handling_mode: string` shows every array as the server's "
        "text. Unchanged arrays: the placeholder's characters as numbers (int4, int8, date), the "
        "placeholder as the one element (text, varchar, bpchar, json, jsonb), a UUID made of it "
        "(uuid); others are refused.\n\n"
        "A composite is an Avro record `walferry.composite.<schema>.<type>` with nullable fields; "
        "one with a name that had to be changed ends in a hash of it. Arrays and composites may be "
        "nested eight deep; what is deeper, or has two fields of one Avro name, is text.\n\n"
        "In `debezium-strict` composites are left out, as are the arrays Debezium has no form for: "
        "of money, name, xml, interval, varbit, tsvector, geometric types, vectors, domains and "
        "whatever is left out itself. The elements of an enum array are required there, and a bit "
        "array has Debezium's schema, that of a single `Bits`, which fits no value.\n");
}
