/* ranking.c - sums the samples of a profile by allocating line. */
#include "ranking.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plumbing.h"

/* The site of a sample, and the line that called it. */
struct place {
	uint32_t function, line; /* indices in functions; number */
	uint32_t caller; /* index in functions, or HEAPD_NONE */
	uint32_t sample;
};

static struct place
place_of(const struct profile *p, uint32_t sample)
{
	const struct profile_sample *s = &p->samples[sample];
	struct place first = { HEAPD_NONE, 0, HEAPD_NONE, sample }, place = first;

	for (uint32_t i = 0; i < s->depth; i++) {
		const struct profile_location *at = &p->locations[p->stack[s->first_location + i]];

		for (uint32_t k = 0; k < at->n_lines; k++) {
			const struct profile_line *line = &p->lines[at->first_line + k];

			if (place.function != HEAPD_NONE) {
				place.caller = line->function;
				return place;
			}
			if (first.function == HEAPD_NONE) {
				first.function = line->function;
				first.line = line->line;
			} else if (first.caller == HEAPD_NONE) {
				first.caller = line->function;
			}
			if (!plumbing_is(p->functions[line->function].name)) {
				place.function = line->function;
				place.line = line->line;
			}
		}
	}
	return place.function != HEAPD_NONE ? place : first;
}

static int
place_compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->function != y->function)
		return x->function < y->function ? -1 : 1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->sample < y->sample ? -1 : x->sample > y->sample;
}

static int
row_compare(const void *a, const void *b, void *argument)
{
	const struct ranking_row *x = a, *y = b;
	enum profile_value sort = *(enum profile_value *)argument;

	if (x->value[sort] != y->value[sort])
		return x->value[sort] > y->value[sort] ? -1 : 1;
	return strcmp(x->function, y->function);
}

static void
row_add(struct ranking_row *row, const struct profile *p, const struct place *place, enum profile_value sort)
{
	const struct profile_sample *s = &p->samples[place->sample];

	for (size_t v = 0; v < PROFILE_VALUES; v++) {
		row->value[v] += s->value[v];
		row->variance[v] += s->variance[v];
	}
	row->samples += s->samples;
	if (row->stacks == 0 || s->value[sort] > p->samples[row->largest].value[sort]) {
		row->largest = place->sample;
		row->caller = place->caller == HEAPD_NONE ? "" : p->functions[place->caller].name;
	}
	row->stacks++;
}

int
ranking_new(const struct profile *p, enum profile_value sort, struct ranking *ret)
{
	struct place *places = calloc(p->n_samples ? p->n_samples : 1, sizeof(*places));
	struct ranking_row *rows = calloc(p->n_samples ? p->n_samples : 1, sizeof(*rows));
	size_t n = 0;

	if (!places || !rows) {
		free(places);
		free(rows);
		return -ENOMEM;
	}
	for (size_t i = 0; i < p->n_samples; i++)
		places[i] = place_of(p, (uint32_t)i);
	qsort(places, p->n_samples, sizeof(*places), place_compare);
	for (size_t i = 0; i < p->n_samples; i++) {
		const struct place *at = &places[i];

		if (i == 0 || at->function != places[i - 1].function || at->line != places[i - 1].line) {
			const struct profile_function *f =
				at->function == HEAPD_NONE ? NULL : &p->functions[at->function];

			rows[n].function = f ? f->name : "?";
			rows[n].file = f ? f->file : "";
			rows[n].line = at->line;
			rows[n].caller = "";
			n++;
		}
		row_add(&rows[n - 1], p, at, sort);
	}
	qsort_r(rows, n, sizeof(*rows), row_compare, &sort);
	free(places);
	*ret = (struct ranking){ rows, n };
	return 0;
}

void
ranking_done(struct ranking *r)
{
	free(r->rows);
	*r = (struct ranking){ 0 };
}

bool
ranking_value(const char *name, enum profile_value *ret)
{
	for (size_t v = 0; v < PROFILE_VALUES; v++) {
		if (strcmp(profile_value_types[v].name, name) == 0) {
			*ret = (enum profile_value)v;
			return true;
		}
	}
	return false;
}

void
ranking_stack(const struct profile *p, uint32_t sample,
	      void (*each)(void *argument, const struct profile_function *f, uint32_t line), void *argument)
{
	const struct profile_sample *s = &p->samples[sample];

	for (uint32_t i = 0; i < s->depth; i++) {
		const struct profile_location *at = &p->locations[p->stack[s->first_location + i]];

		for (uint32_t k = 0; k < at->n_lines; k++) {
			const struct profile_line *line = &p->lines[at->first_line + k];

			each(argument, &p->functions[line->function], line->line);
		}
	}
}
