/* module_search.c - candidates for a module's file, its debug file and the file that dwz moved parts of it to. */
#include "module_search.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "target_files.h"

/* More time for a bigger file. A 480 MB library took 3 s of processor time for 1000 addresses all over it; a machine that
 * is short of memory needs the rest. */
#define MS_PER_CHUNK 1000
#define CHUNK ((off_t)16 << 20)
#define GROWTH_MAX_MS 60000
#define TRIED_MAX 16

struct file {
	int fd;
	struct stat status;
};

struct search {
	struct worker_link *link;
	const struct module_place *place;
	int64_t *deadline_ms;
	struct wire_answer answer; /* the last good one */
	struct file tried[TRIED_MAX]; /* only their status */
	size_t n_tried;
	int result; /* the best reason so far why there is no file */
};

enum { CANDIDATE_MAPPED, CANDIDATE_PATH, CANDIDATE_PROGRAM, CANDIDATE_HOST, CANDIDATE_DEBUG };

/* A build-id file below a debug directory. */
static bool
build_id_path(const char *directory, const uint8_t *id, size_t n, char path[PATH_MAX])
{
	int length = snprintf(path, PATH_MAX, "%s/.build-id/%02x/", directory, n ? id[0] : 0);

	if (n < 2 || length < 0 || (size_t)length + 2 * n + sizeof(".debug") > PATH_MAX)
		return false;
	for (size_t i = 1; i < n; i++)
		length += sprintf(path + length, "%02x", id[i]);
	strcpy(path + length, ".debug");
	return true;
}

/* Without build-id, a path is believed if the process has that very inode mapped where the module is. */
static int
open_by_path(const struct module_place *p, struct file *f)
{
	uint64_t inode;
	int r = target_files_open(p->target, p->module->path, true, p->uid, &f->fd, &f->status);

	if (r < 0 || p->module->build_id_length > 0)
		return r;
	inode = target_files_mapped_inode(p->target, p->module->start, p->module->end);
	if (inode != 0 && inode == f->status.st_ino)
		return 0;
	close(f->fd);
	return -ESTALE;
}

/* -ERANGE: there are no more. */
static int
open_candidate(const struct module_place *p, unsigned n, struct file *f)
{
	const struct snapshot_module *m = p->module;
	const char *const *directory = p->debug_dirs;
	char path[PATH_MAX];

	switch (n) {
	case CANDIDATE_MAPPED:
		return p->target ? target_files_open_mapped(p->target, m->start, m->end, &f->fd, &f->status) : -ENOENT;
	case CANDIDATE_PATH:
		return p->target && m->path[0] == '/' ? open_by_path(p, f) : -ENOENT;
	case CANDIDATE_PROGRAM:
		return p->target && m->main ? target_files_open_program(p->target, &f->fd, &f->status) : -ENOENT;
	case CANDIDATE_HOST:
		if (m->path[0] != '/' || (p->target && m->build_id_length == 0))
			return -ENOENT;
		return host_file_open(m->path, true, p->uid, &f->fd, &f->status);
	}
	for (n -= CANDIDATE_DEBUG; *directory && n > 0; n--)
		directory++;
	if (!*directory)
		return -ERANGE;
	if (!build_id_path(*directory, m->build_id, m->build_id_length, path))
		return -ENOENT;
	return host_file_open(path, true, 0, &f->fd, &f->status);
}

/* The same file by another name is not read twice. */
static bool
was_tried(struct search *s, const struct file *f)
{
	for (size_t i = 0; i < s->n_tried; i++)
		if (s->tried[i].status.st_dev == f->status.st_dev && s->tried[i].status.st_ino == f->status.st_ino)
			return true;
	if (s->n_tried < TRIED_MAX)
		s->tried[s->n_tried++] = *f;
	return false;
}

/* Offer a file to the worker and close it. 0 taken, 1 refused (with *ret_status), or the worker is gone. */
static int
offer(struct search *s, enum wire_type type, struct file *f, uint32_t flags, enum wire_status *ret_status)
{
	const struct snapshot_module *m = s->place->module;
	int64_t growth = f->status.st_size / CHUNK * MS_PER_CHUNK;
	struct wire_answer answer;
	int r;

	*s->deadline_ms += growth < GROWTH_MAX_MS ? growth : GROWTH_MAX_MS;
	r = worker_link_file(s->link, type, f->fd, flags, m->build_id, type == WIRE_OPEN ? m->build_id_length : 0,
			     *s->deadline_ms, &answer);
	close(f->fd);
	if (r < 0)
		return r;
	*ret_status = (enum wire_status)answer.status;
	if (answer.status != WIRE_OK)
		return 1;
	s->answer = answer;
	return 0;
}

