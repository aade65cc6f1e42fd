/* Shapes sees to it that a change can be encoded: catalog, plan, schema ids, destination. */
#ifndef WF_SHAPES_H
#define WF_SHAPES_H

#include "change.h"
#include "config.h"
#include "encode.h"
#include "registry.h"
#include "sink.h"
#include "worker.h"

struct wf_shapes;

struct wf_shapes_env {
    const struct wf_config *config;
    struct wf_worker *worker; /* for catalog look-ups */
    struct wf_encoder *encoder;
    struct wf_registry *registry; /* NULL = no registry */
};

/* @env is copied; what it points to outlives the shapes. NULL when memory is out. */
struct wf_shapes *wf_shapes_new(const struct wf_shapes_env *env);
void wf_shapes_free(struct wf_shapes *s);

/**
 * wf_shapes_ready() - plan and streams of everything @c touches
 * @c:    must stay as it is until WF_OK (a look-up on the worker reads its relations)
 * @ops, @sink: where the streams must be ready
 *
 * Costs a pointer test or two once a relation is known. Return: WF_OK; WF_AGAIN something is under
 * way: call again after a loop turn; WF_REJECT, WF_RETRY with the cause.
 */
enum wf_rc wf_shapes_ready(struct wf_shapes *s, const struct wf_change *c,
                           const struct wf_sink_ops *ops, struct wf_sink *sink, struct wf_err *err);

/* A look-up runs on the worker and reads a relation of the change: the decoder must not be called
 * until it is over. */
bool wf_shapes_busy(const struct wf_shapes *s);

/* The decoder's relations end here: an answer about one of them is dropped. Not while busy. */
void wf_shapes_forget(struct wf_shapes *s);

#endif
