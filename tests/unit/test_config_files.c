#include "config_kit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins.h"

TestSuite(config_file, .init = make, .fini = destroy);
TestSuite(config_secret, .init = make, .fini = destroy);
TestSuite(config_docs, .init = make, .fini = destroy);

/* ---- files ---- */

static char dir[] = "/tmp/walferry-config-XXXXXX";

static const char *path_in(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void put_file(const char *name, const char *text, size_t len, mode_t mode)
{
    FILE *f = fopen(path_in(name), "w");

    cr_assert_not_null(f);
    cr_assert_eq(fwrite(text, 1, len, f), len);
    fclose(f);
    cr_assert_eq(chmod(path_in(name), mode), 0);
}

static void load(const char *name)
{
    forget();
    got.rc = wf_config_load(path_in(name), &got.c, collect, NULL, &got.err);
}

static void load_text(const char *text, mode_t mode)
{
    put_file("shop.yaml", text, strlen(text), mode);
    load("shop.yaml");
}

/* Runs after the suite's make(). */
static void make_dir(void)
{
    cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    static const char *const names[] = {"shop.yaml", "secret", "big.yaml", "pipe.yaml"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(path_in(names[i]));
    rmdir(dir);
}

Test(config_file, reads_a_file_and_knows_its_pipeline, .init = make_dir, .fini = remove_dir)
{
    load_text(DSN OUT, 0644);
    cr_assert_eq(got.rc, WF_OK, "%s", problems());
    cr_expect_str_eq(got.c->pipeline, "shop");
    cr_expect_str_eq(got.c->path, path_in("shop.yaml"));
}

Test(config_file, says_why_a_file_cannot_be_read, .init = make_dir, .fini = remove_dir)
{
    load("nosuch.yaml");
    cr_expect_eq(got.err.exit_code, WF_EXIT_CONFIG);
    cr_expect(strstr(got.err.text, "nosuch.yaml: cannot be opened: No such file"), "%s",
              got.err.text);
    load("");
    cr_expect(strstr(got.err.text, "is a directory"), "%s", got.err.text);
    cr_assert_eq(mkfifo(path_in("pipe.yaml"), 0600), 0);
    load("pipe.yaml");
    cr_expect(strstr(got.err.text, "is a device or pipe"), "%s", got.err.text);
    cr_expect_eq(got.err.exit_code, WF_EXIT_CONFIG);
}

Test(config_file, an_unreadable_file_is_a_configuration_error, .init = make_dir, .fini = remove_dir)
{
    put_file("shop.yaml", DSN OUT, strlen(DSN OUT), 0000);
    if (geteuid() == 0)
        cr_assert_eq(seteuid(65534), 0); /* root reads everything */
    load("shop.yaml");
    if (getuid() == 0)
        cr_assert_eq(seteuid(0), 0);
    cr_expect_eq(got.rc, WF_FATAL);
    cr_expect_eq(got.err.exit_code, WF_EXIT_CONFIG);
    cr_expect(strstr(got.err.text, "cannot be opened: Permission denied"), "%s", got.err.text);
}

Test(config_file, takes_one_mebibyte_and_no_byte_more, .init = make_dir, .fini = remove_dir)
{
    size_t max = 1024 * 1024;
    char *text = malloc(max + 2);

    cr_assert_not_null(text);
    memset(text, '\n', max + 1);
    memcpy(text, DSN OUT, strlen(DSN OUT));
    put_file("big.yaml", text, max, 0600);
    load("big.yaml");
    cr_expect_eq(got.rc, WF_OK, "%s", got.err.text);
    put_file("big.yaml", text, max + 1, 0600);
    load("big.yaml");
    cr_expect_eq(got.rc, WF_FATAL);
    cr_expect(strstr(got.err.text, "larger than 1024 KiB"), "%s", got.err.text);
    free(text);
}

/* ---- secrets ---- */

#define FILE_SECRET "source: {dsn: x, password_file: secret}\n" OUT

Test(config_secret, comes_from_a_file_beside_the_configuration, .init = make_dir,
     .fini = remove_dir)
{
    static const struct {
        const char *content, *secret;
    } rows[] = {{"hunter2", "hunter2"},
                {"hunter2\n", "hunter2"},
                {"hunter2\r\n", "hunter2"},
                {"hunter2\n\n", "hunter2\n"},
                {" $a${b} ", " $a${b} "}}; /* taken as it is */

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        put_file("secret", rows[i].content, strlen(rows[i].content), 0600);
        load_text(FILE_SECRET, 0644);
        cr_assert_eq(got.rc, WF_OK, "%s", problems());
        cr_expect_str_eq(got.c->source.password, rows[i].secret);
    }
}

Test(config_secret, comes_from_systemds_credentials, .init = make_dir, .fini = remove_dir)
{
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    put_file("secret", "hunter2\n", 8, 0400);
    load_text("source: {dsn: x, password_file: \"${CREDENTIALS_DIRECTORY}/secret\"}\n" OUT, 0644);
    cr_assert_eq(got.rc, WF_OK, "%s", problems());
    cr_expect_str_eq(got.c->source.password, "hunter2");
}

Test(config_secret, a_bad_secret_file_is_named, .init = make_dir, .fini = remove_dir)
{
    load_text(FILE_SECRET, 0644);
    cr_expect(strstr(problems(), "source.password_file: "), "%s", problems());
    cr_expect(strstr(problems(), "secret: cannot be opened: No such file"), "%s", problems());
    put_file("secret", "\n", 1, 0600);
    load_text(FILE_SECRET, 0644);
    cr_expect(strstr(problems(), "secret: is empty"), "%s", problems());
    put_file("secret", "hunter\0002", 8, 0600);
    load_text(FILE_SECRET, 0644);
    cr_expect(strstr(problems(), "secret: holds a NUL byte"), "%s", problems());
    cr_expect_null(strstr(problems(), "hunter"));
}

Test(config_secret, value_and_file_exclude_each_other, .init = make_dir, .fini = remove_dir)
{
    put_file("secret", "hunter2\n", 8, 0600);
    load_text("source:\n  dsn: x\n  password_file: secret\n  password: \"${HOME}\"\n" OUT, 0600);
    cr_expect(strstr(problems(), ":4:3: source.password: given twice (as value or as file); first "
                                 "in line 3"),
              "%s", problems());
}

Test(config_secret, only_secrets_have_files)
{
    expect_mentions("source: {dsn_file: x}\n" OUT, "source.dsn_file: unknown key");
    expect_mentions("source: {dsn: x, password_file: /etc/passwd}\n" OUT,
                    "only a configuration on disk may name files");
}

Test(config_secret, written_inline_is_refused_when_others_can_read_the_file, .init = make_dir,
     .fini = remove_dir)
{
    static const char *const texts[] = {
        "source: {dsn: x, password: hunter2}\n" OUT,
        "source: {dsn: x, password: \"${NOPE:-hunter2}\"}\n" OUT,
        "source: {dsn: dbname=x password=hunter2}\n" OUT,
        "source: {dsn: \"dbname=x password='${HOME}hunter2'\"}\n" OUT,
        "source: {dsn: \"postgresql://u:hunter2@h/db\"}\n" OUT,
        DSN "sink: {type: kafka, brokers: b, rdkafka: {ssl.key.password: hunter2}}\n"
            "format: {encoding: json}\n",
    };

    unsetenv("NOPE");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        load_text(texts[i], 0640);
        cr_expect_eq(got.rc, WF_FATAL, "%s", texts[i]);
        cr_expect(strstr(problems(), "a secret in a file that others can read (mode 0640); hint: "
                                     "chmod 600"),
                  "%s", problems());
        cr_expect_null(strstr(problems(), "hunter2"));
        load_text(texts[i], 0600);
        cr_expect_eq(got.rc, WF_OK, "%s", problems());
    }
}

