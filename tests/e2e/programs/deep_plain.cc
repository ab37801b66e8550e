// A plugin in C++ for deep_host, with what is made while it is loaded, and no operators of its own.
#include <string>
#include <vector>

static std::string banner = [] {
	std::string s;
	for (int i = 0; i < 100; i++)
		s += "loading ";
	return s;
}();
static std::vector<int> *table = new std::vector<int>(1000);

extern "C" void
work(int n)
{
	for (int i = 0; i < n; i++)
		banner += "x";
}

extern "C" void
finish()
{
	delete table;
	std::string().swap(banner);
}
