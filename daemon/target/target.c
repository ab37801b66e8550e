/* target.c - see target.h and targets.h. */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "inner_pids.h"
#include "life.h"
#include "reader.h"
#include "utf8.h"

#define MAPS_EVERY_MS 5000 /* a target's maps may take milliseconds to write out, and an exec is no hurry */

struct target *
target_ref(struct target *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void
target_unref(struct target *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(t->id);
	free(t->path);
	free(t->exe);
	free(t);
}

/* Open the target's file, if it is still the one it was. */
static int
target_open(const struct target *t, int flags)
{
	int fd = open(t->path, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return errno == ELOOP ? -ESTALE : -errno;
	if (fstat(fd, &st) < 0 || st.st_dev != t->dev || st.st_ino != t->ino) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

static int
snapshot_of(int fd, struct snapshot **ret)
{
	struct snapshot *snap = snapshot_new();
	struct reader *reader = NULL;
	int r = -ENOMEM;

	if (!snap)
		return -ENOMEM;
	r = reader_open(fd, &reader);
	if (r == 0)
		r = reader_copy(reader, snap);
	reader_free(reader);
	if (r < 0) {
		snapshot_free(snap);
		return r;
	}
	*ret = snap;
	return 0;
}

int
target_snapshot(struct target *t, struct snapshot **ret)
{
	struct snapshot *snap = NULL;
	int fd = target_open(t, O_RDONLY), r;

	if (fd < 0)
		return fd;
	r = snapshot_of(fd, &snap);
	close(fd);
	/* An inode number may be used again. */
	if (r == 0 &&
	    (snap->random != t->random || snap->pid != t->inner_pid || snap->start_time != t->inner_start_time)) {
		snapshot_free(snap);
		return -ESTALE;
	}
	if (r == 0) {
		snap->pid = t->pid;
		snap->start_time = t->start_time;
		*ret = snap;
	}
	return r;
}

static int
set_word(struct target *t, int (*set)(int fd, uint64_t value), uint64_t value)
{
	int fd, r;

	if (!atomic_load(&t->alive))
		return -ESRCH;
	fd = target_open(t, O_RDWR);
	if (fd < 0)
		return fd;
	r = set(fd, value);
	close(fd);
	return r;
}

int
target_set_period(struct target *t, uint64_t period)
{
	return set_word(t, reader_set_period, period);
}

int
target_set_max_samples(struct target *t, uint64_t max_samples)
{
	return set_word(t, reader_set_max_samples, max_samples);
}

/* -- from a file to a target -- */

/* PID-STARTTIME-RANDOM.heapd: decimal, decimal, hexadecimal. */
static bool
parse_name(const char *name, uint64_t *ret_pid, uint64_t *ret_start, uint64_t *ret_random)
{
	uint64_t *const ret[] = { ret_pid, ret_start, ret_random };

	for (unsigned i = 0; i < 3; i++) {
		const char *digits = i < 2 ? "0123456789" : "0123456789abcdef";
		size_t length = strspn(name, digits);

		if (length == 0 || length > (i < 2 ? 19 : 16) || (i < 2 && name[length] != '-'))
			return false;
		*ret[i] = strtoull(name, NULL, i < 2 ? 10 : 16);
		name += length + (i < 2);
	}
	return strcmp(name, HEAPD_SEGMENT_SUFFIX) == 0;
}

/* Where the program is: as its segment says, else as /proc says of a process that is known to be it. */
static char *
find_exe(const struct snapshot *snap, uint32_t pid, bool alive)
{
	const char *path = "", *deleted;
	char link[40], exe[4096];
	ssize_t n;
	char *copy;

	for (size_t i = 0; i < snap->n_modules; i++) {
		if (snap->modules[i].main)
			path = snap->modules[i].path;
	}
	if (!path[0] && alive) {
		(void)snprintf(link, sizeof(link), "/proc/%" PRIu32 "/exe", pid);
		n = readlink(link, exe, sizeof(exe) - 1);
		exe[n > 0 ? n : 0] = '\0';
		deleted = strstr(exe, " (deleted)");
		if (deleted && deleted[10] == '\0')
			exe[deleted - exe] = '\0';
		path = exe;
	}
	copy = strdup(path);
	if (copy)
		utf8_make_clean(copy, strlen(copy));
	return copy;
}

static void
choose_name(const struct snapshot *snap, const char *exe, char name[64])
{
	const char *base = strrchr(exe, '/') ? strrchr(exe, '/') + 1 : exe;

	if (snap->name[0])
		memcpy(name, snap->name, 64);
	else if (base[0])
		(void)snprintf(name, 64, "%.*s", (int)utf8_cut(base, strlen(base), 63), base);
	else
		(void)snprintf(name, 64, "pid-%" PRIu32, snap->pid);
}

/* Whether the process is alive and maps the file. 1, 0, or -errno. */
static int
ask_alive(uint32_t pid, uint64_t start_time, const struct stat *file, const char *name, int64_t now,
	  struct target_watch *w)
{
	int r = life_started(pid, start_time);

	if (r <= 0 || (w->maps_ms != 0 && now - w->maps_ms < MAPS_EVERY_MS))
		return r;
	r = life_maps(pid, file, name);
	/* A target that changed its user: pid and start time have to do. */
	if (r == -EACCES || r == -EPERM)
		r = start_time != 0;
	if (r >= 0)
		w->maps_ms = now;
	return r;
}

int
target_ask_alive(const struct target *t, int64_t now, struct target_watch *w)
{
	struct stat st = { .st_dev = t->dev, .st_ino = t->ino };

	return ask_alive(t->pid, t->start_time, &st, strrchr(t->path, '/') + 1, now, w);
}

/* Who the process is here, and whether it is alive. 1, 0, or -errno. */
static int
identify(struct target *t, const struct target_source *from, const struct stat *file, int64_t now,
	 struct target_watch *w)
{
	int r = ask_alive(t->inner_pid, t->inner_start_time, file, from->name, now, w);

	t->pid = t->inner_pid;
	t->start_time = t->inner_start_time;
	if (r == 0) {
		r = inner_pids_find(from->inner_pids, t->inner_pid, t->inner_start_time, file, from->name, &t->pid,
				    &t->start_time);
		/* In a time namespace it began at another time. */
		if (r == 0 && life_start_time(t->inner_pid, &t->start_time) > 0)
			r = life_maps(t->inner_pid, file, from->name) > 0;
		if (r > 0)
			w->maps_ms = now;
		else
			t->start_time = t->inner_start_time;
	}
	/* One without /proc does not know when it began. */
	if (r > 0 && t->start_time == 0)
		(void)life_start_time(t->pid, &t->start_time);
	return r;
}

/* Fill in what the file and its snapshot tell. 0 or -ENOMEM. */
static int
describe(struct target *t, const struct stat *st, const struct snapshot *snap)
{
	struct timespec ts;
	int64_t now_ns;

	clock_gettime(CLOCK_REALTIME, &ts);
	now_ns = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	t->uid = st->st_uid; /* what the kernel says; the segment's word is that of its user namespace */
	t->random = snap->random;
	t->dev = st->st_dev;
	t->ino = st->st_ino;
	t->since_ns = (int64_t)snap->clock_start.realtime_ns;
	if (t->since_ns <= 0 || t->since_ns > now_ns)
		t->since_ns = now_ns;
	t->exe = find_exe(snap, t->pid, atomic_load(&t->alive));
	if (!t->exe)
		return -ENOMEM;
	choose_name(snap, t->exe, t->name);
	return 0;
}

/* Open a file that may be a segment: put there by its own user, or by root, or, as root sees it, by anybody in a
 * directory of root's. */
static int
open_segment(int dir, uid_t owner, const char *name, struct stat *ret_st)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK), r;

	if (fd < 0)
		return errno == ELOOP || errno == ENXIO || errno == EACCES || errno == EPERM ? -EPROTO : -errno;
	r = fstat(fd, ret_st) < 0 ? -errno : 0;
	if (r == 0 && ret_st->st_uid != owner && owner != 0 && owner != geteuid())
		r = -EPROTO;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

int
target_new(const struct target_source *from, int64_t now, struct target_watch *w, struct target **ret)
{
	struct target *t = NULL;
	struct snapshot *snap = NULL;
	uint64_t pid, start, random;
	struct stat st;
	int fd = -1, r = -EPROTO;

	if (!parse_name(from->name, &pid, &start, &random))
		return -EPROTO;
	fd = open_segment(from->dir, from->owner, from->name, &st);
	if (fd < 0)
		return fd;
	r = snapshot_of(fd, &snap);
	if (r == 0 && (snap->pid != pid || snap->start_time != start || snap->random != random))
		r = -EPROTO;
	if (r < 0)
		goto out;
	t = calloc(1, sizeof(*t));
	if (!t) {
		r = -ENOMEM;
		goto out;
	}
	t->inner_pid = snap->pid;
	t->inner_start_time = snap->start_time;
	atomic_init(&t->refs, 1);
	r = identify(t, from, &st, now, w);
	if (r < 0)
		goto out;
	atomic_init(&t->alive, r > 0);
	r = describe(t, &st, snap);
	if (r == 0 && asprintf(&t->path, "%s/%s", from->dir_path, from->name) < 0) {
		t->path = NULL;
		r = -ENOMEM;
	}
	if (r < 0)
		goto out;
	*ret = t;
	t = NULL;
out:
	target_unref(t);
	snapshot_free(snap);
	close(fd);
	return r;
}
