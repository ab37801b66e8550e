/* pprof_test.c - what is encoded for pprof, read back and held against the readers' rules; and the checker itself. */
#include "pprof_check.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake_snapshot.h"
#include "gzip.h"
#include "shown.h"
#include "test.h"

typedef Perftools__Profiles__Profile pb_profile;

static struct fake_segment *
segment(void)
{
	struct fake_segment *f = fake_new(8123, 1, 1, "shop");
	uint32_t module = fake_module(f, "/usr/bin/shop", 0x400000, 0x480000, 0, "aabb"), stack[2];

	stack[0] = fake_frame(f, 0x401000, module, 0);
	stack[1] = fake_frame(f, 0x402000, module, 0);
	fake_count(f, fake_site(f, stack, 2, 0), 4096, 10, 4);
	fake_count(f, fake_site(f, stack, 1, 0), 64, 5, 5);
	return f;
}

/* Encode, check, decode. */
static pb_profile *
encode_again(const struct profile *p, struct shown *shown, enum profile_value preferred, bool set_preferred)
{
	uint8_t *packed = NULL;
	size_t size = 0;
	const char *why;
	pb_profile *m;

	CHECK_EQ(0, profile_encode_pprof(p, shown, preferred, set_preferred, &packed, &size));
	why = pprof_check(packed, size);
	if (why)
		printf("# %s\n", why);
	CHECK(!why);
	m = pprof_decode(packed, size);
	CHECK(m != NULL);
	free(packed);
	return m;
}

static pb_profile *
encode(const struct profile *p, enum profile_value preferred, bool set_preferred)
{
	return encode_again(p, NULL, preferred, set_preferred);
}

static pb_profile *
encode_segment(struct fake_segment *f)
{
	struct profile *p = fake_profile(&f, 1);
	pb_profile *m = encode(p, PROFILE_INUSE_SPACE, false);

	profile_free(p);
	return m;
}

static void
release(pb_profile *m)
{
	perftools__profiles__profile__free_unpacked(m, NULL);
}

static const char *
leaf_name(const pb_profile *m, size_t sample)
{
	const Perftools__Profiles__Location *l = m->location[m->sample[sample]->location_id[0] - 1];

	return m->string_table[m->function[l->line[0]->function_id - 1]->name];
}

static bool
has_comment(const pb_profile *m, const char *part)
{
	for (size_t i = 0; i < m->n_comment; i++) {
		if (strstr(m->string_table[m->comment[i]], part))
			return true;
	}
	return false;
}

TEST(an_encoded_profile_says_what_the_segment_said)
{
	struct fake_segment *f = segment();
	pb_profile *m;
	double w = -1 / expm1(-4096.0 / 524288);

	f->header.lost[HEAPD_LOST_NO_CFI] = 3;
	m = encode_segment(f);
	CHECK_EQ(2, m->n_sample);
	CHECK_EQ(llround(10 * w), m->sample[0]->value[0]);
	CHECK_NEAR(10 * w * 4096, (double)m->sample[0]->value[1], 6);
	CHECK_EQ(llround(6 * w), m->sample[0]->value[2]);
	CHECK_NEAR(6 * w * 4096, (double)m->sample[0]->value[3], 4);
	CHECK_EQ(0, m->sample[1]->value[3]);
	CHECK_EQ(2, m->sample[0]->n_location_id);
	CHECK_EQ(0x400fff, m->location[m->sample[0]->location_id[0] - 1]->address);
	CHECK_STR("shop+0x401000", leaf_name(m, 0));
	CHECK_EQ(4096, m->sample[0]->label[0]->num);
	CHECK_EQ(64, m->sample[1]->label[0]->num);
	CHECK_EQ(524288, m->period);
	CHECK_EQ(0, m->duration_nanos);
	CHECK_EQ(0, m->default_sample_type);
	CHECK(strncmp("malloc|", m->string_table[m->drop_frames], 7) == 0);
	CHECK_STR("/usr/bin/shop", m->string_table[m->mapping[0]->filename]);
	CHECK_STR("aabb", m->string_table[m->mapping[0]->build_id]);
	CHECK_EQ(0x400000, m->mapping[0]->memory_start);
	CHECK(!m->mapping[0]->has_functions);
	CHECK(has_comment(m, "heapd "));
	CHECK(has_comment(m, "3 stacks ended early at code without unwind tables"));
	CHECK(has_comment(m, "standard error"));
	release(m);
	fake_free(f);
}

