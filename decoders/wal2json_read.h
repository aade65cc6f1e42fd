/* A message of wal2json, format 2, taken apart: no number is converted, no text is judged. */
#ifndef WF_WAL2JSON_READ_H
#define WF_WAL2JSON_READ_H

#include "decoder.h"

/* Text without a NUL at its end; absent when s is NULL. */
struct wf_w2j_text {
    const char *s;
    size_t n;
};

enum wf_w2j_value {
    WF_W2J_ABSENT = 0,
    WF_W2J_NULL,
    WF_W2J_TRUE,
    WF_W2J_FALSE,
    WF_W2J_NUMBER, /* the digits as they stand: a double would lose some */
    WF_W2J_STRING, /* unescaped */
};

/* One item of "columns", "identity" or "pk". */
struct wf_w2j_field {
    struct wf_w2j_text name, type, value;
    enum wf_w2j_value kind;
    uint32_t type_oid;
    uint16_t position; /* pg_attribute.attnum; 0 in "identity" and "pk" */
    bool not_null;
};

struct wf_w2j_fields {
    bool present;
    uint16_t n;
    struct wf_w2j_field *at; /* room for WF_MAX_COLUMNS */
};

struct wf_w2j_record {
    char action; /* B C I U D T M */
    bool has_xid, transactional;
    uint32_t xid, origin;
    int64_t time_us; /* "timestamp" in microseconds since the Unix epoch */
    bool has_time;
    uint64_t lsn, next_lsn; /* 0 = absent */
    struct wf_w2j_text schema, table, prefix, content;
    struct wf_w2j_fields columns, identity, pk;
};

/* The bytes that are read, and a place for what has escapes. */
struct wf_w2j_reader {
    const char *start, *at, *end;
    char *room;       /* at least 1 byte more than the message has */
    const char *what; /* what is wrong, at failed_at; NULL = nothing */
    size_t failed_at;
};

/**
 * wf_w2j_read() - take a message apart
 * @r:   start, at, end and room are set
 * @out: the arrays of the three field lists are the caller's; texts point into the message, or
 *       into @r's room where they had escapes. A text in the room ends with a NUL.
 *
 * Every key is checked for its type and may stand once; unknown keys are skipped. Return: false
 * with r->what set when it is no such message.
 */
bool wf_w2j_read(struct wf_w2j_reader *r, struct wf_w2j_record *out);

/* @text with @prefix in front and a NUL behind, in the reader's room. There is room for that as
 * long as each text is put once and the prefix has at most two bytes. */
struct wf_w2j_text wf_w2j_put(struct wf_w2j_reader *r, const char *prefix, struct wf_w2j_text text);

#endif
