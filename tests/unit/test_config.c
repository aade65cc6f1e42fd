#include "config_kit.h"

#include "plugins.h"

TestSuite(config, .init = make, .fini = destroy);
TestSuite(config_bad_input, .init = make, .fini = destroy);

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
                    "shop.yaml:5:1: not valid YAML: did not find expected ',' or ']' while parsing "
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

#define LETTERS_64 "abcdefghijklmnopabcdefghijklmnopabcdefghijklmnopabcdefghijklmnop"
#define LETTERS_256 LETTERS_64 LETTERS_64 LETTERS_64 LETTERS_64

Test(config, checks_what_postgresql_and_kafka_would_refuse)
{
    expect_mentions("source: {dsn: x, slot: My-Slot}\n" OUT, "source.slot: \"My-Slot\" is no slot");
    expect_mentions("source: {dsn: x, tables: [orders]}\n" OUT,
                    "hint: \"public.orders\", or \"*.orders\" for every schema");
    expect_mentions("source: {dsn: x, tables: [.orders]}\n" OUT, "is not of the form schema.table");
    expect_mentions(DSN OUT "format: {prefix: 'a b'}\n", "format.prefix: \"a b\" may hold");
    expect_mentions(DSN OUT "format: {prefix: " LETTERS_256 "}\n",
                    "format.prefix: longer than 240 bytes");
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
    expect_mentions("a: b\nsource: {dsn: \xC3\x28}\n", "shop.yaml:2:16: not a YAML text");
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
