/* moment.c - selecting targets, and the way from their segments to a profile. */
#include "moment.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
selection_add(struct selection *s, struct target *t)
{
	struct target **more = realloc(s->targets, (s->n + 1) * sizeof(struct target *));

	if (!more)
		return -ENOMEM;
	s->targets = more;
	s->targets[s->n++] = target_ref(t);
	return 0;
}

/* A program that began a moment ago may not have been noticed yet; before anybody is told that it is not there, look. */
static bool
look_again(struct targets *all, int r)
{
	return r == -ENOENT && targets_poll(all) == 0;
}

int
selection_target(struct targets *all, const char *what, struct selection *ret)
{
	struct selection s = { 0 };
	struct target *t;
	int r = targets_find(all, what, &t);

	if (look_again(all, r))
		r = targets_find(all, what, &t);
	if (r < 0)
		return r;
	r = selection_add(&s, t);
	target_unref(t);
	if (r == 0)
		*ret = s;
	return r;
}

/* Everything in the list that is called `name` (NULL: whatever its name) and, if asked, alive. */
static int
selection_gather(struct target *const *list, const char *name, bool alive_only, struct selection *ret)
{
	struct selection s = { 0 };

	for (; *list; list++) {
		if (name && strcmp((*list)->name, name) != 0)
			continue;
		if (alive_only && !atomic_load_explicit(&(*list)->alive, memory_order_relaxed))
			continue;
		if (selection_add(&s, *list) < 0) {
			selection_done(&s);
			return -ENOMEM;
		}
	}
	*ret = s;
	return 0;
}

static int
select_service(struct targets *all, const char *name, struct selection *ret)
{
	struct target **list = targets_list(all);
	struct selection s = { 0 };
	int r;

	if (!list)
		return -ENOMEM;
	r = selection_gather(list, name, true, &s);
	if (r == 0 && s.n == 0)
		r = selection_gather(list, name, false, &s);
	targets_list_free(list);
	if (r == 0 && s.n == 0)
		r = -ENOENT;
	if (r == 0)
		*ret = s;
	return r;
}

int
selection_service(struct targets *all, const char *name, struct selection *ret)
{
	int r = select_service(all, name, ret);

	return look_again(all, r) ? select_service(all, name, ret) : r;
}

static int
select_only(struct targets *all, struct selection *ret)
{
	struct target **list = targets_list(all);
	struct selection everyone = { 0 }, alive = { 0 };
	int r;

	if (!list)
		return -ENOMEM;
	r = selection_gather(list, NULL, false, &everyone);
	if (r == 0)
		r = selection_gather(list, NULL, true, &alive);
	targets_list_free(list);
	if (r < 0)
		goto out;

	if (alive.n == 1) {
		*ret = alive;
		alive = (struct selection){ 0 };
	} else if (everyone.n == 1) {
		*ret = everyone;
		everyone = (struct selection){ 0 };
	} else {
		r = everyone.n == 0 ? -ENOENT : -ENOTUNIQ;
	}
out:
	selection_done(&alive);
	selection_done(&everyone);
	return r;
}

int
selection_only(struct targets *all, struct selection *ret)
{
	int r = select_only(all, ret);

	return look_again(all, r) ? select_only(all, ret) : r;
}

int
selection_all(struct targets *all, struct selection *ret)
{
	struct target **list = targets_list(all);
	int r;

	if (!list)
		return -ENOMEM;
	r = selection_gather(list, NULL, false, ret);
	targets_list_free(list);
	return r;
}

void
selection_done(struct selection *s)
{
	for (size_t i = 0; i < s->n; i++)
		target_unref(s->targets[i]);
	free(s->targets);
	*s = (struct selection){ 0 };
}

static int
moment_reserve(struct moment *m, size_t n)
{
	m->snapshots = calloc(n ? n : 1, sizeof(struct snapshot *));
	m->pids = calloc(n ? n : 1, sizeof(uint32_t));
	return m->snapshots && m->pids ? 0 : -ENOMEM;
}

/* reader_why() speaks of this thread's last -EPROTO, so it is kept at once. */
static void
moment_note(struct moment *m, int error)
{
	(void)snprintf(m->why, sizeof(m->why), "%s", error == -EPROTO ? reader_why() : strerror(-error));
}

