/* symbols_subject.h - a program to take symbols from: compiled, changed, started and described as a snapshot.
 *
 * Every subject has its own temporary directory. Failures to set up end the test program with a message.
 */
#ifndef HEAPD_SYMBOLS_SUBJECT_H
#define HEAPD_SYMBOLS_SUBJECT_H

#include <stdbool.h>
#include <sys/types.h>

#include "snapshot.h"
#include "symbols.h"

#define SUBJECT_MARKS 16

struct subject {
	char dir[64]; /* "%s/..." of commands */
	char program[128]; /* DIR/program */
	pid_t pid;
	int input; /* the program ends when this is closed */
	struct {
		char name[64];
		uint64_t address; /* in the ELF file, as a return address */
	} marks[SUBJECT_MARKS];
	size_t n_marks;
	struct snapshot snapshot; /* one module, one frame a mark */
	struct snapshot_module module;
	struct snapshot_frame frames[SUBJECT_MARKS];
	char path[256];
	struct symbol symbols[SUBJECT_MARKS];
};

/* Compile tests/targets/SOURCE with these flags. */
struct subject *subject_new(const char *compiler, const char *source, const char *flags);
void subject_free(struct subject *s); /* ends the program and removes the directory */

/* Run a shell command in the directory; its output is shown if it fails. */
bool subject_shell(struct subject *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Start the program and describe it. */
void subject_start(struct subject *s);
void subject_end(struct subject *s); /* the process; the snapshot stays */

/* symbols_resolve into s->symbols, which stay valid as long as `symbols` does. */
void subject_resolve(struct subject *s, struct symbols *symbols, bool alive);
/* With symbol_worker as the worker, unless the options (or NULL) name another. */
struct symbols *subject_symbols(const struct symbols_options *options);

/* The symbol at a mark. */
const struct symbol *subject_at(const struct subject *s, const char *mark);

/* The number of the line of tests/targets/SOURCE with the comment MARK name level; 0 if there is none. */
uint32_t subject_line(const char *source, const char *mark, unsigned level);

bool tool_exists(const char *name);

#endif
