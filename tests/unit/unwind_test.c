/* unwind_test.c - the walk against the one of libunwind (or libgcc), where it must end, and in company. */
#include "unwind_walk.h"

#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "frames.h"
#include "test.h"

int shapes_O0(void (*end)(void));
int shapes_O2(void (*end)(void));
int shapes_O3(void (*end)(void));
int shapes_Os(void (*end)(void));
int shapes_cxx_O2(void (*end)(void));
int shapes_cxx_O3(void (*end)(void));

/* -- agreement -- */

TEST(c_at_every_level_is_walked_as_the_reference_does)
{
	static int (*const levels[])(void (*)(void)) = { shapes_O0, shapes_O2, shapes_O3, shapes_Os };

	begin();
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		int before = walks;
		levels[i](walk_both);
		CHECK(walks > before);
		CHECK(walked.stack.depth > 16);
	}
	CHECK_EQ(0, walks_wrong);
}

TEST(cxx_with_callbacks_destructors_and_exceptions_is_walked_as_the_reference_does)
{
	begin();
	shapes_cxx_O2(walk_both);
	CHECK(walks >= 5);
	shapes_cxx_O3(walk_both);
	CHECK(walks >= 10);
	CHECK_EQ(0, walks_wrong);
}

static void *
thread_shapes(void *arg)
{
	range = own_range();
	walks = walks_wrong = 0;
	shapes_O2(walk_both);
	CHECK(walks > 0);
	CHECK_EQ(0, walks_wrong);
	return arg;
}

TEST(a_thread_is_walked_to_its_beginning)
{
	pthread_t thread;

	begin();
	CHECK_EQ(0, pthread_create(&thread, NULL, thread_shapes, NULL));
	pthread_join(thread, NULL);
}

/* -- what a stack looks like -- */

TEST(each_frame_has_its_cfa_and_the_outermost_none)
{
	begin();
	outer();
	CHECK_EQ(cfa_seen[0], range.high - walked.stack.cfas[0]);
	CHECK_EQ(cfa_seen[1], range.high - walked.stack.cfas[1]);
	CHECK_EQ(0, walked.stack.cfas[walked.stack.depth - 1]);
	for (uint32_t i = 1; i + 1 < walked.stack.depth; i++)
		CHECK(walked.stack.cfas[i] < walked.stack.cfas[i - 1]);
	CHECK_EQ(0, walked.stack.flags);
}

TEST(equal_stacks_have_equal_frames_and_hashes_and_others_do_not)
{
	struct stack first, second;

	begin();
	for (volatile int i = 0; i < 2; i++) {
		outer();
		if (i == 0)
			first = walked.stack;
	}
	second = walked.stack;
	CHECK_EQ(first.depth, second.depth);
	CHECK_EQ(0, memcmp(first.frames, second.frames, first.depth * sizeof(first.frames[0])));
	CHECK(first.hash == second.hash);
	outer();
	CHECK(first.hash != walked.stack.hash);
	CHECK(first.frames[2] != walked.stack.frames[2]);
	CHECK_EQ(first.frames[1], walked.stack.frames[1]);
	CHECK_EQ(first.depth, walked.stack.depth);
}

TEST(a_frame_is_recorded_once_however_often_its_row_is_forgotten)
{
	uint32_t used = 0;

	begin();
	for (volatile int i = 0; i < 70000; i++) { /* the generation in a row's key comes round twice */
		outer();
		used = i == 0 ? atomic_load(&fake_header.sections[HEAPD_FRAMES].used) : used;
		unwind_forget(unwinder, &fake_segment);
	}
	CHECK_EQ(used, atomic_load(&fake_header.sections[HEAPD_FRAMES].used));
	CHECK_EQ(70000, atomic_load(&fake_header.modules_generation));
	CHECK_EQ(0, walked.stack.flags);
}

