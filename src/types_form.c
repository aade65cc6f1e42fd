/* Which form a type takes: by type modifier, profile and modes (design: one choice per column, made
 * once; converters know nothing of modes). */
#include <stdio.h>

#include "avro_put.h"
#include "config.h"
#include "types_conv.h"

/* pg_type typmods carry a header of 4 bytes (VARHDRSZ) for lengths and for numeric. */
#define VARHDRSZ 4
#define MAX_TIME_DIGITS 6
#define MONEY_PRECISION 17 /* digits in front of the point of the largest money, 9.2e16 */
#define ISO_ROOM 64        /* the longest ISO text: an interval's 62 bytes, one of length */

const struct wf_type_modes wf_form_default_modes = {
    .profile = WF_PROFILE_DEBEZIUM,
    .decimal = WF_DECIMAL_PRECISE,
    .time = WF_TIME_ADAPTIVE,
    .zoned = WF_ZONED_STRING,
    .interval = WF_INTERVAL_NUMERIC,
    .hstore = WF_HSTORE_JSON,
    .binary = WF_BINARY_BYTES,
    .array = WF_ARRAY_ARRAY,
    .lossy = WF_LOSSY_REFUSE,
    .unknown = true,
    .money_digits = 2,
    .placeholder = WF_TOAST_PLACEHOLDER,
};

bool wf_form_is_debezium(const struct wf_type_modes *m)
{
    return m->profile == WF_PROFILE_DEBEZIUM || m->profile == WF_PROFILE_STRICT;
}

#define AVRO(...) (&(const struct wf_avro_type){__VA_ARGS__})
#define CONNECT(x) "org.apache.kafka.connect.data." x
#define DEBEZIUM(x) "io.debezium." x

static void set_form(struct wf_coltype *t, const struct wf_avro_type *avro, wf_conv_fn conv)
{
    t->avro = *avro;
    t->conv = conv;
}

/* A text whose zero is @zero as it stands, or PG text to convert when NULL. */
static void set_text(struct wf_coltype *t, const char *connect_name, wf_conv_fn conv,
                     const char *zero)
{
    set_form(t, AVRO(.base = "string", .connect_name = connect_name), conv);
    if (t->toast != WF_TOAST_FIXED)
        t->toast = WF_TOAST_TEXT;
    if (zero)
        t->zero = zero;
    else
        t->zero_pg = true;
}

/* ---- numbers ---- */

/* connect.type says nothing to readers outside Kafka Connect. */
WF_FORM(wf_form_int2)
{
    if (in->modes->profile == WF_PROFILE_NATIVE || in->modes->profile == WF_PROFILE_ROW)
        t->avro.connect_type = NULL;
}

static void set_decimal(struct wf_coltype *t, int precision, int scale)
{
    set_form(t,
             AVRO(.base = "bytes", .connect_name = CONNECT("Decimal"), .logical = "decimal",
                  .decimal = true, .precision = precision, .scale = scale),
             wf_conv_decimal);
}

/* The modifier as PostgreSQL means it: src/backend/utils/adt/numeric.c, make_numeric_typmod(),
 * p << 16 | (s & 0x7ff). Return: false when there is none. */
static bool numeric_typmod(int32_t typmod, int *precision, int *scale)
{
    int packed = typmod - VARHDRSZ;

    if (typmod < VARHDRSZ)
        return false;
    *precision = packed >> 16 & 0xffff;
    *scale = ((packed & 0x7ff) ^ 1024) - 1024;
    return true;
}

/* What the schema says of it. Avro has no scale below 0: it becomes 0 with as many more digits.
 * Debezium takes the eleven bits for a positive number. */
static void numeric_shape(const struct wf_type_modes *m, int *precision, int *scale)
{
    if (m->profile == WF_PROFILE_STRICT) {
        *scale &= 0x7ff;
        return;
    }
    if (*scale < 0) {
        *precision -= *scale;
        *scale = 0;
    }
    if (!wf_form_is_debezium(m) && *precision < *scale)
        *precision = *scale; /* Avro: the scale is at most the precision */
}

WF_FORM(wf_form_numeric)
{
    bool debezium = wf_form_is_debezium(in->modes);
    int precision = 0, scale = -1;
    bool scaled = numeric_typmod(in->typmod, &precision, &scale);

    if (scaled)
        numeric_shape(in->modes, &precision, &scale);
    t->arg = scale;
    if (scaled)
        t->room += (uint32_t)scale;
    if (in->modes->decimal == WF_DECIMAL_DOUBLE)
        set_form(t, AVRO(.base = "double"), wf_conv_numeric_double);
    else if (in->modes->decimal == WF_DECIMAL_STRING || (!scaled && !debezium))
        set_text(t, NULL, debezium ? wf_conv_numeric_words : wf_conv_numeric_text, NULL);
    else if (scaled)
        set_decimal(t, precision, scale);
}

