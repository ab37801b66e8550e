/* preload_empty - a preload that does nothing: every function of the malloc family jumps to the next one.
 *
 * What any interposer costs at the least, and so what libheapd.so is compared with. The pointers start at functions that
 * look up the real ones; after that a call is one indirect jump.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

static void resolve(void);

/* `give` is return, or nothing for a function that returns nothing. */
#define FORWARD(type, give, name, declared, passed)        \
	static type first_##name declared;                 \
	static type(*next_##name) declared = first_##name; \
	type name declared                                 \
	{                                                  \
		give next_##name passed;                   \
	}                                                  \
	static type first_##name declared                  \
	{                                                  \
		resolve();                                 \
		give next_##name passed;                   \
	}

/* clang-format off */
FORWARD(void *, return, malloc, (size_t size), (size))
FORWARD(void *, return, calloc, (size_t n, size_t size), (n, size))
FORWARD(void *, return, realloc, (void *p, size_t size), (p, size))
FORWARD(void *, return, reallocarray, (void *p, size_t n, size_t size), (p, n, size))
FORWARD(void, , free, (void *p), (p))
FORWARD(int, return, posix_memalign, (void **ret, size_t alignment, size_t size), (ret, alignment, size))
FORWARD(void *, return, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
FORWARD(void *, return, memalign, (size_t alignment, size_t size), (alignment, size))
FORWARD(void *, return, valloc, (size_t size), (size))
FORWARD(void *, return, pvalloc, (size_t size), (size))
FORWARD(size_t, return, malloc_usable_size, (void *p), (p))
/* clang-format on */

/* dlsym of glibc 2.36 allocates nothing when it finds the name. */
static void
next(void *pointer, const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	memcpy(pointer, &function, sizeof(function));
}

__attribute__((constructor)) static void
resolve(void)
{
	next(&next_malloc, "malloc");
	next(&next_calloc, "calloc");
	next(&next_realloc, "realloc");
	next(&next_reallocarray, "reallocarray");
	next(&next_free, "free");
	next(&next_posix_memalign, "posix_memalign");
	next(&next_aligned_alloc, "aligned_alloc");
	next(&next_memalign, "memalign");
	next(&next_valloc, "valloc");
	next(&next_pvalloc, "pvalloc");
	next(&next_malloc_usable_size, "malloc_usable_size");
}
