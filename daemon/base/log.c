/* log.c - one write a line, so that lines of several threads and of the program that shares our stderr do not mix. */
#include "log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

static _Atomic bool log_is_quiet;

static void
write_all(const char *rest, size_t left)
{
	while (left > 0) {
		ssize_t n = write(STDERR_FILENO, rest, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* nobody is left to tell */
		rest += n;
		left -= (size_t)n;
	}
}

/* What there is no memory for is told all the same: shorter, and in ASCII. */
static void
write_short(const char *format, va_list arguments)
{
	char line[256] = "heapd: ";
	size_t start = strlen(line);

	(void)vsnprintf(line + start, sizeof(line) - start - 1, format, arguments);
	for (char *c = line; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	strcat(line, "\n");
	write_all(line, strlen(line));
}

static void
log_write(const char *format, va_list arguments)
{
	struct text raw = { 0 }, line = { 0 };
	int saved = errno;
	va_list again;

	va_copy(again, arguments);
	text_vprintf(&raw, format, arguments);
	text_add(&line, "heapd: ");
	text_add_printable(&line, text_string(&raw), 0);
	text_add_char(&line, '\n');
	if (raw.failed || line.failed)
		write_short(format, again);
	else
		write_all(text_string(&line), line.size);
	va_end(again);
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
