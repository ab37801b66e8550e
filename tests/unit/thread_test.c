/* Where a thread's stack is, found without asking the C library or the kernel. */
#include "thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "test.h"

static struct stack_range seen;

static void *
look(void *closure)
{
	(void)closure;
	seen = thread_stack((uintptr_t)__builtin_frame_address(0));
	return NULL;
}

/* The range must lie within the stack that the C library reports, and reach near its end. */
static void
check_thread(pthread_attr_t *attr, char *base, size_t size)
{
	pthread_t thread;

	memset(&seen, 0, sizeof(seen));
	CHECK_EQ(0, pthread_create(&thread, attr, look, NULL));
	pthread_join(thread, NULL);
	CHECK(seen.low != 0);
	if (base) {
		CHECK(seen.low >= (uintptr_t)base);
		CHECK(seen.high <= (uintptr_t)base + size);
		CHECK(seen.high >= (uintptr_t)base + size - 65536);
	}
}

TEST(the_main_threads_stack_holds_its_frames_and_its_environment)
{
	thread_start();
	look(NULL);
	CHECK(seen.low < (uintptr_t)__builtin_frame_address(0));
	CHECK(seen.high > (uintptr_t)__builtin_frame_address(0));
	CHECK(seen.high - seen.low <= (size_t)1 << 30);
}

TEST(a_threads_stack_is_found_whatever_its_size)
{
	pthread_attr_t attr;

	thread_start();
	pthread_attr_init(&attr);
	check_thread(&attr, NULL, 0);
	pthread_attr_setstacksize(&attr, 65536);
	check_thread(&attr, NULL, 0);
	pthread_attr_setguardsize(&attr, 0);
	check_thread(&attr, NULL, 0);
	pthread_attr_destroy(&attr);
}

TEST(a_stack_that_the_program_brought_is_found_even_if_it_is_not_aligned_to_pages)
{
	const size_t size = 1 << 20;
	char *block = malloc(size + 64);
	pthread_attr_t attr;

	thread_start();
	pthread_attr_init(&attr);
	CHECK_EQ(0, pthread_attr_setstack(&attr, (char *)(((uintptr_t)block + 15) & ~(uintptr_t)15) + 16, size - 32));
	check_thread(&attr, block, size + 64);
	pthread_attr_destroy(&attr);
	free(block);
}

static ucontext_t back;

static void
fibre(void)
{
	look(NULL);
}

TEST(a_fibre_is_not_taken_for_the_threads_stack)
{
	ucontext_t there;
	char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	thread_start();
	getcontext(&there);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = 65536;
	there.uc_link = &back;
	makecontext(&there, fibre, 0);
	swapcontext(&back, &there);
	CHECK_EQ(0, seen.high);
	look(NULL);
	CHECK(seen.high != 0);
	munmap(stack, 65536);
}
