/* `walferry checkpoint topics`: the topics as they are beside what is remembered of them. */
#include <stdio.h>
#include <string.h>

#include "kafka_topics.h"
#include "kafka_txn.h"

#define ANSWER_MS 10000
#define TOPICS_AT_ONCE 500

struct repin {
    const struct wf_kafka_conf *conf;
    const char *pipeline;
    struct wf_kafka_pins *pins;
    bool take;
    wf_topic_fn fn;
    void *arg;
};

static void describe(const char *id, int partitions, char *out, size_t size)
{
    snprintf(out, size, "%d partition%s, id %s", partitions, partitions == 1 ? "" : "s",
             *id ? id : "unknown");
}

/* @partitions 0: it is gone. */
static bool compare(const struct repin *r, const char *topic, int partitions, const char *id)
{
    const struct wf_kafka_pin *pin = wf_kafka_pins_find(r->pins, topic);
    char was[64], is[64] = "gone";

    if (!pin || (pin->partitions == partitions && (!*id || !strcmp(pin->id, id))))
        return true;
    describe(pin->id, pin->partitions, was, sizeof(was));
    if (partitions)
        describe(id, partitions, is, sizeof(is));
    if (r->fn)
        r->fn(r->arg, topic, was, is);
    return !r->take || wf_kafka_pins_put(r->pins, topic, partitions, id);
}

static enum wf_rc take_answer(const struct repin *r, rd_kafka_event_t *event, struct wf_err *err)
{
    const rd_kafka_TopicDescription_t **d;
    bool good = true;
    size_t n;

    if (!event || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return wf_err_set(err, WF_RETRY, "kafka", "the brokers do not tell the topics: %s",
                          event ? rd_kafka_event_error_string(event) : "no answer");
    d = rd_kafka_DescribeTopics_result_topics(rd_kafka_event_DescribeTopics_result(event), &n);
    for (size_t i = 0; i < n && good; i++) {
        const char *topic = rd_kafka_TopicDescription_name(d[i]);
        const rd_kafka_error_t *error = rd_kafka_TopicDescription_error(d[i]);
        rd_kafka_resp_err_t code = rd_kafka_error_code(error);
        size_t partitions = 0;

        if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
            return wf_kafka_error(code, topic, rd_kafka_error_string(error), err);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            rd_kafka_TopicDescription_partitions(d[i], &partitions);
        good = compare(r, topic, (int)partitions, wf_kafka_topic_id(d[i]));
    }
    return good ? WF_OK : wf_err_set(err, WF_FATAL, "memory", "out of memory");
}

static enum wf_rc ask(const struct repin *r, rd_kafka_t *rk, const char **names, size_t n,
                      struct wf_err *err)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_AdminOptions_t *o = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
    rd_kafka_TopicCollection_t *topics = rd_kafka_TopicCollection_of_topic_names(names, n);
    rd_kafka_event_t *event;
    char text[128];
    enum wf_rc rc;

    rd_kafka_AdminOptions_set_request_timeout(o, ANSWER_MS, text, sizeof(text));
    rd_kafka_DescribeTopics(rk, topics, o, queue);
    event = rd_kafka_queue_poll(queue, 2 * ANSWER_MS);
    rc = take_answer(r, event, err);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_TopicCollection_destroy(topics);
    rd_kafka_AdminOptions_destroy(o);
    rd_kafka_queue_destroy(queue);
    return rc;
}

static enum wf_rc ask_for_all(const struct repin *r, rd_kafka_t *rk, struct wf_err *err)
{
    const struct wf_kafka_pin *pin = r->pins->first;
    enum wf_rc rc = WF_OK;

    while (pin && rc == WF_OK) {
        const char *names[TOPICS_AT_ONCE];
        size_t n = 0;

        for (; pin && n < TOPICS_AT_ONCE; pin = pin->next) {
            if (pin->partitions > 0)
                names[n++] = pin->name;
        }
        if (n)
            rc = ask(r, rk, names, n, err);
    }
    return rc;
}

static enum wf_rc look(const struct repin *r, struct wf_err *err)
{
    rd_kafka_t *rk;
    enum wf_rc rc = wf_kafka_consumer_new(r->conf, &rk, err);

    if (rc != WF_OK)
        return rc;
    rc = ask_for_all(r, rk, err);
    rd_kafka_destroy(rk);
    return rc;
}

static enum wf_rc store(const struct repin *r, struct wf_err *err)
{
    struct wf_buf text;
    enum wf_rc rc;

    if (r->conf->delivery == WF_EXACTLY_ONCE)
        return wf_kafka_store_pins(r->conf, r->pipeline, r->pins, err);
    wf_kafka_pins_text(r->pins, &text);
    rc = wf_kafka_pins_write(r->pins->dir, &text, err);
    wf_buf_deinit(&text);
    return rc;
}

/* What cannot be read is begun anew: that is what somebody who takes over asks for. */
static bool is_damaged(const struct repin *r, enum wf_rc rc, const struct wf_err *err)
{
    if (rc != WF_FATAL || strcmp(err->code, "topics_invalid") != 0)
        return false;
    if (r->fn)
        r->fn(r->arg, "what is stored", "damaged", "begins anew");
    return true;
}

enum wf_rc wf_kafka_repin(const void *conf, const char *pipeline, const char *state_dir, bool take,
                          wf_topic_fn fn, void *arg, struct wf_err *err)
{
    struct repin r = {conf, pipeline, wf_kafka_pins_new(state_dir), take, fn, arg};
    enum wf_rc rc;

    if (!r.pins)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    rc = wf_kafka_pins_load(r.pins, err);
    if (r.conf->delivery == WF_EXACTLY_ONCE)
        rc = wf_kafka_stored_pins(conf, pipeline, r.pins, err);
    if (is_damaged(&r, rc, err))
        rc = WF_OK;
    if (rc == WF_OK)
        rc = look(&r, err);
    if (rc == WF_OK && take)
        rc = store(&r, err);
    wf_kafka_pins_free(r.pins);
    return rc;
}