TEST(what_was_cut_away_is_told)
{
	struct fake_segment *f = segment();
	pb_profile *m;

	f->sites[1].freed.bytes = f->sites[1].alloc.bytes + 1;
	m = encode_segment(f);
	CHECK(has_comment(m, "1 values were damaged"));
	CHECK_EQ(0, m->sample[0]->value[3]);
	release(m);
	fake_free(f);
}

TEST(allocs_names_the_type_to_show_first)
{
	struct fake_segment *f = segment();
	struct profile *p = fake_profile(&f, 1);
	pb_profile *m = encode(p, PROFILE_ALLOC_SPACE, true);

	CHECK_STR("alloc_space", m->string_table[m->default_sample_type]);
	release(m);
	profile_free(p);
	fake_free(f);
}

TEST(a_difference_has_a_duration_and_may_be_negative)
{
	struct fake_segment *f = segment();
	struct snapshot *earlier = fake_snapshot(f), *later;
	struct profile_source source;
	struct profile *p = NULL;
	pb_profile *m;

	fake_count(f, 1, 4096, 0, 2);
	later = fake_snapshot(f);
	CHECK_EQ(0, snapshot_subtract(later, earlier));
	source = (struct profile_source){ later, NULL };
	CHECK_EQ(0, profile_new(&source, 1, &p));
	m = encode(p, PROFILE_INUSE_SPACE, false);
	CHECK_EQ(1, m->n_sample);
	CHECK(m->sample[0]->value[3] < 0);
	CHECK_EQ(0, m->sample[0]->value[1]);
	CHECK_EQ(0, m->sample[0]->n_label); /* nothing was allocated, so no size either */
	CHECK(m->duration_nanos > 0);
	release(m);
	profile_free(p);
	snapshot_free(earlier);
	snapshot_free(later);
	fake_free(f);
}

TEST(empty_profiles_are_valid_too)
{
	struct fake_segment *f = fake_new(1, 1, 1, "idle");
	struct profile *p = NULL;
	uint8_t *packed = NULL;
	size_t size = 0;
	pb_profile *m = encode_segment(f);

	CHECK_EQ(0, m->n_sample);
	CHECK_EQ(1, m->n_mapping);
	release(m);
	/* Without any source not even a time is known. */
	CHECK_EQ(0, profile_new(NULL, 0, &p));
	CHECK_EQ(0, profile_encode_pprof(p, NULL, PROFILE_INUSE_SPACE, false, &packed, &size));
	m = pprof_decode(packed, size);
	CHECK(m != NULL);
	release(m);
	free(packed);
	profile_free(p);
	fake_free(f);
}

TEST(equal_profiles_are_equal_bytes)
{
	struct fake_segment *f = fake_large(300, 10);
	struct profile *p = fake_profile(&f, 1);
	uint8_t *a = NULL, *b = NULL;
	size_t a_size = 0, b_size = 1;

	CHECK_EQ(0, profile_encode_pprof(p, NULL, PROFILE_INUSE_SPACE, false, &a, &a_size));
	CHECK_EQ(0, profile_encode_pprof(p, NULL, PROFILE_INUSE_SPACE, false, &b, &b_size));
	CHECK_EQ(a_size, b_size);
	CHECK(a_size == b_size && memcmp(a, b, a_size) == 0);
	free(a);
	free(b);
	profile_free(p);
	fake_free(f);
}

