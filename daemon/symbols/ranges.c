/* ranges.c - sorted ranges with a running maximum of their ends, so that a search walks back only while an earlier
 * range could still reach the address. */
#include "ranges.h"

#include <errno.h>
#include <stdlib.h>

int
ranges_add(struct ranges *r, uint64_t start, uint64_t end, uint32_t value)
{
	if (start >= end)
		return 0;
	if (r->n == r->room) {
		size_t room = r->room ? 2 * r->room : 64;
		struct range *items = reallocarray(r->items, room, sizeof(*items));
		if (!items)
			return -ENOMEM;
		r->items = items;
		r->room = room;
	}
	r->items[r->n++] = (struct range){ .start = start, .end = end, .value = value };
	return 0;
}

static int
compare(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->end != b->end) /* the wider first, so that walking back meets the inner one first */
		return a->end > b->end ? -1 : 1;
	return a->value == b->value ? 0 : a->value > b->value ? -1 : 1;
}

void
ranges_sort(struct ranges *r)
{
	uint64_t reach = 0;

	if (r->n > 1)
		qsort(r->items, r->n, sizeof(*r->items), compare);
	for (size_t i = 0; i < r->n; i++) {
		if (r->items[i].end > reach)
			reach = r->items[i].end;
		r->items[i].reach = reach;
	}
}

const struct range *
ranges_find(const struct ranges *r, uint64_t address)
{
	size_t low = 0, high = r->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (r->items[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low; i > 0 && r->items[i - 1].reach > address; i--)
		if (r->items[i - 1].end > address)
			return &r->items[i - 1];
	return NULL;
}

void
ranges_done(struct ranges *r)
{
	free(r->items);
	*r = (struct ranges){ 0 };
}
