/* rundir.c - see rundir.h. */
#include "rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "segment.h"
#include "targets.h"

#define PREFIX "run-"

/* A directory of ours or root's, on a tmpfs, in which we may make another. An fd, or -errno; -EMEDIUMTYPE: no tmpfs. */
static int
base_open(const char *path, bool make)
{
	struct statfs fs;
	struct stat st;
	int fd, r;

	/* Programs of root may become other users, who then have to get through here. */
	if (make && mkdir(path, geteuid() == 0 ? 0711 : 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0 || faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		r = -errno;
	else if ((st.st_uid != geteuid() && st.st_uid != 0) || ((st.st_mode & 022) && !(st.st_mode & S_ISVTX)))
		r = -EACCES; /* others could put their files in the place of ours */
	else if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
		r = -EMEDIUMTYPE;
	else {
		/* The sampler may have made it, and only for root. */
		if (make && geteuid() == 0 && (st.st_mode & 0011) != 0011)
			(void)fchmod(fd, (st.st_mode & 07777) | 0011);
		return fd;
	}
	close(fd);
	return r;
}

/* A run that another run started finds that one's directory in HEAPD_DIR. Its own goes beside it: below, neither list and
 * serve nor those who clear away would see it. */
static int
base_beside(const char *own, struct text *path)
{
	const char *last = strrchr(own, '/');
	int fd, n = 0;

	if (own[0] != '/' || last == own || sscanf(last + 1, PREFIX "%*d-%*6[A-Za-z0-9]%n", &n) < 0 || n == 0 ||
	    last[1 + n])
		return -ENOENT;
	text_printf(path, "%.*s", (int)(last - own), own);
	fd = base_open(text_string(path), false);
	if (fd < 0)
		text_done(path);
	return fd;
}

static int
base_find(struct text *path, struct text *why)
{
	const char *own = getenv("HEAPD_DIR"), *runtime = getenv("XDG_RUNTIME_DIR");
	int fd;

	if (own && *own) {
		fd = base_beside(own, path);
		if (fd >= 0)
			return fd;
		text_add(path, own);
		fd = own[0] == '/' ? base_open(own, false) : -EINVAL;
		if (fd < 0)
			text_printf(why, "HEAPD_DIR=%s cannot hold segments: %s", own,
				    fd == -EMEDIUMTYPE ? "it is not on a tmpfs, where writing never waits for a disk; "
							 "use a directory under /dev/shm or /run"
				    : fd == -EINVAL    ? "it has to be an absolute path"
						       : strerror(-fd));
		return fd;
	}
	text_add(path, "/run/heapd");
	fd = base_open(text_string(path), false);
	if (fd < 0 && runtime && runtime[0] == '/' && geteuid() != 0) {
		text_done(path);
		text_printf(path, "%s/heapd", runtime);
		fd = base_open(text_string(path), true);
	}
	if (fd < 0) {
		text_done(path);
		text_printf(path, "/dev/shm/heapd-%u", (unsigned)geteuid());
		fd = base_open(text_string(path), true);
	}
	if (fd < 0)
		text_printf(why,
			    "there is no place for segments: %s: %s. Set HEAPD_DIR to a directory of yours on a tmpfs",
			    text_string(path), fd == -EMEDIUMTYPE ? "not a tmpfs" : strerror(-fd));
	return fd;
}

/* Is there a process with the pid that a segment's name starts with? Then its profile still moves. */
static bool
segment_in_use(const char *name)
{
	char path[64];
	struct stat st;
	int pid = atoi(name);

	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	return pid > 0 && stat(path, &st) == 0;
}

static bool
is_segment(const char *name)
{
	size_t length = strlen(name), suffix = strlen(HEAPD_SEGMENT_SUFFIX);

	return length > suffix && strcmp(name + length - suffix, HEAPD_SEGMENT_SUFFIX) == 0;
}

/* Remove the segments in an ended run's directory, and it; unless a program that it started still lives. */
static void
run_remove(int base, const char *name, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	DIR *entries = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;
	bool in_use = false;

	if (!entries)
		return;
	while ((e = readdir(entries)))
		in_use |= is_segment(e->d_name) && segment_in_use(e->d_name);
	rewinddir(entries);
	while (!in_use && (e = readdir(entries)))
		if (is_segment(e->d_name))
			(void)unlinkat(fd, e->d_name, 0);
	(void)closedir(entries);
	if (in_use)
		return;
	(void)unlinkat(fd, TARGETS_PROGRAM, 0);
	(void)unlinkat(base, name, AT_REMOVEDIR);
}

struct ended {
	char name[64];
	struct timespec changed;
};

static int
newer_first(const void *a, const void *b)
{
	const struct ended *x = a, *y = b;

	if (x->changed.tv_sec != y->changed.tv_sec)
		return x->changed.tv_sec > y->changed.tv_sec ? -1 : 1;
	return x->changed.tv_nsec > y->changed.tv_nsec ? -1 : x->changed.tv_nsec < y->changed.tv_nsec;
}

/* An ended run of ours: its directory can be locked. An fd with the lock, or -1. */
static int
ended_open(int base, const char *name, struct stat *ret)
{
	int fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -1;
	if (fstat(fd, ret) == 0 && ret->st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Keep the newest RUNDIR_KEPT of the ended runs. What cannot be cleared is left: it costs memory, not truth. */
static void
base_clear(int base)
{
	enum { SEEN = 1024 };
	int copy = fcntl(base, F_DUPFD_CLOEXEC, 0);
	DIR *entries = copy < 0 ? NULL : fdopendir(copy);
	struct ended *ended = calloc(SEEN, sizeof(*ended));
	struct dirent *e;
	size_t n = 0;

	while (entries && ended && n < SEEN && (e = readdir(entries))) {
		struct stat st;
		int fd;

		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0 || strlen(e->d_name) >= sizeof(ended[n].name))
			continue;
		fd = ended_open(base, e->d_name, &st);
		if (fd < 0)
			continue;
		(void)strcpy(ended[n].name, e->d_name);
		ended[n++].changed = st.st_mtim;
		close(fd);
	}
	if (entries)
		(void)closedir(entries);
	if (ended)
		qsort(ended, n, sizeof(*ended), newer_first);
	for (size_t i = RUNDIR_KEPT; i < n; i++) {
		struct stat st;
		int fd = ended_open(base, ended[i].name, &st);

		if (fd >= 0) {
			run_remove(base, ended[i].name, fd);
			close(fd);
		}
	}
	free(ended);
}

int
rundir_new(struct rundir *ret, struct text *why)
{
	struct text path = { 0 };
	int base = base_find(&path, why), fd = -1, r = 0;

	if (base < 0) {
		text_done(&path);
		return base;
	}
	base_clear(base);
	text_printf(&path, "/" PREFIX "%d-XXXXXX", (int)getpid());
	if (path.failed) {
		r = -ENOMEM;
	} else if (!mkdtemp(path.data)) {
		r = -errno;
	} else {
		fd = open(path.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
			r = -errno;
		/* A server that drops root after its start makes its segment as somebody else. */
		else if (geteuid() == 0 && fchmod(fd, 01777) < 0)
			r = -errno;
	}
	close(base);
	if (r < 0) {
		text_printf(why, "cannot make %s: %s", text_string(&path), strerror(-r));
		if (fd >= 0)
			close(fd);
		text_done(&path);
		return r;
	}
	ret->fd = fd;
	ret->path = path.data;
	return 0;
}

void
rundir_program(const struct rundir *r, pid_t pid)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", (int)pid);
	(void)symlinkat(text, r->fd, TARGETS_PROGRAM);
}

/* Whether there is a segment in it, or that cannot be told. */
static bool
has_segment(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	DIR *entries = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;
	bool found = !entries;

	if (entries)
		rewinddir(entries);
	while (!found && (e = readdir(entries)))
		found = is_segment(e->d_name);
	if (entries)
		(void)closedir(entries);
	return found;
}

bool
rundir_full(const struct rundir *r)
{
	enum { SEGMENT = 1 << 20 }; /* it begins with a quarter of this and grows in steps */
	struct statfs fs;

	return fstatfs(r->fd, &fs) == 0 && fs.f_blocks > 0 && fs.f_bavail < SEGMENT / (uint64_t)fs.f_bsize;
}

void
rundir_done(struct rundir *r)
{
	if (!r->path)
		return;
	if (!has_segment(r->fd))
		(void)unlinkat(r->fd, TARGETS_PROGRAM, 0);
	(void)rmdir(r->path); /* fails if segments are in it, which then stay */
	close(r->fd);
	free(r->path);
	*r = (struct rundir){ 0 };
}
