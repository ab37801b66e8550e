/* ended_test.c - no ended process is missing from what heapd run sums, although their segments are cleared away. */
#include "ended.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_segment.h"
#include "shm_dir.h"
#include "test.h"

/* Segments of processes that never were: numbers first to first + n - 1, each with as many blocks as its number says. */
static void
put(uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++) {
		struct fake_segment *f = fake_new(70000000 + i, 1, i + 1, "built");
		uint32_t module = fake_module(f, "/nonexistent/built", 0x400000, 0x500000, 0x400000, NULL);
		uint32_t frame = fake_frame(f, 0x401000, module, 0);
		char name[128], path[256];
		int fd;

		fake_count(f, fake_site(f, &frame, 1, 0), 1, i, 0);
		fake_file_name(f, name, sizeof(name));
		(void)snprintf(path, sizeof(path), "%s/%s", shm_dir, name);
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		CHECK(fd >= 0);
		fake_write(f, fd);
		close(fd);
		fake_free(f);
	}
}

static uint64_t
samples(const struct moment *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->n; i++)
		for (size_t k = 0; k < m->snapshots[i]->n_sites; k++)
			n += m->snapshots[i]->sites[k].alloc.samples;
	return n;
}

static struct targets *
look(void)
{
	const char *const dirs[] = { shm_dir, NULL };
	struct targets *all = NULL;

	CHECK_EQ(0, targets_new(dirs, &all));
	CHECK_EQ(0, targets_poll(all));
	return all;
}

TEST(processes_whose_segments_were_cleared_away_are_still_in_the_sum)
{
	struct ended e = { 0 };
	struct targets *all;
	size_t gone;

	put(0, 50);
	all = look();
	ended_gather(&e, all);
	CHECK_EQ(50, e.moment.n);
	ended_gather(&e, all);
	CHECK_EQ(50, e.moment.n); /* each once */
	put(50, 50);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(0, targets_poll(all));
	CHECK(targets_removed(all) > 0);
	gone = ended_complete(&e, all);
	CHECK_EQ(targets_removed(all), gone);
	CHECK_EQ(100, e.moment.n);
	CHECK_EQ(99 * 100 / 2, samples(&e.moment));
	CHECK_EQ(0, e.no_room);
	ended_done(&e);
	targets_free(all);
	shm_dir_remove();
	(void)mkdir(shm_dir, 0700);
}

TEST(what_cannot_be_kept_is_counted)
{
	struct ended e = { .bytes = ENDED_BYTES_MAX };
	struct targets *all;

	put(0, 3);
	all = look();
	for (int i = 0; i < 5; i++)
		ended_gather(&e, all);
	CHECK_EQ(0, ended_complete(&e, all));
	CHECK_EQ(0, e.moment.n);
	CHECK_EQ(3, e.no_room);
	ended_done(&e);
	targets_free(all);
}
