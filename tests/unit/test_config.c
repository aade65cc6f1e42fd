#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "log.h"
#include "plugins.h"

/* The outcome of one reading; problems are the reported lines, each with a newline. */
static struct {
    enum wf_rc rc;
    struct wf_config *c;
    struct wf_err err;
    struct wf_buf problems;
    size_t n;
} got;

static void collect(void *arg, const char *line)
{
    (void)arg;
    got.n++;
    wf_buf_str(&got.problems, line);
    wf_buf_byte(&got.problems, '\n');
}

static void forget(void)
{
    wf_config_free(got.c);
    wf_buf_deinit(&got.problems);
    memset(&got, 0, sizeof(got));
    wf_buf_init(&got.problems, 1 << 20);
}

static void make(void)
{
    wf_log_setup(WF_LOG_ERROR, false, NULL); /* warnings have their own tests */
    forget();
}

static void destroy(void)
{
    wf_config_free(got.c);
    wf_buf_deinit(&got.problems);
}

TestSuite(config, .init = make, .fini = destroy);
TestSuite(config_file, .init = make, .fini = destroy);
TestSuite(config_secret, .init = make, .fini = destroy);
TestSuite(config_bad_input, .init = make, .fini = destroy);
TestSuite(config_docs, .init = make, .fini = destroy);

static const char *problems(void)
{
    wf_buf_byte(&got.problems, '\0');
    got.problems.len--;
    return (const char *)got.problems.data;
}

static void parse_bytes(const char *text, size_t len)
{
    forget();
    got.rc = wf_config_parse("shop.yaml", text, len, &got.c, collect, NULL, &got.err);
}

static void parse(const char *text)
{
    parse_bytes(text, strlen(text));
}

static void expect_good(const char *text)
{
    parse(text);
    cr_assert_eq(got.rc, WF_OK, "%s%s", problems(), got.err.text);
}

/* Exactly these lines, in this order. */
static void expect_problems(const char *text, const char *wanted)
{
    parse(text);
    cr_expect_eq(got.rc, WF_FATAL);
    cr_expect_eq(got.err.exit_code, WF_EXIT_CONFIG);
    cr_expect_null(got.c);
    cr_expect_str_eq(problems(), wanted);
}

static void expect_mentions(const char *text, const char *word)
{
    parse(text);
    cr_expect_eq(got.rc, WF_FATAL, "accepted: %s", text);
    cr_expect_eq(got.err.exit_code, WF_EXIT_CONFIG);
    cr_expect(strstr(problems(), word), "no \"%s\" in: %s", word, problems());
}

#define DSN "source: {dsn: dbname=shop}\n"
#define OUT "sink: {dir: out}\n"

/* ---- values and defaults ---- */

Test(config, needs_little_and_names_everything_after_the_pipeline)
{
    expect_good(DSN OUT);
    cr_expect_str_eq(got.c->pipeline, "shop");
    cr_expect_str_eq(got.c->path, "shop.yaml");
    cr_expect_str_eq(got.c->source.dsn, "dbname=shop");
    cr_expect_str_eq(got.c->source.slot, "walferry_shop");
    cr_expect_str_eq(got.c->source.publication, "walferry_shop");
    cr_assert_eq(got.c->source.tables.n, 1);
    cr_expect_str_eq(got.c->source.tables.items[0], "*.*");
    cr_expect(got.c->source.create);
    cr_expect_eq(got.c->source.status_interval_ms, 10000);
    cr_expect_eq(got.c->source.max_row_bytes, 64 << 20);
    cr_expect_str_eq(wf_decoders[got.c->source.decoder]->name, "pgoutput");
    cr_expect_str_eq(got.c->sink_ops->name, "file");
    cr_expect_str_eq(got.c->format.prefix, "shop");
    cr_expect_str_eq(got.c->format.topic, "{prefix}.{schema}.{table}");
    cr_expect_eq(got.c->format.encoding, WF_ENC_AVRO);
    cr_expect_eq(got.c->format.max_event, 16 << 20);
    cr_expect_str_eq(got.c->state.dir, "/var/lib/walferry/shop");
    cr_expect_eq(got.c->state.interval_ms, 10);
    cr_expect_eq(got.c->log.level, WF_LOG_INFO);
}

