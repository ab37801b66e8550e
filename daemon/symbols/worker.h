/* worker.h - the child process that reads foreign files. `heapd symbol-worker` ends up here. */
#ifndef HEAPD_WORKER_H
#define HEAPD_WORKER_H

/* Answers requests on file descriptor WIRE_FD until its other end is closed. Returns the exit status: 0, or 2 with a
 * sentence on stderr if it was not started by a daemon. */
int worker_main(void);

#endif
