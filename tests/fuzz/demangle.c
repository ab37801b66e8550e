/* demangle.c - names as they stand in symbol tables. */
#include "demangle.h"

#include <string.h>

#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const size_t rooms[] = { 4096, 2, 64 };
	struct input in = { bytes, size };
	char *name = input_string(&in, size), *ret;

	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		ret = malloc(rooms[i]);
		MUST(ret);
		if (demangle_name(name, ret, rooms[i]))
			MUST(*ret && memchr(ret, 0, rooms[i]));
		free(ret);
	}
	free(name);
	return 0;
}
