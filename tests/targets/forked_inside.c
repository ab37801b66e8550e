/* forked_inside - signal handlers fork, and the child returns from the handler into whatever it interrupted: often a sample.
 *
 *   forked_inside FORKS [late]
 *   forked_inside STRIDE each SKIP [warm]
 *
 * The fork is a bare system call, so nobody is told. The child allocates on and ends; every other one allocates in the handler
 * already. With "late", it does so while its parent, too, has gone on. The C library's allocator does not survive this: run it on
 * slots.so. Prints how many allocations the parent made, as "N allocations"; 1 if a child crashed or hung.
 *
 * With "each", the processor's trap flag makes the signals: one after every STRIDEth instruction of libheapd.so, from the SKIPth on;
 * with "warm" the process has taken samples before. Not on other machines than x86-64.
 */
#include <link.h>
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
#include <ucontext.h>
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

static int
end(unsigned long children)
{
	while (ended < children)
		reap(-1, 0);
	printf("%lu allocations\n", (unsigned long)allocations);
	return failed != 0;
}

#if defined(__x86_64__)

#define TRAP_FLAG 0x100

static uintptr_t sampler_start, sampler_end;
static unsigned long steps, stride;

static int
find_sampler(struct dl_phdr_info *module, size_t size, void *closure)
{
	(void)size;
	(void)closure;
	if (!strstr(module->dlpi_name, "libheapd"))
		return 0;
	for (int i = 0; i < module->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &module->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && (p->p_flags & PF_X)) {
			sampler_start = module->dlpi_addr + p->p_vaddr;
			sampler_end = sampler_start + p->p_memsz;
		}
	}
	return 1;
}

static void
on_step(int number, siginfo_t *info, void *closure)
{
	ucontext_t *interrupted = (ucontext_t *)closure;
	uintptr_t pc = (uintptr_t)interrupted->uc_mcontext.gregs[REG_RIP];

	(void)info;
	if (pc < sampler_start || pc >= sampler_end || ++steps % stride != 0)
		return;
	on_signal(number);
	if (is_child)
		interrupted->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

/* The first sample that the process takes, or as good as that, and some that find all they need. */
__attribute__((noinline)) static void
stepped(void)
{
	void *volatile block;

	__asm__ volatile("pushfq; orl %0, (%%rsp); popfq" : : "i"(TRAP_FLAG) : "memory", "cc");
	for (int i = 0; i < 2; i++) {
		one(100);
		block = realloc(malloc(200), 300);
		free(block);
	}
	__asm__ volatile("pushfq; andl %0, (%%rsp); popfq" : : "i"(~TRAP_FLAG) : "memory", "cc");
	allocations += 4;
}

static int
each(unsigned long skip)
{
	struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

	stride = wanted;
	wanted = ~0ul;
	steps = stride - skip % stride;
	dl_iterate_phdr(find_sampler, NULL);
	sigaction(SIGTRAP, &action, NULL);
	stepped();
	if (is_child) {
		for (unsigned i = 0; i < 20; i++)
			deep(i % 20, i);
		_exit(0);
	}
	printf("%lu forks\n", (unsigned long)forks);
	return end(forks);
}

#else

static int
each(unsigned long skip)
{
	(void)skip;
	return 0;
}

#endif

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
	if (argc > 3 && strcmp(argv[2], "each") == 0) {
		for (unsigned i = 0; argc > 4 && i < 100; i++)
			deep(i % 20, i);
		return each(strtoul(argv[3], NULL, 10));
	}
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
	return end(wanted);
}
