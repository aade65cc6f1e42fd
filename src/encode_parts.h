/* What the parts of the encoder share; only encode*.c include it. */
#ifndef WF_ENCODE_PARTS_H
#define WF_ENCODE_PARTS_H

#include "encode.h"
#include "envelope.h"
#include "headers.h"
#include "plan.h"
#include "profile.h"
#include "row.h"
#include "streams.h"
#include "txn_counts.h"

/* Where an event's bytes stand while the buffers may still move. */
struct wf_span {
    size_t key, value; /* WF_NO_BYTES = none */
};
#define WF_NO_BYTES SIZE_MAX

struct wf_encoder {
    const struct wf_format_conf *conf;
    const struct wf_source_conf *source; /* or NULL */
    const struct wf_profile_rules *rules;
    bool raw_text; /* the database is SQL_ASCII */
    enum wf_framing framing;
    size_t max_event;
    struct wf_streams *streams;
    struct wf_stream *message, *truncate, *transaction, *heartbeat, *dead;
    struct wf_envelope envelope;
    struct wf_headers headers;
    struct wf_txn_counts counts; /* of the open transaction */
    uint32_t counted;            /* events of this change that count, so far */
    uint32_t messages;           /* the counter of messages */
    struct wf_buf key, value, json;
    struct wf_event *ev;
    struct wf_span *spans;
    uint32_t nev, ev_cap;
    uint32_t *announced; /* type oids carried as text */
    uint32_t nannounced;
};

#define WF_FRAME_MAX 10

/* Make room for @n events. */
enum wf_rc wf_encoder_room(struct wf_encoder *e, uint32_t n, struct wf_err *err);

/* Append C3 01 and the fingerprint, little endian (Avro specification, "Single object encoding").
 */
void wf_put_single_frame(struct wf_buf *b, uint64_t fingerprint);

/* encode_row.c */
enum wf_rc wf_encode_insert(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err);
enum wf_rc wf_encode_update(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err);
enum wf_rc wf_encode_delete(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err);
/* The block `transaction` of one event, in place of the null that stands before @p. */
unsigned char *wf_encode_block(struct wf_encoder *e, const struct wf_change *c, uint32_t collection,
                               unsigned char *p);

/* encode_other.c */
enum wf_rc wf_encode_truncate(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err);
enum wf_rc wf_encode_message(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err);
enum wf_rc wf_encode_begin(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err);
enum wf_rc wf_encode_end(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err);
enum wf_rc wf_encode_heartbeat(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err);

enum wf_rc wf_encode_dead(struct wf_encoder *e, const struct wf_change *c, struct wf_err *err);

static inline enum wf_rc wf_encode_no_memory(struct wf_err *err)
{
    return wf_err_set(err, WF_FATAL, "memory", "out of memory");
}

/* Append what stands before the Avro bytes. @id, @fingerprint: of the schema. */
static inline void wf_put_frame(const struct wf_encoder *e, struct wf_buf *b, int32_t id,
                                uint64_t fingerprint)
{
    if (__builtin_expect(e->framing == WF_FRAME_CONFLUENT, 1)) {
        const uint32_t v = (uint32_t)id;
        const unsigned char frame[] = {0, (unsigned char)(v >> 24), (unsigned char)(v >> 16),
                                       (unsigned char)(v >> 8), (unsigned char)v};

        wf_buf_put(b, frame, sizeof(frame));
    } else if (e->framing == WF_FRAME_SINGLE_OBJECT) {
        wf_put_single_frame(b, fingerprint);
    }
}

static inline void wf_put_key_frame(struct wf_encoder *e, const struct wf_stream *stream)
{
    wf_put_frame(e, &e->key, stream->key_id, stream->key_fingerprint);
}

static inline void wf_put_value_frame(struct wf_encoder *e, const struct wf_stream *stream)
{
    wf_put_frame(e, &e->value, stream->value_id, stream->value_fingerprint);
}

static inline size_t wf_frame_len(const struct wf_encoder *e)
{
    return e->framing == WF_FRAME_CONFLUENT       ? 5
           : e->framing == WF_FRAME_SINGLE_OBJECT ? WF_FRAME_MAX
                                                  : 0;
}

/* Another event of @stream whose key and value start at these offsets and end where the buffers
 * end. It does not count yet. @headers: the set it gets. */
static inline void wf_add_event(struct wf_encoder *e, const struct wf_change *c,
                                struct wf_stream *stream, char op, size_t key, size_t value,
                                struct wf_header_set headers)
{
    struct wf_event *ev = &e->ev[e->nev];

    e->spans[e->nev] = (struct wf_span){key, value};
    e->nev++;
    ev->stream = stream;
    ev->key = ev->value = NULL;
    ev->key_len = key == WF_NO_BYTES ? 0 : e->key.len - key;
    ev->value_len = value == WF_NO_BYTES ? 0 : e->value.len - value;
    ev->headers = headers.first;
    ev->nheaders = headers.n;
    ev->tag = 0;
    ev->lsn = c->lsn;
    ev->ts_us = c->txn ? c->txn->commit_us : e->envelope.now.us;
    ev->op = op;
}

#endif
