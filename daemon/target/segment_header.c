/* segment_header.c - see segment_header.h. */
#include "segment_header.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Thread_local char why[160];

int
header_refuse(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	return -EPROTO;
}

const char *
header_why(void)
{
	return why;
}

int
header_read_at(int fd, void *to, size_t size, uint64_t offset)
{
	char *p = to;

	for (size_t done = 0; done < size;) {
		ssize_t n = pread(fd, p + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return header_refuse("truncated: the file ends at byte %llu",
					     (unsigned long long)(offset + done));
		done += (size_t)n;
	}
	return 0;
}

/* -- is it a segment? -- */

/* What each section must look like. Caps bound the memory a liar can make us take: about 130 MiB. */
static const struct {
	const char *name;
	size_t stride;
	uint32_t cap;
} expected[HEAPD_SECTIONS] = {
	[HEAPD_MODULES] = { "modules", sizeof(struct heapd_module), 4096 },
	[HEAPD_STRINGS] = { "strings", 1, 1u << 20 },
	[HEAPD_FRAMES] = { "frames", sizeof(struct heapd_frame), 1u << 20 },
	[HEAPD_STACKS] = { "stacks", sizeof(uint32_t), 1u << 24 },
	[HEAPD_SITES] = { "sites", sizeof(struct heapd_site), 1u << 18 },
	[HEAPD_LIVE] = { "live", sizeof(struct heapd_live), 1u << 24 },
	[HEAPD_CFAS] = { "cfas", sizeof(uint32_t[HEAPD_CFA_GROUP]), 1u << 26 },
};

static uint64_t
checksum(const struct heapd_header *h)
{
	const unsigned char *bytes = (const unsigned char *)h;
	uint64_t sum = UINT64_C(0xcbf29ce484222325); /* FNV-1a, 64 bits */

	for (size_t i = 0; i < offsetof(struct heapd_header, checksum); i++)
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static int
check_sections(const struct heapd_header *h, uint64_t file_size)
{
	for (unsigned i = 0; i < HEAPD_SECTIONS; i++) {
		const struct heapd_section *s = &h->sections[i];
		const char *name = expected[i].name;

		if (s->stride != expected[i].stride)
			return header_refuse("damaged: records of section %s have %u bytes, not %zu", name, s->stride,
					     expected[i].stride);
		if (s->capacity > expected[i].cap)
			return header_refuse("damaged: section %s claims room for %u records, more than the %u allowed",
					     name, s->capacity, expected[i].cap);
		if (s->offset % 4096 != 0 || s->offset < sizeof(*h) || s->offset > file_size ||
		    (uint64_t)s->capacity * s->stride > file_size - s->offset)
			return header_refuse("damaged: section %s does not lie inside the file", name);
	}
	return 0;
}

static int
check_header(const struct heapd_header *h, uint64_t file_size)
{
	if (memcmp(h->magic, HEAPD_SEGMENT_MAGIC, sizeof(h->magic)) != 0)
		return header_refuse("not a heapd segment: bad magic");
	if (h->version != HEAPD_SEGMENT_VERSION)
		return header_refuse("segment version %u, but this heapd reads version %u", h->version,
				     HEAPD_SEGMENT_VERSION);
	if (h->header_size != sizeof(*h))
		return header_refuse("damaged: the header has %u bytes, not %zu", h->header_size, sizeof(*h));
	if (h->checksum != checksum(h))
		return header_refuse("damaged: the header's checksum does not fit");
	if (h->file_size > file_size)
		return header_refuse("truncated: %llu of %llu bytes", (unsigned long long)file_size,
				     (unsigned long long)h->file_size);
	if (h->cmdline_length > sizeof(h->cmdline))
		return header_refuse("damaged: a command line of %u bytes", h->cmdline_length);
	if (!memchr(h->name, '\0', sizeof(h->name)))
		return header_refuse("damaged: the name does not end");
	return check_sections(h, file_size);
}

/* The header as it was some time after its state became READY. */
static int
read_ready(int fd, uint64_t file_size, struct heapd_header *ret)
{
	static const char nothing[sizeof(ret->magic)];
	int r;

	/* Created, not filled yet. */
	if (file_size == 0)
		return -EAGAIN;
	if (file_size < sizeof(*ret))
		return header_refuse("not a heapd segment: only %llu bytes", (unsigned long long)file_size);
	r = header_read_at(fd, ret, sizeof(*ret), 0);
	if (r < 0)
		return r;
	if (memcmp(ret->magic, HEAPD_SEGMENT_MAGIC, sizeof(ret->magic)) != 0 &&
	    memcmp(ret->magic, nothing, sizeof(nothing)) != 0)
		return header_refuse("not a heapd segment: bad magic");
	if (ret->state != HEAPD_STATE_READY)
		return ret->state == HEAPD_STATE_STARTING ? -EAGAIN : header_refuse("damaged: state %u", ret->state);
	/* The copy may hold parts older than the state it shows. The next one cannot. */
	atomic_thread_fence(memory_order_acquire);
	return header_read_at(fd, ret, sizeof(*ret), 0);
}

int
header_read(int fd, uint64_t file_size, struct heapd_header *ret)
{
	int r = read_ready(fd, file_size, ret);

	return r < 0 ? r : check_header(ret, file_size);
}
