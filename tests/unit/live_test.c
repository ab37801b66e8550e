/* The table of live samples: exact under any number of threads, and while it grows. */
#include "live.h"

#include <pthread.h>
#include <stdlib.h>

#include "shm_dir.h"
#include "test.h"

static struct live *
live_make(struct segment *segment)
{
	static struct live made[16]; /* one a test */
	static size_t n;
	struct live *l = &made[n++];

	memset(segment, 0, sizeof(*segment));
	CHECK_EQ(0, segment_create(segment, 1));
	CHECK_EQ(0, live_start(l));
	return l;
}

static bool
add(struct live *l, struct segment *s, uintptr_t address, uint32_t depth)
{
	uint32_t cfas[HEAPD_MAX_DEPTH], id;

	for (uint32_t i = 0; i < depth; i++)
		cfas[i] = (uint32_t)address + i;
	id = live_reserve(l, s, cfas, depth);
	if (id == HEAPD_NONE)
		return false;
	s->live[id].size = address;
	s->live[id].weight = address + 1;
	__atomic_store_n(&s->live[id].site, (uint32_t)address, __ATOMIC_RELAXED);
	return live_add(l, s, id, address);
}

/* Take it out and see that it is what was put in. */
static bool
take(struct live *l, struct segment *s, uintptr_t address, uint32_t depth)
{
	struct live_block block;
	bool same;

	if (!filter_hit((void *)address) || !live_take(l, s, address, &block))
		return false;
	same = block.size == address && block.weight == address + 1 && block.site == (uint32_t)address;
	for (uint32_t i = 0; i < depth; i++)
		same &= s->cfas[s->live[block.id].cfas + i / HEAPD_CFA_GROUP][i % HEAPD_CFA_GROUP] ==
			(uint32_t)address + i;
	live_release(l, s, block.id);
	return same;
}

TEST(before_anything_is_sampled_no_free_is_looked_at)
{
	bool hit = false;

	for (uintptr_t p = 0; p < 1000000; p += 8)
		hit |= filter_hit((void *)p);
	CHECK(!hit);
}

TEST(a_block_is_found_once_and_only_under_its_own_address)
{
	struct segment s;
	struct live *l = live_make(&s);
	struct live_block block;

	CHECK(add(l, &s, 0x1000, 5));
	CHECK(!live_take(l, &s, 0x1010, &block));
	CHECK(take(l, &s, 0x1000, 5));
	CHECK(!live_take(l, &s, 0x1000, &block));
	CHECK(!filter_hit((void *)0x1000));
}

TEST(records_and_cfas_are_used_again)
{
	struct segment s;
	struct live *l = live_make(&s);

	for (uintptr_t i = 1; i <= 100000; i++) {
		uint32_t depth = (uint32_t)(i % HEAPD_MAX_DEPTH) + 1;

		if (!add(l, &s, i * 16, depth) || !take(l, &s, i * 16, depth)) {
			CHECK(false);
			break;
		}
	}
	CHECK(s.header->sections[HEAPD_LIVE].used <= 1);
	CHECK(s.header->sections[HEAPD_CFAS].used <= 1 + 2 + 4 + 8);
}

TEST(a_hundred_thousand_blocks_live_at_once_are_all_found)
{
	struct segment s;
	struct live *l = live_make(&s);
	size_t lost = 0;

	for (uintptr_t i = 1; i <= 100000; i++)
		lost += !add(l, &s, i * 48, 3);
	CHECK_EQ(0, lost);
	for (uintptr_t i = 1; i <= 100000; i++)
		lost += !take(l, &s, i * 48, 3);
	CHECK_EQ(0, lost);
	CHECK_EQ(0, l->count);
}

TEST(addresses_that_collide_in_every_table_are_all_found)
{
	struct segment s;
	struct live *l = live_make(&s);
	size_t lost = 0;

	/* Multiples of 2^40 share the low bits that pick a bucket. */
	for (uintptr_t i = 1; i <= 2000; i++)
		lost += !add(l, &s, i << 40, 1);
	for (uintptr_t i = 1; i <= 2000; i++)
		lost += !take(l, &s, i << 40, 1);
	CHECK_EQ(0, lost);
}

#define THREADS 4
#define ROUNDS 60000
#define WINDOW 3000

struct worker {
	struct live *live;
	struct segment *segment;
	uintptr_t base;
	size_t lost;
	pthread_t thread;
};

static uint32_t
depth_of(uintptr_t i)
{
	return (uint32_t)(i % 40) + 1;
}

/* Keep a window of blocks alive, each thread in its own range of addresses, while filter and index grow underneath. */
static void *
work(void *closure)
{
	struct worker *w = closure;

	for (uintptr_t i = 0; i < ROUNDS; i++) {
		w->lost += !add(w->live, w->segment, w->base + i * 16, depth_of(i));
		if (i >= WINDOW)
			w->lost += !take(w->live, w->segment, w->base + (i - WINDOW) * 16, depth_of(i - WINDOW));
	}
	for (uintptr_t i = ROUNDS - WINDOW; i < ROUNDS; i++)
		w->lost += !take(w->live, w->segment, w->base + i * 16, depth_of(i));
	return NULL;
}

TEST(no_block_is_lost_when_threads_add_and_take_while_everything_grows)
{
	static struct worker workers[THREADS];
	struct segment s;
	struct live *l = live_make(&s);

	for (uintptr_t i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .live = l, .segment = &s, .base = 0x100000 + (i << 32) };
		CHECK_EQ(0, pthread_create(&workers[i].thread, NULL, work, &workers[i]));
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		CHECK_EQ(0, workers[i].lost);
	}
	CHECK_EQ(0, l->count);
	CHECK(l->filter_newest > 1);
}
