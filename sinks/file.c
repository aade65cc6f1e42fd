/* Avro object container files, one folder per topic.
 *
 * A file is written as NNN.avro.part and renamed to NNN.avro when it is full, old or superseded by
 * another schema. Whole blocks are written and synced together; an event is confirmed once its
 * block is synced. After a crash the .part files are cut behind their last whole block.
 * Source: Avro specification, "Object Container Files". */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acks.h"
#include "avro_get.h"
#include "avro_put.h"
#include "log.h"
#include "loop.h"
#include "sink.h"

#define BLOCK_BYTES (64 << 10) /* a block is closed past this; readers buffer one block */
#define BUFFERED_MAX (4 << 20) /* over all topics, not yet handed to the disk */
#define OPEN_MAX 256           /* topics with an open file */
#define SYNC_BYTES 16          /* length of a sync marker */
#define HEADER_MAX (4 << 20)
#define PART ".avro.part"
#define DONE ".avro"

struct file_conf {
    char *dir;
    int64_t rotate_bytes, rotate_ms, sync_ms;
};

/* The blocks of one topic under one schema. The loop thread fills `block` and `filled`; the sync
 * job owns the rest while it runs. */
struct writer {
    struct writer *next;
    struct wf_stream *stream; /* its topic and value schema */
    struct wf_buf block;      /* events of the open block */
    uint32_t block_events;
    struct wf_buf filled;  /* closed blocks, without their sync markers: see close_block() */
    bool retire;           /* another schema took over: finish the file */
    struct wf_buf syncing; /* what the job writes */
    int fd;                /* -1 = none open */
    uint64_t number, size; /* of the open file; size counts synced bytes */
    uint64_t opened_us;
    size_t header_len;
    unsigned char marker[SYNC_BYTES];
};

struct wf_sink {
    const struct file_conf *conf;
    int lock_fd; /* two writers would tear each other's files */
    const struct wf_sink_env *env;
    struct writer *writers;
    unsigned nwriters;
    size_t buffered;
    struct wf_acks pending, syncing;
    struct wf_timer timer;
    uint64_t next_sync_us;
    bool draining, dirty;
    bool closed; /* while the job ran: sync_done() ends it */
    struct {     /* the job's while job.queued */
        struct wf_job job;
        enum wf_rc rc;
        struct wf_err err;
    } sync;
    bool recovered; /* the job's: .part files of an earlier run are closed */
};

/* ---- Avro ------------------------------------------------------------------------------------ */

static void put_long(struct wf_buf *b, int64_t v)
{
    if (wf_buf_reserve(b, WF_LONG_ROOM))
        b->len = (size_t)(wf_put_long(b->data + b->len, v) - b->data);
}

static void put_text(struct wf_buf *b, const char *s)
{
    put_long(b, (int64_t)strlen(s));
    wf_buf_str(b, s);
}

static void put_header(struct wf_buf *b, const struct writer *w)
{
    wf_buf_put(b, "Obj\001", 4);
    put_long(b, 2);
    put_text(b, "avro.schema");
    put_text(b, w->stream->value_schema);
    put_text(b, "avro.codec");
    put_text(b, "null");
    put_long(b, 0);
    wf_buf_put(b, w->marker, SYNC_BYTES);
}

/* The marker is the file's, and which file a block goes to is the job's business: leave room.
 * Return: false without memory; the block is open then as it was. */
static bool close_block(struct writer *w)
{
    static const unsigned char room[SYNC_BYTES];

    if (!w->block_events)
        return true;
    if (!wf_buf_reserve(&w->filled, (size_t)2 * WF_LONG_ROOM + w->block.len + SYNC_BYTES))
        return false;
    put_long(&w->filled, w->block_events);
    put_long(&w->filled, (int64_t)w->block.len);
    wf_buf_put(&w->filled, w->block.data, w->block.len);
    wf_buf_put(&w->filled, room, SYNC_BYTES);
    wf_buf_reset(&w->block);
    w->block_events = 0;
    return true;
}

/* Count of events and bytes of the block at @p. Return: where its events begin, NULL when there is
 * no block. */
static const unsigned char *block_head(const unsigned char *p, const unsigned char *end,
                                       int64_t *size)
{
    int64_t count;

    return wf_get_long(&p, end, &count) && wf_get_long(&p, end, size) && count > 0 && *size >= 0
               ? p
               : NULL;
}

/* ---- files: on the worker
 * ------------------------------------------------------------------------ */

