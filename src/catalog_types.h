/* Takes array and composite types apart, by the catalog. */
#ifndef WF_CATALOG_TYPES_H
#define WF_CATALOG_TYPES_H

#include "catalog.h"

/* Fill wf_catalog_col.tree where the column's type has parts; asks nothing when none has. */
enum wf_rc wf_catalog_fetch_types(PGconn *conn, uint32_t rel_oid, struct wf_catalog *c,
                                  struct wf_err *err);

#endif