Test(config, a_pipelines_name_becomes_a_legal_slot_name)
{
    struct wf_config *c;

    cr_assert_eq(wf_config_parse("/etc/walferry/Web-Shop.eu.yml", DSN OUT, strlen(DSN OUT), &c,
                                 NULL, NULL, &got.err),
                 WF_OK);
    cr_expect_str_eq(c->pipeline, "Web-Shop.eu");
    cr_expect_str_eq(c->source.slot, "walferry_web_shop_eu");
    wf_config_free(c);
    cr_assert_eq(wf_config_parse("a234567890123456789012345678901234567890123456789012345678901234",
                                 DSN OUT, strlen(DSN OUT), &c, NULL, NULL, &got.err),
                 WF_OK);
    cr_expect_eq(strlen(c->source.slot), 63);
    wf_config_free(c);
}

Test(config, refuses_file_names_that_name_no_pipeline)
{
    static const char *const names[] = {
        ".yaml",
        "...yaml",
        "a b.yaml",
        "x/",
        "sh\xc3\xb6p.yaml",
        "",
        "a\n.yaml",
        "a2345678901234567890123456789012345678901234567890123456789012345"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct wf_config *c;

        cr_expect_eq(wf_config_parse(names[i], DSN OUT, strlen(DSN OUT), &c, NULL, NULL, &got.err),
                     WF_FATAL, "%s", names[i]);
        cr_expect(strstr(got.err.text, "the pipeline's"), "%s", got.err.text);
    }
}

Test(config, a_publication_follows_the_slot)
{
    expect_good("source: {dsn: x, slot: my_slot}\n" OUT);
    cr_expect_str_eq(got.c->source.publication, "my_slot");
    expect_good("source: {dsn: x, slot: my_slot, publication: Other}\n" OUT);
    cr_expect_str_eq(got.c->source.publication, "Other");
}

Test(config, sections_without_keys_are_fine)
{
    expect_good(DSN OUT "format:\nstate:\nlog: {}\n");
    expect_good("---\n" DSN OUT "...\n");
    expect_good("\xEF\xBB\xBF" DSN OUT); /* an editor's byte order mark */
}

Test(config, lists_may_be_one_text)
{
    expect_good("source: {dsn: x, tables: public.orders}\n" OUT);
    cr_assert_eq(got.c->source.tables.n, 1);
    cr_expect_str_eq(got.c->source.tables.items[0], "public.orders");
    expect_good("source:\n  dsn: x\n  tables:\n    - a.*\n    - '*.b?'\n" OUT);
    cr_assert_eq(got.c->source.tables.n, 2);
    cr_expect_str_eq(got.c->source.tables.items[1], "*.b?");
}

Test(config, the_sink_type_chooses_the_keys)
{
    expect_good(DSN "sink: {type: stdout}\n");
    cr_expect_str_eq(got.c->sink_ops->name, "stdout");
    expect_good(DSN "sink: {type: null}\n"); /* not YAML's nothing */
    cr_expect_str_eq(got.c->sink_ops->name, "null");
    expect_good(DSN "sink: {dir: x, type: file}\n");
    expect_mentions(DSN "sink: {type: stdout, dir: x}\n",
                    "shop.yaml:2:22: sink.dir: belongs to sink type file, and this one is stdout");
    expect_mentions(DSN "sink: {type: kafak}\n",
                    "shop.yaml:2:14: sink.type: \"kafak\" is not one of file, kafka");
}

/* ---- variables ---- */

Test(config, puts_environment_variables_into_values)
{
    setenv("SHOP_DB", "shop2", 1);
    setenv("SHOP_EMPTY", "", 1);
    unsetenv("SHOP_UNSET");
    expect_good(
        "source: {dsn: \"dbname=${SHOP_DB} host=${SHOP_UNSET:-h} a=$$b c=${SHOP_EMPTY:-d}\","
        " stall_limit: \"${SHOP_UNSET:-7s}\"}\n" OUT);
    cr_expect_str_eq(got.c->source.dsn, "dbname=shop2 host=h a=$b c=d");
    cr_expect_eq(got.c->source.stall_limit_ms, 7000);
    setenv("SHOP_DB", "${SHOP_DB}", 1); /* once, not again */
    expect_good("source: {dsn: \"${SHOP_DB}\"}\n" OUT);
    cr_expect_str_eq(got.c->source.dsn, "${SHOP_DB}");
}

