/* What cannot be published is set aside, whole and with its reason, where the operator said so. */
#ifndef WF_ASIDE_H
#define WF_ASIDE_H

#include "change.h"
#include "config.h"
#include "err.h"
#include "worker.h"

struct wf_aside;

/* @plugin: whose messages they are. NULL when memory is out; arguments outlive it. */
struct wf_aside *wf_aside_new(const struct wf_config *config, const char *plugin,
                              struct wf_worker *worker);
/* NULL is fine; the worker has ended. */
void wf_aside_free(struct wf_aside *a);

/**
 * wf_aside_take() - turn a change that was rejected into one that can be published
 * @c:       in, the change; out, a WF_CHANGE_DEAD for the dead letter topic, or the same change
 * with its large values marked as not sent
 * @message: the plugin's message, [@message, @message+@len), borrowed as long as @c
 * @err:     why it was rejected
 *
 * Return: WF_OK: encode @c in its place; WF_AGAIN: its message is being written to a file, call
 * again; WF_REJECT: the configuration says to halt, @err as it was; WF_RETRY: the disk refused.
 */
enum wf_rc wf_aside_take(struct wf_aside *a, struct wf_change *c, const char *message, size_t len,
                         struct wf_err *err);

#endif
