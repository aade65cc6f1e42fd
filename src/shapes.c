#include "shapes.h"

#include <stdlib.h>

#include "catalog.h"
#include "pg.h"
#include "profile.h"

#define MAX_STREAMS 4096 /* tables of one TRUNCATE */

struct wf_shapes {
    struct wf_shapes_env env;
    struct wf_stream **streams;
    struct { /* the worker's while job.queued */
        struct wf_job job;
        struct wf_relation *rel;
        struct wf_catalog *catalog;
        enum wf_rc rc;
        struct wf_err err;
        bool done; /* rc is the answer for rel */
    } lookup;
};

struct wf_shapes *wf_shapes_new(const struct wf_shapes_env *env)
{
    struct wf_shapes *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->env = *env;
    s->streams = calloc(MAX_STREAMS, sizeof(struct wf_stream *));
    if (!s->streams) {
        free(s);
        return NULL;
    }
    return s;
}

void wf_shapes_free(struct wf_shapes *s)
{
    if (!s)
        return;
    wf_catalog_free(s->lookup.catalog);
    free(s->streams);
    free(s);
}

bool wf_shapes_busy(const struct wf_shapes *s)
{
    return s->lookup.job.queued;
}

void wf_shapes_forget(struct wf_shapes *s)
{
    wf_catalog_free(s->lookup.catalog);
    s->lookup.catalog = NULL;
    s->lookup.rel = NULL;
    s->lookup.done = false;
}

static void lookup_run(struct wf_job *job)
{
    struct wf_shapes *s = wf_container_of(job, struct wf_shapes, lookup.job);
    bool partial_keys = wf_profile_rules(&s->env.config->format)->partial_unique_keys;
    wf_autoconn PGconn *conn = NULL;

    s->lookup.rc = wf_pg_connect(&s->env.config->source, WF_PG_SQL, NULL, &conn, &s->lookup.err);
    if (s->lookup.rc == WF_OK)
        s->lookup.rc =
            wf_catalog_fetch(conn, s->lookup.rel, partial_keys, &s->lookup.catalog, &s->lookup.err);
}

static void lookup_done(struct wf_job *job)
{
    struct wf_shapes *s = wf_container_of(job, struct wf_shapes, lookup.job);

    s->lookup.done = true;
}

/* The catalog is asked when the Relation message's first change needs it. */
static enum wf_rc plan_relation(struct wf_shapes *s, struct wf_relation *rel, struct wf_err *err)
{
    enum wf_rc rc;

    if (rel->plan)
        return WF_OK;
    if (s->lookup.job.queued)
        return WF_AGAIN;
    if (!s->lookup.done || s->lookup.rel != rel) {
        wf_shapes_forget(s);
        s->lookup.rel = rel;
        s->lookup.job.run = lookup_run;
        s->lookup.job.done = lookup_done;
        wf_worker_submit(s->env.worker, &s->lookup.job);
        return WF_AGAIN;
    }
    if (s->lookup.rc == WF_OK) {
        rc = wf_encoder_plan(s->env.encoder, rel, s->lookup.catalog, err);
    } else {
        *err = s->lookup.err;
        rc = err->rc = WF_RETRY; /* whatever it is, the slot holds the change meanwhile */
    }
    wf_shapes_forget(s);
    return rc;
}

static enum wf_rc plan_all(struct wf_shapes *s, const struct wf_change *c, struct wf_err *err)
{
    enum wf_rc rc = WF_OK;

    if (c->rel)
        return plan_relation(s, c->rel, err);
    for (uint32_t i = 0; i < c->truncate.nrels && rc == WF_OK; i++)
        rc = plan_relation(s, c->truncate.rels[i], err);
    return rc;
}

static enum wf_rc stream_ready(struct wf_shapes *s, struct wf_stream *stream,
                               const struct wf_sink_ops *ops, struct wf_sink *sink,
                               struct wf_err *err)
{
    enum wf_rc rc;

    if (stream->ready)
        return WF_OK;
    if (!stream->resolved) {
        rc = s->env.registry ? wf_registry_resolve(s->env.registry, stream, err) : WF_OK;
        if (rc != WF_OK)
            return rc;
        stream->resolved = true;
    }
    rc = ops->prepare ? ops->prepare(sink, stream, err) : WF_OK;
    if (rc == WF_OK)
        stream->ready = true;
    return rc;
}

enum wf_rc wf_shapes_ready(struct wf_shapes *s, const struct wf_change *c,
                           const struct wf_sink_ops *ops, struct wf_sink *sink, struct wf_err *err)
{
    enum wf_rc rc;
    size_t n;

    if (__builtin_expect(wf_encoder_is_ready(s->env.encoder, c), 1))
        return WF_OK;
    rc = plan_all(s, c, err);
    if (rc != WF_OK)
        return rc;
    n = wf_encoder_streams(s->env.encoder, c, s->streams, MAX_STREAMS);
    for (size_t i = 0; i < n && rc == WF_OK; i++)
        rc = stream_ready(s, s->streams[i], ops, sink, err);
    return rc;
}
