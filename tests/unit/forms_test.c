/* forms_test.c - the text forms, read as their readers do: by our own words of the rules, and by the real programs. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake_snapshot.h"
#include "test.h"
#include "unscale.h"

static double
weight(double size, double rate)
{
	return rate <= 1 ? 1 : -1 / expm1(-size / rate);
}

/* What a reader makes of the pairs. */
static void
rescale(const struct unscaled *pairs, size_t n, uint64_t rate, double *ret_objects, double *ret_bytes)
{
	*ret_objects = *ret_bytes = 0;
	for (size_t i = 0; i < n; i++) {
		double scale = weight((double)pairs[i].bytes / (double)pairs[i].objects, (double)rate);

		*ret_objects += (double)pairs[i].objects * scale;
		*ret_bytes += (double)pairs[i].bytes * scale;
	}
}

TEST(one_size_comes_back_exactly_from_a_reader_that_scales)
{
	static const uint64_t sizes[] = { 1, 16, 64, 100, 4096, 100000, 524288, 1 << 20, 64 << 20 };
	static const uint64_t rates[] = { 1, 512, 4096, 524288, 2 << 20 };
	static const uint64_t counts[] = { 1, 2, 3, 50, 1000, 123456 };

	for (size_t i = 0; i < sizeof(sizes) / 8 * sizeof(rates) / 8 * sizeof(counts) / 8; i++) {
		double size = (double)sizes[i % 9], rate = (double)rates[i / 9 % 5], n = (double)counts[i / 45];
		double objects = n * weight(size, rate), bytes = objects * size, got_objects, got_bytes;
		struct unscaled pairs[UNSCALE_MAX];
		size_t n_pairs = unscale(objects, bytes, (uint64_t)rate, pairs);

		CHECK_EQ(1, n_pairs);
		CHECK_EQ(n, pairs[0].objects);
		CHECK_EQ(n * size, pairs[0].bytes);
		rescale(pairs, n_pairs, (uint64_t)rate, &got_objects, &got_bytes);
		CHECK_NEAR(bytes, got_bytes, 1e-6 * bytes);
		CHECK_NEAR(objects, got_objects, 1e-6 * objects);
	}
}

/* The case that summing first gets wrong: a few samples, tiny ones beside large ones. */
TEST(mixed_sizes_come_back_too)
{
	uint64_t seed = 7;

	for (int round = 0; round < 3000; round++) {
		double objects = 0, bytes = 0, got_objects, got_bytes, rate = round % 2 ? 524288 : 65536;
		int n = 1 + round % 30;
		struct unscaled pairs[UNSCALE_MAX];

		for (int i = 0; i < n; i++) {
			double size;

			seed = seed * 6364136223846793005 + 1442695040888963407;
			size = floor(exp2((double)(seed >> 40) / (1 << 24) * 20)) + 7; /* 8 bytes to 1 MiB */
			objects += weight(size, rate);
			bytes += weight(size, rate) * size;
		}
		rescale(pairs, unscale(objects, bytes, (uint64_t)rate, pairs), (uint64_t)rate, &got_objects,
			&got_bytes);
		CHECK_NEAR(bytes, got_bytes, 0.001 * bytes + 1);
		CHECK_NEAR(objects, got_objects, 0.05 * objects + 1);
		if (test_failed) {
			printf("# round %d: %g objects of %g bytes\n", round, objects, bytes);
			return;
		}
	}
}

TEST(nothing_takes_no_record)
{
	struct unscaled pairs[UNSCALE_MAX];

	CHECK_EQ(0, unscale(0, 0, 524288, pairs));
	CHECK_EQ(0, unscale(-5, -300, 524288, pairs));
	CHECK_EQ(0, unscale(NAN, NAN, 524288, pairs));
}

