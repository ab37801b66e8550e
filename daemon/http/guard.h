/* guard.h - which requests are let in at all.
 *
 * Any page in a browser on this machine may send requests to a loopback port; what stops it from reading the answers is
 * that its Host is not one of ours. Beyond loopback a token is needed too.
 * Threads: a guard is read only once it is made.
 */
#ifndef HEAPD_GUARD_H
#define HEAPD_GUARD_H

#include "address.h"
#include "reply.h"
#include "request.h"

struct guard {
	struct address listen;
	const char *const *allow_hosts; /* further names, NULL-terminated; borrowed; NULL: none */
	const char *token; /* NULL: none needed; borrowed */
};

/* True, or false with the refusal in *to. */
bool guard_admits(const struct guard *g, const struct request *r, struct reply *to);

/* The token in a file: its first line, TOKEN_MIN to TOKEN_MAX bytes of printable ASCII without spaces, in a file that is a
 * secret as text_file_read() understands it. 0 and a malloced string, -EINVAL (too short, too long or not text), -EPERM
 * (not kept secret) or -errno. */
#define TOKEN_MIN 16
#define TOKEN_MAX 256
int token_read(const char *path, char **ret);

#endif