/* Whatever sizes a stack allocates, its label stays put from one scrape to the next. */
TEST(the_label_is_the_size_where_there_is_one_and_does_not_drift_where_there_are_many)
{
	static const uint64_t sizes[] = {
		1, 8, 24, 64, 100, 1000, 4096, 5000, 20000, 65536, 1 << 20, 4 << 20, 1 << 26
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct fake_segment *f = fake_new(1, 1, 1, "x");
		uint32_t frame = fake_frame(f, 0x1000, HEAPD_NONE, 0);
		pb_profile *m;
		int64_t label, first;

		fake_count(f, fake_site(f, &frame, 1, 0), sizes[i], 7, 0);
		m = encode_segment(f);
		first = m->sample[0]->n_label ? m->sample[0]->label[0]->num : 0;
		if (sizes[i] <= 32768 || (sizes[i] & (sizes[i] - 1)) == 0)
			CHECK_EQ(sizes[i], first);
		release(m);
		/* The same stack, growing, with another size among it: one change of the label at most. */
		fake_count(f, 1, 3 * sizes[i] + 1, 500, 0);
		m = encode_segment(f);
		label = m->sample[0]->label[0]->num;
		release(m);
		for (uint64_t n = 1; n < 20; n++) {
			fake_count(f, 1, 3 * sizes[i] + n % 2, 11, 3);
			m = encode_segment(f);
			CHECK_EQ(label, m->sample[0]->label[0]->num);
			release(m);
		}
		fake_free(f);
	}
}

TEST(at_period_one_the_label_is_exact)
{
	struct fake_segment *f = fake_new(1, 1, 1, "x");
	uint32_t frame = fake_frame(f, 0x1000, HEAPD_NONE, 0);
	pb_profile *m;

	atomic_store(&f->header.period, 1);
	fake_count(f, fake_site(f, &frame, 1, 0), 123457, 1000, 0);
	m = encode_segment(f);
	CHECK_EQ(123457, m->sample[0]->label[0]->num);
	release(m);
	fake_free(f);
}

/* Sums of the four values. */
static void
sum(const pb_profile *m, double ret[4])
{
	for (int k = 0; k < 4; k++) {
		ret[k] = 0;
		for (size_t i = 0; i < m->n_sample; i++)
			ret[k] += (double)m->sample[i]->value[k];
	}
}

TEST(more_stacks_than_readers_take_are_folded_and_none_of_their_bytes_lost)
{
	struct fake_segment *f = fake_large(40000, 6);
	struct profile *p = fake_profile(&f, 1);
	pb_profile *m = encode(p, PROFILE_INUSE_SPACE, false);
	double totals[4];

	CHECK_EQ(16000, m->n_sample);
	CHECK_STR("[other]", leaf_name(m, 15999));
	CHECK(m->sample[15999]->value[3] > 0);
	CHECK(has_comment(m, "24001 small stacks"));
	sum(m, totals);
	for (unsigned k = 0; k < 4; k++)
		CHECK_NEAR(p->total[k], totals[k], 8100); /* half a unit of rounding each */
	/* What is kept is what is large. */
	for (size_t i = 1; i < 15999; i++)
		CHECK(m->sample[i]->value[1] > 0);
	release(m);
	profile_free(p);
	fake_free(f);
}

TEST(more_bytes_than_readers_take_are_folded_too)
{
	struct fake_segment *f = fake_large(15900, 128);
	struct profile *p = fake_profile(&f, 1);
	pb_profile *m;
	double totals[4];

	m = encode(p, PROFILE_INUSE_SPACE, false); /* whose check knows the limit */
	CHECK(m->n_sample < 15000 && m->n_sample > 10000);
	CHECK_STR("[other]", leaf_name(m, m->n_sample - 1));
	sum(m, totals);
	CHECK_NEAR(p->total[3], totals[3], 8000);
	CHECK_NEAR(p->total[0], totals[0], 8000);
	release(m);
	profile_free(p);
	fake_free(f);
}

/* -- one profile after the other -- */

/* What a client knows of a sample: its addresses, as one number, and its label. */
struct seen {
	uint64_t key, label;
	int64_t value[4];
};

static int
compare_seen(const void *left, const void *right)
{
	const struct seen *a = left, *b = right;

	return a->key < b->key ? -1 : a->key > b->key;
}

static struct seen *
see(const pb_profile *m)
{
	struct seen *seen = calloc(m->n_sample + 1, sizeof(*seen));

	CHECK(seen != NULL);
	for (size_t i = 0; i < m->n_sample; i++) {
		const Perftools__Profiles__Sample *s = m->sample[i];

		for (size_t k = 0; k < s->n_location_id; k++)
			seen[i].key =
				(seen[i].key ^ m->location[s->location_id[k] - 1]->address) * UINT64_C(1099511628211);
		seen[i].label = s->n_label > 0 ? (uint64_t)s->label[0]->num : 0;
		memcpy(seen[i].value, s->value, sizeof(seen[i].value));
	}
	qsort(seen, m->n_sample, sizeof(*seen), compare_seen);
	return seen;
}

