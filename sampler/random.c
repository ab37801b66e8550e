/* random.c - see random.h. */
#include "random.h"

#include "segment.h"

#define ONE (UINT64_C(1) << 32) /* 1.0 in the 32.32 fixed point used below */

#define SQRT_2 UINT64_C(6074001000)
#define LN_2 UINT64_C(2977044472)

/* ln m for m in [sqrt 1/2, sqrt 2): 2 atanh z with z = (m-1)/(m+1), |z| < 0.172, so that six terms leave less than
 * the rounding. */
static int64_t
log_near_one(uint64_t m)
{
	int64_t z = ((int64_t)m - (int64_t)ONE) * (int64_t)ONE / (int64_t)(m + ONE);
	int64_t square = (z * z) >> 32, sum = (int64_t)ONE / 11;

	/* Written out: in a loop each of these constants is a division. */
	sum = (int64_t)ONE / 9 + ((square * sum) >> 32);
	sum = (int64_t)ONE / 7 + ((square * sum) >> 32);
	sum = (int64_t)ONE / 5 + ((square * sum) >> 32);
	sum = (int64_t)ONE / 3 + ((square * sum) >> 32);
	sum = (int64_t)ONE + ((square * sum) >> 32);
	return (z * (sum / 2)) >> 30;
}

uint64_t
random_gap(uint64_t *state, uint64_t period)
{
	uint64_t u, m, e;
	unsigned halvings;

	if (period <= 1)
		return 0;
	do
		u = random_next(state);
	while (u == 0);
	/* u / 2^64 = m * 2^-halvings with m near 1, so -ln(u / 2^64) = halvings ln 2 - ln m. */
	halvings = (unsigned)__builtin_clzll(u) + 1;
	m = u << (halvings - 1) >> 31;
	if (m > SQRT_2) {
		m /= 2;
		halvings--;
	}
	e = (uint64_t)((int64_t)(halvings * LN_2) - log_near_one(m));
	return (uint64_t)(((wide)e * period) >> 32);
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

	if (size == 0)
		size = 1;
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
