/* Stacks to sites: equal stacks share one, and what finds no room is still counted. */
#include "sites.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "random.h"
#include "shm_dir.h"
#include "test.h"

static struct sites *
sites_make(struct segment *segment)
{
	static struct sites made[16]; /* one a test */
	static size_t n;
	struct sites *s = &made[n++];

	memset(segment, 0, sizeof(*segment));
	CHECK_EQ(0, segment_create(segment, 1));
	sites_start(segment);
	return s;
}

static struct stack
stack_of(uint32_t a, uint32_t b)
{
	uint64_t state = (uint64_t)a << 32 | b;
	struct stack s = { .hash = random_next(&state), .depth = 2, .frames = { a, b } };

	return s;
}

TEST(equal_stacks_share_a_site_and_different_ones_do_not)
{
	struct segment segment;
	struct sites *s = sites_make(&segment);
	struct stack one = stack_of(1, 2), two = stack_of(2, 1);
	uint32_t site = sites_find(s, &segment, &one);

	CHECK(site != HEAPD_OVERFLOW_SITE);
	CHECK_EQ(site, sites_find(s, &segment, &one));
	CHECK(site != sites_find(s, &segment, &two));
	CHECK_EQ(HEAPD_SITE_READY, segment.sites[site].state);
	CHECK_EQ(2, segment.sites[site].depth);
	CHECK_EQ(1, segment.stacks[segment.sites[site].stack]);
}

TEST(stacks_with_equal_hashes_are_told_apart_by_their_frames)
{
	struct segment segment;
	struct sites *s = sites_make(&segment);
	struct stack one = stack_of(1, 2), two = stack_of(3, 4);

	two.hash = one.hash;
	CHECK(sites_find(s, &segment, &one) != sites_find(s, &segment, &two));
}

TEST(fifty_thousand_sites_are_found_again_after_the_index_has_grown)
{
	struct segment segment;
	struct sites *s = sites_make(&segment);
	static uint32_t sites[50000];
	size_t wrong = 0;

	for (uint32_t i = 0; i < 50000; i++) {
		struct stack stack = stack_of(i, i + 1);

		sites[i] = sites_find(s, &segment, &stack);
	}
	for (uint32_t i = 0; i < 50000; i++) {
		struct stack stack = stack_of(i, i + 1);

		wrong += sites[i] == HEAPD_OVERFLOW_SITE || sites_find(s, &segment, &stack) != sites[i];
	}
	CHECK_EQ(0, wrong);
}

TEST(what_finds_no_room_goes_to_the_overflow_site_and_is_counted)
{
	struct segment segment;
	struct sites *s = sites_make(&segment);
	uint32_t capacity = segment.header->sections[HEAPD_SITES].capacity;
	struct stack none = { .depth = 0 }, one = stack_of(0, 0);
	uint32_t first = sites_find(s, &segment, &one), words;

	CHECK_EQ(HEAPD_OVERFLOW_SITE, sites_find(s, &segment, &none));
	for (uint32_t i = 1; i < capacity; i++) {
		struct stack stack = stack_of(i, 0);

		sites_find(s, &segment, &stack);
	}
	words = segment_used(&segment, HEAPD_STACKS);
	for (uint32_t i = 0; i < 100; i++) {
		struct stack stack = stack_of(i, 1);

		CHECK_EQ(HEAPD_OVERFLOW_SITE, sites_find(s, &segment, &stack));
	}
	CHECK_EQ(words, segment_used(&segment, HEAPD_STACKS)); /* nothing is kept of them */
	CHECK_EQ(first, sites_find(s, &segment, &one));
	CHECK(segment.header->lost[HEAPD_LOST_NO_SITE] >= 101);
}

