/* truth_check - runs a target under the sampler, again and again, and compares its segments with its own tables.
 *
 *   truth_check --library LIBHEAPD [--period N] [--max-samples N] [--runs N] [--first-seed N]
 *               [--bias PERCENT] [--coverage LOW HIGH] [--together] [--busy SITE] -- PROGRAM [ARGUMENT...]
 *
 * At period 1 every value must be exactly right. At other periods, with T the truth, e an estimate and v its variance as
 * the segment states them, over all runs:
 *   bias       |mean(e) - T| of every site and value at most PERCENT of T and three standard errors of that mean; of all
 *              sites together, weighted by precision, likewise, and the error of that mean at most a fifth of PERCENT: less
 *              precise, the test has proved nothing and fails, and so a bias of twice PERCENT cannot pass;
 *   variance   v must be right on average too: its mean between VARIANCE_LOW and VARIANCE_HIGH times the mean of (e - T)^2;
 *   coverage   e +- 1.96 sqrt(v) must contain T in LOW to HIGH percent of all cases. Only sites with MIN_SAMPLES sampled and
 *              as many not sampled allocations a run count here, and only if they weigh alike: with fewer of either, a
 *              normal interval covers too little whatever the sampler does.
 * Where all is sampled, the mean estimate must be within a thousandth.
 * With --max-samples the sampler keeps to that ceiling, and has to have moved the period in nearly every process.
 * With --together the processes of a run count as one, as those of a service do: their errors must be independent.
 * With --busy a signal handler allocates at SITE, all of it freed before the end: of that as much may be missing as was
 * counted as skipped because the thread was taking a sample already, neither more nor less.
 * Exit status: 0 all is well, 1 not, 2 it could not be tried.
 */
#include "reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ALLOC_OBJECTS, ALLOC_BYTES, INUSE_OBJECTS, INUSE_BYTES, VALUES };
enum { MAX_SITES = 128, MIN_SAMPLES = 100 };

/* Over 60 runs and more the mean of squared errors is itself within 20 % two times in three. */
static const double VARIANCE_LOW = 0.6, VARIANCE_HIGH = 1.7;

static const char *const value_names[VALUES] = { "alloc_objects", "alloc_bytes", "inuse_objects", "inuse_bytes" };

struct expected { /* one site of one process, as its table says */
	char name[64], module[64];
	uint64_t start, end;
	double truth[VALUES]; /* NAN: not told */
	double estimate[VALUES], variance[VALUES];
	double samples[VALUES]; /* raw, behind each estimate */
};

struct result { /* one site over all processes of all runs */
	char name[64];
	uint64_t cases;
	struct {
		double truth, estimate, variance, samples, square_error; /* sums */
		uint64_t covered;
	} v[VALUES];
};

static struct result results[MAX_SITES];
static int n_results;
static const char *library;
static uint64_t period = 1, runs = 1, first_seed = 1;
static double bias_percent = 1, coverage_low, coverage_high;
static uint64_t max_samples, processes, segments, total_samples, stretched;
static bool failed, together;
static const char *busy_site; /* or NULL */

