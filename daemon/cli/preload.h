/* preload.h - the library that goes into the program, and the environment that brings it there. */
#ifndef HEAPD_PRELOAD_H
#define HEAPD_PRELOAD_H

#include <stdint.h>

#include "text.h"

struct preload_options {
	const char *library; /* absolute path, as from preload_find() */
	const char *dir; /* for segments */
	const char *name; /* NULL: each program's own */
	uint64_t period; /* 0: HEAPD_PERIOD as it is, else the sampler's default */
	uint64_t max_samples; /* 0: HEAPD_MAX_SAMPLES as it is, else no ceiling */
};

/* Where libheapd.so is: $HEAPD_LIBRARY, beside this program in its build tree, in ../lib/heapd, or where it was installed.
 * 0 and a malloced absolute path as the loader understands it, or -errno with a sentence in *why. The path has $PLATFORM in
 * it where the library is laid out so: loaders of other kinds then find another one, or none, and start their program. */
int preload_find(char **ret, struct text *why);

/* The same as the path of a file. */
int preload_library(char **ret, struct text *why);

/* Our environment with what makes the program a target; NULL-terminated, malloced as one block with its strings. NULL
 * without memory. */
char **preload_environment(const struct preload_options *options);

#endif
