/* shown.c - see shown.h. */
#include "shown.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "fold.h"
#include "table.h"

struct shown {
	uint64_t target;
	struct shown_stack *served;
	size_t n, room;
	struct table table; /* of served, by key */
	bool rest; /* a sum has been served */
	bool taken;
	unsigned waiting;
	uint64_t used; /* the higher, the later */
};

struct shown_all {
	pthread_mutex_t lock;
	pthread_cond_t given;
	struct shown *of[SHOWN_MAX];
	size_t n;
	uint64_t uses;
};

/* -- which -- */

static bool
key_equal(const void *owner, uint32_t item, const void *key)
{
	const struct shown *f = owner;

	return f->served[item].key == *(const uint64_t *)key;
}

/* A stack goes by its addresses, as with the readers. */
static uint64_t
stack_key(const struct profile *p, const struct profile_sample *s)
{
	uint64_t addresses[HEAPD_MAX_DEPTH];
	uint32_t n = s->depth < HEAPD_MAX_DEPTH ? s->depth : HEAPD_MAX_DEPTH;

	for (uint32_t i = 0; i < n; i++)
		addresses[i] = p->locations[p->stack[s->first_location + i]].address;
	return hash_bytes(addresses, n * sizeof(*addresses));
}

int
showing_init(struct showing *plan, const struct profile *p, struct shown *shown)
{
	*plan = (struct showing){ .p = p, .shown = shown };
	plan->served = calloc(p->n_samples + 1, sizeof(*plan->served));
	plan->known = calloc(p->n_samples + 1, sizeof(*plan->known));
	plan->keep = calloc(p->n_samples + 1, sizeof(*plan->keep));
	if (!plan->served || !plan->known || !plan->keep)
		return -ENOMEM;
	for (size_t i = 0; shown && i < p->n_samples; i++) {
		uint64_t key = stack_key(p, &p->samples[i]);
		uint32_t item = table_find(&shown->table, key, key_equal, shown, &key);

		plan->known[i] = item != TABLE_NONE;
		plan->n_known += plan->known[i];
		if (plan->known[i])
			plan->served[i] = shown->served[item];
		else
			plan->served[i].key = key;
	}
	return 0;
}

void
showing_done(struct showing *plan)
{
	free(plan->served);
	free(plan->known);
	free(plan->keep);
	free(plan->by_rank);
}

/* What a stack that comes in now has allocated was in the sum, or may have been. */
static void
set_summed(struct showing *plan, size_t i)
{
	for (unsigned k = 0; k < SHOWN_MONOTONE; k++) {
		if (!plan->known[i])
			plan->served[i].summed[k] =
				plan->shown && plan->shown->rest ? profile_whole(plan->p->samples[i].value[k]) : 0;
	}
}

int
showing_choose(struct showing *plan, size_t room)
{
	size_t n = plan->p->n_samples, open = plan->shown ? room - room / 4 : room, left;
	bool all = n <= open || n == plan->n_known;

	plan->rest = !all || (plan->shown && plan->shown->rest);
	if (!all && !plan->by_rank)
		plan->by_rank = fold_order(plan->p, true);
	if (!all && !plan->by_rank)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		plan->keep[i] = all || plan->known[i];
	plan->n_keep = all ? n : plan->n_known;
	room -= room > 0; /* for the sum */
	open -= open > 0;
	left = plan->n_known > open ? plan->n_known : open;
	left = room > left ? room - left : 0;
	for (size_t i = 0; !all && i < n; i++) {
		uint32_t sample = plan->by_rank[i];

		if (plan->keep[sample] || (plan->n_keep >= open && (i >= left || plan->n_keep >= room)))
			continue;
		plan->keep[sample] = true;
		plan->n_keep++;
	}
	for (size_t i = 0; i < n; i++)
		set_summed(plan, i);
	return 0;
}

int
showing_commit(struct showing *plan)
{
	struct shown *f = plan->shown;

	for (size_t i = 0; f && i < plan->p->n_samples; i++) {
		if (!plan->keep[i] || plan->known[i])
			continue;
		if (array_reserve(&f->served, f->n, 1, &f->room, sizeof(*f->served)) < 0 ||
		    table_add(&f->table, plan->served[i].key, (uint32_t)f->n) < 0)
			return -ENOMEM;
		f->served[f->n++] = plan->served[i];
	}
	if (f)
		f->rest = plan->rest;
	return 0;
}

/* -- of all targets -- */

int
shown_all_new(struct shown_all **ret)
{
	struct shown_all *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_cond_init(&f->given, NULL);
	*ret = f;
	return 0;
}

static void
shown_free(struct shown *f)
{
	free(f->served);
	table_done(&f->table);
	free(f);
}

void
shown_all_free(struct shown_all *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++)
		shown_free(f->of[i]);
	(void)pthread_cond_destroy(&f->given);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}

/* Forget those that were not asked for the longest until there is room for another. */
static void
make_room(struct shown_all *f)
{
	for (;;) {
		size_t stacks = 0, oldest = f->n;

		for (size_t i = 0; i < f->n; i++) {
			const struct shown *shown = f->of[i];

			stacks += shown->taken ? 0 : shown->n;
			if (!shown->taken && shown->waiting == 0 &&
			    (oldest == f->n || shown->used < f->of[oldest]->used))
				oldest = i;
		}
		if (oldest == f->n || (f->n < SHOWN_MAX && stacks <= SHOWN_STACKS_MAX))
			return;
		shown_free(f->of[oldest]);
		f->of[oldest] = f->of[--f->n];
	}
}

static struct shown *
find(struct shown_all *f, uint64_t target)
{
	struct shown *new;

	for (size_t i = 0; i < f->n; i++) {
		if (f->of[i]->target == target)
			return f->of[i];
	}
	make_room(f);
	new = f->n < SHOWN_MAX ? calloc(1, sizeof(*new)) : NULL;
	if (new) {
		new->target = target;
		f->of[f->n++] = new;
	}
	return new;
}

struct shown *
shown_take(struct shown_all *f, uint64_t target)
{
	struct shown *shown;

	(void)pthread_mutex_lock(&f->lock);
	shown = find(f, target);
	if (shown) {
		shown->used = ++f->uses;
		shown->waiting++;
		while (shown->taken)
			(void)pthread_cond_wait(&f->given, &f->lock);
		shown->waiting--;
		shown->taken = true;
	}
	(void)pthread_mutex_unlock(&f->lock);
	return shown;
}

void
shown_give(struct shown_all *f, struct shown *shown)
{
	if (!shown)
		return;
	(void)pthread_mutex_lock(&f->lock);
	shown->taken = false;
	(void)pthread_cond_broadcast(&f->given);
	(void)pthread_mutex_unlock(&f->lock);
}
