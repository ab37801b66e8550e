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
static bool
with_little_address_space(void)
{
	struct rlimit limit = { 100 << 20, 100 << 20 };
	struct segment s = { 0 };

	return setrlimit(RLIMIT_AS, &limit) == 0 && segment_create(&s, 1) == 0 &&
	       s.header->file_size < limit.rlim_cur && segment_claim(&s, HEAPD_LIVE, 100) == 0;
}

TEST(little_address_space_makes_it_smaller)
{
	CHECK(in_child(with_little_address_space));
}
#endif
