/* snapshot_test.c - the difference of two snapshots. */
#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>

#include "fake_snapshot.h"
#include "test.h"

static struct fake_segment *
segment(uint64_t random)
{
	struct fake_segment *f = fake_new(8123, 4711, random, "shop");
	uint32_t module = fake_module(f, "/usr/bin/shop", 0x400000, 0x480000, 0, NULL), stack[2];

	stack[0] = fake_frame(f, 0x401000, module, 0);
	stack[1] = fake_frame(f, 0x402000, module, 0);
	fake_count(f, fake_site(f, stack, 2, 0), 64, 10, 4);
	fake_count(f, fake_site(f, stack, 1, 0), 1024, 5, 0);
	return f;
}

TEST(a_difference_holds_what_happened_in_between)
{
	struct fake_segment *f = segment(1);
	struct snapshot *earlier = fake_snapshot(f), *later;
	uint32_t stack[1] = { 0 };
	uint64_t each = f->sites[1].alloc.bytes / 10;

	fake_count(f, 1, 64, 3, 5);
	fake_count(f, fake_site(f, stack, 1, 0), 100, 1, 0);
	f->header.lost[HEAPD_LOST_DEEP] = 2;
	later = fake_snapshot(f);
	CHECK_EQ(0, snapshot_subtract(later, earlier));
	CHECK_EQ(3, later->sites[1].alloc.samples);
	CHECK_EQ(3 * each, later->sites[1].alloc.bytes);
	CHECK_EQ(5, later->sites[1].freed.samples); /* more than allocated in between */
	CHECK_EQ(5 * each, later->sites[1].freed.bytes);
	CHECK_EQ(0, later->sites[2].alloc.bytes);
	CHECK_EQ(1, later->sites[3].alloc.samples); /* new since */
	CHECK_EQ(4, later->samples);
	CHECK_EQ(2, later->lost[HEAPD_LOST_DEEP]);
	CHECK_EQ(0, later->inconsistent);
	CHECK(later->duration_ns >= 1);
	CHECK_EQ(later->time_ns - earlier->time_ns, later->duration_ns);
	snapshot_free(earlier);
	snapshot_free(later);
	fake_free(f);
}

TEST(snapshots_of_different_lives_are_not_subtracted)
{
	struct fake_segment *one = segment(1), *two = segment(2);
	struct snapshot *a = fake_snapshot(one), *b = fake_snapshot(two);
	uint64_t before = b->sites[1].alloc.bytes;

	CHECK_EQ(-EINVAL, snapshot_subtract(b, a));
	CHECK_EQ(before, b->sites[1].alloc.bytes);
	CHECK_EQ(0, b->duration_ns);
	snapshot_free(a);
	snapshot_free(b);
	fake_free(one);
	fake_free(two);
}

TEST(a_difference_is_not_subtracted_from_again)
{
	struct fake_segment *f = segment(1);
	struct snapshot *a = fake_snapshot(f), *b = fake_snapshot(f), *c = fake_snapshot(f);

	CHECK_EQ(0, snapshot_subtract(b, a));
	CHECK_EQ(-EINVAL, snapshot_subtract(b, a));
	CHECK_EQ(-EINVAL, snapshot_subtract(c, b));
	snapshot_free(a);
	snapshot_free(b);
	snapshot_free(c);
	fake_free(f);
}

TEST(a_site_that_went_backwards_or_changed_its_stack_counts_as_nothing)
{
	struct fake_segment *f = segment(1);
	struct snapshot *earlier = fake_snapshot(f), *later;

	f->sites[1].alloc.objects--;
	f->sites[2].stack = 1;
	later = fake_snapshot(f);
	CHECK_EQ(0, snapshot_subtract(later, earlier));
	CHECK_EQ(0, later->sites[1].alloc.samples | later->sites[1].alloc.bytes | later->sites[1].freed.bytes);
	CHECK_EQ(0, later->sites[2].alloc.samples | later->sites[2].alloc.bytes);
	CHECK_EQ(2, later->inconsistent);
	snapshot_free(earlier);
	snapshot_free(later);
	fake_free(f);
}

TEST(sites_that_vanished_are_counted)
{
	struct fake_segment *f = segment(1);
	struct snapshot *earlier = fake_snapshot(f), *later;

	f->used[HEAPD_SITES] = 2;
	later = fake_snapshot(f);
	CHECK_EQ(0, snapshot_subtract(later, earlier));
	CHECK_EQ(1, later->inconsistent);
	snapshot_free(earlier);
	snapshot_free(later);
	fake_free(f);
}
