/* life.c - see life.h. */
#include "life.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int
life_start_time(uint32_t pid, uint64_t *ret)
{
	char path[40], text[1024], *p;
	uint64_t start = 0;
	ssize_t n;
	char state;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0) {
		int r = errno == ESRCH ? 0 : -errno;

		close(fd);
		return r;
	}
	close(fd);
	text[n] = '\0';
	p = strrchr(text, ')'); /* the name before it may hold anything */
	if (!p || sscanf(p + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64,
			 &state, &start) != 2)
		return -EPROTO;
	/* A zombie has let go of its memory. */
	if (state == 'Z' || state == 'X')
		return 0;
	*ret = start;
	return 1;
}

int
life_started(uint32_t pid, uint64_t start_time)
{
	uint64_t start = 0;
	int r = life_start_time(pid, &start);

	return r <= 0 ? r : start_time == 0 || start == start_time;
}

/* Whether a line of /proc/PID/maps is about that file. */
static bool
line_is_file(const char *line, const struct stat *file, const char *name)
{
	unsigned dev_major, dev_minor;
	uint64_t inode;
	int path = 0;
	const char *found;

	if (sscanf(line, "%*s %*s %*s %x:%x %" SCNu64 " %n", &dev_major, &dev_minor, &inode, &path) != 3 || path == 0)
		return false;
	if (inode != file->st_ino || makedev(dev_major, dev_minor) != file->st_dev)
		return false;
	found = strrchr(line + path, '/');
	return found && strncmp(found + 1, name, strlen(name)) == 0;
}

int
life_maps(uint32_t pid, const struct stat *file, const char *name)
{
	char path[40], *line = NULL;
	size_t room = 0;
	FILE *maps;
	int r = 0;

	(void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return errno == ENOENT ? 0 : -errno;
	errno = 0;
	while (r == 0 && getline(&line, &room, maps) > 0)
		r = line_is_file(line, file, name);
	if (r == 0 && ferror(maps) && errno != ESRCH)
		r = -errno;
	free(line);
	(void)fclose(maps);
	return r;
}

bool
life_none(int fd)
{
	/* The kernel grants a read lease only while nobody has the file open for writing, and a mapping counts as open for as
	 * long as it lasts. Whoever opens it for writing in this moment waits for it to end, and we are sent a signal: one
	 * that is ignored unless somebody asks for it, instead of the usual SIGIO, which kills. */
	if (fcntl(fd, F_SETSIG, SIGURG) < 0 || fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return false;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	return true;
}
