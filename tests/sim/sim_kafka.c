/* Kafka: partitions, one transactional id with its coordinator, and librdkafka's producer. */
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_record.h"
#include "kafka_topics.h"
#include "lsn.h"
#include "sim.h"

#define QUEUE 24 /* messages a producer holds */
#define PACKETS 64
#define HANDLES 64
#define RECORDS 400 /* checkpoint records of a schedule */
#define RECORD_BYTES 400
#define LOG 2048
#define CHECKPOINTS SIM_PARTITIONS /* the partition after those of the events */
#define PARTS (SIM_PARTITIONS + 1)
#define END_TXN 26
#define ERR_FENCED RD_KAFKA_RESP_ERR__FENCED

struct message {
    uint32_t number; /* of the event, or of the checkpoint's record */
    unsigned part;
    uint32_t sequence;
    void *opaque;
};

enum packet_kind { PRODUCE, PRODUCE_REPLY, INIT, INIT_REPLY, COMMIT, COMMIT_REPLY };

struct packet {
    bool used;
    enum packet_kind kind;
    uint64_t due_us;
    unsigned handle, epoch, attempt;
    rd_kafka_resp_err_t code;
    unsigned n;
    struct message m[QUEUE];
};

struct rd_kafka_topic_s {
    struct rd_kafka_s *rk;
    bool is_data;
};

/* Messages for one partition, oldest first; the first `sent` of them are on their way. */
struct lane {
    struct message queue[QUEUE];
    unsigned n, sent, attempt;
    uint32_t next;
    uint64_t due_us; /* when it sends, or sends again */
};

struct rd_kafka_conf_s {
    void (*dr)(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque);
    void (*error)(rd_kafka_t *rk, int err, const char *reason, void *opaque);
    void *opaque;
    rd_kafka_interceptor_f_on_new_t *on_new;
    void *on_new_opaque;
};

struct rd_kafka_s {
    bool used, alive, transactional, fenced, told, broken_txn, in_txn;
    struct rd_kafka_conf_s conf;
    struct rd_kafka_topic_s topic[2];
    struct sim_daemon *owner;
    unsigned epoch, attempt;
    struct lane lane[PARTS];
    struct message done[QUEUE * PARTS]; /* delivery reports to come */
    rd_kafka_resp_err_t done_code[QUEUE * PARTS];
    unsigned ndone;
    enum { IDLE, INIT_SENT, INIT_DONE, COMMIT_SENT, COMMIT_DONE, COMMIT_BAD } call;
    uint64_t again_us; /* when the request is sent once more */
    rd_kafka_interceptor_f_on_request_sent_t *on_request;
    rd_kafka_interceptor_f_on_broker_state_change_t *on_broker;
    void *on_request_opaque, *on_broker_opaque;
    /* the broker's, by producer id: this one's when it has no transactional id */
    uint32_t expected[PARTS];
    int64_t last[SIM_PARTITIONS];
};

struct rd_kafka_error_s {
    rd_kafka_resp_err_t code;
    bool retriable, fatal, abort;
};

struct open_txn {
    bool open;
    uint64_t since_us, timeout_us;
    uint32_t expected[PARTS];
    unsigned n;
    struct message m[512];
};

static struct {
    struct rd_kafka_s handle[HANDLES];
    unsigned nhandles;
    struct packet packet[PACKETS];
    uint64_t next_due_us;
    unsigned epoch;
    enum { NOTHING, COMMITTED, ABORTED } last_end;
    struct open_txn txn;
    int64_t high[SIM_PARTITIONS]; /* the greatest event, -1 = none */
    bool seen[SIM_ITEMS * (SIM_CHANGES + 1) * 3];
    uint32_t missing; /* the least event that is not there */
    char record[RECORDS][RECORD_BYTES];
    size_t record_len[RECORDS];
    unsigned nrecords;
    int kept; /* the checkpoint that is readable, -1 = none */
    uint64_t kept_lsn, appended;
} kafka;

static struct rd_kafka_error_s the_error;

void sim_kafka_reset(void)
{
    for (unsigned i = 0; i < kafka.nhandles; i++)
        kafka.handle[i].used = false;
    for (unsigned i = 0; i < PACKETS; i++)
        kafka.packet[i].used = false;
    memset(kafka.seen, 0, sizeof(kafka.seen));
    kafka.nhandles = kafka.epoch = kafka.nrecords = 0;
    kafka.last_end = NOTHING;
    kafka.txn.open = false;
    kafka.txn.n = 0;
    kafka.kept = -1;
    kafka.kept_lsn = kafka.appended = kafka.missing = 0;
    for (unsigned i = 0; i < SIM_PARTITIONS; i++)
        kafka.high[i] = -1;
}

uint64_t sim_kafka_kept_lsn(void)
{
    return kafka.kept_lsn;
}

