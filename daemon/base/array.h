/* array.h - arrays that double as they grow. */
#ifndef HEAPD_ARRAY_H
#define HEAPD_ARRAY_H

#include <stddef.h>

/* Room for `more` elements of that size behind the first n of *array, a pointer to malloced memory or NULL; *room is how
 * many there is memory for. 0, or -ENOMEM with both unchanged. */
int array_reserve(void *array, size_t n, size_t more, size_t *room, size_t size);

#endif
