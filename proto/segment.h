/* segment.h - the file a sampled process shares with whoever wants to read it. The only header that both sides include.
 *
 * One file per target on a tmpfs, called PID-STARTTIME-RANDOM.heapd. The sampler creates it at the first sample, sparse,
 * with room for everything, and touches pages only as they fill. Nothing in it is ever moved or removed.
 *
 *   offset 0      struct heapd_header      one page: who, since when, period, control words, loss counters
 *                 and the table of sections:
 *   MODULES       struct heapd_module[]    ELF files whose code was seen in a stack; [0] is the main program
 *   STRINGS       char[]                   paths, not terminated: a module names offset and length
 *   FRAMES        struct heapd_frame[]     distinct (address, module); sites name frames by index
 *   STACKS        uint32_t[]               frame indices, leaf first; a site names its first word and its depth
 *   SITES         struct heapd_site[]      distinct stacks with their totals; [0] takes what found no room
 *   LIVE          struct heapd_live[]      sampled blocks that are not freed yet
 *   CFAS          uint32_t[16][]           per live block: how far from the end of the stack each of its frames lies
 *
 * All fields are in the byte order of the machine. Sections start on page borders. Times are in ticks of the machine's
 * counter (x86: TSC, aarch64: CNTVCT), 0 where the program may not read it; the header pairs a reading of it with CLOCK_MONOTONIC
 * and CLOCK_REALTIME, and states its rate, so that both a block's age and the hour of its birth follow.
 *
 * How records become visible. `used` of a section counts claimed slots, not finished ones.
 *
 *   sampler                                            reader (copies by pread, never maps)
 *   claim   used += n             cas, relaxed         n = min(used, capacity), then copy n records
 *   fill    every other field     plain                skip a record whose key field is 0
 *   show    key field = value     release              key: module.end, frame.address, site.state, live.address
 *
 * A writer that dies between claim and show loses the slot, nothing else; a reader never waits. A record names only
 * records that were shown before it, so what a copy names is in the copy if the sections are copied in the order SITES,
 * STACKS, FRAMES, MODULES, STRINGS. Whoever reads checks every index all the same: the writer may lie.
 *
 * How totals stay sane. Per site every counter only grows, and a free is counted after its allocation:
 *
 *   sampler                                            reader
 *   alloc_* += (relaxed)                               first copy of SITES:   take freed_*
 *   freed_* += (release)                               second copy of SITES:  take alloc_*
 *
 * so alloc - freed cannot fall below zero unless the target races with itself or lies.
 *
 * Estimates. An allocation of s bytes is sampled with probability p = 1 - exp(-(s + 1)/period), the 1 so that requests for
 * nothing are counted, too, and stands for w = 1/p allocations of w*s bytes, which are added at once (Horvitz-Thompson). The *_var sums are sum((1-p)/p^2 * x^2) = sum(w(w-1) x^2) with x = 1 or s: an unbiased estimate of
 * the variance of the total, whose square root is its standard error.
 */
#ifndef HEAPD_SEGMENT_H
#define HEAPD_SEGMENT_H

/* What a field means stands in a column of its own. */
/* clang-format off */

#include <stdatomic.h>
#include <stdint.h>

#define HEAPD_SEGMENT_MAGIC "heapdsg"   /* 8 bytes with its NUL */
#define HEAPD_SEGMENT_VERSION 2
#define HEAPD_SEGMENT_SUFFIX ".heapd"

#define HEAPD_MAX_DEPTH 128             /* frames kept of one stack, nearest to the allocation first */
#define HEAPD_NONE UINT32_MAX           /* "no such index" */
#define HEAPD_BUILD_ID_MAX 32
#define HEAPD_OVERFLOW_SITE 0

#define HEAPD_WEIGHT_SHIFT 16           /* objects are sums of w in units of 2^-16 */
#define HEAPD_OBJECTS_VAR_SHIFT 10      /* *_objects_var are in units of 2^-10 object^2: w(w-1) is small for large blocks */
#define HEAPD_BYTES_VAR_SHIFT 16        /* *_bytes_var are in units of 2^16 byte^2 */

#define HEAPD_PERIOD_DEFAULT 524288     /* bytes; 1 samples every allocation */
#define HEAPD_PERIOD_MAX (UINT64_C(1) << 40)

