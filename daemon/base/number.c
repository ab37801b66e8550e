/* number.c - the few number formats of the command line. */
#include "number.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Digits up to *ret_end. No sign, no space, no 0x: strtoull() accepts all of them, and "-1" as a huge number. */
static int
digits_parse(const char *s, uint64_t *ret, const char **ret_end)
{
	uint64_t value = 0;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
			return -ERANGE;
	}
	*ret = value;
	*ret_end = s;
	return 0;
}

int
number_parse(const char *s, uint64_t *ret)
{
	const char *end;
	uint64_t value;
	int r = digits_parse(s, &value, &end);

	if (r < 0)
		return r;
	if (*end)
		return -EINVAL;
	*ret = value;
	return 0;
}

int
size_parse(const char *s, uint64_t *ret_bytes)
{
	static const char units[] = "kmgt";
	const char *end, *unit;
	uint64_t value;
	int r = digits_parse(s, &value, &end);

	if (r < 0)
		return r;
	unit = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
	if (unit) {
		/* "kB" is left out: half the world takes it for 1000. */
		if (end[1] && strcmp(end + 1, "iB") != 0 && strcmp(end + 1, "i") != 0)
			return -EINVAL;
		if (__builtin_mul_overflow(value, UINT64_C(1) << (10 * (unit - units + 1)), &value))
			return -ERANGE;
	} else if (*end && strcmp(end, "B") != 0) {
		return -EINVAL;
	}
	*ret_bytes = value;
	return 0;
}

int
duration_parse(const char *s, uint64_t *ret_ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = { { "", 1000 }, { "s", 1000 }, { "ms", 1 }, { "m", 60000 }, { "min", 60000 }, { "h", 3600000 } };
	const char *end;
	uint64_t value;
	int r = digits_parse(s, &value, &end);

	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(value, units[i].ms, &value))
			return -ERANGE;
		*ret_ms = value;
		return 0;
	}
	return -EINVAL;
}

const char *
size_format(double bytes, char *buffer, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double magnitude = fabs(bytes);
	size_t unit = 0;

	/* 1023.6 KiB would print as "1024 KiB". */
	while (unit + 1 < sizeof(units) / sizeof(units[0]) && magnitude >= (unit == 0 ? 1023.5 : 999.5)) {
		magnitude /= 1024;
		unit++;
	}
	(void)snprintf(buffer, size, "%s%.*f %s", bytes < 0 && magnitude > 0 ? "-" : "",
		       unit == 0 || magnitude >= 99.95 ? 0
		       : magnitude >= 9.995            ? 1
						       : 2,
		       magnitude, units[unit]);
	return buffer;
}

const char *
count_format(double count, char *buffer, size_t size)
{
	char digits[COUNT_TEXT];
	size_t length, at = 0;

	(void)snprintf(digits, sizeof(digits), "%.0f", fabs(count) < 1e18 ? count + 0.0 : copysign(1e18, count));
	length = strlen(digits);
	for (size_t i = 0; i < length && at + 2 < size; i++) {
		if (i > 0 && (length - i) % 3 == 0 && digits[i - 1] != '-')
			buffer[at++] = ',';
		buffer[at++] = digits[i];
	}
	buffer[at] = '\0';
	return buffer;
}
