/* Contract of a sink: what any destination looks like to the pipeline. */
#ifndef WF_SINK_H
#define WF_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "checkpoint.h"
#include "delivery.h"
#include "err.h"
#include "loop.h"
#include "option.h"
#include "stream.h"
#include "worker.h"

struct wf_sink;

/* A record read back; NULL key or value as in the topic. Return: false stops reading. */
struct wf_record {
    const unsigned char *key, *value;
    size_t key_len, value_len;
    int partition;
    int64_t offset;
};
typedef bool (*wf_record_fn)(void *arg, const struct wf_record *record);

/* A topic that is not any more what it was when walferry began to publish there. */
typedef void (*wf_topic_fn)(void *arg, const char *topic, const char *was, const char *is);

enum wf_framing {
    WF_FRAME_NONE,          /* bare Avro: the sink keeps the schema elsewhere (container file) */
    WF_FRAME_CONFLUENT,     /* 00 + 4-byte schema id + Avro: needs a registry */
    WF_FRAME_SINGLE_OBJECT, /* C3 01 + 8-byte fingerprint of the schema + Avro */
    WF_FRAME_JSON,          /* one line of JSON without the newline */
};

/* What a sink gets from the pipeline; outlives the sink. */
struct wf_sink_env {
    struct wf_loop *loop;
    struct wf_worker *worker;     /* for calls that block; jobs run in order; NULL when it ended */
    struct wf_delivery *delivery; /* confirmations go here */
    const char *pipeline;         /* the pipeline's name */
    const char *state_dir;        /* NULL: nothing is kept */
};

/* When a group of source transactions ends, see group.h. */
struct wf_group_limits {
    uint64_t interval_us, events, bytes;          /* past any of these, where a transaction ends */
    uint64_t split_us, split_events, split_bytes; /* past any of these, inside a transaction */
    bool never_split;                             /* stop there instead */
    uint64_t idle_us;                             /* between commits of a position alone */
};

/*
 * A sink that can keep the checkpoint together with the events: what is published between two
 * commits becomes readable with the second one's checkpoint, all of it or nothing. A sink that was
 * closed without a commit takes back what it had.
 */
struct wf_keeper_ops {
    /* Whether @conf asks for it. */
    bool (*enabled)(const void *conf);
    void (*limits)(const void *conf, struct wf_group_limits *out);
    /* The checkpoint, state NONE when there is none. Blocks; from any thread; does not disturb the
     * writer. */
    enum wf_rc (*stored)(const void *conf, const char *pipeline, struct wf_checkpoint *cp,
                         struct wf_err *err);
    /* Write one, for the operator. Blocks; takes the right to write away from whoever has it. */
    enum wf_rc (*store)(const void *conf, const char *pipeline, const struct wf_checkpoint *cp,
                        struct wf_err *err);
    /* After open(), before anything is published: nobody else can write any more, and @cp is what
     * is there. WF_AGAIN: not yet, call again after poll(). */
    enum wf_rc (*recover)(struct wf_sink *self, struct wf_checkpoint *cp, struct wf_err *err);
    /* Begin to commit what was published, @events of them, with @cp; what publish() takes from now
     * on belongs to the next commit. WF_AGAIN: not yet, call again after poll(). */
    enum wf_rc (*commit)(struct wf_sink *self, const struct wf_checkpoint *cp, uint64_t events,
                         struct wf_err *err);
    /* WF_OK: it is readable, and stays so; WF_AGAIN: not yet; anything else: nobody knows, reopen.
     * @renew: out, it is, but a request of it may still be on its way: reopen before the next. */
    enum wf_rc (*committed)(struct wf_sink *self, bool *renew, struct wf_err *err);
    /* The process ends: a call on the worker returns soon, whatever comes of it. */
    void (*stop)(struct wf_sink *self);
};

/*
 * Threads: every call comes from the loop thread and must not block; what can block goes to
 * env->worker. Lifetime: arguments are borrowed for the call, except env and conf, which outlive
 * the sink. Errors: WF_RETRY closes and reopens the sink from the checkpoint, after a pause;
 * WF_REJECT is the same in state "blocked": a person is needed, nothing is skipped; WF_FATAL ends
 * the process.
 */
struct wf_sink_ops {
    const char *name;                   /* value of `sink.type` in the YAML */
    const char *help;                   /* one line for docs */
    const struct wf_opt *opts;          /* the options it understands; may be NULL */
    size_t conf_size;                   /* of the struct the rows fill */
    enum wf_framing framing;            /* what `format.encoding: avro` means for it */
    bool json_only;                     /* takes JSON whatever `format.encoding` says */
    bool no_tombstones;                 /* as with `format.tombstones: off` */
    const struct wf_keeper_ops *keeper; /* may be NULL */

    /* optional. Whether @conf makes sense, before anything is connected. */
    enum wf_rc (*validate)(const void *conf, struct wf_err *err);
    /* optional. Largest event in bytes, key, value and headers. */
    size_t (*largest)(const void *conf);
    /* required. *self is the caller's to close(). Does not wait for the far end. */
    enum wf_rc (*open)(struct wf_sink **self, const void *conf, const struct wf_sink_env *env,
                       struct wf_err *err);
    /* optional. Make ready for @stream (create the topic, open a file). WF_AGAIN: not yet, call
     * again after poll(). Called until WF_OK before the stream's first event. */
    enum wf_rc (*prepare)(struct wf_sink *self, struct wf_stream *stream, struct wf_err *err);
    /* required. WF_OK: the sink holds its own copy; WF_AGAIN: no room, nothing was taken. */
    enum wf_rc (*publish)(struct wf_sink *self, const struct wf_event *ev, struct wf_err *err);
    /* required. Called after each round of the source: write out what is buffered when it is time,
     * collect confirmations (wf_delivery_acked) and failures. */
    enum wf_rc (*poll)(struct wf_sink *self, struct wf_err *err);
    /* optional. Shutdown begins: no lingering, confirm what there is as soon as possible. */
    void (*drain)(struct wf_sink *self);
    /* optional. `walferry check`: blocking, at most a few seconds; @report is called once per
     * finding: level "ok", "warning" or "error", the finding, the cure or NULL. */
    void (*check)(const void *conf, const char *pipeline,
                  void (*report)(void *arg, const char *level, const char *what, const char *cure),
                  void *arg);
    /* optional. `walferry read --topic`: every record of @topic up to its present end, partition by
     * partition; blocking. */
    enum wf_rc (*read)(const void *conf, const char *topic, wf_record_fn fn, void *arg,
                       struct wf_err *err);
    /* optional. `walferry checkpoint topics`: tell what has changed of the topics, once each;
     * @take: and take it as it is. Blocks; the daemon does not run; @fn may be NULL. */
    enum wf_rc (*topics)(const void *conf, const char *pipeline, const char *state_dir, bool take,
                         wf_topic_fn fn, void *arg, struct wf_err *err);
    /* required; NULL is fine. Unconfirmed events are dropped. What a job of the worker still uses
     * stays until the job is done. */
    void (*close)(struct wf_sink *self);
};

#endif
