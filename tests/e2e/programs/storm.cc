/* storm - threads that load and unload plugins (argv: the files), threads that allocate, and threads that throw through
 * several frames, all at once until the first have done so many rounds. Prints "done". */
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <string>
#include <thread>
#include <vector>

typedef void work(char **made, int n);

static std::atomic<bool> done;
static std::atomic<long> thrown;

static void
load(const std::vector<std::string> &files, size_t me, int rounds)
{
	for (int round = 0; round < rounds; round++) {
		void *plugin = dlopen(files[(me + 4 * (size_t)round) % files.size()].c_str(),
				      round % 2 ? RTLD_NOW : RTLD_LAZY);
		work *function = plugin ? (work *)dlsym(plugin, "plugin_work") : nullptr;

		if (!function) {
			fprintf(stderr, "%s\n", dlerror());
			_Exit(1);
		}
		function(nullptr, 0);
		dlclose(plugin);
	}
}

static void
allocate()
{
	std::vector<void *> blocks(100);

	for (unsigned i = 0; !done; i++) {
		void *&b = blocks[i % blocks.size()];

		free(b);
		b = malloc(i % 400);
	}
	for (void *b : blocks)
		free(b);
}

struct guard {
	std::string text = "longer than what fits into the string itself";
	~guard()
	{
		thrown += text.size() == 0;
	}
};

__attribute__((noinline)) static void
throw_deep(int n)
{
	guard g;

	if (n == 0)
		throw std::string("a string that is too long to lie within");
	throw_deep(n - 1);
	asm volatile("");
}

static void
raise()
{
	while (!done) {
		try {
			throw_deep(20);
		} catch (const std::string &) {
			thrown++;
		}
	}
}

int
main(int argc, char **argv)
{
	std::vector<std::string> files(argv + 2, argv + argc);
	std::vector<std::thread> loaders, others;

	for (int i = 0; i < 4; i++)
		others.emplace_back(allocate);
	for (int i = 0; i < 2; i++)
		others.emplace_back(raise);
	for (size_t i = 0; i < 4; i++)
		loaders.emplace_back(load, std::cref(files), i, atoi(argv[1]));
	for (auto &t : loaders)
		t.join();
	while (thrown < 100)
		std::this_thread::yield();
	done = true;
	for (auto &t : others)
		t.join();
	puts("done");
	return 0;
}
