#include "config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One byte more than @max is asked for, so that a longer file shows. */
static enum wf_rc read_all(int fd, const char *path, size_t max, struct wf_file *out,
                           struct wf_err *err)
{
    out->text = malloc(max + 2);
    if (!out->text)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    while (out->len <= max) {
        ssize_t n = read(fd, out->text + out->len, max + 1 - out->len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return wf_err_config(err, "%s: cannot be read: %s", path, strerror(errno));
        if (n == 0)
            break;
        out->len += (size_t)n;
    }
    out->text[out->len] = '\0';
    if (out->len > max)
        return wf_err_config(err, "%s: larger than %zu KiB", path, max / 1024);
    return WF_OK;
}

enum wf_rc wf_file_read(const char *path, size_t max, struct wf_file *out, struct wf_err *err)
{
    /* Non-blocking: a FIFO must not hold us up before it is refused. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    enum wf_rc rc;

    *out = (struct wf_file){0};
    if (fd < 0)
        return wf_err_config(err, "%s: cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0)
        rc = wf_err_config(err, "%s: cannot be read: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        rc = wf_err_config(err, "%s: is %s, not a file", path,
                           S_ISDIR(st.st_mode) ? "a directory" : "a device or pipe");
    else
        rc = read_all(fd, path, max, out, err);
    close(fd);
    if (rc != WF_OK) {
        wf_file_free(out);
        return rc;
    }
    out->mode = (unsigned)st.st_mode & 07777;
    return WF_OK;
}

void wf_file_free(struct wf_file *f)
{
    if (f->text)
        explicit_bzero(f->text, f->len);
    free(f->text);
    *f = (struct wf_file){0};
}
