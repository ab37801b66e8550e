/* symbols_test.c - real programs, real files, the real worker: which names come out. */
#include "test.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "symbols_subject.h"

#define SOURCE "symbols_inline.c"
#define FLAGS "-g -O2 -Wl,--build-id"

/* The names, lines and files at mark "deep", where two functions are inlined into a third. */
static void
check_inlined(const struct subject *s)
{
	static const char *const names[] = { "innermost", "middle", "outer" };
	const struct symbol *deep = subject_at(s, "deep");

	CHECK_EQ(SYMBOL_FOUND, deep->state);
	CHECK_EQ(3, deep->n_lines);
	for (uint32_t i = 0; i < deep->n_lines && i < 3; i++) {
		CHECK_STR(names[i], deep->lines[i].name);
		CHECK_STR(names[i], deep->lines[i].system_name);
		CHECK_STR(SYMBOLS_SOURCES "/" SOURCE, deep->lines[i].file);
		CHECK_EQ(subject_line(SOURCE, "deep", i), deep->lines[i].line);
		CHECK(deep->lines[i].start_line > 0 && deep->lines[i].start_line < deep->lines[i].line);
	}
}

static void
check_inlined_with(const char *compiler, const char *flags)
{
	struct subject *s = subject_new(compiler, SOURCE, flags);
	struct symbols *symbols = subject_symbols(NULL);
	const struct symbol *header;

	subject_start(s);
	subject_resolve(s, symbols, true);
	check_inlined(s);
	header = subject_at(s, "header");
	CHECK_STR("header_inline", header->lines[0].name);
	CHECK_STR(SYMBOLS_SOURCES "/symbols_inline.h", header->lines[0].file);
	CHECK_EQ(subject_line("symbols_inline.h", "header", 0), header->lines[0].line);
	CHECK_EQ(2, header->n_lines);
	if (header->n_lines == 2) {
		CHECK_STR("main", header->lines[1].name);
		CHECK_STR(SYMBOLS_SOURCES "/" SOURCE, header->lines[1].file);
	}
	CHECK_STR("symbols_plain", subject_at(s, "plain")->lines[0].name);
	CHECK_EQ(subject_line(SOURCE, "plain", 0), subject_at(s, "plain")->lines[0].line);
	symbols_free(symbols);
	subject_free(s);
}

static bool
skipped(const char *test, const char *tool)
{
	if (tool_exists(tool))
		return false;
	printf("ok %s # skip %s is not installed\n", test, tool);
	return true;
}

TEST(inlined_functions_come_innermost_first_with_the_lines_of_their_calls)
{
	check_inlined_with(SYMBOLS_CC, FLAGS);
}

TEST(dwarf_4_without_address_ranges_is_as_good)
{
	if (!skipped("dwarf_4_of_clang", "clang"))
		check_inlined_with("clang", "-gdwarf-4 -O2 -Wl,--build-id");
}

TEST(a_program_that_is_not_position_independent_is_as_good)
{
	check_inlined_with(SYMBOLS_CC, FLAGS " -no-pie -fno-pie");
}

/* Its lines are known, but not whose they are: at "deep" the line is one of an inlined function. */
TEST(a_program_whose_debug_information_stayed_with_its_objects_has_names_and_no_lines)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS " -gsplit-dwarf");
	struct symbols *symbols = subject_symbols(NULL);

	subject_start(s);
	subject_resolve(s, symbols, true);
	CHECK_STR("outer", subject_at(s, "deep")->lines[0].name);
	CHECK_EQ(0, subject_at(s, "deep")->lines[0].line);
	CHECK_STR("symbols_plain", subject_at(s, "plain")->lines[0].name);
	CHECK_EQ(0, subject_at(s, "plain")->lines[0].line);
	symbols_free(symbols);
	subject_free(s);
}

TEST(compressed_debug_sections_are_read)
{
	check_inlined_with(SYMBOLS_CC, FLAGS " -gz=zlib");
}

