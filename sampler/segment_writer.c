/* segment_writer.c - see segment_writer.h.
 *
 * The file is mapped once, whole and inaccessible, and made accessible and real piece by piece: a host that locks its
 * memory (mlockall) then pays only for the pieces, and a write to what is not backed cannot happen by accident. System
 * calls are made directly, because their wrappers may be cancellation points or replaced by the host.
 */
#include "segment_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "options.h"
#include "pages.h"
#include "random.h"
#include "ticks.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define TMPFS_MAGIC 0x01021994
#define RAMFS_MAGIC 0x858458f6

#define GROW_MIN 16384u /* bytes made real at a time, or an eighth of what there is */
#define FREE_MIN (32u << 20) /* bytes that must be left on the tmpfs, which others need too */
#define FILES_MAX 2048 /* in one directory, where nobody may ever tidy up */
#define FILE_USUAL (144u << 10) /* bytes of a segment that ended soon; all together get a quarter of the tmpfs */
#define FILE_SIZE 20 /* what a file adds to the size of its directory on a tmpfs */
#define SPACE_SHARE 16 /* of the address space that is left under a limit we take one part at most */
#define SCALE_MAX 8 /* halvings of the layout, for hosts with little room: to 2 MiB */
#define SCALE_MODULES 4 /* but no program has so few modules */
#define PATH_SIZE 320

static const struct {
	uint32_t stride;
	uint32_t capacity; /* records, before halving */
} layout[HEAPD_SECTIONS] = {
	[HEAPD_MODULES] = { sizeof(struct heapd_module), 4096 },
	[HEAPD_STRINGS] = { 1, 1u << 20 },
	[HEAPD_FRAMES] = { sizeof(struct heapd_frame), 1u << 20 },
	[HEAPD_STACKS] = { sizeof(uint32_t), 1u << 24 },
	[HEAPD_SITES] = { sizeof(struct heapd_site), 1u << 18 },
	[HEAPD_LIVE] = { sizeof(struct heapd_live), (1u << 20) + (1u << 18) },
	[HEAPD_CFAS] = { sizeof(uint32_t[HEAPD_CFA_GROUP]), 5u << 20 },
};

static uint64_t
page_up(uint64_t n)
{
	const uint64_t page = pages_size();

	return (n + page - 1) & ~(page - 1);
}

/* -- room -- */

/* Let bytes [from, to) of the mapping be written without fail. Both on page borders. */
static bool
make_real(const struct segment *s, uint64_t from, uint64_t to)
{
	char *start = (char *)s->header + from;

	return syscall(SYS_mprotect, start, to - from, PROT_READ | PROT_WRITE) == 0 &&
	       (s->preallocated || syscall(SYS_madvise, start, to - from, MADV_POPULATE_WRITE) == 0);
}

/* Make at least `records` records of the section real. */
static bool
grow(struct segment *s, enum heapd_section_id section, uint32_t records)
{
	const uint64_t stride = layout[section].stride, capacity = s->capacity[section];
	uint32_t ready = atomic_load_explicit(&s->ready[section], memory_order_relaxed), now;
	uint64_t from = page_up(ready * stride), extra = from / 8 > GROW_MIN ? from / 8 : GROW_MIN;
	uint64_t to = page_up(records * stride + extra), end = page_up(capacity * stride);
	int saved = errno;
	bool done;

	if (to > end)
		to = end;
	done = to <= from;
	if (!done && !pages_scarce() && pages_begin()) {
		done = make_real(s, s->offset[section] + from, s->offset[section] + to);
		pages_end();
		pages_answer(done);
	}
	errno = saved;
	if (!done)
		return false;
	now = (uint32_t)(to / stride > capacity ? capacity : to / stride);
	while (ready < now && !atomic_compare_exchange_weak_explicit(&s->ready[section], &ready, now,
								     memory_order_relaxed, memory_order_relaxed))
		;
	return true;
}

