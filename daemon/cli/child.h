/* child.h - the program that heapd run starts: as if it had been started without heapd, and then waited for. */
#ifndef HEAPD_CHILD_H
#define HEAPD_CHILD_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	sigset_t before; /* the caller's signal mask, which the program gets */
	struct sigaction before_child; /* and its SIGCHLD */
};

/* Block the signals that are to be handed on, then fork and execute. To be called before any thread is made. Returns 0 once
 * the program has been executed, or -errno from fork or exec. */
int child_start(const char *path, char *const *argv, char *const *environment, struct child *ret);

/* Wait at most so long for the end of the program, handing on signals that somebody sends to us. 1 and the status as
 * waitpid() has it, 0 when the time is over, or -errno. */
int child_wait(struct child *c, uint64_t ms, int *ret_status);

/* End as the program did: with its exit status, or by the same signal. Does not return. */
void child_mirror(const struct child *c, int status) __attribute__((noreturn));

#endif
