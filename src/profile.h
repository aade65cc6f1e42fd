/* Profiles: what an event looks like, beyond its bytes. */
#ifndef WF_PROFILE_H
#define WF_PROFILE_H

#include "config.h"
#include "types.h"

/* What surrounds the columns. */
enum wf_shape {
    WF_SHAPE_DEBEZIUM, /* envelope with source block */
    WF_SHAPE_NATIVE,   /* envelope with walferry's own, smaller source block */
    WF_SHAPE_ROW,      /* nothing: the columns and a few fields behind them */
};

struct wf_profile_rules {
    enum wf_shape shape;
    bool required_by_catalog; /* NOT NULL and defaults as the catalog says; else only keys are
                                 required, and nothing has a default */
    /* what only a cut-over from Debezium needs; events.md, section 4 */
    bool ts_ns;               /* nanoseconds beside microseconds */
    bool context_headers;     /* __debezium.context.* on every row event */
    bool null_as_default;     /* a NULL in a column with a default is written as the default */
    bool truncate_in_topic;   /* a truncate goes to the table's topic, and is skipped by default */
    bool keyless_tombstones;  /* a delete without key is followed by an event without anything */
    bool partial_unique_keys; /* a partial unique index may be the key */
};

const struct wf_profile_rules *wf_profile_rules(const struct wf_format_conf *conf);

/* What becomes of a value that the server did not send; never AUTO. */
enum wf_toast_mode wf_profile_toast(const struct wf_format_conf *conf);

/* The modes of types as the profile and its options say; AUTO is resolved. */
struct wf_type_modes wf_profile_modes(const struct wf_format_conf *conf);

#endif
