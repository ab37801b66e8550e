/* deepbind - a program and a plugin (-DPLUGIN) loaded with RTLD_DEEPBIND, whose malloc and free are the C library's own and no
 * preload's. Each frees what the other got. Prints "done". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 1000

struct plugin {
	char *(*make)(const char *text);
	void *(*resize)(void *block, size_t size);
	void (*release)(void *block);
};

#if defined(PLUGIN)
static void *
resize(void *block, size_t size)
{
	return realloc(block, size);
}

static void
release(void *block)
{
	free(block);
}

static char *
make(const char *text)
{
	char *copy = malloc(strlen(text) + 1);

	return copy ? strcpy(copy, text) : NULL;
}

const struct plugin plugin = { make, resize, release };
#else
__attribute__((noinline)) static char *
host_copies(void)
{
	char *p = strdup("what the program copied");

	if (!p)
		abort();
	return p;
}

int
main(int argc, char **argv)
{
	void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND) : NULL;
	const struct plugin *plugin = library ? (const struct plugin *)dlsym(library, "plugin") : NULL;

	if (!plugin) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	for (int i = 0; i < ROUNDS; i++) {
		char *mine = host_copies(), *theirs = plugin->make("what the plugin copied");

		if (strcmp(mine, "what the program copied") != 0 || strcmp(theirs, "what the plugin copied") != 0)
			abort();
		if (i % 2)
			mine = plugin->resize(mine, 200);
		if (i % 3 == 0)
			theirs = realloc(theirs, 300);
		plugin->release(mine);
		free(theirs);
	}
	for (int i = 0; i < ROUNDS; i++)
		free(host_copies());
	puts("done");
	return 0;
}
#endif
