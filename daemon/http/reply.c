/* reply.c - building replies. Without memory a reply keeps its status and loses its text: there is always an answer. */
#include "reply.h"

#include <stdlib.h>
#include <string.h>

static _Atomic size_t blobs;

struct blob *
blob_new(char *data, size_t size)
{
	struct blob *b = malloc(sizeof(*b));

	if (!b) {
		free(data);
		return NULL;
	}
	atomic_init(&b->refs, 1);
	b->data = data;
	b->size = size;
	(void)atomic_fetch_add_explicit(&blobs, size, memory_order_relaxed);
	return b;
}

size_t
blob_bytes(void)
{
	return atomic_load_explicit(&blobs, memory_order_relaxed);
}

struct blob *
blob_ref(struct blob *b)
{
	if (b)
		(void)atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void
blob_unref(struct blob *b)
{
	/* acq_rel: whoever frees must see every reader's last access done. */
	if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1) {
		(void)atomic_fetch_sub_explicit(&blobs, b->size, memory_order_relaxed);
		free(b->data);
		free(b);
	}
}

void
reply_error(struct reply *to, unsigned status, const char *format, ...)
{
	struct text raw = { 0 }, body = { 0 };
	va_list arguments;
	char *data;
	size_t size;

	va_start(arguments, format);
	text_vprintf(&raw, format, arguments);
	va_end(arguments);
	reply_done(to);
	to->status = status;
	to->type = TYPE_TEXT;
	to->go_error = true;
	/* Sentences may have lines of their own; what came from names in them must not reach a terminal as it is. */
	for (const char *line = text_string(&raw); *line;) {
		size_t length = strcspn(line, "\n");
		struct text one = { 0 };

		text_add_bytes(&one, line, length);
		text_add_printable(&body, text_string(&one), 0);
		text_add_char(&body, '\n');
		text_done(&one);
		line += length;
		line += *line == '\n';
	}
	text_done(&raw);
	if (text_take(&body, &data, &size) == 0)
		to->body = blob_new(data, size);
}

void
reply_bytes(struct reply *to, const char *type, char *data, size_t size)
{
	reply_done(to);
	to->body = blob_new(data, size);
	if (!to->body) {
		reply_error(to, 500, "Out of memory");
		return;
	}
	to->status = 200;
	to->type = type;
}

void
reply_text(struct reply *to, const char *type, struct text *body)
{
	char *data;
	size_t size;

	if (text_take(body, &data, &size) < 0)
		reply_error(to, 500, "Out of memory");
	else
		reply_bytes(to, type, data, size);
}

void
reply_redirect(struct reply *to, unsigned status, const char *location)
{
	char *copy = strdup(location);

	reply_error(to, status, "See %s", location);
	to->go_error = false;
	to->location = copy ? blob_new(copy, strlen(location)) : NULL;
	if (!to->location)
		reply_error(to, 500, "Out of memory");
}

void
reply_copy(struct reply *to, const struct reply *from)
{
	*to = *from;
	(void)blob_ref(to->body);
	(void)blob_ref(to->location);
}

void
reply_done(struct reply *r)
{
	blob_unref(r->body);
	blob_unref(r->location);
	*r = (struct reply){ 0 };
}
