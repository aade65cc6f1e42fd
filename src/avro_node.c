#include "avro_node.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (4u << 20)
#define DEPTH_MAX 64
#define NAME_MAX_LEN 1023
#define SCALE_MAX 4096

struct compiler {
    struct wf_avro_tree *tree;
    struct wf_err *err;
    unsigned depth;
};

static const char *const primitives[] = {
    [WF_AVRO_NULL] = "null",   [WF_AVRO_BOOLEAN] = "boolean", [WF_AVRO_INT] = "int",
    [WF_AVRO_LONG] = "long",   [WF_AVRO_FLOAT] = "float",     [WF_AVRO_DOUBLE] = "double",
    [WF_AVRO_BYTES] = "bytes", [WF_AVRO_STRING] = "string"};

#define NPRIMITIVES (sizeof(primitives) / sizeof(primitives[0]))

static enum wf_rc compile(struct compiler *c, const json_t *j, const char *ns,
                          struct wf_avro_node **out);

static enum wf_rc bad(struct compiler *c, const char *what)
{
    wf_err_set(c->err, WF_REJECT, "schema", "avro schema: %s", what);
    return WF_REJECT;
}

static enum wf_rc no_memory(struct compiler *c)
{
    wf_err_set(c->err, WF_FATAL, "memory", "out of memory");
    return WF_FATAL;
}

static struct wf_avro_node *new_node(struct compiler *c, enum wf_avro_kind kind, size_t n)
{
    struct wf_avro_node *node = calloc(1, sizeof(*node));

    if (!node)
        return NULL;
    node->kind = kind;
    node->children = calloc(n + 1, sizeof(*node->children));
    node->names = calloc(n + 1, sizeof(*node->names));
    node->n = n;
    node->next = c->tree->all;
    c->tree->all = node;
    return node->children && node->names ? node : NULL;
}

static const char *text_of(const json_t *j, const char *key)
{
    return json_string_value(json_object_get(j, key));
}

/* Avro, "Names": a name with dots is full, else the namespace stands in front. */
static bool full_name(char out[NAME_MAX_LEN + 1], const char *name, const char *ns)
{
    int n;

    if (strchr(name, '.') || !ns || !*ns)
        n = snprintf(out, NAME_MAX_LEN + 1, "%s", name);
    else
        n = snprintf(out, NAME_MAX_LEN + 1, "%s.%s", ns, name);
    return n > 0 && n <= NAME_MAX_LEN;
}

static struct wf_avro_node *find_named(struct compiler *c, const char *name)
{
    for (struct wf_avro_node *n = c->tree->all; n; n = n->next)
        if (n->full_name && !strcmp(n->full_name, name))
            return n;
    return NULL;
}

static enum wf_rc compile_reference(struct compiler *c, const char *name, const char *ns,
                                    struct wf_avro_node **out)
{
    char full[NAME_MAX_LEN + 1];

    for (size_t i = 0; i < NPRIMITIVES; i++)
        if (!strcmp(name, primitives[i])) {
            *out = new_node(c, (enum wf_avro_kind)i, 0);
            return *out ? WF_OK : no_memory(c);
        }
    *out = full_name(full, name, ns) ? find_named(c, full) : NULL;
    if (!*out)
        *out = find_named(c, name);
    if (*out)
        return WF_OK;
    wf_err_set(c->err, WF_REJECT, "schema", "avro schema: unknown type \"%.100s\"", name);
    return WF_REJECT;
}

static enum wf_rc compile_union(struct compiler *c, const json_t *j, const char *ns,
                                struct wf_avro_node **out)
{
    size_t n = json_array_size(j);
    enum wf_rc rc = WF_OK;

    if (!n)
        return bad(c, "an empty union");
    *out = new_node(c, WF_AVRO_UNION, n);
    if (!*out)
        return no_memory(c);
    for (size_t i = 0; i < n && rc == WF_OK; i++)
        rc = compile(c, json_array_get(j, i), ns, &(*out)->children[i]);
    return rc;
}

/* Give @node its full name; @ns_out is the namespace of what stands inside. */
static enum wf_rc take_name(struct compiler *c, struct wf_avro_node *node, const json_t *j,
                            const char *ns, char ns_out[NAME_MAX_LEN + 1])
{
    const char *name = text_of(j, "name"), *own_ns = text_of(j, "namespace");
    char full[NAME_MAX_LEN + 1], *dot;

    if (!name || !*name || !full_name(full, name, own_ns ? own_ns : ns))
        return bad(c, "a record, enum or fixed without a usable name");
    if (find_named(c, full))
        return wf_err_set(c->err, WF_REJECT, "schema", "avro schema: \"%.100s\" is defined twice",
                          full);
    node->full_name = strdup(full);
    dot = strrchr(full, '.');
    if (dot)
        *dot = '\0';
    snprintf(ns_out, NAME_MAX_LEN + 1, "%s", dot ? full : "");
    return node->full_name ? WF_OK : no_memory(c);
}

static enum wf_rc compile_record(struct compiler *c, const json_t *j, const char *ns,
                                 struct wf_avro_node **out)
{
    const json_t *fields = json_object_get(j, "fields");
    char inner[NAME_MAX_LEN + 1];
    enum wf_rc rc;

