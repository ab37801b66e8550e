/* options.c - see options.h. Walks environ itself: getenv may be replaced by the host (bash does). */
#include "options.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "segment.h"

static struct options options;
static _Atomic int state; /* 0 unread, 1 being read, 2 ready */

/* The value of NAME=, or NULL. */
static const char *
value_of(const char *entry, const char *name)
{
	while (*name && *entry == *name)
		entry++, name++;
	return *name == '\0' && *entry == '=' ? entry + 1 : NULL;
}

static void
copy(char *to, size_t size, const char *from)
{
	size_t i = 0;

	for (; from[i]; i++) {
		if (i == size - 1) {
			to[0] = '\0'; /* half a path or name is worse than none */
			return;
		}
		to[i] = from[i];
	}
	to[i] = '\0';
}

static size_t
length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

/* Decimal with an optional binary k, M or G; 0 if it is anything else or does not fit. */
static uint64_t
number(const char *text)
{
	uint64_t n = 0;
	unsigned shift = 0;

	for (; *text >= '0' && *text <= '9'; text++) {
		if (n > (UINT64_MAX - 9) / 10)
			return 0;
		n = n * 10 + (uint64_t)(*text - '0');
	}
	switch (*text) {
	case 'k':
	case 'K':
		shift = 10;
		break;
	case 'm':
	case 'M':
		shift = 20;
		break;
	case 'g':
	case 'G':
		shift = 30;
		break;
	case '\0':
		return n;
	default:
		return 0;
	}
	return text[1] == '\0' && n >> (64 - shift) == 0 ? n << shift : 0;
}

static void
option_read(struct options *o, const char *entry)
{
	uint64_t n;
	const char *v;

	if ((v = value_of(entry, "HEAPD_PERIOD")) != NULL) {
		n = number(v);
		if (n >= 1 && n <= HEAPD_PERIOD_MAX)
			o->period = n;
	} else if ((v = value_of(entry, "HEAPD_MAX_SAMPLES")) != NULL) {
		o->max_samples = number(v);
	} else if ((v = value_of(entry, "HEAPD_SEED")) != NULL) {
		o->seed = number(v);
	} else if ((v = value_of(entry, "HEAPD_DIR")) != NULL) {
		copy(o->dir, sizeof(o->dir), v);
	} else if ((v = value_of(entry, "XDG_RUNTIME_DIR")) != NULL) {
		copy(o->runtime_dir, sizeof(o->runtime_dir), v);
	} else if ((v = value_of(entry, "HEAPD_NAME")) != NULL) {
		copy(o->name, sizeof(o->name), v);
	}
}

static void
options_read(struct options *o)
{
	o->period = HEAPD_PERIOD_DEFAULT;
	o->enabled = getauxval(AT_SECURE) == 0;
	for (char **e = environ; o->enabled && e && *e; e++)
		option_read(o, *e);
}

void
options_set(const char *settings)
{
	struct options wanted = { .period = HEAPD_PERIOD_DEFAULT, .enabled = true };

	for (const char *s = settings; *s; s += length(s) + 1)
		option_read(&wanted, s);
	options = wanted;
	atomic_store_explicit(&state, 2, memory_order_release);
}

const struct options *
options_get(void)
{
	static const struct options inert;
	int unread = 0;

	if (atomic_load_explicit(&state, memory_order_acquire) == 2)
		return &options;
	if (environ &&
	    atomic_compare_exchange_strong_explicit(&state, &unread, 1, memory_order_acquire, memory_order_relaxed)) {
		options_read(&options);
		atomic_store_explicit(&state, 2, memory_order_release);
		return &options;
	}
	return &inert; /* another thread is at it, or the C library has not started: this sample is not taken */
}
