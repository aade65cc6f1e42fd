/* Tables asks the live catalog which columns a table has, for decoders that need to know. */
#ifndef WF_TABLES_H
#define WF_TABLES_H

#include "config.h"
#include "err.h"
#include "table.h"
#include "worker.h"

struct wf_tables;

/* NULL when memory is out. @conf and @worker outlive it. */
struct wf_tables *wf_tables_new(const struct wf_source_conf *conf, struct wf_worker *worker);
/* After the worker's end: a job of it may still run. */
void wf_tables_free(struct wf_tables *t);

/**
 * wf_tables_look() - the columns of a table, as they are now
 * @name: copied; call again with the same one until it is no longer WF_AGAIN
 * @out:  the caller's to free(); oid 0 when there is no such table
 *
 * Return: WF_OK; WF_AGAIN while a helper thread asks; WF_RETRY with the cause, whatever it is: the
 * slot holds the change meanwhile.
 */
enum wf_rc wf_tables_look(struct wf_tables *t, const struct wf_table_name *name,
                          struct wf_table **out, struct wf_err *err);

/* Nobody waits for the answer any more. */
void wf_tables_forget(struct wf_tables *t);

#endif