/* At "deep", no name; at "plain", which is exported, a name without lines. */
static void
check_exported_only(const struct subject *s, const char *outer)
{
	const struct symbol *deep = subject_at(s, "deep"), *plain = subject_at(s, "plain");

	CHECK_EQ(1, deep->n_lines);
	CHECK_STR(outer, deep->lines[0].name);
	CHECK_STR(outer, deep->lines[0].system_name);
	CHECK_STR("", deep->lines[0].file);
	CHECK_EQ(0, deep->lines[0].line);
	CHECK_EQ(SYMBOL_FOUND, plain->state);
	CHECK_STR("symbols_plain", plain->lines[0].name);
	CHECK_EQ(0, plain->lines[0].line);
}

static const char *
synthetic(const struct subject *s, const char *mark)
{
	static char name[64];

	for (size_t i = 0; i < s->n_marks; i++)
		if (strcmp(s->marks[i].name, mark) == 0)
			snprintf(name, sizeof(name), "program+0x%llx", (unsigned long long)s->marks[i].address - 1);
	return name;
}

TEST(a_stripped_program_has_its_exported_names_and_places_for_the_rest)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS " -rdynamic");
	struct symbols *symbols = subject_symbols(NULL);

	if (subject_shell(s, "strip program")) {
		subject_start(s);
		subject_resolve(s, symbols, true);
		CHECK_EQ(SYMBOL_ABSENT, subject_at(s, "deep")->state);
		check_exported_only(s, synthetic(s, "deep"));
	} else {
		CHECK(false);
	}
	symbols_free(symbols);
	subject_free(s);
}

TEST(a_symbol_table_alone_gives_static_functions_too)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(NULL);

	CHECK(subject_shell(s, "strip -g program"));
	subject_start(s);
	subject_resolve(s, symbols, true);
	CHECK_EQ(SYMBOL_FOUND, subject_at(s, "deep")->state);
	check_exported_only(s, "outer");
	symbols_free(symbols);
	subject_free(s);
}

TEST(the_compressed_table_in_gnu_debugdata_is_read)
{
	struct subject *s;
	struct symbols *symbols;

	if (skipped("the_compressed_table_in_gnu_debugdata_is_read_with_xz", "xz"))
		return;
	s = subject_new(SYMBOLS_CC, SOURCE, FLAGS " -rdynamic");
	symbols = subject_symbols(NULL);
	CHECK(subject_shell(s, "objcopy --only-keep-debug program mini && strip -g mini && xz mini && strip program && "
			       "objcopy --add-section .gnu_debugdata=mini.xz program"));
	subject_start(s);
	subject_resolve(s, symbols, true);
	CHECK_EQ(SYMBOL_FOUND, subject_at(s, "deep")->state);
	check_exported_only(s, "outer");
	symbols_free(symbols);
	subject_free(s);
}

/* Move the debug information of the program to a file below DIR/debug by its build-id; `id` gets its hexadecimal form. */
static void
separate_debug(struct subject *s)
{
	CHECK(subject_shell(s,
			    "id=$(readelf -n program | sed -n 's/.*Build ID: *//p') && "
			    "path=debug/.build-id/$(echo $id | cut -c1-2) && mkdir -p $path && "
			    "objcopy --only-keep-debug program $path/$(echo $id | cut -c3-).debug && strip program"));
}

TEST(a_separate_debug_file_is_found_by_build_id)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	char directory[128];
	const char *const dirs[] = { "/nonexistent", directory, NULL };
	struct symbols *symbols;

	snprintf(directory, sizeof(directory), "%s/debug", s->dir);
	symbols = subject_symbols(&(struct symbols_options){ .debug_dirs = dirs });
	separate_debug(s);
	subject_start(s);
	subject_resolve(s, symbols, true);
	check_inlined(s);
	symbols_free(symbols);
	subject_free(s);
}

TEST(a_separate_debug_file_serves_alone_when_the_program_is_gone)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	char directory[128];
	const char *const dirs[] = { directory, NULL };
	struct symbols *symbols;

	snprintf(directory, sizeof(directory), "%s/debug", s->dir);
	symbols = subject_symbols(&(struct symbols_options){ .debug_dirs = dirs });
	separate_debug(s);
	subject_start(s);
	subject_end(s);
	CHECK(subject_shell(s, "rm program"));
	subject_resolve(s, symbols, false);
	check_inlined(s);
	symbols_free(symbols);
	subject_free(s);
}