Test(config, names_a_variable_that_is_not_set)
{
    unsetenv("SHOP_UNSET");
    expect_problems("source:\n  dsn: ${SHOP_UNSET}\n" OUT,
                    "shop.yaml:2:8: source.dsn: variable SHOP_UNSET is not set; hint: set it in "
                    "the environment, or give a default: ${SHOP_UNSET:-...}\n");
}

Test(config, explains_a_dollar_sign_that_means_nothing)
{
    expect_mentions("source: {dsn: a$b}\n" OUT, "source.dsn: a lone $; hint: write $$");
    expect_mentions("source: {dsn: 'a${b'}\n" OUT, "without \"}\"");
    expect_mentions("source: {dsn: '${}'}\n" OUT, "must be followed by a variable's name");
    expect_mentions("source: {dsn: '${1A}'}\n" OUT, "must be followed by a variable's name");
    expect_mentions("source: {dsn: '${A-b}'}\n" OUT, "must be followed by a variable's name");
}

/* ---- problems ---- */

Test(config, reports_every_problem_in_the_order_of_the_file)
{
    expect_problems(
        "source:\n"
        "  slott: x\n"
        "  status_interval: 5\n"
        "  create: maybe\n"
        "  prefix: y\n"
        "  stall_limit: 2h\n"
        "sink: {dir: out}\n"
        "formt: {}\n"
        "log: {level: loud}\n"
        "log: {}\n",
        "shop.yaml:1:1: source.dsn: is required\n"
        "shop.yaml:2:3: source.slott: unknown key; did you mean \"slot\"?\n"
        "shop.yaml:3:20: source.status_interval: \"5\" is not a time such as 500ms, 5s, "
        "10m, 2h or 1d; did you mean \"5s\"?\n"
        "shop.yaml:4:11: source.create: \"maybe\" is neither on nor off\n"
        "shop.yaml:5:3: source.prefix: unknown key; it belongs to the section format\n"
        "shop.yaml:6:16: source.stall_limit: 2h is above the maximum of 1h\n"
        "shop.yaml:8:1: formt: unknown section; did you mean \"format\"?\n"
        "shop.yaml:9:14: log.level: \"loud\" is not one of error, warn, info, debug\n"
        "shop.yaml:10:1: log: given twice; first in line 9\n");
    cr_expect_str_eq(got.err.text, "shop.yaml: 9 problems");
}

Test(config, without_a_listener_the_first_problem_is_the_error)
{
    struct wf_config *c;
    const char *text = "source: {a: b, c: d}\n" OUT;

    cr_expect_eq(wf_config_parse("shop.yaml", text, strlen(text), &c, NULL, NULL, &got.err),
                 WF_FATAL);
    cr_expect_str_eq(got.err.text, "shop.yaml:1:1: source.dsn: is required (and 2 more problems)");
}

Test(config, a_syntax_error_ends_the_reading_after_what_came_before)
{
    expect_problems("source:\n  slott: x\n  dsn: [\nsink: {dri: x}\n",
                    "shop.yaml:2:3: source.slott: unknown key; did you mean \"slot\"?\n"
                    "shop.yaml:3:8: source.dsn: must be one value, not a list\n"
                    "shop.yaml:4:5: not valid YAML: did not find expected ',' or ']' while parsing "
                    "a flow sequence that starts in line 3\n");
}

Test(config, a_key_given_twice_names_the_first)
{
    expect_problems("source:\n  dsn: a\n  slot: b\n  dsn: c\n" OUT,
                    "shop.yaml:4:3: source.dsn: given twice; first in line 2\n");
    expect_mentions(DSN "sink: {type: file, dir: x, type: stdout}\n", "sink.type: given twice");
}

