/* Arrays: the element's own converter for each element, in one Avro block. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "avro_put.h"
#include "config.h"
#include "types_conv.h"

#define OID_BIT 1560
#define OID_BOX 603

const struct wf_avro_type wf_avro_int2 = {.base = "int", .connect_type = "int16"};
const struct wf_avro_type wf_avro_long = {.base = "long"};
const struct wf_avro_type wf_avro_float = {.base = "float"};
const struct wf_avro_type wf_avro_double = {.base = "double"};

/* Where the reading of an array stands. */
struct items {
    const char *s, *end;
    char *scratch; /* for an element that is escaped */
    char delim;
};

struct item {
    const char *s;
    size_t n;
    bool null;
};

/* The element behind an opening quote; without backslashes it stays where it is.
 * Return: false when no quote closes it. */
static bool take_quoted(struct items *r, struct item *out)
{
    char *to = r->scratch;
    const char *start = ++r->s;

    while (r->s < r->end && *r->s != '"' && *r->s != '\\')
        r->s++;
    *out = (struct item){.s = start, .n = (size_t)(r->s - start)};
    if (r->s < r->end && *r->s == '"') {
        r->s++;
        return true;
    }
    memcpy(to, start, out->n);
    out->s = to;
    to += out->n;
    for (; r->s < r->end && *r->s != '"'; r->s++) {
        r->s += *r->s == '\\';
        if (r->s == r->end)
            return false;
        *to++ = *r->s;
    }
    out->n = (size_t)(to - out->s);
    return r->s++ < r->end;
}

static bool is_null_word(const char *s, size_t n)
{
    return n == 4 && (s[0] | 0x20) == 'n' && (s[1] | 0x20) == 'u' && (s[2] | 0x20) == 'l' &&
           (s[3] | 0x20) == 'l';
}

static bool take_plain(struct items *r, struct item *out)
{
    const char *start = r->s;

    while (r->s < r->end && *r->s != r->delim && *r->s != '}') {
        if (*r->s == '"' || *r->s == '\\' || *r->s == '{')
            return false;
        r->s++;
    }
    *out = (struct item){.s = start, .n = (size_t)(r->s - start)};
    out->null = is_null_word(out->s, out->n);
    return out->n > 0;
}

/* "[2:4]=" in front of an array whose first index is not 1; the bounds are not carried. */
static bool skip_bounds(struct items *r)
{
    if (r->s == r->end || *r->s != '[')
        return true;
    while (r->s < r->end && *r->s != '=') {
        if (!strchr("[]:+-0123456789", *r->s) || !*r->s)
            return false;
        r->s++;
    }
    return r->s++ < r->end;
}

/* One element with its branch. @limit: end of the room. */
static unsigned char *put_item(const struct wf_coltype *t, const struct item *item,
                               unsigned char *p, const unsigned char *limit, enum wf_conv_why *why)
{
    const struct wf_coltype *e = t->sub;

    if ((size_t)(limit - p) < 2 + e->room + item->n * e->room_per_byte)
        return wf_conv_fail(why, WF_CONV_RANGE);
    if (item->null) {
        if (!t->avro.items_nullable)
            return wf_conv_fail(why, WF_CONV_NULL);
        *p++ = 0;
        return p;
    }
    if (t->avro.items_nullable)
        *p++ = 2; /* branch 1: the element */
    return e->conv(e, item->s, item->n, p, why);
}

unsigned char *wf_conv_close_block(unsigned char *start, unsigned char *p, int64_t count)
{
    unsigned char head[WF_LONG_ROOM];
    size_t n = (size_t)(wf_put_long(head, count) - head);

    if (!count)
        return p;
    if (n > 1)
        memmove(start + n, start + 1, (size_t)(p - start) - 1);
    memcpy(start, head, n);
    p += n - 1;
    *p++ = 0;
    return p;
}

static bool begin_items(struct items *r, enum wf_conv_why *why)
{
    *why = WF_CONV_BAD;
    if (!skip_bounds(r) || r->end - r->s < 2 || *r->s != '{' || r->end[-1] != '}')
        return false;
    r->s++;
    return true;
}

