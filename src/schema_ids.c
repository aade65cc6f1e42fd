#include "schema_ids.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "digest.h"
#include "grow.h"
#include "log.h"

#define FILE_NAME "schemas"
#define MAGIC "walferry schemas 1\n"
#define FILE_MAX (32u << 20)
#define IDS_MAX 16384
#define TEXTS_MAX (8u << 20)
#define SUM_LEN WF_SHA256_HEX

struct entry {
    struct wf_schema_id id; /* first: what is given out */
    bool key;
    char sum[SUM_LEN + 1]; /* of the schema text */
    char *subject;
};

struct last {
    char *subject, *text;
};

struct wf_schema_ids {
    struct wf_worker *worker;
    int dir_fd;
    char *dir, *registry;
    struct entry *entries;
    struct last *texts;
    size_t nentries, ntexts, text_bytes;
    bool dirty; /* something is not in the file */
    struct {    /* the worker's while job.queued */
        struct wf_job job;
        struct wf_buf content;
        enum wf_rc rc;
        struct wf_err err;
    } save;
    bool refused; /* the last save */
};

static enum wf_rc no_memory(struct wf_err *err)
{
    return wf_err_set(err, WF_FATAL, "memory", "out of memory");
}

/* ---- what is remembered ---- */

static void drop_entry(struct wf_schema_ids *s, size_t i)
{
    free(s->entries[i].subject);
    s->nentries--;
    memmove(&s->entries[i], &s->entries[i + 1], (s->nentries - i) * sizeof(s->entries[0]));
}

static void drop_text(struct wf_schema_ids *s, size_t i)
{
    s->text_bytes -= strlen(s->texts[i].text);
    free(s->texts[i].subject);
    free(s->texts[i].text);
    s->ntexts--;
    for (; i < s->ntexts; i++)
        s->texts[i] = s->texts[i + 1];
    s->texts[i] = (struct last){0};
}

/* The oldest, but ids of keys only when there are no others: rows are placed by them. */
static void make_room(struct wf_schema_ids *s)
{
    size_t i = 0;

    while (i < s->nentries && s->entries[i].key)
        i++;
    if (s->nentries)
        drop_entry(s, i < s->nentries ? i : 0);
}

static bool add_entry(struct wf_schema_ids *s, const char *subject, const char *sum, bool key,
                      struct wf_schema_id id)
{
    struct entry *entries;

    if (s->nentries >= IDS_MAX)
        make_room(s);
    entries = wf_grow(s->entries, s->nentries, sizeof(*entries));
    if (!entries)
        return false;
    s->entries = entries;
    entries[s->nentries] = (struct entry){.id = id, .key = key, .subject = strdup(subject)};
    if (!entries[s->nentries].subject)
        return false;
    memcpy(entries[s->nentries].sum, sum, SUM_LEN + 1);
    s->nentries++;
    return true;
}

static bool set_text(struct wf_schema_ids *s, const char *subject, const char *text)
{
    struct last *texts;
    size_t len = strlen(text);

    for (size_t i = 0; i < s->ntexts; i++)
        if (!strcmp(s->texts[i].subject, subject)) {
            drop_text(s, i);
            break;
        }
    if (len > TEXTS_MAX / 4) /* the registry has it */
        return true;
    while (s->ntexts && (s->text_bytes + len > TEXTS_MAX || s->ntexts >= IDS_MAX))
        drop_text(s, 0);
    texts = wf_grow(s->texts, s->ntexts, sizeof(*texts));
    if (!texts)
        return false;
    s->texts = texts;
    texts[s->ntexts] = (struct last){strdup(subject), strdup(text)};
    if (!texts[s->ntexts].subject || !texts[s->ntexts].text) {
        free(texts[s->ntexts].subject);
        free(texts[s->ntexts].text);
        return false;
    }
    s->ntexts++;
    s->text_bytes += len;
    return true;
}

static void forget_all(struct wf_schema_ids *s)
{
    while (s->nentries)
        drop_entry(s, s->nentries - 1);
    while (s->ntexts)
        drop_text(s, s->ntexts - 1);
}

static struct entry *find(const struct wf_schema_ids *s, const char *subject, const char *sum)
{
    for (size_t i = 0; i < s->nentries; i++)
        if (s->entries[i].sum[0] == sum[0] && !strcmp(s->entries[i].sum, sum) &&
            !strcmp(s->entries[i].subject, subject))
            return &s->entries[i];
    return NULL;
}

const struct wf_schema_id *wf_schema_ids_find(const struct wf_schema_ids *s, const char *subject,
                                              const char *text)
{
    char sum[SUM_LEN + 1];
    const struct entry *e = wf_sha256_hex(text, strlen(text), sum) ? find(s, subject, sum) : NULL;

    return e ? &e->id : NULL;
}

const char *wf_schema_ids_text(const struct wf_schema_ids *s, const char *subject)
{
    for (size_t i = 0; i < s->ntexts; i++)
        if (!strcmp(s->texts[i].subject, subject))
            return s->texts[i].text;
    return NULL;
}

/* ---- the file: lines, the last one is the checksum of those before ---- */

