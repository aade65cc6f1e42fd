/* What of the source goes into events: tables, columns, operations. */
#ifndef WF_SELECT_H
#define WF_SELECT_H

#include "change.h"
#include "config.h"

/* Room for the longest name of a table or column in select.c's form. */
#define WF_SELECT_NAME 200

/* Whether source.tables names the table and source.exclude_tables does not. */
bool wf_select_table(const struct wf_source_conf *conf, const char *schema, const char *table);

/* Whether every table is wanted. */
bool wf_select_all_tables(const struct wf_source_conf *conf);

enum wf_column_choice {
    WF_COLUMN_IN,
    WF_COLUMN_OUT,      /* not among source.columns: a key column stays all the same */
    WF_COLUMN_EXCLUDED, /* source.exclude_columns names it */
};
enum wf_column_choice wf_select_column(const struct wf_source_conf *conf, const char *schema,
                                       const char *table, const char *column);

/**
 * wf_select_column_list() - the columns of a table when source.columns names each of them in full
 *
 * Only then is the list for the publication: one made from patterns would be closed to columns that
 * match later. Return: false when it is no such list; @fn is called once per column.
 */
bool wf_select_column_list(const struct wf_source_conf *conf, const char *schema, const char *table,
                           void (*fn)(void *arg, const char *column), void *arg);

/* Whether source.skipped_operations leaves @kind out; @truncate_skipped: without that option
 * truncates are left out. */
bool wf_select_skips(const struct wf_source_conf *conf, enum wf_change_kind kind,
                     bool truncate_skipped);

#endif
