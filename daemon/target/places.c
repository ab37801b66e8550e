/* places.c - see places.h.
 *
 * What does not exist yet is watched for through the nearest parent that does, and all parents of a pattern through the
 * one that lists them. Where a watch cannot be had (too many, an old file system) time does it: callers ask for a look
 * everywhere now and then.
 */
#include "places.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "array.h"

#define PATTERNS_MAX 64
#define RUNS "/run-*" /* in each of them: the directories of single runs */
#define PLACES_MAX 4096 /* users with segments on one machine; more is somebody making directories to annoy us */

struct watched {
	struct place place;
	int watch; /* inotify's number; -1: none */
};

struct places {
	int fd;
	bool follow; /* the user named the directories, so a symbolic link is meant */
	bool outdated; /* directories came or went */
	char *patterns[PATTERNS_MAX];
	size_t n_patterns;
	struct watched *places;
	size_t n, room;
};

/* -- which -- */

static int
add_pattern(struct places *p, const char *format, const char *argument)
{
	char **pattern = &p->patterns[p->n_patterns];

	if (p->n_patterns + 2 > PATTERNS_MAX)
		return -E2BIG;
	if (asprintf(&pattern[0], format, argument) < 0)
		return -ENOMEM;
	p->n_patterns++;
	if (asprintf(&pattern[1], "%s" RUNS, pattern[0]) < 0)
		return -ENOMEM;
	p->n_patterns++;
	return 0;
}

/* Where the part begins that add_pattern() appended, or the end of the path. */
static const char *
runs_part(const char *path)
{
	size_t length = strlen(path), part = strlen(RUNS);

	return length >= part && strcmp(path + length - part, RUNS) == 0 ? path + length - part : path + length;
}

static int
add_usual(struct places *p)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char uid[24];
	int r = add_pattern(p, "%s", "/run/heapd");

	if (r == 0 && runtime && runtime[0] == '/')
		r = add_pattern(p, "%s/heapd", runtime);
	if (r == 0 && geteuid() == 0)
		r = add_pattern(p, "%s", "/run/user/*/heapd");
	(void)snprintf(uid, sizeof(uid), "%u", geteuid());
	if (r == 0)
		r = add_pattern(p, "/dev/shm/heapd-%s", geteuid() == 0 ? "*" : uid);
	return r;
}

int
places_new(const char *const *dirs, struct places **ret)
{
	struct places *p = calloc(1, sizeof(*p));
	const char *dir = getenv("HEAPD_DIR");
	int r = 0;

	if (!p)
		return -ENOMEM;
	p->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (p->fd < 0) {
		r = -errno;
		goto out;
	}
	p->follow = dirs != NULL || (dir && dir[0]);
	p->outdated = true;
	for (; dirs && *dirs && r == 0; dirs++)
		r = add_pattern(p, "%s", *dirs);
	if (r == 0 && p->n_patterns == 0)
		r = dir && dir[0] ? add_pattern(p, "%s", dir) : add_usual(p);
	if (r < 0)
		goto out;
	*ret = p;
	p = NULL;
out:
	places_free(p);
	return r;
}

void
places_free(struct places *p)
{
	if (!p)
		return;
	if (p->fd >= 0)
		close(p->fd);
	for (size_t i = 0; i < p->n_patterns; i++)
		free(p->patterns[i]);
	for (size_t i = 0; i < p->n; i++)
		free(p->places[i].place.path);
	free(p->places);
	free(p);
}

/* -- watching -- */

static bool
has_wildcard(const struct places *p, const char *path)
{
	/* A name the user gave is no pattern. */
	return strchr(p->follow ? runs_part(path) : path, '*') != NULL;
}

/* Paths that a pattern means and that exist. 0, and *ret to be released with globfree, or -errno. */
static int
expand(const struct places *p, const char *pattern, glob_t *ret)
{
	const char *runs = runs_part(pattern);
	char literal[2 * PATH_MAX], *to = literal;
	int r;

	for (const char *c = pattern; *c && to < literal + sizeof(literal) - 2; c++) {
		if (strchr(p->follow && c < runs ? "*?[]\\" : "?[]\\", *c))
			*to++ = '\\';
		*to++ = *c;
	}
	*to = '\0';
	r = glob(literal, 0, NULL, ret);
	if (r == GLOB_NOSPACE)
		return -ENOMEM;
	return r == 0 ? 0 : -ENOENT;
}

