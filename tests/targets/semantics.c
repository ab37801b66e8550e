/* semantics - call every entry point of the allocator with what is at the edges, and print what came back.
 *
 *   semantics [ROUNDS] [valid]
 *
 * Addresses differ from run to run, so only what must not is printed: NULL or not, alignment, errno, contents, whether
 * a block is large enough. Two runs, one of them under heapd, have to print the same. ROUNDS of random calls follow, of
 * which a checksum of the same observations is printed. With "valid", what the manual forbids or no machine has is left
 * out: not every allocator answers that without crashing.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRESET 0x5a5a /* of errno, before every call */

static const size_t sizes[] = { 0,
				1,
				7,
				8,
				15,
				16,
				17,
				24,
				25,
				63,
				64,
				65,
				127,
				128,
				1000,
				1024,
				4095,
				4096,
				4097,
				65535,
				65536,
				131071,
				131072,
				131073,
				1 << 20,
				(1 << 20) + 1,
				33 << 20,
				PTRDIFF_MAX - 64,
				PTRDIFF_MAX,
				(size_t)PTRDIFF_MAX + 1,
				SIZE_MAX - 64,
				SIZE_MAX - 1,
				SIZE_MAX };
static const size_t alignments[] = { 0, 1, 2, 3, 4, 8, 12, 16, 24, 32, 64, 100, 4096, 8192, 65536, SIZE_MAX };

static int valid_only;

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The compiler knows what malloc returns and would take many of these calls out. */
static void *(*volatile call_malloc)(size_t) = malloc;
static void *(*volatile call_calloc)(size_t, size_t) = calloc;
static void *(*volatile call_realloc)(void *, size_t) = realloc;
static void *(*volatile call_reallocarray)(void *, size_t, size_t) = reallocarray;
static int (*volatile call_posix_memalign)(void **, size_t, size_t) = posix_memalign;
static void *(*volatile call_aligned_alloc)(size_t, size_t) = aligned_alloc;
static void *(*volatile call_memalign)(size_t, size_t) = memalign;
static void *(*volatile call_valloc)(size_t) = valloc;
static void *(*volatile call_pvalloc)(size_t) = pvalloc;
static void (*volatile call_free)(void *) = free;

static unsigned
alignment_of(const void *p)
{
	unsigned bit = 0;

	while (p && bit < 16 && ((uintptr_t)p >> bit & 1) == 0)
		bit++;
	return bit < 4 ? bit : 4; /* more is luck */
}

/* What can be said of a fresh block; fills it. */
static void
show(const char *call, size_t a, size_t b, void *p, size_t size, size_t alignment)
{
	int error = errno;
	size_t usable = p ? malloc_usable_size(p) : 0;

	printf("%s(%zx, %zx): %s errno %x", call, a, b, p ? "block" : "NULL", (unsigned)error);
	if (p && size < (size_t)1 << 30) { /* some allocators promise what no machine has */
		printf(" alignment %u usable %s", alignment_of(p), usable >= size ? "enough" : "SHORT");
		if (alignment > 1 && (alignment & (alignment - 1)) == 0)
			printf(" aligned %d", (uintptr_t)p % alignment == 0);
		memset(p, 0xa5, size);
	}
	printf("\n");
}

static void
show_all(void)
{
	for (size_t i = 0; i < COUNT(sizes); i++) {
		size_t s = sizes[i];
		void *p;

		if (valid_only && s > (size_t)64 << 20)
			continue;
		errno = PRESET;
		p = call_malloc(s);
		show("malloc", s, 0, p, s, 16);
		errno = PRESET;
		call_free(p);
		printf("free errno %x\n", (unsigned)errno);
		errno = PRESET;
		p = call_valloc(s);
		show("valloc", s, 0, p, s, 4096);
		call_free(p);
		if (!valid_only) { /* jemalloc has none, so the C library's meets its free */
			errno = PRESET;
			p = call_pvalloc(s);
			show("pvalloc", s, 0, p, s, 4096);
			call_free(p);
		}
		for (size_t k = 0; k < COUNT(sizes); k += 3) {
			if (valid_only && (sizes[k] > SIZE_MAX / 2 || s * sizes[k] > (size_t)1 << 30))
				continue;
			errno = PRESET;
			p = call_calloc(s, sizes[k]);
			show("calloc", s, sizes[k], p, 0, 16);
			call_free(p);
			p = call_malloc(100);
			memset(p, 0x77, 100);
			errno = PRESET;
			void *q = call_reallocarray(p, s, sizes[k]);
			show("reallocarray", s, sizes[k], q, 0, 1);
			/* A product of 0 has freed p, a failure has not. */
			if (q)
				call_free(q);
			else if (s != 0 && sizes[k] != 0)
				call_free(p);
		}
		for (size_t k = 0; k < COUNT(alignments); k++) {
			size_t a = alignments[k];
			int r;

			p = (void *)&sizes;
			errno = PRESET;
			r = call_posix_memalign(&p, a, s);
			printf("posix_memalign(%zx, %zx): %d errno %x %s\n", a, s, r, (unsigned)errno,
			       p == (void *)&sizes ? "untouched"
			       : p                 ? "block"
						   : "NULL");
			if (r == 0) {
				printf("aligned %d\n", (uintptr_t)p % a == 0);
				call_free(p);
			}
			if (valid_only && (a < sizeof(void *) || (a & (a - 1)) != 0))
				continue;
			errno = PRESET;
			p = call_aligned_alloc(a, s);
			show("aligned_alloc", a, s, p, s, a);
			call_free(p);
			errno = PRESET;
			p = call_memalign(a, s);
			show("memalign", a, s, p, s, a);
			call_free(p);
		}
	}
}

