/* roots.c - see roots.h.
 *
 * Names below a foreign root are resolved by openat2, which can refuse links (an absolute one would lead into our root) and
 * all that the kernel would have to ask a file system for: a root may lie on a file server that is dead. It does know a tmpfs
 * and the way to it by heart. A kernel that cannot do that (before Linux 5.12) has no other roots for us.
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
#include <sys/sysmacros.h>
#include <unistd.h>

#include "array.h"

#define ROOTS_MAX 1024
#define TRIES 5

/* A directory below another, with no link on the way to it. */
static int
open_below(int dir, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_CACHED };
	long fd = -1;

	/* EAGAIN also where somebody renamed something just then. */
	for (int i = 0; i < TRIES; i++) {
		fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

/* Which directory that is, without asking a file server. */
static bool
directory_of(int dir, const char *path, struct root *ret)
{
	struct statx st;

	if (statx(dir, path, AT_STATX_DONT_SYNC | AT_EMPTY_PATH, STATX_INO, &st) < 0)
		return false;
	ret->dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	ret->ino = st.stx_ino;
	return true;
}

/* -- which there are -- */

/* What /proc/PID tells of its root; false if it is not ours to know. "self" does as well. */
static bool
root_of(const char *pid, struct root *ret)
{
	char path[PATH_MAX], link[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%s/ns/mnt", pid);
	n = readlink(path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = '\0';
	(void)snprintf(path, sizeof(path), "/proc/%s/root", pid);
	return sscanf(link, "mnt:[%" SCNu64 "]", &ret->mounts) == 1 && directory_of(AT_FDCWD, path, ret);
}

static bool
is_same(const struct root *a, const struct root *b)
{
	return a->mounts == b->mounts && a->dev == b->dev && a->ino == b->ino;
}

bool
root_is_there(const struct root *root)
{
	char pid[16];
	struct root now;

	(void)snprintf(pid, sizeof(pid), "%" PRIu32, root->pid);
	return root_of(pid, &now) && is_same(&now, root);
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
	const struct root *root;
	roots_visit *visit;
	void *argument;
};

/* What lies elsewhere is no segment and may be anybody's: a file server's that does not answer, for one. The list of mounts
 * tells without asking the file system itself. */
static bool
is_on_tmpfs(const struct root *root, int dir)
{
	char path[64], *line = NULL;
	size_t room = 0;
	struct statx st;
	bool found = false;
	FILE *mounts;

	if (statx(dir, "", AT_STATX_DONT_SYNC | AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/mountinfo", root->pid);
	mounts = fopen(path, "re");
	while (mounts && !found && getline(&line, &room, mounts) > 0) {
		const char *type = strstr(line, " - ");

		if (type && strtoull(line, NULL, 10) == st.stx_mnt_id) {
			found = strncmp(type, " - tmpfs ", 9) == 0 || strncmp(type, " - ramfs ", 9) == 0;
			break;
		}
	}
	free(line);
	if (mounts)
		(void)fclose(mounts);
	return found;
}

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
		return is_on_tmpfs(w->root, dir) ? w->visit(w->argument, path, dir) : 0;
	if (length > NAME_MAX || !is_on_tmpfs(w->root, dir))
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
	const struct walk w = { root, visit, argument };
	char name[64], fixed[PATH_MAX];
	size_t length = strcspn(path, "*");
	struct root now = *root;
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
	if (top < 0 || !directory_of(top, "", &now) || !is_same(&now, root)) {
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
