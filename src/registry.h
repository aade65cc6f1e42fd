/* Client of a schema registry that speaks Confluent's REST interface. */
#ifndef WF_REGISTRY_H
#define WF_REGISTRY_H

#include "config.h"
#include "http.h"
#include "schema_ids.h"
#include "stream.h"

struct wf_registry;

struct wf_registry_env {
    const struct wf_format_conf *conf;
    struct wf_http *http;
    struct wf_loop *loop;
    struct wf_schema_ids *ids; /* what is remembered from earlier runs; NULL = nothing */
};

/* @env is copied, what it points to outlives the registry. The URLs are tried in order, for ever,
 * with back-off and jitter. */
enum wf_rc wf_registry_new(struct wf_registry **out, const struct wf_registry_env *env,
                           struct wf_err *err);
void wf_registry_free(struct wf_registry *r);

/**
 * wf_registry_resolve() - ids of a stream's schemas, under the subjects of the chosen strategy
 * @stream: key_id, value_id and resolved are set on success
 *
 * Cached by schema text and subject, and remembered across restarts: a remembered id is verified
 * when the registry answers, and taken when it does not. A text that the subject does not have is
 * registered once the semantic guard (schema_guard.h) lets it pass. Never blocks.
 * Return: WF_OK resolved; WF_AGAIN a request is under way or waits for its retry: call again after
 * a loop turn; WF_REJECT: the registry (409, 422, 401, 403) or the guard said no: subject, reason,
 * cure. After a WF_REJECT the next call starts anew (the pipeline calls again after its pause).
 */
enum wf_rc wf_registry_resolve(struct wf_registry *r, struct wf_stream *stream, struct wf_err *err);

/* NULL, or a sentence about the trouble a WF_AGAIN waits for ("registry https://...: timed out").
 */
const char *wf_registry_trouble(const struct wf_registry *r);

#endif
