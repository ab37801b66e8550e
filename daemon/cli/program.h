/* program.h - can LD_PRELOAD reach this program? Told before it is started, because afterwards nothing would tell. */
#ifndef HEAPD_PROGRAM_H
#define HEAPD_PROGRAM_H

#include <stdbool.h>

#include "text.h"

struct program {
	char *path; /* what will be executed; malloced */
	const char *sanitizer; /* "AddressSanitizer": it brings its own allocator, and heapd must stay away; or NULL */
	const char *
		allocator; /* "jemalloc": inside it under names of its own, out of reach; or NULL, also if its symbols are stripped */
};

/* Find a command as the shell would, follow "#!" lines to their interpreter, and look at its ELF file. Returns 0 and
 * *ret (release it with program_done), or an exit status of `heapd run` with one sentence in *why. */
int program_check(const char *command, struct program *ret, struct text *why);
void program_done(struct program *p);

#endif
