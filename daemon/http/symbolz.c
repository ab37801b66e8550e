/* symbolz.c - names for addresses that pprof tools ask about, and the command line.
 *
 * Addresses may lie in the middle of an instruction, one byte before a return address, or be a return address itself,
 * depending on the reader. Each is looked up where it is, unless it is exactly a return address of the target: then, as
 * in the profile, one byte earlier.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "routes.h"

/* Addresses as hexadecimal numbers joined by '+'. Stops at what is none. Returns how many, or -ENOMEM. */
static ssize_t
addresses_parse(const char *s, size_t size, uint64_t **ret)
{
	size_t n = 1, used = 0, i = 0;
	uint64_t *addresses;

	for (size_t k = 0; k < size; k++)
		n += s[k] == '+';
	addresses = calloc(n, sizeof(*addresses));
	if (!addresses)
		return -ENOMEM;
	while (i < size && used < n) {
		uint64_t value = 0;
		size_t digits = 0;

		if (i + 1 < size && s[i] == '0' && (s[i + 1] | 0x20) == 'x')
			i += 2;
		for (; i < size; i++, digits++) {
			char c = s[i];
			unsigned digit;

			if (c >= '0' && c <= '9')
				digit = (unsigned)(c - '0');
			else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
				digit = (unsigned)((c | 0x20) - 'a' + 10);
			else
				break;
			value = value << 4 | digit;
		}
		if (digits > 0 && digits <= 32)
			addresses[used++] = value;
		while (i < size && s[i] != '+')
			i++;
		i++;
	}
	*ret = addresses;
	return (ssize_t)used;
}

static int
address_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The module whose range holds the address; of several lives at one place the last, which is the one still there. */
static uint32_t
module_at(const struct snapshot *s, uint64_t address)
{
	for (size_t i = s->n_modules; i-- > 0;)
		if (s->modules[i].present && address >= s->modules[i].start && address < s->modules[i].end)
			return (uint32_t)i;
	return HEAPD_NONE;
}

/* Return addresses of the snapshot, sorted. NULL without memory. */
static uint64_t *
returns_sorted(const struct snapshot *s, size_t *ret_n)
{
	uint64_t *sorted = malloc((s->n_frames ? s->n_frames : 1) * sizeof(*sorted));
	size_t n = 0;

	for (size_t i = 0; sorted && i < s->n_frames; i++)
		if (s->frames[i].address && !(s->frames[i].flags & HEAPD_FRAME_EXACT))
			sorted[n++] = s->frames[i].address;
	if (sorted)
		qsort(sorted, n, sizeof(*sorted), address_compare);
	*ret_n = n;
	return sorted;
}

/* Asks for all addresses at once: a snapshot with the modules of the real one and a frame an address. */
static int
addresses_resolve(struct symbols *symbols, const struct snapshot *s, uint32_t pid, const uint64_t *addresses, size_t n,
		  struct symbol *ret, bool *ret_known)
{
	struct snapshot *question = snapshot_new();
	size_t n_returns = 0;
	uint64_t *returns = returns_sorted(s, &n_returns);
	struct snapshot_frame *frames = calloc(n ? n : 1, sizeof(*frames));
	int r = -ENOMEM;

	if (!question || !returns || !frames)
		goto out;
	for (size_t i = 0; i < n; i++) {
		bool is_return = n_returns > 0 &&
				 bsearch(&addresses[i], returns, n_returns, sizeof(*returns), address_compare) != NULL;

		frames[i].address = addresses[i];
		frames[i].module = module_at(s, addresses[i]);
		frames[i].flags = is_return ? 0 : HEAPD_FRAME_EXACT;
		/* Code outside every module is JIT code at best, which only a frame of a sample can make us believe. */
		ret_known[i] = frames[i].module != HEAPD_NONE || is_return;
	}
	question->pid = s->pid;
	question->uid = s->uid;
	question->start_time = s->start_time;
	question->random = s->random;
	question->modules = s->modules; /* lent for the call */
	question->n_modules = s->n_modules;
	question->frames = frames;
	question->n_frames = n;
	r = symbols_resolve(symbols, question, pid, ret);
	question->modules = NULL;
	question->n_modules = 0;
	question->frames = NULL;
	question->n_frames = 0;
out:
	free(frames);
	free(returns);
	snapshot_free(question);
	return r;
}

