/* server.h - the HTTP server: threads, sockets, deadlines. What it answers stands in routes.h.
 *
 * It also keeps the targets up to date (targets_poll), because somebody has to and it has the thread.
 * Threads: started and freed by one; everything inside takes care of itself.
 */
#ifndef HEAPD_SERVER_H
#define HEAPD_SERVER_H

#include "guard.h"
#include "symbols.h"
#include "targets.h"
#include "tls.h"

struct server;

struct server_options {
	int listen_fd; /* as address_listen() made it; the server takes it over, also when it fails */
	struct guard guard; /* its pointers stay borrowed */
	const struct tls *tls; /* borrowed; NULL or all zero: plain HTTP */
	struct targets *targets; /* borrowed, until server_free */
	struct symbols *symbols; /* borrowed, until server_free */
};

/* Starts serving. 0 or -errno. Signals stay blocked in its threads as they are in the caller. */
int server_new(const struct server_options *options, struct server **ret);

/* Stops: connections are cut, waiting requests end. NULL is fine. */
void server_free(struct server *s);

#endif
