#include <criterion/criterion.h>

#include "publication.h"

static bool matches(char *pattern, const char *schema, const char *table)
{
    struct wf_list list = {&pattern, 1};

    return wf_tables_match(&list, schema, table);
}

Test(tables_match, everything_without_a_list)
{
    struct wf_list none = {NULL, 0};

    cr_expect(wf_tables_match(&none, "public", "orders"));
}

Test(tables_match, globs_over_schema_and_table)
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

Test(tables_match, any_of_several)
{
    char *items[] = {"public.orders", "audit.*"};
    struct wf_list list = {items, 2};

    cr_expect(wf_tables_match(&list, "public", "orders"));
    cr_expect(wf_tables_match(&list, "audit", "x"));
    cr_expect_not(wf_tables_match(&list, "public", "users"));
}

/* Identifiers have at most 63 bytes each (NAMEDATALEN). */
Test(tables_match, names_of_any_length_the_server_allows)
{
    char name[64] = {0};
    char pattern[128];

    memset(name, 'x', 63);
    snprintf(pattern, sizeof(pattern), "%s.%s", name, name);
    cr_expect(matches(pattern, name, name));
    pattern[126] = 'y';
    cr_expect_not(matches(pattern, name, name));
}
