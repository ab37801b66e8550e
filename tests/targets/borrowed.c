/* borrowed - children that share the memory of their parent, and so count as it: by vfork, and by clone on a stack of their
 * own as posix_spawn does it, while the parent waits.
 *
 *   borrowed [CHILDREN [BESIDE]]        default 200, 0
 *
 * With BESIDE, as many rounds of a child and its parent follow that run at once, without the C library's knowledge and on
 * the same thread-local storage. Its own allocator does not survive that, slots.so does; counts are not exact then, but
 * what keep_after() keeps is.
 */
#include "truth.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

SITE_FUNCTION(in_vfork, malloc(size))
SITE_FUNCTION(in_clone, malloc(size))
SITE_FUNCTION(in_parent, malloc(size))
SITE_FUNCTION(beside, malloc(size))
SITE_FUNCTION(keep_after, malloc(size))

static struct truth_block from_parent, from_child;
static void *volatile last_kept; /* or a compiler takes calls out */

/* What a child does: keeps one, leaves one for its parent, frees what the parent left. */
static void
child_work(struct truth_site *site, void *(*allocate)(size_t))
{
	struct truth_block b = { allocate(100), 100, site };

	truth_free_block(&b);
	last_kept = allocate(32);
	truth_free_block(&from_parent);
	from_child = (struct truth_block){ allocate(64), 64, site };
}

static int
cloned(void *closure)
{
	(void)closure;
	child_work(&site_in_clone, in_clone);
	return 0;
}

static int
churn(void *closure)
{
	uint64_t rounds = *(const uint64_t *)closure;

	for (uint64_t i = 0; i < rounds; i++) {
		void *p = beside(16 + i % 900), *q = beside(64);

		free(p);
		free(q);
	}
	return 0;
}

static char stack[65536] __attribute__((aligned(64)));

static void
wait_for(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		abort();
}

int
main(int argc, char **argv)
{
	uint64_t values[] = { 200, 0 };
	pid_t pid;

	truth_begin(argc, argv, values, 2);
	for (uint64_t i = 0; i < values[0]; i++) {
		from_parent = (struct truth_block){ in_parent(48), 48, &site_in_parent };
		pid = vfork();
		if (pid == 0) {
			child_work(&site_in_vfork, in_vfork);
			_exit(0);
		}
		wait_for(pid);
		truth_free_block(&from_child);

		from_parent = (struct truth_block){ in_parent(48), 48, &site_in_parent };
		wait_for(clone(cloned, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
		truth_free_block(&from_child);
	}
	if (values[1]) {
		pid = clone(churn, stack + sizeof(stack), CLONE_VM | SIGCHLD, &values[1]);
		churn(&values[1]);
		wait_for(pid);
		for (int i = 0; i < 1000; i++)
			last_kept = keep_after(777);
	}
	truth_end();
	return 0;
}