__attribute__((format(printf, 1, 2), noreturn)) static void
give_up(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("truth_check: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

__attribute__((format(printf, 1, 2))) static void
complain(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("wrong: ", stdout);
	vprintf(format, ap);
	putchar('\n');
	va_end(ap);
	failed = true;
}

/* Run the program with its segments in dir. Returns what it printed, malloc'ed, with a NUL. */
static char *
run_program(char **argv, const char *dir, uint64_t seed)
{
	int fds[2], status;
	char number[32], *text = NULL;
	size_t n = 0, room = 0;
	ssize_t r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		give_up("cannot start %s: %s", argv[0], strerror(errno));
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		setenv("LD_PRELOAD", library, 1);
		setenv("HEAPD_DIR", dir, 1);
		snprintf(number, sizeof(number), "%llu", (unsigned long long)period);
		setenv("HEAPD_PERIOD", number, 1);
		if (max_samples) {
			snprintf(number, sizeof(number), "%llu", (unsigned long long)max_samples);
			setenv("HEAPD_MAX_SAMPLES", number, 1);
		}
		snprintf(number, sizeof(number), "%llu", (unsigned long long)seed);
		setenv("HEAPD_SEED", number, 1);
		execvp(argv[0], argv);
		fprintf(stderr, "truth_check: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(fds[1]);
	do {
		if (room - n < 65536 && !(text = realloc(text, room += 262144)))
			give_up("no memory");
		r = read(fds[0], text + n, room - n - 1);
		n += r > 0 ? (size_t)r : 0;
	} while (r > 0 || (r < 0 && errno == EINTR));
	text[n] = '\0';
	close(fds[0]);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		give_up("%s failed: wait status 0x%x", argv[0], status);
	return text;
}

/* The segment of process pid in dir. Returns false if it left none, which a process that never sampled is free to do. */
static bool
read_segment(const char *dir, long pid, struct snapshot *snap)
{
	char path[512] = "", prefix[32];
	struct reader *reader;
	struct dirent *e;
	DIR *d = opendir(dir);
	int fd, r;

	if (!d)
		give_up("%s: %s", dir, strerror(errno));
	snprintf(prefix, sizeof(prefix), "%ld-", pid);
	while ((e = readdir(d)))
		if (strncmp(e->d_name, prefix, strlen(prefix)) == 0) {
			if (path[0])
				give_up("process %ld left two segments", pid);
			snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		}
	closedir(d);
	if (!path[0])
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		give_up("%s: %s", path, strerror(errno));
	r = reader_open(fd, &reader);
	close(fd);
	if (r < 0)
		give_up("%s: %s", path, r == -EPROTO ? reader_why() : strerror(-r));
	r = reader_copy(reader, snap);
	reader_free(reader);
	if (r < 0)
		give_up("%s: %s", path, strerror(-r));
	unlink(path);
	return true;
}

static bool
frame_is_in(const struct snapshot *snap, const struct snapshot_frame *f, const struct expected *x)
{
	uint64_t pc = f->flags & HEAPD_FRAME_EXACT ? f->address : f->address - 1;
	const char *path, *slash;

	if (pc < x->start || pc >= x->end)
		return false;
	if (strcmp(x->module, "-") == 0)
		return f->module == HEAPD_NONE || snap->modules[f->module].main;
	if (f->module == HEAPD_NONE)
		return false;
	path = snap->modules[f->module].path;
	slash = strrchr(path, '/');
	return strcmp(slash ? slash + 1 : path, x->module) == 0;
}

/* The first site function from the leaf on, or -1. */
static int
site_of(const struct snapshot *snap, const struct snapshot_site *s, const int *frame_sites)
{
	for (uint32_t i = 0; i < s->depth; i++)
		if (frame_sites[snap->stacks[s->stack + i]] >= 0)
			return frame_sites[snap->stacks[s->stack + i]];
	return -1;
}

static void
add_totals(struct expected *x, int value, const struct snapshot_totals *t, double sign)
{
	const double objects = ldexp(1, -HEAPD_WEIGHT_SHIFT), objects_var = ldexp(1, -HEAPD_OBJECTS_VAR_SHIFT),
		     bytes_var = ldexp(1, HEAPD_BYTES_VAR_SHIFT);

	x->estimate[value] += sign * (double)t->objects * objects;
	x->estimate[value + 1] += sign * (double)t->bytes;
	x->variance[value] += sign * (double)t->objects_var * objects_var;
	x->variance[value + 1] += sign * (double)t->bytes_var * bytes_var;
	x->samples[value] += sign * (double)t->samples;
	x->samples[value + 1] += sign * (double)t->samples;
}

static void
estimate(const struct snapshot *snap, struct expected *x, int n)
{
	static const char *const losses[HEAPD_LOSSES] = {
		[HEAPD_LOST_BUSY] = "skipped: busy",
		[HEAPD_LOST_NO_LIVE] = "skipped: no room for live blocks",
		[HEAPD_LOST_NO_SITE] = "without site",
		[HEAPD_LOST_FREE] = "freed unseen",
	};
	int *frame_sites = malloc((snap->n_frames + 1) * sizeof(*frame_sites));

	if (!frame_sites)
		give_up("no memory");
	for (size_t f = 0; f < snap->n_frames; f++) {
		frame_sites[f] = -1;
		for (int i = 0; i < n; i++)
			if (frame_is_in(snap, &snap->frames[f], &x[i]))
				frame_sites[f] = i;
	}
	for (size_t s = 0; s < snap->n_sites; s++) {
		int i = site_of(snap, &snap->sites[s], frame_sites);

		if (i < 0)
			continue;
		add_totals(&x[i], ALLOC_OBJECTS, &snap->sites[s].alloc, 1);
		add_totals(&x[i], INUSE_OBJECTS, &snap->sites[s].alloc, 1);
		add_totals(&x[i], INUSE_OBJECTS, &snap->sites[s].freed, -1);
	}
	free(frame_sites);
	for (int i = 0; i < n && busy_site; i++)
		if (strcmp(x[i].name, busy_site) == 0) {
			x[i].estimate[ALLOC_OBJECTS] += (double)snap->lost[HEAPD_LOST_BUSY];
			x[i].estimate[ALLOC_BYTES] += (double)snap->lost_bytes;
		}
	for (int i = busy_site ? HEAPD_LOST_BUSY + 1 : 0; i < HEAPD_LOSSES; i++)
		if (losses[i] && snap->lost[i])
			complain("process %u: %llu samples %s", snap->pid, (unsigned long long)snap->lost[i],
				 losses[i]);
	if (snap->inconsistent)
		complain("process %u: %llu inconsistent values", snap->pid, (unsigned long long)snap->inconsistent);
	total_samples += snap->samples;
	stretched += snap->period > period;
	segments++;
}

static struct result *
result_of(const char *name)
{
	for (int i = 0; i < n_results; i++)
		if (strcmp(results[i].name, name) == 0)
			return &results[i];
	if (n_results == MAX_SITES)
		give_up("too many sites");
	snprintf(results[n_results].name, sizeof(results[0].name), "%.63s", name);
	return &results[n_results++];
}

static void
record(const struct expected *x, long pid)
{
	struct result *r = result_of(x->name);

	r->cases++;
	for (int v = 0; v < VALUES; v++) {
		double error = x->estimate[v] - x->truth[v];

		if (isnan(error))
			continue;
		if (period == 1 && error != 0)
			complain("%s of %s in process %ld is %.17g, not %.17g", value_names[v], x->name, pid,
				 x->estimate[v], x->truth[v]);
		r->v[v].truth += x->truth[v];
		r->v[v].estimate += x->estimate[v];
		r->v[v].variance += x->variance[v];
		r->v[v].samples += x->samples[v];
		r->v[v].square_error += error * error;
		r->v[v].covered += fabs(error) <= 1.96 * sqrt(x->variance[v]);
	}
}

/* Add one process's numbers to those of its run. */
static void
sum_up(struct expected *sum, int *n_sum, const struct expected *x)
{
	int i = 0;

	while (i < *n_sum && strcmp(sum[i].name, x->name) != 0)
		i++;
	if (i == MAX_SITES)
		give_up("too many sites");
	if (i == *n_sum) {
		sum[(*n_sum)++] = *x;
		return;
	}
	for (int v = 0; v < VALUES; v++) {
		sum[i].truth[v] += x->truth[v];
		sum[i].estimate[v] += x->estimate[v];
		sum[i].variance[v] += x->variance[v];
		sum[i].samples[v] += x->samples[v];
	}
}

/* Every table of one run's output. Returns after "end" of each with all of its sites recorded. */
static void
check_output(char *text, const char *dir)
{
	static struct expected x[MAX_SITES], sum[MAX_SITES];
	struct snapshot *snap = snapshot_new();
	char *save = NULL, words[VALUES][32];
	long pid = -1;
	int n = 0, n_sum = 0, tables = 0;

	if (!snap)
		give_up("no memory");
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "pid %ld", &pid) == 1) {
			n = 0;
		} else if (n < MAX_SITES && sscanf(line, "range %63s %lx %lx %63s", x[n].name, &x[n].start, &x[n].end,
						   x[n].module) == 4) {
			memset(x[n].estimate, 0, sizeof(x[n]) - offsetof(struct expected, estimate));
		} else if (n < MAX_SITES &&
			   sscanf(line, "site %*s %31s %31s %31s %31s", words[0], words[1], words[2], words[3]) == 4) {
			for (int v = 0; v < VALUES; v++)
				x[n].truth[v] = strcmp(words[v], "-") == 0 ? NAN : strtod(words[v], NULL);
			n++;
		} else if (strcmp(line, "end") == 0) {
			if (read_segment(dir, pid, snap))
				estimate(snap, x, n);
			for (int i = 0; i < n; i++)
				if (together)
					sum_up(sum, &n_sum, &x[i]);
				else
					record(&x[i], pid);
			tables++;
			processes++;
		} else {
			give_up("cannot read the line \"%s\"", line);
		}
	}
	if (tables == 0)
		give_up("the program printed no table");
	for (int i = 0; i < n_sum; i++)
		record(&sum[i], pid);
	snapshot_free(snap);
}

