/* The converter table: what each PostgreSQL type becomes in Avro. */
#ifndef WF_TYPES_H
#define WF_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "avro_schema.h"
#include "buf.h"

/* What stands in an event for a value the server did not send (Debezium's default). */
#define WF_TOAST_PLACEHOLDER "__debezium_unavailable_value"

/* Why a converter gave up. */
enum wf_conv_why {
    WF_CONV_BAD,      /* the text is no value of the type: corrupt, or another type */
    WF_CONV_RANGE,    /* a value of the type that the Avro type cannot hold */
    WF_CONV_SPECIAL,  /* NaN or infinity where the Avro type has none */
    WF_CONV_SHAPE,    /* an array of more than one dimension */
    WF_CONV_ENCODING, /* bytes that are no UTF-8 */
    WF_CONV_LABEL,    /* an enum's label that the schema does not know yet */
    WF_CONV_NULL, /* a NULL among elements that have none, or an array the schema has no room for */
};

struct wf_coltype;

/* How types are shown; the profile's and its options' say. */
struct wf_type_modes {
    int profile;   /* enum wf_profile */
    int decimal;   /* enum wf_decimal_mode */
    int time;      /* enum wf_time_mode, never AUTO */
    int zoned;     /* enum wf_zoned_mode, never AUTO */
    int interval;  /* enum wf_interval_mode, never AUTO except where the profile has its own form */
    int hstore;    /* enum wf_hstore_mode, never AUTO */
    int binary;    /* enum wf_binary_mode */
    int array;     /* enum wf_array_mode */
    int lossy;     /* enum wf_lossy_mode */
    int names;     /* enum wf_name_mode */
    bool unknown;  /* types without a row are text, not left out */
    bool raw_text; /* the server does not see to it that texts are UTF-8 */
    int money_digits;
    const char *placeholder;
};

/**
 * wf_conv_fn - one value from PostgreSQL's text to Avro bytes
 * @s: text of @n bytes, not NUL-terminated
 * @p: room for t->room + n * t->room_per_byte bytes
 *
 * Return: one past the last byte written; NULL with *why set when the value cannot be written
 * (bytes at @p are then undefined).
 */
typedef unsigned char *(*wf_conv_fn)(const struct wf_coltype *t, const char *s, size_t n,
                                     unsigned char *p, enum wf_conv_why *why);

struct wf_type_in;

enum wf_toast {
    WF_TOAST_FIXED,     /* never TOASTed: the type has a fixed width */
    WF_TOAST_NONE,      /* no value of the Avro type could mark it */
    WF_TOAST_TEXT,      /* string or bytes: the placeholder itself */
    WF_TOAST_JSON,      /* {"placeholder":"placeholder"} */
    WF_TOAST_CONV,      /* the placeholder's bytes as the converter shows a bytea */
    WF_TOAST_CONV_TEXT, /* the placeholder as the converter shows a text */
    WF_TOAST_ITEMS,     /* an array of it, by the element's type */
};

enum wf_dflt {
    WF_DFLT_NONE,    /* column defaults are not shown in the schema */
    WF_DFLT_LITERAL, /* literals and function calls are */
    WF_DFLT_WORD,    /* also a bare word such as CURRENT_USER, as its text */
    WF_DFLT_CLOCK,   /* also CURRENT_DATE and the like, as the zero of the type */
};

/* One row: one PostgreSQL type. */
struct wf_type {
    bool extra;               /* Debezium has no such type: modes->unknown says what to do */
    uint32_t oid;             /* pg_type.oid; 0 = found by name (extensions) */
    const char *name;         /* pg_type.typname */
    struct wf_avro_type avro; /* before the type modifier is applied */
    wf_conv_fn conv;
    uint32_t room, room_per_byte;
    void (*refine)(struct wf_coltype *t, const struct wf_type_in *in); /* by typmod; or NULL */
    enum wf_toast toast;
    enum wf_dflt dflt;
    const char *zero; /* unknown NOT NULL column of a delete; strings as such, others as PG text */
    const char *call; /* PG text that stands for a function call as default */
    const char *note; /* for docs/types.md */
};

