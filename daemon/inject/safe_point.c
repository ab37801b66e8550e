/* safe_point.c - see safe_point.h. */
#include "safe_point.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK_SCAN (64u << 10) /* bytes above the stack pointer in which frames of signal handlers are looked for */
#define SYSCALL_SIZE 2 /* bytes of the instruction */

/* The kernel's own, never seen by programs: include/linux/errno.h. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516

bool
code_find(int proc, uint64_t address, uint64_t *ret_start, uint64_t *ret_end)
{
	int fd = openat(proc, "maps", O_RDONLY | O_CLOEXEC);
	FILE *maps = fd >= 0 ? fdopen(fd, "r") : NULL;
	bool found = false;
	char line[4352];

	while (maps && !found && fgets(line, sizeof(line), maps)) {
		uint64_t start, end;
		char rights[5];

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, rights) == 3 && address >= start &&
		    address < end && rights[2] == 'x') {
			*ret_start = start;
			*ret_end = end;
			found = true;
		}
	}
	if (maps)
		(void)fclose(maps);
	else if (fd >= 0)
		close(fd);
	return found;
}

/* The loader's code starts some pages behind where it is mapped. */
static bool
is_loader_code(const struct preflight *target, uint64_t address)
{
	uint64_t start, end;

	return image_loader_range(target->image, &start, &end) == 0 && address >= start && address < end;
}

bool
safe_at_malloc(const struct preflight *target, const struct user_regs_struct *registers)
{
	uint64_t caller;

	return image_read(target->image, registers->rsp, &caller, sizeof(caller)) == 0 &&
	       image_loader_state(target->image) == 0 && !is_loader_code(target, caller);
}

/* -- threads that sleep -- */

struct call {
	uint64_t number, arguments[6], sp, pc;
};

/* What a sleeping thread waits in, from /proc/PID/task/TID/syscall. */
static bool
call_read(int proc, pid_t thread, struct call *ret)
{
	char name[48], text[256];
	struct call c;
	ssize_t n;
	int fd;

	(void)snprintf(name, sizeof(name), "task/%d/syscall", thread);
	fd = openat(proc, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text,
		   "%" SCNu64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64
		   " %" SCNx64,
		   &c.number, &c.arguments[0], &c.arguments[1], &c.arguments[2], &c.arguments[3], &c.arguments[4],
		   &c.arguments[5], &c.sp, &c.pc) != 9)
		return false;
	*ret = c;
	return true;
}

/* Calls that wait for the world outside. Of futexes only what waits for an event: glibc waits for its locks by FUTEX_WAIT, for
 * conditions, semaphores and the ends of threads by FUTEX_WAIT_BITSET. */
static bool
waits_outside(const struct call *c)
{
	static const long calls[] = { SYS_epoll_wait,      SYS_epoll_pwait,
				      SYS_epoll_pwait2,    SYS_poll,
				      SYS_ppoll,           SYS_select,
				      SYS_pselect6,        SYS_accept,
				      SYS_accept4,         SYS_pause,
				      SYS_nanosleep,       SYS_clock_nanosleep,
				      SYS_rt_sigtimedwait, SYS_rt_sigsuspend,
				      SYS_recvfrom,        SYS_recvmsg,
				      SYS_recvmmsg,        SYS_read,
				      SYS_wait4,           SYS_waitid,
				      SYS_semtimedop,      SYS_mq_timedreceive,
				      SYS_restart_syscall };

	if (c->number == SYS_futex)
		return ((int)c->arguments[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (c->number == (uint64_t)calls[i])
			return true;
	return false;
}

/* What the kernel pushed for a handler, from the address on that it returns to; <asm/sigcontext.h> and the kernel's struct
 * rt_sigframe. What is left of such a frame after the handler has returned is overwritten sooner or later. */
struct signal_frame {
	uint64_t restorer, flags, link, stack, stack_flags, stack_size;
	uint64_t r8_to_r15[8], di, si, bp, bx, dx, ax, cx, sp, ip, eflags, selectors, err, trapno, oldmask, cr2,
		fpstate;
};

static bool
is_whole(const struct preflight *target, uint64_t at)
{
	struct signal_frame f;
	uint64_t start, end;

	return image_read(target->image, at, &f, sizeof(f)) == 0 && f.flags < 16 && (f.selectors & 0xffff) == 0x33 &&
	       f.sp > at && f.fpstate > at && f.fpstate - at < (64u << 10) && f.fpstate % 64 == 0 &&
	       code_find(target->proc, f.ip, &start, &end);
}

/* A handler returns to mov $15, %rax; syscall, whose address stands on the stack. What it interrupted may hold any lock. */
static bool
is_in_handler(const struct preflight *target, uint64_t sp)
{
	static const uint8_t restorer[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };
	uint64_t *words = malloc(STACK_SCAN), start, end;
	size_t n = 0;
	bool found = false;

	if (!words || !code_find(target->proc, target->dlopen, &start, &end)) {
		free(words);
		return true;
	}
	/* As much as there is: the stack may end before. */
	for (size_t size = STACK_SCAN; size >= 1024 && n == 0; size /= 2)
		if (image_read(target->image, sp, words, size) == 0)
			n = size / sizeof(*words);
	for (size_t i = 0; i < n && !found; i++) {
		uint8_t code[sizeof(restorer)];

		found = words[i] >= start && words[i] < end &&
			image_read(target->image, words[i], code, sizeof(code)) == 0 &&
			memcmp(code, restorer, sizeof(code)) == 0 && is_whole(target, sp + i * sizeof(*words));
	}
	free(words);
	return found;
}

bool
safe_asleep(const struct preflight *target, pid_t thread)
{
	struct call c;

	return call_read(target->proc, thread, &c) && waits_outside(&c) && !is_loader_code(target, c.pc) &&
	       image_loader_state(target->image) == 0 && !is_in_handler(target, c.sp);
}

static bool
has_signals(const struct preflight *target, pid_t thread)
{
	struct process_status s;

	return process_status_of_thread(target->proc, thread, &s) < 0 || (s.pending & ~s.blocked) != 0;
}

bool
safe_resume(const struct preflight *target, pid_t thread, struct user_regs_struct *registers)
{
	const struct call call = { .number = registers->orig_rax, .arguments = { registers->rdi, registers->rsi } };
	int64_t result = (int64_t)registers->rax;

	if (registers->orig_rax == UINT64_MAX)
		return false;
	switch (-result) {
	case EINTR:
		if (!waits_outside(&call) || has_signals(target, thread))
			break; /* not to be made again, or theirs */
		/* fall through */
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
		registers->rax = registers->orig_rax;
		registers->rip -= SYSCALL_SIZE;
		break;
	case ERESTART_RESTARTBLOCK:
		registers->rax = SYS_restart_syscall;
		registers->rip -= SYSCALL_SIZE;
		break;
	default:
		break; /* it was over */
	}
	registers->orig_rax = UINT64_MAX;
	return true;
}
