/* unwind_code_test.c - walks through code that is not the compiler's: tables that lie, none at all, signals, code made at
 * run time; and which module a frame is said to be of. */
#include "unwind_walk.h"

#include <dlfcn.h>
#include <elf.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "test.h"

/* -- code whose tables lie, and code without -- */

/* Code with tables that lie, and without any. Each calls walk_here. */
#if defined(__x86_64__)
__asm__(".text\n"
	"cfa_too_far: .cfi_startproc\n sub $8,%rsp\n .cfi_def_cfa_offset 1<<30\n call walk_here\n"
	".cfi_def_cfa_offset 16\n add $8,%rsp\n ret\n .cfi_endproc\n"
	"cfa_too_near: .cfi_startproc\n sub $8,%rsp\n .cfi_def_cfa_offset -8\n call walk_here\n"
	".cfi_def_cfa_offset 16\n add $8,%rsp\n ret\n .cfi_endproc\n"
	"fp_garbage: .cfi_startproc\n push %rbp\n .cfi_def_cfa_offset 16\n .cfi_offset 6,-16\n .cfi_def_cfa 6,16\n"
	"mov $0x4141414141414140,%rbp\n call walk_here\n .cfi_def_cfa 7,16\n pop %rbp\n .cfi_def_cfa_offset 8\n ret\n"
	".cfi_endproc\n"
	"fp_garbage_near: .cfi_startproc\n push %rbp\n .cfi_def_cfa_offset 16\n .cfi_offset 6,-16\n .cfi_def_cfa 6,16\n"
	"lea 3(%rsp),%rbp\n call walk_here\n .cfi_def_cfa 7,16\n pop %rbp\n .cfi_def_cfa_offset 8\n ret\n "
	".cfi_endproc\n"
	"no_tables: push %rbp\n mov $0x1234567,%ebp\n call walk_here\n pop %rbp\n ret\n"
	"no_tables_but_fp: push %rbp\n mov %rsp,%rbp\n call walk_here\n pop %rbp\n ret\n"
	"realigned: .cfi_startproc\n lea 8(%rsp),%r10\n .cfi_def_cfa 10,0\n and $-64,%rsp\n push -8(%r10)\n push %rbp\n"
	".cfi_escape 0x10,6,2,0x76,0\n mov %rsp,%rbp\n push %r10\n .cfi_escape 0x0f,3,0x76,0x78,0x06\n"
	"sub $104,%rsp\n call walk_both_hook\n add $104,%rsp\n pop %r10\n .cfi_def_cfa 10,0\n pop %rbp\n"
	"lea -8(%r10),%rsp\n .cfi_def_cfa 7,8\n ret\n .cfi_endproc\n"
	"return_elsewhere: .cfi_startproc\n push (%rsp)\n .cfi_def_cfa_offset 16\n .cfi_offset 16,-16\n"
	"movq $0x4141,8(%rsp)\n call walk_both_hook\n mov (%rsp),%rax\n mov %rax,8(%rsp)\n .cfi_offset 16,-8\n"
	"add $8,%rsp\n .cfi_def_cfa_offset 8\n ret\n .cfi_endproc\n"
	"through_plt: .cfi_startproc\n .cfi_escape 0x0f,11,0x77,8,0x80,0,0x3f,0x1a,0x3b,0x2a,0x33,0x24,0x22\n"
	".p2align 4\n through_plt_16: nop\n nop\n nop\n nop\n nop\n nop\n ud2\n push $0\n nop\n ud2\n add $8,%rsp\n "
	"ret\n "
	".cfi_endproc\n");
#elif defined(__aarch64__)
__asm__(".text\n"
	"cfa_too_far: .cfi_startproc\n stp x29,x30,[sp,-16]!\n .cfi_def_cfa_offset 1<<30\n .cfi_offset 29,-16\n"
	".cfi_offset 30,-8\n bl walk_here\n ldp x29,x30,[sp],16\n ret\n .cfi_endproc\n"
	"cfa_too_near: .cfi_startproc\n stp x29,x30,[sp,-16]!\n .cfi_def_cfa_offset 0\n .cfi_offset 29,-16\n"
	".cfi_offset 30,-8\n bl walk_here\n ldp x29,x30,[sp],16\n ret\n .cfi_endproc\n"
	"fp_garbage: .cfi_startproc\n stp x29,x30,[sp,-16]!\n .cfi_def_cfa 29,16\n .cfi_offset 29,-16\n .cfi_offset "
	"30,-8\n"
	"ldr x29,=0x4141414141414140\n bl walk_here\n ldp x29,x30,[sp],16\n ret\n .cfi_endproc\n"
	"fp_garbage_near: .cfi_startproc\n stp x29,x30,[sp,-16]!\n .cfi_def_cfa 29,16\n .cfi_offset 29,-16\n"
	".cfi_offset 30,-8\n add x29,sp,3\n bl walk_here\n ldp x29,x30,[sp],16\n ret\n .cfi_endproc\n"
	"no_tables: stp x29,x30,[sp,-16]!\n mov x29,#0x1238\n bl walk_here\n ldp x29,x30,[sp],16\n ret\n"
	"no_tables_but_fp: stp x29,x30,[sp,-16]!\n mov x29,sp\n bl walk_here\n ldp x29,x30,[sp],16\n ret\n .ltorg\n");
