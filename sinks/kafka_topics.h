/* Topics of the Kafka sink: found or made, and their settings checked, without blocking. */
#ifndef WF_KAFKA_TOPICS_H
#define WF_KAFKA_TOPICS_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "err.h"
#include "kafka_conf.h"
#include "kafka_pins.h"
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

/* @event_fd: an eventfd the admin client writes to when a later call has news. @pins: what the
 * topics were like, borrowed; NULL: nobody looks. NULL when memory is out. */
struct wf_kafka_topics *wf_kafka_topics_new(rd_kafka_t *rk, int event_fd,
                                            const struct wf_kafka_topics_conf *conf,
                                            struct wf_kafka_pins *pins);
void wf_kafka_topics_free(struct wf_kafka_topics *t);

/**
 * wf_kafka_topics_ready() - the handle of a topic that exists
 * @use: what for; the strictest of all calls counts
 *
 * It is pinned when it is not yet, and then its pin waits to be kept.
 *
 * Return: WF_OK with *out borrowed; WF_AGAIN under way, call again in a while; WF_REJECT with the
 * cure; WF_RETRY; a refusal when it is another topic than was pinned.
 */
enum wf_rc wf_kafka_topics_ready(struct wf_kafka_topics *t, const char *name, enum wf_topic_use use,
                                 rd_kafka_topic_t **out, struct wf_err *err);

/* A described topic's id in base64, "" when the broker told none. Lives as long as @d. */
const char *wf_kafka_topic_id(const rd_kafka_TopicDescription_t *d);

/* Look every few seconds whether what is pinned is still the same; the first look is at once. */
void wf_kafka_topics_watch(struct wf_kafka_topics *t);

/* Take in the answers that have arrived. Return: WF_OK, or a refusal of wf_kafka_topics_watch(). */
enum wf_rc wf_kafka_topics_poll(struct wf_kafka_topics *t, struct wf_err *err);

#endif
