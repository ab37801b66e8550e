/* json_test.c - documents that any parser takes, whatever the strings were. */
#include "json.h"

#include <math.h>
#include <stdlib.h>

#include "test.h"

static char *
taken(struct json *j)
{
	char *data = NULL;
	size_t size;

	CHECK_EQ(0, json_take(j, &data, &size));
	return data;
}

TEST(commas_stand_between_values_and_nowhere_else)
{
	struct json j = { 0 };
	char *s;

	json_object_begin(&j);
	json_name(&j, "a");
	json_array_begin(&j);
	json_unsigned(&j, 1);
	json_signed(&j, -2);
	json_object_begin(&j);
	json_object_end(&j);
	json_array_begin(&j);
	json_array_end(&j);
	json_array_end(&j);
	json_name(&j, "b");
	json_bool(&j, true);
	json_name(&j, "c");
	json_string(&j, NULL);
	json_object_end(&j);
	s = taken(&j);
	CHECK_STR("{\"a\":[1,-2,{},[]],\"b\":true,\"c\":null}\n", s);
	free(s);
}

TEST(strings_are_escaped_and_made_utf8)
{
	static const struct {
		const char *value;
		size_t size;
		const char *want;
	} cases[] = {
		{ "plain", 5, "\"plain\"\n" },
		{ "q\"b\\", 4, "\"q\\\"b\\\\\"\n" },
		{ "a\nb\tc\001", 6, "\"a\\nb\\tc\\u0001\"\n" },
		{ "a\0b", 3, "\"a\\u0000b\"\n" },
		{ "</script>&", 10, "\"\\u003c/script\\u003e\\u0026\"\n" },
		{ "x\xffy", 3, "\"x\xef\xbf\xbdy\"\n" },
		{ "\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"\n" },
		{ "gr\xc3\xbcn", 5, "\"gr\xc3\xbcn\"\n" },
		{ "\xc2\x9b\xc2\xa0\x7f", 5, "\"\\u009b\xc2\xa0\\u007f\"\n" },
		{ "\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json j = { 0 };
		char *s;

		json_string_bytes(&j, cases[i].value, cases[i].size);
		s = taken(&j);
		CHECK_STR(cases[i].want, s);
		free(s);
	}
}

TEST(numbers_that_json_does_not_have_become_null)
{
	struct json j = { 0 };
	char *s;

	json_array_begin(&j);
	json_number(&j, NAN, 2);
	json_number(&j, INFINITY, 2);
	json_number(&j, -0.0, 0);
	json_number(&j, 12.345, 2);
	json_number(&j, 1e15, 0);
	json_unsigned(&j, UINT64_MAX);
	json_array_end(&j);
	s = taken(&j);
	CHECK_STR("[null,null,0,12.35,1000000000000000,18446744073709551615]\n", s);
	free(s);
}

TEST(times_are_utc_with_milliseconds)
{
	struct json j = { 0 };
	char *s;

	json_array_begin(&j);
	json_time(&j, INT64_C(1769903999123456789));
	json_time(&j, 0);
	json_array_end(&j);
	s = taken(&j);
	CHECK_STR("[\"2026-01-31T23:59:59.123Z\",null]\n", s);
	free(s);
}
