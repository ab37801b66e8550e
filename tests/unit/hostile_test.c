/* hostile_test.c - segments that lie, or change under the reader's hands, all the way to the answers.
 *
 * HEAPD_TEST_ROUNDS=N makes the long one longer.
 */
#include "routes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_segment.h"
#include "pprof_check.h"
#include "shm_dir.h"
#include "test.h"
#include "utf8.h"

/* -- everything between the files and the answers -- */

static struct targets *targets;
static struct symbols *symbols;
static struct routes routes;

static void
routes_open(void)
{
	const char *const dirs[] = { shm_dir, NULL };
	const struct symbols_options names = { .worker = SYMBOLS_WORKER };

	CHECK_EQ(0, targets_new(dirs, &targets));
	CHECK_EQ(0, symbols_new(&names, &symbols));
	routes = (struct routes){ .targets = targets, .symbols = symbols, .scheme = "http" };
	CHECK_EQ(0, cache_new(&routes.cache));
	CHECK_EQ(0, shown_all_new(&routes.shown_all));
}

static void
routes_close(void)
{
	cache_free(routes.cache);
	shown_all_free(routes.shown_all);
	symbols_free(symbols);
	targets_free(targets);
}

static struct reply
get(const char *path)
{
	struct request q = { .method = METHOD_GET };
	struct reply reply = { 0 };

	CHECK_EQ(0, request_parse(&q, path));
	routes_answer(&routes, &q, &reply);
	request_done(&q);
	return reply;
}

static const char *
body_of(const struct reply *r)
{
	return r->body ? r->body->data : "";
}

/* -- segments -- */

struct put {
	struct fake_segment *fake;
	char path[256];
	int fd;
};

/* A dead target called `name`, with some sites, small enough to be damaged all over within seconds. */
static struct put
put_segment(const char *name, uint64_t random)
{
	struct put p = { .fake = fake_new(70000000, 1, random, name) };
	char file[128];

	p.fake->capacity[HEAPD_MODULES] = 16;
	p.fake->capacity[HEAPD_STRINGS] = 4096;
	p.fake->capacity[HEAPD_FRAMES] = 256;
	p.fake->capacity[HEAPD_STACKS] = 1024;
	p.fake->capacity[HEAPD_SITES] = 64;
	p.fake->capacity[HEAPD_LIVE] = 64;
	p.fake->capacity[HEAPD_CFAS] = 64;
	(void)fake_module(p.fake, "/nonexistent/prog", 0x400000, 0x500000, 0x400000, "0123456789abcdef");
	(void)fake_module(p.fake, "/nonexistent/lib.so", 0x7f0000000000, 0x7f0000100000, 0x7f0000000000, NULL);
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t frames[3];

		frames[0] = fake_frame(p.fake, 0x7f0000001000 + 16 * i, 1, 0);
		frames[1] = fake_frame(p.fake, 0x401000 + 16 * i, 0, HEAPD_FRAME_EXACT);
		frames[2] = fake_frame(p.fake, 0x1000 + i, HEAPD_NONE, 0);
		fake_count(p.fake, fake_site(p.fake, frames, 3, 0), 100 * i, 10, i % 10);
	}
	fake_file_name(p.fake, file, sizeof(file));
	(void)snprintf(p.path, sizeof(p.path), "%s/%s", shm_dir, file);
	p.fd = open(p.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(p.fd >= 0);
	fake_write(p.fake, p.fd);
	return p;
}

static void
put_done(struct put *p)
{
	close(p->fd);
	(void)unlink(p->path);
	fake_free(p->fake);
}

/* -- what an answer has to be, whatever it speaks of -- */

static bool
json_sound(const char *s, size_t size)
{
	int depth = 0;
	bool text = false;

	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)s[i];

		if (text && c == '\\')
			i++;
		else if (c == '"')
			text = !text;
		else if (text ? c < 0x20 : !strchr("{}[]:,0123456789.+-eEtrufalsn\n", c))
			return false;
		else if (!text)
			depth += (c == '{' || c == '[') - (c == '}' || c == ']');
	}
	return depth == 0 && !text;
}

static void
check_sound(const char *path, const struct reply *r)
{
	const char *why = NULL;

	if (r->status != 200) {
		if (r->status != 404 && r->status != 500 && r->status != 503)
			why = "an odd status";
	} else if (strcmp(r->type, TYPE_BINARY) == 0) {
		why = pprof_check(r->body->data, r->body->size);
	} else {
		char *copy = malloc(r->body->size + 1);

		memcpy(copy, r->body->data, r->body->size);
		for (size_t i = 0; i < r->body->size; i++)
			if (copy[i] == '\n' || copy[i] == '\t' || copy[i] == '\0')
				copy[i] = ' ';
		if (!utf8_clean(copy, r->body->size))
			why = "no clean text";
		else if (strcmp(r->type, TYPE_JSON) == 0 && !json_sound(r->body->data, r->body->size))
			why = "no JSON";
		free(copy);
	}
	if (why) {
		printf("# %s: %s: %u %.300s\n", path, why, r->status, r->status == 200 ? "" : body_of(r));
		test_failed = true;
	}
}

