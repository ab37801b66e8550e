/* libc - calloc and reallocarray with their overflow, zero sizes, and functions of the libc that allocate inside.
 *
 *   libc [ROUNDS]               default 2000
 *
 * How much getline, asprintf and open_memstream allocate on their way is the libc's affair; what they leave is not.
 */
#include "truth.h"

#include <malloc.h>

SITE_FUNCTION(by_malloc_zero, malloc(size))
SITE_FUNCTION(by_calloc, calloc(size / 8, 8))
SITE_FUNCTION(by_calloc_one, calloc(1, size))
SITE_FUNCTION(by_calloc_zero, calloc(size, 16))
SITE_FUNCTION(calloc_overflow, calloc(size, 16))
SITE_FUNCTION(by_reallocarray, reallocarray(NULL, size / 4, 4))
SITE_FUNCTION(malloc_too_large, malloc(size))

static char letters[512];

/* Strings of size - 1 letters. */
SITE_FUNCTION(by_strdup, strdup(letters + sizeof(letters) - size))
SITE_FUNCTION(by_strndup, strndup(letters, size - 1))

SITE(by_asprintf)
SITE_CODE(by_asprintf) static void *by_asprintf(size_t size)
{
	char *p = NULL;

	if (asprintf(&p, "%.*s", (int)size - 1, letters) < 0)
		return NULL;
	site_by_asprintf.alloc_unknown = true;
	truth_made(&site_by_asprintf, p, size);
	return p;
}

int
main(int argc, char **argv)
{
	uint64_t n = 2000;

	truth_begin(argc, argv, &n, 1);
	memset(letters, 'x', sizeof(letters) - 1);
	for (uint64_t i = 0; i < n; i++) {
		size_t size = 24 + i % 400;

#define MAKE(name, size, keep)                              \
	do {                                                \
		truth_keep(&site_##name, name(size), size); \
		if (!(keep))                                \
			truth_free_kept(&site_##name);      \
	} while (0)
		MAKE(by_calloc, size / 8 * 8, i % 2);
		MAKE(by_calloc_one, size, i % 3);
		MAKE(by_reallocarray, size / 4 * 4, i % 2);
		MAKE(by_strdup, size, i % 4);
		MAKE(by_strndup, size, i % 2);
		MAKE(by_asprintf, size, i % 2);
#undef MAKE
		/* Blocks of no bytes: objects all the same. One in two leaks, deliberately. */
		for (int zero = 0; zero < 2; zero++) {
			void *p = zero ? by_calloc_zero(0) : by_malloc_zero(0);

			if (p && i % 2) {
				truth_gone(zero ? &site_by_calloc_zero : &site_by_malloc_zero, 0);
				free(p);
			}
		}
		if (calloc_overflow(SIZE_MAX / 8) || malloc_too_large((size_t)PTRDIFF_MAX + 1))
			return 1;
	}
	truth_end();
	return 0;
}
