/* test.h - the whole test framework: TEST("...") bodies that run in order, checks that say what they saw.
 *
 * A test program prints one line a test, "ok NAME" or "not ok NAME", with the failed checks above it as "# " lines, and
 * ends with 1 if one failed. Include it in exactly one file of the program. With arguments, only tests whose name
 * contains one of them run.
 */
#ifndef HEAPD_TEST_H
#define HEAPD_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct test {
	const char *name;
	void (*run)(void);
	struct test *next;
};

static struct test *test_first, **test_end = &test_first;
static bool test_failed;

#define TEST(sentence)                                                       \
	static void test_##sentence(void);                                   \
	__attribute__((constructor)) static void test_add_##sentence(void)   \
	{                                                                    \
		static struct test t = { #sentence, test_##sentence, NULL }; \
		*test_end = &t;                                              \
		test_end = &t.next;                                          \
	}                                                                    \
	static void test_##sentence(void)

#define CHECK(condition)                                                                  \
	do {                                                                              \
		if (!(condition)) {                                                       \
			printf("# %s:%d: %s is false\n", __FILE__, __LINE__, #condition); \
			test_failed = true;                                               \
		}                                                                         \
	} while (0)

#define CHECK_EQ(want, got)                                                                               \
	do {                                                                                              \
		long long want_ = (long long)(want), got_ = (long long)(got);                             \
		if (want_ != got_) {                                                                      \
			printf("# %s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #got, got_, want_); \
			test_failed = true;                                                               \
		}                                                                                         \
	} while (0)

#define CHECK_STR(want, got)                                                                                          \
	do {                                                                                                          \
		const char *want_ = (want), *got_ = (got);                                                            \
		if (!got_ || strcmp(want_, got_) != 0) {                                                              \
			printf("# %s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #got, got_ ? got_ : "NULL", \
			       want_);                                                                                \
			test_failed = true;                                                                           \
		}                                                                                                     \
	} while (0)

#define CHECK_NEAR(want, got, tolerance)                                                                               \
	do {                                                                                                           \
		double want_ = (want), got_ = (got), tolerance_ = (tolerance);                                         \
		if (!(got_ >= want_ - tolerance_ && got_ <= want_ + tolerance_)) {                                     \
			printf("# %s:%d: %s is %g, not within %g of %g\n", __FILE__, __LINE__, #got, got_, tolerance_, \
			       want_);                                                                                 \
			test_failed = true;                                                                            \
		}                                                                                                      \
	} while (0)

int
main(int argc, char **argv)
{
	int failures = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (struct test *t = test_first; t; t = t->next) {
		bool wanted = argc == 1;
		for (int i = 1; i < argc; i++)
			wanted |= strstr(t->name, argv[i]) != NULL;
		if (!wanted)
			continue;
		test_failed = false;
		t->run();
		printf("%sok %s\n", test_failed ? "not " : "", t->name);
		failures += test_failed;
	}
	return failures != 0;
}

#endif
