#include "avro_schema.h"

struct record_text {
    const char *full_name;
    const char *text;
};

#define GEOMETRY "io.debezium.data.geometry"
/* A Point behind its name and namespace, the one of a Circle without the latter. */
#define POINT_FIELDS                                                                               \
    "\"fields\":[{\"name\":\"x\",\"type\":\"double\"},{\"name\":\"y\",\"type\":\"double\"},"       \
    "{\"name\":\"wkb\",\"type\":[\"null\",\"bytes\"],\"default\":null},"                           \
    "{\"name\":\"srid\",\"type\":[\"null\",\"int\"],\"default\":null}],"                           \
    "\"connect.doc\":\"Geometry (POINT)\",\"connect.version\":1,"                                  \
    "\"connect.name\":\"" GEOMETRY ".Point\"}"

/* A Circle behind its center, the one record inside another of the same namespace. */
#define CIRCLE_OPEN                                                                                \
    "{\"type\":\"record\",\"name\":\"Circle\",\"namespace\":\"" GEOMETRY                           \
    "\",\"fields\":[{\"name\":\"center\",\"type\":"
#define CIRCLE_CLOSE                                                                               \
    "},{\"name\":\"radius\",\"type\":\"double\"}],\"connect.doc\":\"Geometry (CIRCLE)\","          \
    "\"connect.version\":1,\"connect.name\":\"" GEOMETRY ".Circle\"}"

/* Texts of a captured Debezium run (the last two: of its source); `defined` decides between text
 * and name. */
static const struct record_text records[] = {
    [WF_RECORD_VARIABLE_DECIMAL] =
        {"io.debezium.data.VariableScaleDecimal",
         "{\"type\":\"record\",\"name\":\"VariableScaleDecimal\",\"namespace\":\"io.debezium."
         "data\","
         "\"fields\":[{\"name\":\"scale\",\"type\":\"int\"},{\"name\":\"value\",\"type\":"
         "\"bytes\"}],"
         "\"connect.doc\":\"Variable scaled decimal\",\"connect.version\":1,"
         "\"connect.name\":\"io.debezium.data.VariableScaleDecimal\"}"},
    [WF_RECORD_POINT] = {GEOMETRY ".Point",
                         "{\"type\":\"record\",\"name\":\"Point\",\"namespace\":\"" GEOMETRY
                         "\"," POINT_FIELDS},
    [WF_RECORD_LINE] =
        {GEOMETRY ".Line",
         "{\"type\":\"record\",\"name\":\"Line\",\"namespace\":\"" GEOMETRY "\","
         "\"fields\":[{\"name\":\"a\",\"type\":\"double\"},{\"name\":\"b\",\"type\":\"double\"},"
         "{\"name\":\"c\",\"type\":\"double\"}],\"connect.doc\":\"Geometry (LINE)\","
         "\"connect.version\":1,\"connect.name\":\"" GEOMETRY ".Line\"}"},
    [WF_RECORD_CIRCLE] = {GEOMETRY ".Circle", CIRCLE_OPEN
                          "{\"type\":\"record\",\"name\":\"Point\"," POINT_FIELDS CIRCLE_CLOSE},
    [WF_RECORD_GEOMETRY] =
        {GEOMETRY ".Geometry",
         "{\"type\":\"record\",\"name\":\"Geometry\",\"namespace\":\"" GEOMETRY "\","
         "\"fields\":[{\"name\":\"wkb\",\"type\":\"bytes\"},"
         "{\"name\":\"srid\",\"type\":[\"null\",\"int\"],\"default\":null},"
         "{\"name\":\"extensions\",\"type\":[\"null\",{\"type\":\"map\",\"values\":\"string\"}],"
         "\"default\":null}],\"connect.doc\":\"Geometry\",\"connect.version\":2,"
         "\"connect.name\":\"" GEOMETRY ".Geometry\"}"},
    [WF_RECORD_GEOGRAPHY] = {GEOMETRY ".Geography",
                             "{\"type\":\"record\",\"name\":\"Geography\",\"namespace\":\"" GEOMETRY
                             "\","
                             "\"fields\":[{\"name\":\"wkb\",\"type\":\"bytes\"},"
                             "{\"name\":\"srid\",\"type\":[\"null\",\"int\"],\"default\":null}],"
                             "\"connect.doc\":\"Geography\",\"connect.version\":1,"
                             "\"connect.name\":\"" GEOMETRY ".Geography\"}"},
    [WF_RECORD_SPARSE_VECTOR] =
        {"io.debezium.data.SparseDoubleVector",
         "{\"type\":\"record\",\"name\":\"SparseDoubleVector\",\"namespace\":\"io.debezium.data\","
         "\"fields\":[{\"name\":\"dimensions\",\"type\":{\"type\":\"int\",\"connect.type\":"
         "\"int16\"}},"
         "{\"name\":\"vector\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\","
         "\"name\":\"MapEntry\",\"namespace\":\"io.confluent.connect.avro\",\"fields\":["
         "{\"name\":\"key\",\"type\":{\"type\":\"int\",\"connect.type\":\"int16\"}},"
         "{\"name\":\"value\",\"type\":\"double\"}]}}}],\"connect.doc\":\"Sparse double vector\","
         "\"connect.version\":1,\"connect.name\":\"io.debezium.data.SparseDoubleVector\"}"},
    [WF_RECORD_INTERVAL] =
        {"walferry.Interval",
         "{\"type\":\"record\",\"name\":\"Interval\",\"namespace\":\"walferry\","
         "\"fields\":[{\"name\":\"months\",\"type\":\"int\"},"
         "{\"name\":\"days\",\"type\":\"int\"},{\"name\":\"micros\",\"type\":\"long\"}],"
         "\"connect.version\":1,\"connect.name\":\"walferry.Interval\"}"},
};