Test(config_secret, by_variable_it_may_stand_in_a_file_for_everyone, .init = make_dir,
     .fini = remove_dir)
{
    setenv("SHOP_PASSWORD", "hunter2", 1);
    load_text("source:\n  dsn: \"postgresql://${SHOP_USER:-u}:${SHOP_PASSWORD}@h/db\"\n"
              "  password: ${SHOP_PASSWORD}\n" OUT,
              0644);
    cr_assert_eq(got.rc, WF_OK, "%s", problems());
    cr_expect_str_eq(got.c->source.dsn, "postgresql://u:hunter2@h/db");
    cr_expect_str_eq(got.c->source.password, "hunter2");
}

Test(config_secret, never_shows)
{
    struct wf_buf out;

    wf_buf_init(&out, 1 << 20);
    expect_good("source: {dsn: 'dbname=x password=hunter2', password: hunter2}\n"
                "sink: {type: kafka, brokers: b, rdkafka: {sasl.jaas.config: hunter2}}\n"
                "format: {encoding: json, registry_user: u, registry_password: hunter2}\n");
    wf_config_show(got.c, &out);
    wf_buf_byte(&out, '\0');
    cr_expect_null(strstr((char *)out.data, "hunter2"), "%s", (char *)out.data);
    cr_expect(strstr((char *)out.data, "dbname=x password=********"));
    wf_buf_deinit(&out);
}

