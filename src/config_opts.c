#include "config_parts.h"

#include "log.h"
#include "plugins.h"

#define MAX_PLUGINS 16

static const char *decoder_names[MAX_PLUGINS + 1];
static const char *sink_names[MAX_PLUGINS + 1];
static const char *const profile_names[] = {
    "debezium", "debezium-strict", "native", "connect", "row", NULL};
static const char *const encoding_names[] = {"avro", "single_object", "json", NULL};
static const char *const decimal_modes[] = {"precise", "double", "string", NULL};
static const char *const time_modes[] = {
    "auto",      "adaptive", "adaptive_time_microseconds", "microseconds", "nanoseconds", "connect",
    "isostring", NULL};
static const char *const zoned_modes[] = {"auto", "string", "timestamp_micros", NULL};
static const char *const interval_modes[] = {"auto", "numeric", "string", NULL};
static const char *const hstore_modes[] = {"auto", "json", "map", NULL};
static const char *const binary_modes[] = {"bytes", "base64", "base64-url-safe", "hex", NULL};
static const char *const array_modes[] = {"array", "string", NULL};
static const char *const auto_on_off[] = {"auto", "on", "off", NULL};
static const char *const failure_modes[] = {"fail", "warn", NULL};
static const char *const aside_modes[] = {"halt", "dead_letter", NULL};
static const char *const toast_modes[] = {"auto", "placeholder", "mark", "halt", NULL};
static const char *const lossy_modes[] = {"refuse", "allow", NULL};
static const char *const name_modes[] = {"avro", "avro_unicode", NULL};
static const char *const collision_modes[] = {"refuse", "suffix", NULL};
static const char *const subject_modes[] = {"topic_name", "record_name", "topic_record_name", NULL};
static const char *const log_formats[] = {"logfmt", "json", NULL};

