/* serve.c - heapd serve: answer for every program that is sampled, until a signal ends it. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "listen.h"
#include "log.h"
#include "server.h"
#include "source.h"

/* Seconds after which it ends without waiting for a request that is being answered. */
#define END_SECONDS 1

struct serve_options {
	struct listen_options listen;
	struct option_list dirs;
};

static const struct option serve_table[] = {
	LISTEN_OPTIONS(offsetof(struct serve_options, listen), ADDRESS_DEFAULT),
	{ .name = "dir",
	  .kind = OPTION_LIST,
	  .offset = offsetof(struct serve_options, dirs),
	  .argument = "DIR",
	  .sentence = "Look for segments there and not in the usual places; may be given several times." },
	{ 0 },
};

static void
end_now(int signal_number)
{
	(void)signal_number;
	_exit(EXIT_OK);
}

static int
serve_run(void *argument, char **operands)
{
	struct serve_options *options = argument;
	struct listener listener = { .fd = -1 };
	struct targets *targets = NULL;
	struct symbols *symbols = NULL;
	struct server *server = NULL;
	struct server_options with;
	sigset_t ends;
	int r, status, number;

	(void)operands;
	/* Before any thread is made: they all inherit it, and sigwait() below gets the signal. */
	(void)sigemptyset(&ends);
	(void)sigaddset(&ends, SIGINT);
	(void)sigaddset(&ends, SIGTERM);
	(void)sigaddset(&ends, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &ends, NULL);
	(void)signal(SIGPIPE, SIG_IGN);

	status = source_check(&options->dirs, true);
	if (status != 0)
		return status;
	status = listener_open(&options->listen, &listener);
	if (status != 0)
		return status;
	status = EXIT_FAILED;
	r = targets_new(options->dirs.n > 0 ? options->dirs.values : NULL, &targets);
	if (r < 0) {
		log_line("cannot look for segments: %s", strerror(-r));
		goto out;
	}
	r = symbols_new(NULL, &symbols);
	if (r < 0) {
		log_line("cannot start the reader of symbols: %s", strerror(-r));
		goto out;
	}
	with = (struct server_options){ listener.fd, listener.guard, &listener.tls, targets, symbols };
	listener.fd = -1;
	r = server_new(&with, &server);
	if (r < 0) {
		log_line("cannot start the HTTP server: %s", strerror(-r));
		goto out;
	}
	log_line("serving on %s", listener.url);
	(void)sigwait(&ends, &number);
	status = EXIT_OK;
out:
	(void)signal(SIGALRM, end_now);
	(void)alarm(END_SECONDS);
	server_free(server);
	symbols_free(symbols);
	targets_free(targets);
	listener_close(&listener);
	return status;
}

const struct command serve_command = {
	.name = "serve",
	.operands = "",
	.sentence = "Serve the profiles of all sampled programs over HTTP.",
	.description = "It finds the programs of its own user, as root those of every user, also in containers and "
		       "chroots, and\n"
		       "ends at SIGTERM or Ctrl-C.",
	.options = serve_table,
	.size = sizeof(struct serve_options),
	.run = serve_run,
};
