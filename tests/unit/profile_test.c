/* profile_test.c - from snapshots to a profile: estimates, errors, and what is one place and what is two. */
#include "profile.h"

#include <math.h>
#include <stdlib.h>

#include "fake_snapshot.h"
#include "test.h"

static double
weight(double size, double period)
{
	return 1 / -expm1(-size / period);
}

/* A process: main at bias, one library at base. Two stacks: main -> lib, and main alone. */
static struct fake_segment *
process(uint32_t pid, uint64_t base, const char *build_id)
{
	struct fake_segment *f = fake_new(pid, 1, pid, "shop");
	uint32_t lib = HEAPD_NONE, program, stack[2];

	program = fake_module(f, "/usr/bin/shop", 0x400000, 0x480000, 0, "aa");
	lib = fake_module(f, "/usr/lib/libcart.so.1", base, base + 0x10000, base, build_id);
	stack[0] = fake_frame(f, base + 0x1234, lib, 0);
	stack[1] = fake_frame(f, 0x401000, program, 0);
	fake_count(f, fake_site(f, stack, 2, 0), 64, 3, 1);
	fake_count(f, fake_site(f, stack + 1, 1, 0), 1 << 20, 2, 0);
	return f;
}

static const char *
function_name(const struct profile *p, const struct profile_sample *s, uint32_t i)
{
	const struct profile_location *l = &p->locations[p->stack[s->first_location + i]];

	return p->functions[p->lines[l->first_line].function].name;
}

static const struct profile_location *
location(const struct profile *p, const struct profile_sample *s, uint32_t i)
{
	return &p->locations[p->stack[s->first_location + i]];
}

TEST(values_are_sums_of_weights_and_live_is_what_was_not_freed)
{
	struct fake_segment *f = process(1, 0x7f0000000000, "bb");
	struct profile *p = fake_profile(&f, 1);
	const struct profile_sample *small, *large;
	double w = weight(64, 524288), W = weight(1 << 20, 524288);

	CHECK_EQ(2, p->n_samples);
	large = &p->samples[0]; /* by bytes in use */
	small = &p->samples[1];
	CHECK_NEAR(2 * W * 1048576, large->value[PROFILE_INUSE_SPACE], 3);
	CHECK_NEAR(2 * W, large->value[PROFILE_INUSE_OBJECTS], 1e-4);
	CHECK_NEAR(3 * w * 64, small->value[PROFILE_ALLOC_SPACE], 3);
	CHECK_NEAR(3 * w, small->value[PROFILE_ALLOC_OBJECTS], 1e-3);
	CHECK_NEAR(2 * w * 64, small->value[PROFILE_INUSE_SPACE], 3);
	CHECK_NEAR(2 * w, small->value[PROFILE_INUSE_OBJECTS], 1e-3);
	CHECK_EQ(3, small->samples);
	CHECK_EQ(2, small->live_samples);
	CHECK_NEAR(3 * w * (w - 1), small->variance[PROFILE_ALLOC_OBJECTS], w);
	CHECK_NEAR(2 * w * (w - 1) * 64 * 64, small->variance[PROFILE_INUSE_SPACE], 200000);
	CHECK_NEAR(large->value[PROFILE_INUSE_SPACE] + small->value[PROFILE_INUSE_SPACE], p->total[PROFILE_INUSE_SPACE],
		   0.5);
	CHECK_NEAR(sqrt(2 * w * (w - 1)) * 64, profile_error(small->variance[PROFILE_INUSE_SPACE]), 200);
	CHECK_EQ(524288, p->period);
	CHECK(p->time_ns > 0 && p->duration_ns == 0);
	profile_free(p);
	fake_free(f);
}

