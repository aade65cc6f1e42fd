/* The event loop: file descriptors and timers of one pipeline, one thread. */
#ifndef WF_LOOP_H
#define WF_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct wf_loop;

/* @events: EPOLLIN | EPOLLOUT ... as epoll reported them. */
typedef void (*wf_watch_fn)(void *arg, int fd, uint32_t events);
typedef void (*wf_timer_fn)(void *arg);

/* The owner's storage; zero it before the first use. */
struct wf_timer {
    uint64_t due_us; /* 0 = off */
    wf_timer_fn fn;
    void *arg;
    struct wf_timer *next;
};

struct wf_loop *wf_loop_new(struct wf_err *err);
void wf_loop_free(struct wf_loop *loop);

/**
 * wf_loop_watch() - call @fn when @fd is ready (level triggered)
 * @fd:     0 to 1023: a pipeline has a handful of descriptors
 * @events: EPOLLIN, EPOLLOUT; 0 stops watching; a later call replaces an earlier one
 */
enum wf_rc wf_loop_watch(struct wf_loop *loop, int fd, uint32_t events, wf_watch_fn fn, void *arg,
                         struct wf_err *err);

/* Run @fn(@arg) once, @after_us from now; setting it again moves it. @fn may be NULL: the loop
 * wakes for a round of its owner, and that is all. */
void wf_loop_timer_set(struct wf_loop *loop, struct wf_timer *t, uint64_t after_us, wf_timer_fn fn,
                       void *arg);
void wf_loop_timer_off(struct wf_loop *loop, struct wf_timer *t);

/* Wait until something happens, at most @max_wait_us, and run what is due. */
enum wf_rc wf_loop_turn(struct wf_loop *loop, uint64_t max_wait_us, struct wf_err *err);

/* Microseconds of CLOCK_MONOTONIC / of the wall clock since the Unix epoch. */
uint64_t wf_mono_us(void);
int64_t wf_wall_us(void);

#endif
