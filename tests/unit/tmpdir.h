/* A folder that goes with the test. */
#ifndef TESTS_TMPDIR_H
#define TESTS_TMPDIR_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char tmpdir[64];

/* In memory where there is such a place: the tests sync often, and a disk may be busy. */
static inline void tmpdir_make(void)
{
    snprintf(tmpdir, sizeof(tmpdir), "%s/walferry-test-XXXXXX",
             access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(tmpdir))
        abort();
}

static inline int tmpdir_remove_one(const char *path, const struct stat *st, int type,
                                    struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void tmpdir_remove(void)
{
    nftw(tmpdir, tmpdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* "<tmpdir>/<name>"; one of eight texts that are used in turn. */
static inline const char *in_tmpdir(const char *name)
{
    static char paths[8][512];
    static unsigned turn;
    char *path = paths[turn++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", tmpdir, name);
    return path;
}

/* The content of a file, for free(); NULL when it cannot be read. */
static inline char *read_whole(const char *path, size_t *len)
{
    FILE *in = fopen(path, "rbe");
    char *data = NULL;

    *len = 0;
    for (size_t n = 1; in && n; *len += n) {
        data = realloc(data, *len + 65536);
        n = fread(data + *len, 1, 65536, in);
    }
    if (in)
        fclose(in);
    return data;
}

static inline void write_whole(const char *path, const void *data, size_t len)
{
    FILE *out = fopen(path, "wbe");

    if (!out || fwrite(data, 1, len, out) != len || fclose(out) != 0)
        abort();
}

#endif
