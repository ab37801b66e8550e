/* cache.c - a small table under one lock; building happens outside it. */
#include "cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct entry {
	char *key; /* NULL: free */
	bool building;
	uint64_t generation; /* of the reply: tells one that waited whether it is a new one */
	int64_t good_until; /* monotonic ms */
	struct reply reply;
};

struct cache {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a build ended */
	unsigned builders;
	struct entry entries[CACHE_ENTRIES];
};

int
cache_new(struct cache **ret)
{
	struct cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_cond_init(&c->changed, NULL);
	*ret = c;
	return 0;
}

static void
entry_clear(struct entry *e)
{
	free(e->key);
	reply_done(&e->reply);
	*e = (struct entry){ 0 };
}

void
cache_free(struct cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < CACHE_ENTRIES; i++)
		entry_clear(&c->entries[i]);
	(void)pthread_cond_destroy(&c->changed);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

static int64_t
now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct entry *
cache_find(struct cache *c, const char *key)
{
	for (size_t i = 0; i < CACHE_ENTRIES; i++)
		if (c->entries[i].key && strcmp(c->entries[i].key, key) == 0)
			return &c->entries[i];
	return NULL;
}

/* A place for a new key: a free one, else the one whose reply ended first. NULL if all are being built or no memory. */
static struct entry *
cache_place(struct cache *c, const char *key)
{
	struct entry *best = NULL;

	for (size_t i = 0; i < CACHE_ENTRIES; i++) {
		struct entry *e = &c->entries[i];

		if (e->building)
			continue;
		if (!best || (best->key && (!e->key || e->good_until < best->good_until)))
			best = e;
	}
	if (!best)
		return NULL;
	entry_clear(best);
	best->key = strdup(key);
	return best->key ? best : NULL;
}

void
cache_answer(struct cache *c, const char *key, void (*build)(void *argument, struct reply *to), void *argument,
	     struct reply *to)
{
	struct entry *e;
	int64_t began, took;
	uint64_t seen = 0;
	bool waited = false;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		e = cache_find(c, key);
		/* One that was finished while we waited is good for us even if its time is over again. */
		if (e && !e->building && (now_ms() < e->good_until || (waited && e->generation > seen))) {
			reply_copy(to, &e->reply);
			pthread_mutex_unlock(&c->lock);
			return;
		}
		if ((!e || !e->building) && c->builders < CACHE_BUILDERS)
			break;
		if (e && e->building && !waited) {
			waited = true;
			seen = e->generation;
		}
		pthread_cond_wait(&c->changed, &c->lock);
	}
	if (!e)
		e = cache_place(c, key);
	if (e)
		e->building = true;
	c->builders++;
	pthread_mutex_unlock(&c->lock);

	began = now_ms();
	build(argument, to);
	took = now_ms() - began;

	pthread_mutex_lock(&c->lock);
	c->builders--;
	if (e) {
		reply_done(&e->reply);
		reply_copy(&e->reply, to);
		e->generation++;
		e->building = false;
		e->good_until =
			now_ms() + (took * CACHE_FACTOR < CACHE_LONGEST_MS ? took * CACHE_FACTOR : CACHE_LONGEST_MS);
	}
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

bool
cache_sweep(struct cache *c)
{
	int64_t now = now_ms();
	bool swept = false;

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < CACHE_ENTRIES; i++)
		if (c->entries[i].key && !c->entries[i].building && c->entries[i].good_until + CACHE_LONGEST_MS < now) {
			entry_clear(&c->entries[i]);
			swept = true;
		}
	pthread_mutex_unlock(&c->lock);
	return swept;
}
