#include "checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop.h"
#include "lsn.h"
#include "mutant.h"

#define FILE_NAME "checkpoint"
#define SLOT_BYTES 4096 /* a slot never shares a disk sector with the other one */
#define FORMAT_VERSION 1

/* On disk, in the machine's byte order: the file belongs to one host. */
struct record {
    char magic[8];
    uint32_t version;
    uint32_t state;
    uint64_t generation;
    uint64_t system_id;
    uint64_t lsn;
    int64_t saved_us;
    uint32_t timeline;
    uint32_t instance;
    char slot[64];
    uint32_t crc; /* CRC32C of everything before it */
};

static const char magic[8] = {'W', 'A', 'L', 'F', 'E', 'R', 'R', 'Y'};

struct wf_checkpoint_store {
    char *dir;
    int dir_fd;
    pthread_mutex_t lock;
    int fd;              /* -1 before the first save */
    uint64_t generation; /* of what this store saved or claimed last, 0 = nothing yet */
    struct record tried; /* what a save that failed has left in its slot: ours all the same */
    bool named;          /* the directory is synced since the file got its name */
    bool settled;        /* the newest slot is durable: the other one may be written over */
};

/* Castagnoli polynomial, reflected; 120 bytes a save need no table. */
static uint32_t crc32c(const void *data, size_t len)
{
    const unsigned char *p = data;
    uint32_t crc = 0xffffffff;

    while (len--) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static int open_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT && mkdir(dir, 0700) == 0)
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd;
}

static bool is_ours(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (st.st_uid == geteuid() || st.st_uid == 0);
}

enum wf_rc wf_checkpoint_open(const char *dir, struct wf_checkpoint_store **out, struct wf_err *err)
{
    struct wf_checkpoint_store *s = calloc(1, sizeof(*s));

    if (!s || !(s->dir = strdup(dir))) {
        free(s);
        wf_err_set(err, WF_FATAL, "memory", "out of memory");
        return WF_FATAL;
    }
    s->fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    s->dir_fd = open_dir(dir);
    if (s->dir_fd < 0) {
        wf_err_config(err,
                      "state.dir: cannot open %s: %s; hint: create it for the user walferry "
                      "runs as, mode 0700, or set state.dir",
                      dir, strerror(errno));
        wf_checkpoint_close(s);
        return WF_FATAL;
    }
    if (!is_ours(s->dir_fd)) {
        wf_err_config(err,
                      "state.dir: %s belongs to another user; hint: run walferry as that user, "
                      "or chown the folder",
                      dir);
        wf_checkpoint_close(s);
        return WF_FATAL;
    }
    *out = s;
    return WF_OK;
}

void wf_checkpoint_close(struct wf_checkpoint_store *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    pthread_mutex_destroy(&s->lock);
    free(s->dir);
    free(s);
}

static bool is_valid(const struct record *r)
{
    return memcmp(r->magic, magic, sizeof(magic)) == 0 && r->version == FORMAT_VERSION &&
           (WF_MUTANT(no_crc) || r->crc == crc32c(r, offsetof(struct record, crc))) &&
           memchr(r->slot, '\0', sizeof(r->slot)) && r->state >= WF_CHECKPOINT_INTENT &&
           r->state <= WF_CHECKPOINT_COPY;
}

/* A link or somebody else's file could hand us a foreign position. */
static enum wf_rc refuse_owner(const struct wf_checkpoint_store *s, struct wf_err *err)
{
    return wf_err_refuse(err, "checkpoint_owner",
                         "%s/" FILE_NAME " is not a regular file of this user that only the "
                         "user can write; hint: chown and chmod 0600, or restore it",
                         s->dir);
}

static enum wf_rc check_owner(const struct wf_checkpoint_store *s, int fd, struct wf_err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return wf_err_sys(err, WF_FATAL, "cannot look at %s/" FILE_NAME, s->dir);
    return S_ISREG(st.st_mode) && is_ours(fd) && !(st.st_mode & 022) ? WF_OK : refuse_owner(s, err);
}

static enum wf_rc open_file(struct wf_checkpoint_store *s, struct wf_err *err)
{
    if (s->fd >= 0)
        return WF_OK;
    s->fd = openat(s->dir_fd, FILE_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (s->fd < 0 && errno == ENOENT)
        return WF_AGAIN;
    if (s->fd < 0 && errno == ELOOP)
        return refuse_owner(s, err);
    if (s->fd < 0)
        return wf_err_sys(err, WF_FATAL, "cannot open %s/" FILE_NAME, s->dir);
    if (check_owner(s, s->fd, err) != WF_OK) {
        close(s->fd);
        s->fd = -1;
        return WF_FATAL;
    }
    return WF_OK;
}

/* The valid slot with the highest generation; generation 0 = none. */
static struct record newest_slot(const struct wf_checkpoint_store *s)
{
    struct record newest = {0};

    for (off_t i = 0; i < 2; i++) {
        struct record r;

        if (pread(s->fd, &r, sizeof(r), i * SLOT_BYTES) == (ssize_t)sizeof(r) && is_valid(&r) &&
            r.generation > newest.generation)
            newest = r;
    }
    return newest;
}

static enum wf_rc load_locked(struct wf_checkpoint_store *s, struct wf_checkpoint *cp,
                              struct wf_err *err)
{
    struct record newest;
    enum wf_rc rc = open_file(s, err);

