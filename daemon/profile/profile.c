/* profile.c - see profile.h. From snapshots with names to one table of stacks with estimates.
 *
 * Everything is numbered in the order it is first needed, and sites keep their order for as long as a target lives, so
 * the next profile of the same target gives the same things the same addresses. Readers that subtract two profiles by
 * address rely on that.
 */
#include "profile.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "strings.h"
#include "table.h"

const struct profile_value_type profile_value_types[PROFILE_VALUES] = {
	[PROFILE_ALLOC_OBJECTS] = { "alloc_objects", "count" },
	[PROFILE_ALLOC_SPACE] = { "alloc_space", "bytes" },
	[PROFILE_INUSE_OBJECTS] = { "inuse_objects", "count" },
	[PROFILE_INUSE_SPACE] = { "inuse_space", "bytes" },
};

/* What tells locations apart. Addresses within the file, since every process has its own place for it. */
struct location_key {
	uint64_t elf_address; /* return address; of a frame without mapping, the address itself */
	uint32_t mapping;
	bool exact;
	bool found; /* its lines are real ones */
	const struct profile_line *lines; /* of the candidate */
	uint32_t n_lines;
};

struct stack_key {
	const uint32_t *locations;
	uint32_t depth;
};

struct builder {
	struct profile *p;
	size_t mappings_room, functions_room, lines_room, locations_room, stack_room, samples_room;
	struct table mappings, functions, locations, addresses, samples;
	uint64_t *bias; /* one a mapping: runtime - ELF address in the first process that has it */
	struct location_key *keys; /* one a location; lines unused */
	size_t bias_room, keys_room;
};

/* Room for `more` elements after the first n of the array that *array points to. */
static int
reserve(void *array, size_t n, size_t more, size_t *room, size_t size)
{
	size_t capacity = *room ? *room : 64;
	void *p;

	if (n + more <= *room)
		return 0;
	while (capacity < n + more)
		capacity *= 2;
	memcpy(&p, array, sizeof(p));
	p = realloc(p, capacity * size);
	if (!p)
		return -ENOMEM;
	memcpy(array, &p, sizeof(p));
	*room = capacity;
	return 0;
}

/* -- mappings -- */

struct mapping_key {
	const char *build_id, *path;
};

static bool
mapping_equal(const void *owner, uint32_t item, const void *key)
{
	const struct builder *b = owner;
	const struct mapping_key *k = key;
	const struct profile_mapping *m = &b->p->mappings[item];

	return strcmp(m->build_id, k->build_id) == 0 && (k->build_id[0] || m->path == k->path);
}

static void
hexadecimal(const uint8_t *bytes, uint32_t n, char *to)
{
	for (uint32_t i = 0; i < n; i++) {
		*to++ = "0123456789abcdef"[bytes[i] >> 4];
		*to++ = "0123456789abcdef"[bytes[i] & 15];
	}
	*to = '\0';
}

/* The mapping of a module, added if its file was not seen before. */
static int
add_mapping(struct builder *b, const struct snapshot_module *m, uint32_t *ret)
{
	struct profile_mapping new = { .start = m->start, .limit = m->end };
	struct mapping_key key;
	uint64_t hash;
	uint32_t i;

	hexadecimal(m->build_id, m->build_id_length, new.build_id);
	new.path = strings_add(b->p->strings, m->path);
	if (!new.path)
		return -ENOMEM;
	key = (struct mapping_key){ new.build_id, new.path };
	hash = new.build_id[0] ? hash_bytes(new.build_id, strlen(new.build_id)) : hash_u64(strings_number(new.path));
	i = table_find(&b->mappings, hash, mapping_equal, b, &key);
	if (i == TABLE_NONE) {
		i = (uint32_t)b->p->n_mappings;
		if (reserve(&b->p->mappings, i, 1, &b->mappings_room, sizeof(new)) < 0 ||
		    reserve(&b->bias, i, 1, &b->bias_room, sizeof(*b->bias)) < 0 ||
		    table_add(&b->mappings, hash, i) < 0)
			return -ENOMEM;
		b->p->mappings[i] = new;
		b->bias[i] = m->bias;
		b->p->n_mappings++;
	}
	*ret = i;
	return 0;
}

