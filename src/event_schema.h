/* Schema texts of whole events: keys, the envelopes of the profiles, the fixed records. */
#ifndef WF_EVENT_SCHEMA_H
#define WF_EVENT_SCHEMA_H

#include "avro_schema.h"

/* The record `<ns>.Key`. */
void wf_schema_key(struct wf_buf *out, const char *ns, const struct wf_schema_field *f, size_t n);

/* What a profile writes around the columns of a row. */
struct wf_schema_shape {
    bool ts_ns; /* nanoseconds beside microseconds, as Debezium has them */
    bool mark;  /* a list of the columns whose values the server did not send */
};

/* The record `<ns>.Envelope` around `<ns>.Value`: before, after, source, transaction, op, ts_ms,
 * ts_us (ts_ns). */
void wf_schema_envelope(struct wf_buf *out, const char *ns, const struct wf_schema_field *f,
                        size_t n, const struct wf_schema_shape *shape);
/* The record `<ns>.Envelope` around `<ns>.Value`: before, after, op, ts, source, (unavailable). */
void wf_schema_native(struct wf_buf *out, const char *ns, const struct wf_schema_field *f, size_t n,
                      const struct wf_schema_shape *shape);
/* The record `<ns>.Value`: the columns, __op, __lsn, __ts_ms, __deleted (__unavailable). */
void wf_schema_row(struct wf_buf *out, const char *ns, const struct wf_schema_field *f, size_t n,
                   const struct wf_schema_shape *shape);

/* The fixed records; those without ts_ns stand in schemas/ as .avsc files. */
void wf_schema_source(struct wf_buf *out, bool ts_ns);
void wf_schema_message_key(struct wf_buf *out, bool ts_ns);
void wf_schema_message_value(struct wf_buf *out, bool ts_ns);
void wf_schema_truncate(struct wf_buf *out, bool ts_ns);
void wf_schema_transaction_key(struct wf_buf *out, bool ts_ns);
void wf_schema_transaction_value(struct wf_buf *out, bool ts_ns);
void wf_schema_heartbeat_key(struct wf_buf *out, bool ts_ns);
void wf_schema_heartbeat_value(struct wf_buf *out, bool ts_ns);
void wf_schema_dead_letter(struct wf_buf *out, bool ts_ns);

#endif
