#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MAX_FDS 1024
#define MAX_READY 16

struct watch {
    wf_watch_fn fn;
    void *arg;
    uint32_t events;
};

struct wf_loop {
    int epoll_fd;
    struct wf_timer *timers; /* unordered: a handful at most */
    struct watch watch[MAX_FDS];
};

uint64_t wf_mono_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int64_t wf_wall_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct wf_loop *wf_loop_new(struct wf_err *err)
{
    struct wf_loop *loop = calloc(1, sizeof(*loop));

    if (!loop) {
        wf_err_set(err, WF_FATAL, "memory", "out of memory");
        return NULL;
    }
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        wf_err_sys(err, WF_FATAL, "cannot create an epoll instance");
        free(loop);
        return NULL;
    }
    return loop;
}

void wf_loop_free(struct wf_loop *loop)
{
    if (!loop)
        return;
    close(loop->epoll_fd);
    free(loop);
}

enum wf_rc wf_loop_watch(struct wf_loop *loop, int fd, uint32_t events, wf_watch_fn fn, void *arg,
                         struct wf_err *err)
{
    struct epoll_event ev = {.events = events, .data.fd = fd};
    struct watch *w;
    int op;

    if (fd < 0 || fd >= MAX_FDS)
        return wf_err_set(err, WF_FATAL, "limit", "descriptor %d is above the loop's limit of %d",
                          fd, MAX_FDS - 1);
    w = &loop->watch[fd];
    w->fn = fn;
    w->arg = arg;
    if (w->events == events)
        return WF_OK;
    op = !w->events ? EPOLL_CTL_ADD : !events ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    w->events = events;
    if (epoll_ctl(loop->epoll_fd, op, fd, &ev) == 0)
        return WF_OK;
    w->events = 0;
    return wf_err_sys(err, WF_FATAL, "cannot watch descriptor %d", fd);
}

void wf_loop_timer_off(struct wf_loop *loop, struct wf_timer *t)
{
    for (struct wf_timer **at = &loop->timers; *at; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            break;
        }
    }
    t->next = NULL;
    t->due_us = 0;
}

void wf_loop_timer_set(struct wf_loop *loop, struct wf_timer *t, uint64_t after_us, wf_timer_fn fn,
                       void *arg)
{
    wf_loop_timer_off(loop, t);
    t->due_us = wf_mono_us() + after_us;
    t->fn = fn;
    t->arg = arg;
    t->next = loop->timers;
    loop->timers = t;
}

static uint64_t next_due(const struct wf_loop *loop)
{
    uint64_t due = UINT64_MAX;

    for (const struct wf_timer *t = loop->timers; t; t = t->next) {
        if (t->due_us < due)
            due = t->due_us;
    }
    return due;
}

/* A timer may set or stop any timer, so the list is searched anew after each. */
static void run_timers(struct wf_loop *loop)
{
    uint64_t now = wf_mono_us();

    for (;;) {
        struct wf_timer *due = NULL;

        for (struct wf_timer *t = loop->timers; t; t = t->next) {
            if (t->due_us <= now && (!due || t->due_us <= due->due_us))
                due = t; /* of equal ones the one set first: it stands behind */
        }
        if (!due)
            return;
        wf_loop_timer_off(loop, due);
        if (due->fn)
            due->fn(due->arg);
    }
}

static int wait_ms(const struct wf_loop *loop, uint64_t max_wait_us)
{
    uint64_t due = next_due(loop);
    uint64_t now = wf_mono_us();
    uint64_t wait = due <= now ? 0 : due - now;

    if (wait > max_wait_us)
        wait = max_wait_us;
    /* Rounded up: a timer that is due in 200 us must not spin until then. */
    return wait > 3600000000 ? 3600000 : (int)((wait + 999) / 1000);
}

enum wf_rc wf_loop_turn(struct wf_loop *loop, uint64_t max_wait_us, struct wf_err *err)
{
    struct epoll_event ready[MAX_READY];
    int n = epoll_wait(loop->epoll_fd, ready, MAX_READY, wait_ms(loop, max_wait_us));
    int failure = n < 0 ? errno : 0; /* before a callback spoils it */

    for (int i = 0; i < n; i++) {
        int fd = ready[i].data.fd;
        struct watch *w = &loop->watch[fd];

        if (w->events) /* an earlier callback of this turn may have stopped it */
            w->fn(w->arg, fd, ready[i].events);
    }
    run_timers(loop);
    if (!failure || failure == EINTR)
        return WF_OK;
    errno = failure;
    return wf_err_sys(err, WF_FATAL, "epoll_wait failed");
}
