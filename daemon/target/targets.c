/* targets.c - see targets.h.
 *
 * Every file of a place whose name ends as a segment's does is an entry: a target, a file that is not finished yet, one
 * that was refused (and is not looked at again), or one of another user. A poll compares the directories that changed
 * with the entries, asks after the living, and removes what the dead left behind for long enough.
 */
#include "targets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "array.h"
#include "inner_pids.h"
#include "life.h"
#include "places.h"
#include "target.h"

#define KEEP_DEAD_MS \
	INT64_C(3600000) /* long enough to notice a crash and look; a segment may hold tens of MiB of memory */
#define KEEP_DEAD_MAX 64 /* in one place: a build starts thousands of processes, each leaving a file */
#define KEEP_NEWEST 16 /* of them, however small: who has just run something wants to see it */
#define LOOK_EVERY_MS 10000 /* everywhere, in case a watch is missing */
#define RETRY_MS 50 /* a segment is filled within microseconds of its creation */
#define RETRY_FOR_MS 10000 /* then its creator died on the way; LOOK_EVERY_MS is enough */
#define PRUNE_RETRY_MS 60000 /* files that somebody still maps */
#define ENTRIES_MAX 8192 /* in all places; beyond, files are refused */
#define ENTRIES_OF_ONE_MAX 4096 /* of one user who is neither we nor root, so that nobody keeps others out */

enum kind {
	UNFINISHED,
	REFUSED,
	FOREIGN, /* of a user whose targets are not ours to see */
	TARGET
};

struct entry {
	size_t place;
	char *name;
	uid_t uid;
	dev_t dev;
	ino_t ino;
	enum kind kind;
	struct target *target;
	int64_t since_ms; /* in this kind; of a target, since when it is dead */
	struct target_watch watch;
	int64_t prune_ms; /* not to be tried before */
	bool seen;
	bool weighed, newest,
		program; /* of a dead target, set when there are too many; program: the one that the run started */
	uint64_t bytes; /* it allocated, if weighed */
};

struct targets {
	pthread_mutex_t lock; /* over everything below */
	int fd, timer;
	struct places *places;
	struct inner_pids *inner_pids;
	struct entry *entries;
	size_t n, room;
	int64_t looked_ms; /* everywhere */
	_Atomic uint64_t refused, removed;
};

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool
id_taken(const struct targets *t, const char *id)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->entries[i].kind == TARGET && strcmp(t->entries[i].target->id, id) == 0)
			return true;
	}
	return false;
}

/* PID and the end of the random number: four digits are easy to type, and all of them tell from a namesake. */
static char *
choose_id(const struct targets *t, uint32_t pid, uint64_t random)
{
	char id[40];

	(void)snprintf(id, sizeof(id), "%" PRIu32 "-%04" PRIx64, pid, random & 0xffff);
	if (id_taken(t, id))
		(void)snprintf(id, sizeof(id), "%" PRIu32 "-%016" PRIx64, pid, random);
	return strdup(id);
}

static void
refuse(struct targets *t, struct entry *e)
{
	e->kind = REFUSED;
	atomic_fetch_add_explicit(&t->refused, 1, memory_order_relaxed);
}

/* Try to make a target of an unfinished entry. `owner` is the place's. */
static void
take_in(struct targets *t, struct entry *e, int dir, uid_t owner, int64_t now)
{
	struct target *target = NULL;
	struct target_source from = { dir, owner, places_get(t->places, e->place)->path, e->name, t->inner_pids };
	int r = target_new(&from, now, &e->watch, &target);

	if (r == -EPROTO)
		refuse(t, e);
	if (r < 0)
		return;
	target->id = choose_id(t, target->pid, target->random);
	if (!target->id) {
		target_unref(target); /* without memory it stays unfinished, and is tried again */
		return;
	}
	e->target = target;
	e->kind = TARGET;
	e->since_ms = now;
}

/* -- the entries of a place -- */

static void
entry_done(struct entry *e)
{
	free(e->name);
	target_unref(e->target);
}

static struct entry *
find_entry(struct targets *t, size_t place, const char *name)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->entries[i].place == place && strcmp(t->entries[i].name, name) == 0)
			return &t->entries[i];
	}
	return NULL;
}

static bool
has_room(const struct targets *t, uid_t uid)
{
	size_t n = 0;

	if (uid != 0 && uid != geteuid())
		for (size_t i = 0; i < t->n; i++)
			n += t->entries[i].uid == uid;
	return t->n < ENTRIES_MAX && n < ENTRIES_OF_ONE_MAX;
}