/* ---- show, docs, schema ---- */

Test(config_docs, what_show_prints_loads_again_and_marks_defaults)
{
    struct wf_buf first, second;

    wf_buf_init(&first, 1 << 20);
    wf_buf_init(&second, 1 << 20);
    expect_good("source: {dsn: \"a$$b 'c' \\\"d\\\"\", slot: x, tables: [a.b, '*.c d']}\n"
                "sink: {type: kafka, brokers: 'b:1', rdkafka: {a.b: 'x: y #z'}}\n"
                "format: {encoding: json}\n");
    wf_config_show(got.c, &first);
    parse_bytes((char *)first.data, first.len);
    cr_assert_eq(got.rc, WF_OK, "%s", problems());
    cr_expect_str_eq(got.c->source.dsn, "a$b 'c' \"d\"");
    wf_config_show(got.c, &second);
    wf_buf_byte(&first, '\0');
    cr_expect(strstr((char *)first.data, "  slot: x\n"));
    cr_expect(strstr((char *)first.data, "  publication: x # default\n"));
    cr_expect(strstr((char *)first.data, "  # password: not set\n"));
    wf_buf_deinit(&first);
    wf_buf_deinit(&second);
}

static char *read_source(const char *name)
{
    char path[512];
    FILE *f;
    char *text = calloc(1, 1 << 20);

    snprintf(path, sizeof(path), "%s/%s", WF_SOURCE_DIR, name);
    f = fopen(path, "r");
    cr_assert(f && text, "%s: %s", path, strerror(errno));
    cr_assert_lt(fread(text, 1, 1 << 20, f), (size_t)(1 << 20) - 1);
    fclose(f);
    return text;
}

static void expect_generated(const char *name, const char *verb, void (*make_text)(struct wf_buf *))
{
    char *text = read_source(name);
    struct wf_buf out;

    wf_buf_init(&out, 1 << 20);
    make_text(&out);
    wf_buf_byte(&out, '\0');
    cr_expect(strcmp((char *)out.data, text) == 0,
              "%s is not what the tables say; cure: walferry config %s > %s", name, verb, name);
    wf_buf_deinit(&out);
    free(text);
}

Test(config_docs, options_md_is_what_the_tables_say)
{
    expect_generated("docs/options.md", "docs", wf_config_docs);
}

Test(config_docs, the_json_schema_is_what_the_tables_say)
{
    expect_generated("schemas/walferry.schema.json", "schema", wf_config_schema);
}

Test(config_docs, the_examples_load)
{
    static const char *const names[] = {
        "conf/walferry.yaml",       "conf/examples/file.yaml",    "conf/examples/stdout.yaml",
        "conf/examples/kafka.yaml", "conf/examples/kinesis.yaml", "conf/examples/firehose.yaml"};

    setenv("MASK_SALT", "x", 1);
    setenv("KAFKA_PASSWORD", "x", 1);
    setenv("REGISTRY_PASSWORD", "x", 1);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *text = read_source(names[i]);

        expect_good(text);
        free(text);
    }
}

