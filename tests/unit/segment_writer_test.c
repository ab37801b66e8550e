/* The segment as a file: where it is made, what it says, and what happens when there is no room. */
#include "segment_writer.h"

#include <errno.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "shm_dir.h"
#include "test.h"
#include "ticks.h"

/* Run the body in a child, whose limits are its own; its checks count here. */
static bool
in_child(bool (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(body() ? 0 : 1);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(a_new_segment_says_whose_it_is_and_is_readable_by_its_owner_alone)
{
	struct segment s = { 0 };
	char path[256];
	struct stat st;

	CHECK_EQ(0, segment_create(&s, 4096));
	CHECK_STR(HEAPD_SEGMENT_MAGIC, s.header->magic);
	CHECK_EQ(HEAPD_SEGMENT_VERSION, s.header->version);
	CHECK_EQ(getpid(), s.header->pid);
	CHECK_EQ(4096, s.header->period);
	CHECK_EQ(HEAPD_STATE_READY, s.header->state);
	CHECK_STR(program_invocation_short_name, s.header->name);
	CHECK(s.header->cmdline_length > 0);
	CHECK(s.header->start_time > 0);
	snprintf(path, sizeof(path), "%s/%u-%llu-%llx" HEAPD_SEGMENT_SUFFIX, shm_dir, s.header->pid,
		 (unsigned long long)s.header->start_time, (unsigned long long)s.header->random);
	CHECK_EQ(0, stat(path, &st));
	CHECK_EQ(0600, st.st_mode & 07777);
	CHECK_EQ(s.header->file_size, st.st_size);
	CHECK(st.st_blocks * 512 < 65536);
	munmap(s.header, s.header->file_size);
}

TEST(claims_are_consecutive_zeroed_and_end_at_the_capacity)
{
	struct segment s = { 0 };
	uint32_t capacity;

	CHECK_EQ(0, segment_create(&s, 1));
	capacity = s.header->sections[HEAPD_MODULES].capacity;
	CHECK_EQ(0, segment_claim(&s, HEAPD_MODULES, 1));
	CHECK_EQ(1, segment_claim(&s, HEAPD_MODULES, 3));
	CHECK_EQ(4, segment_claim(&s, HEAPD_MODULES, capacity - 4));
	CHECK_EQ(0, s.modules[capacity - 1].end);
	CHECK_EQ(HEAPD_NONE, segment_claim(&s, HEAPD_MODULES, 1));
	CHECK_EQ(capacity, s.header->sections[HEAPD_MODULES].used);
	munmap(s.header, s.header->file_size);
}

TEST(what_others_write_into_the_header_does_not_move_claims)
{
	struct segment s = { 0 };
	uint32_t capacity, last = 0;

	CHECK_EQ(0, segment_create(&s, 1));
	capacity = s.header->sections[HEAPD_MODULES].capacity;
	CHECK_EQ(0, segment_claim(&s, HEAPD_MODULES, 10));
	for (unsigned i = 0; i < HEAPD_SECTIONS; i++) {
		s.header->sections[i].offset = UINT64_C(1) << 40;
		s.header->sections[i].stride = 1 << 20;
		s.header->sections[i].capacity = UINT32_MAX;
		s.header->sections[i].used = 0;
	}
	for (uint32_t next = 10; next < capacity; next++) {
		last = segment_claim(&s, HEAPD_MODULES, 1);
		if (last != next)
			break;
		s.modules[last].start = next; /* backed */
	}
	CHECK_EQ(capacity - 1, last);
	CHECK_EQ(HEAPD_NONE, segment_claim(&s, HEAPD_MODULES, 1));
	CHECK_EQ(0, segment_claim(&s, HEAPD_SITES, 5));
	munmap(s.header, s.header->file_size);
}

/* As a fork child finds it that was forked in the middle of something. */
TEST(nothing_is_claimed_or_counted_in_a_segment_that_is_not_ours)
{
	_Atomic uint32_t state = 1;
	struct segment s = { .state = &state };

	CHECK_EQ(0, segment_create(&s, 1));
	CHECK_EQ(0, segment_claim(&s, HEAPD_LIVE, 1));
	state = 0;
	CHECK_EQ(HEAPD_NONE, segment_claim(&s, HEAPD_LIVE, 1));
	segment_lose(&s, HEAPD_LOST_BUSY);
	CHECK_EQ(0, s.header->lost[HEAPD_LOST_BUSY]);
	CHECK_EQ(1, s.header->sections[HEAPD_LIVE].used);
	munmap(s.header, s.header->file_size);
}

static double
seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

TEST(a_later_sample_measures_the_rate_of_the_ticks)
{
	struct segment s = { 0 };
	double rate, real = 0, from, best = INFINITY;
	uint64_t start, ticks;

	CHECK_EQ(0, segment_create(&s, 1));
	CHECK_EQ(0, s.header->ticks_per_second);
	segment_tick(&s, s.header->clock_start.ticks + 1000); /* much too early */
	CHECK_EQ(0, s.header->ticks_per_second);
	start = s.header->clock_start.ticks;
	from = (double)s.header->clock_start.monotonic_ns * 1e-9;
	/* It asks again and again where the machine is too busy to tell. */
	while (s.header->ticks_per_second == 0)
		segment_tick(&s, ticks_now());
	rate = (double)s.header->ticks_per_second;
	/* What it is in truth: over a tenth of a second, at the best of some readings. */
	while (seconds_now() - from < 0.1)
		;
	for (int i = 0; i < 1000; i++) {
		double before = seconds_now(), after;

		ticks = ticks_now();
		after = seconds_now();
		if (after - before < best) {
			best = after - before;
			real = (double)(ticks - start) / ((before + after) / 2 - from);
		}
	}
	CHECK_NEAR(real, rate, real / 100);
	munmap(s.header, s.header->file_size);
}

TEST(without_ticks_there_is_no_rate)
{
	struct segment s = { 0 };

	atomic_store(&ticks_forbidden, true);
	CHECK_EQ(0, segment_create(&s, 1));
	CHECK_EQ(0, s.header->clock_start.ticks);
	CHECK(s.header->clock_start.monotonic_ns > 0);
	segment_tick(&s, ticks_now());
	atomic_store(&ticks_forbidden, false);
	segment_tick(&s, ticks_now()); /* allowed again: it is not known when they began */
	CHECK_EQ(0, s.header->ticks_per_second);
	munmap(s.header, s.header->file_size);
}

TEST(errno_is_the_hosts)
{
	struct segment s = { 0 };

	errno = 0x5a5a;
	CHECK_EQ(0, segment_create(&s, 1));
	segment_claim(&s, HEAPD_LIVE, 100000);
	CHECK_EQ(0x5a5a, errno);
	munmap(s.header, s.header->file_size);
}

static bool
without_large_files(void)
{
	struct rlimit limit = { 1 << 20, 1 << 20 };
	struct segment s = { 0 };

	return setrlimit(RLIMIT_FSIZE, &limit) == 0 && segment_create(&s, 1) == -EFBIG && !s.header;
}

TEST(a_small_file_size_limit_makes_it_fail_and_not_die)
{
	CHECK(in_child(without_large_files));
}

/* Where nobody tidies up, files of ended processes pile up. */
TEST(a_directory_with_thousands_of_files_takes_no_more)
{
	struct segment s = { 0 };
	char path[64];

	for (unsigned i = 0; i < 2048; i++) {
		snprintf(path, sizeof(path), "%s/%u", shm_dir, i);
		close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	}
	CHECK(segment_create(&s, 1) < 0);
	CHECK(!s.header);
	for (unsigned i = 0; i < 2048; i++) {
		snprintf(path, sizeof(path), "%s/%u", shm_dir, i);
		CHECK_EQ(0, unlink(path));
	}
	CHECK_EQ(0, segment_create(&s, 1));
	munmap(s.header, s.header->file_size);
}

/* Whoever owns the file may write it, and the sampler relies on what is in it. */
static bool
on_behalf_of_another(void)
{
	struct segment s = { 0 };

	if (geteuid() != 0)
		return true; /* only root can act for another */
	return seteuid(65534) == 0 && segment_create(&s, 1) == -EAGAIN && !s.header && seteuid(0) == 0 &&
	       segment_create(&s, 1) == 0 && s.header->uid == 0;
}

TEST(a_user_that_the_program_acts_for_does_not_get_its_segment)
{
	CHECK(in_child(on_behalf_of_another));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* sanitizers reserve terabytes */
/* Of what is left under the limit a sixteenth at most, whichever limit it is. */
static bool
with_limit(enum __rlimit_resource which, rlim_t more, int expected)
{
	struct rlimit limit = { 0, 0 };
	struct segment s = { 0 };
	unsigned long pages[6] = { 0 };
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f ||
	    fscanf(f, "%lu %lu %lu %lu %lu %lu", &pages[0], &pages[1], &pages[2], &pages[3], &pages[4], &pages[5]) != 6)
		return false;
	fclose(f);
	limit.rlim_cur = limit.rlim_max = pages[which == RLIMIT_AS ? 0 : 5] * 4096 + more;
	if (setrlimit(which, &limit) != 0)
		return false;
	if (getenv("EMULATED") && (getrlimit(which, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)) {
		printf("# skipped: the emulator sets no such limit\n");
		return true;
	}
	if (segment_create(&s, 1) != expected)
		return false;
	return expected < 0 ? !s.header : s.header->file_size <= more / 16 && segment_claim(&s, HEAPD_LIVE, 100) == 0;
}

static bool
with_little_address_space(void)
{
	return with_limit(RLIMIT_AS, 100 << 20, 0);
}

static bool
with_little_memory_of_its_own(void)
{
	return with_limit(RLIMIT_DATA, 100 << 20, 0);
}

static bool
with_too_little_address_space(void)
{
	return with_limit(RLIMIT_AS, 24 << 20, -EFBIG);
}

TEST(little_address_space_makes_it_smaller)
{
	CHECK(in_child(with_little_address_space));
	CHECK(in_child(with_little_memory_of_its_own));
}

TEST(a_host_near_its_limit_is_left_all_of_it)
{
	CHECK(in_child(with_too_little_address_space));
}
#endif