static const struct seen *
find_seen(const struct seen *seen, size_t n, uint64_t key)
{
	return bsearch(&(struct seen){ .key = key }, seen, n, sizeof(*seen), compare_seen);
}

static int64_t
other(const pb_profile *m)
{
	for (size_t i = 0; i < m->n_sample; i++) {
		if (strcmp(leaf_name(m, i), "[other]") == 0)
			return m->sample[i]->value[1];
	}
	return -1;
}

/* Encode n_stacks stacks of that depth, of which the ranking changes and the last `late` come later, again and again, and
 * compare as a client that subtracts would. */
static void
follow(uint32_t n_stacks, uint32_t depth, uint32_t late)
{
	struct fake_segment *f = fake_large(n_stacks, depth);
	uint32_t all = f->used[HEAPD_SITES];
	struct shown_all *shown_all = NULL;
	struct seen *before = NULL;
	size_t n_before = 0;
	int64_t rest = -1;

	CHECK_EQ(0, shown_all_new(&shown_all));
	for (uint32_t round = 0; round < 4; round++) {
		struct shown *shown = shown_take(shown_all, 1);
		struct profile *p;
		struct seen *now;
		pb_profile *m;
		double totals[4];
		uint32_t big = all - late - 1 - round;
		bool large = false;

		f->used[HEAPD_SITES] = round == 0 ? all - late : all;
		/* One that was small becomes the largest, and many change places. */
		if (round > 0)
			fake_count(f, big, 1 << 20, 2000, 0);
		for (uint32_t i = round; i < f->used[HEAPD_SITES]; i += 7)
			fake_count(f, i, 100 + 50 * (i * 37 % 101), 3 * round * (i % 5), round * (i % 5));
		p = fake_profile(&f, 1);
		m = encode_again(p, shown, PROFILE_INUSE_SPACE, false);
		shown_give(shown_all, shown);
		sum(m, totals);
		for (unsigned k = 0; k < 4; k++)
			CHECK_NEAR(p->total[k], totals[k], n_stacks);
		now = see(m);
		for (size_t i = 0; i < n_before; i++) {
			const struct seen *s = find_seen(now, m->n_sample, before[i].key);

			if (!s || s->label != before[i].label || s->value[0] < before[i].value[0] ||
			    s->value[1] < before[i].value[1]) {
				printf("# round %u: sample %zu of %zu\n", round, i, n_before);
				CHECK(!"a sample went down or away");
				break;
			}
		}
		CHECK(other(m) >= rest);
		rest = other(m);
		CHECK(rest >= 0);
		/* What is large is shown by itself, with all that it has in use. */
		for (size_t i = 0; i < m->n_sample; i++)
			large |=
				m->sample[i]->value[3] > INT64_C(1000) << 20 && strcmp(leaf_name(m, i), "[other]") != 0;
		CHECK(round == 0 || large);
		free(before);
		before = now;
		n_before = m->n_sample;
		release(m);
		profile_free(p);
	}
	free(before);
	shown_all_free(shown_all);
	fake_free(f);
}

TEST(what_was_served_by_itself_stays_so_and_no_cumulative_value_goes_down)
{
	follow(22000, 4, 3000);
}

TEST(nor_where_bytes_are_what_is_short)
{
	follow(15900, 128, 3000);
}

TEST(a_target_that_nobody_asks_for_is_forgotten_and_no_other)
{
	struct shown_all *shown_all = NULL;
	struct shown *first, *taken;

	CHECK_EQ(0, shown_all_new(&shown_all));
	first = shown_take(shown_all, 0);
	shown_give(shown_all, first);
	taken = shown_take(shown_all, 1);
	for (uint64_t i = 2; i < 10 * SHOWN_MAX; i++) {
		CHECK(first == shown_take(shown_all, 0)); /* asked for all the time */
		shown_give(shown_all, first);
		shown_give(shown_all, shown_take(shown_all, i));
	}
	shown_give(shown_all, taken);
	CHECK(taken == shown_take(shown_all, 1));
	shown_give(shown_all, taken);
	shown_all_free(shown_all);
}

