/* guard_test.c - who is let in. */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

static unsigned
status_of(const struct guard *g, const struct request *r)
{
	struct reply reply = { 0 };
	unsigned status = guard_admits(g, r, &reply) ? 0 : reply.status;

	reply_done(&reply);
	return status;
}

static struct guard
guard_for(const char *listen)
{
	struct guard g = { 0 };

	CHECK_EQ(0, address_parse(listen, &g.listen));
	return g;
}

static unsigned
host_status(const struct guard *g, const char *host)
{
	struct request r = { .http_1_1 = true, .hosts = 1, .host = host };

	return status_of(g, &r);
}

TEST(our_own_names_are_let_in_with_our_port_or_none)
{
	static const char *const good[] = { "localhost", "LocalHost:6070", "127.0.0.1", "127.0.0.1:6070",
					    "[::1]",     "[::1]:6070",     "10.1.2.3",  "10.1.2.3:6070" };
	static const char *const bad[] = { "",
					   ":6070",
					   "evil.example",
					   "evil.example:6070",
					   "localhost.evil.example",
					   "localhost:6071",
					   "localhost:",
					   "localhost:x",
					   "127.0.0.1.evil.example:6070",
					   "127.0.0.2",
					   "[::2]",
					   "::1",
					   "localhost:6070:6070",
					   "localhost:99999999999999999999",
					   "local",
					   "localhostx" };
	struct guard g = guard_for("10.1.2.3:6070");

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (host_status(&g, good[i]) != 0)
			CHECK_STR("let in", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (host_status(&g, bad[i]) != 421)
			CHECK_STR("turned away", bad[i]);
}

TEST(pages_from_elsewhere_are_turned_away)
{
	static const char *const good[] = { "http://localhost:6070", "http://127.0.0.1", "https://[::1]:6070",
					    "http://10.1.2.3:6070" };
	static const char *const bad[] = { "http://evil.example",
					   "https://evil.example:6070",
					   "null",
					   "",
					   "localhost",
					   "http://localhost:6071",
					   "http://",
					   "http://localhost.evil.example",
					   "file://" };
	struct guard g = guard_for("10.1.2.3:6070");
	struct request r = { .http_1_1 = true, .hosts = 1, .host = "localhost" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		r.origin = good[i];
		if (status_of(&g, &r) != 0)
			CHECK_STR("let in", good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		r.origin = bad[i];
		if (status_of(&g, &r) != 403)
			CHECK_STR("turned away", bad[i]);
	}
}

TEST(names_that_the_user_allows_are_let_in)
{
	static const char *const names[] = { "box.example", NULL };
	struct guard g = guard_for("127.0.0.1:6070");

	CHECK_EQ(421, host_status(&g, "box.example:6070"));
	g.allow_hosts = names;
	CHECK_EQ(0, host_status(&g, "box.example:6070"));
	CHECK_EQ(421, host_status(&g, "box.example.org"));
}

TEST(who_listens_everywhere_is_called_by_the_address_it_was_found_at)
{
	struct guard g = guard_for("0.0.0.0:6070");
	struct request r = { .http_1_1 = true, .hosts = 1, .host = "10.1.2.3:6070" };

	CHECK_EQ(421, status_of(&g, &r));
	CHECK_EQ(0, address_parse("10.1.2.3:6070", &r.local));
	CHECK_EQ(0, status_of(&g, &r));
	r.host = "10.1.2.4:6070";
	CHECK_EQ(421, status_of(&g, &r));
	CHECK_EQ(0, address_parse("[fd00::1]:6070", &r.local));
	r.host = "[fd00::1]";
	CHECK_EQ(0, status_of(&g, &r));
}

TEST(a_request_needs_one_host_and_one_length)
{
	struct guard g = guard_for("127.0.0.1:6070");
	struct request none = { .http_1_1 = true }, old = { 0 }, two = { .hosts = 2, .host = "localhost" };
	struct request lengths = { .http_1_1 = true, .hosts = 1, .host = "localhost", .lengths = 2 };
	struct request both = { .http_1_1 = true, .hosts = 1, .host = "localhost", .lengths = 1, .encodings = 1 };
	struct request tokens = { .http_1_1 = true, .hosts = 1, .host = "localhost", .authorizations = 2 };
	struct request fine = { .http_1_1 = true, .hosts = 1, .host = "localhost", .lengths = 1 };

	CHECK_EQ(400, status_of(&g, &none));
	CHECK_EQ(0, status_of(&g, &old));
	CHECK_EQ(400, status_of(&g, &two));
	CHECK_EQ(400, status_of(&g, &lengths));
	CHECK_EQ(400, status_of(&g, &both));
	CHECK_EQ(400, status_of(&g, &tokens));
	CHECK_EQ(0, status_of(&g, &fine));
}

TEST(with_a_token_only_its_bearer_is_let_in)
{
	static const char *const good[] = { "Bearer 0123456789abcdef", "bearer 0123456789abcdef",
					    "Basic aGVhcGQ6MDEyMzQ1Njc4OWFiY2RlZg==", /* heapd:TOKEN */
					    "Basic OjAxMjM0NTY3ODlhYmNkZWY=" }; /* :TOKEN */
	static const char *const bad[] = { "",
					   "Bearer",
					   "Bearer ",
					   "Bearer 0123456789abcdeg",
					   "Bearer 0123456789abcde",
					   "Bearer 0123456789abcdef0",
					   "Bearer 0123456789abcdef0123456789abcdef",
					   "0123456789abcdef",
					   "Basic",
					   "Basic ",
					   "Basic MDEyMzQ1Njc4OWFiY2RlZg==",
					   "Basic !!!!",
					   "Basic aGVhcGQ6" };
	struct guard g = guard_for("0.0.0.0:6070");
	struct request r = { .http_1_1 = true, .hosts = 1, .host = "localhost" };

	g.token = "0123456789abcdef";
	CHECK_EQ(401, status_of(&g, &r));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		r.authorization = good[i];
		if (status_of(&g, &r) != 0)
			CHECK_STR("let in", good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		r.authorization = bad[i];
		if (status_of(&g, &r) != 401)
			CHECK_STR("turned away", bad[i]);
	}
}

/* How many instructions a process takes to answer, counted one by one. -1: this machine does not let us. */
static long
count_instructions(const struct guard *g, const struct request *r)
{
	long n = 0;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(2);
		(void)raise(SIGSTOP);
		_exit(status_of(g, r) == 401 ? 0 : 1);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;
	while (WIFSTOPPED(status)) {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0 || waitpid(pid, &status, 0) != pid) {
			(void)kill(pid, SIGKILL);
			return -1;
		}
		n++;
	}
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return n;
}

TEST(a_wrong_token_takes_as_many_instructions_whatever_of_it_is_right)
{
	static const char right[] = "Bearer 0123456789abcdef";
	struct guard g = guard_for("0.0.0.0:6070");
	struct request r = { .http_1_1 = true, .hosts = 1, .host = "localhost" };
	long first = -1;

#ifdef __SANITIZE_THREAD__
	printf("# the thread sanitizer adds instructions as it pleases, not tested\n");
	return;
#endif
	g.token = right + 7;
	r.authorization = "Bearer x";
	CHECK_EQ(401, status_of(&g, &r)); /* what is only done once is done */
	for (size_t wrong = 7; wrong < sizeof(right) - 1; wrong += 7) {
		char given[sizeof(right)];
		long n;

		memcpy(given, right, sizeof(right));
		given[wrong] = '!';
		r.authorization = given;
		n = count_instructions(&g, &r);
		if (n < 0) {
			printf("# instructions cannot be counted here, not tested\n");
			return;
		}
		if (first < 0)
			first = n;
		CHECK_EQ(first, n);
	}
	CHECK(first > 100);
}

static int
token_of_user(const char *content, uid_t uid, mode_t mode, char **ret)
{
	char path[] = "/tmp/heapd-token-XXXXXX";
	int fd = mkstemp(path), r;

	CHECK(fd >= 0);
	CHECK_EQ(strlen(content), write(fd, content, strlen(content)));
	CHECK_EQ(0, fchown(fd, uid, (gid_t)-1));
	CHECK_EQ(0, fchmod(fd, mode));
	close(fd);
	r = token_read(path, ret);
	(void)unlink(path);
	return r;
}

static int
token_of(const char *content, mode_t mode, char **ret)
{
	return token_of_user(content, geteuid(), mode, ret);
}

TEST(a_secret_is_readable_for_its_owner_alone_or_for_a_group_that_root_chose)
{
	static const mode_t loose[] = { 0604, 0602, 0601, 0620, 0610, 0666 };
	char *token = NULL;

	for (size_t i = 0; i < sizeof(loose) / sizeof(loose[0]); i++)
		CHECK_EQ(-EPERM, token_of("0123456789abcdef", loose[i], &token));
	if (geteuid() == 0) {
		CHECK_EQ(-EPERM, token_of_user("0123456789abcdef", 1, 0640, &token));
		CHECK_EQ(0, token_of_user("0123456789abcdef", 0, 0640, &token));
		free(token);
		token = NULL;
	} else {
		CHECK_EQ(-EPERM, token_of("0123456789abcdef", 0640, &token));
	}
	CHECK(!token);
}

TEST(a_token_file_holds_a_secret_that_is_long_and_kept)
{
	char *token = NULL, long_one[600];

	CHECK_EQ(0, token_of("0123456789abcdef\nmore\n", 0600, &token));
	CHECK_STR("0123456789abcdef", token);
	free(token);
	token = NULL;
	CHECK_EQ(-EPERM, token_of("0123456789abcdef\n", 0644, &token));
	CHECK_EQ(-EINVAL, token_of("0123456789abcde\n", 0600, &token));
	CHECK_EQ(-EINVAL, token_of("", 0600, &token));
	CHECK_EQ(-EINVAL, token_of("0123456789 abcdef\n", 0600, &token));
	memset(long_one, 'a', sizeof(long_one));
	long_one[sizeof(long_one) - 1] = '\0';
	CHECK_EQ(-EINVAL, token_of(long_one, 0600, &token));
	CHECK_EQ(-ENOENT, token_read("/nonexistent/token", &token));
	CHECK(!token);
}

TEST(addresses_are_numeric_and_never_every_interface_by_accident)
{
	static const char *const bad[] = {
		"",      "6070",    "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "host:80",
		"[::1]", "[::1:80", "::1:80",    "1.2.3:4",    "127.0.0.1:80x",   "*:80"
	};
	struct address a;
	char host[ADDRESS_TEXT];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (address_parse(bad[i], &a) != -EINVAL)
			CHECK_STR("refused", bad[i]);
	CHECK_EQ(0, address_parse(":6070", &a));
	CHECK(address_is_loopback(&a));
	CHECK_EQ(0, address_parse("localhost:1", &a));
	CHECK_STR("127.0.0.1", address_host(&a, host, sizeof(host)));
	CHECK_EQ(0, address_parse("[::1]:65535", &a));
	CHECK(address_is_loopback(&a));
	CHECK_EQ(65535, address_port(&a));
	CHECK_STR("[::1]", address_host(&a, host, sizeof(host)));
	CHECK_EQ(0, address_parse("0.0.0.0:1", &a));
	CHECK(!address_is_loopback(&a));
	CHECK_EQ(0, address_parse("[::]:1", &a));
	CHECK(!address_is_loopback(&a));
}

TEST(a_port_that_is_taken_is_told_from_a_free_one)
{
	struct address a, b;
	int first, second;

	CHECK_EQ(0, address_parse("127.0.0.1:0", &a));
	first = address_listen(&a);
	CHECK(first >= 0);
	CHECK(address_port(&a) != 0);
	CHECK(fcntl(first, F_GETFD) & FD_CLOEXEC);
	b = a;
	second = address_listen(&b);
	CHECK_EQ(-EADDRINUSE, second);
	close(first);
}
