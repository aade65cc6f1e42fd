#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog.h"
#include "catalog_relation.h"
#include "cmd.h"
#include "cmd_common.h"
#include "encode.h"
#include "log.h"
#include "pattern.h"
#include "pg.h"
#include "plan.h"
#include "profile.h"
#include "registry_ask.h"
#include "registry_wire.h"
#include "schema_guard.h"
#include "slot.h"

static const char help[] =
    "usage: walferry schema [--profile PROFILE] [--key | --value | --json] PIPELINE.yaml TABLE\n"
    "\n"
    "Shows the Avro schemas that a table (schema.table) has in the pipeline's events, from the\n"
    "live catalog, and with format.registry what registering them would do: nothing, a first\n"
    "version, a new version, and whether the subject's compatibility level allows that.\n"
    "Changes nothing.\n"
    "\n"
    "  --profile PROFILE  as format.profile, in place of the pipeline's\n"
    "  --key, --value     that text alone\n"
    "  --json             everything as one JSON object\n"
    "\n"
    "Exit codes: 0 done, 1 failed or not compatible, 2 usage, 78 configuration.\n";

enum output { OUT_TEXT, OUT_KEY, OUT_VALUE, OUT_JSON };

struct job {
    struct wf_config *config;
    struct wf_encoder *encoder;
    struct wf_relation rel;
    const struct wf_stream *stream;
    bool incompatible;
};

/* Which words the option format.profile knows. */
static enum wf_rc set_profile(struct wf_config *config, const char *word, struct wf_err *err)
{
    int profile = wf_config_profile(word);

    if (profile < 0)
        return wf_err_config(err, "--profile: \"%s\" is no profile; hint: %s", wf_shown(word).s,
                             "debezium, debezium-strict, native, connect or row");
    config->format.profile = profile;
    return WF_OK;
}

static enum wf_rc plan_table(struct job *j, const char *table, struct wf_err *err)
{
    const struct wf_format_conf *format = &j->config->format;
    wf_autoconn PGconn *conn = NULL;
    struct wf_catalog *catalog = NULL;
    const struct wf_plan *plan;
    enum wf_rc rc = wf_pg_connect(&j->config->source, WF_PG_SQL, NULL, &conn, err);

    if (rc == WF_OK)
        rc = wf_catalog_relation(conn, table, &j->rel, err);
    if (rc == WF_OK)
        rc = wf_catalog_fetch(conn, &j->rel, wf_profile_rules(format)->partial_unique_keys,
                              &catalog, err);
    if (rc == WF_OK) {
        const struct wf_origin origin = {PQdb(conn), 0, 0, wf_pg_raw_text(conn)};

        rc = wf_encoder_new(&j->encoder, format, &j->config->source, WF_FRAME_NONE,
                            (size_t)format->max_event, &origin, err);
    }
    if (rc == WF_OK)
        rc = wf_encoder_plan(j->encoder, &j->rel, catalog, err);
    wf_catalog_free(catalog);
    if (rc != WF_OK)
        return rc;
    plan = j->rel.plan;
    j->stream = plan->stream;
    return WF_OK;
}

/* ---- output ---- */

static const char *state_word(enum wf_schema_state state)
{
    static const char *const words[] = {[WF_SCHEMA_SAME] = "same",
                                        [WF_SCHEMA_FIRST] = "first",
                                        [WF_SCHEMA_COMPATIBLE] = "compatible",
                                        [WF_SCHEMA_INCOMPATIBLE] = "incompatible"};

    return words[state];
}

static void print_verdict(const struct wf_schema_verdict *v)
{
    switch (v->state) {
    case WF_SCHEMA_SAME:
        printf("registered as version %d with id %d: nothing new\n", v->version, v->id);
        break;
    case WF_SCHEMA_FIRST:
        puts("not registered yet: it would be the first version");
        break;
    case WF_SCHEMA_COMPATIBLE:
        printf("a new version, compatible%s%s\n", v->mode[0] ? " by " : "", v->mode);
        break;
    case WF_SCHEMA_INCOMPATIBLE:
        printf("a new version, NOT compatible%s%s: %s\n", v->mode[0] ? " by " : "", v->mode,
               v->messages[0] ? v->messages : "the registry gives no reason");
        break;
    }
}

static void put_json_text(struct wf_buf *b, const char *key, const char *text)
{
    wf_buf_printf(b, ",\"%s\":\"", key);
    wf_buf_json(b, text, strlen(text));
    wf_buf_byte(b, '"');
}

/* `"key":{...}` or `"value":{...}` */
static void put_json_schema(struct wf_buf *b, const char *what, const char *subject,
                            const char *schema, const struct wf_schema_verdict *v)
{
    wf_buf_printf(b, ",\"%s\":", what);
    if (!schema) {
        wf_buf_str(b, "null");
        return;
    }
    wf_buf_str(b, "{\"subject\":\"");
    wf_buf_json(b, subject, strlen(subject));
    wf_buf_byte(b, '"');
    if (v) {
        put_json_text(b, "registry", state_word(v->state));
        put_json_text(b, "compatibility", v->mode);
        if (v->state == WF_SCHEMA_SAME)
            wf_buf_printf(b, ",\"id\":%d,\"version\":%d", v->id, v->version);
        if (v->state == WF_SCHEMA_INCOMPATIBLE)
            put_json_text(b, "messages", v->messages);
    }
    wf_buf_str(b, ",\"schema\":");
    wf_buf_str(b, schema);
    wf_buf_byte(b, '}');
}

