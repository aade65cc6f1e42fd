/* The encoder turns changes into events: key and value bytes written by a plan per relation. */
#ifndef WF_ENCODE_H
#define WF_ENCODE_H

#include "catalog.h"
#include "change.h"
#include "config.h"
#include "envelope.h"
#include "err.h"
#include "stream.h"

struct wf_encoder;

/* The events of one change; borrowed until the next wf_encode(). */
struct wf_events {
    struct wf_event *ev;
    uint32_t n;
};

/**
 * wf_encoder_new() - an encoder for one pipeline
 * @conf:      profile, topic template, tombstones; outlives the encoder
 * @source:    selected and masked columns; outlives the encoder; NULL = all as they are
 * @framing:   what stands before (or instead of) the Avro bytes
 * @max_event: largest event in bytes, key, value and headers; a larger one is WF_REJECT
 * @origin:    for the source block
 */
enum wf_rc wf_encoder_new(struct wf_encoder **out, const struct wf_format_conf *conf,
                          const struct wf_source_conf *source, enum wf_framing framing,
                          size_t max_event, const struct wf_origin *origin, struct wf_err *err);
void wf_encoder_free(struct wf_encoder *e);
/* Between transactions: the same database, on another timeline. */
enum wf_rc wf_encoder_origin(struct wf_encoder *e, const struct wf_origin *origin,
                             struct wf_err *err);

/**
 * wf_encoder_plan() - compile the plan of a relation version; sets rel->plan and rel->plan_free
 * @cat: what the catalog says
 *
 * Makes (or finds) the relation's stream and its truncate stream. Names that collide or cannot be
 * written are WF_REJECT with both names.
 */
enum wf_rc wf_encoder_plan(struct wf_encoder *e, struct wf_relation *rel,
                           const struct wf_catalog *cat, struct wf_err *err);

/**
 * wf_encoder_streams() - the streams a change needs before it can be encoded
 * @out: at least @max entries; the pipeline resolves and prepares those not ready
 *
 * Return: how many were written. rel->plan must be set for all relations of the change.
 */
size_t wf_encoder_streams(struct wf_encoder *e, const struct wf_change *c, struct wf_stream **out,
                          size_t max);

/* Whether all of this is done for a row's change: plan and streams are there and ready. */
bool wf_encoder_is_ready(const struct wf_encoder *e, const struct wf_change *c);

/* A transaction begins: its events are numbered from 1. */
void wf_encoder_begin(struct wf_encoder *e);
/* Whether the open transaction's COMMIT has events of its own. */
bool wf_encoder_ends(const struct wf_encoder *e);

/* The sink was closed: every stream has to be prepared again (ready = false). */
void wf_encoder_unready(struct wf_encoder *e);

/**
 * wf_encode() - the events of one change, in publishing order
 * @c:      INSERT, UPDATE, DELETE, TRUNCATE, MESSAGE, HEARTBEAT, or a COMMIT with
 *          wf_encoder_ends()
 * @now_us: wall clock for the envelope's ts_ms/ts_us
 *
 * No allocation in steady state. Return: WF_OK (out->n may be 0); WF_AGAIN: the table's schema had
 * to be changed (a NULL from before a SET NOT NULL, a new enum label), prepare plan and streams and
 * call again;
 * WF_REJECT naming table, column and cure; never row values.
 */
enum wf_rc wf_encode(struct wf_encoder *e, const struct wf_change *c, int64_t now_us,
                     struct wf_events *out, struct wf_err *err);

#endif
