/* The transform decides which changes go on: selected tables, operations that are not skipped. */
#ifndef WF_TRANSFORM_H
#define WF_TRANSFORM_H

#include "change.h"
#include "config.h"

/* As wf_transform_wants(), whatever is known already. */
bool wf_transform_decide(const struct wf_config *config, struct wf_change *c);

/* Whether @c is wanted; a TRUNCATE keeps only its wanted tables. Asked once per relation. */
static inline bool wf_transform_wants(const struct wf_config *config, struct wf_change *c)
{
    if (c->rel && c->rel->selected > 0 && !config->source.skipped_operations.n)
        return true;
    return wf_transform_decide(config, c);
}

#endif
