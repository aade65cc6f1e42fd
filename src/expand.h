/* Puts environment variables into the values of the configuration. */
#ifndef WF_EXPAND_H
#define WF_EXPAND_H

#include "buf.h"
#include "err.h"

enum wf_origin { WF_FROM_TEXT = 't', WF_FROM_ENV = 'e' };

/**
 * wf_expand() - replace "${VAR}", "${VAR:-default}" and "$$"
 * @out:    receives the value; its limit bounds the result
 * @origin: receives one enum wf_origin per byte of @out; a default counts as text
 *
 * The default is taken when the variable is unset or empty, as in sh(1).
 * Return: WF_OK, or WF_FATAL with exit code 78; the message names variables and never values.
 */
enum wf_rc wf_expand(const char *text, struct wf_buf *out, struct wf_buf *origin,
                     struct wf_err *err);

#endif
