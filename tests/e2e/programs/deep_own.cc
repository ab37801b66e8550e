// A plugin in C++ for deep_host whose operator new puts a mark before each block, and whose delete insists on it.
#include <cstdlib>
#include <cstring>
#include <new>

void *
operator new(size_t size)
{
	char *block = static_cast<char *>(malloc(size + 16));

	memset(block, 0xab, 16);
	return block + 16;
}

void
operator delete(void *block) noexcept
{
	char *start = static_cast<char *>(block) - 16;

	for (int i = 0; block && i < 16; i++)
		if (static_cast<unsigned char>(start[i]) != 0xab)
			abort();
	free(block ? start : nullptr);
}

void
operator delete(void *block, size_t) noexcept
{
	operator delete(block);
}

struct thing {
	int numbers[20];
};
static thing *made_while_loading = new thing;

extern "C" void
work(int n)
{
	for (int i = 0; i < n; i++) {
		thing *volatile t = new thing;
		delete t;
	}
}

extern "C" void
finish()
{
	delete made_while_loading;
}
