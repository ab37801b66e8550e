/* reader_test.c - what the reader believes of a segment, and what it does with the rest. */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_segment.h"
#include "test.h"
#include "utf8.h"

static int
temporary_file(void)
{
	int fd = memfd_create("segment", MFD_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

/* main -> work -> malloc's caller, 3 samples of 64 bytes, one freed. */
static struct fake_segment *
small_segment(void)
{
	struct fake_segment *f = fake_new(8123, 4711, 0xabcd1f3a, "shop");
	uint32_t main_module = fake_module(f, "/usr/bin/shop", 0x400000, 0x480000, 0, "00ff1234");
	uint32_t lib = fake_module(f, "/usr/lib/libcart.so.1", 0x7f0000000000, 0x7f0000100000, 0x7f0000000000, NULL);
	uint32_t stack[2];

	stack[0] = fake_frame(f, 0x7f0000001234, lib, 0);
	stack[1] = fake_frame(f, 0x401000, main_module, 0);
	fake_count(f, fake_site(f, stack, 2, 0), 64, 3, 1);
	return f;
}

/* Copy the segment behind fd. NULL and *ret_error if that fails. */
static struct snapshot *
copy(int fd, int *ret_error)
{
	struct snapshot *snap = snapshot_new();
	struct reader *reader = NULL;

	*ret_error = reader_open(fd, &reader);
	if (*ret_error == 0)
		*ret_error = reader_copy(reader, snap);
	reader_free(reader);
	if (*ret_error != 0) {
		snapshot_free(snap);
		return NULL;
	}
	return snap;
}

static void
poke(int fd, uint64_t offset, const void *bytes, size_t size)
{
	CHECK_EQ(size, pwrite(fd, bytes, size, (off_t)offset));
}

static void
poke32(int fd, uint64_t offset, uint32_t value)
{
	poke(fd, offset, &value, sizeof(value));
}

static void
poke64(int fd, uint64_t offset, uint64_t value)
{
	poke(fd, offset, &value, sizeof(value));
}

TEST(a_copy_holds_what_the_sampler_wrote)
{
	struct fake_segment *f = small_segment();
	int fd = temporary_file(), error;
	struct snapshot *s;

	f->header.lost[HEAPD_LOST_DEEP] = 7;
	f->header.max_samples = 1000;
	f->header.ticks_per_second = 2400000000;
	fake_write(f, fd);
	s = copy(fd, &error);
	CHECK_EQ(0, error);
	if (!s)
		return;
	CHECK_EQ(1000, s->max_samples);
	CHECK_EQ(2400000000, s->ticks_per_second);
	CHECK_EQ(8123, s->pid);
	CHECK_EQ(4711, s->start_time);
	CHECK_EQ(0xabcd1f3a, s->random);
	CHECK_STR("shop", s->name);
	CHECK_EQ(5, s->cmdline_length);
	CHECK_EQ(HEAPD_PERIOD_DEFAULT, s->period);
	CHECK_EQ(3, s->samples);
	CHECK_EQ(7, s->lost[HEAPD_LOST_DEEP]);
	CHECK_EQ(0, s->inconsistent);
	CHECK_EQ(2, s->n_modules);
	CHECK(s->modules[0].main && s->modules[0].present && !s->modules[1].main);
	CHECK_STR("/usr/bin/shop", s->modules[0].path);
	CHECK_STR("/usr/lib/libcart.so.1", s->modules[1].path);
	CHECK_EQ(4, s->modules[0].build_id_length);
	CHECK_EQ(0xff, s->modules[0].build_id[1]);
	CHECK_EQ(2, s->n_sites);
	CHECK_EQ(HEAPD_STACK_OVERFLOW, s->sites[0].flags);
	CHECK_EQ(2, s->sites[1].depth);
	CHECK_EQ(0x7f0000001234, s->frames[s->stacks[s->sites[1].stack]].address);
	CHECK_EQ(0x401000, s->frames[s->stacks[s->sites[1].stack + 1]].address);
	CHECK_EQ(3, s->sites[1].alloc.samples);
	CHECK_EQ(1, s->sites[1].freed.samples);
	CHECK_EQ(f->sites[1].alloc.bytes, s->sites[1].alloc.bytes);
	CHECK_EQ(f->sites[1].freed.objects, s->sites[1].freed.objects);
	CHECK(s->time_ns > 1500000000000000000);
	snapshot_free(s);
	fake_free(f);
	close(fd);
}

/* One damage each, and a word of the sentence that has to tell it. */
static const struct {
	size_t offset, size;
	uint64_t value;
	bool fixed_part; /* covered by the checksum, which is made to fit */
	const char *word;
} damages[] = {
	{ offsetof(struct heapd_header, magic), 1, 'H', true, "magic" },
	{ offsetof(struct heapd_header, version), 4, HEAPD_SEGMENT_VERSION + 1, true, "version 3" },
	{ offsetof(struct heapd_header, header_size), 4, 512, true, "header" },
	{ offsetof(struct heapd_header, pid), 4, 1, false, "checksum" },
	{ offsetof(struct heapd_header, file_size), 8, UINT64_C(1) << 60, true, "truncated" },
	{ offsetof(struct heapd_header, cmdline_length), 4, 1025, true, "command line" },
	{ offsetof(struct heapd_header, state), 4, 9, false, "state 9" },
	{ offsetof(struct heapd_header, sections[HEAPD_SITES].stride), 4, 64, false, "sites" },
	{ offsetof(struct heapd_header, sections[HEAPD_SITES].capacity), 4, (1 << 18) + 1, false, "sites" },
	{ offsetof(struct heapd_header, sections[HEAPD_FRAMES].capacity), 4, UINT32_MAX, false, "frames" },
	{ offsetof(struct heapd_header, sections[HEAPD_MODULES].capacity), 4, 4097, false, "modules" },
	{ offsetof(struct heapd_header, sections[HEAPD_STACKS].offset), 8, UINT64_MAX - 4095, false, "stacks" },
	{ offsetof(struct heapd_header, sections[HEAPD_STACKS].offset), 8, UINT64_C(1) << 40, false, "stacks" },
	{ offsetof(struct heapd_header, sections[HEAPD_STRINGS].offset), 8, 0, false, "strings" },
	{ offsetof(struct heapd_header, sections[HEAPD_STRINGS].offset), 8, 4097, false, "strings" },
	{ offsetof(struct heapd_header, sections[HEAPD_LIVE].stride), 4, 0, false, "live" },
	{ offsetof(struct heapd_header, version), 4, 255, true, "version 255" },
	{ offsetof(struct heapd_header, version), 4, 0, true, "version 0" },
	{ offsetof(struct heapd_header, header_size), 4, UINT32_MAX, true, "header" },
	{ offsetof(struct heapd_header, file_size), 8, UINT64_MAX, true, "truncated" },
	{ offsetof(struct heapd_header, cmdline_length), 4, UINT32_MAX, true, "command line" },
	{ offsetof(struct heapd_header, state), 4, UINT32_MAX, false, "state" },
};

static void
check_refused(int fd, const char *lie, const char *word)
{
	struct reader *reader = NULL;

	CHECK_EQ(-EPROTO, reader_open(fd, &reader));
	CHECK(reader == NULL);
	if (!strstr(reader_why(), word)) {
		printf("# %s: \"%s\" does not say \"%s\"\n", lie, reader_why(), word);
		test_failed = true;
	}
}

/* Whatever the section: its records, their number and its place are what they have to be, or nothing is read. */
TEST(a_lie_about_any_section_is_refused_by_its_name)
{
	static const char *const names[HEAPD_SECTIONS] = { "modules", "strings", "frames", "stacks",
							   "sites",   "live",    "cfas" };
	static const struct {
		const char *lie;
		size_t offset, size;
		uint64_t value;
	} lies[] = {
		{ "no stride", offsetof(struct heapd_section, stride), 4, 0 },
		{ "a long stride", offsetof(struct heapd_section, stride), 4, UINT32_MAX },
		{ "no end of room", offsetof(struct heapd_section, capacity), 4, UINT32_MAX },
		{ "half of that", offsetof(struct heapd_section, capacity), 4, 0x80000000 },
		{ "in the header", offsetof(struct heapd_section, offset), 8, 0 },
		{ "crooked", offsetof(struct heapd_section, offset), 8, 4096 + 8 },
		{ "over the end", offsetof(struct heapd_section, offset), 8, UINT64_C(1) << 40 },
		{ "around the end", offsetof(struct heapd_section, offset), 8, -UINT64_C(4096) },
		{ "negative", offsetof(struct heapd_section, offset), 8, UINT64_C(1) << 63 },
	};

	for (unsigned section = 0; section < HEAPD_SECTIONS; section++) {
		for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
			struct fake_segment *f = small_segment();
			int fd = temporary_file();

			fake_write(f, fd);
			poke(fd,
			     offsetof(struct heapd_header, sections) + section * sizeof(struct heapd_section) +
				     lies[i].offset,
			     &lies[i].value, lies[i].size);
			check_refused(fd, lies[i].lie, names[section]);
			fake_free(f);
			close(fd);
		}
	}
}

TEST(a_name_without_an_end_is_refused)
{
	struct fake_segment *f = small_segment();
	int fd = temporary_file();

	memset(f->header.name, 'n', sizeof(f->header.name));
	fake_write(f, fd);
	check_refused(fd, "no end", "name");
	fake_free(f);
	close(fd);
}

TEST(every_damaged_header_is_refused_with_a_reason)
{
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct fake_segment *f = small_segment();
		struct heapd_header h;
		int fd = temporary_file();

		fake_write(f, fd);
		poke(fd, damages[i].offset, &damages[i].value, damages[i].size);
		if (damages[i].fixed_part) {
			CHECK_EQ(sizeof(h), pread(fd, &h, sizeof(h), 0));
			poke64(fd, offsetof(struct heapd_header, checksum), fake_checksum(&h));
		}
		check_refused(fd, damages[i].word, damages[i].word);
		fake_free(f);
		close(fd);
	}
}

