/* locations.c - see locations.h.
 *
 * What is the same in two processes, or twice in one, is found by build-id and address in the file; what has no build-id
 * also has to have the same lines. Addresses are those in the first process, so that a mapping's range and its locations
 * fit each other.
 */
#include "locations.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "string_table.h"

/* What tells locations apart. Addresses within the file, since every process has its own place for it. */
struct location_key {
	uint64_t elf_address; /* return address; of a frame without mapping, the address itself */
	uint32_t mapping;
	bool exact;
	bool found; /* its lines are real ones */
	const struct profile_line *lines; /* of the candidate */
	uint32_t n_lines;
};

/* -- mappings -- */

struct mapping_key {
	const char *build_id, *path;
};

static bool
mapping_equal(const void *owner, uint32_t item, const void *key)
{
	const struct locations *b = owner;
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
add_mapping(struct locations *b, const struct snapshot_module *m, uint32_t *ret)
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
		if (array_reserve(&b->p->mappings, i, 1, &b->mappings_room, sizeof(new)) < 0 ||
		    array_reserve(&b->bias, i, 1, &b->bias_room, sizeof(*b->bias)) < 0 ||
		    table_add(&b->mappings, hash, i) < 0)
			return -ENOMEM;
		b->p->mappings[i] = new;
		b->bias[i] = m->bias;
		b->p->n_mappings++;
	}
	*ret = i;
	return 0;
}

int
locations_add_mappings(struct locations *b, const struct snapshot *s, uint32_t *ret)
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
add_line(struct locations *b, const struct symbol_line *from)
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
		if (array_reserve(&p->functions, i, 1, &b->functions_room, sizeof(f)) < 0 ||
		    table_add(&b->functions, hash, i) < 0)
			return -ENOMEM;
		p->functions[i] = f;
		p->n_functions++;
	}
	if (array_reserve(&p->lines, p->n_lines, 1, &b->lines_room, sizeof(*p->lines)) < 0)
		return -ENOMEM;
	p->lines[p->n_lines++] = (struct profile_line){ i, from->line };
	return 0;
}

/* -- locations -- */

static bool
location_equal(const void *owner, uint32_t item, const void *key)
{
	const struct locations *b = owner;
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
free_address(const struct locations *b, uint64_t wanted)
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
add_location(struct locations *b, const struct location_key *key, uint32_t *ret)
{
	struct profile *p = b->p;
	struct profile_location new = { .mapping = key->mapping, .n_lines = key->n_lines };
	uint64_t hash = hash_u64(key->elf_address ^ (uint64_t)key->mapping << 48 ^ (uint64_t)key->exact << 63);
	uint32_t i = table_find(&b->table, hash, location_equal, b, key);

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
	if (array_reserve(&p->locations, i, 1, &b->locations_room, sizeof(new)) < 0 ||
	    array_reserve(&b->keys, i, 1, &b->keys_room, sizeof(*key)) < 0 || table_add(&b->table, hash, i) < 0 ||
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
add_synthetic_line(struct locations *b, const struct snapshot_frame *frame, uint32_t mapping, uint64_t elf_address)
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

int
locations_add_frame(struct locations *b, const struct profile_source *source, const uint32_t *mappings, uint32_t frame,
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

int
locations_add_placeholder(struct locations *b, bool overflow, uint32_t *ret)
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

void
locations_done(struct locations *b)
{
	table_done(&b->mappings);
	table_done(&b->functions);
	table_done(&b->table);
	table_done(&b->addresses);
	free(b->bias);
	free(b->keys);
}