static int
reason_of(enum wire_status status)
{
	return status == WIRE_OTHER_BUILD ? -ESTALE : status == WIRE_NO_MEMORY ? -ENOMEM : -ENOEXEC;
}

static int
open_module(struct search *s, uint32_t flags)
{
	s->result = -ENOENT;
	for (unsigned n = 0;; n++) {
		enum wire_status status;
		struct file f;
		int r = open_candidate(s->place, n, &f);

		if (r == -ERANGE)
			return s->result;
		if (r == -ESTALE || r == -EINVAL || r == -EFBIG || r == -EACCES)
			s->result = r;
		if (r < 0)
			continue;
		if (was_tried(s, &f)) {
			close(f.fd);
			continue;
		}
		r = offer(s, WIRE_OPEN, &f, flags, &status);
		if (r <= 0)
			return r;
		s->result = reason_of(status);
	}
}

/* Look for a file here and, if the target has a root of its own, there. 0 offered and taken, 1 not, or worker gone. */
static int
offer_path(struct search *s, enum wire_type type, const char *path)
{
	struct target_files *target = s->place->target;
	enum wire_status status;
	struct file f;
	int r = 1;

	if (host_file_open(path, true, s->place->uid, &f.fd, &f.status) == 0) {
		if (was_tried(s, &f))
			close(f.fd);
		else
			r = offer(s, type, &f, 0, &status);
	}
	if (r == 1 && target && target_files_open(target, path, true, s->place->uid, &f.fd, &f.status) == 0) {
		if (was_tried(s, &f))
			close(f.fd);
		else
			r = offer(s, type, &f, 0, &status);
	}
	return r;
}

static int
find_debug_by_build_id(struct search *s)
{
	struct wire_answer module = s->answer;
	char path[PATH_MAX];
	int r = 1;

	for (const char *const *d = s->place->debug_dirs; *d && r == 1; d++)
		if (build_id_path(*d, module.build_id, module.build_id_length, path))
			r = offer_path(s, WIRE_DEBUG, path);
	return r;
}

/* DIR/NAME, DIR/.debug/NAME and DEBUGDIR/DIR/NAME, where DIR is the module's. */
static int
find_debug_by_name(struct search *s)
{
	char name[WIRE_NAME_MAX], path[PATH_MAX];
	const char *module = s->place->module->path, *slash = strrchr(module, '/');
	int directory = slash ? (int)(slash - module) : 0, r = 1;

	strcpy(name, s->answer.debuglink);
	if (module[0] != '/' || directory >= PATH_MAX / 2 || !*name || strchr(name, '/') || strcmp(name, "..") == 0)
		return 1;
	snprintf(path, sizeof(path), "%.*s/%s", directory, module, name);
	r = offer_path(s, WIRE_DEBUG, path);
	if (r == 1) {
		snprintf(path, sizeof(path), "%.*s/.debug/%s", directory, module, name);
		r = offer_path(s, WIRE_DEBUG, path);
	}
	for (const char *const *d = s->place->debug_dirs; *d && r == 1; d++) {
		int n = snprintf(path, sizeof(path), "%s%.*s/%s", *d, directory, module, name);
		if (n > 0 && (size_t)n < sizeof(path))
			r = offer_path(s, WIRE_DEBUG, path);
	}
	return r;
}

/* Only inside the debug directories: the name in the file could lead anywhere. */
static int
find_alt(struct search *s)
{
	struct wire_answer module = s->answer;
	const char *rest = strstr(module.alt, "/.dwz/");
	char path[PATH_MAX];
	int r = 1;

	for (const char *const *d = s->place->debug_dirs; *d && r == 1; d++) {
		if (build_id_path(*d, module.alt_build_id, module.alt_build_id_length, path))
			r = offer_path(s, WIRE_ALT, path);
		if (r == 1 && rest && !strstr(rest, "/../")) {
			int n = snprintf(path, sizeof(path), "%s%s", *d, rest);
			if (n > 0 && (size_t)n < sizeof(path))
				r = offer_path(s, WIRE_ALT, path);
		}
	}
	return r;
}

int
module_search(struct worker_link *link, const struct module_place *place, uint32_t flags, int64_t *deadline_ms)
{
	struct search s = { .link = link, .place = place, .deadline_ms = deadline_ms };
	int r = open_module(&s, flags);

	if (r < 0)
		return r;
	if (s.answer.flags & WIRE_WANTS_DEBUG) {
		r = find_debug_by_build_id(&s);
		if (r == 1)
			r = find_debug_by_name(&s);
	}
	if (r >= 0 && s.answer.flags & WIRE_WANTS_ALT)
		r = find_alt(&s);
	return r < 0 ? r : 0;
}
