#include "kafka_txn.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "checkpoint_record.h"
#include "kafka_topics.h"
#include "log.h"
#include "loop.h"
#include "mutant.h"

#define API_END_TXN 26 /* Kafka protocol, "API Keys" */
#define SLICE_MS 500   /* a call that blocks comes back that often to look for an end */
#define INIT_US 60000000
#define RECORD_MAX 4096

void wf_kafka_txn_id(const char *pipeline, char *out)
{
    snprintf(out, WF_KAFKA_NAME, "walferry.%s", pipeline);
}

void wf_kafka_checkpoint_topic(const char *pipeline, char *out)
{
    snprintf(out, WF_KAFKA_NAME, "walferry.%s.checkpoint", pipeline);
}

/* ---- what is sent: librdkafka repeats an EndTxn whose answer is late without a word ---- */

static rd_kafka_resp_err_t on_request(rd_kafka_t *rk, int fd, const char *broker, int32_t id,
                                      int16_t key, int16_t version, int32_t correlation,
                                      size_t size, void *opaque)
{
    struct wf_kafka_txn *t = opaque;

    (void)rk, (void)fd, (void)broker, (void)id, (void)version, (void)correlation, (void)size;
    if (key == API_END_TXN)
        atomic_fetch_add(&t->end_txn_sent, 1);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_broker(rd_kafka_t *rk, int32_t id, const char *protocol,
                                     const char *name, int port, const char *state, void *opaque)
{
    struct wf_kafka_txn *t = opaque;

    (void)rk, (void)id, (void)protocol, (void)name, (void)port;
    if (strcmp(state, "DOWN") == 0)
        atomic_fetch_add(&t->broken, 1);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque,
                                  char *text, size_t size)
{
    (void)conf, (void)text, (void)size;
    rd_kafka_interceptor_add_on_request_sent(rk, "walferry", on_request, opaque);
    return rd_kafka_interceptor_add_on_broker_state_change(rk, "walferry", on_broker, opaque);
}

void wf_kafka_txn_observe(struct wf_kafka_txn *t, rd_kafka_conf_t *rc)
{
    rd_kafka_conf_interceptor_add_on_new(rc, "walferry", on_new, t);
}

/* ---- the calls ---- */

enum wf_rc wf_kafka_txn_error(const char *pipeline, rd_kafka_resp_err_t code, const char *text,
                              struct wf_err *err)
{
    char id[WF_KAFKA_NAME], topic[WF_KAFKA_NAME];

    wf_kafka_txn_id(pipeline, id);
    wf_kafka_checkpoint_topic(pipeline, topic);
    if (code == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
        return wf_err_set(err, WF_REJECT, "transaction_denied",
                          "%s; hint: give the principal Write and Describe on the transactional id "
                          "%s",
                          text, id);
    if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) /* nobody says which */
        return wf_err_set(err, WF_REJECT, "topic_denied",
                          "%s; hint: give the principal Write and Describe on the topic that the "
                          "line ADDPARTS before this one names; on %s, if it is that, Read as well",
                          text, topic);
    return wf_err_set(err, wf_kafka_needs_person(code) ? WF_REJECT : WF_RETRY, "kafka_transaction",
                      "%s%s", text, wf_kafka_cure(code));
}

/* Ends with what is worth a retry of the whole: a new producer that begins at the checkpoint. */
static enum wf_rc give_up(const struct wf_kafka_txn *t, rd_kafka_error_t *error, const char *doing,
                          struct wf_err *err)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    char text[400];

    snprintf(text, sizeof(text), "%s: %s", doing, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return wf_kafka_txn_error(t->pipeline, code, text, err);
}

/* Run @call until it succeeds, or fails for good, or @until_us, or the owner wants an end. */
static enum wf_rc persist(struct wf_kafka_txn *t, rd_kafka_error_t *(*call)(rd_kafka_t *, int),
                          uint64_t until_us, const char *doing, struct wf_err *err)
{
    for (;;) {
        rd_kafka_error_t *error = call(t->rk, SLICE_MS);

        if (!error)
            return WF_OK;
        if (!rd_kafka_error_is_retriable(error) || rd_kafka_error_txn_requires_abort(error) ||
            rd_kafka_error_is_fatal(error) || wf_mono_us() > until_us || atomic_load(&t->stop))
            return give_up(t, error, doing, err);
        rd_kafka_error_destroy(error);
    }
}

static enum wf_rc begin(struct wf_kafka_txn *t, struct wf_err *err)
{
    rd_kafka_error_t *error = rd_kafka_begin_transaction(t->rk);

    if (error)
        return give_up(t, error, "beginning a transaction", err);
    atomic_store(&t->end_txn_sent, 0);
    atomic_store(&t->broken, 0);
    return WF_OK;
}

/* ---- the checkpoint record ---- */

struct reading {
    const char *pipeline;
    struct wf_kafka_pins *pins;
    bool pinned; /* a record of theirs was there */
    struct wf_checkpoint *cp;
    enum wf_rc rc;
    struct wf_err *err;
};

/* "<pipeline>/topics/<topic>"; "" when there is no room. */
static void pin_key(const char *pipeline, const char *topic, char *out, size_t size)
{
    if (snprintf(out, size, "%s/topics/%s", pipeline, topic) >= (int)size)
        *out = '\0';
}

/* Return: the bytes of a pin's key before the topic, 0 = it is another record's. */
static size_t pin_prefix(const char *pipeline, const struct wf_record *record)
{
    char prefix[WF_KAFKA_NAME];
    size_t n;

    pin_key(pipeline, "", prefix, sizeof(prefix));
    n = strlen(prefix);
    return n && record->key_len > n && record->key_len - n < WF_PIN_NAME &&
                   !memcmp(record->key, prefix, n)
               ? n
               : 0;
}

/* What the file said until now gives way to the first of them. */
static void take_pin(struct reading *r, const struct wf_record *record, size_t prefix)
{
    struct wf_kafka_pin pin = {0}, *put;

    if (!r->pinned)
        wf_kafka_pins_clear(r->pins);
    r->pinned = true;
    if (record->value && wf_kafka_pin_parse(record->value, record->value_len, &pin, NULL) != WF_OK)
        pin = (struct wf_kafka_pin){.partitions = -1};
    memcpy(pin.name, record->key + prefix, record->key_len - prefix);
    pin.name[record->key_len - prefix] = '\0';
    put = wf_kafka_pins_put(r->pins, pin.name, pin.partitions, pin.id);
    if (put)
        put->kept = pin.partitions >= 0;
    else
        r->rc = wf_err_set(r->err, WF_FATAL, "memory", "out of memory, or too many topics");
}

/* The last record of the key counts; a tombstone takes it away. */
static bool take_record(void *arg, const struct wf_record *record)
{
    struct reading *r = arg;
    size_t prefix = r->pins ? pin_prefix(r->pipeline, record) : 0;

    if (prefix) {
        take_pin(r, record, prefix);
        return r->rc == WF_OK;
    }
    if (record->key_len != strlen(r->pipeline) ||
        memcmp(record->key, r->pipeline, record->key_len) != 0)
        return true;
    r->rc = WF_OK;
    *r->cp = (struct wf_checkpoint){.state = WF_CHECKPOINT_NONE};
    if (record->value)
        r->rc = wf_checkpoint_parse(record->value, record->value_len, r->cp, r->err);
    return true;
}

static enum wf_rc read_checkpoint(const struct wf_kafka_conf *conf, const char *pipeline,
                                  struct wf_kafka_pins *pins, bool settled, const atomic_bool *stop,
                                  struct wf_checkpoint *cp, struct wf_err *err)
{
    struct reading r = {.pipeline = pipeline, .pins = pins, .cp = cp, .err = err};
    char topic[WF_KAFKA_NAME];
    enum wf_rc rc;

    *cp = (struct wf_checkpoint){.state = WF_CHECKPOINT_NONE};
    wf_kafka_checkpoint_topic(pipeline, topic);
    rc = wf_kafka_read_to_end(conf, topic, settled, stop, take_record, &r, err);
    if (rc == WF_OK && r.rc == WF_OK && pins && !r.pinned)
        wf_kafka_pins_keep(pins, false);
    if (rc == WF_OK && r.rc == WF_OK && pins)
        r.rc = wf_kafka_pins_sound(pins, err);
    return rc == WF_OK ? r.rc : rc;
}

static rd_kafka_resp_err_t produce_record(struct wf_kafka_txn *t, const char *key,
                                          const struct wf_buf *value)
{
    rd_kafka_topic_t *topic = t->topic;

    if (rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, value->len ? value->data : NULL, value->len,
                         key, strlen(key), NULL) == 0)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    return rd_kafka_last_error();
}

