/* reader.c - see reader.h and the protocol in segment.h, of which this is the right-hand column.
 *
 * First the fixed part of the header is believed or refused (reader_open), then the sections are copied in the order
 * SITES, STACKS, FRAMES, MODULES, STRINGS and checked against each other (reader_copy). What the checks cut away keeps
 * its bytes and objects, on a shorter stack; only records that make no sense as a whole are dropped.
 */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "segment_header.h"
#include "utf8.h"

/* Sites are copied twice in pieces: 512 sites are 64 KiB, so both copies stay in cache and close in time. */
#define SITES_AT_ONCE 512

struct reader {
	int fd;
	uint32_t uid; /* the file's owner, whatever its header says */
	struct heapd_header header; /* the fixed part and the sections, checked when it was opened */
};

const char *
reader_why(void)
{
	return header_why();
}

int
reader_open(int fd, struct reader **ret)
{
	struct reader *reader = NULL;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return header_refuse("not a heapd segment: not a regular file");
	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	reader->fd = -1;
	reader->uid = st.st_uid;

	r = header_read(fd, (uint64_t)st.st_size, &reader->header);
	if (r < 0)
		goto out;
	reader->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (reader->fd < 0) {
		r = -errno;
		goto out;
	}
	*ret = reader;
	reader = NULL;
out:
	reader_free(reader);
	return r;
}

void
reader_free(struct reader *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

/* -- copying -- */

/* How many records of a section are worth copying. `now` is a fresh copy of the header. */
static uint32_t
in_use(const struct reader *r, const struct heapd_header *now, enum heapd_section_id id)
{
	uint32_t used = now->sections[id].used, capacity = r->header.sections[id].capacity;

	return used < capacity ? used : capacity;
}

/* The first n records of a section, as they are in the file, in *ret (malloced). */
static int
copy_section(const struct reader *r, enum heapd_section_id id, uint32_t n, void *ret)
{
	size_t size = (size_t)n * r->header.sections[id].stride;
	void *copy = malloc(size ? size : 1);
	int error;

	if (!copy)
		return -ENOMEM;
	error = header_read_at(r->fd, copy, size, r->header.sections[id].offset);
	if (error < 0) {
		free(copy);
		return error;
	}
	memcpy(ret, &copy, sizeof(copy));
	return 0;
}

static struct snapshot_totals
totals_copy(const struct heapd_totals *t)
{
	return (struct snapshot_totals){ t->samples, t->objects, t->bytes, t->objects_var, t->bytes_var };
}

/* Largest value a sum may have: beyond it, doubles of an honest target would long have lost their meaning, and sums of
 * a liar's sites could wrap. */
#define TOTAL_MAX (UINT64_C(1) << 62)

static uint64_t
clamp(uint64_t *value, uint64_t max)
{
	if (*value <= max)
		return 0;
	*value = max;
	return 1;
}

/* Make freed <= alloc, field by field. Returns the number of fields that were not. */
static uint64_t
totals_clamp(struct snapshot_site *s)
{
	uint64_t clamped = 0;

	clamped += clamp(&s->alloc.samples, TOTAL_MAX) + clamp(&s->alloc.objects, TOTAL_MAX);
	clamped += clamp(&s->alloc.bytes, TOTAL_MAX) + clamp(&s->alloc.objects_var, TOTAL_MAX);
	clamped += clamp(&s->alloc.bytes_var, TOTAL_MAX);
	clamped += clamp(&s->freed.samples, s->alloc.samples) + clamp(&s->freed.objects, s->alloc.objects);
	clamped += clamp(&s->freed.bytes, s->alloc.bytes) + clamp(&s->freed.objects_var, s->alloc.objects_var);
	clamped += clamp(&s->freed.bytes_var, s->alloc.bytes_var);
	return clamped;
}

static int
copy_sites(const struct reader *r, const struct heapd_header *now, struct snapshot *snap)
{
	struct heapd_site *first = malloc(SITES_AT_ONCE * sizeof(*first));
	struct heapd_site *second = malloc(SITES_AT_ONCE * sizeof(*second));
	uint64_t offset = r->header.sections[HEAPD_SITES].offset;
	uint32_t n = in_use(r, now, HEAPD_SITES), part;
	int error = -ENOMEM;

	snap->sites = calloc(n ? n : 1, sizeof(*snap->sites));
	if (!first || !second || !snap->sites)
		goto out;
	snap->n_sites = n;
	for (uint32_t i = 0; i < n; i += part) {
		part = n - i < SITES_AT_ONCE ? n - i : SITES_AT_ONCE;
		error = header_read_at(r->fd, first, part * sizeof(*first), offset + i * sizeof(*first));
		if (error < 0)
			goto out;
		/* Pairs with the release of freed_* and of state: what they promise is in the second copy. */
		atomic_thread_fence(memory_order_acquire);
		error = header_read_at(r->fd, second, part * sizeof(*second), offset + i * sizeof(*second));
		if (error < 0)
			goto out;
		for (uint32_t k = 0; k < part; k++) {
			struct snapshot_site *to = &snap->sites[i + k];

			if (first[k].state != HEAPD_SITE_READY) {
				snap->inconsistent += first[k].state != HEAPD_SITE_EMPTY;
				continue;
			}
			to->depth = second[k].depth;
			to->stack = second[k].stack;
			to->flags = second[k].flags;
			to->alloc = totals_copy(&second[k].alloc);
			to->freed = totals_copy(&first[k].freed);
			snap->inconsistent += totals_clamp(to);
		}
	}
	error = 0;
out:
	free(first);
	free(second);
	return error;
}

/* The path of a module, ended by NUL; NULL without memory. */
static char *
copy_path(const struct heapd_module *m, const char *strings, uint32_t n_strings, uint64_t *inconsistent)
{
	if (m->path > n_strings || m->path_length > n_strings - m->path) {
		++*inconsistent;
		return strdup("");
	}
	return strndup(strings + m->path, m->path_length); /* ends at a NUL inside it, if there is one */
}

static int
check_modules(struct snapshot *snap, const struct heapd_module *modules, uint32_t n, const char *strings,
	      uint32_t n_strings)
{
	snap->modules = calloc(n ? n : 1, sizeof(*snap->modules));
	if (!snap->modules)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		const struct heapd_module *from = &modules[i];
		struct snapshot_module *to = &snap->modules[i];

		to->path = from->end != 0 ? copy_path(from, strings, n_strings, &snap->inconsistent) : strdup("");
		if (!to->path)
			return -ENOMEM; /* snapshot_free() releases the paths so far */
		snap->n_modules = i + 1;
		if (from->end == 0)
			continue;
		if (from->start >= from->end) {
			snap->inconsistent++;
			to->path[0] = '\0';
			continue;
		}
		to->start = from->start;
		to->end = from->end;
		to->bias = from->bias;
		to->generation = from->generation;
		to->main = (from->flags & HEAPD_MODULE_MAIN) != 0;
		to->present = true;
		if (from->build_id_length <= HEAPD_BUILD_ID_MAX) {
			to->build_id_length = from->build_id_length;
			memcpy(to->build_id, from->build_id, from->build_id_length);
		} else {
			snap->inconsistent++;
		}
	}
	return 0;
}