/* A name in which "--" stands only where the writer puts it: "operator--" would be taken apart. */
static void
name_write(const char *name, struct text *to)
{
	for (const char *dashes; (dashes = strstr(name, "--")); name = dashes + 2) {
		struct text before = { 0 };

		text_add_bytes(&before, name, (size_t)(dashes - name));
		text_add_printable(to, text_string(&before), 0);
		text_add(to, "- -");
		text_done(&before);
	}
	text_add_printable(to, name, 0);
}

/* "0xADDR NAME" for each known address. gperftools' form joins inlined functions by "--", the outermost first; Go's has
 * room for the outermost alone. */
static void
symbols_write(const uint64_t *addresses, const struct symbol *symbols, const bool *known, size_t n, char separator,
	      struct text *to)
{
	for (size_t i = 0; i < n; i++) {
		const struct symbol *symbol = &symbols[i];

		if (!known[i] || symbol->n_lines == 0)
			continue;
		text_printf(to, "%#llx%c", (unsigned long long)addresses[i], separator);
		if (separator == '\t') {
			for (uint32_t k = symbol->n_lines; k-- > 0;) {
				name_write(symbol->lines[k].name, to);
				if (k > 0)
					text_add(to, "--");
			}
		} else {
			text_add_printable(to, symbol->lines[symbol->n_lines - 1].name, 0);
		}
		text_add_char(to, '\n');
	}
}

void
symbolz_answer(struct routes *r, const struct request *q, const struct scope *s, char separator, struct reply *to)
{
	const char *asked = q->method == METHOD_POST ? text_string(&q->body) : q->query;
	size_t size = q->method == METHOD_POST ? q->body.size : strlen(q->query);
	struct selection selection = { 0 };
	struct moment moment = { 0 };
	struct text body = { 0 };
	uint64_t *addresses = NULL;
	struct symbol *symbols = NULL;
	bool *known = NULL;
	ssize_t n;
	int error;

	/* The tools only look whether this number is 0. */
	text_add(&body, "num_symbols: 1\n");
	n = addresses_parse(asked, size, &addresses);
	if (n < 0)
		goto without_memory;
	if (!scope_select(r, s, &selection, to))
		goto out;
	if (n > 0) {
		if (!scope_moment(r, &selection, &moment, to))
			goto out;
		symbols = calloc((size_t)n, sizeof(*symbols));
		known = calloc((size_t)n, sizeof(*known));
		if (!symbols || !known)
			goto without_memory;
		symbols_enter(r->symbols);
		/* Addresses of a service are those of its first target, as in its profile. */
		error = addresses_resolve(r->symbols, moment.snapshots[0], moment.pids[0], addresses, (size_t)n,
					  symbols, known);
		if (error == 0)
			symbols_write(addresses, symbols, known, (size_t)n, separator, &body);
		symbols_leave(r->symbols);
		if (error < 0)
			goto without_memory;
	}
	reply_text(to, TYPE_TEXT, &body);
	goto out;
without_memory:
	reply_error(to, 500, "Out of memory");
out:
	free(known);
	free(symbols);
	free(addresses);
	text_done(&body);
	moment_done(&moment);
	selection_done(&selection);
}

void
cmdline_answer(struct routes *r, const struct scope *s, struct reply *to)
{
	struct selection selection = { 0 };
	struct moment moment = { 0 };
	struct text body = { 0 };

	if (!scope_select(r, s, &selection, to) || !scope_moment(r, &selection, &moment, to))
		goto out;
	text_add_bytes(&body, moment.snapshots[0]->cmdline, moment.snapshots[0]->cmdline_length);
	while (body.size > 0 && body.data[body.size - 1] == '\0')
		body.data[--body.size] = '\0';
	/* jeprof gives up on an empty command line. */
	if (body.size == 0)
		text_add(&body, selection.targets[0]->name);
	reply_text(to, TYPE_TEXT, &body);
out:
	text_done(&body);
	moment_done(&moment);
	selection_done(&selection);
}
