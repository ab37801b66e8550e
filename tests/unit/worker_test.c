/* worker_test.c - workers that hang, die and lie, files that are broken, and the worker's own walls. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "symbols_subject.h"
#include "worker_link.h"
#include "worker_sandbox.h"

#define SOURCE "symbols_inline.c"
#define FLAGS "-g -O2 -Wl,--build-id"

static struct subject *subject; /* made once: it is only read */

static struct subject *
shared_subject(void)
{
	if (!subject) {
		subject = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
		subject_start(subject);
	}
	return subject;
}

__attribute__((destructor)) static void
end_subject(void)
{
	if (subject)
		subject_free(subject);
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Every frame has a synthetic line, the failures are counted, and it did not take longer than the limits allow. */
static void
check_bad_worker(const char *how, bool is_late)
{
	struct subject *s = shared_subject();
	struct symbols_counters counters;
	struct symbols *symbols;
	char program[160];
	double start = seconds();

	snprintf(program, sizeof(program), "%s/bad-%s", s->dir, how);
	CHECK(subject_shell(s, "cp %s bad-%s", SYMBOLS_BAD_WORKER, how));
	symbols = subject_symbols(&(struct symbols_options){ .worker = program, .timeout_ms = 300 });
	subject_resolve(s, symbols, true);
	for (size_t i = 0; i < s->n_marks; i++) {
		CHECK_EQ(SYMBOL_FAILED, s->symbols[i].state);
		CHECK_EQ(1, s->symbols[i].n_lines);
		CHECK(strncmp("program+0x", s->symbols[i].lines[0].name, 10) == 0);
	}
	CHECK(seconds() - start < (is_late ? 5 : 3));
	symbols_count(symbols, &counters);
	CHECK_EQ(2, counters.worker_failures); /* once more without DWARF, then never mind */
	CHECK_EQ(2, counters.worker_starts);
	CHECK_EQ(1, counters.modules_refused);
	/* Within the next minute it is not tried again. */
	subject_resolve(s, symbols, true);
	symbols_count(symbols, &counters);
	CHECK_EQ(2, counters.worker_starts);
	symbols_free(symbols);
}

TEST(a_worker_that_is_late_is_given_up)
{
	check_bad_worker("hang", true);
	check_bad_worker("half", true);
	check_bad_worker("drip", true);
	check_bad_worker("stop", true);
	check_bad_worker("hang-lookup", true);
	check_bad_worker("half-lookup", true);
}

TEST(a_worker_that_dies_costs_names_only)
{
	check_bad_worker("die", false);
	check_bad_worker("killed", false);
	check_bad_worker("leave", false);
	check_bad_worker("die-lookup", false);
	check_bad_worker("leave-lookup", false);
}

TEST(a_worker_that_talks_nonsense_is_given_up)
{
	static const char *const ways[] = { "noise",        "flood",          "file",          "noise-lookup",
					    "flood-lookup", "symbols-lookup", "none-lookup",   "lines-lookup",
					    "first-lookup", "many-lookup",    "offset-lookup", "open-lookup",
					    "long-lookup",  "strings-lookup", "status-lookup", "sequence-lookup",
					    "type-lookup" };

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		check_bad_worker(ways[i], false);
		if (test_failed)
			printf("# (%s)\n", ways[i]);
	}
}

