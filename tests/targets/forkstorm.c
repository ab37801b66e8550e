/* forkstorm - fork again and again while other threads allocate; every child allocates, too.
 *
 *   forkstorm CHILDREN
 *
 * A child must get through whatever the other threads were in the middle of. Ends with 0 if all of them did, each within
 * ten seconds. keep() holds 1000 blocks all the time.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static _Atomic int done;

static void *
work(void *closure)
{
	void *blocks[64] = { NULL };

	(void)closure;
	for (unsigned i = 0; !done; i++) {
		free(blocks[i % 64]);
		blocks[i % 64] = malloc(i % 5000);
	}
	for (unsigned i = 0; i < 64; i++)
		free(blocks[i]);
	return NULL;
}

__attribute__((noinline)) static void
keep(void)
{
	for (int i = 0; i < 1000; i++) {
		void *volatile kept = malloc(777);

		(void)kept;
	}
}

__attribute__((noinline)) static void
child(void)
{
	for (int i = 0; i < 64; i++) {
		char *p = malloc(16384);

		memset(p, i, 16384);
		if (i % 2)
			free(p);
	}
	_exit(0);
}

int
main(int argc, char **argv)
{
	long children = argc > 1 ? atol(argv[1]) : 200;
	pthread_t threads[4];
	int status, failed = 0;

	keep();
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	for (long i = 0; i < children; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			alarm(10);
			child();
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			failed++;
	}
	done = 1;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	printf("%d failed\n", failed);
	return failed != 0;
}