static void topic_dir(const struct wf_sink *s, const char *topic, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", s->conf->dir, topic);
}

static enum wf_rc sync_dir(const char *dir, struct wf_err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);

    if (rc < 0)
        wf_err_sys(err, WF_RETRY, "cannot sync folder %s", dir);
    if (fd >= 0)
        close(fd);
    return rc < 0 ? WF_RETRY : WF_OK;
}

static enum wf_rc rename_done(const char *dir, uint64_t number, struct wf_err *err)
{
    char part[PATH_MAX], done[PATH_MAX];

    snprintf(part, sizeof(part), "%s/%012llu" PART, dir, (unsigned long long)number);
    snprintf(done, sizeof(done), "%s/%012llu" DONE, dir, (unsigned long long)number);
    if (rename(part, done) < 0)
        return wf_err_sys(err, WF_RETRY, "cannot rename %s", part);
    return sync_dir(dir, err);
}

/* Length of the header at the start of @b, 0 when it is not whole; *marker points into @b. */
static size_t header_length(const unsigned char *b, size_t len, const unsigned char **marker)
{
    const unsigned char *p = b + 4, *end = b + len;
    int64_t n, size;

    /* as put_header() writes it: one block of two keys with their values */
    if (len < 4 || memcmp(b, "Obj\001", 4) != 0 || !wf_get_long(&p, end, &n) || n != 2)
        return 0;
    for (int i = 0; i < 4; i++) {
        if (!wf_get_long(&p, end, &size) || size < 0 || size > end - p)
            return 0;
        p += size;
    }
    if (!wf_get_long(&p, end, &n) || n != 0 || end - p < SYNC_BYTES)
        return 0;
    *marker = p;
    return (size_t)(p - b) + SYNC_BYTES;
}

/* Block by block, so that a file of any size needs no memory. Return: -1 when it cannot be read. */
static off_t walk_file(int fd, off_t at, off_t len, const unsigned char *marker)
{
    for (;;) {
        unsigned char head[20], tail[SYNC_BYTES];
        ssize_t n = pread(fd, head, sizeof(head), at);
        int64_t size;
        const unsigned char *events = block_head(head, head + (n > 0 ? n : 0), &size);
        off_t end;

        if (n < 0)
            return -1;
        if (!events || size > len - at)
            return at;
        end = at + (events - head) + size;
        n = pread(fd, tail, SYNC_BYTES, end);
        if (n < 0)
            return -1;
        if (n != SYNC_BYTES || memcmp(tail, marker, SYNC_BYTES) != 0)
            return at;
        at = end + SYNC_BYTES;
    }
}

/* Where the last whole block of a file ends; 0 when not even the header is whole, -1 when that
 * cannot be told: no memory, or no reading it. */
static off_t whole_length(int fd, off_t len)
{
    unsigned char *b = malloc(HEADER_MAX);
    const unsigned char *marker = NULL;
    ssize_t n = b ? pread(fd, b, HEADER_MAX, 0) : -1;
    off_t good = n < 0 ? -1 : (off_t)header_length(b, (size_t)n, &marker);

    if (good > 0)
        good = walk_file(fd, good, len, marker);
    free(b);
    return good;
}

/* Cut a file of an earlier run behind its last whole block and give it its final name. */
static enum wf_rc recover_file(const char *dir, const char *name, struct wf_err *err)
{
    char path[PATH_MAX];
    struct stat st;
    off_t good;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0) {
        wf_err_sys(err, WF_RETRY, "cannot open %s", path);
        if (fd >= 0)
            close(fd);
        return WF_RETRY;
    }
    good = whole_length(fd, st.st_size);
    if (good < 0 || ftruncate(fd, good) < 0 || fsync(fd) < 0) {
        wf_err_sys(err, WF_RETRY, "cannot %s %s", good < 0 ? "read" : "cut", path);
        close(fd);
        return WF_RETRY;
    }
    close(fd);
    wf_log(WF_LOG_INFO, "file_recovered", NULL, "%s: kept %lld of %lld bytes, all whole blocks",
           path, (long long)good, (long long)st.st_size);
    if (good == 0)
        return unlink(path) < 0 ? wf_err_sys(err, WF_RETRY, "cannot remove %s", path) : WF_OK;
    return rename_done(dir, strtoull(name, NULL, 10), err);
}

/* Only names that open_part() makes: whatever else lies in the folder is somebody's. */
static bool is_ours(const char *name, const char *suffix)
{
    size_t digits = strspn(name, "0123456789");

    return digits >= 12 && digits <= 18 && strcmp(name + digits, suffix) == 0;
}