uint32_t
segment_claim(struct segment *s, enum heapd_section_id section, uint32_t n)
{
	const uint32_t capacity = s->capacity[section];
	uint32_t used = atomic_load_explicit(&s->used[section], memory_order_relaxed);

	do {
		if (n > capacity || used > capacity - n)
			return HEAPD_NONE;
		if (used + n > atomic_load_explicit(&s->ready[section], memory_order_relaxed) &&
		    !grow(s, section, used + n))
			return HEAPD_NONE;
		if (!segment_is_ours(s))
			return HEAPD_NONE;
	} while (!atomic_compare_exchange_weak_explicit(&s->used[section], &used, used + n, memory_order_relaxed,
							memory_order_relaxed));
	atomic_fetch_add_explicit(&s->header->sections[section].used, n, memory_order_relaxed);
	return used;
}

void
segment_reserve(struct segment *s)
{
	static const uint32_t more[HEAPD_SECTIONS] = {
		[HEAPD_MODULES] = 64, [HEAPD_STRINGS] = 16384, [HEAPD_FRAMES] = 8192, [HEAPD_STACKS] = 65536,
		[HEAPD_SITES] = 4096, [HEAPD_LIVE] = 16384,    [HEAPD_CFAS] = 16384,
	};

	for (unsigned i = 0; i < HEAPD_SECTIONS; i++) {
		uint32_t used = atomic_load_explicit(&s->used[i], memory_order_relaxed);
		uint32_t wanted = used + more[i] < s->capacity[i] ? used + more[i] : s->capacity[i];

		if (wanted > atomic_load_explicit(&s->ready[i], memory_order_relaxed))
			(void)grow(s, i, wanted);
	}
}

/* -- where the file goes -- */

/* Decimal or hexadecimal digits of n at *to, which moves on. */
static void
put_number(char **to, uint64_t n, unsigned base)
{
	char digits[20];
	unsigned length = 0;

	do
		digits[length++] = "0123456789abcdef"[n % base];
	while ((n /= base) != 0);
	while (length > 0)
		*(*to)++ = digits[--length];
	**to = '\0';
}

static void
put_text(char **to, const char *text)
{
	while (*text)
		*(*to)++ = *text++;
	**to = '\0';
}

/* Is there room for one file more? *ret_free: the bytes that are left, UINT64_MAX if nobody can tell. */
static bool
has_room(const struct stat *st, const struct statfs *fs, uint64_t *ret_free)
{
	const uint64_t block = (uint64_t)fs->f_bsize, files = (uint64_t)st->st_size / FILE_SIZE;

	*ret_free = fs->f_blocks ? fs->f_bavail * block : UINT64_MAX;
	return *ret_free >= FREE_MIN && files < FILES_MAX &&
	       (fs->f_blocks == 0 || files * FILE_USUAL < fs->f_blocks * block / 4);
}

/* Open a directory that is ours or root's to write to, where others cannot replace our files, on a tmpfs with room. */
static int
open_dir(const char *path, uint64_t *ret_free)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, 0);
	struct stat st;
	struct statfs fs;
	uid_t uid = (uid_t)syscall(SYS_geteuid);

	if (fd < 0)
		return -errno;
	if (syscall(SYS_fstat, fd, &st) != 0 || syscall(SYS_fstatfs, fd, &fs) != 0)
		goto refuse;
	if ((st.st_uid != uid && st.st_uid != 0) || ((st.st_mode & 022) && !(st.st_mode & S_ISVTX)))
		goto refuse;
	if ((unsigned long)fs.f_type != TMPFS_MAGIC && (unsigned long)fs.f_type != RAMFS_MAGIC)
		goto refuse;
	if (!has_room(&st, &fs, ret_free))
		goto refuse;
	return fd;
refuse:
	syscall(SYS_close, fd);
	return -EACCES;
}

