/* log.h - lines for the operator, on stderr.
 *
 * Only the layer that decides what happens next writes one, and the line names that decision:
 *   heapd: http: cannot build the profile of 8123-4f, answering 500: Cannot allocate memory
 * Threads: any; a line is one write.
 */
#ifndef HEAPD_LOG_H
#define HEAPD_LOG_H

#include <stdbool.h>

/* A line "heapd: " + the sentence; control characters in it are replaced. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For what went well: not written while quiet. */
void log_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_quiet(bool quiet);

#endif