TEST(a_file_cut_anywhere_is_refused_or_too_young)
{
	struct fake_segment *f = small_segment();
	struct stat st;
	int fd = temporary_file();

	fake_write(f, fd);
	CHECK_EQ(0, fstat(fd, &st));
	for (off_t size = st.st_size - 1; size >= 0; size = size > 5000 ? size / 3 : size - 97) {
		struct reader *reader = NULL;

		CHECK_EQ(0, ftruncate(fd, size));
		CHECK_EQ(-EPROTO, reader_open(fd, &reader));
		CHECK(strstr(reader_why(), size < (off_t)sizeof(struct heapd_header) ? "only" : "truncated") != NULL);
	}
	fake_free(f);
	close(fd);
}

TEST(a_file_that_shrinks_after_it_was_opened_is_an_error_not_a_crash)
{
	struct fake_segment *f = small_segment();
	struct snapshot *s = snapshot_new();
	struct reader *reader = NULL;
	int fd = temporary_file();

	fake_write(f, fd);
	CHECK_EQ(0, reader_open(fd, &reader));
	s->pid = 99;
	CHECK_EQ(0, ftruncate(fd, 6000));
	CHECK_EQ(-EPROTO, reader_copy(reader, s));
	CHECK_EQ(99, s->pid); /* untouched on failure */
	CHECK_EQ(0, s->n_sites);
	reader_free(reader);
	snapshot_free(s);
	fake_free(f);
	close(fd);
}