/* NULL if there is no room, or no memory: then the place is looked at again. */
static struct entry *
add_entry(struct targets *t, size_t place, const char *name, const struct stat *st, int64_t now)
{
	struct entry *e;

	if (!has_room(t, st->st_uid)) {
		atomic_fetch_add_explicit(&t->refused, 1, memory_order_relaxed);
		return NULL;
	}
	if (array_reserve(&t->entries, t->n, 1, &t->room, sizeof(*e)) < 0)
		goto again;
	e = &t->entries[t->n];
	*e = (struct entry){ .place = place, .uid = st->st_uid, .dev = st->st_dev, .ino = st->st_ino, .since_ms = now };
	e->name = strdup(name);
	if (!e->name)
		goto again;
	t->n++;
	return e;
again:
	places_get(t->places, place)->changed = true;
	return NULL;
}

static void
look_at(struct targets *t, size_t place, int dir, uid_t owner, const char *name, int64_t now)
{
	struct entry *e = find_entry(t, place, name);
	size_t length = strlen(name), suffix = strlen(HEAPD_SEGMENT_SUFFIX);
	struct stat st;

	if (length <= suffix || strcmp(name + length - suffix, HEAPD_SEGMENT_SUFFIX) != 0)
		return;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (e && (e->dev != st.st_dev || e->ino != st.st_ino)) {
		/* Another file by the same name: another target, if one at all. */
		entry_done(e);
		*e = t->entries[--t->n];
		e = NULL;
	}
	if (!e)
		e = add_entry(t, place, name, &st, now);
	if (!e)
		return;
	e->seen = true;
	if (e->kind == UNFINISHED && st.st_uid != geteuid() && geteuid() != 0)
		e->kind = FOREIGN;
	if (e->kind == UNFINISHED)
		take_in(t, e, dir, owner, now);
}

/* Compare a place with its entries. */
static void
look_around(struct targets *t, size_t place, int64_t now)
{
	struct place *p = places_get(t->places, place);
	bool was_refused = p->refused;
	uid_t owner = 0;
	int fd = p->present ? places_open(t->places, place, &owner) : -ENOENT;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *d;

	for (size_t i = 0; i < t->n; i++)
		t->entries[i].seen = t->entries[i].place != place;
	if (fd >= 0 && !dir) {
		close(fd);
		p->changed = true; /* without memory: next time */
		return;
	}
	if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM) {
		p->changed = true;
		return;
	}
	p->changed = false;
	if (fd == -EACCES && p->refused && !was_refused)
		atomic_fetch_add_explicit(&t->refused, 1, memory_order_relaxed);
	while (dir && (d = readdir(dir)))
		look_at(t, place, dirfd(dir), owner, d->d_name, now);
	if (dir)
		closedir(dir);
	for (size_t i = 0; i < t->n;) {
		if (t->entries[i].seen) {
			i++;
			continue;
		}
		entry_done(&t->entries[i]);
		t->entries[i] = t->entries[--t->n];
	}
}

/* -- the dead -- */

static void
check_alive(struct entry *e, int64_t now)
{
	if (atomic_load(&e->target->alive) && target_ask_alive(e->target, now, &e->watch) == 0) {
		atomic_store(&e->target->alive, false);
		e->since_ms = now;
	}
}

/* Remove the file of an entry if no process maps it any more and it is ours to remove. */
static void
prune(struct targets *t, struct entry *e, int64_t now)
{
	uid_t owner;
	int dir = places_open(t->places, e->place, &owner), fd = -1;
	struct stat st;

	/* Opening it read-only, as said in life.c, and not through a name that may mean another file by now. */
	e->prune_ms = now + PRUNE_RETRY_MS;
	if (dir < 0)
		return;
	fd = openat(dir, e->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == e->dev && st.st_ino == e->ino &&
	    (st.st_uid == geteuid() || geteuid() == 0) && life_none(fd))
		if (unlinkat(dir, e->name, 0) == 0) /* inotify tells when it is gone */
			atomic_fetch_add_explicit(&t->removed, 1, memory_order_relaxed);
	if (fd >= 0)
		close(fd);
	close(dir);
	places_get(t->places, e->place)->changed = true;
}

static bool
is_dead(const struct entry *e)
{
	return e->kind == UNFINISHED || (e->kind == TARGET && !atomic_load(&e->target->alive));
}

/* The pid of the program that `heapd run` started, if the place is of a run. */
static uint32_t
program_of(struct targets *t, size_t place)
{
	uid_t owner;
	int dir = places_open(t->places, place, &owner);
	char pid[16] = "";

	if (dir < 0)
		return 0;
	if (readlinkat(dir, TARGETS_PROGRAM, pid, sizeof(pid) - 1) < 0)
		pid[0] = '\0';
	close(dir);
	return (uint32_t)strtoul(pid, NULL, 10);
}