Test(config, values_of_the_wrong_shape_say_what_is_wanted)
{
    expect_mentions("source: {dsn: [a]}\n" OUT, "source.dsn: must be one value, not a list");
    expect_mentions(DSN OUT "format: {topic: {prefix}}\n", "a text with braces stands in quotes");
    expect_mentions("source: {dsn: x, tables: {a: b}}\n" OUT, "source.tables: must be a list");
    expect_mentions("source: {dsn: x, tables: [[a.b]]}\n" OUT, "each item must be one word");
    expect_mentions("source: {dsn: x, tables: []}\n" OUT, "source.tables: must not be empty");
    expect_mentions("source: {dsn: x, slot: }\n" OUT, "source.slot: has no value");
    expect_mentions("source: {dsn: ~}\n" OUT, "source.dsn: has no value");
    expect_mentions("source: {dsn: ''}\n" OUT, "source.dsn: must not be empty");
    expect_mentions("source: x\n" OUT, "source: must be a mapping of keys");
    expect_mentions("source: [x]\n" OUT, "source: must be a mapping of keys");
}

Test(config, keys_in_the_wrong_place_are_sent_to_the_right_one)
{
    expect_mentions("dsn: x\n" OUT, "shop.yaml:1:1: dsn: unknown section; hint: it is a key of the "
                                    "section source");
    expect_mentions("brokers: x\n" DSN OUT, "it is a key of the section sink");
    expect_mentions(DSN "sink: {dir: x, encoding: json}\n",
                    "sink.encoding: unknown key; it belongs to the section format");
    expect_mentions("source: {dsn: x, wibble: 1}\n" OUT, "source.wibble: unknown key");
}

Test(config, checks_what_postgresql_and_kafka_would_refuse)
{
    expect_mentions("source: {dsn: x, slot: My-Slot}\n" OUT, "source.slot: \"My-Slot\" is no slot");
    expect_mentions("source: {dsn: x, tables: [orders]}\n" OUT,
                    "hint: \"public.orders\", or \"*.orders\" for every schema");
    expect_mentions("source: {dsn: x, tables: [.orders]}\n" OUT, "is not of the form schema.table");
    expect_mentions(DSN OUT "format: {prefix: 'a b'}\n", "format.prefix: \"a b\" may hold");
    expect_mentions(DSN OUT "format: {topic: '{prefix}.{tabel}'}\n",
                    "format.topic: at \"{tabel}\": there is no such placeholder");
    expect_mentions(DSN OUT "format: {topic: 'a/{table}'}\n", "format.topic: at \"/{table}\"");
    expect_good(DSN OUT "format: {topic: 'cdc.{table}'}\n");
}

Test(config, checks_the_registry)
{
    expect_mentions(DSN OUT "format: {registry: 'registry:8081'}\n", "must begin with https://");
    expect_mentions(DSN OUT "format: {registry: 'https://a,https://b'}\n",
                    "several addresses are a list");
    expect_mentions(DSN OUT "format: {registry: 'https://u@a'}\n", "format.registry_user");
    expect_mentions(DSN OUT "format: {registry: 'https://a', registry_password: x}\n",
                    "needs format.registry_user");
    expect_mentions(DSN OUT "format: {registry: 'https://a', registry_key: x}\n",
                    "needs format.registry_cert");
    expect_good(DSN OUT "format: {registry: ['https://a', 'http://localhost:8081/x']}\n");
    cr_expect_eq(got.c->format.registry.n, 2);
}

Test(config, avro_on_kafka_needs_a_registry_and_the_message_names_both_cures)
{
    expect_problems(DSN "sink: {type: kafka, brokers: 'localhost:9092'}\n",
                    "shop.yaml:2:14: format.registry: sink kafka with encoding avro needs a schema "
                    "registry; hint: set format.registry, or format.encoding: json\n");
    expect_good(DSN "sink: {type: kafka, brokers: 'localhost:9092'}\nformat: {encoding: json}\n");
    expect_good(DSN "sink: {type: kafka, brokers: 'localhost:9092'}\n"
                    "format: {registry: 'https://r'}\n");
    /* a wrong encoding is one mistake, not two */
    parse(DSN "sink: {type: kafka, brokers: 'localhost:9092'}\nformat: {encoding: jsn}\n");
    cr_expect_eq(got.n, 1, "%s", problems());
}

