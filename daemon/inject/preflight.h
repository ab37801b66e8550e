/* preflight.h - can a process be attached to? Told without touching it: it is not stopped, nor traced, nor written to. */
#ifndef HEAPD_PREFLIGHT_H
#define HEAPD_PREFLIGHT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "image.h"
#include "process_status.h"
#include "text.h"

struct preflight {
	int proc; /* /proc/PID: stays with this process even if its pid is given to another */
	struct process_status status;
	struct image *image;
	uint64_t malloc, dlopen; /* addresses of the functions it calls by these names */
	const char *malloc_path; /* of the module with malloc; borrowed from image */
};

/* 0 and *ret (release it with preflight_done), or -1 and in *why the reason and what can be done about it, as one
 * sentence. `library` is what would be loaded, an absolute path. */
int preflight_check(pid_t pid, const char *library, struct preflight *ret, struct text *why);
void preflight_done(struct preflight *p);

#endif
