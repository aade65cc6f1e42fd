/* What the WAL says about a table's shape; the only truth about the row that follows it. */
#ifndef WF_RELATION_H
#define WF_RELATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WF_MAX_COLUMNS 1664 /* MaxTupleAttributeNumber of PostgreSQL */

struct wf_relcol {
    const char *name;
    const char *type_name; /* from the Type message, NULL for built-in types (oid < 10000) */
    uint32_t type_oid;
    int32_t typmod; /* -1 = none */
    bool key;       /* part of the replica identity */
};

/* One version of one table: a Relation message that differs makes a new struct. */
struct wf_relation {
    uint32_t oid;
    uint32_t version; /* grows with each new shape of this oid, starts at 1 */
    const char *schema;
    const char *name;
    char identity; /* d, n, f, i: pg_class.relreplident */
    uint16_t ncols;
    struct wf_relcol *cols;
    uint64_t relabelled; /* LSN of the last change with an enum label that the plan did not know */
    bool stale;          /* the plan has to be made anew */
    int8_t selected;     /* the transform's: 0 = not asked yet, 1 = wanted, -1 = filtered out */
    void *plan;          /* the encoder's, freed with the relation through plan_free */
    void (*plan_free)(void *plan);
};

#endif
