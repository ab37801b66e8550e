/* dwarf_names.c - walks the debug information entries that matter for one address. */
#include "dwarf_names.h"

#include <dwarf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interned.h"
#include "ranges.h"
#include "table.h"

#define NESTING_MAX 200 /* of entries; compilers stay below 60 */
#define TEXT_MAX ((size_t)256 << 20)
#define NAME_MAX_BYTES 4096

struct unit {
	Dwarf_Die die;
	struct ranges functions; /* by address; value: index in dies */
	Dwarf_Die *dies;
	uint32_t n_dies, room;
	bool loaded;
	bool deep; /* functions inside functions were collected too */
};

struct scope { /* name of an entry that has no linkage name, with its namespaces */
	Dwarf_Off offset;
	const char *name;
};

struct dwarf_names {
	Dwarf *dwarf;
	const struct ranges *code;
	struct unit *units;
	size_t n_units, units_room;
	struct ranges index; /* units by address */
	struct scope *scopes;
	uint32_t n_scopes, scopes_room;
	struct table scope_index; /* of scopes, by offset */
	struct interned *text;
};

/* Linkers leave the entries of discarded functions in place, at address 0 or 1: only what starts in code counts. */
static int
add_ranges(struct dwarf_names *d, struct ranges *to, Dwarf_Die *die, uint32_t value)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t at = 0;
	int r = 0;

	while (r == 0 && (at = dwarf_ranges(die, at, &base, &start, &end)) > 0)
		if (ranges_find(d->code, start))
			r = ranges_add(to, start, end, value);
	return r;
}

static int
add_unit(struct dwarf_names *d, Dwarf_Die *die)
{
	if (d->n_units == d->units_room) {
		size_t room = d->units_room ? 2 * d->units_room : 256;
		struct unit *units = reallocarray(d->units, room, sizeof(*units));
		if (!units)
			return -ENOMEM;
		d->units = units;
		d->units_room = room;
	}
	d->units[d->n_units] = (struct unit){ .die = *die };
	return add_ranges(d, &d->index, die, (uint32_t)d->n_units++);
}

int
dwarf_names_new(Elf *elf, const struct ranges *code, struct dwarf_names **ret)
{
	struct dwarf_names *d = calloc(1, sizeof(*d));
	Dwarf_CU *unit = NULL;
	uint8_t type;
	Dwarf_Die die;
	int r = 0;

	if (!d)
		return -ENOMEM;
	d->code = code;
	d->text = interned_new(TEXT_MAX);
	d->dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	if (!d->text || !d->dwarf) {
		r = d->text ? -ENODATA : -ENOMEM;
		goto out;
	}
	/* .debug_aranges would be shorter to read, but clang and rustc leave it out and old gcc forgot parts. */
	while (r == 0 && dwarf_get_units(d->dwarf, unit, &unit, NULL, &type, &die, NULL) == 0)
		if (type == DW_UT_compile || type == DW_UT_skeleton)
			r = add_unit(d, &die);
	if (r == 0 && d->n_units == 0)
		r = -ENODATA;
	ranges_sort(&d->index);
out:
	if (r == 0)
		*ret = d;
	else
		dwarf_names_free(d);
	return r;
}

void
dwarf_names_free(struct dwarf_names *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n_units; i++) {
		ranges_done(&d->units[i].functions);
		free(d->units[i].dies);
	}
	free(d->units);
	ranges_done(&d->index);
	table_done(&d->scope_index);
	free(d->scopes);
	interned_free(d->text);
	dwarf_end(d->dwarf);
	free(d);
}

void
dwarf_names_set_alt(struct dwarf_names *d, Dwarf *alt)
{
	dwarf_setalt(d->dwarf, alt);
}

static const char *
string_of(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attribute;

	return dwarf_formstring(dwarf_attr_integrate(die, name, &attribute));
}

static uint64_t
number_of(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attribute;
	Dwarf_Word value;

	return dwarf_formudata(dwarf_attr_integrate(die, name, &attribute), &value) == 0 ? value : 0;
}

