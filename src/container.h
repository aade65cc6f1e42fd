/* Reads Avro object container files block by block. */
#ifndef WF_CONTAINER_H
#define WF_CONTAINER_H

#include <stdbool.h>

#include "buf.h"
#include "err.h"

/* One datum as JSON; false stops reading. */
typedef bool (*wf_container_fn)(void *arg, const char *json, size_t len);

/**
 * wf_container_read() - every datum of a container file
 * @path: a file with codec "null", blocks of at most 256 MiB
 *
 * Return: WF_OK; WF_REJECT with the byte offset when the file is damaged or torn: what stands
 * before has been handed over. Source: Avro specification, "Object Container Files".
 */
enum wf_rc wf_container_read(const char *path, wf_container_fn fn, void *arg, struct wf_err *err);

#endif
