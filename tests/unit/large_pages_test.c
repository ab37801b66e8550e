/* The segment on machines with pages of 16 and 64 KiB: every system call that a kernel would refuse there is refused here. */
/* The sampler's files call large_getauxval and large_syscall. */
#undef getauxval
#undef syscall
#include "segment_writer.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "pages.h"
#include "shm_dir.h"
#include "test.h"

unsigned long large_getauxval(unsigned long type);
long large_syscall(long number, ...);

static size_t page = 4096;
static unsigned refused, changed;

unsigned long
large_getauxval(unsigned long type)
{
	return type == AT_PAGESZ ? page : getauxval(type);
}

/* Takes more arguments than there may be, as the real one does. */
__attribute__((no_sanitize("address"))) long
large_syscall(long number, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_mprotect || number == SYS_madvise || number == SYS_munmap) {
		changed++;
		if ((uintptr_t)a[0] % page != 0) {
			refused++;
			errno = EINVAL;
			return -1;
		}
		a[1] = (long)(((size_t)a[1] + page - 1) & ~(page - 1));
	}
	if (number == SYS_mmap) {
		/* This kernel aligns to its own pages only: take more, and what is aligned in it. */
		const size_t size = ((size_t)a[1] + page - 1) & ~(page - 1);
		long map = syscall(number, 0L, size + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1L,
				   0L);

		if (map == -1)
			return -1;
		map = (long)(((size_t)map + page - 1) & ~(page - 1));
		return syscall(number, map, size, a[2], a[3] | MAP_FIXED, a[4], a[5]);
	}
	return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void
check_segment(void)
{
	static const enum heapd_section_id whole[] = { HEAPD_MODULES, HEAPD_STRINGS, HEAPD_SITES };
	struct segment s = { 0 };
	uint32_t wrong = 0;

	refused = changed = 0;
	CHECK_EQ(0, segment_create(&s, 4096));
	if (!s.header)
		return;
	for (unsigned i = 0; i < HEAPD_SECTIONS; i++)
		CHECK_EQ(0, s.header->sections[i].offset % page);
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		const uint32_t capacity = s.header->sections[whole[i]].capacity;

		for (uint32_t n = 0; n < capacity; n += capacity / 64)
			wrong += segment_claim(&s, whole[i], capacity / 64) != n;
	}
	CHECK_EQ(0, wrong);
	for (uint32_t i = 0; i < s.header->sections[HEAPD_SITES].capacity; i += 100)
		s.sites[i].depth = i;
	s.modules[s.header->sections[HEAPD_MODULES].capacity - 1].flags = 1;
	s.strings[s.header->sections[HEAPD_STRINGS].capacity - 1] = 1;
	CHECK(changed > 10);
	CHECK_EQ(0, refused);
	munmap(s.header, s.header->file_size);
}

TEST(a_segment_fills_up_on_pages_of_every_size)
{
	for (page = 4096; page <= PAGES_LARGEST; page *= 4)
		check_segment();
}

TEST(private_tables_may_be_had_on_pages_of_every_size)
{
	for (page = 4096; page <= PAGES_LARGEST; page *= 4) {
		char *table = pages_private(100000), *kept = pages_kept(300000, PAGES_LARGEST);

		CHECK(table && kept);
		if (!table || !kept)
			continue;
		table[99999] = kept[299999] = 1;
		pages_release(table, 100000);
		pages_release(kept, 300000);
	}
	CHECK_EQ(0, refused);
}
