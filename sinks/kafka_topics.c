#include "kafka_topics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop.h"

#define REQUEST_MS 10000
#define TOPICS_MAX 65536
#define WATCH_US 5000000   /* between two looks at the topics that are pinned */
#define WATCH_TOPICS 500   /* at once */
#define AGAIN_US 20000     /* a topic that was just made is not known to every broker yet */
#define MISSING_US 5000000 /* so long a topic that is pinned has to be unknown to be gone */

/* LOCATE: a topic that librdkafka has just met waits up to a second for its leaders, unless an
 * answer about it comes by. */
enum step { DESCRIBE, CREATE, CHECK, LOCATE, READY, FAILED };

struct topic {
    struct topic *next;
    rd_kafka_topic_t *handle;
    enum step step;
    bool waiting; /* for the answer to step */
    enum wf_topic_use use;
    bool made;         /* by us: the brokers may need a moment to know it */
    uint64_t next_us;  /* no request before */
    uint64_t until_us; /* unknown for that long it is not there */
    int partitions;
    char id[WF_PIN_ID];
    struct wf_err err;
    char name[];
};

struct wf_kafka_topics {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    struct wf_kafka_topics_conf conf;
    struct topic *topics;
    unsigned n;
    struct wf_kafka_pins *pins; /* borrowed */
    bool watching;              /* for the answer to a look */
    uint64_t watch_us;          /* the next one */
    unsigned watched;           /* pins looked at in this turn */
    struct wf_err refusal;      /* rc FATAL: a topic is not what it was */
};

struct wf_kafka_topics_conf wf_kafka_topics_of(const struct wf_kafka_conf *c)
{
    return (struct wf_kafka_topics_conf){c->create_topics, c->partitions, c->replication,
                                         &c->topic_config, c->max_message};
}

struct wf_kafka_topics *wf_kafka_topics_new(rd_kafka_t *rk, int event_fd,
                                            const struct wf_kafka_topics_conf *conf,
                                            struct wf_kafka_pins *pins)
{
    static const uint64_t one = 1;
    struct wf_kafka_topics *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->rk = rk;
    t->conf = *conf;
    t->pins = pins;
    t->queue = rd_kafka_queue_new(rk);
    rd_kafka_queue_io_event_enable(t->queue, event_fd, &one, sizeof(one));
    return t;
}

void wf_kafka_topics_free(struct wf_kafka_topics *t)
{
    if (!t)
        return;
    rd_kafka_queue_io_event_enable(t->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(t->queue);
    while (t->topics) {
        struct topic *topic = t->topics;

        t->topics = topic->next;
        if (topic->handle)
            rd_kafka_topic_destroy(topic->handle);
        free(topic);
    }
    free(t);
}

/* ---- requests
 * ------------------------------------------------------------------------------------ */

static rd_kafka_AdminOptions_t *options_for(struct wf_kafka_topics *t, rd_kafka_admin_op_t op,
                                            struct topic *topic)
{
    rd_kafka_AdminOptions_t *o = rd_kafka_AdminOptions_new(t->rk, op);
    char text[128];

    rd_kafka_AdminOptions_set_request_timeout(o, REQUEST_MS, text, sizeof(text));
    rd_kafka_AdminOptions_set_opaque(o, topic);
    return o;
}

static void describe(struct wf_kafka_topics *t, struct topic *topic)
{
    rd_kafka_AdminOptions_t *o = options_for(t, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, topic);
    const char *name = topic->name;
    rd_kafka_TopicCollection_t *names = rd_kafka_TopicCollection_of_topic_names(&name, 1);

    rd_kafka_DescribeTopics(t->rk, names, o, t->queue);
    rd_kafka_TopicCollection_destroy(names);
    rd_kafka_AdminOptions_destroy(o);
}

const char *wf_kafka_topic_id(const rd_kafka_TopicDescription_t *d)
{
    const rd_kafka_Uuid_t *id = rd_kafka_TopicDescription_topic_id(d);

    if (!id ||
        (!rd_kafka_Uuid_most_significant_bits(id) && !rd_kafka_Uuid_least_significant_bits(id)))
        return ""; /* brokers before 2.8 */
    return rd_kafka_Uuid_base64str(id);
}

/* Small segments, so that reading to the end stays short: only closed ones are compacted. */
static const struct wf_map_item checkpoint_items[] = {
    {.key = "cleanup.policy", .value = "compact"},
    {.key = "segment.bytes", .value = "1048576"},
};

/* Settings a topic is created with. */
static size_t settings_of(const struct wf_kafka_topics *t, const struct topic *topic,
                          const struct wf_map_item **out)
{
    bool checkpoints = topic->use == WF_TOPIC_CHECKPOINTS;

    *out = checkpoints ? checkpoint_items : t->conf.config->items;
    return checkpoints ? sizeof(checkpoint_items) / sizeof(checkpoint_items[0]) : t->conf.config->n;
}

static void create(struct wf_kafka_topics *t, struct topic *topic)
{
    rd_kafka_AdminOptions_t *o = options_for(t, RD_KAFKA_ADMIN_OP_CREATETOPICS, topic);
    int partitions = topic->use == WF_TOPIC_CHECKPOINTS ? 1 : (int)t->conf.partitions;
    const struct wf_map_item *items;
    size_t n = settings_of(t, topic, &items);
    char text[256];
    rd_kafka_NewTopic_t *new_topic = rd_kafka_NewTopic_new(
        topic->name, partitions, (int)t->conf.replication, text, sizeof(text));

    if (!new_topic) {
        topic->step = FAILED;
        topic->waiting = false;
        wf_err_set(&topic->err, WF_REJECT, "topic", "topic %s cannot be created: %s", topic->name,
                   text);
    } else {
        for (size_t i = 0; i < n; i++)
            rd_kafka_NewTopic_set_config(new_topic, items[i].key, items[i].value);
        rd_kafka_CreateTopics(t->rk, &new_topic, 1, o, t->queue);
        rd_kafka_NewTopic_destroy(new_topic);
    }
    rd_kafka_AdminOptions_destroy(o);
}

static void check(struct wf_kafka_topics *t, struct topic *topic)
{
    rd_kafka_AdminOptions_t *o = options_for(t, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, topic);
    rd_kafka_ConfigResource_t *res =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic->name);

    rd_kafka_DescribeConfigs(t->rk, &res, 1, o, t->queue);
    rd_kafka_ConfigResource_destroy(res);
    rd_kafka_AdminOptions_destroy(o);
}

