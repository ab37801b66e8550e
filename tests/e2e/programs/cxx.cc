// cxx.cc - operator new in several forms, on whatever allocator is linked: an allocator's own new need not call malloc.
#include "allocators.h"

#include <new>

struct alignas(128) Wide {
	char bytes[256];
};

SITE static void
keep_new()
{
	use(new char[500], 500);
}

SITE static void
keep_nothrow()
{
	use(new (std::nothrow) char[600], 600);
}

SITE static void
keep_wide()
{
	use(new Wide, sizeof(Wide));
}

SITE static void
give_back()
{
	char *p = new char[900];
	use(p, 900);
	delete[] p;
	Wide *w = new Wide;
	use(w, sizeof(Wide));
	delete w;
}

int
main()
{
	for (int i = 0; i < COUNT; i++) {
		keep_new();
		keep_nothrow();
		keep_wide();
		give_back();
	}
	printf("done\n");
	return 0;
}
