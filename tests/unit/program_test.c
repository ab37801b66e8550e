/* program_test.c - programs that LD_PRELOAD can and cannot reach, and scripts that lead to them. */
#include "program.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "test.h"

static char dir[] = "/tmp/heapd-program-XXXXXX";
static struct text why;

__attribute__((constructor)) static void
make_dir(void)
{
	if (!mkdtemp(dir))
		abort();
}

__attribute__((destructor)) static void
remove_dir(void)
{
	char command[64];

	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	(void)!system(command);
}

static const char *
file(const char *name, const void *content, size_t size, mode_t mode)
{
	static char path[PATH_MAX];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0);
	CHECK_EQ(size, write(fd, content, size));
	CHECK_EQ(0, fchmod(fd, mode));
	close(fd);
	return path;
}

static int
check(const char *command, struct program *ret)
{
	struct program p = { 0 };
	int status;

	text_done(&why);
	status = program_check(command, &p, &why);
	if (ret)
		*ret = p;
	else
		program_done(&p);
	return status;
}

/* An ELF file with one PT_INTERP, or none for NULL. */
static const char *
elf(const char *name, const char *interpreter, unsigned char class, uint16_t machine)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph;
		char interpreter[64];
	} f = { 0 };

	memcpy(f.eh.e_ident, ELFMAG, SELFMAG);
	f.eh.e_ident[EI_CLASS] = class;
	f.eh.e_machine = machine;
	f.eh.e_phoff = sizeof(f.eh);
	f.eh.e_phentsize = sizeof(f.ph);
	f.eh.e_phnum = 1;
	f.ph.p_type = interpreter ? PT_INTERP : PT_LOAD;
	f.ph.p_offset = sizeof(f.eh) + sizeof(f.ph);
	if (interpreter) {
		(void)snprintf(f.interpreter, sizeof(f.interpreter), "%s", interpreter);
		f.ph.p_filesz = strlen(interpreter) + 1;
	}
	return file(name, &f, sizeof(f), 0755);
}

#if defined(__x86_64__)
#define OURS EM_X86_64
#define OTHER EM_AARCH64
#else
#define OURS EM_AARCH64
#define OTHER EM_X86_64
#endif

TEST(an_ordinary_program_is_found_along_the_path)
{
	struct program p;

	CHECK_EQ(0, check("ls", &p));
	CHECK(p.path && p.path[0] == '/' && strcmp(strrchr(p.path, '/'), "/ls") == 0);
	CHECK(!p.sanitizer);
	program_done(&p);
	CHECK_EQ(0, check("/bin/sh", NULL));
}

TEST(what_is_not_there_is_told_from_what_is_not_executable)
{
	CHECK_EQ(EXIT_RUN_NOT_FOUND, check("no-such-program-anywhere", NULL));
	CHECK(strstr(text_string(&why), "no-such-program-anywhere: command not found"));
	CHECK_EQ(EXIT_RUN_NOT_FOUND, check("/no/such/program", NULL));
	CHECK_EQ(EXIT_RUN_NOT_FOUND, check("", NULL));
	CHECK_EQ(EXIT_RUN_NOT_EXECUTABLE, check(file("plain", "x", 1, 0644), NULL));
	CHECK_EQ(EXIT_RUN_NOT_EXECUTABLE, check(dir, NULL));
}

TEST(programs_that_the_library_cannot_enter_are_refused_with_the_reason)
{
	CHECK_EQ(EXIT_RUN_REFUSED, check(elf("static", NULL, ELFCLASS64, OURS), NULL));
	CHECK(strstr(text_string(&why), "statically linked"));
	CHECK_EQ(EXIT_RUN_REFUSED, check(elf("small", "/lib/ld-linux.so.2", ELFCLASS32, EM_386), NULL));
	CHECK(strstr(text_string(&why), "32-bit"));
	CHECK_EQ(EXIT_RUN_REFUSED, check(elf("other", "/lib/ld.so", ELFCLASS64, OTHER), NULL));
	CHECK(strstr(text_string(&why), "another kind of machine"));
	CHECK_EQ(EXIT_RUN_REFUSED, check(elf("musl", "/lib/ld-musl-x86_64.so.1", ELFCLASS64, OURS), NULL));
	CHECK(strstr(text_string(&why), "musl"));
	CHECK_EQ(0, check(elf("fine", "/lib64/ld-linux-x86-64.so.2", ELFCLASS64, OURS), NULL));
}

TEST(scripts_lead_to_their_interpreter)
{
	char script[PATH_MAX];
	const char *path;

	CHECK_EQ(0, check(file("sh", "#!/bin/sh\ntrue\n", 15, 0755), NULL));
	CHECK_EQ(0, check(file("env", "#!/usr/bin/env sh\n", 18, 0755), NULL));
	CHECK_EQ(0, check(file("text", "true\n", 5, 0755), NULL));
	path = elf("static", NULL, ELFCLASS64, OURS);
	(void)snprintf(script, sizeof(script), "#! %s -x\n", path);
	CHECK_EQ(EXIT_RUN_REFUSED, check(file("script", script, strlen(script), 0755), NULL));
	CHECK(strstr(text_string(&why), "/static is statically linked"));
	(void)snprintf(script, sizeof(script), "#!/usr/bin/env -S %s/static a b\n", dir);
	CHECK_EQ(EXIT_RUN_REFUSED, check(file("script", script, strlen(script), 0755), NULL));
	/* One that names itself does not go on for ever. */
	(void)snprintf(script, sizeof(script), "#!%s/loop\n", dir);
	CHECK_EQ(0, check(file("loop", script, strlen(script), 0755), NULL));
}

