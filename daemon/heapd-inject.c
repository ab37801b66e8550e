/* heapd-inject.c - puts libheapd.so into a running process; `heapd attach` starts it.
 *
 *   heapd-inject check PID LIBRARY
 *   heapd-inject attach PID LIBRARY TIMEOUT-MS [NAME=VALUE...]
 *
 * A program of its own, so that all that can harm a process is small, has no threads, and ends with its one task.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "log.h"
#include "number.h"
#include "outcome.h"
#include "preflight.h"
#include "stub.h"

#define PID_MAX (1u << 22) /* PID_MAX_LIMIT of the kernel */

static int
check(pid_t pid, char **arguments)
{
	struct preflight p;
	struct text why = { 0 };
	int outcome = OUTCOME_DONE;

	if (preflight_check(pid, arguments[0], &p, &why) < 0) {
		log_line("%s", text_string(&why));
		outcome = OUTCOME_REFUSED;
	} else {
		printf("%d (%s) can be attached to: %u thread%s, malloc of %s\n", pid, p.status.name, p.status.threads,
		       p.status.threads == 1 ? "" : "s", *p.malloc_path ? p.malloc_path : "the program itself");
		preflight_done(&p);
	}
	text_done(&why);
	return outcome;
}

static int
attach_to(pid_t pid, char **arguments)
{
	struct attach_options options = { .library = arguments[0] };
	struct preflight p;
	struct text why = { 0 }, settings = { 0 };
	enum outcome outcome = OUTCOME_REFUSED;
	uint64_t ms;

	if (!arguments[1] || number_parse(arguments[1], &ms) < 0 || ms > UINT32_MAX) {
		log_line("TIMEOUT-MS must be a number of milliseconds");
		return OUTCOME_USAGE;
	}
	for (char **setting = arguments + 2; *setting; setting++)
		text_add_bytes(&settings, *setting, strlen(*setting) + 1);
	text_add_bytes(&settings, "", 1);
	options.timeout_ms = (unsigned)ms;
	options.settings = settings.data;
	options.settings_size = settings.size;
	if (settings.failed || settings.size > STUB_OPTIONS)
		text_add(&why, "the settings for the library are too long");
	else if (preflight_check(pid, options.library, &p, &why) == 0) {
		outcome = attach(pid, &p, &options, &why);
		preflight_done(&p);
	}
	if (outcome == OUTCOME_DONE)
		log_line("%" PRId64 " is sampled from now on: heapd top %" PRId64 ", heapd fetch %" PRId64,
			 (int64_t)pid, (int64_t)pid, (int64_t)pid);
	else
		log_line("%s", text_string(&why));
	text_done(&settings);
	text_done(&why);
	return (int)outcome;
}

int
main(int argc, char **argv)
{
	uint64_t pid;
	int (*command)(pid_t pid, char **arguments) = NULL;

	if (argc == 4 && strcmp(argv[1], "check") == 0)
		command = check;
	else if (argc >= 5 && strcmp(argv[1], "attach") == 0)
		command = attach_to;
	if (!command) {
		(void)fputs("usage: heapd-inject check PID LIBRARY\n"
			    "       heapd-inject attach PID LIBRARY TIMEOUT-MS [NAME=VALUE...]\n"
			    "heapd attach starts it, see heapd attach --help\n",
			    stderr);
		return OUTCOME_USAGE;
	}
	if (number_parse(argv[2], &pid) < 0 || pid == 0 || pid > PID_MAX) {
		log_line("'%s' is not a pid", argv[2]);
		return OUTCOME_USAGE;
	}
	return command((pid_t)pid, argv + 3);
}
