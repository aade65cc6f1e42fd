#include "select.h"

#include <stdio.h>

#include "pattern.h"

static const char *table_name(char out[WF_SELECT_NAME], const char *schema, const char *table)
{
    snprintf(out, WF_SELECT_NAME, "%s.%s", schema, table);
    return out;
}

static const char *column_name(char out[WF_SELECT_NAME], const char *schema, const char *table,
                               const char *column)
{
    snprintf(out, WF_SELECT_NAME, "%s.%s.%s", schema, table, column);
    return out;
}

bool wf_select_table(const struct wf_source_conf *conf, const char *schema, const char *table)
{
    char name[WF_SELECT_NAME];

    table_name(name, schema, table);
    return (conf->tables.n == 0 || wf_patterns_match(&conf->tables, name)) &&
           !wf_patterns_match(&conf->exclude_tables, name);
}

bool wf_select_all_tables(const struct wf_source_conf *conf)
{
    const struct wf_list *tables = &conf->tables;

    return conf->exclude_tables.n == 0 &&
           (tables->n == 0 || (tables->n == 1 && (strcmp(tables->items[0], "*.*") == 0 ||
                                                  strcmp(tables->items[0], "*") == 0)));
}

/* Whether a pattern over columns speaks of this table at all: its part before the last dot does.
 * A regular expression may speak of any. */
static bool speaks_of(const char *pattern, const char *table)
{
    const char *dot = strrchr(pattern, '.');
    char head[WF_SELECT_NAME];

    if (pattern[0] == '/' || !dot)
        return false;
    snprintf(head, sizeof(head), "%.*s", (int)(dot - pattern), pattern);
    return wf_pattern_matches(head, table);
}

/* A table that no pattern of source.columns speaks of keeps all its columns. */
static bool is_limited(const struct wf_source_conf *conf, const char *table)
{
    for (size_t i = 0; i < conf->columns.n; i++)
        if (conf->columns.items[i][0] == '/' || speaks_of(conf->columns.items[i], table))
            return true;
    return false;
}

enum wf_column_choice wf_select_column(const struct wf_source_conf *conf, const char *schema,
                                       const char *table, const char *column)
{
    char of_table[WF_SELECT_NAME], name[WF_SELECT_NAME];

    column_name(name, schema, table, column);
    if (wf_patterns_match(&conf->exclude_columns, name))
        return WF_COLUMN_EXCLUDED;
    if (!is_limited(conf, table_name(of_table, schema, table)) ||
        wf_patterns_match(&conf->columns, name))
        return WF_COLUMN_IN;
    return WF_COLUMN_OUT;
}

bool wf_select_column_list(const struct wf_source_conf *conf, const char *schema, const char *table,
                           void (*fn)(void *arg, const char *column), void *arg)
{
    char name[WF_SELECT_NAME];
    size_t n = strlen(table_name(name, schema, table));

    if (conf->exclude_columns.n || !is_limited(conf, name))
        return false;
    for (size_t i = 0; i < conf->columns.n; i++) {
        const char *pattern = conf->columns.items[i];

        if (!wf_pattern_is_name(pattern) && (pattern[0] == '/' || speaks_of(pattern, name)))
            return false;
    }
    for (size_t i = 0; i < conf->columns.n; i++)
        if (speaks_of(conf->columns.items[i], name))
            fn(arg, conf->columns.items[i] + n + 1);
    return true;
}

bool wf_select_skips(const struct wf_source_conf *conf, enum wf_change_kind kind,
                     bool truncate_skipped)
{
    static const char letters[] = {[WF_CHANGE_INSERT] = 'c',
                                   [WF_CHANGE_UPDATE] = 'u',
                                   [WF_CHANGE_DELETE] = 'd',
                                   [WF_CHANGE_TRUNCATE] = 't'};
    char letter = (char)((size_t)kind < sizeof(letters) ? letters[kind] : '\0');

    if (!conf->skipped_operations.n)
        return kind == WF_CHANGE_TRUNCATE && truncate_skipped;
    for (size_t i = 0; i < conf->skipped_operations.n; i++)
        if (letter && conf->skipped_operations.items[i][0] == letter)
            return true;
    return false;
}
