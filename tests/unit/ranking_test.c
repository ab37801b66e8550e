/* ranking_test.c - which line of code a sample is charged to. */
#include "ranking.h"

#include "test.h"

/* Functions 0 main, 1 fill, 2 operator new, 3 allocator plumbing, 4 push; a line and a location for each, and a location
 * in which push is inlined into fill. */
static struct profile_function functions[] = { { "main", "main", "m.c", 1 },
					       { "fill", "fill", "f.cc", 10 },
					       { "operator new", "_Znwm", "", 0 },
					       { "std::__new_allocator<int>::allocate", "_ZNSt", "n.h", 100 },
					       { "push", "push", "p.h", 5 } };
static struct profile_line lines[] = { { 0, 3 }, { 1, 12 },  { 2, 0 }, { 3, 140 },
				       { 4, 7 }, { 3, 140 }, { 4, 8 }, { 1, 13 } };
static struct profile_location locations[] = { { 1, 0, 0, 1 }, { 2, 0, 1, 1 }, { 3, 0, 2, 1 },
					       { 4, 0, 3, 1 }, { 5, 0, 4, 1 }, { 6, 0, 5, 3 } };
/* leaf first: new, plumbing, push, fill, main | new, (plumbing in push in fill), main | fill, main | new */
static uint32_t stack[] = { 2, 3, 4, 1, 0, 2, 5, 0, 1, 0, 2 };
static struct profile_sample samples[] = {
	{ .first_location = 0, .depth = 5, .samples = 1, .value = { 1, 100, 1, 100 }, .variance = { 1, 10, 1, 10 } },
	{ .first_location = 5, .depth = 3, .samples = 2, .value = { 2, 50, 2, 50 }, .variance = { 1, 20, 1, 20 } },
	{ .first_location = 8, .depth = 2, .samples = 3, .value = { 900, 90, 900, 90 }, .variance = { 0 } },
	{ .first_location = 10, .depth = 1, .samples = 4, .value = { 4, 4, 4, 4 }, .variance = { 0 } },
	{ .first_location = 0, .depth = 5, .samples = 5, .value = { 5, 500, 0, 0 }, .variance = { 1, 10, 0, 0 } },
};
static struct profile profile = { .functions = functions,
				  .n_functions = 5,
				  .lines = lines,
				  .n_lines = 8,
				  .locations = locations,
				  .n_locations = 6,
				  .stack = stack,
				  .n_stack = 11,
				  .samples = samples,
				  .n_samples = 5 };

TEST(a_sample_is_charged_to_the_first_function_that_is_no_plumbing)
{
	struct ranking r = { 0 };

	CHECK_EQ(0, ranking_new(&profile, PROFILE_INUSE_SPACE, &r));
	CHECK_EQ(4, r.n);
	CHECK_STR("push", r.rows[0].function);
	CHECK_EQ(7, r.rows[0].line);
	CHECK_STR("p.h", r.rows[0].file);
	CHECK_STR("fill", r.rows[0].caller);
	CHECK_STR("fill", r.rows[1].function);
	CHECK_STR("main", r.rows[1].caller);
	CHECK_STR("push", r.rows[2].function); /* the inlined one, at another line */
	CHECK_EQ(8, r.rows[2].line);
	CHECK_STR("fill", r.rows[2].caller);
	ranking_done(&r);
}

TEST(stacks_of_one_line_are_summed_with_their_variances)
{
	struct ranking r = { 0 };

	CHECK_EQ(0, ranking_new(&profile, PROFILE_ALLOC_SPACE, &r));
	CHECK_STR("push", r.rows[0].function);
	CHECK_EQ(600, r.rows[0].value[PROFILE_ALLOC_SPACE]);
	CHECK_EQ(100, r.rows[0].value[PROFILE_INUSE_SPACE]);
	CHECK_EQ(20, r.rows[0].variance[PROFILE_ALLOC_SPACE]);
	CHECK_EQ(6, r.rows[0].samples);
	CHECK_EQ(2, r.rows[0].stacks);
	CHECK_EQ(4, r.rows[0].largest);
	ranking_done(&r);
}

TEST(rows_come_in_the_order_that_was_asked_for)
{
	struct ranking r = { 0 };
	enum profile_value v = PROFILE_INUSE_SPACE;

	CHECK(ranking_value("alloc_objects", &v));
	CHECK_EQ(PROFILE_ALLOC_OBJECTS, v);
	CHECK(!ranking_value("alloc", &v));
	CHECK_EQ(PROFILE_ALLOC_OBJECTS, v);
	CHECK_EQ(0, ranking_new(&profile, v, &r));
	for (size_t i = 1; i < r.n; i++)
		CHECK(r.rows[i - 1].value[v] >= r.rows[i].value[v]);
	CHECK_STR("fill", r.rows[0].function);
	ranking_done(&r);
}

TEST(a_stack_of_plumbing_alone_is_charged_to_its_leaf)
{
	struct ranking r = { 0 };

	CHECK_EQ(0, ranking_new(&profile, PROFILE_INUSE_SPACE, &r));
	CHECK_STR("operator new", r.rows[3].function);
	CHECK_STR("", r.rows[3].caller);
	ranking_done(&r);
}

TEST(an_empty_profile_has_no_rows)
{
	struct profile empty = { 0 };
	struct ranking r = { 0 };

	CHECK_EQ(0, ranking_new(&empty, PROFILE_INUSE_SPACE, &r));
	CHECK_EQ(0, r.n);
	ranking_done(&r);
}

static void
count(void *argument, const struct profile_function *f, uint32_t line)
{
	char *all = argument;
	char one[64];

	(void)snprintf(one, sizeof(one), "%s:%u ", f->name, line);
	strcat(all, one);
}

TEST(a_stack_is_told_with_its_inlined_frames)
{
	char all[512] = "";

	ranking_stack(&profile, 1, count, all);
	CHECK_STR("operator new:0 std::__new_allocator<int>::allocate:140 push:8 fill:13 main:3 ", all);
}
