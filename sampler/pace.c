/* pace.c - see pace.h.
 *
 * A look after a sixteenth of a second, or as soon as the samples for it have come. The rate since the last look and the
 * period then give the period that would have brought the right one. But bursts are short: at most it grows fourfold at a
 * look, and falls by half in each span. So a burst out of a quiet second costs few samples too many, and the quiet
 * between two bursts is not paid with the next.
 */
#include "pace.h"

#include "random.h"

#define PACE_SHIFT 14 /* 5 us at 3 GHz, 0.6 ms at 25 MHz; 32 bits of it are hours, and a look too early is harmless */
#define LOOKS 16 /* a second */
#define SAMPLES_LEAST 16 /* between looks: fewer say little about a rate */
#define GROWTH 4

/* As long as it was not measured. Too fast a counter makes for too few samples. */
#if defined(__aarch64__)
#define TICKS_PER_SECOND (UINT64_C(1) << 30)
#else
#define TICKS_PER_SECOND (UINT64_C(1) << 32)
#endif

uint64_t
pace_period(struct pace *p, const struct heapd_header *h, uint64_t period, uint64_t wanted, uint64_t ticks)
{
	uint64_t most = atomic_load_explicit(&h->max_samples, memory_order_relaxed);
	uint64_t rate = atomic_load_explicit(&h->ticks_per_second, memory_order_relaxed);
	/* Those that found no room have cost as much. */
	uint64_t samples = atomic_load_explicit(&h->samples, memory_order_relaxed) +
			   atomic_load_explicit(&h->lost[HEAPD_LOST_NO_LIVE], memory_order_relaxed);
	uint64_t since = atomic_load_explicit(&p->since, memory_order_relaxed);
	uint32_t now = (uint32_t)(ticks >> PACE_SHIFT), passed = now - (uint32_t)(since >> 32);
	uint32_t taken = (uint32_t)samples - (uint32_t)since;
	uint64_t due = most / LOOKS, span = (rate ? rate : TICKS_PER_SECOND) / LOOKS, least;
	wide next;

	if (due < SAMPLES_LEAST) { /* then that many, in as much longer a time */
		due = SAMPLES_LEAST;
		span = span * LOOKS * SAMPLES_LEAST / (most ? most : 1);
	}
	span = (span >> PACE_SHIFT) + 1;
	if (period < wanted)
		period = wanted;
	if (ticks == 0 || (taken < due && passed < span))
		return period;
	if (!atomic_compare_exchange_strong_explicit(&p->since, &since, (uint64_t)now << 32 | (uint32_t)samples,
						     memory_order_relaxed, memory_order_relaxed))
		return period; /* another thread looks */

	if (passed == 0)
		passed = 1;
	/* Rounded up, for 1 has to grow, too. */
	next = ((wide)period * taken * span + (wide)due * passed - 1) / ((wide)due * passed);
	if (next > (wide)period * GROWTH)
		next = (wide)period * GROWTH;
	least = passed / span < 40 ? period >> passed / span : 0;
	if (next < least)
		next = least;
	if (next < wanted)
		next = wanted;
	return next > HEAPD_PERIOD_MAX ? HEAPD_PERIOD_MAX : (uint64_t)next;
}