static const char *const forms[] = { "/targets/%s/debug/pprof/heap",
				     "/targets/%s/debug/pprof/allocs",
				     "/targets/%s/debug/pprof/heap?debug=1",
				     "/targets/%s/pprof/heap",
				     "/targets/%s/raw/pprof/growth",
				     "/targets/%s/debug/pprof/cmdline",
				     "/targets/%s/debug/pprof/symbol?0x401001+0x7f0000001000+0x1000",
				     "/targets/%s/debug/pprof/",
				     "/api/v1/targets/%s",
				     "/api/v1/targets/%s/top",
				     "/services/%s/debug/pprof/heap" };
#define FORMS (sizeof(forms) / sizeof(forms[0]))

/* -- a writer that does what it likes -- */

static uint64_t
random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t
lie(uint64_t *state)
{
	static const uint64_t favourites[] = { 0,         1,          2,          16,         127,
					       128,       129,        255,        4095,       4096,
					       0xffff,    0x7fffffff, 0x80000000, 0xffffffff, UINT64_C(1) << 32,
					       INT64_MAX, UINT64_MAX, 1u << 20,   1u << 24,   UINT64_C(1) << 62 };
	uint64_t r = random_next(state);

	return r % 3 ? favourites[(r >> 8) % (sizeof(favourites) / sizeof(favourites[0]))] : r >> (r & 63);
}

/* For ever: bytes, words, whole headers with a checksum that fits, holes, files cut and grown; and now and then the truth,
 * so that what comes behind the first check is reached, too. */
__attribute__((noreturn, no_sanitize("undefined"))) static void
write_lies(int fd, size_t size)
{
	unsigned char *truth = malloc(size);
	unsigned char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint64_t state = 88172645463325252;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!truth || map == MAP_FAILED)
		_exit(1);
	memcpy(truth, map, size);
	for (;;) {
		struct heapd_header *h = (struct heapd_header *)(void *)map;
		uint64_t r = random_next(&state), value = lie(&state);
		size_t at = random_next(&state) % (size - 8);
		const struct heapd_section *section;

		switch (r % 32) {
		case 0:
			memcpy(map, truth, size);
			break;
		case 1:
			(void)!ftruncate(fd, (off_t)at);
			(void)!ftruncate(fd, (off_t)size);
			break;
		case 2:
			(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)(r >> 40));
			break;
		case 3: /* the fixed part, and the sections, which lie behind its checksum */
			memcpy(map, truth, sizeof(*h));
			at = (r >> 8) % (offsetof(struct heapd_header, threads) / 4) * 4;
			memcpy(map + at, &value, r & 1 ? 4 : 8);
			h->checksum = fake_checksum(h);
			break;
		case 4:
			memcpy(map, truth, sizeof(*h));
			for (unsigned i = 0; i < HEAPD_SECTIONS; i++)
				atomic_store_explicit(&h->sections[i].used, (uint32_t)lie(&state),
						      memory_order_relaxed);
			break;
		case 5:
			memcpy(map + (at & ~(size_t)7), &value, 8);
			break;
		case 6:
		case 7:
			map[at] = (unsigned char)(r >> 32);
			break;
		default: /* in a record that is in use, below a sound header */
			memcpy(map, truth, sizeof(*h));
			section = &h->sections[(r >> 8) % HEAPD_LIVE];
			at = section->offset + (r >> 16) % (section->stride * section->used);
			if (r & 32)
				map[at] = (unsigned char)(r >> 48);
			else
				memcpy(map + (at & ~(size_t)3), &value, r & 64 && (at & 4) == 0 ? 8 : 4);
		}
	}
}

