/* request.h - one HTTP request as the routes see it, and the reply they give. Plain data: libmicrohttpd stays in server.c.
 *
 * The path is taken apart before it is decoded, so an encoded slash cannot change the route and a NUL cannot hide its end.
 * Threads: a request belongs to the thread of its connection.
 */
#ifndef HEAPD_REQUEST_H
#define HEAPD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "text.h"

#define REQUEST_SEGMENTS 12
#define REQUEST_PARAMETERS 32
#define REQUEST_BODY_MAX (8 << 20) /* bytes: a POST to symbol of 400,000 addresses */

enum method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_OTHER };

struct parameter {
	char *name, *value; /* decoded */
};

struct request {
	enum method method;
	char *uri; /* raw, as on the wire */
	char *query; /* raw part behind '?', in uri; "" if none */
	char *decoded; /* storage of segments[] and parameters[] */
	char *segments[REQUEST_SEGMENTS]; /* of the path, decoded; "/a/b/" is "a", "b", "" */
	size_t n_segments;
	struct parameter parameters[REQUEST_PARAMETERS];
	size_t n_parameters;

	/* Set by the server. */
	bool http_1_1;
	unsigned hosts, lengths, encodings, authorizations; /* how many such headers came */
	uint64_t length; /* of the body, as announced */
	struct address local; /* which of our addresses it came to; size 0: unknown */
	const char *host, *origin, *authorization; /* borrowed from the connection; NULL: none */
	bool accepts_gzip;
	struct text body;
	bool body_too_large;
	int peer; /* the connection's socket, to notice that the client has gone */
	int stop; /* polls readable when the server stops */
};

/* Take apart "/path?query". 0, -EINVAL for what no client of ours sends (absolute form, NUL, bad escape, control bytes,
 * too many pieces) or -ENOMEM. The request owns a copy. */
int request_parse(struct request *r, const char *uri);
void request_done(struct request *r);

/* The first parameter of this name, or NULL. */
const char *request_parameter(const struct request *r, const char *name);

/* Does an Accept-Encoding header ask for gzip? NULL and q=0 do not. */
bool request_accepts_gzip(const char *accept_encoding);

/* Let so much time pass, unless the client or the server goes first. 0, -ECONNRESET or -ESHUTDOWN. */
int request_wait(const struct request *r, uint64_t ms);

#endif