TEST(a_target_with_many_bad_files_does_not_keep_the_worker_from_others)
{
	struct subject *s = shared_subject();
	struct snapshot_module modules[12];
	struct snapshot_frame frames[12];
	struct snapshot snap = { .modules = modules, .n_modules = 12, .frames = frames, .n_frames = 12 };
	struct symbols_counters counters;
	struct symbols *symbols;
	struct symbol found[12];
	char program[160];

	snprintf(program, sizeof(program), "%s/bad-hang", s->dir);
	CHECK(subject_shell(s, "cp %s bad-hang", SYMBOLS_BAD_WORKER));
	symbols = subject_symbols(&(struct symbols_options){ .worker = program, .timeout_ms = 100 });
	for (uint32_t i = 0; i < 12; i++) {
		modules[i] = s->module;
		modules[i].build_id[0] = (uint8_t)i;
		frames[i] = (struct snapshot_frame){ .address = s->module.bias + 0x1000, .module = i };
	}
	CHECK_EQ(0, symbols_resolve(symbols, &snap, 0, found));
	for (uint32_t i = 0; i < 12; i++)
		CHECK_EQ(SYMBOL_FAILED, found[i].state);
	symbols_count(symbols, &counters);
	CHECK_EQ(4, counters.worker_failures);
	CHECK_EQ(12, counters.modules_refused);
	symbols_free(symbols);
}

/* The same helper with nothing wrong: so it is the wrongness that the tests above see. */
TEST(the_misbehaving_worker_is_believed_when_it_behaves)
{
	struct subject *s = shared_subject();
	struct symbols *symbols;
	char program[160];

	snprintf(program, sizeof(program), "%s/bad-good-lookup", s->dir);
	CHECK(subject_shell(s, "cp %s bad-good-lookup", SYMBOLS_BAD_WORKER));
	symbols = subject_symbols(&(struct symbols_options){ .worker = program, .timeout_ms = 3000 });
	subject_resolve(s, symbols, true);
	for (size_t i = 0; i < s->n_marks; i++) {
		CHECK_EQ(SYMBOL_FOUND, s->symbols[i].state);
		CHECK_STR("name", s->symbols[i].lines[0].name);
		CHECK_EQ(1, s->symbols[i].lines[0].line);
	}
	symbols_free(symbols);
}

TEST(a_worker_that_cannot_be_started_costs_names_only)
{
	struct subject *s = shared_subject();
	struct symbols *symbols = subject_symbols(&(struct symbols_options){ .worker = "/nonexistent" });
	struct symbols_counters counters;

	subject_resolve(s, symbols, true);
	CHECK_EQ(SYMBOL_FAILED, subject_at(s, "deep")->state);
	symbols_count(symbols, &counters);
	CHECK_EQ(0, counters.worker_starts);
	CHECK_EQ(1, counters.modules_refused);
	symbols_free(symbols);
}

/* Resolve one address of a file that is nobody's mapping. */
static enum symbol_state
resolve_file(struct symbols *symbols, char *path, uint64_t life)
{
	struct snapshot_module module = { .start = 0x1000, .end = UINT64_MAX, .path = path, .present = true };
	struct snapshot_frame frames[64];
	struct snapshot snap = { .random = life, .modules = &module, .n_modules = 1, .frames = frames, .n_frames = 64 };
	struct symbol found[64];

	for (uint64_t i = 0; i < 64; i++)
		frames[i] = (struct snapshot_frame){ .address = 0x1001 + 0x20 * i };
	CHECK_EQ(0, symbols_resolve(symbols, &snap, 0, found));
	for (size_t i = 0; i < 64; i++)
		CHECK(found[i].n_lines > 0 && found[i].lines[0].name[0]);
	return found[0].state;
}

TEST(what_is_not_a_sound_elf_file_fails_quickly)
{
	static const char *const makers[] = {
		": > file", /* empty */
		"echo hello > file", /* text */
		"printf '\\177ELF' > file", /* a magic number alone */
		"head -c 64 program > file", /* a header alone */
		"truncate -s 5G file", /* nothing but a hole */
		"truncate -s 9G file", /* more than is ever read */
		"mkfifo file", /* would block */
		"ln -s /dev/zero file", /* would never end */
		"mkdir file", /* no file at all */
		"ln -s file file", /* goes round */
		"ar rc file program", /* an archive */
		"cc -c -o file -xc /dev/null", /* an object: its addresses mean nothing */
	};
	struct subject *s = shared_subject();
	struct symbols *symbols = subject_symbols(NULL);
	struct symbols_counters counters;
	char path[160];
	double start = seconds();

	snprintf(path, sizeof(path), "%s/file", s->dir);
	for (size_t i = 0; i < sizeof(makers) / sizeof(*makers); i++) {
		CHECK(subject_shell(s, "rm -rf file; %s", makers[i]));
		CHECK_EQ(SYMBOL_FAILED, resolve_file(symbols, path, i + 1));
		if (test_failed)
			printf("# (%s)\n", makers[i]);
	}
	CHECK(subject_shell(s, "rm -rf file; cp program file"));
	CHECK(resolve_file(symbols, path, 1000) != SYMBOL_FAILED);
	symbols_count(symbols, &counters);
	CHECK_EQ(0, counters.worker_failures);
	CHECK(seconds() - start < 20);
	symbols_free(symbols);
}

