/* symbols_test.c - real programs, real files, the real worker. */
#include "test.h"

#include <stdlib.h>

#include "symbols_subject.h"

#define SOURCE "symbols_inline.c"

/* The names, lines and files at mark "deep", where two functions are inlined into a third. */
static void
check_inlined(const struct subject *s)
{
	static const char *const names[] = { "innermost", "middle", "outer" };
	const struct symbol *deep = subject_at(s, "deep");

	CHECK_EQ(SYMBOL_FOUND, deep->state);
	CHECK_EQ(3, deep->n_lines);
	for (uint32_t i = 0; i < deep->n_lines && i < 3; i++) {
		CHECK_STR(names[i], deep->lines[i].name);
		CHECK_STR(names[i], deep->lines[i].system_name);
		CHECK_STR(SYMBOLS_SOURCES "/" SOURCE, deep->lines[i].file);
		CHECK_EQ(subject_line(SOURCE, "deep", i), deep->lines[i].line);
		CHECK(deep->lines[i].start_line > 0 && deep->lines[i].start_line < deep->lines[i].line);
	}
}

static void
check_inlined_with(const char *compiler, const char *flags)
{
	struct subject *s = subject_new(compiler, SOURCE, flags);
	struct symbols *symbols = subject_symbols(NULL);
	const struct symbol *header;

	subject_start(s);
	subject_resolve(s, symbols, true);
	check_inlined(s);
	header = subject_at(s, "header");
	CHECK_EQ(2, header->n_lines);
	CHECK_STR("header_inline", header->lines[0].name);
	CHECK_STR(SYMBOLS_SOURCES "/symbols_inline.h", header->lines[0].file);
	CHECK_EQ(subject_line("symbols_inline.h", "header", 0), header->lines[0].line);
	CHECK_STR("main", header->lines[1].name);
	CHECK_STR(SYMBOLS_SOURCES "/" SOURCE, header->lines[1].file);
	CHECK_STR("symbols_plain", subject_at(s, "plain")->lines[0].name);
	CHECK_EQ(subject_line(SOURCE, "plain", 0), subject_at(s, "plain")->lines[0].line);
	symbols_free(symbols);
	subject_free(s);
}

TEST(inlined_functions_come_innermost_first_with_the_lines_of_their_calls)
{
	check_inlined_with(SYMBOLS_CC, "-g -O2 -Wl,--build-id");
}

TEST(dwarf_4_without_address_ranges_is_as_good)
{
	if (!tool_exists("clang")) {
		printf("ok dwarf_4_of_clang # skip clang is not installed\n");
		return;
	}
	check_inlined_with("clang", "-gdwarf-4 -O2 -Wl,--build-id");
}
