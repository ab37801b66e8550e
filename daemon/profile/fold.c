/* fold.c - see fold.h. A stack that holds nothing now may be the one that allocates most, so every total counts. */
#include "fold.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

struct ranked {
	double rank;
	uint32_t sample;
};

static int
compare_ranks(const void *left, const void *right)
{
	const struct ranked *a = left, *b = right;

	if (a->rank != b->rank)
		return a->rank > b->rank ? -1 : 1;
	return a->sample < b->sample ? -1 : a->sample > b->sample;
}

uint32_t *
fold_order(const struct profile *p, bool some_go)
{
	uint32_t *order = malloc((p->n_samples + 1) * sizeof(*order));
	struct ranked *ranked = some_go ? malloc(p->n_samples * sizeof(*ranked)) : NULL;
	double sum[PROFILE_VALUES] = { 0 };

	if (!order || (some_go && !ranked)) {
		free(order);
		free(ranked);
		return NULL;
	}
	for (size_t i = 0; i < p->n_samples; i++)
		order[i] = (uint32_t)i;
	if (!some_go)
		return order;

	for (size_t i = 0; i < p->n_samples; i++) {
		for (unsigned k = 0; k < PROFILE_VALUES; k++)
			sum[k] += fabs(p->samples[i].value[k]);
	}
	for (size_t i = 0; i < p->n_samples; i++) {
		ranked[i] = (struct ranked){ 0, (uint32_t)i };
		for (unsigned k = 0; k < PROFILE_VALUES; k++) {
			if (sum[k] > 0)
				ranked[i].rank = fmax(ranked[i].rank, fabs(p->samples[i].value[k]) / sum[k]);
		}
	}
	qsort(ranked, p->n_samples, sizeof(*ranked), compare_ranks);
	for (size_t i = 0; i < p->n_samples; i++)
		order[i] = ranked[i].sample;
	free(ranked);
	return order;
}

int
fold_for_text(const struct profile *p, struct fold *ret)
{
	struct fold f = { .n = p->n_samples };
	size_t frames = 0;

	for (size_t i = 0; i < p->n_samples; i++)
		frames += p->samples[i].depth;
	f.order = fold_order(p, frames > FOLD_FRAMES_MAX);
	if (!f.order)
		return -ENOMEM;
	if (frames > FOLD_FRAMES_MAX) {
		frames = f.n = 0;
		while (f.n < p->n_samples && (frames += p->samples[f.order[f.n]].depth) <= FOLD_FRAMES_MAX)
			f.n++;
	}
	f.n_rest = p->n_samples - f.n;
	for (size_t i = f.n; i < p->n_samples; i++)
		for (unsigned k = 0; k < PROFILE_VALUES; k++)
			f.rest.value[k] += p->samples[f.order[i]].value[k];
	*ret = f;
	return 0;
}

void
fold_done(struct fold *f)
{
	free(f->order);
}
