/* bad_files_test.c - programs and debug files that were made to hurt whoever reads them: bombs, circles, names without end,
 * files of another kind, files that change while they are read. Each costs names at most, and the next file is read.
 */
#include "test.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbols_subject.h"
#include "worker_link.h"

#define SOURCE "symbols_inline.c"
#define FLAGS "-g -O2 -Wl,--build-id"

/* A file of the subject's directory, written anew. */
static FILE *
new_file(struct subject *s, const char *name)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	f = fopen(path, "w");
	if (!f) {
		perror(path);
		exit(1);
	}
	return f;
}

static struct symbol
resolve_one(struct symbols *symbols, const struct subject *s, const char *name, uint64_t address)
{
	static uint64_t life;
	char path[160];
	struct snapshot_module module = { .start = 0x1000, .end = UINT64_MAX, .path = path, .present = true };
	struct snapshot_frame frame = { .address = address, .flags = HEAPD_FRAME_EXACT };
	struct snapshot snap = {
		.random = ++life, .modules = &module, .n_modules = 1, .frames = &frame, .n_frames = 1
	};
	struct symbol found = { 0 };

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	CHECK_EQ(0, symbols_resolve(symbols, &snap, 0, &found));
	CHECK(found.n_lines > 0 && found.lines[0].name[0]);
	return found;
}

static uint64_t
lost_workers(struct symbols *symbols)
{
	struct symbols_counters counters;

	symbols_count(symbols, &counters);
	return counters.worker_failures;
}

/* -- bombs -- */

/* Make .debug_info of program say that it unpacks to `claim` bytes, by the old or the new way of saying so. */
static void
pack_section(struct subject *s, uint64_t claim, bool old)
{
	struct {
		char magic[4];
		uint64_t size;
	} __attribute__((packed)) old_header = { "ZLIB", htobe64(claim) };
	Elf64_Chdr header = { .ch_type = ELFCOMPRESS_ZLIB, .ch_size = claim, .ch_addralign = 1 };
	FILE *f = new_file(s, "packed");

	CHECK(old ? fwrite(&old_header, sizeof(old_header), 1, f) == 1 : fwrite(&header, sizeof(header), 1, f) == 1);
	/* Enough behind it that libelf takes the claim for possible: it holds zlib to a ratio of 1 to 1032. */
	for (size_t i = 0; i < claim / 1000; i += 4096)
		CHECK(fwrite((char[4096]){ 0 }, 4096, 1, f) == 1);
	CHECK(fclose(f) == 0);
	/* objcopy knows no flag for "is compressed already": it is set by hand, bit 11 of the flags of what was added. */
	CHECK(subject_shell(s, "objcopy --remove-section .debug_info --add-section %s=packed program file",
			    old ? ".zdebug_info" : ".debug_info"));
	if (!old) {
		char path[160];
		Elf64_Ehdr elf;
		Elf64_Shdr section;
		int fd;

		snprintf(path, sizeof(path), "%s/file", s->dir);
		fd = open(path, O_RDWR | O_CLOEXEC);
		CHECK(fd >= 0 && pread(fd, &elf, sizeof(elf), 0) == sizeof(elf));
		for (unsigned i = 0; i < elf.e_shnum; i++) {
			off_t at = (off_t)(elf.e_shoff + i * sizeof(section));
			struct stat st;

			CHECK(pread(fd, &section, sizeof(section), at) == sizeof(section));
			CHECK(fstat(fd, &st) == 0);
			if (section.sh_size < sizeof(header) + claim / 1000)
				continue;
			section.sh_flags |= SHF_COMPRESSED;
			CHECK(pwrite(fd, &section, sizeof(section), at) == sizeof(section));
		}
		close(fd);
	}
}

TEST(sections_that_unpack_to_gigabytes_are_not_unpacked)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(NULL);

	for (int old = 0; old < 2; old++) {
		pack_section(s, UINT64_C(3) << 30, old);
		CHECK_EQ(SYMBOL_FAILED, resolve_one(symbols, s, "file", 0x1000).state);
	}
	CHECK_EQ(0, lost_workers(symbols));
	CHECK(resolve_one(symbols, s, "program", 0x1000).state != SYMBOL_FAILED);
	symbols_free(symbols);
	subject_free(s);
}