static void put_content(const struct wf_schema_ids *s, struct wf_buf *out)
{
    char sum[SUM_LEN + 1];

    wf_buf_reset(out);
    wf_buf_printf(out, MAGIC "registry %s\n", s->registry);
    for (size_t i = 0; i < s->nentries; i++) {
        const struct entry *e = &s->entries[i];

        wf_buf_printf(out, "%s %d %s %s\n",
                      !e->key         ? "value"
                      : e->id.foreign ? "foreign"
                                      : "key",
                      (int)e->id.id, e->sum, e->subject);
    }
    for (size_t i = 0; i < s->ntexts; i++) {
        wf_buf_printf(out, "last %s\n", s->texts[i].subject);
        wf_buf_str(out, s->texts[i].text);
        wf_buf_byte(out, '\n');
    }
    if (!out->failed && wf_sha256_hex(out->data, out->len, sum))
        wf_buf_printf(out, "sum %s\n", sum);
    else
        out->failed = true;
}

/* The next line, NUL-terminated in place; NULL at the end. */
static char *next_line(char **at)
{
    char *line = *at, *end = strchr(line, '\n');

    if (!*line || !end)
        return NULL;
    *end = '\0';
    *at = end + 1;
    return line;
}

static bool take_prefix(char **line, const char *prefix)
{
    size_t n = strlen(prefix);

    if (strncmp(*line, prefix, n) != 0)
        return false;
    *line += n;
    return true;
}

/* "7 <sum> <subject>" of kind value, key or foreign key. */
static bool take_id(struct wf_schema_ids *s, char *line, bool key, bool foreign, bool ours)
{
    char *sum;
    long id = strtol(line, &sum, 10);

    if (sum == line || *sum != ' ' || id <= 0 || id > INT32_MAX)
        return false;
    sum++;
    if (strlen(sum) <= SUM_LEN + 1 || sum[SUM_LEN] != ' ')
        return false;
    sum[SUM_LEN] = '\0';
    if (!key && !ours) /* asked again */
        return true;
    return add_entry(s, sum + SUM_LEN + 1, sum, key,
                     (struct wf_schema_id){(int32_t)id, foreign || !ours});
}

static bool take_lines(struct wf_schema_ids *s, char *at)
{
    char *line, *text;
    bool ours;

    if (!take_prefix(&at, MAGIC) || !(line = next_line(&at)) || !take_prefix(&line, "registry "))
        return false;
    ours = !strcmp(line, s->registry);
    s->dirty = !ours;
    while ((line = next_line(&at))) {
        bool good;

        if (take_prefix(&line, "value "))
            good = take_id(s, line, false, false, ours);
        else if (take_prefix(&line, "key "))
            good = take_id(s, line, true, false, ours);
        else if (take_prefix(&line, "foreign "))
            good = take_id(s, line, true, true, ours);
        else
            good =
                take_prefix(&line, "last ") && (text = next_line(&at)) && set_text(s, line, text);
        if (!good)
            return false;
    }
    return true;
}

/* Takes the checksum's line off. */
static bool is_whole(struct wf_buf *content)
{
    const size_t tail = 4 + SUM_LEN + 1;
    char sum[SUM_LEN + 1], *last;

    if (content->failed || content->len < tail || memchr(content->data, '\0', content->len))
        return false;
    last = (char *)content->data + content->len - tail;
    if (!wf_sha256_hex(content->data, content->len - tail, sum) || strncmp(last, "sum ", 4) != 0 ||
        strncmp(last + 4, sum, SUM_LEN) != 0 || last[tail - 1] != '\n')
        return false;
    *last = '\0';
    return true;
}

