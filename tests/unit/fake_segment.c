/* fake_segment.c - see fake_segment.h. Written from segment.h alone, sharing no code with the sampler or the reader, so
 * that a misunderstanding of either does not cancel out. */
#include "fake_segment.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u

static void
must(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fake_segment: cannot %s\n", what);
	exit(2);
}

static const size_t stride[HEAPD_SECTIONS] = {
	[HEAPD_MODULES] = 80, [HEAPD_STRINGS] = 1, [HEAPD_FRAMES] = 16, [HEAPD_STACKS] = 4,
	[HEAPD_SITES] = 128,  [HEAPD_LIVE] = 64,   [HEAPD_CFAS] = 64,
};

/* Zeroed room for n more records, the memory doubling as it fills. */
static uint32_t
claim(struct fake_segment *f, enum heapd_section_id section, void *records, uint32_t n)
{
	uint32_t first = f->used[section];
	size_t old = 0, new = 64;
	char *p;

	must(n <= f->capacity[section] - first, "fit another record");
	while (old < first)
		old = old ? 2 * old : 64;
	while (new < first + n)
		new *= 2;
	memcpy(&p, records, sizeof(p));
	if (new != old) {
		p = realloc(p, new *stride[section]);
		must(p != NULL, "get memory");
		memset(p + old * stride[section], 0, (new - old) * stride[section]);
		memcpy(records, &p, sizeof(p));
	}
	f->used[section] += n;
	return first;
}

struct fake_segment *
fake_new(uint32_t pid, uint64_t start_time, uint64_t random, const char *name)
{
	struct fake_segment *f = calloc(1, sizeof(*f));
	struct timespec mono, real;
	uint32_t site;

	must(f != NULL, "get memory");
	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_REALTIME, &real);
	memcpy(f->header.magic, HEAPD_SEGMENT_MAGIC, 8);
	f->header.version = HEAPD_SEGMENT_VERSION;
	f->header.header_size = sizeof(f->header);
	f->header.pid = pid;
	f->header.uid = geteuid();
	f->header.start_time = start_time;
	f->header.random = random;
	snprintf(f->header.name, sizeof(f->header.name), "%s", name);
	f->header.clock_start.monotonic_ns = (uint64_t)mono.tv_sec * 1000000000 + (uint64_t)mono.tv_nsec;
	f->header.clock_start.realtime_ns = (uint64_t)real.tv_sec * 1000000000 + (uint64_t)real.tv_nsec;
	f->header.clock_start.ticks = f->header.clock_start.monotonic_ns;
	f->header.cmdline_length = (uint32_t)snprintf(f->header.cmdline, sizeof(f->header.cmdline), "%s", name) + 1;
	atomic_store(&f->header.state, HEAPD_STATE_READY);
	atomic_store(&f->header.period, HEAPD_PERIOD_DEFAULT);
	atomic_store(&f->header.period_wanted, HEAPD_PERIOD_DEFAULT);
	f->capacity[HEAPD_MODULES] = 4096;
	f->capacity[HEAPD_STRINGS] = 1u << 20;
	f->capacity[HEAPD_FRAMES] = 1u << 20;
	f->capacity[HEAPD_STACKS] = 1u << 24;
	f->capacity[HEAPD_SITES] = 1u << 18;
	f->capacity[HEAPD_LIVE] = 1u << 20;
	f->capacity[HEAPD_CFAS] = 3u << 20;

	site = claim(f, HEAPD_SITES, &f->sites, 1);
	f->sites[site].flags = HEAPD_STACK_OVERFLOW;
	atomic_store(&f->sites[site].state, HEAPD_SITE_READY);
	return f;
}

void
fake_free(struct fake_segment *f)
{
	free(f->modules);
	free(f->strings);
	free(f->frames);
	free(f->stacks);
	free(f->sites);
	free(f);
}

uint32_t
fake_module(struct fake_segment *f, const char *path, uint64_t start, uint64_t end, uint64_t bias,
	    const char *build_id_hex)
{
	uint32_t length = (uint32_t)strlen(path);
	uint32_t string = claim(f, HEAPD_STRINGS, &f->strings, length);
	uint32_t i = claim(f, HEAPD_MODULES, &f->modules, 1);
	struct heapd_module *m = &f->modules[i];
	unsigned byte;

	memcpy(f->strings + string, path, length);
	m->start = start;
	m->bias = bias;
	m->path = string;
	m->path_length = length;
	m->flags = i == 0 ? HEAPD_MODULE_MAIN : 0;
	for (; build_id_hex && sscanf(build_id_hex, "%2x", &byte) == 1; build_id_hex += 2)
		m->build_id[m->build_id_length++] = (uint8_t)byte;
	atomic_store(&m->end, end);
	return i;
}

