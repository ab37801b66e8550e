// symbols_names.cc - C++ functions whose names are hard: templates, operators, lambdas, and functions the linker never
// sees. As symbols_inline.c, it prints marks and waits for its input to end.
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <string>
#include <unistd.h>
#include <vector>

extern char __executable_start[];
volatile int symbols_sink;

__attribute__((noinline)) static void
mark(const char *name)
{
	printf("%s %" PRIxPTR "\n", name,
	       reinterpret_cast<uintptr_t>(__builtin_return_address(0)) -
		       reinterpret_cast<uintptr_t>(__executable_start));
	symbols_sink = symbols_sink + 1;
}

namespace zoo
{
template <typename T> struct Cage {
	__attribute__((noinline)) void put(const T &)
	{
		mark("template");
		symbols_sink = symbols_sink + 1;
	}
	__attribute__((noinline)) Cage &operator+=(int)
	{
		mark("operator");
		symbols_sink = symbols_sink + 1;
		return *this;
	}
};

namespace
{
inline __attribute__((always_inline)) void
hidden_inlined()
{
	mark("hidden");
	symbols_sink = symbols_sink + 1;
}

__attribute__((noinline)) void
hidden()
{
	hidden_inlined();
	symbols_sink = symbols_sink + 1;
}
} // namespace

void
visit()
{
	hidden();
}
} // namespace zoo

__attribute__((noinline)) static void
file_local(int n)
{
	mark("static");
	symbols_sink = symbols_sink + n;
}

template <typename F>
__attribute__((noinline)) void
call(F f)
{
	f();
	symbols_sink = symbols_sink + 1;
}

int
main()
{
	zoo::Cage<std::vector<int>> cage;
	char byte;

	cage.put({ 1 });
	cage += 1;
	zoo::visit();
	file_local(2);
	call([]() __attribute__((noinline)) {
		mark("lambda");
		symbols_sink = symbols_sink + 1;
	});
	puts("ready");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