/* The same, unless it is root's and closed to us: then there are others to try. */
static int
open_usual_dir(const char *path, uint64_t *ret_free)
{
	int fd = open_dir(path, ret_free);

	if (fd >= 0 && syscall(SYS_faccessat, fd, ".", W_OK) != 0) {
		syscall(SYS_close, fd);
		return -EACCES;
	}
	return fd;
}

/* The directory for segments, as in design: the user's word, else the first usable of the usual places. `path` is lost. */
static int
open_segment_dir(char path[PATH_SIZE], uint64_t *ret_free)
{
	const struct options *o = options_get();
	char *end = path;
	int fd;

	if (o->dir[0])
		return open_dir(o->dir, ret_free);
	fd = open_usual_dir("/run/heapd", ret_free);
	if (fd >= 0)
		return fd;
	if (o->runtime_dir[0] == '/') {
		put_text(&end, o->runtime_dir);
		put_text(&end, "/heapd");
		syscall(SYS_mkdirat, AT_FDCWD, path, 0700);
		fd = open_usual_dir(path, ret_free);
		if (fd >= 0)
			return fd;
	}
	end = path;
	put_text(&end, "/dev/shm/heapd-");
	put_number(&end, (uint64_t)syscall(SYS_geteuid), 10);
	syscall(SYS_mkdirat, AT_FDCWD, path, 0700);
	return open_dir(path, ret_free);
}

/* -- who we are -- */

/* What a file of /proc holds, up to size bytes. The number of bytes, 0 if it cannot be read. */
static size_t
read_file(const char *path, char *to, size_t size)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	size_t length = 0;
	long r;

	if (fd < 0)
		return 0;
	/* From where we are, not from where a fork child may have read on. */
	while (length < size && (r = syscall(SYS_pread64, fd, to + length, size - length, length)) > 0)
		length += (size_t)r;
	syscall(SYS_close, fd);
	return length;
}

/* Word n, from 0, of a line of decimal numbers. */
static uint64_t
number_at(const char *text, const char *end, unsigned n)
{
	uint64_t number = 0;

	for (; text < end && n > 0; text++)
		n -= *text == ' ';
	for (; text < end && *text >= '0' && *text <= '9'; text++)
		number = number * 10 + (uint64_t)(*text - '0');
	return number;
}

/* Field 22 of /proc/self/stat, counted from the last ')': the name before it may hold anything. The text is lost. */
static uint64_t
start_time(char *text, size_t size)
{
	size_t length = read_file("/proc/self/stat", text, size), i;

	for (i = length; i > 0 && text[i - 1] != ')'; i--)
		;
	return number_at(text + i, text + length, 20);
}

/* By the path it was started with, not by that of the file: many programs are links to one (redis-server is one to
 * redis-check-rdb), and a script is better known than its interpreter. */
static void
name_process(char *name, size_t size)
{
	const struct options *o = options_get();
	const char *started = (const char *)getauxval(AT_EXECFN), *base = started;
	size_t n = 0;

	if (o->name[0]) {
		memcpy(name, o->name, size < sizeof(o->name) ? size : sizeof(o->name));
		return;
	}
	for (const char *p = started; p && *p; p++) {
		if (*p == '/' && p[1])
			base = p + 1;
	}
	for (; base && base[n] && n < size - 1; n++)
		name[n] = base[n];
	name[n] = '\0';
}

/* -- clocks -- */

#define CLOCK_TRIES 3
#define MEASURE_FIRST (UINT64_C(1) << 22) /* ticks after clock_start; reading both takes a microsecond or so */
#define MEASURE_LAST (UINT64_C(1) << 31)

/* What the kernel says, not a library that fakes time. 0: it may not be asked. */
static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec t;

	if (syscall(SYS_clock_gettime, clock, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The monotonic time, and the ticks that belong to it. Returns by how many those may be wrong, for the thread may have been
 * stopped in between; at best of some tries. */
static uint64_t
clock_read(uint64_t *ticks, uint64_t *monotonic_ns)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < CLOCK_TRIES; i++) {
		uint64_t before = ticks_now(), ns = clock_ns(CLOCK_MONOTONIC), width = ticks_now() - before;

		if (width >= least)
			continue;
		least = width;
		*ticks = before + width / 2;
		*monotonic_ns = ns;
	}
	return least;
}

