/* The transform decides which changes go on: selected tables, operations that are not skipped. */
#ifndef WF_TRANSFORM_H
#define WF_TRANSFORM_H

#include "change.h"
#include "config.h"

/* Whether @c is wanted; a TRUNCATE keeps only its wanted tables. Asked once per relation. */
bool wf_transform_wants(const struct wf_config *config, struct wf_change *c);

#endif