WF_FORM(wf_form_money)
{
    int scale = in->modes->money_digits, digits = scale > 2 ? scale : 2;

    t->arg = scale;
    t->room += (uint32_t)scale;
    switch (in->modes->decimal) {
    case WF_DECIMAL_DOUBLE:
        set_form(t, AVRO(.base = "double"), wf_conv_money_double);
        break;
    case WF_DECIMAL_STRING:
        set_text(t, NULL, wf_conv_money_text, NULL);
        break;
    default:
        set_decimal(t, wf_form_is_debezium(in->modes) ? 0 : MONEY_PRECISION + digits, scale);
        t->conv = scale == 2 ? wf_conv_money : wf_conv_money_scaled;
        break;
    }
}

/* ---- texts and bytes ---- */

WF_FORM(wf_form_uuid)
{
    if (wf_form_is_debezium(in->modes))
        return;
    t->avro.connect_name = NULL;
    t->zero = t->row->call;
}

WF_FORM(wf_form_bytea)
{
    if (in->modes->binary == WF_BINARY_BYTES)
        return;
    set_text(t, NULL, wf_conv_bytea_text, "");
    t->toast = WF_TOAST_CONV;
    t->arg = in->modes->binary;
}

/* bit and varbit; one bit is a boolean, more are Bits with their length as parameter. Only
 * Debezium takes a varbit of at most one bit for a boolean. */
WF_FORM(wf_form_bits)
{
    bool debezium = wf_form_is_debezium(in->modes);
    bool fixed = t->row->oid == 1560;

    if (in->typmod == 1 && (debezium || fixed)) {
        set_form(t, AVRO(.base = "boolean"), wf_conv_bit1);
        t->zero = "0";
        return;
    }
    if (!debezium) {
        set_text(t, NULL, wf_conv_bit_text, "");
        return;
    }
    snprintf(t->param, sizeof(t->param), "%d", in->typmod < 0 ? INT32_MAX : in->typmod);
    wf_avro_param_add(&t->avro, "length", t->param);
}

WF_FORM(wf_form_enum)
{
    wf_avro_param_add(&t->avro, "allowed", in->enum_labels);
    t->labels = in->enum_labels;
    t->conv = wf_conv_enum;
}

/* Types Debezium leaves out; where it is told to keep them it shows the bytes of their text. */
WF_FORM(wf_form_other)
{
    if (in->modes->profile != WF_PROFILE_STRICT) {
        t->avro.pg_type = in->text_name ? in->text_name : in->name;
        return;
    }
    if (wf_array_as_text(in))
        return; /* a string is what array_handling_mode promises */
    if (in->modes->binary == WF_BINARY_BYTES) {
        t->avro.base = "bytes";
        return;
    }
    set_text(t, NULL, wf_conv_raw_text, "");
    t->toast = WF_TOAST_CONV_TEXT;
    t->room_per_byte = 2;
    t->arg = in->modes->binary;
}

/* ---- times ---- */

static int time_digits(int32_t typmod)
{
    return typmod >= 0 && typmod < MAX_TIME_DIGITS ? typmod : MAX_TIME_DIGITS;
}

enum unit { MILLIS, MICROS, NANOS, CONNECT, ISO };

static enum unit unit_of(int mode, int digits, bool is_time)
{
    switch (mode) {
    case WF_TIME_ADAPTIVE_TIME_MICROS:
        return digits > 3 || is_time ? MICROS : MILLIS;
    case WF_TIME_MICROS:
        return MICROS;
    case WF_TIME_NANOS:
        return NANOS;
    case WF_TIME_CONNECT:
        return CONNECT;
    case WF_TIME_ISOSTRING:
        return ISO;
    default:
        return digits > 3 ? MICROS : MILLIS;
    }
}

/* A form of milliseconds for a column of @digits: what does not fit is cut, unless no value of the
 * column can have it. */
static int millis(struct wf_coltype *t, int digits)
{
    t->lossy = digits > 3;
    return digits > 3 ? WF_STAMP_MS | WF_STAMP_FLOOR : WF_STAMP_MS;
}

/* Infinities have constants in Debezium only. */
static int infinity_rule(const struct wf_type_modes *m)
{
    return wf_form_is_debezium(m) ? 0 : WF_STAMP_FINITE;
}

