/* cfi.c - see cfi.h. Format: LSB core specification (exception frames), DWARF 5 section 6.4.
 *
 * Only three columns matter to a stack walk: the CFA, the frame pointer register and the return address. Everything
 * said about other registers is parsed and dropped. Expressions are run on symbols instead of values ("sp + 8",
 * "*(fp - 8)"), which is enough for what compilers emit: the PLT's, gcc's realigned stacks, OpenSSL's assembler.
 */
#include "cfi.h"

#include <stddef.h>
#include <string.h>

#if defined(__x86_64__)
enum { REG_FRAME = 6, REG_STACK = 7, REG_RETURN = 16 };
#elif defined(__aarch64__)
enum { REG_FRAME = 29, REG_STACK = 31, REG_RETURN = 30 };
#else
#error "heapd knows the registers of x86-64 and aarch64"
#endif

/* The longest program of a real function seen so far has 5276 instructions (in libclang). */
#define STEPS_MAX 16384
#define REMEMBER_MAX 2 /* nothing seen nests deeper than one */
#define VALUES_MAX 3 /* what the PLT's expression needs */

enum {
	DW_EH_PE_absptr = 0x00,
	DW_EH_PE_udata2 = 0x02,
	DW_EH_PE_udata4 = 0x03,
	DW_EH_PE_udata8 = 0x04,
	DW_EH_PE_sdata2 = 0x0a,
	DW_EH_PE_sdata4 = 0x0b,
	DW_EH_PE_sdata8 = 0x0c,
	DW_EH_PE_pcrel = 0x10,
	DW_EH_PE_datarel = 0x30,
	DW_EH_PE_omit = 0xff
};

enum {
	DW_CFA_advance_loc = 0x40,
	DW_CFA_offset = 0x80,
	DW_CFA_restore = 0xc0,
	DW_CFA_nop = 0x00,
	DW_CFA_set_loc = 0x01,
	DW_CFA_advance_loc1 = 0x02,
	DW_CFA_advance_loc2 = 0x03,
	DW_CFA_advance_loc4 = 0x04,
	DW_CFA_offset_extended = 0x05,
	DW_CFA_restore_extended = 0x06,
	DW_CFA_undefined = 0x07,
	DW_CFA_same_value = 0x08,
	DW_CFA_register = 0x09,
	DW_CFA_remember_state = 0x0a,
	DW_CFA_restore_state = 0x0b,
	DW_CFA_def_cfa = 0x0c,
	DW_CFA_def_cfa_register = 0x0d,
	DW_CFA_def_cfa_offset = 0x0e,
	DW_CFA_def_cfa_expression = 0x0f,
	DW_CFA_expression = 0x10,
	DW_CFA_offset_extended_sf = 0x11,
	DW_CFA_def_cfa_sf = 0x12,
	DW_CFA_def_cfa_offset_sf = 0x13,
	DW_CFA_val_offset = 0x14,
	DW_CFA_val_offset_sf = 0x15,
	DW_CFA_val_expression = 0x16,
	DW_CFA_AARCH64_negate_ra_state = 0x2d,
	DW_CFA_GNU_args_size = 0x2e,
	DW_CFA_GNU_negative_offset_extended = 0x2f
};

enum {
	DW_OP_deref = 0x06,
	DW_OP_const1u = 0x08,
	DW_OP_const1s = 0x09,
	DW_OP_and = 0x1a,
	DW_OP_plus = 0x22,
	DW_OP_plus_uconst = 0x23,
	DW_OP_shl = 0x24,
	DW_OP_ge = 0x2a,
	DW_OP_lit0 = 0x30,
	DW_OP_lit31 = 0x4f,
	DW_OP_breg0 = 0x70,
	DW_OP_breg31 = 0x8f
};

/* -- bytes -- */

struct bytes { /* bad sticks: reads past the end give 0, and one look at the end is enough */
	const uint8_t *at, *end;
	bool bad;
};

static uint64_t
take(struct bytes *b, size_t n)
{
	uint64_t value = 0;

	if ((size_t)(b->end - b->at) < n) {
		b->bad = true;
		b->at = b->end;
		return 0;
	}
	memcpy(&value, b->at, n); /* both machines are little-endian as we support them */
	b->at += n;
	return value;
}

