/* fuzz.c - see fuzz.h. */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

uint64_t
input_number(struct input *in, unsigned n_bytes)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < n_bytes && in->left > 0; i++, in->at++, in->left--)
		n |= (uint64_t)*in->at << 8 * i;
	return n;
}

char *
input_string(struct input *in, size_t size)
{
	size_t n = size < in->left ? size : in->left;
	char *copy = malloc(n + 1);

	MUST(copy);
	if (n > 0)
		memcpy(copy, in->at, n);
	copy[n] = '\0';
	in->at += n;
	in->left -= n;
	return copy;
}

int
fuzz_file(const void *bytes, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	MUST(fd >= 0);
	MUST(size == 0 || pwrite(fd, bytes, size, 0) == (ssize_t)size);
	return fd;
}

int
fuzz_free_fd(void)
{
	int fd = dup(STDERR_FILENO);

	MUST(fd >= 0);
	close(fd);
	return fd;
}
