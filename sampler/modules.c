/* modules.c - see modules.h.
 *
 * How a module is found or recorded. The index of a module by (first page, generation) is a word in private memory; in
 * one generation a word is entered once and then stays.
 *
 *   look    the word of this place and generation                   acquire: its record may be named
 *   else    an equal record in MODULES, or claim one and fill it
 *   show    module.end = ...                                         release
 *   enter   empty or stale word -> this one                          cas, release
 *
 * Nobody waits. Two threads that record a module at the same moment meet in the same word and both use the winner's
 * record. The loser's stays in MODULES, equal to the other and named by no frame.
 */
#include "modules.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "find_object.h"
#include "pages.h"

#define KNOWN_BITS 10 /* words: two pages */
#define WINDOW 8
#define PAGE_SHIFT 12 /* of addresses as keys; larger real pages do no harm */
#define INDEX_BITS 12
#define PATH_LONGEST 4095
#define HEADERS_MAX 64

/* -- the ELF file in memory -- */

struct image {
	uintptr_t start, end, bias;
	const ElfW(Phdr) * headers;
	uint16_t count;
	uint16_t below_length, path_length; /* filled in for records only */
	const char *path; /* as the loader has it: nothing for the main program */
	const char *below; /* what path is relative to, with a slash at its end */
};

/* Read the program headers that follow the ELF header at `address`, if they are where linkers put them: in its page. */
static bool
image_headers(struct image *image, uintptr_t address)
{
	const ElfW(Ehdr) *e = (const ElfW(Ehdr) *)address;

	if (address % (1 << PAGE_SHIFT) != 0 || memcmp(e->e_ident, ELFMAG, SELFMAG) != 0 ||
	    e->e_phentsize != sizeof(ElfW(Phdr)) || e->e_phoff % sizeof(void *) != 0 || e->e_phnum > HEADERS_MAX ||
	    e->e_phoff > (1 << PAGE_SHIFT) - HEADERS_MAX * sizeof(ElfW(Phdr)))
		return false;
	image->headers = (const ElfW(Phdr) *)(address + e->e_phoff);
	image->count = e->e_phnum;
	return true;
}

/* From the first to the last byte of all segments. */
static void
image_measure(struct image *image)
{
	uintptr_t low = UINTPTR_MAX, high = 0;

	for (unsigned i = 0; i < image->count; i++) {
		const ElfW(Phdr) *h = &image->headers[i];

		if (h->p_type != PT_LOAD)
			continue;
		low = h->p_vaddr < low ? h->p_vaddr : low;
		high = h->p_vaddr + h->p_memsz > high ? h->p_vaddr + h->p_memsz : high;
	}
	if (low >= high)
		return;
	image->start = image->bias + (low & ~(uintptr_t)((1 << PAGE_SHIFT) - 1));
	image->end = image->bias + high;
}

/* The readable bytes of the file around address. */
static bool
image_bytes(const struct image *image, uintptr_t address, uintptr_t *ret_low, uintptr_t *ret_high)
{
	for (unsigned i = 0; i < image->count; i++) {
		const ElfW(Phdr) *h = &image->headers[i];
		uintptr_t low = image->bias + h->p_vaddr;

		if (h->p_type == PT_LOAD && (h->p_flags & PF_R) && address >= low && address - low < h->p_filesz) {
			*ret_low = low;
			*ret_high = low + h->p_filesz;
			return *ret_low >= image->start && *ret_high <= image->end && *ret_high > *ret_low;
		}
	}
	return false;
}

struct build_id {
	const uint8_t *bytes; /* in the module's notes */
	uint32_t length;
};

static struct build_id
build_id_in(const uint8_t *at, const uint8_t *end, size_t align)
{
	const struct build_id none = { 0 };

	while ((size_t)(end - at) >= sizeof(ElfW(Nhdr))) {
		ElfW(Nhdr) note;
		size_t name, description;

		memcpy(&note, at, sizeof(note));
		at += sizeof(note);
		name = (note.n_namesz + align - 1) & ~(align - 1);
		description = (note.n_descsz + align - 1) & ~(align - 1);
		if (name > (size_t)(end - at) || note.n_descsz > (size_t)(end - at) - name)
			return none;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(at, "GNU", 4) == 0 &&
		    note.n_descsz <= HEAPD_BUILD_ID_MAX)
			return (struct build_id){ at + name, note.n_descsz };
		if (description > (size_t)(end - at) - name)
			return none;
		at += name + description;
	}
	return none;
}

static struct build_id
image_build_id(const struct image *image)
{
	struct build_id id = { 0 };

	for (unsigned i = 0; i < image->count && id.length == 0; i++) {
		const ElfW(Phdr) *h = &image->headers[i];
		uintptr_t at = image->bias + h->p_vaddr, low, high;

		if (h->p_type == PT_NOTE && image_bytes(image, at, &low, &high) && h->p_filesz <= high - at)
			id = build_id_in((const uint8_t *)at, (const uint8_t *)at + h->p_filesz,
					 h->p_align == 8 ? 8 : 4);
	}
	return id;
}

/* -- records -- */

