/* cfi_program.c - see cfi_program.h. Format: DWARF 5 sections 2.5 and 6.4.2, and GNU's few additions. */
#include "cfi_program.h"

#include "cfi.h"

/* The longest program of a real function seen so far has 5276 instructions (in libclang). */
#define STEPS_MAX 16384
#define VALUES_MAX 3 /* what the PLT's expression needs */

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

/* -- instructions -- */

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
run_extended(struct machine *m, struct bytes *b, uint8_t op)
{
	struct columns *c = &m->now;
	int64_t align = m->data_align;
	uint64_t reg;

	switch (op) {
	case DW_CFA_nop:
		return true;
	case DW_CFA_set_loc:
		m->location = take_pointer(b, m->pointer_encoding, 0);
		return true;
	case DW_CFA_advance_loc1:
		m->location += take_u8(b) * m->code_align;
		return true;
	case DW_CFA_advance_loc2:
		m->location += take(b, 2) * m->code_align;
		return true;
	case DW_CFA_advance_loc4:
		m->location += take(b, 4) * m->code_align;
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

bool
program_run(struct machine *m, struct bytes b)
{
	unsigned steps = STEPS_MAX;

	while (b.at < b.end && m->location <= m->pc) {
		uint8_t op = *b.at++;

		if (steps-- == 0)
			return false;
		switch (op & 0xc0) {
		case DW_CFA_advance_loc:
			m->location += (op & 0x3f) * m->code_align;
			break;
		case DW_CFA_offset:
			set_saved(&m->now, op & 0x3f, offset_scaled(take_uleb(&b), m->data_align));
			break;
		case DW_CFA_restore:
			set_restored(&m->now, &m->initial, op & 0x3f);
			break;
		default:
			if (!run_extended(m, &b, op))
				return false;
		}
	}
	return !b.bad;
}
