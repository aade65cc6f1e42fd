/* A type of parts, resolved and tried, for the tests of types_array.c and types_record.c. */
#ifndef WF_TEST_NESTED_KIT_H
#define WF_TEST_NESTED_KIT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "types.h"

struct nested {
    struct wf_coltype *t_heap; /* fields of the avro type point into it */
    struct wf_coltype t;       /* a copy, to look at */
    enum wf_resolved rc;
    enum wf_conv_why why;
    char hex[16384], schema[16384];
};

static inline struct nested nested_open(const struct wf_type_in *in)
{
    struct nested n = {.t_heap = calloc(1, sizeof(*n.t_heap))};

    n.rc = wf_type_resolve(n.t_heap, in);
    n.t = *n.t_heap;
    return n;
}

static inline void nested_close(struct nested *n)
{
    wf_type_free(n->t_heap);
    free(n->t_heap);
}

static inline struct nested nested_scalar(uint32_t oid, const char *name,
                                          const struct wf_type_modes *modes)
{
    struct wf_type_in in = {
        .oid = oid, .name = name, .text_name = name, .typmod = -1, .kind = 'b', .modes = modes};

    return nested_open(&in);
}

/* An array of a built-in type. */
static inline struct nested nested_array(uint32_t element, const struct wf_type_modes *modes)
{
    struct wf_type_in el = {.oid = element, .typmod = -1, .kind = 'b'};
    struct wf_type_in in = {
        .kind = 'a', .typmod = -1, .text_name = "x[]", .sub = &el, .nsub = 1, .modes = modes};

    return nested_open(&in);
}

static inline const char *nested_hex(struct nested *n, struct wf_buf *b, bool ok)
{
    n->hex[0] = '\0';
    for (size_t i = 0; i < b->len && 2 * i + 3 < sizeof(n->hex); i++)
        snprintf(n->hex + 2 * i, 3, "%02x", b->data[i]);
    wf_buf_deinit(b);
    return ok ? n->hex : NULL;
}

/* Avro bytes as hex; NULL when refused. The text is a copy of its own, so that ASan sees its end.
 */
static inline const char *nested_put(struct nested *n, const char *text)
{
    size_t len = strlen(text);
    char *copy = malloc(len ? len : 1);
    struct wf_buf b;
    bool ok;

    memcpy(copy, text, len);
    wf_buf_init(&b, 1u << 24);
    ok = wf_type_put(n->t_heap, copy, len, &b, &n->why);
    free(copy);
    return nested_hex(n, &b, ok);
}

/* Whether the value fits in exactly the room that the type asks for. */
static inline bool nested_fits(struct nested *n, const char *text, size_t len)
{
    size_t room = n->t_heap->room + len * n->t_heap->room_per_byte;
    unsigned char *out = malloc(room), *end = n->t_heap->conv(n->t_heap, text, len, out, &n->why);
    bool ok = end && (size_t)(end - out) <= room;

    free(out);
    return ok;
}

static inline const char *nested_zero(struct nested *n)
{
    struct wf_buf b;
    bool ok;

    wf_buf_init(&b, 1u << 20);
    ok = wf_type_put_zero(n->t_heap, &b);
    return nested_hex(n, &b, ok);
}

static inline const char *nested_toast(struct nested *n)
{
    struct wf_buf b;
    bool ok;

    wf_buf_init(&b, 1u << 20);
    ok = wf_type_put_toast(n->t_heap, &b);
    return nested_hex(n, &b, ok);
}

/* As a column after others of the same record. */
static inline const char *nested_schema_in(struct nested *n, uint32_t *defined)
{
    struct wf_buf b;

    wf_buf_init(&b, 1u << 20);
    wf_schema_type(&b, &n->t_heap->avro, NULL, defined);
    snprintf(n->schema, sizeof(n->schema), "%.*s", (int)b.len, (char *)b.data);
    wf_buf_deinit(&b);
    return n->schema;
}

static inline const char *nested_schema(struct nested *n)
{
    uint32_t defined = 0;

    return nested_schema_in(n, &defined);
}

#endif
