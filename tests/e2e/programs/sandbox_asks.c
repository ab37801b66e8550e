/* Tries so many times in vain to install a filter, with none and with one that is none, then allocates. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sock_fprog empty = { 0, NULL };

__attribute__((noinline)) static void
keep_after(void)
{
	for (int i = 0; i < 30000; i++) {
		void *p = malloc(100);

		__asm__ volatile("" : "+r"(p));
	}
}

int
main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 0;
	void *volatile first = malloc(100);

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (int i = 0; i < n; i++) {
		if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) == 0 ||
		    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &empty) == 0 ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &empty) == 0)
			return 1;
	}
	keep_after();
	return first == NULL;
}
