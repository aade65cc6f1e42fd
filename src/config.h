/* The configuration of one pipeline, read from its YAML file. */
#ifndef WF_CONFIG_H
#define WF_CONFIG_H

#include "option.h"
#include "sink.h"

/* Each in the order of its option's words. */
enum wf_profile {
    WF_PROFILE_DEBEZIUM,
    WF_PROFILE_STRICT,
    WF_PROFILE_NATIVE,
    WF_PROFILE_CONNECT,
    WF_PROFILE_ROW,
};
enum wf_encoding { WF_ENC_AVRO, WF_ENC_SINGLE_OBJECT, WF_ENC_JSON };
enum wf_decimal_mode { WF_DECIMAL_PRECISE, WF_DECIMAL_DOUBLE, WF_DECIMAL_STRING };
enum wf_time_mode {
    WF_TIME_AUTO, /* as the profile says */
    WF_TIME_ADAPTIVE,
    WF_TIME_ADAPTIVE_TIME_MICROS,
    WF_TIME_MICROS,
    WF_TIME_NANOS,
    WF_TIME_CONNECT,
    WF_TIME_ISOSTRING,
};
enum wf_zoned_mode { WF_ZONED_AUTO, WF_ZONED_STRING, WF_ZONED_TIMESTAMP_MICROS };
enum wf_interval_mode { WF_INTERVAL_AUTO, WF_INTERVAL_NUMERIC, WF_INTERVAL_STRING };
enum wf_hstore_mode { WF_HSTORE_AUTO, WF_HSTORE_JSON, WF_HSTORE_MAP };
enum wf_binary_mode { WF_BINARY_BYTES, WF_BINARY_BASE64, WF_BINARY_BASE64_URL, WF_BINARY_HEX };
enum wf_array_mode { WF_ARRAY_ARRAY, WF_ARRAY_STRING };
enum wf_unknown_mode { WF_UNKNOWN_AUTO, WF_UNKNOWN_ON, WF_UNKNOWN_OFF };
enum wf_failure_mode { WF_FAILURE_FAIL, WF_FAILURE_WARN };
enum wf_toast_mode { WF_TOAST_AUTO, WF_TOAST_PLACEHOLDER_MODE, WF_TOAST_MARK, WF_TOAST_HALT };
enum wf_aside_policy { WF_ASIDE_HALT, WF_ASIDE_DEAD_LETTER, WF_ASIDE_MARKER };
enum wf_lossy_mode { WF_LOSSY_REFUSE, WF_LOSSY_ALLOW };
enum wf_name_mode { WF_NAME_AVRO, WF_NAME_AVRO_UNICODE };
enum wf_collision_mode { WF_COLLISION_REFUSE, WF_COLLISION_SUFFIX };
enum wf_subject_mode { WF_SUBJECT_TOPIC, WF_SUBJECT_RECORD, WF_SUBJECT_TOPIC_RECORD };
enum wf_failover { WF_FAILOVER_AUTO, WF_FAILOVER_ON, WF_FAILOVER_OFF };
enum wf_log_format { WF_LOG_LOGFMT, WF_LOG_JSON };

struct wf_source_conf {
    char *dsn;
    char *password;
    char *slot;                              /* default: walferry_<pipeline>, sanitised */
    char *publication;                       /* default: as the slot */
    struct wf_list tables;                   /* globs over schema.table; default all */
    struct wf_list exclude_tables;           /* as tables */
    struct wf_list columns, exclude_columns; /* patterns over schema.table.column */
    struct wf_map mask;                      /* such a pattern to what is done */
    char *mask_salt;
    struct wf_map row_filters;         /* schema.table to an SQL condition */
    struct wf_list skipped_operations; /* c u d t */
    bool binary;                       /* values in binary form where the plugin can */
    int decoder;                       /* index into wf_decoders */
    bool create;                       /* create slot and publication when no checkpoint exists */
    int failover;                      /* enum wf_failover */
    int64_t status_interval_ms;
    int64_t stall_limit_ms;
    int64_t reconnect_max_ms;
    int64_t connect_timeout_ms;
    int64_t max_row_bytes;
};

