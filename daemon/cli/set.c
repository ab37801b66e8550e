/* set.c - heapd set: change how often a running program is sampled. */
#include <errno.h>
#include <string.h>

#include "cli.h"
#include "log.h"
#include "number.h"
#include "source.h"

struct set_options {
	struct option_list dirs;
	uint64_t period;
	const char *max_samples; /* as text: 0 means something */
};

static const struct option set_table[] = {
	{ .name = "period",
	  .kind = OPTION_SIZE,
	  .offset = offsetof(struct set_options, period),
	  .argument = "N",
	  .least = 1,
	  .most = HEAPD_PERIOD_MAX,
	  .sentence = "Sample one allocation every N bytes in the mean, from its next sample on; 1 samples all." },
	{ .name = "max-samples",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct set_options, max_samples),
	  .argument = "N",
	  .sentence = "Take about N samples a second at most: the period grows by itself when the program allocates "
		      "faster, "
		      "and shrinks again. 0 lifts the ceiling." },
	DIR_OPTION(offsetof(struct set_options, dirs)),
	{ 0 },
};

static const char *
ceiling_text(uint64_t max_samples, char *buffer, size_t size)
{
	return max_samples ? count_format((double)max_samples, buffer, size) : "unlimited";
}

/* What was asked for, done and told. 0 or -errno. */
static int
set_all(struct target *t, const struct set_options *options, uint64_t max_samples, const struct snapshot *before)
{
	char old[COUNT_TEXT], new[COUNT_TEXT];
	int r = 0;

	if (options->period) {
		r = target_set_period(t, options->period);
		if (r < 0)
			return r;
		log_line("%s (%s): the period was %s and is %s from its next sample on", t->name, t->id,
			 size_format((double)before->period, old, sizeof(old)),
			 size_format((double)options->period, new, sizeof(new)));
	}
	if (options->max_samples) {
		r = target_set_max_samples(t, max_samples);
		if (r < 0)
			return r;
		log_line("%s (%s): samples a second were %s and are %s from its next sample on", t->name, t->id,
			 ceiling_text(before->max_samples, old, sizeof(old)),
			 ceiling_text(max_samples, new, sizeof(new)));
	}
	return r;
}

static int
set_run(void *argument, char **operands)
{
	const struct set_options *options = argument;
	struct source source = { 0 };
	struct selection selection = { 0 };
	struct moment before = { 0 };
	struct target *t;
	uint64_t max_samples = 0;
	int status, r;

	if (options->period == 0 && !options->max_samples) {
		log_line("say what to set: --period N, " SIZE_FORM ", or --max-samples N, samples a second");
		return EXIT_USAGE;
	}
	if (options->max_samples && number_parse(options->max_samples, &max_samples) < 0) {
		log_line("--max-samples %s: must be a whole number of samples a second, 0 for no ceiling",
			 options->max_samples);
		return EXIT_USAGE;
	}
	status = source_open(&options->dirs, false, &source);
	if (status == 0)
		status = source_select(&source, operands[0], &selection);
	if (status != 0)
		goto out;
	status = EXIT_FAILED;
	t = selection.targets[0];
	if (!atomic_load_explicit(&t->alive, memory_order_relaxed)) {
		log_line("%s (%s) has ended: nothing can be set any more", t->name, t->id);
		goto out;
	}
	r = moment_take(&selection, &before);
	if (r == 0)
		r = set_all(t, options, max_samples, before.snapshots[0]);
	if (r < 0) {
		log_line("cannot change how %s (%s) is sampled: %s", t->name, t->id, moment_error(r, &before));
		goto out;
	}
	status = EXIT_OK;
out:
	moment_done(&before);
	selection_done(&selection);
	source_close(&source);
	return status;
}

const struct command set_command = {
	.name = "set",
	.operands = "TARGET",
	.sentence = "Change how often a running program is sampled.",
	.description = "TARGET is an id, a pid or a name as heapd list shows them. What was sampled before keeps its "
		       "weight, so the\n"
		       "profile stays right.",
	.options = set_table,
	.size = sizeof(struct set_options),
	.operands_least = 1,
	.operands_most = 1,
	.run = set_run,
};
