/* request.c - a whole request as it comes from a stranger: request line, headers, body; through request_parse(), the guard
 * and the routes, as server.c calls them. Three programs are served.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "fuzz.h"
#include "guard.h"
#include "served.h"

static const char *const allowed[] = { "heapd.example", NULL };

/* The next line without its end, terminated in place; NULL behind the last. */
static char *
line_take(char **at)
{
	char *line = *at, *newline = strchr(line, '\n');

	if (!*line)
		return NULL;
	*at = newline ? newline + 1 : line + strlen(line);
	line[strcspn(line, "\r\n")] = '\0';
	return line;
}

static void
header_take(struct request *q, const char *name, const char *value)
{
	if (strcasecmp(name, "Host") == 0) {
		q->hosts++;
		q->host = value;
	} else if (strcasecmp(name, "Content-Length") == 0) {
		q->lengths++;
	} else if (strcasecmp(name, "Transfer-Encoding") == 0) {
		q->encodings++;
	} else if (strcasecmp(name, "Origin") == 0) {
		q->origin = value;
	} else if (strcasecmp(name, "Authorization") == 0) {
		q->authorizations++;
		q->authorization = value;
	} else if (strcasecmp(name, "Accept-Encoding") == 0) {
		q->accepts_gzip |= request_accepts_gzip(value);
	}
}

/* Everything from the first segment to the last value, so that the sanitizer sees each byte. */
static size_t
read_all(const struct request *q)
{
	size_t n = strlen(q->query);

	MUST(q->n_segments >= 1 && q->n_segments <= REQUEST_SEGMENTS && q->n_parameters <= REQUEST_PARAMETERS);
	for (size_t i = 0; i < q->n_segments; i++)
		n += strlen(q->segments[i]);
	for (size_t i = 0; i < q->n_parameters; i++)
		n += strlen(q->parameters[i].name) + strlen(q->parameters[i].value);
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = { bytes, size };
	char *text = input_string(&in, size), *at = text, *line = line_take(&at), *method, *uri, *version, *colon;
	struct request q = { 0 };
	struct reply refusal = { 0 };
	struct guard guard = { .allow_hosts = allowed, .token = size % 3 == 0 ? "0123456789abcdef" : NULL };
	int r;

	MUST(address_parse("127.0.0.1:6070", &guard.listen) == 0);
	method = line ? strsep(&line, " ") : NULL;
	uri = line ? strsep(&line, " ") : NULL;
	version = line;
	if (!uri)
		goto out;
	q.method = strcmp(method, "GET") == 0    ? METHOD_GET
		   : strcmp(method, "HEAD") == 0 ? METHOD_HEAD
		   : strcmp(method, "POST") == 0 ? METHOD_POST
						 : METHOD_OTHER;
	q.http_1_1 = version && strcmp(version, "HTTP/1.1") == 0;
	r = request_parse(&q, uri);
	MUST(r == 0 || r == -EINVAL);
	if (r < 0)
		goto out;
	MUST(read_all(&q) <= 2 * strlen(uri)); /* the query twice, raw and decoded */
	while ((line = line_take(&at)) != NULL && *line) {
		colon = strchr(line, ':');
		if (!colon)
			continue;
		*colon++ = '\0';
		header_take(&q, line, colon + strspn(colon, " \t"));
	}
	text_add(&q.body, at);
	if (guard_admits(&guard, &q, &refusal)) {
		MUST(q.hosts <= 1 && q.lengths <= 1 && q.encodings <= 1 && q.authorizations <= 1);
		served_answer(served(3), &q, 0);
		q = (struct request){ 0 };
	} else {
		MUST(refusal.status == 400 || refusal.status == 401 || refusal.status == 403 || refusal.status == 421);
		reply_done(&refusal);
	}
out:
	request_done(&q);
	free(text);
	return 0;
}