    *cp = (struct wf_checkpoint){.state = WF_CHECKPOINT_NONE};
    if (rc == WF_AGAIN)
        return WF_OK;
    if (rc != WF_OK)
        return rc;
    newest = newest_slot(s);
    if (!newest.generation)
        return wf_err_refuse(
            err, "checkpoint_invalid",
            "both copies in %s/" FILE_NAME " are damaged, so nobody knows what "
            "was delivered; hint: restore the file from a backup, or go on from the "
            "slot's position with `walferry checkpoint set FILE slot` (that "
            "repeats, and loses nothing as long as only walferry used the slot)",
            s->dir);
    cp->state = (enum wf_checkpoint_state)newest.state;
    cp->generation = newest.generation;
    cp->system_id = newest.system_id;
    cp->timeline = newest.timeline;
    cp->instance = newest.instance;
    cp->lsn = newest.lsn;
    cp->saved_us = newest.saved_us;
    memcpy(cp->slot, newest.slot, sizeof(cp->slot));
    return WF_OK;
}

enum wf_rc wf_checkpoint_load(struct wf_checkpoint_store *s, struct wf_checkpoint *cp,
                              struct wf_err *err)
{
    enum wf_rc rc;

    pthread_mutex_lock(&s->lock);
    rc = load_locked(s, cp, err);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

enum wf_rc wf_checkpoint_peek(const char *dir, struct wf_checkpoint *cp, struct wf_err *err)
{
    struct wf_checkpoint_store *s;
    enum wf_rc rc;

    *cp = (struct wf_checkpoint){.state = WF_CHECKPOINT_NONE};
    if (access(dir, F_OK) < 0 && errno == ENOENT)
        return WF_OK;
    rc = wf_checkpoint_open(dir, &s, err);
    if (rc != WF_OK)
        return rc;
    rc = wf_checkpoint_load(s, cp, err);
    wf_checkpoint_close(s);
    return rc;
}

/* A daemon that lost the slot without knowing it yet must not write over its successor's position:
 * what stands on disk has to be what this store saved or claimed last. */
static enum wf_rc check_ours(struct wf_checkpoint_store *s, struct wf_err *err)
{
    struct record newest = newest_slot(s);

    if (WF_MUTANT(writes_over) || !newest.generation || newest.generation == s->generation ||
        (newest.generation == s->tried.generation && newest.crc == s->tried.crc))
        return WF_OK;
    return wf_err_set(err, WF_RETRY, "checkpoint_taken",
                      "another daemon has written %s/" FILE_NAME " since: it reads the slot now",
                      s->dir);
}

static enum wf_rc write_slot(struct wf_checkpoint_store *s, int fd, const struct record *r,
                             struct wf_err *err)
{
    off_t at = (off_t)(r->generation & !WF_MUTANT(one_slot)) * SLOT_BYTES;
    ssize_t n;

    s->settled = false;
    n = pwrite(fd, r, sizeof(*r), at);
    if (n >= 0 && n < (ssize_t)sizeof(*r)) /* a part of it fitted */
        errno = ENOSPC;
    if (n == (ssize_t)sizeof(*r) && (WF_MUTANT(no_sync) || fdatasync(fd) == 0)) {
        s->settled = true;
        return WF_OK;
    }
    wf_err_sys(err, WF_RETRY,
               "cannot write %s/" FILE_NAME ", so nothing newer than the last checkpoint is "
               "acknowledged",
               s->dir);
    if (pread(fd, &s->tried, sizeof(s->tried), at) != (ssize_t)sizeof(s->tried))
        s->tried.generation = 0;
    return WF_RETRY;
}

/* A file that was found may have been put there by a process that ended before it could sync. */
static enum wf_rc sync_name(struct wf_checkpoint_store *s, struct wf_err *err)
{
    if (!s->named && !WF_MUTANT(no_name_sync) && fsync(s->dir_fd) < 0)
        return wf_err_sys(err, WF_RETRY, "cannot sync %s", s->dir);
    s->named = true;
    return WF_OK;
}

/* What was found may never have been synced: a process ended before it could, or the sync failed.
 * As long as it may be lost the older slot must stay. */
static enum wf_rc settle_newest(struct wf_checkpoint_store *s, const struct record *next,
                                struct wf_err *err)
{
    struct record newest = newest_slot(s);

    if (WF_MUTANT(unsettled) || s->settled || !newest.generation ||
        newest.generation == next->generation)
        return WF_OK;
    return write_slot(s, s->fd, &newest, err);
}

static enum wf_rc rewrite_file(struct wf_checkpoint_store *s, const struct record *r,
                               struct wf_err *err)
{
    enum wf_rc rc;

