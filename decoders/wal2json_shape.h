/* The shapes of tables, pieced together from what each message of wal2json happens to show. */
#ifndef WF_WAL2JSON_SHAPE_H
#define WF_WAL2JSON_SHAPE_H

#include "wal2json_read.h"

/* Beside rel->cols[i]. */
struct wf_w2j_col {
    struct wf_w2j_text type; /* as the messages print it */
    uint16_t attnum;
    bool varlena; /* its values can be TOASTed, so an UPDATE may leave it out */
    bool pk, not_null;
};

/* A table of the stream. */
struct wf_w2j_table {
    struct wf_w2j_table *next; /* of the same bucket */
    uint32_t hash;
    struct wf_table_name name;
    struct wf_relation *rel; /* NULL = no shape yet */
    struct wf_w2j_col *cols; /* in rel's block */
    struct wf_table *live;   /* what the catalog said last, NULL = never asked */
    int64_t asked_us;        /* commit time of the transaction that asked */
};

struct wf_w2j_tables;

struct wf_w2j_tables *wf_w2j_tables_new(void);
void wf_w2j_tables_free(struct wf_w2j_tables *s);
/* Forget all of them. */
void wf_w2j_tables_clear(struct wf_w2j_tables *s);
/* The table of that name, made if need be; NULL when memory or the limit says no. */
struct wf_w2j_table *wf_w2j_table(struct wf_w2j_tables *s, struct wf_w2j_text schema,
                                  struct wf_w2j_text name);

enum wf_w2j_fit {
    WF_W2J_FITS,
    WF_W2J_DOUBT, /* fits, but a column that is missing may have been dropped */
    WF_W2J_DIFFERS,
};

/**
 * wf_w2j_fit() - lay a row change over the table's shape
 * @new_row, @old_row: out, rel->ncols values; WF_COL_UNCHANGED where the message has no column.
 *                     kind and data are left to @put
 * @put:               makes a column's value of a field
 */
enum wf_w2j_fit
wf_w2j_fit(const struct wf_w2j_table *t, const struct wf_w2j_record *rec, struct wf_col *new_row,
           struct wf_col *old_row,
           void (*put)(void *arg, struct wf_col *col, const struct wf_w2j_field *field), void *arg);

/**
 * wf_w2j_reshape() - a shape that @rec fits, from the message, the shape so far and the catalog
 * @final_lsn: of the message's transaction. What the catalog calls dropped was so already in a
 *             transaction that ends behind table->lsn
 *
 * A relation that comes out equal stays as it is. Return: false when memory is out.
 */
bool wf_w2j_reshape(struct wf_w2j_tables *s, struct wf_w2j_table *t,
                    const struct wf_w2j_record *rec, uint64_t final_lsn);

/* The type modifier in a built-in type's text: "numeric(10,2)", "timestamp(3) without time zone",
 * "character varying(5)[]"; -1 = none. */
int32_t wf_w2j_typmod(struct wf_w2j_text type);

#endif
