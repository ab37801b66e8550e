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
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "array.h"
#include "roots.h"

#define PATTERNS_MAX 64
#define RUNS "/run-*" /* in each of them: the directories of single runs */
#define PLACES_MAX 4096 /* users with segments on one machine; more is somebody making directories to annoy us */
#define FOREIGN_PLACES_MAX 2048 /* of them in other roots, which anybody may make many of */
#define ROOT_PLACES_MAX 256 /* in one of those */

struct watched {
	struct place place;
	int watch; /* inotify's number; -1: none */
	dev_t dev; /* with ino: which directory it is */
	ino_t ino;
	bool foreign; /* in another root: */
	struct root root;
	bool retired; /* of another root, and gone since the last look but one: what it held is forgotten */
};

struct places {
	int fd;
	bool follow; /* the user named the directories, so a symbolic link is meant */
	bool outdated; /* directories came or went */
	char *patterns[PATTERNS_MAX];
	size_t n_patterns, n_ours; /* the first n_ours are for our own root, too */
	struct watched *places;
	size_t n, room;
	size_t n_foreign; /* found at the last look */
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
	p->n_ours = p->n_patterns;
	/* Elsewhere we may have another number. */
	if (r == 0 && geteuid() != 0)
		r = add_pattern(p, "%s", "/dev/shm/heapd-*");
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
	if (r == 0 && p->n_patterns == 0 && dir && dir[0])
		r = add_pattern(p, "%s", dir);
	p->n_ours = p->n_patterns;
	if (r == 0 && p->n_patterns == 0)
		r = add_usual(p);
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

/* A slot for a new place. NULL without memory, or if there are too many. */
static struct watched *
slot_get(struct places *p)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->places[i].retired) {
			free(p->places[i].place.path);
			return &p->places[i];
		}
	}
	if (p->n == PLACES_MAX || array_reserve(&p->places, p->n, 1, &p->room, sizeof(*p->places)) < 0)
		return NULL;
	return &p->places[p->n++];
}

static bool
is_known(const struct places *p, const struct stat *st)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct watched *w = &p->places[i];

		if (w->place.present && w->dev == st->st_dev && w->ino == st->st_ino)
			return true;
	}
	return false;
}

/* A directory was found: `watch_path` names it for the kernel, which may be a descriptor's name. */
static int
add_place(struct places *p, const char *path, const char *watch_path, const struct root *root)
{
	const bool foreign = root != NULL;
	struct watched *w = find(p, path);
	struct stat st;
	uint32_t events = IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF |
			  IN_MOVE_SELF | IN_ONLYDIR;

	if (stat(watch_path, &st) < 0 || !S_ISDIR(st.st_mode) || (foreign && is_known(p, &st)))
		return 0;
	if (!w) {
		char *copy = strdup(path);

		w = copy ? slot_get(p) : NULL;
		if (!w) {
			free(copy);
			return copy && p->n == PLACES_MAX ? 0 : -ENOMEM;
		}
		*w = (struct watched){ .place.path = copy, .foreign = foreign };
	}
	/* Known ones too: the directory may be another one now. The same one keeps its number. */
	w->watch = inotify_add_watch(p->fd, watch_path, events | (p->follow || foreign ? 0 : IN_DONT_FOLLOW));
	w->dev = st.st_dev;
	w->ino = st.st_ino;
	if (root)
		w->root = *root;
	w->retired = false;
	p->n_foreign += foreign;
	w->place.present = true;
	w->place.changed = true;
	return 0;
}

/* -- in other roots -- */

struct visit {
	struct places *places;
	const struct root *root;
	size_t n_before; /* places in other roots */
};

static int
add_foreign_place(void *argument, const char *path, int fd)
{
	struct visit *v = argument;
	char longer[PATH_MAX], name[40];

	if (v->places->n_foreign - v->n_before == ROOT_PLACES_MAX || v->places->n_foreign == FOREIGN_PLACES_MAX)
		return 0;
	if (snprintf(longer, sizeof(longer), "/proc/%" PRIu32 "/root%s", v->root->pid, path) >= (int)sizeof(longer))
		return 0;
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return add_place(v->places, longer, name, v->root);
}

static int
refresh_roots(struct places *p)
{
	struct root *roots = NULL;
	size_t n = 0;
	int r = roots_find(&roots, &n);

	p->n_foreign = 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		struct visit visit = { p, &roots[i], p->n_foreign };

		for (size_t k = 0; k < p->n_patterns && r == 0; k++) {
			r = roots_visit_directories(&roots[i], p->patterns[k], add_foreign_place, &visit);
			if (r == -ESRCH)
				r = 0; /* it has just ended */
		}
	}
	free(roots);
	if (r < 0 && r != -ENOENT)
		p->outdated = true; /* cannot be told now; without /proc there are no other roots for us */
	return r == -ENOMEM ? r : 0;
}

/* The process that led us there has ended; others of its root may still be there. */
static bool
is_lost(const struct watched *w)
{
	return w->foreign && w->place.present && !root_is_there(&w->root);
}

/* Look for the directories again. */
static int
refresh(struct places *p)
{
	int r = 0;

	p->outdated = false;
	for (size_t i = 0; i < p->n; i++) {
		struct watched *w = &p->places[i];

		w->retired = w->foreign && !w->place.present && !w->place.changed;
		w->watch = -1; /* two that are one directory would have one number */
		w->place.present = false;
		w->place.changed = true;
	}
	for (size_t i = 0; i < p->n_ours && r == 0; i++) {
		const char *pattern = p->patterns[i];
		glob_t found;

		/* Parents first, so that what appears in between is noticed. */
		if (has_wildcard(p, pattern) || access(pattern, F_OK) < 0)
			watch_parents(p, pattern);
		if (expand(p, pattern, &found) < 0)
			continue;
		for (size_t k = 0; k < found.gl_pathc && r == 0; k++)
			r = add_place(p, found.gl_pathv[k], found.gl_pathv[k], NULL);
		globfree(&found);
	}
	return r == 0 ? refresh_roots(p) : r;
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
	for (size_t i = 0; i < p->n && !all && !p->outdated; i++)
		p->outdated = is_lost(&p->places[i]);
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
	const struct watched *w = &p->places[i];
	struct place *place = &p->places[i].place;
	int fd = open(place->path,
		      O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | (p->follow && !w->foreign ? 0 : O_NOFOLLOW));
	struct stat st;

	place->changed = false;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	if (w->foreign && (st.st_dev != w->dev || st.st_ino != w->ino)) {
		close(fd);
		return -ESTALE;
	}
	place->refused = st.st_uid != 0 && st.st_uid != geteuid() && geteuid() != 0;
	if (place->refused) {
		close(fd);
		return -EACCES;
	}
	*ret_owner = st.st_uid;
	return fd;
}