    flock(s->fd, LOCK_EX); /* against the other daemon between looking and writing */
    rc = check_ours(s, err);
    if (rc == WF_OK)
        rc = settle_newest(s, r, err);
    if (rc == WF_OK)
        rc = write_slot(s, s->fd, r, err);
    flock(s->fd, LOCK_UN);
    return rc == WF_OK ? sync_name(s, err) : rc;
}

/* Under another name first: the file exists complete or not at all. */
static enum wf_rc make_file(struct wf_checkpoint_store *s, const struct record *r,
                            struct wf_err *err)
{
    int fd = openat(s->dir_fd, FILE_NAME ".new",
                    O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return wf_err_sys(err, WF_RETRY, "cannot create %s/" FILE_NAME ".new", s->dir);
    if (write_slot(s, fd, r, err) != WF_OK) {
        close(fd);
        return WF_RETRY;
    }
    if (renameat(s->dir_fd, FILE_NAME ".new", s->dir_fd, FILE_NAME) < 0) {
        wf_err_sys(err, WF_RETRY, "cannot move %s/" FILE_NAME ".new into place", s->dir);
        close(fd);
        return WF_RETRY;
    }
    s->fd = fd;
    return WF_OK;
}

/* Of two daemons that make the first save at once, one finds the other's file. */
static enum wf_rc create_file(struct wf_checkpoint_store *s, const struct record *r,
                              struct wf_err *err)
{
    struct stat st;
    enum wf_rc rc;

    flock(s->dir_fd, LOCK_EX);
    if (fstatat(s->dir_fd, FILE_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0)
        rc = wf_err_set(err, WF_RETRY, "checkpoint_taken",
                        "another daemon has written %s/" FILE_NAME " meanwhile", s->dir);
    else
        rc = make_file(s, r, err);
    flock(s->dir_fd, LOCK_UN);
    return rc == WF_OK ? sync_name(s, err) : rc;
}

static enum wf_rc save_locked(struct wf_checkpoint_store *s, struct wf_checkpoint *cp,
                              struct wf_err *err)
{
    struct record r = {.version = FORMAT_VERSION,
                       .state = cp->state,
                       .system_id = cp->system_id,
                       .lsn = cp->lsn,
                       .saved_us = wf_wall_us(),
                       .timeline = cp->timeline,
                       .instance = cp->instance};
    struct wf_checkpoint older;
    enum wf_rc rc = WF_OK;

    memcpy(r.magic, magic, sizeof(magic));
    memcpy(r.slot, cp->slot, sizeof(r.slot));
    if (!s->generation) { /* what is in the file must not look newer than this */
        rc = load_locked(s, &older, err);
        s->generation = older.generation;
    }
    r.generation = s->generation + !WF_MUTANT(same_generation);
    r.crc = crc32c(&r, offsetof(struct record, crc));
    if (rc == WF_OK)
        rc = s->fd >= 0 ? rewrite_file(s, &r, err) : create_file(s, &r, err);
    if (rc == WF_OK) {
        s->generation = cp->generation = r.generation;
        cp->saved_us = r.saved_us;
    }
    return rc;
}

/* A save that was under way when its store claimed a newer checkpoint comes too late. */
static enum wf_rc check_forward(struct wf_checkpoint_store *s, const struct wf_checkpoint *cp,
                                struct wf_err *err)
{
    struct wf_checkpoint now;
    enum wf_rc rc = load_locked(s, &now, err);

    if (rc == WF_OK && now.lsn > cp->lsn)
        rc = wf_err_set(err, WF_RETRY, "checkpoint_moved", "the checkpoint in %s stands at %s",
                        s->dir, wf_lsn_text(now.lsn).s);
    return rc;
}

enum wf_rc wf_checkpoint_save(struct wf_checkpoint_store *s, struct wf_checkpoint *cp,
                              struct wf_err *err)
{
    enum wf_rc rc;

    pthread_mutex_lock(&s->lock);
    rc = check_forward(s, cp, err);
    if (rc == WF_OK)
        rc = save_locked(s, cp, err);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

enum wf_rc wf_checkpoint_remove(struct wf_checkpoint_store *s, struct wf_err *err)
{
    enum wf_rc rc = WF_OK;

    pthread_mutex_lock(&s->lock);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->generation = 0;
    if (unlinkat(s->dir_fd, FILE_NAME, 0) < 0 && errno != ENOENT)
        rc = wf_err_sys(err, WF_FATAL, "cannot remove %s/" FILE_NAME, s->dir);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

enum wf_rc wf_checkpoint_claim(struct wf_checkpoint_store *s, struct wf_checkpoint *cp,
                               struct wf_err *err)
{
    struct wf_checkpoint now;
    enum wf_rc rc;

    pthread_mutex_lock(&s->lock);
    rc = load_locked(s, &now, err);
    /* A save that failed and the one after it have one generation, but not one time. */
    if (rc == WF_OK && cp->generation == now.generation && cp->saved_us == now.saved_us) {
        if (s->generation != now.generation) /* another's: nobody knows whether it was synced */
            s->settled = false;
        s->generation = now.generation;
        rc = save_locked(s, cp, err);
    } else if (rc == WF_OK) {
        rc = wf_err_set(err, WF_RETRY, "checkpoint_moved",
                        "the checkpoint in %s moved while the slot was being taken", s->dir);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}