/* An empty @value is a tombstone. */
static enum wf_rc put_record(struct wf_kafka_txn *t, const char *key, const struct wf_buf *value,
                             uint64_t until_us, struct wf_err *err)
{
    rd_kafka_resp_err_t code =
        value->failed ? RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE : produce_record(t, key, value);

    while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && wf_mono_us() < until_us &&
           !atomic_load(&t->stop)) {
        rd_kafka_flush(t->rk, SLICE_MS);
        code = produce_record(t, key, value);
    }
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? WF_OK
               : wf_kafka_error(code, rd_kafka_topic_name(t->topic), NULL, err);
}

static enum wf_rc put_checkpoint(struct wf_kafka_txn *t, const struct wf_checkpoint *cp,
                                 uint64_t events, uint64_t until_us, struct wf_err *err)
{
    struct wf_buf value;
    enum wf_rc rc;

    wf_buf_init(&value, RECORD_MAX);
    wf_checkpoint_record(&value, cp, t->pipeline, events, t->writer);
    rc = put_record(t, t->pipeline, &value, until_us, err);
    wf_buf_deinit(&value);
    return rc;
}

static enum wf_rc put_pins(struct wf_kafka_txn *t, uint64_t until_us, struct wf_err *err)
{
    char key[2 * WF_KAFKA_NAME];
    struct wf_buf value;
    enum wf_rc rc = WF_OK;

