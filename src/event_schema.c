#include "event_schema.h"

#define PG_NAMESPACE "io.debezium.connector.postgresql"
#define COMMON_NAMESPACE "io.debezium.connector.common"

/* Parts of texts, in C string form. */
#define OPTIONAL(name, type)                                                                       \
    "{\"name\":\"" name "\",\"type\":[\"null\",\"" type "\"],\"default\":null}"
#define REQUIRED(name, type) "{\"name\":\"" name "\",\"type\":\"" type "\"}"

/* The source record without its opening: the namespace is left out where the enclosing record has
 * the same one. */
static const char source_head[] =
    "\"fields\":[" REQUIRED("version", "string") "," REQUIRED("connector", "string") "," REQUIRED(
        "name", "string") "," REQUIRED("ts_ms", "long") ","
                                                        "{\"name\":\"snapshot\",\"type\":[{"
                                                        "\"type\":\"string\",\"connect.version\":1,"
                                                        "\"connect.parameters\":{\"allowed\":"
                                                        "\"true,first,first_in_data_collection,"
                                                        "last_in_data_collection,last,false,"
                                                        "incremental\"},\"connect.default\":"
                                                        "\"false\","
                                                        "\"connect.name\":\"io.debezium.data."
                                                        "Enum\"},\"null\"],\"default\":\"false\"}"
                                                        "," REQUIRED("db", "string") "," OPTIONAL(
                                                            "sequence",
                                                            "string") "," OPTIONAL("ts_us",
                                                                                   "long") ",";

static const char source_tail[] =
    REQUIRED("schema", "string") "," REQUIRED("table", "string") "," OPTIONAL("txId", "long") "," OPTIONAL(
        "lsn",
        "long") "," OPTIONAL("xmin",
                             "long") "," OPTIONAL("origin",
                                                  "string") "," OPTIONAL("origin_lsn",
                                                                         "long") "],\"connect."
                                                                                 "version\":1,"
                                                                                 "\"connect.name\":"
                                                                                 "\"" PG_NAMESPACE
                                                                                 ".Source\"}";

static const char transaction_field[] =
    "{\"name\":\"transaction\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"block\","
    "\"namespace\":\"event\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},"
    "{\"name\":\"total_order\",\"type\":\"long\"},"
    "{\"name\":\"data_collection_order\",\"type\":\"long\"}],"
    "\"connect.version\":1,\"connect.name\":\"event.block\"}],\"default\":null}";

static void put_ts(struct wf_buf *out, bool ts_ns)
{
    wf_buf_str(out, OPTIONAL("ts_ms", "long") "," OPTIONAL("ts_us", "long"));
    if (ts_ns)
        wf_buf_str(out, "," OPTIONAL("ts_ns", "long"));
}

static void put_name(struct wf_buf *out, const char *name, const char *ns)
{
    wf_buf_str(out, "{\"type\":\"record\",\"name\":\"");
    wf_buf_str(out, name);
    if (ns) {
        wf_buf_str(out, "\",\"namespace\":\"");
        wf_buf_str(out, ns);
    }
    wf_buf_str(out, "\",");
}

/* The end of record `<ns>.<name>`. */
static void put_connect_name(struct wf_buf *out, const char *ns, const char *name)
{
    wf_buf_str(out, ",\"connect.name\":\"");
    wf_buf_str(out, ns);
    wf_buf_byte(out, '.');
    wf_buf_str(out, name);
    wf_buf_str(out, "\"}");
}

void wf_schema_key(struct wf_buf *out, const char *ns, const struct wf_schema_field *f, size_t n)
{
    uint32_t defined = 0;

    put_name(out, "Key", ns);
    wf_schema_fields(out, f, n, &defined);
    put_connect_name(out, ns, "Key");
}

/* `"fields":[before, after`: the row's record is defined by the first and named by the second. */
static void put_rows(struct wf_buf *out, const char *ns, const struct wf_schema_field *f, size_t n)
{
    uint32_t defined = 0;

    wf_buf_str(out, "\"fields\":[{\"name\":\"before\",\"type\":[\"null\",");
    put_name(out, "Value", NULL);
    wf_schema_fields(out, f, n, &defined);
    put_connect_name(out, ns, "Value");
    wf_buf_str(out, "],\"default\":null},"
                    "{\"name\":\"after\",\"type\":[\"null\",\"Value\"],\"default\":null},");
}