TEST(frames_differ_by_address_module_and_flags_and_by_nothing_else)
{
	enum { ADDRESSES = 500, MODULES = 64 };
	void *_Atomic index = NULL;
	static uint32_t first[ADDRESSES][MODULES][2];
	int wrong = 0;

	begin();
	for (int round = 0; round < 2; round++)
		for (uint32_t a = 0; a < ADDRESSES; a++)
			for (uint32_t m = 0; m < MODULES; m++)
				for (uint32_t flags = 0; flags < 2; flags++) {
					uint32_t i = frames_intern(&index, &fake_segment, 4096 + a, m, flags);

					if (round == 0)
						first[a][m][flags] = i;
					wrong += i != first[a][m][flags] || fake_frames[i].module != m ||
						 fake_frames[i].flags != flags ||
						 atomic_load(&fake_frames[i].address) != 4096 + a;
				}
	CHECK_EQ(0, wrong);
	CHECK_EQ(ADDRESSES * MODULES * 2, atomic_load(&fake_header.sections[HEAPD_FRAMES].used));
}

/* -- where it must stop -- */

__attribute__((noinline)) static int
deep(int n)
{
	int r;

	if (n == 0) {
		walk_here();
		return 0;
	}
	r = deep(n - 1);
	__asm__ volatile("");
	return r + n;
}

TEST(a_deep_stack_is_cut_and_says_so)
{
	begin();
	deep(10000);
	CHECK_EQ(HEAPD_MAX_DEPTH, walked.stack.depth);
	CHECK_EQ(HEAPD_STACK_DEEP, walked.stack.flags);
	CHECK_EQ(1, atomic_load(&fake_header.lost[HEAPD_LOST_DEEP]));
	CHECK(walked.pcs[1] == walked.pcs[127]);
}

TEST(on_a_stack_that_is_not_known_only_the_leaf_is_taken)
{
	begin();
	range = (struct stack_range){ 0, 0 };
	walk_here();
	CHECK_EQ(1, walked.stack.depth);
	CHECK_EQ(HEAPD_STACK_FOREIGN, walked.stack.flags);
	CHECK_EQ(0, walked.stack.cfas[0]);
	CHECK_EQ(0, frame(0)->module);
	CHECK_EQ(1, atomic_load(&fake_header.lost[HEAPD_LOST_FOREIGN]));
}

TEST(nothing_above_the_end_of_the_stack_counts_as_a_frame)
{
	uintptr_t end, leaf, outermost;
	uint32_t depth;

	begin();
	outer();
	leaf = cfa_seen[0];
	depth = walked.stack.depth;
	outermost = range.high - walked.stack.cfas[depth - 2];
	CHECK(outermost > leaf + 64);
	/* A range that ends at each word in turn. */
	for (end = leaf - 8; end < outermost; end += 8) {
		range.high = end;
		outer();
		CHECK(walked.stack.depth >= 1 && walked.stack.depth < depth);
		CHECK(walked.stack.flags != 0);
		for (uint32_t i = 0; i + 1 < walked.stack.depth; i++)
			CHECK(walked.stack.cfas[i] <= end - leaf);
	}
}

static ucontext_t context_main, context_fibre;
static char fibre_stack[65536] __attribute__((aligned(16)));

static void
fibre(void)
{
	outer();
	swapcontext(&context_fibre, &context_main);
}

static void
fibre_run(void)
{
	getcontext(&context_fibre);
	context_fibre.uc_stack.ss_sp = fibre_stack;
	context_fibre.uc_stack.ss_size = sizeof(fibre_stack);
	context_fibre.uc_link = &context_main;
	makecontext(&context_fibre, fibre, 0);
	swapcontext(&context_main, &context_fibre);
}

TEST(a_fibre_is_not_walked_with_the_range_of_its_thread)
{
	begin();
	fibre_run();
	CHECK_EQ(1, walked.stack.depth);
	CHECK_EQ(HEAPD_STACK_FOREIGN, walked.stack.flags);
}

