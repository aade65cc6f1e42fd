/* Composites become Avro records, hstore a map. */
#include <stdlib.h>

#include "avro_put.h"
#include "config.h"
#include "names.h"
#include "types_conv.h"

#define NAMES_MAX (1u << 20)

/* One field of record_out()'s text: unquoted and empty is NULL. Inside quotes a quote is doubled,
 * a backslash too. Return: past the field, NULL when it is malformed. */
static const char *take_field(const char *s, const char *end, char *scratch, const char **field,
                              size_t *n)
{
    const char *start = s;
    char *to = scratch;

    if (s == end || *s != '"') {
        while (s < end && *s != ',' && *s != ')') {
            if (*s == '"' || *s == '\\' || *s == '(')
                return NULL;
            s++;
        }
        *field = start;
        *n = (size_t)(s - start);
        return s;
    }
    for (s++; s < end; s++) {
        if (*s == '"' && (s + 1 == end || s[1] != '"')) {
            *field = scratch;
            *n = (size_t)(to - scratch);
            return s + 1;
        }
        s += *s == '"' || *s == '\\';
        if (s == end)
            return NULL;
        *to++ = *s;
    }
    return NULL;
}

/* `(1,"a, b",)`: every field nullable. The room of a record is that of all its fields. */
WF_CONV(wf_conv_record)
{
    char *scratch = wf_conv_scratch(t, n, p);
    const char *end = s + n;

    if (n < 2 || *s != '(' || end[-1] != ')')
        return wf_conv_fail(why, WF_CONV_BAD);
    for (uint16_t i = 0; i < t->nsub; i++) {
        const struct wf_coltype *f = &t->sub[i];
        unsigned char *next;
        const char *field;
        bool present;
        size_t len;

        present = s + 1 < end && s[1] != ',' && s[1] != ')';
        s = take_field(s + 1, end, scratch, &field, &len);
        if (!s || s == end || *s != (i + 1 < t->nsub ? ',' : ')'))
            return wf_conv_fail(why, WF_CONV_BAD);
        *p++ = present ? 2 : 0;
        if (!present)
            continue;
        next = f->conv(f, field, len, p, why);
        if (!next)
            return NULL;
        p = next;
    }
    return s + 1 == end ? p : wf_conv_fail(why, WF_CONV_BAD);
}

/* ---- hstore as a map ---- */

/* A quoted string; @p as in wf_put_bytes(). Return: past it, NULL when it is malformed. */
static const char *put_quoted(const char *s, const char *end, unsigned char **p)
{
    const char *start = s + 1;
    size_t escapes = 0;

    if (s == end || *s != '"')
        return NULL;
    for (s++; s < end && *s != '"'; s++) {
        if (*s == '\\') {
            escapes++;
            if (++s == end)
                return NULL;
        }
    }
    if (s == end)
        return NULL;
    *p = wf_put_long(*p, (int64_t)((size_t)(s - start) - escapes));
    while (start < s) {
        start += *start == '\\';
        *(*p)++ = (unsigned char)*start++;
    }
    return s + 1;
}

/* `"k"=>"v"` or `"k"=>NULL` as a map's entry. Return: as put_quoted(). */
static const char *put_pair(const char *s, const char *end, unsigned char **p)
{
    s = put_quoted(s, end, p);
    if (!s || end - s < 3 || memcmp(s, "=>", 2) != 0)
        return NULL;
    s += 2;
    if (*s == '"') {
        *(*p)++ = 2;
        return put_quoted(s, end, p);
    }
    if (end - s < 4 || memcmp(s, "NULL", 4) != 0)
        return NULL;
    *(*p)++ = 0;
    return s + 4;
}

WF_CONV(wf_conv_hstore_map)
{
    const char *end = s + n;
    unsigned char *start = p++;
    int64_t count = 0;

    (void)t;
    *start = 0;
    while (s < end) {
        s = put_pair(s, end, &p);
        if (s && s < end)
            s = end - s > 2 && !memcmp(s, ", ", 2) ? s + 2 : NULL;
        if (!s)
            return wf_conv_fail(why, WF_CONV_BAD);
        count++;
    }
    return wf_conv_close_block(start, p, count);
}

void wf_refine_hstore(struct wf_coltype *t, const struct wf_type_in *in)
{
    static const struct wf_avro_type string = {.base = "string"};
    static const struct wf_avro_type map = {
        .base = "map", .items = &string, .items_nullable = true};

    if (!in->modes || in->modes->hstore != WF_HSTORE_MAP)
        return;
    t->avro = map;
    t->conv = wf_conv_hstore_map;
    t->room = 2 * WF_LONG_ROOM;
    t->room_per_byte = 2;
    t->zero = "";
    t->toast = WF_TOAST_ITEMS;
}

/* ---- choosing the form ---- */

