/* cfi_test.c - rows from hand-made tables: what each instruction means, and that no byte of them is trusted. */
#include "cfi.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

#if defined(__x86_64__)
enum { FP = 6, SP = 7, RA = 16, OTHER = 3 };
#define CIE_PROGRAM 0x0c, SP, 8, 0x80 | RA, 1 /* CFA = sp + 8, return address at CFA - 8 */
#define CIE_CFA 8
#else
enum { FP = 29, SP = 31, RA = 30, OTHER = 19 };
#define CIE_PROGRAM 0x0c, SP, 0
#define CIE_CFA 0
#endif

#define PAGE 4096
#define FUNCTION 0x100000 /* how far the imaginary functions lie behind the tables */
#define FUNCTION_SIZE 256

/* An .eh_frame_hdr with its .eh_frame, in the last bytes before a page that cannot be read. */
struct tables {
	uint8_t bytes[2 * PAGE];
	size_t used;
	uint8_t *place; /* where bytes will lie */
	size_t cie;
	int functions;
};

static struct tables t;

static void
put(const void *bytes, size_t n)
{
	if (n > 0)
		memcpy(t.bytes + t.used, bytes, n);
	t.used += n;
}

static void
put_u8(unsigned value)
{
	t.bytes[t.used++] = (uint8_t)value;
}

static void
put_i32(int64_t value)
{
	int32_t v = (int32_t)value;

	put(&v, sizeof(v));
}

static uint8_t *
guarded(void)
{
	static uint8_t *p;

	if (!p) {
		p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED || mprotect(p, PAGE, PROT_NONE) < 0 || mprotect(p + 3 * PAGE, PAGE, PROT_NONE) < 0)
			abort();
	}
	return p + PAGE;
}

/* Begin tables for so many functions. The CIE: augmentation, its data, its program. */
static void
begin(int functions, const char *augmentation, const uint8_t *data, size_t data_size, const uint8_t *program,
      size_t program_size)
{
	memset(&t, 0, sizeof(t));
	t.functions = functions;
	put("\1\x1b\3\x3b", 4);
	put_i32(0);
	put_i32(functions);
	t.used += 8 * (size_t)functions;
	t.cie = t.used;
	put_i32(0);
	put_i32(0);
	put_u8(1);
	put(augmentation, strlen(augmentation) + 1);
	put_u8(1); /* code alignment */
	put_u8(0x78); /* data alignment: -8 */
	put_u8(RA);
	if (augmentation[0] == 'z') {
		put_u8((unsigned)data_size);
		put(data, data_size);
	}
	put(program, program_size);
	while (t.used % 4)
		put_u8(0);
	*(int32_t *)(t.bytes + t.cie) = (int32_t)(t.used - t.cie - 4);
}

static void
begin_plain(int functions)
{
	static const uint8_t program[] = { CIE_PROGRAM };

	begin(functions, "zR", (const uint8_t *)"\x1b", 1, program, sizeof(program));
}

static void
function(int i, const uint8_t *data, size_t data_size, const uint8_t *program, size_t program_size)
{
	size_t start = t.used;
	int32_t entry[2] = { FUNCTION + i * FUNCTION_SIZE, (int32_t)start };

	memcpy(t.bytes + 12 + 8 * (size_t)i, entry, sizeof(entry));
	put_i32(0);
	put_i32((int64_t)(t.used - t.cie));
	put_i32(FUNCTION + i * FUNCTION_SIZE - (int64_t)t.used);
	put_i32(FUNCTION_SIZE - 16);
	put_u8((unsigned)data_size);
	put(data, data_size);
	put(program, program_size);
	while (t.used % 4)
		put_u8(0);
	*(int32_t *)(t.bytes + start) = (int32_t)(t.used - start - 4);
}

/* The row of an offset in function i. */
static struct cfi_rule
row_at(int i, size_t offset)
{
	uint8_t *place = guarded() + 2 * PAGE - t.used;
	struct cfi_tables tables = { (uintptr_t)place, (uintptr_t)place + t.used, (uintptr_t)place };
	struct cfi_rule rule;

	memcpy(place, t.bytes, t.used);
	memset(&rule, 0x5a, sizeof(rule));
	cfi_find(&tables, (uintptr_t)place + FUNCTION + (size_t)i * FUNCTION_SIZE + offset, &rule);
	return rule;
}

static struct cfi_rule
row_of(const uint8_t *program, size_t size, size_t offset)
{
	begin_plain(1);
	function(0, NULL, 0, program, size);
	return row_at(0, offset);
}

