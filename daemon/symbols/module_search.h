/* module_search.h - finding the files of one module and handing them to the worker.
 */
#ifndef HEAPD_MODULE_SEARCH_H
#define HEAPD_MODULE_SEARCH_H

#include "snapshot.h"
#include "worker_link.h"

struct target_files;

struct module_place { /* all borrowed */
	const struct snapshot_module *module;
	struct target_files *target; /* NULL if the process is gone */
	uint32_t uid; /* whose it is */
	const char *const *debug_dirs; /* NULL-terminated */
};

/* Make the worker open the module, with its separate debug information if there is any. The file is, in this order: what
 * the process has mapped, what its path names there, the running program if it is the main module, what the path names
 * here, a separate debug file alone. With a build-id only a file that has it is taken; without, only one that is known to
 * be the mapped one, or any if the process is gone.
 *
 * *deadline_ms moves with the size of the files. Returns 0 when the worker has it open;
 *   -ENOENT    no file
 *   -ESTALE    only files of other builds: it was replaced
 *   -ENOEXEC   not an ELF file, or a damaged one
 *   -EINVAL    not a regular file, or empty
 *   -EACCES    the target's user, or we, may not read it
 *   -EFBIG     more than TARGET_FILE_MAX
 *   -ENOMEM    too big for the worker
 *   or as worker_link_file, after which the worker is gone */
int module_search(struct worker_link *link, const struct module_place *place, uint32_t flags, int64_t *deadline_ms);

#endif
