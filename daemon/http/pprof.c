/* pprof.c - the profiles themselves, as Go's net/http/pprof and as gperftools serve them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "log.h"
#include "number.h"
#include "routes.h"
#include "table.h"

enum form { FORM_HEAP, FORM_ALLOCS, FORM_TEXT, FORM_LEGACY_HEAP, FORM_LEGACY_GROWTH, FORM_RAW_HEAP, FORM_RAW_GROWTH };

static const char *const form_names[] = { "heap",         "allocs",   "text",      "pprof/heap",
					  "pprof/growth", "raw/heap", "raw/growth" };

static void
form_encode(enum form form, const struct profile *p, struct shown *shown, bool delta, struct reply *to)
{
	uint8_t *packed = NULL;
	char *text = NULL;
	size_t size = 0;
	int r = 0;

	switch (form) {
	case FORM_HEAP:
		r = profile_encode_pprof(p, shown, PROFILE_INUSE_SPACE, false, &packed, &size);
		break;
	case FORM_ALLOCS:
		r = profile_encode_pprof(p, shown, PROFILE_ALLOC_SPACE, true, &packed, &size);
		break;
	case FORM_TEXT:
		r = profile_encode_text(p, &text, &size);
		break;
	case FORM_LEGACY_HEAP:
	case FORM_LEGACY_GROWTH:
		r = profile_encode_legacy(p, form == FORM_LEGACY_GROWTH, false, &text, &size);
		break;
	case FORM_RAW_HEAP:
	case FORM_RAW_GROWTH:
		r = profile_encode_legacy(p, form == FORM_RAW_GROWTH, true, &text, &size);
		break;
	}
	if (r < 0) {
		reply_error(to, 500, "The profile could not be written: %s", strerror(-r));
		return;
	}
	counter_add(COUNTER_PROFILES, 1);
	if (packed) {
		reply_bytes(to, TYPE_BINARY, (char *)packed, size);
		if (to->status == 200)
			to->attachment = form == FORM_ALLOCS ? (delta ? "allocs-delta" : "allocs")
							     : (delta ? "heap-delta" : "heap");
	} else {
		reply_bytes(to, TYPE_TEXT, text, size);
	}
}

struct build {
	struct routes *routes;
	const struct scope *scope;
	enum form form;
};

/* What was served of it before: one of a target however it is asked for, and one of a service. */
static struct shown *
shown_of(struct routes *r, const struct scope *s, const struct moment *m)
{
	char *key;
	uint64_t hash;

	if (m->n == 1)
		return shown_take(r->shown_all, hash_u64(m->snapshots[0]->random ^ hash_u64(m->snapshots[0]->pid)));
	key = scope_key(s, "");
	if (!key)
		return NULL;
	hash = hash_bytes(key, strlen(key));
	free(key);
	return shown_take(r->shown_all, hash);
}

static void
profile_reply(struct routes *r, const struct scope *s, const struct moment *m, enum form form, int64_t duration_ns,
	      struct reply *to)
{
	struct shown *shown = NULL;
	struct profile *p = NULL;
	int error = moment_profile(m, r->symbols, &p);

	if (error < 0) {
		log_line("http: cannot build a profile of %zu targets, answering 500: %s", m->n, strerror(-error));
		reply_error(to, 500, "The profile could not be built: %s", strerror(-error));
		return;
	}
	p->duration_ns = duration_ns;
	if (duration_ns == 0 && (form == FORM_HEAP || form == FORM_ALLOCS))
		shown = shown_of(r, s, m);
	form_encode(form, p, shown, duration_ns > 0, to);
	shown_give(r->shown_all, shown);
	profile_free(p);
}

static void
profile_build(void *argument, struct reply *to)
{
	const struct build *b = argument;
	struct selection selection = { 0 };
	struct moment moment = { 0 };

	if (scope_select(b->routes, b->scope, &selection, to) && scope_moment(b->routes, &selection, &moment, to))
		profile_reply(b->routes, b->scope, &moment, b->form, 0, to);
	moment_done(&moment);
	selection_done(&selection);
}

