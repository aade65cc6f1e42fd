/* A stream is where events of one shape go: a topic with its key schema and value schema. */
#ifndef WF_STREAM_H
#define WF_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Immutable but for the last group; lives as long as the encoder that made it. Another shape of
 * the same table is another stream with the same topic. */
struct wf_stream {
    const char *topic;
    const char *key_schema;   /* Avro schema text; NULL = events have no key */
    const char *value_schema; /* Avro schema text */
    const char *table; /* "schema.table" for messages to people; NULL for non-table streams */
    uint32_t index;    /* 0, 1, 2 ... in order of creation within one encoder */
    /* filled while the stream is prepared, see shapes.c */
    int32_t key_id, value_id; /* registry ids, 0 before resolved or without a registry */
    uint64_t key_fingerprint, value_fingerprint; /* CRC-64-AVRO, for single-object encoding */
    bool resolved;                               /* ids are final */
    bool ready;                                  /* the sink can take events */
    void *sink_data;                             /* the sink's own, released by the sink */
};

#define WF_HEADERS_MAX 5 /* of one event: one about the key, four about the context */

/* A record header; @name is NUL-terminated. */
struct wf_header {
    const char *name;
    const unsigned char *value;
    size_t len;
};

/* One record for a sink. Pointers are borrowed until the pipeline's next change. */
struct wf_event {
    struct wf_stream *stream;
    const unsigned char *key;   /* NULL = no key */
    const unsigned char *value; /* NULL = tombstone */
    size_t key_len, value_len;
    const struct wf_header *headers; /* for sinks that have such a thing */
    uint8_t nheaders;
    uint64_t tag;  /* delivery tag: hand it back through wf_delivery_acked() */
    uint64_t lsn;  /* of the change, for messages to people */
    int64_t ts_us; /* commit time, microseconds since the Unix epoch */
    char op;       /* c u d r t m; 'x' a tombstone, 'b' 'e' begin and end, 'h' heartbeat */
};

#endif
