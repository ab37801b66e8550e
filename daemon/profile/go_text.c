/* go_text.c - Go's text form of a heap profile (debug=1), for eyes and for readers of the old text format.
 *
 * Readers scale the numbers up by the rate in the first line (it says twice the rate) and take one off every address, so
 * the numbers are unscaled and addresses are those after the call. A stack may take two records. What follows "#" is
 * skipped by readers. Unlike Go we do not know where a function starts, so names have no offset.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include "fold.h"
#include "text.h"
#include "unscale.h"

static void
add_number(struct text *t, uint64_t n, unsigned base)
{
	char digits[20];
	size_t i = sizeof(digits);

	do
		digits[--i] = "0123456789abcdef"[n % base];
	while ((n /= base) != 0);
	text_add_bytes(t, digits + i, sizeof(digits) - i);
}

static void
add_counts(struct text *t, const struct unscaled *inuse, const struct unscaled *alloc)
{
	add_number(t, inuse->objects, 10);
	text_add(t, ": ");
	add_number(t, inuse->bytes, 10);
	text_add(t, " [");
	add_number(t, alloc->objects, 10);
	text_add(t, ": ");
	add_number(t, alloc->bytes, 10);
	text_add(t, "] @");
}

static void
add_frame(struct text *t, const struct profile *p, const struct profile_location *l)
{
	for (uint32_t i = l->first_line; i < l->first_line + l->n_lines; i++) {
		const struct profile_function *f = &p->functions[p->lines[i].function];

		text_add(t, "#\t0x");
		add_number(t, l->address + 1, 16);
		text_add_char(t, '\t');
		text_add(t, f->name);
		if (f->file[0]) {
			text_add_char(t, '\t');
			text_add(t, f->file);
			text_add_char(t, ':');
			add_number(t, p->lines[i].line, 10);
		}
		text_add_char(t, '\n');
	}
}

static void
add_sample(struct text *t, const struct profile *p, const struct profile_sample *s, bool rest, uint64_t rate)
{
	struct unscaled inuse[UNSCALE_MAX] = { 0 }, alloc[UNSCALE_MAX] = { 0 };
	size_t n_inuse = unscale(s->value[PROFILE_INUSE_OBJECTS], s->value[PROFILE_INUSE_SPACE], rate, inuse);
	size_t n = unscale(s->value[PROFILE_ALLOC_OBJECTS], s->value[PROFILE_ALLOC_SPACE], rate, alloc);

	n = n > n_inuse ? n : n_inuse;
	for (size_t k = 0; k < n; k++) {
		add_counts(t, &inuse[k], &alloc[k]);
		for (uint32_t i = 0; i < s->depth; i++) {
			text_add(t, " 0x");
			add_number(t, p->locations[p->stack[s->first_location + i]].address + 1, 16);
		}
		if (rest)
			text_printf(t, " %#x", FOLD_ADDRESS + 1);
		text_add_char(t, '\n');
	}
	if (n > 0 && rest)
		text_printf(t, "#\t%#x\t[other]\n", FOLD_ADDRESS + 1);
	for (uint32_t i = 0; n > 0 && i < s->depth; i++)
		add_frame(t, p, &p->locations[p->stack[s->first_location + i]]);
	if (n > 0)
		text_add_char(t, '\n');
}

static void
add_head(struct text *t, const struct profile *p, const struct fold *fold, uint64_t rate)
{
	struct unscaled inuse = { 0 }, alloc = { 0 }, part[UNSCALE_MAX];

	for (size_t i = 0; i <= fold->n; i++) {
		const double *v = i < fold->n ? p->samples[fold->order[i]].value : fold->rest.value;

		for (size_t k = unscale(v[PROFILE_INUSE_OBJECTS], v[PROFILE_INUSE_SPACE], rate, part); k-- > 0;) {
			inuse.objects += part[k].objects;
			inuse.bytes += part[k].bytes;
		}
		for (size_t k = unscale(v[PROFILE_ALLOC_OBJECTS], v[PROFILE_ALLOC_SPACE], rate, part); k-- > 0;) {
			alloc.objects += part[k].objects;
			alloc.bytes += part[k].bytes;
		}
	}
	text_add(t, "heap profile: ");
	add_counts(t, &inuse, &alloc);
	text_printf(t, " heap/%" PRIu64 "\n", 2 * rate);
}

static double
whole(double value)
{
	return value > 0 ? round(value) : 0;
}

/* Go's keys in Go's order; 0 where a native heap has no such thing. Then what only we know. */
static void
add_tail(struct text *t, const struct profile *p)
{
	const double *v = p->total;
	double live = whole(v[PROFILE_INUSE_SPACE]), freed = whole(v[PROFILE_ALLOC_OBJECTS] - v[PROFILE_INUSE_OBJECTS]);
	static const char *const losses[HEAPD_LOSSES] = {
		[HEAPD_LOST_BUSY] = "LostBusy",       [HEAPD_LOST_NO_LIVE] = "LostNoLive",
		[HEAPD_LOST_NO_SITE] = "LostNoSite",  [HEAPD_LOST_DEEP] = "LostDeep",
		[HEAPD_LOST_NO_CFI] = "LostNoCFI",    [HEAPD_LOST_BAD_FRAME] = "LostBadFrame",
		[HEAPD_LOST_FOREIGN] = "LostForeign", [HEAPD_LOST_FREE] = "LostFree",
		[HEAPD_LOST_MODULE] = "LostModule",
	};

	text_printf(t, "\n# runtime.MemStats\n# Alloc = %.0f\n# TotalAlloc = %.0f\n# Sys = 0\n# Lookups = 0\n", live,
		    whole(v[PROFILE_ALLOC_SPACE]));
	text_printf(t, "# Mallocs = %.0f\n# Frees = %.0f\n", whole(v[PROFILE_ALLOC_OBJECTS]), freed);
	text_printf(t, "# HeapAlloc = %.0f\n# HeapSys = 0\n# HeapIdle = 0\n# HeapInuse = %.0f\n# HeapReleased = 0\n",
		    live, live);
	text_printf(t, "# HeapObjects = %.0f\n", whole(v[PROFILE_INUSE_OBJECTS]));
	text_add(
		t,
		"# Stack = 0 / 0\n# MSpan = 0 / 0\n# MCache = 0 / 0\n# BuckHashSys = 0\n# GCSys = 0\n# OtherSys = 0\n");
	text_add(t, "# NextGC = 0\n# LastGC = 0\n");
	for (int k = 0; k < 2; k++) {
		text_add(t, k == 0 ? "# PauseNs = [0" : "# PauseEnd = [0");
		for (int i = 1; i < 256; i++)
			text_add(t, " 0");
		text_add(t, "]\n");
	}
	text_add(t, "# NumGC = 0\n# NumForcedGC = 0\n# GCCPUFraction = 0\n# DebugGC = false\n# MaxRSS = 0\n");

	text_printf(t, "# heapd.Version = " HEAPD_VERSION "\n# heapd.Period = %" PRIu64 "\n", p->period);
	for (unsigned k = 0; k < PROFILE_VALUES; k++)
		text_printf(t, "# heapd.%s = %.0f, standard error %.0f\n", profile_value_types[k].name, round(v[k]),
			    profile_error(p->total_variance[k]));
	for (unsigned i = 0; i < HEAPD_LOSSES; i++)
		text_printf(t, "# heapd.%s = %" PRIu64 "\n", losses[i], p->lost[i]);
	text_printf(t, "# heapd.LostBytes = %" PRIu64 "\n# heapd.Inconsistent = %" PRIu64 "\n", p->lost_bytes,
		    p->inconsistent);
}

int
profile_encode_text(const struct profile *p, char **ret, size_t *ret_size)
{
	struct text t = { 0 };
	uint64_t rate = unscale_rate(p);
	struct fold fold;

	if (fold_for_text(p, &fold) < 0)
		return -ENOMEM;
	add_head(&t, p, &fold, rate);
	for (size_t i = 0; i < fold.n; i++)
		add_sample(&t, p, &p->samples[fold.order[i]], false, rate);
	add_sample(&t, p, &fold.rest, true, rate);
	add_tail(&t, p);
	if (fold.n_rest > 0)
		text_printf(&t, "# heapd.Other = %zu small stacks, summed up in [other]\n", fold.n_rest);
	fold_done(&fold);
	return text_take(&t, ret, ret_size);
}