/* What is known about a column's type. */
struct wf_type_in {
    uint32_t oid;                      /* domains already resolved */
    int32_t typmod;                    /* -1 = none */
    const char *name;                  /* typname, NULL when unknown */
    const char *text_name;             /* for walferry.pg.type: "int4[]", "addr" */
    const char *enum_labels;           /* joined by ','; NULL when it is no enum */
    bool trust_name;                   /* the oid says nothing: find built-in types by name too */
    const struct wf_type_modes *modes; /* NULL = profile debezium's */
    const struct wf_type_in *sub; /* an array's element (1), a composite's fields, NULL = unknown */
    uint16_t nsub;
    char kind;               /* 'a' array, 'c' composite, 'r' range, 'm' multirange, 'b' others */
    const char *field_name;  /* as a composite's field, or to propagate: PostgreSQL's name */
    bool propagate;          /* tell the column's type in __debezium.source.column.* parameters */
    const char *source_type; /* its name there when it is not `name`: a domain's, "serial" */
    const char *schema;      /* of a composite: part of its record's name */
    char delim;              /* as an array's element: pg_type.typdelim, 0 = by its type */
    bool domain;             /* as an array's element: a domain over the rest */
};

#define WF_SOURCE_TYPE_MAX 72 /* bytes of a type's name and the end: NAMEDATALEN is 64 */

/* A type as it is used by one column. Never moves: avro may point into it. */
struct wf_coltype {
    wf_conv_fn conv;
    uint32_t room, room_per_byte;
    int32_t arg; /* decimals: scale; zoned times: digits; arrays: delimiter; or enum wf_stamp */
    const struct wf_type *row;
    const char *zero; /* as wf_type.zero */
    bool zero_pg;     /* it is PG text even where the Avro type is a string */
    enum wf_toast toast;
    const char *placeholder; /* for an unsent value */
    bool lossy;              /* the form cuts digits that the column has */
    struct wf_avro_type avro;
    char param[12]; /* storage of avro.params, as the next two lines */
    char source_type[WF_SOURCE_TYPE_MAX];
    char source_length[12], source_scale[12];
    struct wf_coltype *sub; /* element or fields; owned */
    uint16_t nsub;
    const char *labels;             /* an enum's, joined by ',' */
    bool optional;                  /* nullable in the schema even where the column is NOT NULL */
    struct wf_schema_field *fields; /* a composite's, storage of avro.fields; owned */
    char *names;                    /* and of their names; owned */
    const struct wf_mask *mask;     /* see mask.h; NULL = none */
    wf_conv_fn checked;             /* what conv calls once the text is known to be UTF-8 */
};

extern const struct wf_type wf_types[];
extern const size_t wf_ntypes;

enum wf_resolved {
    WF_RESOLVED,       /* by a row of the table */
    WF_RESOLVED_TEXT,  /* no row fits: carried as text */
    WF_RESOLVED_OMIT,  /* no row fits, and modes->unknown says to leave it out */
    WF_RESOLVED_LOSSY, /* the form would cut values, and modes->lossy refuses that */
    WF_RESOLVED_MEMORY,
};

/* Find the row, apply type modifier and modes. @t needs wf_type_free() whatever is returned. */
enum wf_resolved wf_type_resolve(struct wf_coltype *t, const struct wf_type_in *in);
void wf_type_free(struct wf_coltype *t);
/* The type as a key's schema has it: keys do not tell the column's PostgreSQL type. */
struct wf_avro_type wf_type_in_key(const struct wf_coltype *t);
/* From now on every label of an enum is taken. */
void wf_type_trust_labels(struct wf_coltype *t);
/* From now on texts that are no UTF-8 are refused with WF_CONV_ENCODING. */
void wf_type_check_utf8(struct wf_coltype *t);

/* Append one value; @why as wf_conv_fn. Return: false when it cannot be written. */
bool wf_type_put(const struct wf_coltype *t, const char *s, size_t n, struct wf_buf *out,
                 enum wf_conv_why *why);
/* Append the value that fills an unknown NOT NULL column. */
bool wf_type_put_zero(const struct wf_coltype *t, struct wf_buf *out);
/* Append the placeholder of an unsent value. Return: false when the type has none. */
bool wf_type_put_toast(const struct wf_coltype *t, struct wf_buf *out);

/**
 * wf_type_default() - read a column default
 * @expr: as pg_get_expr() prints it: "'x'::text", "nextval('s'::regclass)", "5"
 * @avro: out, the value's Avro bytes
 * @json: out, NUL-terminated, as it stands in a schema
 *
 * Literals are taken, function calls become the zero of the type, other expressions are no default
 * (events.md, sections 2.8 and 4).
 * Return: false when the column has no default to show.
 */
bool wf_type_default(const struct wf_coltype *t, const char *expr, struct wf_buf *avro,
                     struct wf_buf *json);

/* docs/types.md, from the table. */
void wf_types_docs(struct wf_buf *out);

#endif
