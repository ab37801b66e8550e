/* mimalloc's functions called through pointers that the loader put into data. */
#include <mimalloc.h>
#include <stddef.h>

static struct functions {
	void *(*allocate)(size_t size);
	void *(*resize)(void *block, size_t size);
	void (*release)(void *block);
} functions = { mi_malloc, mi_realloc, mi_free };

static struct functions *volatile table = &functions;
static void *volatile kept[100];

__attribute__((noinline)) void
keep_by_table(void)
{
	for (int i = 0; i < 100; i++)
		kept[i] = table->resize(table->allocate(10000), 20000);
}

__attribute__((noinline)) void
give_back(void)
{
	for (int i = 0; i < 100; i++) {
		void *volatile block = mi_malloc(5000);
		table->release(block);
	}
}

int
main(void)
{
	keep_by_table();
	give_back();
	return 0;
}
