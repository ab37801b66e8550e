/* forked_inside - signal handlers fork, and the child returns from the handler into whatever it interrupted: often a sample.
 *
 *   forked_inside FORKS [late]
 *
 * The fork is a bare system call, so nobody is told. The child allocates on and ends; every other one allocates in the handler
 * already. With "late", it does so while its parent, too, has gone on. The C library's allocator does not survive this: run it on
 * slots.so. Prints how many allocations the parent made, as "N allocations"; 1 if a child crashed or hung.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Atomic unsigned long forks, ended, failed, handled, allocations;
static unsigned long wanted;
static volatile sig_atomic_t is_child;
static bool late;
static _Atomic bool done;
static pthread_t main_thread;

__attribute__((noinline)) static void
one(size_t size)
{
	void *volatile p = malloc(size);

	atomic_fetch_add(&allocations, 1);
	free(p);
}

static void
reap(pid_t pid, int flags)
{
	int status;

	if (waitpid(pid, &status, flags) <= 0)
		return;
	ended++;
	failed += status != 0;
}

static void
on_signal(int number)
{
	long pid;

	(void)number;
	if (is_child)
		return;
	handled++;
	if (forks >= wanted)
		return;
	forks++;
	pid = syscall(SYS_clone, SIGCHLD, 0L, 0L, 0L, 0L);
	if (pid == 0) {
		struct timespec pause = { 0, 3000000 };

		is_child = 1;
		alarm(20);
		if (late)
			nanosleep(&pause, NULL);
		if (forks % 2)
			one(500);
	} else if (pid > 0) {
		reap(late ? -1 : (pid_t)pid, late ? WNOHANG : 0);
	}
}

static void *
send_signals(void *closure)
{
	(void)closure;
	while (!done) {
		unsigned long before = handled;
		struct timespec pause = { 0, (long)(1000 + before * 7919 % 50000) };

		pthread_kill(main_thread, SIGUSR1);
		while (handled == before && !done)
			sched_yield();
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* Some depth, so that a sample takes a while. */
__attribute__((noinline)) static void
deep(unsigned depth, size_t size)
{
	if (depth > 0)
		deep(depth - 1, size);
	else
		one(size);
	__asm__ volatile(""); /* no tail call */
}

int
main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	pthread_t sender;
	void *kept[64] = { NULL };
	unsigned long n = 0;

	wanted = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
	late = argc > 2 && strcmp(argv[2], "late") == 0;
	main_thread = pthread_self();
	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&sender, NULL, send_signals, NULL);
	while (forks < wanted && !is_child) {
		deep((unsigned)n % 20, n % 700);
		free(kept[n % 64]);
		kept[n % 64] = malloc(n % 300);
		atomic_fetch_add(&allocations, 1);
		n++;
	}
	if (is_child) {
		for (unsigned i = 0; i < 100; i++)
			deep(i % 20, i);
		_exit(0);
	}
	done = true;
	pthread_join(sender, NULL);
	while (ended < wanted)
		reap(-1, 0);
	printf("%lu allocations\n", (unsigned long)allocations);
	return failed != 0;
}
