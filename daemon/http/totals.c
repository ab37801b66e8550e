/* totals.c - see totals.h; the units are those of struct heapd_totals. */
#include "totals.h"

#include <math.h>

const struct loss_text loss_texts[HEAPD_LOSSES] = {
	[HEAPD_LOST_BUSY] = { "busy", "Samples skipped because the thread was already taking one (signal handler), or "
				      "the segment was only being made." },
	[HEAPD_LOST_NO_LIVE] = { "no_live", "Samples skipped because there was no room for another live block." },
	[HEAPD_LOST_NO_SITE] = { "no_site",
				 "Samples put on the overflow site because there was no room for another stack." },
	[HEAPD_LOST_DEEP] = { "deep", "Stacks cut because they were too deep." },
	[HEAPD_LOST_NO_CFI] = { "no_cfi", "Stacks that ended at code without usable unwind tables." },
	[HEAPD_LOST_BAD_FRAME] = { "bad_frame", "Stacks that ended because the next frame did not make sense." },
	[HEAPD_LOST_FOREIGN] = { "foreign", "Stacks not walked because they were not on the thread's own stack." },
	[HEAPD_LOST_FREE] = { "free", "Live blocks whose free was never seen." },
	[HEAPD_LOST_MODULE] = { "module", "Frames without module because the module table was full." },
};

static double
difference(uint64_t later, uint64_t earlier)
{
	return later >= earlier ? (double)(later - earlier) : -(double)(earlier - later);
}

void
totals_of(const struct snapshot *s, struct totals *ret)
{
	struct totals t = { 0 };

	for (size_t i = 0; i < s->n_sites; i++) {
		const struct snapshot_totals *a = &s->sites[i].alloc, *f = &s->sites[i].freed;

		t.sites += a->samples > 0;
		t.samples += a->samples;
		t.value[PROFILE_ALLOC_OBJECTS] += ldexp((double)a->objects, -HEAPD_WEIGHT_SHIFT);
		t.value[PROFILE_ALLOC_SPACE] += (double)a->bytes;
		t.value[PROFILE_INUSE_OBJECTS] += ldexp(difference(a->objects, f->objects), -HEAPD_WEIGHT_SHIFT);
		t.value[PROFILE_INUSE_SPACE] += difference(a->bytes, f->bytes);
		t.variance[PROFILE_ALLOC_OBJECTS] += ldexp((double)a->objects_var, -HEAPD_OBJECTS_VAR_SHIFT);
		t.variance[PROFILE_ALLOC_SPACE] += ldexp((double)a->bytes_var, HEAPD_BYTES_VAR_SHIFT);
		t.variance[PROFILE_INUSE_OBJECTS] +=
			ldexp(difference(a->objects_var, f->objects_var), -HEAPD_OBJECTS_VAR_SHIFT);
		t.variance[PROFILE_INUSE_SPACE] += ldexp(difference(a->bytes_var, f->bytes_var), HEAPD_BYTES_VAR_SHIFT);
	}
	*ret = t;
}

uint64_t
totals_dropped(const struct snapshot *s)
{
	return s->lost[HEAPD_LOST_BUSY] + s->lost[HEAPD_LOST_NO_LIVE] + s->lost[HEAPD_LOST_NO_SITE];
}
