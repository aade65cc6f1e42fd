/* The converters the table in types.c is made of; see wf_conv_fn. */
#ifndef WF_TYPES_CONV_H
#define WF_TYPES_CONV_H

#include "types.h"

#define WF_CONV(name)                                                                              \
    unsigned char *name(const struct wf_coltype *t, const char *s, size_t n, unsigned char *p,     \
                        enum wf_conv_why *why)

/* types_text.c */
WF_CONV(wf_conv_text);
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
