#include "envelope.h"

#include <stdio.h>

#include "avro_put.h"

#define KEPT_ROUND 64
#define SOURCE_MAX 4096 /* names are at most 249, 63 and 512 bytes long */

static void put_string(struct wf_buf *b, const char *s)
{
    size_t n = strlen(s);

    if (wf_buf_reserve(b, n + WF_LONG_ROOM))
        b->len = (size_t)(wf_put_bytes(b->data + b->len, s, n) - b->data);
}

static void put_long(struct wf_buf *b, int64_t v)
{
    if (wf_buf_reserve(b, WF_LONG_ROOM))
        b->len = (size_t)(wf_put_long(b->data + b->len, v) - b->data);
}

/* Branch 1 of ["null","long"]. */
static unsigned char *put_some_long(unsigned char *p, int64_t v)
{
    *p++ = 2;
    return wf_put_long(p, v);
}

static int64_t floor_ms(int64_t us)
{
    return us / 1000 - (us % 1000 < 0);
}

bool wf_envelope_origin(struct wf_envelope *e, const struct wf_origin *origin)
{
    char id[24];

    snprintf(id, sizeof(id), "%llu", (unsigned long long)origin->system_id);
    wf_buf_reset(&e->native);
    put_string(&e->native, id);
    put_long(&e->native, origin->timeline);
    put_string(&e->native, origin->database);
    return !e->native.failed;
}

bool wf_envelope_init(struct wf_envelope *e, const char *prefix, const struct wf_origin *origin,
                      bool ts_ns)
{
    *e = (struct wf_envelope){.ts_ns = ts_ns};
    wf_buf_init(&e->fixed, SOURCE_MAX);
    wf_buf_init(&e->txn.head, SOURCE_MAX);
    wf_buf_init(&e->txn.tail, SOURCE_MAX);
    wf_buf_init(&e->native, SOURCE_MAX);
    wf_buf_init(&e->txn.commit_lsn, SOURCE_MAX);
    put_string(&e->fixed, WF_VERSION);
    put_string(&e->fixed, "postgresql");
    put_string(&e->fixed, prefix);
    e->fixed_split = e->fixed.len;
    wf_buf_byte(&e->fixed, 0); /* branch 0: string */
    put_string(&e->fixed, "false");
    put_string(&e->fixed, origin->database);
    e->now.us = INT64_MIN;
    return wf_envelope_origin(e, origin) && !e->fixed.failed;
}

void wf_envelope_deinit(struct wf_envelope *e)
{
    wf_buf_deinit(&e->fixed);
    wf_buf_deinit(&e->txn.head);
    wf_buf_deinit(&e->txn.tail);
    wf_buf_deinit(&e->native);
    wf_buf_deinit(&e->txn.commit_lsn);
}

/* Clocks of PostgreSQL end in the year 294276, nanoseconds of a long in 2262. */
static unsigned char *put_us(const struct wf_envelope *e, unsigned char *p, int64_t us)
{
    int64_t ns;

    p = put_some_long(p, us);
    if (!e->ts_ns)
        return p;
    if (!__builtin_mul_overflow(us, 1000, &ns))
        return put_some_long(p, ns);
    *p++ = 0;
    return p;
}

static void set_now(struct wf_envelope *e, int64_t us)
{
    unsigned char *p = put_some_long(e->now.text, floor_ms(us));

    e->now.ms_len = (size_t)(p - e->now.text);
    p = put_us(e, p, us);
    e->now.len = (size_t)(p - e->now.text);
    e->now.us = us;
}

/* xmin is never asked for; origin as the transaction says; no transaction metadata. */
static void set_tail(struct wf_envelope *e, const struct wf_txn *txn)
{
    struct wf_buf *b = &e->txn.tail;

    wf_buf_reset(b);
    wf_buf_byte(b, 0);
    if (txn && txn->origin) {
        wf_buf_byte(b, 2);
        put_string(b, txn->origin);
    } else {
        wf_buf_byte(b, 0);
    }
    if (txn && txn->origin && txn->origin_lsn && wf_buf_reserve(b, 1 + WF_LONG_ROOM))
        b->len = (size_t)(put_some_long(b->data + b->len, (int64_t)txn->origin_lsn) - b->data);
    else
        wf_buf_byte(b, 0);
    wf_buf_byte(b, 0);
}