/* `{1,NULL,"a b"}` as array_out() of PostgreSQL prints it. */
WF_CONV(wf_conv_array)
{
    char *limit = wf_conv_scratch(t, n, p);
    struct items r = {.s = s, .end = s + n, .scratch = limit, .delim = (char)t->arg};
    unsigned char *start = p++;
    int64_t count = 0;
    bool more;

    *start = 0;
    if (!begin_items(&r, why))
        return NULL;
    if (*r.s == '}')
        return r.s + 1 == r.end ? p : wf_conv_fail(why, WF_CONV_BAD);
    do {
        struct item item;

        if (r.s < r.end && *r.s == '{')
            return wf_conv_fail(why, WF_CONV_SHAPE);
        if (r.s == r.end || !(*r.s == '"' ? take_quoted(&r, &item) : take_plain(&r, &item)))
            return wf_conv_fail(why, WF_CONV_BAD);
        p = put_item(t, &item, p, (unsigned char *)limit, why);
        if (!p)
            return NULL;
        count++;
        more = r.s < r.end && *r.s == t->arg;
        r.s += r.s < r.end;
    } while (more);
    if (r.s != r.end || r.s[-1] != '}')
        return wf_conv_fail(why, WF_CONV_BAD);
    return wf_conv_close_block(start, p, count);
}

/* int2vector and oidvector: "1 2 3". */
WF_CONV(wf_conv_vector)
{
    wf_conv_fn conv = t->avro.items == &wf_avro_int2 ? wf_conv_int2 : wf_conv_oid;
    const char *end = s + n;
    unsigned char *start = p++;
    int64_t count = 0;

    *start = 0;
    while (s < end) {
        const char *space = memchr(s, ' ', (size_t)(end - s));
        size_t len = (size_t)((space ? space : end) - s);

        p = conv(t, s, len, p, why);
        if (!p)
            return NULL;
        count++;
        s += len;
        if (space && ++s == end)
            return wf_conv_fail(why, WF_CONV_BAD);
    }
    return wf_conv_close_block(start, p, count);
}

/* What Debezium gives a schema that fits no value: only the fill of a deleted row ever gets here.
 */
static WF_CONV(refuse)
{
    (void)t;
    (void)s;
    if (n)
        return wf_conv_fail(why, WF_CONV_NULL);
    *p++ = 0;
    return p;
}

/* ---- choosing the form ---- */

int wf_type_profile(const struct wf_type_in *in)
{
    return in->modes ? in->modes->profile : WF_PROFILE_DEBEZIUM;
}

/* pg_type.dat: array types and their elements, for a relation that the catalog has no word on. */
static const struct {
    uint16_t array, element;
    const char *name;
} built_in[] = {
    {143, 142, "xml"},           {199, 114, "json"},        {629, 628, "line"},
    {651, 650, "cidr"},          {719, 718, "circle"},      {775, 774, "macaddr8"},
    {791, 790, "money"},         {1000, 16, "bool"},        {1001, 17, "bytea"},
    {1002, 18, "char"},          {1003, 19, "name"},        {1005, 21, "int2"},
    {1007, 23, "int4"},          {1009, 25, "text"},        {1014, 1042, "bpchar"},
    {1015, 1043, "varchar"},     {1016, 20, "int8"},        {1017, 600, "point"},
    {1018, 601, "lseg"},         {1019, 602, "path"},       {1020, 603, "box"},
    {1021, 700, "float4"},       {1022, 701, "float8"},     {1027, 604, "polygon"},
    {1028, 26, "oid"},           {1040, 829, "macaddr"},    {1041, 869, "inet"},
    {1115, 1114, "timestamp"},   {1182, 1082, "date"},      {1183, 1083, "time"},
    {1185, 1184, "timestamptz"}, {1187, 1186, "interval"},  {1231, 1700, "numeric"},
    {1270, 1266, "timetz"},      {1561, 1560, "bit"},       {1563, 1562, "varbit"},
    {2951, 2950, "uuid"},        {3643, 3614, "tsvector"},  {3807, 3802, "jsonb"},
    {3905, 3904, "int4range"},   {3907, 3906, "numrange"},  {3909, 3908, "tsrange"},
    {3911, 3910, "tstzrange"},   {3913, 3912, "daterange"}, {3927, 3926, "int8range"},
};

