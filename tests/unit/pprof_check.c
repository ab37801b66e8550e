/* pprof_check.c - see pprof_check.h. Shares only gzip and the hash table with the encoder. */
#include "pprof_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gzip.h"
#include "table.h"
#include "text.h"

typedef Perftools__Profiles__Profile pb_profile;

#define PLAIN_MAX (64u << 20) /* bytes we unpack at all */

static _Thread_local char sentence[300];

__attribute__((format(printf, 1, 2))) static const char *
wrong(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	return sentence;
}

static bool
utf8(const char *s)
{
	size_t size = strlen(s);

	for (size_t i = 0, n; i < size; i += n) {
		n = text_character(s + i, size - i);
		if (n == 0)
			return false;
	}
	return true;
}

/* A string of the table; NULL if there is none of that number. */
static const char *
string(const pb_profile *p, int64_t i)
{
	return i >= 0 && (size_t)i < p->n_string_table ? p->string_table[i] : NULL;
}

static const char *
check_strings(const pb_profile *p)
{
	if (p->n_string_table == 0 || p->string_table[0][0])
		return wrong("the first string is not empty");
	for (size_t i = 0; i < p->n_string_table; i++) {
		if (!utf8(p->string_table[i]))
			return wrong("string %zu is not UTF-8", i);
		if (strlen(p->string_table[i]) > 65535)
			return wrong("string %zu has %zu bytes, Pyroscope takes 65535", i, strlen(p->string_table[i]));
	}
	return NULL;
}

static const char *
check_types(const pb_profile *p)
{
	static const char *const want[4][2] = { { "alloc_objects", "count" },
						{ "alloc_space", "bytes" },
						{ "inuse_objects", "count" },
						{ "inuse_space", "bytes" } };
	const char *type, *unit;
	bool found = p->default_sample_type == 0;

	if (p->n_sample_type != 4)
		return wrong("%zu sample types, not 4", p->n_sample_type);
	for (size_t i = 0; i < 4; i++) {
		type = string(p, p->sample_type[i]->type);
		unit = string(p, p->sample_type[i]->unit);
		if (!type || !unit || strcmp(type, want[i][0]) != 0 || strcmp(unit, want[i][1]) != 0)
			return wrong("sample type %zu is %s/%s", i, type ? type : "nothing", unit ? unit : "nothing");
		found |= string(p, p->default_sample_type) && strcmp(type, string(p, p->default_sample_type)) == 0;
	}
	if (!found)
		return wrong("the default sample type is none of the sample types");
	type = p->period_type ? string(p, p->period_type->type) : NULL;
	unit = p->period_type ? string(p, p->period_type->unit) : NULL;
	if (!type || !unit || strcmp(type, "space") != 0 || strcmp(unit, "bytes") != 0)
		return wrong("the period is not of space/bytes");
	return NULL;
}

static const char *
check_head(const pb_profile *p)
{
	if (p->time_nanos < INT64_C(1000000000000000000))
		return wrong("taken at %" PRId64 " ns, before 2001", p->time_nanos);
	if (p->duration_nanos < 0)
		return wrong("a negative duration");
	if (p->period < 1)
		return wrong("a period of %" PRId64, p->period);
	for (size_t i = 0; i < p->n_comment; i++) {
		if (!string(p, p->comment[i]))
			return wrong("comment %zu is no string", i);
	}
	if (!string(p, p->drop_frames) || !string(p, p->keep_frames) || !string(p, p->doc_url))
		return wrong("drop_frames, keep_frames or doc_url is no string");
	return NULL;
}

static const char *
check_mappings(const pb_profile *p)
{
	for (size_t i = 0; i < p->n_mapping; i++) {
		const Perftools__Profiles__Mapping *m = p->mapping[i];

		if (m->id != i + 1)
			return wrong("mapping %zu has id %" PRIu64, i, m->id);
		if (!string(p, m->filename) || !string(p, m->build_id))
			return wrong("mapping %zu names a string that is not there", i);
		if (m->memory_start > m->memory_limit)
			return wrong("mapping %zu ends before it starts", i);
		if ((m->has_filenames || m->has_line_numbers || m->has_inline_frames) && !m->has_functions)
			return wrong("mapping %zu has lines but no functions", i);
	}
	return NULL;
}

static const char *
check_functions(const pb_profile *p)
{
	for (size_t i = 0; i < p->n_function; i++) {
		const Perftools__Profiles__Function *f = p->function[i];

		if (f->id != i + 1)
			return wrong("function %zu has id %" PRIu64, i, f->id);
		if (!string(p, f->name) || !string(p, f->system_name) || !string(p, f->filename))
			return wrong("function %zu names a string that is not there", i);
		if (!string(p, f->name)[0] || !string(p, f->system_name)[0])
			return wrong("function %zu has no name", i);
	}
	return NULL;
}

static bool
same_address(const void *owner, uint32_t item, const void *key)
{
	const pb_profile *p = owner;
	uint64_t address;

	memcpy(&address, key, sizeof(address));
	return p->location[item]->address == address;
}

