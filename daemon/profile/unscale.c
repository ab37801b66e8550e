/* unscale.c - see unscale.h.
 *
 * For one size a at rate R a sample stands for f(a) = a / (1 - exp(-a / R)) bytes and f(a) / a objects. f grows from R
 * (many tiny objects) towards a (each one seen). So n samples cannot stand for less than n * R bytes.
 */
#include "unscale.h"

#include <math.h>

#define ENOUGH_SAMPLES 200 /* rounding their number is off by at most 0.25 % */
#define WHOLE 0.001 /* this close to a whole number of samples is one: all of one size */

double
unscale_factor(double objects, double bytes, uint64_t rate)
{
	if (rate <= 1 || !(objects > 0) || !(bytes > 0))
		return 1;
	return -1 / expm1(-bytes / objects / (double)rate);
}

/* f(a). */
static double
stands_for(double size, double rate)
{
	return size > 0 ? -size / expm1(-size / rate) : rate;
}

/* The size that stands for so many bytes: the inverse of f, by Newton's method. f is convex, so after one step from
 * anywhere the others come from above and do not overshoot. */
static double
size_of(double bytes, double rate)
{
	double size = bytes < 3 * rate ? 2 * (bytes - rate) : bytes;

	if (!(bytes > rate))
		return 0;
	for (int i = 0; i < 30; i++) {
		double e = exp(-size / rate), p = -expm1(-size / rate);
		double slope = (p - size / rate * e) / (p * p), step = (size / p - bytes) / slope;

		size -= step;
		if (fabs(step) <= 1e-9 * size)
			break;
	}
	return size > 0 ? size : 0;
}

static uint64_t
positive(double value)
{
	return value < 1 ? 1 : (uint64_t)llround(fmin(value, 0x1p62));
}

/* n samples, of which the last one has another size. With both sizes equal the objects are too few, as n was rounded
 * down; the smaller the others, the more objects, so the right size can be bisected. */
static void
two_sizes(double n, double objects, double bytes, double rate, struct unscaled ret[2])
{
	double low = 0, high = size_of(bytes / n, rate), others = n - 1;

	for (int i = 0; i < 40; i++) {
		double size = (low + high) / 2, rest = bytes - others * stands_for(size, rate);
		double last = size_of(rest, rate);
		double sum = others * stands_for(size, rate) / size + rest / last;

		if (sum > objects)
			low = size;
		else
			high = size;
	}
	ret[0] = (struct unscaled){ positive(others), positive(others * high) };
	bytes -= others * stands_for((double)ret[0].bytes / others, rate);
	ret[1] = (struct unscaled){ 1, positive(size_of(bytes, rate)) };
}

size_t
unscale(double objects, double bytes, uint64_t rate, struct unscaled ret[UNSCALE_MAX])
{
	double n;

	if (!(objects > 0) || !(bytes > 0))
		return 0;
	if (rate <= 1) {
		ret[0] = (struct unscaled){ positive(objects), positive(bytes) };
		return 1;
	}
	n = objects / unscale_factor(objects, bytes, rate);
	/* All of the mean size: n samples of it stand for both sums, so if n is nearly a whole number we are done. */
	if (n >= ENOUGH_SAMPLES || (n >= 1 - WHOLE && fabs(n - round(n)) < WHOLE * n)) {
		ret[0] = (struct unscaled){ positive(n), positive(round(n) * bytes / objects) };
		return 1;
	}
	/* No number of samples fits both sums: bytes go first. */
	if (n < 2) {
		ret[0] = (struct unscaled){ 1, positive(size_of(bytes, (double)rate)) };
		return 1;
	}
	two_sizes(floor(n), objects, bytes, (double)rate, ret);
	return 2;
}

uint64_t
unscale_rate(const struct profile *p)
{
	double rate = p->period ? (double)p->period : HEAPD_PERIOD_DEFAULT;

	for (size_t i = 0; i < p->n_samples; i++) {
		double alloc = p->samples[i].value[PROFILE_ALLOC_SPACE],
		       inuse = p->samples[i].value[PROFILE_INUSE_SPACE];

		/* Exact counts of small allocations in an otherwise sampled profile: no rate but 1 leaves them as they are. */
		if (alloc > 0)
			rate = fmin(rate, floor(alloc));
		if (inuse > 0)
			rate = fmin(rate, floor(inuse));
	}
	return rate < 1 ? 1 : (uint64_t)rate;
}
