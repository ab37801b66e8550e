/* live.c - see live.h.
 *
 * The index is a list of tables, each twice as large as the one before; new addresses go into the newest, a look-up
 * asks them all, newest first. Nothing is ever moved, so nothing can be lost on the way; old tables empty themselves as
 * their blocks are freed, and empty ones are not asked. A table is an array of buckets of 15 addresses; an address that
 * finds its bucket full goes into one of the next few and leaves a mark in those it passed.
 *
 * How the filter grows. Cells of generation g count the records whose link says g.
 *
 *   adding a record                                    growing
 *   f = newest                                         filter_current = all hits    seq_cst
 *   cell of f += 1                                     newest = larger              seq_cst (1)
 *   link = f's generation           seq_cst            for every record shown: link  seq_cst (2), and if it is older:
 *   newest != f?  move the record   seq_cst                move it
 *                                                      filter_current = larger
 *   move: cell of larger += 1; cas link old -> larger's, else cell of larger -= 1 (someone else did it, or it is freed)
 *   removing: g = exchange link with 0; cell of g -= 1
 *
 * An adder that sees (1) has all hits before it, and so has whoever it gives the block to; the link of one that does not
 * is seen by (2). Cells may count too many for a moment, never too few, so that a free never misses a sampled block. Old
 * filters stay mapped, since a free may be about to look into one.
 */
#include "live.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "pages.h"
#include "rmw.h"

#define FIRST_BUCKETS 64u
#define PREPARED_BUCKETS 2048u /* see live_prepare() */
#define BUCKET_SLOTS 15u
#define PASSED_MAX 8u /* buckets tried after the one an address belongs to */
#define FIRST_CELLS 4096u /* an eighth of the first-level cache */
_Static_assert(FIRST_CELLS << 2 * (FILTER_GENERATIONS - 1) == 1 << FILTER_BITS_MAX, "the last filter uses all bits");
#define CELLS_PER_LIVE 8u /* one free in eight at most is asked in vain */
#define CELL_STUCK 255u

struct live_bucket {
	_Atomic uint64_t passed; /* an address that belongs here lives further on */
	_Atomic uint64_t keys[BUCKET_SLOTS]; /* address; 0: free */
	uint32_t ids[BUCKET_SLOTS]; /* written by who claimed the key, before the program has the address */
	uint32_t unused;
};
_Static_assert(sizeof(struct live_bucket) == 192, "three cache lines");

struct live_table {
	struct live_table *older;
	uint32_t mask; /* buckets - 1 */
	_Atomic uint32_t count;
	uint64_t padding[6];
	struct live_bucket buckets[];
};

/* Filters of one cell, for "nothing is sampled" and "ask the index". */
static const struct one_cell {
	struct filter filter;
	_Atomic uint8_t cell;
} no_hits = { .cell = 0 }, all_hits = { .cell = 1 };
_Static_assert(offsetof(struct one_cell, cell) == sizeof(struct filter), "the cell follows");

const struct filter *_Atomic filter_current = &no_hits.filter;

/* -- the filter -- */

static void
cell_add(struct filter *f, uintptr_t address, int change)
{
	_Atomic uint8_t *cell = (_Atomic uint8_t *)(uintptr_t)filter_cell(f, address);
	uint8_t was = atomic_load_explicit(cell, memory_order_relaxed);

	while (was != CELL_STUCK && !rmw_cas8(cell, &was, (uint8_t)(was + change)))
		;
}

static struct filter *
filter_of(struct live *l, uint32_t generation)
{
	return atomic_load_explicit(&l->filters[generation - 1], memory_order_acquire);
}

static struct filter *
filter_new(uint64_t cells, uint32_t generation)
{
	struct filter *f = pages_private(sizeof(*f) + cells);

	if (f) {
		f->mask = cells - 1;
		f->generation = generation;
	}
	return f;
}

/* Count the record in the newest filter, if it is counted in an older one. */
static void
filter_move(struct live *l, struct heapd_live *record, uintptr_t address, uint32_t newest)
{
	uint64_t link = atomic_load_explicit(&record->link, memory_order_seq_cst);
	struct filter *f = filter_of(l, newest);

	while (link != 0 && link < newest) {
		cell_add(f, address, 1);
		if (rmw_cas(&record->link, &link, newest, memory_order_seq_cst, memory_order_seq_cst))
			return;
		cell_add(f, address, -1);
	}
}