static const char *
check_locations(const pb_profile *p)
{
	struct table addresses = { 0 };
	const char *why = NULL;

	for (size_t i = 0; i < p->n_location && !why; i++) {
		const Perftools__Profiles__Location *l = p->location[i];
		uint64_t hash = hash_u64(l->address);

		if (l->id != i + 1)
			why = wrong("location %zu has id %" PRIu64, i, l->id);
		else if (l->mapping_id > p->n_mapping)
			why = wrong("location %zu lies in mapping %" PRIu64 ", which is not there", i, l->mapping_id);
		else if (l->address == 0)
			why = wrong("location %zu has no address", i);
		else if (table_find(&addresses, hash, same_address, p, &l->address) != TABLE_NONE)
			why = wrong("location %zu has the address of another one, %" PRIx64, i, l->address);
		else if (l->n_line == 0)
			why = wrong("location %zu has no line", i);
		for (size_t k = 0; k < l->n_line && !why; k++) {
			if (l->line[k]->function_id == 0 || l->line[k]->function_id > p->n_function)
				why = wrong("line %zu of location %zu names no function", k, i);
			else if (l->line[k]->line < 0)
				why = wrong("line %zu of location %zu is negative", k, i);
		}
		if (!why && table_add(&addresses, hash, (uint32_t)i) < 0)
			why = wrong("no memory");
	}
	table_done(&addresses);
	return why;
}

/* Alloy knows a stack by its locations and labels; two of them would be taken for one. */
static bool
same_stack(const void *owner, uint32_t item, const void *key)
{
	const pb_profile *p = owner;
	const Perftools__Profiles__Sample *a = p->sample[item], *b = key;

	if (a->n_location_id != b->n_location_id || a->n_label != b->n_label)
		return false;
	for (size_t i = 0; i < a->n_label; i++) {
		if (a->label[i]->key != b->label[i]->key || a->label[i]->num != b->label[i]->num ||
		    a->label[i]->str != b->label[i]->str)
			return false;
	}
	return memcmp(a->location_id, b->location_id, a->n_location_id * sizeof(*a->location_id)) == 0;
}

static const char *
check_labels(const pb_profile *p, size_t i)
{
	const Perftools__Profiles__Sample *s = p->sample[i];

	if (s->n_label > 1)
		return wrong("sample %zu has %zu labels", i, s->n_label);
	for (size_t k = 0; k < s->n_label; k++) {
		const Perftools__Profiles__Label *l = s->label[k];

		if (l->key == 0 || !string(p, l->key) || strcmp(string(p, l->key), "bytes") != 0)
			return wrong("sample %zu has a label other than bytes", i);
		if (l->num <= 0 || l->str != 0 || l->num_unit != 0)
			return wrong("the label of sample %zu is not a positive number without unit", i);
	}
	return NULL;
}

static const char *
check_samples(const pb_profile *p)
{
	struct table stacks = { 0 };
	const char *why = NULL;

	if (p->n_sample > 16000)
		return wrong("%zu samples, Pyroscope takes 16000", p->n_sample);
	for (size_t i = 0; i < p->n_sample && !why; i++) {
		const Perftools__Profiles__Sample *s = p->sample[i];
		uint64_t hash = hash_bytes(s->location_id, s->n_location_id * sizeof(*s->location_id));

		if (s->n_value != 4)
			why = wrong("sample %zu has %zu values", i, s->n_value);
		else if (s->n_location_id == 0 || s->n_location_id > 1000)
			why = wrong("sample %zu has %zu locations", i, s->n_location_id);
		else
			why = check_labels(p, i);
		for (size_t k = 0; k < s->n_location_id && !why; k++) {
			if (s->location_id[k] == 0 || s->location_id[k] > p->n_location)
				why = wrong("sample %zu names location %" PRIu64 ", which is not there", i,
					    s->location_id[k]);
		}
		for (size_t k = 0; k < s->n_value && !why; k++) {
			if (s->value[k] < 0 && (p->duration_nanos == 0 || k < 2))
				why = wrong("value %zu of sample %zu is negative", k, i);
		}
		if (!why && table_find(&stacks, hash, same_stack, p, s) != TABLE_NONE)
			why = wrong("sample %zu has the stack and labels of an earlier one", i);
		if (!why && table_add(&stacks, hash, (uint32_t)i) < 0)
			why = wrong("no memory");
	}
	table_done(&stacks);
	return why;
}

/* The bytes in a gzipped file; NULL and the reason in *why if they cannot be had. */
static uint8_t *
unpack(const void *file, size_t size, size_t *ret_size, const char **why)
{
	uint8_t *plain = NULL;

	if (size < 2 || memcmp(file, "\x1f\x8b", 2) != 0)
		*why = wrong("not gzipped");
	else if (gzip_unpack(file, size, PLAIN_MAX, &plain, ret_size) < 0)
		*why = wrong("cannot be unpacked");
	return plain;
}

pb_profile *
pprof_decode(const void *file, size_t size)
{
	const char *why;
	size_t plain_size;
	uint8_t *plain = unpack(file, size, &plain_size, &why);
	pb_profile *p = plain ? perftools__profiles__profile__unpack(NULL, plain_size, plain) : NULL;

	free(plain);
	return p;
}

const char *
pprof_check(const void *file, size_t size)
{
	const char *(*const checks[])(const pb_profile *) = { check_strings,  check_types,     check_head,
							      check_mappings, check_functions, check_locations,
							      check_samples };
	const char *why = NULL;
	size_t plain_size = 0;
	uint8_t *plain = unpack(file, size, &plain_size, &why);
	pb_profile *p = NULL;

	if (!plain)
		return why;
	p = perftools__profiles__profile__unpack(NULL, plain_size, plain);
	if (!p)
		why = wrong("not a profile");
	else if (plain_size > 4u << 20)
		why = wrong("%zu bytes before packing, Pyroscope takes 4 MiB", plain_size);
	else if (p->base.n_unknown_fields != 0)
		why = wrong("fields that pprof does not have");
	for (size_t i = 0; !why && i < sizeof(checks) / sizeof(checks[0]); i++)
		why = checks[i](p);
	if (p)
		perftools__profiles__profile__free_unpacked(p, NULL);
	free(plain);
	return why;
}
