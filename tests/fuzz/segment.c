/* segment.c - the reader of segments, against a writer that lies, cuts the file and changes it while it is read.
 *
 * The input is a list of changes to a sound segment: when (before the nth pread; 0: before it is opened), where, and bytes;
 * no bytes cut the file there. The header's checksum is made right after the first ones.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fake_segment.h"
#include "fuzz.h"
#include "profile.h"
#include "reader.h"
#include "utf8.h"

static struct {
	int fd;
	unsigned preads;
	struct input rest; /* changes to come */
} lies;

ssize_t __real_pread(int fd, void *to, size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void *to, size_t size, off_t offset);

/* The next change, if its time has come. */
static int
change_one(off_t size)
{
	struct input in = lies.rest;
	unsigned when = (unsigned)input_number(&in, 1);
	off_t where = (off_t)input_number(&in, 2) % size;
	size_t n = input_number(&in, 1) & 31;

	if (lies.rest.left == 0 || when > lies.preads)
		return 0;
	n = n < in.left ? n : in.left;
	if (n == 0)
		MUST(ftruncate(lies.fd, where) == 0);
	else
		MUST(pwrite(lies.fd, in.at, n, where) == (ssize_t)n);
	in.at += n;
	in.left -= n;
	lies.rest = in;
	return 1;
}

ssize_t
__wrap_pread(int fd, void *to, size_t size, off_t offset)
{
	lies.preads++;
	while (change_one(65536))
		;
	return __real_pread(fd, to, size, offset);
}

/* A small one with two modules, stacks that share frames, and a little of everything. */
static void
write_sound(int fd)
{
	static struct fake_segment *f;

	if (!f) {
		static const uint32_t capacity[HEAPD_SECTIONS] = {
			[HEAPD_MODULES] = 16, [HEAPD_STRINGS] = 512, [HEAPD_FRAMES] = 64, [HEAPD_STACKS] = 256,
			[HEAPD_SITES] = 16,   [HEAPD_LIVE] = 16,     [HEAPD_CFAS] = 16
		};
		uint32_t frames[4];

		f = fake_new(4711, 12345, 0xfeed, "prog");
		memcpy(f->capacity, capacity, sizeof(capacity));
		fake_module(f, "/usr/bin/prog", 0x400000, 0x500000, 0x400000,
			    "00112233445566778899aabbccddeeff00112233");
		fake_module(f, "/usr/lib/libfoo.so.1", 0x7f0000000000, 0x7f0000100000, 0x7f0000000000, NULL);
		for (uint32_t i = 0; i < 4; i++)
			frames[i] = fake_frame(f, i < 2 ? 0x401000 + i : 0x7f0000001000 + i, i < 2 ? 0 : 1, i == 0);
		fake_count(f, fake_site(f, frames, 4, 0), 100, 10, 3);
		fake_count(f, fake_site(f, frames + 1, 2, HEAPD_STACK_DEEP), 5000, 7, 7);
		fake_count(f, fake_site(f, frames + 2, 1, 0), 1 << 20, 2, 0);
	}
	fake_write(f, fd);
}

/* What snapshot.h promises whoever reads one. */
static void
must_be_sound(const struct snapshot *s, int difference)
{
	MUST(utf8_clean(s->name, strnlen(s->name, sizeof(s->name))) && memchr(s->name, 0, sizeof(s->name)));
	MUST(s->cmdline && s->cmdline[s->cmdline_length] == '\0');
	MUST(s->period > 0 && s->period <= HEAPD_PERIOD_MAX);
	for (size_t i = 0; i < s->n_modules; i++) {
		const struct snapshot_module *m = &s->modules[i];

		MUST(m->path && m->build_id_length <= HEAPD_BUILD_ID_MAX);
		MUST(!m->present || m->start < m->end);
	}
	for (size_t i = 0; i < s->n_frames; i++)
		MUST(s->frames[i].module == HEAPD_NONE ||
		     (s->frames[i].module < s->n_modules && s->modules[s->frames[i].module].present));
	for (size_t i = 0; i < s->n_sites; i++) {
		const struct snapshot_site *site = &s->sites[i];

		MUST(site->depth <= HEAPD_MAX_DEPTH && site->stack <= s->n_stacks &&
		     site->depth <= s->n_stacks - site->stack);
		for (uint32_t k = 0; k < site->depth; k++)
			MUST(s->stacks[site->stack + k] < s->n_frames &&
			     s->frames[s->stacks[site->stack + k]].address != 0);
		MUST(difference ||
		     (site->freed.bytes <= site->alloc.bytes && site->freed.objects <= site->alloc.objects &&
		      site->freed.samples <= site->alloc.samples));
	}
}

/* In one of the forms: they cost more than all the rest. */
static void
encode(const struct snapshot *snapshot, size_t form)
{
	struct profile_source source = { .snapshot = snapshot };
	struct profile *p = NULL;
	uint8_t *packed;
	char *text = NULL;
	size_t size;

	MUST(profile_new(&source, 1, &p) == 0);
	if (form % 8 == 0) {
		MUST(profile_encode_pprof(p, NULL, PROFILE_INUSE_SPACE, false, &packed, &size) == 0);
		free(packed);
	} else if (form % 8 < 4) {
		MUST(profile_encode_text(p, &text, &size) == 0 && strlen(text) == size);
	} else {
		MUST(profile_encode_legacy(p, form & 1, form & 2, &text, &size) == 0 && strlen(text) == size);
	}
	free(text);
	profile_free(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct reader *reader = NULL;
	struct snapshot *first = snapshot_new(), *second = snapshot_new();
	struct heapd_header header;
	int r, free_fd = fuzz_free_fd();

	MUST(first && second);
	lies.fd = fuzz_file(NULL, 0);
	write_sound(lies.fd);
	lies.preads = 0;
	lies.rest = (struct input){ bytes, size };
	while (change_one(65536))
		;
	if (__real_pread(lies.fd, &header, sizeof(header), 0) == sizeof(header)) {
		header.checksum = fake_checksum(&header);
		MUST(pwrite(lies.fd, &header, sizeof(header), 0) == sizeof(header));
	}
	r = reader_open(lies.fd, &reader);
	MUST(r == 0 || r == -EAGAIN || (r == -EPROTO && *reader_why()));
	if (r == 0 && reader_copy(reader, first) == 0) {
		must_be_sound(first, 0);
		encode(first, size);
		if (reader_copy(reader, second) == 0) {
			must_be_sound(second, 0);
			r = snapshot_subtract(second, first);
			MUST(r == 0 || r == -EINVAL || r == -ENOMEM);
			must_be_sound(second, 1);
			encode(second, size + 1);
		}
	}
	reader_free(reader);
	snapshot_free(first);
	snapshot_free(second);
	close(lies.fd);
	MUST(fuzz_free_fd() == free_fd);
	return 0;
}