static int
check_frames(struct snapshot *snap, const struct heapd_frame *frames, uint32_t n)
{
	snap->frames = calloc(n ? n : 1, sizeof(*snap->frames));
	if (!snap->frames)
		return -ENOMEM;
	snap->n_frames = n;
	for (uint32_t i = 0; i < n; i++) {
		struct snapshot_frame *to = &snap->frames[i];

		to->module = HEAPD_NONE;
		if (frames[i].address == 0)
			continue;
		to->address = frames[i].address;
		to->module = frames[i].module;
		to->flags = frames[i].flags & HEAPD_FRAME_EXACT;
		if (to->module == HEAPD_NONE)
			continue;
		if (to->module >= snap->n_modules || !snap->modules[to->module].present) {
			to->module = HEAPD_NONE;
			snap->inconsistent++;
		}
	}
	return 0;
}

/* Cut every stack at the first word that names no frame. */
static void
check_stacks(struct snapshot *snap)
{
	const uint32_t all = HEAPD_STACK_DEEP | HEAPD_STACK_NO_CFI | HEAPD_STACK_BAD_FRAME | HEAPD_STACK_FOREIGN |
			     HEAPD_STACK_OVERFLOW;

	for (size_t i = 0; i < snap->n_sites; i++) {
		struct snapshot_site *s = &snap->sites[i];
		uint32_t depth = s->depth, valid = 0;
		bool shown = (depth | s->stack | s->flags) != 0 || s->alloc.samples != 0 || s->alloc.bytes != 0;

		if (!shown)
			continue;
		if (i == HEAPD_OVERFLOW_SITE) {
			snap->inconsistent += depth != 0;
			*s = (struct snapshot_site){ .flags = HEAPD_STACK_OVERFLOW,
						     .alloc = s->alloc,
						     .freed = s->freed };
			continue;
		}
		snap->inconsistent += (s->flags & ~(all & ~(uint32_t)HEAPD_STACK_OVERFLOW)) != 0;
		s->flags &= all & ~(uint32_t)HEAPD_STACK_OVERFLOW;
		if (depth <= HEAPD_MAX_DEPTH && s->stack <= snap->n_stacks && depth <= snap->n_stacks - s->stack) {
			while (valid < depth && snap->stacks[s->stack + valid] < snap->n_frames &&
			       snap->frames[snap->stacks[s->stack + valid]].address != 0)
				valid++;
		} else {
			s->stack = 0;
		}
		if (valid == depth && depth > 0)
			continue;
		s->depth = valid;
		s->flags |= HEAPD_STACK_BAD_FRAME;
		snap->inconsistent++;
	}
}

