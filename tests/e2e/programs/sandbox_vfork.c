/* Starts a program in a sandbox, as a launcher does, then allocates itself. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sock_filter all[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
static struct sock_fprog program = { 1, all };

__attribute__((noinline)) static void
keep_after(void)
{
	for (int i = 0; i < 30000; i++) {
		void *p = malloc(100);

		__asm__ volatile("" : "+r"(p));
	}
}

int
main(void)
{
	void *volatile first = malloc(100);
	int status = 1;
	pid_t child = vfork();

	if (child == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
			execl("/bin/ls", "ls", "/", (char *)NULL);
		_exit(1);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		return 1;
	keep_after();
	return first == NULL;
}
