/* plumbing.c - see plumbing.h. */
#include "plumbing.h"

#include <string.h>

static const char *const names[] = { "malloc", "calloc", "realloc" }; /* inlined forwarders, as in the loader */

/* None of their characters means anything else in a regular expression. */
static const struct {
	const char *begins;
	const char *ends; /* of those that call nothing of the program's; "": all of them */
} families[] = {
	{ "operator new", "" },
	{ "__gnu_cxx::new_allocator<", "::allocate" },
	{ "std::__new_allocator<", "::allocate" },
	{ "std::allocator_traits<", "::allocate" },
	{ "std::allocator<", "::allocate" },
	{ "std::__detail::_Hashtable_alloc<", "::_M_allocate_buckets" },
	{ "alloc::alloc::", "" },
	{ "<alloc::alloc::Global", "" },
	{ "__rust_alloc", "" },
	{ "__rdl_alloc", "" },
	{ "__rg_alloc", "" },
};

bool
plumbing_is(const char *function)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(function, names[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (strncmp(function, families[i].begins, strlen(families[i].begins)) == 0)
			return true;
	return false;
}

void
plumbing_add_pattern(struct text *to)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		text_printf(to, "%s%s", i > 0 ? "|" : "", names[i]);
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		text_printf(to, "|%s.*%s", families[i].begins, families[i].ends);
}