#define ROW(offset, ...) row_of((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), offset)

TEST(a_row_holds_from_its_instruction_to_the_next_one)
{
	static const uint8_t program[] = { 0x44, 0x0e, 16, 0x80 | FP, 2, 0x43, 0x0d, FP };

	begin_plain(1);
	function(0, NULL, 0, program, sizeof(program));
	for (size_t at = 0; at < 12; at++) {
		struct cfi_rule r = row_at(0, at);

		CHECK_EQ(CFI_PLAIN, r.kind);
		CHECK_EQ(at >= 4 ? 16 : CIE_CFA, r.cfa);
		CHECK_EQ(at >= 4 ? CFI_FP_AT_CFA : CFI_FP_SAME, r.fp_place);
		if (at >= 4)
			CHECK_EQ(-16, r.fp);
		CHECK_EQ(at >= 7, r.base_is_fp);
#if defined(__x86_64__)
		CHECK_EQ(-1, r.ra);
		CHECK(!r.ra_in_register);
#else
		CHECK(r.ra_in_register);
#endif
	}
}

TEST(every_way_to_move_on_counts_the_same)
{
	CHECK_EQ(16, ROW(10, 0x4a, 0x0e, 16).cfa);
	CHECK_EQ(16, ROW(10, 0x02, 10, 0x0e, 16).cfa);
	CHECK_EQ(16, ROW(10, 0x03, 10, 0, 0x0e, 16).cfa);
	CHECK_EQ(16, ROW(10, 0x04, 10, 0, 0, 0, 0x0e, 16).cfa);
	CHECK_EQ(CIE_CFA, ROW(9, 0x4a, 0x0e, 16).cfa);
	CHECK_EQ(CIE_CFA, ROW(9, 0x02, 10, 0x0e, 16).cfa);
	CHECK_EQ(CIE_CFA, ROW(9, 0x03, 10, 0, 0x0e, 16).cfa);
	CHECK_EQ(CIE_CFA, ROW(9, 0x04, 10, 0, 0, 0, 0x0e, 16).cfa);
}

TEST(remembered_rows_come_back_as_they_were)
{
	static const uint8_t program[] = { 0x41, 0x0e, 16,   0x80 | FP, 2,    0x41, 0x0a, 0x0e, 8,    0xc0 | FP, 0x41,
					   0x0b, 0x41, 0x0a, 0x41,      0x0a, 0x0e, 64,   0x41, 0x0b, 0x0b };

	begin_plain(1);
	function(0, NULL, 0, program, sizeof(program));
	CHECK_EQ(16, row_at(0, 1).cfa);
	CHECK_EQ(8, row_at(0, 2).cfa);
	CHECK_EQ(CFI_FP_SAME, row_at(0, 2).fp_place);
	CHECK_EQ(16, row_at(0, 3).cfa);
	CHECK_EQ(CFI_FP_AT_CFA, row_at(0, 3).fp_place);
	CHECK_EQ(64, row_at(0, 5).cfa);
	CHECK_EQ(16, row_at(0, 6).cfa);
	CHECK_EQ(CFI_NONE, ROW(0, 0x0b).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a).kind);
}

TEST(signed_and_extended_forms_say_the_same)
{
	struct cfi_rule r = ROW(0, 0x12, SP, 0x7c, 0x11, FP, 4, 0x05, RA, 3);

	CHECK_EQ(CFI_PLAIN, r.kind);
	CHECK_EQ(32, r.cfa); /* -4 * -8 */
	CHECK_EQ(-32, r.fp);
	CHECK_EQ(-3, r.ra);
	r = ROW(0, 0x0c, SP, 0x90, 2, 0x13, 0x76, 0x2f, FP, 2);
	CHECK_EQ(80, r.cfa);
	CHECK_EQ(16, r.fp);
	r = ROW(0, 0x0c, SP, 0x90, 2, 0x80 | FP, 2, 0x08, FP, 0x80 | RA, 1);
	CHECK_EQ(272, r.cfa);
	CHECK_EQ(CFI_FP_SAME, r.fp_place);
	CHECK_EQ(CFI_FP_SAME, ROW(0, 0x80 | FP, 2, 0x06, FP).fp_place);
}