/* One part of the record's name. Return: whether nothing was replaced. */
static bool put_part(struct wf_buf *out, const char *s)
{
    size_t at = out->len;

    wf_name_avro(out, s, true, WF_NAME_AVRO);
    return !out->failed && out->len - at == strlen(s) && !memcmp(out->data + at, s, strlen(s));
}

static void put_record_name(struct wf_buf *out, const struct wf_type_in *in)
{
    bool same;

    wf_buf_str(out, "walferry.composite.");
    same = put_part(out, in->schema ? in->schema : "public");
    wf_buf_byte(out, '.');
    same &= put_part(out, in->name ? in->name : "record");
    if (!same)
        wf_buf_printf(out, "_%08x",
                      wf_name_hash(in->schema ? in->schema : "") * 31 +
                          wf_name_hash(in->name ? in->name : ""));
    wf_buf_byte(out, '\0');
}

/* The names one after the other: of the record, of its fields, and the text of an all-NULL value,
 * which fills an unknown column. */
static bool put_names(struct wf_coltype *t, const struct wf_type_in *in)
{
    struct wf_buf b;
    char *s;

    wf_buf_init(&b, NAMES_MAX);
    put_record_name(&b, in);
    for (uint16_t i = 0; i < in->nsub; i++) {
        wf_name_avro(&b, in->sub[i].field_name ? in->sub[i].field_name : "", true,
                     (enum wf_name_mode)in->modes->names);
        wf_buf_byte(&b, '\0');
    }
    wf_buf_byte(&b, '(');
    for (uint16_t i = 1; i < in->nsub; i++)
        wf_buf_byte(&b, ',');
    wf_buf_put(&b, ")", 2);
    if (b.failed) {
        wf_buf_deinit(&b);
        return false;
    }
    s = t->names = (char *)b.data;
    t->avro.record_name = s;
    for (uint16_t i = 0; i < in->nsub; i++) {
        s += strlen(s) + 1;
        t->fields[i].name = s;
    }
    t->zero = s + strlen(s) + 1;
    return true;
}

static bool names_differ(const struct wf_coltype *t)
{
    for (uint16_t i = 0; i < t->nsub; i++)
        for (uint16_t k = 0; k < i; k++)
            if (!strcmp(t->fields[i].name, t->fields[k].name))
                return false;
    return true;
}

static size_t namespace_len(const char *full_name)
{
    return (size_t)(strrchr(full_name, '.') - full_name);
}

/* Records inside this one leave out a namespace that is the same. */
static void share_namespace(const struct wf_coltype *t, struct wf_coltype *sub)
{
    while (sub->avro.items && sub->nsub)
        sub = sub->sub;
    if (sub->avro.record_name) {
        size_t n = namespace_len(t->avro.record_name);

        sub->avro.same_namespace = n == namespace_len(sub->avro.record_name) &&
                                   !memcmp(t->avro.record_name, sub->avro.record_name, n);
    }
}

static const struct wf_type record_row = {
    .name = "composite", .avro = {.base = "record"}, .toast = WF_TOAST_NONE};

/* Return: the least whole of the fields: one that is left out takes the record with it. */
static enum wf_resolved resolve_fields(struct wf_coltype *t, const struct wf_type_in *in)
{
    enum wf_resolved all = WF_RESOLVED;

    for (uint16_t i = 0; i < in->nsub; i++) {
        struct wf_type_in f = in->sub[i];
        enum wf_resolved one;

        f.modes = in->modes;
        one = wf_type_resolve(&t->sub[i], &f);
        t->nsub++;
        all = one > all ? one : all;
        t->fields[i].type = &t->sub[i].avro;
        t->fields[i].nullable = true;
        t->room += 1 + t->sub[i].room;
        if (t->sub[i].room_per_byte > t->room_per_byte)
            t->room_per_byte = t->sub[i].room_per_byte;
    }
    t->room_per_byte++; /* and what wf_conv_scratch() gives away */
    return all;
}

bool wf_record_resolve(struct wf_coltype *t, const struct wf_type_in *in, enum wf_resolved *out)
{
    if (in->kind != 'c' || !in->nsub || wf_type_profile(in) == WF_PROFILE_STRICT)
        return false;
    *t = (struct wf_coltype){.row = &record_row,
                             .avro = record_row.avro,
                             .conv = wf_conv_record,
                             .toast = WF_TOAST_NONE};
    t->sub = calloc(in->nsub, sizeof(*t->sub));
    t->fields = calloc(in->nsub, sizeof(*t->fields));
    *out = WF_RESOLVED_MEMORY;
    if (!t->sub || !t->fields)
        return true;
    *out = resolve_fields(t, in);
    if (!put_names(t, in)) {
        *out = WF_RESOLVED_MEMORY;
        return true;
    }
    if (!names_differ(t)) { /* no record can hold both */
        wf_type_free(t);
        return false;
    }
    t->avro.fields = t->fields;
    t->avro.nfields = t->nsub;
    for (uint16_t i = 0; i < t->nsub; i++)
        share_namespace(t, &t->sub[i]);
    return true;
}
