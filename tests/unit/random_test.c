/* Gaps and weights of the sampler against the mathematics they stand for. */
#include "random.h"

#include <math.h>
#include <stdlib.h>

#include "segment.h"
#include "test.h"

static double
exact_weight(double size, double period)
{
	return -1 / expm1(-(size + 1) / period);
}

TEST(a_weight_is_the_inverse_probability_of_being_sampled)
{
	static const uint64_t periods[] = { 2, 100, 4096, 65536, 524288, 1000003, UINT64_C(1) << 33, HEAPD_PERIOD_MAX };

	for (size_t i = 0; i < sizeof(periods) / sizeof(periods[0]); i++) {
		double period = (double)periods[i];

		for (double size = 1; size < 60 * period && size < 1e18; size = floor(size * 1.09) + 1) {
			double want = exact_weight(size, period),
			       got = ldexp((double)random_weight((uint64_t)size, periods[i]), -HEAPD_WEIGHT_SHIFT);

			if (fabs(got - want) > 1e-6 * want + ldexp(2, -HEAPD_WEIGHT_SHIFT)) {
				CHECK_NEAR(want, got, 0);
				return;
			}
		}
	}
}

TEST(period_1_gives_every_allocation_the_weight_1)
{
	uint64_t state = 1;

	for (uint64_t size = 0; size < 1000; size++)
		CHECK_EQ(1 << HEAPD_WEIGHT_SHIFT, random_weight(size, 1));
	for (int i = 0; i < 1000; i++)
		CHECK_EQ(0, random_gap(&state, 1));
}

TEST(a_request_for_nothing_stands_for_a_period_of_them)
{
	CHECK_NEAR(4096.5, ldexp((double)random_weight(0, 4096), -HEAPD_WEIGHT_SHIFT), 0.001);
}

TEST(huge_sizes_and_periods_do_not_overflow)
{
	CHECK_EQ(1 << HEAPD_WEIGHT_SHIFT, random_weight(UINT64_MAX, HEAPD_PERIOD_MAX));
	CHECK_EQ(1 << HEAPD_WEIGHT_SHIFT, random_weight(UINT64_MAX, 1));
	CHECK_NEAR(0x1p40, ldexp((double)random_weight(0, HEAPD_PERIOD_MAX), -HEAPD_WEIGHT_SHIFT), 1);
}

/* Anderson and Darling's statistic for "these are exponential with mean 1", from sorted values. */
static double
anderson_darling(double *x, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		double low = log(-expm1(-x[i])), high = -x[n - 1 - i];

		sum += (2.0 * (double)i + 1) * (low + high);
	}
	return -(double)n - sum / (double)n;
}

static int
compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

TEST(gaps_are_exponential_with_the_period_as_mean)
{
	static double x[100000];
	const size_t n = sizeof(x) / sizeof(x[0]);

	for (uint64_t seed = 1; seed <= 5; seed++) {
		uint64_t state = seed;

		/* A large period, so that rounding down to whole bytes does not show. */
		for (size_t i = 0; i < n; i++)
			x[i] = ((double)random_gap(&state, UINT64_C(1) << 32) + 0.5) / 0x1p32;
		qsort(x, n, sizeof(x[0]), compare);
		/* 6.0 is exceeded once in a thousand such tests; the seeds are fixed. */
		CHECK_NEAR(0, anderson_darling(x, n), 6.0);
	}
}

TEST(an_allocation_is_hit_as_often_as_its_weight_says)
{
	const uint64_t period = 4096;
	const size_t draws = 2000000;

	for (uint64_t size = 16; size <= 16384; size *= 8) {
		uint64_t state = size;
		size_t hits = 0;
		double p = 1 / exact_weight((double)size, (double)period);

		for (size_t i = 0; i < draws; i++)
			hits += random_gap(&state, period) < size + 1;
		CHECK_NEAR(p, (double)hits / (double)draws, 4.5 * sqrt(p * (1 - p) / (double)draws));
	}
}