uint32_t
fake_frame(struct fake_segment *f, uint64_t address, uint32_t module, uint32_t flags)
{
	uint32_t i = claim(f, HEAPD_FRAMES, &f->frames, 1);

	f->frames[i].module = module;
	f->frames[i].flags = flags;
	atomic_store(&f->frames[i].address, address);
	return i;
}

uint32_t
fake_site(struct fake_segment *f, const uint32_t *frames, uint32_t depth, uint32_t flags)
{
	uint32_t stack = claim(f, HEAPD_STACKS, &f->stacks, depth);
	uint32_t i = claim(f, HEAPD_SITES, &f->sites, 1);

	if (depth > 0)
		memcpy(f->stacks + stack, frames, depth * sizeof(*frames));
	f->sites[i].stack = stack;
	f->sites[i].depth = depth;
	f->sites[i].flags = flags;
	atomic_store(&f->sites[i].state, HEAPD_SITE_READY);
	return i;
}

static void
count(struct heapd_totals *t, uint64_t size, double weight, uint64_t n)
{
	double var = weight * (weight - 1);

	t->samples += n;
	t->objects += n * (uint64_t)llround(weight * (1 << HEAPD_WEIGHT_SHIFT));
	t->bytes += n * (uint64_t)llround(weight * (double)size);
	t->objects_var += n * (uint64_t)llround(var * (1 << HEAPD_OBJECTS_VAR_SHIFT));
	t->bytes_var += n * (uint64_t)llround(var * (double)size * (double)size / (1 << HEAPD_BYTES_VAR_SHIFT));
}

void
fake_count(struct fake_segment *f, uint32_t site, uint64_t size, uint64_t n, uint64_t n_freed)
{
	uint64_t period = atomic_load(&f->header.period);
	double weight = period <= 1 ? 1 : 1 / -expm1(-(size ? (double)size : 1) / (double)period);

	count(&f->sites[site].alloc, size, weight, n);
	count(&f->sites[site].freed, size, weight, n_freed);
	f->header.samples += n;
}

uint64_t
fake_checksum(const struct heapd_header *h)
{
	const unsigned char *bytes = (const unsigned char *)h;
	uint64_t sum = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < offsetof(struct heapd_header, checksum); i++)
		sum = (sum ^ bytes[i]) * UINT64_C(1099511628211);
	return sum;
}

uint64_t
fake_offset(const struct fake_segment *f, enum heapd_section_id section, uint32_t index)
{
	return f->header.sections[section].offset + (uint64_t)index * f->header.sections[section].stride;
}

static void
write_at(int fd, const void *bytes, size_t size, uint64_t offset)
{
	const char *p = bytes;

	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(fd, p + done, size - done, (off_t)(offset + done));
		must(n > 0, "write the segment");
		done += (size_t)n;
	}
}

void
fake_write(struct fake_segment *f, int fd)
{
	const void *records[HEAPD_SECTIONS] = {
		[HEAPD_MODULES] = f->modules, [HEAPD_STRINGS] = f->strings, [HEAPD_FRAMES] = f->frames,
		[HEAPD_STACKS] = f->stacks,   [HEAPD_SITES] = f->sites,
	};
	uint64_t offset = PAGE;

	for (unsigned i = 0; i < HEAPD_SECTIONS; i++) {
		struct heapd_section *s = &f->header.sections[i];

		s->offset = offset;
		s->stride = (uint32_t)stride[i];
		s->capacity = f->capacity[i];
		atomic_store(&s->used, f->used[i]);
		offset += ((uint64_t)s->stride * s->capacity + PAGE - 1) / PAGE * PAGE;
	}
	f->header.file_size = offset;
	f->header.checksum = fake_checksum(&f->header);
	must(ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)offset) == 0, "size the segment");
	for (unsigned i = 0; i < HEAPD_SECTIONS; i++) {
		if (records[i])
			write_at(fd, records[i], f->used[i] * stride[i], f->header.sections[i].offset);
	}
	write_at(fd, &f->header, sizeof(f->header), 0);
}

void
fake_file_name(const struct fake_segment *f, char *ret, size_t size)
{
	snprintf(ret, size, "%u-%llu-%llx%s", f->header.pid, (unsigned long long)f->header.start_time,
		 (unsigned long long)f->header.random, HEAPD_SEGMENT_SUFFIX);
}

uint64_t
fake_start_time(uint32_t pid)
{
	char path[40], text[1024], *p;
	unsigned long long start = 0;
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	file = fopen(path, "re");
	must(file != NULL, "open /proc/PID/stat");
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	p = strrchr(text, ')');
	must(p != NULL, "find the name in /proc/PID/stat");
	for (int i = 0; i < 20; i++) {
		p = strchr(p + 1, ' ');
		must(p != NULL, "find the start time in /proc/PID/stat");
	}
	must(sscanf(p, "%llu", &start) == 1, "read the start time");
	return start;
}
