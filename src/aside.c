#include "aside.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "lsn.h"
#include "pattern.h"
#include "select.h"

#define DIR_NAME "set-aside"
#define INLINE_ROOM 4096  /* of an event's limit, for what stands beside the message */
#define LARGE_VALUE 65536 /* marker: what is replaced, at most */
#define PATH_MAX_LEN 512

struct wf_aside {
    const struct wf_config *config;
    const char *plugin;
    struct wf_worker *worker;
    struct wf_err reason; /* of the change in work */
    char path[PATH_MAX_LEN];
    struct wf_col *rows; /* copies, old and new */
    size_t nrows;
    struct { /* the worker's while job.queued */
        struct wf_job job;
        char *data;
        size_t len;
        enum wf_rc rc;
        struct wf_err err;
        bool done;
    } save;
};

struct wf_aside *wf_aside_new(const struct wf_config *config, const char *plugin,
                              struct wf_worker *worker)
{
    struct wf_aside *a = calloc(1, sizeof(*a));

    if (a) {
        a->config = config;
        a->plugin = plugin;
        a->worker = worker;
    }
    return a;
}

void wf_aside_free(struct wf_aside *a)
{
    if (!a)
        return;
    free(a->save.data);
    free(a->rows);
    free(a);
}

/* ---- the file: what does not fit an event is kept beside the checkpoint ---- */

/* The same change gets the same name again: a repeat writes over itself. */
static void make_path(struct wf_aside *a, const struct wf_change *c, const char *data, size_t len)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)data[i]) * UINT64_C(0x100000001b3);
    snprintf(a->path, sizeof(a->path), "%s/" DIR_NAME "/%016" PRIX64 "-%016" PRIx64,
             a->config->state.dir, c->lsn, h);
}

static enum wf_rc write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return WF_RETRY;
        }
        data += n;
        len -= (size_t)n;
    }
    return fsync(fd) < 0 ? WF_RETRY : WF_OK;
}

static int open_dir(const struct wf_aside *a)
{
    char dir[PATH_MAX_LEN];

    snprintf(dir, sizeof(dir), "%s/" DIR_NAME, a->config->state.dir);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return -1;
    return open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static enum wf_rc write_file(struct wf_aside *a, struct wf_err *err)
{
    const char *name = strrchr(a->path, '/') + 1;
    int dir = open_dir(a), fd = -1;
    enum wf_rc rc = WF_RETRY;

    if (dir >= 0)
        fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0)
        rc = write_all(fd, a->save.data, a->save.len);
    if (rc == WF_OK && fsync(dir) < 0)
        rc = WF_RETRY;
    if (rc != WF_OK)
        wf_err_sys(err, WF_RETRY, "cannot keep a large change in %s", a->path);
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return rc;
}

static void save_run(struct wf_job *job)
{
    struct wf_aside *a = wf_container_of(job, struct wf_aside, save.job);

    a->save.rc = write_file(a, &a->save.err);
}

static void save_done(struct wf_job *job)
{
    struct wf_aside *a = wf_container_of(job, struct wf_aside, save.job);

    a->save.done = true;
}

/* WF_OK: it is on disk. */
static enum wf_rc keep(struct wf_aside *a, const struct wf_change *c, const char *data, size_t len,
                       struct wf_err *err)
{
    if (a->save.job.queued)
        return WF_AGAIN;
    if (a->save.done) {
        a->save.done = false;
        if (a->save.rc != WF_OK)
            *err = a->save.err;
        return a->save.rc;
    }
    free(a->save.data);
    a->save.data = malloc(len);
    if (!a->save.data)
        return wf_err_set(err, WF_RETRY, "memory", "out of memory");
    memcpy(a->save.data, data, len);
    a->save.len = len;
    make_path(a, c, data, len);
    a->save.job.run = save_run;
    a->save.job.done = save_done;
    wf_worker_submit(a->worker, &a->save.job);
    return WF_AGAIN;
}

/* ---- what becomes of the change ---- */

static bool is_size(const char *code)
{
    return strcmp(code, "event_too_large") == 0 || strcmp(code, "json_size") == 0;
}