#endif
void cfa_too_far(void), cfa_too_near(void), fp_garbage(void), fp_garbage_near(void), no_tables(void),
	no_tables_but_fp(void);

TEST(tables_that_lie_end_the_walk_without_harm)
{
	static void (*const liars[])(void) = { cfa_too_far, cfa_too_near, fp_garbage, fp_garbage_near };

	begin();
	for (size_t i = 0; i < sizeof(liars) / sizeof(liars[0]); i++) {
		liars[i]();
		CHECK_EQ(1, walked.stack.depth);
		CHECK_EQ(HEAPD_STACK_BAD_FRAME, walked.stack.flags);
		CHECK_EQ(0, walked.stack.cfas[0]);
	}
	CHECK_EQ(4, atomic_load(&fake_header.lost[HEAPD_LOST_BAD_FRAME]));
}

TEST(code_without_tables_ends_the_walk_unless_it_keeps_a_frame_pointer)
{
	begin();
	no_tables();
	CHECK_EQ(1, walked.stack.depth);
	CHECK_EQ(HEAPD_STACK_NO_CFI, walked.stack.flags);
	CHECK_EQ(1, atomic_load(&fake_header.lost[HEAPD_LOST_NO_CFI]));
	no_tables_but_fp();
	CHECK(walked.stack.depth >= 4);
	CHECK_EQ(0, walked.stack.flags);
}

#if defined(__x86_64__)
void realigned(void);
void walk_both_hook(void);

__attribute__((noinline)) void
walk_both_hook(void)
{
	walk_both();
	__asm__ volatile("");
}

void return_elsewhere(void);

TEST(a_return_address_that_was_moved_is_found)
{
	begin();
	return_elsewhere();
	CHECK_EQ(2, walks);
	CHECK_EQ(0, walks_wrong);
	CHECK(walked.stack.depth >= 5);
}

TEST(a_realigned_stack_is_walked_as_the_reference_does)
{
	begin();
	realigned();
	CHECK_EQ(2, walks);
	CHECK_EQ(0, walks_wrong);
	CHECK(walked.stack.depth >= 5);
}
#endif

/* Where code is mapped: the program, its libraries, the loader. */
static struct {
	uintptr_t low, size;
} texts[64];
static size_t texts_count;

static int
find_texts(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum && texts_count < 64; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];

		if (h->p_type == PT_LOAD && (h->p_flags & PF_X) && h->p_memsz > 0) {
			texts[texts_count].low = info->dlpi_addr + h->p_vaddr;
			texts[texts_count++].size = h->p_memsz;
		}
	}
	return 0;
}

static uint64_t
random_word(void)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uintptr_t
random_code(void)
{
	size_t i = random_word() % texts_count;

	return texts[i].low + random_word() % texts[i].size;
}

TEST(no_stack_however_wrong_makes_us_read_outside_of_it)
{
	enum { WORDS = 512, WALKS = 200000 };
	uint8_t *pages = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t *words = (uint64_t *)(pages + 4096);
	unsigned flags_seen = 0, deepest = 0;
	bool rising = true;

	CHECK(pages != MAP_FAILED);
	CHECK_EQ(0, mprotect(pages, 4096, PROT_NONE));
	CHECK_EQ(0, mprotect(pages + 2 * 4096, 4096, PROT_NONE));
	texts_count = 0;
	dl_iterate_phdr(find_texts, NULL);
	for (int i = 0; i < WALKS; i++) {
		uintptr_t low = (uintptr_t)words, high = low + WORDS * 8;
		struct unwind_start start = { random_code(), low + random_word() % (WORDS * 8), random_word() };

		if (i % 10000 == 0)
			begin();
		if (i % 8 == 0)
			for (int k = 0; k < WORDS; k++)
				words[k] = random_word() % 2   ? random_code()
					   : random_word() % 4 ? low + random_word() % (WORDS * 8)
							       : random_word() >> random_word() % 64;
		if (i % 4)
			start.cfa &= ~(uintptr_t)15;
		if (i % 3)
			start.fp = low + random_word() % (WORDS * 8) / 8 * 8;
		range = (struct stack_range){ low, high };
		walk(&start);
		flags_seen |= walked.stack.flags;
		deepest = walked.stack.depth > deepest ? walked.stack.depth : deepest;
		for (uint32_t k = 0; k + 1 < walked.stack.depth; k++)
			rising &=
				walked.stack.cfas[k] <= high - low && walked.stack.cfas[k + 1] <= walked.stack.cfas[k];
	}
	CHECK(rising);
	CHECK(deepest > 4);
	CHECK((flags_seen & (HEAPD_STACK_BAD_FRAME | HEAPD_STACK_NO_CFI)) ==
	      (HEAPD_STACK_BAD_FRAME | HEAPD_STACK_NO_CFI));
	munmap(pages, 3 * 4096);
}

