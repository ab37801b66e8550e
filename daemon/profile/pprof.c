/* pprof.c - a profile in pprof's own format; see proto/profile.proto.
 *
 * Readers have limits: Pyroscope takes at most 16,000 samples and 4 MiB before packing. What goes over is folded, the
 * least important stacks first, into one sample "[other]", so that totals stay right. Only what the samples that are
 * left need is written, and numbered again: some readers want ids without gaps.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"
#include "gzip.h"
#include "plumbing.h"
#include "profile.h"
#include "profile.pb-c.h"
#include "shown.h"
#include "string_table.h"
#include "text.h"

#define SAMPLES_MAX 16000
#define SIZE_MAX_PLAIN (4u << 20)
#define GZIP_LEVEL 1 /* as Go: a reader waits. Level 6 took twice as long for 2 % less */
#define COMMENTS_MAX (HEAPD_LOSSES + 5)
#define EXTRAS_MAX (COMMENTS_MAX + 13)

typedef Perftools__Profiles__Profile pb_profile;
typedef Perftools__Profiles__ValueType pb_value_type;
typedef Perftools__Profiles__Sample pb_sample;
typedef Perftools__Profiles__Label pb_label;
typedef Perftools__Profiles__Mapping pb_mapping;
typedef Perftools__Profiles__Location pb_location;
typedef Perftools__Profiles__Line pb_line;
typedef Perftools__Profiles__Function pb_function;

/* One encoding. Arrays of messages, and of pointers to them as protobuf-c wants them, have a place for every item the
 * profile has; n_* of the message says how many are used. */
struct encoder {
	const struct profile *p;
	struct showing *plan; /* which samples, and what is summed up */
	pb_profile message;

	uint32_t *string_id, *location_id, *function_id; /* by number in the profile; 0: not written yet */
	char **strings;
	pb_value_type types[PROFILE_VALUES + 1];
	pb_value_type *type_pointers[PROFILE_VALUES];
	pb_sample *samples, **sample_pointers;
	pb_label *labels, **label_pointers;
	uint64_t *stack;
	int64_t *values;
	pb_mapping *mappings, **mapping_pointers;
	pb_location *locations, **location_pointers;
	pb_line *lines, **line_pointers;
	size_t n_stack, n_lines;
	pb_function *functions, **function_pointers;
	int64_t comments[COMMENTS_MAX];
	int64_t bytes_key;
};

/* -- strings -- */

static int64_t
add_extra(struct encoder *e, const char *literal)
{
	union {
		const char *from;
		char *to; /* protobuf-c has no const, and does not write */
	} string = { .from = literal };

	e->strings[e->message.n_string_table] = string.to;
	return (int64_t)e->message.n_string_table++;
}

/* A string that the profile owns. */
static int64_t
add_string(struct encoder *e, const char *string)
{
	uint32_t number = strings_number(string);

	if (number != 0 && e->string_id[number] == 0)
		e->string_id[number] = (uint32_t)add_extra(e, string);
	return e->string_id[number];
}

/* -- tables -- */

static uint64_t
add_function(struct encoder *e, uint32_t i)
{
	const struct profile_function *f = &e->p->functions[i];
	pb_function *to;

	if (e->function_id[i] == 0) {
		to = e->function_pointers[e->message.n_function] = &e->functions[e->message.n_function];
		perftools__profiles__function__init(to);
		to->id = e->function_id[i] = (uint32_t)++e->message.n_function;
		to->name = add_string(e, f->name);
		to->system_name = add_string(e, f->system_name);
		to->filename = add_string(e, f->file);
		to->start_line = f->start_line;
	}
	return e->function_id[i];
}

static void
add_line(struct encoder *e, pb_location *to, uint64_t function, uint32_t line)
{
	pb_line *l = e->line_pointers[e->n_lines] = &e->lines[e->n_lines];

	perftools__profiles__line__init(l);
	l->function_id = function;
	l->line = line;
	if (to->n_line == 0)
		to->line = &e->line_pointers[e->n_lines];
	to->n_line++;
	e->n_lines++;
}