TEST(a_setuid_program_of_somebody_else_is_refused)
{
	const char *path = elf("setuid", "/lib64/ld-linux-x86-64.so.2", ELFCLASS64, OURS);

	if (geteuid() != 0)
		return; /* only root can make one */
	CHECK_EQ(0, chown(path, 65534, 65534));
	CHECK_EQ(0, chmod(path, 04755));
	CHECK_EQ(EXIT_RUN_REFUSED, check(path, NULL));
	CHECK(strstr(text_string(&why), "is setuid"));
	CHECK_EQ(0, chmod(path, 02755));
	CHECK_EQ(EXIT_RUN_REFUSED, check(path, NULL));
	CHECK(strstr(text_string(&why), "is setgid"));
	CHECK_EQ(0, chmod(path, 0755));
	CHECK_EQ(0, check(path, NULL));
}

/* .dynsym with one symbol, by section headers alone. */
static const char *
elf_with_symbol(const char *name, const char *symbol, uint16_t section)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph;
		Elf64_Shdr sh[3];
		Elf64_Sym sym[2];
		char strings[32], interpreter[32];
	} f = { .strings = "", .interpreter = "/lib64/ld-linux-x86-64.so.2" };

	memcpy(f.eh.e_ident, ELFMAG, SELFMAG);
	f.eh.e_ident[EI_CLASS] = ELFCLASS64;
	f.eh.e_machine = OURS;
	f.eh.e_phoff = offsetof(__typeof__(f), ph);
	f.eh.e_phentsize = sizeof(f.ph);
	f.eh.e_phnum = 1;
	f.eh.e_shoff = offsetof(__typeof__(f), sh);
	f.eh.e_shentsize = sizeof(f.sh[0]);
	f.eh.e_shnum = 3;
	f.ph.p_type = PT_INTERP;
	f.ph.p_offset = offsetof(__typeof__(f), interpreter);
	f.ph.p_filesz = sizeof(f.interpreter);
	f.sh[1].sh_type = SHT_DYNSYM;
	f.sh[1].sh_link = 2;
	f.sh[1].sh_offset = offsetof(__typeof__(f), sym);
	f.sh[1].sh_size = sizeof(f.sym);
	f.sh[2].sh_type = SHT_STRTAB;
	f.sh[2].sh_offset = offsetof(__typeof__(f), strings);
	f.sh[2].sh_size = sizeof(f.strings);
	(void)snprintf(f.strings + 1, sizeof(f.strings) - 1, "%s", symbol);
	f.sym[1].st_name = 1;
	f.sym[1].st_shndx = section;
	return file(name, &f, sizeof(f), 0755);
}

TEST(a_program_with_its_own_malloc_is_refused_and_one_that_calls_it_is_not)
{
	CHECK_EQ(EXIT_RUN_REFUSED, check(elf_with_symbol("own", "malloc", 1), NULL));
	CHECK(strstr(text_string(&why), "not interposable"));
	CHECK_EQ(0, check(elf_with_symbol("calls", "malloc", SHN_UNDEF), NULL));
	CHECK_EQ(0, check(elf_with_symbol("similar", "malloc_trim", 1), NULL));
}

TEST(a_sanitizer_is_noticed)
{
	struct program p;

	CHECK_EQ(0, check(elf_with_symbol("asan", "__asan_init", SHN_UNDEF), &p));
	CHECK_STR("AddressSanitizer", p.sanitizer);
	program_done(&p);
	CHECK_EQ(0, check(elf_with_symbol("tsan", "__tsan_init", 1), &p));
	CHECK_STR("ThreadSanitizer", p.sanitizer);
	program_done(&p);
}

TEST(damaged_files_are_left_to_the_kernel)
{
	char bytes[4096];
	const char *path = elf_with_symbol("whole", "malloc", 1);
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, bytes, sizeof(bytes));

	close(fd);
	CHECK(n > 0);
	/* Cut anywhere and bent anywhere: an answer, never a crash. */
	for (ssize_t size = 0; size < n; size++) {
		int status = check(file("cut", bytes, (size_t)size, 0755), NULL);

		CHECK(status == 0 || status == EXIT_RUN_REFUSED);
	}
	for (ssize_t at = 0; at < n; at++) {
		char kept = bytes[at];

		bytes[at] = (char)~kept;
		int status = check(file("bent", bytes, (size_t)n, 0755), NULL);
		CHECK(status == 0 || status == EXIT_RUN_REFUSED);
		bytes[at] = kept;
	}
}
