/* run.c - heapd run: start a program under the sampler, serve its profile while it runs, keep the last one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "cli.h"
#include "ended.h"
#include "file.h"
#include "listen.h"
#include "log.h"
#include "moment.h"
#include "number.h"
#include "preload.h"
#include "program.h"
#include "rundir.h"
#include "server.h"

/* How often it looks for new and ended processes: seldom if it only helps out where there is no server, often if it has to
 * copy the ended ones before they are cleared away. */
#define LOOK_MS 2000
#define GATHER_MS 200

struct run_options {
	struct listen_options listen;
	uint64_t period, max_samples;
	const char *name, *output;
	bool quiet, no_serve;
};

static const struct option run_table[] = {
	{ .name = "period",
	  .letter = 'p',
	  .kind = OPTION_SIZE,
	  .offset = offsetof(struct run_options, period),
	  .argument = "N",
	  .least = 1,
	  .most = HEAPD_PERIOD_MAX,
	  .sentence =
		  "Sample one allocation every N bytes in the mean: 512k unless HEAPD_PERIOD says otherwise; 1 samples "
		  "all." },
	{ .name = "max-samples",
	  .kind = OPTION_COUNT,
	  .offset = offsetof(struct run_options, max_samples),
	  .argument = "N",
	  .least = 1,
	  .most = MAX_SAMPLES_MOST,
	  .sentence =
		  "Take about N samples a second at most in each process: the period grows by itself when the program "
		  "allocates faster, and shrinks again." },
	{ .name = "name",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct run_options, name),
	  .argument = "NAME",
	  .sentence = "Call the service so; otherwise every program has its own name." },
	{ .name = "output",
	  .letter = 'o',
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct run_options, output),
	  .argument = "FILE",
	  .sentence = "When the program ends, write the profile of all its processes there, for go tool pprof." },
	{ .name = "quiet",
	  .letter = 'q',
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct run_options, quiet),
	  .sentence = "Say nothing unless something goes wrong." },
	{ .name = "no-serve",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct run_options, no_serve),
	  .sentence = "Do not serve HTTP." },
	LISTEN_OPTIONS(offsetof(struct run_options, listen), NULL),
	{ 0 },
};

struct run {
	struct run_options *options;
	const char *command;
	struct program program;
	struct rundir dir;
	struct listener listener;
	struct child child;
	struct targets *targets;
	struct symbols *symbols;
	struct server *server;
	struct ended ended; /* for --output */
};

/* -- before the program -- */

static int
output_check(const char *path)
{
	int fd;

	if (!path || strcmp(path, "-") == 0)
		return 0;
	/* Better now than after an hour's run. Nothing is cut off yet. */
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
	if (fd < 0) {
		log_line("--output %s: %s", path, strerror(errno));
		return EXIT_RUN_REFUSED;
	}
	close(fd);
	return 0;
}

/* Where --period is not given, the environment's, which the sampler would otherwise pass over in silence if it is no size. */
static int
period_check(struct run_options *options)
{
	const char *wanted = getenv("HEAPD_PERIOD");

	if (options->period || !wanted)
		return 0;
	if (size_parse(wanted, &options->period) == 0 && options->period >= 1 && options->period <= HEAPD_PERIOD_MAX)
		return 0;
	log_line("HEAPD_PERIOD=%s in the environment: the period must be " SIZE_FORM ", at least 1", wanted);
	return EXIT_USAGE;
}

/* Likewise; here 0 is as good as none. */
static int
max_samples_check(struct run_options *options)
{
	const char *wanted = getenv("HEAPD_MAX_SAMPLES");

	if (options->max_samples || !wanted)
		return 0;
	if (number_parse(wanted, &options->max_samples) == 0 && options->max_samples <= MAX_SAMPLES_MOST)
		return 0;
	log_line("HEAPD_MAX_SAMPLES=%s in the environment: the ceiling must be a whole number of samples a second, 0 "
		 "for none",
		 wanted);
	return EXIT_USAGE;
}

static int
options_check(struct run_options *options)
{
	if (options->name && strlen(options->name) > sizeof(((struct heapd_header *)0)->name) - 1) {
		log_line("--name %s: at most %zu bytes", options->name, sizeof(((struct heapd_header *)0)->name) - 1);
		return EXIT_USAGE;
	}
	if (options->output && strcmp(options->output, "-") == 0) {
		log_line("--output -: standard output belongs to the program; name a file");
		return EXIT_USAGE;
	}
	if (period_check(options) != 0 || max_samples_check(options) != 0)
		return EXIT_USAGE;
	return output_check(options->output);
}