static bool
path_equal(const struct image *image, const char *text, size_t length)
{
	return length == (size_t)image->below_length + image->path_length &&
	       memcmp(text, image->below, image->below_length) == 0 &&
	       memcmp(text + image->below_length, image->path, image->path_length) == 0;
}

static bool
record_equal(const struct segment *s, const struct heapd_module *m, const struct image *image, struct build_id id)
{
	if (atomic_load_explicit(&m->end, memory_order_acquire) != image->end || m->start != image->start ||
	    m->bias != image->bias || m->build_id_length != id.length ||
	    (id.length && memcmp(m->build_id, id.bytes, id.length) != 0))
		return false;
	if (m->flags & HEAPD_MODULE_MAIN)
		return image->path_length == 0; /* the loader has no name for it */
	if (m->path > atomic_load_explicit(&s->ready[HEAPD_STRINGS], memory_order_relaxed) ||
	    m->path_length > atomic_load_explicit(&s->ready[HEAPD_STRINGS], memory_order_relaxed) - m->path)
		return false; /* somebody else wrote into our file */
	return path_equal(image, s->strings + m->path, m->path_length);
}

static uint32_t
record_make(struct segment *s, const struct image *image, struct build_id id, uint32_t flags)
{
	const uint32_t length = (uint32_t)image->below_length + image->path_length;
	uint32_t i = segment_claim(s, HEAPD_MODULES, 1), text;
	struct heapd_module *m;

	if (i == HEAPD_NONE)
		return i;
	m = &s->modules[i];
	text = length ? segment_claim(s, HEAPD_STRINGS, length) : HEAPD_NONE;
	if (text != HEAPD_NONE) {
		memcpy(s->strings + text, image->below, image->below_length);
		memcpy(s->strings + text + image->below_length, image->path, image->path_length);
		m->path = text;
		m->path_length = length;
	}
	m->start = image->start;
	m->bias = image->bias;
	m->generation = atomic_load_explicit(&s->header->modules_generation, memory_order_relaxed);
	m->flags = flags;
	m->build_id_length = id.length;
	if (id.length)
		memcpy(m->build_id, id.bytes, id.length);
	atomic_store_explicit(&m->end, image->end, memory_order_release);
	return i;
}

static uint32_t
record_find_or_make(struct segment *s, struct image *image)
{
	const uint32_t used = segment_used(s, HEAPD_MODULES);
	struct build_id id = image_build_id(image);

	image->below_length = (uint16_t)strlen(image->below);
	image->path_length = (uint16_t)strnlen(image->path, PATH_LONGEST);
	for (uint32_t i = 0; i < used; i++)
		if (record_equal(s, &s->modules[i], image, id))
			return i;
	return record_make(s, image, id, 0);
}

/* -- the index by place -- */

static uint64_t
word_key(uintptr_t start, uint32_t generation)
{
	return (uint64_t)(generation & 0xffff) << 48 | (start >> PAGE_SHIFT & 0xfffffffff) << INDEX_BITS;
}

static _Atomic uint64_t *
words_get(void *_Atomic *known)
{
	void *words = atomic_load_explicit(known, memory_order_acquire), *none = NULL;

	if (words)
		return words;
	words = pages_private(sizeof(uint64_t) << KNOWN_BITS);
	if (words &&
	    !atomic_compare_exchange_strong_explicit(known, &none, words, memory_order_acq_rel, memory_order_acquire)) {
		pages_release(words, sizeof(uint64_t) << KNOWN_BITS); /* another thread was first */
		words = none;
	}
	return words;
}

static uint32_t
index_of(void *_Atomic *known, struct segment *s, uint32_t generation, struct image *image)
{
	const uint64_t index_mask = (1 << INDEX_BITS) - 1, mask = (1 << KNOWN_BITS) - 1;
	_Atomic uint64_t *words = words_get(known);
	uint64_t key = word_key(image->start, generation);
	uint64_t first = ((key >> INDEX_BITS) * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - KNOWN_BITS);
	uint32_t index = HEAPD_NONE;
	bool looked = false;

	for (unsigned i = 0; words && i < WINDOW; i++) {
		_Atomic uint64_t *word = &words[(first + i) & mask];
		uint64_t seen = atomic_load_explicit(word, memory_order_acquire);

		/* An index of 0 is stored as 1 and so on: no word in use is 0. */
		if (seen != 0 && (seen >> 48) == (key >> 48)) {
			if ((seen & ~index_mask) == key)
				goto found;
			continue;
		}
		if (!looked) {
			index = record_find_or_make(s, image);
			looked = true;
		}
		if (index >= index_mask) /* none, or too many for a word */
			return index;
		if (atomic_compare_exchange_strong_explicit(word, &seen, key | (index + 1), memory_order_acq_rel,
							    memory_order_acquire))
			return index;
		if ((seen & ~index_mask) != key)
			continue;
	found:
		return (uint32_t)(seen & index_mask) - 1;
	}
	return looked ? index : record_find_or_make(s, image);
}