static inline uint8_t
take_u8(struct bytes *b)
{
	if (b->at == b->end) {
		b->bad = true;
		return 0;
	}
	return *b->at++;
}

static uint64_t
take_uleb_rest(struct bytes *b, uint64_t value)
{
	unsigned shift = 7;
	uint8_t byte;

	do {
		byte = take_u8(b);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return value;
}

static inline uint64_t
take_uleb(struct bytes *b)
{
	uint8_t byte = take_u8(b);

	return byte < 0x80 ? byte : take_uleb_rest(b, byte & 0x7f);
}

static int64_t
take_sleb(struct bytes *b)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		byte = take_u8(b);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	if (shift < 64 && (byte & 0x40))
		value |= ~UINT64_C(0) << shift;
	return (int64_t)value;
}

/* A pointer as the encoding byte says; relative ones only to themselves or to `data`. */
static uintptr_t
take_pointer(struct bytes *b, uint8_t encoding, uintptr_t data)
{
	uintptr_t here = (uintptr_t)b->at, value;

	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		value = take(b, 8);
		break;
	case DW_EH_PE_udata4:
		value = take(b, 4);
		break;
	case DW_EH_PE_sdata4:
		value = (uintptr_t)(int32_t)take(b, 4);
		break;
	case DW_EH_PE_udata2:
		value = take(b, 2);
		break;
	case DW_EH_PE_sdata2:
		value = (uintptr_t)(int16_t)take(b, 2);
		break;
	default:
		b->bad = true;
		return 0;
	}
	switch (encoding & 0xf0) {
	case 0:
		return value;
	case DW_EH_PE_pcrel:
		return here + value;
	case DW_EH_PE_datarel:
		return data + value;
	default:
		b->bad = true;
		return 0;
	}
}

/* Open the CIE or FDE at `address`: the bytes after its length field. */
static bool
entry_open(const struct cfi_tables *t, uintptr_t address, struct bytes *ret)
{
	uint64_t length;

	if (address < t->low || address >= t->high)
		return false;
	*ret = (struct bytes){ .at = (const uint8_t *)address, .end = (const uint8_t *)t->high };
	length = take(ret, 4);
	if (length == UINT32_MAX)
		length = take(ret, 8);
	if (ret->bad || length == 0 || length > (size_t)(ret->end - ret->at))
		return false;
	ret->end = ret->at + length;
	return true;
}

/* -- the state of the three columns -- */

enum { CFA_UNKNOWN, CFA_PLAIN, CFA_DEREF };
enum { RA_UNKNOWN, RA_AT_CFA, RA_IN_REGISTER, RA_UNDEFINED };

struct columns {
	uint8_t cfa_kind, ra_kind; /* CFA_*, RA_* */
	uint8_t fp_place; /* enum cfi_fp */
	bool base_is_fp, base_is_sp;
	bool sp_odd; /* the caller's sp is not the CFA */
	int32_t cfa, add, fp, ra;
};

/* What no row may have, offsets being multiples of 8: stands for every number out of reach. */
#define OFFSET_BAD 1

static int32_t
offset_scaled(uint64_t value, int64_t factor)
{
	int64_t v = (int64_t)value; /* the signed ones come here as well */

	if (v <= INT32_MIN / 256 || v >= INT32_MAX / 256)
		return factor == 1 && v > INT32_MIN && v < INT32_MAX ? (int32_t)v : OFFSET_BAD;
	return (int32_t)(v * factor);
}

struct cie {
	struct bytes program;
	uint64_t code_align;
	int64_t data_align;
	uint8_t fde_encoding;
	bool has_data, signal;
};

