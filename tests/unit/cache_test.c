/* cache_test.c - many ask, one builds. */
#include "cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "test.h"

static _Atomic int builds, building, most_building;

static void
sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&t, NULL);
}

static void
slow_build(void *argument, struct reply *to)
{
	struct text t = { 0 };
	int now = atomic_fetch_add(&building, 1) + 1, most = atomic_load(&most_building);

	while (now > most && !atomic_compare_exchange_weak(&most_building, &most, now))
		;
	sleep_ms(*(long *)argument);
	text_printf(&t, "build %d", atomic_fetch_add(&builds, 1) + 1);
	reply_text(to, TYPE_TEXT, &t);
	(void)atomic_fetch_sub(&building, 1);
}

struct asker {
	pthread_t thread;
	struct cache *cache;
	char key[32];
	long ms;
	struct reply reply;
};

static void *
ask(void *argument)
{
	struct asker *a = argument;

	cache_answer(a->cache, a->key, slow_build, &a->ms, &a->reply);
	return NULL;
}

static void
ask_all(struct asker *askers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		CHECK_EQ(0, pthread_create(&askers[i].thread, NULL, ask, &askers[i]));
	for (size_t i = 0; i < n; i++)
		(void)pthread_join(askers[i].thread, NULL);
}

TEST(fifty_at_once_get_one_and_the_same_reply)
{
	struct asker askers[50];
	struct cache *cache = NULL;

	CHECK_EQ(0, cache_new(&cache));
	builds = 0;
	for (size_t i = 0; i < 50; i++)
		askers[i] = (struct asker){ .cache = cache, .key = "heap", .ms = 50 };
	ask_all(askers, 50);
	CHECK_EQ(1, builds);
	for (size_t i = 0; i < 50; i++) {
		CHECK(askers[i].reply.body == askers[0].reply.body);
		CHECK_EQ(200, askers[i].reply.status);
	}
	cache_free(cache);
	/* The bytes outlive the cache while somebody sends them. */
	CHECK_EQ(50, askers[0].reply.body->refs);
	for (size_t i = 0; i < 50; i++)
		reply_done(&askers[i].reply);
}

TEST(a_cheap_reply_is_soon_built_again_and_a_dear_one_is_kept)
{
	struct cache *cache = NULL;
	struct reply r = { 0 };
	long cheap = 0, dear = 100;

	CHECK_EQ(0, cache_new(&cache));
	builds = 0;
	for (int i = 0; i < 3; i++) {
		cache_answer(cache, "cheap", slow_build, &cheap, &r);
		reply_done(&r);
		sleep_ms(150);
	}
	CHECK_EQ(3, builds);
	builds = 0;
	for (int i = 0; i < 3; i++) {
		cache_answer(cache, "dear", slow_build, &dear, &r);
		reply_done(&r);
		sleep_ms(150);
	}
	CHECK_EQ(1, builds);
	cache_free(cache);
}

TEST(only_a_few_replies_are_built_at_a_time)
{
	struct asker askers[3 * CACHE_BUILDERS];
	struct cache *cache = NULL;

	CHECK_EQ(0, cache_new(&cache));
	builds = most_building = 0;
	for (size_t i = 0; i < 3 * CACHE_BUILDERS; i++) {
		askers[i] = (struct asker){ .cache = cache, .ms = 20 };
		(void)snprintf(askers[i].key, sizeof(askers[i].key), "key %zu", i);
	}
	ask_all(askers, 3 * CACHE_BUILDERS);
	CHECK_EQ(3 * CACHE_BUILDERS, builds);
	CHECK(most_building <= CACHE_BUILDERS);
	for (size_t i = 0; i < 3 * CACHE_BUILDERS; i++)
		reply_done(&askers[i].reply);
	cache_free(cache);
}

TEST(more_keys_than_places_push_out_the_oldest)
{
	struct cache *cache = NULL;
	struct reply r = { 0 };
	char key[32];
	long ms = 0;

	CHECK_EQ(0, cache_new(&cache));
	builds = 0;
	for (int i = 0; i < 3 * CACHE_ENTRIES; i++) {
		(void)snprintf(key, sizeof(key), "key %d", i);
		cache_answer(cache, key, slow_build, &ms, &r);
		CHECK_EQ(200, r.status);
		reply_done(&r);
	}
	CHECK_EQ(3 * CACHE_ENTRIES, builds);
	cache_free(cache);
}

TEST(sweeping_lets_go_of_what_is_no_longer_good)
{
	struct cache *cache = NULL;
	struct reply r = { 0 };
	long ms = 0;

	CHECK_EQ(0, cache_new(&cache));
	cache_answer(cache, "x", slow_build, &ms, &r);
	CHECK_EQ(2, r.body->refs);
	cache_sweep(cache);
	CHECK_EQ(2, r.body->refs); /* somebody may just be coming back */
	sleep_ms(CACHE_LONGEST_MS + 50);
	cache_sweep(cache);
	CHECK_EQ(1, r.body->refs);
	reply_done(&r);
	cache_free(cache);
}
