/* inner_pids.c - see inner_pids.h. On a machine without containers the table is empty and one look at /proc costs some
 * microseconds a process. */
#include "inner_pids.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "array.h"
#include "life.h"

#define LOOK_AGAIN_S 5 /* for the case that somebody sets the clock */

struct stranger {
	uint32_t pid, inner_pid;
};

struct inner_pids {
	struct stranger *strangers;
	size_t n, room;
	time_t looked; /* when the last look began, by the clock that files are stamped with */
};

struct inner_pids *
inner_pids_new(void)
{
	return calloc(1, sizeof(struct inner_pids));
}

void
inner_pids_free(struct inner_pids *p)
{
	if (p)
		free(p->strangers);
	free(p);
}

/* "pid:[4026531836]", or "" if it is not ours to know. */
static void
namespace_of(const char *pid, char ret[64])
{
	char path[300];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%s/ns/pid", pid);
	n = readlink(path, ret, 63);
	ret[n > 0 ? n : 0] = '\0';
}

/* The last number of the line NSpid in /proc/PID/status; 0 if there is none. */
static uint32_t
inner_pid_of(const char *pid)
{
	char path[300], text[4096], *line, *last;
	ssize_t n = -1;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%s/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
	line = strstr(text, "\nNSpid:");
	if (!line)
		return 0;
	line[1 + strcspn(line + 1, "\n")] = '\0';
	last = strrchr(line, '\t');
	return last ? (uint32_t)strtoul(last + 1, NULL, 10) : 0;
}

static void
look(struct inner_pids *p)
{
	char ours[64], theirs[64];
	DIR *proc = opendir("/proc");
	struct dirent *d;

	p->n = 0;
	namespace_of("self", ours);
	while (proc && ours[0] && (d = readdir(proc))) {
		uint32_t inner_pid;

		if (d->d_name[0] < '1' || d->d_name[0] > '9')
			continue;
		namespace_of(d->d_name, theirs);
		if (!theirs[0] || strcmp(ours, theirs) == 0)
			continue;
		inner_pid = inner_pid_of(d->d_name);
		if (inner_pid == 0 || array_reserve(&p->strangers, p->n, 1, &p->room, sizeof(*p->strangers)) < 0)
			continue;
		p->strangers[p->n++] = (struct stranger){ (uint32_t)strtoul(d->d_name, NULL, 10), inner_pid };
	}
	if (proc)
		closedir(proc);
}

uint32_t
inner_pids_find(struct inner_pids *p, uint32_t inner_pid, uint64_t start_time, const struct stat *file,
		const char *name, uint64_t *ret_start_time)
{
	time_t now = time(NULL);

	/* A process is older than its file: one look does for all files that were there well before it. */
	if (file->st_ctime + 1 >= p->looked || now - p->looked > LOOK_AGAIN_S || now < p->looked) {
		p->looked = now;
		look(p);
	}
	for (size_t i = 0; i < p->n; i++) {
		const struct stranger *s = &p->strangers[i];
		uint64_t started = 0;
		int r;

		if (s->inner_pid != inner_pid || life_start_time(s->pid, &started) <= 0)
			continue;
		r = life_maps(s->pid, file, name);
		if (r == -EACCES || r == -EPERM)
			r = start_time != 0 && start_time == started;
		if (r > 0) {
			*ret_start_time = started;
			return s->pid;
		}
	}
	return 0;
}
