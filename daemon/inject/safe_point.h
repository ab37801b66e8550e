/* safe_point.h - moments at which a thread of the target may be made to load a library. */
#ifndef HEAPD_SAFE_POINT_H
#define HEAPD_SAFE_POINT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "preflight.h"

/* The executable mapping of the target that holds an address. False if none does. */
bool code_find(int proc, uint64_t address, uint64_t *ret_start, uint64_t *ret_end);

/* It was stopped at malloc's first instruction: is it not the loader that calls, or that changes its list of modules? */
bool safe_at_malloc(const struct preflight *target, const struct user_regs_struct *registers);

/* A thread that sleeps, not stopped yet: does it wait in a system call that is made without locks and outside of handlers of
 * signals? */
bool safe_asleep(const struct preflight *target, pid_t thread);

/* The registers with which a thread stopped in a system call goes on as if it had not been: the call is made again where the
 * kernel would have done so, or would only have said EINTR because of the stop. False if it is in none. */
bool safe_resume(const struct preflight *target, pid_t thread, struct user_regs_struct *registers);

#endif