static bool
cie_read(const struct cfi_tables *t, uintptr_t address, struct cie *ret)
{
	const uint8_t *augmentation, *program;
	uint8_t version, encoding;
	uint64_t return_column;
	struct bytes b;

	if (!entry_open(t, address, &b) || take(&b, 4) != 0)
		return false;
	version = take_u8(&b);
	augmentation = b.at;
	while (take_u8(&b) != 0)
		;
	if (b.bad || (version != 1 && version != 3))
		return false;
	ret->code_align = take_uleb(&b);
	ret->data_align = take_sleb(&b);
	return_column = version == 1 ? take_u8(&b) : take_uleb(&b);
	ret->fde_encoding = DW_EH_PE_absptr;
	ret->has_data = *augmentation == 'z';
	ret->signal = false;
	if (ret->has_data) {
		uint64_t length = take_uleb(&b);

		if (b.bad || length > (size_t)(b.end - b.at))
			return false;
		program = b.at + length;
		for (const uint8_t *a = augmentation + 1; *a; a++) {
			if (*a == 'R') {
				ret->fde_encoding = take_u8(&b);
			} else if (*a == 'L') {
				take_u8(&b);
			} else if (*a == 'P') {
				encoding = take_u8(&b);
				take_pointer(&b, encoding & 0x0f, 0);
			} else if (*a == 'S') {
				ret->signal = true;
			} else if (*a != 'B' && *a != 'G') { /* aarch64: which key signs, memory tags */
				break;
			}
		}
		if (b.at > program)
			return false;
		b.at = program;
	} else if (*augmentation != 0) {
		return false;
	}
	ret->program = b;
	return !b.bad && return_column == REG_RETURN && ret->code_align > 0 && ret->code_align < 256 &&
	       ret->data_align > -256 && ret->data_align < 256;
}

/* -- expressions -- */

struct value { /* number; base + number; or *(base + inner) + number */
	enum { NUMBER, SP, FP, AT_SP, AT_FP } base;
	int32_t inner;
	int64_t number;
};

static bool
binary(uint8_t op, struct value *a, const struct value *b)
{
	if (op == DW_OP_plus && a->base == NUMBER) {
		struct value swapped = *b;
		swapped.number = (int64_t)((uint64_t)swapped.number + (uint64_t)a->number);
		*a = swapped;
		return true;
	}
	if (b->base != NUMBER)
		return false;
	if (op == DW_OP_plus) {
		a->number = (int64_t)((uint64_t)a->number + (uint64_t)b->number);
		return true;
	}
	if (a->base != NUMBER)
		return false;
	if (op == DW_OP_and)
		a->number &= b->number;
	else if (op == DW_OP_ge)
		a->number = a->number >= b->number;
	else if (op == DW_OP_shl && b->number >= 0 && b->number < 64)
		a->number = (int64_t)((uint64_t)a->number << b->number);
	else
		return false;
	return true;
}

static bool
expression(struct bytes *program, uintptr_t pc, struct value *ret)
{
	struct value stack[VALUES_MAX];
	unsigned n = 0;
	uint64_t length = take_uleb(program);
	struct bytes b;

	if (program->bad || length > (size_t)(program->end - program->at))
		return false;
	b = (struct bytes){ .at = program->at, .end = program->at + length };
	program->at += length;
	while (b.at < b.end) {
		uint8_t op = take_u8(&b);

		if (op == DW_OP_deref) {
			if (n == 0 || (stack[n - 1].base != SP && stack[n - 1].base != FP))
				return false;
			stack[n - 1].base = stack[n - 1].base == SP ? AT_SP : AT_FP;
			stack[n - 1].inner = offset_scaled((uint64_t)stack[n - 1].number, 1);
			stack[n - 1].number = 0;
			continue;
		}
		if (op == DW_OP_and || op == DW_OP_plus || op == DW_OP_shl || op == DW_OP_ge) {
			if (n < 2 || !binary(op, &stack[n - 2], &stack[n - 1]))
				return false;
			n--;
			continue;
		}
		if (op == DW_OP_plus_uconst) {
			if (n == 0)
				return false;
			stack[n - 1].number = (int64_t)((uint64_t)stack[n - 1].number + take_uleb(&b));
			continue;
		}
		if (n == VALUES_MAX)
			return false;
		stack[n] = (struct value){ .base = NUMBER };
		if (op >= DW_OP_lit0 && op <= DW_OP_lit31)
			stack[n].number = op - DW_OP_lit0;
		else if (op == DW_OP_const1u)
			stack[n].number = take_u8(&b);
		else if (op == DW_OP_const1s)
			stack[n].number = (int8_t)take_u8(&b);
		else if (op >= DW_OP_breg0 && op <= DW_OP_breg31) {
			stack[n].number = take_sleb(&b);
			if (op == DW_OP_breg0 + REG_STACK)
				stack[n].base = SP;
			else if (op == DW_OP_breg0 + REG_FRAME)
				stack[n].base = FP;
#if defined(__x86_64__)
			else if (op == DW_OP_breg0 + REG_RETURN) /* there it means the program counter */
				stack[n].number = (int64_t)((uint64_t)stack[n].number + pc);
#endif
			else
				return false;
		} else
			return false;
		n++;
	}
	(void)pc;
	if (b.bad || n != 1)
		return false;
	*ret = stack[0];
	return true;
}