static void put_source(struct wf_buf *out, const char *enclosing, bool ts_ns)
{
    bool same = enclosing && strcmp(enclosing, PG_NAMESPACE) == 0;

    put_name(out, "Source", same ? NULL : PG_NAMESPACE);
    wf_buf_str(out, source_head);
    if (ts_ns)
        wf_buf_str(out, OPTIONAL("ts_ns", "long") ",");
    wf_buf_str(out, source_tail);
}

void wf_schema_envelope(struct wf_buf *out, const char *ns, const struct wf_schema_field *f,
                        size_t n, const struct wf_schema_shape *shape)
{
    put_name(out, "Envelope", ns);
    put_rows(out, ns, f, n);
    wf_buf_str(out, "{\"name\":\"source\",\"type\":");
    put_source(out, ns, shape->ts_ns);
    wf_buf_str(out, "},");
    wf_buf_str(out, transaction_field);
    wf_buf_str(out, "," REQUIRED("op", "string") ",");
    put_ts(out, shape->ts_ns);
    wf_buf_str(out, "],\"connect.version\":2");
    put_connect_name(out, ns, "Envelope");
}

#define UNAVAILABLE(name)                                                                          \
    ",{\"name\":\"" name "\",\"type\":{\"type\":\"array\",\"items\":\"string\"},\"default\":[]}"

void wf_schema_native(struct wf_buf *out, const char *ns, const struct wf_schema_field *f, size_t n,
                      const struct wf_schema_shape *shape)
{
    put_name(out, "Envelope", ns);
    put_rows(out, ns, f, n);
    wf_buf_str(
        out,
        REQUIRED("op", "string") ","
                                 "{\"name\":\"ts\",\"type\":{\"type\":\"long\",\"logicalType\":"
                                 "\"timestamp-micros\"}},{\"name\":\"source\",\"type\":");
    put_name(out, "Source", "walferry");
    wf_buf_str(
        out,
        "\"fields\":[" REQUIRED("system_id", "string") "," REQUIRED("timeline", "int") "," REQUIRED("db", "string") "," REQUIRED(
            "schema",
            "string") "," REQUIRED("table",
                                   "string") "," REQUIRED("txid",
                                                          "long") "," REQUIRED("commit_lsn",
                                                                               "long") "," REQUIRED("ordinal",
                                                                                                    "long") "," REQUIRED("lsn",
                                                                                                                         "long") "]}}");
    if (shape->mark)
        wf_buf_str(out, UNAVAILABLE("unavailable"));
    wf_buf_str(out, "],\"walferry.profile\":\"native\"");
    put_connect_name(out, ns, "Envelope");
}

void wf_schema_row(struct wf_buf *out, const char *ns, const struct wf_schema_field *f, size_t n,
                   const struct wf_schema_shape *shape)
{
    uint32_t defined = 0;

    put_name(out, "Value", ns);
    wf_schema_fields(out, f, n, &defined);
    out->len--; /* more fields follow */
    wf_buf_str(out, n ? "," : "");
    wf_buf_str(out, REQUIRED("__op", "string") "," REQUIRED("__lsn", "long") "," REQUIRED(
                        "__ts_ms", "long") "," REQUIRED("__deleted", "boolean"));
    if (shape->mark)
        wf_buf_str(out, UNAVAILABLE("__unavailable"));
    wf_buf_str(out, "],\"walferry.profile\":\"row\"");
    put_connect_name(out, ns, "Value");
}

/* ---- fixed records ---- */

/* A record of version 1 whose fields are @fields. */
static void put_fixed(struct wf_buf *out, const char *ns, const char *name, const char *fields)
{
    put_name(out, name, ns);
    wf_buf_str(out, "\"fields\":[");
    wf_buf_str(out, fields);
    wf_buf_str(out, "],\"connect.version\":1");
    put_connect_name(out, ns, name);
}

void wf_schema_source(struct wf_buf *out, bool ts_ns)
{
    put_source(out, NULL, ts_ns);
}

void wf_schema_message_key(struct wf_buf *out, bool ts_ns)
{
    (void)ts_ns;
    put_fixed(out, PG_NAMESPACE, "MessageKey", OPTIONAL("prefix", "string"));
}

