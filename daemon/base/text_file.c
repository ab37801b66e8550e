/* text_file.c - see text_file.h. */
#include "text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
kept_secret(const struct stat *st)
{
	return (st->st_mode & (st->st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO)) == 0;
}

int
text_file_read(const char *path, bool secret, size_t most, char **ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r = 0;
	char *text = malloc(most + 1);
	size_t size = 0;
	struct stat st;
	ssize_t n = 1;

	if (fd < 0 || fstat(fd, &st) < 0)
		r = -errno;
	else if (!text)
		r = -ENOMEM;
	else if (secret && !kept_secret(&st))
		r = -EPERM;
	while (r == 0 && n > 0) {
		n = read(fd, text + size, most + 1 - size);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			r = -errno;
		else if ((size += (size_t)n) > most)
			r = -EFBIG;
	}
	if (r == 0) {
		text[size] = '\0';
		r = strlen(text) == size ? 0 : -EINVAL;
	}
	if (r == 0)
		*ret = text;
	else
		free(text);
	if (fd >= 0)
		close(fd);
	return r;
}