static const char *
linkage_name_of(Dwarf_Die *die)
{
	const char *name = string_of(die, DW_AT_linkage_name);

	return name ? name : string_of(die, DW_AT_MIPS_linkage_name);
}

/* scopes: compilers give no linkage name to what the linker never sees, such as a function of an unnamed namespace.
 * Its entry only says "helper"; "net::(anonymous namespace)::helper" must be put together on the way down to it. */
static bool
scope_equals(const void *owner, uint32_t item, const void *key)
{
	const struct dwarf_names *d = owner;
	const Dwarf_Off *offset = key;

	return d->scopes[item].offset == *offset;
}

static const char *
scope_find(const struct dwarf_names *d, Dwarf_Off offset)
{
	uint32_t item = table_find(&d->scope_index, hash_u64(offset), scope_equals, d, &offset);

	return item == TABLE_NONE ? NULL : d->scopes[item].name;
}

static void
scope_add(struct dwarf_names *d, Dwarf_Off offset, const char *name)
{
	if (d->n_scopes == d->scopes_room) {
		uint32_t room = d->scopes_room ? 2 * d->scopes_room : 256;
		struct scope *scopes = reallocarray(d->scopes, room, sizeof(*scopes));
		if (!scopes)
			return;
		d->scopes = scopes;
		d->scopes_room = room;
	}
	if (table_add(&d->scope_index, hash_u64(offset), d->n_scopes) == 0)
		d->scopes[d->n_scopes++] = (struct scope){ .offset = offset, .name = name };
}

static const char *
join(struct dwarf_names *d, const char *outer, const char *separator, const char *inner)
{
	char name[NAME_MAX_BYTES];
	int n = snprintf(name, sizeof(name), "%s%s%s", outer, *outer ? separator : "", inner);

	if (n < 0 || (size_t)n >= sizeof(name))
		return NULL;
	return interned_add(d->text, name, (size_t)n);
}

/* Out of memory only costs the namespaces. */
static void
remember_scope(struct dwarf_names *d, Dwarf_Die *die, const char *scope)
{
	Dwarf_Off offset = dwarf_dieoffset(die);
	Dwarf_Attribute attribute;
	const char *name;

	if (!*scope || linkage_name_of(die) || dwarf_hasattr(die, DW_AT_abstract_origin))
		return;
	name = dwarf_formstring(dwarf_attr(die, DW_AT_name, &attribute));
	name = name ? join(d, scope, "::", name) : NULL;
	if (name && !scope_find(d, offset))
		scope_add(d, offset, name);
}

static const char *
source_name_of(struct dwarf_names *d, Dwarf_Die *die)
{
	Dwarf_Die at = *die, next;
	Dwarf_Attribute attribute;

	for (int hops = 0; hops < 8; hops++) {
		const char *name = scope_find(d, dwarf_dieoffset(&at));
		if (name)
			return name;
		if (!dwarf_attr(&at, DW_AT_abstract_origin, &attribute) &&
		    !dwarf_attr(&at, DW_AT_specification, &attribute))
			break;
		if (!dwarf_formref_die(&attribute, &next))
			break;
		at = next;
	}
	return string_of(die, DW_AT_name);
}

static bool
is_type(int tag)
{
	return tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type ||
	       tag == DW_TAG_enumeration_type || tag == DW_TAG_interface_type || tag == DW_TAG_variant_part;
}

static bool
is_space(int tag)
{
	return tag == DW_TAG_namespace || tag == DW_TAG_module || is_type(tag);
}

static const char *
inner_scope(struct dwarf_names *d, Dwarf_Die *die, int tag, const char *scope)
{
	const char *name = is_space(tag) ? dwarf_diename(die) : "";

	if (!name)
		name = tag == DW_TAG_namespace ? "(anonymous namespace)" : "(unnamed)";
	return *name ? join(d, scope, "::", name) : scope;
}