TEST(a_writer_that_changes_every_byte_at_full_speed_harms_nobody_but_itself)
{
	const char *wanted = getenv("HEAPD_TEST_ROUNDS");
	int rounds = wanted ? atoi(wanted) : 200;
	struct put liar = put_segment("liar", 0xbad), honest = put_segment("honest", 0x600d);
	char liar_id[] = "70000000-0bad", honest_id[] = "70000000-600d", path[256];
	struct reply first[FORMS];
	unsigned good = 0, bad = 0;
	struct stat st;
	pid_t child;

	routes_open();
	for (size_t i = 0; i < FORMS; i++) {
		(void)snprintf(path, sizeof(path), forms[i], i == FORMS - 1 ? "honest" : honest_id);
		first[i] = get(path);
		CHECK_EQ(200, first[i].status);
		check_sound(path, &first[i]);
	}
	CHECK_EQ(0, fstat(liar.fd, &st));
	child = fork();
	if (child == 0)
		write_lies(liar.fd, (size_t)st.st_size);
	for (int round = 0; round < rounds; round++) {
		for (size_t i = 0; i < FORMS; i++) {
			struct reply r;

			(void)snprintf(path, sizeof(path), forms[i], i == FORMS - 1 ? "liar" : liar_id);
			r = get(path);
			check_sound(path, &r);
			good += r.status == 200;
			bad += r.status != 200;
			reply_done(&r);
		}
		for (size_t i = 2; i < 4; i++) { /* without times in them */
			struct reply r;

			(void)snprintf(path, sizeof(path), forms[i], honest_id);
			r = get(path);
			CHECK_EQ(200, r.status);
			CHECK(r.body && r.body->size == first[i].body->size);
			CHECK(r.body && memcmp(r.body->data, first[i].body->data, r.body->size) == 0);
			reply_done(&r);
		}
		CHECK_EQ(0, targets_poll(targets));
		/* No answer from before. */
		cache_free(routes.cache);
		CHECK_EQ(0, cache_new(&routes.cache));
	}
	CHECK(good > 0 && bad > 0);
	if (wanted)
		printf("# %u good answers, %u bad\n", good, bad);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	for (size_t i = 0; i < FORMS; i++)
		reply_done(&first[i]);
	routes_close();
	put_done(&liar);
	put_done(&honest);
}

/* -- numbers that cannot be -- */

static void
check_has(const char *text, const char *part)
{
	if (!strstr(text, part)) {
		printf("# \"%s\" is not in: %.700s\n", part, text);
		test_failed = true;
	}
}

static void
all_bits(struct heapd_totals *t)
{
	memset(t, 0xff, sizeof(*t));
}

TEST(numbers_that_cannot_be_are_clamped_and_every_answer_says_so)
{
	struct put p = put_segment("counters", 1), more = put_segment("counters", 2);
	struct put *both[] = { &p, &more };
	Perftools__Profiles__Profile *profile;
	char path[256];
	struct reply r;
	bool told = false;

	for (size_t k = 0; k < 2; k++) {
		struct fake_segment *f = both[k]->fake;

		for (uint32_t i = 0; i < 40; i++) {
			if (i % 3 == 0)
				all_bits(&f->sites[i].alloc);
			if (i % 3 != 1)
				all_bits(&f->sites[i].freed);
		}
		atomic_store(&f->header.period, 0);
		atomic_store(&f->header.samples, UINT64_MAX);
		for (unsigned i = 0; i < HEAPD_LOSSES; i++)
			atomic_store(&f->header.lost[i], UINT64_MAX);
		atomic_store(&f->header.lost_bytes, UINT64_MAX);
		f->header.clock_start.realtime_ns = UINT64_MAX;
		fake_write(f, both[k]->fd);
	}
	routes_open();
	for (size_t i = 0; i < FORMS; i++) {
		(void)snprintf(path, sizeof(path), forms[i], i == FORMS - 1 ? "counters" : "70000000-0001");
		r = get(path);
		CHECK_EQ(200, r.status);
		check_sound(path, &r);
		if (strcmp(r.type, TYPE_JSON) == 0)
			CHECK(!strstr(body_of(&r), "nan") && !strstr(body_of(&r), "inf,"));
		reply_done(&r);
	}
	r = get("/api/v1/targets/70000000-0001");
	check_has(body_of(&r), "\"period\":524288,");
	check_has(body_of(&r), "\"inconsistent\":206}"); /* 14 * 10 of both kinds, 13 * 5 of the second, the period */
	reply_done(&r);
	r = get("/targets/70000000-0001/debug/pprof/heap?debug=1");
	check_has(body_of(&r), "# heapd.Inconsistent = 206\n");
	reply_done(&r);
	r = get("/targets/70000000-0001/debug/pprof/heap");
	profile = pprof_decode(r.body->data, r.body->size);
	CHECK(profile != NULL);
	for (size_t i = 0; profile && i < profile->n_sample; i++)
		for (size_t v = 0; v < profile->sample[i]->n_value; v++)
			CHECK(profile->sample[i]->value[v] >= 0);
	for (size_t i = 0; profile && i < profile->n_comment; i++)
		told |= strstr(profile->string_table[profile->comment[i]], "values were damaged") != NULL;
	CHECK(told);
	perftools__profiles__profile__free_unpacked(profile, NULL);
	reply_done(&r);
	routes_close();
	put_done(&p);
	put_done(&more);
}

/* -- paths that lead elsewhere -- */

enum { STRANGER = 12345 };

