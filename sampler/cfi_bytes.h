/* cfi_bytes.h - reading what tables are written in, without trust: numbers, LEB128, encoded pointers.
 *
 * Private to cfi.c and cfi_program.c.
 */
#ifndef HEAPD_CFI_BYTES_H
#define HEAPD_CFI_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *at, *end;
	bool bad; /* sticks; reads past the end give 0, so that one look after many reads is enough */
};

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

static inline uint64_t
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

static inline uint64_t
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

static inline int64_t
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
static inline uintptr_t
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

#endif
