/* routes.c - the table of paths, and what all families share: which targets a path means. */
#include "routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"

static bool
rest_is(const struct scope *s, size_t at, const char *word)
{
	return at < s->n_rest && strcmp(s->rest[at], word) == 0;
}

static struct scope
scope_behind(const struct scope *s, size_t n)
{
	return (struct scope){ s->kind, s->name, s->rest + n, s->n_rest - n };
}

static struct scope
scope_of(const struct request *q)
{
	struct scope s = { SCOPE_ONLY, NULL, q->segments, q->n_segments };

	if (q->n_segments >= 3 && (rest_is(&s, 0, "targets") || rest_is(&s, 0, "services"))) {
		s.kind = rest_is(&s, 0, "targets") ? SCOPE_TARGET : SCOPE_SERVICE;
		s.name = q->segments[1];
		s.rest += 2;
		s.n_rest -= 2;
	}
	return s;
}

/* Up to so many ids and names, for people who asked for one that does not exist: the living first, then the newest. False
 * without memory. */
static bool
routes_list(struct routes *r, struct text *to)
{
	enum { SHOWN = 50 };
	struct target **list = targets_list(r->targets);
	size_t n = 0, shown = 0;

	if (!list)
		return false;
	while (list[n])
		n++;
	for (size_t i = 0; i < 2 * n && shown < SHOWN; i++) {
		const struct target *t = list[n - 1 - i % n];
		bool alive = atomic_load_explicit(&t->alive, memory_order_relaxed);

		if (alive != (i < n))
			continue;
		text_printf(to, "\n  /targets/%s/debug/pprof/heap  %s, pid %u%s", t->id, t->name, t->pid,
			    alive ? "" : ", ended");
		shown++;
	}
	if (n > shown)
		text_printf(to, "\n  and %zu more, see /api/v1/targets", n - shown);
	targets_list_free(list);
	return true;
}

static void
scope_refuse(struct routes *r, const struct scope *s, int error, struct reply *to)
{
	struct text list = { 0 };

	if (!routes_list(r, &list) || error == -ENOMEM)
		reply_error(to, 500, "Out of memory");
	else if (!list.size)
		reply_error(to, 404,
			    "No program is being sampled. Start one with: heapd run -- PROGRAM, or set "
			    "LD_PRELOAD=libheapd.so for it");
	else if (s->kind == SCOPE_ONLY)
		reply_error(to, 400, "Several programs are being sampled; say which one:%s", text_string(&list));
	else if (error == -ENOTUNIQ)
		reply_error(to, 400, "Several targets fit '%.200s'; use an id:%s", s->name, text_string(&list));
	else
		reply_error(to, 404, "No %s '%.200s'. There are:%s",
			    s->kind == SCOPE_SERVICE ? "service is called" : "target is called", s->name,
			    text_string(&list));
	text_done(&list);
}

bool
scope_select(struct routes *r, const struct scope *s, struct selection *ret, struct reply *to)
{
	int error = -ENOENT;

	switch (s->kind) {
	case SCOPE_ONLY:
		error = selection_only(r->targets, ret);
		break;
	case SCOPE_TARGET:
		error = selection_target(r->targets, s->name, ret);
		break;
	case SCOPE_SERVICE:
		error = selection_service(r->targets, s->name, ret);
		break;
	}
	if (error < 0)
		scope_refuse(r, s, error, to);
	return error == 0;
}

char *
scope_key(const struct scope *s, const char *what)
{
	struct text key = { 0 };
	char *ret;

	text_printf(&key, "%s %d/%s", what, s->kind, s->name ? s->name : "");
	return text_take(&key, &ret, NULL) < 0 ? NULL : ret;
}

bool
scope_moment(struct routes *r, const struct selection *s, struct moment *ret, struct reply *to)
{
	const char *id = s->n > 0 ? s->targets[0]->id : "";
	int error;

	(void)r;
	error = moment_take(s, ret);
	if (error == 0)
		return true;
	counter_add(COUNTER_TARGETS_UNREADABLE, 1);
	switch (error) {
	case -ENOENT:
	case -ESTALE:
		reply_error(to, 404, "Target %s: its segment file is gone, and its profile with it", id);
		break;
	case -EAGAIN:
		reply_error(to, 503, "Target %s: %s", id, moment_error(error, ret));
		to->retry_after = 1;
		break;
	default:
		reply_error(to, 500, "Target %s cannot be read: %s", id, moment_error(error, ret));
	}
	return false;
}

static void
route_method(const struct request *q, const char *allow, struct reply *to)
{
	(void)q;
	reply_error(to, 405, "This path answers %s", allow);
	to->allow = allow;
}

/* Behind the prefix that chose the targets. */
static void
route_scoped(struct routes *r, const struct request *q, const struct scope *s, struct reply *to)
{
	struct scope behind;
	bool symbol = s->n_rest > 0 && strcmp(s->rest[s->n_rest - 1], "symbol") == 0;

	if (q->method == METHOD_OTHER || (q->method == METHOD_POST && !symbol)) {
		route_method(q, symbol ? "GET, HEAD, POST" : "GET, HEAD", to);
	} else if (s->n_rest == 2 && rest_is(s, 0, "debug") && rest_is(s, 1, "pprof")) {
		struct text location = { 0 };

		/* Relative to nothing: the path as it came, encoded as it came. */
		text_add_bytes(&location, q->uri, strcspn(q->uri, "?"));
		text_add_char(&location, '/');
		reply_redirect(to, 301, text_string(&location));
		text_done(&location);
	} else if (s->n_rest == 3 && rest_is(s, 0, "debug") && rest_is(s, 1, "pprof")) {
		behind = scope_behind(s, 2);
		pprof_answer(r, q, &behind, to);
	} else if (s->n_rest == 2 && rest_is(s, 0, "pprof")) {
		behind = scope_behind(s, 1);
		gperftools_answer(r, q, &behind, false, to);
	} else if (s->n_rest == 3 && rest_is(s, 0, "raw") && rest_is(s, 1, "pprof")) {
		behind = scope_behind(s, 2);
		gperftools_answer(r, q, &behind, true, to);
	} else {
		reply_error(to, 404,
			    "There is nothing at this path. Profiles are at /debug/pprof/heap, targets at "
			    "/api/v1/targets");
	}
}

void
routes_answer(struct routes *r, const struct request *q, struct reply *to)
{
	struct scope s = scope_of(q);
	bool read = q->method == METHOD_GET || q->method == METHOD_HEAD;

	if (s.kind != SCOPE_ONLY) {
		route_scoped(r, q, &s, to);
	} else if (q->n_segments == 1 &&
		   (rest_is(&s, 0, "") || rest_is(&s, 0, "healthz") || rest_is(&s, 0, "metrics"))) {
		if (!read) {
			route_method(q, "GET, HEAD", to);
		} else if (rest_is(&s, 0, "")) {
			page_answer(r, to);
		} else if (rest_is(&s, 0, "metrics")) {
			metrics_answer(r, to);
		} else {
			struct text ok = { 0 };

			text_add(&ok, "ok\n");
			reply_text(to, TYPE_TEXT, &ok);
		}
	} else if (q->n_segments >= 3 && rest_is(&s, 0, "api") && rest_is(&s, 1, "v1")) {
		struct scope behind = scope_behind(&s, 2);

		if (read)
			api_answer(r, q, &behind, to);
		else
			route_method(q, "GET, HEAD", to);
	} else {
		route_scoped(r, q, &s, to);
	}
}
