/* Copies a catalog's type tree into what the converter table reads. */
#ifndef WF_TYPE_TREE_H
#define WF_TYPE_TREE_H

#include "catalog.h"
#include "types.h"

/* One block with everything it points to, for free(); NULL when memory is out. */
struct wf_type_in *wf_type_tree_new(const struct wf_catalog_type *from);

#endif