/* The element's type. Return: false when nothing tells it. */
static bool element_of(const struct wf_type_in *in, struct wf_type_in *out)
{
    if (in->kind == 'a' && in->nsub == 1) {
        *out = in->sub[0];
        return true;
    }
    for (size_t i = 0; !in->sub && i < sizeof(built_in) / sizeof(built_in[0]); i++) {
        if (built_in[i].array == in->oid) {
            *out = (struct wf_type_in){.oid = built_in[i].element, .name = built_in[i].name};
            return true;
        }
    }
    return false;
}

/* Types that Debezium has and whose arrays it leaves out, whatever its settings. */
static bool debezium_omits(const struct wf_type_in *el)
{
    static const char *const names[] = {"money",  "name",    "xml",      "interval",  "varbit",
                                        "point",  "line",    "lseg",     "box",       "path",
                                        "circle", "polygon", "tsvector", "geography", "isbn",
                                        "vector", "halfvec", "sparsevec"};

    for (size_t i = 0; el->name && i < sizeof(names) / sizeof(names[0]); i++)
        if (!strcmp(names[i], el->name))
            return true;
    return false;
}

/* The shortest text of one value, where that is more than one byte: pins the room of arrays. */
static unsigned shortest(const struct wf_coltype *e)
{
    static const struct {
        uint16_t oid, bytes;
    } known[] = {{1114, 8}, {1184, 8}, {1083, 8}, {1266, 8}, {1082, 8}, {2950, 36}, {1186, 5},
                 {600, 5},  {601, 13}, {602, 7},  {603, 11}, {604, 7},  {628, 7},   {718, 9}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (e->row->oid == known[i].oid)
            return known[i].bytes;
    return e->conv == wf_conv_record ? e->nsub + 1u : 1;
}

/* Bytes that elements take at most per byte of text, delimiter and branch included. The converter
 * checks each element against the room all the same. */
static uint32_t per_byte(const struct wf_coltype *e)
{
    uint32_t n;

    if (e->conv == wf_conv_text || e->conv == wf_conv_enum || e->conv == wf_conv_bytea ||
        e->conv == wf_conv_uuid)
        n = 2; /* "a," to branch, length, a */
    else if (e->conv == wf_conv_variable_decimal)
        n = 4; /* "0," to branch, scale, length, 0 */
    else if (!strcmp(e->avro.base, "boolean"))
        n = 1;
    else if (!strcmp(e->avro.base, "int") || !strcmp(e->avro.base, "float"))
        n = 3;
    else
        n = (1 + e->room) / (shortest(e) + 1) + 1 + e->room_per_byte;
    return n > e->room_per_byte ? n : e->room_per_byte;
}

static const struct wf_type array_row = {
    .name = "array", .avro = {.base = "array"}, .zero = "{}", .toast = WF_TOAST_ITEMS};

static void become_array(struct wf_coltype *t, const struct wf_type_in *el, bool items_nullable)
{
    struct wf_coltype *e = t->sub;

    t->conv = wf_conv_array;
    t->room = 2 * WF_LONG_ROOM + e->room;
    t->room_per_byte = per_byte(e) + 1; /* and what wf_conv_scratch() gives away */
    t->arg = el->delim ? el->delim : el->oid == OID_BOX ? ';' : ',';
    t->avro.items = &e->avro;
    t->avro.items_nullable = items_nullable;
    t->toast = WF_TOAST_ITEMS;
    t->placeholder = e->placeholder;
}

/* A bit array is a single Bits in Debezium's schema, and never has a value. */
static void become_bits(struct wf_coltype *t)
{
    t->conv = refuse;
    t->toast = WF_TOAST_NONE;
    t->room = WF_LONG_ROOM;
    t->zero = "";
    t->avro = t->sub->avro;
}

bool wf_array_as_text(const struct wf_type_in *in)
{
    struct wf_type_in el;

    return in->modes && in->modes->array == WF_ARRAY_STRING && element_of(in, &el);
}

bool wf_array_resolve(struct wf_coltype *t, const struct wf_type_in *in, enum wf_resolved *out)
{
    bool strict = wf_type_profile(in) == WF_PROFILE_STRICT;
    struct wf_type_in el;

    if (!element_of(in, &el) || wf_array_as_text(in))
        return false;
    el.modes = in->modes;
    if (!el.domain)
        el.typmod = in->typmod;
    if (strict && el.domain)
        el = (struct wf_type_in){.modes = in->modes, .typmod = -1, .text_name = el.text_name};
    *t = (struct wf_coltype){.row = &array_row, .avro = array_row.avro, .zero = array_row.zero};
    t->sub = calloc(1, sizeof(*t->sub));
    *out = WF_RESOLVED_MEMORY;
    if (!t->sub)
        return true;
    t->nsub = 1;
    *out = wf_type_resolve(t->sub, &el);
    become_array(t, &el, !strict || !(t->sub->row->extra || el.enum_labels));
    if (strict && debezium_omits(&el))
        *out = WF_RESOLVED_OMIT;
    if (strict && t->sub->row->oid == OID_BIT)
        become_bits(t);
    return true;
}

/* ---- what marks an unsent value ---- */

/* UUID.nameUUIDFromBytes() of Java: an MD5 with the marks of version 3. */
static bool name_uuid(const char *name, char out[37])
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char *p = out;

    if (!EVP_Digest(name, strlen(name), md, &len, EVP_md5(), NULL) || len != 16)
        return false;
    md[6] = (unsigned char)((md[6] & 0x0f) | 0x30);
    md[8] = (unsigned char)((md[8] & 0x3f) | 0x80);
    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        snprintf(p, 3, "%02x", md[i]);
        p += 2;
    }
    return true;
}