static int
run_prepare(struct run *run)
{
	struct text why = { 0 };
	int status = options_check(run->options);

	if (status != 0)
		return status;
	status = program_check(run->command, &run->program, &why);
	if (status == 0 && rundir_new(&run->dir, &why) < 0)
		status = EXIT_RUN_REFUSED;
	if (status != 0)
		log_line("%s", text_string(&why));
	text_done(&why);
	if (status == 0 && !run->options->no_serve) {
		status = listener_open(&run->options->listen, &run->listener);
		if (status == EXIT_FAILED)
			status = EXIT_RUN_REFUSED;
	}
	return status;
}

static int
run_start(struct run *run, char **argv)
{
	struct preload_options with = { NULL, run->dir.path, run->options->name, run->options->period,
					run->options->max_samples };
	struct text why = { 0 };
	char **environment = NULL, *library = NULL;
	int status = 0, r;

	if (run->program.sanitizer) {
		log_line("%s is built with %s, which brings its own allocator: running it without heapd",
			 run->program.path, run->program.sanitizer);
	} else if (preload_find(&library, &why) < 0) {
		log_line("%s", text_string(&why));
		status = EXIT_RUN_REFUSED;
		goto out;
	} else {
		if (run->program.allocator)
			log_note("%s has %s inside, under names of its own: what it allocates there is not seen",
				 run->program.path, run->program.allocator);
		with.library = library;
		environment = preload_environment(&with);
		if (!environment) {
			log_line("out of memory");
			status = EXIT_RUN_REFUSED;
			goto out;
		}
	}
	r = child_start(run->program.path, argv, environment ? environment : environ, &run->child);
	if (r == -ENOEXEC) {
		/* A script without "#!", which execvp() would hand to the shell as well. */
		size_t n = 0;
		char **shell;

		while (argv[n])
			n++;
		shell = calloc(n + 2, sizeof(*shell));
		if (shell) {
			char name[] = "/bin/sh";

			shell[0] = name;
			shell[1] = run->program.path;
			for (size_t i = 1; i < n; i++)
				shell[i + 1] = argv[i];
			r = child_start(name, shell, environment ? environment : environ, &run->child);
		}
		free(shell);
	}
	if (r == 0)
		rundir_program(&run->dir, run->child.pid);
	if (r < 0) {
		log_line("cannot start %s: %s", run->command, strerror(-r));
		status = r == -ENOENT ? EXIT_RUN_NOT_FOUND : EXIT_RUN_NOT_EXECUTABLE;
	}
out:
	free(environment);
	free(library);
	text_done(&why);
	return status;
}

/* -- while it runs -- */

/* From here on the program runs, and whatever fails costs its profile only. */
static void
run_serve(struct run *run)
{
	const char *dirs[] = { run->dir.path, NULL };
	struct server_options with;
	int r;

	if (run->program.sanitizer)
		return; /* nothing to follow: run_start() said so */
	r = targets_new(dirs, &run->targets);
	if (r == 0)
		r = symbols_new(NULL, &run->symbols);
	if (r < 0) {
		log_line("cannot follow %s, letting it run alone: %s", run->command, strerror(-r));
		return;
	}
	if (run->options->no_serve) {
		log_note("%s runs as pid %d; look at it with: heapd top", run->command, (int)run->child.pid);
		return;
	}
	with = (struct server_options){ run->listener.fd, run->listener.guard, &run->listener.tls, run->targets,
					run->symbols };
	run->listener.fd = -1;
	r = server_new(&with, &run->server);
	if (r < 0)
		log_line("cannot serve, going on without: %s", strerror(-r));
	else
		log_note("%s runs as pid %d; its profile: go tool pprof %sdebug/pprof/heap", run->command,
			 (int)run->child.pid, run->listener.url);
}

static int
run_wait(struct run *run)
{
	uint64_t pause = run->options->output ? GATHER_MS : LOOK_MS;
	int status = 0, r;

	while ((r = child_wait(&run->child, pause, &status)) == 0) {
		if (run->targets && !run->server)
			(void)targets_poll(run->targets);
		if (run->targets && run->options->output)
			ended_gather(&run->ended, run->targets);
	}
	if (r < 0)
		log_line("lost sight of %s: %s", run->command, strerror(-r));
	return r < 0 ? EXIT_FAILED << 8 : status;
}

/* -- after it -- */

/* The first snapshot names the profile: that of the program itself, if it was sampled. */
static void
main_first(struct moment *m, uint32_t pid)
{
	for (size_t i = 1; i < m->n; i++) {
		if (m->snapshots[i]->pid == pid && m->snapshots[0]->pid != pid) {
			struct snapshot *first = m->snapshots[0];
			uint32_t first_pid = m->pids[0];

			m->snapshots[0] = m->snapshots[i];
			m->pids[0] = m->pids[i];
			m->snapshots[i] = first;
			m->pids[i] = first_pid;
		}
	}
}