/* Bias and its standard error, as fractions of the truth. False: nothing to judge there. */
static bool
bias_of(const struct result *r, int v, double *ret_bias, double *ret_error)
{
	if (r->v[v].truth <= 0)
		return false;
	*ret_bias = (r->v[v].estimate - r->v[v].truth) / r->v[v].truth;
	*ret_error = sqrt(r->v[v].square_error) / r->v[v].truth;
	return true;
}

/* Allocations that were there and not sampled, over all runs. */
static double
missed(const struct result *r, int v)
{
	int objects = v - v % 2;

	return r->v[objects].truth - r->v[objects].samples;
}

/* Too little was left to chance to say anything about chance. */
static bool
is_sure(const struct result *r, int v)
{
	return missed(r, v) < MIN_SAMPLES;
}

/* Where sizes differ, a few small blocks may decide an estimate that rests on many samples: hence the last condition. */
static bool
judges_coverage(const struct result *r, int v)
{
	double cases = (double)r->cases, least = MIN_SAMPLES * cases;

	return r->v[v].samples >= least && missed(r, v) >= least &&
	       r->v[v].truth * r->v[v].truth >= least * r->v[v].variance;
}

static void
judge_variance(const struct result *r, int v)
{
	double ratio = r->v[v].variance / r->v[v].square_error;

	if (r->cases >= 60 && (ratio < VARIANCE_LOW || ratio > VARIANCE_HIGH))
		complain("%s of %s: the stated variance is %.2f times the real one", value_names[v], r->name, ratio);
}

