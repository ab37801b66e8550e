/* race - threads that resize and free each other's blocks as fast as they can, so that an address that one gives up is
 * handed to another at once.
 *
 *   race [THREADS [CALLS_A_THREAD]]             default 8, 100000
 *
 * Blocks lie in slots for anyone to take. Each knows its size and its site. Reallocations fail or go down to nothing, too.
 */
#include "truth.h"

#include <pthread.h>
#include <stdatomic.h>

struct block {
	struct truth_site *site;
	size_t size;
};

enum { SLOTS = 256, MOST_THREADS = 64 };
static struct block *_Atomic slots[SLOTS];
static uint64_t values[] = { 8, 100000 };

#define BLOCK_FUNCTION(name, parameters, call, old)          \
	SITE(name)                                           \
	SITE_CODE(name) static struct block *name parameters \
	{                                                    \
		struct block *b = (struct block *)call;      \
                                                             \
		if (!b)                                      \
			return NULL;                         \
		truth_made(&site_##name, b, size);           \
		if (old)                                     \
			truth_gone(b->site, b->size);        \
		*b = (struct block){ &site_##name, size };   \
		return b;                                    \
	}

BLOCK_FUNCTION(made, (size_t size), malloc(size), false)
BLOCK_FUNCTION(zeroed, (size_t size), calloc(1, size), false)
BLOCK_FUNCTION(aligned, (size_t size), aligned_alloc(64, size), false)
BLOCK_FUNCTION(resized, (struct block * was, size_t size), realloc(was, size), true)
BLOCK_FUNCTION(counted, (struct block * was, size_t size), reallocarray(was, size / 16, 16), true)

static void
let_go(struct block *b)
{
	if (b)
		truth_gone(b->site, b->size);
	free(b);
}

static void *(*volatile reallocate)(void *, size_t) = realloc;
static void *(*volatile reallocate_array)(void *, size_t, size_t) = reallocarray;

/* One call, with a block that is ours alone or none. What is to lie in the slot afterwards. */
static struct block *
change(struct block *b, uint64_t random)
{
	size_t size = 16 + 16 * (random >> 8 & 63);
	struct block *other;

	switch (random >> 20 & 15) {
	case 0:
		let_go(b);
		return zeroed(size);
	case 1:
		let_go(b);
		return aligned((size + 63) & ~(size_t)63);
	case 2:
		if (b && (reallocate(b, (size_t)PTRDIFF_MAX + (random >> 32)) || errno != ENOMEM))
			abort();
		return b;
	case 3:
		if (b && (reallocate_array(b, SIZE_MAX / 16 + 2, 16) || errno != ENOMEM))
			abort();
		return b;
	case 4:
		if (b) { /* glibc's frees, others give a block of nothing */
			struct block was = *b;

			free(reallocate(b, 0));
			truth_gone(was.site, was.size);
		}
		return NULL;
	case 5:
	case 6:
	case 7:
		let_go(b);
		return NULL;
	case 8:
		other = b ? counted(b, size) : made(size);
		break;
	default:
		other = b ? resized(b, size) : made(size);
	}
	if (!other)
		abort();
	return other;
}

static void *
work(void *closure)
{
	uint64_t random = (uint64_t)(uintptr_t)closure;

	for (uint64_t i = 0; i < values[1]; i++) {
		uint64_t r = truth_random(&random);
		struct block *b = atomic_exchange(&slots[r % SLOTS], NULL);

		let_go(atomic_exchange(&slots[(r >> 40) % SLOTS], change(b, r)));
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_t threads[MOST_THREADS];

	truth_begin(argc, argv, values, 2);
	if (values[0] < 1 || values[0] > MOST_THREADS)
		return 2;
	for (uint64_t i = 0; i < values[0]; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 1)) != 0)
			return 1;
	for (uint64_t i = 0; i < values[0]; i++)
		pthread_join(threads[i], NULL);
	truth_end();
	return 0;
}