static int
add_function(struct dwarf_names *d, struct unit *unit, Dwarf_Die *die)
{
	size_t before = unit->functions.n;
	int r = add_ranges(d, &unit->functions, die, unit->n_dies);

	if (r < 0 || unit->functions.n == before)
		return r;
	if (unit->n_dies == unit->room) {
		uint32_t room = unit->room ? 2 * unit->room : 64;
		Dwarf_Die *dies = reallocarray(unit->dies, room, sizeof(*dies));
		if (!dies)
			return -ENOMEM;
		unit->dies = dies;
		unit->room = room;
	}
	unit->dies[unit->n_dies++] = *die;
	return 0;
}

/* Collect the functions below an entry. Functions that lie inside functions or, in C and C++, inside types have their
 * code described at the top as a rule; for the exceptions the unit is walked again, deep. */
static int
collect_functions(struct dwarf_names *d, struct unit *unit, Dwarf_Die *parent, const char *scope, int nesting)
{
	Dwarf_Die die;
	int r = 0, more;

	if (nesting > NESTING_MAX || dwarf_child(parent, &die) != 0)
		return 0;
	do {
		int tag = dwarf_tag(&die);
		const char *inner;

		if (tag == DW_TAG_subprogram) {
			remember_scope(d, &die, scope);
			r = add_function(d, unit, &die);
		}
		if (r == 0 && (is_space(tag) || (unit->deep && dwarf_haschildren(&die) > 0))) {
			inner = inner_scope(d, &die, tag, scope);
			r = collect_functions(d, unit, &die, inner ? inner : scope, nesting + 1);
		}
		more = dwarf_siblingof(&die, &die);
	} while (r == 0 && more == 0);
	return r;
}

static void
load_functions(struct dwarf_names *d, struct unit *unit, bool deep)
{
	ranges_done(&unit->functions);
	unit->n_dies = 0;
	unit->loaded = true;
	unit->deep = deep;
	collect_functions(d, unit, &unit->die, "", 0); /* out of memory: fewer functions */
	ranges_sort(&unit->functions);
}

static Dwarf_Die *
find_function(struct dwarf_names *d, struct unit *unit, uint64_t address, uint64_t *ret_entry)
{
	const struct range *range;

	if (!unit->loaded)
		load_functions(d, unit, false);
	range = ranges_find(&unit->functions, address);
	if (!range && !unit->deep) {
		load_functions(d, unit, true);
		range = ranges_find(&unit->functions, address);
	}
	if (!range || range->value >= unit->n_dies)
		return NULL;
	*ret_entry = range->start;
	return &unit->dies[range->value];
}

/* Whether an entry that may hold inlined functions covers the address. */
static bool
covers(Dwarf_Die *die, uint64_t address)
{
	int tag = dwarf_tag(die);

	return (tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block || tag == DW_TAG_try_block ||
		tag == DW_TAG_catch_block || tag == DW_TAG_with_stmt) &&
	       dwarf_haspc(die, address) > 0;
}

/* How many functions are inlined into each other at the address, from this entry on down. */
static size_t
count_inlined(Dwarf_Die *die, uint64_t address, int nesting)
{
	size_t most = 0, n;
	Dwarf_Die child;

	if (nesting < NESTING_MAX && dwarf_child(die, &child) == 0) {
		do {
			n = covers(&child, address) ? count_inlined(&child, address, nesting + 1) : 0;
			most = n > most ? n : most;
		} while (dwarf_siblingof(&child, &child) == 0);
	}
	return most + (dwarf_tag(die) == DW_TAG_inlined_subroutine);
}

/* The entry directly below that leads on to the address. Of link-time optimisation, several siblings may cover one address: then
 * the one with the most inlined functions. */
static bool
find_child(Dwarf_Die *die, uint64_t address, int nesting, Dwarf_Die *ret)
{
	size_t most = 0, n;
	bool found = false, counted = false;
	Dwarf_Die child;

	if (dwarf_child(die, &child) != 0)
		return false;
	do {
		if (!covers(&child, address))
			continue;
		if (found) {
			if (!counted)
				most = count_inlined(ret, address, nesting);
			counted = true;
			n = count_inlined(&child, address, nesting);
			if (n <= most)
				continue;
			most = n;
		}
		*ret = child;
		found = true;
	} while (dwarf_siblingof(&child, &child) == 0);
	return found;
}

