/* request_test.c - request lines, clean and otherwise, and waiting for time or for an end. */
#include "request.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

TEST(a_path_is_taken_apart_before_it_is_decoded)
{
	static const struct {
		const char *uri;
		size_t n;
		const char *segments[4];
	} cases[] = {
		{ "/", 1, { "" } },
		{ "/healthz", 1, { "healthz" } },
		{ "/debug/pprof", 2, { "debug", "pprof" } },
		{ "/debug/pprof/", 3, { "debug", "pprof", "" } },
		{ "/services/a%2Fb%20c/x", 3, { "services", "a/b c", "x" } },
		{ "/a+b", 1, { "a+b" } },
		{ "/%2e%2E/x", 2, { "..", "x" } },
		{ "//x", 2, { "", "x" } },
		{ "/a?b=/c", 1, { "a" } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct request r = { 0 };

		CHECK_EQ(0, request_parse(&r, cases[i].uri));
		CHECK_EQ(cases[i].n, r.n_segments);
		for (size_t k = 0; k < cases[i].n && k < r.n_segments; k++)
			CHECK_STR(cases[i].segments[k], r.segments[k]);
		request_done(&r);
	}
}

TEST(parameters_are_decoded_and_the_first_of_a_name_counts)
{
	struct request r = { 0 };

	CHECK_EQ(0, request_parse(&r, "/x?seconds=5&a=b%26c+d&&seconds=9&flag&empty=&=odd"));
	CHECK_STR("5", request_parameter(&r, "seconds"));
	CHECK_STR("b&c d", request_parameter(&r, "a"));
	CHECK_STR("", request_parameter(&r, "flag"));
	CHECK_STR("", request_parameter(&r, "empty"));
	CHECK(!request_parameter(&r, "second"));
	CHECK_STR("seconds=5&a=b%26c+d&&seconds=9&flag&empty=&=odd", r.query);
	request_done(&r);
}

TEST(what_no_client_of_ours_sends_is_refused)
{
	static const char *const bad[] = {
		"http://127.0.0.1/x",
		"*",
		"",
		"x",
		"/a%00b",
		"/a%",
		"/a%4",
		"/a%zz",
		"/x?a=%00",
		"/x?%g",
		"/a b",
		"/a\tb",
		"/a\nb",
		"/1/2/3/4/5/6/7/8/9/10/11/12/13",
	};
	char many[512] = "/?";

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct request r = { 0 };

		if (request_parse(&r, bad[i]) != -EINVAL)
			CHECK_STR("refused", bad[i]);
		request_done(&r);
	}
	for (int i = 0; i < REQUEST_PARAMETERS + 1; i++)
		strcat(many, "a=b&");
	struct request r = { 0 };
	CHECK_EQ(-EINVAL, request_parse(&r, many));
	request_done(&r);
}

TEST(gzip_is_only_taken_where_it_is_offered)
{
	static const char *const yes[] = { "gzip", "deflate, gzip", "GZip;q=0.5", "gzip;q=1.0, identity",
					   "br , gzip ; q=0.001" };
	static const char *const no[] = { "",      "identity", "gzip;q=0",        "gzip; q=0.000",
					  "gzipx", "x-gzip",   "br;q=1, gzip;q=0" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		CHECK(request_accepts_gzip(yes[i]));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (request_accepts_gzip(no[i]))
			CHECK_STR("not offered", no[i]);
	CHECK(!request_accepts_gzip(NULL));
}

struct ends {
	int pair[2], stop;
	struct request request;
};

static struct ends
ends_open(void)
{
	struct ends e;

	CHECK_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, e.pair));
	e.stop = eventfd(0, 0);
	e.request = (struct request){ .peer = e.pair[0], .stop = e.stop };
	return e;
}

static void
ends_close(struct ends *e)
{
	close(e->pair[0]);
	close(e->pair[1]);
	close(e->stop);
}

TEST(waiting_lasts_as_long_as_it_should)
{
	struct ends e = ends_open();
	struct timespec before, after;

	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	CHECK_EQ(0, request_wait(&e.request, 50));
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 >= 49);
	ends_close(&e);
}

TEST(waiting_ends_when_the_client_goes)
{
	struct ends e = ends_open();

	close(e.pair[1]);
	e.pair[1] = -1;
	CHECK_EQ(-ECONNRESET, request_wait(&e.request, 60000));
	ends_close(&e);
}

TEST(waiting_ends_when_the_server_does)
{
	struct ends e = ends_open();
	uint64_t one = 1;

	CHECK_EQ(sizeof(one), write(e.stop, &one, sizeof(one)));
	CHECK_EQ(-ESHUTDOWN, request_wait(&e.request, 60000));
	ends_close(&e);
}

TEST(a_next_request_that_is_already_there_does_not_end_the_wait)
{
	struct ends e = ends_open();

	CHECK_EQ(3, write(e.pair[1], "GET", 3));
	CHECK_EQ(0, request_wait(&e.request, 300));
	close(e.pair[1]);
	e.pair[1] = -1;
	CHECK_EQ(-ECONNRESET, request_wait(&e.request, 60000));
	ends_close(&e);
}
