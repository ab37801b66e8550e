/* guard.c - the checks that come before any route. */
#include "guard.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "text_file.h"

static bool
same_name(const char *a, const char *b, size_t b_length)
{
	for (size_t i = 0; i < b_length; i++)
		if (tolower((unsigned char)a[i]) != tolower((unsigned char)b[i]))
			return false; /* the end of a as well */
	return a[b_length] == '\0';
}

static bool
host_admitted(const struct guard *g, const struct address *local, const char *host)
{
	static const char *const always[] = { "localhost", "127.0.0.1", "[::1]" };
	const char *bracket = strrchr(host, ']'), *colon = strrchr(bracket ? bracket : host, ':');
	size_t length = colon ? (size_t)(colon - host) : strlen(host);
	char own[ADDRESS_TEXT];
	uint64_t port;

	if (colon && (number_parse(colon + 1, &port) < 0 || port != address_port(&g->listen)))
		return false;
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		if (same_name(always[i], host, length))
			return true;
	/* Where it listens everywhere, it is called by the address that the client found it at. No name that somebody else
	 * can point here is a numeric address. */
	if (same_name(address_host(local->size > 0 ? local : &g->listen, own, sizeof(own)), host, length))
		return true;
	for (const char *const *name = g->allow_hosts; name && *name; name++)
		if (same_name(*name, host, length))
			return true;
	return false;
}

static bool
origin_admitted(const struct guard *g, const struct request *r)
{
	const char *host = strstr(r->origin, "://");

	return host && host_admitted(g, &r->local, host + 3);
}

/* Takes as long for a wrong token as for the right one: every byte of what was sent is looked at. */
static bool
token_equal(const char *token, const char *given, size_t given_length)
{
	size_t length = strlen(token);
	unsigned difference = length != given_length;

	for (size_t i = 0; i < given_length; i++)
		difference |= (unsigned char)given[i] ^ (unsigned char)token[i % length];
	return difference == 0;
}

static int
base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* "user:password" of Basic authorization. Returns its length, 0 if it is no base64 or too long. */
static size_t
base64_decode(const char *from, char *to, size_t size)
{
	unsigned bits = 0, n_bits = 0;
	size_t n = 0;

	for (; *from && *from != '='; from++) {
		int digit = base64_digit(*from);

		if (digit < 0 || n == size)
			return 0;
		bits = bits << 6 | (unsigned)digit;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			to[n++] = (char)(bits >> n_bits);
		}
	}
	return n;
}

/* Bearer for programs; Basic with the token as the password for clients that only take http://user:password@host, such as
 * go tool pprof. */
static bool
token_admitted(const char *token, const char *authorization)
{
	char pair[512];
	const char *password;
	size_t length;

	if (!authorization)
		return false;
	if (same_name("bearer ", authorization, 7))
		return token_equal(token, authorization + 7, strlen(authorization + 7));
	length = strcspn(authorization, " ");
	if (length != 5 || !same_name("basic", authorization, 5) || !authorization[5])
		return false;
	length = base64_decode(authorization + 6, pair, sizeof(pair));
	password = memchr(pair, ':', length);
	if (!password)
		return false;
	password++;
	return token_equal(token, password, length - (size_t)(password - pair));
}

bool
guard_admits(const struct guard *g, const struct request *r, struct reply *to)
{
	/* Two lengths, or a length and a coding, mean that somebody in between may see another end of this request. */
	if (r->lengths > 1 || r->encodings > 1 || (r->lengths > 0 && r->encodings > 0)) {
		reply_error(to, 400, "The request says more than once how long it is");
		to->close = true;
		return false;
	}
	if (r->hosts > 1 || (r->hosts == 0 && r->http_1_1)) {
		reply_error(to, 400, "The request needs exactly one Host header");
		to->close = true;
		return false;
	}
	if (r->hosts == 1 && !host_admitted(g, &r->local, r->host)) {
		reply_error(
			to, 421,
			"This heapd does not answer for the host %.200s. Use the address it listens on, or start it "
			"with --allow-host",
			r->host);
		return false;
	}
	/* A page of somebody else in a browser here could not read the answer, but make us work for it. */
	if (r->origin && !origin_admitted(g, r)) {
		reply_error(to, 403, "This heapd answers no requests of pages from %.200s", r->origin);
		return false;
	}
	if (r->authorizations > 1) {
		reply_error(to, 400, "The request has several Authorization headers");
		to->close = true;
		return false;
	}
	if (g->token && !token_admitted(g->token, r->authorization)) {
		reply_error(to, 401,
			    "This heapd wants its token: Authorization: Bearer TOKEN, or heapd:TOKEN@ before the host "
			    "in the URL for go tool pprof");
		return false;
	}
	return true;
}

int
token_read(const char *path, char **ret)
{
	char *token;
	size_t length;
	int r = text_file_read(path, true, TOKEN_MAX + 256, &token);

	if (r < 0)
		return r == -EFBIG ? -EINVAL : r;
	length = strcspn(token, "\r\n");
	token[length] = '\0';
	for (size_t i = 0; i < length; i++)
		if (token[i] <= ' ' || token[i] > '~')
			r = -EINVAL;
	if (length < TOKEN_MIN || length > TOKEN_MAX)
		r = -EINVAL;
	if (r < 0)
		free(token);
	else
		*ret = token;
	return r;
}