void
modules_forget(void *_Atomic *known)
{
	_Atomic uint64_t *words = atomic_load_explicit(known, memory_order_acquire);

	for (unsigned i = 0; words && i < 1 << KNOWN_BITS; i++)
		atomic_store_explicit(&words[i], 0, memory_order_relaxed);
}

/* -- the loader -- */

/* Known from the kernel and the same for the life of the process image; set before other threads come here. */
static struct image main_image;
static uintptr_t vdso_start;
static char start_directory[PATH_MAX + 1]; /* where the process was when its segment began */

/* The loader keeps the name it was given: dlopen("./plugin.so") and LD_LIBRARY_PATH=. leave one that leads nowhere from
 * another directory, such as heapd's. A program that has moved since gets a wrong path, which the build-id tells. */
static void
path_complete(struct image *image)
{
	if (image->path[0] == '/' || !strchr(image->path, '/'))
		return;
	image->below = start_directory;
	if (*start_directory && strncmp(image->path, "./", 2) == 0)
		image->path += 2;
}

/* Asked once, here: later, a sandbox may punish the question. */
static void
directory_find(void)
{
	long n = syscall(SYS_getcwd, start_directory, sizeof(start_directory) - 1);

	if (n < 2 || start_directory[0] != '/')
		start_directory[0] = 0; /* removed, or outside of our root */
	else if (start_directory[n - 2] != '/')
		memcpy(start_directory + n - 1, "/", 2);
}

/* The file that holds address, and in *ret the part of it that the loader tells of and its tables' header. The loader may
 * tell of one segment only if there are gaps between them, as it does for main programs. Not inlined, so that its stack is
 * given back before the longest way to go. */
__attribute__((noinline)) static int
image_find(uintptr_t address, struct image *image, struct module *ret)
{
	struct dl_find_object found;
	const struct link_map *map;
	const char *name;

	if (_dl_find_object((void *)address, &found) != 0)
		return -ENOENT;
	map = found.dlfo_link_map;
	name = map->l_name ? map->l_name : "";
	ret->start = (uintptr_t)found.dlfo_map_start;
	ret->end = (uintptr_t)found.dlfo_map_end;
	ret->tables.header = (uintptr_t)found.dlfo_eh_frame;
	if (main_image.count && map->l_addr == main_image.bias && !*name) {
		*image = main_image;
		return 0;
	}
	*image = (struct image){ .start = ret->start, .end = ret->end, .bias = map->l_addr, .path = name, .below = "" };
	path_complete(image);
	if (image_headers(image, image->start) || (_dl_find_object((void *)map->l_addr, &found) == 0 &&
						   found.dlfo_link_map == map && image_headers(image, map->l_addr)))
		image_measure(image);
	if (vdso_start && image->start == vdso_start) {
		image->path = "[vdso]";
		image->below = "";
	}
	return 0;
}

/* The same without the loader's help: we know of the main program only. */
__attribute__((noinline)) static int
image_find_main(uintptr_t address, struct image *image, struct module *ret)
{
	*image = main_image;
	if (address < image->start || address >= image->end)
		return -ENOSYS;
	ret->start = image->start;
	ret->end = image->end;
	ret->tables.header = 0;
	for (unsigned i = 0; i < image->count; i++)
		if (image->headers[i].p_type == PT_GNU_EH_FRAME)
			ret->tables.header = image->bias + image->headers[i].p_vaddr;
	return 0;
}

int
modules_find(void *_Atomic *known, struct segment *segment, uint32_t generation, uintptr_t address, struct module *ret)
{
	struct image image;
	int r;

	r = _dl_find_object ? image_find(address, &image, ret) : image_find_main(address, &image, ret);
	if (r < 0)
		return r;
	ret->index = index_of(known, segment, generation, &image);
	if (!image_bytes(&image, ret->tables.header, &ret->tables.low, &ret->tables.high))
		ret->tables = (struct cfi_tables){ 0 };
	return 0;
}

static bool
image_of_main(struct image *ret)
{
	struct image image = { .path = "",
			       .below = "",
			       .headers = (const ElfW(Phdr) *)getauxval(AT_PHDR),
			       .count = (uint16_t)getauxval(AT_PHNUM) };

	if (!image.headers || image.count > HEADERS_MAX || getauxval(AT_PHENT) != sizeof(*image.headers))
		return false;
	for (unsigned i = 0; i < image.count; i++)
		if (image.headers[i].p_type == PT_PHDR)
			image.bias = (uintptr_t)image.headers - image.headers[i].p_vaddr;
	image_measure(&image);
	if (image.end == 0)
		return false;
	*ret = image;
	return true;
}

void
modules_start(struct segment *segment)
{
	static char path[PATH_MAX]; /* too large for a small thread's stack; one caller at a time */
	struct image image;
	int saved = errno;
	long n;

	vdso_start = getauxval(AT_SYSINFO_EHDR);
	directory_find();
	if (!image_of_main(&main_image))
		return;
	n = syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof(path));
	image = main_image;
	image.path = path;
	image.path_length = n > 0 ? (uint16_t)n : 0;
	record_make(segment, &image, image_build_id(&image), HEAPD_MODULE_MAIN);
	errno = saved;
}
