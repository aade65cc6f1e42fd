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
WF_CONV(wf_conv_bytea);
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
WF_CONV(wf_conv_money);
/* types_time.c */
WF_CONV(wf_conv_date);
WF_CONV(wf_conv_time_ms);
WF_CONV(wf_conv_time_us);
WF_CONV(wf_conv_timetz);
WF_CONV(wf_conv_timestamp_ms);
WF_CONV(wf_conv_timestamp_us);
WF_CONV(wf_conv_timestamptz);
WF_CONV(wf_conv_interval);

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
