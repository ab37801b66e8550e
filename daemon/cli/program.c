/* program.c - looks at the first bytes, the program headers and the dynamic symbols of what is about to be run.
 *
 * The file is read with pread and nothing in it is believed: it may be anything. What cannot be read is let through, since
 * the check is there to explain, and the kernel decides.
 */
#include "program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli.h"

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#else
#error "heapd knows x86-64 and aarch64"
#endif

#define SCRIPTS_MAX 4 /* as the kernel: interpreters of interpreters */
#define LOADER_MAX (16 << 20) /* bytes; glibc's has a quarter of one MiB */
#define SYMBOLS_MAX (64 << 20) /* bytes of dynamic symbols or their names that are looked at */

/* -- finding the file -- */

static int
found_or_not(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? EXIT_RUN_NOT_FOUND : EXIT_RUN_NOT_EXECUTABLE;
	return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : EXIT_RUN_NOT_EXECUTABLE;
}

/* As execvp() searches: a name with a slash as it is, others along PATH. */
static int
program_find(const char *command, struct text *ret)
{
	const char *path = getenv("PATH");
	int worst = EXIT_RUN_NOT_FOUND;

	if (strchr(command, '/') || !*command) {
		text_add(ret, command);
		return *command ? found_or_not(command) : EXIT_RUN_NOT_FOUND;
	}
	if (!path)
		path = "/bin:/usr/bin";
	for (;;) {
		size_t length = strcspn(path, ":");
		int r;

		text_done(ret);
		text_add_bytes(ret, length ? path : ".", length ? length : 1);
		text_printf(ret, "/%s", command);
		r = found_or_not(text_string(ret));
		if (r == 0)
			return 0;
		if (r == EXIT_RUN_NOT_EXECUTABLE)
			worst = r;
		if (!path[length])
			break;
		path += length + 1;
	}
	text_done(ret);
	text_add(ret, command);
	return worst;
}

/* -- looking into it -- */

/* All of size bytes at the offset, or false. */
static bool
read_at(int fd, uint64_t offset, void *to, size_t size)
{
	return offset <= INT64_MAX && pread(fd, to, size, (off_t)offset) == (ssize_t)size;
}

/* The loader ignores LD_PRELOAD for programs that get more rights than their caller has. */
static bool
gains_rights(int fd, struct text *why, const char *path)
{
	struct statvfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || fstatvfs(fd, &fs) < 0 || (fs.f_flag & ST_NOSUID))
		return false;
	if (((st.st_mode & S_ISUID) && st.st_uid != getuid()) ||
	    ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != getgid())) {
		text_printf(
			why,
			"%s is %s: the loader ignores LD_PRELOAD for it. Run heapd as the user it becomes, for example "
			"with sudo",
			path, st.st_mode & S_ISUID ? "setuid" : "setgid");
		return true;
	}
	if (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0) {
		text_printf(
			why,
			"%s has file capabilities: the loader ignores LD_PRELOAD for it. Run heapd as root, or a copy "
			"of the program without them (setcap -r)",
			path);
		return true;
	}
	return false;
}

struct names {
	bool exports_malloc;
	const char *sanitizer, *allocator;
};

static void
name_note(const char *name, bool exported, struct names *ret)
{
	static const struct {
		const char *symbol, *name;
	} sanitizers[] = { { "__asan_init", "AddressSanitizer" },
			   { "__tsan_init", "ThreadSanitizer" },
			   { "__msan_init", "MemorySanitizer" },
			   { "__lsan_init", "LeakSanitizer" },
			   { "__hwasan_init", "HWAddressSanitizer" } },
	  /* Built with a prefix: beside the C library's, or Rust's global allocator. */
		allocators[] = { { "je_malloc", "jemalloc" },
				 { "_rjem_malloc", "jemalloc" },
				 { "mi_malloc", "mimalloc" },
				 { "tc_malloc", "tcmalloc" } };

	if (exported && strcmp(name, "malloc") == 0)
		ret->exports_malloc = true;
	for (size_t k = 0; k < sizeof(sanitizers) / sizeof(sanitizers[0]); k++)
		if (strcmp(name, sanitizers[k].symbol) == 0)
			ret->sanitizer = sanitizers[k].name;
	for (size_t k = 0; k < sizeof(allocators) / sizeof(allocators[0]); k++)
		if (strcmp(name, allocators[k].symbol) == 0)
			ret->allocator = allocators[k].name;
}