void wf_schema_message_value(struct wf_buf *out, bool ts_ns)
{
    put_name(out, "MessageValue", PG_NAMESPACE);
    wf_buf_str(out, "\"fields\":[" REQUIRED("op", "string") "," OPTIONAL(
                        "ts_ms", "long") ","
                                         "{\"name\":\"source\",\"type\":");
    put_source(out, PG_NAMESPACE, ts_ns);
    wf_buf_str(out, "},");
    wf_buf_str(out, transaction_field);
    wf_buf_str(out, ",{\"name\":\"message\",\"type\":");
    put_name(out, "Message", NULL);
    wf_buf_str(out, "\"fields\":[" OPTIONAL("prefix", "string") "," OPTIONAL(
                        "content", "bytes") "],\"connect.version\":1");
    put_connect_name(out, PG_NAMESPACE, "Message");
    wf_buf_str(out, "}],\"connect.version\":1");
    put_connect_name(out, PG_NAMESPACE, "MessageValue");
}

void wf_schema_truncate(struct wf_buf *out, bool ts_ns)
{
    put_name(out, "Truncate", "walferry");
    wf_buf_str(out, "\"fields\":[" REQUIRED("op", "string") ",{\"name\":\"source\",\"type\":");
    put_source(out, NULL, ts_ns);
    wf_buf_str(out,
               "}," REQUIRED("cascade", "boolean") "," REQUIRED("restart_identity", "boolean") ",");
    put_ts(out, ts_ns);
    wf_buf_str(out, "],\"connect.version\":1");
    put_connect_name(out, "walferry", "Truncate");
}

void wf_schema_transaction_key(struct wf_buf *out, bool ts_ns)
{
    (void)ts_ns;
    put_fixed(out, COMMON_NAMESPACE, "TransactionMetadataKey", REQUIRED("id", "string"));
}

void wf_schema_transaction_value(struct wf_buf *out, bool ts_ns)
{
    (void)ts_ns;
    put_name(out, "TransactionMetadataValue", COMMON_NAMESPACE);
    wf_buf_str(
        out, "\"fields\":[" REQUIRED("status", "string") "," REQUIRED("id", "string") "," OPTIONAL(
                 "event_count", "long") ",{\"name\":\"data_collections\",\"type\":"
                                        "[\"null\",{\"type\":\"array\",\"items\":[\"null\",");
    put_name(out, "collection", "event");
    wf_buf_str(out, "\"fields\":[" REQUIRED("data_collection", "string") "," REQUIRED(
                        "event_count", "long") "],\"connect.version\":1");
    put_connect_name(out, "event", "collection");
    wf_buf_str(out, "]}],\"default\":null}," REQUIRED("ts_ms", "long") "],\"connect.version\":1");
    put_connect_name(out, COMMON_NAMESPACE, "TransactionMetadataValue");
}

void wf_schema_heartbeat_key(struct wf_buf *out, bool ts_ns)
{
    (void)ts_ns;
    put_fixed(out, COMMON_NAMESPACE, "ServerNameKey", REQUIRED("serverName", "string"));
}

void wf_schema_heartbeat_value(struct wf_buf *out, bool ts_ns)
{
    (void)ts_ns;
    put_fixed(out, COMMON_NAMESPACE, "Heartbeat", REQUIRED("ts_ms", "long"));
}

void wf_schema_dead_letter(struct wf_buf *out, bool ts_ns)
{
    (void)ts_ns;
    put_fixed(
        out, "io.walferry", "DeadLetter",
        REQUIRED("code", "string") "," REQUIRED("reason", "string") "," REQUIRED("op", "string") "," REQUIRED("schema", "string") "," REQUIRED("table", "string") "," REQUIRED(
            "lsn",
            "long") "," OPTIONAL("commit_lsn",
                                 "long") "," OPTIONAL("txId",
                                                      "long") "," REQUIRED("ts_us",
                                                                           "long") "," REQUIRED("pl"
                                                                                                "ug"
                                                                                                "i"
                                                                                                "n",
                                                                                                "st"
                                                                                                "ri"
                                                                                                "n"
                                                                                                "g") "," REQUIRED("length",
                                                                                                                  "long") "," OPTIONAL("message",
                                                                                                                                       "bytes") "," OPTIONAL("file",
                                                                                                                                                             "string"));
}
