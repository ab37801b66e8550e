/* unwind_segment.h - a segment of plain arrays for tests of the unwinder. Include it in one file of a program. */
#ifndef HEAPD_UNWIND_SEGMENT_H
#define HEAPD_UNWIND_SEGMENT_H

#include <string.h>

#include "segment_writer.h"

#define FAKE_MODULES 512
#define FAKE_STRINGS 65536
#define FAKE_FRAMES 262144

static struct heapd_header fake_header;
static struct heapd_module fake_modules[FAKE_MODULES];
static char fake_strings[FAKE_STRINGS];
static struct heapd_frame fake_frames[FAKE_FRAMES];
static struct segment fake_segment;

uint32_t
segment_claim(struct segment *s, enum heapd_section_id section, uint32_t n)
{
	struct heapd_section *c = &s->header->sections[section];
	uint32_t used = atomic_load(&c->used);

	do {
		if (n > c->capacity - used)
			return HEAPD_NONE;
	} while (!atomic_compare_exchange_weak(&c->used, &used, used + n));
	atomic_fetch_add(&s->used[section], n);
	return used;
}

/* Empty again, with room for so many records. */
static inline struct segment *
fake_segment_reset(uint32_t modules, uint32_t frames)
{
	memset(&fake_header, 0, sizeof(fake_header));
	memset(fake_modules, 0, sizeof(fake_modules));
	memset(fake_frames, 0, sizeof(fake_frames));
	fake_segment.header = &fake_header;
	fake_segment.modules = fake_modules;
	fake_segment.strings = fake_strings;
	fake_segment.frames = fake_frames;
	fake_header.sections[HEAPD_MODULES].capacity = modules;
	fake_header.sections[HEAPD_STRINGS].capacity = FAKE_STRINGS;
	fake_header.sections[HEAPD_FRAMES].capacity = frames;
	for (unsigned i = 0; i < HEAPD_SECTIONS; i++) {
		fake_segment.capacity[i] = fake_header.sections[i].capacity;
		fake_segment.ready[i] = fake_header.sections[i].capacity;
	}
	memset(fake_segment.used, 0, sizeof(fake_segment.used));
	return &fake_segment;
}

#endif