/* ---- bad input ---- */

Test(config_bad_input, an_empty_file_lacks_the_dsn)
{
    expect_mentions("", "source.dsn: is required");
    expect_mentions("# only a comment\n", "source.dsn: is required");
    expect_mentions("---\n", "source.dsn: is required");
}

Test(config_bad_input, other_kinds_of_text_are_no_configuration)
{
    expect_problems("hello\n", "shop.yaml:1:1: this is no configuration: a file begins with a "
                               "section such as \"source:\"\n");
    expect_mentions("- 1\n- 2\n", "this is no configuration");
    expect_mentions("#!/bin/sh\necho hi\n", "this is no configuration");
}

Test(config_bad_input, yaml_that_we_do_not_use_is_refused)
{
    expect_mentions("source: &a {dsn: x}\n" OUT, "anchors (&name) are not used here");
    expect_mentions("source: {dsn: !!str x}\n" OUT, "tags (!name) are not used here");
    expect_mentions("source: {dsn: x}\nsink: *a\n", "aliases (*name) are not used here");
    expect_mentions("source: {dsn: x, tables: [*.*]}\n" OUT, "stands in quotes: \"*.*\"");
    expect_mentions(DSN OUT "---\n" DSN, "shop.yaml:3:1: a second document");
    expect_mentions("source: {? [a] : b}\n" OUT, "a key must be one word");
}

Test(config_bad_input, tabs_are_explained)
{
    expect_mentions("source:\n\tdsn: x\n", "shop.yaml:2:1: not valid YAML");
    cr_expect(strstr(problems(), "indent with blanks, not tabs"));
}

Test(config_bad_input, bytes_that_are_no_text_are_refused_where_they_stand)
{
    static const char utf16[] = "\xFF\xFEs\0o\0u\0";
    static const char nul[] = "source: {dsn: \"a\0b\"}\n";

    parse_bytes(utf16, sizeof(utf16) - 1);
    cr_expect_str_eq(problems(), "shop.yaml:1:1: the text is UTF-16; hint: save it as UTF-8\n");
    parse_bytes(nul, sizeof(nul) - 1);
    cr_expect(strstr(problems(), "shop.yaml:1:17: not a YAML text"), "%s", problems());
    expect_mentions("source: {dsn: \"a\\0b\"}\n" OUT, "holds a NUL character");
    expect_mentions("a: b\nsource: {dsn: \xC3\x28}\n", "shop.yaml:2:15: not a YAML text");
    expect_mentions("source: {\"d\\0n\": x}\n" OUT, "holds a NUL character");
}

Test(config_bad_input, random_bytes_are_refused)
{
    unsigned seed = 7;
    char bytes[4096];

    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)rand_r(&seed);
        parse_bytes(bytes, sizeof(bytes));
        cr_expect_eq(got.rc, WF_FATAL);
        cr_expect_geq(got.n, 1);
    }
}

static char *repeat(const char *unit, size_t times, const char *end)
{
    size_t n = strlen(unit);
    char *text = malloc(n * times + strlen(end) + 1);

    cr_assert_not_null(text);
    for (size_t i = 0; i < times; i++)
        memcpy(text + i * n, unit, n);
    memcpy(text + n * times, end, strlen(end) + 1);
    return text;
}