static void
judge_value(int v)
{
	double sum = 0, weights = 0, bias, error;
	uint64_t covered = 0, intervals = 0;

	for (int i = 0; i < n_results; i++) {
		const struct result *r = &results[i];

		if (!bias_of(r, v, &bias, &error)) {
			if (r->v[v].estimate > 0)
				complain("%s of %s is %g on average, not 0", value_names[v], r->name,
					 r->v[v].estimate / (double)r->cases);
			continue;
		}
		if (fabs(bias) > (missed(r, v) > 0 ? bias_percent / 100 + 3 * error : 1e-3))
			complain("%s of %s has a bias of %.2f %%, standard error %.2f %%", value_names[v], r->name,
				 bias * 100, error * 100);
		if (is_sure(r, v))
			continue;
		judge_variance(r, v);
		sum += bias / (error * error);
		weights += 1 / (error * error);
		if (judges_coverage(r, v)) {
			covered += r->v[v].covered;
			intervals += r->cases;
		}
	}
	if (weights > 0) {
		bias = sum / weights;
		error = sqrt(1 / weights);
		printf("%-14s bias %+.3f %% +- %.3f", value_names[v], bias * 100, error * 100);
		if (intervals)
			printf(", covered %.2f %% of %llu", 100 * (double)covered / (double)intervals,
			       (unsigned long long)intervals);
		putchar('\n');
		if (fabs(bias) > bias_percent / 100 + 3 * error)
			complain("%s of all sites has a bias of %.2f %%", value_names[v], bias * 100);
		if (error > bias_percent / 500)
			complain("%s: %.2f %% is too coarse to see a bias of %.2f %%: more runs", value_names[v],
				 error * 100, bias_percent);
	}
	if (coverage_high > 0) {
		double percent = intervals ? 100 * (double)covered / (double)intervals : 0;
		double chance = intervals ? 300 * sqrt(0.95 * 0.05 / (double)intervals) : INFINITY;

		if (chance > (coverage_high - coverage_low) / 2)
			complain("%s: %llu intervals are too few to judge coverage by", value_names[v],
				 (unsigned long long)intervals);
		else if (percent < coverage_low || percent > coverage_high)
			complain("%s: 95 %% intervals cover %.2f %%", value_names[v], percent);
	}
}

