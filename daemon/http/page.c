/* page.c - the list of targets for a browser: no script, nothing from elsewhere, every name escaped. */
#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "routes.h"
#include "totals.h"

static void
row_write(struct text *page, struct target *t)
{
	struct selection one = { &t, 1 };
	struct moment m = { 0 };
	struct totals totals;
	char value[SIZE_TEXT], error[SIZE_TEXT];
	int r = moment_take(&one, &m);

	text_printf(page, "<tr><td><a href=\"/targets/%s/debug/pprof/\">%s</a></td><td>", t->id, t->id);
	text_add_html(page, t->name);
	text_printf(page, "</td><td>%u</td><td>%s</td><td>", t->pid,
		    atomic_load_explicit(&t->alive, memory_order_relaxed) ? "running" : "ended");
	if (r == 0) {
		totals_of(m.snapshots[0], &totals);
		text_printf(page, "%s ± %s", size_format(totals.value[PROFILE_INUSE_SPACE], value, sizeof(value)),
			    size_format(profile_error(totals.variance[PROFILE_INUSE_SPACE]), error, sizeof(error)));
	} else {
		text_add_html(page, moment_error(r, &m));
	}
	text_printf(page,
		    "</td><td><a href=\"/targets/%s/debug/pprof/heap\">heap</a> <a "
		    "href=\"/targets/%s/debug/pprof/heap?debug=1\">text</a> "
		    "<a href=\"/api/v1/targets/%s/top\">top</a></td></tr>\n",
		    t->id, t->id, t->id);
	moment_done(&m);
}

static void
page_build(void *argument, struct reply *to)
{
	struct routes *r = argument;
	struct target **list = targets_list(r->targets);
	struct text page = { 0 };

	if (!list) {
		reply_error(to, 500, "Out of memory");
		return;
	}
	text_add(&page, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>heapd</title></head>\n"
			"<body>\n<h1>heapd</h1>\n");
	if (!list[0]) {
		text_add(&page,
			 "<p>No program is being sampled yet. Start one with <code>heapd run -- PROGRAM</code>.</p>\n");
	} else {
		text_add(&page, "<table>\n<thead><tr><th>target</th><th>name</th><th>pid</th><th>state</th>"
				"<th>in use</th><th>profiles</th></tr></thead>\n");
		for (size_t i = 0; list[i]; i++)
			row_write(&page, list[i]);
		text_printf(&page,
			    "</table>\n<p><code>go tool pprof %s://<i>this address</i>/targets/%s/debug/pprof/heap"
			    "</code></p>\n",
			    r->scheme, list[0]->id);
	}
	text_add(&page, "</body></html>\n");
	targets_list_free(list);
	reply_text(to, TYPE_HTML, &page);
	to->compress = true;
}

void
page_answer(struct routes *r, struct reply *to)
{
	cache_answer(r->cache, "page", page_build, r, to);
}
