/* unwind.c - see unwind.h.
 *
 * A row says how to get from one return address to its caller. The walk goes from row to row: each row remembers the row
 * of its last caller (hint), so that on a repeated path the next row is loaded while the return address is still on its
 * way from the stack, and the comparison of the two is a predicted branch. Only a miss hashes, only an unknown address
 * reads unwind tables.
 *
 * How a row is published. Rows are replaced when the table is crowded, by any thread, at any moment, so a reader checks
 * that all it took belongs together.
 *
 *   writer                                             reader
 *   key    old -> KEY_BUSY     cas; others stay away   place     load acquire
 *   place  = version + 1 ...   release                 key       load acquire, must be the wanted one
 *   offsets, frame             release                 offsets, frame   load acquire
 *   key    = new               release                 place     load relaxed, must be the same as before
 *
 * A reader that took anything of a later writing sees that writing's version in its second look at place; one that took
 * place from a writing under way sees KEY_BUSY or that writing's key, after which all its words are there. hint is no
 * part of this: a wrong one costs a comparison.
 *
 * Rows of an older generation never match, because the generation is in the key. They are reused first.
 */
#include "unwind.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#include "cfi.h"
#include "frames.h"
#include "modules.h"
#include "pages.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#ifndef ROWS_MAX /* a test makes it tiny, for the threads to meet */
#define ROWS_FIRST 256 /* two pages; the table grows fourfold when a neighbourhood is full */
#define ROWS_MAX 8192
#endif
#define WINDOW 4 /* rows an address may be in: two cache lines */

#define ADDRESS_BITS 48 /* what user space has, unless a program asks for more: such code is not walked */
#define ADDRESS_MASK ((UINT64_C(1) << ADDRESS_BITS) - 1)
#define LOWEST_CODE 4096
#define GENERATION_MASK 0x7fff
#define KEY_EXACT (UINT64_C(1) << 63) /* the instruction itself, not a return address */
#define KEY_BUSY UINT64_C(1) /* no address */

#if defined(__aarch64__)
#define STACK_ALIGN 16
#define RA_BELOW_CFA false
#else
#define STACK_ALIGN 8
#define RA_BELOW_CFA true /* where the call instruction puts it, whatever a row says */
#endif

struct row {
	_Atomic uint64_t key; /* KEY_EXACT, generation << 48, address; 0: empty */
	_Atomic uint64_t place; /* flags 8, version 24, return address at CFA + 8 * 16 (0: in x30), add 16 */
	_Atomic uint64_t offsets; /* of the CFA 32, of the frame pointer's slot 32 */
	_Atomic uint32_t frame; /* in FRAMES */
	_Atomic uint32_t hint; /* bytes from the first row to the one of the last caller seen */
};
_Static_assert(sizeof(struct row) == 32, "a row never spans two cache lines");

/* Flags of a row. A row without any but the first two is one the short way of the walk can use. */
enum {
	ROW_BASE_FP = 1,
	ROW_FP_SAVED = 2, /* at CFA + offset */
	ROW_FP_AT_FP = 4,
	ROW_FP_AT_SP = 8,
	ROW_FP_LOST = 12, /* both: nowhere we know */
	ROW_ODD = 16, /* a slot is where the short way would not look or not check */
	ROW_KIND_SHIFT = 5, /* enum cfi_kind in the upper three bits; CFI_PLAIN is 0 */
	ROW_LONG = 0xff & ~(ROW_BASE_FP | ROW_FP_SAVED)
};

struct walk {
	struct unwinder *u;
	struct segment *segment;
	uintptr_t low, high; /* readable, alignment of both is that of a word; low follows sp */
	uint64_t generation_bits;
	struct module module; /* the last one looked up: it cannot go away while our caller is in it */
	struct row own; /* the row in use when the table cannot hold it */
	uintptr_t register_ra; /* x30 of an interrupted function; 0: unknown */
	uint64_t sought; /* the last row that was not where a hint said, and for which frame */
	uint32_t sought_at;
	bool blind; /* this C library cannot tell what is loaded: no guesses either */
};

enum { STEP_ON, STEP_WHOLE, STEP_NO_CFI, STEP_BAD, STEP_FOREIGN, STEP_DEEP, STEP_OVERFLOW };

