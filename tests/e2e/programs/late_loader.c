/* A library that loads the plugin by its name alone, which only this library's RUNPATH leads to. */
#include <dlfcn.h>

typedef void work(char **made, int n);

work *
late_load(void)
{
	void *plugin = dlopen("liblate.so", RTLD_LAZY);

	return plugin ? (work *)dlsym(plugin, "plugin_work") : 0;
}
