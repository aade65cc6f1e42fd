/* The bytes of a container file; what is handed over has to be JSON. */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "container.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static bool check_json(void *arg, const char *json, size_t len)
{
    json_error_t why;
    json_t *j =
        json_loadb(json, len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &why);

    /* two things the checker cannot hold: a long decimal, NUL in a key */
    if (!j && json_error_code(&why) != json_error_numeric_overflow &&
        json_error_code(&why) != json_error_null_byte_in_key)
        abort();
    json_decref(j);
    return ++*(unsigned *)arg < 1000;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    struct wf_err err;
    char path[32];
    unsigned n = 0;

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    wf_container_read(path, check_json, &n, &err);
    close(fd);
    return 0;
}