    wf_buf_init(&value, RECORD_MAX);
    for (const struct wf_kafka_pin *pin = t->pins->first; pin && rc == WF_OK; pin = pin->next) {
        if (pin->kept)
            continue;
        wf_buf_reset(&value);
        if (pin->partitions > 0)
            wf_kafka_pin_record(&value, pin);
        pin_key(t->pipeline, pin->name, key, sizeof(key));
        rc = put_record(t, key, &value, until_us, err);
    }
    wf_buf_deinit(&value);
    return rc;
}

/* The file is a copy, for the way back to at_least_once. */
static void note_pins(struct wf_kafka_pins *pins)
{
    struct wf_buf text;
    struct wf_err err;

    wf_kafka_pins_keep(pins, true);
    if (!pins->dir)
        return;
    wf_kafka_pins_text(pins, &text);
    if (wf_kafka_pins_write(pins->dir, &text, &err) != WF_OK)
        wf_log(WF_LOG_WARN, "topics_copy", NULL, "%s; it is a copy of what the sink keeps",
               err.text);
    wf_buf_deinit(&text);
}

static void name_writer(struct wf_kafka_txn *t)
{
    unsigned char bytes[(WF_KAFKA_WRITER - 1) / 2] = {0};

    if (getrandom(bytes, sizeof(bytes), 0) < 0)
        return; /* zeros: the name is for eyes, nothing depends on it */
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(t->writer + 2 * i, 3, "%02x", bytes[i]);
}

enum wf_rc wf_kafka_txn_recover(struct wf_kafka_txn *t, struct wf_checkpoint *cp,
                                struct wf_err *err)
{
    bool first = WF_MUTANT(read_first);
    enum wf_rc rc =
        first ? read_checkpoint(t->conf, t->pipeline, t->pins, true, &t->stop, cp, err) : WF_OK;

    if (rc == WF_OK)
        rc = persist(t, rd_kafka_init_transactions, wf_mono_us() + INIT_US,
                     "taking the transactional id", err);
    name_writer(t);
    if (rc == WF_OK && !first)
        rc = read_checkpoint(t->conf, t->pipeline, t->pins, true, &t->stop, cp, err);
    return rc == WF_OK ? begin(t, err) : rc;
}

enum wf_rc wf_kafka_txn_commit(struct wf_kafka_txn *t, const struct wf_checkpoint *cp,
                               uint64_t events, bool *renew, struct wf_err *err)
{
    uint64_t until_us = wf_mono_us() + (uint64_t)t->conf->transaction_timeout_ms * 1000 * 2 / 3;
    bool pin = t->pins && !wf_kafka_pins_kept(t->pins);
    enum wf_rc rc = pin ? put_pins(t, until_us, err) : WF_OK;

    if (rc == WF_OK)
        rc = put_checkpoint(t, cp, events, until_us, err);
    if (rc == WF_OK)
        rc = persist(t, rd_kafka_commit_transaction, until_us, "committing", err);
    if (rc != WF_OK && !WF_MUTANT(commit_assumed))
        return rc;
    if (pin)
        note_pins(t->pins);
    *renew =
        !WF_MUTANT(no_recycle) && (atomic_load(&t->end_txn_sent) > 1 || atomic_load(&t->broken));
    return *renew ? WF_OK : begin(t, err);
}

/* ---- for the operator ---- */

enum wf_rc wf_kafka_stored(const void *conf, const char *pipeline, struct wf_checkpoint *cp,
                           struct wf_err *err)
{
    enum wf_rc rc = read_checkpoint(conf, pipeline, NULL, false, NULL, cp, err);

    return rc != WF_OK && strcmp(err->code, "topic_missing") == 0 ? WF_OK : rc;
}

