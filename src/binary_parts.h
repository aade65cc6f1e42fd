/* What the files of binary.h share. */
#ifndef WF_BINARY_PARTS_H
#define WF_BINARY_PARTS_H

#include "binary.h"
#include "reader.h"

/* Appends the text of what the reader holds; marks the reader failed when it cannot. What is left
 * in the reader afterwards is a failure too. */
#define WF_BINARY(name)                                                                            \
    void name(const struct wf_binary *b, struct wf_reader *r, struct wf_buf *out)

typedef void (*wf_binary_fn)(const struct wf_binary *b, struct wf_reader *r, struct wf_buf *out);

struct wf_binary {
    wf_binary_fn put;
    uint32_t oid;
    char delim;  /* between elements of an array of it */
    bool domain; /* on the wire its oid is another */
    uint16_t nsub;
    struct wf_binary *sub;
};

/* binary_num.c */
WF_BINARY(wf_binary_bool);
WF_BINARY(wf_binary_int2);
WF_BINARY(wf_binary_int4);
WF_BINARY(wf_binary_int8);
WF_BINARY(wf_binary_uint4);
WF_BINARY(wf_binary_uint8);
WF_BINARY(wf_binary_float4);
WF_BINARY(wf_binary_float8);
WF_BINARY(wf_binary_numeric);
WF_BINARY(wf_binary_money);
WF_BINARY(wf_binary_point);
WF_BINARY(wf_binary_lseg);
WF_BINARY(wf_binary_box);
WF_BINARY(wf_binary_line);
WF_BINARY(wf_binary_circle);
WF_BINARY(wf_binary_path);
WF_BINARY(wf_binary_polygon);
WF_BINARY(wf_binary_cube);
WF_BINARY(wf_binary_vector);
WF_BINARY(wf_binary_halfvec);
WF_BINARY(wf_binary_sparsevec);
/* The shortest text that reads back as the same number, as PostgreSQL prints it. */
void wf_binary_put_float4(struct wf_buf *out, float v);
void wf_binary_put_float8(struct wf_buf *out, double v);

/* binary_time.c */
WF_BINARY(wf_binary_date);
WF_BINARY(wf_binary_time);
WF_BINARY(wf_binary_timetz);
WF_BINARY(wf_binary_timestamp);
WF_BINARY(wf_binary_timestamptz);
WF_BINARY(wf_binary_interval);

/* binary_text.c */
WF_BINARY(wf_binary_text);
WF_BINARY(wf_binary_versioned); /* one byte of version, then text */
WF_BINARY(wf_binary_char);
WF_BINARY(wf_binary_bytea);
WF_BINARY(wf_binary_hex); /* PostGIS */
WF_BINARY(wf_binary_uuid);
WF_BINARY(wf_binary_bits);
WF_BINARY(wf_binary_inet);
WF_BINARY(wf_binary_macaddr);
WF_BINARY(wf_binary_macaddr8);
WF_BINARY(wf_binary_lsn);
WF_BINARY(wf_binary_tid);
WF_BINARY(wf_binary_snapshot);
WF_BINARY(wf_binary_hstore);
WF_BINARY(wf_binary_tsvector);
WF_BINARY(wf_binary_tsquery);

#endif
