/* number.h - numbers as people write them: sizes, durations, counts; and sizes as people read them. */
#ifndef HEAPD_NUMBER_H
#define HEAPD_NUMBER_H

#include <stddef.h>
#include <stdint.h>

/* Each takes the whole string or nothing. 0 and *ret, or -EINVAL (not such a number) or -ERANGE (too large). */

/* Digits alone. */
int number_parse(const char *s, uint64_t *ret);

/* Bytes: "524288", "512k", "64KiB", "1M", "1GiB"; k, M, G and T are powers of 1024, in either case. */
int size_parse(const char *s, uint64_t *ret_bytes);
#define SIZE_FORM "a number of bytes such as 524288, 512k, 64KiB or 1M"

/* A time span: "500ms", "5s", "2m", "1h"; a bare number means seconds. */
int duration_parse(const char *s, uint64_t *ret_ms);
#define DURATION_FORM "a time such as 500ms, 5s or 2m"

/* "1.5 GiB", "312 MiB", "64 B": at most three significant digits before the unit. Negative values keep their sign. */
const char *size_format(double bytes, char *buffer, size_t size);
#define SIZE_TEXT 24

/* "12,345": a count, rounded. */
const char *count_format(double count, char *buffer, size_t size);
#define COUNT_TEXT 40

#endif
