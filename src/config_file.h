/* Reads a small regular file whole: a configuration or a secret. */
#ifndef WF_CONFIG_FILE_H
#define WF_CONFIG_FILE_H

#include <stddef.h>

#include "err.h"

struct wf_file {
    char *text; /* a NUL follows the last byte; more may be inside */
    size_t len;
    unsigned mode; /* permission bits */
};

/**
 * wf_file_read() - read a regular file of at most @max bytes
 *
 * Return: WF_OK with *out the caller's to wf_file_free(), or WF_FATAL with exit code 78 and a
 * message that begins with the path.
 */
enum wf_rc wf_file_read(const char *path, size_t max, struct wf_file *out, struct wf_err *err);
/* Wipes the text first. */
void wf_file_free(struct wf_file *f);

#endif
