/* limited - use up what a limit leaves, and tell how much that was.
 *
 *   limited blocks SIZE      allocate blocks of so many bytes, touch them, until there are no more
 *   limited keep N           keep_some() keeps N blocks of 100 bytes
 *   limited fill N FILE      the same; then write FILE until its file system is full, and keep_more() keeps N blocks more
 *   limited files N          allow N open files, fork, open files until there are no more, keep some blocks
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned long sum;

__attribute__((noinline)) static void
keep_some(long n)
{
	for (long i = 0; i < n; i++) {
		unsigned char *volatile p = malloc(100);

		if (!p)
			abort();
		memset(p, (int)i, 100);
		sum += p[i % 100];
	}
}

__attribute__((noinline)) static void
keep_more(long n)
{
	keep_some(n);
	__asm__ volatile("");
}

static void
blocks(size_t size)
{
	struct block {
		struct block *next;
	} *all = NULL, *b;
	long n = 0;

	while ((b = malloc(size)) != NULL) {
		memset(b, 1, size);
		b->next = all;
		all = b;
		n++;
	}
	printf("%s after %ld blocks\n", strerror(errno), n);
	while ((b = all) != NULL) {
		all = b->next;
		free(b);
	}
}

static void
fill(const char *path)
{
	static char zeros[65536];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	for (size_t n = sizeof(zeros); n > 0; n = n > 1 ? n / 2 : 0)
		while (write(fd, zeros, n) > 0)
			;
	printf("file: %s\n", strerror(errno));
	close(fd);
}

static void
files(rlim_t n)
{
	struct rlimit limit = { n, n };
	struct timeval none = { 0, 0 };
	fd_set set;
	int fd, last = -1, status = 0;
	pid_t pid;

	setrlimit(RLIMIT_NOFILE, &limit);
	pid = fork();
	while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
		last = fd;
		FD_ZERO(&set);
		FD_SET(fd, &set);
		if (select(fd + 1, &set, NULL, NULL, &none) != 1)
			abort();
	}
	keep_some(100);
	if (pid == 0)
		_exit(last);
	waitpid(pid, &status, 0);
	printf("%s after %d, in the child after %d\n", strerror(errno), last, WEXITSTATUS(status));
	if (!WIFEXITED(status))
		abort();
}

int
main(int argc, char **argv)
{
	static char buffer[BUFSIZ];
	long n = argc > 2 ? atol(argv[2]) : 0;

	setvbuf(stdout, buffer, _IOLBF, sizeof(buffer)); /* not to be counted */
	if (argc > 2 && strcmp(argv[1], "blocks") == 0) {
		blocks((size_t)n);
	} else if (argc > 2 && strcmp(argv[1], "files") == 0) {
		files((rlim_t)n);
	} else if (argc > 2) {
		keep_some(n);
		if (argc > 3) {
			fill(argv[3]);
			keep_more(n);
		}
		printf("sum %lu\n", sum);
	}
	return 0;
}
