/* Order per key: a key belongs to one lane, a lane has one request in flight, a request holds at
 * most one record of a key. What failed stays at its place in the lane, so nothing of its key
 * passes it. Aggregated, a request is one record of the lane, which stands or falls as a whole.
 * A request whose fate is unknown is sent again as it was: repeats, never an inversion.
 */
#include "aws/put.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acks.h"
#include "aws/aggregate.h"
#include "aws/client.h"
#include "aws/profile.h"
#include "log.h"

#define LOOK_AHEAD 5000 /* records of a lane that are looked at for one request */
#define KEYS_SEEN 1024  /* slots for the keys of a request, a power of two over 500 */
#define LAST_SEEN 1024  /* keys whose last sequence number is remembered, for the check */
#define SEQUENCE_MAX 64 /* digits; Kinesis uses 56 */
#define CONTROL_MS 10000
#define CREATING_US 1000000
#define LOG_EVERY_US 30000000
#define COMPACT_MIN 16384 /* bytes; less is not worth moving the rest */

struct target {
    struct target *next;
    enum { T_NEW, T_ASKING, T_WAITING, T_READY, T_FAILED } state;
    bool creating;
    uint64_t hash;     /* of the name: tells apart one key in two streams */
    struct wf_err err; /* of T_FAILED */
    char name[];       /* or ARN */
};

struct record {
    const struct target *target;
    uint64_t tag, key_hash;
    size_t at; /* of key and data in the lane's bytes */
    uint32_t key_len, data_len;
    bool done;
};

struct lane {
    struct wf_sink *sink;
    struct wf_aws_call call;
    struct wf_timer timer;
    struct record *records; /* [head, n) */
    uint32_t head, n, cap;
    struct wf_buf bytes, body;
    size_t dead;                       /* of bytes: those of records that are done */
    uint32_t sent[WF_AWS_RECORDS_MAX]; /* indices into records, of the request */
    unsigned nsent;
    bool busy;       /* the request is under way */
    bool again;      /* it has to be sent once more, as it was */
    unsigned tries;  /* in a row that were no success */
    unsigned limit;  /* of records in the next request */
    uint64_t due_us; /* not before */
};

struct wf_sink {
    const struct wf_aws_put_conf *conf;
    const struct wf_aws_put_kind *kind;
    const struct wf_sink_env *env;
    struct wf_aws_client *client;
    struct target *targets;
    struct { /* describing or creating, one at a time */
        struct wf_aws_call call;
        struct target *target;
        struct wf_buf body;
        struct wf_timer timer;
    } control;
    struct lane *lanes;
    struct wf_aggregate aggregate;
    size_t buffered;     /* bytes in the lanes */
    struct wf_acks acks; /* events that need no record */
    enum wf_rc failure;
    struct wf_err failure_err;
    bool draining;
    uint64_t logged_us;
    struct {
        uint64_t hash;
        char sequence[SEQUENCE_MAX];
    } last[LAST_SEEN];
    uint64_t requests, records, failed, repeated, inversions;
};

/* ---- keys ---- */

size_t wf_aws_partition_key(const unsigned char *key, size_t len, const char *topic,
                            unsigned char out[WF_AWS_KEY_MAX])
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    size_t frame = 0, n;

    if (!key || !len) { /* one key for all: the table's order is kept */
        n = strlen(topic);
        n = n < WF_AWS_KEY_MAX ? n : WF_AWS_KEY_MAX;
        memcpy(out, topic, n);
        return n;
    }
    if (key[0] == '{' && len <= WF_AWS_KEY_MAX && wf_is_utf8((const char *)key, len)) {
        memcpy(out, key, len);
        return len;
    }
    if (key[0] == 0x00 && len > 5)
        frame = 5;
    else if (key[0] == 0xC3 && len > 10)
        frame = 10;
    else if (key[0] == 0x03 && len > 18)
        frame = 18;
    if (key[0] != '{' && len - frame <= WF_AWS_KEY_MAX / 2)
        return (size_t)(wf_put_hex(out, key + frame, len - frame, WF_HEX_LOWER) - out);
    SHA256(key + frame, len - frame, hash);
    return (size_t)(wf_put_hex(out, hash, sizeof(hash), WF_HEX_LOWER) - out);
}