TEST(hostile_names_and_stacks_come_out_as_valid_profiles)
{
	uint32_t seed = 99;

	for (int round = 0; round < 40; round++) {
		struct fake_segment *f = fake_new(1, 1, 1, "\xff\xfe\n");
		struct snapshot *s;
		struct symbol *names;
		struct symbol_line *lines;
		struct profile_source source;
		struct profile *p = NULL;
		char long_name[70000];

		memset(long_name, 'x', sizeof(long_name));
		long_name[20000] = (char)0xe2;
		long_name[sizeof(long_name) - 1] = '\0';
		for (int i = 0; i < 8; i++)
			(void)fake_module(f, i % 2 ? "/lib/\xc3.so" : "", 0x1000u * (uint32_t)i, 0x9000,
					  0x100u * (uint32_t)i, i % 3 ? "aa" : NULL);
		for (uint32_t i = 0; i < 64; i++) {
			seed = seed * 1664525 + 1013904223;
			fake_frame(f, i % 5 ? seed >> 24 : UINT64_MAX - (seed >> 28),
				   seed % 9 == 8 ? HEAPD_NONE : seed % 9, seed >> 30 & 1);
		}
		for (uint32_t i = 0; i < 100; i++) {
			uint32_t stack[HEAPD_MAX_DEPTH], depth = i % HEAPD_MAX_DEPTH + 1;

			for (uint32_t k = 0; k < depth; k++) {
				seed = seed * 1664525 + 1013904223;
				stack[k] = seed >> 26;
			}
			fake_count(f, fake_site(f, stack, depth, seed & 15), seed >> 8, seed >> 29, seed >> 31);
		}
		f->sites[5].alloc.bytes = UINT64_MAX;
		f->sites[6].alloc.objects_var = UINT64_MAX;
		s = fake_snapshot(f);
		names = calloc(s->n_frames, sizeof(*names));
		lines = calloc(s->n_frames, sizeof(*lines));
		for (size_t i = 0; i < s->n_frames; i++) {
			lines[i] = (struct symbol_line){ i % 4 ? "f\x80" : long_name, i % 3 ? "" : "_Zf", "\n",
							 (uint32_t)-1, (uint32_t)-1 };
			names[i] = (struct symbol){ SYMBOL_FOUND, i % 7 != 0, &lines[i] };
		}
		source = (struct profile_source){ s, names };
		CHECK_EQ(0, profile_new(&source, 1, &p));
		release(encode(p, PROFILE_INUSE_SPACE, false));
		profile_free(p);
		snapshot_free(s);
		free(names);
		free(lines);
		fake_free(f);
	}
}

/* -- the checker -- */

/* A good message, bent by one function, packed again: the checker must find what was bent. */
static void
bend_id(pb_profile *m)
{
	m->location[0]->id = 9;
}
static void
bend_address(pb_profile *m)
{
	m->location[1]->address = m->location[0]->address;
}
static void
bend_no_address(pb_profile *m)
{
	m->location[0]->address = 0;
}
static void
bend_no_line(pb_profile *m)
{
	m->location[0]->n_line = 0;
}
static void
bend_string(pb_profile *m)
{
	m->string_table[3][0] = (char)0xff;
}
static void
bend_first_string(pb_profile *m)
{
	char *second = m->string_table[1];

	m->string_table[1] = m->string_table[0];
	m->string_table[0] = second;
}
static void
bend_types(pb_profile *m)
{
	m->n_sample_type = 3;
}
static void
bend_values(pb_profile *m)
{
	m->sample[0]->n_value = 3;
}
static void
bend_negative(pb_profile *m)
{
	m->sample[0]->value[3] = -1;
}
static void
bend_stack(pb_profile *m)
{
	m->sample[0]->location_id[0] = 77;
}
static void
bend_mapping(pb_profile *m)
{
	m->location[0]->mapping_id = 5;
}
static void
bend_function(pb_profile *m)
{
	m->location[0]->line[0]->function_id = 0;
}
static void
bend_name(pb_profile *m)
{
	m->function[0]->name = 0;
}
static void
bend_time(pb_profile *m)
{
	m->time_nanos = 0;
}
static void
bend_label(pb_profile *m)
{
	m->sample[0]->label[0]->num = 0;
}
static void
bend_twice(pb_profile *m)
{
	m->sample[1]->n_location_id = m->sample[0]->n_location_id = 1;
	m->sample[1]->location_id[0] = m->sample[0]->location_id[0];
	m->sample[1]->label[0]->num = m->sample[0]->label[0]->num;
}
static void
bend_period(pb_profile *m)
{
	m->period_type->unit = m->period_type->type;
}
static void
bend_comment(pb_profile *m)
{
	m->comment[0] = 4711;
}

