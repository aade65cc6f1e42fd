/* Writes rows and keys as Avro by their relation's plan. */
#ifndef WF_ROW_H
#define WF_ROW_H

#include "buf.h"
#include "change.h"
#include "err.h"

/* All of them need c->rel->plan and append to @out. Return: WF_OK; WF_REJECT naming table, column
 * and cure; WF_AGAIN: a NULL from before a SET NOT NULL made the plan relax a column, so the schema
 * has changed and everything written for this change is void. */

/* Where one column's bytes stand in the output. */
struct wf_row_mark {
    uint16_t col; /* in */
    size_t at, len;
};

/* A whole row: the new one, or an old one under identity FULL. What an UPDATE did not send (TOAST)
 * comes from the old tuple, else the placeholder stands for it. @mark may be NULL. */
enum wf_rc wf_row_put(const struct wf_change *c, const struct wf_col *row, struct wf_buf *out,
                      struct wf_row_mark *mark, struct wf_err *err);

/* c->old_row. Under K the columns outside the identity are not NULL but unknown: null where the
 * schema allows it, else the column's default or the type's zero, as Debezium fills them. */
enum wf_rc wf_row_put_old(const struct wf_change *c, struct wf_buf *out, struct wf_err *err);

/* The key of @row, which is c->new_row or c->old_row. */
enum wf_rc wf_row_put_key(const struct wf_change *c, const struct wf_col *row, struct wf_buf *out,
                          struct wf_err *err);

/* WF_REJECT: an event over format.max_event. */
enum wf_rc wf_row_too_large(const char *schema, const char *table, struct wf_err *err);

#endif
