/* attach.c - see attach.h. */
#include "attach.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "safe_point.h"
#include "stub.h"
#include "tracee.h"

#define ENTRY "heapd_attach"
#define CODE_MAX ((size_t)16 << 20) /* of the C library, that is looked through */
#define WAIT_MS 250u /* for one thread to come to malloc, with a breakpoint of the kernel's */
#define SLICE_MS 5u /* the same with its own */
#define PAUSE_MS 20u /* between two slices */
#define TRIES_AT_MALLOC 4u /* before a thread that sleeps is woken */
#define STOP_MS 1000u /* to stop a thread that is not in the kernel for long */
#define LOAD_MS 30000u /* for the library to be loaded, once that has begun */

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* -- what the target has to offer -- */

/* Instructions of its C library. */
struct gadgets {
	uint64_t syscall; /* syscall; ret */
	uint64_t pop_rdi; /* pop %rdi; ret */
};

static bool
find_gadgets(const struct preflight *target, struct gadgets *ret)
{
	struct gadgets g = { 0 };
	uint64_t start, end;
	uint8_t *code;
	size_t size;

	if (!code_find(target->proc, target->dlopen, &start, &end))
		return false;
	size = end - start < CODE_MAX ? (size_t)(end - start) : CODE_MAX;
	code = malloc(size);
	if (code && image_read(target->image, start, code, size) == 0) {
		for (size_t i = 0; i + 2 < size && !(g.syscall && g.pop_rdi); i++) {
			if (!g.syscall && code[i] == 0x0f && code[i + 1] == 0x05 && code[i + 2] == 0xc3)
				g.syscall = start + i;
			if (!g.pop_rdi && code[i] == 0x5f && code[i + 1] == 0xc3)
				g.pop_rdi = start + i;
		}
	}
	free(code);
	*ret = g;
	return g.syscall && g.pop_rdi;
}

static bool
fill_words(const struct preflight *target, const struct attach_options *options, struct stub_words *w)
{
	struct gadgets g;

	if (!find_gadgets(target, &g))
		return false;
	w->dlopen = target->dlopen;
	w->dlsym = image_find(target->image, "dlsym", NULL);
	w->dlerror = image_find(target->image, "dlerror", NULL);
	w->errno_location = image_find(target->image, "__errno_location", NULL);
	w->pop_rdi = g.pop_rdi;
	w->syscall = g.syscall;
	w->all_signals = UINT64_MAX;
	(void)snprintf(w->symbol, sizeof(w->symbol), ENTRY);
	(void)snprintf(w->path, sizeof(w->path), "%s", options->library);
	memcpy(w->options, options->settings, options->settings_size);
	return w->dlsym && w->dlerror && w->errno_location;
}

/* -- at a safe point -- */

static bool
write_memory(const struct image *image, uint64_t address, const void *from, size_t size)
{
	return pwrite(image->mem, from, size, (off_t)address) == (ssize_t)size;
}

/* A system call of the thread's own. At malloc it gets by without us if need be: it returns into instructions that put malloc's
 * argument back, and from there to malloc. */
static int64_t
call_kernel(struct tracee *t, const struct preflight *target, const struct stub_words *w, uint64_t number,
	    const uint64_t arguments[6])
{
	const struct stub_registers *at = &w->registers;
	const uint64_t chain[] = { w->pop_rdi, at->di, at->ip };
	uint64_t sp = at->sp;

	if (!w->whole) {
		sp -= sizeof(chain);
		if (!write_memory(target->image, sp, chain, sizeof(chain)))
			return -EFAULT;
	}
	return tracee_syscall(t, w->syscall, sp, number, arguments);
}

/* Memory of the target with the stub in it. 0 or -errno; then nothing is left of it. */
static int
place_stub(struct tracee *t, const struct preflight *target, struct stub_words *w)
{
	int64_t r = call_kernel(
		t, target, w, SYS_mmap,
		(uint64_t[6]){ 0, STUB_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, UINT64_MAX, 0 });

	if (r < 0 && r > -4096)
		return (int)r;
	w->region = (uint64_t)r;
	w->region_size = STUB_SIZE;
	r = 0;
	if (!write_memory(target->image, w->region, stub_start, (size_t)(stub_end - stub_start)) ||
	    !write_memory(target->image, w->region + STUB_PAGE, w, sizeof(*w)))
		r = -EFAULT;
	if (r == 0)
		r = call_kernel(t, target, w, SYS_mprotect,
				(uint64_t[6]){ w->region, STUB_PAGE, PROT_READ | PROT_EXEC, 0, 0, 0 });
	if (r < 0)
		(void)call_kernel(t, target, w, SYS_munmap, (uint64_t[6]){ w->region, STUB_SIZE, 0, 0, 0, 0 });
	return (int)r;
}

