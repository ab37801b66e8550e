/* narrow - how much of a small stack is used by what allocates on it.
 *
 *   narrow signal [later]    in a signal handler on a stack of its own, of 8 KiB where the kernel's part leaves that
 *   narrow thread [later]    in a thread with a stack of 16 KiB or as little as there may be
 *
 * With "later" the program has allocated before. Prints "used N of M bytes".
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#define UNTOUCHED 0xa5

__attribute__((noinline)) static void
allocate(void)
{
	for (int i = 1; i < 200; i++) {
		char *volatile p = malloc((size_t)i), *volatile q = calloc(3, (size_t)i), *volatile r;
		void *aligned = NULL;

		r = realloc(p, (size_t)i * 2);
		if (posix_memalign(&aligned, 64, (size_t)i) != 0)
			abort();
		free(aligned);
		free(q);
		free(r);
	}
}

static void
on_signal(int number)
{
	(void)number;
	allocate();
}

static void *
in_thread(void *closure)
{
	allocate();
	return closure;
}

int
main(int argc, char **argv)
{
	const size_t most = 1 << 20, guard = 4096;
	size_t size = 8192, used = 0;
	unsigned char *low = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (argc < 2 || low == MAP_FAILED || mprotect(low, guard, PROT_NONE) != 0)
		return 2;
	low += guard;
	if (argc > 2)
		allocate();
	if (strcmp(argv[1], "signal") == 0) {
		struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
		stack_t stack = { .ss_sp = low };

		if (size < getauxval(AT_MINSIGSTKSZ) + 4096)
			size = getauxval(AT_MINSIGSTKSZ) + 4096;
		memset(low, UNTOUCHED, size);
		stack.ss_size = size;
		if (sigaltstack(&stack, NULL) != 0)
			return 2;
		sigaction(SIGUSR1, &action, NULL);
		raise(SIGUSR1);
	} else {
		pthread_attr_t attributes;
		pthread_t thread;

		size = (size_t)sysconf(_SC_THREAD_STACK_MIN);
		size = size < 16384 ? 16384 : (size + 4095) / 4096 * 4096;
		memset(low, UNTOUCHED, size);
		pthread_attr_init(&attributes);
		pthread_attr_setstack(&attributes, low, size);
		if (pthread_create(&thread, &attributes, in_thread, NULL) != 0)
			return 2;
		pthread_join(thread, NULL);
	}
	while (low[used] == UNTOUCHED)
		used++;
	printf("used %zu of %zu bytes\n", size - used, size);
	return 0;
}
