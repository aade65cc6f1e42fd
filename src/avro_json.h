/* Reads Avro bytes by their schema into one line of JSON. */
#ifndef WF_AVRO_JSON_H
#define WF_AVRO_JSON_H

#include "buf.h"
#include "err.h"

struct wf_avro_reader;

/**
 * wf_avro_reader_new() - compile a schema text
 * @text: Avro schema as JSON, at most 4 MiB, nesting at most 64; may come from a foreign file
 *
 * Return: WF_OK with *out the caller's to free, or WF_REJECT naming what is wrong in the schema.
 */
enum wf_rc wf_avro_reader_new(struct wf_avro_reader **out, const char *text, size_t len,
                              struct wf_err *err);
void wf_avro_reader_free(struct wf_avro_reader *r);

/**
 * wf_avro_to_json() - append one datum as JSON
 * @data:  bare Avro binary, bounds-checked
 * @used:  out, bytes consumed; NULL = the datum must end exactly at @len
 *
 * Readable rather than lossless: a union is its value, bytes with logicalType decimal print as a
 * JSON number text ("12.50"), other bytes as base64; everything else as Avro's JSON would.
 */
enum wf_rc wf_avro_to_json(const struct wf_avro_reader *r, const unsigned char *data, size_t len,
                           size_t *used, struct wf_buf *out, struct wf_err *err);

#endif