/* levels[0] is the function itself, the next ones are inlined into the one before. Returns how many. */
static size_t
inlined_at(Dwarf_Die *function, uint64_t address, Dwarf_Die *levels, size_t max)
{
	Dwarf_Die at = *function, child;
	size_t n = 1;

	levels[0] = *function;
	for (int nesting = 0; nesting < NESTING_MAX && find_child(&at, address, nesting, &child); nesting++) {
		at = child;
		if (dwarf_tag(&at) != DW_TAG_inlined_subroutine)
			continue;
		if (n == max)
			memmove(levels + 1, levels + 2, (--n - 1) * sizeof(*levels));
		levels[n++] = at;
	}
	return n;
}

/* Names of files may be relative to the directory the compiler ran in. */
static const char *
whole_path(struct dwarf_names *d, struct unit *unit, const char *file)
{
	Dwarf_Attribute attribute;
	const char *directory;

	if (!file || strcmp(file, "???") == 0)
		return NULL;
	if (file[0] == '/')
		return file;
	directory = dwarf_formstring(dwarf_attr(&unit->die, DW_AT_comp_dir, &attribute));
	if (!directory || directory[0] != '/') /* made relative on purpose, for reproducible builds */
		return file;
	directory = join(d, directory, "/", file);
	return directory ? directory : file;
}

static const char *
file_by_number(struct dwarf_names *d, struct unit *unit, uint64_t number)
{
	Dwarf_Files *files;
	size_t n;

	if (dwarf_getsrcfiles(&unit->die, &files, &n) != 0 || number >= n)
		return NULL;
	return whole_path(d, unit, dwarf_filesrc(files, number, NULL, NULL));
}

static uint32_t
line_number(uint64_t n)
{
	return n <= INT32_MAX ? (uint32_t)n : 0;
}

static struct unit *
find_unit(struct dwarf_names *d, uint64_t address)
{
	const struct range *range = ranges_find(&d->index, address);

	return range ? &d->units[range->value] : NULL;
}

/* What -gsplit-dwarf leaves in the program; the rest is in a .dwo file. */
static bool
is_skeleton(Dwarf_Die *unit)
{
	return dwarf_hasattr(unit, DW_AT_dwo_name) || dwarf_hasattr(unit, DW_AT_GNU_dwo_name);
}

size_t
dwarf_names_find(struct dwarf_names *d, uint64_t address, struct dwarf_line *lines, size_t max)
{
	struct unit *unit = find_unit(d, address);
	Dwarf_Die levels[max], *function;
	const char *file;
	Dwarf_Line *row;
	uint64_t entry = 0;
	uint32_t line = 0;
	int number;
	size_t n;

	lines[0] = (struct dwarf_line){ 0 };
	if (!unit)
		return 0;
	row = dwarf_getsrc_die(&unit->die, address);
	file = row ? whole_path(d, unit, dwarf_linesrc(row, NULL, NULL)) : NULL;
	if (row && dwarf_lineno(row, &number) == 0 && number > 0)
		line = (uint32_t)number;
	lines[0].file = file;
	lines[0].line = line;

	function = find_function(d, unit, address, &entry);
	/* A line of a unit whose functions are in another file may be one of a function that is inlined where we do not see it. */
	if (!function && is_skeleton(&unit->die))
		lines[0] = (struct dwarf_line){ 0 };
	if (!function)
		return 0;
	n = inlined_at(function, address, levels, max);
	for (size_t i = 0; i < n; i++) {
		Dwarf_Die *level = &levels[n - 1 - i];

		lines[i] = (struct dwarf_line){ .name = source_name_of(d, level),
						.linkage_name = linkage_name_of(level),
						.file = file,
						.line = line,
						.start_line = line_number(number_of(level, DW_AT_decl_line)) };
		/* Where the caller stands is written at the inlined callee. */
		file = file_by_number(d, unit, number_of(level, DW_AT_call_file));
		line = line_number(number_of(level, DW_AT_call_line));
	}
	lines[n - 1].entry = entry;
	return n;
}
