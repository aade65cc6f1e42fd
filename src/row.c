#include "row.h"

#include "log.h"
#include "plan.h"

static enum wf_rc reject_value(const struct wf_change *c, const struct wf_plan_col *pc,
                               enum wf_conv_why why, struct wf_err *err)
{
    static const char *const texts[] = {
        [WF_CONV_BAD] = "the text is no value of the column's type; hint: if the column changed "
                        "its type just now, restart; else the stream is damaged",
        [WF_CONV_RANGE] = "the value is beyond what the column's Avro type can hold; hint: correct "
                          "it at the source and move the slot past this change",
        [WF_CONV_SPECIAL] = "NaN or infinity has no place in the column's Avro type; hint: keep "
                            "them out with a CHECK constraint and move the slot past this change",
        [WF_CONV_SHAPE] = "an array of more than one dimension; hint: format.array_handling_mode: "
                          "string",
        [WF_CONV_NULL] =
            "the column's Avro type has no place for this array or a NULL in it; hint: "
            "another format.profile, or format.array_handling_mode: string",
    };
    static const char *const codes[] = {[WF_CONV_BAD] = "value_invalid",
                                        [WF_CONV_RANGE] = "value_range",
                                        [WF_CONV_SPECIAL] = "value_special",
                                        [WF_CONV_SHAPE] = "array_shape",
                                        [WF_CONV_NULL] = "value_null"};

    return wf_err_set(err, WF_REJECT, codes[why], "column %s.%s.%s: %s", c->rel->schema,
                      c->rel->name, pc->name, texts[why]);
}

enum wf_rc wf_row_too_large(const char *schema, const char *table, struct wf_err *err)
{
    return wf_err_set(err, WF_REJECT, "event_too_large",
                      "table %s.%s: the event is larger than format.max_event; hint: raise it",
                      schema, table);
}

static enum wf_rc check_room(const struct wf_change *c, const struct wf_buf *out,
                             struct wf_err *err)
{
    return out->failed ? wf_row_too_large(c->rel->schema, c->rel->name, err) : WF_OK;
}

/* A value that was there but did not come with the change. */
static enum wf_rc put_unsent(const struct wf_change *c, const struct wf_plan_col *pc,
                             struct wf_buf *out, struct wf_err *err)
{
    if (!pc->toast.data)
        return wf_err_set(err, WF_REJECT, "toast_unsent",
                          "column %s.%s.%s: the server did not send the unchanged TOASTed value, "
                          "whose type has no placeholder; hint: ALTER TABLE ... REPLICA IDENTITY "
                          "FULL for the changes to come",
                          c->rel->schema, c->rel->name, pc->name);
    if (pc->nullable)
        wf_buf_byte(out, pc->value_branch);
    wf_buf_put(out, pc->toast.data, pc->toast.len);
    return check_room(c, out, err);
}

static enum wf_rc relax(const struct wf_change *c, struct wf_plan_col *pc)
{
    wf_plan_relax(pc);
    wf_log(WF_LOG_INFO, "catalog_ahead", NULL,
           "column %s.%s.%s: a NULL from before it became NOT NULL: nullable in the schema until "
           "the table changes again",
           c->rel->schema, c->rel->name, pc->name);
    return WF_AGAIN;
}

/* Everything but a plain text value. */
static __attribute__((noinline)) enum wf_rc put_other(const struct wf_change *c, uint16_t i,
                                                      uint8_t kind, struct wf_buf *out,
                                                      struct wf_err *err)
{
    struct wf_plan *plan = c->rel->plan;
    struct wf_plan_col *pc = &plan->cols[i];

    if (kind == WF_COL_UNCHANGED)
        return put_unsent(c, pc, out, err);
    if (kind != WF_COL_NULL)
        return wf_err_set(err, WF_REJECT, "value_binary",
                          "column %s.%s.%s: a value in binary form; hint: this version reads the "
                          "text form only",
                          c->rel->schema, c->rel->name, pc->name);
    if (!pc->nullable)
        return relax(c, pc);
    wf_buf_byte(out, pc->null_branch);
    return check_room(c, out, err);
}

