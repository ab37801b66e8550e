// unwind_shapes.cc - the shapes C++ adds: virtual calls, destructors, exceptions in flight, callbacks from templates.
#include <algorithm>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

extern "C" int SHAPES(void (*end)(void));

namespace
{

struct shape {
	virtual ~shape() = default;
	virtual int area(int n) = 0;
};

struct guard {
	void (*end)(void);
	~guard()
	{
		end();
	}
};

struct square : shape {
	void (*end)(void);
	std::string name = "a name that does not fit inside the string itself";

	explicit square(void (*e)(void)) : end(e)
	{
	}
	__attribute__((noinline)) int area(int n) override
	{
		guard g{ end };
		if (n > 0)
			throw std::runtime_error(name);
		return n;
	}
};

template <typename F>
__attribute__((noinline)) int
apply(F f, int n)
{
	std::map<std::string, int> seen{ { "one", 1 }, { "two", 2 } };
	int sum = 0;
	std::for_each(seen.begin(), seen.end(), [&](auto &entry) { sum += f(entry.second + n); });
	return sum;
}

} // namespace

extern "C" int
SHAPES(void (*end)(void))
{
	std::vector<int> numbers{ 5, 3, 4, 1, 2, 9, 8, 7, 6, 10, 12, 11, 15, 14, 13, 20, 19, 18, 17, 16 };
	square object(end);
	shape *s = &object;
	std::function<int(int)> call = [&](int n) {
		try {
			return s->area(n);
		} catch (const std::exception &e) {
			end();
			return static_cast<int>(std::string(e.what()).size());
		}
	};
	bool once = true;

	std::sort(numbers.begin(), numbers.end(), [&](int a, int b) {
		if (once) {
			once = false;
			apply(call, 3);
			end();
		}
		return a < b;
	});
	return numbers[0] == 1;
}
