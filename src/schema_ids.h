/* Schema ids that survive a restart, in a file of the state directory. */
#ifndef WF_SCHEMA_IDS_H
#define WF_SCHEMA_IDS_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "option.h"
#include "worker.h"

struct wf_schema_ids;

struct wf_schema_id {
    int32_t id;
    bool foreign; /* a key's, from the registry that was configured before */
};

/**
 * wf_schema_ids_open() - read what is remembered
 * @dir:      the state directory
 * @registry: its URLs, which name it: ids of another one are not its ids
 * @worker:   writes the file; NULL = only wf_schema_ids_close() does
 *
 * Blocks. A file that is damaged, too large or not ours is worth a warning: what it held is asked
 * again.
 */
enum wf_rc wf_schema_ids_open(struct wf_schema_ids **out, const char *dir,
                              const struct wf_list *registry, struct wf_worker *worker,
                              struct wf_err *err);
/* Writes what is not written yet; the worker has ended. NULL is fine. */
void wf_schema_ids_close(struct wf_schema_ids *s);

/* The id of a text under a subject, or NULL. */
const struct wf_schema_id *wf_schema_ids_find(const struct wf_schema_ids *s, const char *subject,
                                              const char *text);

/* The text that a subject got last, or NULL. */
const char *wf_schema_ids_text(const struct wf_schema_ids *s, const char *subject);

/* Remember; the file is written on the worker. A refusing disk is a warning: the ids are known
 * all the same. Beyond 16,384 ids or 8 MiB of texts the oldest go, ids of keys last. */
enum wf_rc wf_schema_ids_put(struct wf_schema_ids *s, const char *subject, const char *text,
                             bool key, int32_t id, struct wf_err *err);

#endif