static uint64_t hash_of(const unsigned char *s, size_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (size_t i = 0; i < n; i++)
        h = (h ^ s[i]) * UINT64_C(0x100000001b3);
    h ^= h >> 32;
    return h ? h : 1; /* 0 is the empty slot */
}

/* ---- a lane's records ---- */

/* Once more than half of the bytes are done, the rest moves down over them: a key that is throttled
 * for hours must not hold what others left behind it. Not while a request is under way. */
static void drop_done(struct lane *l)
{
    uint32_t to = 0;
    size_t at = 0;

    while (l->head < l->n && l->records[l->head].done)
        l->head++;
    if (l->head < l->n && (l->dead < COMPACT_MIN || l->dead < l->bytes.len / 2))
        return;
    for (uint32_t i = l->head; i < l->n; i++) {
        struct record r = l->records[i];
        size_t size = (size_t)r.key_len + r.data_len;

        if (r.done)
            continue;
        memmove(l->bytes.data + at, l->bytes.data + r.at, size);
        r.at = at;
        at += size;
        l->records[to++] = r;
    }
    l->bytes.len = at;
    l->head = 0;
    l->n = to;
    l->dead = 0;
}

static bool add_record(struct lane *l, const struct wf_event *ev, const unsigned char *key,
                       size_t key_len, bool newline)
{
    size_t size = key_len + ev->value_len + newline;

    if (l->n == l->cap) {
        uint32_t cap = l->cap ? l->cap * 2 : 256;
        void *records = realloc(l->records, cap * sizeof(*l->records));

        if (!records)
            return false;
        l->records = records;
        l->cap = cap;
    }
    if (!wf_buf_reserve(&l->bytes, size)) {
        l->bytes.failed = false;
        return false;
    }
    l->records[l->n++] = (struct record){.target = ev->stream->sink_data,
                                         .tag = ev->tag,
                                         .key_hash = hash_of(key, key_len),
                                         .at = l->bytes.len,
                                         .key_len = (uint32_t)key_len,
                                         .data_len = (uint32_t)(ev->value_len + newline)};
    wf_buf_put(&l->bytes, key, key_len);
    wf_buf_put(&l->bytes, ev->value, ev->value_len);
    if (newline)
        wf_buf_byte(&l->bytes, '\n');
    return true;
}

/* ---- one request ---- */

static bool is_arn(const char *name)
{
    return strncmp(name, "arn:", 4) == 0;
}

static void put_name(const struct wf_sink *s, struct wf_buf *b, const struct target *t)
{
    bool arn = is_arn(t->name) && s->kind->arn_member;
    const char *name = t->name, *slash = strrchr(name, '/');

    if (!arn && is_arn(name) && slash)
        name = slash + 1;
    wf_buf_printf(b, "{\"%s\":", arn ? s->kind->arn_member : s->kind->name_member);
    wf_buf_json_string(b, name, strlen(name));
}

static void put_base64(struct wf_buf *b, const unsigned char *data, size_t n)
{
    size_t room = 4 * ((n + 2) / 3) + 1; /* and a NUL */

    if (!wf_buf_reserve(b, room))
        return;
    b->len += (size_t)EVP_EncodeBlock(b->data + b->len, data, (int)n);
}

static void put_record(struct wf_sink *s, struct lane *l, const struct record *r)
{
    const unsigned char *key = l->bytes.data + r->at;

    wf_buf_str(&l->body, l->nsent ? ",{\"Data\":\"" : "{\"Data\":\"");
    put_base64(&l->body, key + r->key_len, r->data_len);
    wf_buf_byte(&l->body, '"');
    if (s->kind->keyed) {
        wf_buf_str(&l->body, ",\"PartitionKey\":");
        wf_buf_json_string(&l->body, key, r->key_len);
    }
    if (s->conf->aggregate) /* to where the aggregates go */
        wf_buf_printf(&l->body, ",\"ExplicitHashKey\":\"%s\"", s->aggregate.hash_key);
    wf_buf_byte(&l->body, '}');
}