static void request(struct wf_kafka_topics *t, struct topic *topic)
{
    topic->waiting = true;
    if (topic->step == DESCRIBE || topic->step == LOCATE)
        describe(t, topic);
    else if (topic->step == CREATE)
        create(t, topic);
    else
        check(t, topic);
}

/* ---- answers
 * --------------------------------------------------------------------------------------- */

static void fail(struct topic *topic, rd_kafka_resp_err_t code, const char *doing, const char *text)
{
    bool denied = code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
                  code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    bool ours = denied || code == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION ||
                code == RD_KAFKA_RESP_ERR_INVALID_PARTITIONS ||
                code == RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR ||
                code == RD_KAFKA_RESP_ERR_INVALID_CONFIG ||
                code == RD_KAFKA_RESP_ERR_POLICY_VIOLATION;

    topic->step = FAILED;
    wf_err_set(
        &topic->err, ours ? WF_REJECT : WF_RETRY, denied ? "topic_denied" : "topic",
        "%s topic %s failed: %s%s", doing, topic->name, text ? text : rd_kafka_err2str(code),
        !denied ? ""
        : topic->use == WF_TOPIC_CHECKPOINTS
            ? "; hint: the principal needs Describe, Read and Write on the topic, and Create "
              "to make it"
            : "; hint: the principal needs Describe and Write on the topic, and Create to "
              "make it");
}

static void refuse_checkpoints(struct topic *topic, const char *why)
{
    topic->step = FAILED;
    wf_err_set(&topic->err, WF_REJECT, "checkpoint_topic",
               "topic %s %s, so it cannot keep the checkpoint; hint: one partition, "
               "cleanup.policy=compact",
               topic->name, why);
}

static void fail_with(struct topic *topic, enum wf_rc rc)
{
    topic->step = FAILED;
    topic->err.rc = rc;
}

/* Brokers learn of topics one after another: what is pinned, or was just made, is looked for again
 * before it counts as missing. */
static void look_again(struct topic *topic, const struct wf_kafka_pin *pin)
{
    uint64_t now = wf_mono_us();

    if (!topic->until_us)
        topic->until_us = now + MISSING_US;
    if (now < topic->until_us) {
        topic->next_us = now + AGAIN_US;
        return;
    }
    topic->until_us = 0;
    if (pin)
        fail_with(topic, wf_kafka_pin_gone(pin, &topic->err));
    else
        fail(topic, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "looking up", NULL);
}

