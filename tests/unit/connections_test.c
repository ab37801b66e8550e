/* connections_test.c - deadlines on sockets, with the clock in our hand. */
#include "connections.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static int64_t
now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool
is_shut(int peer)
{
	char byte;

	return recv(peer, &byte, 1, MSG_DONTWAIT) == 0;
}

struct line {
	int ends[2];
	struct connection *one;
};

static struct line
line_open(struct connections *c)
{
	struct line l;

	CHECK_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, l.ends));
	l.one = connection_begin(c, l.ends[0]);
	return l;
}

static void
line_close(struct connections *c, struct line *l)
{
	connection_end(c, l->one);
	close(l->ends[0]);
	close(l->ends[1]);
}

TEST(a_client_that_never_finishes_its_request_is_cut_off)
{
	struct connections *c = NULL;

	CHECK_EQ(0, connections_new(&c));
	struct line l = line_open(c);
	connections_sweep(c, now_ms() + CONNECTION_REQUEST_MS - 1000);
	CHECK(!is_shut(l.ends[1]));
	connections_sweep(c, now_ms() + CONNECTION_REQUEST_MS + 1000);
	CHECK(is_shut(l.ends[1]));
	line_close(c, &l);
	connections_free(c);
}

TEST(no_deadline_runs_while_the_answer_is_made)
{
	struct connections *c = NULL;

	CHECK_EQ(0, connections_new(&c));
	struct line l = line_open(c);
	connection_work(c, l.one);
	connections_sweep(c, now_ms() + 3600000);
	CHECK(!is_shut(l.ends[1]));
	connection_idle(c, l.one);
	connections_sweep(c, now_ms() + CONNECTION_REQUEST_MS + 1000);
	CHECK(is_shut(l.ends[1]));
	line_close(c, &l);
	connections_free(c);
}

TEST(a_larger_reply_may_take_longer)
{
	struct connections *c = NULL;
	const size_t large = 50 << 20;
	const int64_t its_time = CONNECTION_REPLY_MS + (int64_t)(large / CONNECTION_REPLY_RATE) * 1000;

	CHECK_EQ(0, connections_new(&c));
	struct line small_one = line_open(c), large_one = line_open(c);
	connection_reply(c, small_one.one, 100);
	connection_reply(c, large_one.one, large);
	connections_sweep(c, now_ms() + CONNECTION_REPLY_MS + 1000);
	CHECK(is_shut(small_one.ends[1]));
	CHECK(!is_shut(large_one.ends[1]));
	connections_sweep(c, now_ms() + its_time + 1000);
	CHECK(is_shut(large_one.ends[1]));
	line_close(c, &small_one);
	line_close(c, &large_one);
	connections_free(c);
}

TEST(of_many_slow_readers_the_one_that_began_first_makes_room)
{
	struct connections *c = NULL;
	struct line lines[4];
	struct timespec moment = { 0, 2000000 };

	CHECK_EQ(0, connections_new(&c));
	connections_relieve(c);
	for (size_t i = 0; i < 4; i++)
		lines[i] = line_open(c);
	connection_reply(c, lines[2].one, 100);
	(void)nanosleep(&moment, NULL);
	connection_reply(c, lines[0].one, 100);
	connection_reply(c, lines[1].one, 100);
	connection_idle(c, lines[1].one); /* has read it */
	connections_relieve(c);
	CHECK(is_shut(lines[2].ends[1]));
	CHECK(!is_shut(lines[0].ends[1]) && !is_shut(lines[1].ends[1]) && !is_shut(lines[3].ends[1]));
	connections_relieve(c);
	CHECK(is_shut(lines[0].ends[1]));
	connections_relieve(c);
	CHECK(!is_shut(lines[1].ends[1]) && !is_shut(lines[3].ends[1]));
	for (size_t i = 0; i < 4; i++)
		line_close(c, &lines[i]);
	connections_free(c);
}

TEST(a_crowd_of_silent_clients_makes_room_for_new_ones)
{
	struct connections *c = NULL;
	struct line lines[CONNECTIONS_CROWDED + 2];
	struct timespec moment = { 0, 2000000 };

	CHECK_EQ(0, connections_new(&c));
	lines[0] = line_open(c);
	connection_work(c, lines[0].one); /* busy: it stays, although it came first */
	(void)nanosleep(&moment, NULL);
	lines[1] = line_open(c);
	(void)nanosleep(&moment, NULL);
	for (size_t i = 2; i < CONNECTIONS_CROWDED - 1; i++)
		lines[i] = line_open(c);
	CHECK(!is_shut(lines[1].ends[1]));
	lines[CONNECTIONS_CROWDED - 1] = line_open(c);
	CHECK(is_shut(lines[1].ends[1]));
	CHECK(!is_shut(lines[0].ends[1]));
	/* The next one pushes out another, although the first is not gone yet. */
	size_t shut = 0;
	lines[CONNECTIONS_CROWDED] = line_open(c);
	for (size_t i = 0; i <= CONNECTIONS_CROWDED; i++)
		shut += is_shut(lines[i].ends[1]);
	CHECK_EQ(2, shut);
	for (size_t i = 0; i <= CONNECTIONS_CROWDED; i++)
		line_close(c, &lines[i]);
	connections_free(c);
}
