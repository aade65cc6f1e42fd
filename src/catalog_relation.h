/* A live table as the stream would describe it. */
#ifndef WF_CATALOG_RELATION_H
#define WF_CATALOG_RELATION_H

#include <libpq-fe.h>

#include "err.h"
#include "relation.h"

/**
 * wf_catalog_relation() - the relation of a table, as a Relation message would have it
 * @name: schema.table, spelled as the catalog has it
 * @out:  to wf_catalog_relation_free() whatever is returned
 *
 * Generated columns are left out, as pgoutput leaves them out. Return: WF_OK; WF_REJECT when there
 * is no such table.
 */
enum wf_rc wf_catalog_relation(PGconn *conn, const char *name, struct wf_relation *out,
                               struct wf_err *err);
void wf_catalog_relation_free(struct wf_relation *rel);

#endif
