/* image.c - see image.h. The way is the one a debugger goes: auxiliary vector, program headers, DT_DEBUG, link maps. */
#include "image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULES_MAX 4096
#define HEADERS_MAX 128
#define DYNAMIC_MAX 512 /* entries */
#define CHAIN_MAX 65536 /* symbols of one hash bucket */
#define PATH_BYTES 4096

int
image_read(const struct image *image, uint64_t address, void *to, size_t size)
{
	char *at = to;

	if (address > INT64_MAX)
		return -EFAULT;
	while (size > 0) {
		ssize_t n = pread(image->mem, at, size, (off_t)address);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ESRCH;
		at += n;
		address += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

/* A string of its memory, malloced; NULL if it can't be read, has no end or memory is short. */
static char *
read_string(const struct image *image, uint64_t address)
{
	char *s = malloc(PATH_BYTES);
	size_t n = 0;

	for (; s && n < PATH_BYTES; n++) { /* names are short, and a page further on may not be there */
		if (image_read(image, address + n, s + n, 1) < 0)
			n = PATH_BYTES;
		else if (s[n] == '\0')
			return s;
	}
	free(s);
	return NULL;
}

/* -- the program itself -- */

struct auxiliary {
	uint64_t headers, n_headers, loader;
};

static int
auxiliary_read(int proc, struct auxiliary *ret)
{
	Elf64_auxv_t entry;
	struct auxiliary a = { 0 };
	int fd = openat(proc, "auxv", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (read(fd, &entry, sizeof(entry)) == sizeof(entry) && entry.a_type != AT_NULL) {
		if (entry.a_type == AT_PHDR)
			a.headers = entry.a_un.a_val;
		else if (entry.a_type == AT_PHNUM)
			a.n_headers = entry.a_un.a_val;
		else if (entry.a_type == AT_BASE)
			a.loader = entry.a_un.a_val;
	}
	close(fd);
	if (a.headers == 0 || a.n_headers == 0 || a.n_headers > HEADERS_MAX)
		return -EPROTO;
	*ret = a;
	return 0;
}

/* The Go linker leaves a note with its build's name. */
static bool
is_go_note(const struct image *image, uint64_t address, uint64_t size)
{
	struct {
		Elf64_Nhdr header;
		char name[4];
	} note;

	return size >= sizeof(note) && image_read(image, address, &note, sizeof(note)) == 0 &&
	       note.header.n_namesz == 4 && note.header.n_type == 4 && memcmp(note.name, "Go\0", 4) == 0;
}

static int
program_read(struct image *image, const struct auxiliary *a, uint64_t *ret_dynamic)
{
	Elf64_Phdr headers[HEADERS_MAX];
	uint64_t bias = 0;
	bool is_go = false;
	int r = image_read(image, a->headers, headers, a->n_headers * sizeof(headers[0]));

	if (r < 0)
		return r;
	for (size_t i = 0; i < a->n_headers; i++)
		if (headers[i].p_type == PT_PHDR)
			bias = a->headers - headers[i].p_vaddr;
	for (size_t i = 0; i < a->n_headers; i++) {
		uint64_t address = bias + headers[i].p_vaddr;

		if (headers[i].p_type == PT_LOAD && headers[i].p_offset == 0) /* a static-pie has no PT_PHDR */
			image->position_independent = headers[i].p_vaddr == 0;
		if (headers[i].p_type == PT_DYNAMIC)
			*ret_dynamic = address;
		if (headers[i].p_type == PT_INTERP)
			image->interpreter = read_string(image, address);
		if (headers[i].p_type == PT_NOTE)
			is_go |= is_go_note(image, address, headers[i].p_filesz);
	}
	image->kind = image->interpreter && a->loader ? IMAGE_DYNAMIC : is_go ? IMAGE_GO : IMAGE_STATIC;
	image->loader = a->loader;
	return 0;
}

/* -- modules -- */

static int
modules_read(struct image *image, uint64_t dynamic)
{
	Elf64_Dyn entry;
	struct r_debug debug;
	struct link_map map;
	uint64_t at;

	for (size_t i = 0; i < DYNAMIC_MAX && image->debug == 0; i++) {
		int r = image_read(image, dynamic + i * sizeof(entry), &entry, sizeof(entry));

		if (r < 0)
			return r;
		if (entry.d_tag == DT_NULL)
			break;
		if (entry.d_tag == DT_DEBUG)
			image->debug = entry.d_un.d_ptr;
	}
	if (image->debug == 0)
		return 0; /* the loader has only just begun */
	if (image_read(image, image->debug, &debug, sizeof(debug)) < 0)
		return -EPROTO;
	image->modules = calloc(MODULES_MAX, sizeof(*image->modules));
	if (!image->modules)
		return -ENOMEM;
	at = (uint64_t)(uintptr_t)debug.r_map;
	for (; at != 0 && image->n_modules < MODULES_MAX; at = (uint64_t)(uintptr_t)map.l_next) {
		struct image_module *m = &image->modules[image->n_modules];

		if (image_read(image, at, &map, sizeof(map)) < 0)
			break; /* the list is being changed: what was found is good */
		m->path = read_string(image, (uint64_t)(uintptr_t)map.l_name);
		if (!m->path)
			break;
		m->bias = (uint64_t)map.l_addr;
		m->dynamic = (uint64_t)(uintptr_t)map.l_ld;
		image->n_modules++;
	}
	return 0;
}

int
image_open(int proc, struct image **ret)
{
	struct image *image = calloc(1, sizeof(*image));
	struct auxiliary a;
	uint64_t dynamic = 0;
	int r;

	if (!image)
		return -ENOMEM;
	image->mem = openat(proc, "mem", O_RDWR | O_CLOEXEC);
	if (image->mem < 0)
		r = -errno;
	else
		r = auxiliary_read(proc, &a);
	if (r == 0)
		r = program_read(image, &a, &dynamic);
	if (r == 0 && image->kind == IMAGE_DYNAMIC && dynamic)
		r = modules_read(image, dynamic);
	if (r == 0)
		*ret = image;
	else
		image_free(image);
	return r;
}

void
image_free(struct image *image)
{
	if (!image)
		return;
	for (size_t i = 0; i < image->n_modules; i++)
		free(image->modules[i].path);
	free(image->modules);
	free(image->interpreter);
	if (image->mem >= 0)
		close(image->mem);
	free(image);
}

/* -- names -- */

struct names { /* addresses */
	uint64_t symbols, strings, gnu_hash, hash;
};

/* glibc writes run-time addresses over those of the file, other loaders and the vdso's do not. */
static uint64_t
relocated(const struct image_module *m, uint64_t address)
{
	return address < m->bias ? address + m->bias : address;
}

static bool
names_read(const struct image *image, const struct image_module *m, struct names *ret)
{
	struct names n = { 0 };

	for (size_t i = 0; i < DYNAMIC_MAX; i++) {
		Elf64_Dyn entry;

		if (image_read(image, m->dynamic + i * sizeof(entry), &entry, sizeof(entry)) < 0)
			return false;
		if (entry.d_tag == DT_NULL)
			break;
		if (entry.d_tag == DT_SYMTAB)
			n.symbols = relocated(m, entry.d_un.d_ptr);
		else if (entry.d_tag == DT_STRTAB)
			n.strings = relocated(m, entry.d_un.d_ptr);
		else if (entry.d_tag == DT_GNU_HASH)
			n.gnu_hash = relocated(m, entry.d_un.d_ptr);
		else if (entry.d_tag == DT_HASH)
			n.hash = relocated(m, entry.d_un.d_ptr);
	}
	*ret = n;
	return n.symbols && n.strings && (n.gnu_hash || n.hash);
}

/* The address of symbol `index` if it is a function of this name that the module defines. */
static uint64_t
symbol_address(const struct image *image, const struct image_module *m, const struct names *n, uint32_t index,
	       const char *name)
{
	size_t size = strlen(name) + 1;
	char found[64];
	Elf64_Sym symbol;

	if (size > sizeof(found) ||
	    image_read(image, n->symbols + index * sizeof(symbol), &symbol, sizeof(symbol)) < 0 ||
	    symbol.st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol.st_info) != STT_FUNC ||
	    image_read(image, n->strings + symbol.st_name, found, size) < 0 || memcmp(found, name, size) != 0)
		return 0;
	return m->bias + symbol.st_value;
}

/* The hash tables are described in the System V ABI, gABI chapter 5, and in Ulrich Drepper's "How To Write Shared
 * Libraries", section 1.5.3 (DT_GNU_HASH). */
static uint64_t
find_by_gnu_hash(const struct image *image, const struct image_module *m, const struct names *n, const char *name)
{
	uint32_t header[4], bucket, hash = 5381; /* buckets, first symbol, words of the Bloom filter, its shift */
	uint64_t buckets, chains;

	for (const char *c = name; *c; c++)
		hash = hash * 33 + (unsigned char)*c;
	if (image_read(image, n->gnu_hash, header, sizeof(header)) < 0 || header[0] == 0)
		return 0;
	buckets = n->gnu_hash + sizeof(header) + (uint64_t)header[2] * 8;
	chains = buckets + (uint64_t)header[0] * 4;
	if (image_read(image, buckets + (uint64_t)(hash % header[0]) * 4, &bucket, sizeof(bucket)) < 0 ||
	    bucket < header[1])
		return 0;
	for (uint32_t i = 0; i < CHAIN_MAX; i++, bucket++) {
		uint32_t link;
		uint64_t address;

		if (image_read(image, chains + (uint64_t)(bucket - header[1]) * 4, &link, sizeof(link)) < 0)
			return 0;
		if ((link | 1) == (hash | 1)) {
			address = symbol_address(image, m, n, bucket, name);
			if (address)
				return address;
		}
		if (link & 1)
			return 0;
	}
	return 0;
}

static uint64_t
find_by_hash(const struct image *image, const struct image_module *m, const struct names *n, const char *name)
{
	uint32_t header[2], index, hash = 0; /* buckets, chains */

	for (const char *c = name; *c; c++) {
		hash = (hash << 4) + (unsigned char)*c;
		hash = (hash ^ (hash >> 24 & 0xf0)) & 0x0fffffff;
	}
	if (image_read(image, n->hash, header, sizeof(header)) < 0 || header[0] == 0)
		return 0;
	if (image_read(image, n->hash + 8 + (uint64_t)(hash % header[0]) * 4, &index, sizeof(index)) < 0)
		return 0;
	for (uint32_t i = 0; i < CHAIN_MAX && index != STN_UNDEF && index < header[1]; i++) {
		uint64_t address = symbol_address(image, m, n, index, name);

		if (address)
			return address;
		if (image_read(image, n->hash + 8 + ((uint64_t)header[0] + index) * 4, &index, sizeof(index)) < 0)
			return 0;
	}
	return 0;
}

uint64_t
image_find(const struct image *image, const char *name, size_t *ret_module)
{
	for (size_t i = 0; i < image->n_modules; i++) {
		const struct image_module *m = &image->modules[i];
		struct names n;
		uint64_t address;

		if (!names_read(image, m, &n))
			continue;
		address = n.gnu_hash ? find_by_gnu_hash(image, m, &n, name) : find_by_hash(image, m, &n, name);
		if (address == 0)
			continue;
		if (ret_module)
			*ret_module = i;
		return address;
	}
	return 0;
}

int
image_loader_state(const struct image *image)
{
	struct r_debug debug;
	int r = image_read(image, image->debug, &debug, sizeof(debug));

	return r < 0 ? r : (int)debug.r_state;
}

int
image_loader_range(const struct image *image, uint64_t *ret_start, uint64_t *ret_end)
{
	Elf64_Phdr headers[HEADERS_MAX];
	Elf64_Ehdr header;
	uint64_t end = image->loader;
	int r = image_read(image, image->loader, &header, sizeof(header));

	if (r == 0 && header.e_phnum > HEADERS_MAX)
		r = -EPROTO;
	if (r == 0)
		r = image_read(image, image->loader + header.e_phoff, headers, header.e_phnum * sizeof(headers[0]));
	if (r < 0)
		return r;
	for (size_t i = 0; i < header.e_phnum; i++)
		if (headers[i].p_type == PT_LOAD && image->loader + headers[i].p_vaddr + headers[i].p_memsz > end)
			end = image->loader + headers[i].p_vaddr + headers[i].p_memsz;
	*ret_start = image->loader;
	*ret_end = end;
	return 0;
}
