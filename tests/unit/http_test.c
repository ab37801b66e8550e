/* http_test.c - the server over real sockets, with segments made by hand. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "connections.h"
#include "fake_segment.h"
#include "gzip.h"
#include "moment.h"
#include "routes.h"
#include "shm_dir.h"
#include "test.h"

static const char token[] = "0123456789abcdef";

/* -- a server and its targets -- */

static struct targets *targets;
static struct symbols *symbols;
static struct server *server;
static struct address address;

static void
server_start(const char *with_token)
{
	const char *const dirs[] = { shm_dir, NULL };
	const struct symbols_options names = { .worker = SYMBOLS_WORKER };
	struct server_options options = { 0 };

	(void)signal(SIGPIPE, SIG_IGN);
	CHECK_EQ(0, address_parse("127.0.0.1:0", &address));
	options.listen_fd = address_listen(&address);
	CHECK(options.listen_fd >= 0);
	CHECK_EQ(0, targets_new(dirs, &targets));
	CHECK_EQ(0, symbols_new(&names, &symbols));
	options.guard.listen = address;
	options.guard.token = with_token;
	options.targets = targets;
	options.symbols = symbols;
	CHECK_EQ(0, server_new(&options, &server));
}

static void
server_stop(void)
{
	DIR *d = opendir(shm_dir);

	server_free(server);
	symbols_free(symbols);
	targets_free(targets);
	server = NULL;
	for (struct dirent *e; d && (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, 0);
	(void)closedir(d);
}

struct put {
	struct fake_segment *fake;
	char path[256];
	void *map;
};

/* A target called `name`: this process if alive, else one that never was. 10 blocks of 1000 bytes, 4 of them freed. */
static struct put
target_put(const char *name, uint64_t random, bool alive)
{
	uint32_t pid = alive ? (uint32_t)getpid() : 70000000 + (uint32_t)random, frames[2], site;
	struct put p = { 0 };
	char file[128];
	int fd;

	p.fake = fake_new(pid, alive ? fake_start_time(pid) : 1, random, name);
	memcpy(p.fake->header.cmdline, "prog\0-x\0", 8);
	p.fake->header.cmdline_length = 8;
	frames[0] = fake_frame(p.fake, 0x401000,
			       fake_module(p.fake, "/nonexistent/prog", 0x400000, 0x500000, 0x400000, NULL), 0);
	frames[1] = fake_frame(p.fake, 0x402000, 0, 0);
	site = fake_site(p.fake, frames, 2, 0);
	fake_count(p.fake, site, 1000, 10, 4);
	fake_file_name(p.fake, file, sizeof(file));
	(void)snprintf(p.path, sizeof(p.path), "%s/%s", shm_dir, file);
	fd = open(p.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	fake_write(p.fake, fd);
	if (alive)
		p.map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	return p;
}

static void
target_done(struct put *p)
{
	if (p->map)
		(void)munmap(p->map, 4096);
	fake_free(p->fake);
}

/* -- a client that sends what it is told -- */

struct answer {
	int status; /* 0: none came */
	char *head, *body;
	size_t size;
	char whole[1 << 18];
};

static int
client_open(void)
{
	struct timeval patience = { 20, 0 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK_EQ(0, connect(fd, &address.socket.any, address.size));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void
client_send(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* the answer tells why */
		bytes += n;
		size -= (size_t)n;
	}
}

static struct answer *
client_read(int fd)
{
	static struct answer a;
	size_t size = 0;
	ssize_t n;

	while (size < sizeof(a.whole) - 1 && (n = recv(fd, a.whole + size, sizeof(a.whole) - 1 - size, 0)) > 0)
		size += (size_t)n;
	a.whole[size] = '\0';
	a.head = a.whole;
	a.body = strstr(a.whole, "\r\n\r\n");
	a.body = a.body ? a.body + 4 : a.whole + size;
	a.size = (size_t)(a.whole + size - a.body);
	if (a.body > a.whole)
		a.body[-1] = '\0';
	a.status = strncmp(a.whole, "HTTP/1.", 7) == 0 ? atoi(a.whole + 9) : 0;
	return &a;
}

/* Send it all, read until the server closes. */
static struct answer *
raw_sized(const char *request, size_t size)
{
	int fd = client_open();
	struct answer *a;

	client_send(fd, request, size);
	a = client_read(fd);
	close(fd);
	return a;
}

static struct answer *
raw(const char *request)
{
	return raw_sized(request, strlen(request));
}

static struct answer *
get_with(const char *path, const char *headers)
{
	char request[4096];

	(void)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n%sConnection: close\r\n\r\n",
		       path, headers);
	return raw(request);
}

static struct answer *
get(const char *path)
{
	return get_with(path, "");
}

/* Until the keeper has taken the targets in. */
static void
wait_for_targets(size_t n)
{
	for (int i = 0; i < 500; i++) {
		struct target **list = targets_list(targets);
		size_t found = 0;

		while (list[found])
			found++;
		targets_list_free(list);
		if (found == n)
			return;
		(void)usleep(10000);
	}
	CHECK(!"the targets were found in time");
}

static void
check_has(const char *text, const char *part)
{
	if (!strstr(text, part)) {
		printf("# \"%s\" is not in: %.500s\n", part, text);
		test_failed = true;
	}
}

/* -- what is answered -- */

TEST(a_profile_has_gos_headers_and_is_gzip)
{
	struct put p = target_put("prog", 1, true);
	uint8_t *plain = NULL;
	struct answer *a;
	size_t size;

	server_start(NULL);
	wait_for_targets(1);
	a = get("/debug/pprof/heap");
	CHECK_EQ(200, a->status);
	check_has(a->head, "Content-Type: application/octet-stream\r");
	check_has(a->head, "Content-Disposition: attachment; filename=\"heap\"\r");
	check_has(a->head, "X-Content-Type-Options: nosniff\r");
	CHECK(!strstr(a->head, "Content-Encoding"));
	CHECK_EQ(0, gzip_unpack(a->body, a->size, 1 << 20, &plain, &size));
	free(plain);
	check_has(get("/debug/pprof/allocs")->head, "filename=\"allocs\"");
	a = get("/debug/pprof/cmdline");
	CHECK_EQ(7, a->size);
	CHECK(memcmp(a->body, "prog\0-x", 7) == 0);
	a = get("/debug/pprof");
	CHECK_EQ(301, a->status);
	check_has(a->head, "Location: /debug/pprof/\r");
	a = get("/targets/prog/debug/pprof");
	check_has(a->head, "Location: /targets/prog/debug/pprof/\r");
	check_has(get("/debug/pprof/heap?debug=1")->body, "heap profile: ");
	server_stop();
	target_done(&p);
}

TEST(names_of_code_without_symbols_come_from_the_symbol_page_too)
{
	struct put p = target_put("prog", 1, true);
	struct answer *a;

	server_start(NULL);
	wait_for_targets(1);
	a = get("/debug/pprof/symbol?0x400fff+0x402000+0xdead");
	check_has(a->body, "num_symbols: 1\n0x400fff prog+0xfff\n");
	check_has(a->body, "0x402000 prog+0x1fff\n"); /* a return address: the call is before it */
	CHECK(!strstr(a->body, "dead"));
	a = raw("POST /pprof/symbol HTTP/1.1\r\nHost: localhost\r\nContent-Length: 37\r\nConnection: close\r\n\r\n"
		"0x0000000000400fff+0x0000000000400123");
	check_has(a->body, "num_symbols: 1\n0x400fff\tprog+0xfff\n0x400123\tprog+0x123\n");
	CHECK_EQ(405, raw("POST /debug/pprof/heap HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: "
			  "close\r\n\r\n")
			      ->status);
	server_stop();
	target_done(&p);
}

TEST(the_root_answers_for_the_only_living_target_and_else_lists_them)
{
	struct put one = target_put("one", 1, true), dead = target_put("dead", 2, false);
	struct answer *a;

	server_start(NULL);
	wait_for_targets(2);
	CHECK_EQ(200, get("/debug/pprof/heap")->status);
	CHECK_EQ(200, get("/targets/dead/debug/pprof/heap")->status);
	struct put two = target_put("two<&>\n", 3, true);
	wait_for_targets(3);
	a = get("/debug/pprof/allocs");
	CHECK_EQ(400, a->status);
	check_has(a->head, "X-Go-Pprof: 1");
	check_has(a->head, "text/plain");
	check_has(a->body, "one");
	check_has(a->body, "two");
	a = get("/targets/none/debug/pprof/heap");
	CHECK_EQ(404, a->status);
	check_has(a->body, "'none'");
	check_has(a->body, "/targets/");
	a = get("/");
	check_has(a->body, "two&lt;&amp;&gt;");
	CHECK(!strstr(a->body, "two<"));
	check_has(a->head, "default-src 'none'");
	a = get("/api/v1/targets");
	check_has(a->body, "\"name\":\"two\\u003c\\u0026\\u003e");
	check_has(a->body, "\"inuse_space\":{\"value\":");
	check_has(get("/api/v1/services")->body, "{\"name\":\"dead\",\"targets\":[\"");
	server_stop();
	target_done(&one);
	target_done(&two);
	target_done(&dead);
}

TEST(a_program_that_began_a_moment_ago_is_found)
{
	const char *const dirs[] = { shm_dir, NULL };
	struct targets *all;
	struct selection s = { 0 };
	struct put p;

	CHECK_EQ(0, targets_new(dirs, &all)); /* nobody polls these */
	CHECK_EQ(-ENOENT, selection_only(all, &s));
	p = target_put("young", 0x11, true);
	CHECK_EQ(0, selection_only(all, &s));
	selection_done(&s);
	targets_free(all);
	target_done(&p);
	(void)unlink(p.path);
}

TEST(without_targets_the_answer_says_how_to_get_one)
{
	struct answer *a;

	server_start(NULL);
	a = get("/debug/pprof/heap");
	CHECK_EQ(404, a->status);
	check_has(a->body, "heapd run");
	check_has(a->head, "X-Go-Pprof: 1");
	check_has(get("/")->body, "heapd run");
	server_stop();
}

TEST(what_heapd_has_not_is_an_honest_404)
{
	static const char *const names[] = { "goroutine",    "profile", "trace", "block", "mutex",
					     "threadcreate", "nope",    "heap/", "Heap" };
	struct put p = target_put("prog", 1, true);

	server_start(NULL);
	wait_for_targets(1);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[128];
		struct answer *a;

		(void)snprintf(path, sizeof(path), "/debug/pprof/%s", names[i]);
		a = get(path);
		CHECK_EQ(404, a->status);
		check_has(a->body, "/debug/pprof/heap");
		check_has(a->head, "X-Go-Pprof: 1");
	}
	CHECK_EQ(404, get("/etc/passwd")->status);
	CHECK_EQ(404, get("/targets/prog/../../etc/passwd")->status);
	CHECK_EQ(404, get("/api/v1/nope")->status);
	server_stop();
	target_done(&p);
}

TEST(a_damaged_segment_is_a_sentence_and_a_removed_one_is_gone)
{
	struct put p = target_put("prog", 1, true);
	struct answer *a;
	int fd;

	server_start(NULL);
	wait_for_targets(1);
	fd = open(p.path, O_RDWR);
	CHECK_EQ(1, pwrite(fd, "X", 1, 0));
	close(fd);
	a = get("/targets/prog/debug/pprof/heap");
	CHECK_EQ(500, a->status);
	check_has(a->body, "cannot be read: ");
	check_has(a->head, "X-Go-Pprof: 1");
	check_has(get("/api/v1/targets")->body, "\"error\":\"");
	CHECK_EQ(0, unlink(p.path));
	for (int i = 0; i < 100 && (a = get("/targets/prog/debug/pprof/heap"))->status != 404; i++)
		(void)usleep(20000);
	CHECK_EQ(404, a->status);
	server_stop();
	target_done(&p);
}

TEST(bad_parameters_are_refused_by_name)
{
	static const char *const bad[] = { "heap?seconds=0",
					   "heap?seconds=-1",
					   "heap?seconds=x",
					   "heap?seconds=1&debug=1",
					   "heap?seconds=3601",
					   "heap?seconds=1e3",
					   "heap?seconds=99999999999999999999",
					   "allocs?seconds=%31%30000" };
	struct put p = target_put("prog", 1, true);

	server_start(NULL);
	wait_for_targets(1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char path[128];
		struct answer *a;

		(void)snprintf(path, sizeof(path), "/debug/pprof/%s", bad[i]);
		a = get(path);
		CHECK_EQ(400, a->status);
		check_has(a->body, "seconds");
		check_has(a->head, "X-Go-Pprof: 1");
	}
	CHECK_EQ(200, get("/debug/pprof/heap?debug=x&gc=1&unknown=2")->status);
	CHECK_EQ(200, get("/debug/pprof/heap?seconds=")->status);
	CHECK_EQ(400, get("/api/v1/targets/prog/top?n=0")->status);
	CHECK_EQ(400, get("/api/v1/targets/prog/top?sort=size")->status);
	check_has(get("/api/v1/targets/prog/top?n=1&sort=alloc_objects")->body,
		  "\"sort\":\"alloc_objects\",\"unit\":\"count\"");
	server_stop();
	target_done(&p);
}

/* -- over time -- */

TEST(a_difference_takes_its_seconds_and_has_a_name_of_its_own)
{
	struct put p = target_put("prog", 1, true);
	struct timespec before, after;
	struct answer *a;

	server_start(NULL);
	wait_for_targets(1);
	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	a = get("/debug/pprof/heap?seconds=1");
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 >= 990);
	CHECK_EQ(200, a->status);
	check_has(a->head, "filename=\"heap-delta\"");
	server_stop();
	target_done(&p);
}

