#include "types.h"

#include <stdlib.h>

#include "avro_put.h"
#include "config.h"
#include "types_conv.h"

#define NAMED(b, n) {.base = (b), .connect_name = (n)}
#define ANNOTATED(b, n, l) {.base = (b), .connect_name = (n), .logical = (l)}
#define ROOM_INT .room = WF_LONG_ROOM
#define ROOM_TEXT .room = WF_LONG_ROOM, .room_per_byte = 1, .toast = WF_TOAST_TEXT, .zero = ""
#define ROOM_SHAPE                                                                                 \
    .room = 256, .room_per_byte = 4, .refine = wf_refine_shape, .toast = WF_TOAST_NONE
#define SHAPE(r)                                                                                   \
    .avro = {.base = "record", .record = WF_RECORD_##r}, .conv = wf_conv_shape, ROOM_SHAPE
#define ROOM_VECTOR                                                                                \
    .room = 64, .room_per_byte = 5, .refine = wf_refine_pgvector, .toast = WF_TOAST_NONE
#define TEXT .avro = {.base = "string"}, .conv = wf_conv_text, ROOM_TEXT
#define EXTRA TEXT, .refine = wf_form_other, .extra = true

/* clang-format off */
const struct wf_type wf_types[] = {
    {.oid = 16, .name = "bool", .avro = {.base = "boolean"}, .conv = wf_conv_bool, ROOM_INT,
     .zero = "f", .dflt = WF_DFLT_LITERAL, .call = "f"},
    {.oid = 21, .name = "int2", .avro = {.base = "int", .connect_type = "int16"},
     .conv = wf_conv_int2, ROOM_INT, .refine = wf_form_int2, .zero = "0", .dflt = WF_DFLT_LITERAL, .call = "0"},
    {.oid = 23, .name = "int4", .avro = {.base = "int"}, .conv = wf_conv_int4, ROOM_INT,
     .zero = "0", .dflt = WF_DFLT_LITERAL, .call = "0"},
    {.oid = 20, .name = "int8", .avro = {.base = "long"}, .conv = wf_conv_int8, ROOM_INT,
     .zero = "0", .dflt = WF_DFLT_LITERAL, .call = "0"},
    {.oid = 26, .name = "oid", .avro = {.base = "long"}, .conv = wf_conv_oid, ROOM_INT,
     .zero = "0", .dflt = WF_DFLT_LITERAL, .call = "0"},
    {.oid = 700, .name = "float4", .avro = {.base = "float"}, .conv = wf_conv_float4, ROOM_INT,
     .zero = "0", .dflt = WF_DFLT_LITERAL, .call = "0", .note = "NaN and infinities as such"},
    {.oid = 701, .name = "float8", .avro = {.base = "double"}, .conv = wf_conv_float8, ROOM_INT,
     .zero = "0", .dflt = WF_DFLT_LITERAL, .call = "0", .note = "NaN and infinities as such"},
    {.oid = 1700, .name = "numeric",
     .avro = {.base = "record", .record = WF_RECORD_VARIABLE_DECIMAL},
     .conv = wf_conv_variable_decimal, .room = 64, .room_per_byte = 1, .refine = wf_form_numeric,
     .toast = WF_TOAST_NONE, .zero = "0", .dflt = WF_DFLT_LITERAL, .call = "0",
     .note = "with precision: `bytes`, `decimal(p,s)`, the value padded to s digits, a negative "
             "scale written as 0; NaN and infinities are refused"},
    {.oid = 790, .name = "money",
     .avro = {.base = "bytes", .connect_name = "org.apache.kafka.connect.data.Decimal",
              .logical = "decimal", .decimal = true, .scale = 2},
     .conv = wf_conv_money, .room = 64, .refine = wf_form_money, .zero = "$0.00",
     .note = "scale 2 (lc_monetary is pinned to C)"},

    {.oid = 25, .name = "text", TEXT, .dflt = WF_DFLT_WORD, .call = ""},
    {.oid = 1043, .name = "varchar", TEXT, .dflt = WF_DFLT_WORD, .call = ""},
    {.oid = 1042, .name = "bpchar", TEXT, .dflt = WF_DFLT_WORD, .call = "",
     .note = "blank padding kept"},
    {.oid = 19, .name = "name", TEXT},
    {.oid = 18, .name = "char", TEXT},
    {.oid = 0, .name = "citext", TEXT},
    {.oid = 142, .name = "xml", .avro = NAMED("string", "io.debezium.data.Xml"),
     .conv = wf_conv_text, ROOM_TEXT, .dflt = WF_DFLT_LITERAL, .call = ""},
    {.oid = 114, .name = "json", .avro = NAMED("string", "io.debezium.data.Json"),
     .conv = wf_conv_text, ROOM_TEXT, .dflt = WF_DFLT_LITERAL, .call = "{}",
     .note = "the server's text"},
    {.oid = 3802, .name = "jsonb", .avro = NAMED("string", "io.debezium.data.Json"),
     .conv = wf_conv_text, ROOM_TEXT, .dflt = WF_DFLT_LITERAL, .call = "{}",
     .note = "the server's text"},
    {.oid = 2950, .name = "uuid", .avro = ANNOTATED("string", "io.debezium.data.Uuid", "uuid"),
     .conv = wf_conv_uuid, .room = WF_LONG_ROOM, .room_per_byte = 1, .zero = "",
     .refine = wf_form_uuid,
     .dflt = WF_DFLT_LITERAL, .call = "00000000-0000-0000-0000-000000000000"},
    {.oid = 17, .name = "bytea", .avro = {.base = "bytes"}, .conv = wf_conv_bytea,
     .room = WF_LONG_ROOM, .room_per_byte = 1, .refine = wf_form_bytea, .toast = WF_TOAST_TEXT,
     .zero = "\\x"},
    {.oid = 1560, .name = "bit", .avro = NAMED("bytes", "io.debezium.data.Bits"),
     .conv = wf_conv_bits, .room = WF_LONG_ROOM, .room_per_byte = 1, .refine = wf_form_bits,
     .toast = WF_TOAST_NONE, .zero = "", .dflt = WF_DFLT_LITERAL, .call = "0",
     .note = "little endian, leading zero bytes dropped; bit(1): `boolean`"},
    {.oid = 1562, .name = "varbit", .avro = NAMED("bytes", "io.debezium.data.Bits"),
     .conv = wf_conv_bits, .room = WF_LONG_ROOM, .room_per_byte = 1, .refine = wf_form_bits,
     .toast = WF_TOAST_NONE, .zero = "", .dflt = WF_DFLT_LITERAL, .call = "0",
     .note = "as bit; without a length 2147483647 is written; varbit(1): `boolean`, its empty value "
             "refused"},

    {.oid = 1082, .name = "date", .avro = NAMED("int", "io.debezium.time.Date"),
     .conv = wf_conv_date, ROOM_INT, .refine = wf_form_date, .zero = "1970-01-01", .dflt = WF_DFLT_CLOCK,
     .call = "1970-01-01",
     .note = "days since 1970-01-01; infinity 2146033979, -infinity -2147472691"},
    {.oid = 1083, .name = "time",
     .avro = ANNOTATED("long", "io.debezium.time.MicroTime", "time-micros"),
     .conv = wf_conv_time_us, ROOM_INT, .refine = wf_form_time, .zero = "00:00:00",
     .dflt = WF_DFLT_CLOCK, .call = "00:00:00",
     .note = "microseconds; precision 0 to 3: `int` milliseconds, io.debezium.time.Time; 24:00 "
             "is a whole day"},
    {.oid = 1266, .name = "timetz", .avro = NAMED("string", "io.debezium.time.ZonedTime"),
     .conv = wf_conv_timetz, .room = 32, .zero = "00:00:00Z", .note = "in UTC"},
    {.oid = 1114, .name = "timestamp",
     .avro = ANNOTATED("long", "io.debezium.time.MicroTimestamp", "local-timestamp-micros"),
     .conv = wf_conv_timestamp_us, ROOM_INT, .refine = wf_form_timestamp,
     .zero = "1970-01-01 00:00:00", .dflt = WF_DFLT_CLOCK, .call = "1970-01-01 00:00:00",
     .note = "microseconds, infinities are the largest and smallest long, after 294247-01-10 "
             "refused; precision 0 to 3: milliseconds, io.debezium.time.Timestamp, infinities "
             "9223372036825200000 and -9223372036832400000"},
    {.oid = 1184, .name = "timestamptz", .avro = NAMED("string", "io.debezium.time.ZonedTimestamp"),
     .conv = wf_conv_timestamptz, .room = 48, .room_per_byte = 1, .refine = wf_form_timestamptz,
     .zero = "1970-01-01T00:00:00Z", .dflt = WF_DFLT_CLOCK, .call = "1970-01-01 00:00:00+00",
     .note = "ISO 8601 in UTC with as many digits as the precision; astronomical years; "
             "`infinity`, `-infinity`"},
    {.oid = 1186, .name = "interval", .avro = NAMED("long", "io.debezium.time.MicroDuration"),
     .conv = wf_conv_interval, ROOM_INT, .refine = wf_form_interval, .zero = "00:00:00", .dflt = WF_DFLT_LITERAL,
     .call = "00:00:00",
     .note = "microseconds, a month is 30.4375 days; what does not fit is refused"},

    {.oid = 869, .name = "inet", TEXT},
    {.oid = 650, .name = "cidr", TEXT},
    {.oid = 829, .name = "macaddr", TEXT},
    {.oid = 774, .name = "macaddr8", TEXT},
    {.oid = 3904, .name = "int4range", TEXT},
    {.oid = 3926, .name = "int8range", TEXT},
    {.oid = 3906, .name = "numrange", TEXT},
    {.oid = 3908, .name = "tsrange", TEXT},
    {.oid = 3910, .name = "tstzrange", TEXT, .note = "bounds in UTC"},
    {.oid = 3912, .name = "daterange", TEXT},
    {.oid = 3614, .name = "tsvector", .avro = NAMED("string", "io.debezium.data.Tsvector"),
     .conv = wf_conv_text, ROOM_TEXT},
    {.oid = 0, .name = "ltree", .avro = NAMED("string", "io.debezium.data.Ltree"),
     .conv = wf_conv_text, ROOM_TEXT},
    {.oid = 0, .name = "hstore", .avro = NAMED("string", "io.debezium.data.Json"),
     .conv = wf_conv_hstore, .room = 32, .room_per_byte = 6, .toast = WF_TOAST_JSON,
     .refine = wf_refine_hstore, .zero = "{}",
     .note = "a JSON object, keys in the server's order; hstore_handling_mode `map`: a map"},
    {.oid = 0, .name = "isbn", TEXT},
    {.oid = 3615, .name = "tsquery", EXTRA},
    {.oid = 4072, .name = "jsonpath", EXTRA},
    {.oid = 3220, .name = "pg_lsn", EXTRA},
    {.oid = 28, .name = "xid", EXTRA},
    {.oid = 5069, .name = "xid8", EXTRA},
    {.oid = 29, .name = "cid", EXTRA},
    {.oid = 27, .name = "tid", EXTRA},
    {.oid = 2970, .name = "txid_snapshot", EXTRA},
    {.oid = 5038, .name = "pg_snapshot", EXTRA},
    {.oid = 2205, .name = "regclass", EXTRA, .note = "the name, as the other reg types"},
    {.oid = 24, .name = "regproc", EXTRA},
    {.oid = 2202, .name = "regprocedure", EXTRA},
    {.oid = 2203, .name = "regoper", EXTRA},
    {.oid = 2204, .name = "regoperator", EXTRA},
    {.oid = 2206, .name = "regtype", EXTRA},
    {.oid = 4096, .name = "regrole", EXTRA},
    {.oid = 4089, .name = "regnamespace", EXTRA},
    {.oid = 4191, .name = "regcollation", EXTRA},
    {.oid = 3734, .name = "regconfig", EXTRA},
    {.oid = 3769, .name = "regdictionary", EXTRA},
    {.oid = 1790, .name = "refcursor", EXTRA},
    {.oid = 1033, .name = "aclitem", EXTRA},
    {.oid = 0, .name = "lquery", EXTRA},
    {.oid = 0, .name = "ltxtquery", EXTRA},
    {.oid = 0, .name = "cube", EXTRA},
    {.oid = 0, .name = "ean13", EXTRA},
    {.oid = 0, .name = "isbn13", EXTRA},
    {.oid = 0, .name = "ismn", EXTRA},
    {.oid = 0, .name = "ismn13", EXTRA},
    {.oid = 0, .name = "issn", EXTRA},
    {.oid = 0, .name = "issn13", EXTRA},
    {.oid = 0, .name = "upc", EXTRA},
    {.oid = 600, .name = "point", .avro = {.base = "record", .record = WF_RECORD_POINT},
     .conv = wf_conv_point, .room = 64, .zero = "(0,0)",
     .note = "wkb is filled in, srid is null"},
    {.oid = 601, .name = "lseg", SHAPE(GEOMETRY), .zero = "[(0,0),(1,0)]",
     .note = "a line string"},
    {.oid = 602, .name = "path", SHAPE(GEOMETRY), .zero = "(0,0),(1,0)",
     .note = "a line string, `closed` in extensions"},
    {.oid = 603, .name = "box", SHAPE(GEOMETRY), .zero = "(0,0),(1,1)",
     .note = "the ring around it"},
    {.oid = 604, .name = "polygon", SHAPE(GEOMETRY), .zero = "((0,0),(1,0),(0,1))",
     .note = "a closed ring"},
    {.oid = 628, .name = "line", .avro = {.base = "record", .record = WF_RECORD_LINE},
     .conv = wf_conv_line, ROOM_SHAPE, .zero = "{0,1,0}"},
    {.oid = 718, .name = "circle", .avro = {.base = "record", .record = WF_RECORD_CIRCLE},
     .conv = wf_conv_circle, ROOM_SHAPE, .zero = "<(0,0),0>"},
    {.oid = 22, .name = "int2vector", .avro = {.base = "array", .items = &wf_avro_int2},
     .conv = wf_conv_vector, .room = 2 * WF_LONG_ROOM, .room_per_byte = 3, .zero = ""},
    {.oid = 30, .name = "oidvector", .avro = {.base = "array", .items = &wf_avro_long},
     .conv = wf_conv_vector, .room = 2 * WF_LONG_ROOM, .room_per_byte = 3, .zero = ""},

    {.oid = 0, .name = "geometry", .avro = {.base = "record", .record = WF_RECORD_GEOMETRY},
     .conv = wf_conv_postgis, .room = 32, .room_per_byte = 1, .toast = WF_TOAST_NONE,
     .zero = "010700000000000000", .note = "PostGIS: its EWKB, with the srid beside it"},
    {.oid = 0, .name = "geography", .avro = {.base = "record", .record = WF_RECORD_GEOGRAPHY},
     .conv = wf_conv_postgis, .room = 32, .room_per_byte = 1, .toast = WF_TOAST_NONE,
     .zero = "010700000000000000", .note = "as geometry"},
    {.oid = 0, .name = "vector",
     .avro = {.base = "array", .items = &wf_avro_double,
              .connect_name = "io.debezium.data.DoubleVector"},
     .conv = wf_conv_pgvector, ROOM_VECTOR, .zero = "[]", .note = "pgvector"},
    {.oid = 0, .name = "halfvec",
     .avro = {.base = "array", .items = &wf_avro_float,
              .connect_name = "io.debezium.data.FloatVector"},
     .conv = wf_conv_pgvector, ROOM_VECTOR, .zero = "[]", .note = "pgvector"},
    {.oid = 0, .name = "sparsevec",
     .avro = {.base = "record", .record = WF_RECORD_SPARSE_VECTOR},
     .conv = wf_conv_sparsevec, ROOM_VECTOR, .zero = "{}/0",
     .note = "pgvector; more than 32767 dimensions are refused"},
};
/* clang-format on */

const size_t wf_ntypes = sizeof(wf_types) / sizeof(wf_types[0]);

/* What has labels, and what nothing else fits. */
static const struct wf_type enum_type = {.name = "enum",
                                         .avro = NAMED("string", "io.debezium.data.Enum"),
                                         .conv = wf_conv_text,
                                         ROOM_TEXT,
                                         .refine = wf_form_enum,
                                         .dflt = WF_DFLT_LITERAL,
                                         .call = "",
                                         .note = "labels in sort order in `allowed`"};
static const struct wf_type text_type = {
    .name = "any other",
    EXTRA,
    .note = "the server's text, the type's name in `walferry.pg.type`; announced in the log"};

static const struct wf_type *find_row(const struct wf_type_in *in)
{
    if (in->enum_labels)
        return &enum_type;
    for (size_t i = 0; i < wf_ntypes; i++) {
        const struct wf_type *row = &wf_types[i];

        if (row->oid && row->oid == in->oid)
            return row;
        if (!row->oid && in->kind && in->kind != 'b')
            continue; /* a user's own type may have an extension's name */
        if ((!row->oid || in->trust_name) && in->name && !strcmp(row->name, in->name))
            return row;
    }
    return &text_type;
}

static enum wf_resolved verdict(const struct wf_coltype *t, const struct wf_type_modes *m)
{
    bool debezium = wf_form_is_debezium(m);

    if (t->row->extra && !m->unknown && (debezium || t->row == &text_type))
        return WF_RESOLVED_OMIT;
    /* Debezium's own modes cut; whoever names one there asks for that */
    if (t->lossy && !debezium && m->lossy != WF_LOSSY_ALLOW)
        return WF_RESOLVED_LOSSY;
    return t->row == &text_type ? WF_RESOLVED_TEXT : WF_RESOLVED;
}

enum wf_resolved wf_type_resolve(struct wf_coltype *t, const struct wf_type_in *given)
{
    const struct wf_type *row = find_row(given);
    struct wf_type_in in = *given;
    enum wf_resolved nested;

    if (!in.modes)
        in.modes = &wf_form_default_modes;
    if (row == &text_type &&
        (wf_array_resolve(t, &in, &nested) || wf_record_resolve(t, &in, &nested))) {
        if (nested != WF_RESOLVED_MEMORY)
            wf_form_finish(t, &in);
        return nested;
    }
    *t = (struct wf_coltype){.conv = row->conv,
                             .room = row->room,
                             .room_per_byte = row->room_per_byte,
                             .zero = row->zero,
                             .toast = row->toast,
                             .placeholder = in.modes->placeholder ? in.modes->placeholder
                                                                  : WF_TOAST_PLACEHOLDER,
                             .row = row,
                             .avro = row->avro};
    if (row->refine)
        row->refine(t, &in);
    wf_form_finish(t, &in);
    return wf_array_as_text(&in) ? WF_RESOLVED : verdict(t, in.modes);
}

void wf_type_trust_labels(struct wf_coltype *t)
{
    if (t->conv == wf_conv_enum)
        t->conv = wf_conv_text;
    if (t->checked == wf_conv_enum)
        t->checked = wf_conv_text;
    for (uint16_t i = 0; i < t->nsub; i++)
        wf_type_trust_labels(&t->sub[i]);
}

static WF_CONV(conv_checked)
{
    if (!wf_is_utf8(s, n))
        return wf_conv_fail(why, WF_CONV_ENCODING);
    return t->checked(t, s, n, p, why);
}

void wf_type_check_utf8(struct wf_coltype *t)
{
    t->checked = t->conv;
    t->conv = conv_checked;
}

void wf_type_free(struct wf_coltype *t)
{
    for (uint16_t i = 0; i < t->nsub; i++)
        wf_type_free(&t->sub[i]);
    free(t->sub);
    free(t->fields);
    free(t->names);
    t->sub = NULL;
    t->fields = NULL;
    t->names = NULL;
    t->nsub = 0;
}

bool wf_type_put(const struct wf_coltype *t, const char *s, size_t n, struct wf_buf *out,
                 enum wf_conv_why *why)
{
    unsigned char *p;

    *why = WF_CONV_RANGE;
    if (!wf_buf_reserve(out, t->room + n * t->room_per_byte))
        return false;
    p = t->conv(t, s, n, out->data + out->len, why);
    if (p)
        out->len = (size_t)(p - out->data);
    return p != NULL;
}

static bool is_string(const struct wf_coltype *t)
{
    return t->avro.base[0] == 's';
}

static void put_string(const char *s, struct wf_buf *out)
{
    size_t n = strlen(s);

    if (wf_buf_reserve(out, WF_LONG_ROOM + n))
        out->len = (size_t)(wf_put_bytes(out->data + out->len, s, n) - out->data);
}

bool wf_type_put_zero(const struct wf_coltype *t, struct wf_buf *out)
{
    enum wf_conv_why why;

    if (t->zero_pg || !is_string(t))
        return wf_type_put(t, t->zero, strlen(t->zero), out, &why);
    put_string(t->zero, out);
    return !out->failed;
}

/* A map of the placeholder to itself, as JSON. */
static bool put_toast_json(const struct wf_coltype *t, struct wf_buf *out)
{
    size_t n = strlen(t->placeholder);
    struct wf_buf json;
    bool ok;

    wf_buf_init(&json, 64 + n * 12);
    for (unsigned i = 0; i < 2; i++) {
        wf_buf_str(&json, i ? ":\"" : "{\"");
        wf_buf_json(&json, t->placeholder, n);
        wf_buf_byte(&json, '"');
    }
    wf_buf_str(&json, "}");
    wf_buf_byte(&json, '\0');
    if (!json.failed)
        put_string((const char *)json.data, out);
    ok = !json.failed && !out->failed;
    wf_buf_deinit(&json);
    return ok;
}

/* The placeholder's bytes through the converter, which reads a bytea. */
static bool put_toast_bytea(const struct wf_coltype *t, struct wf_buf *out)
{
    size_t n = strlen(t->placeholder);
    enum wf_conv_why why;
    struct wf_buf text;
    bool ok;

    wf_buf_init(&text, 16 + n * 2);
    wf_buf_str(&text, "\\x");
    if (n && wf_buf_reserve(&text, 2 * n))
        text.len =
            (size_t)(wf_put_hex(text.data + text.len, t->placeholder, n, WF_HEX_LOWER) - text.data);
    ok = !text.failed && wf_type_put(t, (const char *)text.data, text.len, out, &why);
    wf_buf_deinit(&text);
    return ok;
}

bool wf_type_put_toast(const struct wf_coltype *t, struct wf_buf *out)
{
    enum wf_conv_why why;

    switch (t->toast) {
    case WF_TOAST_TEXT:
        put_string(t->placeholder, out);
        return !out->failed;
    case WF_TOAST_JSON:
        return put_toast_json(t, out);
    case WF_TOAST_CONV:
        return put_toast_bytea(t, out);
    case WF_TOAST_ITEMS:
        return wf_items_put_toast(t, out);
    case WF_TOAST_CONV_TEXT:
        return wf_type_put(t, t->placeholder, strlen(t->placeholder), out, &why);
    default:
        return false;
    }
}
