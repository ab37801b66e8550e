/* connections.h - deadlines for connections.
 *
 * libmicrohttpd ends a connection that is silent; it lets one live that sends a byte a second. So every connection has an
 * absolute deadline here for each part of its life, and whoever sweeps shuts down the sockets that are late. The owner of
 * the socket notices and closes it; a socket is never touched after connection_end().
 * Threads: any.
 */
#ifndef HEAPD_CONNECTIONS_H
#define HEAPD_CONNECTIONS_H

#include <stddef.h>
#include <stdint.h>

#define CONNECTIONS_MAX 128
#define CONNECTIONS_CROWDED 112 /* from here on the longest idle one makes room for a new one */
#define CONNECTIONS_LEAVING 1024 /* with those that were told to go, whose threads may be slow on a busy machine */
#define CONNECTION_REQUEST_MS 10000 /* from accept, or from the end of the last answer, to the end of a request */
#define CONNECTION_REPLY_MS 30000 /* for a reply, plus what its size takes at the rate below */
#define CONNECTION_REPLY_RATE 16384 /* bytes a second */

struct connections;
struct connection;

int connections_new(struct connections **ret);
void connections_free(struct connections *c);

/* A connection came: it has CONNECTION_REQUEST_MS to say what it wants. NULL without memory. */
struct connection *connection_begin(struct connections *c, int fd);
void connection_end(struct connections *c, struct connection *one); /* NULL is fine */

/* Its request is whole: no deadline while the answer is made. */
void connection_work(struct connections *c, struct connection *one);
/* A reply of so many bytes is on its way. */
void connection_reply(struct connections *c, struct connection *one, size_t bytes);
/* It is out: the next request may come. */
void connection_idle(struct connections *c, struct connection *one);

/* Replies hold too much memory: shut down the connection that has been reading the longest. */
void connections_relieve(struct connections *c);

/* Shut down whatever is late at that time, in milliseconds of CLOCK_MONOTONIC. To be called about twice a second. */
void connections_sweep(struct connections *c, int64_t now_ms);

#endif
