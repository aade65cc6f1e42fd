/* Preloaded: the n-th call of one kind on a file of one directory fails.
 * FAULTY="pwrite 3 EIO" or "pwrite 3 short", FAULTY_DIR="/.../state". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_inside(const char *path)
{
    const char *dir = getenv("FAULTY_DIR");

    return dir && path && strncmp(path, dir, strlen(dir)) == 0;
}

static bool is_inside_fd(int fd)
{
    char link[64], path[4096];
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    return is_inside(path);
}

/* 0 = goes through; -1 = half of it goes through */
static int fault(const char *call)
{
    static unsigned calls;
    char name[32], how[32];
    unsigned at;
    const char *spec = getenv("FAULTY");

    if (!spec || sscanf(spec, "%31s %u %31s", name, &at, how) != 3 || strcmp(name, call) != 0 ||
        __sync_add_and_fetch(&calls, 1) != at)
        return 0;
    fprintf(stderr, "faulty: %s\n", spec);
    if (strcmp(how, "short") == 0)
        return -1;
    return strcmp(how, "ENOSPC") == 0 ? ENOSPC : strcmp(how, "EINTR") == 0 ? EINTR : EIO;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_WITH(code)                                                                            \
    do {                                                                                           \
        int failure = (code);                                                                      \
        if (failure > 0) {                                                                         \
            errno = failure;                                                                       \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)

int openat(int dir, const char *path, int flags, ...)
{
    va_list ap;
    mode_t mode;

    va_start(ap, flags);
    mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    if (dir >= 0 ? is_inside_fd(dir) : is_inside(path))
        FAIL_WITH(fault("open"));
    return REAL(openat)(dir, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    mode_t mode;

    va_start(ap, flags);
    mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    if (is_inside(path))
        FAIL_WITH(fault("open"));
    return REAL(open)(path, flags, mode);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    if (is_inside_fd(fd)) {
        int failure = fault("pwrite");

        if (failure < 0)
            n /= 2;
        FAIL_WITH(failure);
    }
    return REAL(pwrite)(fd, data, n, at);
}

ssize_t write(int fd, const void *data, size_t n)
{
    if (fd > 2 && is_inside_fd(fd)) {
        int failure = fault("write");

        if (failure < 0)
            n /= 2;
        FAIL_WITH(failure);
    }
    return REAL(write)(fd, data, n);
}

ssize_t read(int fd, void *data, size_t n)
{
    if (fd > 2 && is_inside_fd(fd)) {
        int failure = fault("read");

        if (failure < 0)
            n = n / 2 ? n / 2 : n;
        FAIL_WITH(failure);
    }
    return REAL(read)(fd, data, n);
}

ssize_t pread(int fd, void *data, size_t n, off_t at)
{
    if (is_inside_fd(fd)) {
        int failure = fault("pread");

        if (failure < 0)
            n /= 2;
        FAIL_WITH(failure);
    }
    return REAL(pread)(fd, data, n, at);
}

int fdatasync(int fd)
{
    if (is_inside_fd(fd))
        FAIL_WITH(fault("fdatasync"));
    return REAL(fdatasync)(fd);
}

int fsync(int fd)
{
    if (is_inside_fd(fd))
        FAIL_WITH(fault("fsync"));
    return REAL(fsync)(fd);
}

int flock(int fd, int op)
{
    int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");

    if (is_inside_fd(fd))
        FAIL_WITH(fault("flock"));
    return real(fd, op);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    if (is_inside_fd(from_dir))
        FAIL_WITH(fault("rename"));
    return REAL(renameat)(from_dir, from, to_dir, to);
}

int mkdir(const char *path, mode_t mode)
{
    if (is_inside(path))
        FAIL_WITH(fault("mkdir"));
    return REAL(mkdir)(path, mode);
}
