/* Keeps ten blocks that it tried in vain to make larger, and never touches them again. */
#include <stdint.h>
#include <stdlib.h>

static void *kept[10];
static volatile size_t too_much = SIZE_MAX / 2 + 5, more_than_there_is = (size_t)1 << 46;

__attribute__((noinline)) static void *
keep(void)
{
	void *p = malloc(100000);

	__asm__ volatile("" : "+r"(p));
	return p;
}

int
main(void)
{
	for (int i = 0; i < 10; i++) {
		kept[i] = keep();
		if (realloc(kept[i], more_than_there_is) || realloc(kept[i], too_much) ||
		    reallocarray(kept[i], too_much, 4))
			return 1;
	}
	return 0;
}
