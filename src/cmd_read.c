#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avro_json.h"
#include "cmd.h"
#include "cmd_common.h"
#include "config.h"
#include "container.h"
#include "log.h"
#include "registry.h"

static const char help[] =
    "usage: walferry read FILE.avro...\n"
    "       walferry read --topic TOPIC PIPELINE.yaml\n"
    "\n"
    "Prints events as JSON lines: of Avro container files (one value a line), or of a topic up to\n"
    "its present end, decoded with the pipeline's registry ({\"partition\", \"offset\", \"key\", "
    "\"value\"}).\n"
    "\n"
    "Exit codes: 0 done, 1 unreadable or damaged (what stands before the damage was printed), 2 "
    "usage,\n"
    "78 configuration.\n";

static bool print_line(void *arg, const char *json, size_t len)
{
    (void)arg;
    return fwrite(json, 1, len, stdout) == len && putchar('\n') != EOF;
}

static int read_files(char **paths, int n)
{
    struct wf_err err;
    int code = WF_EXIT_OK;

    for (int i = 0; i < n; i++) {
        if (wf_container_read(paths[i], print_line, NULL, &err) == WF_OK)
            continue;
        fprintf(stderr, "walferry: %s\n", err.text);
        code = WF_EXIT_OTHER;
    }
    return code;
}

/* ---- topics
 * ------------------------------------------------------------------------------------------- */

struct schema {
    struct schema *next;
    int32_t id;
    struct wf_avro_reader *reader;
};

struct topic_reader {
    const struct wf_format_conf *format;
    struct schema *schemas;
    struct wf_buf line;
    enum wf_rc rc;
    struct wf_err err;
};

static const struct wf_avro_reader *reader_for(struct topic_reader *t, int32_t id)
{
    struct schema *s = t->schemas;
    char *text = NULL;

    while (s && s->id != id)
        s = s->next;
    if (s)
        return s->reader;
    s = calloc(1, sizeof(*s));
    if (!s) {
        t->rc = wf_err_set(&t->err, WF_FATAL, "memory", "out of memory");
        return NULL;
    }
    t->rc = wf_registry_schema(t->format, id, &text, &t->err);
    if (t->rc == WF_OK)
        t->rc = wf_avro_reader_new(&s->reader, text, strlen(text), &t->err);
    free(text);
    if (t->rc != WF_OK) {
        free(s);
        return NULL;
    }
    s->id = id;
    s->next = t->schemas;
    t->schemas = s;
    return s->reader;
}

static void put_datum(struct topic_reader *t, const unsigned char *data, size_t len)
{
    const struct wf_avro_reader *reader;

    if (!data) {
        wf_buf_str(&t->line, "null");
    } else if (len < 5 || data[0] != 0) { /* not framed: JSON, as format.encoding: json writes it */
        wf_buf_put(&t->line, data, len);
    } else if (!t->format->registry.n) {
        t->rc = wf_err_config(&t->err, "the topic holds Avro: set format.registry");
    } else {
        int32_t id = (int32_t)((uint32_t)data[1] << 24 | (uint32_t)data[2] << 16 |
                               (uint32_t)data[3] << 8 | data[4]);

        reader = reader_for(t, id);
        if (reader)
            t->rc = wf_avro_to_json(reader, data + 5, len - 5, NULL, &t->line, &t->err);
    }
}

static bool print_record(void *arg, const struct wf_record *record)
{
    struct topic_reader *t = arg;

    wf_buf_reset(&t->line);
    wf_buf_printf(&t->line, "{\"partition\":%d,\"offset\":%lld,\"key\":", record->partition,
                  (long long)record->offset);
    put_datum(t, record->key, record->key_len);
    wf_buf_str(&t->line, ",\"value\":");
    if (t->rc == WF_OK)
        put_datum(t, record->value, record->value_len);
    wf_buf_str(&t->line, "}");
    return t->rc == WF_OK && print_line(NULL, (const char *)t->line.data, t->line.len);
}

static int read_topic(const char *path, const char *topic)
{
    struct wf_config *config = NULL;
    struct topic_reader t = {0};
    struct wf_err err;
    enum wf_rc rc = wf_config_load(path, &config, wf_report_stderr, NULL, &err);

    if (rc == WF_OK && !config->sink_ops->read)
        rc = wf_err_config(&err, "sink %s has no topics to read", config->sink_ops->name);
    if (rc == WF_OK) {
        wf_log_setup(WF_LOG_WARN, false, NULL);
        t.format = &config->format;
        wf_buf_init(&t.line, SIZE_MAX);
        rc = config->sink_ops->read(config->sink, topic, print_record, &t, &err);
        if (rc == WF_OK && t.rc != WF_OK) {
            rc = t.rc;
            err = t.err;
        }
    }
    while (t.schemas) {
        struct schema *s = t.schemas;

        t.schemas = s->next;
        wf_avro_reader_free(s->reader);
        free(s);
    }
    wf_buf_deinit(&t.line);
    wf_config_free(config);
    if (rc == WF_OK)
        return WF_EXIT_OK;
    fprintf(stderr, "walferry: %s\n", err.text);
    return (int)err.exit_code;
}

int wf_cmd_read(int argc, char **argv)
{
    static const struct option longs[] = {
        {"topic", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *topic = NULL;
    int code;

    for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        if (c != 't')
            return wf_usage(help, c == 'h');
        topic = optarg;
    }
    if (optind == argc || (topic && argc - optind != 1))
        return wf_usage(help, false);
    code = topic ? read_topic(argv[optind], topic) : read_files(argv + optind, argc - optind);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "walferry: standard output cannot be written\n");
        return WF_EXIT_OTHER;
    }
    return code;
}