static enum wf_aside_policy policy_of(const struct wf_aside *a, const struct wf_change *c,
                                      const char *code)
{
    const struct wf_format_conf *conf = &a->config->format;
    char table[WF_SELECT_NAME];
    const char *word;

    if (!is_size(code))
        return (enum wf_aside_policy)conf->bad_value;
    snprintf(table, sizeof(table), "%s.%s", c->rel ? c->rel->schema : "walferry",
             c->rel ? c->rel->name : "message");
    word = wf_patterns_value(&conf->large_events, table);
    if (word && strcmp(word, "marker") == 0)
        return WF_ASIDE_MARKER;
    return word && strcmp(word, "dead_letter") == 0 ? WF_ASIDE_DEAD_LETTER : WF_ASIDE_HALT;
}

/* Values that the encoder shows as it shows what the server did not send. */
static bool mark_row(struct wf_col *out, const struct wf_col *row, const struct wf_relation *rel,
                     size_t limit)
{
    bool marked = false;

    for (uint16_t i = 0; i < rel->ncols; i++) {
        bool key = rel->cols[i].key && rel->identity != 'f'; /* with FULL every column is */

        out[i] = row[i];
        if (!key && (row[i].kind == WF_COL_TEXT || row[i].kind == WF_COL_BINARY) &&
            row[i].len > limit) {
            out[i] = (struct wf_col){.kind = WF_COL_UNCHANGED};
            marked = true;
        }
    }
    return marked;
}

static bool mark(struct wf_aside *a, struct wf_change *c)
{
    size_t n = c->rel ? c->rel->ncols : 0, limit = wf_config_largest(a->config) / 16;
    bool marked = false;

    if (limit > LARGE_VALUE)
        limit = LARGE_VALUE;
    if (!n)
        return false;
    if (a->nrows < 2 * n) {
        struct wf_col *rows = realloc(a->rows, 2 * n * sizeof(*rows));

        if (!rows)
            return false;
        a->rows = rows;
        a->nrows = 2 * n;
    }
    if (c->old_row && c->old_row != a->rows && c->old_kind == WF_OLD_FULL) {
        marked |= mark_row(a->rows, c->old_row, c->rel, limit);
        c->old_row = a->rows;
    }
    if (c->new_row && c->new_row != a->rows + n) {
        marked |= mark_row(a->rows + n, c->new_row, c->rel, limit);
        c->new_row = a->rows + n;
    }
    return marked;
}

static void bury(struct wf_aside *a, struct wf_change *c, const char *message, size_t len,
                 bool in_file)
{
    c->dead.was = c->kind;
    c->dead.rel = c->rel;
    c->dead.code = a->reason.code;
    c->dead.reason = a->reason.text;
    c->dead.plugin = a->plugin;
    c->dead.message = message;
    c->dead.len = len;
    c->dead.file = in_file ? a->path : NULL;
    c->kind = WF_CHANGE_DEAD;
    c->rel = NULL;
}

static void announce(const struct wf_aside *a, const struct wf_change *c,
                     const struct wf_relation *rel, const char *what, bool in_file)
{
    char fields[64];

    snprintf(fields, sizeof(fields), "lsn=%s", wf_lsn_text(c->lsn).s);
    wf_log(WF_LOG_WARN, "set_aside", fields, "a change of %s.%s %s (%s)%s%s: %s",
           rel ? rel->schema : "-", rel ? rel->name : "-", what, a->reason.code,
           in_file ? ", whole in " : "", in_file ? a->path : "", a->reason.text);
}

enum wf_rc wf_aside_take(struct wf_aside *a, struct wf_change *c, const char *message, size_t len,
                         struct wf_err *err)
{
    enum wf_aside_policy policy = policy_of(a, c, err->code);
    bool in_file = policy == WF_ASIDE_MARKER || len + INLINE_ROOM > wf_config_largest(a->config);
    const struct wf_relation *rel = c->rel;
    enum wf_rc rc;

    if (policy == WF_ASIDE_HALT || c->kind == WF_CHANGE_DEAD || c->kind == WF_CHANGE_COMMIT ||
        c->kind == WF_CHANGE_HEARTBEAT)
        return WF_REJECT;
    if (!a->save.job.queued && !a->save.done)
        a->reason = *err;
    rc = in_file ? keep(a, c, message, len, err) : WF_OK;
    if (rc != WF_OK)
        return rc;
    if (policy == WF_ASIDE_MARKER && mark(a, c)) {
        announce(a, c, rel, "is published without its large values", true);
    } else {
        bury(a, c, message, len, in_file);
        announce(a, c, rel, "goes to the dead letters", in_file);
    }
    return WF_OK;
}
