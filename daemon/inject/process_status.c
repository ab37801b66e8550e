/* process_status.c - see process_status.h. */
#include "process_status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A small file of /proc, whole, terminated. */
static int
read_small(int proc, const char *name, char *text, size_t size)
{
	int fd = openat(proc, name, O_RDONLY | O_CLOEXEC), r = 0;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, text, size - 1);
	if (n < 0)
		r = -errno;
	else
		text[n] = '\0';
	close(fd);
	return r;
}

/* What stands behind "\nName:\t"; "" if there is no such line. */
static const char *
field(const char *status, const char *name)
{
	char line[32];
	const char *at;

	(void)snprintf(line, sizeof(line), "\n%s:", name);
	at = strstr(status, line);
	return at ? at + strlen(line) + strspn(at + strlen(line), "\t ") : "";
}

static void
copy_name(char *to, size_t size, const char *from)
{
	size_t n = 0;

	for (; n + 1 < size && *from && *from != '\n'; from++)
		to[n++] = (unsigned char)*from < ' ' || (unsigned char)*from >= 0x7f ? '?' : *from;
	to[n] = '\0';
}

int
process_status_read(int proc, struct process_status *ret)
{
	char status[8192], stat[1024], *at;
	struct process_status s = { 0 };
	int r;

	status[0] = '\n';
	r = read_small(proc, "status", status + 1, sizeof(status) - 1);
	if (r == 0)
		r = read_small(proc, "stat", stat, sizeof(stat));
	if (r < 0)
		return r;
	copy_name(s.name, sizeof(s.name), field(status, "Name"));
	s.state = *field(status, "State");
	s.group = (pid_t)strtol(field(status, "Tgid"), NULL, 10);
	s.tracer = (pid_t)strtol(field(status, "TracerPid"), NULL, 10);
	s.threads = (unsigned)strtoul(field(status, "Threads"), NULL, 10);
	s.seccomp = (int)strtol(field(status, "Seccomp"), NULL, 10);
	s.permitted = strtoull(field(status, "CapPrm"), NULL, 16);
	s.effective = strtoull(field(status, "CapEff"), NULL, 16);
	s.pending = strtoull(field(status, "SigPnd"), NULL, 16) | strtoull(field(status, "ShdPnd"), NULL, 16);
	s.blocked = strtoull(field(status, "SigBlk"), NULL, 16);
	s.has_memory = *field(status, "VmSize") != '\0';
	if (sscanf(field(status, "Uid"), "%u %u %u", &s.uid, &s.effective_uid, &s.saved_uid) != 3)
		return -EPROTO;
	at = strrchr(stat, ')'); /* the name before it may hold anything */
	for (int i = 2; at && i < 22; i++)
		at = strchr(at + 1, ' ');
	s.start_time = at ? strtoull(at + 1, NULL, 10) : 0;
	*ret = s;
	return 0;
}

int
process_status_of_thread(int proc, pid_t thread, struct process_status *ret)
{
	char name[32];
	int task, r;

	(void)snprintf(name, sizeof(name), "task/%d", thread);
	task = openat(proc, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (task < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	r = process_status_read(task, ret);
	close(task);
	return r;
}
