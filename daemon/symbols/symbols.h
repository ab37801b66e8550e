/* symbols.h - from an address in a module to the functions it belongs to.
 *
 * Foreign files are parsed in a child process (worker.c), never here: it may hang, crash or lie, and costs only names.
 * Answers are kept by build-id and address, so a second profile asks nothing.
 * Threads: any thread may call; calls are serialised inside.
 */
#ifndef HEAPD_SYMBOLS_H
#define HEAPD_SYMBOLS_H

#include "snapshot.h"

struct symbols;

struct symbol_line { /* one function at an address; strings are borrowed from struct symbols, never NULL */
	const char *name; /* demangled, without parameters if that shortens it; valid UTF-8 */
	const char *system_name; /* as in the symbol table */
	const char *file; /* source file, or "" */
	uint32_t line; /* 0 unknown */
	uint32_t start_line; /* of the function; 0 unknown */
};

enum symbol_state {
	SYMBOL_FOUND, /* lines[] holds 1 or more, innermost inlined function first */
	SYMBOL_ABSENT, /* the file was read and has no name for it */
	SYMBOL_FAILED /* the file could not be read, is another build, or the worker gave up */
};

struct symbol {
	enum symbol_state state;
	uint32_t n_lines;
	const struct symbol_line
		*lines; /* valid until symbols_free; FOUND, or one synthetic line such as "libfoo.so+0x1234" */
};

struct symbols_options {
	const char *worker; /* program to exec as worker (this binary, "symbol-worker"); NULL: /proc/self/exe */
	const char *const *debug_dirs; /* NULL-terminated; NULL: /usr/lib/debug */
	unsigned timeout_ms; /* for one batch of one module; 0: default */
};

int symbols_new(const struct symbols_options *options, struct symbols **ret);
void symbols_free(struct symbols *s);

/* Names for the frames of a snapshot: ret[i] belongs to frames[i]. `pid` is where to look for files that are only visible
 * in the target's mount namespace, deleted files (/proc/PID/map_files, /proc/PID/exe) and perf map files; 0 if it is
 * dead. Return addresses are looked up one byte earlier, HEAPD_FRAME_EXACT ones as they are.
 * Never fails for lack of symbols: every frame gets at least its synthetic line. Returns 0 or -ENOMEM. */
int symbols_resolve(struct symbols *s, const struct snapshot *snap, uint32_t pid, struct symbol *ret);

struct symbols_counters {
	uint64_t lookups, hits, worker_starts, worker_failures, modules_refused;
};
void symbols_count(struct symbols *s, struct symbols_counters *ret);

#endif