TEST(what_was_freed_in_full_leaves_exactly_nothing)
{
	struct fake_segment *f = fake_new(1, 1, 1, "x");
	uint32_t frame = fake_frame(f, 0x1000, HEAPD_NONE, 0);
	struct profile *p;

	fake_count(f, fake_site(f, &frame, 1, 0), 77, 1000003, 1000003);
	fake_site(f, &frame, 1, 0); /* a site without any sample yet */
	p = fake_profile(&f, 1);
	CHECK_EQ(1, p->n_samples);
	CHECK(p->samples[0].value[PROFILE_INUSE_SPACE] == 0);
	CHECK(p->samples[0].value[PROFILE_INUSE_OBJECTS] == 0);
	CHECK(p->samples[0].variance[PROFILE_INUSE_SPACE] == 0);
	CHECK(p->samples[0].value[PROFILE_ALLOC_SPACE] > 0);
	profile_free(p);
	fake_free(f);
}

TEST(period_one_is_exact_and_without_error)
{
	struct fake_segment *f = fake_new(1, 1, 1, "x");
	uint32_t frame = fake_frame(f, 0x1000, HEAPD_NONE, 0);
	struct profile *p;

	atomic_store(&f->header.period, 1);
	fake_count(f, fake_site(f, &frame, 1, 0), 100, 10000000, 9999999);
	p = fake_profile(&f, 1);
	CHECK(p->samples[0].value[PROFILE_ALLOC_SPACE] == 1e9);
	CHECK(p->samples[0].value[PROFILE_INUSE_OBJECTS] == 1);
	CHECK(p->total_variance[PROFILE_ALLOC_SPACE] == 0);
	profile_free(p);
	fake_free(f);
}

TEST(equal_stacks_of_two_processes_are_one_wherever_their_libraries_lie)
{
	struct fake_segment *f[] = { process(1, 0x7f0000000000, "bb"), process(2, 0x7e1234560000, "bb") };
	struct profile *one = fake_profile(f, 1), *both = fake_profile(f, 2);

	CHECK_EQ(one->n_samples, both->n_samples);
	CHECK_EQ(one->n_mappings, both->n_mappings);
	CHECK_EQ(one->n_locations, both->n_locations);
	for (size_t i = 0; i < one->n_samples; i++) {
		for (unsigned k = 0; k < PROFILE_VALUES; k++) {
			CHECK_NEAR(2 * one->samples[i].value[k], both->samples[i].value[k], 1e-3);
			CHECK_NEAR(2 * one->samples[i].variance[k], both->samples[i].variance[k], 1e-3);
		}
	}
	for (size_t i = 0; i < one->n_locations; i++)
		CHECK_EQ(one->locations[i].address, both->locations[i].address); /* those of the first */
	profile_free(one);
	profile_free(both);
	fake_free(f[0]);
	fake_free(f[1]);
}

TEST(other_builds_of_a_file_stay_apart_at_addresses_of_their_own)
{
	struct fake_segment *f[] = { process(1, 0x7f0000000000, "bb"), process(2, 0x7f0000000000, "cc") };
	struct profile *p = fake_profile(f, 2);

	CHECK_EQ(3, p->n_mappings);
	CHECK_EQ(3, p->n_samples);
	CHECK_EQ(3, p->n_locations);
	for (size_t i = 0; i < p->n_locations; i++) {
		CHECK(p->locations[i].address != 0);
		for (size_t k = 0; k < i; k++)
			CHECK(p->locations[i].address != p->locations[k].address);
	}
	profile_free(p);
	fake_free(f[0]);
	fake_free(f[1]);
}

