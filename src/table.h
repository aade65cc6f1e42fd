/* What the live catalog says about a table that a stream only names. */
#ifndef WF_TABLE_H
#define WF_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wf_table_name {
    const char *schema, *name;
};

struct wf_table_col {
    const char *name;
    const char *type;      /* as format_type() prints it, with its modifier */
    const char *type_name; /* as wf_relcol's: NULL for built-in types */
    uint32_t type_oid;
    int32_t typmod;
    uint16_t attnum; /* pg_attribute.attnum: never used again after a DROP COLUMN */
    bool varlena;    /* of variable length, so its values can be TOASTed */
    bool not_null;
    bool pk;  /* part of the primary key */
    bool key; /* part of the index that is the replica identity */
};

/* One block for free(). */
struct wf_table {
    uint32_t oid;   /* 0 = there is no such table now */
    char identity;  /* pg_class.relreplident */
    uint64_t lsn;   /* whatever is committed at or after this sees at least this catalog */
    uint16_t natts; /* the highest attnum ever used: one that is missing below was dropped */
    uint16_t ncols;
    struct wf_table_col cols[];
};

#endif
