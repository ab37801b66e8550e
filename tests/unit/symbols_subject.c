/* symbols_subject.c - see symbols_subject.h. */
#include "symbols_subject.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void
die(const char *what)
{
	printf("# cannot %s: %s\n", what, strerror(errno));
	exit(1);
}

bool
subject_shell(struct subject *s, const char *format, ...)
{
	char command[2048], whole[2300];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	snprintf(whole, sizeof(whole), "cd %s && { %s; } > out 2>&1", s->dir, command);
	if (system(whole) == 0)
		return true;
	printf("# failed: %s\n", command);
	snprintf(whole, sizeof(whole), "sed 's/^/# /' %s/out", s->dir);
	fflush(stdout);
	if (system(whole) != 0)
		printf("# (no output)\n");
	return false;
}

bool
tool_exists(const char *name)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s > /dev/null 2>&1", name);
	return system(command) == 0;
}

struct subject *
subject_new(const char *compiler, const char *source, const char *flags)
{
	struct subject *s = calloc(1, sizeof(*s));

	if (!s)
		die("allocate");
	strcpy(s->dir, "/tmp/heapd-symbols-XXXXXX");
	if (!mkdtemp(s->dir))
		die("make a directory");
	snprintf(s->program, sizeof(s->program), "%s/program", s->dir);
	strcpy(s->path, s->program);
	s->input = -1;
	if (!subject_shell(s, "%s %s -o program %s/%s", compiler, flags, SYMBOLS_SOURCES, source))
		exit(1);
	return s;
}

void
subject_end(struct subject *s)
{
	if (s->pid == 0)
		return;
	close(s->input);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

void
subject_free(struct subject *s)
{
	char command[128];

	subject_end(s);
	snprintf(command, sizeof(command), "rm -r %s", s->dir);
	if (system(command) != 0)
		printf("# cannot remove %s\n", s->dir);
	free(s);
}

/* Lines "NAME HEX" until the line "ready". */
static void
read_marks(struct subject *s, int output)
{
	char text[4096] = "", *save = NULL;
	size_t size = 0;

	while (!strstr(text, "ready\n")) {
		ssize_t n = read(output, text + size, sizeof(text) - 1 - size);
		if (n <= 0)
			die("read the program's marks");
		size += (size_t)n;
		text[size] = '\0';
	}
	for (char *line = strtok_r(text, "\n", &save); line && s->n_marks < SUBJECT_MARKS;
	     line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%63s %" SCNx64, s->marks[s->n_marks].name, &s->marks[s->n_marks].address) == 2)
			s->n_marks++;
}

/* Where the first mapping of the program starts and the last one ends. */
static void
read_place(struct subject *s)
{
	char name[64], line[512];
	uint64_t start, end;
	FILE *maps;

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)s->pid);
	maps = fopen(name, "r");
	if (!maps)
		die("read maps");
	while (fgets(line, sizeof(line), maps)) {
		if (!strstr(line, s->program) || sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2)
			continue;
		if (s->module.start == 0)
			s->module.start = start;
		s->module.end = end;
	}
	fclose(maps);
}

/* The build-id, and whether addresses in the file count from where it is loaded or from 0. */
static void
read_program(struct subject *s)
{
	int fd = open(s->program, O_RDONLY | O_CLOEXEC);
	const void *bits;
	ssize_t n;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	n = dwelf_elf_gnu_build_id(elf, &bits);
	if (n > 0) {
		memcpy(s->module.build_id, bits, (size_t)n);
		s->module.build_id_length = (uint32_t)n;
	}
	s->module.bias = elf && elf64_getehdr(elf)->e_type == ET_EXEC ? 0 : s->module.start;
	for (size_t i = 0; i < s->n_marks; i++)
		s->marks[i].address += s->module.start - s->module.bias;
	elf_end(elf);
	close(fd);
}

void
subject_start(struct subject *s)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		die("make pipes");
	s->pid = fork();
	if (s->pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl(s->program, s->program, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	s->input = in[1];
	read_marks(s, out[0]);
	close(out[0]);
	read_place(s);
	read_program(s);
	s->module.path = s->path;
	s->module.main = true;
	s->module.present = true;
	s->snapshot.pid = (uint32_t)s->pid;
	s->snapshot.uid = getuid();
	s->snapshot.random = (uint64_t)s->pid;
	s->snapshot.modules = &s->module;
	s->snapshot.n_modules = 1;
	s->snapshot.frames = s->frames;
	s->snapshot.n_frames = s->n_marks;
	for (size_t i = 0; i < s->n_marks; i++)
		s->frames[i] = (struct snapshot_frame){ .address = s->module.bias + s->marks[i].address };
}

struct symbols *
subject_symbols(const struct symbols_options *options)
{
	struct symbols_options with_worker = options ? *options : (struct symbols_options){ 0 };
	struct symbols *s;

	if (!with_worker.worker)
		with_worker.worker = SYMBOLS_WORKER;
	errno = -symbols_new(&with_worker, &s);
	if (errno != 0)
		die("make symbols");
	return s;
}

void
subject_resolve(struct subject *s, struct symbols *symbols, bool alive)
{
	errno = -symbols_resolve(symbols, &s->snapshot, alive ? (uint32_t)s->pid : 0, s->symbols);
	if (errno != 0)
		die("resolve");
}

const struct symbol *
subject_at(const struct subject *s, const char *mark)
{
	for (size_t i = 0; i < s->n_marks; i++)
		if (strcmp(s->marks[i].name, mark) == 0)
			return &s->symbols[i];
	printf("# no mark %s\n", mark);
	exit(1);
}

uint32_t
subject_line(const char *source, const char *mark, unsigned level)
{
	char path[512], text[512], wanted[128];
	uint32_t number = 0, found = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", SYMBOLS_SOURCES, source);
	snprintf(wanted, sizeof(wanted), "MARK %s %u ", mark, level);
	file = fopen(path, "r");
	if (!file)
		die("read the source");
	while (!found && fgets(text, sizeof(text), file)) {
		number++;
		if (strstr(text, wanted))
			found = number;
	}
	fclose(file);
	return found;
}