/* dwz -m moves what two debug files have in common to a third one, which both name with its build-id. */
static void
check_shared(bool has_common)
{
#ifdef __clang__ /* dwz does not know how clang writes DWARF 5 */
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS " -gdwarf-4");
#else
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
#endif
	char directory[128];
	const char *const dirs[] = { directory, NULL };
	struct symbols *symbols;

	snprintf(directory, sizeof(directory), "%s/debug", s->dir);
	symbols = subject_symbols(&(struct symbols_options){ .debug_dirs = dirs });
	separate_debug(s);
	/* Small files share little: the second one is the first one once more. */
	CHECK(subject_shell(
		s,
		"mkdir debug/.dwz && cp $(find debug -name '*.debug') twin && "
		"dwz -m debug/.dwz/common -M /usr/lib/debug/.dwz/common $(find debug -name '*.debug') twin && "
		"test -s debug/.dwz/common && %s",
		has_common ? "true" : "rm debug/.dwz/common"));
	subject_start(s);
	subject_resolve(s, symbols, true);
	if (has_common) {
		check_inlined(s);
	} else {
		const struct symbol *deep = subject_at(s, "deep");
		CHECK_EQ(SYMBOL_FOUND, deep->state);
		CHECK_STR("outer", deep->lines[deep->n_lines - 1].name);
	}
	symbols_free(symbols);
	subject_free(s);
}

TEST(a_debug_file_that_shares_parts_with_others_is_read_with_and_without_them)
{
	if (skipped("a_debug_file_that_shares_parts_with_others", "dwz"))
		return;
	check_shared(true);
	check_shared(false);
}

static void
check_debuglink(const char *spoil, bool works)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, "-g -O2 -Wl,--build-id=none");
	struct symbols *symbols = subject_symbols(NULL);

	CHECK(subject_shell(
		s,
		"mkdir .debug && objcopy --only-keep-debug program .debug/program.debug && strip program && "
		"objcopy --add-gnu-debuglink=.debug/program.debug program && %s",
		spoil));
	subject_start(s);
	CHECK_EQ(0, s->module.build_id_length);
	subject_resolve(s, symbols, true);
	if (works)
		check_inlined(s);
	else
		CHECK_EQ(SYMBOL_ABSENT, subject_at(s, "deep")->state);
	symbols_free(symbols);
	subject_free(s);
}

TEST(a_separate_debug_file_is_found_by_name_if_its_checksum_is_right)
{
	check_debuglink("true", true);
	check_debuglink("printf x >> .debug/program.debug", false);
}

TEST(a_deleted_program_that_still_runs_keeps_its_names)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(NULL);

	subject_start(s);
	CHECK(subject_shell(s, "rm program"));
	subject_resolve(s, symbols, true);
	check_inlined(s);
	symbols_free(symbols);
	subject_free(s);
}

TEST(a_replaced_program_gives_its_old_names_while_it_runs_and_none_afterwards)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(NULL), *later = subject_symbols(NULL);
	struct symbols_counters counters;

	subject_start(s);
	CHECK(subject_shell(s, "rm program && cp /bin/true program"));
	subject_resolve(s, symbols, true);
	check_inlined(s);
	subject_end(s);
	subject_resolve(s, later, false);
	CHECK_EQ(SYMBOL_FAILED, subject_at(s, "deep")->state);
	CHECK_STR(synthetic(s, "deep"), subject_at(s, "deep")->lines[0].name);
	symbols_count(later, &counters);
	CHECK_EQ(1, counters.modules_refused);
	CHECK_EQ(0, counters.worker_failures);
	symbols_free(symbols);
	symbols_free(later);
	subject_free(s);
}

TEST(names_known_from_a_running_program_are_there_after_its_death)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(NULL);

	subject_start(s);
	subject_resolve(s, symbols, true);
	subject_end(s);
	CHECK(subject_shell(s, "rm program"));
	subject_resolve(s, symbols, false);
	check_inlined(s);
	symbols_free(symbols);
	subject_free(s);
}

