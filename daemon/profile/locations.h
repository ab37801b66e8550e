/* locations.h - where code is, while a profile is built: mappings, functions, lines and locations, each only once.
 *
 * They go into the profile, numbered in the order they are first needed; this keeps what is needed to find them again.
 * Threads: belongs to one.
 */
#ifndef HEAPD_LOCATIONS_H
#define HEAPD_LOCATIONS_H

#include "profile.h"
#include "table.h"

struct location_key;

struct locations { /* all zero but p is an empty one */
	struct profile *p; /* borrowed */
	struct table mappings, functions, table, addresses;
	uint64_t *bias; /* one a mapping: runtime - ELF address in the first process that has it */
	struct location_key *keys; /* one a location */
	size_t mappings_room, bias_room, functions_room, lines_room, locations_room, keys_room;
};

/* Mappings for all modules of a snapshot, the main program's first; ret[i] belongs to modules[i]. 0 or -ENOMEM. */
int locations_add_mappings(struct locations *b, const struct snapshot *s, uint32_t *ret);

/* The location of a frame of a source whose mappings those are. 0 or -ENOMEM. */
int locations_add_frame(struct locations *b, const struct profile_source *source, const uint32_t *mappings,
			uint32_t frame, uint32_t *ret);

/* A location that stands for what has no stack, at an address where no code can be. 0 or -ENOMEM. */
int locations_add_placeholder(struct locations *b, bool overflow, uint32_t *ret);

/* Release what was needed to find things; the profile keeps the things. */
void locations_done(struct locations *b);

#endif