/* Return: false when the key is in the request already. */
static bool claim_key(uint64_t seen[KEYS_SEEN], uint64_t hash)
{
    size_t i = hash & (KEYS_SEEN - 1);

    for (; seen[i]; i = (i + 1) & (KEYS_SEEN - 1)) {
        if (seen[i] == hash)
            return false;
    }
    seen[i] = hash;
    return true;
}

/* The oldest record of as many keys as fit, all for the first one's stream. A key that has to wait
 * holds its slot: what is behind it waits, too. */
static void fill_request(struct wf_sink *s, struct lane *l)
{
    uint64_t seen[KEYS_SEEN] = {0};
    size_t size = 0;
    const struct target *target = NULL;
    uint32_t end = l->n - l->head > LOOK_AHEAD ? l->head + LOOK_AHEAD : l->n;

    l->nsent = 0;
    wf_buf_reset(&l->body);
    for (uint32_t i = l->head; i < end && l->nsent < l->limit; i++) {
        const struct record *r = &l->records[i];
        size_t more = r->key_len + r->data_len;

        if (r->done || (target && r->target != target))
            continue;
        if (s->kind->keyed && !claim_key(seen, r->key_hash))
            continue;
        if (target && size + more > (size_t)s->conf->request_bytes)
            break;
        if (!target) {
            target = r->target;
            put_name(s, &l->body, target);
            wf_buf_str(&l->body, ",\"Records\":[");
        }
        put_record(s, l, r);
        l->sent[l->nsent++] = i;
        size += more;
    }
    wf_buf_str(&l->body, "]}");
}

/* The oldest records of the lane, as many as fit, in one of Kinesis; a single one stays plain. */
static void fill_aggregate(struct wf_sink *s, struct lane *l)
{
    int64_t most =
        s->conf->request_bytes < s->conf->max_record ? s->conf->request_bytes : s->conf->max_record;
    const struct record *first = NULL;
    const struct wf_buf *packed;
    uint32_t end = l->n - l->head > LOOK_AHEAD ? l->head + LOOK_AHEAD : l->n;
    char hash_key[WF_HASH_KEY_MAX];

    l->nsent = 0;
    wf_buf_reset(&l->body);
    wf_aggregate_lane((unsigned)(l - s->lanes), (unsigned)s->conf->lanes, hash_key);
    wf_aggregate_begin(&s->aggregate, hash_key);
    for (uint32_t i = l->head; i < end && l->nsent < l->limit; i++) {
        const struct record *r = &l->records[i];
        const unsigned char *key = l->bytes.data + r->at;

        if (r->done || (first && r->target != first->target))
            continue;
        if (first && wf_aggregate_size_with(&s->aggregate, r->key_len, r->data_len) > (size_t)most)
            break;
        first = first ? first : r;
        wf_aggregate_add(&s->aggregate, r->key_hash, key, r->key_len, key + r->key_len,
                         r->data_len);
        l->sent[l->nsent++] = i;
    }
    put_name(s, &l->body, first->target);
    wf_buf_str(&l->body, ",\"Records\":[");
    packed = wf_aggregate_end(&s->aggregate);
    if (!packed) {
        l->body.failed = true;
    } else if (l->nsent > 1) {
        wf_buf_str(&l->body, "{\"Data\":\"");
        put_base64(&l->body, packed->data, packed->len);
        wf_buf_printf(&l->body, "\",\"PartitionKey\":\"a\",\"ExplicitHashKey\":\"%s\"}", hash_key);
    } else {
        l->nsent = 0; /* its comma */
        put_record(s, l, first);
        l->nsent = 1;
    }
    wf_buf_str(&l->body, "]}");
}

static void wake(struct wf_sink *s, struct lane *l, uint64_t after_us)
{
    l->due_us = wf_mono_us() + after_us;
    wf_loop_timer_set(s->env->loop, &l->timer, after_us, NULL, NULL);
}

static void say(struct wf_sink *s, const struct wf_aws_call *call, const char *what)
{
    uint64_t now = wf_mono_us();

    if (s->logged_us && now - s->logged_us < LOG_EVERY_US)
        return;
    s->logged_us = now;
    wf_log(WF_LOG_WARN, s->kind->service, NULL, "%s: %s: %s", what, call->error, call->message);
}

