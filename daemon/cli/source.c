/* source.c - see source.h. */
#include "source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "log.h"

static int
directory_check(const char *from, const char *path, bool may_come)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	errno = stat(path, &st) == 0 ? ENOTDIR : errno;
	if (may_come && errno == ENOENT) {
		log_line("%s%s does not exist yet: waiting for it", from, path);
		return 0;
	}
	log_line("%s%s: %s", from, path, strerror(errno));
	return EXIT_FAILED;
}

int
source_check(const struct option_list *dirs, bool may_come)
{
	const char *dir = getenv("HEAPD_DIR");
	int status = 0;

	for (size_t i = 0; i < dirs->n && status == 0; i++)
		status = directory_check("--dir ", dirs->values[i], may_come);
	if (dirs->n == 0 && dir && dir[0])
		status = directory_check("HEAPD_DIR=", dir, may_come);
	return status;
}

int
source_open(const struct option_list *dirs, bool with_symbols, struct source *ret)
{
	struct source s = { 0 };
	int r;

	if (source_check(dirs, false) != 0)
		return EXIT_FAILED;
	r = targets_new(dirs->n > 0 ? dirs->values : NULL, &s.targets);
	if (r == 0)
		r = targets_poll(s.targets);
	if (r < 0) {
		log_line("cannot look for segments: %s", strerror(-r));
		goto out;
	}
	if (with_symbols) {
		r = symbols_new(NULL, &s.symbols);
		if (r < 0)
			log_line("cannot start the reader of symbols: %s", strerror(-r));
	}
out:
	if (r < 0) {
		source_close(&s);
		return EXIT_FAILED;
	}
	*ret = s;
	return 0;
}

void
source_close(struct source *s)
{
	symbols_free(s->symbols);
	targets_free(s->targets);
	*s = (struct source){ 0 };
}

/* Does targets_find() take `what` for this target too? */
static bool
fits(const struct target *t, const char *what)
{
	char pid[16];

	(void)snprintf(pid, sizeof(pid), "%u", t->pid);
	return strcmp(t->name, what) == 0 || strcmp(pid, what) == 0;
}

/* Living before ended ones, the newest first: the one that is meant is near the top. */
static void
list_targets(struct target *const *list, size_t n, const char *only)
{
	enum { SHOWN = 20 };
	size_t shown = 0, more = 0;

	for (size_t i = 0; i < 2 * n; i++) {
		const struct target *t = list[n - 1 - i % n];
		bool alive = atomic_load_explicit(&t->alive, memory_order_relaxed);

		if (alive != (i < n) || (only && !fits(t, only)))
			continue;
		if (shown < SHOWN) {
			log_line("  %s  %s, pid %u%s", t->id, t->name, t->pid, alive ? "" : ", ended");
			shown++;
		} else {
			more++;
		}
	}
	if (more > 0)
		log_line("  and %zu more, see heapd list", more);
}

static void
refuse(const struct source *s, const char *what, int error)
{
	struct target **list = targets_list(s->targets);
	size_t n = 0;

	while (list && list[n])
		n++;
	if (error == -ENOMEM) {
		log_line("out of memory");
	} else if (n == 0) {
		log_line("%s%sno program is being sampled. Start one with: heapd run -- PROGRAM", what ? what : "",
			 what ? ": there is no such target; " : "");
	} else {
		if (!what)
			log_line("there are several targets; name one of these by its id:");
		else if (error == -ENOTUNIQ)
			log_line("several targets fit '%s'; name one of these by its id:", what);
		else
			log_line("there is no target '%s'. There are:", what);
		list_targets(list, n, error == -ENOTUNIQ ? what : NULL);
	}
	targets_list_free(list);
}

int
source_select(const struct source *s, const char *what, struct selection *ret)
{
	int r = what ? selection_target(s->targets, what, ret) : selection_only(s->targets, ret);

	if (r < 0) {
		refuse(s, what, r);
		return EXIT_FAILED;
	}
	return 0;
}