/* Watch for what a pattern means to appear. */
static void
watch_parents(struct places *p, const char *pattern)
{
	char parent[PATH_MAX];
	char *slash;
	bool done = false;

	(void)snprintf(parent, sizeof(parent), "%s", pattern);
	while (!done && (slash = strrchr(parent, '/'))) {
		glob_t found;

		slash[slash == parent] = '\0'; /* the root keeps its slash */
		done = slash == parent;
		if (expand(p, parent, &found) < 0)
			continue;
		for (size_t i = 0; i < found.gl_pathc; i++) {
			if (inotify_add_watch(p->fd, found.gl_pathv[i],
					      IN_CREATE | IN_MOVED_TO | IN_ONLYDIR | IN_MASK_ADD) >= 0)
				done |= !has_wildcard(p, parent);
		}
		globfree(&found);
	}
}

static struct watched *
find(struct places *p, const char *path)
{
	for (size_t i = 0; i < p->n; i++) {
		if (strcmp(p->places[i].place.path, path) == 0)
			return &p->places[i];
	}
	return NULL;
}

static int
add_place(struct places *p, const char *path)
{
	struct watched *w = find(p, path);
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	if (!w) {
		if (p->n == PLACES_MAX)
			return 0;
		if (array_reserve(&p->places, p->n, 1, &p->room, sizeof(*w)) < 0)
			return -ENOMEM;
		w = &p->places[p->n];
		*w = (struct watched){ .place.path = strdup(path), .watch = -1 };
		if (!w->place.path)
			return -ENOMEM;
		p->n++;
	}
	/* Known ones too: the directory may be another one now. The same one keeps its number. */
	w->watch = inotify_add_watch(p->fd, path,
				     IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM |
					     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR |
					     (p->follow ? 0 : IN_DONT_FOLLOW));
	w->place.present = true;
	w->place.changed = true;
	return 0;
}

/* Look for the directories again. */
static int
refresh(struct places *p)
{
	int r = 0;

	p->outdated = false;
	for (size_t i = 0; i < p->n; i++) {
		p->places[i].place.present = false;
		p->places[i].place.changed = true;
	}
	for (size_t i = 0; i < p->n_patterns && r == 0; i++) {
		const char *pattern = p->patterns[i];
		glob_t found;

		/* Parents first, so that what appears in between is noticed. */
		if (has_wildcard(p, pattern) || access(pattern, F_OK) < 0)
			watch_parents(p, pattern);
		if (expand(p, pattern, &found) < 0)
			continue;
		for (size_t k = 0; k < found.gl_pathc && r == 0; k++)
			r = add_place(p, found.gl_pathv[k]);
		globfree(&found);
	}
	return r;
}

static void
note_event(struct places *p, const struct inotify_event *event)
{
	if (event->mask & IN_Q_OVERFLOW) {
		p->outdated = true;
		return;
	}
	for (size_t i = 0; i < p->n; i++) {
		if (p->places[i].watch != event->wd)
			continue;
		p->places[i].place.changed = true;
		/* A directory in it is one of a run. */
		p->outdated |=
			(event->mask & (IN_ISDIR | IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) != 0;
		return;
	}
	/* A parent: only a new directory matters. */
	p->outdated |= (event->mask & (IN_ISDIR | IN_IGNORED)) != 0;
}

int
places_update(struct places *p, bool all)
{
	_Alignas(struct inotify_event) char buffer[4096];
	ssize_t n;

	while ((n = read(p->fd, buffer, sizeof(buffer))) > 0) {
		for (const char *at = buffer; at < buffer + n;) {
			const struct inotify_event *event = (const void *)at;

			note_event(p, event);
			at += sizeof(*event) + event->len;
		}
	}
	return all || p->outdated ? refresh(p) : 0;
}

int
places_fd(const struct places *p)
{
	return p->fd;
}

size_t
places_count(const struct places *p)
{
	return p->n;
}

struct place *
places_get(struct places *p, size_t i)
{
	return &p->places[i].place;
}

int
places_open(struct places *p, size_t i, uid_t *ret_owner)
{
	struct place *place = &p->places[i].place;
	int fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | (p->follow ? 0 : O_NOFOLLOW));
	struct stat st;

	place->changed = false;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	place->refused = st.st_uid != 0 && st.st_uid != geteuid() && geteuid() != 0;
	if (place->refused) {
		close(fd);
		return -EACCES;
	}
	*ret_owner = st.st_uid;
	return fd;
}
