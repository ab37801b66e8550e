/* fetch.c - heapd fetch: the profile of a target, or of a segment file, into a file. Needs no daemon and no process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "describe.h"
#include "file.h"
#include "log.h"
#include "source.h"

struct fetch_options {
	struct option_list dirs;
	const char *output;
	bool text, json, pprof;
};

static const struct option fetch_table[] = {
	{ .name = "output",
	  .letter = 'o',
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct fetch_options, output),
	  .argument = "FILE",
	  .sentence =
		  "Write there; - is standard output. Otherwise a profile goes to heap.NAME.PID.pb.gz here, and text "
		  "to standard output." },
	{ .name = "pprof",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct fetch_options, pprof),
	  .sentence = "A gzipped profile for go tool pprof; this is what you get anyway." },
	{ .name = "text",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct fetch_options, text),
	  .sentence = "Go's text form, one call stack after the other." },
	{ .name = "json",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct fetch_options, json),
	  .sentence = "All allocating sites as JSON, with standard errors and stacks." },
	DIR_OPTION(offsetof(struct fetch_options, dirs)),
	{ 0 },
};

/* A path or the name of a segment file; otherwise it names a target, although the program may lie right here. */
static bool
is_file(const char *what)
{
	size_t length = strlen(what), suffix = sizeof(HEAPD_SEGMENT_SUFFIX) - 1;

	return strchr(what, '/') || (length > suffix && strcmp(what + length - suffix, HEAPD_SEGMENT_SUFFIX) == 0);
}

static int
moment_from_file(const char *path, struct moment *ret)
{
	int fd, r;

	/* Not a FIFO that would never open, nor a device. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		log_line("%s: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	r = moment_read(fd, ret);
	close(fd);
	if (r < 0) {
		log_line("%s: %s", path, moment_error(r, ret));
		return EXIT_FAILED;
	}
	return 0;
}

static int
moment_from_target(const struct source *s, const char *what, struct moment *ret)
{
	struct selection selection = { 0 };
	int status = source_select(s, what, &selection), r;

	if (status != 0)
		return status;
	r = moment_take(&selection, ret);
	if (r < 0) {
		log_line("target %s cannot be read: %s", selection.targets[0]->id, moment_error(r, ret));
		status = EXIT_FAILED;
	}
	selection_done(&selection);
	return status;
}

/* "heap.redis-server.8123.pb.gz", with nothing in it that a shell or a path would mind. */
static void
default_name(const struct snapshot *s, char *to, size_t size)
{
	char name[sizeof(s->name)];

	(void)snprintf(name, sizeof(name), "%s", s->name);
	for (char *c = name; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '-' ||
		      *c == '_' || (*c == '.' && c > name)))
			*c = '_';
	(void)snprintf(to, size, "heap.%s.%u.pb.gz", name, s->pid);
}

static int
profile_write(const struct fetch_options *options, const struct moment *m, const struct profile *p)
{
	const char *output = options->output;
	bool binary = !options->text && !options->json;
	struct ranking ranking = { 0 };
	char *data = NULL, name[160];
	size_t size = 0;
	int r;

	if (options->text) {
		r = profile_encode_text(p, &data, &size);
	} else if (options->json) {
		struct json j = { 0 };

		r = ranking_new(p, PROFILE_INUSE_SPACE, &ranking);
		if (r == 0) {
			describe_ranking(&j, p, &ranking, PROFILE_INUSE_SPACE, ranking.n);
			r = json_take(&j, &data, &size);
		}
		ranking_done(&ranking);
	} else {
		uint8_t *packed = NULL;

		r = profile_encode_pprof(p, NULL, PROFILE_INUSE_SPACE, false, &packed, &size);
		data = (char *)packed;
		if (!output) {
			default_name(m->snapshots[0], name, sizeof(name));
			output = name;
		}
	}
	if (r < 0)
		log_line("the profile could not be written: %s", strerror(-r));
	else
		r = file_write(output, data, size);
	if (r == 0 && output && strcmp(output, "-") != 0)
		log_line("wrote %s, %zu bytes%s%s", output, size, binary ? "; see it with: go tool pprof -top " : "",
			 binary ? output : "");
	free(data);
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}

static int
fetch_run(void *argument, char **operands)
{
	struct fetch_options *options = argument;
	struct source source = { 0 };
	struct moment moment = { 0 };
	struct profile *profile = NULL;
	bool from_file;
	int status, r;

	if (options->text + options->json + options->pprof > 1) {
		log_line("--pprof, --text and --json exclude each other");
		return EXIT_USAGE;
	}
	if (!options->text && !options->json && options->output && strcmp(options->output, "-") == 0 &&
	    isatty(STDOUT_FILENO)) {
		log_line("a profile is not for reading: give -o FILE, or --text");
		return EXIT_USAGE;
	}
	/* A file comes first: whoever opens the directories tidies them up, and it may be just what is too old. */
	from_file = operands[0] && is_file(operands[0]);
	status = from_file ? moment_from_file(operands[0], &moment) : 0;
	if (status == 0)
		status = source_open(&options->dirs, true, &source);
	if (status == 0 && !from_file)
		status = moment_from_target(&source, operands[0], &moment);
	if (status != 0)
		goto out;
	r = moment_profile(&moment, source.symbols, &profile);
	if (r < 0) {
		log_line("the profile could not be built: %s", strerror(-r));
		status = EXIT_FAILED;
		goto out;
	}
	status = profile_write(options, &moment, profile);
out:
	profile_free(profile);
	moment_done(&moment);
	source_close(&source);
	return status;
}

const struct command fetch_command = {
	.name = "fetch",
	.operands = "[TARGET|SEGMENT-FILE]",
	.sentence = "Write the profile of a program, running or ended, to a file.",
	.description =
		"TARGET is an id, a pid or a name as heapd list shows them; it may be left out if there is only one.",
	.options = fetch_table,
	.size = sizeof(struct fetch_options),
	.operands_most = 1,
	.run = fetch_run,
};
