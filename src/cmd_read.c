#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avro_fingerprint.h"
#include "avro_json.h"
#include "cmd.h"
#include "cmd_common.h"
#include "config.h"
#include "config_file.h"
#include "container.h"
#include "log.h"
#include "registry_ask.h"

static const char help[] =
    "usage: walferry read FILE.avro...\n"
    "       walferry read --topic TOPIC [--schema FILE.avsc]... PIPELINE.yaml\n"
    "       walferry read --hex HEX [--schema FILE.avsc]... [PIPELINE.yaml]\n"
    "\n"
    "Prints events as JSON lines: of Avro container files (one value a line), of a topic up to\n"
    "its present end ({\"partition\", \"offset\", \"key\", \"value\"}), or of one key or value in\n"
    "hexadecimal.\n"
    "\n"
    "Schemas come from the pipeline's registry, by the id in front of the bytes, or from files\n"
    "(walferry schema prints them): for single-object encoding by the fingerprint in front, for\n"
    "bare Avro the first file.\n"
    "\n"
    "Exit codes: 0 done, 1 unreadable or damaged (what stands before the damage was printed), 2 "
    "usage,\n"
    "78 configuration.\n";

#define SCHEMA_MAX (4u << 20)
#define FILES_MAX 16
#define SINGLE_LEN 10 /* C3 01 and the fingerprint */

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

/* A schema from a file. */
struct schema_file {
    uint64_t fingerprint;
    struct wf_avro_reader *reader;
};