static void
weigh(struct entry *e)
{
	struct snapshot *snap = NULL;

	if (e->weighed || target_snapshot(e->target, &snap) < 0)
		return;
	for (size_t i = 0; i < snap->n_sites; i++) {
		if (__builtin_add_overflow(e->bytes, snap->sites[i].alloc.bytes, &e->bytes))
			e->bytes = UINT64_MAX;
	}
	e->weighed = true;
	snapshot_free(snap);
}

static int
newer_first(const void *left, const void *right)
{
	const struct target *a = (*(struct entry *const *)left)->target, *b = (*(struct entry *const *)right)->target;

	return a->since_ns > b->since_ns ? -1 : a->since_ns < b->since_ns;
}

/* Processes that ended between two looks, or before the first, end at one time for us: then those that allocated most
 * stay. */
static int
dispensable_first(const void *left, const void *right)
{
	const struct entry *a = *(struct entry *const *)left, *b = *(struct entry *const *)right;

	if (a->program != b->program)
		return a->program ? 1 : -1;
	if (a->newest != b->newest)
		return a->newest ? 1 : -1;
	if (a->since_ms != b->since_ms)
		return a->since_ms < b->since_ms ? -1 : 1;
	if (a->bytes != b->bytes)
		return a->bytes < b->bytes ? -1 : 1;
	return newer_first(right, left);
}

/* Remove the `excess` most dispensable ones of n dead targets in a place. */
static void
prune_excess(struct targets *t, size_t place, struct entry **dead, size_t n, size_t excess, int64_t now)
{
	uint32_t program = program_of(t, place);

	qsort(dead, n, sizeof(*dead), newer_first);
	for (size_t i = 0; i < n; i++) {
		dead[i]->newest = i < KEEP_NEWEST;
		dead[i]->program = dead[i]->target->inner_pid == program;
		weigh(dead[i]);
	}
	qsort(dead, n, sizeof(*dead), dispensable_first);
	for (size_t i = 0; i < n && i < excess; i++)
		prune(t, dead[i], now);
}

/* Remove what is too old or too much of a place. Entries never move here. */
static void
prune_place(struct targets *t, size_t place, int64_t now)
{
	struct entry **dead;
	size_t n = 0, n_dead = 0;

	for (size_t i = 0; i < t->n; i++) {
		struct entry *e = &t->entries[i];

		if (e->place != place || !is_dead(e))
			continue;
		if (now - e->since_ms > KEEP_DEAD_MS && now >= e->prune_ms)
			prune(t, e, now);
		else
			n += e->kind == TARGET;
	}
	dead = n > KEEP_DEAD_MAX ? calloc(n, sizeof(*dead)) : NULL;
	if (!dead)
		return; /* without memory: next time */
	for (size_t i = 0; i < t->n; i++) {
		struct entry *e = &t->entries[i];

		if (e->place == place && e->kind == TARGET && is_dead(e) && now >= e->prune_ms && n_dead < n)
			dead[n_dead++] = e;
	}
	prune_excess(t, place, dead, n_dead, n - KEEP_DEAD_MAX, now);
	free(dead);
}

/* -- all of them -- */

int
targets_new(const char *const *dirs, struct targets **ret)
{
	struct targets *t = calloc(1, sizeof(*t));
	struct epoll_event event = { .events = EPOLLIN };
	int r = -ENOMEM;

	if (!t)
		return -ENOMEM;
	t->fd = t->timer = -1;
	pthread_mutex_init(&t->lock, NULL);
	t->inner_pids = inner_pids_new();
	if (!t->inner_pids)
		goto out;
	r = places_new(dirs, &t->places);
	if (r < 0)
		goto out;
	t->fd = epoll_create1(EPOLL_CLOEXEC);
	t->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (t->fd < 0 || t->timer < 0 || epoll_ctl(t->fd, EPOLL_CTL_ADD, t->timer, &event) < 0 ||
	    epoll_ctl(t->fd, EPOLL_CTL_ADD, places_fd(t->places), &event) < 0) {
		r = -errno;
		goto out;
	}
	t->looked_ms = now_ms() - LOOK_EVERY_MS;
	r = targets_poll(t);
	if (r < 0)
		goto out;
	*ret = t;
	t = NULL;
out:
	targets_free(t);
	return r;
}