/* One column. The hot path: no allocation once the buffer has grown. */
static inline __attribute__((always_inline)) enum wf_rc
put_col(const struct wf_change *c, const struct wf_plan *plan, const struct wf_plan_col *pc,
        const struct wf_col *col, struct wf_buf *out, struct wf_err *err)
{
    enum wf_conv_why why = WF_CONV_BAD;
    unsigned char *p;

    if (__builtin_expect(col->kind != WF_COL_TEXT, 0))
        return put_other(c, (uint16_t)(pc - plan->cols), col->kind, out, err);
    if (!wf_buf_reserve(out, 1 + pc->type.room + (size_t)col->len * pc->type.room_per_byte))
        return wf_row_too_large(c->rel->schema, c->rel->name, err);
    p = out->data + out->len;
    *p = pc->value_branch; /* overwritten when there is no branch */
    p = pc->type.conv(&pc->type, col->data, col->len, p + pc->nullable, &why);
    if (__builtin_expect(!p, 0))
        return reject_value(c, pc, why, err);
    out->len = (size_t)(p - out->data);
    return WF_OK;
}

/* Where the value of an unchanged column can be read: in the old tuple when that holds it. */
static const struct wf_col *sent_col(const struct wf_change *c, const struct wf_plan *plan,
                                     uint16_t i, const struct wf_col *col)
{
    if (c->old_row && (c->old_kind == WF_OLD_FULL || plan->cols[i].identity))
        return &c->old_row[i];
    return col;
}

enum wf_rc wf_row_put(const struct wf_change *c, const struct wf_col *row, struct wf_buf *out,
                      struct wf_row_mark *mark, struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    const struct wf_plan_col *pc = plan->cols, *end = pc + plan->ncols;
    const struct wf_plan_col *marked = mark ? pc + mark->col : NULL;
    const struct wf_col *col = row;

    for (; pc != end; pc++, col++) {
        const struct wf_col *from = col;
        enum wf_rc rc;

        if (pc == marked)
            mark->at = out->len;
        if (__builtin_expect(col->kind == WF_COL_UNCHANGED, 0))
            from = sent_col(c, plan, (uint16_t)(pc - plan->cols), col);
        rc = put_col(c, plan, pc, from, out, err);
        if (rc != WF_OK)
            return rc;
        if (pc == marked)
            mark->len = out->len - mark->at;
    }
    return WF_OK;
}

enum wf_rc wf_row_put_old(const struct wf_change *c, struct wf_buf *out, struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;

    if (c->old_kind == WF_OLD_FULL)
        return wf_row_put(c, c->old_row, out, NULL, err);
    for (uint16_t i = 0; i < plan->ncols; i++) {
        const struct wf_plan_col *pc = &plan->cols[i];
        enum wf_rc rc;

        if (!pc->identity && pc->nullable) {
            wf_buf_byte(out, pc->filled ? pc->value_branch : pc->null_branch);
            wf_buf_put(out, pc->fill.data, pc->filled ? pc->fill.len : 0);
        } else if (!pc->identity) {
            wf_buf_put(out, pc->fill.data, pc->fill.len);
        } else {
            rc = put_col(c, plan, pc, &c->old_row[i], out, err);
            if (rc != WF_OK)
                return rc;
        }
    }
    return check_room(c, out, err);
}

static enum wf_rc reject_key(const struct wf_change *c, const struct wf_plan_col *pc,
                             struct wf_err *err)
{
    return wf_err_set(err, WF_REJECT, "key_unsent",
                      "column %s.%s.%s: the change does not carry this key column; hint: ALTER "
                      "TABLE ... REPLICA IDENTITY FULL, or an identity that holds the key",
                      c->rel->schema, c->rel->name, pc->name);
}

enum wf_rc wf_row_put_key(const struct wf_change *c, const struct wf_col *row, struct wf_buf *out,
                          struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    bool partial = row == c->old_row && c->old_kind != WF_OLD_FULL;

    for (uint16_t k = 0; k < plan->nkey; k++) {
        const struct wf_plan_col *pc = &plan->cols[plan->key[k]];
        const struct wf_col *col = &row[plan->key[k]];
        enum wf_rc rc;

        if (col->kind == WF_COL_UNCHANGED)
            col = sent_col(c, plan, plan->key[k], col);
        if (col->kind == WF_COL_UNCHANGED || (partial && !pc->identity))
            return reject_key(c, pc, err);
        rc = put_col(c, plan, pc, col, out, err);
        if (rc != WF_OK)
            return rc;
    }
    return WF_OK;
}
