/* The state directories: what is written, what is durable, what goes wrong between. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lsn.h"
#include "sim.h"

#define SECTORS 2
#define SECTOR_BYTES 4096
#define RECORD_MAX 160
#define FIRST_FD 200 /* 200 + directory, then the files */
#define FILE_FD 220
#define FILES 64
#define GENERATION_AT 16 /* in a record of checkpoint.c */
#define LSN_AT 32

struct sector {
    unsigned char bytes[RECORD_MAX];
    size_t len;
    bool torn; /* a part of one record, a part of another */
};

struct inode {
    struct sector now[SECTORS], durable[SECTORS];
};

struct directory {
    struct inode inode[4];
    int file, fresh; /* index of "checkpoint" and "checkpoint.new", -1 = none */
    int durable;     /* "checkpoint" after a power loss */
    int next;
    struct sim_daemon *locked_by, *dir_locked_by;
};

static struct directory dirs[SIM_DAEMONS];
static struct {
    unsigned dir;
    int inode;
} files[FILES];
static unsigned nfiles;

int __wrap_open(const char *path, int flags, ...);
int __wrap_openat(int dir, const char *name, int flags, ...);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_access(const char *path, int mode);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_flock(int fd, int op);
int __wrap_fstatat(int fd, const char *name, struct stat *st, int flags);
ssize_t __wrap_pread(int fd, void *buf, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t n, off_t at);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_close(int fd);
ssize_t __wrap_read(int fd, void *buf, size_t n);
int __real_close(int fd);
ssize_t __real_read(int fd, void *buf, size_t n);
int __wrap_eventfd(unsigned count, int flags);

void sim_disk_reset(void)
{
    nfiles = 0;
    memset(dirs, 0, sizeof(dirs));
    for (unsigned i = 0; i < SIM_DAEMONS; i++)
        dirs[i].file = dirs[i].fresh = dirs[i].durable = -1;
}

void sim_disk_killed(struct sim_daemon *d)
{
    for (unsigned i = 0; i < SIM_DAEMONS; i++) {
        if (dirs[i].locked_by == d)
            dirs[i].locked_by = NULL;
        if (dirs[i].dir_locked_by == d)
            dirs[i].dir_locked_by = NULL;
    }
}

/* What was not synced is there, or not, or a part of it. */
void sim_disk_power_loss(unsigned dir)
{
    struct directory *d = &dirs[dir];

    if (d->file != d->durable && sim_one_in(2))
        d->durable = d->file;
    d->file = d->durable;
    d->fresh = -1;
    for (unsigned i = 0; i < SECTORS && d->file >= 0; i++) {
        struct inode *n = &d->inode[d->file];
        size_t part = sim_one_in(2) ? 0 : sim_below((uint32_t)n->now[i].len + 1);

        if (memcmp(&n->now[i], &n->durable[i], sizeof(n->now[i])) == 0)
            continue;
        if (part)
            n->durable[i].torn = n->now[i].torn || part < n->now[i].len;
        if (n->durable[i].len < part)
            n->durable[i].len = part;
        memcpy(n->durable[i].bytes, n->now[i].bytes, part);
        n->now[i] = n->durable[i];
    }
}

static uint64_t word(const struct sector *s, size_t at)
{
    uint64_t v;

    memcpy(&v, s->bytes + at, sizeof(v));
    return v;
}

uint64_t sim_disk_durable_lsn(unsigned dir)
{
    const struct directory *d = &dirs[dir];
    uint64_t generation = 0, lsn = 0;

    for (unsigned i = 0; i < SECTORS && d->durable >= 0; i++) {
        const struct sector *s = &d->inode[d->durable].durable[i];

        if (s->len && !s->torn && word(s, GENERATION_AT) > generation) {
            generation = word(s, GENERATION_AT);
            lsn = word(s, LSN_AT);
        }
    }
    return lsn;
}

/* ---- the calls of checkpoint.c and kafka.c ---- */

static bool fails(int code)
{
    sim_yield(sim_delay(sim.weather.disk_us));
    if (!sim_one_in(sim.weather.disk))
        return false;
    sim_trace("disk: %s", strerror(code));
    errno = code;
    return true;
}

int __wrap_open(const char *path, int flags, ...)
{
    (void)path, (void)flags;
    return FIRST_FD + (int)sim_self()->dir;
}

static int handle(unsigned dir, int inode)
{
    if (nfiles == FILES)
        nfiles = 0; /* the oldest belong to processes that ended long ago */
    files[nfiles].dir = dir;
    files[nfiles].inode = inode;
    return FILE_FD + (int)nfiles++;
}