static void
profile_now(struct routes *r, const struct scope *s, enum form form, struct reply *to)
{
	struct build build = { r, s, form };
	char *key = scope_key(s, form_names[form]);

	if (!key) {
		reply_error(to, 500, "Out of memory");
		return;
	}
	cache_answer(r->cache, key, profile_build, &build, to);
	free(key);
}

/* What happened in the next so many seconds. The target does not notice: it is two snapshots and a subtraction. */
static void
profile_over(struct routes *r, const struct request *q, const struct scope *s, enum form form, uint64_t seconds,
	     struct reply *to)
{
	struct selection selection = { 0 };
	struct moment before = { 0 }, after = { 0 };
	uint64_t held = 0, others;
	int64_t duration;
	int error;

	if (atomic_fetch_add_explicit(&r->waiters, 1, memory_order_relaxed) >= WAITERS_MAX) {
		reply_error(to, 503, "%d requests with seconds= are waiting already; try again later", WAITERS_MAX);
		to->retry_after = 5;
		goto out;
	}
	if (!scope_select(r, s, &selection, to) || !scope_moment(r, &selection, &before, to))
		goto out;
	held = moment_bytes(&before);
	others = atomic_fetch_add_explicit(&r->waiting_bytes, held, memory_order_relaxed);
	if (others > 0 && others + held > WAITING_BYTES_MAX) {
		reply_error(to, 503, "Requests with seconds= hold %d MiB of snapshots already; try again later",
			    (int)(WAITING_BYTES_MAX >> 20));
		to->retry_after = 5;
		goto out;
	}
	error = request_wait(q, seconds * 1000);
	if (error == -ECONNRESET) {
		reply_error(to, 499, "The client has gone");
		to->close = true;
		goto out;
	}
	if (error < 0) {
		reply_error(to, 503, "heapd is ending");
		to->close = true;
		goto out;
	}
	/* A service may have got new processes meanwhile. */
	if (s->kind == SCOPE_SERVICE) {
		struct selection now = { 0 };

		if (selection_service(r->targets, s->name, &now) == 0) {
			selection_done(&selection);
			selection = now;
		}
	}
	if (!scope_moment(r, &selection, &after, to))
		goto out;
	duration = after.snapshots[0]->time_ns - before.snapshots[0]->time_ns;
	error = moment_subtract(&after, &before);
	if (error < 0)
		reply_error(to, 500, "The difference could not be made: %s", strerror(-error));
	else
		profile_reply(r, s, &after, form, duration > 0 ? duration : 1, to);
out:
	(void)atomic_fetch_sub_explicit(&r->waiting_bytes, held, memory_order_relaxed);
	(void)atomic_fetch_sub_explicit(&r->waiters, 1, memory_order_relaxed);
	moment_done(&after);
	moment_done(&before);
	selection_done(&selection);
}

/* debug=N as Go takes it: what is not a number counts as 0. */
static bool
wants_text(const struct request *q)
{
	const char *debug = request_parameter(q, "debug");
	uint64_t level = 0;

	return debug && number_parse(debug, &level) == 0 && level > 0;
}

static void
profile_answer(struct routes *r, const struct request *q, const struct scope *s, enum form form, struct reply *to)
{
	const char *text = request_parameter(q, "seconds");
	uint64_t seconds;

	if (!text || !*text) {
		profile_now(r, s, wants_text(q) ? FORM_TEXT : form, to);
	} else if (number_parse(text, &seconds) < 0 || seconds < 1 || seconds > SECONDS_MAX) {
		reply_error(to, 400, "seconds=%.40s: expected a whole number from 1 to %d", text, SECONDS_MAX);
	} else if (wants_text(q)) {
		reply_error(to, 400, "seconds and debug do not go together: a difference has no text form");
	} else {
		profile_over(r, q, s, form, seconds, to);
	}
}

