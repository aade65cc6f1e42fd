/* The publication: made once from source.tables, checked before streaming. */
#ifndef WF_PUBLICATION_H
#define WF_PUBLICATION_H

#include "buf.h"
#include "config.h"
#include "pg.h"

/* Whether publication @name exists in the connection's database. */
enum wf_rc wf_publication_exists(PGconn *conn, const char *name, wf_cancel *cancel, bool *exists,
                                 struct wf_err *err);

/* Tables without a usable replica identity: publishing one makes the application's own UPDATE and
 * DELETE statements on it fail. */
enum wf_unsafe {
    WF_UNSAFE_REFUSE,    /* make no publication: exit code 78 names them */
    WF_UNSAFE_LEAVE_OUT, /* publish the others that exist now */
};

/**
 * wf_publication_create() - publish the tables that source.tables names
 * @conn: any connection to the database
 *
 * All tables: FOR ALL TABLES where the role may and none is left out, else every table that exists
 * now.
 */
enum wf_rc wf_publication_create(PGconn *conn, const struct wf_source_conf *conf,
                                 enum wf_unsafe unsafe, wf_cancel *cancel, struct wf_err *err);

/* The statement a superuser would make it with, NUL-terminated. */
enum wf_rc wf_publication_statement(PGconn *conn, const struct wf_source_conf *conf,
                                    wf_cancel *cancel, struct wf_buf *sql, struct wf_err *err);

/**
 * wf_tables_without_identity() - which tables of source.tables cannot be published safely
 * @out: names as "schema.table, schema.table", at most a few hundred bytes, "" = none
 */
enum wf_rc wf_tables_without_identity(PGconn *conn, const struct wf_source_conf *conf,
                                      wf_cancel *cancel, char *out, size_t size,
                                      struct wf_err *err);

/* Whether the existing publication filters the rows that source.row_filters names: a table that it
 * publishes whole is refused (exit code 78), since nobody else would filter it. */
enum wf_rc wf_publication_filters(PGconn *conn, const struct wf_source_conf *conf,
                                  wf_cancel *cancel, struct wf_err *err);

#endif
