/* plumbing.h - functions that allocate on behalf of whoever called them: to be told of them would say nothing. */
#ifndef HEAPD_PLUMBING_H
#define HEAPD_PLUMBING_H

#include <stdbool.h>

#include "text.h"

/* Whether to pass over it at the leaf end of a stack. */
bool plumbing_is(const char *function);

/* The same for profile.proto's drop_frames, a regular expression. Readers drop what it matches with everything that it called, so
 * functions that may call the program's own, as constructors are, are left out. */
void plumbing_add_pattern(struct text *to);

#endif
