/* roots.c - see roots.h.
 *
 * Names below a foreign root are resolved by openat2, which can refuse links: an absolute one would lead into our root. A
 * kernel without it (before Linux 5.6) has no other roots for us.
 */
#include "roots.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "array.h"

#define ROOTS_MAX 1024

/* A directory below another, with no link on the way to it. */
static int
open_below(int dir, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* -- which there are -- */

/* What /proc/PID tells of its root; false if it is not ours to know. "self" does as well. */
static bool
root_of(const char *pid, struct root *ret)
{
	char path[PATH_MAX], link[64];
	struct stat st;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%s/ns/mnt", pid);
	n = readlink(path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = '\0';
	(void)snprintf(path, sizeof(path), "/proc/%s/root", pid);
	if (sscanf(link, "mnt:[%" SCNu64 "]", &ret->mounts) != 1 || stat(path, &st) < 0)
		return false;
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	return true;
}

static bool
is_same(const struct root *a, const struct root *b)
{
	return a->mounts == b->mounts && a->dev == b->dev && a->ino == b->ino;
}

int
roots_find(struct root **ret, size_t *ret_n)
{
	struct root ours, found, *roots = NULL;
	size_t n = 0, room = 0;
	struct dirent *d;
	DIR *proc;
	int r = 0;

	if (!root_of("self", &ours))
		return -ENOENT;
	proc = opendir("/proc");
	if (!proc)
		return -errno;
	while (r == 0 && n < ROOTS_MAX && (d = readdir(proc))) {
		bool known;

		if (d->d_name[0] < '1' || d->d_name[0] > '9' || !root_of(d->d_name, &found))
			continue;
		known = is_same(&found, &ours);
		for (size_t i = 0; i < n && !known; i++)
			known = is_same(&found, &roots[i]);
		if (known)
			continue;
		r = array_reserve(&roots, n, 1, &room, sizeof(*roots));
		if (r == 0) {
			found.pid = (uint32_t)strtoul(d->d_name, NULL, 10);
			roots[n++] = found;
		}
	}
	closedir(proc);
	if (r < 0) {
		free(roots);
		return r;
	}
	*ret = roots;
	*ret_n = n;
	return 0;
}

/* -- directories below them -- */

struct walk {
	roots_visit *visit;
	void *argument;
};

static int walk_on(const struct walk *w, int dir, const char *path, const char *rest);

/* Go on with one directory in `dir`: no link. */
static int
walk_into(const struct walk *w, int dir, const char *path, const char *name, const char *rest)
{
	char longer[PATH_MAX];
	int fd, r;

	if (snprintf(longer, sizeof(longer), "%s/%s", path, name) >= (int)sizeof(longer))
		return 0;
	fd = open_below(dir, name);
	if (fd < 0)
		return 0;
	r = walk_on(w, fd, longer, rest);
	close(fd);
	return r;
}

/* Visit what `rest`, the part from the first '*' on, means below a directory. */
static int
walk_on(const struct walk *w, int dir, const char *path, const char *rest)
{
	char pattern[NAME_MAX + 1];
	size_t length;
	struct dirent *d;
	DIR *names;
	int fd, r = 0;

	rest += strspn(rest, "/");
	length = strcspn(rest, "/");
	if (length == 0)
		return w->visit(w->argument, path, dir);
	if (length > NAME_MAX)
		return 0;
	memcpy(pattern, rest, length);
	pattern[length] = '\0';
	if (!strchr(pattern, '*'))
		return walk_into(w, dir, path, pattern, rest + length);
	fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
	names = fd < 0 ? NULL : fdopendir(fd);
	if (!names) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while (r == 0 && (d = readdir(names)))
		if (fnmatch(pattern, d->d_name, FNM_PERIOD | FNM_NOESCAPE) == 0)
			r = walk_into(w, dir, path, d->d_name, rest + length);
	closedir(names);
	return r;
}

int
roots_visit_directories(const struct root *root, const char *path, roots_visit *visit, void *argument)
{
	const struct walk w = { visit, argument };
	char name[64], fixed[PATH_MAX];
	size_t length = strcspn(path, "*");
	struct stat st;
	int fd, top, r = 0;

	if (path[0] != '/')
		return 0;
	/* Up to the name that the first '*' is in. */
	if (path[length])
		while (length > 0 && path[length - 1] != '/')
			length--;
	while (length > 0 && path[length - 1] == '/')
		length--;
	if (length >= sizeof(fixed))
		return 0;
	memcpy(fixed, path, length);
	fixed[length] = '\0';

	(void)snprintf(name, sizeof(name), "/proc/%" PRIu32 "/root", root->pid);
	top = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top < 0 || fstat(top, &st) < 0 || st.st_dev != root->dev || st.st_ino != root->ino) {
		r = -ESRCH;
		goto out;
	}
	fd = open_below(top, fixed[0] ? fixed + 1 : ".");
	if (fd >= 0) {
		r = walk_on(&w, fd, fixed, path + length);
		close(fd);
	}
out:
	if (top >= 0)
		close(top);
	return r;
}