enum heapd_section_id {
	HEAPD_MODULES,
	HEAPD_STRINGS,
	HEAPD_FRAMES,
	HEAPD_STACKS,
	HEAPD_SITES,
	HEAPD_LIVE,
	HEAPD_CFAS,
	HEAPD_SECTIONS
};

struct heapd_section {
	uint64_t offset;                /* from the start of the file; fixed */
	uint32_t stride;                /* bytes a record; fixed */
	uint32_t capacity;              /* records; fixed */
	_Atomic uint32_t used;          /* records claimed so far */
	uint32_t reserved;
};

/* What was lost, and why. Every one only grows. */
enum heapd_loss {
	HEAPD_LOST_BUSY,        /* samples skipped: the thread was already taking one (signal handler), or the segment only being made */
	HEAPD_LOST_NO_LIVE,     /* samples skipped: no room for another live block, its frames' CFAs or their index */
	HEAPD_LOST_NO_SITE,     /* samples put on the overflow site: no room for another site, stack or frame */
	HEAPD_LOST_DEEP,        /* stacks cut at HEAPD_MAX_DEPTH */
	HEAPD_LOST_NO_CFI,      /* stacks that ended at code without usable unwind tables */
	HEAPD_LOST_BAD_FRAME,   /* stacks that ended because the next frame did not make sense */
	HEAPD_LOST_FOREIGN,     /* stacks not walked: not on the stack the thread was given (fibre, signal stack) */
	HEAPD_LOST_FREE,        /* live blocks whose free we never saw: their address was handed out again */
	HEAPD_LOST_MODULE,      /* frames without module because the module table was full */
	HEAPD_LOSSES
};

/* A reading of the tick counter against the clocks. */
struct heapd_clock {
	uint64_t ticks;
	uint64_t monotonic_ns;
	uint64_t realtime_ns;
};

enum { HEAPD_STATE_STARTING = 0, HEAPD_STATE_READY = 1 };
enum { HEAPD_CONTROL_RUN = 0, HEAPD_CONTROL_PAUSE = 1 };

struct heapd_header {
	/* Fixed part: written once before state becomes READY, covered by checksum. */
	char magic[8];
	uint32_t version;
	uint32_t header_size;           /* sizeof(struct heapd_header) */
	uint64_t file_size;             /* bytes, sparse */
	uint32_t pid;                   /* as the target sees itself */
	uint32_t uid;                   /* effective, at creation */
	uint64_t start_time;            /* field 22 of /proc/PID/stat: ticks of 1/sysconf(_SC_CLK_TCK) s after boot; 0 unknown */
	uint64_t random;                /* as in the file name; tells two lives of one pid apart */
	char name[64];                  /* NUL-terminated; HEAPD_NAME, else the base name it was started by */
	struct heapd_clock clock_start;
	uint32_t cmdline_length;        /* bytes of cmdline in use */
	char cmdline[1024];             /* as in /proc/PID/cmdline: arguments end with NUL; cut if longer */
	uint64_t checksum;              /* FNV-1a 64 over all bytes of the header before this field */

	/* Moving part. */
	_Atomic uint32_t state;         /* HEAPD_STATE_*; release after the fixed part and the sections are in place */
	_Atomic uint32_t control;       /* HEAPD_CONTROL_*; the file's owner may write it */
	_Atomic uint64_t period_wanted; /* bytes; the file's owner may write it; 0 and values over HEAPD_PERIOD_MAX are ignored */
	_Atomic uint64_t period;        /* bytes; in force for samples from now on; the sampler's */
	_Atomic uint64_t max_samples;   /* a second; the file's owner may write it; to keep to it, period gets longer than wanted; 0: none */
	struct heapd_section sections[HEAPD_SECTIONS];  /* all but `used` fixed */
	_Atomic uint64_t samples;       /* sampled allocations, those on the overflow site included */
	_Atomic uint64_t lost[HEAPD_LOSSES];
	_Atomic uint64_t lost_bytes;    /* estimated bytes of the samples that were skipped */
	_Atomic uint32_t modules_generation;    /* grows with every dlclose */
	_Atomic uint32_t threads;       /* threads that took a sample so far */
	_Atomic uint64_t ticks_per_second;      /* measured against CLOCK_MONOTONIC, within 1 %; 0: not known, see below */
};
/* ticks_per_second is known from the first sample on that is 2^22 ticks (some milliseconds) younger than clock_start, and gets
 * better in some steps over the first seconds. It stays 0 where no sample came so late, or the ticks were forbidden by then. */
