/* top.c - heapd top: the largest allocating sites of one program, live in a terminal or once into a pipe. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "columns.h"
#include "file.h"
#include "log.h"
#include "number.h"
#include "ranking.h"
#include "source.h"
#include "terminal.h"
#include "totals.h"

struct top_options {
	struct option_list dirs;
	const char *sort;
	uint64_t rows;
	uint64_t interval_ms;
};

static const struct option top_table[] = {
	{ .name = "sort",
	  .letter = 's',
	  .kind = OPTION_CHOICE,
	  .offset = offsetof(struct top_options, sort),
	  .argument = "VALUE",
	  .standard = "inuse_space",
	  .choices = "inuse_space|inuse_objects|alloc_space|alloc_objects",
	  .sentence = "Show and sort by this: memory in use, blocks in use, memory ever allocated, blocks ever "
		      "allocated, as "
		      "inuse_space, inuse_objects, alloc_space or alloc_objects." },
	{ .name = "rows",
	  .letter = 'n',
	  .kind = OPTION_COUNT,
	  .offset = offsetof(struct top_options, rows),
	  .argument = "N",
	  .standard = "20",
	  .least = 1,
	  .most = 100000,
	  .sentence = "Show so many sites." },
	{ .name = "interval",
	  .letter = 'i',
	  .kind = OPTION_DURATION,
	  .offset = offsetof(struct top_options, interval_ms),
	  .argument = "TIME",
	  .standard = "2s",
	  .least = 100,
	  .most = 3600000,
	  .sentence = "Look again after this time, in a terminal." },
	DIR_OPTION(offsetof(struct top_options, dirs)),
	{ 0 },
};

static const char *
value_text(enum profile_value v, double value, char *buffer, size_t size)
{
	bool bytes = v == PROFILE_INUSE_SPACE || v == PROFILE_ALLOC_SPACE;

	return bytes ? size_format(value, buffer, size) : count_format(value, buffer, size);
}

/* Two lines on the whole program. */
static void
head_write(const struct target *t, const struct moment *m, const struct profile *p, size_t sites, const char *line_end,
	   size_t width, struct text *to)
{
	const struct snapshot *s = m->snapshots[0];
	char value[COUNT_TEXT], error[COUNT_TEXT], count[COUNT_TEXT], whole[COUNT_TEXT], period[SIZE_TEXT];
	char samples[COUNT_TEXT], dropped[COUNT_TEXT], most[COUNT_TEXT], ceiling[COUNT_TEXT + 24] = "";
	struct text line = { 0 };

	text_printf(&line, "%s  pid %u, %s  in use %s ± %s in %s blocks  allocated %s", t->name, t->pid,
		    atomic_load_explicit(&t->alive, memory_order_relaxed) ? "running" : "ended",
		    size_format(p->total[PROFILE_INUSE_SPACE], value, sizeof(value)),
		    size_format(profile_error(p->total_variance[PROFILE_INUSE_SPACE]), error, sizeof(error)),
		    count_format(p->total[PROFILE_INUSE_OBJECTS], count, sizeof(count)),
		    size_format(p->total[PROFILE_ALLOC_SPACE], whole, sizeof(whole)));
	(void)text_add_printable(to, text_string(&line), width);
	text_printf(to, "%s\n", line_end);
	text_done(&line);
	if (s->max_samples)
		(void)snprintf(ceiling, sizeof(ceiling), ", at most %s a second",
			       count_format((double)s->max_samples, most, sizeof(most)));
	text_printf(&line, "%s samples, one every %s%s; %s dropped; %zu sites",
		    count_format((double)s->samples, samples, sizeof(samples)),
		    size_format((double)s->period, period, sizeof(period)), ceiling,
		    count_format((double)totals_dropped(s), dropped, sizeof(dropped)), sites);
	if (s->inconsistent > 0)
		text_printf(&line, "; %llu damaged values", (unsigned long long)s->inconsistent);
	(void)text_add_printable(to, text_string(&line), width);
	text_printf(to, "%s\n%s\n", line_end, line_end);
	text_done(&line);
}