/* -- programs -- */

struct machine {
	struct columns now;
	struct columns initial; /* after the CIE's program: what DW_CFA_restore goes back to */
	uintptr_t location, pc; /* run while location <= pc */
	unsigned steps;
	unsigned remembered;
	struct columns stack[REMEMBER_MAX];
};

static void
set_base(struct columns *c, uint64_t reg)
{
	c->cfa_kind = CFA_PLAIN;
	c->base_is_fp = reg == REG_FRAME;
	c->base_is_sp = reg == REG_STACK;
}

static void
set_saved(struct columns *c, uint64_t reg, int32_t offset)
{
	if (reg == REG_FRAME) {
		c->fp_place = CFI_FP_AT_CFA;
		c->fp = offset;
	} else if (reg == REG_RETURN) {
		c->ra_kind = RA_AT_CFA;
		c->ra = offset;
	} else if (reg == REG_STACK) {
		c->sp_odd = true;
	}
}

static void
set_restored(struct columns *c, const struct columns *initial, uint64_t reg)
{
	if (reg == REG_FRAME) {
		c->fp_place = initial->fp_place;
		c->fp = initial->fp;
	} else if (reg == REG_RETURN) {
		c->ra_kind = initial->ra_kind;
		c->ra = initial->ra;
	} else if (reg == REG_STACK) {
		c->sp_odd = initial->sp_odd;
	}
}

/* The rule for reg is one we cannot follow. */
static void
set_lost(struct columns *c, uint64_t reg)
{
	if (reg == REG_FRAME)
		c->fp_place = CFI_FP_LOST;
	else if (reg == REG_RETURN)
		c->ra_kind = RA_UNKNOWN;
	else if (reg == REG_STACK)
		c->sp_odd = true;
}

static void
set_cfa_expression(struct columns *c, struct bytes *b, uintptr_t pc)
{
	struct value v;

	c->cfa_kind = CFA_UNKNOWN;
	if (!expression(b, pc, &v) || v.base == NUMBER)
		return;
	c->base_is_fp = v.base == FP || v.base == AT_FP;
	c->base_is_sp = !c->base_is_fp;
	c->cfa_kind = v.base == SP || v.base == FP ? CFA_PLAIN : CFA_DEREF;
	c->cfa = c->cfa_kind == CFA_PLAIN ? offset_scaled((uint64_t)v.number, 1) : v.inner;
	c->add = c->cfa_kind == CFA_PLAIN ? 0 : offset_scaled((uint64_t)v.number, 1);
}

static void
set_expression(struct columns *c, uint64_t reg, struct bytes *b, uintptr_t pc)
{
	struct value v;

	if (!expression(b, pc, &v) || reg != REG_FRAME || (v.base != SP && v.base != FP)) {
		set_lost(c, reg);
		return;
	}
	c->fp_place = v.base == SP ? CFI_FP_AT_SP : CFI_FP_AT_FP;
	c->fp = offset_scaled((uint64_t)v.number, 1);
}