struct topic_reader {
    const struct wf_format_conf *format; /* NULL = no pipeline was named */
    struct schema *schemas;
    struct schema_file files[FILES_MAX];
    size_t nfiles;
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

static const struct wf_avro_reader *by_fingerprint(struct topic_reader *t, const unsigned char *p)
{
    uint64_t fingerprint = 0;

    for (unsigned i = 0; i < 8; i++)
        fingerprint |= (uint64_t)p[i] << (8 * i);
    for (size_t i = 0; i < t->nfiles; i++)
        if (t->files[i].fingerprint == fingerprint)
            return t->files[i].reader;
    t->rc = wf_err_set(&t->err, WF_REJECT, "schema_unknown",
                       "single-object encoding with schema fingerprint %016llx, which no --schema "
                       "has; hint: walferry schema --value prints the schema",
                       (unsigned long long)fingerprint);
    return NULL;
}

static const struct wf_avro_reader *by_id(struct topic_reader *t, const unsigned char *p)
{
    if (t->format && t->format->registry.n)
        return reader_for(
            t, (int32_t)((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]));
    t->rc = wf_err_config(&t->err, "these bytes begin with a schema id: a pipeline with "
                                   "format.registry is needed");
    return NULL;
}

static bool looks_like_json(const unsigned char *data, size_t len)
{
    return len > 0 && (data[0] == '{' || data[0] == '"' || data[0] == '[');
}

/* @data by what stands in front of it. */
static void put_datum(struct topic_reader *t, const unsigned char *data, size_t len)
{
    const struct wf_avro_reader *reader = NULL;
    size_t frame = 0;

    if (!data) {
        wf_buf_str(&t->line, "null");
        return;
    }
    if (len >= SINGLE_LEN && data[0] == 0xc3 && data[1] == 0x01) {
        reader = by_fingerprint(t, data + 2);
        frame = SINGLE_LEN;
    } else if (t->nfiles) {
        reader = t->files[0].reader;
    } else if (len >= 5 && data[0] == 0) {
        reader = by_id(t, data + 1);
        frame = 5;
    } else if (looks_like_json(data, len)) { /* as format.encoding: json writes it */
        wf_buf_put(&t->line, data, len);
        return;
    } else {
        t->rc = wf_err_set(&t->err, WF_REJECT, "schema_unknown",
                           "bare Avro: its schema is needed; hint: --schema FILE.avsc");
    }
    if (reader)
        t->rc = wf_avro_to_json(reader, data + frame, len - frame, NULL, &t->line, &t->err);
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

static enum wf_rc load_schema(struct topic_reader *t, const char *path, struct wf_err *err)
{
    struct schema_file *f = &t->files[t->nfiles];
    struct wf_file file = {0};
    enum wf_rc rc;

    if (t->nfiles == FILES_MAX)
        return wf_err_config(err, "--schema: more than %d", FILES_MAX);
    rc = wf_file_read(path, SCHEMA_MAX, &file, err);
    if (rc == WF_OK)
        rc = wf_avro_fingerprint(file.text, file.len, &f->fingerprint, err);
    if (rc == WF_OK)
        rc = wf_avro_reader_new(&f->reader, file.text, file.len, err);
    wf_file_free(&file);
    if (rc != WF_OK)
        return wf_err_wrap(err, "%s", path);
    t->nfiles++;
    return WF_OK;
}

static void free_reader(struct topic_reader *t)
{
    while (t->schemas) {
        struct schema *s = t->schemas;

        t->schemas = s->next;
        wf_avro_reader_free(s->reader);
        free(s);
    }
    for (size_t i = 0; i < t->nfiles; i++)
        wf_avro_reader_free(t->files[i].reader);
    wf_buf_deinit(&t->line);
}

static enum wf_rc read_topic(struct topic_reader *t, const struct wf_config *config,
                             const char *topic, struct wf_err *err)
{
    enum wf_rc rc;

    if (!config) /* the command line asks for one */
        return wf_err_config(err, "--topic needs a pipeline");
    if (!config->sink_ops->read)
        return wf_err_config(err, "sink %s has no topics to read", config->sink_ops->name);
    rc = config->sink_ops->read(config->sink, topic, print_record, t, err);
    if (rc == WF_OK && t->rc != WF_OK) {
        *err = t->err;
        rc = t->rc;
    }
    return rc;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static enum wf_rc read_hex(struct topic_reader *t, const char *hex, struct wf_err *err)
{
    struct wf_buf bytes;
    enum wf_rc rc = WF_OK;

    wf_buf_init(&bytes, SIZE_MAX);
    for (; rc == WF_OK && *hex; hex += 2) {
        int high = hex_digit(hex[0]), low = hex[1] ? hex_digit(hex[1]) : -1;

        if (high < 0 || low < 0)
            rc = wf_err_set(err, WF_REJECT, "hex", "--hex: \"%.4s\" is no hexadecimal byte", hex);
        else
            wf_buf_byte(&bytes, (unsigned char)(high << 4 | low));
    }
    if (rc == WF_OK) {
        put_datum(t, bytes.data, bytes.len);
        rc = t->rc;
        *err = t->err;
    }
    if (rc == WF_OK && !print_line(NULL, (const char *)t->line.data, t->line.len))
        rc = wf_err_sys(err, WF_FATAL, "standard output");
    wf_buf_deinit(&bytes);
    return rc;
}

/* What the command line says. */
struct arguments {
    const char *topic, *hex, *pipeline;
    const char *schemas[FILES_MAX + 1];
    size_t nschemas;
};

static int read_encoded(const struct arguments *a)
{
    struct wf_config *config = NULL;
    struct topic_reader t = {0};
    struct wf_err err = {0};
    enum wf_rc rc = WF_OK;

    wf_buf_init(&t.line, SIZE_MAX);
    if (a->pipeline)
        rc = wf_config_load(a->pipeline, &config, wf_report_stderr, NULL, &err);
    if (rc == WF_OK && config) {
        wf_log_setup(WF_LOG_WARN, false, NULL);
        t.format = &config->format;
    }
    for (size_t i = 0; i < a->nschemas && rc == WF_OK; i++)
        rc = load_schema(&t, a->schemas[i], &err);
    if (rc == WF_OK)
        rc = a->hex ? read_hex(&t, a->hex, &err) : read_topic(&t, config, a->topic, &err);
    free_reader(&t);
    wf_config_free(config);
    if (rc == WF_OK)
        return WF_EXIT_OK;
    fprintf(stderr, "walferry: %s\n", err.text);
    return err.exit_code ? (int)err.exit_code : WF_EXIT_OTHER;
}

int wf_cmd_read(int argc, char **argv)
{
    static const struct option longs[] = {{"topic", required_argument, NULL, 't'},
                                          {"hex", required_argument, NULL, 'x'},
                                          {"schema", required_argument, NULL, 's'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct arguments a = {0};
    int code;

    for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        if (c == 't')
            a.topic = optarg;
        else if (c == 'x')
            a.hex = optarg;
        else if (c == 's' && a.nschemas <= FILES_MAX)
            a.schemas[a.nschemas++] = optarg;
        else if (c != 's')
            return wf_usage(help, c == 'h');
    }
    a.pipeline = argc - optind == 1 ? argv[optind] : NULL;
    if ((a.topic && (a.hex || !a.pipeline)) || (a.hex && argc - optind > 1) ||
        (!a.hex && optind == argc) || (a.nschemas && !a.topic && !a.hex))
        return wf_usage(help, false);
    code = a.topic || a.hex ? read_encoded(&a) : read_files(argv + optind, argc - optind);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "walferry: standard output cannot be written\n");
        return WF_EXIT_OTHER;
    }
    return code;
}