/* Whether the semantic guard leaves the table alone. */
static bool is_free(const struct job *j)
{
    return wf_patterns_match(&j->config->format.semantic_free, j->stream->table);
}

/* One of the two schemas. */
static enum wf_rc show(struct job *j, enum output output, const char *what, const char *schema,
                       struct wf_buf *json, struct wf_err *err)
{
    struct wf_schema_verdict v = {0};
    bool asks = schema && j->config->format.registry.n;
    char subject[WF_SUBJECT_MAX] = "";
    bool key = !strcmp(what, "key");
    struct wf_err why;
    enum wf_rc rc = WF_OK;

    if (schema)
        rc = wf_registry_subject(&j->config->format, j->stream->topic, schema, key, subject, err);
    if (rc == WF_OK && asks)
        rc = wf_registry_verdict(&j->config->format, subject, schema, &v, err);
    if (rc != WF_OK)
        return rc;
    if (asks && v.latest && !is_free(j) && wf_guard_check(v.latest, schema, key, &why) != WF_OK) {
        v.state = WF_SCHEMA_INCOMPATIBLE;
        snprintf(v.mode, sizeof(v.mode), "walferry");
        snprintf(v.messages, sizeof(v.messages), "%.590s", why.text);
    }
    j->incompatible |= asks && v.state == WF_SCHEMA_INCOMPATIBLE;
    if (output == OUT_JSON) {
        put_json_schema(json, what, subject, schema, asks ? &v : NULL);
    } else if (!schema) {
        printf("\n%s: none\n", what);
    } else {
        printf("\n%s, subject %s%s", what, subject, asks ? ": " : "\n");
        if (asks)
            print_verdict(&v);
        puts(schema);
    }
    free(v.latest);
    return WF_OK;
}

static enum wf_rc show_all(struct job *j, enum output output, struct wf_err *err)
{
    const char *schema = output == OUT_KEY ? j->stream->key_schema : j->stream->value_schema;
    struct wf_buf json;
    enum wf_rc rc;

    if (output == OUT_KEY || output == OUT_VALUE) {
        puts(schema ? schema : "null");
        return WF_OK;
    }
    wf_buf_init(&json, 16 << 20);
    if (output == OUT_TEXT)
        printf("%s.%s goes to topic %s\n", j->rel.schema, j->rel.name, j->stream->topic);
    wf_buf_str(&json, "{\"table\":\"");
    wf_buf_json(&json, j->stream->table, strlen(j->stream->table));
    wf_buf_byte(&json, '"');
    put_json_text(&json, "topic", j->stream->topic);
    rc = show(j, output, "key", j->stream->key_schema, &json, err);
    if (rc == WF_OK)
        rc = show(j, output, "value", j->stream->value_schema, &json, err);
    wf_buf_put(&json, "}", 2);
    if (rc == WF_OK && output == OUT_JSON && !json.failed)
        puts((const char *)json.data);
    wf_buf_deinit(&json);
    return rc;
}

static int run(const char *path, const char *table, const char *profile, enum output output)
{
    struct job j = {0};
    struct wf_err err;
    enum wf_rc rc = wf_config_load(path, &j.config, wf_report_stderr, NULL, &err);
    int code = WF_EXIT_OK;

    if (rc == WF_OK) {
        wf_log_setup(WF_LOG_WARN, false, NULL);
        if (profile)
            rc = set_profile(j.config, profile, &err);
    }
    if (rc == WF_OK)
        rc = plan_table(&j, table, &err);
    if (rc == WF_OK)
        rc = show_all(&j, output, &err);
    if (rc != WF_OK) {
        fprintf(stderr, "walferry: %s\n", err.text);
        code = err.exit_code ? (int)err.exit_code : WF_EXIT_OTHER;
    } else if (j.incompatible) {
        code = WF_EXIT_OTHER;
    }
    wf_catalog_relation_free(&j.rel);
    wf_encoder_free(j.encoder);
    wf_config_free(j.config);
    return code;
}

int wf_cmd_schema(int argc, char **argv)
{
    static const struct option longs[] = {
        {"profile", required_argument, NULL, 'p'}, {"key", no_argument, NULL, 'k'},
        {"value", no_argument, NULL, 'v'},         {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},          {0}};
    const char *profile = NULL;
    enum output output = OUT_TEXT;

    for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        if (c == 'p')
            profile = optarg;
        else if (c == 'k')
            output = OUT_KEY;
        else if (c == 'v')
            output = OUT_VALUE;
        else if (c == 'j')
            output = OUT_JSON;
        else
            return wf_usage(help, c == 'h');
    }
    if (argc - optind != 2)
        return wf_usage(help, false);
    return run(argv[optind], argv[optind + 1], profile, output);
}
