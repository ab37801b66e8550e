/* cli.h - the commands of the command line, one file each. */
#ifndef HEAPD_CLI_H
#define HEAPD_CLI_H

#include "options.h"

/* Exit statuses. A program that `heapd run` started gives its own. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* what was asked could not be done; stderr says why */
	EXIT_USAGE = 2, /* the command line is wrong */
	EXIT_ATTACH_REFUSED = 3, /* the rest of attach's are heapd-inject's, see inject/outcome.h */
	EXIT_RUN_REFUSED = 125, /* run: heapd cannot sample this program, or could not start */
	EXIT_RUN_NOT_EXECUTABLE = 126,
	EXIT_RUN_NOT_FOUND = 127
};

#define MAX_SAMPLES_MOST 1000000000 /* of --max-samples: more than any program can */

/* All of them, NULL-terminated, in the order of `heapd help`. */
extern const struct command *const commands[];

extern const struct command run_command, attach_command, serve_command, list_command, top_command, fetch_command,
	set_command, help_command, symbol_worker_command;

/* The command of this name, or NULL. */
const struct command *command_find(const char *name);

/* Everything main() does. */
int cli_main(int argc, char **argv);

#endif