/* How many requests wait, as /metrics tells. */
static int
waiting(void)
{
	const char *line = strstr(get("/metrics")->body, "\nheapd_http_waiting_requests ");

	return line ? atoi(line + 29) : -1;
}

static bool
wait_for_waiting(int n)
{
	for (int i = 0; i < 500; i++) {
		if (waiting() == n)
			return true;
		(void)usleep(10000);
	}
	return false;
}

static int
waiter_open(void)
{
	static const char request[] = "GET /debug/pprof/heap?seconds=3600 HTTP/1.1\r\nHost: localhost\r\n\r\n";
	int fd = client_open();

	client_send(fd, request, sizeof(request) - 1);
	return fd;
}

TEST(a_client_that_leaves_is_not_waited_for)
{
	struct put p = target_put("prog", 1, true);
	int fd;

	server_start(NULL);
	wait_for_targets(1);
	fd = waiter_open();
	CHECK(wait_for_waiting(1));
	close(fd);
	CHECK(wait_for_waiting(0));
	server_stop();
	target_done(&p);
}

TEST(so_many_may_wait_and_the_next_is_told_to_come_again)
{
	struct put p = target_put("prog", 1, true);
	int fds[WAITERS_MAX];
	struct timespec before, after;
	struct answer *a;

	server_start(NULL);
	wait_for_targets(1);
	for (size_t i = 0; i < WAITERS_MAX; i++)
		fds[i] = waiter_open();
	CHECK(wait_for_waiting(WAITERS_MAX));
	a = get("/debug/pprof/heap?seconds=1");
	CHECK_EQ(503, a->status);
	check_has(a->head, "Retry-After: ");
	CHECK_EQ(200, get("/debug/pprof/heap")->status);
	/* And the end of the server does not wait for any of them. */
	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	server_stop();
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK(after.tv_sec - before.tv_sec < 2);
	for (size_t i = 0; i < WAITERS_MAX; i++)
		close(fds[i]);
	target_done(&p);
}

