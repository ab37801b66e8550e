/* options.h - one table of options a command: the parser, --help and the manual page all say what the table says.
 *
 * A row stores what it parsed at its offset in the command's own struct, which starts out filled with the defaults, given
 * in the same words a user would type. "--name VALUE", "--name=VALUE", "-n VALUE", "-nVALUE"; "--" ends the options.
 */
#ifndef HEAPD_OPTIONS_H
#define HEAPD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

enum option_kind {
	OPTION_FLAG, /* bool */
	OPTION_TEXT, /* const char *, borrowed from argv or the table */
	OPTION_LIST, /* struct option_list: may be given several times */
	OPTION_SIZE, /* uint64_t bytes */
	OPTION_DURATION, /* uint64_t milliseconds */
	OPTION_COUNT, /* uint64_t */
	OPTION_CHOICE /* const char *, one of `choices` */
};

#define OPTION_LIST_MAX 32

struct option_list {
	const char *values[OPTION_LIST_MAX + 1]; /* NULL-terminated; borrowed from argv */
	size_t n;
};

struct option {
	const char *name; /* without the dashes; NULL ends a table */
	char letter; /* 'o' for -o; 0: none */
	enum option_kind kind;
	size_t offset; /* in the command's struct */
	const char *argument; /* what --help calls the value; NULL for a flag */
	const char *standard; /* default, as a user would write it; NULL: none */
	uint64_t least, most; /* SIZE, DURATION and COUNT; most 0: no bound */
	const char *choices; /* CHOICE: "a|b|c" */
	const char *sentence; /* for --help and the manual */
};

struct command {
	const char *name; /* "run" */
	const char *operands; /* "-- CMD [ARG...]"; "" if it takes none */
	const char *sentence; /* what it does, in one */
	const char *description; /* further lines for its --help; "" if the sentence says it all */
	const struct option *options;
	size_t size; /* of the struct the options go to */
	unsigned operands_least, operands_most;
	bool operands_end_options; /* the first operand starts somebody else's command line */
	bool hidden;
	/* operands is NULL-terminated. Returns the exit status. */
	int (*run)(void *options, char **operands);
};

enum { OPTIONS_RUN, OPTIONS_HELP };

/* Parse argv (its first element is the command's name) into `into`, which is cleared and given the defaults first.
 * *ret_operands points into argv. Returns OPTIONS_RUN, OPTIONS_HELP (--help was asked for), or -EINVAL with a sentence
 * for the user in *why, without newline. */
int options_parse(const struct command *c, char **argv, void *into, char ***ret_operands, struct text *why);

/* "Usage: heapd run [OPTION]... -- CMD [ARG...]", the sentence, and a line or two an option. */
void options_help(const struct command *c, struct text *to);

#endif
