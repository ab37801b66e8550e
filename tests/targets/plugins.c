/* plugins - allocations by libraries that are unloaded again, one often at the address another had before.
 *
 *   plugins [ROUNDS [BLOCKS]]           default 10, 200
 *
 * Expects plugin_one.so and plugin_two.so in its own directory.
 */
#include "plugin.h"
#include "truth.h"

#include <dlfcn.h>

static void *(*pass)(size_t size);

SITE_FUNCTION(through_one, pass(size))
SITE_FUNCTION(through_two, pass(size))

/* The libraries' sites outlive them here. A library that comes back elsewhere gets a new site. */
static struct truth_site remembered[32];
static size_t n_remembered;

static struct truth_site *
remember(const struct truth_site *site)
{
	struct truth_site *r = remembered;

	for (; r < remembered + n_remembered; r++)
		if (r->start == site->start && strcmp(r->module, site->module) == 0)
			return r;
	if (n_remembered == sizeof(remembered) / sizeof(*remembered))
		abort();
	n_remembered++;
	*r = *site;
	r->next = NULL;
	r->kept = NULL;
	r->alloc_objects = r->alloc_bytes = 0;
	r->name = strdup(site->name);
	r->module = strdup(site->module);
	truth_add(r);
	return r;
}

static void
use(const char *file, void *(*through)(size_t size), struct truth_site *through_site, uint64_t blocks)
{
	void *library = dlopen(file, RTLD_NOW);
	const struct plugin *plugin;
	struct truth_site *site;

	if (!library || !(plugin = (const struct plugin *)dlsym(library, "plugin"))) {
		fprintf(stderr, "plugins: %s\n", dlerror());
		exit(1);
	}
	site = remember(plugin->site);
	pass = plugin->pass;
	for (uint64_t i = 0; i < blocks; i++) {
		size_t size = 40 + i % 60;
		void *p = plugin->allocate(size);

		truth_made(site, p, size);
		truth_keep(site, p, size);
		if (i % 3 == 0)
			truth_free_kept(site);
		truth_keep(through_site, through(size), size);
		if (i % 4 == 0)
			truth_free_kept(through_site);
	}
	dlclose(library);
}

int
main(int argc, char **argv)
{
	uint64_t values[] = { 10, 200 };

	truth_begin(argc, argv, values, 2);
	for (uint64_t i = 0; i < values[0]; i++) {
		use("plugin_one.so", through_one, &site_through_one, values[1]);
		use("plugin_two.so", through_two, &site_through_two, values[1]);
	}
	truth_end();
	return 0;
}
