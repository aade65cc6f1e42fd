#include "row.h"

#include "log.h"
#include "lsn.h"
#include "plan.h"

/* pg_type.oid of types whose values are no secret as keys */
#define OID_INT8 20
#define OID_INT2 21
#define OID_INT4 23
#define OID_UUID 2950

#define ROW_NAME_MAX 1024 /* of what names a row in a message */

/* How to find the row: by its key, as far as that is a number or a UUID and not masked; other keys
 * may be somebody's name and stay out of logs. */
static void put_row_name(struct wf_buf *out, const struct wf_change *c)
{
    const struct wf_plan *plan = c->rel->plan;
    const struct wf_col *row = c->new_row ? c->new_row : c->old_row;

    wf_buf_printf(out, "LSN %s", wf_lsn_text(c->lsn).s);
    for (uint16_t k = 0; k < plan->nkey; k++) {
        const struct wf_plan_col *pc = &plan->cols[plan->key[k]];
        const struct wf_col *col = &row[plan->key[k]];
        uint32_t oid = c->rel->cols[plan->key[k]].type_oid;
        bool shown = oid == OID_INT2 || oid == OID_INT4 || oid == OID_INT8 || oid == OID_UUID;

        if (col->kind == WF_COL_TEXT && shown && !pc->mask)
            wf_buf_printf(out, ", %s = %.*s", pc->name, (int)(col->len < 40 ? col->len : 40),
                          col->data);
    }
    wf_buf_byte(out, '\0');
}

static const char *const why_texts[] = {
    [WF_CONV_BAD] = "the text is no value of the column's type; hint: if the column changed its "
                    "type just now, restart; else the stream is damaged",
    [WF_CONV_RANGE] = "the value is beyond what the column's Avro type can hold; hint: a mode that "
                      "writes text (docs/types.md), or "
                      "format.event_converting_failure_handling_mode: warn",
    [WF_CONV_SPECIAL] = "NaN or infinity has no place in the column's Avro type; hint: a mode that "
                        "writes text (docs/types.md), or "
                        "format.event_converting_failure_handling_mode: warn",
    [WF_CONV_SHAPE] = "an array of more than one dimension; hint: format.array_handling_mode: "
                      "string",
    [WF_CONV_ENCODING] = "the bytes are no UTF-8, which Avro's strings are (the database is "
                         "SQL_ASCII, so the server checks nothing); hint: correct them, "
                         "source.exclude_columns, or "
                         "format.event_converting_failure_handling_mode: warn",
    [WF_CONV_NULL] = "the column's Avro type has no place for this array or a NULL in it; hint: "
                     "another format.profile, or format.array_handling_mode: string",
};
static const char *const why_codes[] = {
    [WF_CONV_BAD] = "value_invalid",       [WF_CONV_RANGE] = "value_range",
    [WF_CONV_SPECIAL] = "value_special",   [WF_CONV_SHAPE] = "array_shape",
    [WF_CONV_ENCODING] = "value_encoding", [WF_CONV_NULL] = "value_null"};

/* ALTER TYPE ... ADD VALUE sends no Relation message: a label that the plan does not know makes a
 * new plan, once for a change. One that the catalog does not know either was renamed since. */
static enum wf_rc relabel(const struct wf_change *c, struct wf_plan_col *pc)
{
    if (c->rel->relabelled == c->lsn)
        wf_type_trust_labels(&pc->type);
    else
        c->rel->stale = true;
    c->rel->relabelled = c->lsn;
    return WF_AGAIN;
}

/* A value is given up for null: said once for a column. @what: the sentence up to "written as". */
static void put_lost(const struct wf_change *c, struct wf_plan_col *pc, const char *what,
                     struct wf_buf *out)
{
    struct wf_buf name;

    if (!pc->warned) {
        wf_buf_init(&name, ROW_NAME_MAX);
        put_row_name(&name, c);
        wf_log(WF_LOG_WARN, "value_lost", NULL,
               "column %s.%s.%s (%s): %s written as null, and so are later ones", c->rel->schema,
               c->rel->name, pc->name, name.data ? (char *)name.data : "", what);
        wf_buf_deinit(&name);
    }
    pc->warned = true;
    wf_buf_byte(out, pc->null_branch);
}

/* A value that cannot be written: stop, or null with a warning when the user chose that. */
static enum wf_rc reject_value(const struct wf_change *c, uint16_t col, enum wf_conv_why why,
                               struct wf_buf *out, struct wf_err *err)
{
    struct wf_plan *plan = c->rel->plan;
    struct wf_plan_col *pc = &plan->cols[col];
    struct wf_buf name;