static void
filter_add(struct live *l, struct heapd_live *record, uintptr_t address)
{
	uint32_t newest = atomic_load_explicit(&l->filter_newest, memory_order_seq_cst), later;

	cell_add(filter_of(l, newest), address, 1);
	rmw_store(&record->link, newest);
	later = atomic_load_explicit(&l->filter_newest, memory_order_seq_cst);
	if (later != newest)
		filter_move(l, record, address, later);
}

static void
filter_remove(struct live *l, struct heapd_live *record, uintptr_t address)
{
	uint64_t generation = atomic_load_explicit(&record->link, memory_order_relaxed);

	while (!rmw_cas(&record->link, &generation, 0, memory_order_seq_cst, memory_order_relaxed))
		;
	if (generation != 0 && generation <= FILTER_GENERATIONS && filter_of(l, (uint32_t)generation))
		cell_add(filter_of(l, (uint32_t)generation), address, -1);
}

static void
filter_grow(struct live *l, struct segment *segment)
{
	uint32_t idle = 0, newest = atomic_load_explicit(&l->filter_newest, memory_order_relaxed);
	uint64_t cells = 4 * (filter_of(l, newest)->mask + 1);
	struct filter *larger;

	if (newest == FILTER_GENERATIONS ||
	    !atomic_compare_exchange_strong_explicit(&l->growing, &idle, 1, memory_order_acquire, memory_order_relaxed))
		return;
	if (atomic_load_explicit(&l->filter_newest, memory_order_relaxed) == newest &&
	    (larger = filter_new(cells, newest + 1)) != NULL) {
		uint32_t used, i;

		atomic_store_explicit(&l->filters[newest], larger, memory_order_release);
		atomic_store_explicit(&filter_current, &all_hits.filter, memory_order_seq_cst);
		atomic_store_explicit(&l->filter_newest, newest + 1, memory_order_seq_cst);
		/* Records claimed from here on are counted in the larger one by whoever adds them. */
		used = segment_used(segment, HEAPD_LIVE);
		for (i = 0; i < used && segment_is_ours(segment); i++) {
			struct heapd_live *record = &segment->live[i];
			uintptr_t address = atomic_load_explicit(&record->address, memory_order_seq_cst);

			if (address)
				filter_move(l, record, address, newest + 1);
		}
		if (i == used)
			atomic_store_explicit(&filter_current, larger, memory_order_release);
	}
	atomic_store_explicit(&l->growing, 0, memory_order_release);
}

/* -- the index -- */

static struct live_table *
table_new(uint32_t buckets, struct live_table *older)
{
	struct live_table *t = pages_private(sizeof(*t) + (size_t)buckets * sizeof(t->buckets[0]));

	if (t) {
		t->older = older;
		t->mask = buckets - 1;
	}
	return t;
}

static uint32_t
table_bucket(const struct live_table *t, uintptr_t address)
{
	return (uint32_t)((address * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & t->mask;
}

static bool
table_put(struct live_table *t, uintptr_t address, uint32_t id)
{
	uint32_t at = table_bucket(t, address);

	for (unsigned passed = 0; passed <= PASSED_MAX; passed++, at = (at + 1) & t->mask) {
		struct live_bucket *b = &t->buckets[at];

		for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
			uint64_t key = atomic_load_explicit(&b->keys[i], memory_order_relaxed);

			if (key != 0 ||
			    !rmw_cas(&b->keys[i], &key, address, memory_order_acquire, memory_order_relaxed))
				continue;
			b->ids[i] = id;
			rmw_add32(&t->count, 1);
			return true;
		}
		atomic_store_explicit(&b->passed, 1, memory_order_relaxed);
	}
	return false;
}

/* Remove the address from the table. Its record, or HEAPD_NONE if it is not there. */
static uint32_t
table_pull(struct live_table *t, uintptr_t address)
{
	uint32_t at = table_bucket(t, address);

	for (unsigned passed = 0; passed <= PASSED_MAX; passed++, at = (at + 1) & t->mask) {
		struct live_bucket *b = &t->buckets[at];

		for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
			uint64_t key = atomic_load_explicit(&b->keys[i], memory_order_relaxed);
			uint32_t id;

			if (key != address)
				continue;
			id = b->ids[i];
			if (!rmw_cas(&b->keys[i], &key, 0, memory_order_release, memory_order_relaxed))
				continue;
			rmw_add32(&t->count, UINT32_MAX); /* less one */
			return id;
		}
		if (atomic_load_explicit(&b->passed, memory_order_relaxed) == 0)
			break;
	}
	return HEAPD_NONE;
}