TEST(a_file_punched_full_of_holes_after_it_was_opened_reads_as_nothing_and_says_so)
{
	struct fake_segment *f = small_segment();
	struct snapshot *s = snapshot_new();
	struct reader *reader = NULL;
	int fd = temporary_file();
	struct stat st;

	fake_write(f, fd);
	CHECK_EQ(0, reader_open(fd, &reader));
	CHECK_EQ(0, fstat(fd, &st));
	CHECK_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, st.st_size));
	CHECK_EQ(0, reader_copy(reader, s));
	CHECK_EQ(0, s->n_sites);
	CHECK_EQ(HEAPD_PERIOD_DEFAULT, s->period);
	CHECK_EQ(1, s->inconsistent); /* no sampler has the period 0 */
	/* Only what the sites name is gone. */
	fake_write(f, fd);
	CHECK_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)f->header.sections[HEAPD_FRAMES].offset, 4096));
	CHECK_EQ(0, reader_copy(reader, s));
	CHECK_EQ(2, s->n_sites);
	CHECK_EQ(0, s->sites[1].depth);
	CHECK_EQ(f->sites[1].alloc.bytes, s->sites[1].alloc.bytes);
	CHECK_EQ(1, s->inconsistent);
	reader_free(reader);
	snapshot_free(s);
	fake_free(f);
	close(fd);
}