static pb_location *
new_location(struct encoder *e, uint64_t address, uint32_t mapping)
{
	pb_location *to = e->location_pointers[e->message.n_location] = &e->locations[e->message.n_location];

	perftools__profiles__location__init(to);
	to->id = ++e->message.n_location;
	to->address = address;
	to->mapping_id = mapping == HEAPD_NONE ? 0 : mapping + 1u;
	return to;
}

static uint64_t
add_location(struct encoder *e, uint32_t i)
{
	const struct profile_location *l = &e->p->locations[i];
	pb_location *to;

	if (e->location_id[i] == 0) {
		to = new_location(e, l->address, l->mapping);
		e->location_id[i] = (uint32_t)to->id;
		for (uint32_t k = l->first_line; k < l->first_line + l->n_lines; k++)
			add_line(e, to, add_function(e, e->p->lines[k].function), e->p->lines[k].line);
	}
	return e->location_id[i];
}

static void
add_mappings(struct encoder *e)
{
	for (size_t i = 0; i < e->p->n_mappings; i++) {
		const struct profile_mapping *m = &e->p->mappings[i];
		pb_mapping *to = e->mapping_pointers[i] = &e->mappings[i];

		perftools__profiles__mapping__init(to);
		to->id = i + 1;
		to->memory_start = m->start;
		to->memory_limit = m->limit;
		to->filename = add_string(e, m->path);
		if (m->build_id[0])
			to->build_id = add_extra(e, m->build_id);
		to->has_functions = m->has_functions;
		to->has_filenames = m->has_filenames;
		to->has_line_numbers = m->has_lines;
		to->has_inline_frames = m->has_inlines;
	}
	e->message.n_mapping = e->p->n_mappings;
	e->message.mapping = e->mapping_pointers;
}

/* -- samples -- */

/* The label `bytes`: the size of the blocks of a stack.
 *
 * Readers that compute rates find a stack's earlier value by its addresses and labels, so the label must not drift with
 * the mean of a stack that allocates many sizes. The size is exact where the sums show that there is only one: for n
 * equal blocks of s bytes, bytes / objects = s and bytes_variance / objects_variance = s^2. Otherwise it is the power of
 * two nearest to the mean, which settles. 0: no label. */
static int64_t
size_label(const struct profile_sample *s)
{
	double objects = s->value[PROFILE_ALLOC_OBJECTS], bytes = s->value[PROFILE_ALLOC_SPACE];
	double objects_var = s->variance[PROFILE_ALLOC_OBJECTS], bytes_var = s->variance[PROFILE_ALLOC_SPACE];
	double mean, weight;

	if (!(objects > 0) || !(bytes > 0) || s->samples == 0)
		return 0;
	mean = bytes / objects;
	weight = objects / (double)s->samples;
	if (objects_var == 0 && bytes_var == 0 && objects == (double)s->samples) {
		if (mean == round(mean)) /* every allocation was counted */
			return profile_whole(mean);
	} else if (weight > 8) {
		/* Below that the variance of the count, kept in sixteenths, is too coarse to tell. What rounding does to the
		 * mean: half a byte of each sample's w * s, 2^-17 of its w. */
		if (fabs(mean - round(mean)) <= (0.5 + mean * 0x1p-17) / weight &&
		    fabs(bytes_var / objects_var / (mean * mean) - 1) <= 0.001)
			return profile_whole(mean);
	}
	return mean < 1 ? 1 : profile_whole(exp2(round(log2(mean))));
}

static pb_sample *
new_sample(struct encoder *e)
{
	size_t i = e->message.n_sample++;
	pb_sample *to = e->sample_pointers[i] = &e->samples[i];

	perftools__profiles__sample__init(to);
	to->n_value = PROFILE_VALUES;
	to->value = &e->values[i * PROFILE_VALUES];
	to->location_id = &e->stack[e->n_stack];
	return to;
}

/* What a sample has in the sum for good. */
static int64_t
summed(const struct encoder *e, size_t sample, unsigned k)
{
	int64_t in_sum = k < SHOWN_MONOTONE ? e->plan->served[sample].summed[k] : 0;
	int64_t value = profile_whole(e->p->samples[sample].value[k]);

	return in_sum < value ? in_sum : value > 0 ? value : 0;
}

