/* unwind_old_test.c - the walk on a C library that cannot say what is loaded: built so that _dl_find_object is missing. */
#include "unwind_walk.h"

#include "test.h"

static int
compare(const void *a, const void *b)
{
	outer();
	return *(const int *)a - *(const int *)b;
}

TEST(without_the_loaders_help_the_main_program_is_walked_and_no_further)
{
	begin();
	outer();
	CHECK(walked.stack.depth >= 4);
	CHECK_EQ(HEAPD_STACK_NO_CFI, walked.stack.flags);
	for (uint32_t i = 0; i + 1 < walked.stack.depth; i++)
		CHECK_EQ(0, frame(i)->module);
	CHECK_EQ(HEAPD_NONE, frame(walked.stack.depth - 1)->module); /* in the C library, which called main */
	CHECK_EQ(1, atomic_load(&fake_header.lost[HEAPD_LOST_NO_CFI]));
	CHECK_EQ(1, atomic_load(&fake_header.sections[HEAPD_MODULES].used));
}

TEST(without_the_loaders_help_nothing_is_guessed_above_a_library)
{
	int numbers[2] = { 2, 1 };

	begin();
	qsort(numbers, 2, sizeof(numbers[0]), compare);
	CHECK_EQ(HEAPD_STACK_NO_CFI, walked.stack.flags);
	CHECK_EQ(HEAPD_NONE, frame(walked.stack.depth - 1)->module);
	CHECK_EQ(0, frame(walked.stack.depth - 2)->module);
	CHECK_EQ(4, walked.stack.depth); /* inner, outer, compare, and who called that */
}