TEST(without_build_id_the_path_and_the_lines_tell)
{
	struct fake_segment *f[] = { process(1, 0x7f0000000000, NULL), process(2, 0x7e0000000000, NULL) };
	struct snapshot *s[] = { fake_snapshot(f[0]), fake_snapshot(f[1]) };
	struct symbol_line add = { "cart_add", "cart_add", "cart.c", 10, 1 },
			   drop = { "cart_drop", "cart_drop", "cart.c", 90, 80 };
	struct symbol names[2][2] = { { { SYMBOL_FOUND, 1, &add }, { SYMBOL_FOUND, 1, &add } },
				      { { SYMBOL_FOUND, 1, &add }, { SYMBOL_FOUND, 1, &add } } };
	struct profile_source sources[] = { { s[0], names[0] }, { s[1], names[1] } };
	struct profile *p = NULL;

	CHECK_EQ(0, profile_new(sources, 2, &p));
	CHECK_EQ(2, p->n_locations);
	profile_free(p);
	/* The file was replaced between the two starts. */
	names[1][0].lines = &drop;
	CHECK_EQ(0, profile_new(sources, 2, &p));
	CHECK_EQ(3, p->n_locations);
	CHECK_EQ(2, p->n_mappings);
	profile_free(p);
	for (int i = 0; i < 2; i++) {
		snapshot_free(s[i]);
		fake_free(f[i]);
	}
}

TEST(names_one_process_lacks_come_from_another_of_the_same_build)
{
	struct fake_segment *f[] = { process(1, 0x7f0000000000, "bb"), process(2, 0x7e0000000000, "bb") };
	struct snapshot *s[] = { fake_snapshot(f[0]), fake_snapshot(f[1]) };
	struct symbol_line found = { "cart_add", "cart_add", "cart.c", 10, 1 },
			   lacking = { "libcart.so.1+0x1234", "", "", 0, 0 };
	struct symbol names[2][2] = { { { SYMBOL_FAILED, 1, &lacking }, { SYMBOL_FAILED, 1, &lacking } },
				      { { SYMBOL_FOUND, 1, &found }, { SYMBOL_FAILED, 1, &lacking } } };
	struct profile_source sources[] = { { s[0], names[0] }, { s[1], names[1] } };
	struct profile *p = NULL;

	CHECK_EQ(0, profile_new(sources, 2, &p));
	CHECK_EQ(2, p->n_samples);
	CHECK_EQ(2, p->samples[1].depth);
	CHECK_STR("cart_add", function_name(p, &p->samples[1], 0));
	CHECK(p->mappings[1].has_functions && p->mappings[1].has_filenames && p->mappings[1].has_lines);
	CHECK(!p->mappings[1].has_inlines);
	CHECK(!p->mappings[0].has_functions);
	profile_free(p);
	for (int i = 0; i < 2; i++) {
		snapshot_free(s[i]);
		fake_free(f[i]);
	}
}

TEST(callers_are_placed_inside_the_call_and_interrupted_code_where_it_is)
{
	struct fake_segment *f = fake_new(1, 1, 1, "x");
	uint32_t module = fake_module(f, "/bin/x", 0x555500000000, 0x555500010000, 0x555500000000, "aa"), stack[3];
	struct profile *p;

	stack[0] = fake_frame(f, 0x555500001000, module, HEAPD_FRAME_EXACT);
	stack[1] = fake_frame(f, 0x555500001001, module, 0); /* 0x...1000 too, once a byte is taken off */
	stack[2] = fake_frame(f, 0x555500002000, module, 0);
	fake_count(f, fake_site(f, stack, 3, 0), 64, 1, 0);
	p = fake_profile(&f, 1);
	CHECK_EQ(0x555500001000, location(p, &p->samples[0], 0)->address);
	CHECK_EQ(0x555500001001, location(p, &p->samples[0], 1)->address); /* made way */
	CHECK_EQ(0x555500001fff, location(p, &p->samples[0], 2)->address);
	CHECK_STR("x+0x1000", function_name(p, &p->samples[0], 0));
	profile_free(p);
	fake_free(f);
}

