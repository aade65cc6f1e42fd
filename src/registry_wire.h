/* What every request to a schema registry has in common. */
#ifndef WF_REGISTRY_WIRE_H
#define WF_REGISTRY_WIRE_H

#include <stdbool.h>

#include "config.h"
#include "err.h"

#define WF_SUBJECT_MAX 2048
#define WF_REGISTRY_PATH_MAX                                                                       \
    (3 * WF_SUBJECT_MAX + 64) /* an escaped subject and words around it                            \
                               */
#define WF_REGISTRY_URL_MAX (WF_REGISTRY_PATH_MAX + 2048)

/* Content-Type and Accept (registry.md, section 2). NULL-terminated. */
extern const char *const wf_registry_headers[];

/* "<base>/<path>" with exactly one slash between. */
void wf_registry_url(char *out, size_t size, const char *base, const char *path);

/* A subject as a part of a path; three bytes for each that has to be escaped. */
void wf_registry_escape(char *out, size_t size, const char *subject);

/* The body of a registration or look-up; the caller's to free(), NULL when memory is out or the
 * text is no UTF-8. */
char *wf_registry_body(const char *schema);

/**
 * wf_registry_subject() - the subject of a schema by format.subject_name_strategy
 * @schema: its text; its record's name counts for two of the strategies
 * @out:    room for WF_SUBJECT_MAX bytes
 */
enum wf_rc wf_registry_subject(const struct wf_format_conf *conf, const char *topic,
                               const char *schema, bool key, char *out, struct wf_err *err);

#endif
