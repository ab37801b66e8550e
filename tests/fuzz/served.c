/* served.c - see served.h. */
#include "served.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_segment.h"
#include "fuzz.h"
#include "json.h"
#include "shm_dir.h"
#include "targets.h"
#include "utf8.h"

extern __typeof__(request_wait) __wrap_request_wait;

/* Time passes at once. */
int
__wrap_request_wait(const struct request *r, uint64_t ms)
{
	(void)r;
	MUST(ms >= 1000 && ms <= 1000 * SECONDS_MAX);
	return 0;
}

static void
put_target(const char *directory, const char *name, uint64_t random)
{
	struct fake_segment *f = fake_new(70000000 + (uint32_t)random, 1, random, name);
	uint32_t module = fake_module(f, "/nonexistent/prog", 0x400000, 0x500000, 0x400000, NULL), frames[2];
	char file[128], path[256];
	int fd;

	frames[0] = fake_frame(f, 0x401000, module, 0);
	frames[1] = fake_frame(f, 0x402000, module, 0);
	fake_count(f, fake_site(f, frames, 2, 0), 1000, 10, 4);
	fake_file_name(f, file, sizeof(file));
	(void)snprintf(path, sizeof(path), "%s/%s", directory, file);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0);
	fake_write(f, fd);
	/* What somebody maps is not tidied away, however long it is dead. */
	MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
	close(fd);
	fake_free(f);
}

struct routes *
served(unsigned n)
{
	static struct routes routes;
	const char *const dirs[] = { shm_dir, NULL };
	const struct symbols_options names = { .worker = "/nonexistent" };

	if (routes.targets)
		return &routes;
	for (unsigned i = 0; i < n; i++)
		put_target(shm_dir, i == 0 ? "db" : "web", i + 1);
	MUST(targets_new(dirs, &routes.targets) == 0);
	MUST(symbols_new(&names, &routes.symbols) == 0);
	MUST(cache_new(&routes.cache) == 0);
	MUST(shown_all_new(&routes.shown_all) == 0);
	routes.since_ns = 1;
	return &routes;
}

/* A document of JSON, or as much of one as starts here; NULL if it is none. */
static const char *
json_skip(const char *s, int depth)
{
	static const char *const words[] = { "true", "false", "null" };
	char end = *s == '{' ? '}' : ']';

	if (depth > JSON_DEPTH)
		return NULL;
	if (*s == '"') {
		for (s++; *s != '"'; s++) {
			if ((unsigned char)*s < 0x20 || *s == '<' || *s == '>' || *s == '&')
				return NULL;
			if (*s == '\\' && !strchr("\"\\/bfnrtu", *++s))
				return NULL;
		}
		return s + 1;
	}
	for (size_t i = 0; i < 3; i++)
		if (strncmp(s, words[i], strlen(words[i])) == 0)
			return s + strlen(words[i]);
	if (*s != '{' && *s != '[') {
		size_t n = strspn(s, "-0123456789.eE+");

		return n > 0 ? s + n : NULL;
	}
	for (s++; *s != end; s += *s == ',') {
		if (end == '}') {
			s = *s == '"' ? json_skip(s, depth + 1) : NULL;
			if (!s || *s++ != ':')
				return NULL;
		}
		s = json_skip(s, depth + 1);
		if (!s || (*s != ',' && *s != end) || (*s == ',' && s[1] == end))
			return NULL;
	}
	return s + 1;
}

static void
body_check(const struct reply *reply)
{
	char *text = strndup(reply->body->data, reply->body->size);
	size_t size = text ? strlen(text) : 0;
	const char *rest;

	MUST(text);
	if (strcmp(reply->type, TYPE_JSON) == 0) {
		rest = json_skip(text, 0);
		MUST(rest && strcmp(rest, "\n") == 0);
	} else if (strcmp(reply->type, TYPE_BINARY) == 0) {
		MUST(reply->body->size > 18 && memcmp(reply->body->data, "\x1f\x8b", 2) == 0);
	} else if (reply->status >= 400) {
		MUST(size > 0 && text[size - 1] == '\n');
		for (char *line = text; *line; line += strcspn(line, "\n") + 1)
			MUST(utf8_clean(line, strcspn(line, "\n")));
	}
	free(text);
}

void
served_answer(struct routes *routes, struct request *request, unsigned expected_refusal)
{
	struct reply reply = { 0 };

	routes_answer(routes, request, &reply);
	MUST(reply.status == 200 || reply.status == 301 || (reply.status >= 400 && reply.status < 500) ||
	     reply.status == expected_refusal);
	MUST(reply.type || reply.status == 301);
	MUST(!reply.location || !strpbrk(reply.location->data, "\r\n"));
	if (reply.body)
		body_check(&reply);
	reply_done(&reply);
	request_done(request);
	cache_sweep(routes->cache);
}
