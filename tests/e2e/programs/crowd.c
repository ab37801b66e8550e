/* crowd.c - crowd N BYTES: holds BYTES, less than each of its N children, which end one after the other. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *volatile held;

__attribute__((noinline)) static void
parent_holds(size_t size)
{
	held = malloc(size);
}

int
main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1;

	parent_holds(argc > 2 ? (size_t)atoi(argv[2]) : 1);
	for (int i = 0; i < n; i++) {
		pid_t child = fork();

		if (child == 0) {
			held = malloc(2 << 20);
			_exit(0);
		}
		if (child < 0 || waitpid(child, NULL, 0) < 0)
			return 1;
	}
	(void)printf("pid %d\n", (int)getpid());
	return 0;
}