TEST(a_library_loaded_twice_at_different_places_is_one)
{
	struct fake_segment *f = fake_new(1, 1, 1, "x");
	uint32_t first, second, frame;
	struct profile *p;

	(void)fake_module(f, "/bin/x", 0x400000, 0x410000, 0, "aa");
	first = fake_module(f, "/lib/p.so", 0x10000000, 0x10010000, 0x10000000, "bb");
	second = fake_module(f, "/lib/p.so", 0x20000000, 0x20010000, 0x20000000, "bb");
	frame = fake_frame(f, 0x10001000, first, 0);
	fake_count(f, fake_site(f, &frame, 1, 0), 64, 1, 0);
	frame = fake_frame(f, 0x20001000, second, 0);
	fake_count(f, fake_site(f, &frame, 1, 0), 64, 1, 0);
	p = fake_profile(&f, 1);
	CHECK_EQ(1, p->n_samples);
	CHECK_EQ(1, p->n_locations);
	CHECK_EQ(2, p->n_mappings);
	CHECK_EQ(2, p->samples[0].samples);
	profile_free(p);
	fake_free(f);
}

TEST(the_first_mapping_is_the_main_program_wherever_it_stands_in_the_segment)
{
	struct fake_segment *f = fake_new(1, 1, 1, "x");
	uint32_t lib = fake_module(f, "/lib/a.so", 0x10000000, 0x10010000, 0x10000000, "bb"), frame;
	struct profile *p;

	f->modules[0].flags = 0;
	(void)fake_module(f, "/bin/x", 0x400000, 0x410000, 0, "aa");
	f->modules[1].flags = HEAPD_MODULE_MAIN;
	frame = fake_frame(f, 0x10001000, lib, 0);
	fake_count(f, fake_site(f, &frame, 1, 0), 64, 1, 0);
	p = fake_profile(&f, 1);
	CHECK_STR("/bin/x", p->mappings[0].path);
	CHECK_STR("/lib/a.so", p->mappings[1].path);
	CHECK_EQ(1, p->locations[0].mapping);
	CHECK_EQ(0x10000fff, p->locations[0].address);
	profile_free(p);
	/* Even without one, readers have a name to show. */
	f->modules[1].flags = 0;
	p = fake_profile(&f, 1);
	CHECK_STR("x", p->mappings[0].path);
	CHECK_EQ(3, p->n_mappings);
	profile_free(p);
	fake_free(f);
}

TEST(what_has_no_stack_has_a_name)
{
	struct fake_segment *f = process(1, 0x7f0000000000, "bb");
	struct profile *p;
	bool overflow = false, unknown = false;

	fake_count(f, HEAPD_OVERFLOW_SITE, 64, 1, 0);
	f->sites[1].depth = HEAPD_MAX_DEPTH + 1; /* a lie: the reader drops the stack, not the bytes */
	p = fake_profile(&f, 1);
	CHECK_EQ(3, p->n_samples);
	for (size_t i = 0; i < p->n_samples; i++) {
		CHECK(p->samples[i].depth >= 1);
		overflow |= strcmp(function_name(p, &p->samples[i], 0), "[overflow]") == 0;
		unknown |= strcmp(function_name(p, &p->samples[i], 0), "[unknown]") == 0;
	}
	CHECK(overflow && unknown);
	profile_free(p);
	fake_free(f);
}

TEST(inlined_functions_come_before_those_they_were_inlined_into)
{
	struct fake_segment *f = process(1, 0x7f0000000000, "bb");
	struct snapshot *s = fake_snapshot(f);
	struct symbol_line lines[] = { { "inner", "_Z5innerv", "a.h", 3, 1 },
				       { "outer", "_Z5outerv", "a.cc", 30, 20 } };
	struct symbol names[] = { { SYMBOL_FOUND, 2, lines }, { SYMBOL_FOUND, 1, lines + 1 } };
	struct profile_source source = { s, names };
	struct profile *p = NULL;
	const struct profile_location *l;

	CHECK_EQ(0, profile_new(&source, 1, &p));
	snapshot_free(s); /* the profile needs it no more */
	memset(lines, 0, sizeof(lines));
	l = location(p, &p->samples[1], 0);
	CHECK_EQ(2, l->n_lines);
	CHECK_STR("inner", p->functions[p->lines[l->first_line].function].name);
	CHECK_STR("_Z5innerv", p->functions[p->lines[l->first_line].function].system_name);
	CHECK_STR("a.h", p->functions[p->lines[l->first_line].function].file);
	CHECK_EQ(3, p->lines[l->first_line].line);
	CHECK_STR("outer", p->functions[p->lines[l->first_line + 1].function].name);
	CHECK_EQ(2, p->n_functions);
	CHECK(p->mappings[1].has_inlines && p->mappings[1].has_lines);
	profile_free(p);
	fake_free(f);
}