uint64_t sim_kafka_appended(void)
{
    return kafka.appended;
}

bool sim_kafka_has(uint32_t n)
{
    return kafka.missing >= n;
}

/* The slot begins after them: nobody waits for these. */
void sim_kafka_skip(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        kafka.high[i % SIM_PARTITIONS] = i;
        kafka.seen[i] = true;
    }
    kafka.missing = n;
}

bool sim_kafka_has_all(void)
{
    return kafka.missing >= sim_pg.nevents;
}

/* ---- the log, as its readers see it ---- */

static int64_t next_of(unsigned part, int64_t n)
{
    for (n++; (unsigned)n % SIM_PARTITIONS != part; n++)
        ;
    return n;
}

static void see(uint32_t number, unsigned part)
{
    kafka.appended++;
    if ((int64_t)number > kafka.high[part])
        kafka.high[part] = number;
    kafka.seen[number] = true;
    while (kafka.missing < sim_pg.nevents && kafka.seen[kafka.missing])
        kafka.missing++;
}

/* Exactly once: in order, each once. */
static void append_committed(const struct message *m)
{
    if (m->number == SIM_HEARTBEAT)
        return;
    if ((int64_t)m->number != next_of(m->part, kafka.high[m->part]))
        sim_bad("S1: event %u follows event %lld in partition %u", m->number,
                (long long)kafka.high[m->part], m->part);
    see(m->number, m->part);
}

/* At least once: never past a gap, for a reader and within a producer. */
static void append_plain(struct rd_kafka_s *rk, const struct message *m)
{
    int64_t n = m->number;

    if (m->number == SIM_HEARTBEAT)
        return;
    if (n > next_of(m->part, kafka.high[m->part]))
        sim_bad("S1: event %lld comes after event %lld in partition %u", (long long)n,
                (long long)kafka.high[m->part], m->part);
    if (sim.ndaemons == 1 && rk->last[m->part] >= 0 && n > next_of(m->part, rk->last[m->part]))
        sim_bad("S1: event %lld comes after event %lld of the same producer", (long long)n,
                (long long)rk->last[m->part]);
    rk->last[m->part] = n;
    see(m->number, m->part);
}

/* Exactly what the checkpoint says is there. */
static void check_kept(void)
{
    struct wf_checkpoint cp;
    struct wf_err err;
    uint32_t n;

    if (wf_checkpoint_parse(kafka.record[kafka.kept], kafka.record_len[kafka.kept], &cp, &err) !=
        WF_OK) {
        sim_bad("the checkpoint cannot be read: %s", err.text);
        return;
    }
    if (cp.lsn < kafka.kept_lsn)
        sim_bad("the checkpoint goes back from %s to %s", wf_lsn_text(kafka.kept_lsn).s,
                wf_lsn_text(cp.lsn).s);
    kafka.kept_lsn = cp.lsn;
    n = sim_pg_events_before(cp.lsn);
    if (kafka.missing < n || (!cp.split.final_lsn && kafka.missing > n))
        sim_bad("S1: the checkpoint %s stands for %u events, %u are there", wf_lsn_text(cp.lsn).s,
                n, kafka.missing);
}

/* ---- the coordinator ---- */

static void end_txn(bool commit)
{
    struct open_txn *t = &kafka.txn;

    for (unsigned i = 0; commit && i < t->n; i++) {
        if (t->m[i].part == CHECKPOINTS)
            kafka.kept = (int)t->m[i].number;
        else
            append_committed(&t->m[i]);
    }
    sim_trace("broker: transaction of epoch %u with %u records %s", kafka.epoch, t->n,
              commit ? "committed" : "aborted");
    t->open = false;
    t->n = 0;
    kafka.last_end = commit ? COMMITTED : ABORTED;
    if (commit && kafka.kept >= 0)
        check_kept();
}

static void next_epoch(void)
{
    if (kafka.txn.open)
        end_txn(false);
    kafka.epoch++;
    kafka.last_end = NOTHING;
    memset(kafka.txn.expected, 0, sizeof(kafka.txn.expected));
}