/* realloc keeps contents, and the old block when it fails. */
static void
show_realloc(void)
{
	for (size_t i = 1; i < COUNT(sizes); i++) {
		for (size_t k = 0; k < COUNT(sizes); k++) {
			unsigned char *p, *q;
			size_t old = sizes[i], new = sizes[k], same = 0;

			if (old > 64 << 20 || (valid_only && new > 64 << 20))
				continue;
			p = call_malloc(old);
			for (size_t n = 0; n < old; n++)
				p[n] = (unsigned char)(n * 7);
			errno = PRESET;
			q = call_realloc(p, new);
			printf("realloc(%zx, %zx): %s errno %x", old, new, q ? "block" : "NULL", (unsigned)errno);
			if (!q && new == 0) {
				printf("\n");
				continue;
			}
			if (!q)
				q = p;
			while (same < old && same < (q == p && new > old ? old : new) &&
			       q[same] == (unsigned char)(same * 7))
				same++;
			printf(" kept %zx\n", same);
			call_free(q);
		}
	}
	errno = PRESET;
	call_free(NULL);
	printf("free(NULL) errno %x\n", (unsigned)errno);
	if (!valid_only)
		printf("usable(NULL) %zu\n", malloc_usable_size(NULL));
}

static uint64_t checksum = UINT64_C(0xcbf29ce484222325);

static void
observe(uint64_t what)
{
	checksum = (checksum ^ what) * UINT64_C(0x100000001b3);
}

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* A working set under random calls, each block holding a pattern that is checked when it goes. */
static void
churn(unsigned long rounds)
{
	static struct {
		unsigned char *p;
		size_t size;
		unsigned char mark;
	} blocks[512];
	uint64_t state = 88172645463325252u;

	for (unsigned long i = 0; i < rounds; i++) {
		uint64_t r = next_random(&state);
		size_t slot = r % COUNT(blocks), size = (r >> 16) % ((r >> 60) == 0 ? 300000 : 700);
		unsigned char *p = blocks[slot].p, *q = NULL;
		int error;

		for (size_t n = 0; p && n < blocks[slot].size; n += 97)
			observe(p[n] == blocks[slot].mark);
		errno = PRESET;
		switch ((r >> 40) % 9) {
		case 0:
		case 1:
			call_free(p);
			q = call_malloc(size);
			break;
		case 2:
			call_free(p);
			q = call_calloc(size / 8 + 1, 8);
			size = (size / 8 + 1) * 8;
			for (size_t n = 0; q && n < size; n++)
				observe(q[n]);
			break;
		case 3:
		case 4:
			q = call_realloc(p, size + 1);
			size += 1;
			for (size_t n = 0; p && n < blocks[slot].size && n < size; n += 31)
				observe(q[n] == blocks[slot].mark);
			break;
		case 5:
			call_free(p);
			error = call_posix_memalign((void **)&q, 64, size);
			observe((uint64_t)error);
			observe((uintptr_t)q % 64);
			break;
		case 6:
			call_free(p);
			q = call_aligned_alloc(256, size);
			observe((uintptr_t)q % 256);
			break;
		case 7:
			q = call_reallocarray(p, size + 1, SIZE_MAX / 2);
			observe(q != NULL);
			q = call_reallocarray(p, size / 4 + 1, 4);
			size = (size / 4 + 1) * 4;
			break;
		default:
			call_free(p);
			q = NULL;
			size = 0;
		}
		observe((uint64_t)errno);
		observe(q != NULL);
		blocks[slot].p = q;
		blocks[slot].size = q ? size : 0;
		blocks[slot].mark = (unsigned char)r;
		if (q)
			memset(q, blocks[slot].mark, size);
	}
	for (size_t slot = 0; slot < COUNT(blocks); slot++)
		call_free(blocks[slot].p);
}

int
main(int argc, char **argv)
{
	valid_only = argc > 2;
	call_free(call_malloc(1)); /* an allocator's own start-up may leave anything in errno */
	show_all();
	show_realloc();
	churn(argc > 1 ? strtoul(argv[1], NULL, 10) : 20000);
	printf("checksum %llx\n", (unsigned long long)checksum);
	return 0;
}