/* 256 MiB of zeros, whose xz file is one of 40 kB. */
TEST(a_compressed_symbol_table_that_unpacks_to_hundreds_of_megabytes_is_left_alone)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(NULL);
	struct rusage usage = { 0 };
	FILE *f;

	if (!tool_exists("xz")) {
		printf("ok a_compressed_symbol_table_that_unpacks_to_hundreds_of_megabytes # skip no xz\n");
		goto out;
	}
	CHECK(subject_shell(s, "strip program && head -c 256M /dev/zero | xz -1 > bomb && "
			       "objcopy --add-section .gnu_debugdata=bomb program file"));
	CHECK(resolve_one(symbols, s, "file", 0x1000).state != SYMBOL_FAILED);
	CHECK_EQ(0, getrusage(RUSAGE_CHILDREN, &usage)); /* the compiler's took less than half of that, too */
	CHECK(usage.ru_maxrss < 256 << 10);
	f = new_file(s, "noise");
	for (int i = 0; i < 1000; i++)
		fprintf(f, "%d", i * i);
	CHECK(fclose(f) == 0);
	CHECK(subject_shell(s, "objcopy --add-section .gnu_debugdata=noise program file"));
	CHECK(resolve_one(symbols, s, "file", 0x1000).state != SYMBOL_FAILED);
	CHECK_EQ(0, lost_workers(symbols));
out:
	symbols_free(symbols);
	subject_free(s);
}

/* -- circles and depths -- */

/* One function, _start, with DWARF written by hand: an inlined function in it, which is where the circles go. */
static const char by_hand[] =
	"	.text\n"
	"	.globl _start\n"
	"	.type _start, %function\n"
	"_start: nop\n	nop\n	nop\n	nop\n"
	"end:	.size _start, end - _start\n"
	"	.section .debug_abbrev,\"\"\n"
	"	.byte 1, 0x11, 1, 0x11, 1, 0x12, 6, 0, 0\n" /* unit: low_pc, high_pc */
	"	.byte 2, 0x2e, 1, 1, 0x13, 0x31, 0x13, 0x11, 1, 0x12, 6, 0, 0\n" /* subprogram: sibling, origin, pcs */
	"	.byte 3, 0x1d, 1, 1, 0x13, 0x31, 0x13, 0x11, 1, 0x12, 6, 0, 0\n" /* inlined, the same */
	"	.byte 4, 0x1d, 1, 0x11, 1, 0x12, 6, 0, 0\n" /* inlined: pcs alone */
	"	.byte 0\n"
	"	.section .debug_info,\"\"\n"
	"unit:	.long unit_end - unit - 4\n"
	"	.short 4\n	.long 0\n	.byte 8\n"
	"	.byte 1\n	.8byte _start\n	.long end - _start\n"
	"outer:	.byte 2\n	.long OUTER_SIBLING - unit, inner - unit\n	.8byte _start\n	.long end - _start\n"
	"inner:	.byte 3\n	.long INNER_SIBLING - unit, outer - unit\n	.8byte _start\n	.long end - _start\n"
	"	.rept DEPTH\n	.byte 4\n	.8byte _start\n	.long end - _start\n	.endr\n"
	"	.rept DEPTH\n	.byte 0\n	.endr\n"
	"inner_end: .byte 0\n"
	"outer_end: .byte 0\n"
	"unit_end:\n";

static struct symbol
resolve_by_hand(struct subject *s, struct symbols *symbols, const char *outer_sibling, const char *inner_sibling,
		int depth)
{
	unsigned long long start = 0;
	char path[160];
	FILE *f = new_file(s, "hand.s");

	CHECK(fputs(by_hand, f) >= 0 && fclose(f) == 0);
	CHECK(subject_shell(s,
			    "sed -e s/OUTER_SIBLING/%s/ -e s/INNER_SIBLING/%s/ -e s/DEPTH/%d/ hand.s > hand2.s && "
			    "as -o hand.o hand2.s && ld -o hand hand.o && nm hand | sed -n 's/ T _start$//p' > start",
			    outer_sibling, inner_sibling, depth));
	snprintf(path, sizeof(path), "%s/start", s->dir);
	f = fopen(path, "r");
	CHECK(f && fscanf(f, "%llx", &start) == 1);
	if (f)
		fclose(f);
	return resolve_one(symbols, s, "hand", start + 1);
}

TEST(functions_that_are_inlined_into_themselves_have_a_name_and_an_end)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(NULL);
	struct symbol found = resolve_by_hand(s, symbols, "outer_end", "inner_end", 0);

	CHECK_EQ(SYMBOL_FOUND, found.state);
	CHECK_STR("_start", found.lines[found.n_lines - 1].name);
	found = resolve_by_hand(s, symbols, "outer_end", "inner_end", 1000);
	CHECK_EQ(SYMBOL_FOUND, found.state);
	CHECK(found.n_lines <= WIRE_LINES_MAX);
	CHECK_STR("_start", found.lines[found.n_lines - 1].name);
	CHECK_EQ(0, lost_workers(symbols));
	symbols_free(symbols);
	subject_free(s);
}