static bool set_txn(struct wf_envelope *e, const struct wf_txn *txn, int64_t commit_us)
{
    struct wf_buf *b = &e->txn.head;

    wf_buf_reset(b);
    wf_buf_put(b, e->fixed.data, e->fixed_split);
    put_long(b, floor_ms(commit_us));
    wf_buf_put(b, e->fixed.data + e->fixed_split, e->fixed.len - e->fixed_split);
    wf_buf_byte(b, 2); /* sequence: branch 1 */
    if (txn && txn->prev_end_lsn)
        snprintf((char *)e->txn.sequence, sizeof(e->txn.sequence), "[\"%llu\",",
                 (unsigned long long)txn->prev_end_lsn);
    else
        snprintf((char *)e->txn.sequence, sizeof(e->txn.sequence), "[null,");
    e->txn.sequence_len = strlen((char *)e->txn.sequence);
    e->txn.ts_us_len = (size_t)(put_us(e, e->txn.ts_us, commit_us) - e->txn.ts_us);
    e->txn.tx_id[0] = 0;
    e->txn.tx_id_len = txn ? (size_t)(put_some_long(e->txn.tx_id, txn->xid) - e->txn.tx_id) : 1;
    set_tail(e, txn);
    e->txn.valid = txn != NULL;
    if (txn) {
        e->txn.final_lsn = txn->final_lsn;
        e->txn.prev_end_lsn = txn->prev_end_lsn;
        wf_buf_reset(&e->txn.commit_lsn);
        put_long(&e->txn.commit_lsn, txn->xid);
        put_long(&e->txn.commit_lsn, (int64_t)txn->final_lsn);
    }
    return !b->failed && !e->txn.tail.failed && !e->txn.commit_lsn.failed;
}

bool wf_envelope_begin(struct wf_envelope *e, const struct wf_txn *txn, int64_t now_us)
{
    if (e->now.us != now_us)
        set_now(e, now_us);
    if (txn && e->txn.valid && e->txn.final_lsn == txn->final_lsn &&
        e->txn.prev_end_lsn == txn->prev_end_lsn)
        return true;
    return set_txn(e, txn, txn ? txn->commit_us : now_us);
}

/* Decimal, two digits at a time. */
static unsigned char *put_decimal(unsigned char *p, uint64_t v)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    unsigned char digits[40] = {0};
    size_t at = 20; /* of the first digit so far */

    for (; v >= 100; v /= 100) {
        const char *pair = pairs + v % 100 * 2;

        digits[--at] = (unsigned char)pair[1];
        digits[--at] = (unsigned char)pair[0];
    }
    if (v >= 10)
        digits[--at] = (unsigned char)pairs[v * 2 + 1];
    digits[--at] = (unsigned char)(v >= 10 ? pairs[v * 2] : '0' + (char)v);
    memcpy(p, digits + at, 20);
    return p + (20 - at);
}

/* `["<last commit>","<lsn>"]`: at most 49 bytes, so its length takes one byte. */
static unsigned char *put_sequence(const struct wf_envelope *e, unsigned char *p, uint64_t lsn)
{
    unsigned char *text = p + 1, *q = text + e->txn.sequence_len;

    memcpy(text, e->txn.sequence, sizeof(e->txn.sequence));
    if (lsn) {
        *q++ = '"';
        q = put_decimal(q, lsn);
        *q++ = '"';
    } else {
        for (const char *s = "null"; *s; s++)
            *q++ = (unsigned char)*s;
    }
    *q++ = ']';
    *p = (unsigned char)((q - text) * 2);
    return q;
}

/* A buffer that holds a byte has room for KEPT_ROUND, and so has the place it goes to: a copy of
 * constant size needs no call. */
static inline unsigned char *put_kept(unsigned char *p, const struct wf_buf *b)
{
    if (b->len <= KEPT_ROUND)
        memcpy(p, b->data, KEPT_ROUND);
    else
        memcpy(p, b->data, b->len);
    return p + b->len;
}

unsigned char *wf_envelope_source(const struct wf_envelope *e, unsigned char *p,
                                  const unsigned char *table, size_t table_len, uint64_t lsn)
{
    p = put_kept(p, &e->txn.head);
    p = put_sequence(e, p, lsn);
    memcpy(p, e->txn.ts_us, sizeof(e->txn.ts_us));
    p += e->txn.ts_us_len;
    memcpy(p, table, table_len);
    p += table_len;
    memcpy(p, e->txn.tx_id, sizeof(e->txn.tx_id));
    p += e->txn.tx_id_len;
    if (lsn)
        p = put_some_long(p, (int64_t)lsn);
    else
        *p++ = 0;
    return put_kept(p, &e->txn.tail);
}

unsigned char *wf_envelope_native(const struct wf_envelope *e, unsigned char *p,
                                  const unsigned char *table, size_t table_len, uint64_t lsn,
                                  uint64_t ordinal)
{
    p = put_kept(p, &e->native);
    memcpy(p, table, table_len);
    p = put_kept(p + table_len, &e->txn.commit_lsn);
    p = wf_put_long(p, (int64_t)ordinal);
    return wf_put_long(p, (int64_t)lsn);
}

unsigned char *wf_envelope_now(const struct wf_envelope *e, unsigned char *p)
{
    memcpy(p, e->now.text, sizeof(e->now.text));
    return p + e->now.len;
}

unsigned char *wf_envelope_now_ms(const struct wf_envelope *e, unsigned char *p)
{
    memcpy(p, e->now.text, sizeof(e->now.text));
    return p + e->now.ms_len;
}