static void
say_loader_error(const struct image *image, uint64_t address, struct text *why)
{
	char text[256] = "";

	/* Short, and its end may be the end of what is mapped. */
	for (size_t i = 0; address && i + 1 < sizeof(text); i++)
		if (image_read(image, address + i, &text[i], 1) < 0 || text[i] == '\0') {
			text[i] = '\0';
			break;
		}
	text_printf(why, "the loader says: %s", *text ? text : "nothing");
}

/* Wait until the stub is done, and read what came of it. The thread runs meanwhile. */
static enum outcome
await(struct tracee *t, const struct preflight *target, const struct stub_words *placed, struct text *why)
{
	uint64_t at = placed->region + STUB_PAGE;
	int64_t end = now_ms() + LOAD_MS;
	struct stub_words w = { 0 };
	bool ended = false;

	while (!ended && w.done == 0 && now_ms() < end) {
		/* A stop by a signal, which is blocked until the end, cannot be; one by a terminal can. */
		enum tracee_event e = t->stopped ? tracee_run(t, false, 1) : tracee_wait(t, 1);

		ended = e == TRACEE_ENDED || image_read(target->image, at, &w, sizeof(w)) < 0;
	}
	if (ended) {
		text_add(why, "the process ended while the library was being loaded");
		return OUTCOME_ROLLED_BACK;
	}
	if (w.done == 0) {
		text_printf(why,
			    "thread %d still waits for the loader's lock, which another one holds: it goes on by "
			    "itself once "
			    "that is free",
			    t->thread);
		return OUTCOME_TIMED_OUT;
	}
	if (w.handle == 0 || w.entry == 0) {
		say_loader_error(target->image, w.error, why);
		return OUTCOME_ROLLED_BACK;
	}
	if (w.result == -EALREADY) {
		text_add(why, "it is sampled already");
		return OUTCOME_ROLLED_BACK;
	}
	if (w.result < 0) {
		text_add(why, "the library finds no room for its segment there: it takes 3 MiB, and a directory on a "
			      "tmpfs that the process may "
			      "write and others not, as /dev/shm/heapd-UID, or that has the sticky bit, as /run/heapd");
		return OUTCOME_ROLLED_BACK;
	}
	return OUTCOME_DONE;
}

/* Let the thread go on from the stub, where it waits for us. */
static void
release(struct tracee *t, const struct preflight *target, const struct stub_words *placed,
	const struct user_regs_struct *resume)
{
	uint64_t seen = 1, at = placed->region + STUB_PAGE;
	struct user_regs_struct registers;
	struct stub_words w;

	/* It may have waited long enough and left by itself: then its code is not where it stands. */
	if (placed->whole && tracee_stop(t, STOP_MS) == TRACEE_STOPPED && tracee_registers(t, &registers) == 0 &&
	    registers.rip - placed->region < STUB_PAGE && image_read(target->image, at, &w, sizeof(w)) == 0 && w.done) {
		(void)tracee_syscall(t, placed->syscall, registers.rsp, SYS_munmap,
				     (uint64_t[6]){ placed->region, STUB_SIZE, 0, 0, 0, 0 });
		(void)tracee_set_registers(t, resume);
		(void)tracee_set_blocked(t, w.signals);
		return;
	}
	(void)write_memory(target->image, at + offsetof(struct stub_words, seen), &seen, sizeof(seen));
}

static void
copy_registers(struct stub_registers *to, const struct user_regs_struct *from)
{
	*to = (struct stub_registers){
		.ax = from->rax,
		.bx = from->rbx,
		.cx = from->rcx,
		.dx = from->rdx,
		.si = from->rsi,
		.di = from->rdi,
		.bp = from->rbp,
		.sp = from->rsp,
		.r8 = from->r8,
		.r9 = from->r9,
		.r10 = from->r10,
		.r11 = from->r11,
		.r12 = from->r12,
		.r13 = from->r13,
		.r14 = from->r14,
		.r15 = from->r15,
		.ip = from->rip,
		.flags = from->eflags,
	};
}

/* Make the stopped thread load the library, and go on with these registers afterwards. */
static enum outcome
load(struct tracee *t, const struct preflight *target, struct stub_words *w, struct user_regs_struct resume,
     struct text *why)
{
	struct user_regs_struct registers = resume;
	enum outcome outcome;
	int r;

