/* The log: one event, one line, data as fields; logfmt or JSON on standard error. */
#ifndef WF_LOG_H
#define WF_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum wf_level { WF_LOG_ERROR, WF_LOG_WARN, WF_LOG_INFO, WF_LOG_DEBUG };

extern const char *const wf_level_names[]; /* "error", "warn", "info", "debug", NULL */

/* Process-wide: @pipeline (borrowed) stands in every line; NULL = none. */
void wf_log_setup(enum wf_level level, bool json, const char *pipeline);
bool wf_log_enabled(enum wf_level level);

/**
 * wf_log() - write one line
 * @code:   stable word for searching and alerts: "slot_created"
 * @fields: logfmt pairs "lsn=0/16B3748 retry_ms=2000" without blanks inside values, or NULL
 * @fmt:    the sentence. Never row values, never secrets. Control characters are escaped.
 */
void wf_log(enum wf_level level, const char *code, const char *fields, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
