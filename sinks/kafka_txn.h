/* Transactions of the Kafka sink, and the checkpoint topic in which their positions are kept. */
#ifndef WF_KAFKA_TXN_H
#define WF_KAFKA_TXN_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

#include "kafka_conf.h"
#include "kafka_pins.h"

#define WF_KAFKA_WRITER 33 /* bytes of a writer's name, with its NUL */

/* What can block, one call at a time; the owner's thread looks only between two. */
struct wf_kafka_txn {
    rd_kafka_t *rk;
    const struct wf_kafka_conf *conf;
    const char *pipeline;
    struct wf_kafka_pins *pins; /* kept in the checkpoints' topic too; borrowed; NULL = none are */
    rd_kafka_topic_t *topic;    /* of the checkpoints; borrowed */
    char writer[WF_KAFKA_WRITER]; /* a random word that names this producer */
    atomic_bool stop;             /* end as soon as a call returns */
    /* written by librdkafka's threads */
    atomic_uint end_txn_sent; /* EndTxn requests since the transaction began */
    atomic_uint broken;       /* connections that broke since then */
};

/* `walferry.<pipeline>` and `walferry.<pipeline>.checkpoint`; @out holds WF_KAFKA_NAME bytes. */
#define WF_KAFKA_NAME 250
void wf_kafka_txn_id(const char *pipeline, char *out);
void wf_kafka_checkpoint_topic(const char *pipeline, char *out);

/* Count in @t what the producer made of @rc sends. @t outlives the producer. */
void wf_kafka_txn_observe(struct wf_kafka_txn *t, rd_kafka_conf_t *rc);

/**
 * wf_kafka_txn_recover() - take the transactional id, then read the checkpoint
 *
 * Blocks. When it returns WF_OK no older producer can write any more, what it left is committed or
 * aborted, @cp and t->pins are what is readable (state NONE = nothing), and a transaction is open.
 * Without a pin in the topic those that t->pins had stay, to be kept there.
 */
enum wf_rc wf_kafka_txn_recover(struct wf_kafka_txn *t, struct wf_checkpoint *cp,
                                struct wf_err *err);

/**
 * wf_kafka_txn_commit() - commit the open transaction with @cp, open the next
 * @renew: out, more than one copy of the commit may be on its way: this producer must not go on
 *
 * Blocks. Return: WF_OK: it is committed; else nobody knows, and the producer has to go.
 */
enum wf_rc wf_kafka_txn_commit(struct wf_kafka_txn *t, const struct wf_checkpoint *cp,
                               uint64_t events, bool *renew, struct wf_err *err);

/* WF_REJECT or WF_RETRY with @text, which tells of @code in a transaction, and the cure. */
enum wf_rc wf_kafka_txn_error(const char *pipeline, rd_kafka_resp_err_t code, const char *text,
                              struct wf_err *err);

/* As wf_keeper_ops.stored and .store. */
enum wf_rc wf_kafka_stored(const void *conf, const char *pipeline, struct wf_checkpoint *cp,
                           struct wf_err *err);
enum wf_rc wf_kafka_store(const void *conf, const char *pipeline, const struct wf_checkpoint *cp,
                          struct wf_err *err);

/* The pins that the checkpoints' topic has, those in @pins when it has none; and store those of
 * @pins that are not kept, beside the checkpoint that is there. Both block. */
enum wf_rc wf_kafka_stored_pins(const struct wf_kafka_conf *conf, const char *pipeline,
                                struct wf_kafka_pins *pins, struct wf_err *err);
enum wf_rc wf_kafka_store_pins(const struct wf_kafka_conf *conf, const char *pipeline,
                               struct wf_kafka_pins *pins, struct wf_err *err);

#endif
