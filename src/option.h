/* Options are rows of tables: parsing, units, limits, defaults, docs and messages come from them.
 */
#ifndef WF_OPTION_H
#define WF_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

enum wf_opt_type {
    WF_OPT_STR,    /* char *; NULL when unset and without default */
    WF_OPT_SECRET, /* char *; never printed; also accepted as `<key>_file`: path of a file */
    WF_OPT_BOOL,   /* bool: on/off, true/false, yes/no */
    WF_OPT_INT,    /* int64_t */
    WF_OPT_SIZE,   /* int64_t bytes: 512, 64KiB, 8MiB, 1GiB (also kB, MB, GB) */
    WF_OPT_TIME,   /* int64_t milliseconds: 500ms, 5s, 10m, 2h, 1d */
    WF_OPT_ENUM,   /* int: index into `choices` */
    WF_OPT_LIST,   /* struct wf_list: a YAML sequence of strings, or one string */
    WF_OPT_MAP,    /* struct wf_map: a YAML mapping of free keys to strings */
};

struct wf_list {
    char **items;
    size_t n;
};

struct wf_map {
    struct wf_map_item {
        char *key, *value;
        unsigned line, col; /* of the key in the file, for later messages */
    } *items;
    size_t n;
};

struct wf_opt {
    const char *key; /* NULL ends the table */
    enum wf_opt_type type;
    bool required;
    size_t field;               /* offsetof() in the module's conf struct */
    const char *dflt;           /* as the user would write it; NULL = unset (0, NULL, empty); in a
                                   WF_OPT_STR "{pipeline}" stands for the pipeline's name */
    const char *dflt_note;      /* for docs, when the default depends: "as the slot" */
    const char *min, *max;      /* INT, SIZE, TIME; NULL = none */
    const char *const *choices; /* ENUM: NULL-terminated */
    const char *help;           /* one or more sentences in Markdown */
};

/* One mapping of the YAML file ("source", "sink", ...) and where its values go. */
struct wf_section {
    const char *name;
    const char *help;
    const struct wf_opt *opts;
    void *conf; /* the caller's struct, fields as the rows say */
};

/* Set every field to its default; @conf was zeroed or set before. Return: WF_FATAL only when memory
 * is out. */
enum wf_rc wf_opts_defaults(const struct wf_opt *opts, void *conf, struct wf_err *err);
/* Free what the fields own; secrets are wiped first. */
void wf_opts_free(const struct wf_opt *opts, void *conf);

/**
 * wf_opt_set() - parse one scalar value into its field
 * @opt:   the row; @text is checked against its type, unit and limits
 * @name:  full name for messages: "sink.linger"
 *
 * Return: WF_OK, or WF_FATAL with @err: "sink.linger: 30s is above the maximum of 1s".
 */
enum wf_rc wf_opt_set(const struct wf_opt *opt, void *conf, const char *name, const char *text,
                      struct wf_err *err);

/* Back to unset: frees what the field owns (secrets are wiped), then 0, NULL or empty. */
void wf_opt_clear(const struct wf_opt *opt, void *conf);
/* Append one value to a WF_OPT_LIST field; errors as wf_opt_set(). */
enum wf_rc wf_opt_list_add(const struct wf_opt *opt, void *conf, const char *name, const char *text,
                           struct wf_err *err);
/* Append one entry to a WF_OPT_MAP field; @line, @col: of the key. A key given twice is refused. */
enum wf_rc wf_opt_map_add(const struct wf_opt *opt, void *conf, const char *name,
                          const struct wf_map_item *item, struct wf_err *err);

/* The value as a user would write it in YAML (quoted where needed, "$" as "$$"); secrets, and
 * passwords inside other values, as "********". Unset prints nothing, returns false. */
bool wf_opt_print(const struct wf_opt *opt, const void *conf, struct wf_buf *out);

/* The row for @key, or NULL. */
const struct wf_opt *wf_opt_find(const struct wf_opt *opts, const char *key);
/* The nearest key by edit distance, NULL when none is near enough to suggest. */
const char *wf_opt_nearest(const struct wf_opt *opts, const char *key);
/* As wf_opt_nearest() over a NULL-terminated list of words. */
const char *wf_word_nearest(const char *const *words, const char *word);

/* A foreign text for a message: cut, control characters as '?'. wf_shown(key).s */
struct wf_shown {
    char s[72];
};
struct wf_shown wf_shown(const char *text);

#endif
