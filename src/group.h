/* A group of source transactions becomes one transaction of the sink, checkpoint included. */
#ifndef WF_GROUP_H
#define WF_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "change.h"
#include "delivery.h"
#include "progress.h"
#include "sink.h"

/* Exactly once (delivery.md, 2.4 and 2.5): the sink makes events and checkpoint readable together
 * or not at all; the slot is acknowledged after that. The clock comes in as a parameter: the same
 * calls give the same result. */
struct wf_group;

struct wf_group_env {
    struct wf_delivery *delivery;
    struct wf_progress *progress;
    const struct wf_keeper_ops *keeper;
    bool hash_values; /* false: the form of a value may differ when it comes again (binary) */
};

/* @env is copied. NULL when memory is out. */
struct wf_group *wf_group_new(const struct wf_group_env *env, const struct wf_group_limits *limits);
void wf_group_free(struct wf_group *g);

/* A stream begins at @cp, which the sink holds: nothing is published past it. */
void wf_group_start(struct wf_group *g, const struct wf_checkpoint *cp, uint64_t now_us);

/* ---- the open source transaction ---- */

/* Return: WF_FATAL when another transaction was to come first, of which a part is published. */
enum wf_rc wf_group_begin(struct wf_group *g, const struct wf_txn *txn, struct wf_err *err);
/* @c, whether it had events or not, is done with. Return: WF_FATAL when what is published already
 * is not what came again. */
enum wf_rc wf_group_changed(struct wf_group *g, const struct wf_change *c, struct wf_err *err);
/* Return: WF_FATAL when less came again than is published. */
enum wf_rc wf_group_end(struct wf_group *g, struct wf_err *err);

/* The events of the change in work are published already: encode them, for the counts, and drop
 * them. */
bool wf_group_muted(const struct wf_group *g);

/* ---- the group ---- */

/* The sink took an event of @bytes. */
void wf_group_took(struct wf_group *g, size_t bytes);

/* Whether it is time to commit before anything else is read; cheap. */
bool wf_group_full(const struct wf_group *g);

enum wf_group_wish {
    WF_GROUP_GO_ON,
    WF_GROUP_HURRY,  /* the server asked, or somebody waits: no company */
    WF_GROUP_FINISH, /* the process ends: a transaction in work is split */
};

/**
 * wf_group_turn() - finish the commit under way, or begin one when it is due
 * @between: no change has only a part of its events in the sink
 * @wait_us: out, when to call again at the latest; 0 = no need
 *
 * Return: WF_OK; WF_RETRY, WF_REJECT: the sink has to be opened again. "renew": the commit
 * succeeded, but the sink wants a new beginning.
 */
enum wf_rc wf_group_turn(struct wf_group *g, struct wf_sink *sink, uint64_t now_us,
                         enum wf_group_wish wish, bool between, uint64_t *wait_us,
                         struct wf_err *err);

#endif
