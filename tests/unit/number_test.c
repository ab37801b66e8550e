/* number_test.c - what people may type, and what they see. */
#include "number.h"

#include <errno.h>

#include "test.h"

TEST(sizes_are_read_with_their_units)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = { { "0", 0 },           { "524288", 524288 }, { "512k", 524288 },
		      { "512K", 524288 },   { "64KiB", 65536 },   { "1M", 1 << 20 },
		      { "1MiB", 1 << 20 },  { "1GiB", 1 << 30 },  { "2g", 2ull << 30 },
		      { "1T", 1ull << 40 }, { "7B", 7 },          { "18446744073709551615", UINT64_MAX } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bytes = 1;

		CHECK_EQ(0, size_parse(cases[i].text, &bytes));
		CHECK_EQ(cases[i].bytes, bytes);
	}
}

TEST(what_is_no_size_is_refused_and_changes_nothing)
{
	static const char *const bad[] = { "",     " 1",  "1 ", "-1",    "+1", "x",   "4q",   "1kB",   "1KB", "1.5M",
					   "0x10", "1kk", "k",  "1KiBx", "１", "1e3", "1mib", "1,000", "M1" };
	static const char *const large[] = { "18446744073709551616", "99999999999999999999", "16777216T",
					     "18014398509481984k" };
	uint64_t bytes = 77;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_EQ(-EINVAL, size_parse(bad[i], &bytes));
	for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		CHECK_EQ(-ERANGE, size_parse(large[i], &bytes));
	CHECK_EQ(77, bytes);
}

TEST(durations_are_read_with_their_units)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} cases[] = { { "500ms", 500 }, { "5s", 5000 },     { "5", 5000 },
		      { "2m", 120000 }, { "2min", 120000 }, { "1h", 3600000 } };
	uint64_t ms = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK_EQ(0, duration_parse(cases[i].text, &ms));
		CHECK_EQ(cases[i].ms, ms);
	}
	CHECK_EQ(-EINVAL, duration_parse("5 s", &ms));
	CHECK_EQ(-EINVAL, duration_parse("s", &ms));
	CHECK_EQ(-EINVAL, duration_parse("1d", &ms));
	CHECK_EQ(-ERANGE, duration_parse("18446744073709551615h", &ms));
}

TEST(sizes_are_shown_with_three_digits_and_their_unit)
{
	static const struct {
		double bytes;
		const char *text;
	} cases[] = { { 0, "0 B" },
		      { -0.0, "0 B" },
		      { 999, "999 B" },
		      { 1023, "1023 B" },
		      { 1024, "1.00 KiB" },
		      { 1536, "1.50 KiB" },
		      { 10240, "10.0 KiB" },
		      { 524288, "512 KiB" },
		      { 1023.6 * 1024, "1.00 MiB" },
		      { 327155712, "312 MiB" },
		      { -1536, "-1.50 KiB" },
		      { 1.5 * 1024 * 1024 * 1024, "1.50 GiB" } };
	char buffer[SIZE_TEXT];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_STR(cases[i].text, size_format(cases[i].bytes, buffer, sizeof(buffer)));
}

TEST(counts_are_shown_in_groups_of_three)
{
	static const struct {
		double count;
		const char *text;
	} cases[] = { { 0, "0" },          { 999, "999" },
		      { 1000, "1,000" },   { 12345.6, "12,346" },
		      { -1000, "-1,000" }, { 1234567, "1,234,567" },
		      { -100, "-100" },    { 1e30, "1,000,000,000,000,000,000" } };
	char buffer[COUNT_TEXT];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_STR(cases[i].text, count_format(cases[i].count, buffer, sizeof(buffer)));
}
