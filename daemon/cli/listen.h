/* listen.h - the options about listening that serve and run share, and the socket they lead to. */
#ifndef HEAPD_LISTEN_H
#define HEAPD_LISTEN_H

#include "guard.h"
#include "options.h"
#include "tls.h"

struct listen_options {
	const char *listen; /* ADDR:PORT; NULL: ADDRESS_DEFAULT, or a free port if that one is taken */
	const char *token_file, *tls_cert, *tls_key; /* NULL: none */
	struct option_list allow_hosts;
};

/* Rows for a command whose struct holds a struct listen_options at `at`. */
#define LISTEN_OPTIONS(at, standard_listen)                                                                           \
	{ .name = "listen",                                                                                           \
	  .kind = OPTION_TEXT,                                                                                        \
	  .offset = (at) + offsetof(struct listen_options, listen),                                                   \
	  .argument = "ADDR:PORT",                                                                                    \
	  .standard = (standard_listen),                                                                              \
	  .sentence = "Serve HTTP there; port 0 takes a free one." },                                                 \
		{ .name = "allow-host",                                                                               \
		  .kind = OPTION_LIST,                                                                                \
		  .offset = (at) + offsetof(struct listen_options, allow_hosts),                                      \
		  .argument = "NAME",                                                                                 \
		  .sentence = "Also answer requests for this host name; may be given several times." },               \
		{ .name = "token-file",                                                                               \
		  .kind = OPTION_TEXT,                                                                                \
		  .offset = (at) + offsetof(struct listen_options, token_file),                                       \
		  .argument = "FILE",                                                                                 \
		  .sentence = "Answer only requests that carry the token in this file; needed beyond "                \
			      "loopback." },                                                                          \
		{ .name = "tls-cert",                                                                                 \
		  .kind = OPTION_TEXT,                                                                                \
		  .offset = (at) + offsetof(struct listen_options, tls_cert),                                         \
		  .argument = "FILE",                                                                                 \
		  .sentence = "Serve HTTPS with the certificate in this file, PEM." },                                \
	{                                                                                                             \
		.name = "tls-key", .kind = OPTION_TEXT, .offset = (at) + offsetof(struct listen_options, tls_key),    \
		.argument = "FILE", .sentence = "The private key of that certificate, PEM, readable for nobody else." \
	}

struct listener {
	int fd; /* listening; -1 once somebody took it over */
	struct guard guard; /* its pointers belong to the options and to this listener */
	char *token;
	struct tls tls;
	char url[128]; /* "http://127.0.0.1:6070/", or https */
};

/* 0 with a listening socket; or EXIT_USAGE or EXIT_FAILED, and a line that tells the user what to do. */
int listener_open(const struct listen_options *options, struct listener *ret);
void listener_close(struct listener *l);

#endif