static uint64_t
asleep_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME) - clock_ns(CLOCK_MONOTONIC);
}

static void
clock_start(struct segment *s, struct heapd_clock *c)
{
	uint64_t width = clock_read(&c->ticks, &c->monotonic_ns);

	c->realtime_ns = clock_ns(CLOCK_REALTIME);
	s->clock_start = *c;
	s->asleep_ns = asleep_ns();
	/* A start that is not known well is no start to measure from before that no longer matters. */
	atomic_store_explicit(&s->clock_due, c->ticks + (width < MEASURE_FIRST / 512 ? MEASURE_FIRST : 512 * width),
			      memory_order_relaxed);
}

/* false: now is no good time for it. */
static bool
measure_ticks(const struct segment *s, uint64_t *ret_rate)
{
	const struct heapd_clock *start = &s->clock_start;
	uint64_t ticks = 0, ns = 0, width;
	uint64_t passed, slept;

	if (!pages_begin())
		return false;
	width = clock_read(&ticks, &ns);
	slept = asleep_ns() - s->asleep_ns;
	pages_end();
	if (start->ticks == 0 || ticks <= start->ticks || ns <= start->monotonic_ns)
		return false;
	passed = ns - start->monotonic_ns;
	/* What the counter does while the machine is suspended differs from one to the other. */
	if (width > (ticks - start->ticks) / 512 || slept + passed / 256 > passed / 128)
		return false;
	*ret_rate = (uint64_t)((wide)(ticks - start->ticks) * 1000000000 / passed);
	return true;
}

/* Four times at most, each eight times as long after the start as the one before. */
void
segment_measure_ticks(struct segment *s, uint64_t ticks)
{
	uint64_t due = atomic_load_explicit(&s->clock_due, memory_order_relaxed), rate, next;
	uint64_t passed = ticks - s->clock_start.ticks;

	if (ticks < due || !atomic_compare_exchange_strong_explicit(&s->clock_due, &due, UINT64_MAX,
								    memory_order_relaxed, memory_order_relaxed))
		return;
	if (measure_ticks(s, &rate) && segment_is_ours(s)) {
		atomic_store_explicit(&s->header->ticks_per_second, rate, memory_order_relaxed);
		next = passed >= MEASURE_LAST ? UINT64_MAX : ticks + 7 * passed;
	} else {
		next = ticks + passed / 2;
	}
	atomic_store_explicit(&s->clock_due, next, memory_order_relaxed);
}

/* -- creation -- */

/* Offsets and capacities for a scale; the bytes of the whole file. */
static uint64_t
lay_out(struct heapd_section sections[HEAPD_SECTIONS], unsigned scale)
{
	uint64_t offset = page_up(sizeof(struct heapd_header));

	for (unsigned i = 0; i < HEAPD_SECTIONS; i++) {
		sections[i].offset = offset;
		sections[i].stride = layout[i].stride;
		sections[i].capacity =
			layout[i].capacity >>
			(scale > SCALE_MODULES && (i == HEAPD_MODULES || i == HEAPD_STRINGS) ? SCALE_MODULES : scale);
		offset += page_up((uint64_t)sections[i].capacity * sections[i].stride);
	}
	return offset;
}