/* Walks one table of symbols. A sanitizer counts even if the program only asks for it. */
static void
symbols_read(int fd, const Elf64_Ehdr *eh, const Elf64_Shdr *symbols, struct names *ret)
{
	Elf64_Shdr strings;
	Elf64_Sym *table = NULL;
	char *names = NULL;

	if (symbols->sh_link >= eh->e_shnum ||
	    !read_at(fd, eh->e_shoff + symbols->sh_link * sizeof(strings), &strings, sizeof(strings)) ||
	    symbols->sh_size > SYMBOLS_MAX || strings.sh_size > SYMBOLS_MAX || strings.sh_size == 0)
		return;
	table = malloc(symbols->sh_size + 1);
	names = malloc(strings.sh_size + 1);
	if (!table || !names || !read_at(fd, symbols->sh_offset, table, symbols->sh_size) ||
	    !read_at(fd, strings.sh_offset, names, strings.sh_size))
		goto out;
	names[strings.sh_size] = '\0';
	for (size_t i = 0; i < symbols->sh_size / sizeof(*table); i++) {
		const char *name = table[i].st_name < strings.sh_size ? names + table[i].st_name : "";
		bool defined = table[i].st_shndx != SHN_UNDEF;

		if (defined || strncmp(name, "__", 2) == 0)
			name_note(name, defined && symbols->sh_type == SHT_DYNSYM, ret);
	}
out:
	free(names);
	free(table);
}

/* What stands in .dynsym and, unless it was stripped, in .symtab; found by the section headers, which every linker writes and
 * strip keeps. */
static void
names_read(int fd, const Elf64_Ehdr *eh, struct names *ret)
{
	if (eh->e_shentsize != sizeof(Elf64_Shdr))
		return;
	for (size_t i = 0; i < eh->e_shnum; i++) {
		Elf64_Shdr section;

		if (!read_at(fd, eh->e_shoff + i * sizeof(section), &section, sizeof(section)))
			return;
		if (section.sh_type == SHT_DYNSYM || section.sh_type == SHT_SYMTAB)
			symbols_read(fd, eh, &section, ret);
	}
}

/* The path in PT_INTERP: 1 and *interpreter, 0 if there is none, -1 if the headers make no sense. */
static int
interpreter_read(int fd, const Elf64_Ehdr *eh, char *interpreter, size_t size)
{
	if (eh->e_phentsize != sizeof(Elf64_Phdr))
		return -1;
	for (size_t i = 0; i < eh->e_phnum; i++) {
		Elf64_Phdr ph;

		if (!read_at(fd, eh->e_phoff + i * sizeof(ph), &ph, sizeof(ph)))
			return -1;
		if (ph.p_type != PT_INTERP)
			continue;
		if (ph.p_filesz == 0 || ph.p_filesz > size || !read_at(fd, ph.p_offset, interpreter, ph.p_filesz))
			return -1;
		interpreter[ph.p_filesz - 1] = '\0';
		return 1;
	}
	return 0;
}

/* Whether the loader is one of a C library that has all that ours was built for; if that cannot be told, it is. A program
 * that brings an older one would not start: the loader misses the version and gives up. */
static bool
loader_is_recent(const char *interpreter)
{
#if __GLIBC_PREREQ(2, 34)
	static const char wanted[] = "GLIBC_2.34";
	int fd = open(interpreter, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st = { 0 };
	char *content = NULL;
	bool recent = true;

	if (fd < 0)
		return true; /* the kernel will tell */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= LOADER_MAX)
		content = malloc((size_t)st.st_size);
	if (content && read_at(fd, 0, content, (size_t)st.st_size))
		recent = memmem(content, (size_t)st.st_size, wanted, sizeof(wanted)) != NULL;
	free(content);
	close(fd);
	return recent;
#else
	(void)interpreter;
	return true;
#endif
}

