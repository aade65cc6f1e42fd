/* Clock, order, threads and memory: everything that decides who does what next. */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "sim.h"

#define STACK_BYTES (256 * 1024)
#define ARENA_BYTES (4 * 1024 * 1024)

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
char *__wrap_strdup(const char *s);
int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *m);
int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *t,
                           struct timespec *left);
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags);

struct sim sim;
struct sim_co *sim_current;
static jmp_buf world;

/* ---- chance ---- */

uint64_t sim_random(void) /* splitmix64 */
{
    uint64_t z = (sim.rng += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint32_t sim_below(uint32_t n)
{
    return (uint32_t)((sim_random() >> 32) * n >> 32);
}

bool sim_one_in(unsigned n)
{
    return n && sim_below(n) == 0;
}

uint64_t sim_delay(uint64_t most_us)
{
    uint64_t r = sim_random(), scale = most_us >> ((r & 7) * 2);

    return 1 + (scale ? (r >> 8) % scale : 0);
}

/* ---- the verdict ---- */

void sim_bad(const char *fmt, ...)
{
    va_list ap;

    if (sim.bad[0])
        return;
    va_start(ap, fmt);
    vsnprintf(sim.bad, sizeof(sim.bad), fmt, ap);
    va_end(ap);
}

void sim_trace(const char *fmt, ...)
{
    va_list ap;

    if (!sim.verbose)
        return;
    printf("%12.6f %c  ", (double)sim.now_us / 1e6, sim_self() ? sim_self()->name : '-');
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

/* ---- threads ---- */

/* A process that is killed leaves its frames behind; the next one starts at the base again. */
static void trampoline(void)
{
    _setjmp(sim_current->base);
    sim_current->fn(sim_current->arg);
    sim_current->active = false;
    _longjmp(world, 1);
}

static void make(struct sim_co *co)
{
    co->made = true;
    co->stack = __real_malloc(STACK_BYTES);
    if (!co->stack)
        abort();
    getcontext(&co->context);
    co->context.uc_stack.ss_sp = co->stack;
    co->context.uc_stack.ss_size = STACK_BYTES;
    co->context.uc_link = NULL;
    makecontext(&co->context, trampoline, 0);
}

static void start_thread(struct sim_co *co, struct sim_daemon *d, void (*fn)(void *arg), void *arg)
{
    co->daemon = d;
    co->fn = fn;
    co->arg = arg;
    co->active = true;
    co->wake_us = sim.now_us;
    if (co->made)
        memcpy(&co->env, &co->base, sizeof(co->env));
}

void sim_resume(struct sim_co *co)
{
    sim_current = co;
    if (_setjmp(world) == 0) {
        if (co->made)
            _longjmp(co->env, 1);
        make(co);
        setcontext(&co->context);
    }
    sim_current = NULL;
}

void sim_yield(uint64_t after_us)
{
    if (!sim_current)
        return;
    sim_current->wake_us = after_us == SIM_NEVER ? SIM_NEVER : sim.now_us + after_us;
    if (_setjmp(sim_current->env) == 0)
        _longjmp(world, 1);
}

void sim_wake(struct sim_daemon *d)
{
    if (d && d->main.active && d->main.wake_us > sim.now_us + 50)
        d->main.wake_us = sim.now_us + 1 + sim_below(50);
}

void sim_start(struct sim_daemon *d, void (*fn)(void *arg))
{
    d->exit = SIM_RUNS;
    d->stop = 0;
    d->nworkers = 0;
    d->used = 0;
    d->allocations = 0;
    d->loop = (struct wf_loop){0};
    start_thread(&d->main, d, fn, d);
}

void sim_end_process(struct sim_daemon *d)
{
    d->main.active = false;
    for (unsigned i = 0; i < SIM_WORKERS; i++)
        d->workers[i].active = false;
    sim_disk_killed(d);
    sim_pg_killed(d);
    sim_kafka_killed(d);
}

/* ---- loop.h ---- */

uint64_t wf_mono_us(void)
{
    return sim.now_us + 1;
}

int64_t wf_wall_us(void)
{
    return INT64_C(1700000000000000) + (int64_t)sim.now_us;
}

struct wf_loop *wf_loop_new(struct wf_err *err)
{
    (void)err;
    return &sim_self()->loop;
}

void wf_loop_free(struct wf_loop *loop)
{
    (void)loop;
}

enum wf_rc wf_loop_watch(struct wf_loop *loop, int fd, uint32_t events, wf_watch_fn fn, void *arg,
                         struct wf_err *err)
{
    (void)fn, (void)arg, (void)err;
    if (fd < 100)
        loop->socket_events = events;
    return WF_OK;
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

static struct wf_timer *next_timer(const struct wf_loop *loop)
{
    struct wf_timer *due = NULL;

    for (struct wf_timer *t = loop->timers; t; t = t->next) {
        if (!due || t->due_us <= due->due_us)
            due = t;
    }
    return due;
}

static void call_done(struct wf_worker *w)
{
    struct wf_job *job = w->finished;

    w->finished = NULL;
    while (job) {
        struct wf_job *next = job->next;

        job->queued = false;
        job->done(job);
        job = next;
    }
}

enum wf_rc wf_loop_turn(struct wf_loop *loop, uint64_t max_wait_us, struct wf_err *err)
{
    struct sim_daemon *d = sim_self();
    struct wf_timer *t = next_timer(loop);
    uint64_t wait = max_wait_us;

    (void)err;
    if (t && t->due_us < wf_mono_us() + wait)
        wait = t->due_us > wf_mono_us() ? t->due_us - wf_mono_us() : 0;
    for (unsigned i = 0; i < d->nworkers; i++) {
        if (d->worker_of[i].finished)
            wait = 0;
    }
    if (wait && loop->socket_events & EPOLLIN) {
        uint64_t at = sim_pg_arrival(d);

        if (at < sim.now_us + wait)
            wait = at > sim.now_us ? at - sim.now_us : 0;
    }
    sim_yield(wait + sim_below(20));
    for (unsigned i = 0; i < d->nworkers; i++)
        call_done(&d->worker_of[i]);
    while ((t = next_timer(loop)) && t->due_us <= wf_mono_us()) {
        wf_loop_timer_off(loop, t);
        if (t->fn)
            t->fn(t->arg);
    }
    return WF_OK;
}

/* ---- worker.h ---- */

static void append(struct wf_job **list, struct wf_job *job)
{
    while (*list)
        list = &(*list)->next;
    job->next = NULL;
    *list = job;
}

static void work(void *arg)
{
    struct wf_worker *w = arg;

    while (!w->stop) {
        struct wf_job *job = w->queue;

        if (!job) {
            sim_yield(SIM_NEVER);
            continue;
        }
        w->queue = job->next;
        w->running = job;
        sim_yield(sim_delay(sim.weather.turn_us)); /* the thread gets its turn late */
        job->run(job);
        w->running = NULL;
        append(&w->finished, job);
        sim_wake(w->co->daemon);
    }
    w->ended = true;
    sim_wake(w->co->daemon);
}

struct wf_worker *wf_worker_new(struct wf_loop *loop, const char *name, struct wf_err *err)
{
    struct sim_daemon *d = sim_self();
    struct wf_worker *w = &d->worker_of[d->nworkers];

    (void)loop, (void)name, (void)err;
    *w = (struct wf_worker){.co = &d->workers[d->nworkers]};
    d->nworkers++;
    start_thread(w->co, d, work, w);
    return w;
}

static void end_thread(struct wf_worker *w)
{
    w->stop = true;
    if (!w->running)
        w->co->wake_us = sim.now_us;
    while (!w->ended)
        sim_yield(1000);
}

void wf_worker_free(struct wf_worker *w)
{
    if (w)
        end_thread(w);
}

void wf_worker_finish(struct wf_worker *w)
{
    if (!w)
        return;
    end_thread(w);
    call_done(w);
}

void wf_worker_submit(struct wf_worker *w, struct wf_job *job)
{
    job->queued = true;
    append(&w->queue, job);
    if (!w->running && w->co->wake_us == SIM_NEVER)
        w->co->wake_us = sim.now_us;
}

/* ---- the C library, as walferry's code sees it ---- */

/* Taken from the process's arena: what a killed process had is gone at once. */
void *__wrap_malloc(size_t n)
{
    struct sim_daemon *d = sim_self();
    size_t *p;

    if (!d)
        return __real_malloc(n);
    if (++d->allocations == d->fail_at) {
        sim_trace("allocation %llu fails", (unsigned long long)d->allocations);
        return NULL;
    }
    if (!d->arena && !(d->arena = __real_malloc(ARENA_BYTES)))
        abort();
    n = (n + 15) & ~(size_t)15;
    if (d->used + n + 16 > ARENA_BYTES) {
        sim_bad("the arena is full: memory grows");
        return NULL;
    }
    p = (size_t *)(d->arena + d->used);
    d->used += n + 16;
    p[0] = n;
    return p + 2;
}

void *__wrap_calloc(size_t n, size_t size)
{
    void *p = __wrap_malloc(n * size);

    return p ? memset(p, 0, n * size) : NULL;
}

void __wrap_free(void *p)
{
    struct sim_daemon *d = sim_self();
    size_t *head = p ? (size_t *)p - 2 : NULL;

    if (d && p && (char *)p + head[0] == d->arena + d->used)
        d->used = (size_t)((char *)head - d->arena);
}

void *__wrap_realloc(void *p, size_t n)
{
    void *out = __wrap_malloc(n);

    if (out && p) {
        size_t old = ((size_t *)p)[-2];

        memcpy(out, p, old < n ? old : n);
    }
    return out;
}

char *__wrap_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *out = __wrap_malloc(n);

    return out ? memcpy(out, s, n) : NULL;
}

static int *held(pthread_mutex_t *m)
{
    return (int *)(void *)m;
}

int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
{
    (void)attr;
    *held(m) = 0;
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
    while (*held(m))
        sim_yield(100);
    *held(m) = 1;
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
    *held(m) = 0;
    return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *m)
{
    (void)m;
    return 0;
}

int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *t,
                           struct timespec *left)
{
    (void)clock, (void)flags, (void)left;
    sim_yield((uint64_t)t->tv_nsec / 1000);
    return 0;
}

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags)
{
    unsigned char *p = buf;

    (void)flags;
    for (size_t i = 0; i < len; i++)
        p[i] = (unsigned char)sim_random();
    return (ssize_t)len;
}

/* ---- a smaller tracker: it fills up ---- */

struct wf_delivery *__real_wf_delivery_new(uint32_t capacity);
struct wf_delivery *__wrap_wf_delivery_new(uint32_t capacity);

struct wf_delivery *__wrap_wf_delivery_new(uint32_t capacity)
{
    struct sim_daemon *d = sim_self();

    d->delivery = __real_wf_delivery_new(capacity > 8 ? 8 : capacity);
    d->safe_lsn = 0;
    return d->delivery;
}