/* Fill what identifies this process, and what stays as it is. */
static void
fill_identity(struct segment *s, struct heapd_header *h)
{
	memcpy(h->magic, HEAPD_SEGMENT_MAGIC, sizeof(h->magic));
	h->version = HEAPD_SEGMENT_VERSION;
	h->header_size = sizeof(*h);
	h->pid = (uint32_t)syscall(SYS_getpid);
	h->uid = (uint32_t)syscall(SYS_geteuid);
	h->start_time = start_time(h->cmdline, sizeof(h->cmdline));
	clock_start(s, &h->clock_start);
	h->random = h->clock_start.ticks ^ (uint64_t)h->pid << 32 ^ (uintptr_t)h;
	h->random = random_next(&h->random) >> 16; /* told apart by eye, too */
	name_process(h->name, sizeof(h->name));
	memset(h->cmdline, 0, sizeof(h->cmdline));
	h->cmdline_length = (uint32_t)read_file("/proc/self/cmdline", h->cmdline, sizeof(h->cmdline));
}

static uint64_t
checksum(const struct heapd_header *h)
{
	const unsigned char *bytes = (const unsigned char *)h;
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < offsetof(struct heapd_header, checksum); i++)
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static uint64_t
less(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What the host's limits leave of its address space, of all of it and of what is its own to write, in which our tables are. */
static bool
space_left(uint64_t *ret)
{
	static const int limits[] = { RLIMIT_AS, RLIMIT_DATA }, words[] = { 0, 5 }; /* of statm, in pages */
	char text[128];
	size_t length = 0;
	struct rlimit limit;

	*ret = UINT64_MAX;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t used;

		if (syscall(SYS_prlimit64, 0, limits[i], NULL, &limit) != 0)
			return false;
		if (limit.rlim_cur == RLIM_INFINITY)
			continue;
		if (length == 0)
			length = read_file("/proc/self/statm", text, sizeof(text));
		used = number_at(text, text + length, (unsigned)words[i]) * pages_size();
		*ret = less(*ret, limit.rlim_cur > used ? limit.rlim_cur - used : 0);
	}
	return true;
}

/* The size of the largest file that may be made: ftruncate beyond the host's limit would not fail but kill; of a limited address
 * space a guest may not take so much that the host's own malloc fails; and no more than half of what the tmpfs has left. */
static bool
size_limit(uint64_t room, uint64_t *ret)
{
	struct rlimit file;
	uint64_t space;

	if (syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &file) != 0 || !space_left(&space))
		return false;
	*ret = less(less(file.rlim_cur, space / SPACE_SHARE), room / 2);
	return true;
}

/* Give the file its size and map it, smaller if there is no address space for more. `room`: bytes that are left for it. */
static int
map_file(int fd, struct segment *s, uint64_t room, struct heapd_section *sections, uint64_t *ret_size)
{
	uint64_t size, most;
	long map;

	if (!size_limit(room, &most) || lay_out(sections, SCALE_MAX) > most)
		return -EFBIG;
	for (unsigned scale = 0; scale <= SCALE_MAX; scale++) {
		size = lay_out(sections, scale);
		if (size > most)
			continue;
		if (syscall(SYS_ftruncate, fd, size) != 0)
			return -errno;
		if (s->preallocated && syscall(SYS_fallocate, fd, 0, 0L, size) != 0)
			return -ENOSPC;
		map = syscall(SYS_mmap, NULL, size, PROT_NONE, MAP_SHARED, fd, 0L);
		if (map == -1)
			continue;
		s->header = (struct heapd_header *)map;
		*ret_size = size;
		for (unsigned i = 0; i < HEAPD_SECTIONS; i++) {
			s->offset[i] = sections[i].offset;
			s->capacity[i] = sections[i].capacity;
		}
		if (!make_real(s, 0, pages_size())) {
			/* A kernel without MADV_POPULATE_WRITE: take a modest file whole, once and for all. */
			if (errno == EINVAL && scale < SCALE_MAX) {
				syscall(SYS_munmap, map, size);
				scale = SCALE_MAX - 1;
				s->preallocated = true;
				continue;
			}
		} else if (grow(s, HEAPD_SITES, 1)) {
			return 0;
		}
		syscall(SYS_munmap, map, size);
		return -ENOSPC;
	}
	return -ENOMEM;
}

