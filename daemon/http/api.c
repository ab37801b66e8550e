/* api.c - /api/v1: what the web page and scripts read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "number.h"
#include "routes.h"

#define TOP_ROWS 20
#define TOP_ROWS_MAX 10000

static void
json_reply(struct json *j, struct reply *to)
{
	char *data;
	size_t size;

	if (json_take(j, &data, &size) < 0) {
		reply_error(to, 500, "Out of memory");
		return;
	}
	reply_bytes(to, TYPE_JSON, data, size);
	to->compress = true;
}

static void
describe_one(struct json *j, struct target *t)
{
	struct selection one = { &t, 1 };
	struct moment m = { 0 };
	int r = moment_take(&one, &m);

	describe_target(j, t, r == 0 ? m.snapshots[0] : NULL, r == 0 ? "" : moment_error(r, &m));
	moment_done(&m);
}

static void
targets_build(void *argument, struct reply *to)
{
	struct routes *r = argument;
	struct target **list = targets_list(r->targets);
	struct json j = { 0 };

	if (!list) {
		reply_error(to, 500, "Out of memory");
		return;
	}
	json_object_begin(&j);
	json_name(&j, "targets");
	json_array_begin(&j);
	for (size_t i = 0; list[i]; i++)
		describe_one(&j, list[i]);
	json_array_end(&j);
	json_name(&j, "refused");
	json_unsigned(&j, targets_refused(r->targets));
	json_object_end(&j);
	targets_list_free(list);
	json_reply(&j, to);
}

static void
services_build(void *argument, struct reply *to)
{
	struct routes *r = argument;
	struct target **list = targets_list(r->targets);
	struct json j = { 0 };

	if (!list) {
		reply_error(to, 500, "Out of memory");
		return;
	}
	json_object_begin(&j);
	json_name(&j, "services");
	json_array_begin(&j);
	for (size_t i = 0; list[i]; i++) {
		size_t alive = 0, dead = 0, before = 0;

		while (before < i && strcmp(list[before]->name, list[i]->name) != 0)
			before++;
		if (before < i)
			continue; /* told already */
		json_object_begin(&j);
		json_name(&j, "name");
		json_string(&j, list[i]->name);
		json_name(&j, "targets");
		json_array_begin(&j);
		for (size_t k = i; list[k]; k++) {
			if (strcmp(list[k]->name, list[i]->name) != 0)
				continue;
			json_string(&j, list[k]->id);
			if (atomic_load_explicit(&list[k]->alive, memory_order_relaxed))
				alive++;
			else
				dead++;
		}
		json_array_end(&j);
		json_name(&j, "alive");
		json_unsigned(&j, alive);
		json_name(&j, "dead");
		json_unsigned(&j, dead);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	targets_list_free(list);
	json_reply(&j, to);
}

struct top {
	struct routes *routes;
	const struct scope *scope;
	enum profile_value sort;
	uint64_t n;
};

static void
top_build(void *argument, struct reply *to)
{
	const struct top *top = argument;
	struct selection selection = { 0 };
	struct moment moment = { 0 };
	struct profile *profile = NULL;
	struct ranking ranking = { 0 };
	struct json j = { 0 };
	int r;

	if (!scope_select(top->routes, top->scope, &selection, to) ||
	    !scope_moment(top->routes, &selection, &moment, to))
		goto out;
	r = moment_profile(&moment, top->routes->symbols, &profile);
	if (r == 0)
		r = ranking_new(profile, top->sort, &ranking);
	if (r < 0) {
		reply_error(to, 500, "The table could not be made: %s", strerror(-r));
		goto out;
	}
	describe_ranking(&j, profile, &ranking, top->sort, (size_t)top->n);
	json_reply(&j, to);
out:
	ranking_done(&ranking);
	profile_free(profile);
	moment_done(&moment);
	selection_done(&selection);
}

static void
top_answer(struct routes *r, const struct request *q, const struct scope *s, struct reply *to)
{
	struct top top = { r, s, PROFILE_INUSE_SPACE, TOP_ROWS };
	const char *n = request_parameter(q, "n"), *sort = request_parameter(q, "sort");
	struct text what = { 0 };
	char *key = NULL;

	if (n && (number_parse(n, &top.n) < 0 || top.n < 1 || top.n > TOP_ROWS_MAX)) {
		reply_error(to, 400, "n=%.40s: expected a whole number from 1 to %d", n, TOP_ROWS_MAX);
		return;
	}
	if (sort && !ranking_value(sort, &top.sort)) {
		reply_error(to, 400,
			    "sort=%.40s: expected one of inuse_space, inuse_objects, alloc_space, alloc_objects", sort);
		return;
	}
	text_printf(&what, "top %d %llu", top.sort, (unsigned long long)top.n);
	key = scope_key(s, text_string(&what));
	if (key)
		cache_answer(r->cache, key, top_build, &top, to);
	else
		reply_error(to, 500, "Out of memory");
	text_done(&what);
	free(key);
}

static void
target_answer(struct routes *r, const struct scope *s, struct reply *to)
{
	struct selection selection = { 0 };
	struct json j = { 0 };

	if (!scope_select(r, s, &selection, to))
		return;
	describe_one(&j, selection.targets[0]);
	json_reply(&j, to);
	selection_done(&selection);
}

void
api_answer(struct routes *r, const struct request *q, const struct scope *s, struct reply *to)
{
	bool targets = strcmp(s->rest[0], "targets") == 0, services = strcmp(s->rest[0], "services") == 0;
	struct scope one = { targets ? SCOPE_TARGET : SCOPE_SERVICE, s->n_rest > 1 ? s->rest[1] : NULL, NULL, 0 };

	if (s->n_rest == 1 && targets)
		cache_answer(r->cache, "api targets", targets_build, r, to);
	else if (s->n_rest == 1 && services)
		cache_answer(r->cache, "api services", services_build, r, to);
	else if (s->n_rest == 2 && targets)
		target_answer(r, &one, to);
	else if (s->n_rest == 3 && (targets || services) && strcmp(s->rest[2], "top") == 0)
		top_answer(r, q, &one, to);
	else
		reply_error(to, 404,
			    "There is no such thing in /api/v1: it has targets, targets/ID, targets/ID/top, "
			    "services and services/NAME/top");
}
