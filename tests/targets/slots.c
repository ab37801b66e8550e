/* slots.c - an allocator that signal handlers may enter and jump out of: for programs that put the sampler through what
 * the C library's own allocator would not survive.
 *
 * Blocks are fixed slots, claimed and given back by one atomic operation each; a jump in between loses a slot at most.
 * Larger blocks come from the kernel and stay.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define SLOT 1024
#define SLOTS 65536

static _Alignas(4096) unsigned char slots[SLOTS][SLOT];
static _Atomic uint64_t taken[SLOTS / 64];
static _Atomic unsigned next;

static void *
large(size_t size)
{
	size_t whole = size + 4096;
	unsigned char *p;

	if (whole < size)
		return NULL;
	p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	memcpy(p + 4096 - sizeof(size), &size, sizeof(size));
	return p + 4096;
}

static int
slot_of(const void *p)
{
	uintptr_t at = (uintptr_t)p - (uintptr_t)slots;

	return at < sizeof(slots) ? (int)(at / SLOT) : -1;
}

void *
malloc(size_t size)
{
	if (size > SLOT)
		return large(size);
	for (unsigned tries = 0; tries < SLOTS; tries++) {
		unsigned i = atomic_fetch_add(&next, 1) % SLOTS;
		uint64_t bit = UINT64_C(1) << i % 64;

		if (!(atomic_fetch_or(&taken[i / 64], bit) & bit))
			return slots[i];
	}
	errno = ENOMEM;
	return NULL;
}

void
free(void *p)
{
	int i = slot_of(p);

	if (i >= 0)
		atomic_fetch_and(&taken[i / 64], ~(UINT64_C(1) << i % 64));
}

size_t
malloc_usable_size(void *p)
{
	size_t size = SLOT;

	if (p && slot_of(p) < 0)
		memcpy(&size, (unsigned char *)p - sizeof(size), sizeof(size));
	return p ? size : 0;
}

void *
calloc(size_t count, size_t size)
{
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	p = malloc(bytes);
	if (p && bytes <= SLOT)
		memset(p, 0, bytes);
	return p;
}

void *
realloc(void *p, size_t size)
{
	size_t old = malloc_usable_size(p);
	void *q;

	if (p && size <= old)
		return p;
	q = malloc(size);
	if (q && p) {
		memcpy(q, p, old);
		free(p);
	}
	return q;
}

void *
memalign(size_t alignment, size_t size)
{
	/* Slots lie on multiples of their size, large blocks on pages. */
	if (alignment <= SLOT)
		return malloc(size);
	return alignment <= 4096 ? large(size) : NULL;
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int
posix_memalign(void **ret, size_t alignment, size_t size)
{
	void *p = memalign(alignment, size);

	if (!p)
		return ENOMEM;
	*ret = p;
	return 0;
}
