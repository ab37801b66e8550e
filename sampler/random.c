/* random.c - see random.h. */
#include "random.h"

#include "segment.h"

#define ONE (UINT64_C(1) << 32) /* 1.0 in the 32.32 fixed point used below */

#define LN_2 UINT64_C(2977044472)

/* For each sixteenth of [1, 2): the inverse of a number in its middle, and minus that inverse's logarithm. */
static const struct {
	uint32_t inverse;
	uint32_t log;
} sixteenths[16] = {
	{ 4164816772, 132163267 },  { 3926827242, 384881291 },  { 3714566310, 623551984 },  { 3524075730, 849655098 },
	{ 3352169597, 1064448219 }, { 3196254732, 1269009131 }, { 3054198966, 1464268541 }, { 2924233053, 1651035674 },
	{ 2804876601, 1830018544 }, { 2694881441, 2001840146 }, { 2593187801, 2167051566 }, { 2498890063, 2326142616 },
	{ 2411209710, 2479550612 }, { 2329473788, 2627667610 }, { 2253097598, 2770846445 }, { 2181570690, 2909405794 },
};

/* ln m for m = x / 2^63 in [1, 2): m times the inverse from its sixteenth is 1 + r with |r| < 1/31, so that five terms of
 * ln(1 + r) are good to 2^-29. No division and few steps that wait for each other: every sample comes here. */
static int64_t
log_of_mantissa(uint64_t x)
{
	unsigned i = x >> 59 & 15;
	int64_t r = (int64_t)((x >> 31) * sixteenths[i].inverse) >> 32; /* the 1 is just what does not fit */
	int64_t square = (r * r) >> 32, cube = (square * r) >> 32;
	int64_t rest = (int64_t)ONE / 3 - r / 4 + square / 5;

	return sixteenths[i].log + r - square / 2 + ((cube * rest) >> 32);
}

uint64_t
random_gap(uint64_t *state, uint64_t period)
{
	uint64_t u;
	int64_t e;
	unsigned zeros;

	if (period <= 1)
		return 0;
	do
		u = random_next(state);
	while (u == 0);
	/* u / 2^64 = m * 2^-(zeros + 1) with m in [1, 2), so -ln(u / 2^64) = (zeros + 1) ln 2 - ln m. */
	zeros = (unsigned)__builtin_clzll(u);
	e = (int64_t)((zeros + 1) * LN_2) - log_of_mantissa(u << zeros);
	return e <= 0 ? 0 : (uint64_t)(((wide)(uint64_t)e * period) >> 32); /* rounding, at u = 2^64 - 1 */
}

/* For x in (0, 1]: x/(1-exp(-x)) - 1 - x/2 = x^2/12 - x^4/720 + x^6/30240 - x^8/1209600 + ... (Bernoulli numbers), so
 * 1/(1-exp(-x)) = 1/x + 1/2 + x/12 - x^3/720 + ... ; all in 32.32. Returns the part after 1/x. */
static uint64_t
weight_rest(uint64_t x)
{
	uint64_t square = (x * x) >> 32; /* x <= 2^32 */
	uint64_t t;

	if (x >= ONE)
		square = ONE;
	t = ONE / 30240 - ((square * (ONE / 1209600)) >> 32);
	t = ONE / 720 - ((square * t) >> 32);
	t = ONE / 12 - ((square * t) >> 32);
	return ONE / 2 + ((x * t) >> 32);
}

uint64_t
random_weight(uint64_t size, uint64_t period)
{
	unsigned halvings = 0;
	uint64_t x, power, w;

	if (size < UINT64_MAX)
		size++; /* as sample_count() counts */
	if (period <= 1 || size / 24 >= period)
		return UINT64_C(1) << HEAPD_WEIGHT_SHIFT; /* e^-24 < 2^-34 */
	if (size <= period) {
		x = size < ONE ? (size << 32) / period : (uint64_t)(((wide)size << 32) / period);
		w = (period << HEAPD_WEIGHT_SHIFT) / size; /* period <= 2^40 */
		return w + (weight_rest(x) >> (32 - HEAPD_WEIGHT_SHIFT));
	}
	/* Larger: exp(-x) by squaring exp(-x/2^n) with x/2^n <= 1, which is 1 - 1/w of that. */
	x = (uint64_t)(((wide)size << 32) / period);
	while (x > ONE) {
		x /= 2;
		halvings++;
	}
	w = (uint64_t)(((wide)1 << 64) / x) + weight_rest(x);
	power = ONE - (uint64_t)(((wide)1 << 64) / w);
	while (halvings-- > 0)
		power = (power * power) >> 32;
	w = (uint64_t)(((wide)1 << 64) / (ONE - power));
	return (w + (UINT64_C(1) << (31 - HEAPD_WEIGHT_SHIFT))) >> (32 - HEAPD_WEIGHT_SHIFT);
}
