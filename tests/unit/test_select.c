#include <criterion/criterion.h>

#include "mask.h"
#include "pattern.h"
#include "select.h"

static bool matches(char *pattern, const char *schema, const char *table)
{
    struct wf_source_conf conf = {.tables = {&pattern, 1}};

    return wf_select_table(&conf, schema, table);
}

Test(select_table, everything_without_a_list)
{
    struct wf_source_conf none = {0};

    cr_expect(wf_select_table(&none, "public", "orders"));
    cr_expect(wf_select_all_tables(&none));
}

Test(select_table, globs_over_schema_and_table)
{
    static const struct {
        char *pattern;
        const char *schema, *table;
        bool match;
    } rows[] = {
        {"public.orders", "public", "orders", true},
        {"public.orders", "public", "orders2", false},
        {"public.orders", "publicx", "orders", false},
        {"public.orders", "Public", "orders", false},
        {"public.*", "public", "orders", true},
        {"public.*", "private", "orders", false},
        {"*.orders", "private", "orders", true},
        {"*.*", "private", "orders", true},
        {"*", "private", "orders", true},
        {"public.order?", "public", "orders", true},
        {"public.order?", "public", "order", false},
        {"*_log.2024*", "audit_log", "2024_01", true},
        {"orders", "public", "orders", false},
        {"public.a.b", "public", "a.b", true},
        {"", "public", "orders", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(matches(rows[i].pattern, rows[i].schema, rows[i].table), rows[i].match,
                     "%s on %s.%s", rows[i].pattern, rows[i].schema, rows[i].table);
}

Test(select_table, any_of_several)
{
    char *items[] = {"public.orders", "audit.*"};
    struct wf_source_conf conf = {.tables = {items, 2}};

    cr_expect(wf_select_table(&conf, "public", "orders"));
    cr_expect(wf_select_table(&conf, "audit", "x"));
    cr_expect_not(wf_select_table(&conf, "public", "users"));
    cr_expect_not(wf_select_all_tables(&conf));
}

/* Identifiers have at most 63 bytes each (NAMEDATALEN). */
Test(select_table, names_of_any_length_the_server_allows)
{
    char name[64] = {0};
    char pattern[128];

    memset(name, 'x', 63);
    snprintf(pattern, sizeof(pattern), "%s.%s", name, name);
    cr_expect(matches(pattern, name, name));
    pattern[126] = 'y';
    cr_expect_not(matches(pattern, name, name));
}

Test(select_table, regular_expressions_match_the_whole_name)
{
    cr_expect(matches("/public\\.(orders|items)/", "public", "items"));
    cr_expect_not(matches("/public\\.(orders|items)/", "public", "items2"));
    cr_expect_not(matches("/public\\.items/", "xpublic", "items"));
    cr_expect(matches("/.*/", "a", "b"));
}

Test(select_table, excluded_ones_are_out)
{
    char *all[] = {"*.*"}, *not[] = {"audit.*", "/public\\.tmp_[0-9]+/"};
    struct wf_source_conf conf = {.tables = {all, 1}, .exclude_tables = {not, 2}};

    cr_expect(wf_select_table(&conf, "public", "tmp_x"));
    cr_expect_not(wf_select_table(&conf, "public", "tmp_17"));
    cr_expect_not(wf_select_table(&conf, "audit", "log"));
    cr_expect_not(wf_select_all_tables(&conf), "a publication for all tables would hold them");
}

Test(pattern, faults_name_the_cause)
{
    char why[100] = "";

    cr_expect_not(wf_pattern_fault("public.*", why, sizeof(why)));
    cr_expect_not(wf_pattern_fault("/a|b/", why, sizeof(why)));
    cr_expect(wf_pattern_fault("/a(b/", why, sizeof(why)));
    cr_expect(why[0]);
    cr_expect(wf_pattern_is_name("public.orders"));
    cr_expect_not(wf_pattern_is_name("public.*"));
    cr_expect_not(wf_pattern_is_name("/x/"));
}

Test(select_column, included_excluded_and_untouched_tables)
{
    char *in[] = {"public.users.id", "public.users.name"}, *out[] = {"*.*.secret"};
    struct wf_source_conf conf = {.columns = {in, 2}, .exclude_columns = {out, 1}};

    cr_expect_eq(wf_select_column(&conf, "public", "users", "name"), WF_COLUMN_IN);
    cr_expect_eq(wf_select_column(&conf, "public", "users", "mail"), WF_COLUMN_OUT);
    cr_expect_eq(wf_select_column(&conf, "public", "users", "secret"), WF_COLUMN_EXCLUDED);
    cr_expect_eq(wf_select_column(&conf, "public", "orders", "x"), WF_COLUMN_IN);
    cr_expect_eq(wf_select_column(&conf, "public", "orders", "secret"), WF_COLUMN_EXCLUDED);
}

static void append(void *arg, const char *column)
{
    strncat(arg, column, 20);
    strncat(arg, ",", 2);
}

Test(select_column, a_list_for_the_publication_only_from_full_names)
{
    char *names[] = {"public.users.id", "public.users.name"}, *globs[] = {"public.users.*"};
    struct wf_source_conf conf = {.columns = {names, 2}};
    char got[100] = "";

    cr_expect(wf_select_column_list(&conf, "public", "users", append, got));
    cr_expect_str_eq(got, "id,name,");
    cr_expect_not(wf_select_column_list(&conf, "public", "orders", append, got));
    conf.columns = (struct wf_list){globs, 1};
    cr_expect_not(wf_select_column_list(&conf, "public", "users", append, got));
}

Test(mask, specifications)
{
    static const struct {
        const char *spec;
        enum wf_mask_kind kind;
    } rows[] = {{"hash", WF_MASK_HASH},
                {"fixed ***", WF_MASK_FIXED},
                {"fixed", WF_MASK_FIXED},
                {"truncate 0", WF_MASK_TRUNCATE},
                {"truncate 1000000", WF_MASK_TRUNCATE},
                {"truncate 1000001", WF_MASK_NONE},
                {"truncate", WF_MASK_NONE},
                {"truncate -1", WF_MASK_NONE},
                {"truncate 5x", WF_MASK_NONE},
                {"hashed", WF_MASK_NONE},
                {"", WF_MASK_NONE}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wf_mask m;

        cr_expect_eq(wf_mask_read(rows[i].spec, &m), rows[i].kind != WF_MASK_NONE, "%s",
                     rows[i].spec);
        cr_expect_eq(m.kind, rows[i].kind, "%s", rows[i].spec);
    }
}

static const char *masked(char *spec, const char *value)
{
    static char text[200];
    struct wf_map_item item = {.key = "s.t.c", .value = spec};
    struct wf_source_conf conf = {.mask = {&item, 1}, .mask_salt = "pepper"};
    struct wf_coltype t = {0};
    struct wf_mask *m;
    struct wf_err err;
    struct wf_buf b;
    enum wf_conv_why why;
    size_t at;

    wf_buf_init(&b, 4096);
    cr_assert_eq(wf_mask_new(&conf, "s.t.c", &m, &err), WF_OK);
    wf_mask_apply(m, &t);
    cr_assert(wf_type_put(&t, value, strlen(value), &b, &why));
    at = b.data[0] & 0x80 ? 2 : 1; /* bytes of the length */
    snprintf(text, sizeof(text), "%.*s", (int)(b.len - at), (char *)b.data + at);
    wf_buf_deinit(&b);
    wf_mask_free(m);
    return text;
}

Test(mask, values)
{
    cr_expect_str_eq(masked("fixed ***", "secret"), "***");
    cr_expect_str_eq(masked("fixed", "secret"), "");
    cr_expect_str_eq(masked("truncate 3", "secret"), "sec");
    cr_expect_str_eq(masked("truncate 30", "secret"), "secret");
    cr_expect_str_eq(masked("truncate 2", "\xc3\xbc\xc3\xb6\xc3\xa4"), "\xc3\xbc\xc3\xb6");
    /* printf peppersecret | sha256sum */
    cr_expect_str_eq(masked("hash", "secret"),
                     "744a9101f7182a6ae0d978121ff74e33cac8d2832579c0637c1c37e9bbb6c065");
}