static void fail(struct wf_sink *s, const struct wf_aws_call *call, const char *code,
                 const char *hint)
{
    if (s->failure == WF_OK)
        s->failure = wf_err_set(&s->failure_err, WF_REJECT, code, "%s: %s: %s; hint: %s",
                                s->kind->service, call->error, call->message, hint);
}

/* ---- results ---- */

/* Sequence numbers of a key in a stream grow: by length, then as text. Aggregated, those of a lane.
 */
static void check_order(struct wf_sink *s, uint64_t key, const struct target *t,
                        const char *sequence)
{
    uint64_t hash = key * UINT64_C(0x100000001b3) ^ t->hash; /* both may be alike */
    size_t slot = hash >> 16 & (LAST_SEEN - 1), n = strlen(sequence), before;

    if (n >= SEQUENCE_MAX)
        return;
    before = strlen(s->last[slot].sequence);
    if (s->last[slot].hash == hash &&
        (n < before || (n == before && strcmp(sequence, s->last[slot].sequence) <= 0))) {
        s->inversions++;
        wf_log(WF_LOG_ERROR, "order", NULL,
               "%s gave a later event of a key a smaller sequence number", s->kind->service);
    }
    s->last[slot].hash = hash;
    memcpy(s->last[slot].sequence, sequence, n + 1);
}

static void confirm(struct wf_sink *s, struct lane *l, struct record *r)
{
    r->done = true;
    l->dead += (size_t)r->key_len + r->data_len;
    s->buffered -= (size_t)r->key_len + r->data_len;
    s->records++;
    wf_delivery_acked(s->env->delivery, r->tag, 1);
}

/* One record was refused for good: Kinesis says so of an aggregate, it may be one event of it. */
static void on_refused(struct wf_sink *s, struct lane *l)
{
    if (s->conf->aggregate && l->nsent > 1)
        l->limit = l->nsent / 2;
    else
        fail(s, &l->call, "record_refused", "sink.max_record, or the stream's own limit");
}

/* Return: how many records were not taken; -1: the answer does not fit the request. */
static int take_results(struct wf_sink *s, struct lane *l)
{
    json_t *j = json_loadb(l->call.answer ? l->call.answer : "", l->call.answer_len, 0, NULL);
    const json_t *results = json_object_get(j, s->kind->results);
    unsigned expected = s->conf->aggregate ? 1 : l->nsent;
    int failed = 0;

    if (json_array_size(results) != expected) {
        json_decref(j);
        return -1;
    }
    for (unsigned i = 0; i < l->nsent; i++) {
        const json_t *result = json_array_get(results, s->conf->aggregate ? 0 : i);
        const char *id = json_string_value(json_object_get(result, s->kind->id));
        const char *code = json_string_value(json_object_get(result, "ErrorCode"));
        const char *why = json_string_value(json_object_get(result, "ErrorMessage"));
        struct record *r = &l->records[l->sent[i]];

        if (id && *id) {
            if (s->kind->keyed && (i == 0 || !s->conf->aggregate))
                check_order(s, s->conf->aggregate ? (uint64_t)(l - s->lanes) + 1 : r->key_hash,
                            r->target, id);
            confirm(s, l, r);
            continue;
        }
        failed++;
        snprintf(l->call.error, sizeof(l->call.error), "%s", wf_shown(code ? code : "?").s);
        snprintf(l->call.message, sizeof(l->call.message), "%s", wf_shown(why ? why : "").s);
        if (code && strncmp(code, "InvalidArgument", 15) == 0)
            on_refused(s, l);
    }
    json_decref(j);
    return failed;
}

/* Half of it next time, until the one that cannot pass is alone. */
static void bisect(struct wf_sink *s, struct lane *l)
{
    if (l->nsent <= 1) {
        fail(s, &l->call, "record_refused", "sink.max_record, or the stream's own limit");
        return;
    }
    l->limit = l->nsent / 2;
    l->nsent = 0;
}

