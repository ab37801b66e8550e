// inlines.cc - templates of the library, inlined into each other many times over; waits for the end of its input.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

#include <stdio.h>

struct Base {
	virtual ~Base()
	{
	}
	virtual int go(int) = 0;
};

template <int N> struct Derived : Base {
	std::vector<int> numbers;

	explicit Derived(int n) : numbers(static_cast<size_t>(n * N))
	{
	}
	int go(int k) override
	{
		std::function<int(int)> f = [this, k](int z) {
			numbers.push_back(z + k);
			std::string s(static_cast<size_t>(z % 100 + 20), 'c');
			return static_cast<int>(s.size() + numbers.size());
		};
		return f(k);
	}
};

int
main()
{
	std::vector<std::unique_ptr<Base>> all;
	std::unordered_map<std::string, std::map<int, std::string>> maps;
	std::vector<std::string> keys;
	std::ostringstream out;
	long total = 0;

	for (int i = 0; i < 300; i++) {
		switch (i % 3) {
		case 0:
			all.emplace_back(new Derived<1>(i % 50 + 1));
			break;
		case 1:
			all.emplace_back(new Derived<2>(i % 50 + 1));
			break;
		default:
			all.emplace_back(new Derived<3>(i % 50 + 1));
		}
		total += all.back()->go(i);
		maps["key" + std::to_string(i % 100) + "long long long"][i] = std::string(30, 'z');
	}
	for (auto &e : maps)
		for (auto &f : e.second)
			out << e.first << f.first;
	for (auto &e : maps)
		keys.push_back(e.first + "x");
	std::sort(keys.begin(), keys.end());
	printf("ready %ld %zu\n", total, out.str().size());
	fflush(stdout);
	(void)getchar();
}
