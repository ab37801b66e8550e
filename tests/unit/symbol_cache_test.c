/* symbol_cache_test.c - what is kept, what is replaced, and what happens when there is no more room. */
#include "test.h"

#include <stdlib.h>

#include "symbol_cache.h"
#include "worker_link.h"

static const struct wire_symbol one_symbol = { .first_line = 0, .n_lines = 2 };
static const struct wire_line two_lines[] = {
	{ .name = 0, .system_name = 6, .file = 14, .line = 7, .start_line = 5 },
	{ .name = 21, .system_name = 21, .file = 20, .line = 0, .start_line = 0 }
};
static const struct worker_names names = {
	.n = 1, .symbols = &one_symbol, .lines = two_lines, .strings = "inner\0_Zinner\0file.c\0outer"
};

TEST(an_answer_is_found_again_under_its_module_and_address_only)
{
	struct symbol_cache *c = symbol_cache_new(0);
	uint32_t a = symbol_cache_module(c, "keya", 4, "/lib/libone.so", true);
	uint32_t b = symbol_cache_module(c, "keyb", 4, "/lib/libtwo.so", true);
	struct symbol found;

	CHECK(a != b);
	CHECK_EQ(a, symbol_cache_module(c, "keya", 4, "/other/path", true));
	CHECK_EQ(CACHE_MODULE_NONE, symbol_cache_module(c, "keyc", 4, "/lib/x", false));
	CHECK(symbol_cache_put(c, a, 0x1234, SYMBOL_FOUND, &names, &one_symbol));
	CHECK(symbol_cache_find(c, a, 0x1234, &found));
	CHECK_EQ(2, found.n_lines);
	CHECK_STR("inner", found.lines[0].name);
	CHECK_STR("_Zinner", found.lines[0].system_name);
	CHECK_STR("file.c", found.lines[0].file);
	CHECK_EQ(7, found.lines[0].line);
	CHECK_EQ(5, found.lines[0].start_line);
	CHECK_STR("outer", found.lines[1].name);
	CHECK_STR("", found.lines[1].file);
	CHECK(!symbol_cache_find(c, b, 0x1234, &found));
	CHECK(!symbol_cache_find(c, a, 0x1235, &found));
	CHECK(symbol_cache_put(c, b, 0x1234, SYMBOL_ABSENT, NULL, NULL));
	CHECK(symbol_cache_find(c, b, 0x1234, &found));
	CHECK_STR("libtwo.so+0x1234", found.lines[0].name);
	symbol_cache_free(c);
}

TEST(a_failure_gives_way_to_an_answer_and_an_answer_to_nothing)
{
	struct symbol_cache *c = symbol_cache_new(0);
	uint32_t m = symbol_cache_module(c, "key", 3, "program", true);
	struct symbol found;

	CHECK(symbol_cache_put(c, m, 1, SYMBOL_FAILED, NULL, NULL));
	CHECK(symbol_cache_find(c, m, 1, &found));
	CHECK_EQ(SYMBOL_FAILED, found.state);
	CHECK(symbol_cache_put(c, m, 1, SYMBOL_FOUND, &names, &one_symbol));
	CHECK(symbol_cache_put(c, m, 1, SYMBOL_FAILED, NULL, NULL));
	CHECK(symbol_cache_find(c, m, 1, &found));
	CHECK_EQ(SYMBOL_FOUND, found.state);
	CHECK_STR("inner", found.lines[0].name);
	symbol_cache_free(c);
}

TEST(a_full_cache_keeps_what_it_has_and_counts_what_it_refuses)
{
	struct symbol_cache *c = symbol_cache_new(0);
	uint32_t m = symbol_cache_module(c, "key", 3, "/usr/lib/libbig.so", true);
	struct symbol found;
	uint64_t kept = 0;

	CHECK(!symbol_cache_refuses(c));
	while (kept <= CACHE_ADDRESSES_MAX && symbol_cache_put(c, m, kept, SYMBOL_ABSENT, NULL, NULL))
		kept++;
	CHECK_EQ(CACHE_ADDRESSES_MAX, kept);
	CHECK_EQ(1, symbol_cache_refused(c));
	CHECK(symbol_cache_refuses(c));
	CHECK_EQ(2, symbol_cache_refused(c));
	CHECK(symbol_cache_find(c, m, 0, &found));
	CHECK_STR("libbig.so+0x0", found.lines[0].name);
	CHECK(!symbol_cache_find(c, m, kept, &found));
	CHECK_STR("libbig.so", symbol_cache_get(c, m)->full.lines[0].name);
	CHECK_EQ(SYMBOL_FAILED, symbol_cache_get(c, m)->full.state);
	symbol_cache_free(c);
}

TEST(equal_names_share_one_line)
{
	struct symbol_cache *c = symbol_cache_new(0);
	struct symbol a = symbol_cache_named(c, SYMBOL_FOUND, "render", 6);
	struct symbol b = symbol_cache_named(c, SYMBOL_ABSENT, "render", 6);
	struct symbol other = symbol_cache_named(c, SYMBOL_FOUND, "renders", 7);

	CHECK(a.lines == b.lines);
	CHECK(a.lines != other.lines);
	CHECK_STR("render", a.lines[0].name);
	CHECK_EQ(SYMBOL_ABSENT, b.state);
	CHECK_STR("[unknown]", symbol_cache_named(c, SYMBOL_FOUND, "", 0).lines[0].name);
	symbol_cache_free(c);
}

TEST(names_over_the_limit_are_cut_between_characters)
{
	struct symbol_cache *c = symbol_cache_new(0);
	char *name = malloc(10001);
	struct symbol s;

	for (int i = 0; i < 10000; i += 2)
		memcpy(name + i, "\303\251", 2);
	s = symbol_cache_named(c, SYMBOL_FOUND, name, 10000);
	CHECK_EQ(4094, strlen(s.lines[0].name));
	CHECK_EQ(0xa9, (unsigned char)s.lines[0].name[4093]);
	free(name);
	symbol_cache_free(c);
}
