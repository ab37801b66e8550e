/* counters.c - one array of atomics; nobody orders anything by them. */
#include "counters.h"

#include <stdatomic.h>

static _Atomic uint64_t counter_values[COUNTER_COUNT];

#define COUNTER_TEXT(identifier, name, sentence) [COUNTER_##identifier] = { name, sentence },
const struct counter_text counter_texts[COUNTER_COUNT] = { COUNTERS(COUNTER_TEXT) };

void
counter_add(enum counter c, uint64_t n)
{
	(void)atomic_fetch_add_explicit(&counter_values[c], n, memory_order_relaxed);
}

uint64_t
counter_get(enum counter c)
{
	return atomic_load_explicit(&counter_values[c], memory_order_relaxed);
}