/* The topic is made like any other, only that here is time to wait for it. */
static enum wf_rc wait_for_topic(struct wf_kafka_txn *t, struct wf_kafka_topics *topics, int fd,
                                 struct wf_err *err)
{
    uint64_t until_us = wf_mono_us() + (uint64_t)WF_KAFKA_CHECK_MS * 2000;
    char name[WF_KAFKA_NAME];
    enum wf_rc rc = WF_AGAIN;

    wf_kafka_checkpoint_topic(t->pipeline, name);
    while (rc == WF_AGAIN && wf_mono_us() < until_us) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t count;

        rc = wf_kafka_topics_ready(topics, name, WF_TOPIC_CHECKPOINTS, &t->topic, err);
        if (rc == WF_AGAIN && poll(&p, 1, 100) > 0 && read(fd, &count, sizeof(count)) < 0)
            return wf_err_sys(err, WF_FATAL, "cannot read an eventfd");
        wf_kafka_topics_poll(topics, err);
    }
    return rc == WF_AGAIN
               ? wf_err_set(err, WF_RETRY, "kafka", "topic %s: no answer from the brokers", name)
               : rc;
}

/* Commit @cp, or what is there, together with what @pins has that is not kept; either may be NULL.
 */
static enum wf_rc commit_in(struct wf_kafka_txn *t, struct wf_kafka_topics *topics, int fd,
                            const struct wf_checkpoint *cp, struct wf_kafka_pins *pins,
                            struct wf_err *err)
{
    enum wf_rc rc = wait_for_topic(t, topics, fd, err);
    struct wf_checkpoint old;
    bool renew;

    if (rc == WF_OK)
        rc = wf_kafka_txn_recover(t, &old, err);
    if (cp && rc == WF_FATAL && strcmp(err->code, "checkpoint_invalid") == 0)
        rc = begin(t, err); /* what is there is beyond use: that is why somebody sets it */
    if (rc == WF_OK && !cp && old.state == WF_CHECKPOINT_NONE)
        rc = wf_err_set(err, WF_FATAL, "checkpoint_missing", "the sink has no checkpoint");
    t->pins = pins;
    return rc == WF_OK ? wf_kafka_txn_commit(t, cp ? cp : &old, 0, &renew, err) : rc;
}

static enum wf_rc store_with(struct wf_kafka_txn *t, const struct wf_checkpoint *cp,
                             struct wf_kafka_pins *pins, struct wf_err *err)
{
    struct wf_kafka_topics_conf conf = wf_kafka_topics_of(t->conf);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct wf_kafka_topics *topics = fd < 0 ? NULL : wf_kafka_topics_new(t->rk, fd, &conf, NULL);
    enum wf_rc rc;

    if (!topics) {
        if (fd >= 0)
            close(fd);
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    }
    rc = commit_in(t, topics, fd, cp, pins, err);
    wf_kafka_topics_free(topics);
    close(fd);
    return rc;
}

static enum wf_rc store(const struct wf_kafka_conf *conf, const char *pipeline,
                        const struct wf_checkpoint *cp, struct wf_kafka_pins *pins,
                        struct wf_err *err)
{
    struct wf_kafka_txn t = {.conf = conf, .pipeline = pipeline};
    rd_kafka_conf_t *rc = rd_kafka_conf_new();
    enum wf_rc ok = wf_kafka_settings(conf, pipeline, rc, err);
    char text[256];

    if (ok != WF_OK) {
        rd_kafka_conf_destroy(rc);
        return ok;
    }
    wf_kafka_txn_observe(&t, rc);
    t.rk = rd_kafka_new(RD_KAFKA_PRODUCER, rc, text, sizeof(text));
    if (!t.rk) {
        rd_kafka_conf_destroy(rc);
        return wf_kafka_no_client(text, err);
    }
    ok = store_with(&t, cp, pins, err);
    rd_kafka_destroy(t.rk);
    return ok;
}

enum wf_rc wf_kafka_store(const void *conf, const char *pipeline, const struct wf_checkpoint *cp,
                          struct wf_err *err)
{
    return store(conf, pipeline, cp, NULL, err);
}

enum wf_rc wf_kafka_store_pins(const struct wf_kafka_conf *conf, const char *pipeline,
                               struct wf_kafka_pins *pins, struct wf_err *err)
{
    return store(conf, pipeline, NULL, pins, err);
}

enum wf_rc wf_kafka_stored_pins(const struct wf_kafka_conf *conf, const char *pipeline,
                                struct wf_kafka_pins *pins, struct wf_err *err)
{
    struct wf_checkpoint cp;
    enum wf_rc rc = read_checkpoint(conf, pipeline, pins, false, NULL, &cp, err);

    return rc != WF_OK && strcmp(err->code, "topic_missing") == 0 ? WF_OK : rc;
}
