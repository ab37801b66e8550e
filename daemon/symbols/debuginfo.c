/* debuginfo.c - puts the answers of DWARF and of the symbol tables together. */
#include "debuginfo.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <gelf.h>

#include "demangle.h"
#include "dwarf_names.h"
#include "elf_symbols.h"
#include "ranges.h"

/* Compilers' output shrinks to a third or so by zlib. */
#define UNPACKED_RATIO 16
#define UNPACKED_SMALL ((uint64_t)64 << 20)

struct part {
	int fd;
	Elf *elf;
};

struct debuginfo {
	struct part module, debug, alt;
	Dwarf *alt_dwarf;
	struct ranges code; /* addresses of executable segments */
	struct elf_symbols *symbols;
	struct dwarf_names *dwarf; /* NULL if there is none; of the module or of the debug file */
	Dwarf *links; /* the same file as dwarf, for its link to the alternate file */
	bool full; /* there is a .symtab */
	bool without_dwarf;
};

/* How much a section unpacks to, as it says itself; what no zlib stream could be is refused by libelf. */
static uint64_t
unpacked_size(Elf_Scn *section, const GElf_Shdr *header)
{
	GElf_Chdr packed;

	return header->sh_flags & SHF_COMPRESSED && gelf_getchdr(section, &packed) ? packed.ch_size : 0;
}

/* As GNU tools did it before: .zdebug sections, "ZLIB" and eight bytes, the highest first. */
static uint64_t
old_unpacked_size(Elf_Scn *section, const char *name)
{
	const Elf_Data *data = name && strncmp(name, ".zdebug", 7) == 0 ? elf_rawdata(section, NULL) : NULL;
	uint64_t size;

	if (!data || !data->d_buf || data->d_size < 12)
		return 0;
	memcpy(&size, (const char *)data->d_buf + 4, sizeof(size));
	return be64toh(size);
}

/* A bomb: sections that together unpack to much more than any compiler's output would. The names of sections, which may be
 * packed too, are not looked at before the first count has passed. */
static bool
unpacks_to_too_much(Elf *elf, off_t size)
{
	uint64_t left = UNPACKED_SMALL + (uint64_t)size * UNPACKED_RATIO;
	size_t names = 0;

	for (int old = 0; old < 2; old++) {
		Elf_Scn *section = NULL;
		GElf_Shdr header;

		if (old && elf_getshdrstrndx(elf, &names) < 0)
			return false;
		while ((section = elf_nextscn(elf, section))) {
			uint64_t n;

			if (!gelf_getshdr(section, &header))
				continue;
			n = old ? old_unpacked_size(section, elf_strptr(elf, names, header.sh_name))
				: unpacked_size(section, &header);
			if (n > left)
				return true;
			left -= n;
		}
	}
	return false;
}

/* Class and byte order are ours: no process of another kind has a sampler. */
static bool
is_our_kind(Elf *elf)
{
	const char *ident = elf_getident(elf, NULL);
	const uint16_t one = 1;
	char order = *(const char *)&one ? ELFDATA2LSB : ELFDATA2MSB;

	return ident && ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) && ident[EI_DATA] == order;
}

static bool
part_open(struct part *p, int fd)
{
	struct stat status;

	p->fd = fd;
	p->elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	return p->elf && elf_kind(p->elf) == ELF_K_ELF && is_our_kind(p->elf) && fstat(fd, &status) == 0 &&
	       !unpacks_to_too_much(p->elf, status.st_size);
}

static void
part_close(struct part *p)
{
	elf_end(p->elf);
	if (p->fd >= 0)
		close(p->fd);
	*p = (struct part){ .fd = -1 };
}

static size_t
build_id_of(Elf *elf, const uint8_t **ret)
{
	const void *bits = NULL;
	ssize_t n = dwelf_elf_gnu_build_id(elf, &bits);

	if (n <= 0 || n > HEAPD_BUILD_ID_MAX)
		return 0;
	*ret = bits;
	return (size_t)n;
}

static bool
has_build_id(Elf *elf, const uint8_t *wanted, size_t length)
{
	const uint8_t *bits = NULL;

	return build_id_of(elf, &bits) == length && length > 0 && memcmp(bits, wanted, length) == 0;
}

/* Executable segments; a separate debug file still has the program headers of its program. */
static int
find_code(struct debuginfo *d)
{
	size_t n;
	int r = 0;

	if (elf_getphdrnum(d->module.elf, &n) < 0)
		n = 0;
	for (size_t i = 0; i < n && i < 65536 && r == 0; i++) {
		GElf_Phdr segment;
		if (gelf_getphdr(d->module.elf, (int)i, &segment) && segment.p_type == PT_LOAD &&
		    segment.p_flags & PF_X)
			r = ranges_add(&d->code, segment.p_vaddr, segment.p_vaddr + segment.p_memsz, 0);
	}
	ranges_sort(&d->code);
	return r;
}

