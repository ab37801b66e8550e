/* symbols.h - from an address in a module to the functions it belongs to.
 *
 * Foreign files are parsed in a child process (worker.c), never here: it may hang, crash or lie, and costs only names.
 * Answers are kept by user, build-id and address for the life of the struct, so a second profile asks nothing. Without
 * build-id they are kept for the life of the process that had the module.
 *
 * What is kept is bounded: a million addresses, 256 MiB. After that new addresses show the name of their module alone and
 * are counted in cache_refused, until somebody comes by symbols_enter(): then all is forgotten and begun anew. So one
 * target, or one client, that asks for a million addresses costs the others time and not their names.
 * Threads: any thread may call. The worker serves one call at a time; a call that finds all its names does not wait for it.
 */
#ifndef HEAPD_SYMBOLS_H
#define HEAPD_SYMBOLS_H

#include "snapshot.h"

struct symbols;

/* One function at an address. Strings are borrowed from struct symbols, never NULL, never empty but for `file`, valid UTF-8
 * without control characters, at most 4095 bytes. */
struct symbol_line {
	const char *name; /* readable: C++ without parameters, Rust without hash */
	const char *
		system_name; /* as in the symbol table, with suffixes such as .part.0; as in the source if it has none */
	const char *file; /* source file, or "" */
	uint32_t line; /* 0 unknown */
	uint32_t start_line; /* of the function; 0 unknown */
};

enum symbol_state {
	SYMBOL_FOUND, /* lines[] holds 1 or more, innermost inlined function first */
	SYMBOL_ABSENT, /* the file was read and has no name for it */
	SYMBOL_FAILED /* the file could not be read, is another build, or the worker gave up; tried again after a minute */
};

/* FOUND, or one synthetic line: "libfoo.so+0x1233" with the address in the ELF file that was looked up (for a return
 * address the byte before, the last one of the call, which is what addr2line wants), "[jit]" for code outside of all
 * modules that no perf map names, "[unknown]" for a frame that was never shown. */
struct symbol {
	enum symbol_state state;
	uint32_t n_lines; /* at least 1 */
	const struct symbol_line *lines; /* valid until symbols_leave, or symbols_free for those who never enter */
};

struct symbols_options {
	const char *worker; /* program to exec as `worker symbol-worker`; NULL: /proc/self/exe */
	const char *const *debug_dirs; /* NULL-terminated; NULL: /usr/lib/debug */
	unsigned timeout_ms; /* for one module, more for big files and many addresses; 0: 5000 */
	uint32_t addresses_max; /* to keep; 0: 1048576 */
};

/* The options are copied. 0 or -ENOMEM. */
int symbols_new(const struct symbols_options *options, struct symbols **ret);
void symbols_free(struct symbols *s); /* NULL is fine */

/* Between these two what symbols_resolve() gives stays valid. A thread may not enter twice. Waits for those who are inside
 * when there is no more room. */
void symbols_enter(struct symbols *s);
void symbols_leave(struct symbols *s);

/* Names for the frames of a snapshot: ret[i] belongs to frames[i]. `pid` is where to look for files that are only visible
 * in the target's mount namespace, deleted files (/proc/PID/map_files, /proc/PID/exe) and perf map files; 0 if it is
 * dead. Return addresses are looked up one byte earlier, HEAPD_FRAME_EXACT ones as they are.
 * Never fails for lack of symbols: every frame gets at least its synthetic line. Returns 0 or -ENOMEM. */
int symbols_resolve(struct symbols *s, const struct snapshot *snap, uint32_t pid, struct symbol *ret);

struct symbols_counters {
	uint64_t lookups; /* frames asked for */
	uint64_t hits; /* of those, known without asking the worker */
	uint64_t worker_starts;
	uint64_t worker_failures; /* workers that were late, died or broke the protocol */
	uint64_t modules_refused; /* times a module was given up for a minute */
	uint64_t cache_refused; /* answers that found no room */
};
void symbols_count(struct symbols *s, struct symbols_counters *ret);

#endif