static void
add_sample(struct encoder *e, size_t sample)
{
	const struct profile_sample *s = &e->p->samples[sample];
	struct shown_stack *served = &e->plan->served[sample];
	pb_sample *to = new_sample(e);
	int64_t size;

	if (!e->plan->known[sample])
		served->size_label = size_label(s);
	size = served->size_label;
	for (unsigned k = 0; k < PROFILE_VALUES; k++)
		to->value[k] = profile_whole(s->value[k]) - summed(e, sample, k);
	for (uint32_t k = 0; k < s->depth; k++)
		e->stack[e->n_stack++] = add_location(e, e->p->stack[s->first_location + k]);
	to->n_location_id = s->depth;
	if (size != 0) {
		size_t i = e->message.n_sample - 1;

		perftools__profiles__label__init(&e->labels[i]);
		e->labels[i].key = e->bytes_key;
		e->labels[i].num = size;
		e->label_pointers[i] = &e->labels[i];
		to->label = &e->label_pointers[i];
		to->n_label = 1;
	}
}

static bool
address_taken(const struct profile *p, uint64_t address)
{
	for (size_t i = 0; i < p->n_locations; i++) {
		if (p->locations[i].address == address)
			return true;
	}
	return false;
}

/* One sample for all that were not kept. In whole numbers, so that a stack which leaves changes no total. */
static void
add_other(struct encoder *e)
{
	uint64_t address = FOLD_ADDRESS;
	pb_function *f = e->function_pointers[e->message.n_function] = &e->functions[e->message.n_function];
	pb_location *l;
	pb_sample *to = new_sample(e);

	for (size_t i = 0; i < e->p->n_samples; i++) {
		for (unsigned k = 0; k < PROFILE_VALUES; k++) {
			int64_t part = e->plan->keep[i] ? summed(e, i, k) : profile_whole(e->p->samples[i].value[k]);

			if (__builtin_add_overflow(to->value[k], part, &to->value[k]))
				to->value[k] = part < 0 ? INT64_MIN : INT64_MAX;
		}
	}
	perftools__profiles__function__init(f);
	f->id = ++e->message.n_function;
	f->name = f->system_name = add_extra(e, "[other]");
	while (address_taken(e->p, address))
		address++;
	l = new_location(e, address, HEAPD_NONE);
	add_line(e, l, f->id, 0);
	e->stack[e->n_stack++] = l->id;
	to->n_location_id = 1;
}

/* -- the whole -- */

static const char *const loss_comments[HEAPD_LOSSES] = {
	[HEAPD_LOST_BUSY] = "samples skipped in signal handlers",
	[HEAPD_LOST_NO_LIVE] = "samples skipped: no room for more live blocks",
	[HEAPD_LOST_NO_SITE] = "samples without stack: no room for more stacks",
	[HEAPD_LOST_DEEP] = "stacks cut after 128 frames",
	[HEAPD_LOST_NO_CFI] = "stacks ended early at code without unwind tables",
	[HEAPD_LOST_BAD_FRAME] = "stacks ended early at a frame that made no sense",
	[HEAPD_LOST_FOREIGN] = "stacks not walked: not on the thread's own stack",
	[HEAPD_LOST_FREE] = "blocks whose free was not seen",
	[HEAPD_LOST_MODULE] = "frames of modules that found no room",
};

/* What the numbers are worth. One line of text each; they live in `text` until the message is packed. */
static void
write_comments(const struct profile *p, size_t n_folded, struct text *text)
{
	static const double per_cent = 100;
	double total = p->total[PROFILE_INUSE_SPACE], error = profile_error(p->total_variance[PROFILE_INUSE_SPACE]);

	text_printf(text, "heapd " HEAPD_VERSION "\n");
	if (total > 0)
		text_printf(text, "inuse_space %.0f bytes, standard error %.2f %%\n", total, per_cent * error / total);
	for (unsigned i = 0; i < HEAPD_LOSSES; i++) {
		if (p->lost[i] != 0)
			text_printf(text, "%" PRIu64 " %s\n", p->lost[i], loss_comments[i]);
	}
	if (p->lost_bytes != 0)
		text_printf(text, "about %" PRIu64 " bytes are in none of the stacks: their samples were skipped\n",
			    p->lost_bytes);
	if (p->inconsistent != 0)
		text_printf(text, "%" PRIu64 " values were damaged or made no sense, and were cut to what did\n",
			    p->inconsistent);
	if (n_folded != 0)
		text_printf(text, "%zu small stacks are summed up in [other]\n", n_folded);
}

