/* cli.c - the list of commands, and the way from argv to one of them. */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "worker.h"

const struct command *const commands[] = { &run_command,  &attach_command, &serve_command,
					   &list_command, &top_command,    &fetch_command,
					   &set_command,  &help_command,   &symbol_worker_command,
					   NULL };

const struct command *
command_find(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

static void
print_overview(FILE *to)
{
	(void)fputs("Usage: heapd COMMAND [OPTION]...\n\n"
		    "Shows where the memory of running native programs goes.\n\nCommands:\n",
		    to);
	for (const struct command *const *c = commands; *c; c++)
		if (!(*c)->hidden)
			(void)fprintf(to, "  %-8s %s\n", (*c)->name, (*c)->sentence);
	(void)fputs("\n  heapd COMMAND --help tells more about one; heapd --version prints the version.\n\n"
		    "Start with: heapd run -- PROGRAM [ARG...]\n",
		    to);
}

/* What was written so far must have arrived: a full disk behind `heapd list > file` is a failure. */
static int
finish_output(int status)
{
	if (fflush(stdout) != 0 || ferror(stdout)) {
		log_line("cannot write the output: %s", strerror(errno));
		return status == EXIT_OK ? EXIT_FAILED : status;
	}
	return status;
}

static int
command_help(const struct command *c)
{
	struct text help = { 0 };

	options_help(c, &help);
	(void)fputs(text_string(&help), stdout);
	text_done(&help);
	return finish_output(EXIT_OK);
}

static int
command_run(const struct command *c, char **argv)
{
	void *options = calloc(1, c->size ? c->size : 1);
	struct text why = { 0 };
	char **operands = NULL;
	int r, status = EXIT_FAILED;

	if (!options) {
		log_line("out of memory");
		return EXIT_FAILED;
	}
	r = options_parse(c, argv, options, &operands, &why);
	if (r == OPTIONS_HELP) {
		status = command_help(c);
	} else if (r < 0) {
		log_line("%s", text_string(&why));
		status = EXIT_USAGE;
	} else {
		status = finish_output(c->run(options, operands));
	}
	text_done(&why);
	free(options);
	return status;
}

/* -- help, and the process that reads symbol tables -- */

static int
help_run(void *options, char **operands)
{
	const struct command *c;

	(void)options;
	if (!operands[0]) {
		print_overview(stdout);
		return EXIT_OK;
	}
	c = command_find(operands[0]);
	if (!c) {
		log_line("there is no command '%s' (see heapd help)", operands[0]);
		return EXIT_USAGE;
	}
	return command_help(c);
}

const struct command help_command = {
	.name = "help",
	.operands = "[COMMAND]",
	.sentence = "Tell about the commands, or about one of them.",
	.description = "",
	.operands_most = 1,
	.run = help_run,
};

static int
symbol_worker_run(void *options, char **operands)
{
	(void)options;
	(void)operands;
	return worker_main();
}

const struct command symbol_worker_command = {
	.name = "symbol-worker",
	.operands = "",
	.sentence = "Read symbol tables for a daemon; started by it.",
	.description = "",
	.hidden = true,
	.run = symbol_worker_run,
};

int
cli_main(int argc, char **argv)
{
	const struct command *c;

	if (argc < 2) {
		print_overview(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_overview(stdout);
		return finish_output(EXIT_OK);
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		(void)puts("heapd " HEAPD_VERSION);
		return finish_output(EXIT_OK);
	}
	c = command_find(argv[1]);
	if (!c) {
		log_line("there is no command '%s' (see heapd help)", argv[1]);
		return EXIT_USAGE;
	}
	return command_run(c, argv + 1);
}
