/* forks - a tree of processes, each with its own profile and its own table. A child starts from nothing at the fork: what
 * it frees of its parent's counts nowhere.
 *
 *   forks [DEPTH [CHILDREN [BLOCKS]]]           default 2, 2, 2000
 *
 * Between two forks there is also a vfork child that allocates in its parent's memory: that is the parent's.
 */
#include "truth.h"

#include <sys/wait.h>

SITE_FUNCTION(before_fork, malloc(size))
SITE_FUNCTION(in_child, malloc(size))
SITE_FUNCTION(in_vfork, malloc(size))
SITE_FUNCTION(after_wait, malloc(size))

static uint64_t children, blocks;
static struct truth_block old[100000];

static void
use_inherited(void)
{
	for (uint64_t i = 0; i < blocks; i++) {
		old[i].site = NULL;
		if (i % 2)
			truth_free_block(&old[i]);
	}
}

/* vfork and malloc in the child is what posix does not promise and shells do all the same. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static void
do_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		in_vfork(1234);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static int
process(uint64_t depth)
{
	int failed = 0;

	for (uint64_t i = 0; i < blocks; i++) {
		size_t size = 16 + i % 200;

		old[i] = (struct truth_block){ before_fork(size), size, &site_before_fork };
	}
	for (uint64_t c = 0; depth > 0 && c < children; c++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			truth_forked();
			truth_waits = false;
			use_inherited();
			for (uint64_t i = 0; i < blocks; i++)
				in_child(100 + c);
			_exit(process(depth - 1));
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			failed = 1;
		do_vfork();
	}
	for (uint64_t i = 0; i < blocks; i += 3)
		truth_free_block(&old[i]);
	after_wait(4000);
	truth_end();
	return failed;
}

int
main(int argc, char **argv)
{
	uint64_t values[] = { 2, 2, 2000 };

	truth_begin(argc, argv, values, 3);
	children = values[1];
	blocks = values[2];
	if (blocks > sizeof(old) / sizeof(*old))
		return 2;
	return process(values[0]);
}