TEST(a_program_without_build_id_is_believed_only_if_it_is_the_mapped_file)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, "-g -O2 -Wl,--build-id=none");
	struct symbols *symbols = subject_symbols(NULL), *other = subject_symbols(NULL);

	subject_start(s);
	subject_resolve(s, symbols, true);
	check_inlined(s);
	/* A module elsewhere in the address space, where nothing is mapped, cannot be that file. */
	s->module.main = false;
	s->module.start = 0x1000;
	s->module.end = 0x2000;
	subject_resolve(s, other, true);
	CHECK_EQ(SYMBOL_FAILED, subject_at(s, "deep")->state);
	symbols_free(symbols);
	symbols_free(other);
	subject_free(s);
}

TEST(a_second_question_starts_no_worker)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(NULL);
	struct symbols_counters first, second;
	const char *name;

	subject_start(s);
	subject_resolve(s, symbols, true);
	name = subject_at(s, "deep")->lines[0].name;
	symbols_count(symbols, &first);
	CHECK_EQ(1, first.worker_starts);
	CHECK_EQ(0, first.hits);
	subject_resolve(s, symbols, true);
	symbols_count(symbols, &second);
	CHECK_EQ(1, second.worker_starts);
	CHECK_EQ(s->n_marks, second.hits);
	CHECK_EQ(2 * s->n_marks, second.lookups);
	CHECK(name == subject_at(s, "deep")->lines[0].name);
	symbols_free(symbols);
	subject_free(s);
}

TEST(an_exact_address_is_looked_up_as_it_is)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(NULL);
	unsigned long long start = 0;
	char path[128];
	FILE *file;

	CHECK(subject_shell(s, "nm program | sed -n 's/ T symbols_plain$//p' > address"));
	snprintf(path, sizeof(path), "%s/address", s->dir);
	file = fopen(path, "r");
	CHECK(file && fscanf(file, "%llx", &start) == 1);
	if (file)
		fclose(file);
	subject_start(s);
	s->frames[0].address = s->module.bias + start;
	s->frames[0].flags = HEAPD_FRAME_EXACT;
	subject_resolve(s, symbols, true);
	CHECK_STR("symbols_plain", s->symbols[0].lines[0].name);
	s->frames[0].flags = 0;
	subject_resolve(s, symbols, true);
	CHECK(strcmp("symbols_plain", s->symbols[0].lines[0].name) != 0);
	symbols_free(symbols);
	subject_free(s);
}

TEST(names_of_cxx_are_readable_and_keep_their_template_arguments)
{
	static const char *const wanted[][3] = {
		{ "template", "zoo::Cage<std::vector<int, std::allocator<int> > >::put", "_ZN3zoo4Cage" },
		{ "operator", "zoo::Cage<std::vector<int, std::allocator<int> > >::operator+=", "_ZN3zoo4Cage" },
		{ "static", "file_local", "_ZL10file_local" },
		{ "lambda", "main::{lambda()#1}::operator()", "_ZZ4main" },
	};
	struct subject *s;
	struct symbols *symbols = subject_symbols(NULL);
	const struct symbol *hidden;

	s = subject_new(SYMBOLS_CXX, "symbols_names.cc", FLAGS);
	subject_start(s);
	subject_resolve(s, symbols, true);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		const struct symbol *symbol = subject_at(s, wanted[i][0]);
		CHECK_STR(wanted[i][1], symbol->lines[0].name);
		CHECK(strncmp(wanted[i][2], symbol->lines[0].system_name, strlen(wanted[i][2])) == 0);
		CHECK(symbol->lines[0].line > 0);
	}
	hidden = subject_at(s, "hidden");
	CHECK_EQ(2, hidden->n_lines);
	CHECK_STR("zoo::(anonymous namespace)::hidden_inlined", hidden->lines[0].name);
	CHECK_STR("zoo::(anonymous namespace)::hidden", hidden->lines[hidden->n_lines - 1].name);
	symbols_free(symbols);
	subject_free(s);
}

