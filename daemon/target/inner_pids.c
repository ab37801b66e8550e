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

/* The last number of the line NSpid in /proc/PID/status; 0 if there is none. Or -errno: cannot be told now. */
static int64_t
inner_pid_of(const char *pid)
{
	char path[300], text[4096], *line, *last;
	ssize_t n = -1;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%s/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	line = strstr(text, "\nNSpid:");
	if (!line)
		return 0;
	line[1 + strcspn(line + 1, "\n")] = '\0';
	last = strrchr(line, '\t');
	return last ? (int64_t)strtoul(last + 1, NULL, 10) : 0;
}

/* 0 or -errno. Without /proc there is nobody. */
static int
look(struct inner_pids *p)
{
	char ours[64], theirs[64];
	DIR *proc = opendir("/proc");
	struct dirent *d;
	int r = 0;

	p->n = 0;
	if (!proc)
		return errno == ENOENT ? 0 : -errno;
	namespace_of("self", ours);
	while (r == 0 && ours[0] && (d = readdir(proc))) {
		int64_t inner_pid;

		if (d->d_name[0] < '1' || d->d_name[0] > '9')
			continue;
		namespace_of(d->d_name, theirs);
		if (!theirs[0] || strcmp(ours, theirs) == 0)
			continue;
		inner_pid = inner_pid_of(d->d_name);
		r = inner_pid < 0 ? (int)inner_pid
				  : array_reserve(&p->strangers, p->n, 1, &p->room, sizeof(*p->strangers));
		if (r == 0 && inner_pid > 0)
			p->strangers[p->n++] =
				(struct stranger){ (uint32_t)strtoul(d->d_name, NULL, 10), (uint32_t)inner_pid };
	}
	closedir(proc);
	return r;
}

int
inner_pids_find(struct inner_pids *p, uint32_t inner_pid, uint64_t start_time, const struct stat *file,
		const char *name, uint32_t *ret_pid, uint64_t *ret_start_time)
{
	time_t now = time(NULL);
	int r = 0;

	/* A process is older than its file: one look does for all files that were there well before it. */
	if (file->st_ctime + 1 >= p->looked || now - p->looked > LOOK_AGAIN_S || now < p->looked) {
		r = look(p);
		p->looked = r == 0 ? now : 0;
	}
	for (size_t i = 0; i < p->n && r == 0; i++) {
		const struct stranger *s = &p->strangers[i];
		uint64_t started = 0;

		if (s->inner_pid != inner_pid)
			continue;
		r = life_start_time(s->pid, &started);
		if (r > 0)
			r = life_maps(s->pid, file, name);
		if (r == -EACCES || r == -EPERM)
			r = start_time != 0 && start_time == started;
		if (r > 0) {
			*ret_pid = s->pid;
			*ret_start_time = started;
		}
	}
	return r;
}