struct registers {
	uintptr_t pc, sp, fp;
	uint64_t key_bits; /* pc ^ these is the key of its row */
};

/* -- memory of the stack -- */

typedef uintptr_t __attribute__((may_alias)) stack_word;

__attribute__((no_sanitize("address"))) static inline uintptr_t
load_word(uintptr_t address)
{
	return *(const stack_word *)address;
}

static inline bool
readable(const struct walk *w, uintptr_t address)
{
	return address >= w->low && address < w->high && w->high - address >= sizeof(uintptr_t) &&
	       address % sizeof(uintptr_t) == 0;
}

static inline uintptr_t
code_address(uintptr_t word)
{
#if defined(__aarch64__)
	return word & ADDRESS_MASK; /* strips a pointer authentication code */
#else
	return word;
#endif
}

static inline bool
code_possible(uintptr_t pc)
{
	return pc >= LOWEST_CODE && pc >> ADDRESS_BITS == 0;
}

/* -- the table of rows -- */

static struct row *
rows_get(struct unwinder *u)
{
	void *rows = atomic_load_explicit(&u->rows, memory_order_acquire), *none = NULL;

	if (rows)
		return rows;
	rows = pages_private(ROWS_MAX * sizeof(struct row));
	if (rows && !atomic_compare_exchange_strong_explicit(&u->rows, &none, rows, memory_order_acq_rel,
							     memory_order_acquire)) {
		pages_release(rows, ROWS_MAX * sizeof(struct row)); /* another thread was first */
		rows = none;
	}
	return rows;
}

static inline uint32_t
rows_mask(struct unwinder *u)
{
	uint32_t mask = atomic_load_explicit(&u->rows_mask, memory_order_relaxed);

	return mask ? mask : ROWS_FIRST - 1;
}

