/* What an Avro value has to be for a value with a meaning, by the field's schema and the modes. */
#ifndef WF_TEST_ORACLE_CHECK_H
#define WF_TEST_ORACLE_CHECK_H

#include <avro.h>
#include <criterion/criterion.h>
#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/evp.h>

#include "config.h"
#include "oracle_kit.h"

static struct wf_format_conf conf;
static const char *at, *at_text; /* type and value in hand, for messages */

#define FAIL(...)                                                                                  \
    cr_assert_fail("profile %d decimal %d time %d zoned %d interval %d hstore %d binary %d array " \
                   "%d: %s of %s: %s",                                                             \
                   conf.profile, conf.decimal_mode, conf.time_mode, conf.zoned_mode,               \
                   conf.interval_mode, conf.hstore_mode, conf.binary_mode, conf.array_mode, at,    \
                   at_text, __VA_ARGS__)
#define EXPECT(c)                                                                                  \
    do {                                                                                           \
        if (!(c))                                                                                  \
            FAIL(#c);                                                                              \
    } while (0)

/* ---- what an Avro type holds ---- */

static bool is_debezium(void)
{
    return conf.profile == WF_PROFILE_DEBEZIUM || conf.profile == WF_PROFILE_STRICT;
}

static json_t *branch_of(json_t *type)
{
    json_t *first = json_array_get(type, 0);

    if (!json_is_array(type))
        return type;
    return json_is_string(first) && !strcmp(json_string_value(first), "null")
               ? json_array_get(type, 1)
               : first;
}

/* "record", "string" ...; a name of a record that came before is one too. */
static const char *base_of(json_t *type)
{
    const char *s = json_is_object(type) ? json_string_value(json_object_get(type, "type"))
                                         : json_string_value(type);

    return s ? s : "";
}

static bool is_base(json_t *type, const char *base)
{
    return !strcmp(base_of(type), base);
}

static const char *name_of(json_t *type)
{
    const char *s = json_string_value(json_object_get(type, "connect.name"));

    return s ? strrchr(s, '.') + 1 : "";
}

static bool is_number(json_t *type)
{
    return is_base(type, "int") || is_base(type, "long");
}

enum { IN_MS, IN_US, IN_NS };

static int unit_of(json_t *type, bool connect)
{
    const char *name = name_of(type);

    if (!strncmp(name, "Nano", 4))
        return IN_NS;
    if (!strncmp(name, "Micro", 5))
        return IN_US;
    EXPECT(connect || !strcmp(name, "Time") || !strcmp(name, "Timestamp"));
    return IN_MS;
}

/* Since 1970 or of the day; rounded down where digits are cut. */
static __int128 in_unit(const struct meaning *m, int unit)
{
    __int128 us = (__int128)m->n * 1000000 + m->us;

    return unit == IN_NS ? us * 1000 : unit == IN_US ? us : (__int128)m->n * 1000 + m->us / 1000;
}

/* Digits that the scale of a decimal has no room for. */
static bool fits_scale(const char *text, int scale)
{
    const char *point = strchr(text, '.');

    for (int i = 1; point && point[i] && scale >= 0; i++)
        if (i > scale && point[i] != '0')
            return false;
    return true;
}

static int scale_of(json_t *type)
{
    json_t *params = json_object_get(type, "connect.parameters");
    const char *s = json_string_value(json_object_get(params, "scale"));

    return s ? (int)strtol(s, NULL, 10) : -1;
}

static bool holds(json_t *type, const struct meaning *m);

static bool parts_hold(json_t *type, const struct meaning *m)
{
    json_t *fields = json_object_get(type, "fields"), *items = json_object_get(type, "items");

    for (unsigned i = 0; i < m->nparts; i++) {
        json_t *sub = fields  ? json_object_get(json_array_get(fields, i), "type")
                      : items ? items
                              : NULL;

        if (m->part[i]->null ? !json_is_array(sub) : !holds(branch_of(sub), m->part[i]))
            return false;
    }
    return true;
}

static bool stamp_holds(json_t *type, const struct meaning *m)
{
    __int128 v;
    int unit;

    if (is_base(type, "string"))
        return true;
    if (m->special)
        return is_debezium();
    if (m->what == W_DATE)
        return true;
    unit = unit_of(type, true);
    v = in_unit(m, unit);
    return unit == IN_MS || (v > INT64_MIN && v < INT64_MAX);
}

/* Whether the value can be written; null stands for those that cannot. */
static bool holds(json_t *type, const struct meaning *m)
{
    switch (m->what) {
    case W_BIT:
        return m->n >= 0 || is_base(type, "string");
    case W_NUMERIC:
        return !m->special || !strcmp(base_of(type), "double") || is_base(type, "string");
    case W_MONEY:
        return is_base(type, "double") || fits_scale(strchr(m->text, '$'), (int)conf.money_digits);
    case W_DATE:
    case W_STAMP:
    case W_ZONED:
        return stamp_holds(type, m);
    case W_ARRAY:
    case W_RECORD:
        return is_base(type, "string") || is_base(type, "bytes") || parts_hold(type, m);
    default:
        return true;
    }
}

/* ---- what it should be ---- */

static void check(json_t *type, avro_value_t *v, const struct meaning *m);

static void expect_data(avro_value_t *v, const void *want, size_t n)
{
    const void *data = NULL;
    const char *text = NULL;
    size_t len = 0;

    if (avro_value_get_type(v) == AVRO_STRING) {
        avro_value_get_string(v, &text, &len);
        data = text;
        len--; /* avro-c counts the NUL */
    } else {
        EXPECT(avro_value_get_bytes(v, &data, &len) == 0);
    }
    if (len != n || memcmp(data, want, n) != 0)
        FAIL("other bytes");
}

static void expect_string(avro_value_t *v, const char *want)
{
    const char *got = "";
    size_t len;

    EXPECT(avro_value_get_string(v, &got, &len) == 0);
    if (strlen(want) + 1 != len || strcmp(got, want) != 0)
        cr_assert_fail("profile %d, time %d: %s of %s gave %s, not %s", conf.profile,
                       conf.time_mode, at, at_text, got, want);
}

static int64_t number_of(avro_value_t *v)
{
    int32_t i = 0;
    int64_t l = 0;

    if (avro_value_get_type(v) == AVRO_INT32) {
        avro_value_get_int(v, &i);
        return i;
    }
    EXPECT(avro_value_get_long(v, &l) == 0);
    return l;
}

static void expect_number(avro_value_t *v, __int128 want)
{
    EXPECT(number_of(v) == want);
}

static void expect_real(avro_value_t *v, double want)
{
    double d = 0;
    float f = 0;

    if (avro_value_get_type(v) == AVRO_FLOAT) {
        avro_value_get_float(v, &f);
        EXPECT(isnan(want) ? isnan(f) : f == (float)want && !signbit(f) == !signbit(want));
        return;
    }
    EXPECT(avro_value_get_double(v, &d) == 0);
    EXPECT(isnan(want) ? isnan(d) : d == want && !signbit(d) == !signbit(want));
}

static avro_value_t part_of(avro_value_t *v, const char *name)
{
    avro_value_t part = {0};

    EXPECT(avro_value_get_by_name(v, name, &part, NULL) == 0);
    if (avro_value_get_type(&part) == AVRO_UNION)
        avro_value_get_current_branch(&part, &part);
    return part;
}

/* Two's complement, big endian, shortest; the number itself by OpenSSL's long arithmetic. */
static void expect_decimal(avro_value_t *v, const char *text, int scale)
{
    const char *point = strchr(text, '.');
    int have = point ? (int)strlen(point + 1) : 0;
    char digits[TEXT_MAX] = "";
    const void *data = NULL;
    BIGNUM *want = NULL, *got, *wrap = BN_new();
    size_t len = 0;

    add(digits, "%.*s%s", point ? (int)(point - text) : (int)strlen(text), text,
        point ? point + 1 : "");
    for (; have < scale; have++)
        add(digits, "0");
    for (; have > scale; have--)
        digits[strlen(digits) - 1] = '\0';
    EXPECT(BN_dec2bn(&want, digits) == (int)strlen(digits));
    EXPECT(avro_value_get_bytes(v, &data, &len) == 0 && len > 0);
    got = BN_bin2bn(data, (int)len, NULL);
    if (((const unsigned char *)data)[0] & 0x80) {
        BN_set_bit(wrap, (int)len * 8);
        BN_sub(got, got, wrap);
    }
    EXPECT(BN_cmp(got, want) == 0);
    BN_is_negative(want) ? BN_add_word(want, 1) : 0; /* -128 needs no more than 127 */
    EXPECT(len == (size_t)BN_num_bits(want) / 8 + 1);
    BN_free(want);
    BN_free(got);
    BN_free(wrap);
}

static void check_numeric(json_t *type, avro_value_t *v, const struct meaning *m)
{
    static const char *const words[] = {"NAN", "POSITIVE_INFINITY", "NEGATIVE_INFINITY"};
    const char *point = strchr(m->text, '.');
    avro_value_t part;
    int scale;

    if (is_base(type, "double")) {
        expect_real(v, strtod(m->text, NULL));
    } else if (is_base(type, "string")) {
        unsigned word = m->text[0] == 'N' ? 0 : m->text[0] == 'I' ? 1 : 2;
        char text[TEXT_MAX] = "";

        add(text, "%s", m->special && is_debezium() ? words[word] : m->text);
        if (m->digits < 0 && conf.profile == WF_PROFILE_STRICT)
            add(text, ".%0*d", m->digits & 0x7ff, 0); /* as Debezium reads the modifier */
        expect_string(v, text);
    } else if (is_base(type, "bytes")) {
        expect_decimal(v, m->text, scale_of(type));
    } else {
        scale = point ? (int)strlen(point + 1) : 0;
        while (scale && point[scale] == '0')
            scale--;
        part = part_of(v, "scale");
        expect_number(&part, scale);
        part = part_of(v, "value");
        expect_decimal(&part, m->text, scale);
    }
}

static void check_money(json_t *type, avro_value_t *v, const struct meaning *m)
{
    int scale = (int)conf.money_digits, have = 2;
    uint64_t mag = m->n < 0 ? 0 - (uint64_t)m->n : (uint64_t)m->n;
    char text[TEXT_MAX] = "";

    add(text, "%s%llu.%02u", m->n < 0 ? "-" : "", (unsigned long long)(mag / 100),
        (unsigned)(mag % 100));
    if (is_base(type, "double")) {
        expect_real(v, strtod(text, NULL));
    } else if (is_base(type, "bytes")) {
        expect_decimal(v, text, scale);
    } else {
        for (; have < scale; have++)
            add(text, "0");
        for (; have > scale; have--)
            text[strlen(text) - 1] = '\0';
        if (!scale)
            text[strlen(text) - 1] = '\0'; /* the point */
        expect_string(v, text);
    }
}

/* Bytes, or text in the mode's form. */
static void check_bytes(json_t *type, avro_value_t *v, const void *bytes, size_t n)
{
    char text[2 * TEXT_MAX] = "";

    if (is_base(type, "bytes")) {
        expect_data(v, bytes, n);
        return;
    }
    if (conf.binary_mode == WF_BINARY_HEX) {
        for (size_t i = 0; i < n; i++)
            snprintf(text + 2 * i, 3, "%02x", ((const unsigned char *)bytes)[i]);
    } else {
        EVP_EncodeBlock((unsigned char *)text, bytes, (int)n);
        for (char *c = text; *c && conf.binary_mode == WF_BINARY_BASE64_URL; c++)
            *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    }
    expect_string(v, text);
}

static bool is_encoded(void)
{
    return conf.profile == WF_PROFILE_STRICT && conf.binary_mode != WF_BINARY_BYTES;
}

static void check_other(json_t *type, avro_value_t *v, const struct meaning *m)
{
    if (is_encoded())
        check_bytes(type, v, m->text, strlen(m->text));
    else
        expect_data(v, m->text, strlen(m->text));
}

static void add_iso_date(char *out, int64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    int year;

    gmtime_r(&t, &tm);
    year = tm.tm_year + 1900;
    add(out, "%s%04d-%02d-%02d",
        year < 0      ? "-"
        : year > 9999 ? "+"
                      : "",
        abs(year), tm.tm_mon + 1, tm.tm_mday);
}

static void check_date(json_t *type, avro_value_t *v, const struct meaning *m)
{
    char text[TEXT_MAX] = "";

    if (is_number(type)) {
        expect_number(v, m->special > 0 ? 2146033979 : m->special < 0 ? -2147472691 : m->n / DAY_S);
        return;
    }
    add_iso_date(text, m->n);
    add(text, "Z");
    expect_string(v, m->special ? m->text : text);
}

static void check_clock(json_t *type, avro_value_t *v, const struct meaning *m)
{
    char text[TEXT_MAX] = "";

    if (is_number(type)) {
        expect_number(v, in_unit(m, unit_of(type, false)));
        return;
    }
    add_clock(text, m->n, m->us);
    add(text, "Z");
    expect_string(v, text);
}

static void check_stamp(json_t *type, avro_value_t *v, const struct meaning *m)
{
    static const int64_t ms[] = {-9223372036832400000, 0, 9223372036825200000};
    static const int64_t finer[] = {INT64_MIN, 0, INT64_MAX};
    int64_t of_day = (m->n % DAY_S + DAY_S) % DAY_S;
    char text[TEXT_MAX] = "";

    if (is_number(type)) {
        int unit = unit_of(type, false);

        if (m->special)
            expect_number(v, (unit == IN_MS ? ms : finer)[m->special + 1]);
        else
            expect_number(v, in_unit(m, unit));
        return;
    }
    add_iso_date(text, m->n);
    add(text, "T");
    add_clock(text, of_day, m->what == W_ZONED ? 0 : m->us);
    if (m->what == W_ZONED && m->digits)
        add(text, ".%0*d", m->digits, m->digits == 3 ? m->us / 1000 : m->us);
    add(text, "Z");
    expect_string(v, m->special ? m->text : text);
}

static void check_interval(json_t *type, avro_value_t *v, const struct meaning *m)
{
    int64_t seconds = m->n / 1000000;
    char text[TEXT_MAX] = "";
    avro_value_t part;

    if (is_number(type)) {
        expect_number(v,
                      (__int128)m->months * 2629800000000 + (__int128)m->days * 86400000000 + m->n);
    } else if (is_base(type, "string")) {
        add(text, "P%dY%dM%dDT%dH%dM", m->months / 12, m->months % 12, m->days,
            (int)(seconds / 3600), (int)(seconds / 60 % 60));
        add(text, m->n < 0 && seconds % 60 == 0 && m->n % 1000000 ? "-%d" : "%d",
            (int)(seconds % 60));
        if (m->n % 1000000)
            add_fraction(text, abs((int)(m->n % 1000000)));
        else
            add(text, ".0");
        text[strlen(text) - (m->n % 1000000 ? 0 : 2)] = '\0';
        add(text, "S");
        expect_string(v, text);
    } else {
        part = part_of(v, "months");
        expect_number(&part, m->months);
        part = part_of(v, "days");
        expect_number(&part, m->days);
        part = part_of(v, "micros");
        expect_number(&part, m->n);
    }
}

static void check_hstore(json_t *type, avro_value_t *v, const struct meaning *m)
{
    const char *text = NULL;
    json_t *object = NULL;
    size_t size = 0;

    if (is_base(type, "string")) {
        avro_value_get_string(v, &text, &size);
        object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        EXPECT(json_is_object(object) && json_object_size(object) == m->nparts / 2);
    } else {
        EXPECT(avro_value_get_size(v, &size) == 0 && size == m->nparts / 2);
    }
    for (unsigned i = 0; i < m->nparts; i += 2) {
        const char *key = m->part[i]->text, *want = m->part[i + 1]->text;
        avro_value_t part;

        if (object) {
            json_t *member = json_object_get(object, key);

            EXPECT(m->part[i + 1]->null ? json_is_null(member)
                                        : !strcmp(json_string_value(member), want));
            continue;
        }
        part = part_of(v, key);
        EXPECT((avro_value_get_type(&part) == AVRO_NULL) == m->part[i + 1]->null);
        if (!m->part[i + 1]->null)
            expect_string(&part, want);
    }
    json_decref(object);
}

/* ---- geometry ---- */

static void add_wkb(unsigned char **p, const void *data, size_t n)
{
    memcpy(*p, data, n); /* little endian, as the machine */
    *p += n;
}

/* A well-known binary of @n coordinates; @head: type, and counts. */
static void expect_wkb(avro_value_t *v, const uint32_t *head, unsigned nhead, const double *xy,
                       unsigned n)
{
    avro_value_t wkb = part_of(v, "wkb"), srid = part_of(v, "srid");
    unsigned char want[256], *p = want;

    *p++ = 1;
    add_wkb(&p, head, nhead * sizeof(*head));
    add_wkb(&p, xy, n * sizeof(*xy));
    expect_data(&wkb, want, (size_t)(p - want));
    EXPECT(avro_value_get_type(&srid) == AVRO_NULL);
}

static void check_point(avro_value_t *v, const double *xy)
{
    static const uint32_t head = 1;
    avro_value_t x = part_of(v, "x"), y = part_of(v, "y");

    expect_real(&x, xy[0]);
    expect_real(&y, xy[1]);
    expect_wkb(v, &head, 1, xy, 2);
}

static void check_shape(json_t *type, avro_value_t *v, const struct meaning *m)
{
    uint32_t line[] = {2, m->nreal / 2}, ring[] = {3, 1, 5};
    avro_value_t ext, part;
    double xy[16];

    if (is_base(type, "string")) {
        expect_string(v, m->text);
        return;
    }
    memcpy(xy, m->real, sizeof(m->real));
    if (m->shape == 'b') {
        const double *r = m->real,
                     corners[] = {r[0], r[1], r[0], r[3], r[2], r[3], r[2], r[1], r[0], r[1]};

        expect_wkb(v, ring, 3, corners, 10);
    } else if (m->shape == 'g') {
        unsigned n = m->nreal;

        if (xy[0] != xy[n - 2] || xy[1] != xy[n - 1]) {
            xy[n++] = xy[0];
            xy[n++] = xy[1];
        }
        ring[2] = n / 2;
        expect_wkb(v, ring, 3, xy, n);
    } else {
        expect_wkb(v, line, 2, xy, m->nreal);
    }
    ext = part_of(v, "extensions");
    part = part_of(&ext, "type");
    expect_string(&part, m->shape == 'l'   ? "lseg"
                         : m->shape == 'b' ? "box"
                         : m->shape == 'g' ? "polygon"
                                           : "path");
    if (strchr("oc", m->shape)) {
        part = part_of(&ext, "closed");
        expect_string(&part, m->shape == 'c' ? "true" : "false");
    }
}

static void check_circle(json_t *type, avro_value_t *v, const struct meaning *m)
{
    avro_value_t part;

    if (is_base(type, "string")) {
        expect_string(v, m->text);
        return;
    }
    part = part_of(v, "center");
    check_point(&part, m->real);
    part = part_of(v, "radius");
    expect_real(&part, m->real[2]);
}

static void check_line(json_t *type, avro_value_t *v, const struct meaning *m)
{
    static const char *const names[] = {"a", "b", "c"};

    if (is_base(type, "string")) {
        expect_string(v, m->text);
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        avro_value_t part = part_of(v, names[i]);

        expect_real(&part, m->real[i]);
    }
}

static void check_ewkb(avro_value_t *v, const struct meaning *m)
{
    avro_value_t wkb = part_of(v, "wkb"), srid = part_of(v, "srid");

    expect_data(&wkb, m->bytes, m->len);
    EXPECT((avro_value_get_type(&srid) == AVRO_NULL) == (m->n < 0));
    if (m->n >= 0)
        expect_number(&srid, m->n);
}

/* ---- what has parts ---- */

static avro_value_t item_of(avro_value_t *v, size_t i)
{
    avro_value_t item = {0};

    EXPECT(avro_value_get_by_index(v, i, &item, NULL) == 0);
    return item;
}

static void expect_size(avro_value_t *v, size_t want)
{
    size_t size = 0;

    EXPECT(avro_value_get_size(v, &size) == 0 && size == want);
}

static void check_numbers(avro_value_t *v, const struct meaning *m)
{
    expect_size(v, m->what == W_INTS ? m->len : m->nreal);
    for (size_t i = 0; i < (m->what == W_INTS ? m->len : m->nreal); i++) {
        avro_value_t item = item_of(v, i);

        if (m->what == W_INTS)
            expect_number(&item, m->ints[i]);
        else
            expect_real(&item, m->real[i]);
    }
}

static void check_sparse(json_t *type, avro_value_t *v, const struct meaning *m)
{
    avro_value_t part, item;

    if (is_base(type, "string")) {
        expect_string(v, m->text);
        return;
    }
    part = part_of(v, "dimensions");
    expect_number(&part, m->n);
    part = part_of(v, "vector");
    expect_size(&part, m->nreal);
    for (unsigned i = 0; i < m->nreal; i++) {
        avro_value_t entry = item_of(&part, i);

        item = part_of(&entry, "key");
        expect_number(&item, m->ints[i]);
        item = part_of(&entry, "value");
        expect_real(&item, m->real[i]);
    }
}

/* A field or element: null where the value is, or where the type cannot hold it. */
static void check_nullable(json_t *type, avro_value_t *v, const struct meaning *m, bool null)
{
    avro_value_t branch = *v;

    if (json_is_array(type)) {
        EXPECT(avro_value_get_current_branch(v, &branch) == 0);
        EXPECT((avro_value_get_type(&branch) == AVRO_NULL) == null);
    } else {
        EXPECT(!null);
    }
    if (!null)
        check(branch_of(type), &branch, m);
}

static void check_parts(json_t *type, avro_value_t *v, const struct meaning *m)
{
    json_t *fields = json_object_get(type, "fields");

    if (m->what == W_RECORD && conf.profile == WF_PROFILE_STRICT) {
        check_other(type, v, m); /* Debezium has no composites */
        return;
    }
    if (is_base(type, "string")) {
        expect_string(v, m->text);
        return;
    }
    expect_size(v, m->nparts);
    for (unsigned i = 0; i < m->nparts; i++) {
        json_t *sub = fields ? json_object_get(json_array_get(fields, i), "type")
                             : json_object_get(type, "items");
        avro_value_t item = item_of(v, i);

        check_nullable(sub, &item, m->part[i], m->part[i]->null);
    }
}

static void check_plain(json_t *type, avro_value_t *v, const struct meaning *m)
{
    int b = 0;

    if (is_base(type, "boolean")) {
        EXPECT(avro_value_get_boolean(v, &b) == 0 && b == m->n);
    } else if (is_base(type, "bytes")) {
        expect_data(v, m->bytes, m->len);
    } else {
        expect_string(v, m->text);
    }
}

/* The value that avro-c has against the one the text was made of. */
static void check(json_t *type, avro_value_t *v, const struct meaning *m)
{
    switch (m->what) {
    case W_BOOL:
    case W_BIT:
    case W_BITS:
        check_plain(type, v, m);
        break;
    case W_INT:
        expect_number(v, m->n);
        break;
    case W_REAL:
        expect_real(v, m->real[0]);
        break;
    case W_NUMERIC:
        check_numeric(type, v, m);
        break;
    case W_MONEY:
        check_money(type, v, m);
        break;
    case W_TEXT:
        expect_string(v, m->text);
        break;
    case W_OTHER:
        check_other(type, v, m);
        break;
    case W_BYTEA:
        check_bytes(type, v, m->bytes, m->len);
        break;
    case W_DATE:
        check_date(type, v, m);
        break;
    case W_TIME:
    case W_TIMETZ:
        check_clock(type, v, m);
        break;
    case W_STAMP:
    case W_ZONED:
        check_stamp(type, v, m);
        break;
    case W_INTERVAL:
        check_interval(type, v, m);
        break;
    case W_HSTORE:
        check_hstore(type, v, m);
        break;
    case W_POINT:
        check_point(v, m->real);
        break;
    case W_LINE:
        check_line(type, v, m);
        break;
    case W_CIRCLE:
        check_circle(type, v, m);
        break;
    case W_SHAPE:
        check_shape(type, v, m);
        break;
    case W_EWKB:
        check_ewkb(v, m);
        break;
    case W_INTS:
    case W_REALS:
        check_numbers(v, m);
        break;
    case W_SPARSE:
        check_sparse(type, v, m);
        break;
    case W_ARRAY:
    case W_RECORD:
        check_parts(type, v, m);
        break;
    }
}

#endif