/* -- signals -- */

static volatile sig_atomic_t handled;

static void
on_signal(int number)
{
	(void)number;
	handled++;
	walk_both();
}

static void
on_signal_alone(int number)
{
	(void)number;
	handled++;
	walk_here();
}

#if defined(__aarch64__)
/* A trampoline of our own with tables, as the kernel's is: not every emulator brings one. For the reference the tables say
 * where the kernel put pc, fp and sp. */
__asm__(".text\n .cfi_startproc\n .cfi_signal_frame\n .cfi_escape 0x0f,4,0x8f,0xb0,0x04,0x06\n"
	".cfi_escape 0x10,30,3,0x8f,0xb8,0x04\n .cfi_escape 0x10,29,3,0x8f,0xa0,0x04\n nop\n"
	"trampoline: mov x8,#139\n svc #0\n .cfi_endproc\n");
void trampoline(void);

static void
signal_install(void)
{
	struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		uint64_t mask;
	} action = { on_signal, 0x04000000 /* SA_RESTORER */, trampoline, 0 };

	CHECK_EQ(0, syscall(SYS_rt_sigaction, SIGUSR1, &action, NULL, sizeof(action.mask)));
}
#else
static void
signal_install(void)
{
	CHECK_EQ(0, sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal }, NULL));
}
#endif

TEST(a_signal_handler_is_walked_into_what_it_interrupted)
{
	uint32_t exact = 0;

	begin();
	handled = 0;
	signal_install();
	raise(SIGUSR1);
	CHECK_EQ(1, handled);
	CHECK_EQ(0, walks_wrong);
	for (uint32_t i = 0; i < walked.stack.depth; i++)
		exact += frame(i)->flags & HEAPD_FRAME_EXACT;
	CHECK_EQ(2, exact); /* the trampoline, which nobody called, and the interrupted instruction */
	CHECK(walked.stack.depth > 5);
}

#if defined(__x86_64__)
void through_plt_16(void);

static void
on_trap(int number, siginfo_t *info, void *context)
{
	ucontext_t *c = context;

	(void)number;
	(void)info;
	handled++;
	walk_both();
	c->uc_mcontext.gregs[REG_RIP] += 2; /* over the ud2 */
}

TEST(code_interrupted_in_a_procedure_linkage_table_is_walked)
{
	/* Traps before and after the entry's push, which is all the expression of such a table tells apart. */
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	begin();
	handled = 0;
	sigaction(SIGILL, &action, NULL);
	through_plt_16();
	CHECK_EQ(2, handled);
	CHECK_EQ(0, walks_wrong);
}
#endif

TEST(a_handler_on_its_own_stack_is_not_walked)
{
	static char alternate[65536];
	struct sigaction action = { .sa_handler = on_signal_alone, .sa_flags = SA_ONSTACK };
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };

	begin();
	handled = 0;
	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	CHECK_EQ(1, handled);
	CHECK_EQ(1, walked.stack.depth);
	CHECK_EQ(HEAPD_STACK_FOREIGN, walked.stack.flags);
	/* Known as a stack of its own, it is walked to its end, which is where the interrupted stack begins. */
	range = (struct stack_range){ (uintptr_t)alternate, (uintptr_t)alternate + sizeof(alternate) };
	raise(SIGUSR1);
	CHECK(walked.stack.depth >= 1);
	CHECK(walked.stack.flags != 0);
	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
}

/* -- code made at run time -- */