static bool
index_add(struct live *l, uintptr_t address, uint32_t id)
{
	struct live_table *t = atomic_load_explicit(&l->tables, memory_order_acquire), *larger;
	uint32_t slots = (t->mask + 1) * BUCKET_SLOTS;

	if (atomic_load_explicit(&t->count, memory_order_relaxed) < slots / 2 && table_put(t, address, id))
		return true;
	larger = table_new(2 * (t->mask + 1), t);
	if (larger && !atomic_compare_exchange_strong_explicit(&l->tables, &t, larger, memory_order_acq_rel,
							       memory_order_acquire))
		pages_release(larger, sizeof(*larger) + (size_t)(larger->mask + 1) * sizeof(larger->buckets[0]));
	t = atomic_load_explicit(&l->tables, memory_order_acquire);
	return table_put(t, address, id);
}

static uint32_t
index_remove(struct live *l, uintptr_t address)
{
	uint32_t id;

	for (struct live_table *t = atomic_load_explicit(&l->tables, memory_order_acquire); t; t = t->older) {
		if (atomic_load_explicit(&t->count, memory_order_relaxed) == 0)
			continue;
		id = table_pull(t, address);
		if (id != HEAPD_NONE)
			return id;
	}
	return HEAPD_NONE;
}

/* -- free records and CFA groups: stacks linked through a word of the free thing itself, a change count against ABA -- */

typedef uint32_t *next_word(const struct segment *, uint32_t);

static uint32_t *
live_next(const struct segment *segment, uint32_t id)
{
	return &segment->live[id].site;
}

static uint32_t *
cfas_next(const struct segment *segment, uint32_t id)
{
	return &segment->cfas[id][0];
}

/* Links lie in the shared file: one that leads nowhere ends the list. */
static inline uint32_t
free_pop(_Atomic uint64_t *top, next_word *next, const struct segment *segment, enum heapd_section_id section)
{
	uint64_t was = atomic_load_explicit(top, memory_order_acquire), now;

	do {
		if ((uint32_t)was == 0)
			return HEAPD_NONE;
		/* May be read while its new owner writes it; then the count has moved on and the exchange fails. */
		now = __atomic_load_n(next(segment, (uint32_t)was - 1), __ATOMIC_RELAXED);
		if (now > atomic_load_explicit(&segment->ready[section], memory_order_relaxed))
			now = 0;
		now |= ((was >> 32) + 1) << 32;
	} while (!rmw_cas(top, &was, now, memory_order_acquire, memory_order_acquire));
	return (uint32_t)was - 1;
}

static inline void
free_push(_Atomic uint64_t *top, next_word *next, const struct segment *segment, uint32_t id)
{
	uint64_t was = atomic_load_explicit(top, memory_order_relaxed), now;

	do {
		__atomic_store_n(next(segment, id), (uint32_t)was, __ATOMIC_RELAXED);
		now = ((was >> 32) + 1) << 32 | (id + 1);
	} while (!rmw_cas(top, &was, now, memory_order_release, memory_order_relaxed));
}

/* log2 of the groups that hold so many CFAs, rounded up to a power of two. -1: none are needed. */
static inline int
cfas_class(uint32_t depth)
{
	int class = 0;

	if (depth == 0)
		return -1;
	while (depth > (uint32_t)HEAPD_CFA_GROUP << class)
		class ++;
	return class;
}

/* Give the record room for `depth` CFAs in place of what it has from its last use. false: there is none, and it has none. */
__attribute__((noinline)) static bool
cfas_change(struct live *l, struct segment *segment, struct heapd_live *record, uint32_t depth)
{
	int had = record->depth <= HEAPD_MAX_DEPTH ? cfas_class(record->depth) : -1, wanted = cfas_class(depth);

	if (had >= 0 && record->cfas < atomic_load_explicit(&segment->ready[HEAPD_CFAS], memory_order_relaxed))
		free_push(&l->free_cfas[had], cfas_next, segment, record->cfas);
	record->depth = 0;
	record->cfas = HEAPD_NONE;
	if (wanted < 0)
		return true;
	record->cfas = free_pop(&l->free_cfas[wanted], cfas_next, segment, HEAPD_CFAS);
	if (record->cfas == HEAPD_NONE)
		record->cfas = segment_claim(segment, HEAPD_CFAS, 1u << wanted);
	return record->cfas != HEAPD_NONE;
}

/* -- what live.h promises -- */

