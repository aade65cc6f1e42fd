/* Turns PostgreSQL names into topic names and Avro names. */
#ifndef WF_NAMES_H
#define WF_NAMES_H

#include <stdbool.h>

#include "buf.h"
#include "config.h"
#include "err.h"

#define WF_TOPIC_MAX 249 /* Kafka: Topic.MAX_NAME_LENGTH */

/**
 * wf_name_avro() - append @s as Debezium's name adjustment of @mode writes it
 * @field: true for a field name (a dot is replaced too), false for a namespace
 *
 * `avro`: [A-Za-z0-9_] stay, others become '_', a leading digit gets '_' in front. `avro_unicode`:
 * others, '_' and a leading digit become `_uXXXX`; three hexadecimal digits stay three, as there.
 * Unlike Debezium each part of a namespace is made legal, since a registry refuses
 * "srv.public.1digit". As there, a character beyond the BMP is two UTF-16 units.
 */
void wf_name_avro(struct wf_buf *out, const char *s, bool field, enum wf_name_mode mode);

/* FNV-1a of a name: the same at every start. */
uint32_t wf_name_hash(const char *s);

/**
 * wf_topic_make() - expand a topic template
 * @tmpl:  text with {prefix}, {schema}, {table}, checked when the configuration was read; each
 *         value and the text between are sanitised: what Kafka does not allow in a topic
 *         ([A-Za-z0-9._-]) becomes '_', by UTF-16 unit
 *
 * Return: WF_OK and a NUL-terminated name in @out; WF_REJECT when it is empty, "." or "..", or
 * over 249 bytes.
 */
enum wf_rc wf_topic_make(struct wf_buf *out, const char *tmpl, const char *prefix,
                         const char *schema, const char *table, struct wf_err *err);

#endif
