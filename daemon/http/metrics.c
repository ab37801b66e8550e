/* metrics.c - what the daemon says about itself to Prometheus, in the text format 0.0.4. */
#include "counters.h"
#include "routes.h"

#include <stdio.h>

static void
gauge_write(struct text *to, const char *name, const char *sentence)
{
	text_printf(to, "# HELP heapd_%s %s\n# TYPE heapd_%s gauge\n", name, sentence, name);
}

static void
counter_write(struct text *to, const char *name, const char *sentence, uint64_t value)
{
	text_printf(to, "# HELP heapd_%s %s\n# TYPE heapd_%s counter\nheapd_%s %llu\n", name, sentence, name, name,
		    (unsigned long long)value);
}

void
metrics_answer(struct routes *r, struct reply *to)
{
	struct target **list = targets_list(r->targets);
	struct symbols_counters names = { 0 };
	struct text body = { 0 };
	size_t alive = 0, dead = 0;

	for (size_t i = 0; list && list[i]; i++) {
		if (atomic_load_explicit(&list[i]->alive, memory_order_relaxed))
			alive++;
		else
			dead++;
	}
	targets_list_free(list);
	if (!list) {
		reply_error(to, 500, "Out of memory");
		return;
	}
	symbols_count(r->symbols, &names);

	gauge_write(&body, "build_info", "Always 1; the label tells the version.");
	text_add(&body, "heapd_build_info{version=\"" HEAPD_VERSION "\"} 1\n");
	gauge_write(&body, "start_time_seconds", "When the daemon started, in seconds since 1970.");
	text_printf(&body, "heapd_start_time_seconds %lld.%03lld\n", (long long)(r->since_ns / 1000000000),
		    (long long)(r->since_ns / 1000000 % 1000));
	gauge_write(&body, "targets", "Programs being sampled, and ended ones whose last profile is still there.");
	text_printf(&body, "heapd_targets{state=\"alive\"} %zu\nheapd_targets{state=\"dead\"} %zu\n", alive, dead);
	gauge_write(&body, "http_waiting_requests", "Requests with seconds= that are waiting now.");
	text_printf(&body, "heapd_http_waiting_requests %u\n", atomic_load_explicit(&r->waiters, memory_order_relaxed));
	gauge_write(&body, "http_waiting_bytes", "Memory that the snapshots of these requests take.");
	text_printf(&body, "heapd_http_waiting_bytes %llu\n",
		    (unsigned long long)atomic_load_explicit(&r->waiting_bytes, memory_order_relaxed));
	counter_write(&body, "targets_refused_total", "Files that were not taken in as segments.",
		      targets_refused(r->targets));
	counter_write(&body, "targets_removed_total", "Segments of ended programs that were removed to save memory.",
		      targets_removed(r->targets));
	for (size_t i = 0; i < COUNTER_COUNT; i++)
		counter_write(&body, counter_texts[i].name, counter_texts[i].sentence, counter_get((enum counter)i));
	counter_write(&body, "symbol_lookups_total", "Addresses whose names were asked for.", names.lookups);
	counter_write(&body, "symbol_cache_hits_total", "Of these, addresses that were known already.", names.hits);
	counter_write(&body, "symbol_worker_starts_total", "Starts of the process that reads symbol tables.",
		      names.worker_starts);
	counter_write(&body, "symbol_worker_failures_total", "Times that process crashed, hung or answered nonsense.",
		      names.worker_failures);
	counter_write(&body, "symbol_modules_refused_total", "Files without names because of such a failure.",
		      names.modules_refused);
	counter_write(&body, "symbol_cache_refused_total", "Names that found no room and were not kept.",
		      names.cache_refused);
	reply_text(to, TYPE_METRICS, &body);
	to->compress = true;
}
