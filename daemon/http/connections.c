/* connections.c - a list of open connections with the time by which each must have made progress. */
#include "connections.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "counters.h"

#define NEVER INT64_MAX

struct connection {
	struct connection *next, **link;
	int fd;
	int64_t deadline; /* monotonic ms */
	int64_t idle; /* since when it owes us a request; NEVER: it does not */
	int64_t reading; /* since when it reads a reply; NEVER: it does not */
};

struct connections {
	pthread_mutex_t lock;
	struct connection *first;
	size_t n, leaving; /* all of them; those that were told to go, and whose threads have not noticed yet */
};

static int64_t
clock_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int
connections_new(struct connections **ret)
{
	struct connections *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	(void)pthread_mutex_init(&c->lock, NULL);
	*ret = c;
	return 0;
}

void
connections_free(struct connections *c)
{
	if (!c)
		return;
	while (c->first)
		connection_end(c, c->first);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

static void
connection_tell(struct connections *c, struct connection *one, enum counter why)
{
	one->deadline = 0; /* once is enough */
	c->leaving++;
	(void)shutdown(one->fd, SHUT_RDWR);
	counter_add(why, 1);
}

/* Thousands of clients that connect and say nothing would otherwise keep everybody else out until their deadline. */
static void
connections_make_room(struct connections *c)
{
	struct connection *oldest = NULL;

	for (struct connection *one = c->first; one; one = one->next)
		if (one->idle != NEVER && one->deadline != 0 && (!oldest || one->idle < oldest->idle))
			oldest = one;
	if (oldest)
		connection_tell(c, oldest, COUNTER_CONNECTIONS_PUSHED);
}

struct connection *
connection_begin(struct connections *c, int fd)
{
	struct connection *one = calloc(1, sizeof(*one));

	counter_add(COUNTER_CONNECTIONS, 1);
	if (!one)
		return NULL;
	one->fd = fd;
	one->idle = clock_ms();
	one->deadline = one->idle + CONNECTION_REQUEST_MS;
	one->reading = NEVER;
	pthread_mutex_lock(&c->lock);
	if (++c->n - c->leaving >= CONNECTIONS_CROWDED)
		connections_make_room(c);
	one->next = c->first;
	one->link = &c->first;
	if (c->first)
		c->first->link = &one->next;
	c->first = one;
	if (c->n - c->leaving > CONNECTIONS_MAX) /* and all are at work */
		connection_tell(c, one, COUNTER_CONNECTIONS_PUSHED);
	pthread_mutex_unlock(&c->lock);
	return one;
}

void
connection_end(struct connections *c, struct connection *one)
{
	if (!one)
		return;
	pthread_mutex_lock(&c->lock);
	*one->link = one->next;
	if (one->next)
		one->next->link = one->link;
	c->n--;
	c->leaving -= one->deadline == 0;
	pthread_mutex_unlock(&c->lock);
	free(one);
}

static void
connection_set(struct connections *c, struct connection *one, int64_t ms, bool idle, bool reading)
{
	int64_t now = clock_ms();

	if (!one)
		return;
	pthread_mutex_lock(&c->lock);
	if (one->deadline != 0) {
		one->deadline = ms == NEVER ? NEVER : now + ms;
		one->idle = idle ? now : NEVER;
		one->reading = reading ? now : NEVER;
	}
	pthread_mutex_unlock(&c->lock);
}

void
connection_work(struct connections *c, struct connection *one)
{
	connection_set(c, one, NEVER, false, false);
}

void
connection_reply(struct connections *c, struct connection *one, size_t bytes)
{
	connection_set(c, one, CONNECTION_REPLY_MS + (int64_t)(bytes / CONNECTION_REPLY_RATE) * 1000, false, true);
}

void
connection_idle(struct connections *c, struct connection *one)
{
	connection_set(c, one, CONNECTION_REQUEST_MS, true, false);
}

void
connections_relieve(struct connections *c)
{
	struct connection *slowest = NULL;

	pthread_mutex_lock(&c->lock);
	for (struct connection *one = c->first; one; one = one->next)
		if (one->reading != NEVER && one->deadline != 0 && (!slowest || one->reading < slowest->reading))
			slowest = one;
	if (slowest)
		connection_tell(c, slowest, COUNTER_CONNECTIONS_PUSHED);
	pthread_mutex_unlock(&c->lock);
}

void
connections_sweep(struct connections *c, int64_t now_ms)
{
	pthread_mutex_lock(&c->lock);
	for (struct connection *one = c->first; one; one = one->next) {
		if (one->deadline == 0 || one->deadline > now_ms)
			continue;
		connection_tell(c, one, COUNTER_CONNECTIONS_LATE);
	}
	pthread_mutex_unlock(&c->lock);
}
