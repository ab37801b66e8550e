/* list.c - heapd list: what is being sampled, and what was. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "columns.h"
#include "describe.h"
#include "file.h"
#include "log.h"
#include "number.h"
#include "source.h"
#include "totals.h"

struct list_options {
	struct option_list dirs;
	bool json;
};

static const struct option list_table[] = {
	{ .name = "json",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct list_options, json),
	  .sentence = "Print JSON, with everything that is known about each target." },
	DIR_OPTION(offsetof(struct list_options, dirs)),
	{ 0 },
};

static const char *
since_text(int64_t realtime_ns, char *buffer, size_t size)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	struct tm tm;

	if (realtime_ns <= 0 || !localtime_r(&seconds, &tm) || strftime(buffer, size, "%F %T", &tm) == 0)
		(void)snprintf(buffer, size, "?");
	return buffer;
}

static void
row_add(struct columns *c, const struct target *t, const struct snapshot *s, const char *why)
{
	bool alive = atomic_load_explicit(&t->alive, memory_order_relaxed);
	char text[64], error[COUNT_TEXT], both[sizeof(text) + COUNT_TEXT + 16];
	struct totals totals;

	columns_add(c, t->id, 0);
	(void)snprintf(text, sizeof(text), "%u", t->pid);
	columns_add(c, text, 0);
	columns_add(c, t->name, 24);
	columns_add(c, alive ? "running" : "ended", 0);
	columns_add(c, since_text(t->since_ns, text, sizeof(text)), 0);
	if (!s) {
		for (unsigned i = 0; i < 4; i++)
			columns_add(c, "?", 0);
		log_line("target %s cannot be read: %s", t->id, why);
		return;
	}
	if (s->inconsistent > 0)
		log_line("target %s: %llu values of its segment are damaged and were cut to what makes sense", t->id,
			 (unsigned long long)s->inconsistent);
	totals_of(s, &totals);
	(void)snprintf(both, sizeof(both), "%s ± %s",
		       size_format(totals.value[PROFILE_INUSE_SPACE], text, sizeof(text)),
		       size_format(profile_error(totals.variance[PROFILE_INUSE_SPACE]), error, sizeof(error)));
	columns_add(c, both, 0);
	size_format((double)s->period, text, sizeof(text));
	if (s->max_samples)
		(void)snprintf(both, sizeof(both), "%s, ≤ %s/s", text,
			       count_format((double)s->max_samples, error, sizeof(error)));
	columns_add(c, s->max_samples ? both : text, 0);
	columns_add(c, count_format((double)s->samples, text, sizeof(text)), 0);
	columns_add(c, count_format((double)totals_dropped(s), text, sizeof(text)), 0);
}

/* Every target with its snapshot, in the table or in the JSON. */
static int
list_write(const struct list_options *options, const struct source *source, struct target *const *list)
{
	static const char *const titles[] = { "ID",     "PID",    "NAME",    "STATE",  "SINCE",
					      "IN USE", "PERIOD", "SAMPLES", "DROPPED" };
	struct columns columns;
	struct json j = { 0 };
	struct text out = { 0 };
	char *data = NULL;
	size_t size;
	int r;

	columns_init(&columns, "lrlllrrrr");
	for (size_t i = 0; i < columns.n; i++)
		columns_add(&columns, titles[i], 0);
	json_object_begin(&j);
	json_name(&j, "targets");
	json_array_begin(&j);
	for (; *list; list++) {
		struct target *t = *list;
		struct selection one = { &t, 1 };
		struct moment m = { 0 };
		const struct snapshot *s;
		const char *why;

		r = moment_take(&one, &m);
		s = r == 0 ? m.snapshots[0] : NULL;
		why = r == 0 ? "" : moment_error(r, &m);
		if (options->json)
			describe_target(&j, t, s, why);
		else
			row_add(&columns, t, s, why);
		moment_done(&m);
	}
	json_array_end(&j);
	json_name(&j, "refused");
	json_unsigned(&j, targets_refused(source->targets));
	json_object_end(&j);
	columns_print(&columns, "", 0, &out);
	r = options->json ? json_take(&j, &data, &size) : text_take(&out, &data, &size);
	if (r == 0)
		r = file_write(NULL, data, size);
	else
		log_line("out of memory");
	free(data);
	text_done(&out);
	text_done(&j.text);
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}

static int
list_run(void *argument, char **operands)
{
	const struct list_options *options = argument;
	struct source source = { 0 };
	struct target **list;
	int status = source_open(&options->dirs, false, &source);

	(void)operands;
	if (status != 0)
		return status;
	list = targets_list(source.targets);
	if (!list) {
		log_line("out of memory");
		status = EXIT_FAILED;
	} else {
		if (!list[0] && !options->json)
			log_line("no program is being sampled. Start one with: heapd run -- PROGRAM");
		status = list[0] || options->json ? list_write(options, &source, list) : EXIT_OK;
		if (targets_refused(source.targets) > 0)
			log_line("%llu files there were not taken for segments",
				 (unsigned long long)targets_refused(source.targets));
	}
	targets_list_free(list);
	source_close(&source);
	return status;
}

const struct command list_command = {
	.name = "list",
	.operands = "",
	.sentence = "List the programs that are sampled, and ended ones whose last profile is still there.",
	.description = "IN USE is an estimate with its standard error; DROPPED counts samples that found no room.",
	.options = list_table,
	.size = sizeof(struct list_options),
	.run = list_run,
};