static size_t
stub_write(uint8_t *at)
{
#if defined(__x86_64__)
	/* push rbp; mov rbp, rsp; call rdi; pop rbp; ret */
	static const uint8_t code[] = { 0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3 };
#else
	/* stp x29, x30, [sp, -16]!; mov x29, sp; blr x0; ldp x29, x30, [sp], 16; ret */
	static const uint32_t code[] = { 0xa9bf7bfd, 0x910003fd, 0xd63f0000, 0xa8c17bfd, 0xd65f03c0 };
#endif
	memcpy(at, code, sizeof(code));
	return sizeof(code);
}

TEST(more_addresses_than_the_table_holds_are_all_walked)
{
	enum { STUBS = 20000, ROOM = 20 };
	uint8_t *code = mmap(NULL, STUBS * ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t depth = 0;
	int wrong = 0;

	CHECK(code != MAP_FAILED);
	for (int i = 0; i < STUBS; i++)
		stub_write(code + i * ROOM);
	CHECK_EQ(0, mprotect(code, STUBS * ROOM, PROT_READ | PROT_EXEC));
	__builtin___clear_cache((char *)code, (char *)code + STUBS * ROOM);
	begin();
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < STUBS; i++) {
			void (*stub)(void (*)(void));

			*(void **)&stub = code + i * ROOM;
			stub(walk_here);
			if (depth == 0)
				depth = walked.stack.depth;
			wrong += walked.stack.depth != depth || walked.stack.flags != 0 ||
				 frame(0)->module != HEAPD_NONE || walked.pcs[0] < (uintptr_t)stub ||
				 walked.pcs[0] > (uintptr_t)stub + ROOM;
		}
	CHECK_EQ(0, wrong);
	CHECK(depth >= 4);
	/* One frame a stub and those above it: none is recorded twice. */
	CHECK(atomic_load(&fake_header.sections[HEAPD_FRAMES].used) <= STUBS + 64);
	munmap(code, STUBS * ROOM);
}

enum { CHURN_THREADS = 3, CHURN_STUBS = 6000 };
static _Atomic int churn_wrong;

static void *
churn(void *arg)
{
	uint8_t *code = arg;

	range = own_range();
	for (int round = 0; round < 40; round++)
		for (int i = 0; i < CHURN_STUBS; i++) {
			void (*stub)(void (*)(void));

			*(void **)&stub = code + i * 20;
			stub(walk_here);
			if (walked.stack.flags != 0 || walked.pcs[0] < (uintptr_t)stub ||
			    walked.pcs[0] > (uintptr_t)stub + 20)
				churn_wrong++;
		}
	return arg;
}

TEST(a_row_that_another_thread_takes_over_is_not_used_half)
{
	const size_t size = (size_t)CHURN_THREADS * CHURN_STUBS * 20;
	uint8_t *code = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t threads[CHURN_THREADS];

	CHECK(code != MAP_FAILED);
	for (int i = 0; i < CHURN_THREADS * CHURN_STUBS; i++)
		stub_write(code + i * 20);
	CHECK_EQ(0, mprotect(code, size, PROT_READ | PROT_EXEC));
	__builtin___clear_cache((char *)code, (char *)code + size);
	begin();
	churn_wrong = 0;
	for (int i = 0; i < CHURN_THREADS; i++)
		pthread_create(&threads[i], NULL, churn, code + i * CHURN_STUBS * 20);
	for (int i = 0; i < CHURN_THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(0, churn_wrong);
	munmap(code, size);
}

/* -- modules -- */

static struct {
	uint8_t bytes[HEAPD_BUILD_ID_MAX];
	size_t n;
} own_build_id;

static int
find_own_build_id(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		const char *at = (const char *)(info->dlpi_addr + h->p_vaddr), *end = at + h->p_memsz;

		while (h->p_type == PT_NOTE && end - at > 12) {
			const ElfW(Nhdr) *note = (const void *)at;

			if (note->n_type == NT_GNU_BUILD_ID) {
				own_build_id.n = note->n_descsz;
				memcpy(own_build_id.bytes, at + 16, note->n_descsz);
			}
			at += 12 + ((note->n_namesz + 3) & ~3u) + ((note->n_descsz + 3) & ~3u);
		}
	}
	return 1; /* the first is the program */
}