static void on_put(struct wf_aws_call *call)
{
    struct lane *l = call->arg;
    struct wf_sink *s = l->sink;
    int failed = 0;

    l->busy = false;
    s->requests++;
    if (call->outcome == WF_AWS_OPERATOR) {
        fail(s, call, "aws_refused",
             "the stream's name and region, the role's rights: see the "
             "policy in docs/aws.md");
        return;
    }
    if (call->outcome == WF_AWS_POISON) {
        bisect(s, l);
        return;
    }
    failed = call->outcome == WF_AWS_OK ? take_results(s, l) : -1;
    if (failed < 0) { /* stored or not, nobody knows: the same request again */
        l->again = true;
        s->repeated++;
        wake(s, l, wf_aws_backoff_us(++l->tries));
        say(s, call,
            call->outcome == WF_AWS_OK ? "the answer does not fit the request"
                                       : "a request failed and is repeated");
        return;
    }
    /* a request that got something through is no reason to wait longer than for the first time */
    l->tries = (unsigned)failed < l->nsent ? 1 : l->tries + 1;
    l->nsent = 0;
    drop_done(l);
    if (failed) {
        s->failed += (uint64_t)failed;
        wake(s, l, wf_aws_backoff_us(l->tries));
        say(s, call, "records were not taken and are sent again");
        return;
    }
    l->tries = 0;
    l->limit = WF_AWS_RECORDS_MAX;
}

static enum wf_rc send_lane(struct wf_sink *s, struct lane *l, struct wf_err *err)
{
    enum wf_rc rc;

    if (!l->again && s->conf->aggregate)
        fill_aggregate(s, l);
    else if (!l->again)
        fill_request(s, l);
    if (l->body.failed)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    l->call.target = s->kind->put;
    l->call.body = (const char *)l->body.data;
    l->call.body_len = l->body.len;
    l->call.timeout_ms = (long)s->conf->timeout_ms;
    l->call.done = on_put;
    l->call.arg = l;
    rc = wf_aws_start(s->client, &l->call, err);
    l->busy = rc == WF_OK;
    if (rc == WF_OK)
        l->again = false;
    return rc;
}

/* ---- streams ---- */

static void on_described(struct wf_sink *s, struct target *t, const struct wf_aws_call *call)
{
    if (call->outcome == WF_AWS_OK) {
        enum wf_rc rc = s->kind->judge(s->conf, t->name, call->answer, call->answer_len, &t->err);

        t->state = rc == WF_OK ? T_READY : rc == WF_AGAIN ? T_WAITING : T_FAILED;
    } else if (strncmp(call->error, "ResourceNotFound", 16) == 0) {
        t->creating = s->conf->create && s->kind->create && !t->creating;
        t->state = t->creating ? T_NEW : T_FAILED;
        wf_err_set(&t->err, WF_REJECT, "stream_missing",
                   "stream %s does not exist in this account and region%s", t->name,
                   s->kind->create ? "; hint: create it, or sink.create_streams: on"
                                   : "; hint: create it");
    } else if (strncmp(call->error, "AccessDenied", 12) == 0) {
        t->state = T_READY;
        wf_log(WF_LOG_WARN, "aws_rights", NULL,
               "%s may not be described: its state and limits are not checked; hint: see the "
               "policy in docs/aws.md",
               t->name);
    } else if (call->outcome == WF_AWS_RETRY) {
        t->state = T_WAITING;
        say(s, call, "the stream cannot be described now");
    } else {
        t->state = T_FAILED;
        wf_err_set(&t->err, WF_REJECT, "aws_refused", "stream %s: %s: %s", t->name, call->error,
                   call->message);
    }
}

static void on_control(struct wf_aws_call *call)
{
    struct wf_sink *s = call->arg;
    struct target *t = s->control.target;

    s->control.target = NULL;
    if (t->creating && strcmp(call->target, s->kind->create) == 0) {
        bool made = call->outcome == WF_AWS_OK || strncmp(call->error, "ResourceInUse", 13) == 0;

        if (made || call->outcome == WF_AWS_RETRY) {
            t->state = T_WAITING;
            t->creating = false;
        } else {
            t->state = T_FAILED;
            wf_err_set(&t->err, WF_REJECT, "aws_refused", "stream %s cannot be created: %s: %s",
                       t->name, call->error, call->message);
        }
    } else {
        on_described(s, t, call);
    }
    if (t->state == T_WAITING)
        wf_loop_timer_set(s->env->loop, &s->control.timer, CREATING_US, NULL, NULL);
}

static enum wf_rc ask_about(struct wf_sink *s, struct target *t, struct wf_err *err)
{
    struct wf_aws_call *call = &s->control.call;
    enum wf_rc rc;