TEST(a_fibre_whose_stack_is_known_is_walked_to_its_beginning)
{
	begin();
	range = (struct stack_range){ (uintptr_t)fibre_stack, (uintptr_t)fibre_stack + sizeof(fibre_stack) };
	fibre_run();
	CHECK(walked.stack.depth >= 3);
	CHECK_EQ(0, walked.stack.flags);
}

/* -- processes and threads -- */

TEST(a_fork_child_begins_anew)
{
	int status = -1;
	pid_t pid;

	begin();
	outer();
	pid = fork();
	if (pid == 0) {
		bool empty = !atomic_load(&unwinder->rows) && !atomic_load(&unwinder->frames);

		fake_segment_reset(FAKE_MODULES, FAKE_FRAMES);
		modules_start(&fake_segment);
		outer();
		_exit(empty && walked.stack.flags == 0 && walked.stack.depth > 3 && frame(0)->module == 0 ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	if (emulated() && status != 0) {
		printf("# skipped: the emulator does not wipe memory on fork\n");
		return;
	}
	CHECK_EQ(0, status);
}

static _Atomic bool stop;
static _Atomic int wrong_elsewhere;

__attribute__((noinline)) static void
check_again(void)
{
	struct unwind_start start = START_HERE();

	walk(&start);
	if (walked.stack.flags != 0 || !same(&walked))
		wrong_elsewhere++;
}

__attribute__((noinline)) static void
check_many(void)
{
	struct unwind_start start = START_HERE();

	reference_walk(&walked, start.pc);
	for (int i = 0; i < 300; i++) {
		walk(&start);
		if (walked.stack.flags != 0 || !same(&walked))
			wrong_elsewhere++;
	}
}

static void *
walker(void *arg)
{
	range = own_range();
	for (int i = 0; i < 40; i++) {
		shapes_O2(check_many);
		shapes_O3(check_many);
	}
	return arg;
}

static void *
forgetter(void *arg)
{
	while (!atomic_load(&stop))
		unwind_forget(unwinder, &fake_segment);
	return arg;
}

TEST(walks_stay_right_while_rows_are_forgotten_under_them)
{
	pthread_t walkers[2], forgets;

	begin();
	stop = false;
	wrong_elsewhere = 0;
	pthread_create(&forgets, NULL, forgetter, NULL);
	for (int i = 0; i < 2; i++)
		pthread_create(&walkers[i], NULL, walker, NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(walkers[i], NULL);
	stop = true;
	pthread_join(forgets, NULL);
	CHECK_EQ(0, wrong_elsewhere);
	(void)check_again;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define PAINT 8192

__attribute__((noinline)) static void
paint(void)
{
	volatile uint64_t area[PAINT / 8];

	for (size_t i = 0; i < PAINT / 8; i++)
		area[i] = 0x5ca1ab1e5ca1ab1e;
	__asm__ volatile("" ::"r"(area) : "memory");
}

__attribute__((noinline)) static size_t
painted_over(void)
{
	volatile uint64_t area[PAINT / 8];
	size_t i = 0;

	__asm__("" : "=m"(area));
	while (i < PAINT / 8 && area[i] == 0x5ca1ab1e5ca1ab1e)
		i++;
	return PAINT - i * 8;
}

TEST(a_cold_walk_uses_less_than_a_kilobyte_of_stack)
{
	static struct stack stack;
	struct unwind_start start;
	size_t used;

	begin();
	walk_here();
	start = (struct unwind_start){ (uintptr_t)walked.pcs[0], walked.cfa, 0 };
	atomic_store(&unwinder->rows, NULL);
	atomic_store(&unwinder->frames, NULL);
	atomic_store(&unwinder->modules, NULL);
	fake_segment_reset(FAKE_MODULES, FAKE_FRAMES);
	modules_start(&fake_segment);
	paint();
	unwind(unwinder, &fake_segment, &start, &range, &stack);
	used = painted_over();
	printf("# %zu bytes of stack\n", used);
	CHECK(used > 200 && used < 1024);
}
#endif
