/* listen.c - see listen.h. */
#include "listen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "log.h"

static int
listener_token(const struct listen_options *options, const struct address *address, char **ret)
{
	int r;

	if (!options->token_file && !address_is_loopback(address)) {
		log_line(
			"--listen %s: others could read the profiles there. Give --token-file FILE with a secret of at "
			"least %d characters, or listen on 127.0.0.1 and forward the port",
			options->listen, TOKEN_MIN);
		return EXIT_USAGE;
	}
	if (!options->token_file)
		return 0;
	r = token_read(options->token_file, ret);
	if (r == 0)
		return 0;
	if (r == -EPERM)
		log_line("--token-file %s: others than its owner can read it; chmod 600 it first", options->token_file);
	else if (r == -EINVAL)
		log_line("--token-file %s: its first line has to be %d to %d printable characters without spaces",
			 options->token_file, TOKEN_MIN, TOKEN_MAX);
	else
		log_line("--token-file %s: %s", options->token_file, strerror(-r));
	return EXIT_FAILED;
}

static int
listener_tls(const struct listen_options *options, const struct address *address, struct tls *ret)
{
	struct text why = { 0 };
	int r = 0;

	if (!options->tls_cert != !options->tls_key) {
		log_line("--tls-cert and --tls-key go together: HTTPS needs a certificate and its private key");
		return EXIT_USAGE;
	}
	if (options->tls_cert)
		r = tls_read(options->tls_cert, options->tls_key, ret, &why);
	else if (!address_is_loopback(address))
		log_line("--listen %s without --tls-cert: the token and the profiles cross the network in clear text",
			 options->listen);
	if (*text_string(&why))
		log_line("%s", text_string(&why));
	text_done(&why);
	return r < 0 ? EXIT_FAILED : 0;
}

int
listener_open(const struct listen_options *options, struct listener *ret)
{
	const char *where = options->listen ? options->listen : ADDRESS_DEFAULT;
	struct listener l = { .fd = -1 };
	char host[ADDRESS_TEXT];
	int r;

	if (address_parse(where, &l.guard.listen) < 0) {
		log_line("--listen %s: expected " ADDRESS_FORM, where);
		return EXIT_USAGE;
	}
	r = listener_token(options, &l.guard.listen, &l.token);
	if (r == 0)
		r = listener_tls(options, &l.guard.listen, &l.tls);
	if (r != 0) {
		listener_close(&l);
		return r;
	}
	l.fd = address_listen(&l.guard.listen);
	if (l.fd == -EADDRINUSE && !options->listen) {
		address_set_port(&l.guard.listen, 0);
		l.fd = address_listen(&l.guard.listen);
	}
	if (l.fd < 0) {
		if (l.fd == -EADDRINUSE)
			log_line("%s is in use by another program, perhaps another heapd. End that one, or choose "
				 "another port with --listen; port 0 takes a free one",
				 where);
		else
			log_line("cannot listen on %s: %s", where, strerror(-l.fd));
		listener_close(&l);
		return EXIT_FAILED;
	}
	l.guard.token = l.token;
	l.guard.allow_hosts = options->allow_hosts.values;
	(void)snprintf(l.url, sizeof(l.url), "%s://%s:%u/", l.tls.certificate ? "https" : "http",
		       address_host(&l.guard.listen, host, sizeof(host)), address_port(&l.guard.listen));
	*ret = l;
	return 0;
}

void
listener_close(struct listener *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	free(l->token);
	l->token = NULL;
	tls_done(&l->tls);
}
