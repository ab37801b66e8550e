/* json.c - a writer that cannot produce a syntax error as long as begins and ends match. */
#include "json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void
json_before_value(struct json *j)
{
	if (j->named)
		j->named = false;
	else if (j->filled[j->depth])
		text_add_char(&j->text, ',');
	j->filled[j->depth] = true;
}

static void
json_begin(struct json *j, char bracket)
{
	json_before_value(j);
	text_add_char(&j->text, bracket);
	assert(j->depth < JSON_DEPTH);
	j->filled[++j->depth] = false;
}

static void
json_end(struct json *j, char bracket)
{
	assert(j->depth > 0 && !j->named);
	j->depth--;
	text_add_char(&j->text, bracket);
}

void
json_object_begin(struct json *j)
{
	json_begin(j, '{');
}

void
json_object_end(struct json *j)
{
	json_end(j, '}');
}

void
json_array_begin(struct json *j)
{
	json_begin(j, '[');
}

void
json_array_end(struct json *j)
{
	json_end(j, ']');
}

void
json_string_bytes(struct json *j, const char *value, size_t size)
{
	json_before_value(j);
	text_add_char(&j->text, '"');
	while (size > 0) {
		unsigned char c = (unsigned char)*value;
		size_t length = c == 0 ? 1 : text_character(value, size);

		if (length == 0) {
			text_add(&j->text, "\xef\xbf\xbd");
			length = 1;
		} else if (c == '"' || c == '\\') {
			text_add_char(&j->text, '\\');
			text_add_char(&j->text, (char)c);
		} else if (c == '\n') {
			text_add(&j->text, "\\n");
		} else if (c == '\t') {
			text_add(&j->text, "\\t");
		} else if (c < 0x20 || c == 0x7f || c == '<' || c == '>' || c == '&') {
			text_printf(&j->text, "\\u%04x", c);
		} else if (c == 0xc2 &&
			   (unsigned char)value[1] < 0xa0) { /* U+0080 to U+009F move a terminal's cursor */
			text_printf(&j->text, "\\u%04x", (unsigned char)value[1]);
		} else {
			text_add_bytes(&j->text, value, length);
		}
		value += length;
		size -= length;
	}
	text_add_char(&j->text, '"');
}

void
json_string(struct json *j, const char *value)
{
	if (value) {
		json_string_bytes(j, value, strlen(value));
	} else {
		json_before_value(j);
		text_add(&j->text, "null");
	}
}

void
json_name(struct json *j, const char *name)
{
	json_string(j, name);
	text_add_char(&j->text, ':');
	j->named = true;
}

void
json_bool(struct json *j, bool value)
{
	json_before_value(j);
	text_add(&j->text, value ? "true" : "false");
}

void
json_unsigned(struct json *j, uint64_t value)
{
	json_before_value(j);
	text_printf(&j->text, "%" PRIu64, value);
}

void
json_signed(struct json *j, int64_t value)
{
	json_before_value(j);
	text_printf(&j->text, "%" PRId64, value);
}

void
json_number(struct json *j, double value, int decimals)
{
	json_before_value(j);
	if (isfinite(value))
		text_printf(&j->text, "%.*f", decimals, value + 0.0); /* + 0.0 makes -0 a plain 0 */
	else
		text_add(&j->text, "null");
}

void
json_time(struct json *j, int64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	struct tm tm;
	char stamp[64], whole[80];

	if (realtime_ns <= 0 || !gmtime_r(&seconds, &tm)) {
		json_string(j, NULL);
		return;
	}
	(void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(whole, sizeof(whole), "%s.%03dZ", stamp, (int)(realtime_ns / 1000000 % 1000));
	json_string(j, whole);
}

int
json_take(struct json *j, char **ret, size_t *ret_size)
{
	assert(j->depth == 0 || j->text.failed);
	text_add_char(&j->text, '\n');
	int r = text_take(&j->text, ret, ret_size);
	*j = (struct json){ 0 };
	return r;
}
