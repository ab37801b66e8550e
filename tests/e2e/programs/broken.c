/* broken - misuses the allocator in the way that its argument names; the C library notices and ends it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a compiler must not know. */
static void *(*volatile get)(size_t) = malloc;
static void *(*volatile resize)(void *, size_t) = realloc;
static void (*volatile give)(void *) = free;

int
main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	char *p = get(100), *q = get(100), on_stack[256] __attribute__((aligned(16))) = { 0 };

	if (!p || !q)
		return 1;
	setvbuf(stdout, NULL, _IONBF, 0);
	puts("begin");
	if (strcmp(how, "twice") == 0) {
		give(p);
		give(p);
	} else if (strcmp(how, "inside") == 0) {
		give(p + 8);
	} else if (strcmp(how, "stack") == 0) {
		give(on_stack + 16);
	} else if (strcmp(how, "resize-stack") == 0) {
		q = resize(on_stack + 16, 1000);
	} else if (strcmp(how, "resize-freed") == 0) {
		for (int i = 0; i < 20; i++)
			get(5000);
		q = get(5000);
		get(5000);
		give(q);
		q = resize(q, 10000);
	} else if (strcmp(how, "overrun") == 0) {
		memset(p, 0xff, 120);
		give(q);
	} else if (strcmp(how, "top") == 0) {
		q = get(2000);
		memset(q, 0xff, 2040);
		q = get(4000000 / 32);
	} else if (strcmp(how, "far") == 0) {
		give((void *)(uintptr_t)0x123450);
	} else if (strcmp(how, "large-twice") == 0) {
		q = get(10 << 20);
		give(q);
		give(q);
	}
	puts("end");
	return 0;
}