static void
add_comments(struct encoder *e, char *text)
{
	char *line, *rest = text;

	while ((line = strsep(&rest, "\n")) && line[0])
		e->comments[e->message.n_comment++] = add_extra(e, line);
	e->message.comment = e->comments;
}

static void
add_type(struct encoder *e, pb_value_type *type, const char *name, const char *unit)
{
	perftools__profiles__value_type__init(type);
	type->type = add_extra(e, name);
	type->unit = add_extra(e, unit);
}

/* Fill the message. The arrays are in place. */
static void
fill(struct encoder *e, enum profile_value preferred, bool set_preferred, const char *plumbing, char *comments)
{
	const struct profile *p = e->p;
	pb_profile *m = &e->message;

	perftools__profiles__profile__init(m);
	(void)add_extra(e, "");
	for (unsigned k = 0; k < PROFILE_VALUES; k++) {
		e->type_pointers[k] = &e->types[k];
		add_type(e, &e->types[k], profile_value_types[k].name, profile_value_types[k].unit);
	}
	add_type(e, &e->types[PROFILE_VALUES], "space", "bytes");
	e->bytes_key = e->types[PROFILE_VALUES].unit;
	m->period_type = &e->types[PROFILE_VALUES];
	m->period = (int64_t)p->period;
	m->time_nanos = p->time_ns;
	m->duration_nanos = p->duration_ns;
	if (set_preferred)
		m->default_sample_type = e->types[preferred].type;
	m->drop_frames = add_extra(e, plumbing);
	add_comments(e, comments);
	add_mappings(e);
	for (size_t i = 0; i < p->n_samples; i++) {
		if (e->plan->keep[i])
			add_sample(e, i);
	}
	if (e->plan->rest)
		add_other(e);
	m->n_sample_type = PROFILE_VALUES;
	m->sample_type = e->type_pointers;
	m->sample = e->sample_pointers;
	m->location = e->location_pointers;
	m->function = e->function_pointers;
	m->string_table = e->strings;
}

/* `count` elements of zeros, and one more so that an empty profile is no special case. */
static bool
allocate(void *pointer, size_t count, size_t size)
{
	void *p = calloc(count + 1, size);

	memcpy(pointer, &p, sizeof(p));
	return p != NULL;
}

static bool
encoder_allocate(struct encoder *e)
{
	const struct profile *p = e->p;
	size_t n_strings = strings_count(p->strings) + p->n_mappings + EXTRAS_MAX, kept = e->plan->n_keep + 1;

	return allocate(&e->string_id, strings_count(p->strings), sizeof(*e->string_id)) &&
	       allocate(&e->location_id, p->n_locations, sizeof(*e->location_id)) &&
	       allocate(&e->function_id, p->n_functions, sizeof(*e->function_id)) &&
	       allocate(&e->strings, n_strings, sizeof(*e->strings)) &&
	       allocate(&e->samples, kept, sizeof(*e->samples)) &&
	       allocate(&e->sample_pointers, kept, sizeof(*e->sample_pointers)) &&
	       allocate(&e->labels, kept, sizeof(*e->labels)) &&
	       allocate(&e->label_pointers, kept, sizeof(*e->label_pointers)) &&
	       allocate(&e->stack, p->n_stack + 1, sizeof(*e->stack)) &&
	       allocate(&e->values, kept * PROFILE_VALUES, sizeof(*e->values)) &&
	       allocate(&e->mappings, p->n_mappings, sizeof(*e->mappings)) &&
	       allocate(&e->mapping_pointers, p->n_mappings, sizeof(*e->mapping_pointers)) &&
	       allocate(&e->locations, p->n_locations + 1, sizeof(*e->locations)) &&
	       allocate(&e->location_pointers, p->n_locations + 1, sizeof(*e->location_pointers)) &&
	       allocate(&e->lines, p->n_lines + 1, sizeof(*e->lines)) &&
	       allocate(&e->line_pointers, p->n_lines + 1, sizeof(*e->line_pointers)) &&
	       allocate(&e->functions, p->n_functions + 1, sizeof(*e->functions)) &&
	       allocate(&e->function_pointers, p->n_functions + 1, sizeof(*e->function_pointers));
}