static rd_kafka_resp_err_t commit_at_broker(unsigned epoch)
{
    if (epoch != kafka.epoch)
        return ERR_FENCED;
    if (kafka.txn.open) {
        end_txn(true);
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    return kafka.last_end == COMMITTED ? RD_KAFKA_RESP_ERR_NO_ERROR
                                       : RD_KAFKA_RESP_ERR_INVALID_TXN_STATE;
}

/* Brokers of before KIP-890: what has the right epoch opens a transaction, or joins the open one.
 */
static rd_kafka_resp_err_t take_transactional(const struct packet *p)
{
    struct open_txn *t = &kafka.txn;

    if (p->epoch != kafka.epoch)
        return ERR_FENCED;
    for (unsigned i = 0; i < p->n; i++) {
        const struct message *m = &p->m[i];

        if (m->sequence > t->expected[m->part])
            return RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        if (m->sequence < t->expected[m->part])
            continue;
        t->expected[m->part]++;
        if (!t->open) {
            t->open = true;
            t->since_us = sim.now_us;
            t->timeout_us = (uint64_t)sim.daemon[0].kafka.transaction_timeout_ms * 1000;
        }
        if (t->n == sizeof(t->m) / sizeof(t->m[0])) {
            sim_bad("a transaction grows without end");
            return RD_KAFKA_RESP_ERR_NO_ERROR;
        }
        t->m[t->n++] = *m;
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t take_plain(struct rd_kafka_s *rk, const struct packet *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        const struct message *m = &p->m[i];

        if (m->sequence > rk->expected[m->part])
            return RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        if (m->sequence < rk->expected[m->part])
            continue;
        rk->expected[m->part]++;
        append_plain(rk, m);
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* ---- the network ---- */

static struct packet *put(enum packet_kind kind, unsigned handle, uint64_t after_us)
{
    unsigned i = 0;

    while (i < PACKETS && kafka.packet[i].used)
        i++;
    if (i == PACKETS)
        i = sim_below(PACKETS); /* one is lost */
    kafka.packet[i].used = true;
    kafka.packet[i].kind = kind;
    kafka.packet[i].handle = handle;
    kafka.packet[i].due_us = sim.now_us + after_us;
    kafka.packet[i].n = 0;
    if (kafka.packet[i].due_us < kafka.next_due_us)
        kafka.next_due_us = kafka.packet[i].due_us;
    return &kafka.packet[i];
}

static uint64_t latency(void)
{
    return sim_delay(20000) * sim.slow;
}

static unsigned index_of(const rd_kafka_t *rk)
{
    return (unsigned)(rk - kafka.handle);
}

/* What is sent arrives once: now, long after it was given up, or never. */
static void request(rd_kafka_t *rk, enum packet_kind kind, unsigned attempt,
                    const struct message *m, unsigned n)
{
    bool held = sim_one_in(sim.weather.lose_request);
    struct packet *p = NULL;

    if (!held || sim_one_in(sim.weather.late_copy)) {
        p = put(kind, index_of(rk), held ? 500000 + sim_below(5000000) : latency());
        p->epoch = rk->epoch;
        p->attempt = attempt;
        p->n = n;
        if (n)
            memcpy(p->m, m, n * sizeof(*m));
    }
    if (held)
        sim_trace("a request of kind %d is %s", kind, p ? "held up" : "lost");
    if (kind == COMMIT) {
        sim_trace("EndTxn of epoch %u, attempt %u", rk->epoch, rk->attempt);
        if (rk->on_request)
            rk->on_request(rk, 0, "b", 1, END_TXN, 3, 1, 100, rk->on_request_opaque);
    }
}

static void reply(const struct packet *p, enum packet_kind kind, rd_kafka_resp_err_t code)
{
    struct packet copy = *p, *r;

    if (sim_one_in(sim.weather.lose_reply))
        return;
    r = put(kind, copy.handle, latency());
    r->epoch = kind == INIT_REPLY ? kafka.epoch : copy.epoch;
    r->attempt = copy.attempt;
    r->code = code;
    r->n = copy.n;
    memcpy(r->m, copy.m, copy.n * sizeof(copy.m[0]));
}

static void arrive_at_broker(const struct packet *p)
{
    struct rd_kafka_s *rk = &kafka.handle[p->handle];

    switch (p->kind) {
    case PRODUCE:
        reply(p, PRODUCE_REPLY, rk->transactional ? take_transactional(p) : take_plain(rk, p));
        break;
    case INIT:
        next_epoch();
        sim_trace("broker: epoch %u begins", kafka.epoch);
        reply(p, INIT_REPLY, RD_KAFKA_RESP_ERR_NO_ERROR);
        break;
    case COMMIT:
        reply(p, COMMIT_REPLY, commit_at_broker(p->epoch));
        break;
    default:
        break;
    }
}

/* ---- the producer: what its threads do ---- */

static unsigned queued(const struct rd_kafka_s *rk)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PARTS; i++)
        n += rk->lane[i].n;
    return n;
}

static void report(struct rd_kafka_s *rk, struct lane *l, rd_kafka_resp_err_t code, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        rk->done[rk->ndone] = l->queue[i];
        rk->done_code[rk->ndone++] = code;
    }
    memmove(l->queue, l->queue + n, (l->n - n) * sizeof(l->queue[0]));
    l->n -= n;
    l->sent = 0;
    l->due_us = sim.now_us + sim_below(5000);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        rk->broken_txn = true;
}

static void produce_replied(struct rd_kafka_s *rk, const struct packet *p)
{
    struct lane *l = &rk->lane[p->m[0].part];

    if (!l->sent || p->attempt != l->attempt || p->m[0].sequence != l->queue[0].sequence)
        return; /* of an attempt that was given up */
    if (p->code == ERR_FENCED)
        rk->fenced = true;
    report(rk, l, p->code, l->sent);
}

static void arrive_at_client(const struct packet *p)
{
    struct rd_kafka_s *rk = &kafka.handle[p->handle];

    if (!rk->alive)
        return;
    if (p->kind == PRODUCE_REPLY) {
        produce_replied(rk, p);
    } else if (p->kind == INIT_REPLY && rk->call == INIT_SENT) {
        rk->call = INIT_DONE;
        rk->epoch = p->epoch;
    } else if (p->kind == COMMIT_REPLY && rk->call == COMMIT_SENT && p->epoch == rk->epoch) {
        rk->call = p->code == RD_KAFKA_RESP_ERR_NO_ERROR ? COMMIT_DONE : COMMIT_BAD;
        rk->fenced |= p->code == ERR_FENCED;
    }
    sim_wake(rk->owner);
    for (unsigned i = 0; i < SIM_WORKERS; i++) {
        struct sim_co *co = &rk->owner->workers[i];

        if (co->active && co->wake_us != SIM_NEVER && co->wake_us > sim.now_us + 500)
            co->wake_us = sim.now_us + sim_below(500);
    }
}

static void send_some(struct rd_kafka_s *rk, struct lane *l)
{
    if (l->sent) { /* no answer: the connection is given up, the batch goes out again */
        if (rk->on_broker && sim_one_in(2))
            rk->on_broker(rk, 1, "p", "b", 1, "DOWN", rk->on_broker_opaque);
    } else {
        l->sent = 1 + sim_below(l->n);
    }
    l->attempt++;
    l->due_us = sim.now_us + 500000 + sim_below(1500000);
    request(rk, PRODUCE, l->attempt, l->queue, l->sent);
    if (sim_one_in(sim.weather.fail_batch)) { /* given up for good, stored or not */
        sim_trace("a batch fails for good");
        report(rk, l, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, l->n);
        sim_wake(rk->owner);
    }
}

static uint64_t send_due(const struct rd_kafka_s *rk)
{
    uint64_t due = SIM_NEVER;

    for (unsigned i = 0; i < PARTS && rk->alive && !rk->fenced; i++) {
        if (rk->lane[i].n && rk->lane[i].due_us < due)
            due = rk->lane[i].due_us;
    }
    return due;
}

static void send_due_lanes(struct rd_kafka_s *rk)
{
    for (unsigned i = 0; i < PARTS && rk->alive && !rk->fenced; i++) {
        if (rk->lane[i].n && rk->lane[i].due_us <= sim.now_us)
            send_some(rk, &rk->lane[i]);
    }
}

uint64_t sim_kafka_due(void)
{
    uint64_t due = kafka.next_due_us;

    for (unsigned i = 0; i < kafka.nhandles; i++) {
        uint64_t at = send_due(&kafka.handle[i]);

        if (at < due)
            due = at;
    }
    if (kafka.txn.open && kafka.txn.since_us + kafka.txn.timeout_us < due)
        due = kafka.txn.since_us + kafka.txn.timeout_us;
    return due;
}

static void deliver(struct packet *p)
{
    struct packet copy = *p;

    p->used = false;
    if (copy.kind == PRODUCE || copy.kind == INIT || copy.kind == COMMIT)
        arrive_at_broker(&copy);
    else
        arrive_at_client(&copy);
}

void sim_kafka_step(void)
{
    if (kafka.txn.open && kafka.txn.since_us + kafka.txn.timeout_us <= sim.now_us) {
        sim_trace("broker: the transaction takes too long");
        next_epoch();
    }
    for (unsigned i = 0; i < PACKETS; i++) {
        if (kafka.packet[i].used && kafka.packet[i].due_us <= sim.now_us)
            deliver(&kafka.packet[i]);
    }
    kafka.next_due_us = SIM_NEVER;
    for (unsigned i = 0; i < PACKETS; i++) {
        if (kafka.packet[i].used && kafka.packet[i].due_us < kafka.next_due_us)
            kafka.next_due_us = kafka.packet[i].due_us;
    }
    for (unsigned i = 0; i < kafka.nhandles; i++) {
        send_due_lanes(&kafka.handle[i]);
    }
}

void sim_kafka_killed(struct sim_daemon *d)
{
    for (unsigned i = 0; i < kafka.nhandles; i++) {
        if (kafka.handle[i].owner == d)
            kafka.handle[i].alive = false;
    }
}

/* ---- librdkafka: life ---- */

rd_kafka_conf_t *rd_kafka_conf_new(void)
{
    static struct rd_kafka_conf_s confs[HANDLES];
    static unsigned n;
    struct rd_kafka_conf_s *c = &confs[n++ % HANDLES];

    *c = (struct rd_kafka_conf_s){0};
    return c;
}

void rd_kafka_conf_destroy(rd_kafka_conf_t *conf)
{
    (void)conf;
}

void rd_kafka_conf_set_dr_msg_cb(rd_kafka_conf_t *conf,
                                 void (*dr)(rd_kafka_t *rk, const rd_kafka_message_t *m,
                                            void *opaque))
{
    conf->dr = dr;
}

void rd_kafka_conf_set_error_cb(rd_kafka_conf_t *conf,
                                void (*error)(rd_kafka_t *rk, int err, const char *reason,
                                              void *opaque))
{
    conf->error = error;
}

void rd_kafka_conf_set_opaque(rd_kafka_conf_t *conf, void *opaque)
{
    conf->opaque = opaque;
}

rd_kafka_resp_err_t rd_kafka_conf_interceptor_add_on_new(rd_kafka_conf_t *conf, const char *name,
                                                         rd_kafka_interceptor_f_on_new_t *on_new,
                                                         void *opaque)
{
    (void)name;
    conf->on_new = on_new;
    conf->on_new_opaque = opaque;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t
rd_kafka_interceptor_add_on_request_sent(rd_kafka_t *rk, const char *name,
                                         rd_kafka_interceptor_f_on_request_sent_t *fn, void *opaque)
{
    (void)name;
    rk->on_request = fn;
    rk->on_request_opaque = opaque;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t
rd_kafka_interceptor_add_on_broker_state_change(rd_kafka_t *rk, const char *name,
                                                rd_kafka_interceptor_f_on_broker_state_change_t *fn,
                                                void *opaque)
{
    (void)name;
    rk->on_broker = fn;
    rk->on_broker_opaque = opaque;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_t *rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t size)
{
    struct rd_kafka_s *rk = &kafka.handle[kafka.nhandles];

    (void)type, (void)text, (void)size;
    if (kafka.nhandles == HANDLES) {
        sim_bad("the sink is opened without end");
        return NULL;
    }
    kafka.nhandles++;
    memset(rk, 0, sizeof(*rk));
    rk->used = rk->alive = true;
    rk->transactional = sim.eos;
    rk->conf = *conf;
    rk->owner = sim_self();
    rk->last[0] = rk->last[1] = -1;
    if (conf->on_new)
        conf->on_new(rk, conf, conf->on_new_opaque, text, size);
    return rk;
}

void rd_kafka_destroy_flags(rd_kafka_t *rk, int flags)
{
    (void)flags;
    sim_yield(sim_delay(100000));
    rk->alive = false;
}

void rd_kafka_destroy(rd_kafka_t *rk)
{
    rd_kafka_destroy_flags(rk, 0);
}

rd_kafka_resp_err_t rd_kafka_purge(rd_kafka_t *rk, int flags)
{
    (void)flags;
    for (unsigned i = 0; i < PARTS; i++)
        rk->lane[i].n = rk->lane[i].sent = 0; /* what is in the network stays there */
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_queue_t *rd_kafka_queue_get_main(rd_kafka_t *rk)
{
    return (rd_kafka_queue_t *)(void *)rk;
}

void rd_kafka_queue_destroy(rd_kafka_queue_t *queue)
{
    (void)queue;
}

void rd_kafka_queue_io_event_enable(rd_kafka_queue_t *queue, int fd, const void *payload,
                                    size_t size)
{
    (void)queue, (void)fd, (void)payload, (void)size;
}

const char *rd_kafka_topic_name(const rd_kafka_topic_t *topic)
{
    return topic->is_data ? "t" : "checkpoint";
}

/* ---- librdkafka: messages ---- */

static rd_kafka_resp_err_t last_error;

rd_kafka_resp_err_t rd_kafka_last_error(void)
{
    return last_error;
}

static uint32_t keep_record(const void *payload, size_t len)
{
    if (kafka.nrecords == RECORDS || len > RECORD_BYTES) {
        sim_bad("too many checkpoints, or too long a one");
        return 0;
    }
    memcpy(kafka.record[kafka.nrecords], payload, len);
    kafka.record_len[kafka.nrecords] = len;
    return kafka.nrecords++;
}

/* What everybody but the server knows to be delivered is not sent again: a repeat that ends early
 * leaves an older row behind the newer one. */
static void check_repeat(struct sim_daemon *d, uint32_t number)
{
    uint64_t safe = wf_delivery_safe_lsn(d->delivery), end = sim_pg_end_of(number);

    if (safe > d->safe_lsn)
        d->safe_lsn = safe;
    if (number != SIM_HEARTBEAT && end && end <= d->safe_lsn)
        sim_bad("S4: event %u is sent again, and %s is safe", number, wf_lsn_text(d->safe_lsn).s);
}

int rd_kafka_produce(rd_kafka_topic_t *topic, int32_t partition, int flags, void *payload,
                     size_t len, const void *key, size_t key_len, void *opaque)
{
    bool is_data = topic->is_data;
    struct rd_kafka_s *rk = topic->rk;
    struct message m = {.part = CHECKPOINTS, .opaque = opaque};
    struct lane *l;

    (void)partition, (void)flags, (void)key, (void)key_len;
    if (!rk->alive || rk->owner != sim_self())
        sim_bad("a closed producer is used");
    if (is_data) {
        memcpy(&m.number, payload, sizeof(m.number));
        m.part = m.number == SIM_HEARTBEAT ? 0 : m.number % SIM_PARTITIONS;
        if (!sim.eos) /* there the log itself says it */
            check_repeat(rk->owner, m.number);
    }
    l = &rk->lane[m.part];
    last_error = rk->fenced                         ? RD_KAFKA_RESP_ERR__FATAL
                 : rk->transactional && !rk->in_txn ? RD_KAFKA_RESP_ERR__STATE
                 : queued(rk) + rk->ndone >= QUEUE || (is_data && sim_one_in(sim.weather.full))
                     ? RD_KAFKA_RESP_ERR__QUEUE_FULL
                     : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (last_error == RD_KAFKA_RESP_ERR__STATE)
        sim_bad("an event is published outside a transaction");
    if (last_error != RD_KAFKA_RESP_ERR_NO_ERROR)
        return -1;
    if (!is_data)
        m.number = keep_record(payload, len);
    m.sequence = l->next++;
    l->queue[l->n] = m;
    if (!l->n++)
        l->due_us = sim.now_us + sim_below(5000);
    return 0;
}

rd_kafka_error_t *rd_kafka_produceva(rd_kafka_t *rk, const rd_kafka_vu_t *args, size_t n)
{
    (void)rk, (void)args, (void)n;
    abort(); /* no event of the simulator has headers */
}

static void serve(rd_kafka_t *rk)
{
    while (rk->ndone) {
        rd_kafka_message_t m = {.err = rk->done_code[0], ._private = rk->done[0].opaque};

        rk->ndone--;
        memmove(rk->done, rk->done + 1, rk->ndone * sizeof(rk->done[0]));
        memmove(rk->done_code, rk->done_code + 1, rk->ndone * sizeof(rk->done_code[0]));
        rk->conf.dr(rk, &m, rk->conf.opaque);
    }
    if (rk->fenced && !rk->told) {
        rk->told = true;
        rk->conf.error(rk, RD_KAFKA_RESP_ERR__FATAL, "fenced", rk->conf.opaque);
    }
}

int rd_kafka_poll(rd_kafka_t *rk, int timeout_ms)
{
    (void)timeout_ms;
    serve(rk);
    return 0;
}

rd_kafka_resp_err_t rd_kafka_flush(rd_kafka_t *rk, int timeout_ms)
{
    uint64_t until = sim.now_us + (uint64_t)timeout_ms * 1000;

    for (serve(rk); queued(rk) && sim.now_us < until && !rk->fenced; serve(rk))
        sim_yield(2000);
    return queued(rk) ? RD_KAFKA_RESP_ERR__TIMED_OUT : RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* ---- librdkafka: transactions ---- */

static rd_kafka_error_t *failure(rd_kafka_resp_err_t code, bool retriable, bool fatal, bool aborts)
{
    the_error = (struct rd_kafka_error_s){code, retriable, fatal, aborts};
    return &the_error;
}

static rd_kafka_error_t *timed_out(void)
{
    return failure(RD_KAFKA_RESP_ERR__TIMED_OUT, true, false, false);
}

/* Asks again when no answer comes, with a word to the interceptors or without. */
static void ask(rd_kafka_t *rk, enum packet_kind kind)
{
    if (rk->again_us && sim.now_us < rk->again_us)
        return;
    if (rk->again_us) {
        rk->attempt++;
        if (rk->on_broker && !sim_one_in(sim.weather.silent_retry))
            rk->on_broker(rk, 1, "p", "b", 1, "DOWN", rk->on_broker_opaque);
    }
    rk->again_us = sim.now_us + 60000 + sim_below(1000000);
    request(rk, kind, rk->attempt, NULL, 0);
}

rd_kafka_error_t *rd_kafka_init_transactions(rd_kafka_t *rk, int timeout_ms)
{
    uint64_t until = sim.now_us + (uint64_t)timeout_ms * 1000;

    if (rk->call == IDLE)
        rk->again_us = 0;
    rk->call = INIT_SENT;
    while (rk->call == INIT_SENT && sim.now_us < until) {
        ask(rk, INIT);
        sim_yield(50000);
    }
    if (rk->call != INIT_DONE)
        return timed_out();
    rk->call = IDLE;
    sim_trace("has epoch %u", rk->epoch);
    return NULL;
}

rd_kafka_error_t *rd_kafka_begin_transaction(rd_kafka_t *rk)
{
    if (rk->fenced)
        return failure(ERR_FENCED, false, true, false);
    rk->in_txn = true;
    rk->broken_txn = false;
    return NULL;
}

rd_kafka_error_t *rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms)
{
    uint64_t until = sim.now_us + (uint64_t)timeout_ms * 1000;

    for (;; sim_yield(20000)) {
        serve(rk);
        if (rk->fenced)
            return failure(ERR_FENCED, false, true, false);
        if (rk->broken_txn)
            return failure(RD_KAFKA_RESP_ERR__INCONSISTENT, false, false, true);
        if (rk->call == COMMIT_DONE)
            break;
        if (rk->call == COMMIT_BAD)
            return failure(RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, false, true, false);
        if (sim.now_us >= until)
            return timed_out();
        if (queued(rk))
            continue;
        if (rk->call == IDLE)
            rk->again_us = 0;
        rk->call = COMMIT_SENT;
        ask(rk, COMMIT);
    }
    rk->call = IDLE;
    rk->in_txn = false;
    return NULL;
}

rd_kafka_resp_err_t rd_kafka_error_code(const rd_kafka_error_t *error)
{
    return error->code;
}

const char *rd_kafka_error_string(const rd_kafka_error_t *error)
{
    return error->fatal ? "fatal" : error->abort ? "has to be aborted" : "timed out";
}

int rd_kafka_error_is_fatal(const rd_kafka_error_t *error)
{
    return error->fatal;
}

int rd_kafka_error_is_retriable(const rd_kafka_error_t *error)
{
    return error->retriable;
}

int rd_kafka_error_txn_requires_abort(const rd_kafka_error_t *error)
{
    return error->abort;
}

void rd_kafka_error_destroy(rd_kafka_error_t *error)
{
    (void)error;
}

rd_kafka_resp_err_t rd_kafka_fatal_error(rd_kafka_t *rk, char *text, size_t size)
{
    (void)rk;
    if (size)
        text[0] = '\0';
    return ERR_FENCED;
}

const char *rd_kafka_err2name(rd_kafka_resp_err_t code)
{
    (void)code;
    return "error";
}

/* ---- kafka_conf.c, kafka_pins.c, kafka_topics.c, kafka_tools.c ---- */

/* Topics stay what they are here. */
struct wf_kafka_pins *wf_kafka_pins_new(const char *dir)
{
    static struct wf_kafka_pins none;

    (void)dir;
    return &none;
}

void wf_kafka_pins_free(struct wf_kafka_pins *p)
{
    (void)p;
}

void wf_kafka_pins_clear(struct wf_kafka_pins *p)
{
    (void)p;
}

bool wf_kafka_pins_kept(const struct wf_kafka_pins *p)
{
    (void)p;
    return true;
}

enum wf_rc wf_kafka_pins_sound(const struct wf_kafka_pins *p, struct wf_err *err)
{
    (void)p, (void)err;
    return WF_OK;
}

void wf_kafka_pins_keep(struct wf_kafka_pins *p, bool kept)
{
    (void)p, (void)kept;
}

struct wf_kafka_pin *wf_kafka_pins_put(struct wf_kafka_pins *p, const char *topic, int partitions,
                                       const char *id)
{
    (void)p, (void)topic, (void)partitions, (void)id;
    return NULL;
}

void wf_kafka_pin_record(struct wf_buf *out, const struct wf_kafka_pin *pin)
{
    (void)out, (void)pin;
}

enum wf_rc wf_kafka_pin_parse(const void *data, size_t len, struct wf_kafka_pin *out,
                              struct wf_err *err)
{
    (void)data, (void)len, (void)out, (void)err;
    return WF_OK;
}

void wf_kafka_pins_text(const struct wf_kafka_pins *p, struct wf_buf *out)
{
    (void)p;
    wf_buf_init(out, 0);
}

enum wf_rc wf_kafka_pins_write(const char *dir, const struct wf_buf *text, struct wf_err *err)
{
    (void)dir, (void)text, (void)err;
    return WF_OK;
}

enum wf_rc wf_kafka_pins_load(struct wf_kafka_pins *p, struct wf_err *err)
{
    (void)p, (void)err;
    return WF_OK;
}

const struct wf_opt wf_kafka_opts[] = {{.key = NULL}};

void wf_kafka_limits(const void *conf, struct wf_group_limits *out)
{
    const struct wf_kafka_conf *c = conf;

    *out = (struct wf_group_limits){.interval_us = (uint64_t)c->transaction_interval_ms * 1000,
                                    .events = (uint64_t)c->transaction_events,
                                    .bytes = (uint64_t)c->transaction_bytes,
                                    .split_us = (uint64_t)c->transaction_timeout_ms * 1000 / 3,
                                    .split_events = (uint64_t)c->split_events,
                                    .split_bytes = SIM_SPLIT_ROOM,
                                    .idle_us = (uint64_t)c->transaction_idle_ms * 1000};
}

enum wf_rc wf_kafka_settings(const struct wf_kafka_conf *c, const char *pipeline,
                             rd_kafka_conf_t *rc, struct wf_err *err)
{
    (void)c, (void)pipeline, (void)rc, (void)err;
    return WF_OK;
}

bool wf_kafka_needs_person(rd_kafka_resp_err_t code)
{
    (void)code;
    return false;
}

rd_kafka_resp_err_t wf_kafka_cause(rd_kafka_resp_err_t fatal, const char *text)
{
    (void)text;
    return fatal;
}

enum wf_rc wf_kafka_no_client(const char *why, struct wf_err *err)
{
    return wf_err_set(err, WF_RETRY, "kafka", "%s", why);
}

const char *wf_kafka_cure(rd_kafka_resp_err_t code)
{
    (void)code;
    return "";
}

enum wf_rc wf_kafka_error(rd_kafka_resp_err_t code, const char *topic, const char *text,
                          struct wf_err *err)
{
    return wf_err_set(err, WF_RETRY, "kafka", "topic %s: error %d%s", topic, code,
                      text ? text : "");
}

struct wf_kafka_topics_conf wf_kafka_topics_of(const struct wf_kafka_conf *c)
{
    (void)c;
    return (struct wf_kafka_topics_conf){0};
}

struct wf_kafka_topics *wf_kafka_topics_new(rd_kafka_t *rk, int event_fd,
                                            const struct wf_kafka_topics_conf *conf,
                                            struct wf_kafka_pins *pins)
{
    (void)event_fd, (void)conf, (void)pins;
    return (struct wf_kafka_topics *)(void *)rk;
}

void wf_kafka_topics_free(struct wf_kafka_topics *t)
{
    (void)t;
}

void wf_kafka_topics_watch(struct wf_kafka_topics *t)
{
    (void)t;
}

enum wf_rc wf_kafka_topics_poll(struct wf_kafka_topics *t, struct wf_err *err)
{
    (void)t, (void)err;
    return WF_OK;
}

enum wf_rc wf_kafka_topics_ready(struct wf_kafka_topics *t, const char *name, enum wf_topic_use use,
                                 rd_kafka_topic_t **out, struct wf_err *err)
{
    struct rd_kafka_s *rk = (void *)t;

    (void)name, (void)err;
    *out = &rk->topic[use != WF_TOPIC_CHECKPOINTS];
    **out = (struct rd_kafka_topic_s){rk, use != WF_TOPIC_CHECKPOINTS};
    return WF_OK;
}

void wf_kafka_check(const void *conf, const char *pipeline,
                    void (*fn)(void *arg, const char *level, const char *what, const char *cure),
                    void *arg)
{
    (void)conf, (void)pipeline, (void)fn, (void)arg;
}

enum wf_rc wf_kafka_repin(const void *conf, const char *pipeline, const char *dir, bool take,
                          wf_topic_fn fn, void *arg, struct wf_err *err)
{
    (void)conf, (void)pipeline, (void)dir, (void)take, (void)fn, (void)arg, (void)err;
    return WF_OK;
}

enum wf_rc wf_kafka_read(const void *conf, const char *topic, wf_record_fn fn, void *arg,
                         struct wf_err *err)
{
    (void)conf, (void)topic, (void)fn, (void)arg, (void)err;
    return WF_OK;
}

enum wf_rc wf_kafka_read_to_end(const struct wf_kafka_conf *conf, const char *topic, bool settled,
                                const atomic_bool *stop, wf_record_fn fn, void *arg,
                                struct wf_err *err)
{
    struct wf_record record = {.key = (const unsigned char *)"p", .key_len = 1};

    (void)conf, (void)topic, (void)stop;
    sim_yield(sim_delay(300000));
    if (sim_one_in(sim.weather.fail_read))
        return wf_err_set(err, WF_RETRY, "kafka", "the brokers do not answer");
    if (settled && kafka.txn.open)
        return wf_err_set(err, WF_RETRY, "transaction_hangs", "an open transaction");
    if (kafka.kept < 0)
        return WF_OK;
    record.value = (const unsigned char *)kafka.record[kafka.kept];
    record.value_len = kafka.record_len[kafka.kept];
    fn(arg, &record);
    sim_yield(sim_delay(20000));
    return WF_OK;
}
