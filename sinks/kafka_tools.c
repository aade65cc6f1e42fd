/* `walferry check` and `walferry read` for Kafka: blocking, on clients of their own. */
#include <stdio.h>

#include "kafka_conf.h"

#define POLL_MS 500

/* ---- walferry check
 * ------------------------------------------------------------------------------------ */

typedef void (*report_fn)(void *arg, const char *level, const char *what, const char *cure);

static void check_brokers(rd_kafka_t *rk, report_fn report, void *arg)
{
    const struct rd_kafka_metadata *meta = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, NULL, &meta, WF_KAFKA_CHECK_MS);
    char what[300];

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR || !meta) {
        snprintf(what, sizeof(what), "Kafka does not answer within %d ms: %s", WF_KAFKA_CHECK_MS,
                 rd_kafka_err2str(code));
        report(arg, "error", what,
               "sink.brokers, sink.security, the broker's log; run with log.level: debug");
        return;
    }
    snprintf(what, sizeof(what), "Kafka answers: %d broker%s", meta->broker_cnt,
             meta->broker_cnt == 1 ? "" : "s");
    report(arg, "ok", what, NULL);
    if (meta->broker_cnt < 3)
        report(arg, "warning", "fewer than three brokers: a disk can take confirmed events with it",
               "three brokers, replication factor 3, min.insync.replicas 2");
    rd_kafka_metadata_destroy(meta);
}

void wf_kafka_check(const void *conf, const char *pipeline, report_fn report, void *arg)
{
    rd_kafka_conf_t *rc = rd_kafka_conf_new();
    struct wf_err err;
    rd_kafka_t *rk;
    char text[256];

    if (wf_kafka_settings(conf, pipeline, rc, &err) != WF_OK) {
        rd_kafka_conf_destroy(rc);
        report(arg, "error", err.text, "correct the configuration");
        return;
    }
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, rc, text, sizeof(text));
    if (!rk) {
        rd_kafka_conf_destroy(rc);
        report(arg, "error", text, "correct the configuration");
        return;
    }
    check_brokers(rk, report, arg);
    rd_kafka_destroy(rk);
}

/* ---- walferry read --- */

static enum wf_rc read_error(rd_kafka_resp_err_t code, const char *topic, const char *text,
                             struct wf_err *err)
{
    if (code != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        return wf_kafka_error(code, topic, text, err);
    return wf_err_set(err, WF_REJECT, "topic_denied",
                      "topic %s: %s; hint: give the principal Read and Describe on the topic",
                      topic, text ? text : rd_kafka_err2str(code));
}

static enum wf_rc assign_all(rd_kafka_t *rk, const char *topic, int *partitions, struct wf_err *err)
{
    const struct rd_kafka_metadata *meta = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
    rd_kafka_resp_err_t code = handle ? rd_kafka_metadata(rk, 0, handle, &meta, WF_KAFKA_CHECK_MS)
                                      : RD_KAFKA_RESP_ERR__INVALID_ARG;
    rd_kafka_topic_partition_list_t *list;

    if (meta)
        code = meta->topic_cnt ? meta->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    *partitions = meta && code == RD_KAFKA_RESP_ERR_NO_ERROR ? meta->topics[0].partition_cnt : 0;
    if (handle)
        rd_kafka_topic_destroy(handle);
    if (meta)
        rd_kafka_metadata_destroy(meta);
    list = rd_kafka_topic_partition_list_new(*partitions);
    for (int i = 0; i < *partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? WF_OK : read_error(code, topic, NULL, err);
}

static bool hand_over(const rd_kafka_message_t *m, wf_record_fn fn, void *arg)
{
    struct wf_record record = {.key = m->key,
                               .value = m->payload,
                               .key_len = m->key_len,
                               .value_len = m->len,
                               .partition = m->partition,
                               .offset = m->offset};

    return fn(arg, &record);
}

/* The present end is where a partition ends for the first time: one that grows on would end again,
 * in the place of one that is not read yet. */
static enum wf_rc end_partition(rd_kafka_t *rk, const char *topic, const rd_kafka_message_t *end,
                                bool settled, struct wf_err *err)
{
    int partition = end->partition;
    int64_t low, high = end->offset;
    rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(one, topic, partition);
    rd_kafka_pause_partitions(rk, one);
    rd_kafka_topic_partition_list_destroy(one);
    rd_kafka_get_watermark_offsets(rk, topic, partition, &low, &high);
    if (settled && high > end->offset)
        return wf_err_set(err, WF_RETRY, "transaction_hangs",
                          "topic %s: an open transaction at offset %lld hides what comes after it; "
                          "hint: if it stays, kafka-transactions.sh find-hanging and abort",
                          topic, (long long)end->offset);
    return WF_OK;
}

/* NULL after a time without any message, or when the owner wants an end. */
static rd_kafka_message_t *next_message(rd_kafka_t *rk, const atomic_bool *stop)
{
    rd_kafka_message_t *m = NULL;

    for (int ms = 0; !m && ms < 2 * WF_KAFKA_CHECK_MS && !(stop && atomic_load(stop));
         ms += POLL_MS)
        m = rd_kafka_consumer_poll(rk, POLL_MS);
    return m;
}

static enum wf_rc consume(rd_kafka_t *rk, const char *topic, bool settled, const atomic_bool *end,
                          wf_record_fn fn, void *arg, struct wf_err *err)
{
    int open = 0;
    bool stop = false;
    enum wf_rc rc = assign_all(rk, topic, &open, err);

    while (rc == WF_OK && open > 0 && !stop) {
        rd_kafka_message_t *m = next_message(rk, end);

        if (!m)
            return wf_err_set(err, WF_RETRY, "kafka", "topic %s: nothing arrived for %d ms", topic,
                              2 * WF_KAFKA_CHECK_MS);
        if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            rc = end_partition(rk, topic, m, settled, err);
            open--;
        } else if (m->err) {
            rc = read_error(m->err, topic, rd_kafka_message_errstr(m), err);
        } else {
            stop = !hand_over(m, fn, arg);
        }
        rd_kafka_message_destroy(m);
    }
    return rc;
}

enum wf_rc wf_kafka_read(const void *conf, const char *topic, wf_record_fn fn, void *arg,
                         struct wf_err *err)
{
    return wf_kafka_read_to_end(conf, topic, false, NULL, fn, arg, err);
}

enum wf_rc wf_kafka_read_to_end(const struct wf_kafka_conf *conf, const char *topic, bool settled,
                                const atomic_bool *stop, wf_record_fn fn, void *arg,
                                struct wf_err *err)
{
    rd_kafka_t *rk;
    enum wf_rc rc = wf_kafka_consumer_new(conf, &rk, err);

    if (rc != WF_OK)
        return rc;
    rd_kafka_poll_set_consumer(rk);
    rc = consume(rk, topic, settled, stop, fn, arg, err);
    rd_kafka_destroy(rk);
    return rc;
}