/* Truncated and mutated programs: whatever happens to the worker, every frame has a name and the next file is read. */
TEST(damaged_programs_never_harm_more_than_themselves)
{
	struct subject *s = shared_subject();
	struct symbols *symbols =
		subject_symbols(&(struct symbols_options){ .worker = SYMBOLS_WORKER, .timeout_ms = 2000 });
	struct symbols_counters counters;
	unsigned char *bytes, *copy;
	unsigned random = 4711;
	char path[160];
	struct stat status;
	int fd = open(s->program, O_RDONLY);

	CHECK(fd >= 0 && fstat(fd, &status) == 0);
	bytes = malloc((size_t)status.st_size);
	copy = malloc((size_t)status.st_size);
	CHECK(bytes && copy && read(fd, bytes, (size_t)status.st_size) == status.st_size);
	close(fd);
	snprintf(path, sizeof(path), "%s/damaged", s->dir);
	for (unsigned round = 0; round < 150; round++) {
		size_t size = (size_t)status.st_size, changes = 1 + round % 40;

		memcpy(copy, bytes, size);
		for (size_t i = 0; i < changes; i++) {
			size_t at;
			random = random * 1103515245 + 12345;
			at = (random >> 8) % size;
			if (round % 3 ==
			    0) /* headers are small: aim at them, and at the first, which no file survives */
				at %= round % 2 == 0 ? 64 : 1024;
			else if (round % 3 == 1)
				at = size - 1 - at % 4096;
			random = random * 1103515245 + 12345;
			copy[at] = (unsigned char)(random >> 16);
		}
		if (round % 5 == 4)
			size = 64 + (random >> 8) % size * 3 / 4;
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		CHECK(fd >= 0 && write(fd, copy, size < (size_t)status.st_size ? size : (size_t)status.st_size) > 0);
		close(fd);
		resolve_file(symbols, path, round + 1);
	}
	CHECK(resolve_file(symbols, s->program, 1000) != SYMBOL_FAILED);
	symbols_count(symbols, &counters);
	printf("# %llu workers, %llu lost, %llu files refused\n", (unsigned long long)counters.worker_starts,
	       (unsigned long long)counters.worker_failures, (unsigned long long)counters.modules_refused);
	CHECK(counters.modules_refused > 10);
	free(bytes);
	free(copy);
	symbols_free(symbols);
}

/* What a call gave inside of the walls: 0, or its errno. */
static int
try_call(int call)
{
	int fd = -1;

	errno = 0;
	switch (call) {
	case 0:
		fd = open("/etc/passwd", O_RDONLY);
		break;
	case 1:
		fd = socket(AF_INET, SOCK_STREAM, 0);
		break;
	case 2:
		fd = fork();
		if (fd == 0)
			_exit(0);
		break;
	case 3:
		fd = execl("/bin/true", "true", (char *)NULL);
		break;
	case 4:
		fd = kill(getppid(), 0);
		break;
	case 5:
		fd = prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
		break;
	case 6:
		fd = mkdir("/tmp/heapd-never", 0700);
		break;
	}
	return fd >= 0 ? 0 : errno;
}