static int
copy_identity(const struct heapd_header *h, struct snapshot *snap)
{
	snap->pid = h->pid;
	snap->start_time = h->start_time;
	snap->random = h->random;
	snap->clock_start = h->clock_start;
	memcpy(snap->name, h->name, sizeof(snap->name));
	utf8_make_clean(snap->name, strlen(snap->name));
	snap->cmdline_length = h->cmdline_length;
	snap->cmdline = malloc(h->cmdline_length + 1u);
	if (!snap->cmdline)
		return -ENOMEM;
	memcpy(snap->cmdline, h->cmdline, h->cmdline_length);
	snap->cmdline[h->cmdline_length] = '\0';
	for (size_t i = 0, n; i < snap->cmdline_length; i += n + 1) {
		n = strlen(snap->cmdline + i);
		utf8_make_clean(snap->cmdline + i, n);
	}
	return 0;
}

/* What counters there are: from 1 MHz (an early aarch64 board) to well beyond any clock. */
#define TICK_RATE_MIN UINT64_C(1000000)
#define TICK_RATE_MAX UINT64_C(100000000000)

static void
copy_counters(const struct heapd_header *now, struct snapshot *snap)
{
	snap->period = now->period;
	if (snap->period == 0 || snap->period > HEAPD_PERIOD_MAX) {
		snap->period = HEAPD_PERIOD_DEFAULT;
		snap->inconsistent++;
	}
	snap->max_samples = now->max_samples;
	snap->ticks_per_second = now->ticks_per_second;
	if (snap->ticks_per_second != 0 &&
	    (snap->ticks_per_second < TICK_RATE_MIN || snap->ticks_per_second > TICK_RATE_MAX)) {
		snap->ticks_per_second = 0;
		snap->inconsistent++;
	}
	snap->samples = now->samples;
	for (unsigned i = 0; i < HEAPD_LOSSES; i++)
		snap->lost[i] = now->lost[i];
	snap->lost_bytes = now->lost_bytes;
}

/* Everything but the sites, which are in *snap already. */
static int
copy_rest(const struct reader *r, struct snapshot *snap)
{
	struct heapd_module *modules = NULL;
	struct heapd_frame *frames = NULL;
	char *strings = NULL;
	struct heapd_header now;
	uint32_t n;
	int error;

	/* What the sites name was claimed before they were shown: a new look at `used` covers all of it. */
	error = header_read_at(r->fd, &now, sizeof(now), 0);
	if (error < 0)
		goto out;
	copy_counters(&now, snap);
	n = in_use(r, &now, HEAPD_STACKS);
	error = copy_section(r, HEAPD_STACKS, n, &snap->stacks);
	if (error < 0)
		goto out;
	snap->n_stacks = n;
	error = copy_section(r, HEAPD_FRAMES, in_use(r, &now, HEAPD_FRAMES), &frames);
	if (error < 0)
		goto out;
	error = copy_section(r, HEAPD_MODULES, in_use(r, &now, HEAPD_MODULES), &modules);
	if (error < 0)
		goto out;
	error = copy_section(r, HEAPD_STRINGS, in_use(r, &now, HEAPD_STRINGS), &strings);
	if (error < 0)
		goto out;
	error = check_modules(snap, modules, in_use(r, &now, HEAPD_MODULES), strings, in_use(r, &now, HEAPD_STRINGS));
	if (error < 0)
		goto out;
	error = check_frames(snap, frames, in_use(r, &now, HEAPD_FRAMES));
	if (error == 0)
		check_stacks(snap);
out:
	free(modules);
	free(frames);
	free(strings);
	return error;
}

int
reader_copy(struct reader *r, struct snapshot *snap)
{
	struct snapshot *new = snapshot_new(), swap;
	struct heapd_header now;
	struct timespec ts;
	int error = -ENOMEM;

	if (!new)
		return -ENOMEM;
	error = copy_identity(&r->header, new);
	if (error < 0)
		goto out;
	new->uid = r->uid;
	error = header_read_at(r->fd, &now, sizeof(now), 0);
	if (error < 0)
		goto out;
	error = copy_sites(r, &now, new);
	if (error < 0)
		goto out;
	error = copy_rest(r, new);
	if (error < 0)
		goto out;
	clock_gettime(CLOCK_REALTIME, &ts);
	new->time_ns = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	swap = *snap;
	*snap = *new;
	*new = swap;
out:
	snapshot_free(new);
	return error;
}

/* -- control -- */

/* One aligned word: the sampler sees the old one or the new one. */
static int
set_word(int fd, size_t offset, uint64_t value)
{
	struct reader *reader = NULL;
	ssize_t n;
	int r = reader_open(fd, &reader);

	if (r < 0)
		return r;
	reader_free(reader);
	n = pwrite(fd, &value, sizeof(value), (off_t)offset);
	return n == (ssize_t)sizeof(value) ? 0 : n < 0 ? -errno : -EIO;
}

int
reader_set_period(int fd, uint64_t period)
{
	if (period == 0 || period > HEAPD_PERIOD_MAX)
		return -EINVAL;
	return set_word(fd, offsetof(struct heapd_header, period_wanted), period);
}

int
reader_set_max_samples(int fd, uint64_t max_samples)
{
	return set_word(fd, offsetof(struct heapd_header, max_samples), max_samples);
}
