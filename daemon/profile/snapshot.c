/* snapshot.c - see snapshot.h. The reader fills snapshots; this file owns their storage and their difference. */
#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct snapshot *
snapshot_new(void)
{
	return calloc(1, sizeof(struct snapshot));
}

void
snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_modules; i++)
		free(s->modules[i].path);
	free(s->modules);
	free(s->frames);
	free(s->stacks);
	free(s->sites);
	free(s->cmdline);
	free(s);
}

/* *later -= earlier if no field goes below zero. */
static bool
totals_subtract(struct snapshot_totals *later, const struct snapshot_totals *earlier)
{
	if (later->samples < earlier->samples || later->objects < earlier->objects || later->bytes < earlier->bytes ||
	    later->objects_var < earlier->objects_var || later->bytes_var < earlier->bytes_var)
		return false;
	later->samples -= earlier->samples;
	later->objects -= earlier->objects;
	later->bytes -= earlier->bytes;
	later->objects_var -= earlier->objects_var;
	later->bytes_var -= earlier->bytes_var;
	return true;
}

static bool
totals_zero(const struct snapshot_totals *t)
{
	return (t->samples | t->objects | t->bytes | t->objects_var | t->bytes_var) == 0;
}

static bool
site_subtract(struct snapshot_site *later, const struct snapshot_site *earlier)
{
	/* A slot that was not shown yet has nothing to take away. */
	if (totals_zero(&earlier->alloc) && totals_zero(&earlier->freed))
		return true;
	if (later->depth != earlier->depth || later->stack != earlier->stack)
		return false;
	return totals_subtract(&later->alloc, &earlier->alloc) && totals_subtract(&later->freed, &earlier->freed);
}

static uint64_t
counter_subtract(uint64_t later, uint64_t earlier)
{
	return later > earlier ? later - earlier : 0;
}

size_t
snapshot_bytes(const struct snapshot *s)
{
	size_t bytes = sizeof(*s) + s->cmdline_length;

	bytes += s->n_modules * (sizeof(*s->modules) + 64); /* and its path */
	bytes += s->n_frames * sizeof(*s->frames) + s->n_stacks * sizeof(*s->stacks) + s->n_sites * sizeof(*s->sites);
	return bytes;
}

int
snapshot_subtract(struct snapshot *later, const struct snapshot *earlier)
{
	if (later->pid != earlier->pid || later->start_time != earlier->start_time ||
	    later->random != earlier->random || later->duration_ns != 0 || earlier->duration_ns != 0)
		return -EINVAL;

	for (size_t i = 0; i < later->n_sites && i < earlier->n_sites; i++) {
		struct snapshot_site *site = &later->sites[i];

		if (!site_subtract(site, &earlier->sites[i])) {
			memset(&site->alloc, 0, sizeof(site->alloc));
			memset(&site->freed, 0, sizeof(site->freed));
			later->inconsistent++;
		}
	}
	if (later->n_sites < earlier->n_sites)
		later->inconsistent += earlier->n_sites - later->n_sites;
	later->samples = counter_subtract(later->samples, earlier->samples);
	for (size_t i = 0; i < HEAPD_LOSSES; i++)
		later->lost[i] = counter_subtract(later->lost[i], earlier->lost[i]);
	later->lost_bytes = counter_subtract(later->lost_bytes, earlier->lost_bytes);
	later->duration_ns = later->time_ns > earlier->time_ns ? later->time_ns - earlier->time_ns : 1;
	return 0;
}
