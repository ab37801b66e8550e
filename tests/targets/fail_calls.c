/* fail_calls - run a program and let system calls that the sampler makes in it fail.
 *
 *   fail_calls REPORT N[+] ERRNO PROGRAM [ARGUMENT...]
 *
 * The Nth of them, with a + all from there on; N = 0: none. A call is the sampler's if its instruction, or the instruction that the C
 * library's function around it returns to, lies in libheapd.so. It is not made, and returns the number ERRNO. REPORT
 * is a file that gets a line for each that failed, with the number of the system call, and at the end "of N". Forks are
 * followed. Ends as the program does.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)

#include <linux/ptrace.h>

struct tracee {
	pid_t tid;
	bool failing, seen;
	uintptr_t start, end; /* of libheapd.so */
};

static struct tracee tracees[4096];

static struct tracee *
tracee_of(pid_t tid)
{
	struct tracee *free_one = NULL;

	for (size_t i = 0; i < sizeof(tracees) / sizeof(tracees[0]); i++) {
		if (tracees[i].tid == tid)
			return &tracees[i];
		if (tracees[i].tid == 0 && !free_one)
			free_one = &tracees[i];
	}
	if (!free_one)
		abort();
	*free_one = (struct tracee){ .tid = tid };
	return free_one;
}

static void
find_library(struct tracee *t)
{
	char path[64], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", t->tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start, end;

		if (!strstr(line, "libheapd.so") || sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		if (t->start == 0)
			t->start = start;
		t->end = end;
	}
	if (f)
		fclose(f);
}

static bool
is_samplers(struct tracee *t, const struct ptrace_syscall_info *info)
{
	uintptr_t caller;

	if (t->end == 0)
		find_library(t);
	errno = 0;
	caller = (uintptr_t)ptrace(PTRACE_PEEKDATA, t->tid, info->stack_pointer, NULL);
	return (info->instruction_pointer >= t->start && info->instruction_pointer < t->end) ||
	       (errno == 0 && caller >= t->start && caller < t->end);
}

static unsigned long calls, first;
static bool and_all_later;
static long error;
static FILE *report;

static void
at_syscall(struct tracee *t)
{
	struct ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY && is_samplers(t, &info)) {
		calls++;
		if (first == 0 || (and_all_later ? calls < first : calls != first))
			return;
		fprintf(report, "%llu\n", (unsigned long long)info.entry.nr);
		t->failing = true;
		ptrace(PTRACE_POKEUSER, t->tid, offsetof(struct user_regs_struct, orig_rax), -1L);
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && t->failing) {
		t->failing = false;
		ptrace(PTRACE_POKEUSER, t->tid, offsetof(struct user_regs_struct, rax), -error);
	}
}

/* One stop of one thread; the signal to go on with. */
static int
at_stop(struct tracee *t, int status)
{
	const int number = WSTOPSIG(status), event = status >> 16;

	if (number == (SIGTRAP | 0x80)) {
		at_syscall(t);
	} else if (event == PTRACE_EVENT_EXEC) {
		t->start = t->end = 0;
	} else if (event == 0) {
		bool is_new = number == SIGSTOP && !t->seen;

		t->seen = true;
		return is_new ? 0 : number;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	int status, end = 1;
	pid_t child, tid;
	char *rest;

	if (argc < 5 || (report = fopen(argv[1], "we")) == NULL)
		return 2;
	first = strtoul(argv[2], &rest, 10);
	and_all_later = *rest == '+';
	error = atol(argv[3]);
	child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		execvp(argv[4], argv + 4);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return 2;
	tracee_of(child)->seen = true;
	ptrace(PTRACE_SETOPTIONS, child, NULL,
	       PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
		       PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
	ptrace(PTRACE_SYSCALL, child, NULL, NULL);
	while ((tid = waitpid(-1, &status, __WALL)) > 0) {
		if (WIFSTOPPED(status)) {
			ptrace(PTRACE_SYSCALL, tid, NULL, (long)at_stop(tracee_of(tid), status));
			continue;
		}
		tracee_of(tid)->tid = 0;
		if (tid == child)
			end = status;
	}
	fprintf(report, "of %lu\n", calls);
	fclose(report);
	if (WIFSIGNALED(end)) {
		signal(WTERMSIG(end), SIG_DFL);
		raise(WTERMSIG(end));
	}
	return WEXITSTATUS(end);
}

#else

int
main(void)
{
	fputs("fail_calls: not written for this machine\n", stderr);
	return 2;
}

#endif
