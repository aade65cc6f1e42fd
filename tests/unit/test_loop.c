#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

#include "loop.h"

static struct wf_loop *loop;
static struct wf_err err;
static char journal[64]; /* a letter for each thing that happened */

static void make(void)
{
    loop = wf_loop_new(&err);
    cr_assert_not_null(loop);
}

static void destroy(void)
{
    wf_loop_free(loop);
}

TestSuite(loop, .init = make, .fini = destroy);

static void note(void *arg)
{
    strncat(journal, arg, sizeof(journal) - strlen(journal) - 1);
}

static void turn(uint64_t max_wait_us)
{
    cr_assert_eq(wf_loop_turn(loop, max_wait_us, &err), WF_OK, "%s", err.text);
}

/* ---- timers ------------------------------------------------------------------------------- */

Test(loop, waits_no_longer_than_asked)
{
    uint64_t start = wf_mono_us();

    turn(20000);
    cr_expect_geq(wf_mono_us() - start, 19000);
    cr_expect_lt(wf_mono_us() - start, 2000000);
    turn(0);
    wf_loop_free(NULL);
}

Test(loop, runs_a_timer_once_and_not_early)
{
    struct wf_timer t = {0};
    uint64_t start = wf_mono_us();

    wf_loop_timer_set(loop, &t, 15000, note, "a");
    while (!journal[0])
        turn(1000000);
    cr_expect_geq(wf_mono_us() - start, 15000);
    cr_expect_eq(t.due_us, 0, "off again");
    turn(1000);
    cr_expect_str_eq(journal, "a");
}

Test(loop, runs_timers_in_the_order_they_are_due)
{
    struct wf_timer a = {0}, b = {0}, c = {0}, d = {0};

    wf_loop_timer_set(loop, &c, 3000, note, "c");
    wf_loop_timer_set(loop, &a, 1000, note, "a");
    wf_loop_timer_set(loop, &d, 4000, note, "d");
    wf_loop_timer_set(loop, &b, 2000, note, "b");
    usleep(6000); /* all are due at the same turn */
    turn(0);
    cr_expect_str_eq(journal, "abcd");
}

Test(loop, moves_a_timer_that_is_set_again)
{
    struct wf_timer a = {0}, b = {0};

    wf_loop_timer_set(loop, &a, 1000, note, "a");
    wf_loop_timer_set(loop, &b, 3000, note, "b");
    wf_loop_timer_set(loop, &a, 5000, note, "a");
    usleep(6000);
    turn(0);
    cr_expect_str_eq(journal, "ba");
}

Test(loop, does_not_run_a_timer_that_is_off)
{
    struct wf_timer a = {0}, b = {0}, never = {0};

    wf_loop_timer_set(loop, &a, 0, note, "a");
    wf_loop_timer_set(loop, &b, 0, note, "b");
    wf_loop_timer_off(loop, &a);
    wf_loop_timer_off(loop, &never);
    turn(0);
    cr_expect_str_eq(journal, "b");
}

static struct wf_timer other;

static void stop_other(void *arg)
{
    note(arg);
    wf_loop_timer_off(loop, &other);
}

static void start_other(void *arg)
{
    note(arg);
    wf_loop_timer_set(loop, &other, 0, note, "o");
}

Test(loop, lets_a_timer_stop_another_that_is_due)
{
    struct wf_timer a = {0};

    wf_loop_timer_set(loop, &a, 0, stop_other, "a");
    wf_loop_timer_set(loop, &other, 100, note, "o");
    usleep(1000);
    turn(0);
    turn(0);
    cr_expect_str_eq(journal, "a");
}

Test(loop, lets_a_timer_start_another)
{
    struct wf_timer a = {0};

    wf_loop_timer_set(loop, &a, 0, start_other, "a");
    turn(0);
    turn(1000);
    cr_expect_str_eq(journal, "ao");
}

/* ---- descriptors -------------------------------------------------------------------------- */

static int first[2], second[2];

static void make_with_pipes(void)
{
    make();
    cr_assert_eq(pipe2(first, O_NONBLOCK | O_CLOEXEC), 0);
    cr_assert_eq(pipe2(second, O_NONBLOCK | O_CLOEXEC), 0);
}

TestSuite(loop_watch, .init = make_with_pipes, .fini = destroy);

static void on_ready(void *arg, int fd, uint32_t events)
{
    (void)fd;
    note(events & EPOLLIN ? arg : events & EPOLLOUT ? "w" : "h");
}

static void watch(int fd, uint32_t events, wf_watch_fn fn, char *arg)
{
    cr_assert_eq(wf_loop_watch(loop, fd, events, fn, arg, &err), WF_OK, "%s", err.text);
}