static void
output_write(const struct run *run, struct moment *m)
{
	struct profile *profile = NULL;
	uint8_t *data = NULL;
	size_t size = 0;
	int r;

	main_first(m, (uint32_t)run->child.pid);
	r = moment_profile(m, run->symbols, &profile);
	if (r == 0)
		r = profile_encode_pprof(profile, NULL, PROFILE_INUSE_SPACE, false, &data, &size);
	if (r < 0)
		log_line("the profile could not be built: %s", strerror(-r));
	else if (file_write(run->options->output, data, size) == 0)
		log_note("wrote %s, %zu process%s; see it with: go tool pprof -top %s", run->options->output, m->n,
			 m->n == 1 ? "" : "es", run->options->output);
	free(data);
	profile_free(profile);
}

static void
tell_end(const struct run *run, const struct selection *all, uint64_t lost)
{
	const struct target *shown = NULL;
	size_t alive = 0;

	for (size_t i = 0; i < all->n; i++) {
		alive += atomic_load_explicit(&all->targets[i]->alive, memory_order_relaxed);
		if (!shown || all->targets[i]->pid == (uint32_t)run->child.pid)
			shown = all->targets[i];
	}
	if (alive > 0)
		log_note("%s has ended, but %zu of its processes go on; follow them with: heapd serve, heapd list",
			 run->command, alive);
	else if (all->n == 1)
		log_note("%s has ended; its last profile: heapd top %s, heapd fetch %s", run->command, shown->id,
			 shown->id);
	else if (all->n > 1)
		log_note("%s has ended; the last profiles of %zu of its processes: heapd list, heapd top %s",
			 run->command, all->n, shown->id);
	if (lost > 0)
		log_note("%llu more processes had ended and were cleared away to save memory; they are in no profile",
			 (unsigned long long)lost);
}

static void
run_finish(struct run *run)
{
	struct selection all = { 0 };
	uint64_t lost, gone = 0;

	/* No more questions while the last answer is written. */
	server_free(run->server);
	run->server = NULL;
	if (!run->targets || !run->symbols)
		return;
	if (run->options->output)
		ended_gather(&run->ended, run->targets);
	/* The second time takes note of what the first removed. */
	(void)targets_poll(run->targets);
	(void)targets_poll(run->targets);
	if (selection_all(run->targets, &all) < 0) {
		log_line("out of memory: the last profile is not shown");
		return;
	}
	if (all.n == 0 && rundir_full(&run->dir))
		log_line("no profile of %s: %s has no room left for one. Make room on that tmpfs, or set HEAPD_DIR to "
			 "a directory on another",
			 run->command, run->dir.path);
	else if (all.n == 0 && !run->program.sanitizer)
		log_note("no allocation of %s was sampled: it allocated little (a smaller --period, such as 4k, sees "
			 "more), or changed its root directory first, or started the rest without LD_PRELOAD, or that "
			 "cannot be sampled (man heapd: static, musl's, 32-bit, setuid, with a malloc inside)",
			 run->command);
	if (run->options->output) {
		gone = ended_complete(&run->ended, run->targets);
		output_write(run, &run->ended.moment);
	}
	lost = targets_removed(run->targets) + run->ended.no_room;
	tell_end(run, &all, lost > gone ? lost - gone : 0);
	selection_done(&all);
}

static int
run_run(void *argument, char **operands)
{
	struct run run = { .options = argument, .command = operands[0], .listener = { .fd = -1 } };
	int status, end = 0;

	log_quiet(run.options->quiet);
	status = run_prepare(&run);
	if (status == 0)
		status = run_start(&run, operands);
	if (status != 0)
		goto out;
	(void)signal(SIGPIPE, SIG_IGN);
	run_serve(&run);
	end = run_wait(&run);
	run_finish(&run);
out:
	ended_done(&run.ended);
	symbols_free(run.symbols);
	targets_free(run.targets);
	listener_close(&run.listener);
	rundir_done(&run.dir);
	program_done(&run.program);
	if (status == 0)
		child_mirror(&run.child, end);
	return status;
}

const struct command run_command = {
	.name = "run",
	.operands = "-- CMD [ARG...]",
	.sentence = "Run a program under the sampler and serve its profile while it runs.",
	.description = "Input, output, signals and exit status are the program's own. Its last profile stays readable "
		       "after it has\n"
		       "ended: heapd list, top and fetch show it.",
	.options = run_table,
	.size = sizeof(struct run_options),
	.operands_least = 1,
	.operands_most = ~0u,
	.operands_end_options = true,
	.run = run_run,
};