TEST(of_a_crowd_with_one_hash_only_so_many_are_searched_and_the_rest_is_counted)
{
	enum { CROWD = 2000, LEAST = 200, MOST = 400 };
	struct segment segment;
	struct sites *s = sites_make(&segment);
	uint32_t before = segment_used(&segment, HEAPD_SITES), placed = 0, wrong = 0;
	static uint32_t sites[CROWD];

	for (uint32_t i = 0; i < CROWD; i++) {
		struct stack stack = stack_of(i, i);

		stack.hash = UINT64_C(0x1234567800000000);
		sites[i] = sites_find(s, &segment, &stack);
		placed += sites[i] != HEAPD_OVERFLOW_SITE;
	}
	for (uint32_t i = 0; i < CROWD; i++) {
		struct stack stack = stack_of(i, i);

		stack.hash = UINT64_C(0x1234567800000000);
		wrong += sites_find(s, &segment, &stack) != sites[i];
	}
	CHECK(placed >= LEAST && placed <= MOST);
	CHECK_EQ(0, wrong);
	CHECK_EQ(placed, segment_used(&segment, HEAPD_SITES) - before);
	CHECK_EQ(2 * (CROWD - placed), segment.header->lost[HEAPD_LOST_NO_SITE]);
}

TEST(an_allocation_and_its_free_cancel_to_the_last_bit)
{
	static const uint64_t sizes[] = { 0, 1, 16, 100, 4096, 524287, 1 << 20, UINT64_C(1) << 40 };
	struct heapd_totals alloc = { 0 }, freed = { 0 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		sites_count(&alloc, sizes[i], random_weight(sizes[i], 524288), memory_order_relaxed);
		sites_count(&freed, sizes[i], random_weight(sizes[i], 524288), memory_order_release);
	}
	CHECK_EQ(alloc.bytes, freed.bytes);
	CHECK_EQ(alloc.objects, freed.objects);
	CHECK_EQ(alloc.objects_var, freed.objects_var);
	CHECK_EQ(alloc.bytes_var, freed.bytes_var);
	CHECK_EQ(8, alloc.samples);
}

TEST(totals_are_in_the_units_that_the_segment_promises)
{
	struct heapd_totals t = { 0 };
	const double p = 1 - 0.60653065971, w = 1 / p; /* half a period: exp(-1/2) */

	sites_count(&t, 262144, random_weight(262144, 524288), memory_order_relaxed);
	CHECK_NEAR(w, ldexp((double)t.objects, -HEAPD_WEIGHT_SHIFT), 1e-4);
	CHECK_NEAR(w * 262144, (double)t.bytes, 10);
	CHECK_NEAR(w * (w - 1), (double)t.objects_var / (1 << HEAPD_OBJECTS_VAR_SHIFT), 0.01);
	CHECK_NEAR(w * (w - 1) * 262144 * 262144, ldexp((double)t.bytes_var, HEAPD_BYTES_VAR_SHIFT), 1e7);
}

struct racer {
	struct sites *sites;
	struct segment *segment;
	pthread_t thread;
};

static void *
race(void *closure)
{
	struct racer *r = closure;

	for (uint32_t i = 0; i < 20000; i++) {
		struct stack stack = stack_of(i % 5000, 7);
		uint32_t site = sites_find(r->sites, r->segment, &stack);

		sites_count(&r->segment->sites[site].alloc, 16, 1 << HEAPD_WEIGHT_SHIFT, memory_order_relaxed);
	}
	return NULL;
}

TEST(threads_that_bring_the_same_stacks_lose_no_count)
{
	struct segment segment;
	struct racer racers[4];
	struct sites *s = sites_make(&segment);
	uint64_t samples = 0;
	uint32_t shown = 0;

	for (int i = 0; i < 4; i++) {
		racers[i] = (struct racer){ .sites = s, .segment = &segment };
		CHECK_EQ(0, pthread_create(&racers[i].thread, NULL, race, &racers[i]));
	}
	for (int i = 0; i < 4; i++)
		pthread_join(racers[i].thread, NULL);
	for (uint32_t i = 0; i < segment.header->sections[HEAPD_SITES].used; i++) {
		samples += segment.sites[i].alloc.samples;
		shown += segment.sites[i].state == HEAPD_SITE_READY;
	}
	CHECK_EQ(80000, samples);
	/* Threads that meet may show one stack twice; more than one site a thread and stack there cannot be. */
	CHECK(shown >= 5001 && shown <= 4 * 5000 + 1);
}