TEST(behind_its_walls_the_worker_can_open_connect_fork_and_exec_nothing)
{
	for (int call = 0; call < 7; call++) {
		int status = 0;
		pid_t pid = fork();

		if (pid == 0) {
			struct rlimit core;
			if (sandbox_limits() < 0 || getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
				_exit(100);
			if (sandbox_close() < 0)
				_exit(101);
			_exit(try_call(call));
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(WIFEXITED(status));
		CHECK_EQ(EPERM, WEXITSTATUS(status));
		if (test_failed)
			printf("# (call %d)\n", call);
	}
}

TEST(the_worker_leaves_when_the_daemon_is_gone_and_refuses_to_run_by_hand)
{
	int status, pair[2];
	pid_t pid;

	status = system(SYMBOLS_WORKER " symbol-worker 3< /dev/null 2> /dev/null");
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 2);
	CHECK_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	pid = fork();
	if (pid == 0) {
		dup2(pair[1], WIRE_FD);
		fcntl(WIRE_FD, F_SETFD, 0);
		execl(SYMBOLS_WORKER, "heapd", "symbol-worker", (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	close(pair[0]);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A line of a file below /proc/PID, or "". */
static const char *
proc_line(pid_t pid, const char *file, const char *start)
{
	static char line[256];
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f) && strncmp(line, start, strlen(start)) != 0)
		line[0] = '\0';
	if (f)
		fclose(f);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

/* The real one, while it waits for its next request: what the tests above found in a copy of its walls, it has around it. */
TEST(a_worker_at_work_is_closed_in_and_the_first_to_go)
{
	struct wire_request request = { .magic = WIRE_MAGIC, .type = WIRE_OPEN, .sequence = 1 };
	struct wire_answer answer = { 0 };
	int status, pair[2], program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	pid_t pid;

	CHECK_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	pid = fork();
	if (pid == 0) {
		dup2(pair[1], WIRE_FD);
		fcntl(WIRE_FD, F_SETFD, 0);
		execl(SYMBOLS_WORKER, "heapd", "symbol-worker", (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	CHECK_EQ(0, wire_send(pair[0], &request, sizeof(request), program, -1));
	CHECK_EQ(0, wire_receive(pair[0], &answer, sizeof(answer), NULL, -1));
	CHECK_EQ(WIRE_OK, answer.status);
	CHECK_STR("Seccomp:\t2", proc_line(pid, "status", "Seccomp:"));
	CHECK_STR("NoNewPrivs:\t1", proc_line(pid, "status", "NoNewPrivs:"));
	CHECK_STR("1000", proc_line(pid, "oom_score_adj", "1"));
	CHECK(strstr(proc_line(pid, "limits", "Max file size"), " 0 ") != NULL);
	CHECK(strstr(proc_line(pid, "limits", "Max core file size"), " 0 ") != NULL);
	close(program);
	close(pair[0]);
	CHECK(waitpid(pid, &status, 0) == pid);
}

/* The worker gets no descriptor of the daemon but its socket, no environment, and a group of its own. */
TEST(the_worker_inherits_nothing)
{
	struct subject *s = shared_subject();
	struct symbols *symbols;
	char program[160];
	int leaked = dup(0); /* without close-on-exec, on purpose */

	snprintf(program, sizeof(program), "%s/spy", s->dir);
	CHECK(subject_shell(s,
			    "printf '#!/bin/sh\\nls /proc/self/fd > %s/fds; tr \"\\\\0\" \"\\\\n\" < /proc/$$/environ "
			    "> %s/environment\\n' > spy && "
			    "chmod +x spy",
			    s->dir, s->dir));
	setenv("DEBUGINFOD_URLS", "http://127.0.0.1:1", 1);
	symbols = subject_symbols(&(struct symbols_options){ .worker = program, .timeout_ms = 3000 });
	subject_resolve(s, symbols, true);
	/* 0 1 2 and the socket; ls itself has one more. */
	CHECK(subject_shell(
		s, "test \"$(grep -c . fds)\" -le 5 && ! grep -q DEBUGINFOD environment && test -e environment"));
	close(leaked);
	symbols_free(symbols);
}