static void found(struct wf_kafka_topics *t, struct topic *topic,
                  const rd_kafka_TopicDescription_t *d)
{
    const struct wf_kafka_pin *pin = t->pins ? wf_kafka_pins_find(t->pins, topic->name) : NULL;
    size_t partitions = 0;
    enum wf_rc rc;

    rd_kafka_TopicDescription_partitions(d, &partitions);
    topic->partitions = (int)partitions;
    snprintf(topic->id, sizeof(topic->id), "%s", wf_kafka_topic_id(d));
    rc = pin ? wf_kafka_pin_check(pin, topic->partitions, topic->id, &topic->err) : WF_OK;
    topic->step = CHECK;
    if (topic->use == WF_TOPIC_CHECKPOINTS && partitions != 1) {
        refuse_checkpoints(topic, "has more than one partition");
    } else if (rc == WF_AGAIN || !partitions) {
        topic->step = DESCRIBE;
        look_again(topic, pin);
    } else if (rc != WF_OK) {
        fail_with(topic, rc);
    } else {
        topic->until_us = 0;
    }
}

static void not_found(struct wf_kafka_topics *t, struct topic *topic)
{
    const struct wf_kafka_pin *pin = t->pins ? wf_kafka_pins_find(t->pins, topic->name) : NULL;

    if (pin || topic->made) {
        look_again(topic, pin);
    } else if (t->conf.create) {
        topic->step = CREATE;
    } else {
        topic->step = FAILED;
        wf_err_set(&topic->err, WF_REJECT, "topic_missing",
                   "topic %s does not exist and sink.create_topics is off; hint: create it, or "
                   "sink.create_topics: on",
                   topic->name);
    }
}

static void described(struct wf_kafka_topics *t, struct topic *topic, rd_kafka_event_t *event)
{
    size_t n;
    const rd_kafka_TopicDescription_t **d =
        rd_kafka_DescribeTopics_result_topics(rd_kafka_event_DescribeTopics_result(event), &n);
    const rd_kafka_error_t *error = n ? rd_kafka_TopicDescription_error(d[0]) : NULL;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        found(t, topic, d[0]);
    else if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        not_found(t, topic);
    else
        fail(topic, code, "looking up", rd_kafka_error_string(error));
}

static void check_setting(struct wf_kafka_topics *t, struct topic *topic, const char *name,
                          const char *value)
{
    if (topic->use == WF_TOPIC_CHECKPOINTS) {
        if (strcmp(name, "cleanup.policy") == 0 && strcmp(value, "compact") != 0)
            refuse_checkpoints(topic, "has another cleanup.policy than compact");
        return;
    }
    if (strcmp(name, "cleanup.policy") == 0 && strstr(value, "compact") &&
        topic->use == WF_TOPIC_KEYLESS) {
        topic->step = FAILED;
        wf_err_set(&topic->err, WF_REJECT, "topic_compacted",
                   "topic %s is compacted and would refuse events without a key; hint: give the "
                   "table a primary key, or set the topic's cleanup.policy to delete",
                   topic->name);
    } else if (strcmp(name, "min.insync.replicas") == 0 && strtol(value, NULL, 10) < 2) {
        wf_log(WF_LOG_DEBUG, "topic_settings", NULL,
               "topic %s has min.insync.replicas %s: one broker's disk can lose what was confirmed",
               topic->name, value);
    } else if (strcmp(name, "max.message.bytes") == 0 &&
               strtoll(value, NULL, 10) < t->conf.max_message) {
        wf_log(
            WF_LOG_WARN, "topic_settings", NULL,
            "topic %s takes messages of %s bytes, sink.max_message is %lld: a larger event would "
            "block the pipeline",
            topic->name, value, (long long)t->conf.max_message);
    }
}

/* What we asked for counts at once: the settings of a new topic reach the brokers one by one. */
static void created(struct wf_kafka_topics *t, struct topic *topic, rd_kafka_event_t *event)
{
    size_t n;
    const rd_kafka_topic_result_t **r =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n);
    rd_kafka_resp_err_t code = n ? rd_kafka_topic_result_error(r[0]) : RD_KAFKA_RESP_ERR__FAIL;
    const char *text = n ? rd_kafka_topic_result_error_string(r[0]) : NULL;
    const struct wf_map_item *items;
    size_t nitems = settings_of(t, topic, &items);

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        wf_log(WF_LOG_INFO, "topic_created", NULL, "topic %s created", topic->name);
    topic->made = true;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        topic->step = DESCRIBE; /* for its id */
    else
        fail(topic, code, "creating", text);
    for (size_t i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < nitems; i++)
        check_setting(t, topic, items[i].key, items[i].value);
}