/* `,"key":"value"`, the value escaped; nothing for a NULL value. */
static void put_prop(struct wf_buf *out, const char *key, const char *value)
{
    if (!value)
        return;
    wf_buf_str(out, ",\"");
    wf_buf_str(out, key);
    wf_buf_str(out, "\":\"");
    wf_buf_json(out, value, strlen(value));
    wf_buf_byte(out, '"');
}

const char *wf_avro_record_name(enum wf_avro_record r)
{
    return records[r].full_name;
}

void wf_avro_param_add(struct wf_avro_type *t, const char *key, const char *value)
{
    if (t->nparams < WF_AVRO_PARAMS)
        t->params[t->nparams++] = (struct wf_avro_param){key, value};
}

/* `,"connect.parameters":{...}`: a decimal's own, then the others; nothing when there are none. */
static void put_params(struct wf_buf *out, const struct wf_avro_type *t)
{
    const char *comma = "";

    if (!t->decimal && !t->nparams)
        return;
    wf_buf_str(out, ",\"connect.parameters\":{");
    if (t->decimal) {
        wf_buf_printf(out, "\"scale\":\"%d\"", t->scale);
        if (t->precision)
            wf_buf_printf(out, ",\"connect.decimal.precision\":\"%d\"", t->precision);
        comma = ",";
    }
    for (unsigned i = 0; i < t->nparams; i++) {
        wf_buf_printf(out, "%s\"%s\":\"", comma, t->params[i].key);
        wf_buf_json(out, t->params[i].value, strlen(t->params[i].value));
        wf_buf_byte(out, '"');
        comma = ",";
    }
    wf_buf_byte(out, '}');
}

static bool is_bare(const struct wf_avro_type *t, const char *dflt)
{
    return !t->connect_name && !t->connect_type && !t->logical && !t->pg_type && !t->nparams &&
           !t->decimal && !dflt;
}

const char *wf_schema_record_name(enum wf_avro_record record)
{
    return records[record].full_name;
}

/* The definition, with the column's parameters in front of the record's own connect.name, which is
 * the last property. */
static void put_record_text(struct wf_buf *out, const struct wf_avro_type *t, const char *text)
{
    static const char name_key[] = ",\"connect.name\":";
    const char *tail = text;

    for (const char *s = text; (s = strstr(s, name_key)) != NULL; s++)
        tail = s;
    wf_buf_put(out, text, (size_t)(tail - text));
    put_params(out, t);
    wf_buf_str(out, tail);
}

static void put_record(struct wf_buf *out, const struct wf_avro_type *t, uint32_t *defined)
{
    const struct record_text *r = &records[t->record];
    const char *text = r->text;
    uint32_t bit = 1u << t->record;

    if (t->record == WF_RECORD_CIRCLE) {
        if (*defined & 1u << WF_RECORD_POINT)
            text = CIRCLE_OPEN "\"Point\"" CIRCLE_CLOSE;
        bit |= 1u << WF_RECORD_POINT;
    }

    if (*defined & 1u << t->record)
        wf_buf_printf(out, "\"%s\"", r->full_name);
    else
        put_record_text(out, t, text);
    *defined |= bit;
}

