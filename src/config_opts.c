#include "config_parts.h"

#include "log.h"
#include "plugins.h"

#define MAX_PLUGINS 16

static const char *decoder_names[MAX_PLUGINS + 1];
static const char *sink_names[MAX_PLUGINS + 1];
static const char *const profile_names[] = {"debezium", NULL};
static const char *const encoding_names[] = {"avro", "json", NULL};
static const char *const log_formats[] = {"logfmt", "json", NULL};

/* clang-format off */
#define SOURCE(f) .field = offsetof(struct wf_source_conf, f)
static const struct wf_opt source_opts[] = {
    {.key = "dsn", .type = WF_OPT_STR, .required = true, SOURCE(dsn),
     .help = "Connection to PostgreSQL: libpq keywords (`host=/run/postgresql dbname=shop "
             "user=walferry`) or a `postgresql://` URI. Several hosts are tried in order. A Unix "
             "socket on the same host is about twice as fast as TCP."},
    {.key = "password", .type = WF_OPT_SECRET, SOURCE(password),
     .help = "Password of the role, when `dsn` holds none and no `.pgpass` is in use."},
    {.key = "slot", .type = WF_OPT_STR, .dflt_note = "`walferry_{pipeline}`", SOURCE(slot),
     .help = "Replication slot, 1 to 63 of `a-z 0-9 _`. One pipeline owns one slot."},
    {.key = "publication", .type = WF_OPT_STR, .dflt_note = "as the slot", SOURCE(publication),
     .help = "Publication to read."},
    {.key = "tables", .type = WF_OPT_LIST, .dflt = "*.*", SOURCE(tables),
     .help = "Tables to read, as `schema.table`; `*` stands for any letters, `?` for one. A "
             "publication that walferry creates holds exactly these."},
    {.key = "decoder", .type = WF_OPT_ENUM, .dflt = "pgoutput", .choices = decoder_names,
     SOURCE(decoder), .help = "Output plugin of the slot."},
    {.key = "create", .type = WF_OPT_BOOL, .dflt = "on", SOURCE(create),
     .help = "Create slot and publication when they are missing and no checkpoint exists. Where a "
             "checkpoint exists a slot is never created: that would hide a gap."},
    {.key = "status_interval", .type = WF_OPT_TIME, .dflt = "10s", .min = "1s", .max = "1m",
     SOURCE(status_interval_ms),
     .help = "Longest wait between two status packets; keep it well below the server's "
             "`wal_sender_timeout`."},
    {.key = "stall_limit", .type = WF_OPT_TIME, .dflt = "1m", .min = "1s", .max = "1h",
     SOURCE(stall_limit_ms),
     .help = "With no progress for this long the connection is given up until the sink has room "
             "again; the slot stays."},
    {.key = "reconnect_max", .type = WF_OPT_TIME, .dflt = "30s", .min = "100ms", .max = "10m",
     SOURCE(reconnect_max_ms), .help = "Longest pause between two attempts to connect."},
    {.key = "connect_timeout", .type = WF_OPT_TIME, .dflt = "10s", .min = "1s", .max = "5m",
     SOURCE(connect_timeout_ms), .help = "Longest wait for one host to answer."},
    {.key = "max_row", .type = WF_OPT_SIZE, .dflt = "64MiB", .min = "1MiB", .max = "1GiB",
     SOURCE(max_row_bytes),
     .help = "A message of the server above this size stops the pipeline instead of filling the "
             "memory."},
    {.key = NULL},
};