/* A line of the annotated file with its switch removed: "#key: value" is "key: value". In a
 * block of another sink ("#sink:" at the margin, to the next line that is no comment) every line
 * loses its "#". */
static const char *switched_on(const char *line, bool in_block, char *out, size_t size)
{
    size_t blanks = strspn(line, " ");

    if (in_block)
        snprintf(out, size, "%s", line + 1);
    else if (line[blanks] == '#' && line[blanks + 1] >= 'a' && line[blanks + 1] <= 'z')
        snprintf(out, size, "%.*s%s", (int)blanks, line, line + blanks + 1);
    else
        snprintf(out, size, "%s", line);
    return out;
}

static bool is_type(const char *line, const char *sink)
{
    char plain[64], quoted[64];

    snprintf(plain, sizeof(plain), "  type: %s", sink);
    snprintf(quoted, sizeof(quoted), "  type: \"%s\"", sink);
    return strcmp(line, plain) == 0 || strcmp(line, quoted) == 0;
}

/* conf/walferry.yaml with every optional key switched on, and of its sinks the one of type @sink:
 * each begins with "sink:" and its next line is the type. */
static void put_everything(const char *annotated, const char *sink, struct wf_buf *out)
{
    char line[512], text[512];
    bool in_block = false, in_sink = false, first = false, wanted = true;

    while (*annotated) {
        size_t n = strcspn(annotated, "\n");

        cr_assert_lt(n, sizeof(line));
        snprintf(line, sizeof(line), "%.*s", (int)n, annotated);
        annotated += n + (annotated[n] == '\n');
        in_block = line[0] == '#' && (in_block || strcmp(line, "#sink:") == 0);
        switched_on(line, in_block, text, sizeof(text));
        if (first) {
            wanted = is_type(text, sink);
            if (wanted)
                wf_buf_str(out, "sink:\n");
        }
        first = strcmp(text, "sink:") == 0;
        if (first)
            in_sink = true;
        else if (in_sink && text[0] && text[0] != ' ')
            in_sink = false;
        if (in_sink ? wanted && !first : true)
            wf_buf_printf(out, "%s\n", text);
    }
}

/* Every row of every section stood in the file. */
static void expect_all_given(const char *sink)
{
    struct wf_buf out;
    char *shown;

    wf_buf_init(&out, 1 << 20);
    wf_config_show(got.c, &out);
    wf_buf_byte(&out, '\0');
    shown = (char *)out.data;
    for (char *line = strtok_r(shown, "\n", &shown); line; line = strtok_r(NULL, "\n", &shown))
        cr_expect(!strstr(line, " # default") && !strstr(line, ": not set"),
                  "sink %s: conf/walferry.yaml lacks%s", sink, line);
    wf_buf_deinit(&out);
}

Test(config_docs, the_annotated_file_holds_every_option_with_a_value_that_loads)
{
    char *annotated = read_source("conf/walferry.yaml");

    setenv("SHOP_PASSWORD", "x", 1);
    setenv("MASK_SALT", "x", 1);
    setenv("KAFKA_PASSWORD", "x", 1);
    setenv("KAFKA_KEY_PASSWORD", "x", 1);
    setenv("AWS_SECRET", "x", 1);
    setenv("AWS_TOKEN", "x", 1);
    setenv("REGISTRY_PASSWORD", "x", 1);
    for (size_t i = 0; wf_sinks[i]; i++) {
        struct wf_buf text;

        wf_buf_init(&text, 1 << 20);
        put_everything(annotated, wf_sinks[i]->name, &text);
        parse_bytes((char *)text.data, text.len);
        cr_assert_eq(got.rc, WF_OK, "sink %s: %s", wf_sinks[i]->name, problems());
        cr_expect_str_eq(got.c->sink_ops->name, wf_sinks[i]->name);
        expect_all_given(wf_sinks[i]->name);
        wf_buf_deinit(&text);
    }
    free(annotated);
}
