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
    uint64_t dropped_lsn; /* where the catalog called it dropped for the first time; 0 = never */
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

/* A row change that is laid over its table's shape. */
struct wf_w2j_fitting {
    const struct wf_w2j_table *table;
    const struct wf_w2j_record *rec;
    uint64_t final_lsn; /* of the transaction: one behind live->lsn saw what the catalog says */
    struct wf_col *new_row, *old_row; /* rel->ncols values each */
    /* makes a value of a field */
    void (*put)(void *arg, struct wf_col *col, const struct wf_w2j_field *field);
    void *arg;
};

/* Fills the rows; a column that an UPDATE leaves out is WF_COL_UNCHANGED. */
enum wf_w2j_fit wf_w2j_fit(const struct wf_w2j_fitting *f);

/**
 * wf_w2j_reshape() - a shape that @rec fits, from the message, the shape so far and the catalog
 * @final_lsn: as above
 *
 * A relation that comes out equal stays as it is. Return: false when memory is out.
 */
bool wf_w2j_reshape(struct wf_w2j_tables *s, struct wf_w2j_table *t,
                    const struct wf_w2j_record *rec, uint64_t final_lsn);

/* The type modifier in a built-in type's text: "numeric(10,2)", "timestamp(3) without time zone",
 * "character varying(5)[]"; -1 = none. */
int32_t wf_w2j_typmod(struct wf_w2j_text type);

#endif
