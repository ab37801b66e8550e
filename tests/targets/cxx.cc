/* cxx - every form of operator new and delete, new-expressions, and the standard containers.
 *
 *   cxx [ROUNDS]                default 500
 *
 * Sizes for aligned forms are multiples of the alignment, because libstdc++ rounds others up before it asks malloc.
 */
#include "truth.h"

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <unordered_map>
#include <vector>

constexpr std::align_val_t aligned_64{ 64 };

SITE_FUNCTION(new_plain, ::operator new(size))
SITE_FUNCTION(new_array, ::operator new[](size))
SITE_FUNCTION(new_nothrow, ::operator new(size, std::nothrow))
SITE_FUNCTION(new_array_nothrow, ::operator new[](size, std::nothrow))
SITE_FUNCTION(new_aligned, ::operator new(size, aligned_64))
SITE_FUNCTION(new_array_aligned, ::operator new[](size, aligned_64))
SITE_FUNCTION(new_aligned_nothrow, ::operator new(size, aligned_64, std::nothrow))
SITE_FUNCTION(new_array_aligned_nothrow, ::operator new[](size, aligned_64, std::nothrow))

static size_t
not_a_constant(size_t n)
{
	static volatile size_t zero;

	return n + zero;
}

/* new must throw, nothrow new must not; neither counts, but the exception is a block for as long as it lives. */
SITE(new_fails)
SITE_CODE(new_fails) static void new_fails()
{
	bool thrown = false;

	site_new_fails.alloc_unknown = true;
	try {
		truth_made(&site_new_fails, ::operator new(not_a_constant(PTRDIFF_MAX)), PTRDIFF_MAX);
	} catch (const std::bad_alloc &) {
		thrown = true;
	}
	if (!thrown || ::operator new(not_a_constant(PTRDIFF_MAX), std::nothrow))
		abort();
}

struct plain {
	char bytes[40];
};
struct counted { /* its arrays carry a count in front */
	char bytes[40];
	counted()
	{
		memset(bytes, 1, sizeof(bytes));
	}
	~counted()
	{
		bytes[0] = 0;
	}
};
struct alignas(128) wide {
	char bytes[256];
};
struct virtual_base {
	virtual ~virtual_base() = default;
	long field = 1;
};
struct virtual_derived : virtual_base {
	long more[10] = {};
};

SITE(expressions)
SITE_CODE(expressions) static void expressions(bool keep)
{
	plain *one = new plain;
	plain *some = new plain[10];
	counted *more = new counted[10];
	wide *broad = new wide;
	virtual_base *base = new virtual_derived;
	size_t sizes[] = { sizeof(plain), 10 * sizeof(plain), 10 * sizeof(counted) + sizeof(size_t), sizeof(wide),
			   sizeof(virtual_derived) };

	truth_made(&site_expressions, one, sizes[0]);
	truth_made(&site_expressions, some, sizes[1]);
	truth_made(&site_expressions, more, sizes[2]);
	truth_made(&site_expressions, broad, sizes[3]);
	truth_made(&site_expressions, base, sizes[4]);
	asm volatile("" : : "r"(one), "r"(some), "r"(more), "r"(broad), "r"(base) : "memory");
	if (keep)
		return;
	for (size_t size : sizes)
		truth_gone(&site_expressions, size);
	delete one;
	delete[] some;
	delete[] more;
	delete broad;
	delete base;
}

/* Counts what a container asks std::allocator for. The container's own code is inlined or not as the compiler likes:
 * the site is whichever site function is on the stack. */
static truth_site *container_site;

template <typename T> struct counting {
	using value_type = T;
	counting() = default;
	template <typename U> counting(const counting<U> &)
	{
	}
	T *allocate(size_t n)
	{
		T *p = std::allocator<T>().allocate(n);
		truth_made(container_site, p, n * sizeof(T));
		return p;
	}
	void deallocate(T *p, size_t n)
	{
		truth_gone(container_site, n * sizeof(T));
		std::allocator<T>().deallocate(p, n);
	}
	bool operator==(const counting &) const
	{
		return true;
	}
	bool operator!=(const counting &) const
	{
		return false;
	}
};

