/* threaded - threads in great numbers, that end in every way.
 *
 *   threaded crowd N         N threads at once, each of which keeps three blocks
 *   threaded churn N         N threads one after the other, eight at a time, whose last act is to allocate in a destructor
 *   threaded cancel N        N threads, cancelled in the middle of allocating; run it on an allocator that survives this
 *   threaded touch N LIBRARY  N threads, whose first act is to touch a variable of their own in a library that was loaded late
 *   threaded leap N          N times, a handler jumps out of a thread that allocates and the thread ends; same
 *
 * At the end keep_after() keeps 1000 blocks. Prints "N threads", and with churn, by how much the memory in use grew over the
 * last nine tenths.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_barrier_t all_here;
static pthread_key_t key;
static _Atomic unsigned long started;
static __thread sigjmp_buf out;
static __thread volatile sig_atomic_t may_leap;

__attribute__((noinline)) static void
keep_after(void)
{
	for (int i = 0; i < 1000; i++) {
		void *volatile kept = malloc(777);

		(void)kept;
	}
}

__attribute__((noinline)) static void
keep_in_thread(void)
{
	for (int i = 0; i < 3; i++) {
		void *volatile kept = malloc(55);

		(void)kept;
	}
}

static void *
crowd(void *closure)
{
	keep_in_thread();
	pthread_barrier_wait(&all_here);
	return closure;
}

static void (*touch)(void);

static void *
touching(void *closure)
{
	touch();
	keep_in_thread();
	return closure;
}

static void
last_act(void *block)
{
	free(block);
	for (int i = 0; i < 10; i++) {
		void *volatile p = malloc(100);

		free(p);
	}
}

static void *
churn(void *closure)
{
	pthread_setspecific(key, malloc(64));
	return closure;
}

static void
allocate_for_ever(void)
{
	for (;;) {
		void *volatile p = malloc(64);

		free(p);
	}
}

static void *
cancelled(void *closure)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	started++;
	allocate_for_ever();
	return closure;
}

static void
on_signal(int number)
{
	(void)number;
	if (may_leap)
		siglongjmp(out, 1);
}

static void *
leaping(void *closure)
{
	if (sigsetjmp(out, 1) == 0) {
		may_leap = 1;
		started++;
		allocate_for_ever();
	}
	may_leap = 0;
	return closure;
}

static void
create(pthread_t *thread, void *(*work)(void *))
{
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	if (pthread_create(thread, &attributes, work, NULL) != 0)
		abort();
	pthread_attr_destroy(&attributes);
}

static long
resident(void)
{
	long pages[2] = { 0, 0 };
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f || fscanf(f, "%ld %ld", &pages[0], &pages[1]) != 2)
		abort();
	fclose(f);
	return pages[1] * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Let it get into the midst of something, and end it there. */
static void
disturb(pthread_t thread, unsigned long i, unsigned long before, int signal)
{
	struct timespec pause = { 0, (long)(i * 7919 % 40000) };

	while (started == before)
		sched_yield();
	nanosleep(&pause, NULL);
	if (signal)
		pthread_kill(thread, signal);
	else
		pthread_cancel(thread);
	pthread_join(thread, NULL);
}

int
main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t *threads = calloc(n + 1, sizeof(*threads));
	long early = 0;

	sigaction(SIGUSR1, &action, NULL);
	pthread_key_create(&key, last_act);
	if (strcmp(what, "crowd") == 0) {
		pthread_barrier_init(&all_here, NULL, (unsigned)n + 1);
		for (unsigned long i = 0; i < n; i++)
			create(&threads[i], crowd);
		pthread_barrier_wait(&all_here);
		for (unsigned long i = 0; i < n; i++)
			pthread_join(threads[i], NULL);
	} else if (strcmp(what, "touch") == 0 && argc > 3) {
		void *library = dlopen(argv[3], RTLD_NOW);

		if (!library || !(*(void **)&touch = dlsym(library, "touch")))
			abort();
		for (unsigned long i = 0; i < n; i++)
			create(&threads[i], touching);
		for (unsigned long i = 0; i < n; i++)
			pthread_join(threads[i], NULL);
	} else if (strcmp(what, "churn") == 0) {
		for (unsigned long i = 0; i < n; i += 8) {
			for (int k = 0; k < 8; k++)
				create(&threads[k], churn);
			for (int k = 0; k < 8; k++)
				pthread_join(threads[k], NULL);
			if (i >= n / 10 && !early)
				early = resident();
		}
		printf("grew by %ld KiB\n", resident() - early);
	} else {
		for (unsigned long i = 0; i < n; i++) {
			unsigned long before = started;

			create(&threads[i], strcmp(what, "cancel") == 0 ? cancelled : leaping);
			disturb(threads[i], i, before, strcmp(what, "cancel") == 0 ? 0 : SIGUSR1);
		}
	}
	keep_after();
	printf("%lu threads\n", n);
	return 0;
}