/* Java's partitioner over as many partitions as the topic had at first: should it get more, no key
 * moves before that is noticed. */
static int32_t place(const rd_kafka_topic_t *rkt, const void *key, size_t len, int32_t partitions,
                     void *pinned, void *msg)
{
    int32_t n = (int32_t)(intptr_t)pinned;

    if (partitions < n)
        return RD_KAFKA_PARTITION_UA; /* another topic of that name: the message fails */
    return rd_kafka_msg_partitioner_murmur2_random(rkt, key, len, n, pinned, msg);
}

static void open_handle(struct wf_kafka_topics *t, struct topic *topic)
{
    rd_kafka_topic_conf_t *conf = rd_kafka_default_topic_conf_dup(t->rk);

    rd_kafka_topic_conf_set_partitioner_cb(conf, place);
    rd_kafka_topic_conf_set_opaque(conf, (void *)(intptr_t)topic->partitions);
    topic->handle = rd_kafka_topic_new(t->rk, topic->name, conf);
    if (topic->handle)
        return;
    fail(topic, rd_kafka_last_error(), "opening", NULL);
    rd_kafka_topic_conf_destroy(conf);
}

static void checked(struct wf_kafka_topics *t, struct topic *topic, rd_kafka_event_t *event)
{
    size_t n, entries = 0;
    const rd_kafka_ConfigResource_t **r =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &n);
    const rd_kafka_ConfigEntry_t **e = NULL;

    topic->step = LOCATE;
    if (n && rd_kafka_ConfigResource_error(r[0]) == RD_KAFKA_RESP_ERR_NO_ERROR)
        e = rd_kafka_ConfigResource_configs(r[0], &entries);
    else /* DescribeConfigs is a right of its own: publishing does not need it */
        wf_log(WF_LOG_INFO, "topic_settings", NULL, "the settings of topic %s cannot be read: %s",
               topic->name, n ? rd_kafka_ConfigResource_error_string(r[0]) : "no answer");
    for (size_t i = 0; i < entries; i++) {
        const char *value = rd_kafka_ConfigEntry_value(e[i]);

        if (value)
            check_setting(t, topic, rd_kafka_ConfigEntry_name(e[i]), value);
    }
    if (topic->step == LOCATE)
        open_handle(t, topic);
}

static void answered(struct wf_kafka_topics *t, struct topic *topic, rd_kafka_event_t *event)
{
    static const char *const doing[] = {"looking up", "creating", "checking"};

    topic->waiting = false;
    if (topic->step == LOCATE)
        topic->step = READY; /* the answer was for librdkafka */
    else if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR && topic->step != CHECK)
        fail(topic, rd_kafka_event_error(event), doing[topic->step],
             rd_kafka_event_error_string(event));
    else if (topic->step == DESCRIBE)
        described(t, topic, event);
    else if (topic->step == CREATE)
        created(t, topic, event);
    else
        checked(t, topic, event);
    if (topic->step < READY && topic->next_us <= wf_mono_us())
        request(t, topic);
}

/* ---- watching what is pinned ---- */

void wf_kafka_topics_watch(struct wf_kafka_topics *t)
{
    const char *names[WATCH_TOPICS];
    unsigned i = 0;
    size_t n = 0;
    rd_kafka_TopicCollection_t *topics;
    rd_kafka_AdminOptions_t *o;

    if (t->watching || wf_mono_us() < t->watch_us)
        return;
    for (const struct wf_kafka_pin *pin = t->pins->first; pin && n < WATCH_TOPICS;
         pin = pin->next) {
        if (i++ >= t->watched && pin->partitions > 0)
            names[n++] = pin->name;
    }
    t->watched = i < t->pins->n ? i : 0;
    t->watch_us = t->watched ? 0 : wf_mono_us() + WATCH_US; /* the rest of them at once */
    if (!n)
        return;
    o = options_for(t, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, NULL);
    topics = rd_kafka_TopicCollection_of_topic_names(names, n);
    rd_kafka_DescribeTopics(t->rk, topics, o, t->queue);
    rd_kafka_TopicCollection_destroy(topics);
    rd_kafka_AdminOptions_destroy(o);
    t->watching = true;
}

static bool in_use(const struct wf_kafka_topics *t, const char *name)
{
    const struct topic *topic = t->topics;

    while (topic && strcmp(topic->name, name) != 0)
        topic = topic->next;
    return topic && topic->step == READY;
}

