/* The catalog supplies what Relation messages lack: key order, nullability, defaults, labels. */
#ifndef WF_CATALOG_H
#define WF_CATALOG_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "relation.h"

#define WF_TYPE_DEPTH                                                                              \
    8 /* arrays in composites in arrays ...: what lies deeper is carried as text */

/* A type with its parts: what an array or a composite is made of. */
struct wf_catalog_type {
    char kind;             /* 'a' array, 'c' composite, 'r' range, 'm' multirange, 'b' others */
    bool domain;           /* declared as a domain over the rest */
    char delim;            /* pg_type.typdelim */
    uint32_t oid;          /* domains resolved to the end */
    int32_t typmod;        /* -1 = none */
    const char *type_name; /* as declared, a domain's own */
    const char *schema, *name;
    const char *enum_labels; /* as wf_catalog_col's */
    const char *field;       /* as a composite's field: its name */
    struct wf_catalog_type *sub;
    uint16_t nsub; /* 1 = the element of an array, or the fields of a composite */
};

/* About one column of a relation version; all NULL/0 with found = false when the live catalog no
 * longer has such a column (it may be ahead of the stream). */
struct wf_catalog_col {
    bool found;
    bool not_null;    /* pg_attribute.attnotnull, or the domain is NOT NULL */
    bool identity;    /* GENERATED AS IDENTITY */
    const char *dflt; /* pg_get_expr(adbin, adrelid), e.g. "'x'::text", "nextval(...)"; or NULL */
    const char *type_schema, *type_name; /* pg_type of the column itself */
    char typtype;                        /* pg_type.typtype: b c d e m r p */
    char typcategory;                    /* pg_type.typcategory */
    uint32_t base_oid;                   /* domains resolved to the end; else the type itself */
    int32_t base_typmod;                 /* the domain's when the column has none */
    const char *base_name;               /* typname of base_oid */
    char base_typtype;
    uint32_t elem_oid;     /* element type when base_oid is an array, else 0 */
    const char *elem_name; /* its typname */
    char elem_typtype;
    const char *enum_labels; /* of base_oid or elem_oid: labels in sort order, joined by ',' */
    const struct wf_catalog_type *tree; /* of an array or composite; NULL = too deep or unknown */
};

struct wf_catalog {
    struct wf_catalog_col *cols; /* one per rel->cols */
    uint16_t ncols;
    uint16_t *key; /* indexes into cols: primary key in constraint order, else a unique index */
    uint16_t nkey;
    void *arena, *types, *fields;  /* owners of every string */
    struct wf_catalog_type *nodes; /* of all trees */
    size_t nnodes, max_nodes;
};

/**
 * wf_catalog_fetch() - ask the live catalog about a relation version
 * @conn: an ordinary connection to the same database; blocking, so call it on a worker
 * @rel:  matched by oid, columns by name
 * @partial_keys: a unique index over a part of the rows may be the key
 *
 * Return: WF_OK with *out the caller's to wf_catalog_free(); WF_RETRY when the connection failed.
 */
enum wf_rc wf_catalog_fetch(PGconn *conn, const struct wf_relation *rel, bool partial_keys,
                            struct wf_catalog **out, struct wf_err *err);
void wf_catalog_free(struct wf_catalog *c);

#endif