TEST(what_waiting_requests_hold_has_a_limit)
{
	const uint32_t all = 1u << 24; /* words of stacks: 64 MiB, though no site has one there */
	struct put p = target_put("prog", 1, true);
	struct answer *a;
	int fds[3], fd;

	fd = open(p.path, O_RDWR | O_CLOEXEC);
	CHECK_EQ(4, pwrite(fd, &all, 4, offsetof(struct heapd_header, sections[HEAPD_STACKS].used)));
	close(fd);
	server_start(NULL);
	wait_for_targets(1);
	for (size_t i = 0; i < 3; i++) {
		long long held = 0;

		fds[i] = waiter_open();
		for (int k = 0; k < 2000 && held >> 26 <= (long long)i; k++) {
			const char *line = strstr(get("/metrics")->body, "\nheapd_http_waiting_bytes ");

			held = line ? atoll(line + 26) : 0;
			(void)usleep(10000);
		}
		CHECK_EQ(i + 1, held >> 26);
	}
	a = get("/debug/pprof/heap?seconds=1");
	CHECK_EQ(503, a->status);
	check_has(a->head, "Retry-After: ");
	check_has(a->body, "MiB of snapshots");
	for (size_t i = 0; i < 3; i++)
		close(fds[i]);
	CHECK(wait_for_waiting(0));
	CHECK_EQ(200, get("/debug/pprof/heap?seconds=1")->status);
	server_stop();
	target_done(&p);
}

