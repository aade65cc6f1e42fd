/* Fingerprints of Avro schemas. */
#ifndef WF_AVRO_FINGERPRINT_H
#define WF_AVRO_FINGERPRINT_H

#include "buf.h"
#include "err.h"

/**
 * wf_avro_canonical() - append a schema's Parsing Canonical Form
 * @text: Avro schema as JSON; our own or a foreign one
 *
 * Source: Apache Avro specification, "Transforming into Parsing Canonical Form".
 * Return: WF_OK, or WF_REJECT when the text is no schema.
 */
enum wf_rc wf_avro_canonical(const char *text, size_t len, struct wf_buf *out, struct wf_err *err);

/* CRC-64-AVRO of the canonical form (specification, "Schema Fingerprints"), as it stands in front
 * of single objects; errors as wf_avro_canonical(). */
enum wf_rc wf_avro_fingerprint(const char *text, size_t len, uint64_t *out, struct wf_err *err);

#endif