    if (wf_buf_starved())
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    if (why == WF_CONV_LABEL)
        return relabel(c, pc);
    if (plan->failed_to_null && pc->nullable && why != WF_CONV_BAD) {
        put_lost(c, pc, "a value that its Avro type cannot hold is", out);
        return WF_OK;
    }
    wf_buf_init(&name, ROW_NAME_MAX);
    put_row_name(&name, c);
    wf_err_set(err, WF_REJECT, why_codes[why], "column %s.%s.%s (%s): %s", c->rel->schema,
               c->rel->name, pc->name, name.data ? (char *)name.data : "", why_texts[why]);
    wf_buf_deinit(&name);
    return WF_REJECT;
}

enum wf_rc wf_row_too_large(const char *schema, const char *table, struct wf_err *err)
{
    return wf_err_set(err, WF_REJECT, "event_too_large",
                      "table %s.%s: the event is larger than format.max_event and the sink's limit "
                      "(sink.max_message) allow; hint: raise them, and the topic's "
                      "max.message.bytes, or see format.on_large_event",
                      schema, table);
}

static enum wf_rc check_room(const struct wf_change *c, const struct wf_buf *out,
                             struct wf_err *err)
{
    return out->failed ? wf_row_too_large(c->rel->schema, c->rel->name, err) : WF_OK;
}

/* Under identity FULL both rows of an event may lack a column: it is listed once. */
static void mark_unsent(struct wf_plan *plan, uint16_t col)
{
    for (uint16_t i = 0; i < plan->nunsent; i++)
        if (plan->unsent[i] == col)
            return;
    plan->unsent[plan->nunsent++] = col;
}

/* A value that was there but did not come with the change: the placeholder, a mark, or a stop. */
static enum wf_rc put_unsent(const struct wf_change *c, uint16_t col, struct wf_buf *out,
                             struct wf_err *err)
{
    struct wf_plan *plan = c->rel->plan;
    struct wf_plan_col *pc = &plan->cols[col];
    bool placeholder = plan->toast_mode == WF_TOAST_PLACEHOLDER_MODE;

    if (placeholder && pc->toast.data) {
        if (pc->nullable)
            wf_buf_byte(out, pc->value_branch);
        wf_buf_put(out, pc->toast.data, pc->toast.len);
    } else if (plan->mark_unsent && pc->nullable) {
        mark_unsent(plan, col);
        wf_buf_byte(out, pc->null_branch);
    } else if (placeholder && plan->failed_to_null && pc->nullable) {
        put_lost(c, pc, "an unchanged TOASTed value, whose type has no placeholder, is", out);
    } else {
        return wf_err_set(err, WF_REJECT, "toast_unsent",
                          "column %s.%s.%s: the server did not send the unchanged TOASTed value%s; "
                          "hint: ALTER TABLE ... REPLICA IDENTITY FULL for the changes to come",
                          c->rel->schema, c->rel->name, pc->name,
                          placeholder ? ", whose type has no placeholder" : "");
    }
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

/* The value may have been NaN or infinity, which the plugin writes as it writes NULL. */
static enum wf_rc put_unsure(const struct wf_change *c, const struct wf_plan *plan,
                             struct wf_plan_col *pc, struct wf_buf *out, struct wf_err *err)
{
    if (!plan->failed_to_null || !pc->nullable)
        return wf_err_set(err, WF_REJECT, "value_unsure",
                          "column %s.%s.%s: a null that may stand for NaN or infinity; hint: "
                          "wal2json 2.6 or later, source.decoder: pgoutput, or "
                          "format.event_converting_failure_handling_mode: warn",
                          c->rel->schema, c->rel->name, pc->name);
    put_lost(c, pc, "a null that may stand for NaN or infinity is", out);
    return check_room(c, out, err);
}

/* One column. The hot path: no allocation once the buffer has grown. */
static inline __attribute__((always_inline)) enum wf_rc
put_text(const struct wf_change *c, const struct wf_plan *plan, const struct wf_plan_col *pc,
         const struct wf_col *col, struct wf_buf *out, struct wf_err *err)
{
    enum wf_conv_why why = WF_CONV_BAD;
    unsigned char *p;

    if (!wf_buf_reserve(out, 1 + pc->type.room + (size_t)col->len * pc->type.room_per_byte))
        return wf_row_too_large(c->rel->schema, c->rel->name, err);
    p = out->data + out->len;
    *p = pc->value_branch; /* overwritten when there is no branch */
    p = pc->type.conv(&pc->type, col->data, col->len, p + pc->nullable, &why);
    if (__builtin_expect(!p, 0))
        return reject_value(c, (uint16_t)(pc - plan->cols), why, out, err);
    out->len = (size_t)(p - out->data);
    return WF_OK;
}

/* By way of the text: what follows is the same for both. A value that cannot be read, of a type
 * that is not known or made by a newer server, asks for a connection that sends text. */
static enum wf_rc put_binary(const struct wf_change *c, struct wf_plan *plan,
                             const struct wf_plan_col *pc, const struct wf_col *col,
                             struct wf_buf *out, struct wf_err *err)
{
    struct wf_col text = {.kind = WF_COL_TEXT};