int
live_start(struct live *l)
{
	struct filter *f;
	struct live_table *t;

	if (atomic_load_explicit(&l->tables, memory_order_relaxed))
		return 0;
	f = filter_new(FIRST_CELLS, 1);
	t = table_new(FIRST_BUCKETS, NULL);
	if (!f || !t)
		return -ENOMEM;
	atomic_store_explicit(&l->tables, t, memory_order_release);
	atomic_store_explicit(&l->filters[0], f, memory_order_release);
	atomic_store_explicit(&l->filter_newest, 1, memory_order_seq_cst);
	atomic_store_explicit(&filter_current, f, memory_order_release);
	return 0;
}

void
live_prepare(struct live *l)
{
	struct live_table *t = atomic_load_explicit(&l->tables, memory_order_acquire), *larger;

	if (t->mask + 1 >= PREPARED_BUCKETS || (larger = table_new(PREPARED_BUCKETS, t)) == NULL)
		return;
	if (!atomic_compare_exchange_strong_explicit(&l->tables, &t, larger, memory_order_acq_rel,
						     memory_order_acquire))
		pages_release(larger, sizeof(*larger) + (size_t)PREPARED_BUCKETS * sizeof(larger->buckets[0]));
}

/* Whole groups, whose size the compiler knows: what lies behind `depth` goes along and is not looked at. */
static inline void
cfas_copy(uint32_t (*to)[HEAPD_CFA_GROUP], const uint32_t *from, uint32_t depth)
{
	/* The first word may be looked at by a free_pop that comes too late. */
	__atomic_store_n(&to[0][0], from[0], __ATOMIC_RELAXED);
	memcpy(&to[0][1], &from[1], sizeof(*to) - sizeof(from[0]));
	for (uint32_t i = HEAPD_CFA_GROUP; i < depth; i += HEAPD_CFA_GROUP)
		memcpy(*++to, &from[i], sizeof(*to));
}

/* A free record keeps its CFA groups: the next stack is often as deep. */
uint32_t
live_reserve(struct live *l, struct segment *segment, const uint32_t *cfas, uint32_t depth)
{
	uint32_t id = free_pop(&l->free_live, live_next, segment, HEAPD_LIVE), group, ready;
	struct heapd_live *record;

	if (id == HEAPD_NONE) {
		id = segment_claim(segment, HEAPD_LIVE, 1);
		if (id == HEAPD_NONE)
			return HEAPD_NONE;
		segment->live[id].cfas = HEAPD_NONE;
		segment->live[id].depth = 0;
	}
	record = &segment->live[id];
	if (cfas_class(record->depth) != cfas_class(depth) && !cfas_change(l, segment, record, depth)) {
		free_push(&l->free_live, live_next, segment, id);
		return HEAPD_NONE;
	}
	group = record->cfas;
	ready = atomic_load_explicit(&segment->ready[HEAPD_CFAS], memory_order_relaxed);
	if (depth && group < ready &&
	    ready - group >= 1u << cfas_class(depth)) /* else somebody else wrote into our file */
		cfas_copy(&segment->cfas[group], cfas, depth);
	record->depth = (uint16_t)depth;
	return id;
}

bool
live_add(struct live *l, struct segment *segment, uint32_t id, uintptr_t address)
{
	struct heapd_live *record = &segment->live[id];
	uint32_t newest, count;

	if (!index_add(l, address, id)) {
		live_release(l, segment, id);
		return false;
	}
	rmw_store(&record->address, address);
	filter_add(l, record, address);
	count = rmw_add32(&l->count, 1);
	newest = atomic_load_explicit(&l->filter_newest, memory_order_relaxed);
	if (count * CELLS_PER_LIVE > filter_of(l, newest)->mask)
		filter_grow(l, segment);
	return true;
}

bool
live_take(struct live *l, struct segment *segment, uintptr_t address, struct live_block *ret)
{
	uint32_t id = index_remove(l, address);
	struct heapd_live *record;

	if (id == HEAPD_NONE)
		return false;
	record = &segment->live[id];
	filter_remove(l, record, address);
	atomic_store_explicit(&record->address, 0, memory_order_release);
	rmw_add32(&l->count, UINT32_MAX);
	ret->id = id;
	ret->site = record->site;
	ret->size = record->size;
	ret->weight = record->weight;
	return true;
}

void
live_release(struct live *l, struct segment *segment, uint32_t id)
{
	free_push(&l->free_live, live_next, segment, id);
}
