/* profile.c - see profile.h. From snapshots with names to one table of stacks with estimates.
 *
 * Everything is numbered in the order it is first needed, and sites keep their order for as long as a target lives, so
 * the next profile of the same target gives the same things the same addresses. Readers that subtract two profiles by
 * address rely on that.
 */
#include "profile.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "locations.h"
#include "string_table.h"
#include "table.h"

const struct profile_value_type profile_value_types[PROFILE_VALUES] = {
	[PROFILE_ALLOC_OBJECTS] = { "alloc_objects", "count" },
	[PROFILE_ALLOC_SPACE] = { "alloc_space", "bytes" },
	[PROFILE_INUSE_OBJECTS] = { "inuse_objects", "count" },
	[PROFILE_INUSE_SPACE] = { "inuse_space", "bytes" },
};

struct stack_key {
	const uint32_t *locations;
	uint32_t depth;
};

struct builder {
	struct profile *p;
	struct locations locations;
	struct table samples;
	size_t stack_room, samples_room;
};

/* -- samples -- */

static bool
stack_equal(const void *owner, uint32_t item, const void *key)
{
	const struct profile *p = owner;
	const struct stack_key *k = key;
	const struct profile_sample *s = &p->samples[item];

	return s->depth == k->depth &&
	       memcmp(&p->stack[s->first_location], k->locations, k->depth * sizeof(*k->locations)) == 0;
}

/* The sample of a stack, added with zeros if it is new. */
static int
add_sample(struct builder *b, const struct stack_key *key, struct profile_sample **ret)
{
	struct profile *p = b->p;
	uint64_t hash = hash_bytes(key->locations, key->depth * sizeof(*key->locations));
	uint32_t i = table_find(&b->samples, hash, stack_equal, p, key);

	if (i == TABLE_NONE) {
		i = (uint32_t)p->n_samples;
		if (array_reserve(&p->samples, i, 1, &b->samples_room, sizeof(*p->samples)) < 0 ||
		    array_reserve(&p->stack, p->n_stack, key->depth, &b->stack_room, sizeof(*p->stack)) < 0 ||
		    table_add(&b->samples, hash, i) < 0)
			return -ENOMEM;
		p->samples[i] = (struct profile_sample){ .first_location = (uint32_t)p->n_stack, .depth = key->depth };
		memcpy(&p->stack[p->n_stack], key->locations, key->depth * sizeof(*key->locations));
		p->n_stack += key->depth;
		p->n_samples++;
	}
	*ret = &p->samples[i];
	return 0;
}

/* Sums are subtracted as integers, so what was freed in full leaves exactly 0. */
static double
difference(uint64_t alloc, uint64_t freed)
{
	return (double)(int64_t)(alloc - freed);
}

static void
sum_site(struct profile_sample *to, const struct snapshot_site *site, bool is_difference)
{
	const struct snapshot_totals *a = &site->alloc, *f = &site->freed;
	const double objects = 1.0 / (1 << HEAPD_WEIGHT_SHIFT);
	const double objects_var = 1.0 / (1 << HEAPD_OBJECTS_VAR_SHIFT), bytes_var = 1 << HEAPD_BYTES_VAR_SHIFT;

	to->flags |= site->flags;
	to->samples += a->samples;
	to->live_samples += a->samples > f->samples ? a->samples - f->samples : 0;
	to->value[PROFILE_ALLOC_OBJECTS] += (double)a->objects * objects;
	to->value[PROFILE_ALLOC_SPACE] += (double)a->bytes;
	to->value[PROFILE_INUSE_OBJECTS] += difference(a->objects, f->objects) * objects;
	to->value[PROFILE_INUSE_SPACE] += difference(a->bytes, f->bytes);
	to->variance[PROFILE_ALLOC_OBJECTS] += (double)a->objects_var * objects_var;
	to->variance[PROFILE_ALLOC_SPACE] += (double)a->bytes_var * bytes_var;
	/* Blocks that came and went cancel out. Between two snapshots the freed ones may be others than those that came,
	 * and then both are uncertain: the sum is the most it can be. */
	if (is_difference) {
		to->variance[PROFILE_INUSE_OBJECTS] += ((double)a->objects_var + (double)f->objects_var) * objects_var;
		to->variance[PROFILE_INUSE_SPACE] += ((double)a->bytes_var + (double)f->bytes_var) * bytes_var;
	} else {
		to->variance[PROFILE_INUSE_OBJECTS] += difference(a->objects_var, f->objects_var) * objects_var;
		to->variance[PROFILE_INUSE_SPACE] += difference(a->bytes_var, f->bytes_var) * bytes_var;
	}
}

static bool
site_zero(const struct snapshot_site *s)
{
	return (s->alloc.samples | s->alloc.objects | s->alloc.bytes | s->freed.samples | s->freed.objects |
		s->freed.bytes) == 0;
}

