/* forker.c - a parent and two forked children, each keeping memory from a function of its own; all wait for stdin. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *volatile keep;

#define KEEPER(name)                                           \
	__attribute__((noinline)) static void name(unsigned n) \
	{                                                      \
		while (n-- > 0) {                              \
			void *p = malloc(1000);                \
			memset(p, 1, 1000);                    \
			keep = p;                              \
		}                                              \
	}

KEEPER(in_parent_before)
KEEPER(in_parent_after)
KEEPER(in_child_one)
KEEPER(in_child_two)

static void
wait_for_stdin(void)
{
	char c;

	while (read(0, &c, 1) > 0)
		;
}

int
main(void)
{
	in_parent_before(100);
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();
		if (pid < 0)
			return 1;
		if (pid == 0) {
			if (i == 0)
				in_child_one(200);
			else
				in_child_two(300);
			dprintf(1, "child ready\n");
			wait_for_stdin();
			_exit(0);
		}
	}
	in_parent_after(400);
	dprintf(1, "parent ready\n");
	wait_for_stdin();
	while (wait(NULL) > 0)
		;
	return 0;
}