static enum wire_status
add_names(struct debuginfo *d, struct part *part)
{
	bool full = false;
	int r = elf_symbols_add(d->symbols, part->elf, &full);

	if (r == 0 && !d->dwarf && !d->without_dwarf) {
		r = dwarf_names_new(part->elf, &d->code, &d->dwarf);
		r = r == -ENODATA ? 0 : r;
		if (d->dwarf)
			d->links = dwarf_begin_elf(part->elf, DWARF_C_READ, NULL);
	}
	d->full |= full;
	return r == 0 ? WIRE_OK : WIRE_NO_MEMORY;
}

enum wire_status
debuginfo_open(int fd, uint32_t flags, const uint8_t *build_id, size_t build_id_length, struct debuginfo **ret)
{
	struct debuginfo *d = calloc(1, sizeof(*d));
	enum wire_status status;
	GElf_Ehdr header;

	if (!d) {
		close(fd);
		return WIRE_NO_MEMORY;
	}
	d->without_dwarf = flags & WIRE_WITHOUT_DWARF;
	d->debug.fd = d->alt.fd = -1;
	if (!part_open(&d->module, fd) || !gelf_getehdr(d->module.elf, &header) ||
	    (header.e_type != ET_EXEC && header.e_type != ET_DYN)) {
		status = WIRE_NOT_ELF;
		goto out;
	}
	if (build_id_length > 0 && !has_build_id(d->module.elf, build_id, build_id_length)) {
		status = WIRE_OTHER_BUILD;
		goto out;
	}
	d->symbols = elf_symbols_new(&d->code);
	status = d->symbols && find_code(d) == 0 ? WIRE_OK : WIRE_NO_MEMORY;
	if (status == WIRE_OK && d->code.n == 0)
		status = WIRE_NOT_ELF; /* cut off: nothing that was in a stack is without code */
	if (status == WIRE_OK)
		status = add_names(d, &d->module);
out:
	if (status == WIRE_OK)
		*ret = d;
	else
		debuginfo_free(d);
	return status;
}

void
debuginfo_free(struct debuginfo *d)
{
	if (!d)
		return;
	dwarf_names_free(d->dwarf);
	dwarf_end(d->links);
	dwarf_end(d->alt_dwarf);
	elf_symbols_free(d->symbols);
	ranges_done(&d->code);
	part_close(&d->alt);
	part_close(&d->debug);
	part_close(&d->module);
	free(d);
}

static void
copy_name(char *to, const char *name)
{
	if (name && strnlen(name, WIRE_NAME_MAX) < WIRE_NAME_MAX)
		strcpy(to, name);
}

/* The alternate file's name and build-id; 0 if none is wanted. */
static size_t
alt_of(const struct debuginfo *d, const char **ret_name, const uint8_t **ret_build_id)
{
	const void *bits = NULL;
	ssize_t n = d->links && !d->alt.elf ? dwelf_dwarf_gnu_debugaltlink(d->links, ret_name, &bits) : 0;

	*ret_build_id = bits;
	return n > 0 && n <= HEAPD_BUILD_ID_MAX ? (size_t)n : 0;
}

void
debuginfo_describe(const struct debuginfo *d, struct wire_answer *ret)
{
	const uint8_t *build_id = NULL;
	const char *alt = NULL;
	GElf_Word crc;
	size_t n;

	n = build_id_of(d->module.elf, &build_id);
	ret->build_id_length = (uint32_t)n;
	if (n > 0)
		memcpy(ret->build_id, build_id, n);
	if (!d->debug.elf && !d->without_dwarf && (!d->dwarf || !d->full))
		ret->flags |= WIRE_WANTS_DEBUG;
	copy_name(ret->debuglink, dwelf_elf_gnu_debuglink(d->module.elf, &crc));
	n = alt_of(d, &alt, &build_id);
	if (n > 0) {
		ret->flags |= WIRE_WANTS_ALT;
		ret->alt_build_id_length = (uint32_t)n;
		memcpy(ret->alt_build_id, build_id, n);
		copy_name(ret->alt, alt);
	}
}

/* CRC-32 of gzip and Ethernet, as in .gnu_debuglink, a byte at a time: only for files without build-id. */
static uint32_t
crc_of(const char *bytes, size_t n)
{
	uint32_t table[256], crc = UINT32_MAX;

	for (uint32_t i = 0; i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] & 1 ? table[i] >> 1 ^ UINT32_C(0xedb88320) : table[i] >> 1;
	}
	for (size_t i = 0; i < n; i++)
		crc = table[(crc ^ (uint8_t)bytes[i]) & 0xff] ^ crc >> 8;
	return ~crc;
}