static inline uint32_t
row_first(uint64_t key, uint32_t mask)
{
	return (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & mask & ~(uint32_t)(WINDOW - 1);
}

static inline struct row *
row_lookup(struct row *rows, uint32_t mask, uint64_t key)
{
	struct row *window = &rows[row_first(key, mask)];

	for (uint32_t i = 0; i < WINDOW; i++)
		if (atomic_load_explicit(&window[i].key, memory_order_relaxed) == key)
			return &window[i];
	return NULL;
}

/* What the short way takes for granted of a slot, so that it need only look whether the slot is above sp and the CFA not
 * above the end of the stack: the CFA is above the slot, and if the slot wraps around address 0, it is negative. */
static inline bool
near_below(int32_t offset)
{
	return offset <= -(int32_t)sizeof(uintptr_t) && offset >= -65536;
}

static void
row_fill(struct row *row, uint64_t version, const struct cfi_rule *rule, uint32_t frame)
{
	static const uint8_t fp_flags[] = { [CFI_FP_SAME] = 0,
					    [CFI_FP_AT_CFA] = ROW_FP_SAVED,
					    [CFI_FP_AT_FP] = ROW_FP_AT_FP,
					    [CFI_FP_AT_SP] = ROW_FP_AT_SP,
					    [CFI_FP_LOST] = ROW_FP_LOST };
	const int32_t ra = rule->ra_in_register ? 0 : rule->ra;
	/* The short way always loads: something it may load then, if the register is still what it was. */
	const int32_t fp = rule->fp_place == CFI_FP_SAME ? ra * 8 : rule->fp;
	uint64_t flags = (uint64_t)(rule->kind << ROW_KIND_SHIFT) | fp_flags[rule->fp_place];

	if (rule->base_is_fp)
		flags |= ROW_BASE_FP;
	if (!near_below(fp) || !near_below(ra * 8) || (RA_BELOW_CFA && ra != -1))
		flags |= ROW_ODD;
	atomic_store_explicit(&row->place,
			      flags | (version & 0xffffff) << 8 | (uint64_t)(uint16_t)ra << 32 |
				      (uint64_t)(uint16_t)rule->add << 48,
			      memory_order_release);
	atomic_store_explicit(&row->offsets, (uint32_t)rule->cfa | (uint64_t)(uint32_t)fp << 32, memory_order_release);
	atomic_store_explicit(&row->frame, frame, memory_order_release);
}

/* Which row of the window to give up: an empty or stale one, else any; NULL if all are being written. */
static struct row *
row_victim(struct row *window, uint64_t key, bool *ret_crowded)
{
	struct row *any = NULL;

	for (uint32_t i = 0; i < WINDOW; i++) {
		uint32_t turn = (uint32_t)(i + (key >> 4)) % WINDOW;
		uint64_t seen = atomic_load_explicit(&window[turn].key, memory_order_relaxed);

		if (seen == KEY_BUSY)
			continue;
		any = &window[turn];
		if (seen == 0 || (seen ^ key) >> ADDRESS_BITS & GENERATION_MASK)
			return any;
	}
	*ret_crowded = true;
	return any;
}

/* Keep a decoded rule. Returns its row, or the walk's own row if another thread is in the way. */
__attribute__((noinline)) static struct row *
row_keep(struct walk *w, struct row *rows, uint64_t key, const struct cfi_rule *rule, uint32_t frame)
{
	uint32_t mask = rows_mask(w->u);
	bool crowded = false;
	struct row *row = row_victim(&rows[row_first(key, mask)], key, &crowded);
	uint64_t old;

	if (crowded && mask < ROWS_MAX - 1) {
		/* Grow. Rows stay where they are; most are no longer looked for there and are decoded once more. */
		mask = mask * 4 + 3 < ROWS_MAX - 1 ? mask * 4 + 3 : ROWS_MAX - 1;
		atomic_store_explicit(&w->u->rows_mask, mask, memory_order_relaxed);
		row = row_victim(&rows[row_first(key, mask)], key, &crowded);
	}
	old = row ? atomic_load_explicit(&row->key, memory_order_relaxed) : KEY_BUSY;
	if (old == KEY_BUSY || !atomic_compare_exchange_strong_explicit(&row->key, &old, KEY_BUSY, memory_order_acq_rel,
									memory_order_relaxed))
		row = &w->own;
	row_fill(row, (atomic_load_explicit(&row->place, memory_order_relaxed) >> 8 & 0xffffff) + 1, rule, frame);
	atomic_store_explicit(&row->key, key, memory_order_release);
	return row;
}

/* Decode the row of an address not seen yet and record its frame. NULL: no frame could be recorded. */
__attribute__((noinline)) static struct row *
row_decode(struct walk *w, struct row *rows, uint64_t key)
{
	const uintptr_t pc = key & ADDRESS_MASK;
	const bool exact = key & KEY_EXACT;
	const uintptr_t inside = exact ? pc : pc - 1;
	const uint32_t generation = (uint32_t)(w->generation_bits >> ADDRESS_BITS);
	struct cfi_rule rule = { .kind = CFI_NONE };
	uint32_t module = HEAPD_NONE, frame;
	int r = 0;

	if (inside < w->module.start || inside >= w->module.end)
		r = modules_find(&w->u->modules, w->segment, generation, inside, &w->module);
	if (r == 0) {
		module = w->module.index;
		if (module == HEAPD_NONE)
			segment_lose(w->segment, HEAPD_LOST_MODULE);
		if (w->module.tables.header)
			cfi_find(&w->module.tables, inside, &rule);
	}
	/* Nobody called a trampoline: its address is the instruction itself, however it was found. */
	frame = frames_intern(&w->u->frames, w->segment, pc, module,
			      exact || rule.kind == CFI_SIGNAL ? HEAPD_FRAME_EXACT : 0);
	if (frame == HEAPD_NONE)
		return NULL;
	w->blind = r == -ENOSYS;
	if (rows && !w->blind)
		return row_keep(w, rows, key, &rule, frame);
	row_fill(&w->own, 0, &rule, frame);
	atomic_store_explicit(&w->own.key, key, memory_order_relaxed);
	return &w->own;
}

/* -- steps that are not the short way -- */

/* Code without tables keeps a frame pointer if we are lucky (V8's does). */
static int
step_frame_pointer(const struct walk *w, struct registers *r)
{
	uintptr_t pc, fp = r->fp;

	/* Nothing can be above the first function: the loader's own start, which has no tables, ends here. */
	if (w->high - r->sp < 4 * sizeof(uintptr_t))
		return STEP_WHOLE;
	if (!readable(w, fp) || !readable(w, fp + sizeof(uintptr_t)) || fp % STACK_ALIGN != 0)
		return STEP_NO_CFI;
	pc = code_address(load_word(fp + sizeof(uintptr_t)));
	if (!code_possible(pc))
		return STEP_NO_CFI;
	*r = (struct registers){ .pc = pc, .sp = fp + 2 * sizeof(uintptr_t), .fp = load_word(fp) };
	return STEP_ON;
}

/* sp is at what the kernel pushed; only the interrupted registers in it matter. */
static int
step_signal(struct walk *w, struct registers *r)
{
#if defined(__x86_64__)
	const uintptr_t registers = r->sp + offsetof(ucontext_t, uc_mcontext.gregs);
	const uintptr_t pc_at = registers + REG_RIP * sizeof(greg_t), sp_at = registers + REG_RSP * sizeof(greg_t),
			fp_at = registers + REG_RBP * sizeof(greg_t);
#else
	const uintptr_t context = r->sp + sizeof(siginfo_t);
	const uintptr_t pc_at = context + offsetof(ucontext_t, uc_mcontext.pc),
			sp_at = context + offsetof(ucontext_t, uc_mcontext.sp),
			fp_at = context + offsetof(ucontext_t, uc_mcontext.regs) + 29 * 8, lr_at = fp_at + 8;
#endif
	uintptr_t sp;

	if (!readable(w, pc_at) || !readable(w, sp_at) || !readable(w, fp_at))
		return STEP_BAD;
	sp = load_word(sp_at);
	if (sp >= w->high || sp < w->low)
		return STEP_FOREIGN; /* the handler ran here, what it interrupted on another stack */
	if (sp <= r->sp || sp % sizeof(uintptr_t) != 0)
		return STEP_BAD;
#if defined(__aarch64__)
	w->register_ra = code_address(load_word(lr_at));
#endif
	*r = (struct registers){ .pc = load_word(pc_at), .sp = sp, .fp = load_word(fp_at) };
	return code_possible(r->pc) ? STEP_ON : STEP_BAD;
}

/* Everything a rule can say, with all checks. */
static int
step_rule(const struct walk *w, uint64_t place, uint64_t offsets, struct registers *r)
{
	const uintptr_t base = place & ROW_BASE_FP ? r->fp : r->sp;
	uintptr_t cfa = base + (uintptr_t)(int32_t)offsets, fp = r->fp, fp_at = (uintptr_t)((int64_t)offsets >> 32), ra;

	if ((place >> ROW_KIND_SHIFT & 7) == CFI_DEREF) {
		if (!readable(w, cfa))
			return STEP_BAD;
		cfa = load_word(cfa) + (uintptr_t)((int64_t)place >> 48);
	}
	/* A function that was interrupted before it made a frame has the CFA of its start. */
	if (cfa < r->sp + (w->register_ra ? 0 : 1) || cfa > w->high || cfa % STACK_ALIGN != 0)
		return STEP_BAD;
	if ((place >> 32 & 0xffff) == 0) {
		ra = w->register_ra;
		if (!ra)
			return STEP_BAD;
	} else {
		ra = cfa + (uintptr_t)(int64_t)(int16_t)(place >> 32) * 8;
		if (!readable(w, ra))
			return STEP_BAD;
		ra = code_address(load_word(ra));
	}
	if (place & (ROW_FP_SAVED | ROW_FP_AT_FP | ROW_FP_AT_SP)) {
		if ((place & ROW_FP_LOST) == ROW_FP_LOST) {
			fp = 0;
		} else {
			fp_at += place & ROW_FP_SAVED ? cfa : place & ROW_FP_AT_FP ? r->fp : r->sp;
			if (!readable(w, fp_at))
				return STEP_BAD;
			fp = load_word(fp_at);
		}
	}
	*r = (struct registers){ .pc = ra, .sp = cfa, .fp = fp };
	return STEP_ON;
}

__attribute__((noinline)) static int
step_long(struct walk *w, uint64_t place, uint64_t offsets, struct registers *r)
{
	uint64_t exact = 0;
	int step;

	if (w->high == 0)
		return STEP_FOREIGN;
	switch (place >> ROW_KIND_SHIFT & 7) {
	case CFI_END:
		return STEP_WHOLE;
	case CFI_NONE:
		step = w->blind ? STEP_NO_CFI : step_frame_pointer(w, r);
		break;
	case CFI_SIGNAL:
		step = step_signal(w, r);
		exact = KEY_EXACT;
		break;
	default:
		step = step_rule(w, place, offsets, r);
	}
	if (!exact)
		w->register_ra = 0;
	r->key_bits = w->generation_bits | exact;
	return step;
}

/* -- the walk -- */

struct taken { /* a consistent copy of a row */
	uint64_t place, offsets;
	uint32_t frame, hint;
};

static inline bool
row_take(const struct row *row, uint64_t key, struct taken *ret)
{
	ret->place = atomic_load_explicit(&row->place, memory_order_acquire);
	if (atomic_load_explicit(&row->key, memory_order_acquire) != key)
		return false;
	ret->offsets = atomic_load_explicit(&row->offsets, memory_order_acquire);
	ret->frame = atomic_load_explicit(&row->frame, memory_order_acquire);
	ret->hint = atomic_load_explicit(&row->hint, memory_order_relaxed);
	return atomic_load_explicit(&row->place, memory_order_relaxed) == ret->place;
}

/* The row of key from wherever it can be had, and from where no other thread can take it away if that just happened.
 * NULL: there is none, *ret says why. */
__attribute__((noinline)) static struct row *
row_seek(struct walk *w, struct row *rows, uint64_t key, uint32_t depth, int *ret)
{
	const uintptr_t pc = (key & ~KEY_EXACT) ^ w->generation_bits;
	struct row *row = NULL;

	*ret = pc == 0 && !(key & KEY_EXACT) ? STEP_WHOLE : STEP_BAD;
	if (!code_possible(pc))
		return NULL;
	*ret = STEP_OVERFLOW;
	if (w->sought == key && w->sought_at == depth)
		return row_decode(w, NULL, key);
	w->sought = key; /* never 0 */
	w->sought_at = depth;
	if (rows)
		row = row_lookup(rows, rows_mask(w->u), key);
	return row ? row : row_decode(w, rows, key);
}

void
unwind(struct unwinder *u, struct segment *segment, const struct unwind_start *start, const struct stack_range *range,
       struct stack *ret)
{
	static const struct {
		uint32_t flag;
		enum heapd_loss loss;
	} ends[] = {
		[STEP_NO_CFI] = { HEAPD_STACK_NO_CFI, HEAPD_LOST_NO_CFI },
		[STEP_BAD] = { HEAPD_STACK_BAD_FRAME, HEAPD_LOST_BAD_FRAME },
		[STEP_FOREIGN] = { HEAPD_STACK_FOREIGN, HEAPD_LOST_FOREIGN },
		[STEP_DEEP] = { HEAPD_STACK_DEEP, HEAPD_LOST_DEEP },
		[STEP_OVERFLOW] = { HEAPD_STACK_OVERFLOW, HEAPD_LOST_NO_SITE },
	};
	struct row *const rows = rows_get(u);
	const bool known = start->cfa >= range->low && start->cfa < range->high;
	const uintptr_t high = known ? range->high : 0; /* 0: no step is possible, and step_long() says why */
	const uint64_t generation_bits =
		(uint64_t)(atomic_load_explicit(&u->generation, memory_order_acquire) & GENERATION_MASK)
		<< ADDRESS_BITS;
	struct walk w;
	struct row *const base = rows ? rows : &w.own;
	struct row *row, *previous = NULL;
	uintptr_t sp = start->cfa, fp = start->fp;
	uint64_t key = start->pc ^ generation_bits, hash = 0;
	size_t n = 0;
	int step;

	w.u = u;
	w.segment = segment;
	w.high = high;
	w.generation_bits = generation_bits;
	w.module.start = w.module.end = 0;
	w.register_ra = 0;
	w.sought = 0;
	w.blind = false;
	atomic_store_explicit(&w.own.key, 0, memory_order_relaxed);
	atomic_store_explicit(&w.own.place, 0, memory_order_relaxed);
	atomic_store_explicit(&w.own.hint, 0, memory_order_relaxed);
	row = rows ? row_lookup(rows, rows_mask(u), key) : NULL;
	if (!row)
		row = base;
	for (;;) {
		struct taken t;
		uintptr_t cfa, saved, pc;

		if (unlikely(!row_take(row, key, &t))) {
			row = row_seek(&w, rows, key, (uint32_t)n, &step);
			if (!row)
				break;
			if (row != &w.own && previous && previous != &w.own)
				atomic_store_explicit(&previous->hint, (uint32_t)((char *)row - (char *)base),
						      memory_order_relaxed);
			continue;
		}
		if (unlikely(n == HEAPD_MAX_DEPTH)) {
			step = STEP_DEEP;
			break;
		}
		ret->frames[n] = t.frame;
		hash = (hash ^ t.frame) * UINT64_C(0x9e3779b97f4a7c15);

		cfa = (t.place & ROW_BASE_FP ? fp : sp) + (uintptr_t)(int32_t)t.offsets;
		saved = cfa + (uintptr_t)((int64_t)t.offsets >> 32);
		pc = RA_BELOW_CFA ? cfa - sizeof(pc) : cfa + (uintptr_t)(int64_t)(int16_t)(t.place >> 32) * 8;
		if (likely((t.place & ROW_LONG) == 0 && cfa % STACK_ALIGN == 0 && cfa <= high &&
			   (intptr_t)saved >= (intptr_t)sp && (RA_BELOW_CFA || (intptr_t)pc >= (intptr_t)sp))) {
			key = code_address(load_word(pc)) ^ generation_bits;
			saved = load_word(saved);
			fp = t.place & ROW_FP_SAVED ? saved : fp;
			sp = cfa;
		} else {
			struct registers r = { .sp = sp, .fp = fp };

			if (likely((t.place >> ROW_KIND_SHIFT & 7) == CFI_END && high != 0)) {
				ret->cfas[n++] = 0;
				step = STEP_WHOLE;
				break;
			}
			w.low = sp;
			step = step_long(&w, t.place, t.offsets, &r);
			if (step != STEP_ON) {
				ret->cfas[n++] = 0;
				break;
			}
			sp = r.sp;
			fp = r.fp;
			key = r.pc ^ r.key_bits;
			/* Two registers, please, not one vector that has to be taken apart in every turn. */
			__asm__("" : "+r"(sp), "+r"(fp));
		}
		ret->cfas[n++] = (uint32_t)(high - sp);
		previous = row;
		row = (struct row *)((char *)base + t.hint);
	}
	if (step == STEP_OVERFLOW)
		n = 0;
	else if (step != STEP_WHOLE)
		segment_lose(segment, ends[step].loss);
	if (high - start->cfa > UINT32_MAX) /* some do not fit, and a stack like this is hardly used that far */
		memset(ret->cfas, 0, n * sizeof(ret->cfas[0]));
	ret->depth = (uint32_t)n;
	ret->flags = ends[step].flag;
	ret->hash = hash ^ hash >> 32;
}

void
unwind_forget(struct unwinder *u, struct segment *segment)
{
	uint32_t generation = atomic_fetch_add_explicit(&u->generation, 1, memory_order_acq_rel) + 1;
	struct row *rows = atomic_load_explicit(&u->rows, memory_order_acquire);

	if (segment->header)
		atomic_fetch_add_explicit(&segment->header->modules_generation, 1, memory_order_relaxed);
	if ((generation & GENERATION_MASK) != 0)
		return;
	/* The generation in the keys comes round: rows as old as that must not become true again. */
	modules_forget(&u->modules);
	for (uint32_t i = 0; rows && i < ROWS_MAX; i++) {
		uint64_t key = atomic_load_explicit(&rows[i].key, memory_order_relaxed);

		if (key != KEY_BUSY)
			atomic_compare_exchange_strong_explicit(&rows[i].key, &key, 0, memory_order_relaxed,
								memory_order_relaxed);
	}
}
