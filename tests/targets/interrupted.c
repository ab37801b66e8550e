/* interrupted - allocate under a storm of signals whose handler allocates, too, and sometimes jumps out of whatever it hit.
 *
 *   interrupted [MILLISECONDS]
 *
 * The C library's allocator survives neither: run it on slots.so. Only the main thread is jumped out of. It lasts at least
 * so long and until there were enough of both, which it then prints; at the end 1000 blocks are allocated by keep_after(),
 * of which a profile has to know.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static _Atomic unsigned long signals;
static _Atomic int done;
static unsigned long jumps;
static sigjmp_buf again;
static volatile sig_atomic_t may_jump;
static pthread_t main_thread;

static void
on_signal(int number)
{
	void *p = malloc(100 + signals % 400);

	(void)number;
	free(p);
	signals++;
	if (may_jump && pthread_equal(pthread_self(), main_thread) && signals % 5 == 0) {
		may_jump = 0;
		siglongjmp(again, 1);
	}
}

static void *
work(void *closure)
{
	void *blocks[64] = { NULL };

	(void)closure;
	for (unsigned i = 0; !done; i++) {
		free(blocks[i % 64]);
		blocks[i % 64] = malloc(i % 500);
	}
	for (unsigned i = 0; i < 64; i++)
		free(blocks[i]);
	return NULL;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

__attribute__((noinline)) static void
keep_after(void)
{
	for (int i = 0; i < 1000; i++) {
		void *volatile kept = malloc(777);

		(void)kept;
	}
}

int
main(int argc, char **argv)
{
	double end = now() + (argc > 1 ? atof(argv[1]) : 1000);
	struct itimerval timer = { { 0, 1000 }, { 0, 1000 } };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	pthread_t threads[3];

	main_thread = pthread_self();
	sigaction(SIGALRM, &action, NULL);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	while (now() < end || signals <= 100 || jumps <= 5) {
		if (sigsetjmp(again, 1) != 0)
			jumps++;
		may_jump = 1;
		for (int i = 0; i < 2000; i++) {
			void *volatile p = malloc(64);

			free(p);
		}
		may_jump = 0;
	}
	memset(&timer, 0, sizeof(timer));
	setitimer(ITIMER_REAL, &timer, NULL);
	done = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	keep_after();
	printf("signals %s, jumps %s\n", signals > 100 ? "many" : "few", jumps > 5 ? "many" : "few");
	return 0;
}
