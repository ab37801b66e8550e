/* plugin.h - what the target `plugins` finds in its libraries under the name `plugin`. */
#ifndef HEAPD_PLUGIN_H
#define HEAPD_PLUGIN_H

#include <stddef.h>

struct truth_site;

struct plugin {
	void *(*allocate)(size_t size); /* a site of its own */
	void *(*pass)(size_t size); /* allocates on behalf of its caller */
	struct truth_site *site; /* of allocate; gone after dlclose */
};

#endif