/* Return: 0, or the error number; EFBIG when it is too large. */
static int read_file(const struct wf_schema_ids *s, struct wf_buf *out)
{
    int fd = openat(s->dir_fd, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    unsigned char part[65536];
    int error = 0;
    ssize_t n;

    if (fd < 0)
        return errno;
    do {
        n = read(fd, part, sizeof(part));
        if (n < 0)
            error = errno;
        if (n > 0)
            wf_buf_put(out, part, (size_t)n);
    } while (n > 0 && !out->failed);
    close(fd);
    if (out->failed)
        return wf_buf_starved() ? ENOMEM : EFBIG;
    return error;
}

static void load(struct wf_schema_ids *s)
{
    struct wf_buf content;
    const char *why = NULL;
    int error;

    wf_buf_init(&content, FILE_MAX);
    error = read_file(s, &content);
    if (error) {
        if (error != ENOENT)
            why = strerror(error);
    } else if (!is_whole(&content) || !take_lines(s, (char *)content.data)) {
        why = "it is damaged, or another version's";
    }
    if (why) {
        forget_all(s);
        wf_log(WF_LOG_WARN, "schema_ids_lost", NULL,
               "%s/" FILE_NAME " cannot be used: %s; the registry is asked for every schema again",
               s->dir, why);
    }
    wf_buf_deinit(&content);
}

/* ---- saving ---- */

/* A crash at any point leaves the old file or the new one. */
static enum wf_rc write_file(struct wf_schema_ids *s, struct wf_err *err)
{
    const struct wf_buf *b = &s->save.content;
    int fd = openat(s->dir_fd, FILE_NAME ".new",
                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    size_t done = 0;
    ssize_t n = 0;

    if (fd < 0)
        return wf_err_sys(err, WF_RETRY, "cannot create %s/" FILE_NAME ".new", s->dir);
    while (done < b->len && (n = write(fd, b->data + done, b->len - done)) > 0)
        done += (size_t)n;
    if (n >= 0 && done < b->len)
        errno = ENOSPC;
    if (done < b->len || fsync(fd) < 0) {
        wf_err_sys(err, WF_RETRY, "cannot write %s/" FILE_NAME ".new", s->dir);
        close(fd);
        return WF_RETRY;
    }
    close(fd);
    if (renameat(s->dir_fd, FILE_NAME ".new", s->dir_fd, FILE_NAME) < 0 || fsync(s->dir_fd) < 0)
        return wf_err_sys(err, WF_RETRY, "cannot move %s/" FILE_NAME ".new into place", s->dir);
    return WF_OK;
}

static void save_run(struct wf_job *job)
{
    struct wf_schema_ids *s = wf_container_of(job, struct wf_schema_ids, save.job);

    s->save.rc = write_file(s, &s->save.err);
}

static void save(struct wf_schema_ids *s);

static void note_saved(struct wf_schema_ids *s)
{
    if (s->save.rc != WF_OK && !s->refused)
        wf_log(WF_LOG_WARN, "schema_ids", NULL,
               "%s; schema ids are not remembered: after a restart the registry is needed",
               s->save.err.text);
    s->refused = s->save.rc != WF_OK;
}

static void save_done(struct wf_job *job)
{
    struct wf_schema_ids *s = wf_container_of(job, struct wf_schema_ids, save.job);

    note_saved(s);
    save(s);
}

static bool make_content(struct wf_schema_ids *s)
{
    put_content(s, &s->save.content);
    s->dirty = false;
    if (!s->save.content.failed)
        return true;
    s->save.rc = wf_err_set(&s->save.err, WF_RETRY, "memory", "out of memory");
    note_saved(s);
    return false;
}

/* What comes in while the file is written goes into the next one. */
static void save(struct wf_schema_ids *s)
{
    if (!s->dirty || s->save.job.queued || !s->worker || !make_content(s))
        return;
    s->save.job.run = save_run;
    s->save.job.done = save_done;
    wf_worker_submit(s->worker, &s->save.job);
}

enum wf_rc wf_schema_ids_put(struct wf_schema_ids *s, const char *subject, const char *text,
                             bool key, int32_t id, struct wf_err *err)
{
    char sum[SUM_LEN + 1];
    struct entry *e;

    if (strchr(subject, '\n') || strchr(text, '\n')) /* no text of ours; it is asked again */
        return WF_OK;
    if (!wf_sha256_hex(text, strlen(text), sum))
        return no_memory(err);
    e = find(s, subject, sum);
    if (e)
        e->id = (struct wf_schema_id){id, false};
    else if (!add_entry(s, subject, sum, key, (struct wf_schema_id){id, false}))
        return no_memory(err);
    if (!set_text(s, subject, text))
        return no_memory(err);
    s->dirty = true;
    save(s);
    return WF_OK;
}

/* The URLs in one line. NULL: memory is out. */
static char *join(const struct wf_list *urls)
{
    struct wf_buf line;

    wf_buf_init(&line, 1u << 20);
    for (size_t i = 0; i < urls->n; i++) {
        wf_buf_str(&line, i ? " " : "");
        wf_buf_str(&line, urls->items[i]);
    }
    wf_buf_byte(&line, '\0');
    return (char *)line.data; /* the caller's to free() */
}

enum wf_rc wf_schema_ids_open(struct wf_schema_ids **out, const char *dir,
                              const struct wf_list *registry, struct wf_worker *worker,
                              struct wf_err *err)
{
    struct wf_schema_ids *s = calloc(1, sizeof(*s));

    if (!s)
        return no_memory(err);
    s->worker = worker;
    wf_buf_init(&s->save.content, FILE_MAX);
    s->dir = strdup(dir);
    s->registry = join(registry);
    s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!s->dir || !s->registry || s->dir_fd < 0) {
        if (s->dir_fd < 0)
            wf_err_sys(err, WF_FATAL, "cannot open %s", dir);
        else
            no_memory(err);
        wf_schema_ids_close(s);
        return WF_FATAL;
    }
    load(s);
    *out = s;
    return WF_OK;
}

void wf_schema_ids_close(struct wf_schema_ids *s)
{
    if (!s)
        return;
    if (s->dir_fd >= 0 && (s->dirty || s->save.job.queued) && make_content(s)) {
        s->save.rc = write_file(s, &s->save.err);
        note_saved(s);
    }
    forget_all(s);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    wf_buf_deinit(&s->save.content);
    free(s->entries);
    free(s->texts);
    free(s->dir);
    free(s->registry);
    free(s);
}
