/* reply.h - what a route answers: a status, a type and bytes that several connections may share.
 * Threads: a reply belongs to one thread; the bytes behind it are reference-counted and never change.
 */
#ifndef HEAPD_REPLY_H
#define HEAPD_REPLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "text.h"

#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_HTML "text/html; charset=utf-8"
#define TYPE_JSON "application/json"
#define TYPE_BINARY "application/octet-stream"
#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"

struct blob {
	_Atomic unsigned refs;
	size_t size;
	char *data;
};

struct blob *blob_new(char *data,
		      size_t size); /* takes data, which was malloced; NULL (and data freed) without memory */
size_t blob_bytes(void); /* of all there are */
struct blob *blob_ref(struct blob *b);
void blob_unref(struct blob *b); /* NULL is fine */

struct reply {
	unsigned status;
	const char *type; /* TYPE_* */
	const char *attachment; /* file name for Content-Disposition, or NULL; static */
	const char *allow; /* for 405; static */
	struct blob *location; /* for redirects, terminated */
	bool go_error; /* X-Go-Pprof: 1, which makes go tool pprof show the text */
	bool compress; /* gzip it if the client asks: pages, tables; not profiles, which are packed already */
	bool close; /* and end the connection */
	unsigned retry_after; /* seconds; 0: not said */
	struct blob *body; /* NULL: empty */
};

/* Status and a sentence for the user as text/plain; a newline is added. Replaces whatever *to held. */
void reply_error(struct reply *to, unsigned status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* 200 and the text, which is empty afterwards; an incomplete text becomes a 500. */
void reply_text(struct reply *to, const char *type, struct text *body);

/* 200 and malloced bytes, which are taken over. */
void reply_bytes(struct reply *to, const char *type, char *data, size_t size);

void reply_redirect(struct reply *to, unsigned status, const char *location);

void reply_copy(struct reply *to, const struct reply *from); /* shares the bytes */
void reply_done(struct reply *r);

#endif