WF_FORM(wf_form_date)
{
    bool debezium = wf_form_is_debezium(in->modes);

    if (in->modes->time == WF_TIME_ISOSTRING) {
        set_text(t, DEBEZIUM("time.IsoDate"), wf_conv_date_iso, "1970-01-01Z");
        t->room = ISO_ROOM;
    } else if (in->modes->time == WF_TIME_CONNECT || !debezium) {
        set_form(t, AVRO(.base = "int", .connect_name = CONNECT("Date"), .logical = "date"),
                 debezium ? wf_conv_date : wf_conv_date_finite);
    }
}

/* Confluent's reader refuses time-millis and timestamp-millis beside names not its own. */
WF_FORM(wf_form_time)
{
    int digits = time_digits(in->typmod);

    switch (unit_of(in->modes->time, digits, true)) {
    case MILLIS:
        set_form(t, AVRO(.base = "int", .connect_name = DEBEZIUM("time.Time")), wf_conv_time_ms);
        break;
    case MICROS:
        break; /* as the row has it */
    case NANOS:
        set_form(t, AVRO(.base = "long", .connect_name = DEBEZIUM("time.NanoTime")), wf_conv_clock);
        t->arg = WF_STAMP_NS;
        break;
    case CONNECT:
        set_form(t, AVRO(.base = "int", .connect_name = CONNECT("Time"), .logical = "time-millis"),
                 wf_conv_clock);
        t->arg = millis(t, digits);
        break;
    case ISO:
        set_text(t, DEBEZIUM("time.IsoTime"), wf_conv_time_iso, "00:00:00Z");
        t->room = ISO_ROOM;
        break;
    }
}

static void set_stamp(struct wf_coltype *t, const struct wf_avro_type *avro, int arg)
{
    set_form(t, avro, wf_conv_stamp);
    t->arg = arg;
}

WF_FORM(wf_form_timestamp)
{
    int digits = time_digits(in->typmod), rule = infinity_rule(in->modes);

    switch (unit_of(in->modes->time, digits, false)) {
    case MILLIS:
        set_form(t, AVRO(.base = "long", .connect_name = DEBEZIUM("time.Timestamp")),
                 wf_conv_timestamp_ms);
        if (rule)
            set_stamp(t, AVRO(.base = "long", .connect_name = DEBEZIUM("time.Timestamp")),
                      WF_STAMP_MS | rule);
        break;
    case MICROS:
        if (rule) {
            t->conv = wf_conv_stamp;
            t->arg = WF_STAMP_US | rule;
        }
        break;
    case NANOS:
        set_stamp(t, AVRO(.base = "long", .connect_name = DEBEZIUM("time.NanoTimestamp")),
                  WF_STAMP_NS | rule);
        break;
    case CONNECT:
        set_stamp(t,
                  AVRO(.base = "long", .connect_name = CONNECT("Timestamp"),
                       .logical = "timestamp-millis"),
                  millis(t, digits) | rule);
        break;
    case ISO:
        set_text(t, DEBEZIUM("time.IsoTimestamp"), wf_conv_timestamp_iso, "1970-01-01T00:00:00Z");
        t->room = ISO_ROOM;
        break;
    }
}

WF_FORM(wf_form_timestamptz)
{
    int digits = time_digits(in->typmod), rule = infinity_rule(in->modes) | WF_STAMP_ZONED;

    t->arg = digits;
    if (in->modes->zoned == WF_ZONED_STRING ||
        (in->modes->zoned == WF_ZONED_AUTO && wf_form_is_debezium(in->modes)))
        return;
    t->zero = t->row->call;
    if (in->modes->zoned == WF_ZONED_TIMESTAMP_MICROS)
        set_stamp(t,
                  AVRO(.base = "long", .connect_name = DEBEZIUM("time.MicroTimestamp"),
                       .logical = "timestamp-micros"),
                  WF_STAMP_US | rule);
    else
        set_stamp(t,
                  AVRO(.base = "long", .connect_name = CONNECT("Timestamp"),
                       .logical = "timestamp-millis"),
                  millis(t, digits) | rule);
}

WF_FORM(wf_form_interval)
{
    if (in->modes->interval == WF_INTERVAL_STRING) {
        set_text(t, DEBEZIUM("time.Interval"), wf_conv_interval_iso, "P0Y0M0DT0H0M0S");
        t->room = ISO_ROOM;
    } else if (in->modes->interval == WF_INTERVAL_AUTO && !wf_form_is_debezium(in->modes)) {
        set_form(t, AVRO(.base = "record", .record = WF_RECORD_INTERVAL), wf_conv_interval_parts);
        t->room = 3 * WF_LONG_ROOM;
    }
}

/* ---- what holds for every type ---- */

