/* file.c - see file.h. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "text.h"

static int
write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Into a device or pipe, or a file next to which no other may be made. */
static int
write_in_place(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, data, size);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

static int
write_and_rename(const char *path, const void *data, size_t size)
{
	struct text other = { 0 };
	mode_t mask = umask(0);
	int fd, r;

	(void)umask(mask);
	text_printf(&other, "%s.XXXXXX", path);
	if (other.failed)
		return -ENOMEM;
	fd = mkostemp(other.data, O_CLOEXEC);
	if (fd < 0) {
		text_done(&other);
		return write_in_place(path, data, size);
	}
	r = write_all(fd, data, size);
	if (r == 0 && fchmod(fd, 0666 & ~mask) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(other.data, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(other.data);
	text_done(&other);
	return r;
}

int
file_write(const char *path, const void *data, size_t size)
{
	bool out = !path || strcmp(path, "-") == 0;
	struct stat st;
	int r;

	if (out)
		r = write_all(STDOUT_FILENO, data, size);
	else if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		r = write_in_place(path, data, size);
	else
		r = write_and_rename(path, data, size);
	if (r < 0)
		log_line("cannot write %s: %s", out ? "the output" : path, strerror(-r));
	return r;
}
