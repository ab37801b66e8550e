/* log.c - one write a line, so that lines of several threads and of the program that shares our stderr do not mix. */
#include "log.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "text.h"

static _Atomic bool log_is_quiet;

static void
log_write(const char *format, va_list arguments)
{
	struct text raw = { 0 }, line = { 0 };
	int saved = errno;
	const char *rest;
	size_t left;

	text_vprintf(&raw, format, arguments);
	text_add(&line, "heapd: ");
	text_add_printable(&line, text_string(&raw), 0);
	text_add_char(&line, '\n');
	rest = text_string(&line);
	left = line.size;
	while (left > 0) {
		ssize_t n = write(STDERR_FILENO, rest, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* nobody is left to tell */
		rest += n;
		left -= (size_t)n;
	}
	text_done(&raw);
	text_done(&line);
	errno = saved;
}

void
log_line(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_write(format, arguments);
	va_end(arguments);
}

void
log_note(const char *format, ...)
{
	va_list arguments;

	if (atomic_load_explicit(&log_is_quiet, memory_order_relaxed))
		return;
	va_start(arguments, format);
	log_write(format, arguments);
	va_end(arguments);
}

void
log_quiet(bool quiet)
{
	atomic_store_explicit(&log_is_quiet, quiet, memory_order_relaxed);
}
