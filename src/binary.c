#include "binary.h"

#include <stdlib.h>

#include "binary_parts.h"

#define MAX_DIMS 6 /* MAXDIM of PostgreSQL */

/* ---- quoting ----------------------------------------------------------------------------- */

/* array_isspace() and isspace() of the C locale. */
static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_null_word(const unsigned char *s, size_t n)
{
    return n == 4 && (s[0] | 32) == 'n' && (s[1] | 32) == 'u' && (s[2] | 32) == 'l' &&
           (s[3] | 32) == 'l';
}

/* Put the text that stands from @at on into quotes, if it needs them: when it is empty, has a space
 * or one of @special. Quotes and backslashes get what @how says in front. */
static void quote_from(struct wf_buf *out, size_t at, const char *special, bool doubled)
{
    size_t n = out->len - at, more = 2;
    bool needed = n == 0;

    for (size_t i = at; i < out->len; i++) {
        char c = (char)out->data[i];

        needed |= is_space(c) || (c && strchr(special, c));
        more += c == '"' || c == '\\';
    }
    if (!needed || !wf_buf_reserve(out, more))
        return;
    out->len += more;
    for (size_t from = at + n, to = out->len - 1; from > at;) { /* from the end, in place */
        unsigned char c = out->data[--from];

        out->data[--to] = c;
        if (c == '"' || c == '\\')
            out->data[--to] = doubled ? c : '\\';
    }
    out->data[at] = out->data[out->len - 1] = '"';
}

/* ---- parts ------------------------------------------------------------------------------- */

/* A part with its length in front. Return: false for NULL (only where that may be) or a failure. */
static bool put_part(const struct wf_binary *b, struct wf_reader *r, struct wf_buf *out)
{
    int32_t len = (int32_t)wf_read_u32(r, "length");
    const char *data;
    struct wf_reader part;

    if (len == -1)
        return false;
    data = wf_read_bytes(r, (size_t)(uint32_t)len, "value");
    if (!data)
        return false;
    part = wf_reader(data, (size_t)len);
    b->put(b, &part, out);
    if (part.what || part.at != part.end)
        wf_read_fail(r, part.what ? part.what : "bytes behind a value");
    return true;
}

/* The type of a part, which the wire names: a domain by its own oid. */
static void check_type(const struct wf_binary *b, struct wf_reader *r)
{
    uint32_t oid = wf_read_u32(r, "type oid");

    if (!b->domain && oid != b->oid)
        wf_read_fail(r, "a part of another type");
}

/* ---- arrays ------------------------------------------------------------------------------ */

struct array {
    const struct wf_binary *element;
    uint32_t dims, size[MAX_DIMS];
    bool empty; /* some send no dimension then, others one of size 0 */
    char special[8];
};

static void put_element(const struct array *a, struct wf_reader *r, struct wf_buf *out)
{
    size_t at = out->len;

    if (!put_part(a->element, r, out)) {
        wf_buf_put(out, "NULL", 4);
        return;
    }
    if (is_null_word(out->data + at, out->len - at)) {
        wf_buf_byte(out, ' '); /* a space makes it be quoted */
        quote_from(out, at, a->special, false);
        out->len--;
        out->data[out->len - 1] = '"';
    } else {
        quote_from(out, at, a->special, false);
    }
}

static void put_dimension(const struct array *a, uint32_t dim, struct wf_reader *r,
                          struct wf_buf *out)
{
    wf_buf_byte(out, '{');
    for (uint32_t i = 0; i < a->size[dim] && !r->what && !out->failed; i++) {
        if (i)
            wf_buf_byte(out, (unsigned char)a->element->delim);
        if (dim + 1 < a->dims)
            put_dimension(a, dim + 1, r, out);
        else
            put_element(a, r, out);
    }
    wf_buf_byte(out, '}');
}

/* "[0:2][1:3]=" where a lower bound is not 1. */
static void put_bounds(const struct array *a, const int32_t *lower, struct wf_buf *out)
{
    bool shown = false;

    for (uint32_t i = 0; i < a->dims; i++)
        shown |= lower[i] != 1;
    for (uint32_t i = 0; shown && i < a->dims; i++)
        wf_buf_printf(out, "[%d:%lld]", lower[i], (long long)lower[i] + a->size[i] - 1);
    wf_buf_put(out, "=", shown);
}

/* Every element has four bytes of length at least, so that none but a real array is long. */
static void check_size(const struct array *a, struct wf_reader *r)
{
    uint64_t n = 1;

    for (uint32_t i = 0; i < a->dims; i++) {
        n *= a->size[i];
        if (n > (size_t)(r->end - r->at) / 4)
            wf_read_fail(r, "array size");
        if (r->what)
            return;
    }
}

static void read_array(const struct wf_binary *b, struct wf_reader *r, struct array *a,
                       int32_t lower[MAX_DIMS])
{
    *a = (struct array){.element = b->sub, .dims = wf_read_u32(r, "dimensions")};
    wf_read_u32(r, "has nulls");
    check_type(b->sub, r);
    if (a->dims > MAX_DIMS)
        wf_read_fail(r, "dimensions");
    for (uint32_t i = 0; i < a->dims && !r->what; i++) {
        a->size[i] = wf_read_u32(r, "array size");
        lower[i] = (int32_t)wf_read_u32(r, "lower bound");
        a->empty |= !a->size[i];
    }
    if (!r->what)
        check_size(a, r);
}

