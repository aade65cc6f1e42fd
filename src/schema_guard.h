/* Compares two schemas of one subject for what a registry's rules do not see: their meaning. */
#ifndef WF_SCHEMA_GUARD_H
#define WF_SCHEMA_GUARD_H

#include <stdbool.h>

#include "buf.h"
#include "err.h"

/**
 * wf_guard_check() - whether readers of the old schema would misread what the new one writes
 * @before: text that the subject has; may come from a foreign registry
 * @after:  text that is about to be registered
 * @key:    a key must not change at all
 *
 * Meaning changes when a field keeps its name and gets another scale, unit, kind or base type (int
 * to long and float to double pass), when a field is gone while a new one of the same type is there
 * (a rename), and when walferry.profile is another one.
 * Return: WF_OK, or WF_REJECT "semantic_change" with field, old and new, without a hint.
 */
enum wf_rc wf_guard_check(const char *before, const char *after, bool key, struct wf_err *err);

/* Every difference between the fields of two schemas, as "a: int becomes long, b is new". Empty
 * when there is none, or when one of them is no schema. */
void wf_guard_diff(const char *before, const char *after, struct wf_buf *out);

/* Whether two texts are the same JSON, whatever the order of their keys. */
bool wf_guard_same(const char *a, const char *b);

/* The full name of the record that a schema text defines; false when it defines none. */
bool wf_guard_record_name(const char *text, struct wf_buf *out);

#endif