struct wf_format_conf {
    int profile;  /* enum wf_profile */
    int encoding; /* enum wf_encoding */
    int decimal_mode, time_mode, zoned_mode, interval_mode, hstore_mode,
        binary_mode; /* enum wf_* */
    int array_mode, unknown_mode, failure_mode, toast_mode, lossy_mode;
    int name_mode, collision_mode, subject_mode;
    int64_t money_digits;         /* fraction digits of money */
    char *placeholder;            /* for unchanged TOASTed values */
    struct wf_list source_type;   /* columns whose schema tells their PostgreSQL type */
    struct wf_map topics;         /* table pattern to topic template */
    struct wf_map keys;           /* table pattern to columns, joined by ',' */
    bool transactions;            /* transaction metadata, in events and as a topic */
    int64_t heartbeat_ms;         /* 0 = none */
    struct wf_list semantic_free; /* table patterns the semantic guard leaves alone */
    char *prefix; /* topic prefix = Debezium's topic.prefix; default: the pipeline's name */
    char *topic;  /* template over {prefix} {schema} {table} */
    bool tombstones;
    int64_t max_event;          /* bytes of the largest event: key, value and headers */
    int bad_value;              /* enum wf_aside_policy, but for MARKER */
    struct wf_map large_events; /* table pattern to a word of enum wf_aside_policy */
    struct wf_list registry;    /* base URLs; empty = none */
    char *registry_user, *registry_password;
    char *registry_ca, *registry_cert, *registry_key; /* file paths */
};

struct wf_state_conf {
    char *dir;           /* of the checkpoint */
    int64_t interval_ms; /* shortest time between two checkpoint writes */
};

struct wf_log_conf {
    int format; /* enum wf_log_format */
    int level;  /* enum wf_level */
};

#define WF_SECTIONS 5 /* source, sink, format, state, log */

struct wf_config {
    char *path;     /* of the file */
    char *pipeline; /* file name without directory and .yaml */
    struct wf_source_conf source;
    struct wf_format_conf format;
    struct wf_state_conf state;
    struct wf_log_conf log;
    const struct wf_sink_ops *sink_ops;
    void *sink;                  /* struct of sink_ops->conf_size */
    uint64_t given[WF_SECTIONS]; /* bit n: row n of that section's table stood in the file */
};

/* Receives one line per problem of the text: "shop.yaml:14:9: sink.linger: ...; did you mean ...?".
 * The summary in @err is worth printing after them. */
typedef void (*wf_config_report)(void *arg, const char *line);

/**
 * wf_config_load() - read, check and default one file
 * @path:   the YAML file, at most 1 MiB; "${VAR}", "${VAR:-x}" and "$$" are expanded in values
 * @report: every problem of the file, in the order of its lines
 *
 * Return: WF_OK with *out the caller's to free; WF_FATAL with exit code 78 and in @err a summary
 * ("shop.yaml: 3 problems"), or why the file cannot be read. With @report NULL @err holds the first
 * problem.
 */
enum wf_rc wf_config_load(const char *path, struct wf_config **out, wf_config_report report,
                          void *arg, struct wf_err *err);
/* As wf_config_load() for a text in memory; @name stands for the path in messages. Touches no
 * file: a `<key>_file` is refused. */
enum wf_rc wf_config_parse(const char *name, const char *text, size_t len, struct wf_config **out,
                           wf_config_report report, void *arg, struct wf_err *err);
/* The file's effective values as YAML, secrets hidden, defaults marked in a comment. */
void wf_config_show(const struct wf_config *c, struct wf_buf *out);
/* All options of all sections and sinks as Markdown, from the tables. */
void wf_config_docs(struct wf_buf *out);
/* A JSON Schema of the file, from the tables: for editors. */
void wf_config_schema(struct wf_buf *out);
void wf_config_free(struct wf_config *c);
/* Bytes of the largest event: format.max_event, or what the sink takes if that is less. */
size_t wf_config_largest(const struct wf_config *c);

/* The profile of that name, -1 when there is none. */
int wf_config_profile(const char *name);

#endif