static WF_BINARY(put_array)
{
    int32_t lower[MAX_DIMS];
    struct array a;

    read_array(b, r, &a, lower);
    if (r->what)
        return;
    if (!a.dims || a.empty) {
        wf_buf_put(out, "{}", 2);
        return;
    }
    memcpy(a.special, "\"\\{}", 4);
    a.special[4] = a.element->delim;
    put_bounds(&a, lower, out);
    put_dimension(&a, 0, r, out);
}

/* int2vector, oidvector: an array on the wire, words in the text. */
static WF_BINARY(put_vector)
{
    int32_t lower[MAX_DIMS];
    struct array a;

    read_array(b, r, &a, lower);
    if (a.dims > 1)
        wf_read_fail(r, "dimensions");
    for (uint32_t i = 0; a.dims && i < a.size[0] && !r->what; i++) {
        wf_buf_put(out, " ", i != 0);
        if (!put_part(a.element, r, out))
            wf_read_fail(r, "NULL");
    }
}

/* ---- composites and ranges --------------------------------------------------------------- */

static WF_BINARY(put_record)
{
    uint32_t n = wf_read_u32(r, "field count");

    if (n != b->nsub)
        wf_read_fail(r, "field count");
    wf_buf_byte(out, '(');
    for (uint32_t i = 0; i < n && !r->what; i++) {
        size_t at;

        wf_buf_put(out, ",", i != 0);
        at = out->len;
        check_type(&b->sub[i], r);
        if (put_part(&b->sub[i], r, out))
            quote_from(out, at, "\"\\(),", true);
    }
    wf_buf_byte(out, ')');
}

enum { RANGE_EMPTY = 1, RANGE_LB_INC = 2, RANGE_UB_INC = 4, RANGE_LB_INF = 8, RANGE_UB_INF = 16 };

static void put_bound(const struct wf_binary *b, struct wf_reader *r, struct wf_buf *out)
{
    size_t at = out->len;

    if (!put_part(b->sub, r, out))
        wf_read_fail(r, "range bound");
    quote_from(out, at, "\"\\()[],", true);
}

static WF_BINARY(put_range)
{
    uint8_t flags = wf_read_u8(r, "range");

    if (flags & ~(RANGE_EMPTY | RANGE_LB_INC | RANGE_UB_INC | RANGE_LB_INF | RANGE_UB_INF)) {
        wf_read_fail(r, "range flags");
        return;
    }
    if (flags & RANGE_EMPTY) {
        wf_buf_str(out, "empty");
        return;
    }
    wf_buf_byte(out, flags & RANGE_LB_INC ? '[' : '(');
    if (!(flags & RANGE_LB_INF))
        put_bound(b, r, out);
    wf_buf_byte(out, ',');
    if (!(flags & RANGE_UB_INF))
        put_bound(b, r, out);
    wf_buf_byte(out, flags & RANGE_UB_INC ? ']' : ')');
}

static WF_BINARY(put_multirange)
{
    uint32_t n = wf_read_u32(r, "range count");

    wf_buf_byte(out, '{');
    for (uint32_t i = 0; i < n && !r->what; i++) {
        wf_buf_put(out, ",", i != 0);
        if (!put_part(b->sub, r, out))
            wf_read_fail(r, "range");
    }
    wf_buf_byte(out, '}');
}

/* ---- which type is read how -------------------------------------------------------------- */