static const struct {
	const char *name, *sentence;
	bool profile;
} pprof_names[] = {
	{ "allocs", "Every allocation since the start; the same samples as heap, shown by alloc_space.", true },
	{ "cmdline", "The command line of the program.", false },
	{ "heap", "Memory in use and memory allocated, by call stack. seconds=N: what happens in the next N seconds.",
	  true },
	{ "symbol", "Names of addresses, for the pprof tools.", false },
};

static void
index_answer(struct routes *r, const struct scope *s, struct reply *to)
{
	struct selection selection = { 0 };
	struct moment moment = { 0 };
	struct text page = { 0 };
	size_t sites = 0;

	if (!scope_select(r, s, &selection, to) || !scope_moment(r, &selection, &moment, to))
		goto out;
	for (size_t i = 0; i < moment.n; i++)
		for (size_t k = 0; k < moment.snapshots[i]->n_sites; k++)
			sites += moment.snapshots[i]->sites[k].alloc.samples > 0;
	text_add(&page, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
	text_add_html(&page, selection.targets[0]->name);
	text_add(&page, " /debug/pprof/</title></head>\n<body>\n<h1>");
	text_add_html(&page, selection.targets[0]->name);
	text_add(&page, "</h1>\n<table>\n<thead><tr><th>Count</th><th>Profile</th></tr></thead>\n");
	for (size_t i = 0; i < sizeof(pprof_names) / sizeof(pprof_names[0]); i++) {
		text_printf(&page, "<tr><td>%zu</td><td><a href=\"%s%s\">%s</a></td><td>%s</td></tr>\n",
			    pprof_names[i].profile ? sites : 0, pprof_names[i].name,
			    pprof_names[i].profile ? "?debug=1" : "", pprof_names[i].name, pprof_names[i].sentence);
	}
	text_add(&page, "</table>\n</body></html>\n");
	reply_text(to, TYPE_HTML, &page);
	to->compress = true;
out:
	text_done(&page);
	moment_done(&moment);
	selection_done(&selection);
}

void
pprof_answer(struct routes *r, const struct request *q, const struct scope *s, struct reply *to)
{
	const char *name = s->rest[0];

	if (strcmp(name, "") == 0)
		index_answer(r, s, to);
	else if (strcmp(name, "heap") == 0)
		profile_answer(r, q, s, FORM_HEAP, to);
	else if (strcmp(name, "allocs") == 0)
		profile_answer(r, q, s, FORM_ALLOCS, to);
	else if (strcmp(name, "cmdline") == 0)
		cmdline_answer(r, s, to);
	else if (strcmp(name, "symbol") == 0)
		symbolz_answer(r, q, s, ' ', to);
	else
		reply_error(to, 404,
			    "Unknown profile '%.100s': heapd knows where memory goes, which is /debug/pprof/heap and "
			    "/debug/pprof/allocs",
			    name);
}

void
gperftools_answer(struct routes *r, const struct request *q, const struct scope *s, bool raw, struct reply *to)
{
	const char *name = s->rest[0];

	if (strcmp(name, "heap") == 0)
		profile_now(r, s, raw ? FORM_RAW_HEAP : FORM_LEGACY_HEAP, to);
	else if (strcmp(name, "growth") == 0)
		profile_now(r, s, raw ? FORM_RAW_GROWTH : FORM_LEGACY_GROWTH, to);
	else if (strcmp(name, "cmdline") == 0)
		cmdline_answer(r, s, to);
	else if (strcmp(name, "symbol") == 0)
		symbolz_answer(r, q, s, '\t', to);
	else
		reply_error(to, 404,
			    "Unknown profile '%.100s': there are pprof/heap, pprof/growth and, for go tool "
			    "pprof, debug/pprof/heap",
			    name);
}
