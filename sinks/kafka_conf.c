#include "kafka_conf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "kafka_txn.h"
#include "log.h"

enum protocol { PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL };

static const char *const protocol_names[] = {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl",
                                             NULL};
static const char *const delivery_names[] = {"at_least_once", "exactly_once", NULL};
static const char *const split_names[] = {"auto", "never", NULL};
static const char *const compression_names[] = {"none", "gzip", "snappy", "lz4", "zstd", NULL};
static const char *const mechanism_names[] = {"plain", "scram-sha-256", "scram-sha-512", NULL};

/* What carries the promise is not for changing. */
static const char *const fixed_settings[][2] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    {"enable.gapless.guarantee", "true"},
    {"message.timeout.ms", "0"},
    {"partitioner", "murmur2_random"}, /* Java's default, so that keys keep their partitions */
    {"queue.buffering.max.messages", "1000000"},
};

/* Other names of the above, and what has an option of its own. */
static const char *const refused_settings[] = {
    "request.required.acks",
    "delivery.timeout.ms",
    "retries",
    "message.send.max.retries",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "transactional.id",
    "transaction.timeout.ms",
    "bootstrap.servers",
    "metadata.broker.list",
    "queue.buffering.max.kbytes",
    "linger.ms",
    "queue.buffering.max.ms",
    "message.max.bytes",
    "compression.codec",
    "compression.type",
    "security.protocol",
    "sasl.mechanisms",
    "sasl.mechanism",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "enable.ssl.certificate.verification",
    "ssl.endpoint.identification.algorithm",
    "plugin.library.paths",
};

