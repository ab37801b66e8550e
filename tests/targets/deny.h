/* deny.h - what the test tells the two that make things fail, deny_malloc.so and deny_calls, and what they tell it: a file
 * that all of them map. e2e/fault_test.py has the same picture.
 */
#ifndef HEAPD_DENY_H
#define HEAPD_DENY_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

struct deny {
	_Atomic int64_t countdown; /* how many more succeed before one fails; negative: none fails */
	_Atomic uint64_t seen; /* since the start */
	_Atomic int64_t failed; /* what was made to fail last: bytes, or the number of the system call; -1: nothing */
	_Atomic int64_t listener; /* deny_calls' own */
};

static inline struct deny *
deny_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct deny), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd >= 0)
		close(fd);
	return map == MAP_FAILED ? NULL : map;
}

/* Whether this one has to fail. */
static inline int
deny_now(struct deny *f, int64_t what)
{
	atomic_fetch_add(&f->seen, 1);
	if (atomic_load(&f->countdown) < 0 || atomic_fetch_sub(&f->countdown, 1) != 0)
		return 0;
	atomic_store(&f->failed, what);
	return 1;
}

#endif