/* Visit the files of a topic folder: recover the unfinished ones, find the highest number. */
static enum wf_rc scan_topic(const char *dir, bool recover, uint64_t *highest, struct wf_err *err)
{
    DIR *d = opendir(dir);
    enum wf_rc rc = WF_OK;

    *highest = 0;
    if (!d && (errno == ENOENT || errno == ENOTDIR)) /* not yet there, or no topic of ours */
        return WF_OK;
    if (!d)
        return wf_err_sys(err, WF_RETRY, "cannot read folder %s", dir);
    for (struct dirent *e; rc == WF_OK && (e = readdir(d)) != NULL;) {
        uint64_t number = strtoull(e->d_name, NULL, 10);

        if (!is_ours(e->d_name, PART) && !is_ours(e->d_name, DONE))
            continue;
        if (number > *highest)
            *highest = number;
        if (recover && is_ours(e->d_name, PART))
            rc = recover_file(dir, e->d_name, err);
    }
    closedir(d);
    return rc;
}

static enum wf_rc recover_all(const struct wf_sink *s, struct wf_err *err)
{
    DIR *d = opendir(s->conf->dir);
    enum wf_rc rc = WF_OK;
    uint64_t highest;

    if (!d)
        return wf_err_sys(err, WF_RETRY, "cannot read folder %s", s->conf->dir);
    for (struct dirent *e; rc == WF_OK && (e = readdir(d)) != NULL;) {
        char dir[PATH_MAX];

        if (e->d_name[0] == '.')
            continue;
        topic_dir(s, e->d_name, dir, sizeof(dir));
        rc = scan_topic(dir, true, &highest, err);
    }
    closedir(d);
    return rc;
}

static enum wf_rc write_all(int fd, const unsigned char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return WF_RETRY;
        data += n;
        len -= (size_t)n;
    }
    return WF_OK;
}

static enum wf_rc open_part(struct wf_sink *s, struct writer *w, struct wf_err *err)
{
    char dir[PATH_MAX], path[PATH_MAX + 32];
    enum wf_rc rc;

    topic_dir(s, w->stream->topic, dir, sizeof(dir));
    if (mkdir(dir, 0750) < 0 && errno != EEXIST)
        return wf_err_sys(err, WF_RETRY, "cannot create folder %s", dir);
    rc = scan_topic(dir, false, &w->number, err);
    if (rc != WF_OK)
        return rc;
    w->number++;
    snprintf(path, sizeof(path), "%s/%012llu" PART, dir, (unsigned long long)w->number);
    w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (w->fd < 0)
        return wf_err_sys(err, WF_RETRY, "cannot create %s", path);
    w->size = 0;
    w->opened_us = wf_mono_us();
    if (getrandom(w->marker, SYNC_BYTES, 0) != SYNC_BYTES)
        return wf_err_sys(err, WF_RETRY, "no random bytes for a sync marker");
    return sync_dir(dir, err);
}

/* Blocks behind what is synced are dropped: their events come again from the checkpoint. */
static void cut_part(struct writer *w)
{
    if (w->fd >= 0 && ftruncate(w->fd, (off_t)w->size) < 0)
        wf_log(WF_LOG_WARN, "file", NULL, "%s: cannot cut the open file, the next start will",
               w->stream->topic);
}

/* Give the file its final name; one without a synced block goes. */
static enum wf_rc finish_part(struct wf_sink *s, struct writer *w, struct wf_err *err)
{
    char dir[PATH_MAX], part[PATH_MAX + 32];

    if (w->fd < 0)
        return WF_OK;
    close(w->fd);
    w->fd = -1;
    topic_dir(s, w->stream->topic, dir, sizeof(dir));
    if (w->size == 0) {
        snprintf(part, sizeof(part), "%s/%012llu" PART, dir, (unsigned long long)w->number);
        return unlink(part) < 0 ? wf_err_sys(err, WF_RETRY, "cannot remove %s", part) : WF_OK;
    }
    return rename_done(dir, w->number, err);
}