TEST(a_segment_being_created_is_worth_another_try)
{
	struct fake_segment *f = small_segment();
	struct reader *reader = NULL;
	int fd = temporary_file();

	CHECK_EQ(-EAGAIN, reader_open(fd, &reader)); /* empty */
	CHECK_EQ(0, ftruncate(fd, 1 << 20));
	CHECK_EQ(-EAGAIN, reader_open(fd, &reader)); /* sized, all zero */
	fake_write(f, fd);
	poke32(fd, offsetof(struct heapd_header, state), HEAPD_STATE_STARTING);
	CHECK_EQ(-EAGAIN, reader_open(fd, &reader));
	poke32(fd, offsetof(struct heapd_header, state), HEAPD_STATE_READY);
	CHECK_EQ(0, reader_open(fd, &reader));
	reader_free(reader);
	fake_free(f);
	close(fd);
}

TEST(only_regular_files_are_read)
{
	static const char *const others[] = { "/dev/zero", "/dev/null" };
	struct reader *reader = NULL;
	int fds[2], dir = open("/", O_RDONLY | O_CLOEXEC);
	int named = open("/proc/self/exe", O_PATH | O_CLOEXEC);

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		int fd = open(others[i], O_RDONLY | O_CLOEXEC);

		CHECK_EQ(-EPROTO, reader_open(fd, &reader));
		close(fd);
	}
	CHECK_EQ(-EBADF, reader_open(named, &reader)); /* it only names a file */
	close(named);

	CHECK_EQ(0, pipe(fds));
	CHECK_EQ(-EPROTO, reader_open(fds[0], &reader));
	CHECK(strstr(reader_why(), "regular") != NULL);
	CHECK_EQ(-EPROTO, reader_open(dir, &reader));
	CHECK_EQ(-EBADF, reader_open(-1, &reader));
	close(fds[0]);
	close(fds[1]);
	close(dir);
}

TEST(the_reader_keeps_its_own_descriptor)
{
	struct fake_segment *f = small_segment();
	struct snapshot *s = snapshot_new();
	struct reader *reader = NULL;
	int fd = temporary_file();

	fake_write(f, fd);
	CHECK_EQ(0, reader_open(fd, &reader));
	close(fd);
	CHECK_EQ(0, reader_copy(reader, s));
	CHECK_EQ(2, s->n_sites);
	CHECK_EQ(0, reader_copy(reader, s)); /* again into the same snapshot */
	CHECK_EQ(2, s->n_sites);
	reader_free(reader);
	snapshot_free(s);
	fake_free(f);
}

TEST(a_segment_is_of_the_user_whose_file_it_is)
{
	struct fake_segment *f = small_segment();
	int fd = temporary_file(), error;
	uid_t owner = geteuid() == 0 ? 12345 : geteuid();
	struct snapshot *s;

	f->header.uid = 77;
	fake_write(f, fd);
	CHECK_EQ(0, fchown(fd, owner, (gid_t)-1));
	s = copy(fd, &error);
	CHECK_EQ(0, error);
	CHECK_EQ(owner, s->uid);
	snapshot_free(s);
	fake_free(f);
	close(fd);
}

TEST(a_site_claimed_but_never_shown_is_not_reported)
{
	struct fake_segment *f = small_segment();
	int fd = temporary_file(), error;
	struct snapshot *s;

	fake_write(f, fd);
	poke32(fd, fake_offset(f, HEAPD_SITES, 1), HEAPD_SITE_EMPTY);
	s = copy(fd, &error);
	CHECK_EQ(0, error);
	CHECK_EQ(2, s->n_sites);
	CHECK_EQ(0, s->sites[1].depth);
	CHECK_EQ(0, s->sites[1].flags);
	CHECK_EQ(0, s->sites[1].alloc.bytes);
	CHECK_EQ(0, s->inconsistent);
	snapshot_free(s);
	fake_free(f);
	close(fd);
}

