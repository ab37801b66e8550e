/* fuzz.h - what the fuzz targets share.
 *
 * A target is one LLVMFuzzerTestOneInput. The sanitizers see what must not happen; what must is said by MUST().
 */
#ifndef HEAPD_FUZZ_H
#define HEAPD_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MUST(condition)                                                                          \
	do {                                                                                     \
		if (!(condition)) {                                                              \
			fprintf(stderr, "%s:%d: %s is false\n", __FILE__, __LINE__, #condition); \
			abort();                                                                 \
		}                                                                                \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What is left of an input. Reading past its end gives zeros. */
struct input {
	const uint8_t *at;
	size_t left;
};

uint64_t input_number(struct input *in, unsigned n_bytes); /* little-endian */

/* A terminated copy of the next size bytes, or of as many as there are; malloced. */
char *input_string(struct input *in, size_t size);

/* An unlinked file with these bytes; the caller closes it. */
int fuzz_file(const void *bytes, size_t size);

/* The lowest descriptor that is free: the same before and after what leaks none. */
int fuzz_free_fd(void);

#endif