TEST(entries_in_a_circle_cost_one_worker_and_the_symbol_table_remains)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	static const char *const siblings[][2] = { { "outer", "inner_end" }, { "outer_end", "inner" } };

	for (size_t i = 0; i < 2; i++) {
		struct symbols *symbols =
			subject_symbols(&(struct symbols_options){ .worker = SYMBOLS_WORKER, .timeout_ms = 1000 });
		struct symbol found = resolve_by_hand(s, symbols, siblings[i][0], siblings[i][1], 0);

		CHECK_EQ(SYMBOL_FOUND, found.state);
		CHECK_STR("_start", found.lines[found.n_lines - 1].name);
		CHECK(lost_workers(symbols) <= 1);
		symbols_free(symbols);
	}
	subject_free(s);
}

TEST(a_name_of_a_megabyte_is_cut)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(NULL);
	unsigned long long start = 0;
	struct symbol found;
	char path[160];
	FILE *f = new_file(s, "long.s");

	fputs("	.text\n	.globl _start\n_start: nop\n	.type ", f);
	for (int definition = 0; definition < 2; definition++) {
		for (int i = 0; i < 1 << 20; i++)
			putc(i == 0 ? '_' : i == 1 ? 'Z' : 'a' + i % 26, f);
		fputs(definition ? ":	nop\n	nop\n" : ", %function\n", f);
	}
	CHECK(fclose(f) == 0);
	CHECK(subject_shell(s,
			    "as -o long.o long.s && ld -o long long.o && nm long | sed -n 's/ T _start$//p' > start"));
	snprintf(path, sizeof(path), "%s/start", s->dir);
	f = fopen(path, "r");
	CHECK(f && fscanf(f, "%llx", &start) == 1);
	if (f)
		fclose(f);
	found = resolve_one(symbols, s, "long", start + 1);
	CHECK_EQ(SYMBOL_FOUND, found.state);
	CHECK_EQ(WIRE_STRING_MAX - 1, strlen(found.lines[0].name));
	CHECK(strncmp("_Zcdefg", found.lines[0].name, 7) == 0);
	CHECK_EQ(0, lost_workers(symbols));
	symbols_free(symbols);
	subject_free(s);
}

/* -- files that are not what they should be -- */

TEST(a_program_of_another_class_or_byte_order_has_no_names_here)
{
	static const char *const makers[] = {
		"printf '.globl _start; _start: nop; nop\\n' | as --32 -o o - && ld -m elf_i386 -o file o",
		"cp program file && printf '\\002' | dd of=file bs=1 seek=5 conv=notrunc 2> dd",
		"cp program file && printf '\\001' | dd of=file bs=1 seek=4 conv=notrunc 2> dd",
	};
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(NULL);

	for (size_t i = 0; i < sizeof(makers) / sizeof(*makers); i++) {
		CHECK(subject_shell(s, "rm -f file; %s", makers[i]));
		CHECK_EQ(SYMBOL_FAILED, resolve_one(symbols, s, "file", 0x8049001).state);
		if (test_failed)
			printf("# (%s)\n", makers[i]);
	}
	CHECK_EQ(0, lost_workers(symbols));
	symbols_free(symbols);
	subject_free(s);
}

TEST(a_debug_file_that_is_not_this_programs_is_as_good_as_none)
{
	static const char *const spoilers[] = {
		": > $f", /* empty */
		"truncate -s 5G $f", /* nothing but a hole */
		"mkfifo $f", /* would block */
		"ln -s $f $f", /* goes round */
		"ln -s /dev/zero $f", /* would never end */
		"cp ../../../other $f", /* of another build */
		"head -c 200 ../../../whole > $f", /* cut off */
		"cp ../../../program $f", /* the program itself: nothing new */
	};
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	char directory[128];
	const char *const dirs[] = { directory, NULL };

	snprintf(directory, sizeof(directory), "%s/debug", s->dir);
	CHECK(subject_shell(s, "echo 'int main(void) { return 0; }' > other.c && %s -g -Wl,--build-id -o other other.c",
			    SYMBOLS_CC));
	CHECK(subject_shell(s, "cp program whole && strip program"));
	subject_start(s);
	for (size_t i = 0; i < sizeof(spoilers) / sizeof(*spoilers); i++) {
		struct symbols *symbols = subject_symbols(&(struct symbols_options){ .debug_dirs = dirs });

		CHECK(subject_shell(s,
				    "rm -rf debug && id=$(readelf -n program | sed -n 's/.*Build ID: *//p') && "
				    "d=debug/.build-id/$(echo $id | cut -c1-2) && mkdir -p $d && cd $d && "
				    "f=$(echo $id | cut -c3-).debug && %s",
				    spoilers[i]));
		subject_resolve(s, symbols, true);
		CHECK_EQ(SYMBOL_ABSENT, subject_at(s, "deep")->state);
		CHECK_EQ(0, lost_workers(symbols));
		if (test_failed)
			printf("# (%s)\n", spoilers[i]);
		symbols_free(symbols);
	}
	subject_free(s);
}