    if (s->control.target || s->control.timer.due_us)
        return WF_AGAIN;
    wf_buf_reset(&s->control.body);
    put_name(s, &s->control.body, t);
    if (t->creating && s->conf->shards)
        wf_buf_printf(&s->control.body, ",\"ShardCount\":%lld", (long long)s->conf->shards);
    else if (t->creating)
        wf_buf_str(&s->control.body, ",\"StreamModeDetails\":{\"StreamMode\":\"ON_DEMAND\"}");
    wf_buf_byte(&s->control.body, '}');
    *call = (struct wf_aws_call){.target = t->creating ? s->kind->create : s->kind->describe,
                                 .body = (const char *)s->control.body.data,
                                 .body_len = s->control.body.len,
                                 .timeout_ms = CONTROL_MS,
                                 .done = on_control,
                                 .arg = s};
    rc = wf_aws_start(s->client, call, err);
    if (rc != WF_OK)
        return rc;
    s->control.target = t;
    t->state = T_ASKING;
    return WF_AGAIN;
}

static struct target *target_for(struct wf_sink *s, const char *name)
{
    struct target *t = s->targets;

    while (t && strcmp(t->name, name) != 0)
        t = t->next;
    if (t)
        return t;
    t = calloc(1, sizeof(*t) + strlen(name) + 1);
    if (!t)
        return NULL;
    memcpy(t->name, name, strlen(name) + 1);
    t->hash = hash_of((const unsigned char *)name, strlen(name));
    t->next = s->targets;
    s->targets = t;
    return t;
}

enum wf_rc wf_aws_put_prepare(struct wf_sink *s, struct wf_stream *stream, struct wf_err *err)
{
    struct target *t = target_for(s, s->conf->stream ? s->conf->stream : stream->topic);

    if (!t)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    stream->sink_data = t;
    if (t->state == T_READY)
        return WF_OK;
    if (t->state == T_ASKING)
        return WF_AGAIN;
    if (t->state == T_FAILED) {
        *err = t->err;
        t->state = T_NEW;
        return err->rc;
    }
    return ask_about(s, t, err);
}

/* ---- contract ---- */

enum wf_rc wf_aws_put_validate(const void *conf, struct wf_err *err)
{
    const struct wf_aws_put_conf *put = conf;
    const struct wf_aws_conf *c = &put->aws;
    struct wf_aws_endpoint at = {0};

    if (put->aggregate && (put->lanes & (put->lanes - 1)))
        return wf_err_config(err, "sink.lanes: with sink.aggregation it is a power of two");
    if (!c->access_key != !c->secret_key)
        return wf_err_config(err, "sink.access_key and sink.secret_key belong together");
    if (c->session_token && !c->access_key)
        return wf_err_config(err, "sink.session_token: needs sink.access_key");
    if (c->access_key && c->profile)
        return wf_err_config(err, "sink.profile: there is a key in sink.access_key already");
    if (c->endpoint)
        return wf_aws_take_address(c, c->endpoint, &at, err);
    return WF_OK;
}

enum wf_rc wf_aws_put_publish(struct wf_sink *s, const struct wf_event *ev, struct wf_err *err)
{
    unsigned char key[WF_AWS_KEY_MAX];
    size_t key_len;
    struct lane *l;

    if (s->buffered >= (size_t)s->conf->queue_bytes || s->failure != WF_OK)
        return WF_AGAIN;
    if (!ev->value) /* nothing to send: a tombstone is for compacted topics */
        return wf_acks_add(&s->acks, ev->tag) ? WF_OK : WF_AGAIN;
    key_len = wf_aws_partition_key(ev->key, ev->key_len, ev->stream->topic, key);
    if (ev->value_len + s->kind->overhead > (size_t)s->conf->max_record)
        return wf_err_set(err, WF_REJECT, "event_too_large",
                          "topic %s: event of %zu bytes over %s of %lld", ev->stream->topic,
                          ev->value_len, s->kind->max_record, (long long)s->conf->max_record);
    l = &s->lanes[hash_of(key, key_len) % (uint64_t)s->conf->lanes];
    if (l->head == l->n && !l->busy && !l->tries)
        wake(s, l, s->draining ? 0 : (uint64_t)s->conf->linger_ms * 1000);
    if (!add_record(l, ev, key, s->kind->keyed ? key_len : 0, s->kind->newline))
        return WF_AGAIN;
    s->buffered += l->records[l->n - 1].key_len + l->records[l->n - 1].data_len;
    return WF_OK;
}

