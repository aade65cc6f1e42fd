/* Writes Avro schema texts in the form a schema registry stores them. */
#ifndef WF_AVRO_SCHEMA_H
#define WF_AVRO_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* Records that columns can hold; defined in a schema at their first use, named afterwards. */
enum wf_avro_record {
    WF_RECORD_NONE,
    WF_RECORD_VARIABLE_DECIMAL, /* io.debezium.data.VariableScaleDecimal */
    WF_RECORD_POINT,            /* io.debezium.data.geometry.Point */
    WF_RECORD_INTERVAL,         /* walferry.Interval */
    WF_RECORD_LINE,             /* io.debezium.data.geometry.Line */
    WF_RECORD_CIRCLE,           /* io.debezium.data.geometry.Circle, which holds a Point */
    WF_RECORD_GEOMETRY,         /* io.debezium.data.geometry.Geometry */
    WF_RECORD_GEOGRAPHY,        /* io.debezium.data.geometry.Geography */
    WF_RECORD_SPARSE_VECTOR,    /* io.debezium.data.SparseDoubleVector */
};

struct wf_schema_field;

#define WF_AVRO_PARAMS 5

/* An entry of connect.parameters. */
struct wf_avro_param {
    const char *key, *value;
};

/* The type of a column, without its nullability; a tree. Everything is borrowed. */
struct wf_avro_type {
    const char *base;           /* "int", "string", ..., "array", "map", "record" */
    enum wf_avro_record record; /* base record: one of the fixed ones, or ... */
    const char *record_name;    /* ... a composite's full name, with its fields */
    bool same_namespace;        /* of the composite and the record around it */
    const struct wf_schema_field *fields;
    size_t nfields;
    const struct wf_avro_type *items; /* of an array's elements or a map's values */
    bool items_nullable;
    const char *connect_name; /* connect.name, with connect.version 1; NULL = none */
    const char *connect_type; /* connect.type; NULL = none */
    const char *logical;      /* logicalType; NULL = none */
    const char *pg_type;      /* walferry.pg.type: what a text stands for; NULL = none */
    struct wf_avro_param params[WF_AVRO_PARAMS]; /* after a decimal's own, in this order */
    unsigned nparams;
    bool decimal;  /* scale and precision apply */
    int precision; /* 0 = unknown: written as 64, without the parameter */
    int scale;
};

struct wf_schema_field {
    const char *name;
    const struct wf_avro_type *type;
    bool nullable;
    const char *dflt; /* JSON text of the default, NULL = none */
};

/* The full name of a fixed record. */
const char *wf_avro_record_name(enum wf_avro_record r);

/* One more entry of connect.parameters; both texts are borrowed. */
void wf_avro_param_add(struct wf_avro_type *t, const char *key, const char *value);

/**
 * wf_schema_type() - append one type
 * @dflt:    becomes connect.default when not NULL
 * @defined: bit set of enum wf_avro_record already defined in this text; updated
 *
 * Key order: registry.md, section 7 "Canonical text" (scale, precision, connect.*, logicalType).
 */
void wf_schema_type(struct wf_buf *out, const struct wf_avro_type *t, const char *dflt,
                    uint32_t *defined);

/* The full name of a fixed record. */
const char *wf_schema_record_name(enum wf_avro_record record);

/* `{"name":...,"type":...,"default":...}` as Confluent's AvroData writes the four combinations of
 * nullable and default; unions with a default have the value's branch first. */
void wf_schema_field(struct wf_buf *out, const struct wf_schema_field *f, uint32_t *defined);

/* `"fields":[...]`, without the braces of the record around it. */
void wf_schema_fields(struct wf_buf *out, const struct wf_schema_field *f, size_t n,
                      uint32_t *defined);

#endif
