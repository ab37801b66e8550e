/* target_files.c - see target_files.h. Everything goes through a descriptor of /proc/PID, which stays with the process it
 * was opened for even if the pid is given to another. */
#include "target_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAPPINGS_MAX 65536 /* the kernel's own default limit is 65530 */

struct mapping {
	uint64_t start, end, inode;
};

struct target_files {
	int proc, root;
	uint32_t uid, inner_pid;
	struct mapping *mappings; /* of files only, by address */
	size_t n_mappings;
	bool mappings_read;
};

/* A target may name what is secret to its user and not to us. */
static bool
readable_for(const struct stat *st, uint32_t uid)
{
	if (uid == 0 || uid == geteuid())
		return true; /* open() will tell */
	return st->st_mode & S_IROTH || (st->st_uid == uid && st->st_mode & S_IRUSR);
}

/* From a descriptor that only names a file to one that reads it. Takes `path_fd` in any case. */
static int
open_for_reading(int path_fd, uint32_t uid, int *ret_fd, struct stat *ret_stat)
{
	char name[64];
	struct stat status;
	int fd, r = 0;

	if (path_fd < 0)
		return -errno;
	if (fstat(path_fd, &status) < 0)
		r = -errno;
	else if (!S_ISREG(status.st_mode) || status.st_size == 0)
		r = -EINVAL;
	else if (!readable_for(&status, uid))
		r = -EACCES;
	else if (status.st_size > TARGET_FILE_MAX)
		r = -EFBIG;
	if (r == 0) {
		snprintf(name, sizeof(name), "/proc/self/fd/%d", path_fd);
		fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd < 0) {
			r = -errno;
		} else {
			*ret_fd = fd;
			*ret_stat = status;
		}
	}
	close(path_fd);
	return r;
}

int
host_file_open(const char *path, bool follow, uint32_t uid, int *ret_fd, struct stat *ret_stat)
{
	return open_for_reading(open(path, O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW)), uid, ret_fd, ret_stat);
}

/* One small file below /proc/PID, whole, terminated. */
static ssize_t
read_small(int proc, const char *name, char *buffer, size_t size)
{
	int fd = openat(proc, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buffer, size - 1);
	if (n < 0)
		n = -errno;
	else
		buffer[n] = '\0';
	close(fd);
	return n;
}

/* Field 22; the second one, the name in parentheses, may itself hold spaces and parentheses. */
static uint64_t
start_time_of(int proc)
{
	char text[1024], *at;

	if (read_small(proc, "stat", text, sizeof(text)) < 0)
		return 0;
	at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++) {
		at = strchr(at + 1, ' ');
	}
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

static void
read_status(struct target_files *t, uint32_t pid)
{
	char text[4096], *line, *last;

	t->uid = TARGET_UID_UNKNOWN;
	t->inner_pid = pid;
	if (read_small(t->proc, "status", text, sizeof(text)) < 0)
		return;
	line = strstr(text, "\nUid:");
	if (line)
		t->uid = (uint32_t)strtoul(line + 5, NULL, 10);
	line = strstr(text, "\nNSpid:");
	if (line) {
		line[1 + strcspn(line + 1, "\n")] = '\0';
		last = strrchr(line, '\t');
		if (last)
			t->inner_pid = (uint32_t)strtoul(last + 1, NULL, 10);
	}
}

int
target_files_new(uint32_t pid, uint64_t start_time, struct target_files **ret)
{
	struct target_files *t;
	char path[32];
	int r = 0;

	if (pid == 0)
		return -ESRCH;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->root = -1;
	snprintf(path, sizeof(path), "/proc/%" PRIu32, pid);
	t->proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (t->proc < 0 || (start_time != 0 && start_time_of(t->proc) != start_time)) {
		r = -ESRCH;
		goto out;
	}
	t->root = openat(t->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	read_status(t, pid);
out:
	if (r == 0)
		*ret = t;
	else
		target_files_free(t);
	return r;
}

void
target_files_free(struct target_files *t)
{
	if (!t)
		return;
	if (t->proc >= 0)
		close(t->proc);
	if (t->root >= 0)
		close(t->root);
	free(t->mappings);
	free(t);
}

bool
target_files_pid_is_reused(uint32_t pid, uint64_t start_time)
{
	struct target_files *t = NULL;
	bool reused;

	if (target_files_new(pid, 0, &t) < 0)
		return false;
	reused = start_time_of(t->proc) != start_time;
	target_files_free(t);
	return reused;
}

uint32_t
target_files_uid(const struct target_files *t)
{
	return t->uid;
}

uint32_t
target_files_inner_pid(const struct target_files *t)
{
	return t->inner_pid;
}

int
target_files_open(struct target_files *t, const char *path, bool follow, uint32_t uid, int *ret_fd,
		  struct stat *ret_stat)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW),
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	long fd;

	if (t->root < 0)
		return -EACCES;
	fd = syscall(SYS_openat2, t->root, path, &how, sizeof(how));
	if (fd < 0 && (errno == ENOSYS || errno == EPERM)) {
		/* Before Linux 5.6, or an outer sandbox that does not know the call. Absolute links then lead into our own
		 * root; what is found there still has to have the right build-id. */
		path += strspn(path, "/");
		fd = openat(t->root, path, O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
	}
	return open_for_reading((int)fd, uid, ret_fd, ret_stat);
}

int
target_files_open_program(struct target_files *t, int *ret_fd, struct stat *ret_stat)
{
	return open_for_reading(openat(t->proc, "exe", O_PATH | O_CLOEXEC), 0, ret_fd, ret_stat);
}

static int
read_mappings(struct target_files *t)
{
	FILE *maps = NULL;
	char *line = NULL;
	size_t size = 0, room = 0;
	int r = 0, fd = openat(t->proc, "maps", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	maps = fdopen(fd, "r");
	if (!maps) {
		close(fd);
		return -ENOMEM;
	}
	while (t->n_mappings < MAPPINGS_MAX && getline(&line, &size, maps) > 0) {
		struct mapping m;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %" SCNu64, &m.start, &m.end, &m.inode) != 3 ||
		    m.inode == 0)
			continue;
		if (t->n_mappings == room) {
			struct mapping *bigger = reallocarray(t->mappings, room ? 2 * room : 256, sizeof(m));
			if (!bigger) {
				r = -ENOMEM;
				break;
			}
			t->mappings = bigger;
			room = room ? 2 * room : 256;
		}
		t->mappings[t->n_mappings++] = m;
	}
	free(line);
	fclose(maps);
	return r;
}

static const struct mapping *
find_mapping(struct target_files *t, uint64_t start, uint64_t end)
{
	if (!t->mappings_read) {
		t->mappings_read = true;
		read_mappings(t); /* without it, mapped files are not found */
	}
	for (size_t i = 0; i < t->n_mappings; i++)
		if (t->mappings[i].start < end && start < t->mappings[i].end)
			return &t->mappings[i];
	return NULL;
}

int
target_files_open_mapped(struct target_files *t, uint64_t start, uint64_t end, int *ret_fd, struct stat *ret_stat)
{
	const struct mapping *m = find_mapping(t, start, end);
	char name[80];

	if (!m)
		return -ENOENT;
	snprintf(name, sizeof(name), "map_files/%" PRIx64 "-%" PRIx64, m->start, m->end);
	return open_for_reading(openat(t->proc, name, O_PATH | O_CLOEXEC), 0, ret_fd, ret_stat);
}

uint64_t
target_files_mapped_inode(struct target_files *t, uint64_t start, uint64_t end)
{
	const struct mapping *m = find_mapping(t, start, end);

	return m ? m->inode : 0;
}