/* A profile with small, large and mixed stacks, and one that is gone. */
static struct fake_segment *
segment(void)
{
	struct fake_segment *f = fake_new(8123, 1, 1, "shop");
	uint32_t program = fake_module(f, "/usr/bin/shop", 0x400000, 0x480000, 0, "aabb"), stack[3];

	stack[0] = fake_frame(f, 0x401000, program, 0);
	stack[1] = fake_frame(f, 0x402000, program, 0);
	stack[2] = fake_frame(f, 0x403000, program, HEAPD_FRAME_EXACT);
	fake_count(f, fake_site(f, stack, 3, 0), 64, 10, 4);
	fake_count(f, fake_site(f, stack, 2, 0), 1 << 20, 3, 0);
	fake_count(f, 2, 48, 2, 1);
	fake_count(f, fake_site(f, stack, 1, 0), 200, 5, 5);
	fake_count(f, HEAPD_OVERFLOW_SITE, 4096, 1, 0);
	return f;
}

/* Sums of the records of a text, scaled by `rate` (0: not at all). Returns the number of records. */
static size_t
read_text(const char *text, uint64_t rate, double sums[PROFILE_VALUES])
{
	size_t n = 0;

	memset(sums, 0, PROFILE_VALUES * sizeof(*sums));
	for (const char *line = strchr(text, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
		unsigned long long live, live_bytes, all, all_bytes;
		char head[160] = { 0 };
		struct unscaled pair;
		double objects, bytes;

		/* sscanf() looks for the end of what it is given, which is far away. */
		memcpy(head, line, strnlen(line, sizeof(head) - 1));
		if (*line == '\n' || *line == '#' ||
		    sscanf(head, " %llu: %llu [%llu: %llu] @ 0x", &live, &live_bytes, &all, &all_bytes) != 4)
			continue;
		n++;
		for (int k = 0; k < 2; k++) {
			pair = k ? (struct unscaled){ live, live_bytes } : (struct unscaled){ all, all_bytes };
			if (pair.objects == 0)
				continue;
			rescale(&pair, 1, rate ? rate : 1, &objects, &bytes);
			sums[2 * k] += objects;
			sums[2 * k + 1] += bytes;
		}
	}
	return n;
}

TEST(gos_text_form_gives_a_reader_our_totals)
{
	struct fake_segment *f = segment();
	struct profile *p = fake_profile(&f, 1);
	char *text = NULL;
	size_t size = 0;
	double sums[PROFILE_VALUES];
	unsigned long long head[4], rate;

	CHECK_EQ(0, profile_encode_text(p, &text, &size));
	CHECK_EQ(size, strlen(text));
	CHECK_EQ(5, sscanf(text, "heap profile: %llu: %llu [%llu: %llu] @ heap/%llu", &head[0], &head[1], &head[2],
			   &head[3], &rate));
	CHECK_EQ(1048576, rate);
	CHECK(read_text(text, rate / 2, sums) >= 4);
	for (unsigned k = 0; k < PROFILE_VALUES; k++)
		CHECK_NEAR(p->total[k], sums[k], 0.005 * p->total[k]);
	CHECK(strstr(text, "\n6: 384 [10: 640] @ 0x401000 0x402000 0x403001\n") != NULL);
	CHECK(strstr(text, "\n#\t0x401000\tshop+0x401000\n") != NULL);
	free(text);
	profile_free(p);
	fake_free(f);
}

TEST(the_tail_has_gos_keys_in_gos_order_and_our_own_after_them)
{
	static const char *const keys[] = {
		"Alloc",         "TotalAlloc", "Sys",      "Lookups",      "Mallocs",         "Frees",
		"HeapAlloc",     "HeapSys",    "HeapIdle", "HeapInuse",    "HeapReleased",    "HeapObjects",
		"Stack",         "MSpan",      "MCache",   "BuckHashSys",  "GCSys",           "OtherSys",
		"NextGC",        "LastGC",     "PauseNs",  "PauseEnd",     "NumGC",           "NumForcedGC",
		"GCCPUFraction", "DebugGC",    "MaxRSS",   "heapd.Period", "heapd.LostBytes",
	};
	struct fake_segment *f = segment();
	struct profile *p;
	char *text = NULL, key[64];
	const char *at;
	size_t size = 0;

	f->header.lost_bytes = 4711;
	p = fake_profile(&f, 1);
	CHECK_EQ(0, profile_encode_text(p, &text, &size));
	at = strstr(text, "\n\n# runtime.MemStats\n");
	CHECK(at != NULL);
	for (size_t i = 0; at && i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(key, sizeof(key), "\n# %s = ", keys[i]);
		at = strstr(at, key);
		if (!at)
			printf("# no %s after the one before it\n", keys[i]);
		CHECK(at != NULL);
	}
	CHECK(strstr(text, "# heapd.LostBytes = 4711\n") != NULL);
	CHECK_EQ('\n', text[size - 1]);
	free(text);
	profile_free(p);
	fake_free(f);
}

/* 8,000 stacks of 64 frames are twice what is written one by one. */
TEST(very_many_deep_stacks_are_summed_up_at_the_end_of_a_text)
{
	struct fake_segment *f = fake_large(8000, 64);
	struct profile *p = fake_profile(&f, 1);
	double sums[PROFILE_VALUES];
	size_t size, n;
	char *text;

	CHECK_EQ(0, profile_encode_text(p, &text, &size));
	n = read_text(text, unscale_rate(p), sums);
	CHECK(n >= 3000 && n < 8000);
	for (unsigned k = 0; k < PROFILE_VALUES; k++)
		CHECK_NEAR(p->total[k], sums[k], 1e-3 * p->total[k]);
	CHECK(strstr(text, " @ 0x4\n") != NULL && strstr(text, "#\t0x4\t[other]\n") != NULL);
	CHECK(strstr(text, " small stacks, summed up in [other]\n") != NULL);
	free(text);
	CHECK_EQ(0, profile_encode_legacy(p, false, false, &text, &size));
	n = read_text(text, 0, sums);
	CHECK(n >= 3000 && n < 8000);
	for (unsigned k = 0; k < PROFILE_VALUES; k++)
		CHECK_NEAR(p->total[k], sums[k], 1e-3 * p->total[k]);
	CHECK(strstr(text, " @ 0x00000003\n") != NULL);
	free(text);
	profile_free(p);
	fake_free(f);
}

TEST(no_line_is_longer_than_readers_take)
{
	struct fake_segment *f = fake_large(50, HEAPD_MAX_DEPTH);
	struct profile *p = fake_profile(&f, 1);
	char *forms[3] = { NULL };
	size_t size = 0, longest = 0;

	CHECK_EQ(0, profile_encode_text(p, &forms[0], &size));
	CHECK_EQ(0, profile_encode_legacy(p, false, false, &forms[1], &size));
	CHECK_EQ(0, profile_encode_legacy(p, false, true, &forms[2], &size));
	for (int i = 0; i < 3; i++) {
		for (const char *line = forms[i], *end; (end = strchr(line, '\n')); line = end + 1)
			longest = (size_t)(end - line) > longest ? (size_t)(end - line) : longest;
		free(forms[i]);
	}
	CHECK(longest > 1000 && longest < 65536);
	profile_free(p);
	fake_free(f);
}

TEST(gperftools_form_says_it_is_not_to_be_scaled_and_lists_the_libraries)
{
	struct fake_segment *f = segment();
	struct profile *p = fake_profile(&f, 1);
	char *text = NULL;
	size_t size = 0;
	double sums[PROFILE_VALUES];

	CHECK_EQ(0, profile_encode_legacy(p, false, false, &text, &size));
	CHECK(strstr(text, "] @ heapprofile\n") != NULL);
	(void)read_text(text, 0, sums);
	for (unsigned k = 0; k < PROFILE_VALUES; k++)
		CHECK_NEAR(p->total[k], sums[k], 3);
	/* The leaf inside its call, callers after theirs, interrupted code one later, as readers take one off. */
	CHECK(strstr(text, "@ 0x00400fff 0x00402000 0x00403001\n") != NULL);
	CHECK(strstr(text, "\n\nMAPPED_LIBRARIES:\n00400000-00480000 r-xp 00000000 00:00 0 /usr/bin/shop\n") != NULL);
	free(text);

	CHECK_EQ(0, profile_encode_legacy(p, true, false, &text, &size));
	CHECK(strstr(text, "] @ growth\n") != NULL);
	(void)read_text(text, 0, sums);
	CHECK_NEAR(p->total[PROFILE_INUSE_SPACE], sums[PROFILE_ALLOC_SPACE], 3);
	free(text);

	CHECK_EQ(0, profile_encode_legacy(p, false, true, &text, &size));
	CHECK(strstr(text, "] @ heap_v2/524288\n") != NULL);
	(void)read_text(text, 524288, sums);
	for (unsigned k = 0; k < PROFILE_VALUES; k++)
		CHECK_NEAR(p->total[k], sums[k], 0.005 * p->total[k]);
	free(text);
	profile_free(p);
	fake_free(f);
}

TEST(exact_counts_are_announced_as_exact)
{
	struct fake_segment *f = fake_new(1, 1, 1, "x");
	uint32_t frame = fake_frame(f, 0x1000, HEAPD_NONE, 0);
	struct profile *p;
	char *text = NULL;
	size_t size = 0;

	atomic_store(&f->header.period, 1);
	fake_count(f, fake_site(f, &frame, 1, 0), 10, 7, 2);
	/* The period was raised since; what was counted one by one stays so. */
	atomic_store(&f->header.period, 524288);
	p = fake_profile(&f, 1);
	CHECK(unscale_rate(p) <= 50);
	CHECK_EQ(0, profile_encode_text(p, &text, &size));
	free(text);
	profile_free(p);
	atomic_store(&f->header.period, 1);
	p = fake_profile(&f, 1);
	CHECK_EQ(0, profile_encode_text(p, &text, &size));
	CHECK(strncmp(text, "heap profile: 5: 50 [7: 70] @ heap/2\n5: 50 [7: 70] @ 0x1000\n", 58) == 0);
	free(text);
	profile_free(p);
	fake_free(f);
}

TEST(empty_profiles_have_a_head_and_a_tail)
{
	struct profile *p = NULL;
	char *text = NULL;
	size_t size = 0;

	CHECK_EQ(0, profile_new(NULL, 0, &p));
	CHECK_EQ(0, profile_encode_text(p, &text, &size));
	CHECK(strncmp(text, "heap profile: 0: 0 [0: 0] @ heap/1048576\n\n# runtime.MemStats\n", 60) == 0);
	free(text);
	CHECK_EQ(0, profile_encode_legacy(p, false, false, &text, &size));
	free(text);
	profile_free(p);
}

/* The number at the start of what follows in the line of a program's output that starts with `start`; -1 without such a line. */
static double
ask(const char *command, const char *start)
{
	FILE *pipe = popen(command, "re");
	char line[1000];
	double found = -1;

	while (pipe && fgets(line, sizeof(line), pipe)) {
		if (strncmp(line, start, strlen(start)) == 0)
			sscanf(line + strlen(start), "%lf", &found);
	}
	if (pipe)
		pclose(pipe);
	return found;
}

static bool
have(const char *program)
{
	char command[100];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
	if (system(command) == 0)
		return true;
	printf("# no %s here, not tried\n", program);
	return false;
}

TEST(the_real_readers_find_the_same_total)
{
	static const char *const readers[][2] = {
		{ "go", "go tool pprof -top -unit=b %s 2>/dev/null" },
		{ "jeprof", "jeprof --text --show_bytes /bin/true %s 2>/dev/null" },
		{ "google-pprof", "google-pprof --text --show_bytes /bin/true %s 2>/dev/null" },
	};
	struct fake_segment *f = segment();
	struct profile *p = fake_profile(&f, 1);
	char *text = NULL, path[] = "/tmp/heapd-text-XXXXXX", command[200];
	int fd = mkstemp(path);
	size_t size = 0;

	for (int form = 0; form < 3; form++) {
		if (form == 0)
			CHECK_EQ(0, profile_encode_text(p, &text, &size));
		else
			CHECK_EQ(0, profile_encode_legacy(p, false, form == 2, &text, &size));
		CHECK_EQ(0, ftruncate(fd, 0));
		CHECK_EQ(size, pwrite(fd, text, size, 0));
		free(text);
		for (size_t i = 0; i < 3; i++) {
			/* The Perl programs know Go's form by an older rule, which is not ours to satisfy. */
			if ((form == 0 && i > 0) || !have(readers[i][0]))
				continue;
			snprintf(command, sizeof(command), readers[i][1], path);
			CHECK_NEAR(p->total[PROFILE_INUSE_SPACE],
				   ask(command, i == 0 ? "Showing nodes accounting for " : "Total:"),
				   0.002 * p->total[PROFILE_INUSE_SPACE]);
		}
	}
	close(fd);
	unlink(path);
	profile_free(p);
	fake_free(f);
}