/* The instructions without operand in the opcode. False: stop, this is not a program we can run. */
static bool
run_extended(struct machine *m, const struct cie *cie, struct bytes *b, uint8_t op)
{
	struct columns *c = &m->now;
	int64_t align = cie->data_align;
	uint64_t reg;

	switch (op) {
	case DW_CFA_nop:
		return true;
	case DW_CFA_set_loc:
		m->location = take_pointer(b, cie->fde_encoding, 0);
		return true;
	case DW_CFA_advance_loc1:
		m->location += take_u8(b) * cie->code_align;
		return true;
	case DW_CFA_advance_loc2:
		m->location += take(b, 2) * cie->code_align;
		return true;
	case DW_CFA_advance_loc4:
		m->location += take(b, 4) * cie->code_align;
		return true;
	case DW_CFA_offset_extended:
		reg = take_uleb(b);
		set_saved(c, reg, offset_scaled(take_uleb(b), align));
		return true;
	case DW_CFA_offset_extended_sf:
		reg = take_uleb(b);
		set_saved(c, reg, offset_scaled((uint64_t)take_sleb(b), align));
		return true;
	case DW_CFA_GNU_negative_offset_extended:
		reg = take_uleb(b);
		set_saved(c, reg, offset_scaled(take_uleb(b), -align));
		return true;
	case DW_CFA_restore_extended:
		set_restored(c, &m->initial, take_uleb(b));
		return true;
	case DW_CFA_undefined:
		reg = take_uleb(b);
		if (reg == REG_RETURN)
			c->ra_kind = RA_UNDEFINED;
		else
			set_lost(c, reg);
		return true;
	case DW_CFA_same_value:
		reg = take_uleb(b);
		if (reg == REG_FRAME)
			c->fp_place = CFI_FP_SAME;
		else if (reg == REG_RETURN)
			c->ra_kind = RA_IN_REGISTER;
		return true;
	case DW_CFA_register:
		reg = take_uleb(b);
		take_uleb(b);
		set_lost(c, reg);
		return true;
	case DW_CFA_remember_state:
		if (m->remembered == REMEMBER_MAX)
			return false;
		m->stack[m->remembered++] = *c;
		return true;
	case DW_CFA_restore_state:
		if (m->remembered == 0)
			return false;
		*c = m->stack[--m->remembered];
		return true;
	case DW_CFA_def_cfa:
		set_base(c, take_uleb(b));
		c->cfa = offset_scaled(take_uleb(b), 1);
		return true;
	case DW_CFA_def_cfa_sf:
		set_base(c, take_uleb(b));
		c->cfa = offset_scaled((uint64_t)take_sleb(b), align);
		return true;
	case DW_CFA_def_cfa_register:
		set_base(c, take_uleb(b));
		return true;
	case DW_CFA_def_cfa_offset:
		c->cfa = offset_scaled(take_uleb(b), 1);
		return true;
	case DW_CFA_def_cfa_offset_sf:
		c->cfa = offset_scaled((uint64_t)take_sleb(b), align);
		return true;
	case DW_CFA_def_cfa_expression:
		set_cfa_expression(c, b, m->pc);
		return true;
	case DW_CFA_expression:
		reg = take_uleb(b);
		set_expression(c, reg, b, m->pc);
		return true;
	case DW_CFA_val_offset:
	case DW_CFA_val_offset_sf:
		reg = take_uleb(b);
		take_uleb(b); /* signed or not: same bytes */
		set_lost(c, reg);
		return true;
	case DW_CFA_val_expression: {
		uint64_t length;

		reg = take_uleb(b);
		length = take_uleb(b);
		if (b->bad || length > (size_t)(b->end - b->at))
			return false;
		b->at += length;
		set_lost(c, reg);
		return true;
	}
	case DW_CFA_GNU_args_size:
		take_uleb(b);
		return true;
#if defined(__aarch64__)
	case DW_CFA_AARCH64_negate_ra_state: /* the walk strips signatures from every return address */
		return true;
#endif
	default:
		return false;
	}
}

static bool
run(struct machine *m, const struct cie *cie, struct bytes b)
{
	while (b.at < b.end && m->location <= m->pc) {
		uint8_t op = *b.at++;

		if (m->steps-- == 0)
			return false;
		switch (op & 0xc0) {
		case DW_CFA_advance_loc:
			m->location += (op & 0x3f) * cie->code_align;
			break;
		case DW_CFA_offset:
			set_saved(&m->now, op & 0x3f, offset_scaled(take_uleb(&b), cie->data_align));
			break;
		case DW_CFA_restore:
			set_restored(&m->now, &m->initial, op & 0x3f);
			break;
		default:
			if (!run_extended(m, cie, &b, op))
				return false;
		}
	}
	return !b.bad;
}

/* -- rows -- */

