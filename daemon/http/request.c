/* request.c - from the raw request line to pieces that routes can compare. */
#include "request.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decode size bytes at from to a string at to, which becomes *ret_end's predecessor. -EINVAL for %00 and broken escapes. */
static int
escape_decode(const char *from, size_t size, bool plus, char *to, char **ret_end)
{
	for (size_t i = 0; i < size; i++) {
		char c = from[i];

		if (c == '%') {
			int high = i + 1 < size ? hex_digit(from[i + 1]) : -1;
			int low = i + 2 < size ? hex_digit(from[i + 2]) : -1;

			if (high < 0 || low < 0 || (high == 0 && low == 0))
				return -EINVAL;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (plus && c == '+') {
			c = ' ';
		}
		*to++ = c;
	}
	*to++ = '\0';
	*ret_end = to;
	return 0;
}

static int
request_split_path(struct request *r, const char *path, size_t size, char **at)
{
	/* path starts with '/' */
	for (size_t i = 1;;) {
		size_t length = 0;

		while (i + length < size && path[i + length] != '/')
			length++;
		if (r->n_segments == REQUEST_SEGMENTS)
			return -EINVAL;
		r->segments[r->n_segments++] = *at;
		if (escape_decode(path + i, length, false, *at, at) < 0)
			return -EINVAL;
		i += length + 1;
		if (i > size)
			return 0;
	}
}

static int
request_split_query(struct request *r, char **at)
{
	const char *rest = r->query;

	while (*rest) {
		size_t length = strcspn(rest, "&"), name = 0;
		struct parameter *p;

		while (name < length && rest[name] != '=')
			name++;
		if (length > 0) {
			if (r->n_parameters == REQUEST_PARAMETERS)
				return -EINVAL;
			p = &r->parameters[r->n_parameters++];
			p->name = *at;
			if (escape_decode(rest, name, true, *at, at) < 0)
				return -EINVAL;
			p->value = *at;
			if (escape_decode(rest + name + (name < length), length - name - (name < length), true, *at,
					  at) < 0)
				return -EINVAL;
		}
		rest += length;
		rest += *rest == '&';
	}
	return 0;
}

int
request_parse(struct request *r, const char *uri)
{
	size_t size = strlen(uri), path;
	char *at;
	int error;

	if (uri[0] != '/')
		return -EINVAL;
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)uri[i] <= 0x20 || uri[i] == 0x7f)
			return -EINVAL;
	r->uri = strdup(uri);
	/* Every piece is at most as long as its escaped form and gets one terminator, of which there are at most so many. */
	r->decoded = malloc(size + REQUEST_SEGMENTS + 2 * REQUEST_PARAMETERS + 2);
	if (!r->uri || !r->decoded)
		return -ENOMEM;
	path = strcspn(r->uri, "?");
	r->query = r->uri + path + (r->uri[path] == '?');
	at = r->decoded;
	error = request_split_path(r, r->uri, path, &at);
	return error < 0 ? error : request_split_query(r, &at);
}

void
request_done(struct request *r)
{
	free(r->uri);
	free(r->decoded);
	text_done(&r->body);
}

const char *
request_parameter(const struct request *r, const char *name)
{
	for (size_t i = 0; i < r->n_parameters; i++)
		if (strcmp(r->parameters[i].name, name) == 0)
			return r->parameters[i].value;
	return NULL;
}

/* Four bytes, in any case. */
static bool
is_gzip(const char *s)
{
	return (s[0] | 0x20) == 'g' && (s[1] | 0x20) == 'z' && (s[2] | 0x20) == 'i' && (s[3] | 0x20) == 'p';
}

bool
request_accepts_gzip(const char *accept_encoding)
{
	const char *rest = accept_encoding;

	while (rest && *rest) {
		size_t length = strcspn(rest, ","), token;

		while (length > 0 && (*rest == ' ' || *rest == '\t')) {
			rest++;
			length--;
		}
		token = strcspn(rest, ",; \t");
		if (token == 4 && is_gzip(rest)) {
			/* "q=0" and "q=0.000" refuse, any digit above 0 behind the '=' accepts. */
			const char *q = memchr(rest, '=', length);

			return !q || strcspn(q, "123456789") < (size_t)(rest + length - q);
		}
		rest += length;
		rest += *rest == ',';
	}
	return false;
}

static int64_t
now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int
request_wait(const struct request *r, uint64_t ms)
{
	int64_t end = now_ms() + (int64_t)ms;

	for (;;) {
		struct pollfd fds[] = { { .fd = r->peer, .events = POLLIN | POLLRDHUP },
					{ .fd = r->stop, .events = POLLIN } };
		int64_t left = end - now_ms();
		char byte;

		if (left <= 0)
			return 0;
		if (poll(fds, 2, left > 1000000 ? 1000000 : (int)left) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			return -ESHUTDOWN;
		if (fds[0].revents & (POLLERR | POLLHUP | POLLRDHUP))
			return -ECONNRESET;
		if (fds[0].revents & POLLIN) {
			if (recv(r->peer, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
				return -ECONNRESET;
			/* A pipelined request: it stays where it is, and would make every poll return at once. */
			fds[0].events = POLLRDHUP;
			if (poll(fds, 2, (int)(left > 200 ? 200 : left)) < 0 && errno != EINTR)
				return -errno;
			if (fds[1].revents)
				return -ESHUTDOWN;
		}
	}
}
