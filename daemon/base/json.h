/* json.h - writes JSON, with commas where they belong and every string made valid.
 *
 * Bytes that are not UTF-8 become U+FFFD; control characters, <, > and & are escaped, so that the text may also stand
 * inside a page.
 */
#ifndef HEAPD_JSON_H
#define HEAPD_JSON_H

#include <stdint.h>

#include "text.h"

#define JSON_DEPTH 16

struct json { /* all zero is an empty document */
	struct text text;
	unsigned depth;
	bool filled[JSON_DEPTH + 1]; /* a comma is due before the next value at this depth */
	bool named; /* a name was written, its value comes next */
};

void json_object_begin(struct json *j);
void json_object_end(struct json *j);
void json_array_begin(struct json *j);
void json_array_end(struct json *j);
void json_name(struct json *j, const char *name);

void json_string(struct json *j, const char *value); /* NULL: null */
void json_string_bytes(struct json *j, const char *value, size_t size);
void json_bool(struct json *j, bool value);
void json_unsigned(struct json *j, uint64_t value);
void json_signed(struct json *j, int64_t value);
/* Rounded to `decimals` places; what is not finite becomes null. */
void json_number(struct json *j, double value, int decimals);

/* Nanoseconds since 1970 as "2026-01-31T23:59:59.123Z"; 0 becomes null. */
void json_time(struct json *j, int64_t realtime_ns);

/* The finished document with a newline. -ENOMEM, and the document is empty either way. */
int json_take(struct json *j, char **ret, size_t *ret_size);

#endif
