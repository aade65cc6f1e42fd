/* What the parts of the configuration share; only config*.c include it. */
#ifndef WF_CONFIG_PARTS_H
#define WF_CONFIG_PARTS_H

#include "config.h"
#include "yaml_tree.h"

/* In the order of the file. */
enum wf_section_id {
    WF_SECTION_SOURCE,
    WF_SECTION_SINK,
    WF_SECTION_FORMAT,
    WF_SECTION_STATE,
    WF_SECTION_LOG,
};

#define WF_PIPELINE "{pipeline}" /* in the default of a WF_OPT_STR: the pipeline's name */

#define WF_SECTION_MAX_OPTS 64 /* bits of wf_config.given */

/* Where an option stands in the file; line 0 = it does not. */
struct wf_place {
    unsigned line, col;
    bool bad; /* its value was reported: draw no conclusions from it */
};

/* One reading of one file. */
struct wf_config_reader {
    struct wf_config *c;
    const char *name; /* of the file, for messages */
    bool on_disk;     /* <key>_file may be read */
    unsigned mode;    /* of the file, when on_disk */
    struct wf_section sections[WF_SECTIONS];
    struct wf_place section_place[WF_SECTIONS];
    struct wf_place place[WF_SECTIONS][WF_SECTION_MAX_OPTS];
    struct wf_place sink_type; /* where the key `type` stands */
    struct wf_problem {
        unsigned line, col;
        char *text;
    } *problems;
    size_t nproblems; /* kept */
    size_t total;     /* found */
    bool no_memory;   /* for a value or a problem: what was found means nothing */
};

/* Record a problem; line 0 = of the file as a whole. */
void wf_config_problem(struct wf_config_reader *r, unsigned line, unsigned col, const char *fmt,
                       ...) __attribute__((format(printf, 4, 5)));

/* Record what went wrong with the value at @node; @name, when not NULL, comes in front. */
void wf_config_error(struct wf_config_reader *r, const struct wf_yaml_node *node, const char *name,
                     const struct wf_err *err);

/* The sections with their tables. @c NULL: for docs, no storage and no sink options. */
void wf_config_sections(struct wf_config *c, struct wf_section out[WF_SECTIONS]);
/* The row of `sink.type`; its field is not used. */
const struct wf_opt *wf_config_sink_type(void);
/* The sink of that name, or NULL. */
const struct wf_sink_ops *wf_config_sink_find(const char *name);
/* A sink's rows; never NULL. */
const struct wf_opt *wf_config_sink_opts(const struct wf_sink_ops *ops);

/* Read the values of one section's mapping into its struct. */
void wf_config_apply(struct wf_config_reader *r, enum wf_section_id id,
                     const struct wf_yaml_node *body);
/**
 * wf_config_expand() - a scalar's value with its variables, see expand.h
 * @name:   full name of the option, for the problem that is recorded on failure
 * @out, @origin: initialised by the call, the caller's to deinit whatever happens; NUL-terminated
 */
bool wf_config_expand(struct wf_config_reader *r, const struct wf_yaml_node *node, const char *name,
                      struct wf_buf *out, struct wf_buf *origin);

/* Fill the defaults that depend on the pipeline's name. */
enum wf_rc wf_config_derive(struct wf_config *c, struct wf_err *err);
/* Where an option stands. */
struct wf_place *wf_config_place(struct wf_config_reader *r, enum wf_section_id id,
                                 const char *key);
/* Given in the file with a usable value. */
bool wf_config_usable(const struct wf_place *p);
/* What is wrong with a topic template, or NULL; @bad is where. */
const char *wf_config_template_fault(const char *text, const char **bad);
/* Patterns and their values; a part of wf_config_check(). */
void wf_config_check_lists(struct wf_config_reader *r);
/* What rows cannot say: forms of names, templates and URLs, rules across sections. */
void wf_config_check(struct wf_config_reader *r);

#endif
