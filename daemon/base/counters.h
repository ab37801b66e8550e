/* counters.h - what the daemon counts about itself, declared once: /metrics, its HELP lines and the code agree.
 * Threads: any.
 */
#ifndef HEAPD_COUNTERS_H
#define HEAPD_COUNTERS_H

#include <stdint.h>

/* X(identifier, name of the metric, sentence) */
#define COUNTERS(X)                                                                                                \
	X(REQUESTS_OK, "http_requests_answered_total", "Requests answered with a status below 400.")               \
	X(REQUESTS_REFUSED, "http_requests_refused_total", "Requests answered with a status from 400 to 499.")     \
	X(REQUESTS_FAILED, "http_requests_failed_total", "Requests answered with a status of 500 or more.")        \
	X(CONNECTIONS, "http_connections_total", "Connections accepted.")                                          \
	X(CONNECTIONS_LATE, "http_connections_expired_total", "Connections closed because a deadline had passed.") \
	X(CONNECTIONS_PUSHED, "http_connections_displaced_total",                                                  \
	  "Idle or slow connections closed to make room for new ones.")                                            \
	X(PROFILES, "profiles_built_total", "Profiles built, not counting those answered from the one before.")    \
	X(TARGETS_UNREADABLE, "targets_unreadable_total",                                                          \
	  "Segments that could not be read when a profile asked for them.")

#define COUNTER_IDENTIFIER(identifier, name, sentence) COUNTER_##identifier,
enum counter { COUNTERS(COUNTER_IDENTIFIER) COUNTER_COUNT };
#undef COUNTER_IDENTIFIER

extern const struct counter_text {
	const char *name, *sentence;
} counter_texts[COUNTER_COUNT];

void counter_add(enum counter c, uint64_t n);
uint64_t counter_get(enum counter c);

#endif
