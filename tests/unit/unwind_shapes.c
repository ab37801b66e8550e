/* unwind_shapes.c - frames of the shapes compilers make, one in another; built at several levels, as SHAPES each time. */
#include <alloca.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int SHAPES(void (*end)(void));

static _Thread_local void (*at_end)(void);

__attribute__((noinline)) static int
plain(int n)
{
	at_end();
	return n + 1;
}

__attribute__((noinline)) static int
large(int n)
{
	volatile char room[70000];

	room[0] = room[69999] = (char)n;
	return plain(room[0]) + room[69999];
}

__attribute__((noinline)) static int
sized_at_run_time(int n)
{
	volatile char *room = alloca((size_t)n * 100);

	room[0] = (char)n;
	return large(room[0]) + room[0];
}

__attribute__((noinline)) static int
aligned(int n)
{
	_Alignas(128) volatile char room[256];

	room[0] = (char)n;
	return sized_at_run_time(room[0]) + room[0];
}

__attribute__((noinline)) static int
aligned_and_sized(int n)
{
	_Alignas(64) volatile char room[64];
	volatile char *more = alloca((size_t)n * 40);

	room[0] = more[0] = (char)n;
	return aligned(room[0]) + more[0];
}

__attribute__((noinline)) static int
variadic(int n, ...)
{
	va_list args;
	int sum = 0;

	va_start(args, n);
	for (int i = 0; i < n; i++)
		sum += va_arg(args, int);
	va_end(args);
	return aligned_and_sized(n) + sum;
}

static int
compare(const void *a, const void *b)
{
	static _Thread_local int inside;
	int order = *(const int *)a - *(const int *)b;

	if (!inside) {
		inside = 1;
		order += variadic(9, 0, 0, 0, 0, 0, 0, 0, 0, 0) * 0;
		inside = 0;
	}
	return order;
}

__attribute__((noinline)) static int
many_registers(int a, int b, int c, int d, int e, int f, int g, int h)
{
	int numbers[5] = { a + h, b * g, c - f, d ^ e, a };

	qsort(numbers, 5, sizeof(numbers[0]), compare);
	return a + b * c - d + e * f - g + h + numbers[0];
}

static int
found(const void *key, const void *item)
{
	return many_registers(1, 2, 3, 4, 5, 6, 7, *(const int *)key) * 0 + *(const int *)key - *(const int *)item;
}

struct wide {
	long words[12];
};

__attribute__((noinline)) static struct wide
by_value(struct wide w, int depth)
{
	const int numbers[3] = { 1, 2, 3 };

	w.words[depth] += depth;
	if (depth > 0)
		w = by_value(w, depth - 1);
	else if (bsearch(&numbers[1], numbers, 3, sizeof(numbers[0]), found))
		w.words[11]++;
	return w;
}

int
SHAPES(void (*end)(void))
{
	struct wide w;

	memset(&w, 0, sizeof(w));
	at_end = end;
	w = by_value(w, 5);
	return (int)w.words[11];
}
