/* Reads a YAML text into a small tree of mappings, sequences and scalars with their positions. */
#ifndef WF_YAML_TREE_H
#define WF_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>

#define WF_YAML_MAX_BYTES (1024UL * 1024)
#define WF_YAML_MAX_DEPTH 32
#define WF_YAML_MAX_NODES 65536 /* far above any real file; bounds memory to a few MB */

enum wf_yaml_kind {
    WF_YAML_EMPTY, /* nothing, ~ or null */
    WF_YAML_SCALAR,
    WF_YAML_SEQ,
    WF_YAML_MAP,
    WF_YAML_BAD, /* was reported already: pass over it */
};

struct wf_yaml_node {
    enum wf_yaml_kind kind;
    unsigned line, col; /* from 1; columns count characters */
    char *text;         /* SCALAR, EMPTY */
    char *key;          /* a child of a MAP */
    unsigned key_line, key_col;
    struct wf_yaml_node *first, *last; /* children of a SEQ or MAP */
    struct wf_yaml_node *next;         /* sibling */
    struct wf_yaml_node *older;        /* the reader's, for freeing */
};

struct wf_yaml {
    struct wf_yaml_node *root; /* NULL: an empty document */
    bool complete;             /* false: the text ended in a syntax error, the tree is its start */
    struct wf_yaml_node *newest;
    size_t nodes;
};

typedef void (*wf_yaml_report)(void *arg, unsigned line, unsigned col, const char *what);

/**
 * wf_yaml_read() - read one document
 * @y:      out, the caller's to wf_yaml_deinit() whatever happens
 * @report: every problem; anchors, aliases, tags, a second document, more than the limits above
 *          are problems
 */
void wf_yaml_read(struct wf_yaml *y, const char *text, size_t len, wf_yaml_report report,
                  void *arg);
/* Frees the tree; texts are wiped first, for they may be secrets. */
void wf_yaml_deinit(struct wf_yaml *y);

#endif
