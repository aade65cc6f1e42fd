/* Preloaded into walferry: a wall clock that can be set, as an administrator or a time server does.
 *
 * The file named by WALL_CLOCK holds how far it is off, an int64_t in microseconds, and may change
 * at any moment. A wait for a time of that clock heeds the change, as the kernel's own do.
 * (libfaketime does not: it moves timespec_get() but not cnd_timedwait(), which so waits for a time
 * of another clock.) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SLICE_NS 20000000 /* a wait looks at the clock that often */
#define SECOND_NS INT64_C(1000000000)

static int64_t here; /* without a file: no difference */
static volatile const int64_t *off_us = &here;

static __attribute__((constructor)) void map_file(void)
{
    const char *path = getenv("WALL_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(here), PROT_READ, MAP_SHARED, fd, 0);

    if (at != MAP_FAILED)
        off_us = at;
    if (fd >= 0)
        close(fd);
}

static int64_t real_ns(void)
{
    struct timespec t;

    syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
    return t.tv_sec * SECOND_NS + t.tv_nsec;
}

static int64_t wall_ns(void)
{
    return real_ns() + *off_us * 1000;
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){ns / SECOND_NS, ns % SECOND_NS};
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, clock, out);
    *out = timespec_of(wall_ns());
    return 0;
}

int gettimeofday(struct timeval *out, void *zone)
{
    int64_t ns = wall_ns();

    (void)zone;
    *out = (struct timeval){ns / SECOND_NS, ns % SECOND_NS / 1000};
    return 0;
}

time_t time(time_t *out)
{
    time_t now = wall_ns() / SECOND_NS;

    if (out)
        *out = now;
    return now;
}

int timespec_get(struct timespec *out, int base)
{
    if (base != TIME_UTC)
        return 0;
    *out = timespec_of(wall_ns());
    return base;
}

/* The end of the next slice on the real clock; 0 = the wall clock is there already. */
static int64_t slice_end(const struct timespec *until)
{
    int64_t left = until->tv_sec * SECOND_NS + until->tv_nsec - wall_ns();

    if (left <= 0)
        return 0;
    return real_ns() + (left < SLICE_NS ? left : SLICE_NS);
}

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until)
{
    static int (*next)(cnd_t *, mtx_t *, const struct timespec *);
    int64_t end;
    int rc = thrd_timedout;

    if (!next)
        next =
            (int (*)(cnd_t *, mtx_t *, const struct timespec *))dlsym(RTLD_NEXT, "cnd_timedwait");
    while (rc == thrd_timedout && (end = slice_end(until)) != 0) {
        struct timespec slice = timespec_of(end);

        rc = next(condition, mutex, &slice);
    }
    return rc;
}