TEST(more_records_claimed_than_there_is_room_for_reads_as_a_full_section)
{
	struct fake_segment *f = small_segment();
	int fd = temporary_file(), error;
	struct snapshot *s;

	f->capacity[HEAPD_SITES] = 2;
	f->capacity[HEAPD_FRAMES] = 2;
	fake_write(f, fd);
	poke32(fd, offsetof(struct heapd_header, sections[HEAPD_SITES].used), UINT32_MAX);
	poke32(fd, offsetof(struct heapd_header, sections[HEAPD_FRAMES].used), 3);
	s = copy(fd, &error);
	CHECK_EQ(0, error);
	CHECK_EQ(2, s->n_sites);
	CHECK_EQ(2, s->n_frames);
	snapshot_free(s);
	fake_free(f);
	close(fd);
}

TEST(freed_is_never_more_than_allocated_whatever_the_target_says)
{
	struct fake_segment *f = small_segment();
	int fd = temporary_file(), error;
	struct snapshot *s;

	f->sites[1].freed.bytes = f->sites[1].alloc.bytes + 1;
	f->sites[1].freed.samples = UINT64_MAX;
	fake_write(f, fd);
	s = copy(fd, &error);
	CHECK_EQ(0, error);
	CHECK_EQ(s->sites[1].alloc.bytes, s->sites[1].freed.bytes);
	CHECK_EQ(3, s->sites[1].freed.samples);
	CHECK(s->sites[1].freed.objects < s->sites[1].alloc.objects);
	CHECK_EQ(2, s->inconsistent);
	snapshot_free(s);
	fake_free(f);
	close(fd);
}

/* A lie about a stack costs the stack, or its far end, but none of its bytes. */
TEST(a_stack_that_names_nothing_is_cut_and_keeps_its_bytes)
{
	static const struct {
		const char *lie;
		enum heapd_section_id section;
		uint32_t index;
		size_t offset;
		uint32_t value, depth;
	} lies[] = {
		{ "frame out of range", HEAPD_STACKS, 1, 0, 2, 1 },
		{ "frame far out of range", HEAPD_STACKS, 0, 0, UINT32_MAX, 0 },
		{ "stack out of range", HEAPD_SITES, 1, offsetof(struct heapd_site, stack), 1, 0 },
		{ "stack far out of range", HEAPD_SITES, 1, offsetof(struct heapd_site, stack), UINT32_MAX, 0 },
		{ "too deep", HEAPD_SITES, 1, offsetof(struct heapd_site, depth), HEAPD_MAX_DEPTH + 1, 0 },
		{ "as deep as can be", HEAPD_SITES, 1, offsetof(struct heapd_site, depth), UINT32_MAX, 0 },
		{ "no depth", HEAPD_SITES, 1, offsetof(struct heapd_site, depth), 0, 0 },
		{ "frame not shown", HEAPD_FRAMES, 1, 0, 0, 1 },
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct fake_segment *f = small_segment();
		int fd = temporary_file(), error;
		struct snapshot *s;

		fake_write(f, fd);
		poke32(fd, fake_offset(f, lies[i].section, lies[i].index) + lies[i].offset, lies[i].value);
		s = copy(fd, &error);
		CHECK_EQ(0, error);
		if (s->sites[1].depth != lies[i].depth)
			printf("# %s\n", lies[i].lie);
		CHECK_EQ(lies[i].depth, s->sites[1].depth);
		CHECK(s->sites[1].stack + s->sites[1].depth <= s->n_stacks);
		CHECK_EQ(HEAPD_STACK_BAD_FRAME, s->sites[1].flags);
		CHECK_EQ(f->sites[1].alloc.bytes, s->sites[1].alloc.bytes);
		CHECK_EQ(1, s->inconsistent);
		snapshot_free(s);
		fake_free(f);
		close(fd);
	}
}