/* A live process of another user, whose modules are at those paths. */
static pid_t
start_stranger(const char *const *paths, size_t n, int *ret_input)
{
	int in[2], out[2];
	char byte = 0;
	pid_t pid;

	CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		uint32_t self = (uint32_t)getpid();
		char file[128], path[256], id[16];
		struct fake_segment *f;
		int fd;

		close(in[1]);
		if (setresgid(STRANGER, STRANGER, STRANGER) < 0 || setresuid(STRANGER, STRANGER, STRANGER) < 0)
			_exit(1);
		f = fake_new(self, fake_start_time(self), 0x5ec, "stranger");
		f->header.uid = 0; /* it says */
		for (uint32_t i = 0; i < n; i++) {
			uint64_t start = 0x10000000 * (uint64_t)(i + 1);
			uint32_t frame = fake_frame(f, start + 0x1234, i, 0);

			(void)snprintf(id, sizeof(id), "001122%02x", i);
			(void)fake_module(f, paths[i], start, start + 0x100000, start, i % 2 ? id : NULL);
			fake_count(f, fake_site(f, &frame, 1, 0), 100, 1, 0);
		}
		fake_file_name(f, file, sizeof(file));
		(void)snprintf(path, sizeof(path), "%s/%s", shm_dir, file);
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		fake_write(f, fd);
		if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ||
		    write(out[1], "x", 1) != 1 || read(in[0], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(in[0]);
	close(out[1]);
	CHECK_EQ(1, read(out[0], &byte, 1));
	close(out[0]);
	*ret_input = in[1];
	return pid;
}

TEST(a_module_path_opens_no_device_no_fifo_and_nothing_that_is_secret_to_its_user)
{
	char secret[128], fifo[128], chain[128], climber[400], directory[128], socket_path[64];
	const char *const paths[] = { "/dev/zero", "/dev/tty", "/proc/kmsg", secret,        fifo,
				      chain,       climber,    directory,    "/proc/1/mem", socket_path };
	struct { /* what may not be opened, and only named */
		const char *path;
		int watch;
	} watched[] = { { secret, -1 }, { fifo, -1 } };
	struct sockaddr_un socket_address = { .sun_family = AF_UNIX };
	struct inotify_event event;
	int input, status, watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), unix_socket;
	char command[1200];
	struct reply r;
	pid_t pid;

	if (geteuid() != 0) {
		printf("# needs root, not tested\n");
		close(watch);
		return;
	}
	(void)snprintf(secret, sizeof(secret), "%s/secret", shm_dir);
	(void)snprintf(fifo, sizeof(fifo), "%s/fifo", shm_dir);
	(void)snprintf(chain, sizeof(chain), "%s/chain", shm_dir);
	(void)snprintf(climber, sizeof(climber), "/nonexistent/../..%s/../shm/../..%s", shm_dir, secret);
	(void)snprintf(directory, sizeof(directory), "%s/directory", shm_dir);
	(void)snprintf(socket_path, sizeof(socket_path), "%s/socket", shm_dir);
	(void)snprintf(command, sizeof(command),
		       "cp /bin/true %s && chmod 600 %s && mkfifo %s && ln -s secret %s.link && ln -s chain.link %s && "
		       "ln -s secret %s/chain.link && mkdir %s",
		       secret, secret, fifo, secret, chain, shm_dir, directory);
	CHECK_EQ(0, system(command));
	CHECK_EQ(0, chmod(shm_dir, 01777));
	memcpy(socket_address.sun_path, socket_path, strlen(socket_path) + 1);
	unix_socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(0, bind(unix_socket, (struct sockaddr *)&socket_address, sizeof(socket_address)));
	for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++) {
		watched[i].watch = inotify_add_watch(watch, watched[i].path, IN_OPEN | IN_ACCESS);
		CHECK(watched[i].watch >= 0);
	}
	pid = start_stranger(paths, sizeof(paths) / sizeof(paths[0]), &input);
	routes_open();
	r = get("/debug/pprof/heap?debug=1");
	CHECK_EQ(200, r.status);
	check_sound("stranger", &r);
	check_has(body_of(&r), "secret+0x1233");
	check_has(body_of(&r), "zero+0x1233");
	reply_done(&r);
	CHECK(read(watch, &event, sizeof(event)) < 0); /* nobody opened them */
	close(input);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	/* Dead it is not more trusted, whoever it says it was. */
	routes_close();
	routes_open();
	r = get("/debug/pprof/heap?debug=1");
	CHECK_EQ(200, r.status);
	check_has(body_of(&r), "secret+0x1233");
	reply_done(&r);
	CHECK(read(watch, &event, sizeof(event)) < 0);
	close(unix_socket);
	close(watch);
	routes_close();
	(void)snprintf(command, sizeof(command), "rm -r %s/*", shm_dir);
	CHECK_EQ(0, system(command));
}
