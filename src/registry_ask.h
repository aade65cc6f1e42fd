/* Blocking calls of a schema registry, for the command line. */
#ifndef WF_REGISTRY_ASK_H
#define WF_REGISTRY_ASK_H

#include "config.h"
#include "err.h"

/* `walferry check`: finding and cure through @report as in sink.h. */
void wf_registry_check(const struct wf_format_conf *conf,
                       void (*report)(void *arg, const char *level, const char *what,
                                      const char *cure),
                       void *arg);

/* A schema text by its id. *text is the caller's to free(). */
enum wf_rc wf_registry_schema(const struct wf_format_conf *conf, int32_t id, char **text,
                              struct wf_err *err);

enum wf_schema_state {
    WF_SCHEMA_SAME,         /* the subject has this text: nothing is registered */
    WF_SCHEMA_FIRST,        /* there is no such subject yet */
    WF_SCHEMA_COMPATIBLE,   /* a new version, and the registry would take it */
    WF_SCHEMA_INCOMPATIBLE, /* a new version, and it would not */
};

struct wf_schema_verdict {
    enum wf_schema_state state;
    int32_t id;         /* SAME */
    int version;        /* SAME */
    char mode[32];      /* the subject's compatibility level, "" = unknown */
    char *latest;       /* text of the newest version, NULL = none; the caller's to free() */
    char messages[600]; /* INCOMPATIBLE: what the registry says */
};

/**
 * wf_registry_verdict() - what registering a text would do; changes nothing
 * @subject: unescaped
 *
 * Source: registry.md, section 2. WF_REJECT when the registry cannot be asked.
 */
enum wf_rc wf_registry_verdict(const struct wf_format_conf *conf, const char *subject,
                               const char *schema, struct wf_schema_verdict *out,
                               struct wf_err *err);

#endif
