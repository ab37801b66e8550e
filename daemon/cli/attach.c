/* attach.c - heapd attach: hands over to heapd-inject, which is all that ever touches the process. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "log.h"
#include "number.h"
#include "preload.h"
#include "segment.h"

#define PROGRAM "heapd-inject"
#define TIMEOUT_MOST 3600000 /* ms */

struct attach_options {
	uint64_t period, max_samples, timeout;
	const char *name;
	bool check;
};

static const struct option attach_table[] = {
	{ .name = "check",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct attach_options, check),
	  .sentence = "Only say whether it would work, or why not. The process is not touched." },
	{ .name = "period",
	  .letter = 'p',
	  .kind = OPTION_SIZE,
	  .offset = offsetof(struct attach_options, period),
	  .argument = "N",
	  .standard = "512k",
	  .least = 1,
	  .most = HEAPD_PERIOD_MAX,
	  .sentence = "Sample one allocation every N bytes in the mean; 1 samples all." },
	{ .name = "max-samples",
	  .kind = OPTION_COUNT,
	  .offset = offsetof(struct attach_options, max_samples),
	  .argument = "N",
	  .least = 1,
	  .most = MAX_SAMPLES_MOST,
	  .sentence = "Take about N samples a second at most: the period grows by itself when the program allocates "
		      "faster, and shrinks again." },
	{ .name = "name",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct attach_options, name),
	  .argument = "NAME",
	  .sentence = "Call the service so; otherwise it has the program's name." },
	{ .name = "timeout",
	  .kind = OPTION_DURATION,
	  .offset = offsetof(struct attach_options, timeout),
	  .argument = "TIME",
	  .standard = "10s",
	  .least = 1,
	  .most = TIMEOUT_MOST,
	  .sentence = "Give up if no safe moment has come by then." },
	{ 0 },
};

/* Beside this program, as in a build tree, or beside the library. */
static int
program_find(const char *library, char *ret, size_t size)
{
	char here[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", here, sizeof(here) - 1);
	const char *slash = strrchr(library, '/');

	here[length > 0 ? length : 0] = '\0';
	if (strrchr(here, '/'))
		*strrchr(here, '/') = '\0';
	(void)snprintf(ret, size, "%s/" PROGRAM, here);
	if (access(ret, X_OK) == 0)
		return 0;
	(void)snprintf(ret, size, "%.*s/" PROGRAM, slash ? (int)(slash - library) : 0, library);
	if (access(ret, X_OK) == 0)
		return 0;
	log_line(PROGRAM " was not found beside %s nor beside %s: install heapd", here, library);
	return -ENOENT;
}

static int
attach_run(void *argument, char **operands)
{
	const struct attach_options *options = argument;
	char program[2 * PATH_MAX], timeout[24], period[48], max_samples[48];
	struct text why = { 0 }, name = { 0 }, dir = { 0 };
	char *library = NULL, *arguments[12];
	size_t n = 0;

#ifndef __x86_64__
	log_line("attaching is for x86-64 so far: start the program under heapd run instead");
	return EXIT_ATTACH_REFUSED;
#endif
	if (preload_library(&library, &why) < 0) {
		log_line("%s", text_string(&why));
		goto out;
	}
	if (program_find(library, program, sizeof(program)) < 0)
		goto out;
	arguments[n++] = program;
	arguments[n++] = options->check ? "check" : "attach";
	arguments[n++] = operands[0];
	arguments[n++] = library;
	if (!options->check) {
		(void)snprintf(timeout, sizeof(timeout), "%" PRIu64, options->timeout);
		arguments[n++] = timeout;
		(void)snprintf(period, sizeof(period), "HEAPD_PERIOD=%" PRIu64, options->period);
		arguments[n++] = period;
		if (options->max_samples) {
			(void)snprintf(max_samples, sizeof(max_samples), "HEAPD_MAX_SAMPLES=%" PRIu64,
				       options->max_samples);
			arguments[n++] = max_samples;
		}
		if (options->name) {
			text_printf(&name, "HEAPD_NAME=%s", options->name);
			arguments[n++] = name.data;
		}
		if (getenv("HEAPD_DIR")) {
			text_printf(&dir, "HEAPD_DIR=%s", getenv("HEAPD_DIR"));
			arguments[n++] = dir.data;
		}
	}
	arguments[n] = NULL;
	if (!name.failed && !dir.failed)
		execv(program, arguments);
	log_line("cannot start %s: %s", program, strerror(errno));
out:
	text_done(&name);
	text_done(&dir);
	text_done(&why);
	free(library);
	return EXIT_FAILED;
}

const struct command attach_command = {
	.name = "attach",
	.operands = "PID",
	.sentence = "Sample a program that runs already.",
	.description =
		"What it had allocated before is not in its profile. It is not restarted, and one of its threads "
		"stops for some\n"
		"milliseconds. Exit status: 3 if it cannot be attached to, 4 if no safe moment came in time, 5 if "
		"it went wrong on\n"
		"the way; in each case the process goes on as it was. It is sampled until it ends.",
	.options = attach_table,
	.size = sizeof(struct attach_options),
	.operands_least = 1,
	.operands_most = 1,
	.run = attach_run,
};