/* The FDE whose function starts last at or before pc. */
static bool
table_search(const struct cfi_tables *t, uintptr_t pc, uintptr_t *ret)
{
	struct bytes b = { .at = (const uint8_t *)t->header, .end = (const uint8_t *)t->high };
	uint8_t frame_encoding, count_encoding, table_encoding;
	uintptr_t count, low = 0, high;
	const uint8_t *table;
	int64_t want = (int64_t)(pc - t->header);
	int32_t entry[2];

	if (t->header < t->low || t->header >= t->high || take_u8(&b) != 1)
		return false;
	frame_encoding = take_u8(&b);
	count_encoding = take_u8(&b);
	table_encoding = take_u8(&b);
	if (frame_encoding == DW_EH_PE_omit || count_encoding == DW_EH_PE_omit ||
	    table_encoding != (DW_EH_PE_datarel | DW_EH_PE_sdata4))
		return false; /* linkers write no other table */
	take_pointer(&b, frame_encoding, t->header);
	count = take_pointer(&b, count_encoding, t->header);
	if (b.bad || count > (size_t)(b.end - b.at) / sizeof(entry))
		return false;
	table = b.at;
	high = count;
	while (low < high) { /* entries before low start at or before pc, those from high on after it */
		uintptr_t middle = low + (high - low) / 2;
		int32_t start;

		memcpy(&start, table + middle * sizeof(entry), sizeof(start));
		if (start <= want)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return false;
	memcpy(entry, table + (low - 1) * sizeof(entry), sizeof(entry));
	*ret = t->header + (uintptr_t)entry[1];
	return true;
}

static bool
fits(int64_t value, int64_t limit)
{
	return value >= -limit && value < limit && value % 8 == 0;
}

static void
rule_fill(const struct columns *c, struct cfi_rule *ret)
{
	if (c->ra_kind == RA_UNDEFINED) {
		ret->kind = CFI_END;
		return;
	}
	if (c->cfa_kind == CFA_UNKNOWN || !(c->base_is_fp || c->base_is_sp) || c->sp_odd || c->ra_kind == RA_UNKNOWN)
		return;
	if (!fits(c->cfa, INT32_MAX) || !fits(c->fp, INT32_MAX) || !fits(c->ra, INT16_MAX * 8) ||
	    !fits(c->add, INT16_MAX))
		return;
	ret->kind = c->cfa_kind == CFA_PLAIN ? CFI_PLAIN : CFI_DEREF;
	ret->base_is_fp = c->base_is_fp;
	ret->ra_in_register = c->ra_kind == RA_IN_REGISTER;
	ret->fp_place = c->fp_place;
	ret->cfa = (int32_t)c->cfa;
	ret->add = (int16_t)c->add;
	ret->fp = (int32_t)c->fp;
	ret->ra = (int16_t)(c->ra / 8);
}

void
cfi_find(const struct cfi_tables *tables, uintptr_t pc, struct cfi_rule *ret)
{
	struct machine m;
	struct bytes b;
	struct cie cie;
	uintptr_t fde, cie_field, start, size;
	uint64_t cie_distance;

	*ret = (struct cfi_rule){ .kind = CFI_NONE };
	if (!table_search(tables, pc, &fde) || !entry_open(tables, fde, &b))
		return;
	cie_field = (uintptr_t)b.at;
	cie_distance = take(&b, 4);
	if (b.bad || cie_distance == 0 || cie_distance > cie_field - tables->low ||
	    !cie_read(tables, cie_field - cie_distance, &cie))
		return;
	start = take_pointer(&b, cie.fde_encoding, 0);
	size = take_pointer(&b, cie.fde_encoding & 0x0f, 0);
	if (b.bad || pc < start || pc - start >= size)
		return;
	if (cie.signal) {
		ret->kind = CFI_SIGNAL;
		return;
	}
	if (cie.has_data) {
		uint64_t length = take_uleb(&b);

		if (b.bad || length > (size_t)(b.end - b.at))
			return;
		b.at += length;
	}
	m.now = (struct columns){ .ra_kind = RA_UNKNOWN };
#if defined(__aarch64__)
	m.now.ra_kind = RA_IN_REGISTER;
#endif
	m.initial = m.now;
	m.location = start;
	m.pc = pc;
	m.steps = STEPS_MAX;
	m.remembered = 0;
	if (!run(&m, &cie, cie.program))
		return;
	m.initial = m.now;
	m.location = start;
	if (!run(&m, &cie, b))
		return;
	rule_fill(&m.now, ret);
}
