/* attached THREADS PLUGIN - a service in small that is attached to while it works. Its threads allocate and free all the time and
 * insist on errno. Says "ready"; a line on stdin makes it do what is counted, and say "done"; the end of stdin ends it. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *(*const table[])(size_t size) = { malloc };
static void *old[1000], *kept[1000];
static const char *volatile text = "sixteen letters.";

static void *
churn(void *argument)
{
	unsigned seed = (unsigned)(size_t)argument;
	void *blocks[64] = { 0 };

	for (;;) {
		unsigned i = (seed = seed * 1103515245 + 12345) >> 16 & 63;

		errno = 4242;
		free(blocks[i]);
		blocks[i] = malloc(16 + (seed >> 20 & 1023));
		if (!blocks[i] || errno != 4242)
			abort();
		memset(blocks[i], 1, 16);
	}
	return NULL;
}

__attribute__((noinline)) void
keep_malloc(void)
{
	for (int i = 0; i < 1000; i++)
		kept[i] = malloc(1000);
}

__attribute__((noinline)) void
keep_by_table(void)
{
	for (int i = 0; i < 1000; i++)
		*(void *volatile *)&kept[i] = table[0](500);
}

__attribute__((noinline)) void
keep_copies(void)
{
	for (int i = 0; i < 1000; i++)
		kept[i] = strdup(text);
}

__attribute__((noinline)) void
grow_old_ones(void)
{
	for (int i = 0; i < 500; i++)
		old[i] = realloc(old[i], 3000);
}

__attribute__((noinline)) void
free_old_ones(void)
{
	for (int i = 500; i < 1000; i++)
		free(old[i]);
}

int
main(int argc, char **argv)
{
	char line[16];

	if (argc < 3)
		return 2;
	for (int i = 0; i < 1000; i++)
		old[i] = malloc(100);
	for (int i = 0; i < atoi(argv[1]); i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, churn, (void *)(size_t)i) != 0)
			return 1;
	}
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		void *plugin = dlopen(argv[2], RTLD_LAZY);
		void (*work)(void);

		if (!plugin)
			return 1;
		*(void **)&work = dlsym(plugin, "work");
		keep_malloc();
		keep_by_table();
		keep_copies();
		grow_old_ones();
		free_old_ones();
		work();
		printf("done\n");
		fflush(stdout);
	}
	return 0;
}
