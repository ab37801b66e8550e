/* demangle.h - from a linker's name to the one its programmer wrote.
 *
 * C++ (_Z), Rust (legacy and v0) and D. Parameters and return types are left out, template arguments stay. Runs in the
 * worker only: the names come from foreign files and libiberty is recursive, so depth, output and time have limits, and
 * what the limits do not catch costs a worker.
 */
#ifndef HEAPD_DEMANGLE_H
#define HEAPD_DEMANGLE_H

#include <stdbool.h>
#include <stddef.h>

/* Write the readable form of `mangled` to ret[size], terminated. Returns false, with ret untouched, if the name is not
 * mangled, does not make sense, or its readable form does not fit. */
bool demangle_name(const char *mangled, char *ret, size_t size);

#endif
