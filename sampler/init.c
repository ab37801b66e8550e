/* init.c - what is better done before the program's main than in its first allocation. */
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

#include "dynamic.h"
#include "extensions.h"
#include "loader.h"
#include "options.h"
#include "patch.h"
#include "process.h"
#include "real.h"
#include "sample.h"
#include "thread.h"

/* A sanitizer keeps books of its own and insists on its own order: step aside. */
static void
look_for_sanitizers(void)
{
	static const char *const signs[] = { "__asan_init", "__tsan_init", "__msan_init", "__lsan_init" };

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (dynamic_defined(signs[i]))
			process_refuse();
	}
}

__attribute__((constructor)) static void
init(void)
{
	real_resolve();
	thread_start();
	if (!dynamic_is_late())
		options_get(); /* while there is one thread: others would not be sampled meanwhile */
	thread_self.quiet++;
	look_for_sanitizers();
	if (!dynamic_is_late() && extensions_find()) {
		loader_find();
		patch_start((void *)(uintptr_t)real.malloc, false);
	}
	dlsym(RTLD_DEFAULT, "malloc"); /* a name that is there: see real.c */
	pthread_atfork(sample_before_fork, NULL, sample_after_fork);
	thread_self.quiet--;
}