    if (!json_is_array(fields))
        return bad(c, "a record without fields");
    *out = new_node(c, WF_AVRO_RECORD, json_array_size(fields));
    if (!*out)
        return no_memory(c);
    rc = take_name(c, *out, j, ns, inner);
    for (size_t i = 0; i < (*out)->n && rc == WF_OK; i++) {
        const json_t *field = json_array_get(fields, i);
        const char *name = text_of(field, "name");

        if (!name)
            return bad(c, "a field without a name");
        (*out)->names[i] = strdup(name);
        if (!(*out)->names[i])
            return no_memory(c);
        rc = compile(c, json_object_get(field, "type"), inner, &(*out)->children[i]);
    }
    return rc;
}

static enum wf_rc compile_enum(struct compiler *c, const json_t *j, const char *ns,
                               struct wf_avro_node **out)
{
    const json_t *symbols = json_object_get(j, "symbols");
    char inner[NAME_MAX_LEN + 1];

    if (!json_is_array(symbols))
        return bad(c, "an enum without symbols");
    *out = new_node(c, WF_AVRO_ENUM, json_array_size(symbols));
    if (!*out)
        return no_memory(c);
    for (size_t i = 0; i < (*out)->n; i++) {
        const char *symbol = json_string_value(json_array_get(symbols, i));

        if (!symbol)
            return bad(c, "an enum symbol that is no string");
        (*out)->names[i] = strdup(symbol);
        if (!(*out)->names[i])
            return no_memory(c);
    }
    return take_name(c, *out, j, ns, inner);
}

static enum wf_rc compile_fixed(struct compiler *c, const json_t *j, const char *ns,
                                struct wf_avro_node **out)
{
    const json_t *size = json_object_get(j, "size");
    char inner[NAME_MAX_LEN + 1];

    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return bad(c, "a fixed without a size");
    *out = new_node(c, WF_AVRO_FIXED, 0);
    if (!*out)
        return no_memory(c);
    (*out)->size = (size_t)json_integer_value(size);
    return take_name(c, *out, j, ns, inner);
}

static enum wf_rc compile_container(struct compiler *c, const json_t *j, const char *ns,
                                    enum wf_avro_kind kind, struct wf_avro_node **out)
{
    *out = new_node(c, kind, 1);
    if (!*out)
        return no_memory(c);
    return compile(c, json_object_get(j, kind == WF_AVRO_ARRAY ? "items" : "values"), ns,
                   &(*out)->children[0]);
}

/* An invalid logical type is ignored (Avro, "Logical Types"). */
static void take_decimal(struct wf_avro_node *node, const json_t *j)
{
    const char *logical = text_of(j, "logicalType");
    json_int_t scale = json_integer_value(json_object_get(j, "scale"));

    if ((node->kind == WF_AVRO_BYTES || node->kind == WF_AVRO_FIXED) && logical &&
        !strcmp(logical, "decimal") && scale >= 0 && scale <= SCALE_MAX) {
        node->decimal = true;
        node->scale = (int)scale;
    }
}

static enum wf_rc compile_object(struct compiler *c, const json_t *j, const char *ns,
                                 struct wf_avro_node **out)
{
    const json_t *type = json_object_get(j, "type");
    const char *name = json_string_value(type);
    enum wf_rc rc;

    if (!name)
        return type ? compile(c, type, ns, out) : bad(c, "an object without a type");
    if (!strcmp(name, "record") || !strcmp(name, "error"))
        return compile_record(c, j, ns, out);
    if (!strcmp(name, "enum"))
        return compile_enum(c, j, ns, out);
    if (!strcmp(name, "array"))
        return compile_container(c, j, ns, WF_AVRO_ARRAY, out);
    if (!strcmp(name, "map"))
        return compile_container(c, j, ns, WF_AVRO_MAP, out);
    rc = strcmp(name, "fixed") ? compile_reference(c, name, ns, out) : compile_fixed(c, j, ns, out);
    if (rc == WF_OK)
        take_decimal(*out, j);
    return rc;
}

static enum wf_rc compile(struct compiler *c, const json_t *j, const char *ns,
                          struct wf_avro_node **out)
{
    enum wf_rc rc;

    if (++c->depth > DEPTH_MAX)
        return bad(c, "nested deeper than 64");
    if (json_is_string(j))
        rc = compile_reference(c, json_string_value(j), ns, out);
    else if (json_is_array(j))
        rc = compile_union(c, j, ns, out);
    else if (json_is_object(j))
        rc = compile_object(c, j, ns, out);
    else
        rc = bad(c, "a type that is no string, object or array");
    c->depth--;
    return rc;
}

enum wf_rc wf_avro_tree_init(struct wf_avro_tree *tree, const char *text, size_t len,
                             struct wf_err *err)
{
    struct compiler c = {.tree = tree, .err = err};
    json_error_t why;
    json_t *j;
    enum wf_rc rc;

    *tree = (struct wf_avro_tree){0};
    if (len > TEXT_MAX)
        return bad(&c, "over 4 MiB of text");
    j = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    if (!j)
        return wf_err_set(err, WF_REJECT, "schema", "avro schema: no JSON: %s", why.text);
    rc = compile(&c, j, "", &tree->root);
    json_decref(j);
    if (rc != WF_OK)
        wf_avro_tree_deinit(tree);
    return rc;
}

void wf_avro_tree_deinit(struct wf_avro_tree *tree)
{
    struct wf_avro_node *next;

    for (struct wf_avro_node *node = tree->all; node; node = next) {
        next = node->next;
        for (size_t i = 0; node->names && i < node->n; i++)
            free(node->names[i]);
        free(node->names);
        free(node->children);
        free(node->full_name);
        free(node);
    }
    *tree = (struct wf_avro_tree){0};
}