int __wrap_openat(int fd, const char *name, int flags, ...)
{
    unsigned dir = (unsigned)(fd - FIRST_FD);
    struct directory *d = &dirs[dir];

    (void)name;
    if (flags & O_CREAT) {
        if (fails(ENOSPC))
            return -1;
        d->next = (d->next + 1) % 4;
        while (d->next == d->file || d->next == d->durable)
            d->next = (d->next + 1) % 4;
        d->fresh = d->next;
        d->inode[d->fresh] = (struct inode){0};
        return handle(dir, d->fresh);
    }
    if (d->file < 0) {
        errno = ENOENT;
        return -1;
    }
    return handle(dir, d->file);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    (void)path, (void)mode;
    return 0;
}

int __wrap_access(const char *path, int mode)
{
    (void)path, (void)mode;
    return 0;
}

int __wrap_fstat(int fd, struct stat *st)
{
    *st = (struct stat){.st_mode = (fd < FILE_FD ? S_IFDIR : S_IFREG) | 0600, .st_uid = geteuid()};
    return 0;
}

int __wrap_flock(int fd, int op)
{
    struct directory *d = &dirs[fd < FILE_FD ? fd - FIRST_FD : (int)files[fd - FILE_FD].dir];
    struct sim_daemon **lock = fd < FILE_FD ? &d->dir_locked_by : &d->locked_by;

    if (op == LOCK_UN) {
        *lock = NULL;
        return 0;
    }
    while (*lock && *lock != sim_self())
        sim_yield(100);
    *lock = sim_self();
    return 0;
}

int __wrap_fstatat(int fd, const char *name, struct stat *st, int flags)
{
    (void)name, (void)flags;
    *st = (struct stat){.st_mode = S_IFREG | 0600};
    errno = ENOENT;
    return dirs[fd - FIRST_FD].file < 0 ? -1 : 0;
}

static struct inode *inode_of(int fd)
{
    return &dirs[files[fd - FILE_FD].dir].inode[files[fd - FILE_FD].inode];
}

ssize_t __wrap_pread(int fd, void *buf, size_t n, off_t at)
{
    const struct sector *s = &inode_of(fd)->now[at / SECTOR_BYTES];

    if (n > s->len)
        n = s->len;
    memcpy(buf, s->bytes, n);
    return (ssize_t)n;
}

ssize_t __wrap_pwrite(int fd, const void *buf, size_t n, off_t at)
{
    struct inode *inode = inode_of(fd);
    struct sector *s = &inode->now[at / SECTOR_BYTES];
    size_t part = n;

    sim_yield(sim_delay(1000));
    if (n > RECORD_MAX)
        sim_bad("a record of %zu bytes", n);
    if (fails(ENOSPC)) {
        if (sim_one_in(2))
            return -1;
        part = sim_below((uint32_t)n);
    }
    s->torn = part < n;
    memcpy(s->bytes, buf, part);
    if (s->len < part)
        s->len = part;
    sim_trace("disk: generation %llu, position %s in copy %u, %zu bytes",
              (unsigned long long)word(s, GENERATION_AT), wf_lsn_text(word(s, LSN_AT)).s,
              (unsigned)(at / SECTOR_BYTES), part);
    return (ssize_t)part;
}

int __wrap_fdatasync(int fd)
{
    struct inode *inode = inode_of(fd);
    bool failed = fails(EIO);

    for (unsigned i = 0; i < SECTORS && !(failed && sim_one_in(2)); i++)
        inode->durable[i] = inode->now[i];
    sim_trace("disk: sync%s", failed ? " fails" : "");
    return failed ? -1 : 0;
}

int __wrap_fsync(int fd)
{
    struct directory *d = &dirs[fd - FIRST_FD];

    if (fails(EIO))
        return -1;
    d->durable = d->file;
    return 0;
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    struct directory *d = &dirs[from_dir - FIRST_FD];

    (void)from, (void)to_dir, (void)to;
    if (fails(ENOSPC))
        return -1;
    d->file = d->fresh;
    d->fresh = -1;
    return 0;
}

int __wrap_close(int fd)
{
    return sim_current ? 0 : __real_close(fd);
}

ssize_t __wrap_read(int fd, void *buf, size_t n)
{
    if (!sim_current)
        return __real_read(fd, buf, n);
    memset(buf, 0, n);
    return (ssize_t)n;
}

int __wrap_eventfd(unsigned count, int flags)
{
    (void)count, (void)flags;
    return 150;
}
