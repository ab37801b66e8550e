/* legacy.c - what gperftools' own programs serve, for jeprof, google-pprof and the old pprof.
 *
 * By default the estimates themselves, under a header that says so ("heapprofile": readers leave the numbers alone). With
 * `raw`, numbers for readers that scale by the rate in the header.
 * Those tools take one off every address but the first of a stack, Go's reader off that too. Both then find the call,
 * as a call is at least two bytes long: the leaf is written as the address inside its call, the others as the one after.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "fold.h"
#include "text.h"
#include "unscale.h"

static void
add_stack(struct text *t, const struct profile *p, const struct profile_sample *s)
{
	char address[24];

	for (uint32_t i = 0; i < s->depth; i++) {
		(void)snprintf(address, sizeof(address), " 0x%08" PRIx64,
			       p->locations[p->stack[s->first_location + i]].address + (i > 0));
		text_add(t, address);
	}
	text_add_char(t, '\n');
}

static void
add_counts(struct text *t, const struct unscaled *inuse, const struct unscaled *alloc)
{
	text_printf(t, "%6" PRIu64 ": %8" PRIu64 " [%6" PRIu64 ": %8" PRIu64 "] @", inuse->objects, inuse->bytes,
		    alloc->objects, alloc->bytes);
}

/* The records of a sample: pairs of in-use and allocated numbers. */
struct records {
	struct unscaled inuse[UNSCALE_MAX], alloc[UNSCALE_MAX];
	size_t n;
};

static struct unscaled
as_it_is(double objects, double bytes)
{
	return (struct unscaled){ objects > 0 ? (uint64_t)llround(fmin(objects, 0x1p62)) : 0,
				  bytes > 0 ? (uint64_t)llround(fmin(bytes, 0x1p62)) : 0 };
}

static struct records
records_of(const struct profile_sample *s, bool growth, uint64_t rate)
{
	struct records r = { 0 };
	double objects = s->value[PROFILE_INUSE_OBJECTS], bytes = s->value[PROFILE_INUSE_SPACE];
	size_t n;

	if (rate > 0) {
		r.n = unscale(objects, bytes, rate, r.inuse);
		n = unscale(s->value[PROFILE_ALLOC_OBJECTS], s->value[PROFILE_ALLOC_SPACE], rate, r.alloc);
		r.n = n > r.n ? n : r.n;
		return r;
	}
	r.inuse[0] = as_it_is(objects, bytes);
	r.alloc[0] = growth ? r.inuse[0] : as_it_is(s->value[PROFILE_ALLOC_OBJECTS], s->value[PROFILE_ALLOC_SPACE]);
	r.n = (r.inuse[0].objects | r.inuse[0].bytes | r.alloc[0].objects | r.alloc[0].bytes) != 0;
	return r;
}

/* As lines of /proc/PID/maps, one a file, which is all that readers want to know. */
static void
add_maps(struct text *t, const struct profile *p)
{
	text_add(t, "\nMAPPED_LIBRARIES:\n");
	for (size_t i = 0; i < p->n_mappings; i++) {
		const struct profile_mapping *m = &p->mappings[i];

		if (m->limit > m->start)
			text_printf(t, "%08" PRIx64 "-%08" PRIx64 " r-xp 00000000 00:00 0 %s\n", m->start, m->limit,
				    m->path);
	}
}

int
profile_encode_legacy(const struct profile *p, bool growth, bool raw, char **ret, size_t *ret_size)
{
	struct text t = { 0 };
	struct unscaled inuse = { 0 }, alloc = { 0 };
	uint64_t rate = raw && !growth ? unscale_rate(p) : 0;
	struct fold fold;

	if (fold_for_text(p, &fold) < 0)
		return -ENOMEM;
	for (size_t i = 0; i <= fold.n; i++) {
		struct records r = records_of(i < fold.n ? &p->samples[fold.order[i]] : &fold.rest, growth, rate);

		for (size_t k = 0; k < r.n; k++) {
			inuse.objects += r.inuse[k].objects;
			inuse.bytes += r.inuse[k].bytes;
			alloc.objects += r.alloc[k].objects;
			alloc.bytes += r.alloc[k].bytes;
		}
	}
	text_add(&t, "heap profile: ");
	add_counts(&t, &inuse, &alloc);
	if (rate > 0)
		text_printf(&t, " heap_v2/%" PRIu64 "\n", rate);
	else
		text_add(&t, growth ? " growth\n" : " heapprofile\n");
	for (size_t i = 0; i <= fold.n; i++) {
		const struct profile_sample *s = i < fold.n ? &p->samples[fold.order[i]] : &fold.rest;
		struct records r = records_of(s, growth, rate);

		for (size_t k = 0; k < r.n; k++) {
			add_counts(&t, &r.inuse[k], &r.alloc[k]);
			if (i == fold.n)
				text_printf(&t, " 0x%08x", FOLD_ADDRESS);
			add_stack(&t, p, s);
		}
	}
	fold_done(&fold);
	add_maps(&t, p);
	return text_take(&t, ret, ret_size);
}
