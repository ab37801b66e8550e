/* late.h - the library in a program that was running before it came. */
#ifndef HEAPD_LATE_H
#define HEAPD_LATE_H

/* Called by whoever made the program load the library, in a thread that holds no lock: make the segment, and lead the
 * program's modules here. `settings` are NAME=VALUE strings in the place of the environment's, each ended by NUL, one more at
 * the end. 0; -EALREADY if it is sampled already, -ENOSPC if no segment can be made: then nothing was changed. */
int heapd_attach(const char *settings);

#endif