TEST(what_is_said_of_other_registers_changes_nothing)
{
	struct cfi_rule r =
		ROW(0, 0x80 | OTHER, 5, 0x05, OTHER, 6, 0x09, OTHER, 1, 0x08, OTHER, 0x07, OTHER, 0x14, OTHER, 1, 0x15,
		    OTHER, 0x7f, 0x16, OTHER, 2, 0x77, 8, 0x10, OTHER, 2, 0x77, 8, 0xc0 | OTHER, 0x2e, 16, 0, 0x0e, 48);

	CHECK_EQ(CFI_PLAIN, r.kind);
	CHECK_EQ(48, r.cfa);
	CHECK_EQ(CFI_FP_SAME, r.fp_place);
}

TEST(an_undefined_return_address_is_the_end)
{
	CHECK_EQ(CFI_END, ROW(0, 0x07, RA).kind);
	CHECK_EQ(CFI_END, ROW(40, 0x41, 0x0e, 16, 0x07, RA).kind);
	CHECK(CFI_END != ROW(0, 0x41, 0x07, RA).kind);
}

TEST(a_signal_trampoline_is_known_by_its_augmentation)
{
	static const uint8_t program[] = { CIE_PROGRAM };

	begin(1, "zRS", (const uint8_t *)"\x1b", 1, program, sizeof(program));
	function(0, NULL, 0, (const uint8_t *)"\x0e\x10", 2);
	CHECK_EQ(CFI_SIGNAL, row_at(0, 3).kind);
}

TEST(personality_and_language_data_are_stepped_over)
{
	static const uint8_t program[] = { CIE_PROGRAM };
	static const uint8_t data[] = { 0x9b, 1, 2, 3, 4, 0x1b, 0x1b };
	static const uint8_t twenty[] = { 0x0e, 0x20 };

	begin(1, "zPLR", data, sizeof(data), program, sizeof(program));
	function(0, (const uint8_t *)"\x0f\x0f\x0f\x0f", 4, twenty, sizeof(twenty));
	CHECK_EQ(CFI_PLAIN, row_at(0, 0).kind);
	CHECK_EQ(32, row_at(0, 0).cfa);
}

TEST(a_register_we_do_not_follow_makes_the_row_useless_or_the_frame_pointer_lost)
{
	CHECK_EQ(CFI_NONE, ROW(0, 0x0c, OTHER, 16).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x0d, OTHER).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x09, RA, OTHER).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x14, RA, 1).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x80 | SP, 3).kind); /* the caller's sp is not the CFA */
	CHECK_EQ(CFI_FP_LOST, ROW(0, 0x09, FP, OTHER).fp_place);
	CHECK_EQ(CFI_FP_LOST, ROW(0, 0x14, FP, 1).fp_place);
}

TEST(the_stack_realigned_by_gcc_is_understood)
{
	/* CFA = *(fp - 8), caller's fp at fp + 0 */
	struct cfi_rule r = ROW(0, 0x10, FP, 2, 0x70 + FP, 0, 0x0f, 3, 0x70 + FP, 0x78, 0x06);

	CHECK_EQ(CFI_DEREF, r.kind);
	CHECK(r.base_is_fp);
	CHECK_EQ(-8, r.cfa);
	CHECK_EQ(0, r.add);
	CHECK_EQ(CFI_FP_AT_FP, r.fp_place);
	CHECK_EQ(0, r.fp);
	/* CFA = *(sp + 128) + 8, caller's fp at sp + 16 */
	r = ROW(0, 0x10, FP, 2, 0x70 + SP, 16, 0x0f, 6, 0x70 + SP, 0x80, 1, 0x06, 0x23, 8);
	CHECK_EQ(CFI_DEREF, r.kind);
	CHECK(!r.base_is_fp);
	CHECK_EQ(128, r.cfa);
	CHECK_EQ(8, r.add);
	CHECK_EQ(CFI_FP_AT_SP, r.fp_place);
	CHECK_EQ(16, r.fp);
}

#if defined(__x86_64__)
TEST(the_expression_of_the_procedure_linkage_table_is_worked_out)
{
	/* sp + 8 + ((pc & 15) >= 11) * 8 */
	static const uint8_t program[] = { 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22 };

	begin_plain(1);
	function(0, NULL, 0, program, sizeof(program));
	for (size_t at = 0; at < 32; at++) {
		struct cfi_rule r = row_at(0, at);
		uintptr_t pc = (uintptr_t)guarded() + 2 * PAGE - t.used + FUNCTION + at;

		CHECK_EQ(CFI_PLAIN, r.kind);
		CHECK_EQ((pc & 15) >= 11 ? 16 : 8, r.cfa);
	}
}
#endif