static bool is_refused(const char *key)
{
    for (size_t i = 0; i < sizeof(fixed_settings) / sizeof(fixed_settings[0]); i++) {
        if (strcmp(key, fixed_settings[i][0]) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof(refused_settings) / sizeof(refused_settings[0]); i++) {
        if (strcmp(key, refused_settings[i]) == 0)
            return true;
    }
    return false;
}

static enum wf_rc set(rd_kafka_conf_t *rc, const char *name, const char *key, const char *value,
                      struct wf_err *err)
{
    char text[256];

    if (!value || rd_kafka_conf_set(rc, key, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
        return WF_OK;
    return wf_err_config(err, "sink.%s: %s", name, text);
}

static enum wf_rc set_int(rd_kafka_conf_t *rc, const char *name, const char *key, int64_t value,
                          struct wf_err *err)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    return set(rc, name, key, text, err);
}

static enum wf_rc check_security(const struct wf_kafka_conf *c, struct wf_err *err)
{
    bool tls = c->protocol == SSL || c->protocol == SASL_SSL;
    bool remote = false;

    for (const char *b = c->brokers; *b;) {
        size_t len;

        b += strspn(b, ", ");
        len = strcspn(b, ",");
        remote |= len && !wf_is_loopback(b, wf_host_len(b));
        b += len;
    }
    if (remote && !tls && !c->allow_insecure)
        return wf_err_config(err,
                             "sink.security is %s and sink.brokers are not on this host: "
                             "events%s would cross the network unprotected; hint: "
                             "sink.security: ssl (or sasl_ssl), or sink.allow_insecure: on",
                             protocol_names[c->protocol],
                             c->protocol == SASL_PLAINTEXT ? " and the password" : "");
    if ((c->protocol == SASL_SSL || c->protocol == SASL_PLAINTEXT) &&
        (!c->username || !c->password))
        return wf_err_config(err,
                             "sink.security is %s, but sink.username or sink.password is not "
                             "set",
                             protocol_names[c->protocol]);
    return WF_OK;
}

static enum wf_rc set_security(rd_kafka_conf_t *rc, const struct wf_kafka_conf *c,
                               struct wf_err *err)
{
    bool sasl = c->protocol == SASL_SSL || c->protocol == SASL_PLAINTEXT;
    static const char *const mechanisms[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};
    enum wf_rc ok = check_security(c, err);

    if (ok == WF_OK)
        ok = set(rc, "security", "security.protocol", protocol_names[c->protocol], err);
    if (ok == WF_OK && sasl)
        ok = set(rc, "mechanism", "sasl.mechanism", mechanisms[c->mechanism], err);
    if (ok == WF_OK && sasl)
        ok = set(rc, "username", "sasl.username", c->username, err);
    if (ok == WF_OK && sasl)
        ok = set(rc, "password", "sasl.password", c->password, err);
    if (ok == WF_OK)
        ok = set(rc, "ssl_ca", "ssl.ca.location", c->ssl_ca, err);
    if (ok == WF_OK)
        ok = set(rc, "ssl_cert", "ssl.certificate.location", c->ssl_cert, err);
    if (ok == WF_OK)
        ok = set(rc, "ssl_key", "ssl.key.location", c->ssl_key, err);
    if (ok == WF_OK)
        ok = set(rc, "ssl_key_password", "ssl.key.password", c->ssl_key_password, err);
    return ok;
}

static enum wf_rc set_passed_through(rd_kafka_conf_t *rc, const struct wf_kafka_conf *c,
                                     struct wf_err *err)
{
    enum wf_rc ok = WF_OK;

    for (size_t i = 0; i < c->rdkafka.n && ok == WF_OK; i++) {
        const struct wf_map_item *item = &c->rdkafka.items[i];

        if (is_refused(item->key))
            return wf_err_config(err,
                                 "line %u: sink.rdkafka: %s is not for changing here: it "
                                 "carries the delivery promise, or has an option of its own",
                                 item->line, item->key);
        ok = set(rc, "rdkafka", item->key, item->value, err);
    }
    return ok;
}

/* A message that waits longer than the transaction may last is lost with it, and comes again. */
static enum wf_rc set_delivery(rd_kafka_conf_t *rc, const struct wf_kafka_conf *c,
                               const char *pipeline, struct wf_err *err)
{
    char id[WF_KAFKA_NAME];
    enum wf_rc ok;

    if (c->delivery != WF_EXACTLY_ONCE)
        return WF_OK;
    wf_kafka_txn_id(pipeline ? pipeline : "", id);
    ok = set(rc, "delivery", "enable.gapless.guarantee", "false", err);
    if (ok == WF_OK)
        ok = set_int(rc, "transaction_timeout", "message.timeout.ms", c->transaction_timeout_ms,
                     err);
    if (ok == WF_OK)
        ok = set_int(rc, "transaction_timeout", "transaction.timeout.ms", c->transaction_timeout_ms,
                     err);
    return ok == WF_OK ? set(rc, "delivery", "transactional.id", id, err) : ok;
}

void wf_kafka_limits(const void *conf, struct wf_group_limits *out)
{
    const struct wf_kafka_conf *c = conf;
    bool never = c->split == WF_SPLIT_NEVER;

    out->interval_us = (uint64_t)c->transaction_interval_ms * 1000;
    out->events = (uint64_t)c->transaction_events;
    out->bytes = (uint64_t)c->transaction_bytes;
    /* the broker ends a transaction at its time-out: half of the rest is for committing it */
    out->split_us = (uint64_t)c->transaction_timeout_ms * 1000 / (never ? 2 : 3);
    out->split_events = never ? UINT64_MAX : (uint64_t)c->split_events;
    out->split_bytes = UINT64_MAX;
    out->never_split = never;
    out->idle_us = (uint64_t)c->transaction_idle_ms * 1000;
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    bool told = strcmp(facility, "FAIL") == 0; /* by on_error(), with a cure */

    (void)rk;
    wf_log(told || level > 5 ? WF_LOG_DEBUG
           : level <= 3      ? WF_LOG_WARN
                             : WF_LOG_INFO,
           "rdkafka", NULL, "%s: %s", facility, text);
}

enum wf_rc wf_kafka_settings(const struct wf_kafka_conf *c, const char *pipeline,
                             rd_kafka_conf_t *rc, struct wf_err *err)
{
    char client[96];
    enum wf_rc ok = set_passed_through(rc, c, err);

    snprintf(client, sizeof(client), "walferry-%s", pipeline ? pipeline : "");
    for (size_t i = 0; i < sizeof(fixed_settings) / sizeof(fixed_settings[0]) && ok == WF_OK; i++)
        ok = set(rc, fixed_settings[i][0], fixed_settings[i][0], fixed_settings[i][1], err);
    if (ok == WF_OK)
        ok = set(rc, "brokers", "bootstrap.servers", c->brokers, err);
    if (ok == WF_OK)
        ok = set(rc, "brokers", "client.id", client, err);
    if (ok == WF_OK)
        ok = set_int(rc, "linger", "linger.ms", c->linger_ms, err);
    if (ok == WF_OK)
        ok = set_int(rc, "queue", "queue.buffering.max.kbytes", c->queue_bytes >> 10, err);
    if (ok == WF_OK)
        ok = set_int(rc, "max_message", "message.max.bytes", c->max_message, err);
    if (ok == WF_OK)
        ok = set(rc, "compression", "compression.codec", compression_names[c->compression], err);
    if (ok == WF_OK)
        ok = set_security(rc, c, err);
    if (ok == WF_OK)
        ok = set_delivery(rc, c, pipeline, err);
    rd_kafka_conf_set_log_cb(rc, on_log);
    return ok;
}

static enum wf_rc set_consumer(rd_kafka_conf_t *rc, const struct wf_kafka_conf *c,
                               struct wf_err *err)
{
    enum wf_rc ok = set(rc, "brokers", "bootstrap.servers", c->brokers, err);

    if (ok == WF_OK)
        ok = set(rc, "read", "group.id", "walferry-read", err);
    if (ok == WF_OK)
        ok = set(rc, "read", "enable.partition.eof", "true", err);
    if (ok == WF_OK)
        ok = set(rc, "read", "enable.auto.commit", "false", err);
    if (ok == WF_OK)
        ok = set(rc, "read", "isolation.level", "read_committed", err);
    if (ok == WF_OK) /* the end is told after that much silence */
        ok = set(rc, "read", "fetch.wait.max.ms", "5", err);
    if (ok == WF_OK)
        ok = set_security(rc, c, err);
    rd_kafka_conf_set_log_cb(rc, on_log);
    return ok;
}

enum wf_rc wf_kafka_consumer_new(const struct wf_kafka_conf *c, rd_kafka_t **out,
                                 struct wf_err *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    enum wf_rc rc = set_consumer(conf, c, err);
    char text[256];

    *out = rc == WF_OK ? rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text)) : NULL;
    if (*out)
        return WF_OK;
    rd_kafka_conf_destroy(conf);
    return rc == WF_OK ? wf_kafka_no_client(text, err) : rc;
}

