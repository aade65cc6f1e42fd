/* Preloaded: the n-th allocation that one part of the process asks for fails.
 * NO_MEMORY="17": the 17th alone; "17+": every one from there on; "0": none.
 * NO_MEMORY_OF="own 881d0": the program's own code, which ends at that offset in the file's
 * addresses (behind it lies what is linked statically); "libpq": a library with that word in its
 * name. NO_MEMORY_LIST="FILE": a line for each allocation, "<number> <call site> <hash of the
 * stack>". */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RANGES_MAX 8

static struct {
    uintptr_t from, to, base;
} ranges[RANGES_MAX];
static unsigned nranges;
static unsigned long fail_at, end_of_own, calls;
static bool from_there_on;
static int list_fd = -1;
static _Thread_local bool inside; /* ours: a stack walk, a message */

static int take_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    const char *word = arg;
    bool own = strcmp(word, "own") == 0;

    (void)size;
    if (own ? info->dlpi_name[0] != '\0' : !strstr(info->dlpi_name, word))
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum && nranges < RANGES_MAX; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t end = p->p_vaddr + p->p_memsz;

        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
            continue;
        if (own && end_of_own && end_of_own < end)
            end = end_of_own;
        ranges[nranges].base = info->dlpi_addr;
        ranges[nranges].from = info->dlpi_addr + p->p_vaddr;
        ranges[nranges++].to = info->dlpi_addr + end;
    }
    return own;
}

__attribute__((constructor)) static void set_up(void)
{
    const char *spec = getenv("NO_MEMORY"), *of = getenv("NO_MEMORY_OF");
    const char *list = getenv("NO_MEMORY_LIST");
    char word[64], *plus;
    void *frame[1];

    if (!spec || !of || sscanf(of, "%63s %lx", word, &end_of_own) < 1)
        return;
    fail_at = strtoul(spec, &plus, 10);
    from_there_on = *plus == '+';
    if (list)
        list_fd = open(list, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    backtrace(frame, 1); /* loads what it needs now */
    dl_iterate_phdr(take_object, word);
}

static void say(int fd, unsigned long n, uintptr_t site, const char *rest)
{
    char line[128];
    int len = snprintf(line, sizeof(line), "%s%lu %lx%s\n", fd == 2 ? "no_memory: " : "", n,
                       (unsigned long)site, rest);

    if (write(fd, line, (size_t)len) != len)
        abort();
}

static void list_one(unsigned long n, uintptr_t site)
{
    void *frames[64];
    int depth = backtrace(frames, 64);
    uint64_t hash = 14695981039346656037u;
    char text[32];

    for (int i = 2; i < depth; i++)
        hash = (hash ^ (uintptr_t)frames[i]) * 1099511628211u;
    snprintf(text, sizeof(text), " %016lx", (unsigned long)hash);
    say(list_fd, n, site, text);
}

static bool fails(const void *caller)
{
    uintptr_t at = (uintptr_t)caller, site = 0;
    unsigned long n;
    bool fail;

    for (unsigned i = 0; i < nranges && !site; i++)
        if (at >= ranges[i].from && at < ranges[i].to)
            site = at - ranges[i].base;
    if (!site || inside)
        return false;
    n = __sync_add_and_fetch(&calls, 1);
    fail = fail_at && (from_there_on ? n >= fail_at : n == fail_at);
    inside = true;
    if (list_fd >= 0)
        list_one(n, site);
    if (fail && n == fail_at)
        say(2, n, site, "");
    inside = false;
    if (fail)
        errno = ENOMEM;
    return fail;
}

#define REAL(name)                                                                                 \
    static __typeof__(&name) real;                                                                 \
    if (!real)                                                                                     \
    real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define FAILS() fails(__builtin_return_address(0))

void *malloc(size_t n)
{
    REAL(malloc);
    return FAILS() ? NULL : real(n);
}

void *calloc(size_t n, size_t size)
{
    REAL(calloc);
    return FAILS() ? NULL : real(n, size);
}

void *realloc(void *p, size_t n)
{
    REAL(realloc);
    return FAILS() ? NULL : real(p, n);
}

char *strdup(const char *s)
{
    REAL(strdup);
    return FAILS() ? NULL : real(s);
}

char *strndup(const char *s, size_t n)
{
    REAL(strndup);
    return FAILS() ? NULL : real(s, n);
}

static int print(char **out, const char *fmt, va_list ap)
{
    REAL(vasprintf);
    return real(out, fmt, ap);
}

int vasprintf(char **out, const char *fmt, va_list ap)
{
    return FAILS() ? -1 : print(out, fmt, ap);
}

int asprintf(char **out, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = FAILS() ? -1 : print(out, fmt, ap);
    va_end(ap);
    return n;
}

/* What a build with _FORTIFY_SOURCE calls in their place. */
int __vasprintf_chk(char **out, int flag, const char *fmt, va_list ap)
{
    (void)flag;
    return FAILS() ? -1 : print(out, fmt, ap);
}

int __asprintf_chk(char **out, int flag, const char *fmt, ...)
{
    va_list ap;
    int n;

    (void)flag;
    va_start(ap, fmt);
    n = FAILS() ? -1 : print(out, fmt, ap);
    va_end(ap);
    return n;
}

FILE *fopen(const char *path, const char *mode)
{
    REAL(fopen);
    return FAILS() ? NULL : real(path, mode);
}

DIR *opendir(const char *path)
{
    REAL(opendir);
    return FAILS() ? NULL : real(path);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    REAL(pthread_create);
    return FAILS() ? EAGAIN : real(thread, attr, run, arg);
}