/* Width and digits as the JDBC driver tells them of a type, for those that have any. */
static bool source_size(uint32_t oid, int32_t typmod, int *length, int *scale)
{
    static const struct {
        uint32_t oid;
        int length, scale;
    } fixed[] = {{16, 1, 0},  {18, 1, 0},  {20, 19, 0},   {21, 5, 0},   {23, 10, 0},
                 {26, 10, 0}, {700, 8, 8}, {701, 17, 17}, {1082, 13, 0}};
    static const struct {
        uint32_t oid;
        int length; /* without fraction */
    } times[] = {{1083, 8}, {1266, 14}, {1114, 22}, {1184, 28}};
    int digits = time_digits(typmod);

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        if (fixed[i].oid == oid) {
            *length = fixed[i].length;
            *scale = fixed[i].scale;
            return true;
        }
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        if (times[i].oid == oid) {
            *scale = digits;
            *length = times[i].length + (digits == 1 ? 3 : digits ? digits + 1 : 0);
            return true;
        }
    return false;
}

static void source_shape(uint32_t oid, int32_t typmod, int *length, int *scale)
{
    int packed = typmod - VARHDRSZ;

    *length = INT32_MAX;
    *scale = 0;
    if (source_size(oid, typmod, length, scale))
        return;
    switch (oid) {
    case 1700: /* numeric */
        *length = typmod < VARHDRSZ ? 131089 : packed >> 16 & 0xffff;
        *scale = typmod < VARHDRSZ ? 0 : packed & 0x7ff;
        break;
    case 1186: /* interval: the fields' bits lie above the precision */
        *length = 49;
        *scale = typmod < 0 ? MAX_TIME_DIGITS : typmod & 0xffff;
        break;
    case 1042: /* bpchar */
    case 1043: /* varchar */
        *length = typmod < VARHDRSZ ? INT32_MAX : packed;
        break;
    case 1560: /* bit */
    case 1562: /* varbit */
        *length = typmod < 0 ? INT32_MAX : typmod;
        break;
    default:
        break;
    }
}

#define SOURCE_PARAM "__debezium.source.column."

/* column.propagate.source.type: the column's own type and name beside what became of it. */
static void add_source(struct wf_coltype *t, const struct wf_type_in *in)
{
    const char *name = in->source_type ? in->source_type : in->name ? in->name : t->row->name;
    uint32_t oid = in->sub && in->kind == 'a' ? in->sub->oid : in->oid;
    int length, scale;
    size_t i = 0;

    for (; i < sizeof(t->source_type) - 1 && name[i]; i++)
        t->source_type[i] =
            (char)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 'a' + 'A' : name[i]);
    source_shape(oid, in->typmod, &length, &scale);
    snprintf(t->source_length, sizeof(t->source_length), "%d", length);
    snprintf(t->source_scale, sizeof(t->source_scale), "%d", scale);
    wf_avro_param_add(&t->avro, SOURCE_PARAM "type", t->source_type);
    wf_avro_param_add(&t->avro, SOURCE_PARAM "length", t->source_length);
    wf_avro_param_add(&t->avro, SOURCE_PARAM "scale", t->source_scale);
    if (in->field_name)
        wf_avro_param_add(&t->avro, SOURCE_PARAM "name", in->field_name);
}

struct wf_avro_type wf_type_in_key(const struct wf_coltype *t)
{
    struct wf_avro_type key = t->avro;

    key.nparams = 0;
    for (unsigned i = 0; i < t->avro.nparams; i++)
        if (strncmp(t->avro.params[i].key, SOURCE_PARAM, sizeof(SOURCE_PARAM) - 1) != 0)
            key.params[key.nparams++] = t->avro.params[i];
    return key;
}

/* A text that stands for a value of another type says of which, outside Debezium's schemas. */
static bool needs_pg_type(const struct wf_coltype *t)
{
    return !strcmp(t->avro.base, "string") && !t->avro.pg_type && !t->avro.logical &&
           t->row->dflt != WF_DFLT_WORD;
}

WF_FORM(wf_form_finish)
{
    const struct wf_avro_type *a = &t->avro;

    if (in->modes->profile == WF_PROFILE_STRICT && in->modes->zoned != WF_ZONED_TIMESTAMP_MICROS &&
        a->connect_name && !strncmp(a->connect_name, "io.debezium.", 12))
        t->avro.logical = NULL;
    if (!wf_form_is_debezium(in->modes) && needs_pg_type(t))
        t->avro.pg_type = in->text_name ? in->text_name : in->name ? in->name : t->row->name;
    if (in->propagate)
        add_source(t, in);
}
