/* truth.h - how a target program counts its own allocations, so that a profile of it can be checked.
 *
 * A site is one function that allocates. Its code lies in an ELF section of its own, whose borders the linker knows as
 * __start_code_NAME and __stop_code_NAME: that gives the function's addresses with any compiler at any -O. An
 * allocation belongs to the first frame, from the leaf, that lies in a site.
 *
 * At its end the program writes one table a process to stdout, in a single write:
 *
 *   pid PID
 *   range NAME START END MODULE                                  addresses in hex; MODULE "-" means the main program
 *   site NAME ALLOC_OBJECTS ALLOC_BYTES INUSE_OBJECTS INUSE_BYTES        "-" for a value that only the libc knows
 *   end
 *
 * Every target takes `[--wait] [NUMBER...]`: with --wait it lives on after the table until stdin is closed.
 * Counting allocates nothing and is safe from any thread.
 */
#ifndef HEAPD_TRUTH_H
#define HEAPD_TRUTH_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct truth_kept { /* a live block's first 16 bytes, when its site keeps it */
	struct truth_kept *next;
	size_t size;
};

struct truth_site {
	const char *name;
	const char *start, *stop; /* its code */
	const char *module; /* base name of the file with that code, or "-" */
	bool alloc_unknown; /* what was allocated on the way is the libc's secret: only what is in use is told */
	uint64_t alloc_objects, alloc_bytes, freed_objects, freed_bytes;
	struct truth_kept *kept;
	struct truth_site *next;
};

struct truth_block { /* who allocated a block, as far as this program knows */
	void *p;
	size_t size;
	struct truth_site *site; /* NULL: inherited over a fork, counts nowhere */
};

#ifdef __clang__
#define TRUTH_ALONE __attribute__((noinline))
#else
#define TRUTH_ALONE __attribute__((noinline, noipa))
#endif

/* Declares the site of a function that is then defined with SITE_CODE(name). */
#define SITE(name)                                                                                  \
	extern const char __start_code_##name[] __attribute__((visibility("hidden")));              \
	extern const char __stop_code_##name[] __attribute__((visibility("hidden")));               \
	static struct truth_site site_##name = {                                                    \
		#name, __start_code_##name, __stop_code_##name, "-", false, 0, 0, 0, 0, NULL, NULL, \
	};                                                                                          \
	__attribute__((constructor)) static void truth_add_##name(void)                             \
	{                                                                                           \
		truth_add(&site_##name);                                                            \
	}

#define SITE_CODE(name) TRUTH_ALONE __attribute__((section("code_" #name)))

/* The usual site: void *name(size_t size), which counts `size` bytes if `call` gives a block. */
#define SITE_FUNCTION(name, call)                      \
	SITE(name)                                     \
	SITE_CODE(name) static void *name(size_t size) \
	{                                              \
		void *p = call;                        \
		truth_made(&site_##name, p, size);     \
		return p;                              \
	}

static struct truth_site *truth_sites, **truth_sites_end = &truth_sites;
static bool truth_waits;

static inline void
truth_add(struct truth_site *site)
{
	*truth_sites_end = site;
	truth_sites_end = &site->next;
}

/* Also keeps the call before it from becoming a tail call, which would take its function off the stack. */
static inline void
truth_made(struct truth_site *site, const void *p, size_t size)
{
	if (!p)
		return;
	__atomic_fetch_add(&site->alloc_objects, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&site->alloc_bytes, size, __ATOMIC_RELAXED);
}

static inline void
truth_gone(struct truth_site *site, size_t size)
{
	if (!site)
		return;
	__atomic_fetch_add(&site->freed_objects, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&site->freed_bytes, size, __ATOMIC_RELAXED);
}

/* Put a block of at least 16 bytes on its site's list. One thread a site. */
static inline void
truth_keep(struct truth_site *site, void *p, size_t size)
{
	struct truth_kept *k = (struct truth_kept *)p;

	if (!k)
		return;
	k->next = site->kept;
	k->size = size;
	site->kept = k;
}

/* Free the block that was kept last, if there is one. */
static inline void
truth_free_kept(struct truth_site *site)
{
	struct truth_kept *k = site->kept;

	if (!k)
		return;
	site->kept = k->next;
	truth_gone(site, k->size);
	free(k);
}

static inline void
truth_free_block(struct truth_block *b)
{
	if (b->p)
		truth_gone(b->site, b->size);
	free(b->p);
	memset(b, 0, sizeof(*b));
}

/* In a fork child: its profile starts empty, and so does its truth. */
static inline void
truth_forked(void)
{
	for (struct truth_site *s = truth_sites; s; s = s->next)
		s->alloc_objects = s->alloc_bytes = s->freed_objects = s->freed_bytes = 0;
}

/* The same numbers in every run: xorshift64*. */
static inline uint64_t
truth_random(uint64_t *state)
{
	uint64_t x = *state ? *state : UINT64_C(0x2545f4914f6cdd1d);

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* Reads the command line. Number `i` (from 0) is taken for values[i], which hold the defaults. */
static inline void
truth_begin(int argc, char **argv, uint64_t *values, int n_values)
{
	int n = 0;

	for (int i = 1; i < argc; i++) {
		char *end;
		uint64_t value;

		if (strcmp(argv[i], "--wait") == 0) {
			truth_waits = true;
			continue;
		}
		errno = 0;
		value = strtoull(argv[i], &end, 0);
		if (errno || *end || end == argv[i] || n == n_values) {
			fprintf(stderr, "%s: %s: takes [--wait] and up to %d numbers\n", argv[0], argv[i], n_values);
			exit(2);
		}
		values[n++] = value;
	}
}

static inline size_t
truth_line(char *out, size_t size, const struct truth_site *s)
{
	char alloc[64] = "- -";
	int n;

	if (!s->alloc_unknown)
		snprintf(alloc, sizeof(alloc), "%llu %llu", (unsigned long long)s->alloc_objects,
			 (unsigned long long)s->alloc_bytes);
	n = snprintf(out, size, "range %s %llx %llx %s\nsite %s %s %llu %llu\n", s->name,
		     (unsigned long long)(uintptr_t)s->start, (unsigned long long)(uintptr_t)s->stop, s->module,
		     s->name, alloc, (unsigned long long)(s->alloc_objects - s->freed_objects),
		     (unsigned long long)(s->alloc_bytes - s->freed_bytes));
	if (n < 0 || (size_t)n >= size)
		abort();
	return (size_t)n;
}

/* Write the table; then, with --wait, wait for the end of stdin. */
static inline void
truth_end(void)
{
	static char text[16384];
	size_t n = (size_t)snprintf(text, sizeof(text), "pid %d\n", (int)getpid()), done = 0;
	char c;

	for (const struct truth_site *s = truth_sites; s; s = s->next)
		n += truth_line(text + n, sizeof(text) - n, s);
	n += (size_t)snprintf(text + n, sizeof(text) - n, "end\n");
	while (done < n) {
		ssize_t r = write(STDOUT_FILENO, text + done, n - done);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			_exit(3);
		done += (size_t)r;
	}
	while (truth_waits && read(STDIN_FILENO, &c, 1) > 0)
		;
}

#endif
