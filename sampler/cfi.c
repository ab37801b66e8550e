/* cfi.c - see cfi.h. Format: LSB core specification, exception frames; DWARF 5 section 6.4. */
#include "cfi.h"

#include "cfi_program.h"

struct cie {
	struct bytes program;
	uint32_t code_align;
	int32_t data_align;
	uint8_t fde_encoding;
	bool has_data, signal;
};

/* -- entries -- */

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

static bool
cie_read(const struct cfi_tables *t, uintptr_t address, struct cie *ret)
{
	const uint8_t *augmentation, *program;
	uint8_t version, encoding;
	uint64_t return_column, code_align;
	int64_t data_align;
	struct bytes b;

	if (!entry_open(t, address, &b) || take(&b, 4) != 0)
		return false;
	version = take_u8(&b);
	augmentation = b.at;
	while (take_u8(&b) != 0)
		;
	if (b.bad || (version != 1 && version != 3))
		return false;
	code_align = take_uleb(&b);
	data_align = take_sleb(&b);
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
	ret->code_align = (uint32_t)code_align;
	ret->data_align = (int32_t)data_align;
	return !b.bad && return_column == REG_RETURN && code_align > 0 && code_align < 256 && data_align > -256 &&
	       data_align < 256;
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
	m.code_align = cie.code_align;
	m.data_align = cie.data_align;
	m.pointer_encoding = cie.fde_encoding;
	m.remembered = 0;
	if (!program_run(&m, cie.program))
		return;
	m.initial = m.now;
	m.location = start;
	if (!program_run(&m, b))
		return;
	rule_fill(&m.now, ret);
}