/* The topic of a table that is gone, too, may go: as long as nothing is published there. */
static void missing(struct wf_kafka_topics *t, struct wf_kafka_pin *pin)
{
    uint64_t now = wf_mono_us();
    bool first = !pin->missing_us;

    if (first)
        pin->missing_us = now;
    if (in_use(t, pin->name)) {
        if (now - pin->missing_us >= MISSING_US)
            wf_kafka_pin_gone(pin, &t->refusal);
    } else if (first) {
        wf_log(WF_LOG_WARN, "topic_gone", NULL,
               "topic %s is gone, to which walferry has published; the next event for it would be "
               "refused",
               pin->name);
    }
}

static void compare(struct wf_kafka_topics *t, const rd_kafka_TopicDescription_t *d)
{
    struct wf_kafka_pin *pin = wf_kafka_pins_find(t->pins, rd_kafka_TopicDescription_name(d));
    rd_kafka_resp_err_t code = rd_kafka_error_code(rd_kafka_TopicDescription_error(d));
    size_t partitions = 0;

    if (!pin || t->refusal.rc == WF_FATAL)
        return;
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        missing(t, pin);
        return;
    }
    rd_kafka_TopicDescription_partitions(d, &partitions);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR || !partitions)
        return;
    pin->missing_us = 0;
    wf_kafka_pin_check(pin, (int)partitions, wf_kafka_topic_id(d), &t->refusal);
}

static void watched(struct wf_kafka_topics *t, rd_kafka_event_t *event)
{
    const rd_kafka_TopicDescription_t **d;
    size_t n;

    t->watching = false;
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return; /* no broker answers: the next look */
    d = rd_kafka_DescribeTopics_result_topics(rd_kafka_event_DescribeTopics_result(event), &n);
    for (size_t i = 0; i < n; i++)
        compare(t, d[i]);
}

enum wf_rc wf_kafka_topics_poll(struct wf_kafka_topics *t, struct wf_err *err)
{
    rd_kafka_event_t *event;

    while ((event = rd_kafka_queue_poll(t->queue, 0)) != NULL) {
        struct topic *topic = rd_kafka_event_opaque(event);

        if (topic)
            answered(t, topic, event);
        else
            watched(t, event);
        rd_kafka_event_destroy(event);
    }
    if (t->refusal.rc == WF_FATAL)
        *err = t->refusal;
    return t->refusal.rc;
}

/* ---- what the sink sees
 * ------------------------------------------------------------------------------ */

static struct topic *find(struct wf_kafka_topics *t, const char *name)
{
    struct topic *topic = t->topics;
    size_t size = strlen(name) + 1;

    while (topic && strcmp(topic->name, name) != 0)
        topic = topic->next;
    if (topic || t->n >= TOPICS_MAX)
        return topic;
    topic = calloc(1, sizeof(*topic) + size);
    if (!topic)
        return NULL;
    memcpy(topic->name, name, size);
    topic->next = t->topics;
    t->topics = topic;
    t->n++;
    return topic;
}

/* Remember what it is like, or the id that the brokers did not tell before. */
static enum wf_rc pin_topic(struct wf_kafka_topics *t, const struct topic *topic,
                            struct wf_err *err)
{
    const struct wf_kafka_pin *pin;

    if (!t->pins || topic->use == WF_TOPIC_CHECKPOINTS)
        return WF_OK;
    pin = wf_kafka_pins_find(t->pins, topic->name);
    if (pin && (*pin->id || !*topic->id))
        return WF_OK;
    return wf_kafka_pins_put(t->pins, topic->name, topic->partitions, topic->id)
               ? WF_OK
               : wf_err_set(err, WF_FATAL, "memory", "out of memory, or more than %d topics",
                            WF_PINS_MAX);
}

enum wf_rc wf_kafka_topics_ready(struct wf_kafka_topics *t, const char *name, enum wf_topic_use use,
                                 rd_kafka_topic_t **out, struct wf_err *err)
{
    struct topic *topic = find(t, name);

    if (!topic)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory, or more than %d topics",
                          TOPICS_MAX);
    if (use > topic->use)
        topic->use = use;
    if (topic->step == READY) {
        *out = topic->handle;
        return pin_topic(t, topic, err);
    }
    if (topic->step == FAILED) { /* told once; the next call tries again */
        topic->step = DESCRIBE;
        topic->made = false;
        *err = topic->err;
        return err->rc;
    }
    if (!topic->waiting && topic->next_us <= wf_mono_us())
        request(t, topic);
    return WF_AGAIN;
}
