/* target_files.h - opening files that somebody else named.
 *
 * The names come from a target, which may be hostile, and are meant in its view of the file system. So a file is looked up
 * below the root the target has, cannot lead out of there by links, is opened for reading only after it has proved to be
 * a regular file of sane size that the target's own user may read, and never blocks the way a FIFO or a terminal would.
 * For that user counts what the file's mode gives its owner and everybody; groups, and the directories on the way, do not.
 */
#ifndef HEAPD_TARGET_FILES_H
#define HEAPD_TARGET_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define TARGET_FILE_MAX ((off_t)8 << 30) /* bytes */
#define TARGET_UID_UNKNOWN UINT32_MAX

struct target_files;

/* A file as this process sees it, for a target of that user (0: whatever we may read ourselves); its last part is not
 * followed if it is a link, unless follow. 0 and an fd, or -errno: -EINVAL for what is not a regular file or is empty,
 * -EFBIG, -EACCES for what that user may not read. */
int host_file_open(const char *path, bool follow, uint32_t uid, int *ret_fd, struct stat *ret_stat);

/* The files of a running process. start_time as in /proc/PID/stat; if the process there has another one, the answer is
 * -ESRCH, as it is for pid 0 and for a process that is gone; -ENOMEM. */
int target_files_new(uint32_t pid, uint64_t start_time, struct target_files **ret);
void target_files_free(struct target_files *t);

/* Whether the pid belongs by now to another process than the one that began at start_time. */
bool target_files_pid_is_reused(uint32_t pid, uint64_t start_time);

uint32_t target_files_uid(const struct target_files *t); /* real uid, or TARGET_UID_UNKNOWN */
uint32_t target_files_inner_pid(const struct target_files *t); /* what the process itself believes to be */

/* The file of this name as the process sees it; uid and follow as above. */
int target_files_open(struct target_files *t, const char *path, bool follow, uint32_t uid, int *ret_fd,
		      struct stat *ret_stat);

/* The program itself, even if its file was deleted or replaced. */
int target_files_open_program(struct target_files *t, int *ret_fd, struct stat *ret_stat);

/* The very file that is mapped somewhere in [start, end), deleted or not. Needs more privileges than the others: -EPERM
 * is usual for an ordinary user. -ENOENT if none is mapped there. */
int target_files_open_mapped(struct target_files *t, uint64_t start, uint64_t end, int *ret_fd, struct stat *ret_stat);

/* Inode number of what is mapped somewhere in [start, end), 0 if that is nothing or cannot be told. */
uint64_t target_files_mapped_inode(struct target_files *t, uint64_t start, uint64_t end);

#endif
