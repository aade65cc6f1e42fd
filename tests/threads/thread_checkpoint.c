/* A helper thread saves while the loop thread and the connecting thread load. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "../unit/tmpdir.h"
#include "checkpoint.h"

#define SAVES 200

static struct wf_checkpoint_store *store;

static void check(int ok, const char *what, const struct wf_err *err)
{
    if (ok)
        return;
    fprintf(stderr, "failed: %s: %s\n", what, err->text);
    exit(1);
}

static void *save(void *arg)
{
    struct wf_err err = {0};

    (void)arg;
    for (uint64_t lsn = 1; lsn <= SAVES; lsn++) {
        struct wf_checkpoint cp = {.state = WF_CHECKPOINT_ACTIVE, .lsn = lsn};

        check(wf_checkpoint_save(store, &cp, &err) == WF_OK, "save", &err);
        check(cp.generation == lsn, "generations grow by one", &err);
    }
    return NULL;
}

static void *load(void *arg)
{
    struct wf_err err = {0};
    uint64_t seen = 0;

    (void)arg;
    while (seen < SAVES) {
        struct wf_checkpoint cp;

        check(wf_checkpoint_load(store, &cp, &err) == WF_OK, "load", &err);
        check(cp.lsn >= seen && cp.lsn == cp.generation, "whole, never older", &err);
        seen = cp.lsn;
    }
    return NULL;
}

int main(void)
{
    void *(*const jobs[])(void *) = {save, load, load};
    struct wf_err err = {0};
    pthread_t threads[3];

    tmpdir_make();
    check(wf_checkpoint_open(tmpdir, &store, &err) == WF_OK, "open", &err);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, jobs[i], NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    wf_checkpoint_close(store);
    tmpdir_remove();
    return 0;
}