static bool
debug_belongs(const struct debuginfo *d, Elf *debug)
{
	const uint8_t *build_id = NULL, *other = NULL;
	size_t n = build_id_of(d->module.elf, &build_id), size;
	GElf_Word crc;
	char *bytes;

	if (n > 0 && build_id_of(debug, &other) > 0)
		return has_build_id(debug, build_id, n);
	if (!dwelf_elf_gnu_debuglink(d->module.elf, &crc))
		return false;
	bytes = elf_rawfile(debug, &size);
	return bytes && crc_of(bytes, size) == crc;
}

enum wire_status
debuginfo_add_debug(struct debuginfo *d, int fd)
{
	enum wire_status status = WIRE_OTHER_BUILD;
	struct part part;

	if (!part_open(&part, fd))
		status = WIRE_NOT_ELF;
	else if (!d->debug.elf && debug_belongs(d, part.elf))
		status = WIRE_OK;
	if (status != WIRE_OK) {
		part_close(&part);
		return status;
	}
	d->debug = part;
	return add_names(d, &d->debug);
}

enum wire_status
debuginfo_add_alt(struct debuginfo *d, int fd)
{
	const uint8_t *build_id = NULL;
	const char *name = NULL;
	size_t n = alt_of(d, &name, &build_id);
	struct part part;

	if (!part_open(&part, fd) || n == 0 || !has_build_id(part.elf, build_id, n)) {
		part_close(&part);
		return WIRE_OTHER_BUILD;
	}
	d->alt = part;
	d->alt_dwarf = dwarf_begin_elf(part.elf, DWARF_C_READ, NULL);
	if (!d->alt_dwarf)
		return WIRE_NOT_ELF;
	dwarf_names_set_alt(d->dwarf, d->alt_dwarf);
	return WIRE_OK;
}

static bool
is_clone_of(const char *symbol, const char *name)
{
	size_t n = strlen(name);

	return strncmp(symbol, name, n) == 0 && (symbol[n] == '\0' || symbol[n] == '.');
}

/* malloc for __libc_malloc: the C library defines under a private name what everybody calls by another. */
static bool
is_public_alias(const char *symbol, const char *name)
{
	size_t length = strlen(symbol), whole = strlen(name);

	return *symbol != '_' && whole > length && name[0] == '_' && name[whole - length - 1] == '_' &&
	       strcmp(name + whole - length, symbol) == 0;
}

/* The outermost function has a symbol too. It is the better name where it adds the compiler's suffix (.part.0), where it
 * is the one that callers use, and where DWARF has no linkage name although the linker saw one (static C++ functions); but
 * identical functions are folded into one, so it must agree with what DWARF says. */
static void
name_outermost(const struct dwarf_line *line, const char *symbol, uint64_t symbol_start, struct debuginfo_line *ret)
{
	const char *known = line->linkage_name ? line->linkage_name : line->name;
	char readable[WIRE_STRING_MAX];

	if (!symbol)
		return;
	if (!known || is_clone_of(symbol, known)) {
		ret->system_name = symbol;
	} else if (line->linkage_name || symbol_start != line->entry) {
		return;
	} else if (is_public_alias(symbol, known)) {
		ret->system_name = ret->source_name = symbol;
	} else if (demangle_name(symbol, readable, sizeof(readable)) && strstr(readable, known)) {
		ret->system_name = symbol;
	}
	if (!known)
		ret->source_name = symbol;
}

size_t
debuginfo_find(struct debuginfo *d, uint64_t address, struct debuginfo_line *lines, size_t max)
{
	struct dwarf_line found[WIRE_LINES_MAX] = { 0 };
	uint64_t start = 0;
	const char *symbol;
	size_t n = 0, kept = 0;

	if (!ranges_find(&d->code, address))
		return 0;
	symbol = elf_symbols_find(d->symbols, address, &start);
	if (d->dwarf)
		n = dwarf_names_find(d->dwarf, address, found, max < WIRE_LINES_MAX ? max : WIRE_LINES_MAX);
	if (n == 0) {
		found[0].name = symbol; /* with the file and line of DWARF, if it had those */
		n = symbol ? 1 : 0;
	}
	for (size_t i = 0; i < n; i++) {
		const struct dwarf_line *line = &found[i];
		const char *system = line->linkage_name ? line->linkage_name : line->name;

		if (!system &&
		    i < n - 1) /* its entry is in a file we do not have: leave it to the function around it */
			continue;
		lines[kept++] = (struct debuginfo_line){ .system_name = system ? system : "(unnamed)",
							 .source_name = line->name ? line->name : "(unnamed)",
							 .file = line->file,
							 .line = line->line,
							 .start_line = line->start_line };
	}
	if (n > 0)
		name_outermost(&found[n - 1], symbol, start, &lines[kept - 1]);
	return kept;
}
