/* plugin - a shared library of the target `plugins`; built twice, with PLUGIN = plugin_one and plugin_two.
 *
 * Both have the same code at the same offsets but for the size of a stack frame. If the second is loaded where the first
 * was, its return addresses are the same and their unwind rows are not: a profiler that forgot to forget gets lost here.
 */
#include "plugin.h"
#include "truth.h"

#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define ALLOCATE PASTE(PLUGIN, allocate)
#define PASS PASTE(PLUGIN, pass)
#define SITE_FUNCTION_(name, call) SITE_FUNCTION(name, call)
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

SITE_FUNCTION_(ALLOCATE, malloc(size))

/* No site: the caller's is the one that counts. */
TRUTH_ALONE static void *
PASS(size_t size)
{
	volatile char room[PLUGIN_FRAME];
	void *p;

	room[0] = (char)size;
	p = malloc(size);
	room[PLUGIN_FRAME - 1] = room[0];
	return p;
}

extern const struct plugin plugin;
const struct plugin plugin = { ALLOCATE, PASS, &PASTE(site, ALLOCATE) };

__attribute__((constructor)) static void
name_module(void)
{
	PASTE(site, ALLOCATE).module = TEXT(PLUGIN) ".so";
}
