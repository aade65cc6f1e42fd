/* Compiles an Avro schema text into a tree that a reader can walk. */
#ifndef WF_AVRO_NODE_H
#define WF_AVRO_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

enum wf_avro_kind {
    WF_AVRO_NULL,
    WF_AVRO_BOOLEAN,
    WF_AVRO_INT,
    WF_AVRO_LONG,
    WF_AVRO_FLOAT,
    WF_AVRO_DOUBLE,
    WF_AVRO_BYTES,
    WF_AVRO_STRING,
    WF_AVRO_RECORD,
    WF_AVRO_ENUM,
    WF_AVRO_ARRAY,
    WF_AVRO_MAP,
    WF_AVRO_UNION,
    WF_AVRO_FIXED,
};

struct wf_avro_node {
    enum wf_avro_kind kind;
    bool decimal; /* bytes or fixed with logicalType decimal */
    int scale;
    size_t size;                    /* fixed: bytes */
    size_t n;                       /* children, or symbols of an enum */
    struct wf_avro_node **children; /* fields, branches, items; may point back into the tree */
    char **names;                   /* of fields, or symbols */
    char *full_name;                /* of record, enum, fixed */
    struct wf_avro_node *next;      /* all nodes of a tree, for freeing */
};

struct wf_avro_tree {
    struct wf_avro_node *root;
    struct wf_avro_node *all;
};

/* Return: WF_OK, the tree is the caller's to wf_avro_tree_deinit(); WF_REJECT with a sentence. */
enum wf_rc wf_avro_tree_init(struct wf_avro_tree *tree, const char *text, size_t len,
                             struct wf_err *err);
void wf_avro_tree_deinit(struct wf_avro_tree *tree);

#endif