/* `known` has one location a frame, HEAPD_NONE for those not needed so far. */
static int
add_site(struct builder *b, const struct profile_source *source, const uint32_t *mappings, uint32_t *known,
	 const struct snapshot_site *site)
{
	const struct snapshot *s = source->snapshot;
	uint32_t locations[HEAPD_MAX_DEPTH], depth = site->depth;
	struct profile_sample *sample;

	for (uint32_t i = 0; i < depth; i++) {
		uint32_t frame = s->stacks[site->stack + i];

		if (known[frame] == HEAPD_NONE &&
		    locations_add_frame(&b->locations, source, mappings, frame, &known[frame]) < 0)
			return -ENOMEM;
		locations[i] = known[frame];
	}
	if (depth == 0) {
		if (locations_add_placeholder(&b->locations, (site->flags & HEAPD_STACK_OVERFLOW) != 0, &locations[0]) <
		    0)
			return -ENOMEM;
		depth = 1;
	}
	if (add_sample(b, &(struct stack_key){ locations, depth }, &sample) < 0)
		return -ENOMEM;
	sum_site(sample, site, s->duration_ns != 0);
	return 0;
}

static int
add_source(struct builder *b, const struct profile_source *source)
{
	const struct snapshot *s = source->snapshot;
	uint32_t *mappings = malloc((s->n_modules ? s->n_modules : 1) * sizeof(*mappings));
	uint32_t *known = malloc((s->n_frames ? s->n_frames : 1) * sizeof(*known));
	int r = -ENOMEM;

	if (!mappings || !known)
		goto out;
	for (size_t i = 0; i < s->n_frames; i++)
		known[i] = HEAPD_NONE;
	r = locations_add_mappings(&b->locations, s, mappings);
	for (size_t i = 0; r == 0 && i < s->n_sites; i++) {
		const struct snapshot_site *site = &s->sites[i];

		if ((site->depth != 0 || site->flags != 0) && !site_zero(site))
			r = add_site(b, source, mappings, known, site);
	}
out:
	free(mappings);
	free(known);
	return r;
}

/* -- the whole -- */

static int
compare_samples(const void *left, const void *right)
{
	const struct profile_sample *a = left, *b = right;

	if (a->value[PROFILE_INUSE_SPACE] != b->value[PROFILE_INUSE_SPACE])
		return a->value[PROFILE_INUSE_SPACE] > b->value[PROFILE_INUSE_SPACE] ? -1 : 1;
	if (a->value[PROFILE_ALLOC_SPACE] != b->value[PROFILE_ALLOC_SPACE])
		return a->value[PROFILE_ALLOC_SPACE] > b->value[PROFILE_ALLOC_SPACE] ? -1 : 1;
	return a->first_location < b->first_location ? -1 : a->first_location > b->first_location;
}

static void
sum_counters(struct profile *p, const struct snapshot *s)
{
	if (s->time_ns > p->time_ns)
		p->time_ns = s->time_ns;
	if (s->duration_ns > p->duration_ns)
		p->duration_ns = s->duration_ns;
	if (s->period > p->period)
		p->period = s->period;
	for (unsigned i = 0; i < HEAPD_LOSSES; i++)
		p->lost[i] += s->lost[i];
	p->lost_bytes += s->lost_bytes;
	p->inconsistent += s->inconsistent;
}

int
profile_new(const struct profile_source *sources, size_t n, struct profile **ret)
{
	struct builder b = { 0 };
	struct profile *p = calloc(1, sizeof(*p));
	int r = -ENOMEM;

	if (!p)
		return -ENOMEM;
	b.p = b.locations.p = p;
	p->strings = strings_new();
	if (!p->strings)
		goto out;
	for (size_t i = 0; i < n; i++) {
		r = add_source(&b, &sources[i]);
		if (r < 0)
			goto out;
		sum_counters(p, sources[i].snapshot);
	}
	if (p->n_samples > 1)
		qsort(p->samples, p->n_samples, sizeof(*p->samples), compare_samples);
	for (size_t i = 0; i < p->n_samples; i++) {
		for (unsigned k = 0; k < PROFILE_VALUES; k++) {
			p->total[k] += p->samples[i].value[k];
			p->total_variance[k] += p->samples[i].variance[k];
		}
	}
	*ret = p;
	p = NULL;
	r = 0;
out:
	profile_free(p);
	locations_done(&b.locations);
	table_done(&b.samples);
	return r;
}

void
profile_free(struct profile *p)
{
	if (!p)
		return;
	free(p->mappings);
	free(p->functions);
	free(p->lines);
	free(p->locations);
	free(p->stack);
	free(p->samples);
	strings_free(p->strings);
	free(p);
}

double
profile_error(double variance)
{
	return variance > 0 ? sqrt(variance) : 0;
}

int64_t
profile_whole(double value)
{
	/* 2^63 has an exact double, INT64_MAX has not. */
	if (value >= 0x1p63)
		return INT64_MAX;
	return value <= -0x1p63 ? INT64_MIN : llround(value);
}