#define FORMAT(f) .field = offsetof(struct wf_format_conf, f)
static const struct wf_opt format_opts[] = {
    {.key = "profile", .type = WF_OPT_ENUM, .dflt = "debezium", .choices = profile_names,
     FORMAT(profile), .help = "Shape of the events. `debezium`: its envelope, names and values."},
    {.key = "encoding", .type = WF_OPT_ENUM, .dflt = "avro", .choices = encoding_names,
     FORMAT(encoding), .help = "Bytes of the events. A sink that takes only JSON ignores it."},
    {.key = "prefix", .type = WF_OPT_STR, .dflt = WF_PIPELINE, FORMAT(prefix),
     .help = "First part of topic and schema names, Debezium's `topic.prefix`. Letters, digits and "
             "`._-`."},
    {.key = "topic", .type = WF_OPT_STR, .dflt = "{prefix}.{schema}.{table}", FORMAT(topic),
     .help = "Name of a table's topic. Placeholders: `{prefix}`, `{schema}`, `{table}`."},
    {.key = "tombstones", .type = WF_OPT_BOOL, .dflt = "on", FORMAT(tombstones),
     .help = "After a delete, send an empty event with the same key, so that compaction drops the "
             "row."},
    {.key = "max_event", .type = WF_OPT_SIZE, .dflt = "16MiB", .min = "1KiB", .max = "1GiB",
     FORMAT(max_event), .help = "Largest key or value. A larger one blocks the pipeline."},
    {.key = "registry", .type = WF_OPT_LIST, FORMAT(registry),
     .help = "Schema registry: base URLs of one or more nodes, tried in order. Needed for Avro on "
             "Kafka."},
    {.key = "registry_user", .type = WF_OPT_STR, FORMAT(registry_user),
     .help = "User for basic authentication."},
    {.key = "registry_password", .type = WF_OPT_SECRET, FORMAT(registry_password),
     .help = "Password for basic authentication."},
    {.key = "registry_ca", .type = WF_OPT_STR, .dflt_note = "the system's", FORMAT(registry_ca),
     .help = "File with the certificate authorities to trust, PEM."},
    {.key = "registry_cert", .type = WF_OPT_STR, FORMAT(registry_cert),
     .help = "File with the client certificate, PEM."},
    {.key = "registry_key", .type = WF_OPT_STR, FORMAT(registry_key),
     .help = "File with the client certificate's key, PEM."},
    {.key = NULL},
};

static const struct wf_opt state_opts[] = {
    {.key = "dir", .type = WF_OPT_STR, .dflt = "/var/lib/walferry/" WF_PIPELINE,
     .field = offsetof(struct wf_state_conf, dir),
     .help = "Directory of the checkpoint. Only one pipeline may use it."},
    {.key = "interval", .type = WF_OPT_TIME, .dflt = "10ms", .min = "0ms", .max = "10s",
     .field = offsetof(struct wf_state_conf, interval_ms),
     .help = "Shortest time between two writes of the checkpoint. Longer means fewer disk writes "
             "and more repeated events after a crash."},
    {.key = NULL},
};

static const struct wf_opt log_opts[] = {
    {.key = "format", .type = WF_OPT_ENUM, .dflt = "logfmt", .choices = log_formats,
     .field = offsetof(struct wf_log_conf, format), .help = "Form of the lines on standard error."},
    {.key = "level", .type = WF_OPT_ENUM, .dflt = "info", .choices = wf_level_names,
     .field = offsetof(struct wf_log_conf, level), .help = "The least important line to write."},
    {.key = NULL},
};

static const struct wf_opt sink_type = {
    .key = "type", .type = WF_OPT_ENUM, .dflt = "file", .choices = sink_names,
    .help = "Kind of destination. The other keys of the section depend on it.",
};
/* clang-format on */

static const struct wf_opt no_opts[] = {{.key = NULL}};

/* The plugins name themselves; choices want plain words. Writes the same words every time. */
static void collect_names(void)
{
    for (size_t i = 0; i < MAX_PLUGINS && wf_decoders[i]; i++)
        decoder_names[i] = wf_decoders[i]->name;
    for (size_t i = 0; i < MAX_PLUGINS && wf_sinks[i]; i++)
        sink_names[i] = wf_sinks[i]->name;
}

const struct wf_sink_ops *wf_config_sink_find(const char *name)
{
    for (size_t i = 0; wf_sinks[i]; i++)
        if (strcmp(wf_sinks[i]->name, name) == 0)
            return wf_sinks[i];
    return NULL;
}

const struct wf_opt *wf_config_sink_opts(const struct wf_sink_ops *ops)
{
    return ops && ops->opts ? ops->opts : no_opts;
}

const struct wf_opt *wf_config_sink_type(void)
{
    collect_names();
    return &sink_type;
}

void wf_config_sections(struct wf_config *c, struct wf_section out[WF_SECTIONS])
{
    collect_names();
    out[WF_SECTION_SOURCE] = (struct wf_section){"source", "Where the changes come from.",
                                                 source_opts, c ? &c->source : NULL};
    out[WF_SECTION_SINK] =
        (struct wf_section){"sink", "Where the events go. Without this section: container files.",
                            wf_config_sink_opts(c ? c->sink_ops : NULL), c ? c->sink : NULL};
    out[WF_SECTION_FORMAT] = (struct wf_section){"format", "What an event looks like.", format_opts,
                                                 c ? &c->format : NULL};
    out[WF_SECTION_STATE] = (struct wf_section){"state", "Where walferry remembers how far it is.",
                                                state_opts, c ? &c->state : NULL};
    out[WF_SECTION_LOG] =
        (struct wf_section){"log", "What it tells.", log_opts, c ? &c->log : NULL};
}