	copy_registers(&w->registers, &resume);
	r = place_stub(t, target, w);
	if (r < 0) {
		/* No stop of the kernel's own kind follows, so nobody else would make an interrupted call again. */
		(void)tracee_set_registers(t, &resume);
		text_printf(why, "it gets no memory for the way in: %s", strerror(-r));
		return OUTCOME_ROLLED_BACK;
	}
	registers.rip = w->region;
	registers.orig_rax = UINT64_MAX;
	r = tracee_set_registers(t, &registers);
	if (r < 0) {
		text_printf(why, "cannot lead it there: %s", strerror(-r));
		return OUTCOME_ROLLED_BACK;
	}
	outcome = await(t, target, w, why);
	if (outcome != OUTCOME_TIMED_OUT)
		release(t, target, w, &resume);
	return outcome;
}

/* -- waiting for the moment -- */

/* Threads in this state, or all if there is none. */
static size_t
list_threads(int proc, char state, pid_t *ret, size_t room)
{
	int fd = openat(proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *tasks = fd >= 0 ? fdopendir(fd) : NULL;
	size_t n = 0, matching = 0;

	for (struct dirent *e; tasks && n < room && (e = readdir(tasks));) {
		pid_t thread = (pid_t)strtol(e->d_name, NULL, 10);
		struct process_status s;

		if (thread <= 0 || process_status_of_thread(proc, thread, &s) < 0 || s.state == 'Z' || s.state == 'X')
			continue;
		ret[n++] = thread;
		if (s.state == state) {
			ret[n - 1] = ret[matching];
			ret[matching++] = thread;
		}
	}
	if (tasks)
		closedir(tasks);
	else if (fd >= 0)
		close(fd);
	return matching ? matching : n;
}

static bool
asked_to_end(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 && (sigismember(&pending, SIGINT) == 1 ||
					     sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGHUP) == 1);
}

/* Let it run until it stands at malloc and may be used, or the time is over. */
static bool
wait_at_malloc(struct tracee *t, const struct preflight *target, unsigned ms, struct user_regs_struct *ret)
{
	int64_t end = now_ms() + ms, left = ms;

	while (left > 0) {
		enum tracee_event e =
			t->stopped ? tracee_run(t, false, (unsigned)left) : tracee_wait(t, (unsigned)left);

		if (e == TRACEE_ENDED || e == TRACEE_TIMEOUT || e == TRACEE_SUSPENDED)
			return false;
		if (e == TRACEE_BREAKPOINT && tracee_calm(t) == 0 && tracee_registers(t, ret) == 0 &&
		    ret->rip == target->malloc && safe_at_malloc(target, ret))
			return true;
		left = end - now_ms();
	}
	return false;
}

/* A thread that sleeps in the kernel has not met the breakpoint meanwhile. */
static bool
is_asleep(const struct preflight *target, pid_t thread)
{
	struct process_status s;

	return process_status_of_thread(target->proc, thread, &s) == 0 && s.state == 'S';
}

struct attempt {
	bool asleep; /* in a thread that waits in the kernel; else in one that calls malloc */
	unsigned slice_ms; /* with a breakpoint of the thread's own, if there must be one; 0: not any more */
};

/* How one in one thread ended, unless it is an outcome. */
enum { TRY_OTHERS = 64, TRY_NO_MORE };

/* Let go of a thread that was stopped for nothing. It need not know. */
static void
leave(struct tracee *t, const struct preflight *target)
{
	struct user_regs_struct registers;

	if (t->stopped && t->signal == 0 && tracee_registers(t, &registers) == 0 &&
	    safe_resume(target, t->thread, &registers))
		(void)tracee_set_registers(t, &registers);
	(void)tracee_leave(t);
}

/* A thread that runs, at its next call of malloc. */
static int
try_at_malloc(struct tracee *t, const struct preflight *target, struct stub_words *w, unsigned slice_ms,
	      struct text *why)
{
	struct user_regs_struct registers;
	bool found = false;

	w->whole = 0;
	if (tracee_arm(t, target->malloc) == 0)
		found = wait_at_malloc(t, target, WAIT_MS, &registers);
	else if (slice_ms > 0 && tracee_stop(t, STOP_MS) == TRACEE_STOPPED &&
		 tracee_arm_stopped(t, target->malloc) == 0)
		found = wait_at_malloc(t, target, slice_ms, &registers);
	if (!t->stopped && t->armed)
		(void)tracee_stop(t, STOP_MS);
	(void)tracee_disarm(t);
	if (found)
		return (int)load(t, target, w, registers, why);
	if (!t->stopped && is_asleep(target, t->thread))
		_exit(TRY_OTHERS);
	(void)tracee_stop(t, STOP_MS);
	return TRY_OTHERS;
}

