/* Patterns over the names of tables and columns. */
#ifndef WF_PATTERN_H
#define WF_PATTERN_H

#include "option.h"

/**
 * wf_pattern_matches() - whether a pattern names @name as a whole
 * @pattern: a glob (`*` any characters, `?` one, `[...]`), or between slashes a POSIX extended
 *           regular expression
 */
bool wf_pattern_matches(const char *pattern, const char *name);

/* Why @pattern cannot be used, into @why; false = it can. */
bool wf_pattern_fault(const char *pattern, char *why, size_t size);

/* Whether @pattern is a plain name: it can match nothing but itself. */
bool wf_pattern_is_name(const char *pattern);

/* Whether one of the list matches; an empty list matches nothing. */
bool wf_patterns_match(const struct wf_list *patterns, const char *name);

/* The value of the first pattern of the map that matches, or NULL. */
const char *wf_patterns_value(const struct wf_map *patterns, const char *name);

#endif
