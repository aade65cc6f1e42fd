/* The converters the table in types.c is made of; see wf_conv_fn. */
#ifndef WF_TYPES_CONV_H
#define WF_TYPES_CONV_H

#include "types.h"

#define WF_CONV(name)                                                                              \
    unsigned char *name(const struct wf_coltype *t, const char *s, size_t n, unsigned char *p,     \
                        enum wf_conv_why *why)

/* types_text.c */
WF_CONV(wf_conv_nothing); /* of a column that is left out */
WF_CONV(wf_conv_text);
WF_CONV(wf_conv_enum);
WF_CONV(wf_conv_bytea);
WF_CONV(wf_conv_bytea_text);
WF_CONV(wf_conv_raw_text);
WF_CONV(wf_conv_bit_text);
WF_CONV(wf_conv_bool);
WF_CONV(wf_conv_bit1);
WF_CONV(wf_conv_bits);
WF_CONV(wf_conv_uuid);
WF_CONV(wf_conv_hstore);
WF_CONV(wf_conv_point);
/* types_num.c */
WF_CONV(wf_conv_int2);
WF_CONV(wf_conv_int4);
WF_CONV(wf_conv_int8);
WF_CONV(wf_conv_oid);
WF_CONV(wf_conv_float4);
WF_CONV(wf_conv_float8);
WF_CONV(wf_conv_decimal);
WF_CONV(wf_conv_variable_decimal);
WF_CONV(wf_conv_numeric_double);
WF_CONV(wf_conv_numeric_text);
WF_CONV(wf_conv_numeric_words);
WF_CONV(wf_conv_decimal_text);
WF_CONV(wf_conv_money);
WF_CONV(wf_conv_money_scaled);
WF_CONV(wf_conv_money_double);
WF_CONV(wf_conv_money_text);
/* types_time.c */
WF_CONV(wf_conv_date);
WF_CONV(wf_conv_date_finite);
WF_CONV(wf_conv_date_iso);
WF_CONV(wf_conv_time_ms);
WF_CONV(wf_conv_time_us);
WF_CONV(wf_conv_time_iso);
WF_CONV(wf_conv_clock); /* time by t->arg, as wf_conv_stamp */
WF_CONV(wf_conv_timetz);
WF_CONV(wf_conv_timestamp_ms);
WF_CONV(wf_conv_timestamp_us);
WF_CONV(wf_conv_timestamp_iso);
WF_CONV(wf_conv_stamp); /* timestamp or timestamptz by t->arg, bits of enum wf_stamp */
WF_CONV(wf_conv_timestamptz);
WF_CONV(wf_conv_interval);
WF_CONV(wf_conv_interval_parts);
WF_CONV(wf_conv_interval_iso);

enum wf_stamp {
    WF_STAMP_MS = 0,
    WF_STAMP_US = 1,
    WF_STAMP_NS = 2,
    WF_STAMP_UNIT = 3,   /* mask of the unit */
    WF_STAMP_FLOOR = 4,  /* digits that do not fit are cut; else refused */
    WF_STAMP_FINITE = 8, /* infinities are refused; else the constants below */
    WF_STAMP_ZONED = 16, /* the text has a zone */
};

/* types_form.c: the refinements of the table's rows. */
#define WF_FORM(name) void name(struct wf_coltype *t, const struct wf_type_in *in)
WF_FORM(wf_form_int2);
WF_FORM(wf_form_numeric);
WF_FORM(wf_form_money);
WF_FORM(wf_form_uuid);
WF_FORM(wf_form_bytea);
WF_FORM(wf_form_bits);
WF_FORM(wf_form_enum);
WF_FORM(wf_form_date);
WF_FORM(wf_form_time);
WF_FORM(wf_form_timestamp);
WF_FORM(wf_form_timestamptz);
WF_FORM(wf_form_interval);
WF_FORM(wf_form_other);

/* types_form.c: what holds for every type of a profile, after the row's refinement. */
WF_FORM(wf_form_finish);
extern const struct wf_type_modes wf_form_default_modes;
bool wf_form_is_debezium(const struct wf_type_modes *m);

/* types_array.c */
WF_CONV(wf_conv_array);
WF_CONV(wf_conv_vector); /* int2vector, oidvector */
/* types_record.c */
WF_CONV(wf_conv_record);
WF_CONV(wf_conv_hstore_map);
/* types_geo.c */
WF_CONV(wf_conv_shape); /* lseg, box, path, polygon */
WF_CONV(wf_conv_circle);
WF_CONV(wf_conv_line);
WF_CONV(wf_conv_postgis);
WF_CONV(wf_conv_pgvector);
WF_CONV(wf_conv_sparsevec);

/* What wf_type_resolve() leaves to the nested types. Return: false when the type is none of them,
 * or cannot be written as one: it is text like any other. */
bool wf_array_resolve(struct wf_coltype *t, const struct wf_type_in *in, enum wf_resolved *out);
bool wf_record_resolve(struct wf_coltype *t, const struct wf_type_in *in, enum wf_resolved *out);
/* Whether format.array_handling_mode shows it as text. */
bool wf_array_as_text(const struct wf_type_in *in);
/* wf_type_put_toast() of arrays and maps. */
bool wf_items_put_toast(const struct wf_coltype *t, struct wf_buf *out);
void wf_refine_hstore(struct wf_coltype *t, const struct wf_type_in *in);
void wf_refine_shape(struct wf_coltype *t, const struct wf_type_in *in);
void wf_refine_pgvector(struct wf_coltype *t, const struct wf_type_in *in);
extern const struct wf_avro_type wf_avro_int2, wf_avro_long, wf_avro_float, wf_avro_double;

int wf_type_profile(const struct wf_type_in *in); /* enum wf_profile */

/* Ends the one block of an array or map. It starts with its count, which is known at the end: one
 * byte at @start is kept for it, the entries follow up to @p. */
unsigned char *wf_conv_close_block(unsigned char *start, unsigned char *p, int64_t count);

/* Room for what a text unescapes to: at the end of what was asked for. */
static inline char *wf_conv_scratch(const struct wf_coltype *t, size_t n, unsigned char *p)
{
    return (char *)p + t->room + n * (t->room_per_byte - 1u);
}

/* types_num.c: float8 text; false when it is none. */
bool wf_parse_double(const char *s, size_t n, double *out);

static inline unsigned char *wf_conv_fail(enum wf_conv_why *why, enum wf_conv_why reason)
{
    *why = reason;
    return NULL;
}

/* types_time.c: Date and ms constants for infinity, as Debezium's stream writes them. */
#define WF_DATE_INFINITY 2146033979
#define WF_DATE_NEG_INFINITY (-2147472691)
#define WF_TIMESTAMP_MS_INFINITY INT64_C(9223372036825200000)
#define WF_TIMESTAMP_MS_NEG_INFINITY INT64_C(-9223372036832400000)

#endif