/* Blocks from @at on that still fit the file, at least one. Return: where they end. */
static size_t stamp_blocks(struct wf_sink *s, struct writer *w, size_t at)
{
    size_t start = at;
    const unsigned char *end = w->syncing.data + w->syncing.len;
    uint64_t room =
        w->size < (uint64_t)s->conf->rotate_bytes ? (uint64_t)s->conf->rotate_bytes - w->size : 0;

    do {
        int64_t size = 0;
        const unsigned char *events = block_head(w->syncing.data + at, end, &size);

        if (!events) /* close_block() writes no such thing */
            return w->syncing.len;
        at = (size_t)(events - w->syncing.data) + (size_t)size;
        memcpy(w->syncing.data + at, w->marker, SYNC_BYTES);
        at += SYNC_BYTES;
    } while (at < w->syncing.len && at - start < room);
    return at;
}

static enum wf_rc write_header(struct writer *w)
{
    struct wf_buf header;
    enum wf_rc rc;

    wf_buf_init(&header, HEADER_MAX);
    put_header(&header, w);
    rc = header.failed ? WF_RETRY : write_all(w->fd, header.data, header.len);
    w->header_len = header.len;
    wf_buf_deinit(&header);
    return rc;
}

/* Return: the descriptor of a file with room, -1 with @err set. */
static int part_with_room(struct wf_sink *s, struct writer *w, struct wf_err *err)
{
    if (w->fd >= 0 && w->size >= (uint64_t)s->conf->rotate_bytes && finish_part(s, w, err) != WF_OK)
        return -1;
    if (w->fd < 0 && open_part(s, w, err) != WF_OK)
        return -1;
    return w->fd;
}

/* Write what is filled, over as many files as it takes; the last one stays open. */
static enum wf_rc write_syncing(struct wf_sink *s, struct writer *w, struct wf_err *err)
{
    size_t at = 0;

    while (at < w->syncing.len) {
        enum wf_rc rc = WF_OK;
        int fd = part_with_room(s, w, err);
        size_t end;

        if (fd < 0)
            return WF_RETRY;
        end = stamp_blocks(s, w, at);
        if (w->size == 0)
            rc = write_header(w);
        if (rc == WF_OK)
            rc = write_all(fd, w->syncing.data + at, end - at);
        if (rc != WF_OK || fdatasync(fd) < 0) {
            wf_err_sys(err, WF_RETRY, "cannot write to %s/%s", s->conf->dir, w->stream->topic);
            cut_part(w);
            return WF_RETRY;
        }
        w->size += end - at + (w->size == 0 ? w->header_len : 0);
        at = end;
    }
    wf_buf_reset(&w->syncing);
    return WF_OK;
}

static bool is_due(const struct wf_sink *s, const struct writer *w)
{
    return w->fd >= 0 &&
           (w->retire || s->nwriters > OPEN_MAX || w->size >= (uint64_t)s->conf->rotate_bytes ||
            wf_mono_us() - w->opened_us >= (uint64_t)s->conf->rotate_ms * 1000);
}

static void sync_run(struct wf_job *job)
{
    struct wf_sink *s = wf_container_of(job, struct wf_sink, sync.job);
    enum wf_rc rc = s->recovered ? WF_OK : recover_all(s, &s->sync.err);

    s->recovered = rc == WF_OK;
    for (struct writer *w = s->writers; w && rc == WF_OK; w = w->next) {
        rc = write_syncing(s, w, &s->sync.err);
        if (rc == WF_OK && is_due(s, w))
            rc = finish_part(s, w, &s->sync.err);
    }
    s->sync.rc = rc;
}

/* ---- on the loop
 * ------------------------------------------------------------------------------------ */

static void free_writer(struct writer *w)
{
    if (w->stream->sink_data == w)
        w->stream->sink_data = NULL;
    wf_buf_deinit(&w->block);
    wf_buf_deinit(&w->filled);
    wf_buf_deinit(&w->syncing);
    free(w);
}

/* Writers whose schema is out of use go once their file is finished. */
static void drop_retired(struct wf_sink *s)
{
    for (struct writer **at = &s->writers; *at;) {
        struct writer *w = *at;

        if (w->retire && w->fd < 0 && !w->filled.len && !w->block_events) {
            *at = w->next;
            s->nwriters--;
            free_writer(w);
        } else {
            at = &w->next;
        }
    }
}

static void file_close(struct wf_sink *s);

static void sync_done(struct wf_job *job)
{
    struct wf_sink *s = wf_container_of(job, struct wf_sink, sync.job);

    if (s->closed) {
        file_close(s);
        return;
    }
    if (s->sync.rc != WF_OK)
        return; /* the next poll() reports it, nothing is confirmed */
    wf_acks_confirm(&s->syncing, s->env->delivery);
    drop_retired(s);
}

