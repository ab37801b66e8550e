/* describe.c - see describe.h; proto/http.md documents every field. */
#include "describe.h"

#include "totals.h"

static void
describe_values(struct json *j, const char *name, const double *value, const double *variance)
{
	json_name(j, name);
	json_object_begin(j);
	for (size_t v = 0; v < PROFILE_VALUES; v++) {
		json_name(j, profile_value_types[v].name);
		json_object_begin(j);
		json_name(j, "value");
		json_number(j, value[v], 0);
		json_name(j, "standard_error");
		json_number(j, profile_error(variance[v]), 0);
		json_object_end(j);
	}
	json_object_end(j);
}

static void
describe_losses(struct json *j, const struct snapshot *s)
{
	json_name(j, "lost");
	json_object_begin(j);
	for (size_t i = 0; i < HEAPD_LOSSES; i++) {
		json_name(j, loss_texts[i].name);
		json_unsigned(j, s->lost[i]);
	}
	json_name(j, "bytes");
	json_unsigned(j, s->lost_bytes);
	json_object_end(j);
}

static void
describe_cmdline(struct json *j, const struct snapshot *s)
{
	size_t at = 0;

	json_name(j, "cmdline");
	json_array_begin(j);
	while (at < s->cmdline_length) {
		size_t length = 0;

		while (at + length < s->cmdline_length && s->cmdline[at + length])
			length++;
		json_string_bytes(j, s->cmdline + at, length);
		at += length + 1;
	}
	json_array_end(j);
}

void
describe_target(struct json *j, const struct target *t, const struct snapshot *s, const char *why)
{
	struct totals totals;

	json_object_begin(j);
	json_name(j, "id");
	json_string(j, t->id);
	json_name(j, "pid");
	json_unsigned(j, t->pid);
	json_name(j, "uid");
	json_unsigned(j, t->uid);
	json_name(j, "name");
	json_string(j, t->name);
	json_name(j, "exe");
	json_string(j, t->exe);
	json_name(j, "alive");
	json_bool(j, atomic_load_explicit(&t->alive, memory_order_relaxed));
	json_name(j, "since");
	json_time(j, t->since_ns);
	json_name(j, "segment");
	json_string(j, t->path);
	json_name(j, "error");
	json_string(j, s ? NULL : why);
	if (s) {
		totals_of(s, &totals);
		describe_cmdline(j, s);
		json_name(j, "period");
		json_unsigned(j, s->period);
		json_name(j, "max_samples");
		json_unsigned(j, s->max_samples);
		json_name(j, "time");
		json_time(j, s->time_ns);
		json_name(j, "sites");
		json_unsigned(j, totals.sites);
		json_name(j, "samples");
		json_unsigned(j, s->samples);
		describe_values(j, "totals", totals.value, totals.variance);
		describe_losses(j, s);
		json_name(j, "inconsistent");
		json_unsigned(j, s->inconsistent);
	}
	json_object_end(j);
}

static void
describe_frame(void *argument, const struct profile_function *f, uint32_t line)
{
	struct json *j = argument;

	json_object_begin(j);
	json_name(j, "function");
	json_string(j, f->name);
	json_name(j, "file");
	json_string(j, f->file);
	json_name(j, "line");
	json_unsigned(j, line);
	json_object_end(j);
}

static double
percent(double part, double whole)
{
	return whole != 0 ? 100 * part / whole : 0;
}

void
describe_ranking(struct json *j, const struct profile *p, const struct ranking *r, enum profile_value sort, size_t n)
{
	json_object_begin(j);
	json_name(j, "time");
	json_time(j, p->time_ns);
	json_name(j, "period");
	json_unsigned(j, p->period);
	json_name(j, "sort");
	json_string(j, profile_value_types[sort].name);
	json_name(j, "unit");
	json_string(j, profile_value_types[sort].unit);
	describe_values(j, "totals", p->total, p->total_variance);
	json_name(j, "sites");
	json_unsigned(j, r->n);
	json_name(j, "rows");
	json_array_begin(j);
	for (size_t i = 0; i < r->n && i < n; i++) {
		const struct ranking_row *row = &r->rows[i];

		json_object_begin(j);
		json_name(j, "value");
		json_number(j, row->value[sort], 0);
		json_name(j, "standard_error");
		json_number(j, profile_error(row->variance[sort]), 0);
		json_name(j, "percent");
		json_number(j, percent(row->value[sort], p->total[sort]), 2);
		json_name(j, "function");
		json_string(j, row->function);
		json_name(j, "file");
		json_string(j, row->file);
		json_name(j, "line");
		json_unsigned(j, row->line);
		json_name(j, "caller");
		json_string(j, row->caller);
		json_name(j, "samples");
		json_unsigned(j, row->samples);
		json_name(j, "stacks");
		json_unsigned(j, row->stacks);
		describe_values(j, "values", row->value, row->variance);
		json_name(j, "stack");
		json_array_begin(j);
		ranking_stack(p, row->largest, describe_frame, j);
		json_array_end(j);
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
}
