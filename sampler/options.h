/* options.h - what the user asked of the sampler, from the environment.
 *
 * Read once, at the first need, and then fixed: a program may rewrite its environment. A program that runs with more
 * rights than its caller (AT_SECURE) takes nothing from it and is not sampled at all.
 */
#ifndef HEAPD_SAMPLER_OPTIONS_H
#define HEAPD_SAMPLER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
	bool enabled; /* false: stay inert */
	uint64_t period; /* HEAPD_PERIOD, bytes, 1 to HEAPD_PERIOD_MAX; anything else is ignored */
	uint64_t max_samples; /* HEAPD_MAX_SAMPLES, a second; 0: as many as the period brings */
	uint64_t seed; /* HEAPD_SEED: makes the choice of samples repeatable; 0: random */
	char dir[256]; /* HEAPD_DIR; "" if unset: the usual places are tried */
	char runtime_dir[256]; /* XDG_RUNTIME_DIR */
	char name[64]; /* HEAPD_NAME; "": the program's own */
};

/* Take these instead of the environment: NAME=VALUE strings, each ended by NUL, one more at the end. Only before anybody needs them, again after an attempt that failed. The
 * program may have any rights: whoever gives them had more. */
void options_set(const char *settings);

/* Borrowed, valid for ever, the same for all threads. Async-signal-safe. */
const struct options *options_get(void);

#endif
