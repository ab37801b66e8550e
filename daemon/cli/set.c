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
};

static const struct option set_table[] = {
	{ .name = "period",
	  .kind = OPTION_SIZE,
	  .offset = offsetof(struct set_options, period),
	  .argument = "N",
	  .least = 1,
	  .most = HEAPD_PERIOD_MAX,
	  .sentence = "Sample one allocation every N bytes in the mean, from its next sample on; 1 samples all." },
	DIR_OPTION(offsetof(struct set_options, dirs)),
	{ 0 },
};

static int
set_run(void *argument, char **operands)
{
	const struct set_options *options = argument;
	struct source source = { 0 };
	struct selection selection = { 0 };
	struct moment before = { 0 };
	char old[SIZE_TEXT], new[SIZE_TEXT];
	struct target *t;
	int status, r;

	if (options->period == 0) {
		log_line("say what to set: --period N, " SIZE_FORM);
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
		log_line("%s (%s) has ended: its period cannot change any more", t->name, t->id);
		goto out;
	}
	r = moment_take(&selection, &before);
	if (r == 0)
		r = target_set_period(t, options->period);
	if (r < 0) {
		log_line("cannot set the period of %s (%s): %s", t->name, t->id, moment_error(r, &before));
		goto out;
	}
	log_line("%s (%s): the period was %s and is %s from its next sample on", t->name, t->id,
		 size_format((double)before.snapshots[0]->period, old, sizeof(old)),
		 size_format((double)options->period, new, sizeof(new)));
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