/* ---- errors ---- */

static const rd_kafka_resp_err_t for_persons[] = {
    RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
    RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT,
    RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
    RD_KAFKA_RESP_ERR_INVALID_RECORD,
    RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
    RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
    RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
};

#define FOR_PERSONS (sizeof(for_persons) / sizeof(for_persons[0]))

enum wf_rc wf_kafka_no_client(const char *text, struct wf_err *err)
{
    if (rd_kafka_last_error() == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE)
        return wf_err_set(err, WF_RETRY, "kafka", "%s", text);
    return wf_err_config(err, "%s", text);
}

bool wf_kafka_needs_person(rd_kafka_resp_err_t code)
{
    for (size_t i = 0; i < FOR_PERSONS; i++) {
        if (code == for_persons[i])
            return true;
    }
    return false;
}

rd_kafka_resp_err_t wf_kafka_cause(rd_kafka_resp_err_t fatal, const char *text)
{
    for (size_t i = 0; i < FOR_PERSONS && fatal == RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE; i++) {
        if (strstr(text, rd_kafka_err2str(for_persons[i])))
            return for_persons[i];
    }
    return fatal;
}

const char *wf_kafka_cure(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        return "; hint: raise the topic's max.message.bytes (and the broker's limits)";
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return "; hint: give the principal Write and Describe on the topic";
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        return "; hint: give the principal Write on its topics (or IdempotentWrite on the cluster)";
    case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
        return "; hint: sink.transaction_timeout is over the broker's transaction.max.timeout.ms";
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return "; hint: somebody deleted the topic";
    default:
        return "";
    }
}

enum wf_rc wf_kafka_error(rd_kafka_resp_err_t code, const char *topic, const char *text,
                          struct wf_err *err)
{
    bool missing =
        code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    char name[32];

    snprintf(name, sizeof(name), missing ? "topic_missing" : "kafka_%d", (int)code);
    return wf_err_set(err, wf_kafka_needs_person(code) ? WF_REJECT : WF_RETRY, name,
                      "topic %s: %s%s", topic, text ? text : rd_kafka_err2str(code),
                      wf_kafka_cure(code));
}

/* ---- options
 * -------------------------------------------------------------------------------------------- */

#define FIELD(name) offsetof(struct wf_kafka_conf, name)

