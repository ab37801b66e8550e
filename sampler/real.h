/* real.h - the allocator underneath: whatever the program would have called without us.
 *
 * Each pointer starts at a function that resolves all of them at the first call, however early that comes, and is the
 * real function from then on. What the allocator does not have is NULL.
 */
#ifndef HEAPD_REAL_H
#define HEAPD_REAL_H

#include <stddef.h>

/* The arguments of syscall() that come in registers; on x86-64 the last one of seven does not. */
#if defined(__x86_64__)
#define SYSCALL_PARAMETERS long number, long a, long b, long c, long d, long e
#define SYSCALL_ARGUMENTS number, a, b, c, d, e
#else
#define SYSCALL_PARAMETERS long number, long a, long b, long c, long d, long e, long f
#define SYSCALL_ARGUMENTS number, a, b, c, d, e, f
#endif

struct real {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t count, size_t size);
	void *(*realloc)(void *block, size_t size);
	void (*free)(void *block);
	int (*posix_memalign)(void **ret, size_t alignment, size_t size);
	void *(*aligned_alloc)(size_t alignment, size_t size);
	void *(*memalign)(size_t alignment, size_t size);
	void *(*valloc)(size_t size);
	void *(*pvalloc)(size_t size);
	size_t (*malloc_usable_size)(void *block);
	/* An allocator's own, by way of its hook (extensions.c). The C library's ends in realloc: NULL. */
	void *(*reallocarray)(void *block, size_t count, size_t size);
	/* From here on: NULL where there is none, after real_resolve(). */
	void (*cfree)(void *block);
	void (*free_sized)(void *block, size_t size);
	void (*free_aligned_sized)(void *block, size_t alignment, size_t size);
	int (*dlclose)(void *handle);
	int (*prctl)(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
	long (*syscall)(SYSCALL_PARAMETERS);
};

extern struct real real __attribute__((visibility("hidden")));

void real_resolve(void);

#endif
