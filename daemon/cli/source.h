/* source.h - what list, top, fetch and set read: segments, directly, with no daemon. */
#ifndef HEAPD_SOURCE_H
#define HEAPD_SOURCE_H

#include "moment.h"
#include "options.h"

#define DIR_OPTION(at)                                                                                         \
	{                                                                                                      \
		.name = "dir", .kind = OPTION_LIST, .offset = (at), .argument = "DIR",                         \
		.sentence = "Look for segments there and not in the usual places; may be given several times." \
	}

/* Whether the directories that the user named, by --dir or HEAPD_DIR, can hold segments. 0, or an exit status after saying why
 * not; `may_come`: one that does not exist is only told of. */
int source_check(const struct option_list *dirs, bool may_come);

struct source {
	struct targets *targets;
	struct symbols *symbols; /* NULL unless asked for */
};

/* 0, or EXIT_FAILED and a line for the user. */
int source_open(const struct option_list *dirs, bool with_symbols, struct source *ret);
void source_close(struct source *s);

/* The target that `what` means, NULL: the only one. 0, or EXIT_FAILED and a line with what there is. */
int source_select(const struct source *s, const char *what, struct selection *ret);

#endif