TEST(a_module_that_makes_no_sense_is_no_module)
{
	struct fake_segment *f = small_segment();
	int fd = temporary_file(), error;
	struct snapshot *s;

	f->modules[0].start = f->modules[0].end;
	f->modules[1].path = UINT32_MAX;
	f->modules[1].build_id_length = HEAPD_BUILD_ID_MAX + 1;
	fake_frame(f, 0, 0, 0); /* claimed, never shown */
	fake_write(f, fd);
	s = copy(fd, &error);
	CHECK_EQ(0, error);
	CHECK(!s->modules[0].present);
	CHECK_STR("", s->modules[0].path);
	CHECK(s->modules[1].present);
	CHECK_STR("", s->modules[1].path);
	CHECK_EQ(0, s->modules[1].build_id_length);
	CHECK_EQ(HEAPD_NONE, s->frames[1].module); /* it was in the first module */
	CHECK_EQ(1, s->frames[0].module);
	CHECK_EQ(HEAPD_NONE, s->frames[2].module);
	CHECK_EQ(4, s->inconsistent);
	snapshot_free(s);
	fake_free(f);
	close(fd);
}

TEST(names_are_made_fit_for_display_and_paths_are_left_openable)
{
	struct fake_segment *f = fake_new(1, 2, 3, "a\033[2Jb\xff\xc3");
	int fd = temporary_file(), error;
	struct snapshot *s;

	(void)fake_module(f, "/opt/\xe4pp/bin", 0x1000, 0x2000, 0, NULL);
	memcpy(f->header.cmdline, "x\n\0\xf0\x9f\x92\xa9\0\x80", 9);
	f->header.cmdline_length = 9;
	fake_write(f, fd);
	s = copy(fd, &error);
	CHECK_EQ(0, error);
	CHECK_STR("a?[2Jb??", s->name);
	CHECK_STR("/opt/\xe4pp/bin", s->modules[0].path);
	CHECK_EQ(9, s->cmdline_length);
	CHECK_STR("x?", s->cmdline);
	CHECK_STR("\xf0\x9f\x92\xa9", s->cmdline + 3);
	CHECK_STR("?", s->cmdline + 8);
	snapshot_free(s);
	fake_free(f);
	close(fd);
}

TEST(random_bytes_behind_a_good_header_never_leave_their_bounds)
{
	uint32_t seed = 12345;

	for (int round = 0; round < 300; round++) {
		struct fake_segment *f = small_segment();
		int fd = temporary_file(), error;
		struct snapshot *s;

		fake_write(f, fd);
		for (int i = 0; i < 40; i++) {
			static const enum heapd_section_id where[] = { HEAPD_MODULES, HEAPD_FRAMES, HEAPD_STACKS,
								       HEAPD_SITES };
			seed = seed * 1664525 + 1013904223;
			poke32(fd, fake_offset(f, where[seed >> 30], 0) + (seed >> 8) % 160,
			       (seed >> 4) % 3 ? seed : seed & 7);
		}
		for (unsigned i = 0; i < HEAPD_LIVE; i++) {
			seed = seed * 1664525 + 1013904223;
			poke32(fd, offsetof(struct heapd_header, sections[0].used) + i * sizeof(struct heapd_section),
			       seed >> 20);
		}
		s = copy(fd, &error);
		CHECK_EQ(0, error);
		for (size_t i = 0; s && i < s->n_sites; i++) {
			const struct snapshot_site *site = &s->sites[i];

			CHECK(site->depth <= HEAPD_MAX_DEPTH && (size_t)site->stack + site->depth <= s->n_stacks);
			CHECK(site->freed.bytes <= site->alloc.bytes &&
			      site->freed.objects_var <= site->alloc.objects_var);
			for (uint32_t k = 0; k < site->depth; k++) {
				uint32_t frame = s->stacks[site->stack + k];

				CHECK(frame < s->n_frames && s->frames[frame].address != 0);
				CHECK(s->frames[frame].module == HEAPD_NONE ||
				      (s->frames[frame].module < s->n_modules &&
				       s->modules[s->frames[frame].module].present));
			}
		}
		snapshot_free(s);
		fake_free(f);
		close(fd);
	}
}

