/* worker_link.h - the daemon's end of a symbol worker: start it, ask it, believe nothing, give up in time.
 *
 * A worker that is late, dies or breaks the protocol is killed, and the next request starts another one, which knows
 * nothing of the module the first had open.
 * Threads: a link belongs to one thread at a time.
 */
#ifndef HEAPD_WORKER_LINK_H
#define HEAPD_WORKER_LINK_H

#include "symbol_wire.h"

struct worker_link;

struct worker_names { /* checked; valid until the next request on the link */
	uint32_t n; /* addresses answered, from the first on; at least 1 */
	const struct wire_symbol *symbols; /* lines lie within lines[], at most WIRE_LINES_MAX */
	const struct wire_line *lines; /* offsets lie within strings and end within WIRE_STRING_MAX */
	const char *strings; /* bytes as the foreign file has them, not yet clean text */
};

/* program: what to exec, as `program symbol-worker`; borrowed. NULL without memory. */
struct worker_link *worker_link_new(const char *program);
void worker_link_free(struct worker_link *link);

/* OPEN, DEBUG or ALT; see symbol_wire.h. fd stays the caller's. build_id is for OPEN. 0 with the worker's answer in *ret,
 * whatever status it has; or the worker is gone: -ETIMEDOUT, -EPIPE it died, -EPROTO it talked nonsense, or -errno because
 * it could not be started. */
int worker_link_file(struct worker_link *link, enum wire_type type, int fd, uint32_t flags, const uint8_t *build_id,
		     size_t build_id_length, int64_t deadline_ms, struct wire_answer *ret);

/* n from 1 to WIRE_ADDRESSES_MAX. Errors as above; -EPROTO too if no module is open. */
int worker_link_names(struct worker_link *link, const uint64_t *addresses, uint32_t n, int64_t deadline_ms,
		      struct worker_names *ret);

/* End the worker, if there is one, so that the next request meets a fresh one. */
void worker_link_stop(struct worker_link *link);

struct worker_link_counters {
	uint64_t starts, timeouts, deaths, nonsense;
};
void worker_link_count(const struct worker_link *link, struct worker_link_counters *ret);

#endif
