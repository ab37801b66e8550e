/* process_status.h - what /proc says of a process, as far as it decides whether it may be traced. */
#ifndef HEAPD_PROCESS_STATUS_H
#define HEAPD_PROCESS_STATUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process_status {
	char name[64]; /* of its command, printable; at most 15 characters of it are the kernel's own limit */
	char state; /* as in /proc/PID/stat: R S D Z T t X I */
	pid_t group; /* the process, if the pid is a thread's */
	pid_t tracer; /* 0: none */
	uid_t uid, effective_uid, saved_uid;
	uint64_t permitted, effective; /* capabilities */
	uint64_t pending, blocked; /* signals, its own and the process's; bit n - 1 is signal n */
	unsigned threads;
	int seccomp; /* 0 none, 1 strict, 2 filtered */
	bool has_memory; /* a kernel thread has none, nor has a zombie */
	uint64_t start_time; /* field 22 of /proc/PID/stat */
};

/* `proc` is a descriptor of /proc/PID or /proc/PID/task/TID. 0 or -errno: -ESRCH if it ended meanwhile. */
int process_status_read(int proc, struct process_status *ret);

/* The same of one of the threads of the process that `proc` is the descriptor of. */
int process_status_of_thread(int proc, pid_t thread, struct process_status *ret);

#endif