static void make_readable(int *pipe)
{
    cr_assert_eq(write(pipe[1], "x", 1), 1);
}

Test(loop_watch, calls_as_long_as_there_is_something_to_read)
{
    char c;

    watch(first[0], EPOLLIN, on_ready, "a");
    turn(1000);
    cr_expect_str_eq(journal, "");
    make_readable(first);
    turn(1000000);
    turn(1000000);
    cr_expect_str_eq(journal, "aa");
    cr_assert_eq(read(first[0], &c, 1), 1);
    turn(1000);
    cr_expect_str_eq(journal, "aa");
}

Test(loop_watch, follows_a_change_of_what_is_watched)
{
    make_readable(first);
    watch(first[0], EPOLLIN, on_ready, "a");
    watch(first[0], EPOLLIN, on_ready, "b"); /* another argument, the same events */
    turn(1000000);
    watch(first[1], EPOLLOUT, on_ready, "c");
    watch(first[0], 0, NULL, NULL);
    turn(1000000);
    watch(first[1], 0, NULL, NULL);
    turn(1000);
    cr_expect_str_eq(journal, "bw");
}

Test(loop_watch, tells_when_the_far_end_is_gone)
{
    watch(first[0], EPOLLIN, on_ready, "a");
    close(first[1]);
    turn(1000000);
    cr_expect_str_eq(journal, "h");
}

Test(loop, timer_without_a_function_ends_the_wait_and_no_more)
{
    struct wf_timer timer = {0};
    uint64_t start = wf_mono_us();

    wf_loop_timer_set(loop, &timer, 1000, NULL, NULL);
    turn(5000000);
    cr_expect_lt(wf_mono_us() - start, 2000000u);
    cr_expect_eq(timer.due_us, 0u);
}

static void stop_both(void *arg, int fd, uint32_t events)
{
    on_ready(arg, fd, events);
    watch(first[0], 0, NULL, NULL);
    watch(second[0], 0, NULL, NULL);
}

Test(loop_watch, lets_a_callback_stop_what_is_ready_in_the_same_turn)
{
    make_readable(first);
    make_readable(second);
    watch(first[0], EPOLLIN, stop_both, "x");
    watch(second[0], EPOLLIN, stop_both, "x");
    turn(1000000);
    turn(1000);
    cr_expect_str_eq(journal, "x");
}

static void replace_both(void *arg, int fd, uint32_t events)
{
    on_ready(arg, fd, events);
    watch(first[0], EPOLLIN, on_ready, "n");
    watch(second[0], EPOLLIN, on_ready, "n");
}

Test(loop_watch, lets_a_callback_replace_another_in_the_same_turn)
{
    make_readable(first);
    make_readable(second);
    watch(first[0], EPOLLIN, replace_both, "x");
    watch(second[0], EPOLLIN, replace_both, "x");
    turn(1000000);
    cr_expect_str_eq(journal, "xn");
}

Test(loop_watch, refuses_descriptors_outside_its_table)
{
    cr_expect_eq(wf_loop_watch(loop, -1, EPOLLIN, on_ready, NULL, &err), WF_FATAL);
    cr_expect_eq(wf_loop_watch(loop, 1024, EPOLLIN, on_ready, NULL, &err), WF_FATAL);
    cr_expect_str_eq(err.code, "limit");
}

/* epoll takes no regular files; the number may belong to a pipe the next time. */
Test(loop_watch, keeps_nothing_of_a_watch_that_failed)
{
    int fd = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

    cr_assert_eq(wf_loop_watch(loop, fd, EPOLLIN, on_ready, "a", &err), WF_FATAL);
    cr_assert_eq(dup2(first[0], fd), fd);
    watch(fd, EPOLLIN, on_ready, "a");
    make_readable(first);
    turn(1000000);
    cr_expect_str_eq(journal, "a");
}

/* ---- signals ------------------------------------------------------------------------------ */

static void slow_handler(int signal)
{
    (void)signal;
    usleep(30000); /* so that the timer is due when epoll_wait() returns */
}

static void spoil_errno(void *arg)
{
    note(arg);
    errno = EBADF;
}

Test(loop, goes_on_after_a_signal_whatever_a_timer_does_to_errno)
{
    struct itimerval soon = {.it_value.tv_usec = 5000};
    struct wf_timer t = {0};

    signal(SIGALRM, slow_handler);
    wf_loop_timer_set(loop, &t, 20000, spoil_errno, "a");
    setitimer(ITIMER_REAL, &soon, NULL);
    turn(1000000);
    cr_expect_str_eq(journal, "a");
}