TEST(debug_links_that_lead_back_are_followed_once)
{
	static const char *const circles[] = {
		"objcopy --add-gnu-debuglink=twin program && objcopy --add-gnu-debuglink=program twin", /* to and fro */
		"mv twin .debug/program && objcopy --add-gnu-debuglink=.debug/program program", /* its own name */
	};

	for (size_t i = 0; i < sizeof(circles) / sizeof(*circles); i++) {
		struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
		struct symbols *symbols = subject_symbols(NULL);
		struct symbols_counters counters;

		CHECK(subject_shell(s, "mkdir .debug && strip program && cp program twin && %s", circles[i]));
		subject_start(s);
		subject_resolve(s, symbols, true);
		CHECK_EQ(SYMBOL_ABSENT, subject_at(s, "deep")->state);
		symbols_count(symbols, &counters);
		CHECK_EQ(1, counters.worker_starts);
		CHECK_EQ(0, counters.worker_failures);
		symbols_free(symbols);
		subject_free(s);
	}
}

/* Its build-id is right; but who names a file in his program could name anybody's. */
TEST(a_shared_debug_file_outside_of_the_debug_directories_is_not_opened)
{
#ifdef __clang__ /* dwz does not know how clang writes DWARF 5 */
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS " -gdwarf-4");
#else
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
#endif
	char directory[128];
	const char *const dirs[] = { directory, NULL };
	struct symbols *symbols;
	const struct symbol *deep;

	snprintf(directory, sizeof(directory), "%s/debug", s->dir);
	symbols = subject_symbols(&(struct symbols_options){ .debug_dirs = dirs });
	if (!tool_exists("dwz")) {
		printf("ok a_shared_debug_file_outside_of_the_debug_directories # skip no dwz\n");
		goto out;
	}
	CHECK(subject_shell(
		s, "mkdir -p debug/.dwz .dwz outside && cp program twin && "
		   "dwz -m outside/common -M $PWD/.dwz/../outside/common program twin && test -s outside/common"));
	subject_start(s);
	subject_resolve(s, symbols, true);
	deep = subject_at(s, "deep");
	CHECK_EQ(SYMBOL_FOUND, deep->state);
	CHECK_EQ(1, deep->n_lines); /* the inlined ones are described in the file that is not read */
	CHECK_STR("outer", deep->lines[0].name);
	CHECK_EQ(0, lost_workers(symbols));
out:
	symbols_free(symbols);
	subject_free(s);
}

/* Whoever maps a file that its owner cuts off is killed by SIGBUS: the worker, not the daemon. */
TEST(a_file_that_is_cut_off_while_it_is_read_costs_a_worker)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct worker_link *link = worker_link_new(SYMBOLS_WORKER);
	int fd = open(s->program, O_RDWR | O_CLOEXEC);
	uint64_t addresses[64], deadline = (uint64_t)wire_now_ms() + 60000;
	struct wire_answer answer = { 0 };
	struct worker_names names;

	CHECK(link && fd >= 0);
	for (size_t i = 0; i < 64; i++)
		addresses[i] = 0x1000 + 16 * i;
	CHECK_EQ(0, worker_link_file(link, WIRE_OPEN, fd, 0, NULL, 0, (int64_t)deadline, &answer));
	CHECK_EQ(WIRE_OK, answer.status);
	CHECK_EQ(0, ftruncate(fd, 4096));
	CHECK_EQ(-EPIPE, worker_link_names(link, addresses, 64, (int64_t)deadline, &names));
	close(fd);
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	CHECK_EQ(0, worker_link_file(link, WIRE_OPEN, fd, 0, NULL, 0, (int64_t)deadline, &answer));
	CHECK_EQ(WIRE_OK, answer.status);
	CHECK_EQ(0, worker_link_names(link, addresses, 64, (int64_t)deadline, &names));
	close(fd);
	worker_link_free(link);
	subject_free(s);
}