static const struct scalar {
    uint32_t oid;
    const char *name; /* where oid is 0: an extension's */
    wf_binary_fn put;
} scalars[] = {
    {16, 0, wf_binary_bool},
    {17, 0, wf_binary_bytea},
    {18, 0, wf_binary_char},
    {19, 0, wf_binary_text}, /* name */
    {20, 0, wf_binary_int8},
    {21, 0, wf_binary_int2},
    {23, 0, wf_binary_int4},
    {25, 0, wf_binary_text},
    {26, 0, wf_binary_uint4}, /* oid */
    {27, 0, wf_binary_tid},
    {28, 0, wf_binary_uint4}, /* xid */
    {29, 0, wf_binary_uint4}, /* cid */
    {114, 0, wf_binary_text}, /* json */
    {142, 0, wf_binary_text}, /* xml */
    {600, 0, wf_binary_point},
    {601, 0, wf_binary_lseg},
    {602, 0, wf_binary_path},
    {603, 0, wf_binary_box},
    {604, 0, wf_binary_polygon},
    {628, 0, wf_binary_line},
    {650, 0, wf_binary_inet}, /* cidr */
    {700, 0, wf_binary_float4},
    {701, 0, wf_binary_float8},
    {718, 0, wf_binary_circle},
    {774, 0, wf_binary_macaddr8},
    {790, 0, wf_binary_money},
    {829, 0, wf_binary_macaddr},
    {869, 0, wf_binary_inet},
    {1042, 0, wf_binary_text}, /* bpchar */
    {1043, 0, wf_binary_text}, /* varchar */
    {1082, 0, wf_binary_date},
    {1083, 0, wf_binary_time},
    {1114, 0, wf_binary_timestamp},
    {1184, 0, wf_binary_timestamptz},
    {1186, 0, wf_binary_interval},
    {1266, 0, wf_binary_timetz},
    {1560, 0, wf_binary_bits},
    {1562, 0, wf_binary_bits}, /* varbit */
    {1700, 0, wf_binary_numeric},
    {1790, 0, wf_binary_text}, /* refcursor */
    {2950, 0, wf_binary_uuid},
    {2970, 0, wf_binary_snapshot},
    {3220, 0, wf_binary_lsn},
    {3614, 0, wf_binary_tsvector},
    {3615, 0, wf_binary_tsquery},
    {3802, 0, wf_binary_versioned}, /* jsonb */
    {4072, 0, wf_binary_versioned}, /* jsonpath */
    {5038, 0, wf_binary_snapshot},
    {5069, 0, wf_binary_uint8}, /* xid8 */
    {0, "citext", wf_binary_text},
    {0, "cube", wf_binary_cube},
    {0, "geography", wf_binary_hex},
    {0, "geometry", wf_binary_hex},
    {0, "halfvec", wf_binary_halfvec},
    {0, "hstore", wf_binary_hstore},
    {0, "lquery", wf_binary_versioned},
    {0, "ltree", wf_binary_versioned},
    {0, "ltxtquery", wf_binary_versioned},
    {0, "sparsevec", wf_binary_sparsevec},
    {0, "vector", wf_binary_vector},
};

/* Built-in types that are made of another. */
static const struct made {
    uint32_t oid, of;
    wf_binary_fn put;
} made_types[] = {
    {22, 21, put_vector},         {30, 26, put_vector},         {3904, 23, put_range},
    {3906, 1700, put_range},      {3908, 1114, put_range},      {3910, 1184, put_range},
    {3912, 1082, put_range},      {3926, 20, put_range},        {4451, 3904, put_multirange},
    {4532, 3906, put_multirange}, {4533, 3908, put_multirange}, {4534, 3910, put_multirange},
    {4535, 3912, put_multirange}, {4536, 3926, put_multirange},
};

static wf_binary_fn find_scalar(uint32_t oid, const char *name)
{
    for (size_t i = 0; i < sizeof(scalars) / sizeof(scalars[0]); i++) {
        const struct scalar *s = &scalars[i];

        if (s->oid ? s->oid == oid : oid >= 10000 && name && strcmp(name, s->name) == 0)
            return s->put;
    }
    return NULL;
}

static bool build_made(struct wf_binary *b, uint32_t oid)
{
    for (size_t i = 0; i < sizeof(made_types) / sizeof(made_types[0]); i++) {
        if (made_types[i].oid != oid)
            continue;
        b->put = made_types[i].put;
        b->sub = calloc(1, sizeof(*b->sub));
        if (!b->sub)
            return false;
        b->nsub = 1;
        *b->sub = (struct wf_binary){.oid = made_types[i].of, .delim = ','};
        b->sub->put = find_scalar(b->sub->oid, NULL);
        return b->sub->put || build_made(b->sub, b->sub->oid);
    }
    return false;
}

static bool build(struct wf_binary *b, const struct wf_type_in *in)
{
    const char usual = (char)(in->oid == 603 ? ';' : ','); /* of box */

    *b = (struct wf_binary){
        .oid = in->oid, .domain = in->domain, .delim = (char)(in->delim ? in->delim : usual)};
    if (in->kind != 'a' && in->kind != 'c') {
        b->put = in->enum_labels ? wf_binary_text : find_scalar(in->oid, in->name);
        return b->put || build_made(b, in->oid);
    }
    b->put = in->kind == 'a' ? put_array : put_record;
    if (!in->sub || (in->kind == 'a' && in->nsub != 1))
        return false;
    b->sub = calloc(in->nsub ? in->nsub : 1, sizeof(*b->sub));
    if (!b->sub)
        return false;
    for (; b->nsub < in->nsub; b->nsub++) {
        if (!build(&b->sub[b->nsub], &in->sub[b->nsub])) {
            b->nsub++; /* half built, to be freed */
            return false;
        }
    }
    return true;
}

static void clear(struct wf_binary *b)
{
    for (uint16_t i = 0; i < b->nsub; i++)
        clear(&b->sub[i]);
    free(b->sub);
}

struct wf_binary *wf_binary_new(const struct wf_type_in *in)
{
    struct wf_binary *b = calloc(1, sizeof(*b));

    if (b && !build(b, in)) {
        wf_binary_free(b);
        return NULL;
    }
    return b;
}

void wf_binary_free(struct wf_binary *b)
{
    if (b)
        clear(b);
    free(b);
}

bool wf_binary_to_text(const struct wf_binary *b, const char *data, size_t len, struct wf_buf *out)
{
    struct wf_reader r = wf_reader(data, len);

    if (!b)
        return false;
    b->put(b, &r, out);
    return !r.what && r.at == r.end && !out->failed;
}
