/* The loop thread and a worker pass jobs to and fro; every field they share is touched. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "worker.h"

#define JOBS 8
#define ROUNDS 2000

static struct wf_worker *worker;

struct task {
    struct wf_job job;
    long runs, dones; /* plain: the queue itself has to order the accesses */
};

static void check(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

static void run(struct wf_job *job)
{
    ((struct task *)job)->runs++;
}

static void done(struct wf_job *job)
{
    struct task *t = (struct task *)job;

    check(++t->dones == t->runs, "one done() for each run()");
    if (t->dones < ROUNDS)
        wf_worker_submit(worker, job);
}

static void run_slowly(struct wf_job *job)
{
    usleep(20000);
    ((struct task *)job)->runs++;
}

static void pass_jobs_to_and_fro(struct wf_loop *loop)
{
    struct task tasks[JOBS] = {0};
    long total = 0;

    for (int i = 0; i < JOBS; i++) {
        tasks[i].job = (struct wf_job){.run = run, .done = done};
        wf_worker_submit(worker, &tasks[i].job);
    }
    while (total < JOBS * ROUNDS) {
        check(wf_loop_turn(loop, 1000000, NULL) == WF_OK, "a turn of the loop");
        total = 0;
        for (int i = 0; i < JOBS; i++)
            total += tasks[i].dones;
    }
}

static void free_with_a_running_job(struct wf_loop *loop, useconds_t after)
{
    struct task tasks[3] = {0};

    worker = wf_worker_new(loop, "wf-free", NULL);
    check(worker != NULL, "a worker");
    for (int i = 0; i < 3; i++) {
        tasks[i].job = (struct wf_job){.run = run_slowly, .done = done};
        wf_worker_submit(worker, &tasks[i].job);
    }
    usleep(after);
    wf_worker_free(worker);
    for (int i = 0; i < 3; i++)
        check(tasks[i].runs <= 1 && tasks[i].dones == 0, "no done() after the end");
}

int main(void)
{
    struct wf_loop *loop = wf_loop_new(NULL);

    worker = wf_worker_new(loop, "wf-test", NULL);
    check(loop && worker, "a loop and a worker");
    pass_jobs_to_and_fro(loop);
    wf_worker_free(worker);
    for (useconds_t after = 0; after < 50000; after += 10000)
        free_with_a_running_job(loop, after);
    wf_loop_free(loop);
    return 0;
}
