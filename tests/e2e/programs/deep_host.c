/* deep_host PLUGIN FLAGS: load a plugin with these flags for dlopen, let it work, let it clean up. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
	void *plugin = argc == 3 ? dlopen(argv[1], atoi(argv[2])) : NULL;
	void (*work)(int), (*finish)(void);

	if (!plugin) {
		puts(dlerror());
		return 1;
	}
	*(void **)&work = dlsym(plugin, "work");
	*(void **)&finish = dlsym(plugin, "finish");
	work(1000);
	finish();
	puts("finished");
	return 0;
}