static void
check_rust(const char *flags)
{
	struct subject *s = subject_new("rustc", "symbols_names.rs", flags);
	struct symbols *symbols = subject_symbols(NULL);
	const struct symbol *method, *trait;

	subject_start(s);
	subject_resolve(s, symbols, true);
	method = subject_at(s, "method");
	trait = subject_at(s, "trait");
	CHECK_STR("mark", strrchr(method->lines[0].name, ':') ? strrchr(method->lines[0].name, ':') + 1 : "");
	CHECK_EQ(2, method->n_lines);
	CHECK(strstr(method->lines[method->n_lines - 1].name, "Cage<") != NULL);
	CHECK(strstr(method->lines[method->n_lines - 1].name, "::put") != NULL);
	CHECK(strstr(trait->lines[trait->n_lines - 1].name, "::feed") != NULL);
	CHECK(!strstr(trait->lines[trait->n_lines - 1].name, "17h"));
	if (method->n_lines == 2)
		CHECK_STR(SYMBOLS_SOURCES "/symbols_names.rs", method->lines[1].file);
	symbols_free(symbols);
	subject_free(s);
}

TEST(names_of_rust_are_readable)
{
	if (skipped("names_of_rust_are_readable_with_rustc", "rustc"))
		return;
	check_rust("-g -O -C link-arg=-Wl,--build-id");
	check_rust("-g -O -C symbol-mangling-version=v0 -C link-arg=-Wl,--build-id");
}

TEST(a_name_of_control_characters_and_broken_utf8_becomes_clean_text)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(NULL);

	CHECK(subject_shell(s, "strip -g program && printf 'symbols_plain a\\033[2J\\377b\\303\\251\\n' > new && "
			       "objcopy --redefine-syms=new program"));
	subject_start(s);
	subject_resolve(s, symbols, true);
	CHECK_STR("a?[2J?b\303\251", subject_at(s, "plain")->lines[0].name);
	CHECK_STR("a?[2J?b\303\251", subject_at(s, "plain")->lines[0].system_name);
	symbols_free(symbols);
	subject_free(s);
}

TEST(the_vdso_and_code_without_module_have_stable_names)
{
	struct snapshot_module vdso = {
		.start = 0x7000, .end = 0x9000, .bias = 0x7000, .path = (char[]){ "[vdso]" }, .present = true
	};
	struct snapshot_frame frames[] = { { .address = 0x7124, .module = 0 },
					   { .address = 0x4000, .module = HEAPD_NONE },
					   { .address = 0x5000, .module = HEAPD_NONE },
					   { .address = 0, .module = HEAPD_NONE } };
	struct snapshot snap = { .modules = &vdso, .n_modules = 1, .frames = frames, .n_frames = 4 };
	struct symbols *symbols = subject_symbols(NULL);
	struct symbols_counters counters;
	struct symbol found[4];

	CHECK_EQ(0, symbols_resolve(symbols, &snap, 0, found));
	CHECK_STR("[vdso]+0x123", found[0].lines[0].name);
	CHECK_STR("[jit]", found[1].lines[0].name);
	CHECK(found[1].lines == found[2].lines);
	CHECK_STR("[unknown]", found[3].lines[0].name);
	symbols_count(symbols, &counters);
	CHECK_EQ(0, counters.worker_starts);
	symbols_free(symbols);
}

struct asker {
	struct symbols *symbols;
	const struct subject *subject;
	struct symbol found[SUBJECT_MARKS];
	pthread_t thread;
};

static void *
ask(void *argument)
{
	struct asker *a = argument;

	for (int i = 0; i < 20; i++)
		if (symbols_resolve(a->symbols, &a->subject->snapshot, (uint32_t)a->subject->pid, a->found) != 0)
			return a;
	return NULL;
}

TEST(threads_may_ask_at_once_and_one_worker_serves_them_all)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(NULL);
	struct symbols_counters counters;
	struct asker askers[4];

	subject_start(s);
	for (size_t i = 0; i < 4; i++) {
		askers[i] = (struct asker){ .symbols = symbols, .subject = s };
		CHECK_EQ(0, pthread_create(&askers[i].thread, NULL, ask, &askers[i]));
	}
	for (size_t i = 0; i < 4; i++) {
		void *failed;
		CHECK_EQ(0, pthread_join(askers[i].thread, &failed));
		CHECK(!failed);
		memcpy(s->symbols, askers[i].found, sizeof(s->symbols));
		check_inlined(s);
	}
	symbols_count(symbols, &counters);
	CHECK_EQ(1, counters.worker_starts);
	symbols_free(symbols);
	subject_free(s);
}