TEST(an_expression_beyond_us_makes_the_row_useless)
{
	CHECK_EQ(CFI_NONE, ROW(0, 0x0f, 0).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x0f, 1, 0x06).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x0f, 2, 0x70 + OTHER, 0).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x0f, 3, 0x70 + SP, 0, 0x1e).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x0f, 4, 0x70 + SP, 0, 0x06, 0x06).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x0f, 6, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x0f, 100, 0x70 + SP, 0).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x0f, 1, 0x35).kind); /* a CFA that is a mere number */
}

TEST(offsets_no_stack_can_have_make_the_row_useless)
{
	CHECK_EQ(CFI_NONE, ROW(0, 0x0e, 12).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x0e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x05, RA, 0x80, 0x80, 0x80, 8).kind);
	CHECK_EQ(CFI_NONE, ROW(0, 0x05, FP, 0x80, 0x80, 0x80, 0x80, 8).kind);
}

TEST(of_many_functions_the_right_one_is_found)
{
	enum { MANY = 100 };

	begin_plain(MANY);
	for (int i = 0; i < MANY; i++)
		function(i, NULL, 0, (const uint8_t[]){ 0x0e, (uint8_t)(8 + i % 8 * 8) }, 2);
	for (int i = 0; i < MANY; i++) {
		CHECK_EQ(8 + i % 8 * 8, row_at(i, 0).cfa);
		CHECK_EQ(8 + i % 8 * 8, row_at(i, FUNCTION_SIZE - 17).cfa);
		CHECK_EQ(CFI_NONE, row_at(i, FUNCTION_SIZE - 16).kind); /* the gap to the next one */
	}
	CHECK_EQ(CFI_NONE, row_at(-1, 0).kind);
	CHECK_EQ(CFI_NONE, row_at(MANY, 0).kind);
}

TEST(a_program_that_does_not_end_soon_is_given_up)
{
	/* Advancing by nothing for ever, in tables with room for it. */
	const size_t size = 1 << 20;
	uint8_t *place = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct cfi_tables tables = { (uintptr_t)place, (uintptr_t)place + size, (uintptr_t)place };
	struct cfi_rule r;
	int32_t length, fde;

	CHECK(place != MAP_FAILED);
	begin_plain(1);
	function(0, NULL, 0, NULL, 0);
	memcpy(place, t.bytes, t.used);
	memset(place + t.used, 0x40, size - t.used);
	memcpy(&fde, place + 16, sizeof(fde));
	length = 8000;
	memcpy(place + fde, &length, sizeof(length));
	cfi_find(&tables, (uintptr_t)place + FUNCTION, &r);
	CHECK_EQ(CFI_PLAIN, r.kind);
	length = 1 << 19;
	memcpy(place + fde, &length, sizeof(length));
	cfi_find(&tables, (uintptr_t)place + FUNCTION, &r);
	CHECK_EQ(CFI_NONE, r.kind);
	munmap(place, size);
}

TEST(no_corruption_makes_us_read_outside_or_hang)
{
	static const uint8_t program[] = { 0x41, 0x0e, 16, 0x80 | FP, 2,     0x0a, 0x42, 0x0d,      FP,   0x0b,
					   0x10, FP,   2,  0x70 + FP, 0,     0x0f, 3,    0x70 + FP, 0x78, 0x06,
					   0x2e, 0x90, 1,  0x16,      OTHER, 2,    0x77, 8 };
	uint32_t random = 12345;
	unsigned kinds[CFI_NONE + 1] = { 0 };

	begin_plain(2);
	function(0, NULL, 0, program, sizeof(program));
	function(1, NULL, 0, program, sizeof(program));
	for (int round = 0; round < 200000; round++) {
		struct tables good = t;
		struct cfi_rule r;

		for (int flips = 1 + round % 3; flips > 0; flips--) {
			random = random * 1664525 + 1013904223;
			t.bytes[(random >> 8) % t.used] = (uint8_t)(random % 4 ? random >> 24 : 0xff);
		}
		if (round % 16 == 0)
			t.used = 1 + (random >> 8) % good.used; /* cut short: the rest cannot be read */
		r = row_at(round & 1, (size_t)round % 8);
		CHECK(r.kind <= CFI_NONE);
		kinds[r.kind]++;
		t = good;
	}
	CHECK(kinds[CFI_PLAIN] > 0 && kinds[CFI_NONE] > 0 && kinds[CFI_DEREF] > 0);
}
