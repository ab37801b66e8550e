/* debuginfo.h - all that is known about the addresses of one module: its own file, perhaps a separate debug file, perhaps
 * the alternate file both refer to. In the worker only. Files come as descriptors that somebody else opened.
 */
#ifndef HEAPD_DEBUGINFO_H
#define HEAPD_DEBUGINFO_H

#include <stddef.h>
#include <stdint.h>

#include "symbol_wire.h"

struct debuginfo;

struct debuginfo_line { /* strings live as long as the struct debuginfo; file may be NULL, the names may not */
	const char *system_name; /* the linker's name, or the source's if the linker never saw it */
	const char *source_name; /* for showing when system_name is not a mangled one */
	const char *file;
	uint32_t line, start_line;
};

/* Read the module behind fd, which belongs to the debuginfo from now on, also on failure. flags: WIRE_WITHOUT_DWARF.
 * build_id: what the file must have; length 0 takes any. Returns WIRE_OK and *ret, or why not. */
enum wire_status debuginfo_open(int fd, uint32_t flags, const uint8_t *build_id, size_t build_id_length,
				struct debuginfo **ret);
void debuginfo_free(struct debuginfo *d);

/* What else would help, and what the module says about itself: flags, build-ids and names of the answer. */
void debuginfo_describe(const struct debuginfo *d, struct wire_answer *ret);

/* Take the debug file or the alternate file behind fd if it belongs to this very build. fd is taken in any case. */
enum wire_status debuginfo_add_debug(struct debuginfo *d, int fd);
enum wire_status debuginfo_add_alt(struct debuginfo *d, int fd);

/* Innermost inlined function first; 0 if there is no name. max as in dwarf_names_find. */
size_t debuginfo_find(struct debuginfo *d, uint64_t address, struct debuginfo_line *lines, size_t max);

#endif