static enum wf_rc no_memory(struct wf_err *err)
{
    return wf_err_set(err, WF_FATAL, "memory", "out of memory");
}

/* What is confirmed afterwards is all in the blocks, or nothing starts. */
static enum wf_rc start_sync(struct wf_sink *s, struct wf_err *err)
{
    struct wf_acks swap = s->syncing;

    for (struct writer *w = s->writers; w; w = w->next)
        if (!close_block(w))
            return no_memory(err);
    s->syncing = s->pending;
    s->pending = swap;
    for (struct writer *w = s->writers; w; w = w->next) {
        struct wf_buf empty = w->syncing;

        w->syncing = w->filled;
        w->filled = empty;
    }
    s->buffered = 0;
    s->dirty = false;
    s->next_sync_us = wf_mono_us() + (uint64_t)s->conf->sync_ms * 1000;
    s->sync.job.run = sync_run;
    s->sync.job.done = sync_done;
    wf_worker_submit(s->env->worker, &s->sync.job);
    return WF_OK;
}

static bool any_due(const struct wf_sink *s)
{
    for (const struct writer *w = s->writers; w; w = w->next) {
        if (is_due(s, w))
            return true;
    }
    return false;
}

static enum wf_rc file_poll(struct wf_sink *s, struct wf_err *err)
{
    uint64_t now = wf_mono_us();

    if (s->sync.job.queued)
        return WF_OK;
    if (s->sync.rc != WF_OK) {
        *err = s->sync.err;
        return s->sync.rc;
    }
    if (s->dirty ? now >= s->next_sync_us || s->draining || s->buffered >= BUFFERED_MAX / 2
                 : any_due(s)) /* nothing to write: rotation by age */
        return start_sync(s, err);
    if (s->dirty)
        wf_loop_timer_set(s->env->loop, &s->timer, s->next_sync_us - now, NULL, NULL);
    return WF_OK;
}

static void file_drain(struct wf_sink *s)
{
    s->draining = true;
}

static struct writer *new_writer(struct wf_sink *s, struct wf_stream *stream)
{
    struct writer *w = calloc(1, sizeof(*w));
    struct writer **at = &s->writers;

    if (!w)
        return NULL;
    w->stream = stream;
    w->fd = -1;
    wf_buf_init(&w->block, SIZE_MAX); /* an event is bounded by format.max_event */
    wf_buf_init(&w->filled, SIZE_MAX);
    wf_buf_init(&w->syncing, SIZE_MAX);
    while (*at) /* behind the writer it retires, so that files get their numbers in order */
        at = &(*at)->next;
    *at = w;
    s->nwriters++;
    return w;
}

/* The writer whose file takes @stream's events. A file has one schema, so the first event of
 * another schema retires the writer of the topic's older one. */
static struct writer *writer_for(struct wf_sink *s, struct wf_stream *stream)
{
    struct writer *w = stream->sink_data;

    if (w && w->stream == stream && !w->retire)
        return w;
    if (s->sync.job.queued) /* the list is the job's */
        return NULL;
    for (w = s->writers; w; w = w->next) {
        if (w->stream != stream && strcmp(w->stream->topic, stream->topic) == 0)
            w->retire = true;
    }
    for (w = s->writers; w && (w->stream != stream || w->retire); w = w->next)
        ;
    if (!w)
        w = new_writer(s, stream);
    stream->sink_data = w;
    return w;
}

static enum wf_rc file_publish(struct wf_sink *s, const struct wf_event *ev, struct wf_err *err)
{
    struct writer *w;

    if (s->buffered >= BUFFERED_MAX)
        return WF_AGAIN;
    w = writer_for(s, ev->stream);
    if (!w)
        return WF_AGAIN;
    if (ev->value && !wf_buf_reserve(&w->block, ev->value_len))
        return no_memory(err);
    if (!wf_acks_add(&s->pending, ev->tag))
        return WF_AGAIN;
    s->dirty = true;
    if (!ev->value) /* a tombstone is for compacted topics: the delete before it is in the file */
        return WF_OK;
    wf_buf_put(&w->block, ev->value, ev->value_len);
    w->block_events++;
    s->buffered += ev->value_len;
    if (w->block.len >= BLOCK_BYTES)
        close_block(w); /* or a larger one, later */
    return WF_OK;
}