static void
encoder_done(struct encoder *e)
{
	free(e->string_id);
	free(e->location_id);
	free(e->function_id);
	free(e->strings);
	free(e->samples);
	free(e->sample_pointers);
	free(e->labels);
	free(e->label_pointers);
	free(e->stack);
	free(e->values);
	free(e->mappings);
	free(e->mapping_pointers);
	free(e->locations);
	free(e->location_pointers);
	free(e->lines);
	free(e->line_pointers);
	free(e->functions);
	free(e->function_pointers);
}

/* The message as planned, unpacked, if it is no larger than max bytes; -EFBIG and its size otherwise. */
static int
encode(struct showing *plan, enum profile_value preferred, bool set_preferred, size_t max, uint8_t **ret,
       size_t *ret_size)
{
	struct encoder e = { .p = plan->p, .plan = plan };
	struct text text = { 0 }, plumbing = { 0 };
	uint8_t *plain = NULL;
	int r = -ENOMEM;

	plumbing_add_pattern(&plumbing);
	write_comments(e.p, e.p->n_samples - plan->n_keep, &text);
	if (text.failed || plumbing.failed || !encoder_allocate(&e))
		goto out;
	fill(&e, preferred, set_preferred, plumbing.data, text.data);
	*ret_size = perftools__profiles__profile__get_packed_size(&e.message);
	r = -EFBIG;
	if (*ret_size > max)
		goto out;
	plain = malloc(*ret_size);
	r = -ENOMEM;
	if (!plain)
		goto out;
	perftools__profiles__profile__pack(&e.message, plain);
	*ret = plain;
	r = 0;
out:
	encoder_done(&e);
	text_done(&plumbing);
	text_done(&text);
	return r;
}

/* Encode what readers can take. With a shown, the room that its stacks need by their mean size tells how many more may come, so
 * that there are places left for later ones, also where bytes are what is short. */
static int
encode_within(struct showing *plan, enum profile_value preferred, bool set_preferred, uint8_t **ret, size_t *ret_size)
{
	size_t room = SAMPLES_MAX;
	int r = showing_choose(plan, room);

	while (r == 0) {
		size_t kept = plan->n_keep, allowed;

		/* What was served before is served again, however long its numbers have become. */
		r = encode(plan, preferred, set_preferred, kept > plan->n_known ? SIZE_MAX_PLAIN : SIZE_MAX, ret,
			   ret_size);
		if (r < 0 && r != -EFBIG)
			break;
		/* A little less than in proportion, so that two or three rounds do. */
		allowed = (size_t)((double)kept * 0.95 * SIZE_MAX_PLAIN / (double)*ret_size);
		if (r == 0 && (!plan->shown || allowed >= room))
			break;
		if (allowed < room)
			room = allowed;
		if (showing_choose(plan, room) < 0) {
			r = -ENOMEM;
			break;
		}
		if (r == 0 && plan->n_keep == kept)
			break;
		free(*ret);
		*ret = NULL;
		r = 0;
	}
	if (r < 0) {
		free(*ret);
		*ret = NULL;
	}
	return r;
}

int
profile_encode_pprof(const struct profile *p, struct shown *shown, enum profile_value preferred, bool set_preferred,
		     uint8_t **ret, size_t *ret_size)
{
	struct showing plan;
	uint8_t *plain = NULL;
	size_t size = 0;
	int r = showing_init(&plan, p, shown);

	if (r == 0)
		r = encode_within(&plan, preferred, set_preferred, &plain, &size);
	if (r == 0)
		r = gzip_pack(plain, size, GZIP_LEVEL, ret, ret_size);
	if (r == 0) {
		r = showing_commit(&plan);
		if (r < 0)
			free(*ret);
	}
	free(plain);
	showing_done(&plan);
	return r;
}