/* Whether the text has the composite's definition already; it ends with this property. */
static bool is_defined(const struct wf_buf *out, const char *full_name)
{
    static const char key[] = "\"connect.name\":\"";
    const unsigned char *s = out->data, *end = out->data + out->len;
    size_t n = strlen(full_name);

    while (s && s < end) {
        s = memmem(s, (size_t)(end - s), key, sizeof(key) - 1);
        if (!s)
            break;
        s += sizeof(key) - 1;
        if ((size_t)(end - s) > n && !memcmp(s, full_name, n) && s[n] == '"')
            return true;
    }
    return false;
}

/* A composite type: defined at its first use. */
static void put_composite(struct wf_buf *out, const struct wf_avro_type *t, uint32_t *defined)
{
    const char *name = t->record_name, *simple = strrchr(name, '.') + 1;

    if (is_defined(out, name)) {
        wf_buf_printf(out, "\"%s\"", t->same_namespace ? simple : name);
        return;
    }
    wf_buf_printf(out, "{\"type\":\"record\",\"name\":\"%s\",", simple);
    if (!t->same_namespace)
        wf_buf_printf(out, "\"namespace\":\"%.*s\",", (int)(simple - name) - 1, name);
    wf_buf_str(out, "\"fields\":[");
    for (size_t i = 0; i < t->nfields; i++) {
        if (i)
            wf_buf_byte(out, ',');
        wf_schema_field(out, &t->fields[i], defined);
    }
    wf_buf_printf(out, "],\"connect.name\":\"%s\"}", name);
}

/* `,"items":...` of an array, `,"values":...` of a map. */
static void put_items(struct wf_buf *out, const struct wf_avro_type *t, uint32_t *defined)
{
    wf_buf_str(out, t->base[0] == 'a' ? ",\"items\":" : ",\"values\":");
    wf_buf_str(out, t->items_nullable ? "[\"null\"," : "");
    wf_schema_type(out, t->items, NULL, defined);
    wf_buf_str(out, t->items_nullable ? "]" : "");
}

void wf_schema_type(struct wf_buf *out, const struct wf_avro_type *t, const char *dflt,
                    uint32_t *defined)
{
    if (t->record != WF_RECORD_NONE) {
        put_record(out, t, defined);
        return;
    }
    if (t->record_name) {
        put_composite(out, t, defined);
        return;
    }
    if (!t->items && is_bare(t, dflt)) {
        wf_buf_printf(out, "\"%s\"", t->base);
        return;
    }
    wf_buf_printf(out, "{\"type\":\"%s\"", t->base);
    if (t->items)
        put_items(out, t, defined);
    if (t->decimal)
        wf_buf_printf(out, ",\"scale\":%d,\"precision\":%d", t->scale,
                      t->precision ? t->precision : 64);
    if (t->connect_name)
        wf_buf_str(out, ",\"connect.version\":1");
    put_params(out, t);
    if (dflt) {
        wf_buf_str(out, ",\"connect.default\":");
        wf_buf_str(out, dflt);
    }
    put_prop(out, "connect.name", t->connect_name);
    put_prop(out, "connect.type", t->connect_type);
    put_prop(out, "walferry.pg.type", t->pg_type);
    put_prop(out, "logicalType", t->logical);
    wf_buf_byte(out, '}');
}

void wf_schema_field(struct wf_buf *out, const struct wf_schema_field *f, uint32_t *defined)
{
    wf_buf_str(out, "{\"name\":\"");
    wf_buf_str(out, f->name);
    wf_buf_str(out, "\",\"type\":");
    if (f->nullable)
        wf_buf_str(out, f->dflt ? "[" : "[\"null\",");
    wf_schema_type(out, f->type, f->dflt, defined);
    if (f->nullable)
        wf_buf_str(out, f->dflt ? ",\"null\"]" : "]");
    if (f->dflt || f->nullable) {
        wf_buf_str(out, ",\"default\":");
        wf_buf_str(out, f->dflt ? f->dflt : "null");
    }
    wf_buf_byte(out, '}');
}

void wf_schema_fields(struct wf_buf *out, const struct wf_schema_field *f, size_t n,
                      uint32_t *defined)
{
    wf_buf_str(out, "\"fields\":[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            wf_buf_byte(out, ',');
        wf_schema_field(out, &f[i], defined);
    }
    wf_buf_byte(out, ']');
}
