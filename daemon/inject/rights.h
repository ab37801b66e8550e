/* rights.h - why the kernel will not let us trace a process: in words that say what to do. */
#ifndef HEAPD_RIGHTS_H
#define HEAPD_RIGHTS_H

#include "process_status.h"
#include "text.h"

/* Call it after the kernel has said EACCES or EPERM. Ends a sentence that began with who the process is. */
void rights_explain(int proc, const struct process_status *target, struct text *why);

#endif
