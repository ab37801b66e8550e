/* jit_maps.c - a few slots, searched in order: few processes leave perf maps. */
#include "jit_maps.h"

#include <stdlib.h>

#define SLOTS 16
#define BYTES_MAX ((size_t)256 << 20)

struct slot { /* one life of a process */
	struct perfmap *map; /* NULL: free */
	uint64_t random, start_time;
	uint32_t pid;
	uint64_t used; /* grows with each use */
};

struct jit_maps {
	struct slot slots[SLOTS];
	uint64_t uses;
};

struct jit_maps *
jit_maps_new(void)
{
	return calloc(1, sizeof(struct jit_maps));
}

void
jit_maps_free(struct jit_maps *m)
{
	for (size_t i = 0; m && i < SLOTS; i++)
		perfmap_free(m->slots[i].map);
	free(m);
}

/* The slot that is free or was used least recently. */
static struct slot *
find_oldest(struct jit_maps *m)
{
	struct slot *oldest = &m->slots[0];

	for (size_t i = 1; i < SLOTS; i++) {
		struct slot *slot = &m->slots[i];
		if (oldest->map && (!slot->map || slot->used < oldest->used))
			oldest = slot;
	}
	return oldest;
}

static size_t
bytes_without(const struct jit_maps *m, const struct slot *without)
{
	size_t n = 0;

	for (size_t i = 0; i < SLOTS; i++)
		if (m->slots[i].map && &m->slots[i] != without)
			n += perfmap_bytes(m->slots[i].map);
	return n;
}

/* One map alone may be over the limit only as far as perfmap.h lets it be. */
static void
make_room(struct jit_maps *m, const struct slot *keep)
{
	size_t own = perfmap_bytes(keep->map), rest;

	while ((rest = bytes_without(m, keep)) > 0 && own + rest > BYTES_MAX) {
		struct slot *oldest = NULL;
		for (size_t i = 0; i < SLOTS; i++)
			if (m->slots[i].map && &m->slots[i] != keep && (!oldest || m->slots[i].used < oldest->used))
				oldest = &m->slots[i];
		perfmap_free(oldest->map);
		oldest->map = NULL;
	}
}

const struct perfmap *
jit_maps_get(struct jit_maps *m, const struct snapshot *snap, struct target_files *target)
{
	struct slot *slot = NULL;
	int r;

	for (size_t i = 0; i < SLOTS && !slot; i++)
		if (m->slots[i].map && m->slots[i].random == snap->random && m->slots[i].pid == snap->pid &&
		    m->slots[i].start_time == snap->start_time)
			slot = &m->slots[i];
	if (!slot) {
		slot = find_oldest(m);
		perfmap_free(slot->map);
		*slot = (struct slot){
			.map = perfmap_new(), .random = snap->random, .start_time = snap->start_time, .pid = snap->pid
		};
		if (!slot->map)
			return NULL;
	}
	slot->used = ++m->uses;
	r = target ? perfmap_update(slot->map, target) : perfmap_update_ended(slot->map, snap);
	if (r < 0 && perfmap_bytes(slot->map) == 0) { /* most processes have none */
		perfmap_free(slot->map);
		slot->map = NULL;
		return NULL;
	}
	make_room(m, slot);
	return slot->map;
}
