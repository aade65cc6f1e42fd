/* Reads values out of AWS's shared configuration files. */
#ifndef WF_AWS_INI_H
#define WF_AWS_INI_H

#include <stddef.h>

/**
 * wf_ini_get() - the value of a key
 * @text:    the file, [@text, @text+@len), any bytes
 * @section: as between the brackets, for example "profile shop"
 * @key:     a key of it, or "outer.inner" for an indented one
 *
 * Return: a copy, the caller's to free; NULL when there is none, or memory is out. The last one of
 * several counts.
 * Source: AWS SDKs and Tools Reference Guide, "Using shared config and credentials files".
 */
char *wf_ini_get(const char *text, size_t len, const char *section, const char *key);

#endif
