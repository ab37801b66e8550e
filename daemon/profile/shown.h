/* shown.h - which stacks of a profile are served by themselves where readers cannot take them all; the rest is summed up.
 *
 * Whoever reads a profile again and again subtracts the earlier values, stack by stack, so those of alloc_objects and
 * alloc_space must not go down while the target lives. Therefore it is remembered of a target which stacks were served: they
 * stay. One that was summed up and has become large gets a place of its own, but what it had allocated by then stays
 * in the sum; what it has in use moves. Places for that are kept free: from three quarters of the room on, as many of the
 * largest stacks get in as there are places left.
 */
#ifndef HEAPD_SHOWN_H
#define HEAPD_SHOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "profile.h"

#define SHOWN_MONOTONE 2 /* of the values: alloc_objects and alloc_space */

/* Of a stack that is served by itself. */
struct shown_stack {
	uint64_t key;
	int64_t summed[SHOWN_MONOTONE]; /* of its values, what stays in the sum */
	int64_t size_label; /* as it was first served: readers take another label for another stack; 0: none */
};

/* One profile of a target. */
struct showing {
	const struct profile *p;
	struct shown *shown; /* before; NULL: nothing is remembered */
	struct shown_stack *served; /* one a sample */
	bool *known, *keep; /* one a sample: served before; to be served */
	uint32_t *by_rank; /* as fold_order() has it; NULL: not needed so far */
	size_t n_known, n_keep;
	bool rest; /* there is a sum */
};

/* `shown` is borrowed, and taken, until showing_done(). 0 or -ENOMEM; showing_done() in either case. */
int showing_init(struct showing *plan, const struct profile *p, struct shown *shown);

/* Choose as if readers took `room` stacks, the sum among them. 0 or -ENOMEM. */
int showing_choose(struct showing *plan, size_t room);

/* What was chosen has been served, with the labels in plan->served: remember it. 0 or -ENOMEM. */
int showing_commit(struct showing *plan);
void showing_done(struct showing *plan);

/* What was shown of all targets that were asked for lately: of SHOWN_MAX at most, and of about SHOWN_STACKS_MAX stacks together;
 * then what nobody has asked for the longest is forgotten. Threads: any. */
struct shown_all;

#define SHOWN_MAX 256
#define SHOWN_STACKS_MAX 500000 /* at some 60 bytes */

int shown_all_new(struct shown_all **ret); /* 0 or -ENOMEM */
void shown_all_free(struct shown_all *f); /* NULL is fine; none may be taken */

/* What was shown of a target, for the caller alone until it is given back. Waits while another has it. NULL without memory. */
struct shown *shown_take(struct shown_all *f, uint64_t target);
void shown_give(struct shown_all *f, struct shown *shown); /* NULL is fine */

#endif