static void
print_sites(void)
{
	printf("%-28s %9s", "bias % +- error (coverage %)", "samples");
	for (int v = 0; v < VALUES; v++)
		printf("  %21s", value_names[v]);
	putchar('\n');
	for (int i = 0; i < n_results; i++) {
		const struct result *r = &results[i];

		printf("%-28s %9.0f", r->name, r->v[0].samples / (double)r->cases);
		for (int v = 0; v < VALUES; v++) {
			double bias, error;
			char text[64] = "-", covered[16] = "";

			if (bias_of(r, v, &bias, &error)) {
				if (judges_coverage(r, v))
					snprintf(covered, sizeof(covered), " (%5.1f)",
						 100 * (double)r->v[v].covered / (double)r->cases);
				snprintf(text, sizeof(text), "%+6.2f +-%5.2f%8s", bias * 100, error * 100, covered);
			}
			printf("  %21s", text);
		}
		putchar('\n');
	}
}

static char **
parse(int argc, char **argv)
{
	int i = 1;

	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--together") == 0) {
			together = true;
			continue;
		}
		const char *option = argv[i], *value = i + 1 < argc ? argv[++i] : "";

		if (strcmp(option, "--library") == 0)
			library = value;
		else if (strcmp(option, "--period") == 0)
			period = strtoull(value, NULL, 0);
		else if (strcmp(option, "--max-samples") == 0)
			max_samples = strtoull(value, NULL, 0);
		else if (strcmp(option, "--runs") == 0)
			runs = strtoull(value, NULL, 0);
		else if (strcmp(option, "--first-seed") == 0)
			first_seed = strtoull(value, NULL, 0);
		else if (strcmp(option, "--busy") == 0)
			busy_site = value;
		else if (strcmp(option, "--bias") == 0)
			bias_percent = strtod(value, NULL);
		else if (strcmp(option, "--coverage") == 0 && i + 1 < argc) {
			coverage_low = strtod(value, NULL);
			coverage_high = strtod(argv[++i], NULL);
		} else
			give_up("unknown option %s; the top of truth_check.c explains", option);
	}
	if (!library || period == 0 || runs == 0 || first_seed == 0 || i + 1 >= argc)
		give_up("usage: truth_check --library LIB [--period N] [--max-samples N] [--runs N]"
			" [--first-seed N] [--bias PERCENT] [--coverage LOW HIGH] [--together] [--busy SITE] -- "
			"PROGRAM "
			"[ARGUMENT...]");
	return argv + i + 1;
}

int
main(int argc, char **argv)
{
	char **program = parse(argc, argv), dir[] = "/dev/shm/heapd-truth-XXXXXX", *text;

	if (access(library, R_OK) < 0 && !strchr(library, ':'))
		give_up("%s: %s", library, strerror(errno));
	if (!mkdtemp(dir))
		give_up("%s: %s", dir, strerror(errno));
	for (uint64_t run = 0; run < runs; run++) {
		text = run_program(program, dir, first_seed + run);
		check_output(text, dir);
		free(text);
	}
	printf("%s at period %llu: %llu runs, %llu processes, %llu segments, %llu samples\n", program[0],
	       (unsigned long long)period, (unsigned long long)runs, (unsigned long long)processes,
	       (unsigned long long)segments, (unsigned long long)total_samples);
	if (segments == 0)
		complain("not one segment");
	if (max_samples && stretched < segments - segments / 10)
		complain("a ceiling of %llu samples a second was felt in %llu segments only",
			 (unsigned long long)max_samples, (unsigned long long)stretched);
	if (period > 1) {
		print_sites();
		for (int v = 0; v < VALUES; v++)
			judge_value(v);
	}
	if (rmdir(dir) < 0)
		complain("%s: something was left: %s", dir, strerror(errno));
	puts(failed ? "wrong" : "right");
	return failed;
}