    wf_buf_reset(&plan->text);
    if (!wf_binary_to_text(pc->binary, col->data, col->len, &plan->text))
        return plan->text.failed
                   ? wf_row_too_large(c->rel->schema, c->rel->name, err)
                   : wf_err_set(err, WF_RETRY, "binary_off",
                                "column %s.%s.%s: its type's binary form is not known here: "
                                "source.binary is off from here on",
                                c->rel->schema, c->rel->name, pc->name);
    text.data = (const char *)plan->text.data;
    text.len = (uint32_t)plan->text.len;
    return put_text(c, plan, pc, &text, out, err);
}

/* Everything but a plain text value. */
static __attribute__((noinline, cold)) enum wf_rc put_other(const struct wf_change *c, uint16_t i,
                                                            const struct wf_col *col,
                                                            struct wf_buf *out, struct wf_err *err)
{
    struct wf_plan *plan = c->rel->plan;
    struct wf_plan_col *pc = &plan->cols[i];
    uint8_t kind = col->kind;

    if (pc->omit)
        return WF_OK;
    if (kind == WF_COL_UNCHANGED)
        return put_unsent(c, i, out, err);
    if (kind == WF_COL_UNSURE)
        return put_unsure(c, plan, pc, out, err);
    if (kind == WF_COL_BINARY)
        return put_binary(c, plan, pc, col, out, err);
    if (!pc->nullable)
        return relax(c, pc);
    if (pc->null_as_default) {
        wf_buf_byte(out, pc->value_branch);
        wf_buf_put(out, pc->fill.data, pc->fill.len);
    } else {
        wf_buf_byte(out, pc->null_branch);
    }
    return check_room(c, out, err);
}

static enum wf_rc put_col(const struct wf_change *c, const struct wf_plan *plan,
                          const struct wf_plan_col *pc, const struct wf_col *col,
                          struct wf_buf *out, struct wf_err *err)
{
    if (col->kind == WF_COL_TEXT)
        return put_text(c, plan, pc, col, out, err);
    return put_other(c, (uint16_t)(pc - plan->cols), col, out, err);
}

/* Where the value of an unchanged column can be read: in the old tuple when that holds it. */
static const struct wf_col *sent_col(const struct wf_change *c, const struct wf_plan *plan,
                                     uint16_t i, const struct wf_col *col)
{
    if (c->old_row && (c->old_kind == WF_OLD_FULL || plan->cols[i].identity))
        return &c->old_row[i];
    return col;
}

/* A column without a text of its own: an unchanged one may have it in the old tuple. */
static __attribute__((noinline)) enum wf_rc
put_kept(const struct wf_change *c, const struct wf_plan *plan, const struct wf_plan_col *pc,
         const struct wf_col *col, struct wf_buf *out, struct wf_err *err)
{
    if (col->kind == WF_COL_UNCHANGED)
        col = sent_col(c, plan, (uint16_t)(pc - plan->cols), col);
    return put_col(c, plan, pc, col, out, err);
}

enum wf_rc wf_row_put(const struct wf_change *c, const struct wf_col *row, struct wf_buf *out,
                      struct wf_row_mark *mark, struct wf_err *err)
{
    const struct wf_plan *plan = c->rel->plan;
    const struct wf_plan_col *pc = plan->cols, *end = pc + plan->ncols;
    const struct wf_plan_col *marked = mark ? pc + mark->col : NULL;
    const struct wf_col *col = row;

    for (; pc != end; pc++, col++) {
        enum wf_rc rc;

        if (pc == marked)
            mark->at = out->len;
        if (__builtin_expect(col->kind == WF_COL_TEXT, 1))
            rc = put_text(c, plan, pc, col, out, err);
        else
            rc = put_kept(c, plan, pc, col, out, err);
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

        if (pc->omit)
            continue;
        if (!pc->identity && pc->nullable) {
            bool filled = pc->filled || pc->null_as_default;

            wf_buf_byte(out, filled ? pc->value_branch : pc->null_branch);
            wf_buf_put(out, pc->fill.data, filled ? pc->fill.len : 0);
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
