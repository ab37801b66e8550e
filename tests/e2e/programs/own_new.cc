// Counts in an operator new of its own, while the allocator underneath has one, too.
#include <cstdio>
#include <cstdlib>
#include <new>

static int used;

void *
operator new(size_t n)
{
	used++;
	return malloc(n);
}

void
operator delete(void *p) noexcept
{
	free(p);
}

void
operator delete(void *p, size_t) noexcept
{
	free(p);
}

int
main()
{
	int before = used;

	for (int i = 0; i < 10; i++) {
		int *p = new int;

		__asm__ volatile("" : : "r"(p) : "memory");
		delete p;
	}
	std::printf("own operator new: %d times\n", used - before);
}