static void put_long(struct wf_buf *out, int64_t v)
{
    if (wf_buf_reserve(out, WF_LONG_ROOM))
        out->len = (size_t)(wf_put_long(out->data + out->len, v) - out->data);
}

static void put_string(struct wf_buf *out, const char *s)
{
    put_long(out, (int64_t)strlen(s));
    wf_buf_str(out, s);
}

static void put_branch(const struct wf_coltype *t, struct wf_buf *out)
{
    if (t->avro.items_nullable)
        wf_buf_byte(out, 2);
}

static bool put_one(const struct wf_coltype *t, const char *s, struct wf_buf *out)
{
    put_long(out, 1);
    put_branch(t, out);
    put_string(out, s);
    wf_buf_byte(out, 0);
    return !out->failed;
}

/* A number for each character (UTF-16 unit in Java; placeholders are ASCII). */
static bool put_characters(const struct wf_coltype *t, struct wf_buf *out)
{
    put_long(out, (int64_t)strlen(t->placeholder));
    for (const char *s = t->placeholder; *s; s++) {
        put_branch(t, out);
        put_long(out, (unsigned char)*s);
    }
    wf_buf_byte(out, 0);
    return !out->failed;
}

static bool put_map(const struct wf_coltype *t, struct wf_buf *out)
{
    put_long(out, 1);
    put_string(out, t->placeholder);
    wf_buf_byte(out, 2);
    put_string(out, t->placeholder);
    wf_buf_byte(out, 0);
    return !out->failed;
}

bool wf_items_put_toast(const struct wf_coltype *t, struct wf_buf *out)
{
    bool string, number;
    char uuid[37];

    if (t->avro.base[0] == 'm')
        return put_map(t, out);
    if (t->conv != wf_conv_array)
        return false;
    string = t->sub->avro.base[0] == 's';
    number = !strcmp(t->sub->avro.base, "int") || !strcmp(t->sub->avro.base, "long");
    switch (t->sub->row->oid) {
    case 23:   /* int4 */
    case 20:   /* int8 */
    case 1082: /* date */
        return number && put_characters(t, out);
    case 25:   /* text */
    case 1043: /* varchar */
    case 1042: /* bpchar */
    case 114:  /* json */
    case 3802: /* jsonb */
        return string && put_one(t, t->placeholder, out);
    case 2950: /* uuid */
        return string && name_uuid(t->placeholder, uuid) && put_one(t, uuid, out);
    default:
        return false;
    }
}
