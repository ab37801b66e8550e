/* array.c - see array.h. */
#include "array.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int
array_reserve(void *array, size_t n, size_t more, size_t *room, size_t size)
{
	size_t capacity = *room ? *room : 16;
	void *p;

	if (n + more <= *room)
		return 0;
	while (capacity < n + more)
		capacity *= 2;
	if (capacity > SIZE_MAX / size)
		return -ENOMEM;
	memcpy(&p, array, sizeof(p)); /* a pointer of any type */
	p = realloc(p, capacity * size);
	if (!p)
		return -ENOMEM;
	memcpy(array, &p, sizeof(p));
	*room = capacity;
	return 0;
}
