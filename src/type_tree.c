#include "type_tree.h"

#include <stdlib.h>
#include <string.h>

struct space {
    struct wf_type_in *nodes;
    char *text;
};

static size_t text_size(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

/* Nodes below @t, and the bytes of all texts. */
static size_t measure(const struct wf_catalog_type *t, size_t *bytes)
{
    size_t n = t->nsub;

    *bytes += text_size(t->name) + text_size(t->type_name) + text_size(t->schema) +
              text_size(t->enum_labels) + text_size(t->field) + 2; /* "[]" */
    for (uint16_t i = 0; i < t->nsub; i++)
        n += measure(&t->sub[i], bytes);
    return n;
}

static const char *keep(struct space *to, const char *s, const char *suffix)
{
    char *start = to->text;

    if (!s)
        return NULL;
    to->text = stpcpy(stpcpy(start, s), suffix) + 1;
    return start;
}

/* "int4[]", "addr": as walferry.pg.type says it. */
static const char *shown_name(struct space *to, const struct wf_catalog_type *t)
{
    if (t->kind == 'a' && !t->domain)
        return keep(to, t->sub->type_name, "[]");
    return keep(to, t->type_name, "");
}

static void fill(struct wf_type_in *in, const struct wf_catalog_type *t, struct space *to)
{
    struct wf_type_in *sub = to->nodes;

    to->nodes += t->nsub;
    *in = (struct wf_type_in){.oid = t->oid,
                              .typmod = t->typmod,
                              .name = keep(to, t->name, ""),
                              .text_name = shown_name(to, t),
                              .enum_labels = keep(to, t->enum_labels, ""),
                              .schema = keep(to, t->schema, ""),
                              .field_name = keep(to, t->field, ""),
                              .kind = t->kind,
                              .delim = t->delim,
                              .domain = t->domain,
                              .sub = t->nsub ? sub : NULL,
                              .nsub = t->nsub};
    for (uint16_t i = 0; i < t->nsub; i++)
        fill(&sub[i], &t->sub[i], to);
}

struct wf_type_in *wf_type_tree_new(const struct wf_catalog_type *from)
{
    size_t bytes = 0, n = 1 + measure(from, &bytes);
    struct wf_type_in *root = malloc(n * sizeof(*root) + bytes + text_size(from->type_name));
    struct space to;

    if (!root)
        return NULL;
    to.nodes = root + 1;
    to.text = (char *)(root + n);
    fill(root, from, &to);
    return root;
}
