/* Preloaded into walferry: counts the allocations that its own code makes, not its libraries'.
 *
 * A call counts as ours when it returns into the executable's first mapping (libraries linked
 * statically count too). At exit one line goes to the file named by ALLOC_COUNT_FILE. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_ulong ours, all;
static uintptr_t low, high;
static char spare[65536]; /* dlsym() itself allocates before the real functions are known */
static size_t spared;
static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);

static int first_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];

        if (p->p_type == PT_LOAD && (p->p_flags & PF_X)) {
            low = info->dlpi_addr + p->p_vaddr;
            high = low + p->p_memsz;
        }
    }
    return 1; /* the executable comes first */
}

static void find_real(void)
{
    if (real_malloc)
        return;
    real_calloc = dlsym(RTLD_NEXT, "calloc");
    real_realloc = dlsym(RTLD_NEXT, "realloc");
    real_free = dlsym(RTLD_NEXT, "free");
    real_malloc = dlsym(RTLD_NEXT, "malloc");
    dl_iterate_phdr(first_object, NULL);
}

static void count(const void *caller)
{
    uintptr_t at = (uintptr_t)caller;

    atomic_fetch_add_explicit(&all, 1, memory_order_relaxed);
    if (at >= low && at < high)
        atomic_fetch_add_explicit(&ours, 1, memory_order_relaxed);
}

void *malloc(size_t n)
{
    find_real();
    count(__builtin_return_address(0));
    return real_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    if (!real_calloc) {
        void *p = spare + spared;

        spared += (n * size + 15) & ~(size_t)15;
        return spared <= sizeof(spare) ? p : NULL;
    }
    count(__builtin_return_address(0));
    return real_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    find_real();
    count(__builtin_return_address(0));
    return real_realloc(p, n);
}

void free(void *p)
{
    find_real();
    if ((char *)p < spare || (char *)p >= spare + sizeof(spare))
        real_free(p);
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("ALLOC_COUNT_FILE");
    FILE *out = path ? fopen(path, "w") : NULL;

    if (!out)
        return;
    fprintf(out, "{\"ours\": %lu, \"all\": %lu}\n", atomic_load(&ours), atomic_load(&all));
    fclose(out);
}