TEST(more_silent_clients_than_there_are_places_do_not_lock_others_out)
{
	enum { SILENT = 3 * CONNECTIONS_MAX };
	int fds[SILENT];

	server_start(NULL);
	for (size_t i = 0; i < SILENT; i++) {
		fds[i] = client_open();
		client_send(fds[i], "GET / HT", 8);
	}
	CHECK_EQ(200, get("/healthz")->status);
	for (size_t i = 0; i < SILENT; i++)
		close(fds[i]);
	CHECK_EQ(200, get("/healthz")->status);
	server_stop();
}

/* -- on the wire -- */

TEST(requests_that_are_not_clean_are_refused)
{
	static const struct {
		int status;
		const char *request;
	} cases[] = {
		{ 200, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" },
		{ 200, "GET /healthz HTTP/1.0\r\n\r\n" },
		{ 200, "HEAD /healthz HTTP/1.1\r\nHost: LOCALHOST\r\nConnection: close\r\n\r\n" },
		{ 400, "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n" },
		{ 400, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n" },
		{ 400, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n" },
		{ 400, "GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" },
		{ 400, "GET /healthz%00 HTTP/1.1\r\nHost: localhost\r\n\r\n" },
		{ 400, "GET /healthz%0 HTTP/1.1\r\nHost: localhost\r\n\r\n" },
		{ 400, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n" },
		{ 400, "POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: "
		       "2\r\n\r\nab" },
		{ 400, "POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
		       "5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
		{ 405, "DELETE /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" },
		{ 405, "TRACE /debug/pprof/heap HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" },
		{ 413, "POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\nab" },
		{ 400, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\nAuthorization: Bearer "
		       "y\r\n\r\n" },
		{ 403, "POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nOrigin: "
		       "https://evil.example\r\nContent-Length: 1\r\n\r\nx" },
		{ 403, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\nConnection: close\r\n\r\n" },
		{ 404, "GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" },
		{ 404, "GET /%2e%2e/%2f HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" },
		{ 404, "GET //healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" },
		{ 421, "GET /healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n" },
		{ 421, "GET /healthz HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n" },
	};

	server_start(NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = raw(cases[i].request)->status;

		if (status != cases[i].status) {
			printf("# %d, not %d, for %s\n", status, cases[i].status, cases[i].request);
			test_failed = true;
		}
	}
	server_stop();
}

/* "GET /PATH<n times `piece`> HTTP/1.1" with a header of n more of them. */
static int
long_request(const char *path, const char *piece, size_t n_path, size_t n_header)
{
	struct text request = { 0 };
	int status;

	text_printf(&request, "GET %s", path);
	for (size_t i = 0; i < n_path; i++)
		text_add(&request, piece);
	text_add(&request, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: ");
	for (size_t i = 0; i < n_header; i++)
		text_add(&request, piece);
	text_add(&request, "\r\n\r\n");
	status = raw(text_string(&request))->status;
	text_done(&request);
	return status;
}

TEST(what_is_too_long_or_too_much_is_refused)
{
	server_start(NULL);
	CHECK_EQ(200, long_request("/healthz", "", 0, 0));
	CHECK_EQ(200, long_request("/healthz?", "a=1&", REQUEST_PARAMETERS, 0));
	CHECK_EQ(400, long_request("/healthz?", "a=1&", REQUEST_PARAMETERS + 1, 0));
	CHECK_EQ(0, long_request("/healthz?", "&=", 5000, 0)); /* no room to take them apart: the library hangs up */
	CHECK_EQ(414, long_request("/healthz?", "a=1&", 10000, 0));
	CHECK_EQ(400, long_request("", "/a", REQUEST_SEGMENTS + 1, 0));
	CHECK_EQ(400, long_request("", "/", 5000, 0));
	CHECK_EQ(414, long_request("/", "x", 40 << 10, 0));
	CHECK_EQ(431, long_request("/healthz", "x", 0, 40 << 10));
	CHECK_EQ(200, long_request("/healthz", "x", 0, 10 << 10));
	server_stop();
}

TEST(bodies_that_are_on_their_way_have_a_limit_together)
{
	static const char request[] =
		"POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8388608\r\n\r\n0x1+";
	static const char small[] = "POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
				    "1\r\nConnection: close\r\n\r\n0";
	struct put p = target_put("prog", 1, true);
	/* More than it takes: one is refused itself if it comes while a small one holds its byte. */
	enum { FULL = (64 << 20) / REQUEST_BODY_MAX + 4 };
	int fds[FULL];
	struct answer *a = NULL;

	server_start(NULL);
	wait_for_targets(1);
	for (size_t i = 0; i < FULL; i++) {
		fds[i] = client_open();
		client_send(fds[i], request, sizeof(request) - 1);
	}
	for (int i = 0; i < 500 && (a = raw(small))->status == 200; i++) /* until all have been seen */
		(void)usleep(10000);
	CHECK_EQ(503, a->status);
	check_has(a->head, "Retry-After: ");
	CHECK_EQ(503, raw("POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
			  "chunked\r\n\r\n1\r\n0\r\n0\r\n\r\n")
			      ->status);
	CHECK_EQ(200, get("/debug/pprof/heap")->status);
	for (size_t i = 0; i < FULL; i++)
		close(fds[i]);
	for (int i = 0; i < 500 && (a = raw(small))->status != 200; i++)
		(void)usleep(10000);
	CHECK_EQ(200, a->status);
	server_stop();
	target_done(&p);
}

TEST(replies_that_nobody_reads_make_room_for_others)
{
	enum { ADDRESSES = 300000 };
	struct timeval patience = { 120, 0 };
	struct put p = target_put("prog", 1, true);
	struct text request = { 0 };
	struct blob *others;
	char bytes[65536];
	size_t got = 0;
	ssize_t n;
	int fd;

	server_start(NULL);
	wait_for_targets(1);
	text_printf(&request, "POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n",
		    ADDRESSES * 9);
	for (int i = 0; i < ADDRESSES; i++)
		text_printf(&request, "0x%06x+", 0x400001 + i);
	fd = client_open();
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	client_send(fd, text_string(&request), request.size);
	CHECK_EQ(1, recv(fd, bytes, 1, 0)); /* the answer is on its way, and does not fit into the socket */
	others = blob_new(malloc(300 << 20), 300 << 20); /* never touched: costs nothing */
	CHECK(others != NULL);
	CHECK_EQ(200, get("/healthz")->status);
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		got += (size_t)n;
	CHECK(got < ADDRESSES * strlen("0x400001 prog+0x1\n")); /* cut off */
	close(fd);
	blob_unref(others);
	CHECK_EQ(200, get("/healthz")->status);
	text_done(&request);
	server_stop();
	target_done(&p);
}

TEST(the_body_of_a_refused_request_is_not_taken_for_the_next_one)
{
	struct answer *a;

	server_start(NULL);
	a = raw("POST /healthz HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 52\r\n\r\n"
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: 12345678\r\n\r\n");
	CHECK_EQ(421, a->status);
	CHECK(!strstr(a->body, "HTTP/1.1 200"));
	server_stop();
}

TEST(a_request_cut_anywhere_does_no_harm)
{
	static const char request[] =
		"POST /debug/pprof/symbol?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n0x1+0x2+3";
	struct put p = target_put("prog", 1, true);

	server_start(NULL);
	wait_for_targets(1);
	for (size_t n = 0; n < sizeof(request); n++) {
		int fd = client_open();

		client_send(fd, request, n);
		close(fd);
	}
	CHECK_EQ(200, get("/healthz")->status);
	server_stop();
	target_done(&p);
}

static size_t
descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

TEST(an_answer_may_be_left_at_any_byte)
{
	static const char request[] = "GET /debug/pprof/heap HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	struct put p = target_put("prog", 1, true);
	size_t before, size, left = 0;
	struct answer *a;

	server_start(NULL);
	wait_for_targets(1);
	a = get("/debug/pprof/heap");
	size = (size_t)(a->body - a->whole) + a->size;
	before = descriptors();
	for (size_t n = 0; n < size; n++) {
		const struct linger reset = { 1, 0 };
		char bytes[4096];
		int fd = client_open();

		client_send(fd, request, sizeof(request) - 1);
		CHECK(size <= sizeof(bytes));
		if (n > 0)
			CHECK(recv(fd, bytes, n, MSG_WAITALL) > 0);
		if (n % 2)
			(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
	CHECK_EQ(200, get("/healthz")->status);
	for (int i = 0; i < 500 && (left = descriptors()) > before; i++)
		(void)usleep(10000);
	CHECK(left <= before);
	server_stop();
	CHECK(blob_bytes() == 0);
	target_done(&p);
}

TEST(random_bytes_get_an_error_or_nothing)
{
	char bytes[600];
	unsigned state = 12345;

	server_start(NULL);
	for (int round = 0; round < 300; round++) {
		size_t n = 0;
		int fd;

		n += (size_t)snprintf(bytes, sizeof(bytes),
				      "GET /debug/pprof/heap?seconds=1 HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\r\n");
		for (int k = 0; k < 1 + round % 8; k++) {
			state = state * 1664525 + 1013904223;
			bytes[(state >> 8) % n] = (char)(state >> 24);
		}
		fd = client_open();
		client_send(fd, bytes, n);
		(void)shutdown(fd, SHUT_WR);
		(void)client_read(fd);
		close(fd);
	}
	CHECK_EQ(200, get("/healthz")->status);
	server_stop();
}

static const char *
one_of(unsigned *state, const char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	*state = *state * 1664525 + 1013904223;
	return list[(*state >> 8) % n];
}

/* Pieces that each mean something to some parser, in all orders, several requests after another. */
TEST(odd_requests_get_an_answer_of_ours_or_none)
{
	static const char *const methods[] = { "GET", "HEAD",  "POST",    "PUT", "OPTIONS", "CONNECT", "TRACE",
					       "get", "PRI *", "G\x01ET", "",    " ",       "\r\nGET", NULL };
	static const char *const targets_[] = { "/",
						"/debug/pprof/heap",
						"/debug/pprof/symbol?0x400fff",
						"/metrics",
						"*",
						"http://localhost/",
						"//",
						"/%2e%2e/%2f",
						"/%00",
						"/?seconds=1&seconds=2",
						"/api/v1/targets/%ff/top?n=%31",
						"/\xff",
						"",
						NULL };
	static const char *const versions[] = { "HTTP/1.1",  "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9",
						"HTTP/1.10", "http/1.1", "HTTP/",    "",         NULL };
	static const char *const headers[] = { "Host: localhost\r\n",
					       "Host: localhost\r\n",
					       "host:\tlocalhost \r\n",
					       "Host : localhost\r\n",
					       " folded\r\n",
					       "\tfolded: too\r\n",
					       "X\r\n",
					       ":\r\n",
					       ": empty\r\n",
					       "X: \x01\x7f\xff\r\n",
					       "X: a\rb\r\n",
					       "X: a\n",
					       "Content-Length: 3\r\n",
					       "Content-Length: -1\r\n",
					       "Content-Length: +3\r\n",
					       "Content-Length: 3, 3\r\n",
					       "Content-Length: 18446744073709551617\r\n",
					       "Content-Length: \r\n",
					       "Transfer-Encoding: chunked\r\n",
					       "Transfer-Encoding: gzip, chunked\r\n",
					       "transfer-encoding: CHUNKED\r\n",
					       "Expect: 100-continue\r\n",
					       "Expect: nonsense\r\n",
					       "Connection: keep-alive, close\r\n",
					       "Upgrade: websocket\r\nConnection: Upgrade\r\n",
					       "Accept-Encoding: gzip;q=1,,;q=,gzip;\r\n",
					       "Authorization: Basic ====\r\n",
					       "Range: bytes=0-\r\n",
					       "Cookie: a=b; ;=;\r\n",
					       NULL };
	static const char *const bodies[] = { "",
					      "",
					      "abc",
					      "3\r\nabc\r\n0\r\n\r\n",
					      "3;extension=\"x\"\r\nabc\r\n0\r\nTrailer: x\r\n\r\n",
					      "ffffffffffffffff\r\nabc",
					      "-1\r\nabc\r\n",
					      "0x3\r\nabc\r\n",
					      "00000000000000000000000000000003\r\nabc\r\n0\r\n\r\n",
					      "3\nabc\n0\n\n",
					      "\r\n\r\n",
					      NULL };
	struct put p = target_put("prog", 1, true);
	unsigned state = 4711, answered = 0;

	server_start(NULL);
	wait_for_targets(1);
	for (int round = 0; round < 3000; round++) {
		struct text request = { 0 };
		struct answer *a;
		int fd = client_open();

		for (int k = 0; k < 1 + round % 3; k++) {
			text_printf(&request, "%s %s %s\r\n", one_of(&state, methods), one_of(&state, targets_),
				    one_of(&state, versions));
			for (int h = 0; h < 1 + round % 5; h++)
				text_add(&request, one_of(&state, headers));
			text_add(&request, "\r\n");
			text_add(&request, one_of(&state, bodies));
		}
		client_send(fd, text_string(&request), request.size);
		(void)shutdown(fd, SHUT_WR);
		a = client_read(fd);
		answered += a->status != 0;
		if (a->status != 0 && a->status != 100 && a->status != 200 && (a->status < 400 || a->status > 505)) {
			printf("# %d for %s\n", a->status, text_string(&request));
			test_failed = true;
		}
		close(fd);
		text_done(&request);
	}
	CHECK(answered > 500);
	CHECK_EQ(200, get("/healthz")->status);
	server_stop();
	CHECK(blob_bytes() == 0);
	target_done(&p);
}

TEST(head_has_the_headers_of_get_and_no_body)
{
	struct put p = target_put("prog", 1, true);
	struct answer *a;
	char length[64];

	server_start(NULL);
	wait_for_targets(1);
	a = get("/targets/prog/debug/pprof/cmdline");
	(void)snprintf(length, sizeof(length), "Content-Length: %zu\r", a->size);
	a = raw("HEAD /targets/prog/debug/pprof/cmdline HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
	CHECK_EQ(200, a->status);
	CHECK_EQ(0, a->size);
	check_has(a->head, length);
	server_stop();
	target_done(&p);
}

TEST(compression_is_only_for_who_asks)
{
	uint8_t *plain = NULL;
	struct answer *a;
	size_t size = 0;

	server_start(NULL);
	CHECK(!strstr(get("/metrics")->head, "Content-Encoding"));
	CHECK(!strstr(get_with("/metrics", "Accept-Encoding: gzip;q=0\r\n")->head, "Content-Encoding"));
	a = get_with("/metrics", "Accept-Encoding: br, gzip\r\n");
	check_has(a->head, "Content-Encoding: gzip");
	check_has(a->head, "Vary: Accept-Encoding");
	CHECK_EQ(0, gzip_unpack(a->body, a->size, 1 << 20, &plain, &size));
	CHECK(size > 500 && plain && memcmp(plain, "# HELP heapd_", 13) == 0);
	free(plain);
	server_stop();
}

TEST(with_a_token_nothing_is_told_without_it)
{
	struct answer *a;

	server_start(token);
	a = get("/healthz");
	CHECK_EQ(401, a->status);
	check_has(a->head, "WWW-Authenticate: Bearer");
	CHECK(!strstr(a->whole, token));
	CHECK_EQ(200, get_with("/healthz", "Authorization: Bearer 0123456789abcdef\r\n")->status);
	CHECK_EQ(401, get_with("/healthz", "Authorization: Bearer 0123456789abcdeX\r\n")->status);
	server_stop();
}
