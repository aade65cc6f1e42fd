#include "worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct wf_worker {
    struct wf_loop *loop;
    pthread_t thread;
    int event_fd; /* written by the thread when `finished` got longer */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* below: under lock */
    struct wf_job *queue;
    struct wf_job *finished;
    bool stop;
};

static void append(struct wf_job **list, struct wf_job *job)
{
    while (*list)
        list = &(*list)->next;
    job->next = NULL;
    *list = job;
}

static void *work(void *arg)
{
    struct wf_worker *w = arg;
    const uint64_t one = 1;

    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        struct wf_job *job = w->queue;

        if (!job) {
            pthread_cond_wait(&w->wake, &w->lock);
            continue;
        }
        w->queue = job->next;
        pthread_mutex_unlock(&w->lock);
        job->run(job);
        pthread_mutex_lock(&w->lock);
        append(&w->finished, job);
        if (write(w->event_fd, &one, sizeof(one)) < 0) {
            /* only when the counter is at its limit: the loop is awake already */
        }
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void call_done(struct wf_worker *w)
{
    struct wf_job *job;

    pthread_mutex_lock(&w->lock);
    job = w->finished;
    w->finished = NULL;
    pthread_mutex_unlock(&w->lock);
    while (job) {
        struct wf_job *next = job->next;

        job->queued = false;
        job->done(job);
        job = next;
    }
}

static void on_finished(void *arg, int fd, uint32_t events)
{
    uint64_t count;

    (void)events;
    if (read(fd, &count, sizeof(count)) == sizeof(count))
        call_done(arg);
}

/* Signals are the loop thread's business. */
static int start_thread(struct wf_worker *w, const char *name)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_setname_np(w->thread, name);
    return rc;
}

struct wf_worker *wf_worker_new(struct wf_loop *loop, const char *name, struct wf_err *err)
{
    struct wf_worker *w = calloc(1, sizeof(*w));

    if (!w) {
        wf_err_set(err, WF_FATAL, "memory", "out of memory");
        return NULL;
    }
    w->loop = loop;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->event_fd < 0) {
        wf_err_sys(err, WF_FATAL, "cannot create an eventfd");
    } else if (wf_loop_watch(loop, w->event_fd, EPOLLIN, on_finished, w, err) == WF_OK) {
        if (start_thread(w, name) == 0)
            return w;
        wf_err_set(err, WF_FATAL, "thread", "cannot start the helper thread %s", name);
        wf_loop_watch(loop, w->event_fd, 0, NULL, NULL, NULL);
    }
    if (w->event_fd >= 0)
        close(w->event_fd);
    free(w);
    return NULL;
}

static void end_thread(struct wf_worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
}

static void release(struct wf_worker *w)
{
    wf_loop_watch(w->loop, w->event_fd, 0, NULL, NULL, NULL);
    close(w->event_fd);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void wf_worker_free(struct wf_worker *w)
{
    if (!w)
        return;
    end_thread(w);
    release(w);
}

void wf_worker_finish(struct wf_worker *w)
{
    if (!w)
        return;
    end_thread(w);
    call_done(w);
    release(w);
}

void wf_worker_submit(struct wf_worker *w, struct wf_job *job)
{
    job->queued = true;
    pthread_mutex_lock(&w->lock);
    append(&w->queue, job);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}