/* Mappings for all modules of a snapshot, the main program's first; ret[i] belongs to modules[i]. */
static int
add_mappings(struct builder *b, const struct snapshot *s, uint32_t *ret)
{
	struct snapshot_module unknown = { .path = NULL };
	uint32_t ignored;
	bool main_seen = false;

	for (size_t i = 0; i < s->n_modules; i++) {
		ret[i] = HEAPD_NONE;
		if (!s->modules[i].present || !s->modules[i].main)
			continue;
		main_seen = true;
		if (add_mapping(b, &s->modules[i], &ret[i]) < 0)
			return -ENOMEM;
	}
	/* Readers take the first mapping for the program, so there has to be one, even if all we have is its name. */
	if (!main_seen && b->p->n_mappings == 0) {
		char name[sizeof(s->name)];

		memcpy(name, s->name, sizeof(name));
		unknown.path = name;
		if (add_mapping(b, &unknown, &ignored) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < s->n_modules; i++) {
		if (s->modules[i].present && ret[i] == HEAPD_NONE && add_mapping(b, &s->modules[i], &ret[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* -- functions and lines -- */

static bool
function_equal(const void *owner, uint32_t item, const void *key)
{
	const struct profile *p = owner;
	const struct profile_function *f = &p->functions[item], *k = key;

	return f->name == k->name && f->system_name == k->system_name && f->file == k->file &&
	       f->start_line == k->start_line;
}

static int
add_line(struct builder *b, const struct symbol_line *from)
{
	struct profile_function f = { .start_line = from->start_line };
	const char *name = from->name && from->name[0] ? from->name : from->system_name;
	struct profile *p = b->p;
	uint64_t hash;
	uint32_t i;

	if (!name || !name[0])
		name = "[unknown]"; /* an empty name breaks some readers, and says less */
	f.name = strings_add(p->strings, name);
	f.system_name = strings_add(p->strings, from->system_name && from->system_name[0] ? from->system_name : name);
	f.file = strings_add(p->strings, from->file ? from->file : "");
	if (!f.name || !f.system_name || !f.file)
		return -ENOMEM;
	hash = hash_u64((uint64_t)strings_number(f.name) << 32 | strings_number(f.file));
	hash = hash_u64(hash + ((uint64_t)strings_number(f.system_name) << 32 | f.start_line));
	i = table_find(&b->functions, hash, function_equal, p, &f);
	if (i == TABLE_NONE) {
		i = (uint32_t)p->n_functions;
		if (reserve(&p->functions, i, 1, &b->functions_room, sizeof(f)) < 0 ||
		    table_add(&b->functions, hash, i) < 0)
			return -ENOMEM;
		p->functions[i] = f;
		p->n_functions++;
	}
	if (reserve(&p->lines, p->n_lines, 1, &b->lines_room, sizeof(*p->lines)) < 0)
		return -ENOMEM;
	p->lines[p->n_lines++] = (struct profile_line){ i, from->line };
	return 0;
}

/* -- locations -- */

static bool
location_equal(const void *owner, uint32_t item, const void *key)
{
	const struct builder *b = owner;
	const struct location_key *k = key, *have = &b->keys[item];
	const struct profile *p = b->p;
	const struct profile_location *l = &p->locations[item];

	if (have->mapping != k->mapping || have->elf_address != k->elf_address || have->exact != k->exact)
		return false;
	/* A build-id names the code. Without one the file may have been another, or the code made at run time. */
	if (k->mapping != HEAPD_NONE && p->mappings[k->mapping].build_id[0])
		return true;
	return l->n_lines == k->n_lines &&
	       memcmp(&p->lines[l->first_line], k->lines, k->n_lines * sizeof(*k->lines)) == 0;
}

static bool
address_equal(const void *owner, uint32_t item, const void *key)
{
	const struct profile *p = owner;
	uint64_t address;

	memcpy(&address, key, sizeof(address));
	return p->locations[item].address == address;
}

/* The next address that no location has. Two processes may have different code at one address; their neighbours are
 * free, as calls are longer than a byte. After a few of those only a liar is left, and we jump, to be done soon. */
static uint64_t
free_address(const struct builder *b, uint64_t wanted)
{
	uint64_t address = wanted;

	for (uint64_t tries = 1;
	     address == 0 || table_find(&b->addresses, hash_u64(address), address_equal, b->p, &address) != TABLE_NONE;
	     tries++)
		address += tries <= 16 ? 1 : tries * UINT64_C(0x9e3779b97f4a7c15);
	return address;
}

static void
note_names(struct profile_mapping *m, const struct symbol *symbol)
{
	m->has_functions = true;
	m->has_inlines |= symbol->n_lines > 1;
	for (uint32_t i = 0; i < symbol->n_lines; i++) {
		m->has_filenames |= symbol->lines[i].file && symbol->lines[i].file[0];
		m->has_lines |= symbol->lines[i].line != 0;
	}
}

/* The location of a key, whose lines are the last ones of the profile: kept if the location is new. */
static int
add_location(struct builder *b, const struct location_key *key, uint32_t *ret)
{
	struct profile *p = b->p;
	struct profile_location new = { .mapping = key->mapping, .n_lines = key->n_lines };
	uint64_t hash = hash_u64(key->elf_address ^ (uint64_t)key->mapping << 48 ^ (uint64_t)key->exact << 63);
	uint32_t i = table_find(&b->locations, hash, location_equal, b, key);

	new.first_line = (uint32_t)(p->n_lines - key->n_lines);
	if (i != TABLE_NONE) {
		/* Another process of the same build may know the names that this one's files did not tell. */
		if (key->found && !b->keys[i].found) {
			p->locations[i].first_line = new.first_line;
			p->locations[i].n_lines = new.n_lines;
			b->keys[i].found = true;
		} else {
			p->n_lines -= key->n_lines;
		}
		*ret = i;
		return 0;
	}
	i = (uint32_t)p->n_locations;
	new.address = key->elf_address + (key->mapping == HEAPD_NONE ? 0 : b->bias[key->mapping]) - !key->exact;
	new.address = free_address(b, new.address);
	if (reserve(&p->locations, i, 1, &b->locations_room, sizeof(new)) < 0 ||
	    reserve(&b->keys, i, 1, &b->keys_room, sizeof(*key)) < 0 || table_add(&b->locations, hash, i) < 0 ||
	    table_add(&b->addresses, hash_u64(new.address), i) < 0)
		return -ENOMEM;
	p->locations[i] = new;
	b->keys[i] = *key;
	p->n_locations++;
	*ret = i;
	return 0;
}

/* A symbol for those who gave none: the place in the file is a name that survives a restart. */
static int
add_synthetic_line(struct builder *b, const struct snapshot_frame *frame, uint32_t mapping, uint64_t elf_address)
{
	const char *path = mapping == HEAPD_NONE ? NULL : b->p->mappings[mapping].path;
	const char *base = path && strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	char name[300];

	if (base && base[0])
		(void)snprintf(name, sizeof(name), "%.255s+0x%" PRIx64, base, elf_address);
	else
		(void)snprintf(name, sizeof(name), "0x%" PRIx64, frame->address);
	return add_line(b, &(struct symbol_line){ .name = name, .system_name = name, .file = "" });
}

/* The location of a frame. */
static int
add_frame(struct builder *b, const struct profile_source *source, const uint32_t *mappings, uint32_t frame,
	  uint32_t *ret)
{
	const struct snapshot_frame *f = &source->snapshot->frames[frame];
	const struct symbol *symbol = source->symbols ? &source->symbols[frame] : NULL;
	struct profile *p = b->p;
	struct location_key key = { .elf_address = f->address, .mapping = HEAPD_NONE };
	size_t first_line = p->n_lines;

	key.exact = (f->flags & HEAPD_FRAME_EXACT) != 0;
	if (f->module != HEAPD_NONE) {
		key.mapping = mappings[f->module];
		key.elf_address -= source->snapshot->modules[f->module].bias;
	}
	for (uint32_t i = 0; symbol && i < symbol->n_lines; i++) {
		if (add_line(b, &symbol->lines[i]) < 0)
			return -ENOMEM;
	}
	if (p->n_lines == first_line && add_synthetic_line(b, f, key.mapping, key.elf_address) < 0)
		return -ENOMEM;
	key.found = symbol && symbol->state == SYMBOL_FOUND && symbol->n_lines > 0;
	if (key.found && key.mapping != HEAPD_NONE)
		note_names(&p->mappings[key.mapping], symbol);
	key.lines = &p->lines[first_line];
	key.n_lines = (uint32_t)(p->n_lines - first_line);
	return add_location(b, &key, ret);
}

/* A location that stands for what has no stack, at an address where no code can be. */
static int
add_placeholder(struct builder *b, bool overflow, uint32_t *ret)
{
	struct location_key key = {
		.elf_address = overflow ? 1 : 2, .mapping = HEAPD_NONE, .exact = true, .n_lines = 1
	};
	const char *name = overflow ? "[overflow]" : "[unknown]";

	if (add_line(b, &(struct symbol_line){ .name = name, .system_name = name, .file = "" }) < 0)
		return -ENOMEM;
	key.lines = &b->p->lines[b->p->n_lines - 1];
	return add_location(b, &key, ret);
}

/* -- samples -- */

static bool
stack_equal(const void *owner, uint32_t item, const void *key)
{
	const struct profile *p = owner;
	const struct stack_key *k = key;
	const struct profile_sample *s = &p->samples[item];

	return s->depth == k->depth &&
	       memcmp(&p->stack[s->first_location], k->locations, k->depth * sizeof(*k->locations)) == 0;
}

/* The sample of a stack, added with zeros if it is new. */
static int
add_sample(struct builder *b, const struct stack_key *key, struct profile_sample **ret)
{
	struct profile *p = b->p;
	uint64_t hash = hash_bytes(key->locations, key->depth * sizeof(*key->locations));
	uint32_t i = table_find(&b->samples, hash, stack_equal, p, key);

	if (i == TABLE_NONE) {
		i = (uint32_t)p->n_samples;
		if (reserve(&p->samples, i, 1, &b->samples_room, sizeof(*p->samples)) < 0 ||
		    reserve(&p->stack, p->n_stack, key->depth, &b->stack_room, sizeof(*p->stack)) < 0 ||
		    table_add(&b->samples, hash, i) < 0)
			return -ENOMEM;
		p->samples[i] = (struct profile_sample){ .first_location = (uint32_t)p->n_stack, .depth = key->depth };
		memcpy(&p->stack[p->n_stack], key->locations, key->depth * sizeof(*key->locations));
		p->n_stack += key->depth;
		p->n_samples++;
	}
	*ret = &p->samples[i];
	return 0;
}

/* Sums are subtracted as integers, so what was freed in full leaves exactly 0. */
static double
difference(uint64_t alloc, uint64_t freed)
{
	return (double)(int64_t)(alloc - freed);
}

static void
sum_site(struct profile_sample *to, const struct snapshot_site *site, bool is_difference)
{
	const struct snapshot_totals *a = &site->alloc, *f = &site->freed;
	const double objects = 1.0 / (1 << HEAPD_WEIGHT_SHIFT);
	const double objects_var = 1.0 / (1 << HEAPD_OBJECTS_VAR_SHIFT), bytes_var = 1 << HEAPD_BYTES_VAR_SHIFT;

	to->flags |= site->flags;
	to->samples += a->samples;
	to->live_samples += a->samples > f->samples ? a->samples - f->samples : 0;
	to->value[PROFILE_ALLOC_OBJECTS] += (double)a->objects * objects;
	to->value[PROFILE_ALLOC_SPACE] += (double)a->bytes;
	to->value[PROFILE_INUSE_OBJECTS] += difference(a->objects, f->objects) * objects;
	to->value[PROFILE_INUSE_SPACE] += difference(a->bytes, f->bytes);
	to->variance[PROFILE_ALLOC_OBJECTS] += (double)a->objects_var * objects_var;
	to->variance[PROFILE_ALLOC_SPACE] += (double)a->bytes_var * bytes_var;
	/* Blocks that came and went cancel out. Between two snapshots the freed ones may be others than those that came,
	 * and then both are uncertain: the sum is the most it can be. */
	if (is_difference) {
		to->variance[PROFILE_INUSE_OBJECTS] += ((double)a->objects_var + (double)f->objects_var) * objects_var;
		to->variance[PROFILE_INUSE_SPACE] += ((double)a->bytes_var + (double)f->bytes_var) * bytes_var;
	} else {
		to->variance[PROFILE_INUSE_OBJECTS] += difference(a->objects_var, f->objects_var) * objects_var;
		to->variance[PROFILE_INUSE_SPACE] += difference(a->bytes_var, f->bytes_var) * bytes_var;
	}
}

static bool
site_zero(const struct snapshot_site *s)
{
	return (s->alloc.samples | s->alloc.objects | s->alloc.bytes | s->freed.samples | s->freed.objects |
		s->freed.bytes) == 0;
}

/* `known` has one location a frame, HEAPD_NONE for those not needed so far. */
static int
add_site(struct builder *b, const struct profile_source *source, const uint32_t *mappings, uint32_t *known,
	 const struct snapshot_site *site)
{
	const struct snapshot *s = source->snapshot;
	uint32_t locations[HEAPD_MAX_DEPTH], depth = site->depth;
	struct profile_sample *sample;

	for (uint32_t i = 0; i < depth; i++) {
		uint32_t frame = s->stacks[site->stack + i];

		if (known[frame] == HEAPD_NONE && add_frame(b, source, mappings, frame, &known[frame]) < 0)
			return -ENOMEM;
		locations[i] = known[frame];
	}
	if (depth == 0) {
		if (add_placeholder(b, (site->flags & HEAPD_STACK_OVERFLOW) != 0, &locations[0]) < 0)
			return -ENOMEM;
		depth = 1;
	}
	if (add_sample(b, &(struct stack_key){ locations, depth }, &sample) < 0)
		return -ENOMEM;
	sum_site(sample, site, s->duration_ns != 0);
	return 0;
}

static int
add_source(struct builder *b, const struct profile_source *source)
{
	const struct snapshot *s = source->snapshot;
	uint32_t *mappings = malloc((s->n_modules ? s->n_modules : 1) * sizeof(*mappings));
	uint32_t *known = malloc((s->n_frames ? s->n_frames : 1) * sizeof(*known));
	int r = -ENOMEM;

	if (!mappings || !known)
		goto out;
	for (size_t i = 0; i < s->n_frames; i++)
		known[i] = HEAPD_NONE;
	r = add_mappings(b, s, mappings);
	for (size_t i = 0; r == 0 && i < s->n_sites; i++) {
		const struct snapshot_site *site = &s->sites[i];

		if ((site->depth != 0 || site->flags != 0) && !site_zero(site))
			r = add_site(b, source, mappings, known, site);
	}
out:
	free(mappings);
	free(known);
	return r;
}

/* -- the whole -- */

static int
compare_samples(const void *left, const void *right)
{
	const struct profile_sample *a = left, *b = right;

	if (a->value[PROFILE_INUSE_SPACE] != b->value[PROFILE_INUSE_SPACE])
		return a->value[PROFILE_INUSE_SPACE] > b->value[PROFILE_INUSE_SPACE] ? -1 : 1;
	if (a->value[PROFILE_ALLOC_SPACE] != b->value[PROFILE_ALLOC_SPACE])
		return a->value[PROFILE_ALLOC_SPACE] > b->value[PROFILE_ALLOC_SPACE] ? -1 : 1;
	return a->first_location < b->first_location ? -1 : a->first_location > b->first_location;
}

static void
sum_counters(struct profile *p, const struct snapshot *s)
{
	if (s->time_ns > p->time_ns)
		p->time_ns = s->time_ns;
	if (s->duration_ns > p->duration_ns)
		p->duration_ns = s->duration_ns;
	if (s->period > p->period)
		p->period = s->period;
	for (unsigned i = 0; i < HEAPD_LOSSES; i++)
		p->lost[i] += s->lost[i];
	p->lost_bytes += s->lost_bytes;
	p->inconsistent += s->inconsistent;
}

int
profile_new(const struct profile_source *sources, size_t n, struct profile **ret)
{
	struct builder b = { 0 };
	struct profile *p = calloc(1, sizeof(*p));
	int r = -ENOMEM;

	if (!p)
		return -ENOMEM;
	b.p = p;
	p->strings = strings_new();
	if (!p->strings)
		goto out;
	for (size_t i = 0; i < n; i++) {
		r = add_source(&b, &sources[i]);
		if (r < 0)
			goto out;
		sum_counters(p, sources[i].snapshot);
	}
	if (p->n_samples > 1)
		qsort(p->samples, p->n_samples, sizeof(*p->samples), compare_samples);
	for (size_t i = 0; i < p->n_samples; i++) {
		for (unsigned k = 0; k < PROFILE_VALUES; k++) {
			p->total[k] += p->samples[i].value[k];
			p->total_variance[k] += p->samples[i].variance[k];
		}
	}
	*ret = p;
	p = NULL;
	r = 0;
out:
	profile_free(p);
	table_done(&b.mappings);
	table_done(&b.functions);
	table_done(&b.locations);
	table_done(&b.addresses);
	table_done(&b.samples);
	free(b.bias);
	free(b.keys);
	return r;
}

void
profile_free(struct profile *p)
{
	if (!p)
		return;
	free(p->mappings);
	free(p->functions);
	free(p->lines);
	free(p->locations);
	free(p->stack);
	free(p->samples);
	strings_free(p->strings);
	free(p);
}

double
profile_error(double variance)
{
	return variance > 0 ? sqrt(variance) : 0;
}