/* clang-format off */
#define SOURCE(f) .field = offsetof(struct wf_source_conf, f)
static const struct wf_opt source_opts[] = {
    {.key = "dsn", .type = WF_OPT_STR, .required = true, SOURCE(dsn),
     .help = "Connection to PostgreSQL: libpq keywords (`host=/run/postgresql dbname=shop "
             "user=walferry`) or a `postgresql://` URI. Several hosts (`host=a,b`) are tried in "
             "order, and only a primary is taken unless `target_session_attrs` says otherwise. A "
             "Unix socket on the same host is about twice as fast as TCP."},
    {.key = "password", .type = WF_OPT_SECRET, SOURCE(password),
     .help = "Password of the role, when `dsn` holds none and no `.pgpass` is in use."},
    {.key = "slot", .type = WF_OPT_STR, .dflt_note = "`walferry_{pipeline}`", SOURCE(slot),
     .help = "Replication slot, 1 to 63 of `a-z 0-9 _`. One pipeline owns one slot."},
    {.key = "publication", .type = WF_OPT_STR, .dflt_note = "as the slot", SOURCE(publication),
     .help = "Publication to read."},
    {.key = "tables", .type = WF_OPT_LIST, .dflt = "*.*", SOURCE(tables),
     .help = "Tables to read, as `schema.table`; `*` stands for any letters, `?` for one. A "
             "publication that walferry creates holds exactly these."},
    {.key = "exclude_tables", .type = WF_OPT_LIST, SOURCE(exclude_tables),
     .help = "Tables to leave out of those that `tables` names; same patterns."},
    {.key = "columns", .type = WF_OPT_LIST, SOURCE(columns),
     .help = "Columns to read, as patterns over `schema.table.column`; a table that no pattern "
             "names keeps all its columns. Key columns cannot be left out."},
    {.key = "exclude_columns", .type = WF_OPT_LIST, SOURCE(exclude_columns),
     .help = "Columns to leave out, as patterns over `schema.table.column`."},
    {.key = "mask", .type = WF_OPT_MAP, SOURCE(mask),
     .help = "Columns whose values are hidden: a pattern over `schema.table.column` and what is "
             "done: `hash` (SHA-256 of salt and value, in hexadecimal), `fixed TEXT`, `truncate N` "
             "(the first N characters)."},
    {.key = "mask_salt", .type = WF_OPT_SECRET, SOURCE(mask_salt),
     .help = "Salt of `hash` masks; needed for them."},
    {.key = "row_filters", .type = WF_OPT_MAP, SOURCE(row_filters),
     .help = "Rows to read: `schema.table` and an SQL condition, put into a publication that "
             "walferry creates (PostgreSQL 15 and later)."},
    {.key = "skipped_operations", .type = WF_OPT_LIST, SOURCE(skipped_operations),
     .help = "Operations to leave out: `c` inserts, `u` updates, `d` deletes, `t` truncates. "
             "Default: none, with profile `debezium-strict` `t`; `none` leaves nothing out."},
    {.key = "binary", .type = WF_OPT_BOOL, .dflt = "off", SOURCE(binary),
     .help = "Let pgoutput send values in binary form. Rarely faster; where a type has no binary "
             "form walferry goes back to text by itself."},
    {.key = "decoder", .type = WF_OPT_ENUM, .dflt = "pgoutput", .choices = decoder_names,
     SOURCE(decoder), .help = "Output plugin of the slot."},
    {.key = "create", .type = WF_OPT_BOOL, .dflt = "on", SOURCE(create),
     .help = "Create slot and publication when they are missing and no checkpoint exists. Where a "
             "checkpoint exists a slot is never created: that would hide a gap."},
    {.key = "failover", .type = WF_OPT_ENUM, .dflt = "auto", .choices = auto_on_off,
     SOURCE(failover),
     .help = "Let PostgreSQL 17 and later synchronise the slot to standbys, so that it is there "
             "after a promotion. `auto`: a slot that walferry makes, where the server can; `on`: an "
             "existing slot as well, and a server that cannot is refused; `off`: no."},
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
     FORMAT(profile),
     .help = "Shape of the events. `debezium`: its envelope, names and values, with standard "
             "logical types added. `debezium-strict`: schema texts equal to Debezium's, for a "
             "cut-over on a live topic. `native`: a small envelope with Avro's own logical types. "
             "`connect`: Debezium's envelope with Kafka Connect's millisecond types. `row`: the row "
             "itself, flat, with `__op` and the like behind it."},
    {.key = "encoding", .type = WF_OPT_ENUM, .dflt = "avro", .choices = encoding_names,
     FORMAT(encoding),
     .help = "Bytes of the events. `avro`: as the sink needs it (Kafka: behind a registry's schema "
             "id). `single_object`: Avro's single-object encoding, the schema's fingerprint in "
             "front, no registry. `json`: one line. A sink that takes only JSON ignores it."},
    {.key = "prefix", .type = WF_OPT_STR, .dflt = WF_PIPELINE, FORMAT(prefix),
     .help = "First part of topic and schema names, Debezium's `topic.prefix`. Letters, digits and "
             "`._-`."},
    {.key = "topic", .type = WF_OPT_STR, .dflt = "{prefix}.{schema}.{table}", FORMAT(topic),
     .help = "Name of a table's topic. Placeholders: `{prefix}`, `{schema}`, `{table}`."},
    {.key = "topics", .type = WF_OPT_MAP, FORMAT(topics),
     .help = "Topics of single tables: a pattern over `schema.table` and a template as in "
             "`topic`."},
    {.key = "keys", .type = WF_OPT_MAP, FORMAT(keys),
     .help = "Keys of single tables: a pattern over `schema.table` and the columns, separated by "
             "commas. Default: the primary key, else a unique index, else no key."},
    {.key = "name_adjustment_mode", .type = WF_OPT_ENUM, .dflt = "avro", .choices = name_modes,
     FORMAT(name_mode),
     .help = "What becomes of characters that Avro's names cannot hold: `avro`: `_`; "
             "`avro_unicode`: `_uXXXX`, which can be turned back."},
    {.key = "on_collision", .type = WF_OPT_ENUM, .dflt = "refuse", .choices = collision_modes,
     FORMAT(collision_mode),
     .help = "When two columns get the same Avro name: stop, or append `_` and 4 digits of a hash "
             "of the column's name to the later one."},
    {.key = "decimal_handling_mode", .type = WF_OPT_ENUM, .dflt = "precise",
     .choices = decimal_modes, FORMAT(decimal_mode),
     .help = "numeric and money: `precise`: decimals; `double`: rounded to a double; `string`."},
    {.key = "money_fraction_digits", .type = WF_OPT_INT, .dflt = "2", .min = "0", .max = "10",
     FORMAT(money_digits), .help = "Digits behind the point of money values."},
    {.key = "time_precision_mode", .type = WF_OPT_ENUM, .dflt = "auto", .choices = time_modes,
     FORMAT(time_mode),
     .help = "date, time and timestamp: `adaptive`: milliseconds up to precision 3, else "
             "microseconds; `adaptive_time_microseconds`: time always in microseconds; "
             "`microseconds`, `nanoseconds`; `connect`: Kafka Connect's types, milliseconds; "
             "`isostring`: ISO 8601. `auto`: as the profile says."},
    {.key = "timestamptz_handling_mode", .type = WF_OPT_ENUM, .dflt = "auto",
     .choices = zoned_modes, FORMAT(zoned_mode),
     .help = "timestamptz: `string`: ISO 8601 in UTC; `timestamp_micros`: microseconds since 1970. "
             "`auto`: as the profile says."},
    {.key = "interval_handling_mode", .type = WF_OPT_ENUM, .dflt = "auto",
     .choices = interval_modes, FORMAT(interval_mode),
     .help = "interval: `numeric`: microseconds, a month as 30.4375 days; `string`: ISO 8601. "
             "`auto`: as the profile says."},
    {.key = "hstore_handling_mode", .type = WF_OPT_ENUM, .dflt = "auto", .choices = hstore_modes,
     FORMAT(hstore_mode), .help = "hstore: `json`: a JSON object as text; `map`: an Avro map."},
    {.key = "binary_handling_mode", .type = WF_OPT_ENUM, .dflt = "bytes", .choices = binary_modes,
     FORMAT(binary_mode), .help = "bytea: bytes, or text in that form."},
    {.key = "array_handling_mode", .type = WF_OPT_ENUM, .dflt = "array", .choices = array_modes,
     FORMAT(array_mode),
     .help = "Arrays: `array`: Avro arrays, for values of one dimension; `string`: the server's "
             "text, whatever the dimensions."},
    {.key = "include_unknown_datatypes", .type = WF_OPT_ENUM, .dflt = "auto",
     .choices = auto_on_off, FORMAT(unknown_mode),
     .help = "Columns of types without an Avro form of their own: `on`: the server's text; `off`: "
             "left out. `auto`: left out with profile `debezium-strict` only."},
    {.key = "event_converting_failure_handling_mode", .type = WF_OPT_ENUM, .dflt = "fail",
     .choices = failure_modes, FORMAT(failure_mode),
     .help = "A value that its Avro type cannot hold: `fail`: stop before it; `warn`: write null "
             "where the column allows it, with a warning that names the column."},
    {.key = "truncate", .type = WF_OPT_ENUM, .dflt = "refuse", .choices = lossy_modes,
     FORMAT(lossy_mode),
     .help = "Columns that a profile or mode can show in part only (microseconds in "
             "milliseconds): refuse the table, or cut."},
    {.key = "unchanged_toast", .type = WF_OPT_ENUM, .dflt = "auto", .choices = toast_modes,
     FORMAT(toast_mode),
     .help = "A TOASTed value that an UPDATE did not touch and the server did not send: "
             "`placeholder`; `mark`: null, and the column's name in the event's list of "
             "unavailable columns (profiles `native` and `row`); `halt`. `auto`: placeholder, "
             "`native`: mark, `row`: halt."},
    {.key = "unavailable_value_placeholder", .type = WF_OPT_STR,
     .dflt = "__debezium_unavailable_value", FORMAT(placeholder),
     .help = "Stands for such a value."},
    {.key = "column_propagate_source_type", .type = WF_OPT_LIST, FORMAT(source_type),
     .help = "Columns whose schema tells PostgreSQL's type, length and scale; patterns over "
             "`schema.table.column`."},
    {.key = "provide_transaction_metadata", .type = WF_OPT_BOOL, .dflt = "off",
     FORMAT(transactions),
     .help = "Number the events of each transaction and publish its begin and end, with counts, to "
             "topic `{prefix}.transaction`."},
    {.key = "heartbeat_interval", .type = WF_OPT_TIME, .dflt = "0ms", .min = "0ms", .max = "1d",
     FORMAT(heartbeat_ms),
     .help = "Publish a heartbeat to `__debezium-heartbeat.{prefix}` that often; 0: none."},
    {.key = "tombstones", .type = WF_OPT_BOOL, .dflt = "on", FORMAT(tombstones),
     .help = "After a delete, send an empty event with the same key, so that compaction drops the "
             "row."},
    {.key = "max_event", .type = WF_OPT_SIZE, .dflt = "16MiB", .min = "1KiB", .max = "1GiB",
     FORMAT(max_event),
     .help = "Largest event, key, value and headers together; the sink's own limit counts too, if it "
             "is smaller. A larger one blocks the pipeline, or see `on_large_event`."},
    {.key = "on_bad_value", .type = WF_OPT_ENUM, .dflt = "halt", .choices = aside_modes,
     FORMAT(bad_value),
     .help = "A change with a value that its Avro type cannot hold: `halt`: stop there; "
             "`dead_letter`: publish the plugin's message, with the reason and the position, to "
             "`{prefix}.dead_letter` and go on."},
    {.key = "on_large_event", .type = WF_OPT_MAP, FORMAT(large_events),
     .help = "Events over the limit, by table pattern: `halt` (the default), `dead_letter`, or "
             "`marker`: the event without its large values, which look like unchanged TOASTed ones; "
             "the plugin's message is kept in a file in `state.dir/set-aside`. A message too large "
             "for a dead letter is kept there as well."},
    {.key = "registry", .type = WF_OPT_LIST, FORMAT(registry),
     .help = "Schema registry: base URLs of one or more nodes, tried in order. Needed for Avro on "
             "Kafka."},
    {.key = "subject_name_strategy", .type = WF_OPT_ENUM, .dflt = "topic_name",
     .choices = subject_modes, FORMAT(subject_mode),
     .help = "The registry's subject: `topic_name`: the topic and `-key` or `-value`; "
             "`record_name`: the record's full name; `topic_record_name`: both."},
    {.key = "allow_semantic_change", .type = WF_OPT_LIST, FORMAT(semantic_free),
     .help = "Tables (patterns over `schema.table`) that may change a column's meaning under its "
             "old name: scale, unit, type, key. Others are stopped before a registry takes such a "
             "schema."},
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

int wf_config_profile(const char *name)
{
    for (int i = 0; profile_names[i]; i++)
        if (!strcmp(profile_names[i], name))
            return i;
    return -1;
}

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
