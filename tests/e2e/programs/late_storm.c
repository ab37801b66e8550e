/* Threads that load plugins, ask for their function, use it and unload them again, each its own files (argv: the files), so often. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 4
#define ROUNDS 300

typedef void work(char **made, int n);

static char **files;
static int n_files;

static void *
storm(void *closure)
{
	size_t me = (size_t)closure;

	for (int round = 0; round < ROUNDS; round++) {
		void *plugin = dlopen(files[(me + THREADS * (size_t)round) % (size_t)n_files],
				      round % 2 ? RTLD_NOW : RTLD_LAZY);
		work *function = plugin ? (work *)dlsym(plugin, "plugin_work") : NULL;

		if (!function) {
			fprintf(stderr, "%s\n", dlerror());
			exit(1);
		}
		function(NULL, 0);
		dlclose(plugin);
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	files = argv + 1;
	n_files = argc - 1;
	for (size_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, storm, (void *)i) != 0)
			return 1;
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	puts("done");
	return 0;
}