using text = std::basic_string<char, std::char_traits<char>, counting<char>>;

/* Defines a site that fills a container and keeps it or not. */
#define CONTAINER(name, type, fill)                           \
	SITE(name)                                            \
	SITE_CODE(name) static void name(bool keep, int n)    \
	{                                                     \
		container_site = &site_##name;                \
		using made = type;                            \
		made *c = std::allocator<made>().allocate(1); \
		truth_made(&site_##name, c, sizeof(made));    \
		new (c) made;                                 \
		for (int i = 0; i < n; i++)                   \
			fill;                                 \
		asm volatile("" : : "r"(c) : "memory");       \
		if (keep)                                     \
			return;                               \
		c->~made();                                   \
		truth_gone(&site_##name, sizeof(made));       \
		std::allocator<made>().deallocate(c, 1);      \
	}

using int_vector = std::vector<int, counting<int>>;
using int_list = std::list<int, counting<int>>;
using int_deque = std::deque<int, counting<int>>;
using int_map = std::map<int, int, std::less<int>, counting<std::pair<const int, int>>>;
using int_hash = std::unordered_map<int, int, std::hash<int>, std::equal_to<int>, counting<std::pair<const int, int>>>;
using shared_vector = std::vector<std::shared_ptr<plain>, counting<std::shared_ptr<plain>>>;

CONTAINER(vector_growth, int_vector, c->push_back(i))
CONTAINER(list_nodes, int_list, c->push_back(i))
CONTAINER(deque_blocks, int_deque, c->push_front(i))
CONTAINER(map_nodes, int_map, (*c)[i * 7] = i)
CONTAINER(hash_nodes, int_hash, (*c)[i * 7] = i)
CONTAINER(string_growth, text, c->append("seventeen letters"))
CONTAINER(shared_pointers, shared_vector, c->push_back(std::allocate_shared<plain>(counting<plain>())))

/* One new in three stays; the others go through each form of delete that may match it. */
static void
operators(unsigned i)
{
	size_t size = 64 * (1 + i % 20);
	void *p;

#define FORM(name, delete_1, delete_2)          \
	p = name(size);                         \
	if (i % 3) {                            \
		truth_gone(&site_##name, size); \
		if (i % 3 == 1)                 \
			delete_1;               \
		else                            \
			delete_2;               \
	}
	FORM(new_plain, ::operator delete(p), ::operator delete(p, size))
	FORM(new_array, ::operator delete[](p), ::operator delete[](p, size))
	FORM(new_nothrow, ::operator delete(p, std::nothrow), ::operator delete(p))
	FORM(new_array_nothrow, ::operator delete[](p, std::nothrow), ::operator delete[](p))
	FORM(new_aligned, ::operator delete(p, aligned_64), ::operator delete(p, size, aligned_64))
	FORM(new_array_aligned, ::operator delete[](p, aligned_64), ::operator delete[](p, size, aligned_64))
	FORM(new_aligned_nothrow, ::operator delete(p, aligned_64, std::nothrow), ::operator delete(p, aligned_64))
	FORM(new_array_aligned_nothrow, ::operator delete[](p, aligned_64, std::nothrow),
	     ::operator delete[](p, aligned_64))
#undef FORM
	::operator delete(nullptr);
}

int
main(int argc, char **argv)
{
	uint64_t n = 500;

	truth_begin(argc, argv, &n, 1);
	for (unsigned i = 0; i < n; i++) {
		bool keep = i % 4 == 0;
		int items = 1 + (int)i % 50;

		operators(i);
		new_fails();
		expressions(keep);
		vector_growth(keep, items);
		list_nodes(keep, items);
		deque_blocks(keep, items);
		map_nodes(keep, items);
		hash_nodes(keep, items);
		string_growth(keep, items);
		shared_pointers(keep, items);
	}
	truth_end();
	return 0;
}