/* A thread that waits for something. */
static int
try_asleep(struct tracee *t, const struct preflight *target, struct stub_words *w, struct text *why)
{
	struct user_regs_struct registers;

	if (tracee_stop(t, STOP_MS) != TRACEE_STOPPED || t->signal != 0 || tracee_registers(t, &registers) < 0 ||
	    !safe_resume(target, t->thread, &registers))
		return TRY_OTHERS;
	w->whole = 1;
	return (int)load(t, target, w, registers, why);
}

/* In a process of its own: the end of a tracer lets a running thread go, and nothing else does without stopping it. */
static int
try_thread(pid_t thread, const struct preflight *target, struct stub_words *w, const struct attempt *how,
	   struct text *why)
{
	int outcome = TRY_OTHERS;
	struct process_status status;
	struct tracee t;

	if (how->asleep && !safe_asleep(target, thread))
		return TRY_OTHERS;
	if (tracee_start(thread, &t) < 0)
		return TRY_OTHERS;
	/* Its number may have become another process's in between: that one is let go of by our end. */
	if (process_status_of_thread(target->proc, thread, &status) < 0)
		return TRY_OTHERS;
	outcome = how->asleep ? try_asleep(&t, target, w, why) : try_at_malloc(&t, target, w, how->slice_ms, why);
	if (outcome == TRY_OTHERS)
		leave(&t, target);
	else if (t.stopped)
		(void)tracee_leave(&t);
	return outcome;
}

/* The same, with the sentence that tells why brought home through a pipe. */
static int
try_apart(pid_t thread, const struct preflight *target, struct stub_words *w, const struct attempt *how,
	  struct text *why)
{
	int ends[2], status = 0;
	char text[1024];
	ssize_t n;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return TRY_NO_MORE;
	child = fork();
	if (child == 0) {
		int outcome = try_thread(thread, target, w, how, why);

		(void)!write(ends[1], text_string(why), strlen(text_string(why)));
		_exit(outcome);
	}
	close(ends[1]);
	while (child > 0 && ((n = read(ends[0], text, sizeof(text))) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0)
			text_add_bytes(why, text, (size_t)n);
	close(ends[0]);
	if (child < 0)
		return TRY_NO_MORE;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	text_add(why, "what does the work was killed: whether the process is sampled, heapd list tells");
	return OUTCOME_TIMED_OUT;
}

/* While a thread stands at a breakpoint, our death would be its own. So we want to be woken at once then, and not to be the one
 * that is killed for want of memory. Where we may not ask for it, that's as it is. */
static void
make_haste(void)
{
	struct sched_param first = { .sched_priority = 1 };
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	(void)sched_setscheduler(0, SCHED_FIFO, &first);
	if (fd >= 0) {
		(void)!write(fd, "-1000", 5);
		close(fd);
	}
}

enum outcome
attach(pid_t pid, const struct preflight *target, const struct attach_options *options, struct text *why)
{
	int64_t end = now_ms() + options->timeout_ms;
	struct stub_words *w = calloc(1, sizeof(*w));
	unsigned armed_ms = 0;
	int outcome = TRY_OTHERS;
	sigset_t all, before;
	pid_t threads[1024];

	if (!w || !fill_words(target, options, w)) {
		text_printf(why, "%d (%s) has a C library that is not as expected", pid, target->status.name);
		free(w);
		return OUTCOME_REFUSED;
	}
	make_haste();
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	for (size_t i = 0; outcome == TRY_OTHERS && now_ms() < end && !asked_to_end(); i++) {
		struct attempt how = { .asleep = i >= TRIES_AT_MALLOC && i % 2 == 1 };
		size_t n = list_threads(target->proc, how.asleep ? 'S' : 'R', threads,
					sizeof(threads) / sizeof(threads[0]));

		if (n == 0) {
			text_printf(why, "%d (%s) has ended", pid, target->status.name);
			outcome = OUTCOME_REFUSED;
			break;
		}
		if (!how.asleep && armed_ms + SLICE_MS < ARMED_MS) {
			how.slice_ms = SLICE_MS;
			armed_ms += SLICE_MS + 1;
		}
		outcome = try_apart(threads[i % n], target, w, &how, why);
		if (outcome == TRY_OTHERS)
			nanosleep(&(struct timespec){ .tv_nsec = PAUSE_MS * 1000000 }, NULL);
	}
	if (outcome == TRY_OTHERS || outcome == TRY_NO_MORE) {
		text_printf(why,
			    asked_to_end() ? "%d (%s): given up"
					   : "%d (%s) neither called malloc nor waited where it is safe to make it: "
					     "try again when it has "
					     "something to do",
			    pid, target->status.name);
		outcome = OUTCOME_TIMED_OUT;
	}
	free(w);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return (enum outcome)outcome;
}