static void
file_name(char *to, const struct heapd_header *h)
{
	put_number(&to, h->pid, 10);
	put_text(&to, "-");
	put_number(&to, h->start_time, 10);
	put_text(&to, "-");
	put_number(&to, h->random, 16);
	put_text(&to, HEAPD_SEGMENT_SUFFIX);
}

/* Fill the header and show it. */
static void
publish(struct segment *s, const struct heapd_header *identity, const struct heapd_section *sections, uint64_t size,
	uint64_t period)
{
	struct heapd_header *h = s->header;

	memcpy(h, identity, sizeof(*h));
	h->file_size = size;
	h->checksum = checksum(h);
	memcpy(h->sections, sections, sizeof(h->sections));
	atomic_store_explicit(&s->period, period, memory_order_relaxed);
	atomic_store_explicit(&h->period, period, memory_order_relaxed);
	atomic_store_explicit(&h->period_wanted, period, memory_order_relaxed);
	atomic_store_explicit(&h->max_samples, options_get()->max_samples, memory_order_relaxed);
	s->modules = (struct heapd_module *)((char *)h + sections[HEAPD_MODULES].offset);
	s->strings = (char *)h + sections[HEAPD_STRINGS].offset;
	s->frames = (struct heapd_frame *)((char *)h + sections[HEAPD_FRAMES].offset);
	s->stacks = (uint32_t *)((char *)h + sections[HEAPD_STACKS].offset);
	s->sites = (struct heapd_site *)((char *)h + sections[HEAPD_SITES].offset);
	s->live = (struct heapd_live *)((char *)h + sections[HEAPD_LIVE].offset);
	s->cfas = (uint32_t(*)[HEAPD_CFA_GROUP])((char *)h + sections[HEAPD_CFAS].offset);
	atomic_store_explicit(&h->state, HEAPD_STATE_READY, memory_order_release);
}

/* A program that only acts for another user at the moment must not share memory with that one. */
static bool
one_identity(void)
{
	uid_t real = 0, effective = 0, saved = 0;

	return syscall(SYS_getresuid, &real, &effective, &saved) == 0 && real == effective && saved == effective;
}

/* Under a second name if the first is taken: by a fork child that was made just here and went on first. */
static int
create_file(const struct segment *s, int dir, char *name, struct heapd_header *identity)
{
	int fd = -EEXIST;

	for (int i = 0; i < 2 && fd == -EEXIST; i++) {
		identity->random += (uint64_t)i;
		file_name(name, identity);
		if (!segment_is_ours(s))
			return -ECANCELED;
		fd = (int)syscall(SYS_openat, dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			fd = -errno;
	}
	return fd;
}

int
segment_create(struct segment *s, uint64_t period)
{
	struct heapd_section sections[HEAPD_SECTIONS] = { 0 };
	struct heapd_header
		*identity; /* too large for the host's stack, as are texts that are needed on the way: see cmdline */
	char name[96];
	uint64_t size = 0, room = 0;
	int dir = -1, fd = -1, r, saved = errno;

	if (!one_identity()) {
		errno = saved;
		return -EAGAIN;
	}
	identity = pages_kept(sizeof(*identity), 0); /* what a fork child would write is what its parent writes, too */
	if (!identity)
		return -ENOMEM;
	dir = open_segment_dir(identity->cmdline, &room);
	r = dir;
	if (r < 0)
		goto out;
	fill_identity(s, identity);
	r = fd = create_file(s, dir, name, identity);
	if (fd >= 0)
		r = map_file(fd, s, room, sections, &size);
	if (!segment_is_ours(s))
		r = -ECANCELED;
	else if (r == 0)
		publish(s, identity, sections, size, period);
	else if (fd >= 0)
		syscall(SYS_unlinkat, dir, name, 0);
out:
	if (fd >= 0)
		syscall(SYS_close, fd);
	if (dir >= 0)
		syscall(SYS_close, dir);
	pages_release(identity, sizeof(*identity));
	if (r < 0)
		s->header = NULL;
	errno = saved;
	return r;
}
