/* perfmap.c - reads a perf map whole; the names stay where they stand in it. */
#include "perfmap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ranges.h"
#include "snapshot.h"
#include "target_files.h"

#define NAMES_MAX (1u << 21) /* of one file; node leaves some 10^5 */

struct name {
	uint32_t offset, length; /* in text */
};

struct perfmap {
	char *text;
	size_t size;
	struct name *names;
	uint32_t n_names;
	struct ranges index; /* value: UINT32_MAX - index of the name, so that of equal ranges the later wins */
	struct stat file; /* as it was when it was read */
};

struct perfmap *
perfmap_new(void)
{
	return calloc(1, sizeof(struct perfmap));
}

static void
clear(struct perfmap *p)
{
	ranges_done(&p->index);
	free(p->names);
	free(p->text);
	*p = (struct perfmap){ 0 };
}

void
perfmap_free(struct perfmap *p)
{
	if (!p)
		return;
	clear(p);
	free(p);
}

size_t
perfmap_bytes(const struct perfmap *p)
{
	return p->size + p->n_names * sizeof(*p->names) + p->index.room * sizeof(*p->index.items);
}

/* The longest start of the file there is now: the runtime appends while we read. */
static int
read_text(struct perfmap *p, int fd)
{
	size_t room = (size_t)p->file.st_size;

	p->text = malloc(room + 1);
	if (!p->text)
		return -ENOMEM;
	while (p->size < room) {
		ssize_t n = pread(fd, p->text + p->size, room - p->size, (off_t)p->size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		p->size += (size_t)n;
	}
	p->text[p->size] = '\0';
	return 0;
}

/* Up to 16 hexadecimal digits, with or without 0x, and the space behind them. NULL if that is not there. */
static const char *
parse_hex(const char *at, uint64_t *ret)
{
	uint64_t n = 0;
	int digits = 0;

	if (at[0] == '0' && at[1] == 'x')
		at += 2;
	for (;; at++, digits++) {
		int c = (unsigned char)*at;
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;
		if (digit < 0)
			break;
		n = n << 4 | (uint64_t)digit;
	}
	if (digits == 0 || digits > 16 || *at != ' ')
		return NULL;
	*ret = n;
	return at + 1;
}

/* A line without its newline; text is terminated, so parsing stops at the end at the latest. */
static int
add_line(struct perfmap *p, const char *line, const char *end, uint32_t *room)
{
	uint64_t start, size;
	const char *name = parse_hex(line, &start);

	name = name ? parse_hex(name, &size) : NULL;
	if (!name || name >= end || start + size < start || p->n_names == NAMES_MAX)
		return 0;
	if (p->n_names == *room) {
		uint32_t wanted = *room ? 2 * *room : 1024;
		struct name *names = reallocarray(p->names, wanted, sizeof(*names));
		if (!names)
			return -ENOMEM;
		p->names = names;
		*room = wanted;
	}
	p->names[p->n_names] = (struct name){ (uint32_t)(name - p->text), (uint32_t)(end - name) };
	return ranges_add(&p->index, start, start + size, UINT32_MAX - p->n_names++);
}

static int
parse(struct perfmap *p)
{
	const char *end = p->text + p->size;
	uint32_t room = 0;
	int r = 0;

	/* A last line without newline is still being written. */
	for (const char *line = p->text, *newline; line < end && r == 0; line = newline + 1) {
		newline = memchr(line, '\n', (size_t)(end - line));
		if (!newline)
			break;
		r = add_line(p, line, newline, &room);
	}
	ranges_sort(&p->index);
	return r;
}

static bool
is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void
name_file(char *ret, size_t size, uint32_t pid)
{
	snprintf(ret, size, "/tmp/perf-%" PRIu32 ".map", pid);
}

/* Take what an open file of user `uid` says, if it was not read before. Takes fd. */
static int
update(struct perfmap *p, int fd, const struct stat *file, uint32_t uid)
{
	struct perfmap fresh = { .file = *file };
	int r = 0;

	if (p->text && is_same(file, &p->file))
		goto out;
	if (file->st_size > PERFMAP_FILE_MAX)
		r = -EFBIG;
	else if (file->st_uid != 0 && file->st_uid != uid)
		r = -EPERM;
	if (r == 0)
		r = read_text(&fresh, fd);
	if (r == 0)
		r = parse(&fresh);
	if (r == 0) {
		clear(p);
		*p = fresh;
		fresh = (struct perfmap){ 0 };
	}
out:
	clear(&fresh);
	close(fd);
	return r;
}

int
perfmap_update(struct perfmap *p, struct target_files *target)
{
	struct stat file;
	char path[64];
	int fd, r;

	name_file(path, sizeof(path), target_files_inner_pid(target));
	r = target_files_open(target, path, false, target_files_uid(target), &fd, &file);
	return r < 0 ? r : update(p, fd, &file, target_files_uid(target));
}

int
perfmap_update_ended(struct perfmap *p, const struct snapshot *ended)
{
	uint64_t began_s = ended->clock_start.realtime_ns / 1000000000;
	struct stat file;
	char path[64];
	int fd, r;

	if (target_files_pid_is_reused(ended->pid, ended->start_time))
		return -ESTALE;
	name_file(path, sizeof(path), ended->pid);
	r = host_file_open(path, false, ended->uid, &fd, &file);
	if (r < 0)
		return r;
	if (file.st_mtim.tv_sec < 0 || (uint64_t)file.st_mtim.tv_sec < began_s) {
		close(fd);
		return -ESTALE;
	}
	return update(p, fd, &file, ended->uid);
}

const char *
perfmap_find(const struct perfmap *p, uint64_t address, size_t *ret_length)
{
	const struct range *range = ranges_find(&p->index, address);
	const struct name *name;

	if (!range)
		return NULL;
	name = &p->names[UINT32_MAX - range->value];
	*ret_length = name->length;
	return p->text + name->offset;
}
