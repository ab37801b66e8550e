/* A program that locks itself in, the way its first argument says: prctl, libc's syscall(), strict, or "counter", which only
 * forbids to read the machine's counter; then it allocates from a heap that it made large enough before. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static struct sock_filter filter[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	ALLOW(SYS_read),
	ALLOW(SYS_write),
	ALLOW(SYS_brk),
	ALLOW(SYS_exit),
	ALLOW(SYS_exit_group),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};
static struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

__attribute__((noinline)) static void *
keep_inside(size_t size)
{
	void *p = malloc(size);

	__asm__ volatile("" : "+r"(p));
	return p;
}

int
main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	static void *kept[200000];
	int r;

	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	mallopt(M_TOP_PAD, 64 << 20);
	mallopt(M_MMAP_MAX, 0);
	if (argc <= 2) /* else it is before its first sample */
		free(keep_inside(1 << 20));
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (strcmp(how, "prctl") == 0)
		r = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
	else if (strcmp(how, "syscall") == 0)
		r = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
	else if (strcmp(how, "counter") == 0)
		r = prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
	else
		r = prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	if (r != 0)
		return 3;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if ((kept[i] = keep_inside(100)) == NULL)
			return 4;
	if (write(1, "inside\n", 7) != 7)
		return 5;
	syscall(SYS_exit, 0);
	return 6;
}