static bool is_due(const struct wf_sink *s, const struct lane *l, uint64_t now)
{
    if (l->busy || (l->head == l->n && !l->again))
        return false;
    return now >= l->due_us || (!l->tries && (s->draining || l->n - l->head >= WF_AWS_RECORDS_MAX));
}

enum wf_rc wf_aws_put_poll(struct wf_sink *s, struct wf_err *err)
{
    uint64_t now = wf_mono_us();

    wf_acks_confirm(&s->acks, s->env->delivery);
    if (s->failure != WF_OK) {
        *err = s->failure_err;
        return s->failure;
    }
    for (int64_t i = 0; i < s->conf->lanes; i++) {
        enum wf_rc rc;

        if (!is_due(s, &s->lanes[i], now))
            continue;
        rc = send_lane(s, &s->lanes[i], err);
        if (rc == WF_AGAIN)
            return WF_OK;
        if (rc != WF_OK)
            return rc;
    }
    return WF_OK;
}

void wf_aws_put_drain(struct wf_sink *s)
{
    s->draining = true;
}

enum wf_rc wf_aws_put_open(struct wf_sink **self, const struct wf_aws_put_conf *conf,
                           const struct wf_aws_put_kind *kind, const struct wf_sink_env *env,
                           struct wf_err *err)
{
    const char *arn = conf->stream && is_arn(conf->stream) ? conf->stream : NULL;
    struct wf_sink *s = calloc(1, sizeof(*s));
    enum wf_rc rc;

    if (s)
        s->lanes = calloc((size_t)conf->lanes, sizeof(*s->lanes));
    if (!s || !s->lanes) {
        free(s);
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    }
    s->conf = conf;
    s->kind = kind;
    s->env = env;
    wf_buf_init(&s->control.body, SIZE_MAX);
    wf_aggregate_init(&s->aggregate);
    for (int64_t i = 0; i < conf->lanes; i++) {
        s->lanes[i].sink = s;
        s->lanes[i].limit = WF_AWS_RECORDS_MAX;
        wf_buf_init(&s->lanes[i].bytes, SIZE_MAX); /* bounded by sink.queue and one event */
        wf_buf_init(&s->lanes[i].body, SIZE_MAX);  /* by sink.request_bytes, likewise */
    }
    rc = wf_aws_client_new(&s->client, &conf->aws, kind->service, arn, env->loop, err);
    if (rc != WF_OK) {
        wf_aws_put_close(s);
        return rc;
    }
    *self = s;
    return WF_OK;
}

static void free_lane(struct wf_sink *s, struct lane *l)
{
    wf_aws_cancel(&l->call);
    wf_loop_timer_off(s->env->loop, &l->timer);
    free(l->records);
    wf_buf_deinit(&l->bytes);
    wf_buf_deinit(&l->body);
}

void wf_aws_put_close(struct wf_sink *s)
{
    char fields[160];

    if (!s)
        return;
    snprintf(fields, sizeof(fields),
             "requests=%llu records=%llu failed=%llu repeated=%llu inversions=%llu",
             (unsigned long long)s->requests, (unsigned long long)s->records,
             (unsigned long long)s->failed, (unsigned long long)s->repeated,
             (unsigned long long)s->inversions);
    wf_log(WF_LOG_INFO, "sink_closed", fields, "%s", s->kind->service);
    for (int64_t i = 0; i < s->conf->lanes; i++)
        free_lane(s, &s->lanes[i]);
    wf_aws_cancel(&s->control.call);
    wf_loop_timer_off(s->env->loop, &s->control.timer);
    wf_buf_deinit(&s->control.body);
    wf_aggregate_deinit(&s->aggregate);
    wf_aws_client_free(s->client);
    while (s->targets) {
        struct target *t = s->targets;

        s->targets = t->next;
        free(t);
    }
    wf_acks_free(&s->acks);
    free(s->lanes);
    free(s);
}
