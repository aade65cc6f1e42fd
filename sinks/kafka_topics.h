/* Topics of the Kafka sink: found or made, and their settings checked, without blocking. */
#ifndef WF_KAFKA_TOPICS_H
#define WF_KAFKA_TOPICS_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "err.h"
#include "kafka_conf.h"
#include "option.h"

struct wf_kafka_topics;

struct wf_kafka_topics_conf {
    bool create;
    int64_t partitions, replication; /* of created topics; replication -1 = the broker's default */
    const struct wf_map *config;     /* settings of created topics */
    int64_t max_message;             /* what this sink may send, bytes */
};

struct wf_kafka_topics_conf wf_kafka_topics_of(const struct wf_kafka_conf *c);

enum wf_topic_use {
    WF_TOPIC_KEYED,
    WF_TOPIC_KEYLESS,     /* events without a key will come: a compacted topic refuses those */
    WF_TOPIC_CHECKPOINTS, /* one partition, compacted */
};

/* @event_fd: an eventfd the admin client writes to when a later call has news. NULL when memory is
 * out. */
struct wf_kafka_topics *wf_kafka_topics_new(rd_kafka_t *rk, int event_fd,
                                            const struct wf_kafka_topics_conf *conf);
void wf_kafka_topics_free(struct wf_kafka_topics *t);

/**
 * wf_kafka_topics_ready() - the handle of a topic that exists
 * @use: what for; the strictest of all calls counts
 *
 * Return: WF_OK with *out borrowed; WF_AGAIN under way; WF_REJECT with the cure; WF_RETRY.
 */
enum wf_rc wf_kafka_topics_ready(struct wf_kafka_topics *t, const char *name, enum wf_topic_use use,
                                 rd_kafka_topic_t **out, struct wf_err *err);

/* Take in the answers that have arrived. */
void wf_kafka_topics_poll(struct wf_kafka_topics *t);

#endif
