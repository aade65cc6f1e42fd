/* Turns a value in PostgreSQL's binary form into the text the server would have sent. */
#ifndef WF_BINARY_H
#define WF_BINARY_H

#include "buf.h"
#include "types.h"

struct wf_binary;

/**
 * wf_binary_new() - find how values of a type are read
 * @in: oid (domains resolved), name, enum_labels, kind and parts
 *
 * Return: for wf_binary_free(); NULL when the type, or a part of it, is none of those known here,
 * or memory is out. Such values have to come as text.
 */
struct wf_binary *wf_binary_new(const struct wf_type_in *in);
void wf_binary_free(struct wf_binary *b);

/**
 * wf_binary_to_text() - one value
 * @b:    NULL reads nothing
 * @data: @len bytes from the server, trusted in nothing
 * @out:  the text is appended: exactly what the type's output function prints under the session
 *        settings of pg.c
 *
 * Return: false when the bytes are no such value, or one whose text depends on the server's
 * release; @out then holds rubbish. Also when it has no room: out->failed tells.
 * Source: PostgreSQL's send functions, utils/adt.
 */
bool wf_binary_to_text(const struct wf_binary *b, const char *data, size_t len, struct wf_buf *out);

#endif
