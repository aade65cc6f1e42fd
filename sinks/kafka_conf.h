/* Configuration of the Kafka sink: options, librdkafka's settings, errors and their cures. */
#ifndef WF_KAFKA_CONF_H
#define WF_KAFKA_CONF_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "err.h"
#include "option.h"
#include "sink.h"

#define WF_KAFKA_CHECK_MS 5000 /* longest wait of the command line for an answer */

struct wf_kafka_conf {
    char *brokers;
    int delivery, protocol, compression, mechanism;
    bool allow_insecure, create_topics;
    char *username, *password;
    char *ssl_ca, *ssl_cert, *ssl_key, *ssl_key_password;
    int64_t linger_ms, queue_bytes, max_message;
    /* exactly once */
    int64_t transaction_interval_ms, transaction_events, transaction_bytes, transaction_timeout_ms;
    int64_t transaction_idle_ms;
    int split;
    int64_t split_events;
    int64_t partitions, replication;
    struct wf_map topic_config, rdkafka;
};

enum wf_kafka_delivery { WF_AT_LEAST_ONCE, WF_EXACTLY_ONCE };
enum wf_kafka_split { WF_SPLIT_AUTO, WF_SPLIT_NEVER };

extern const struct wf_opt wf_kafka_opts[];

/* As wf_keeper_ops.limits. */
void wf_kafka_limits(const void *conf, struct wf_group_limits *out);

/* Settings of the producer; @pipeline may be NULL. @err names the option that is wrong. */
enum wf_rc wf_kafka_settings(const struct wf_kafka_conf *c, const char *pipeline,
                             rd_kafka_conf_t *rc, struct wf_err *err);
/* A consumer that reads topics to their end, or only asks; *out is the caller's to destroy. */
enum wf_rc wf_kafka_consumer_new(const struct wf_kafka_conf *c, rd_kafka_t **out,
                                 struct wf_err *err);

/* rd_kafka_new() gave nothing but @text: a setting is wrong, or the machine had no thread to give.
 */
enum wf_rc wf_kafka_no_client(const char *text, struct wf_err *err);

/* Whether trying again cannot help. */
bool wf_kafka_needs_person(rd_kafka_resp_err_t code);
/* Why the gapless guarantee could not be kept: librdkafka tells that in words only. */
rd_kafka_resp_err_t wf_kafka_cause(rd_kafka_resp_err_t fatal, const char *text);
/* "; hint: ...", or "". */
const char *wf_kafka_cure(rd_kafka_resp_err_t code);
/* WF_REJECT or WF_RETRY with topic, cause and cure; @text NULL = librdkafka's word for @code. */
enum wf_rc wf_kafka_error(rd_kafka_resp_err_t code, const char *topic, const char *text,
                          struct wf_err *err);

/* As wf_sink_ops.check, .read and .topics. */
void wf_kafka_check(const void *conf, const char *pipeline,
                    void (*report)(void *arg, const char *level, const char *what,
                                   const char *cure),
                    void *arg);
enum wf_rc wf_kafka_read(const void *conf, const char *topic, wf_record_fn fn, void *arg,
                         struct wf_err *err);
enum wf_rc wf_kafka_repin(const void *conf, const char *pipeline, const char *state_dir, bool take,
                          wf_topic_fn fn, void *arg, struct wf_err *err);
/**
 * wf_kafka_read_to_end() - as wf_kafka_read()
 * @settled: an open transaction in the topic is an error: what is behind it cannot be seen
 * @stop:    end early with WF_RETRY when it becomes true; may be NULL
 */
enum wf_rc wf_kafka_read_to_end(const struct wf_kafka_conf *conf, const char *topic, bool settled,
                                const atomic_bool *stop, wf_record_fn fn, void *arg,
                                struct wf_err *err);

#endif
