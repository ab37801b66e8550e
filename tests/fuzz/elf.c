/* elf.c - a program's file and its debug file, as the worker reads them.
 *
 * The first four bytes say how long the module is; the debug file follows. libdw itself is not instrumented; what it does
 * wrong shows as a crash, in the worker as a loss of names.
 */
#include <string.h>
#include <unistd.h>

#include <gelf.h>

#include "debuginfo.h"
#include "demangle.h"
#include "fuzz.h"

/* Addresses all over the executable segments, of a copy that belongs to us. */
static size_t
choose_addresses(const void *bytes, size_t size, uint64_t *ret, size_t max)
{
	Elf *elf = size > 0 ? elf_memory((char *)(uintptr_t)bytes, size) : NULL;
	size_t n = 0, n_segments;
	GElf_Phdr segment;

	if (!elf || elf_getphdrnum(elf, &n_segments) < 0)
		n_segments = 0;
	for (size_t i = 0; i < n_segments && i < 64; i++) {
		if (!gelf_getphdr(elf, (int)i, &segment) || segment.p_type != PT_LOAD || !(segment.p_flags & PF_X))
			continue;
		for (uint64_t k = 0; k < 16 && n < max; k++)
			ret[n++] = segment.p_vaddr + (segment.p_memsz / 16) * k + k;
	}
	elf_end(elf);
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = { bytes, size };
	size_t length = input_number(&in, 4), n;
	struct debuginfo_line lines[WIRE_LINES_MAX];
	struct wire_answer answer = { 0 };
	uint64_t addresses[64];
	struct debuginfo *d;
	char name[WIRE_STRING_MAX];
	int free_fd = fuzz_free_fd();
	void *module;

	elf_version(EV_CURRENT);
	length = length < in.left ? length : in.left;
	module = memcpy(malloc(length + 1), in.at, length);
	n = choose_addresses(module, length, addresses, 64);
	if (debuginfo_open(fuzz_file(in.at, length), 0, NULL, 0, &d) == WIRE_OK) {
		debuginfo_describe(d, &answer);
		MUST(answer.build_id_length <= HEAPD_BUILD_ID_MAX && memchr(answer.debuglink, 0, WIRE_NAME_MAX) &&
		     memchr(answer.alt, 0, WIRE_NAME_MAX));
		if (length < in.left)
			(void)debuginfo_add_debug(d, fuzz_file(in.at + length, in.left - length));
		for (size_t i = 0; i < n; i++) {
			size_t found = debuginfo_find(d, addresses[i], lines, WIRE_LINES_MAX);

			MUST(found <= WIRE_LINES_MAX);
			for (size_t k = 0; k < found; k++) {
				MUST(lines[k].system_name && lines[k].source_name);
				demangle_name(lines[k].system_name, name, sizeof(name));
			}
		}
		debuginfo_free(d);
	}
	free(module);
	MUST(fuzz_free_fd() == free_fd);
	return 0;
}
