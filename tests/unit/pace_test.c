/* The ceiling on samples a second, on a clock and a program of our own making: one that allocates `rate` blocks of `size`
 * bytes a second, of which only the sampled ones are looked at. */
#include "pace.h"

#include <math.h>
#include <string.h>

#include "random.h"
#include "test.h"

#define TICKS UINT64_C(1000000000) /* a second */

struct program {
	struct heapd_header header;
	struct pace pace;
	uint64_t state, period, left; /* bytes to the next sample, drawn with period */
	uint64_t now; /* ticks */
	double objects, objects_var; /* estimates */
};

static void
start(struct program *p, uint64_t seed, uint64_t period, uint64_t most)
{
	memset(p, 0, sizeof(*p));
	p->state = seed;
	p->now = 123456789;
	p->header.period = period;
	p->header.period_wanted = period;
	p->header.max_samples = most;
	p->header.ticks_per_second = TICKS;
	p->period = period;
	p->left = random_gap(&p->state, period);
}

static void
sample(struct program *p, uint64_t size)
{
	double w = ldexp((double)random_weight(size, p->period), -HEAPD_WEIGHT_SHIFT);

	p->objects += w;
	p->objects_var += w * (w - 1);
	p->period = pace_period(&p->pace, &p->header, p->period, p->header.period_wanted, p->now);
	p->header.period = p->period;
	p->left = random_gap(&p->state, p->period);
	p->header.samples++;
}

/* Allocate for so many seconds. Returns the samples. */
static double
go_on(struct program *p, uint64_t size, double rate, double seconds)
{
	const double tick = 1 / (double)TICKS;
	const uint64_t blocks = (uint64_t)(seconds * rate), before = p->header.samples, begin = p->now;

	for (uint64_t i = 0;; i++) {
		uint64_t skipped = p->left / (size + 1);

		if (skipped >= blocks - i) {
			p->left -= (blocks - i) * (size + 1);
			break;
		}
		i += skipped;
		p->now = begin + (uint64_t)((double)i / rate / tick);
		sample(p, size);
	}
	p->now = begin + (uint64_t)(seconds / tick);
	return (double)(p->header.samples - before);
}

/* A ceiling of `most` on what would be `would` samples a second. */
static void
check_flood(struct program *p, uint64_t size, double rate, double most, double would)
{
	const double look = most / 16 > 16 ? most / 16 : 16, expected = would < most ? would : most;
	double n;

	/* From period 1 to that of terabytes a second it is 20 looks. */
	CHECK(go_on(p, size, rate, 2) <= 2 * most + 20 * look);
	go_on(p, size, rate, 3);
	n = go_on(p, size, rate, 10);
	CHECK(n <= 10.2 * most + 4 * sqrt(10 * most));
	CHECK(n >= 8 * expected - 4 * sqrt(10 * expected));
}

TEST(a_flood_is_held_to_the_ceiling_and_not_far_below)
{
	static const double rates[] = { 1e5, 1e7, 3e8 };
	static const uint64_t sizes[] = { 1, 64, 4096, 1 << 20 }, periods[] = { 1, 4096, 524288 },
			      ceilings[] = { 10, 300, 5000, 70000 };
	struct program p;

	for (int r = 0; r < 3; r++)
		for (int s = 0; s < 4; s++)
			for (int k = 0; k < 3; k++)
				for (int c = 0; c < 4; c++) {
					double share = -expm1(-(double)(sizes[s] + 1) / (double)periods[k]);

					if (rates[r] * (double)sizes[s] > 1e13)
						continue;
					start(&p, 7, periods[k], ceilings[c]);
					check_flood(&p, sizes[s], rates[r], (double)ceilings[c], rates[r] * share);
				}
}

TEST(a_program_below_the_ceiling_keeps_its_period)
{
	struct program p;

	start(&p, 1, 524288, 1000);
	for (int i = 0; i < 100; i++) { /* 400 a second in the mean, in bursts of 20 ms */
		go_on(&p, 1000, 2e6, 0.02);
		p.now += TICKS / 5;
	}
	CHECK_EQ(524288, p.header.period);
}

TEST(bursts_do_not_add_up_to_more)
{
	struct program p;

	for (double pause = 0.01; pause < 2; pause *= 1.7) {
		double n = 0, seconds = 0;

		start(&p, 3, 1, 1000);
		while (seconds < 60) {
			n += go_on(&p, 100, 1e8, 0.005);
			p.now += (uint64_t)(pause * (double)TICKS);
			seconds += pause + 0.005;
		}
		CHECK(n / seconds <= 1100);
	}
}

TEST(the_period_comes_back_when_the_flood_is_over)
{
	struct program p;

	start(&p, 5, 4096, 1000);
	go_on(&p, 1000, 1e7, 5);
	CHECK(p.header.period > UINT64_C(1) << 22);
	go_on(&p, 1000, 2000, 60);
	CHECK_EQ(4096, p.header.period);
}

TEST(a_longer_period_is_wanted_and_comes_at_once)
{
	struct program p;

	start(&p, 5, 4096, 1000);
	go_on(&p, 1000, 100, 1);
	p.header.period_wanted = 1 << 20;
	CHECK_EQ(1 << 20, pace_period(&p.pace, &p.header, p.period, 1 << 20, p.now));
}

TEST(without_time_the_period_stays)
{
	struct program p;

	start(&p, 5, 4096, 10);
	p.period = 65536;
	p.header.samples = 1000000;
	for (int i = 0; i < 100; i++)
		CHECK_EQ(65536, pace_period(&p.pace, &p.header, p.period, 4096, 0));
	CHECK_EQ(1 << 20, pace_period(&p.pace, &p.header, p.period, 1 << 20, 0));
}

/* Over many runs through floods and calms, in which the period goes up and down by a factor of thousands. */
TEST(estimates_are_unbiased_while_the_period_moves_and_so_are_their_errors)
{
	const int runs = 1500;
	double sum = 0, squares = 0, stated = 0, truth = 0, mean;
	uint64_t least = UINT64_MAX, most = 0;
	struct program p;

	for (int run = 0; run < runs; run++) {
		start(&p, (uint64_t)run + 1, 256, 200);
		truth = 0;
		for (int i = 0; i < 4; i++) {
			go_on(&p, 64, 1e6, 0.05);
			most = p.header.period > most ? p.header.period : most;
			go_on(&p, 64, 1000, 1);
			least = i > 0 && p.header.period < least ? p.header.period : least;
			truth += 1e6 * 0.05 + 1000;
		}
		sum += p.objects - truth;
		squares += (p.objects - truth) * (p.objects - truth);
		stated += p.objects_var;
	}
	CHECK(most > 64 * least);
	mean = sum / runs;
	CHECK(sqrt(squares) / runs < 0.008 * truth); /* precise enough to say something */
	CHECK_NEAR(0, mean, 3.5 * sqrt(squares) / runs);
	CHECK_NEAR(1, stated / squares, 0.15);
}