static void
rows_write(const struct profile *p, const struct ranking *r, enum profile_value sort, size_t n, const char *line_end,
	   size_t width, struct text *to)
{
	struct columns c;

	columns_init(&c, "rrrlll");
	columns_add(&c, profile_value_types[sort].name, 0);
	columns_add(&c, "± error", 0);
	columns_add(&c, "%", 0);
	columns_add(&c, "function", 0);
	columns_add(&c, "line", 0);
	columns_add(&c, "called by", 0);
	for (size_t i = 0; i < r->n && i < n; i++) {
		const struct ranking_row *row = &r->rows[i];
		const char *base = strrchr(row->file, '/');
		char cell[COUNT_TEXT];
		struct text place = { 0 };

		columns_add(&c, value_text(sort, row->value[sort], cell, sizeof(cell)), 0);
		columns_add(&c, value_text(sort, profile_error(row->variance[sort]), cell, sizeof(cell)), 0);
		(void)snprintf(cell, sizeof(cell), "%.1f",
			       p->total[sort] > 0 ? 100 * row->value[sort] / p->total[sort] : 0.0);
		columns_add(&c, cell, 0);
		columns_add(&c, row->function, 60);
		if (*row->file)
			text_printf(&place, "%s:%u", base ? base + 1 : row->file, row->line);
		columns_add(&c, text_string(&place), 40);
		columns_add(&c, row->caller, 60);
		text_done(&place);
	}
	columns_print(&c, line_end, width, to);
}

/* One look at the target, as text. 0, or EXIT_FAILED and a line for the user. */
static int
top_look(const struct top_options *options, const struct source *source, const struct selection *selection,
	 const char *line_end, size_t width, size_t rows, struct text *to)
{
	struct moment moment = { 0 };
	struct profile *profile = NULL;
	struct ranking ranking = { 0 };
	enum profile_value sort = PROFILE_INUSE_SPACE;
	int r = moment_take(selection, &moment);

	(void)ranking_value(options->sort, &sort);
	if (r < 0) {
		terminal_end();
		log_line("target %s cannot be read: %s", selection->targets[0]->id, moment_error(r, &moment));
		goto out;
	}
	r = moment_profile(&moment, source->symbols, &profile);
	if (r == 0)
		r = ranking_new(profile, sort, &ranking);
	if (r < 0) {
		terminal_end();
		log_line("the table could not be made: %s", strerror(-r));
		goto out;
	}
	head_write(selection->targets[0], &moment, profile, ranking.n, line_end, width, to);
	rows_write(profile, &ranking, sort, rows, line_end, width, to);
out:
	ranking_done(&ranking);
	profile_free(profile);
	moment_done(&moment);
	return r < 0 ? EXIT_FAILED : 0;
}

static int
top_live(const struct top_options *options, const struct source *source, const struct selection *selection)
{
	enum { HEAD_LINES = 5 }; /* and one that the cursor rests on */
	bool ends = false;
	int status = 0, r = terminal_begin();

	if (r < 0) {
		log_line("cannot use the terminal: %s", strerror(-r));
		return EXIT_FAILED;
	}
	while (status == 0 && !ends) {
		struct text screen = { 0 };
		size_t columns, lines, rows;

		terminal_size(&columns, &lines);
		rows = lines > HEAD_LINES ? lines - HEAD_LINES : 1;
		if (rows > options->rows)
			rows = (size_t)options->rows;
		(void)targets_poll(source->targets);
		status = top_look(options, source, selection, TERMINAL_LINE_END, columns, rows, &screen);
		if (status == 0) {
			terminal_show(text_string(&screen), screen.size);
			ends = terminal_wait(options->interval_ms);
		}
		text_done(&screen);
	}
	terminal_end();
	return status;
}

static int
top_once(const struct top_options *options, const struct source *source, const struct selection *selection)
{
	struct text table = { 0 };
	int status = top_look(options, source, selection, "", 0, (size_t)options->rows, &table);

	if (status == 0 && file_write(NULL, text_string(&table), table.size) < 0)
		status = EXIT_FAILED;
	text_done(&table);
	return status;
}

static int
top_run(void *argument, char **operands)
{
	const struct top_options *options = argument;
	struct source source = { 0 };
	struct selection selection = { 0 };
	int status = source_open(&options->dirs, true, &source);

	if (status == 0)
		status = source_select(&source, operands[0], &selection);
	if (status == 0)
		status = terminal_is_live() ? top_live(options, &source, &selection)
					    : top_once(options, &source, &selection);
	selection_done(&selection);
	source_close(&source);
	return status;
}

const struct command top_command = {
	.name = "top",
	.operands = "[TARGET]",
	.sentence = "Show the lines of code that hold or allocate most memory.",
	.description = "In a terminal the table stays up to date until q or Ctrl-C; into a pipe it is printed once. "
		       "TARGET is an id, a\n"
		       "pid or a name as heapd list shows them; it may be left out if there is only one.",
	.options = top_table,
	.size = sizeof(struct top_options),
	.operands_most = 1,
	.run = top_run,
};
