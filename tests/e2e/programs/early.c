/* early - code that allocates before the sampler has started, in every place the loader has for that: as a program
 * (-DPROGRAM) in the resolver of an indirect function, in preinit_array and in the earliest constructor, as a library to be
 * preloaded (-DLIBRARY) in a constructor that also asks for names which nobody has, and (-DDLSYM) in a dlsym of its own,
 * which comes to allocate while the sampler asks for the allocator's functions, after FROM of them.
 *
 * Blocks stay until main, which resizes and frees them and prints "done".
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Checks what can be said of early blocks, and keeps some. */
#define KEPT 64
__attribute__((visibility("hidden"))) void *volatile kept[KEPT];
static unsigned n_kept;

static void
keep(void *p, size_t size)
{
	if (!p || n_kept == KEPT)
		abort();
	memset(p, 0x5a, size);
	kept[n_kept++] = p;
}

static void *(*volatile call_malloc)(size_t) = malloc;

__attribute__((noinline)) static void
early(size_t large)
{
	void *p;
	char *text;

	keep(malloc(100), 100);
	keep(calloc(10, 30), 300);
	keep(realloc(malloc(20), 200), 200);
	keep(aligned_alloc(64, 128), 128);
	if (posix_memalign(&p, 256, 512) != 0 || (uintptr_t)p % 256 != 0)
		abort();
	keep(p, 512);
	free(malloc(50));
	text = strdup("a copy");
	if (malloc_usable_size(text) < 7)
		abort();
	free(text);
	errno = 0;
	if (call_malloc(SIZE_MAX) || errno != ENOMEM)
		abort();
	p = malloc(large);
	if (p)
		memset(p, 1, large);
	free(p);
}

static void
late(void)
{
	for (unsigned i = 0; i < n_kept; i++) {
		unsigned char *p = kept[i];

		for (int k = 0; k < 100; k++)
			if (p[k] != 0x5a)
				abort();
		if (malloc_usable_size(p) < 100)
			abort();
		p = realloc(p, 5000);
		for (int k = 0; k < 100; k++)
			if (!p || p[k] != 0x5a)
				abort();
		free(p);
	}
}

#if defined(PROGRAM)
static int
one(void)
{
	return 1;
}

/* Stands alone: nothing of the program is relocated yet. */
static int (*resolve(void))(void)
{
	void *volatile p = malloc(300), *volatile q = calloc(3, 40);

	free(p);
	free(q);
	return one;
}
static int indirect(void) __attribute__((ifunc("resolve")));

static void
preinit(void)
{
	early(1 << 20);
}
__attribute__((section(".preinit_array"), used)) static void (*const preinit_entry)(void) = preinit;

__attribute__((constructor(101))) static void
first(void)
{
	early(1 << 20);
}

__attribute__((noinline)) static void
keep_in_main(void)
{
	for (int i = 0; i < 1000; i++) {
		void *volatile p = malloc(777);

		(void)p;
	}
}

int
main(void)
{
	late();
	keep_in_main();
	puts(indirect() ? "done" : "wrong");
	return 0;
}
#elif defined(LIBRARY)
__attribute__((constructor)) static void
first(void)
{
	early(1 << 20);
	for (int i = 0; i < 100; i++) {
		if (dlsym(RTLD_NEXT, "a_name_that_nobody_has") || dlsym(RTLD_DEFAULT, "nor_this"))
			abort();
		if (i % 3 == 0 && !dlerror())
			abort();
	}
	late();
}
#elif defined(DLSYM)
void *
dlsym(void *handle, const char *name)
{
	static void *(*real)(void *, const char *);
	static int inside;
	static unsigned calls;
	void *found;

	if (!real)
		real = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", VERSION);
	if (inside++ == 0 && ++calls > FROM && calls <= FROM + 8)
		early(1 << 20);
	found = real(handle, name);
	inside--; /* no tail call: "next" is next to us */
	return found;
}

__attribute__((destructor)) static void
last(void)
{
	late();
	puts("resolved");
	fflush(stdout);
}
#endif