/* A target of nothing but new addresses, as many as are kept at all. */
static void
fill(struct symbols *symbols, uint64_t life)
{
	struct snapshot_frame frames[64];
	struct snapshot_module module = {
		.path = (char[]){ "[full]" }, .start = 1, .end = UINT64_MAX, .present = true
	};
	struct snapshot snap = { .modules = &module, .n_modules = 1, .frames = frames, .n_frames = 64, .random = life };
	struct symbol found[64];

	for (uint64_t i = 0; i < 64; i++)
		frames[i] = (struct snapshot_frame){ .address = 0x1000 * (i + 1) };
	CHECK_EQ(0, symbols_resolve(symbols, &snap, 0, found));
}

TEST(a_target_that_fills_the_cache_takes_no_names_from_others_for_long)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(&(struct symbols_options){ .addresses_max = 50 });
	struct symbols_counters counters;
	uint64_t refused;

	subject_start(s);
	symbols_enter(symbols);
	fill(symbols, 1);
	subject_resolve(s, symbols, true);
	CHECK_EQ(SYMBOL_FAILED, s->symbols[0].state); /* there is no room */
	symbols_count(symbols, &counters);
	refused = counters.cache_refused;
	CHECK(refused > 0);
	symbols_leave(symbols);
	for (int i = 0; i < 3; i++) {
		symbols_enter(symbols);
		subject_resolve(s, symbols, true);
		check_inlined(s);
		fill(symbols, 2);
		check_inlined(s); /* what was given stays good */
		symbols_leave(symbols);
	}
	symbols_count(symbols, &counters);
	CHECK(counters.cache_refused > refused);
	symbols_free(symbols);
	subject_free(s);
}

static void *
fill_and_ask(void *argument)
{
	struct asker *a = argument;
	void *ret = NULL;

	for (uint64_t i = 0; i < 30 && !ret; i++) {
		symbols_enter(a->symbols);
		if (symbols_resolve(a->symbols, &a->subject->snapshot, (uint32_t)a->subject->pid, a->found) != 0)
			ret = a;
		for (size_t k = 0; k < a->subject->n_marks; k++)
			if (strlen(a->found[k].lines[0].name) == 0)
				ret = a;
		fill(a->symbols, i + 10);
		symbols_leave(a->symbols);
	}
	return ret;
}

TEST(names_are_forgotten_only_when_nobody_holds_them)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(&(struct symbols_options){ .addresses_max = 80 });
	struct asker askers[4];

	subject_start(s);
	for (size_t i = 0; i < 4; i++) {
		askers[i] = (struct asker){ .symbols = symbols, .subject = s };
		CHECK_EQ(0, pthread_create(&askers[i].thread, NULL, fill_and_ask, &askers[i]));
	}
	for (size_t i = 0; i < 4; i++) {
		void *failed;

		CHECK_EQ(0, pthread_join(askers[i].thread, &failed));
		CHECK(!failed);
	}
	symbols_free(symbols);
	subject_free(s);
}

static double
milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* It takes half a millisecond, and 15 under the thread sanitizer; the rest is for a busy machine. */
TEST(ten_thousand_known_frames_take_a_few_milliseconds)
{
	struct subject *s = subject_new(SYMBOLS_CC, SOURCE, FLAGS);
	struct symbols *symbols = subject_symbols(NULL);
	struct snapshot_frame *frames = calloc(10000, sizeof(*frames));
	struct symbol *found = calloc(10000, sizeof(*found));
	double best = 1e9;

	subject_start(s);
	for (size_t i = 0; i < 10000; i++)
		frames[i] = (struct snapshot_frame){ .address = s->module.bias + 0x1000 + i };
	s->snapshot.frames = frames;
	s->snapshot.n_frames = 10000;
	CHECK_EQ(0, symbols_resolve(symbols, &s->snapshot, (uint32_t)s->pid, found));
	for (int i = 0; i < 5; i++) {
		double start = milliseconds();
		CHECK_EQ(0, symbols_resolve(symbols, &s->snapshot, (uint32_t)s->pid, found));
		if (milliseconds() - start < best)
			best = milliseconds() - start;
	}
	printf("# %.2f ms\n", best);
	CHECK(best < 100);
	free(frames);
	free(found);
	symbols_free(symbols);
	subject_free(s);
}