Test(config_bad_input, depth_count_and_size_have_limits, .timeout = 20)
{
    static const struct {
        const char *unit;
        size_t times;
        const char *end, *word;
    } rows[] = {
        {"[", 33, "", "nested deeper than 32 levels"},
        {"[", 1000000, "", "nested deeper than 32 levels"},
        {"{a: ", 250000, "", "nested deeper than 32 levels"},
        {"- ", 500000, "", "nested deeper than 32 levels"},
        {"? ", 500000, "", "problem"},
        {"- a\n", 250000, "", "too many values"},
        {"x", 1024 * 1024 + 1, "", "larger than 1 MiB"},
        {"# ok\n", 209715, DSN, "larger than 1 MiB"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = repeat(rows[i].unit, rows[i].times, rows[i].end);

        parse(text);
        cr_expect_eq(got.rc, WF_FATAL, "row %zu", i);
        cr_expect(strstr(problems(), rows[i].word) || strstr(got.err.text, rows[i].word),
                  "row %zu: %s", i, problems());
        free(text);
    }
}

Test(config_bad_input, an_alias_bomb_stays_small, .timeout = 10)
{
    expect_mentions("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n"
                    "c: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c]\n",
                    "aliases (*name) are not used here");
}

Test(config_bad_input, thousands_of_mistakes_do_not_flood_the_terminal, .timeout = 20)
{
    char *text = repeat("some_unknown_section: 1\n", 30000, "");

    parse(text);
    cr_expect_eq(got.n, 101);
    cr_expect(strstr(problems(), "... and 29901 more\n"), "%s", problems());
    free(text);
}

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

static void make_dir(void)
{
    make();
    cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    static const char *const names[] = {"shop.yaml", "secret", "big.yaml", "pipe.yaml"};

    destroy();
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
    static const char *const names[] = {"conf/walferry.yaml", "conf/examples/file.yaml",
                                        "conf/examples/stdout.yaml", "conf/examples/kafka.yaml"};

    setenv("KAFKA_PASSWORD", "x", 1);
    setenv("REGISTRY_PASSWORD", "x", 1);
    for (size_t i = 0; i < 4; i++) {
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

/* conf/walferry.yaml with every optional key switched on and the sink of type @sink. */
static void put_everything(const char *annotated, const char *sink, struct wf_buf *out)
{
    char wanted[64], line[512], text[512];
    struct wf_buf block;
    bool in_block = false, in_sink = false;

    snprintf(wanted, sizeof(wanted), "  type: %s\n", sink);
    wf_buf_init(&block, 1 << 16);
    while (*annotated) {
        size_t n = strcspn(annotated, "\n");

        cr_assert_lt(n, sizeof(line));
        snprintf(line, sizeof(line), "%.*s", (int)n, annotated);
        annotated += n + (annotated[n] == '\n');
        if (strcmp(line, "#sink:") == 0)
            in_block = true;
        else if (line[0] != '#')
            in_block = false;
        switched_on(line, in_block, text, sizeof(text));
        if (strcmp(text, "sink:") == 0)
            in_sink = true;
        else if (in_sink && text[0] && text[0] != ' ')
            in_sink = false;
        if (!in_sink) {
            wf_buf_printf(out, "%s\n", text);
            continue;
        }
        wf_buf_printf(&block, "%s\n", text);
        if (in_block ? *annotated != '#' : (*annotated != ' ')) { /* the end of a sink */
            wf_buf_byte(&block, '\0');
            if (strstr((char *)block.data, wanted) || strstr((char *)block.data, "type: \"null\""))
                if (strcmp(sink, "null") == 0 || strstr((char *)block.data, wanted))
                    wf_buf_str(out, (char *)block.data);
            wf_buf_reset(&block);
            in_sink = false;
        }
    }
    wf_buf_deinit(&block);
}

static void expect_all_given(const char *sink)
{
    struct wf_buf docs;
    uint64_t given;

    wf_buf_init(&docs, 1 << 20);
    wf_config_show(got.c, &docs);
    wf_buf_byte(&docs, '\0');
    for (const char *at = (char *)docs.data; (at = strstr(at, " # default")); at++) {
        const char *start = at;

        while (start[-1] != '\n')
            start--;
        cr_expect(false, "sink %s: not in conf/walferry.yaml: %.*s", sink, (int)(at - start),
                  start);
    }
    cr_expect_null(strstr((char *)docs.data, ": not set\n"),
                   "sink %s: not in conf/walferry.yaml: %s", sink, (char *)docs.data);
    given = got.c->given[0];
    cr_expect_neq(given, 0);
    wf_buf_deinit(&docs);
}

Test(config_docs, the_annotated_file_holds_every_option_with_a_value_that_loads)
{
    char *annotated = read_source("conf/walferry.yaml");

    setenv("SHOP_PASSWORD", "x", 1);
    setenv("KAFKA_PASSWORD", "x", 1);
    setenv("KAFKA_KEY_PASSWORD", "x", 1);
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
