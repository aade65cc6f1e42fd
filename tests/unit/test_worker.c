#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "worker.h"

static struct wf_loop *loop;
static struct wf_worker *worker;
static struct wf_err err;

static void make(void)
{
    loop = wf_loop_new(&err);
    worker = wf_worker_new(loop, "wf-test", &err);
    cr_assert_not_null(worker, "%s", err.text);
}

static void destroy(void)
{
    wf_worker_free(worker);
    wf_loop_free(loop);
}

TestSuite(worker, .init = make, .fini = destroy);

struct task {
    struct wf_job job; /* first, so that a job is its task */
    int number;
    int runs;
    pthread_t ran_on, done_on;
};

static int run_order[64], done_order[64];
static atomic_int nrun;
static int ndone;

static void run(struct wf_job *job)
{
    struct task *t = (struct task *)job;

    t->ran_on = pthread_self();
    run_order[atomic_fetch_add(&nrun, 1)] = t->number;
}

static void done(struct wf_job *job)
{
    struct task *t = (struct task *)job;

    t->done_on = pthread_self();
    done_order[ndone++] = t->number;
    cr_expect_not(job->queued);
}

static void turn_until_done(int n)
{
    for (uint64_t end = wf_mono_us() + 5000000; ndone < n && wf_mono_us() < end;)
        cr_assert_eq(wf_loop_turn(loop, 1000000, &err), WF_OK);
    cr_assert_eq(ndone, n);
}

Test(worker, runs_jobs_in_order_and_reports_on_the_loop_thread)
{
    struct task tasks[20] = {0};

    for (int i = 0; i < 20; i++) {
        tasks[i] = (struct task){.job = {.run = run, .done = done}, .number = i};
        wf_worker_submit(worker, &tasks[i].job);
        cr_expect(tasks[i].job.queued);
    }
    turn_until_done(20);
    for (int i = 0; i < 20; i++) {
        cr_expect_eq(run_order[i], i);
        cr_expect_eq(done_order[i], i);
        cr_expect_not(pthread_equal(tasks[i].ran_on, pthread_self()));
        cr_expect(pthread_equal(tasks[i].done_on, pthread_self()));
    }
}

Test(worker, reports_nothing_before_the_loop_turns)
{
    struct task t = {.job = {.run = run, .done = done}};

    wf_worker_submit(worker, &t.job);
    while (!atomic_load(&nrun))
        usleep(100);
    usleep(2000);
    cr_expect_eq(ndone, 0);
    cr_expect(t.job.queued);
    turn_until_done(1);
}

static void submit_again(struct wf_job *job)
{
    struct task *t = (struct task *)job;

    done(job);
    if (++t->runs < 5)
        wf_worker_submit(worker, job);
}

Test(worker, lets_done_submit_the_same_job_again)
{
    struct task t = {.job = {.run = run, .done = submit_again}};

    wf_worker_submit(worker, &t.job);
    turn_until_done(5);
    cr_expect_eq(atomic_load(&nrun), 5);
}

static void run_slowly(struct wf_job *job)
{
    run(job);
    usleep(50000);
    ((struct task *)job)->runs = 1;
}

static void never(struct wf_job *job)
{
    (void)job;
    cr_expect_fail("after wf_worker_free()");
}

Test(worker, waits_for_the_running_job_when_freed_and_drops_the_rest)
{
    struct task slow = {.job = {.run = run_slowly, .done = never}};
    struct task waiting = {.job = {.run = run, .done = never}};

    wf_worker_submit(worker, &slow.job);
    wf_worker_submit(worker, &waiting.job);
    while (!atomic_load(&nrun))
        usleep(100);
    wf_worker_free(worker);
    worker = NULL;
    cr_expect_eq(slow.runs, 1, "was left to its end");
    cr_expect_eq(atomic_load(&nrun), 1, "the other did not start");
    cr_assert_eq(wf_loop_turn(loop, 1000, &err), WF_OK);
    wf_worker_free(NULL);
}

static void read_name(struct wf_job *job)
{
    (void)job;
    pthread_getname_np(pthread_self(), (char *)run_order, 16);
}

Test(worker, shows_its_name)
{
    struct task t = {.job = {.run = read_name, .done = done}};

    wf_worker_submit(worker, &t.job);
    turn_until_done(1);
    cr_expect_str_eq((char *)run_order, "wf-test");
}