static const struct {
	void (*bend)(pb_profile *m);
	const char *word;
} bends[] = {
	{ bend_id, "id 9" },
	{ bend_address, "address of another" },
	{ bend_no_address, "no address" },
	{ bend_no_line, "no line" },
	{ bend_string, "UTF-8" },
	{ bend_first_string, "first string" },
	{ bend_types, "sample types" },
	{ bend_values, "3 values" },
	{ bend_negative, "negative" },
	{ bend_stack, "location 77" },
	{ bend_mapping, "mapping 5" },
	{ bend_function, "no function" },
	{ bend_name, "no name" },
	{ bend_time, "before 2001" },
	{ bend_label, "label" },
	{ bend_twice, "earlier one" },
	{ bend_period, "period" },
	{ bend_comment, "comment" },
};

TEST(the_checker_finds_every_fault_it_is_meant_to_find)
{
	for (size_t i = 0; i < sizeof(bends) / sizeof(bends[0]); i++) {
		struct fake_segment *f = segment();
		pb_profile *m = encode_segment(f);
		uint8_t *plain = NULL, *packed = NULL;
		size_t size, packed_size = 0;
		/* Lengths are put back before the message is released, which goes by them. */
		size_t n_types = m->n_sample_type, n_lines = m->location[0]->n_line, n_values = m->sample[0]->n_value;
		size_t depths[] = { m->sample[0]->n_location_id, m->sample[1]->n_location_id };
		const char *why;

		bends[i].bend(m);
		size = perftools__profiles__profile__get_packed_size(m);
		plain = malloc(size);
		perftools__profiles__profile__pack(m, plain);
		CHECK_EQ(0, gzip_pack(plain, size, 1, &packed, &packed_size));
		why = pprof_check(packed, packed_size);
		if (!why || !strstr(why, bends[i].word)) {
			printf("# bend %zu: \"%s\" does not say \"%s\"\n", i, why ? why : "all is well", bends[i].word);
			CHECK(why && strstr(why, bends[i].word));
		}
		m->n_sample_type = n_types;
		m->location[0]->n_line = n_lines;
		m->sample[0]->n_value = n_values;
		m->sample[0]->n_location_id = depths[0];
		m->sample[1]->n_location_id = depths[1];
		release(m);
		free(plain);
		free(packed);
		fake_free(f);
	}
}

TEST(gzip_comes_back_as_it_went_in_and_damage_is_noticed)
{
	char text[5000];
	uint8_t *packed = NULL, *plain = NULL;
	size_t size = 0, plain_size = 0;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * i >> 3);
	CHECK_EQ(0, gzip_pack(text, sizeof(text), 6, &packed, &size));
	CHECK_EQ(0, gzip_unpack(packed, size, 1 << 20, &plain, &plain_size));
	CHECK_EQ(sizeof(text), plain_size);
	CHECK(memcmp(text, plain, sizeof(text)) == 0);
	free(plain);
	plain = NULL;
	CHECK_EQ(-EFBIG, gzip_unpack(packed, size, 4999, &plain, &plain_size));
	CHECK_EQ(-EPROTO, gzip_unpack(packed, size - 9, 1 << 20, &plain, &plain_size));
	packed[size / 2] ^= 1;
	CHECK_EQ(-EPROTO, gzip_unpack(packed, size, 1 << 20, &plain, &plain_size));
	CHECK(!plain);
	free(packed);
	CHECK_STR("not gzipped", pprof_check("x", 1));
	CHECK_STR("not gzipped", pprof_check("", 0));
}
