/* demangle.c - the home of libiberty's demanglers. */
#include "demangle.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <libiberty/demangle.h>

/* The nestings of demangle_test, as deep as this size allows, took libiberty less than 1 MiB of stack of the 64 there are. */
#define MANGLED_MAX 4096

/* What has been printed so far. A name of a few bytes can print gigabytes through back references, so the first chunk
 * that does not fit leaves libiberty by longjmp: it keeps its state on the stack, nothing is lost but the chunk. */
struct output {
	char *bytes;
	size_t used, size;
	jmp_buf full;
};

static void
collect(const char *chunk, size_t length, void *opaque)
{
	struct output *o = opaque;

	if (length >= o->size - o->used)
		longjmp(o->full, 1);
	if (length > 0) /* an empty chunk may come without a place */
		memcpy(o->bytes + o->used, chunk, length);
	o->used += length;
}

static bool
print(const char *mangled, size_t length, struct output *o)
{
	/* Without DMGL_NO_RECURSE_LIMIT libiberty refuses every C++ name of more than 1024 bytes, and such are common.
	 * Rust names keep the limit: there it is about nesting, not length. */
	int deep = length > 1000 ? DMGL_NO_RECURSE_LIMIT : 0;

	if (setjmp(o->full))
		return false;
	if (rust_demangle_callback(mangled, DMGL_RUST, collect, o))
		return o->used > 0;
	o->used = 0;
	if (strncmp(mangled, "_Z", 2) == 0 && cplus_demangle_v3_callback(mangled, deep, collect, o))
		return o->used > 0;
	o->used = 0;
	if (strncmp(mangled, "_D", 2) == 0) {
		char *text = dlang_demangle(mangled, DMGL_DLANG);
		if (text && strlen(text) < o->size) {
			o->used = strlen(text);
			memcpy(o->bytes, text, o->used);
		}
		free(text);
	}
	return o->used > 0;
}

bool
demangle_name(const char *mangled, char *ret, size_t size)
{
	struct output o = { .size = size };
	size_t length = strnlen(mangled, MANGLED_MAX + 1);
	bool ok;

	if (length < 3 || length > MANGLED_MAX || mangled[0] != '_' || size < 2)
		return false;
	o.bytes = malloc(size);
	if (!o.bytes)
		return false;
	ok = print(mangled, length, &o);
	if (ok) {
		memcpy(ret, o.bytes, o.used);
		ret[o.used] = '\0';
	}
	free(o.bytes);
	return ok;
}