TEST(names_that_are_no_text_are_made_so)
{
	struct fake_segment *f = process(1, 0x7f0000000000, "bb");
	struct snapshot *s = fake_snapshot(f);
	struct symbol_line bad = { "a\xff\nb", "", "\x80.c", 1, 1 }, none = { "", "", "", 0, 0 };
	struct symbol names[] = { { SYMBOL_FOUND, 1, &bad }, { SYMBOL_ABSENT, 1, &none } };
	struct profile_source source = { s, names };
	struct profile *p = NULL;

	free(s->modules[1].path);
	s->modules[1].path = strdup("/lib/\xe4.so");
	CHECK_EQ(0, profile_new(&source, 1, &p));
	CHECK_STR("a??b", function_name(p, &p->samples[1], 0));
	CHECK_STR("?.c", p->functions[p->lines[location(p, &p->samples[1], 0)->first_line].function].file);
	CHECK_STR("[unknown]", function_name(p, &p->samples[0], 0));
	CHECK_STR("/lib/?.so", p->mappings[1].path);
	profile_free(p);
	snapshot_free(s);
	fake_free(f);
}

TEST(a_difference_may_be_negative_in_use_and_is_at_most_as_sure_as_its_parts)
{
	struct fake_segment *f = process(1, 0x7f0000000000, "bb");
	struct snapshot *earlier = fake_snapshot(f), *later;
	struct profile_source source;
	struct profile *p = NULL;
	double w = weight(64, 524288);

	fake_count(f, 1, 64, 1, 2);
	later = fake_snapshot(f);
	CHECK_EQ(0, snapshot_subtract(later, earlier));
	source = (struct profile_source){ later, NULL };
	CHECK_EQ(0, profile_new(&source, 1, &p));
	CHECK_EQ(1, p->n_samples); /* nothing happened at the other site */
	CHECK_NEAR(w, p->samples[0].value[PROFILE_ALLOC_OBJECTS], 1e-3);
	CHECK_NEAR(-w, p->samples[0].value[PROFILE_INUSE_OBJECTS], 1e-3);
	CHECK_NEAR(3 * w * (w - 1), p->samples[0].variance[PROFILE_INUSE_OBJECTS], w);
	CHECK(p->duration_ns > 0);
	profile_free(p);
	snapshot_free(earlier);
	snapshot_free(later);
	fake_free(f);
}

TEST(the_same_target_gives_the_same_addresses_as_it_grows)
{
	struct fake_segment *f = fake_large(500, 8);
	struct profile *before = fake_profile(&f, 1), *after;
	uint32_t frame = fake_frame(f, 0x30000001, 0, HEAPD_FRAME_EXACT);

	fake_count(f, fake_site(f, &frame, 1, 0), 1 << 24, 1, 0);
	after = fake_profile(&f, 1);
	CHECK_EQ(before->n_locations + 1, after->n_locations);
	for (size_t i = 0; i < before->n_locations; i++)
		CHECK_EQ(before->locations[i].address, after->locations[i].address);
	profile_free(before);
	profile_free(after);
	fake_free(f);
}

TEST(nothing_makes_an_empty_profile)
{
	struct profile *p = NULL;

	CHECK_EQ(0, profile_new(NULL, 0, &p));
	CHECK_EQ(0, p->n_samples);
	profile_free(p);
	profile_free(NULL);
}