TEST(the_main_program_is_module_0_with_its_path_and_build_id)
{
	const struct heapd_module *m = &fake_modules[0];
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path));

	begin();
	outer();
	dl_iterate_phdr(find_own_build_id, NULL);
	CHECK_EQ(HEAPD_MODULE_MAIN, m->flags);
	CHECK_EQ(n, m->path_length);
	CHECK(n > 0 && memcmp(path, fake_strings + m->path, (size_t)n) == 0);
	CHECK_EQ(own_build_id.n, m->build_id_length);
	CHECK_EQ(0, memcmp(own_build_id.bytes, m->build_id, own_build_id.n));
	CHECK(m->start <= (uintptr_t)outer && (uintptr_t)outer < atomic_load(&m->end));
	CHECK_EQ(0, frame(0)->module);
	CHECK_EQ(2, atomic_load(&fake_header.sections[HEAPD_MODULES].used)); /* and the C library, which called main */
}

/* Beside this program. */
static const char *
beside(const char *name, char ret[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - 64);

	ret[n > 0 ? n : 0] = '\0';
	strcpy(strrchr(ret, '/') + 1, name);
	return ret;
}

static uintptr_t
plugin_walk(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW);
	void (*call)(void (*)(void));
	uintptr_t place;

	if (!handle) {
		printf("# %s\n", dlerror());
		CHECK(handle != NULL);
		return 0;
	}
	*(void **)&call = dlsym(handle, "plugin_call");
	call(walk_both);
	place = (uintptr_t)call;
	dlclose(handle);
	reference_forget();
	unwind_forget(unwinder, &fake_segment);
	return place;
}

TEST(a_library_at_the_place_of_another_is_not_taken_for_it)
{
	uint32_t frames[4], modules[4], used;
	uintptr_t places[4];

	begin();
	for (int i = 0; i < 4; i++) {
		char path[PATH_MAX];

		places[i] = plugin_walk(beside(i % 2 ? "unwind_plugin_2.so" : "unwind_plugin_1.so", path));
		frames[i] = walked.stack.frames[0];
		modules[i] = frame(0)->module;
	}
	if (emulated() && (places[0] != places[1] || places[1] != places[2])) {
		printf("# skipped: the emulator puts libraries elsewhere each time\n");
		return;
	}
	CHECK(places[0] == places[1] && places[1] == places[2]); /* else this test has shown nothing */
	CHECK(modules[0] != modules[1]);
	CHECK(frames[0] != frames[1]);
	CHECK_EQ(modules[0], modules[2]); /* the same file at the same place is the same module */
	CHECK_EQ(frames[0], frames[2]);
	CHECK_EQ(modules[1], modules[3]);
	CHECK_EQ(0, walks_wrong);
	used = atomic_load(&fake_header.sections[HEAPD_MODULES].used);
	CHECK_EQ(4, used);
	CHECK_EQ(20, fake_modules[modules[0]].build_id_length);
}

static void
copy_file(const char *from, const char *to)
{
	FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
	int c;

	CHECK(in && out);
	while (in && out && (c = getc(in)) != EOF)
		putc(c, out);
	if (in)
		fclose(in);
	if (out)
		fclose(out);
}

TEST(a_file_is_another_module_under_another_name_and_with_another_build_id)
{
	char one[PATH_MAX], two[PATH_MAX], copy[] = "/tmp/unwind_plugin_XXXXXX";
	uint32_t original, copied, replaced;
	int fd = mkstemp(copy);

	CHECK(fd >= 0);
	close(fd);
	begin();
	plugin_walk(beside("unwind_plugin_1.so", one));
	original = frame(0)->module;
	copy_file(one, copy);
	plugin_walk(copy);
	copied = frame(0)->module;
	unlink(copy);
	copy_file(beside("unwind_plugin_2.so", two), copy);
	plugin_walk(copy);
	replaced = frame(0)->module;
	unlink(copy);
	CHECK(original != copied && copied != replaced && original != replaced);
	CHECK_EQ(0, memcmp(fake_modules[original].build_id, fake_modules[copied].build_id, 20));
	CHECK_EQ(fake_modules[copied].path_length, fake_modules[replaced].path_length);
	CHECK_EQ(0, walks_wrong);
}

TEST(without_room_for_a_module_its_frames_go_without_and_are_counted)
{
	begin_with(1, FAKE_FRAMES);
	outer();
	CHECK_EQ(0, walked.stack.flags);
	CHECK_EQ(0, frame(0)->module);
	CHECK_EQ(HEAPD_NONE, frame(walked.stack.depth - 2)->module); /* of the C library */
	CHECK(atomic_load(&fake_header.lost[HEAPD_LOST_MODULE]) > 0);
}

TEST(without_room_for_a_frame_there_is_no_stack)
{
	begin_with(FAKE_MODULES, 3);
	outer();
	CHECK_EQ(0, walked.stack.depth);
	CHECK_EQ(HEAPD_STACK_OVERFLOW, walked.stack.flags);
}