TEST(a_counter_too_slow_or_too_fast_to_be_one_has_no_rate)
{
	static const uint64_t rates[] = { 1, 999999, UINT64_C(100000000001), UINT64_MAX };

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct fake_segment *f = small_segment();
		int fd = temporary_file(), error;
		struct snapshot *s;

		f->header.ticks_per_second = rates[i];
		fake_write(f, fd);
		s = copy(fd, &error);
		CHECK_EQ(0, error);
		if (s) {
			CHECK_EQ(0, s->ticks_per_second);
			CHECK_EQ(1, s->inconsistent);
		}
		snapshot_free(s);
		fake_free(f);
		close(fd);
	}
}

TEST(a_new_period_reaches_the_word_the_sampler_looks_at)
{
	struct fake_segment *f = small_segment();
	int fd = temporary_file();
	struct heapd_header h;

	fake_write(f, fd);
	CHECK_EQ(-EINVAL, reader_set_period(fd, 0));
	CHECK_EQ(-EINVAL, reader_set_period(fd, HEAPD_PERIOD_MAX + 1));
	CHECK_EQ(0, reader_set_period(fd, 65536));
	CHECK_EQ(sizeof(h), pread(fd, &h, sizeof(h), 0));
	CHECK_EQ(65536, h.period_wanted);
	CHECK_EQ(HEAPD_PERIOD_DEFAULT, h.period);
	CHECK_EQ(0, reader_set_max_samples(fd, 500));
	CHECK_EQ(sizeof(h), pread(fd, &h, sizeof(h), 0));
	CHECK_EQ(500, h.max_samples);
	CHECK_EQ(65536, h.period_wanted);
	fake_free(f);
	close(fd);
}

/* A child allocates and frees in a mapping as fast as it can. Live may be 0, never less, and never beyond what it holds. */
TEST(live_never_goes_below_zero_while_the_target_runs)
{
	struct fake_segment *f = small_segment();
	int fd = temporary_file();
	struct reader *reader = NULL;
	struct snapshot *s = snapshot_new();
	struct stat st;
	uint64_t start = 0;
	pid_t child;

	f->sites[1].alloc = f->sites[1].freed = (struct heapd_totals){ 0 };
	fake_write(f, fd);
	CHECK_EQ(0, fstat(fd, &st));
	child = fork();
	if (child == 0) {
		char *map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		struct heapd_site *site = (struct heapd_site *)(void *)(map + fake_offset(f, HEAPD_SITES, 1));

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			atomic_fetch_add_explicit(&site->alloc.bytes, 100, memory_order_relaxed);
			atomic_fetch_add_explicit(&site->freed.bytes, 100, memory_order_release);
		}
	}
	CHECK_EQ(0, reader_open(fd, &reader));
	for (int i = 0; i < 2000 || start == 0; i++) { /* the child may be late */
		CHECK_EQ(0, reader_copy(reader, s));
		CHECK_EQ(0, s->inconsistent); /* freed > alloc would have been clamped and counted */
		CHECK(s->sites[1].alloc.bytes >= start);
		start = s->sites[1].alloc.bytes;
	}
	CHECK(start > 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	reader_free(reader);
	snapshot_free(s);
	fake_free(f);
	close(fd);
}

TEST(control_bytes_and_broken_characters_become_question_marks)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain", "plain" },
		{ "", "" },
		{ "caf\xc3\xa9 \xe2\x82\xac", "caf\xc3\xa9 \xe2\x82\xac" },
		{ "a\tb\x7f", "a?b?" },
		{ "\xc0\x80", "??" }, /* overlong */
		{ "\xed\xa0\x80", "???" }, /* a surrogate */
		{ "\xf4\x90\x80\x80", "????" }, /* beyond the last character */
		{ "\xc2\x9bJ", "??J" }, /* C1 */
		{ "\xe2\x82", "??" }, /* cut */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char s[32];

		snprintf(s, sizeof(s), "%s", cases[i].in);
		CHECK_EQ(strcmp(cases[i].in, cases[i].out) == 0, utf8_clean(s, strlen(s)));
		utf8_make_clean(s, strlen(s));
		CHECK_STR(cases[i].out, s);
		CHECK(utf8_clean(s, strlen(s)));
	}
	CHECK_EQ(1, utf8_cut("a\xe2\x82\xac", 4, 3));
	CHECK_EQ(4, utf8_cut("a\xe2\x82\xac", 4, 4));
}