/* clang-format off */
const struct wf_opt wf_kafka_opts[] = {
    {.key = "brokers", .type = WF_OPT_STR, .field = FIELD(brokers), .required = true,
     .help = "Bootstrap brokers: `host:port[,host:port...]`."},
    {.key = "delivery", .type = WF_OPT_ENUM, .field = FIELD(delivery), .dflt = "exactly_once",
     .choices = delivery_names,
     .help = "`exactly_once`: events and checkpoint in one Kafka transaction; readers with "
             "isolation.level=read_committed see each event once. `at_least_once`: idempotent "
             "producer, acks=all, no delivery time-out; after a crash events may repeat, in order, "
             "none is lost."},
    {.key = "transaction_interval", .type = WF_OPT_TIME, .field = FIELD(transaction_interval_ms),
     .dflt = "100ms", .min = "1ms", .max = "60s",
     .help = "exactly_once: longest time from an event to the commit that makes it readable."},
    {.key = "transaction_events", .type = WF_OPT_INT, .field = FIELD(transaction_events),
     .dflt = "10000", .min = "1", .max = "10000000",
     .help = "exactly_once: so many events are committed at the next end of a source transaction."},
    {.key = "transaction_bytes", .type = WF_OPT_SIZE, .field = FIELD(transaction_bytes),
     .dflt = "8MiB", .min = "64KiB", .max = "1GiB",
     .help = "exactly_once: so many bytes are committed at the next end of a source transaction."},
    {.key = "transaction_timeout", .type = WF_OPT_TIME, .field = FIELD(transaction_timeout_ms),
     .dflt = "60s", .min = "3s", .max = "15min",
     .help = "exactly_once: the brokers abort a transaction after this time, and so long readers "
             "wait behind one whose writer is gone. A source transaction that takes a third of it "
             "is split."},
    {.key = "transaction_idle", .type = WF_OPT_TIME, .field = FIELD(transaction_idle_ms),
     .dflt = "10s", .min = "100ms", .max = "1h",
     .help = "exactly_once: time between commits that only move the position, while nothing is "
             "published: so late the slot lets go of WAL that holds nothing for us."},
    {.key = "split", .type = WF_OPT_ENUM, .field = FIELD(split), .dflt = "auto",
     .choices = split_names,
     .help = "exactly_once: a source transaction over `split_events`, or too long in time, becomes "
             "several Kafka transactions: still each event once, but not all readable at one "
             "moment. `never`: it becomes one, or the pipeline stops there."},
    {.key = "split_events", .type = WF_OPT_INT, .field = FIELD(split_events), .dflt = "100000",
     .min = "1", .max = "1000000000", .help = "exactly_once: largest whole source transaction."},
    {.key = "linger", .type = WF_OPT_TIME, .field = FIELD(linger_ms), .dflt = "1ms", .min = "0ms",
     .max = "1s", .help = "Longest wait for a fuller batch."},
    {.key = "queue", .type = WF_OPT_SIZE, .field = FIELD(queue_bytes), .dflt = "8MiB",
     .min = "64KiB", .max = "1GiB",
     .help = "Most bytes waiting for the brokers; when it is full the slot is not read."},
    {.key = "max_message", .type = WF_OPT_SIZE, .field = FIELD(max_message), .dflt = "1000000",
     .min = "1000", .max = "1000000000",
     .help = "Largest event in bytes, key included. A larger one blocks the pipeline: nothing is "
             "skipped. The topic's `max.message.bytes` must allow as much."},
    {.key = "compression", .type = WF_OPT_ENUM, .field = FIELD(compression), .dflt = "none",
     .choices = compression_names, .help = "Compression of batches."},
    {.key = "create_topics", .type = WF_OPT_BOOL, .field = FIELD(create_topics), .dflt = "on",
     .help = "Create missing topics, with the settings below; never by the broker's auto-creation."},
    {.key = "partitions", .type = WF_OPT_INT, .field = FIELD(partitions), .dflt = "1", .min = "1",
     .max = "10000", .help = "Partitions of created topics."},
    {.key = "replication", .type = WF_OPT_INT, .field = FIELD(replication), .dflt = "-1",
     .min = "-1", .max = "1000",
     .help = "Replication factor of created topics; -1 = the broker's default."},
    {.key = "topic_config", .type = WF_OPT_MAP, .field = FIELD(topic_config),
     .help = "Settings of created topics, for example `{cleanup.policy: compact}`."},
    {.key = "security", .type = WF_OPT_ENUM, .field = FIELD(protocol), .dflt = "plaintext",
     .choices = protocol_names,
     .help = "Protocol. TLS verifies certificate and host name. Brokers on other hosts need `ssl` "
             "or `sasl_ssl`."},
    {.key = "allow_insecure", .type = WF_OPT_BOOL, .field = FIELD(allow_insecure), .dflt = "off",
     .help = "Allow brokers on other hosts without TLS."},
    {.key = "mechanism", .type = WF_OPT_ENUM, .field = FIELD(mechanism), .dflt = "scram-sha-512",
     .choices = mechanism_names, .help = "SASL mechanism."},
    {.key = "username", .type = WF_OPT_STR, .field = FIELD(username), .help = "SASL user."},
    {.key = "password", .type = WF_OPT_SECRET, .field = FIELD(password), .help = "SASL password."},
    {.key = "ssl_ca", .type = WF_OPT_STR, .field = FIELD(ssl_ca),
     .help = "File with the CA certificates (PEM); default: the system's."},
    {.key = "ssl_cert", .type = WF_OPT_STR, .field = FIELD(ssl_cert),
     .help = "File with the client certificate (PEM)."},
    {.key = "ssl_key", .type = WF_OPT_STR, .field = FIELD(ssl_key),
     .help = "File with the client's private key (PEM)."},
    {.key = "ssl_key_password", .type = WF_OPT_SECRET, .field = FIELD(ssl_key_password),
     .help = "Password of the private key."},
    {.key = "rdkafka", .type = WF_OPT_MAP, .field = FIELD(rdkafka),
     .help = "Any other librdkafka setting, for example `{socket.keepalive.enable: true}`; what "
             "carries the delivery promise is refused."},
    {.key = NULL},
};
/* clang-format on */
