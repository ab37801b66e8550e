/* ended.c - see ended.h. */
#include "ended.h"

#include <stdlib.h>
#include <string.h>

/* Where the target's snapshot is, or moment.n. */
static size_t
ended_find(const struct ended *e, const struct target *t)
{
	/* From the end: the newest are asked for most. */
	for (size_t i = e->moment.n; i-- > 0;) {
		const struct snapshot *s = e->moment.snapshots[i];

		if (s->random == t->random && s->start_time == t->start_time && s->pid == t->pid)
			return i;
	}
	return e->moment.n;
}

static bool
ended_reserve(struct ended *e)
{
	size_t room = e->room ? 2 * e->room : 64;
	struct snapshot **snapshots;
	uint32_t *pids;

	if (e->moment.n < e->room)
		return true;
	snapshots = realloc(e->moment.snapshots, room * sizeof(struct snapshot *));
	if (!snapshots)
		return false;
	e->moment.snapshots = snapshots;
	pids = realloc(e->moment.pids, room * sizeof(*pids));
	if (!pids)
		return false;
	e->moment.pids = pids;
	e->room = room;
	return true;
}

/* A snapshot of the target, in the place of the one there is. True if there is one now. */
static bool
ended_put(struct ended *e, struct target *t, bool alive)
{
	size_t at = ended_find(e, t);
	bool known = at < e->moment.n;
	struct snapshot *s;

	if (!known && (e->bytes >= ENDED_BYTES_MAX || !ended_reserve(e))) {
		e->no_room++;
		return false;
	}
	if (target_snapshot(t, &s) < 0)
		return known; /* heapd list tells why */
	if (known) {
		e->bytes -= snapshot_bytes(e->moment.snapshots[at]);
		snapshot_free(e->moment.snapshots[at]);
	} else {
		e->moment.n++;
	}
	e->moment.snapshots[at] = s;
	e->moment.pids[at] = alive ? t->pid : 0;
	e->bytes += snapshot_bytes(s);
	return true;
}

void
ended_gather(struct ended *e, struct targets *all)
{
	struct target **list = targets_list(all);

	for (size_t i = 0; list && list[i]; i++)
		if (!atomic_load_explicit(&list[i]->alive, memory_order_acquire) &&
		    ended_find(e, list[i]) == e->moment.n)
			(void)ended_put(e, list[i], false);
	targets_list_free(list);
}

size_t
ended_complete(struct ended *e, struct targets *all)
{
	struct target **list = targets_list(all);
	size_t there = 0;

	e->no_room = 0;
	/* Those that were taken for ended as well: in another pid namespace that cannot be told. */
	for (size_t i = 0; list && list[i]; i++)
		there += ended_put(e, list[i], atomic_load_explicit(&list[i]->alive, memory_order_acquire));
	targets_list_free(list);
	return e->moment.n - there;
}

void
ended_done(struct ended *e)
{
	moment_done(&e->moment);
	*e = (struct ended){ 0 };
}
