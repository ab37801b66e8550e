/* Sizes that every allocator refuses: what the calls return and what they do to errno. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void *(*volatile call_malloc)(size_t) = malloc;
static void *(*volatile call_calloc)(size_t, size_t) = calloc;
static void *(*volatile call_realloc)(void *, size_t) = realloc;
static void *(*volatile call_reallocarray)(void *, size_t, size_t) = reallocarray;

static void
show(const char *call, size_t a, size_t b, void *block)
{
	printf("%s %zx %zx: %s errno %d\n", call, a, b, block ? "block" : "NULL", errno);
}

int
main(void)
{
	static const size_t sizes[] = { (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 4096, SIZE_MAX - 1, SIZE_MAX };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t count = 1; count <= 3; count += 2) {
			void *old = call_malloc(100);

			errno = 7;
			show("malloc", sizes[i], 0, call_malloc(sizes[i]));
			errno = 7;
			show("calloc", count, sizes[i], call_calloc(count, sizes[i]));
			errno = 7;
			show("realloc", sizes[i], 0, call_realloc(old, sizes[i]));
			errno = 7;
			show("reallocarray", count, sizes[i], call_reallocarray(old, count, sizes[i]));
			errno = 7;
			show("reallocarray of none", count, sizes[i], call_reallocarray(NULL, count, sizes[i]));
			free(old);
		}
	return 0;
}
