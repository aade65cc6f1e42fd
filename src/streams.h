/* The streams of one encoder, found by topic and schema texts. */
#ifndef WF_STREAMS_H
#define WF_STREAMS_H

#include "avro_json.h"
#include "err.h"
#include "stream.h"

struct wf_streams;

/* @fingerprints: streams are to have their schemas' fingerprints. NULL: memory is out. */
struct wf_streams *wf_streams_new(bool fingerprints);
void wf_streams_free(struct wf_streams *s);

/**
 * wf_streams_claim() - reserve a topic for one table
 * @schema, @table: "" and a word for topics of other records
 * @shared: others that say so, too, may have it beside this one
 *
 * Return: WF_OK (again, too, for the same table), or WF_REJECT naming both owners.
 */
enum wf_rc wf_streams_claim(struct wf_streams *s, const char *topic, const char *schema,
                            const char *table, bool shared, struct wf_err *err);

/* Find or make; texts are copied. @key_schema and @table may be NULL. */
enum wf_rc wf_streams_get(struct wf_streams *s, struct wf_stream **out, const char *topic,
                          const char *key_schema, const char *value_schema, const char *table,
                          struct wf_err *err);

/* Every stream has to be prepared again. */
void wf_streams_unready(struct wf_streams *s);

/* Compiled schemas of a stream made here, for JSON; made at first use. *key is NULL without one. */
enum wf_rc wf_streams_readers(struct wf_stream *stream, const struct wf_avro_reader **key,
                              const struct wf_avro_reader **value, struct wf_err *err);

#endif