static int
elf_check(int fd, const char *path, struct program *p, struct text *why)
{
	struct names names = { 0 };
	char interpreter[PATH_MAX];
	Elf64_Ehdr eh;
	int r;

	if (!read_at(fd, 0, &eh, sizeof(eh)))
		return 0;
	if (eh.e_ident[EI_CLASS] != ELFCLASS64) {
		text_printf(why, "%s is a 32-bit program: libheapd.so is 64-bit and cannot be loaded into it", path);
		return EXIT_RUN_REFUSED;
	}
	if (eh.e_machine != OUR_MACHINE) {
		text_printf(why, "%s is for another kind of machine: libheapd.so cannot be loaded into it", path);
		return EXIT_RUN_REFUSED;
	}
	r = interpreter_read(fd, &eh, interpreter, sizeof(interpreter));
	if (r < 0)
		return 0;
	if (r == 0) {
		text_printf(why,
			    "%s is statically linked: LD_PRELOAD cannot reach it. Use a build of it that is linked "
			    "dynamically; a Go program has its own profiles in net/http/pprof",
			    path);
		return EXIT_RUN_REFUSED;
	}
	if (strstr(interpreter, "ld-musl")) {
		text_printf(why, "%s uses musl (%s): libheapd.so is built for glibc and cannot be loaded into it", path,
			    interpreter);
		return EXIT_RUN_REFUSED;
	}
	if (!loader_is_recent(interpreter)) {
		text_printf(why,
			    "%s brings a C library of its own (%s), older than libheapd.so was built for: it would not "
			    "start. Use a build of it for this system, or a heapd that was built where it was",
			    path, interpreter);
		return EXIT_RUN_REFUSED;
	}
	names_read(fd, &eh, &names);
	p->sanitizer = names.sanitizer;
	p->allocator = names.allocator;
	if (names.exports_malloc && !names.sanitizer) {
		text_printf(why,
			    "%s brings its own malloc inside the executable, which comes before any LD_PRELOAD: its "
			    "allocator "
			    "is not interposable. Link the allocator as a shared library instead",
			    path);
		return EXIT_RUN_REFUSED;
	}
	return 0;
}

/* The interpreter in "#! /usr/bin/env python3 -u": /usr/bin/env, or what env would start. False if there is none. */
static bool
script_interpreter(char *line, struct text *ret)
{
	char *end, *word = line + 2 + strspn(line + 2, " \t"), *base;

	word[strcspn(word, "\n")] = '\0';
	end = word + strcspn(word, " \t");
	if (end == word)
		return false;
	if (*end)
		*end++ = '\0';
	base = strrchr(word, '/');
	end += strspn(end, " \t");
	if (strcmp(base ? base + 1 : word, "env") == 0) {
		if (strncmp(end, "-S", 2) == 0)
			end += 2 + strspn(end + 2, " \t");
		end[strcspn(end, " \t")] = '\0';
		if (*end && *end != '-' && !strchr(end, '=') && program_find(end, ret) == 0)
			return true;
		text_done(ret);
	}
	text_add(ret, word);
	return true;
}

/* Rights and contents of one file; for a script, *next is filled with its interpreter. */
static int
file_check(const char *path, struct program *p, struct text *next, struct text *why)
{
	char head[512];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), status = 0;
	ssize_t n;

	if (fd < 0)
		return 0; /* executable but not readable: nothing to look at */
	n = pread(fd, head, sizeof(head) - 1, 0);
	head[n > 0 ? n : 0] = '\0';
	if (n >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0) {
		status = gains_rights(fd, why, path) ? EXIT_RUN_REFUSED : elf_check(fd, path, p, why);
	} else if (head[0] == '#' && head[1] == '!') {
		(void)script_interpreter(head, next);
	} else if (n > 0 && !memchr(head, '\0', (size_t)n)) {
		text_add(next, "/bin/sh"); /* what execvp() does with text */
	}
	close(fd);
	return status;
}

int
program_check(const char *command, struct program *ret, struct text *why)
{
	struct program p = { 0 };
	struct text path = { 0 };
	int status = program_find(command, &path);

	if (status != 0) {
		text_printf(why, "%s: %s", command,
			    status == EXIT_RUN_NOT_FOUND ? "command not found" : "not an executable file");
		goto out;
	}
	p.path = strdup(text_string(&path));
	for (int i = 0; i <= SCRIPTS_MAX && path.size > 0 && status == 0; i++) {
		struct text next = { 0 };

		status = file_check(text_string(&path), &p, &next, why);
		text_done(&path);
		path = next;
	}
	if (status == 0 && !p.path) {
		text_add(why, "out of memory");
		status = EXIT_RUN_REFUSED;
	}
out:
	text_done(&path);
	if (status == 0)
		*ret = p;
	else
		program_done(&p);
	return status;
}

void
program_done(struct program *p)
{
	free(p->path);
	*p = (struct program){ 0 };
}
