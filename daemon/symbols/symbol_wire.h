/* symbol_wire.h - what the daemon and its symbol worker say to each other.
 *
 * One request, one answer, over a stream socket that is file descriptor 3 of the worker. Both sides are the same
 * program, so structs travel as they are; the daemon trusts nothing in an answer all the same, because the worker has
 * read foreign files.
 *
 *   OPEN     + 1 file     forget the module before, read this one
 *   DEBUG    + 1 file     its separate debug file, if it proves to be
 *   ALT      + 1 file     the file its debug information shares with others (dwz), if it proves to be
 *   LOOKUP   + addresses  struct wire_answer, then n_symbols of struct wire_symbol, n_lines of struct wire_line and
 *                         strings_size bytes of terminated strings. Answers the first n_symbols addresses only, at
 *                         least one; the daemon asks again for the rest.
 */
#ifndef HEAPD_SYMBOL_WIRE_H
#define HEAPD_SYMBOL_WIRE_H

#include <stdint.h>
#include <sys/types.h>

#include "segment.h"

#define WIRE_MAGIC 0x6d797368u
#define WIRE_FD 3 /* the socket in the worker */
#define WIRE_ADDRESSES_MAX 1024 /* of one LOOKUP */
#define WIRE_LINES_MAX 64 /* of one address */
#define WIRE_STRING_MAX 4096 /* bytes of one string, with its NUL */
#define WIRE_STRINGS_MAX (8u << 20)
#define WIRE_NAME_MAX 1024 /* file names in .gnu_debuglink and .gnu_debugaltlink, with NUL */

enum wire_type { WIRE_OPEN = 1, WIRE_DEBUG, WIRE_ALT, WIRE_LOOKUP };

enum wire_status {
	WIRE_OK,
	WIRE_NOT_ELF, /* or damaged, or for another machine */
	WIRE_OTHER_BUILD, /* an ELF file, but not the one that was asked for */
	WIRE_NO_MODULE, /* a request out of order */
	WIRE_NO_MEMORY,
	WIRE_STATUSES
};

enum { /* wire_answer.flags, after OPEN, DEBUG and ALT */
       WIRE_WANTS_DEBUG = 1, /* no DWARF, or no full symbol table: a separate debug file would help */
       WIRE_WANTS_ALT = 2, /* its DWARF refers to an alternate file */
       WIRE_WITHOUT_DWARF = 4 /* in requests: OPEN the symbol tables only */
};

struct wire_request {
	uint32_t magic, type, sequence, flags;
	uint32_t count; /* addresses that follow */
	uint32_t build_id_length; /* OPEN: the file must have this build-id; 0 takes any */
	uint8_t build_id[HEAPD_BUILD_ID_MAX];
	uint32_t debuglink_crc_wanted; /* DEBUG: found by name, so without build-id its CRC must match */
	uint32_t reserved;
};

struct wire_answer {
	uint32_t magic, type, sequence, status; /* type and sequence are the request's */
	uint32_t flags;
	uint32_t build_id_length; /* the module's, after OPEN */
	uint8_t build_id[HEAPD_BUILD_ID_MAX];
	uint32_t alt_build_id_length;
	uint8_t alt_build_id[HEAPD_BUILD_ID_MAX];
	char debuglink[WIRE_NAME_MAX]; /* "" if none */
	char alt[WIRE_NAME_MAX]; /* "" if none */
	uint32_t n_symbols, n_lines, strings_size;
	uint32_t reserved;
};

struct wire_symbol {
	uint32_t first_line, n_lines; /* none: absent */
};

struct wire_line {
	uint32_t name, system_name, file; /* offsets in the strings */
	uint32_t line, start_line;
};

/* Send or receive all of size bytes before the deadline (CLOCK_MONOTONIC, ms; negative: no deadline). A file descriptor
 * travels with the first byte; pass -1 for none, or a NULL ret_fd to refuse any. On success of wire_receive *ret_fd is
 * -1 or owned by the caller. 0, -ETIMEDOUT, -EPIPE when the other side is gone, -EPROTO for a wrong number of
 * descriptors, or another -errno. */
int wire_send(int socket, const void *bytes, size_t size, int fd, int64_t deadline_ms);
int wire_receive(int socket, void *bytes, size_t size, int *ret_fd, int64_t deadline_ms);
int64_t wire_now_ms(void);

#endif