static int take_lock(const char *dir, struct wf_err *err)
{
    char path[PATH_MAX];
    int fd;

    snprintf(path, sizeof(path), "%s/.lock", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        wf_err_sys(err, WF_RETRY, "cannot open %s", path);
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        wf_err_set(err, WF_RETRY, "sink_locked",
                   "another process writes to %s; hint: two pipelines need two folders", dir);
        close(fd);
        return -1;
    }
    return fd;
}

static enum wf_rc file_open(struct wf_sink **self, const void *conf, const struct wf_sink_env *env,
                            struct wf_err *err)
{
    const struct file_conf *c = conf;
    struct wf_sink *s;

    if (mkdir(c->dir, 0750) < 0 && errno != EEXIST)
        return wf_err_config(err, "sink.dir: cannot create %s: %s", c->dir, strerror(errno));
    if (access(c->dir, W_OK | X_OK) < 0)
        return wf_err_config(err, "sink.dir: cannot write in %s: %s", c->dir, strerror(errno));
    s = calloc(1, sizeof(*s));
    if (!s)
        return no_memory(err);
    s->conf = c;
    s->env = env;
    s->lock_fd = take_lock(c->dir, err);
    if (s->lock_fd < 0) {
        free(s);
        return WF_RETRY;
    }
    *self = s;
    return start_sync(s, err); /* recovers what an earlier run left */
}

static void file_check(const void *conf, const char *pipeline,
                       void (*report)(void *arg, const char *level, const char *what,
                                      const char *cure),
                       void *arg)
{
    const struct file_conf *c = conf;
    char what[512];

    (void)pipeline;
    if (access(c->dir, W_OK | X_OK) == 0) {
        snprintf(what, sizeof(what), "sink.dir %s can be written", c->dir);
        report(arg, "ok", what, NULL);
    } else if (errno == ENOENT) {
        snprintf(what, sizeof(what), "sink.dir %s does not exist yet and will be made", c->dir);
        report(arg, "warning", what, "create it, or let walferry do so at its first start");
    } else {
        snprintf(what, sizeof(what), "sink.dir %s: %s", c->dir, strerror(errno));
        report(arg, "error", what, "give the user walferry runs as write access");
    }
}

/* While the worker has the job the writers are its: the sink, and with it the folder's lock, goes
 * when the job is done. At the end of the process the worker went before. */
static void file_close(struct wf_sink *s)
{
    struct wf_err err;

    if (!s)
        return;
    wf_loop_timer_off(s->env->loop, &s->timer);
    if (s->sync.job.queued && s->env->worker) {
        s->closed = true;
        return;
    }
    while (s->writers) {
        struct writer *w = s->writers;

        s->writers = w->next;
        cut_part(w);
        if (finish_part(s, w, &err) != WF_OK)
            wf_log(WF_LOG_WARN, err.code, NULL, "%s", err.text);
        free_writer(w);
    }
    wf_acks_free(&s->pending);
    wf_acks_free(&s->syncing);
    close(s->lock_fd);
    free(s);
}

static const struct wf_opt file_opts[] = {
    {.key = "dir",
     .type = WF_OPT_STR,
     .field = offsetof(struct file_conf, dir),
     .dflt = "/var/lib/walferry/{pipeline}/events",
     .help = "Folder for the files: one folder per topic in it, `000000000001.avro` and so on in "
             "commit order. A file still being written ends in `.avro.part`."},
    {.key = "rotate_size",
     .type = WF_OPT_SIZE,
     .dflt = "128MiB",
     .min = "64KiB",
     .max = "16GiB",
     .field = offsetof(struct file_conf, rotate_bytes),
     .help = "A file gets its final name once it is this large."},
    {.key = "rotate_age",
     .type = WF_OPT_TIME,
     .dflt = "10m",
     .min = "100ms",
     .max = "7d",
     .field = offsetof(struct file_conf, rotate_ms),
     .help = "A file gets its final name once it is this old."},
    {.key = "sync",
     .type = WF_OPT_TIME,
     .dflt = "50ms",
     .min = "0ms",
     .max = "60s",
     .field = offsetof(struct file_conf, sync_ms),
     .help = "Shortest time between two syncs to disk; an event is confirmed once it is synced."},
    {.key = NULL},
};

const struct wf_sink_ops wf_sink_file = {
    .name = "file",
    .help = "Avro object container files in a folder",
    .opts = file_opts,
    .conf_size = sizeof(struct file_conf),
    .framing = WF_FRAME_NONE,
    .open = file_open,
    .publish = file_publish,
    .poll = file_poll,
    .drain = file_drain,
    .check = file_check,
    .close = file_close,
};