void
targets_free(struct targets *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		entry_done(&t->entries[i]);
	free(t->entries);
	places_free(t->places);
	inner_pids_free(t->inner_pids);
	if (t->timer >= 0)
		close(t->timer);
	if (t->fd >= 0)
		close(t->fd);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

int
targets_fd(const struct targets *t)
{
	return t->fd;
}

uint64_t
targets_refused(struct targets *t)
{
	return atomic_load_explicit(&t->refused, memory_order_relaxed);
}

uint64_t
targets_removed(struct targets *t)
{
	return atomic_load_explicit(&t->removed, memory_order_relaxed);
}

/* Wake up soon if a file is being filled right now. */
static void
set_timer(struct targets *t, int64_t now)
{
	struct itimerspec when = { 0 };
	uint64_t ignored;

	if (read(t->timer, &ignored, sizeof(ignored)) < 0)
		ignored = 0; /* it had not expired */
	for (size_t i = 0; i < t->n; i++) {
		struct entry *e = &t->entries[i];

		if (e->kind == UNFINISHED && now - e->since_ms < RETRY_FOR_MS) {
			places_get(t->places, e->place)->changed = true;
			when.it_value.tv_nsec = RETRY_MS * 1000000;
		}
	}
	timerfd_settime(t->timer, 0, &when, NULL);
}

int
targets_poll(struct targets *t)
{
	int64_t now = now_ms();
	bool all;
	int r;

	pthread_mutex_lock(&t->lock);
	all = now - t->looked_ms >= LOOK_EVERY_MS;
	if (all)
		t->looked_ms = now;
	r = places_update(t->places, all);
	for (size_t i = 0; i < t->n; i++) {
		if (t->entries[i].kind == TARGET)
			check_alive(&t->entries[i], now);
	}
	for (size_t i = 0; i < places_count(t->places); i++) {
		if (places_get(t->places, i)->changed)
			look_around(t, i, now);
		prune_place(t, i, now);
	}
	set_timer(t, now);
	pthread_mutex_unlock(&t->lock);
	return r;
}

static int
compare_age(const void *left, const void *right)
{
	const struct target *a = *(struct target *const *)left, *b = *(struct target *const *)right;

	if (a->since_ns != b->since_ns)
		return a->since_ns < b->since_ns ? -1 : 1;
	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return strcmp(a->id, b->id);
}

struct target **
targets_list(struct targets *t)
{
	struct target **list;
	size_t n = 0;

	pthread_mutex_lock(&t->lock);
	list = calloc(t->n + 1, sizeof(struct target *));
	for (size_t i = 0; list && i < t->n; i++) {
		if (t->entries[i].kind == TARGET)
			list[n++] = target_ref(t->entries[i].target);
	}
	pthread_mutex_unlock(&t->lock);
	if (n > 1)
		qsort(list, n, sizeof(struct target *), compare_age);
	return list;
}

void
targets_list_free(struct target **list)
{
	for (size_t i = 0; list && list[i]; i++)
		target_unref(list[i]);
	free(list);
}

/* The only live target among those that fit, else the only dead one. */
struct choice {
	struct target *live, *dead;
	size_t n_live, n_dead;
};

static void
consider(struct choice *c, struct target *t, bool fits)
{
	if (!fits)
		return;
	if (atomic_load(&t->alive)) {
		c->live = t;
		c->n_live++;
	} else {
		c->dead = t;
		c->n_dead++;
	}
}

static int
decide(const struct choice *c, struct target **ret)
{
	if (c->n_live > 1 || (c->n_live == 0 && c->n_dead > 1))
		return -ENOTUNIQ;
	if (c->n_live + c->n_dead == 0)
		return -ENOENT;
	*ret = target_ref(c->n_live == 1 ? c->live : c->dead);
	return 0;
}

int
targets_find(struct targets *t, const char *what, struct target **ret)
{
	struct choice by_id = { 0 }, by_pid = { 0 }, by_name = { 0 };
	char pid[16];
	int r;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->n; i++) {
		struct target *target = t->entries[i].target;

		if (t->entries[i].kind != TARGET)
			continue;
		(void)snprintf(pid, sizeof(pid), "%" PRIu32, target->pid);
		consider(&by_id, target, strcmp(target->id, what) == 0);
		consider(&by_pid, target, strcmp(pid, what) == 0);
		consider(&by_name, target, strcmp(target->name, what) == 0);
	}
	r = decide(&by_id, ret);
	if (r == -ENOENT)
		r = decide(&by_pid, ret);
	if (r == -ENOENT)
		r = decide(&by_name, ret);
	pthread_mutex_unlock(&t->lock);
	return r;
}
