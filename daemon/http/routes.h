/* routes.h - from a path to the function that answers it. One file a family of routes: pprof, symbolz, api, pages, metrics.
 *
 *   /                            page                    /healthz  /metrics
 *   /debug/pprof/NAME            of the only target      /pprof/NAME  /raw/pprof/NAME
 *   /targets/ID/debug/pprof/NAME of one                  /targets/ID/pprof/NAME  /targets/ID/raw/pprof/NAME
 *   /services/NAME/...           of all with one name    /api/v1/...
 *
 * Threads: any; a request is answered on the thread of its connection.
 */
#ifndef HEAPD_ROUTES_H
#define HEAPD_ROUTES_H

#include "cache.h"
#include "moment.h"
#include "reply.h"
#include "request.h"
#include "shown.h"

#define WAITERS_MAX 64 /* requests with seconds= at the same time */
#define WAITING_BYTES_MAX ((uint64_t)256 << 20) /* of the snapshots that they hold meanwhile; one alone may have more */
#define SECONDS_MAX 3600

struct routes {
	struct targets *targets; /* borrowed */
	struct symbols *symbols; /* borrowed */
	struct cache *cache; /* borrowed */
	struct shown_all *shown_all; /* borrowed */
	_Atomic unsigned waiters;
	_Atomic uint64_t waiting_bytes;
	const char *scheme; /* "http" or "https" */
	int64_t since_ns; /* CLOCK_REALTIME when the daemon started */
};

void routes_answer(struct routes *r, const struct request *q, struct reply *to);

/* Which targets the path names: the first n_prefix segments of it. */
enum scope_kind { SCOPE_ONLY, SCOPE_TARGET, SCOPE_SERVICE };

struct scope {
	enum scope_kind kind;
	const char *name; /* of the target or service; NULL for SCOPE_ONLY */
	char *const *rest; /* segments behind the prefix */
	size_t n_rest;
};

/* The targets of a scope. True, or false with the explanation in *to. */
bool scope_select(struct routes *r, const struct scope *s, struct selection *ret, struct reply *to);

/* A cache key for the scope: "heap targets/8123-4f". Malloced, NULL without memory. */
char *scope_key(const struct scope *s, const char *what);

/* A moment of the scope, or false with the explanation in *to. */
bool scope_moment(struct routes *r, const struct selection *s, struct moment *ret, struct reply *to);

/* The families. `s->rest` starts behind "pprof", "v1". */
void pprof_answer(struct routes *r, const struct request *q, const struct scope *s, struct reply *to);
void gperftools_answer(struct routes *r, const struct request *q, const struct scope *s, bool raw, struct reply *to);
void symbolz_answer(struct routes *r, const struct request *q, const struct scope *s, char separator, struct reply *to);
void cmdline_answer(struct routes *r, const struct scope *s, struct reply *to);
void api_answer(struct routes *r, const struct request *q, const struct scope *s, struct reply *to);
void page_answer(struct routes *r, struct reply *to);
void metrics_answer(struct routes *r, struct reply *to);

#endif