_Static_assert(sizeof(struct heapd_header) <= 4096, "the header is one page");

enum { HEAPD_MODULE_MAIN = 1 };

struct heapd_module {
	uint64_t start;                 /* first byte mapped */
	_Atomic uint64_t end;           /* key: one past the last byte mapped */
	uint64_t bias;                  /* runtime address - address in the ELF file */
	uint32_t path, path_length;     /* in STRINGS; absolute if the loader knew it, "[vdso]" for the vdso */
	uint32_t generation;            /* of modules_generation when it was first seen */
	uint32_t flags;                 /* HEAPD_MODULE_* */
	uint32_t build_id_length;       /* 0 if it has none */
	uint8_t build_id[HEAPD_BUILD_ID_MAX];
	uint32_t reserved;
};
_Static_assert(sizeof(struct heapd_module) == 80, "layout changed: bump HEAPD_SEGMENT_VERSION");

enum {
	HEAPD_FRAME_EXACT = 1           /* address is the instruction itself (interrupted by a signal), not a return address */
};

struct heapd_frame {
	_Atomic uint64_t address;       /* key: return address as found, or the interrupted instruction */
	uint32_t module;                /* index in MODULES, or HEAPD_NONE: JIT code or nothing we know */
	uint32_t flags;                 /* HEAPD_FRAME_* */
};
_Static_assert(sizeof(struct heapd_frame) == 16, "layout changed: bump HEAPD_SEGMENT_VERSION");

enum {
	HEAPD_SITE_EMPTY = 0,
	HEAPD_SITE_READY = 1
};

/* Why a stack ends before the thread's first function; none of them set: it is whole. */
enum {
	HEAPD_STACK_DEEP = 1,           /* more than HEAPD_MAX_DEPTH frames */
	HEAPD_STACK_NO_CFI = 2,         /* code without usable unwind tables */
	HEAPD_STACK_BAD_FRAME = 4,      /* the next frame did not make sense */
	HEAPD_STACK_FOREIGN = 8,        /* not on the thread's own stack: only the leaf is known */
	HEAPD_STACK_OVERFLOW = 16       /* site 0: what found no room */
};

struct heapd_totals {
	_Atomic uint64_t samples;       /* raw count */
	_Atomic uint64_t objects;       /* sum of w, units of 2^-HEAPD_WEIGHT_SHIFT */
	_Atomic uint64_t bytes;         /* sum of w*s */
	_Atomic uint64_t objects_var;   /* units of 2^-HEAPD_OBJECTS_VAR_SHIFT */
	_Atomic uint64_t bytes_var;     /* units of 2^HEAPD_BYTES_VAR_SHIFT */
};

struct heapd_site {
	_Atomic uint32_t state;         /* key: HEAPD_SITE_* */
	uint32_t depth;                 /* words of the stack; 0 only for the overflow site */
	uint32_t stack;                 /* index of the first word in STACKS */
	uint32_t flags;                 /* HEAPD_STACK_* */
	struct heapd_totals alloc;      /* ever allocated here */
	uint64_t reserved1;
	struct heapd_totals freed;      /* of those, freed since; a cache line of its own */
	uint64_t reserved2[3];
};
_Static_assert(sizeof(struct heapd_site) == 128, "layout changed: bump HEAPD_SEGMENT_VERSION");

struct heapd_live {
	_Atomic uint64_t address;       /* key: of the block; 0 when the slot is free */
	uint64_t size;                  /* bytes asked for */
	uint64_t weight;                /* w, units of 2^-HEAPD_WEIGHT_SHIFT */
	uint64_t period;                /* bytes; in force when it was sampled */
	uint64_t birth;                 /* ticks; 0: the program may not read them */
	uint32_t site;                  /* index in SITES */
	uint32_t thread;                /* serial number of the allocating thread, from 1 */
	uint32_t cfas;                  /* index in CFAS of the first group, or HEAPD_NONE */
	uint16_t depth;                 /* how many CFAs follow there */
	uint16_t reserved;
	_Atomic uint64_t link;          /* the sampler's own: free list, filter generation */
};
_Static_assert(sizeof(struct heapd_live) == 64, "layout changed: bump HEAPD_SEGMENT_VERSION");

#define HEAPD_CFA_GROUP 16              /* CFAs are handed out in groups of so many */

#endif
