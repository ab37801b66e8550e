/* threads - threads that hand blocks to each other, so that most frees happen on another thread.
 *
 *   threads [THREADS [BLOCKS_A_THREAD]]         default 8, 20000
 *
 * local: freed by its own thread.  passed: freed by the next thread.  resized: grown by the next thread, then freed by it
 * or kept.  kept: never freed, allocated by all.
 */
#include "truth.h"

#include <pthread.h>

SITE_FUNCTION(local, malloc(size))
SITE_FUNCTION(passed, malloc(size))
SITE_FUNCTION(kept, malloc(size))

SITE(resized)
SITE_CODE(resized) static void resized(struct truth_block *b, size_t size)
{
	void *p = realloc(b->p, size);

	if (!p)
		abort();
	truth_gone(b->site, b->size);
	truth_made(&site_resized, p, size);
	*b = (struct truth_block){ p, size, &site_resized };
}

enum { MOST_THREADS = 64, QUEUE = 256 };

struct queue { /* of one producer and one consumer; never full for long */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct truth_block blocks[QUEUE];
	uint64_t in, out;
};

static struct queue queues[MOST_THREADS];
static uint64_t n_threads = 8, n_blocks = 20000;

static void
queue_put(struct queue *q, struct truth_block b)
{
	pthread_mutex_lock(&q->lock);
	while (q->in - q->out == QUEUE)
		pthread_cond_wait(&q->changed, &q->lock);
	q->blocks[q->in++ % QUEUE] = b;
	pthread_cond_signal(&q->changed);
	pthread_mutex_unlock(&q->lock);
}

static bool
queue_take(struct queue *q, bool wait, struct truth_block *ret)
{
	bool taken = false;

	pthread_mutex_lock(&q->lock);
	while (wait && q->in == q->out)
		pthread_cond_wait(&q->changed, &q->lock);
	if (q->in != q->out) {
		*ret = q->blocks[q->out++ % QUEUE];
		taken = true;
		pthread_cond_signal(&q->changed);
	}
	pthread_mutex_unlock(&q->lock);
	return taken;
}

/* What a thread does with a block of its neighbour's. */
static void
consume(struct truth_block b, uint64_t i)
{
	if (i % 4 == 0)
		resized(&b, b.size * 2);
	if (i % 8 != 0)
		truth_free_block(&b);
}

static void *
work(void *argument)
{
	uint64_t me = (uint64_t)(uintptr_t)argument, random = me + 1, taken = 0;
	struct queue *to = &queues[(me + 1) % n_threads], *from = &queues[me];
	struct truth_block b;

	for (uint64_t i = 0; i < n_blocks; i++) {
		size_t size = 16 + (size_t)(truth_random(&random) >> 40) % 500;

		b = (struct truth_block){ local(size), size, &site_local };
		truth_free_block(&b);
		kept(size / 8);
		/* Take first, so that a ring of full queues cannot come about: each holds one block a round. */
		if (i >= QUEUE / 2) {
			queue_take(from, true, &b);
			consume(b, taken++);
		}
		queue_put(to, (struct truth_block){ passed(size), size, &site_passed });
	}
	while (taken < n_blocks) {
		queue_take(from, true, &b);
		consume(b, taken++);
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	uint64_t values[] = { n_threads, n_blocks };
	pthread_t threads[MOST_THREADS];

	truth_begin(argc, argv, values, 2);
	n_threads = values[0];
	n_blocks = values[1];
	if (n_threads < 1 || n_threads > MOST_THREADS)
		return 2;
	for (uint64_t i = 0; i < n_threads; i++) {
		pthread_mutex_init(&queues[i].lock, NULL);
		pthread_cond_init(&queues[i].changed, NULL);
	}
	for (uint64_t i = 0; i < n_threads; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) != 0)
			return 1;
	for (uint64_t i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	truth_end();
	return 0;
}