int
moment_take(const struct selection *s, struct moment *ret)
{
	struct moment m = { 0 };
	int r = moment_reserve(&m, s->n), last = 0;

	if (r < 0)
		goto out;
	for (size_t i = 0; i < s->n; i++) {
		struct target *t = s->targets[i];

		r = target_snapshot(t, &m.snapshots[m.n]);
		if (r < 0) {
			last = r;
			moment_note(&m, r);
			continue;
		}
		m.pids[m.n++] = atomic_load_explicit(&t->alive, memory_order_relaxed) ? t->pid : 0;
	}
	r = m.n > 0 ? 0 : last;
out:
	if (r < 0) {
		memcpy(ret->why, m.why, sizeof(m.why));
		moment_done(&m);
	} else {
		*ret = m;
	}
	return r;
}

int
moment_read(int fd, struct moment *ret)
{
	struct moment m = { 0 };
	struct reader *reader = NULL;
	int r = moment_reserve(&m, 1);

	if (r < 0)
		goto out;
	r = reader_open(fd, &reader);
	if (r < 0)
		goto out;
	m.snapshots[0] = snapshot_new();
	r = m.snapshots[0] ? reader_copy(reader, m.snapshots[0]) : -ENOMEM;
	m.n = 1;
out:
	reader_free(reader);
	if (r < 0) {
		moment_note(ret, r);
		moment_done(&m);
	} else {
		*ret = m;
	}
	return r;
}

int
moment_subtract(struct moment *later, const struct moment *earlier)
{
	for (size_t i = 0; i < later->n; i++) {
		for (size_t k = 0; k < earlier->n; k++) {
			/* -EINVAL says that these two are of different segments. */
			int r = snapshot_subtract(later->snapshots[i], earlier->snapshots[k]);

			if (r == 0)
				break;
			if (r != -EINVAL)
				return r;
		}
	}
	return 0;
}

size_t
moment_bytes(const struct moment *m)
{
	size_t bytes = 0;

	for (size_t i = 0; i < m->n; i++)
		bytes += snapshot_bytes(m->snapshots[i]);
	return bytes;
}

/* A profile takes a few times the memory of its snapshots. */
#define LARGE ((size_t)32 << 20) /* bytes; 100,000 stacks of 16 frames are half of that */
static pthread_mutex_t large_lock = PTHREAD_MUTEX_INITIALIZER; /* who builds a large one */

int
moment_profile(const struct moment *m, struct symbols *symbols, struct profile **ret)
{
	struct profile_source *sources = calloc(m->n ? m->n : 1, sizeof(*sources));
	struct symbol **names = calloc(m->n ? m->n : 1, sizeof(*names));
	bool entered = false, large = moment_bytes(m) > LARGE;
	int r = 0;

	if (large)
		pthread_mutex_lock(&large_lock);
	if (!sources || !names) {
		r = -ENOMEM;
		goto out;
	}
	symbols_enter(symbols);
	entered = true;
	for (size_t i = 0; i < m->n; i++) {
		size_t n = m->snapshots[i]->n_frames;

		names[i] = calloc(n ? n : 1, sizeof(struct symbol));
		if (!names[i]) {
			r = -ENOMEM;
			goto out;
		}
		r = symbols_resolve(symbols, m->snapshots[i], m->pids[i], names[i]);
		if (r < 0)
			goto out;
		sources[i] = (struct profile_source){ m->snapshots[i], names[i] };
	}
	r = profile_new(sources, m->n, ret);
out:
	if (entered)
		symbols_leave(symbols); /* the profile has copies */
	for (size_t i = 0; names && i < m->n; i++)
		free(names[i]);
	free(names);
	free(sources);
	if (large)
		pthread_mutex_unlock(&large_lock);
	return r;
}

void
moment_done(struct moment *m)
{
	for (size_t i = 0; i < m->n; i++)
		snapshot_free(m->snapshots[i]);
	free(m->snapshots);
	free(m->pids);
	*m = (struct moment){ 0 };
}

const char *
moment_error(int error, const struct moment *m)
{
	switch (error) {
	case -EPROTO:
		return m->why;
	case -EAGAIN:
		return "its sampler has not finished starting, or died on the way; try again in a moment";
	case -ENOENT:
	case -ESTALE:
		return "its segment file is gone";
	case -EACCES:
	case -EPERM:
		return "its segment belongs to another user: only that user and root may read it";
	default:
		return strerror(-error);
	}
}
