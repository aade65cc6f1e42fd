/* Arrays that grow by one entry at a time. */
#ifndef WF_GROW_H
#define WF_GROW_H

#include <stdlib.h>

/* Room for an entry behind the @n of @size bytes that are there: the room doubles at powers of two,
 * so it has to begin with an array of 0. Return: the array; NULL, and @array as it was, when memory
 * is out. */
static inline void *wf_grow(void *array, size_t n, size_t size)
{
    return n & (n - 1) ? array : realloc(array, size * (n ? 2 * n : 1));
}

#endif
