/* source.c - see source.h. */
#include "source.h"

#include <errno.h>
#include <string.h>

#include "cli.h"
#include "log.h"

int
source_open(const struct option_list *dirs, bool with_symbols, struct source *ret)
{
	struct source s = { 0 };
	int r = targets_new(dirs->n > 0 ? dirs->values : NULL, &s.targets);

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

static void
refuse(const struct source *s, const char *what, int error)
{
	enum { SHOWN = 20 };
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
		for (size_t i = 0; i < n && i < SHOWN; i++)
			log_line("  %s  %s, pid %u%s", list[i]->id, list[i]->name, list[i]->pid,
				 atomic_load_explicit(&list[i]->alive, memory_order_relaxed) ? "" : ", ended");
		if (n > SHOWN)
			log_line("  and %zu more, see heapd list", n - SHOWN);
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
