/* options.c - walks argv along a table. Not getopt: values are checked here, where their name is known to the message. */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "number.h"

static void *
option_place(const struct option *o, void *into)
{
	return (char *)into + o->offset;
}

/* What the message says was expected. */
static void
option_form(const struct option *o, struct text *to)
{
	char low[SIZE_TEXT], high[SIZE_TEXT];

	switch (o->kind) {
	case OPTION_SIZE:
		text_add(to, SIZE_FORM);
		if (o->most > 0)
			text_printf(to, ", from %s to %s", size_format((double)o->least, low, sizeof(low)),
				    size_format((double)o->most, high, sizeof(high)));
		break;
	case OPTION_DURATION:
		text_add(to, DURATION_FORM);
		if (o->most > 0)
			text_printf(to, ", from %llu ms to %llu s", (unsigned long long)o->least,
				    (unsigned long long)o->most / 1000);
		break;
	case OPTION_COUNT:
		text_add(to, "a whole number");
		if (o->most > 0)
			text_printf(to, " from %llu to %llu", (unsigned long long)o->least,
				    (unsigned long long)o->most);
		break;
	case OPTION_CHOICE:
		text_add(to, "one of ");
		text_add(to, o->choices);
		break;
	case OPTION_FLAG:
	case OPTION_TEXT:
	case OPTION_LIST:
		text_add(to, o->argument ? o->argument : "nothing");
		break;
	}
}

static bool
choice_fits(const char *choices, const char *value)
{
	size_t length = strlen(value);

	while (length > 0) {
		size_t n = strcspn(choices, "|");

		if (n == length && memcmp(choices, value, n) == 0)
			return true;
		if (!choices[n])
			break;
		choices += n + 1;
	}
	return false;
}

static int
option_store(const struct option *o, void *into, const char *value)
{
	void *place = option_place(o, into);
	uint64_t number = 0;
	int r = 0;

	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)place = true;
		return 0;
	case OPTION_TEXT:
		if (!*value)
			return -EINVAL;
		*(const char **)place = value;
		return 0;
	case OPTION_CHOICE:
		if (!choice_fits(o->choices, value))
			return -EINVAL;
		*(const char **)place = value;
		return 0;
	case OPTION_LIST: {
		struct option_list *list = place;

		if (!*value)
			return -EINVAL;
		if (list->n == OPTION_LIST_MAX)
			return -E2BIG;
		list->values[list->n++] = value;
		return 0;
	}
	case OPTION_SIZE:
		r = size_parse(value, &number);
		break;
	case OPTION_DURATION:
		r = duration_parse(value, &number);
		break;
	case OPTION_COUNT:
		r = number_parse(value, &number);
		break;
	}
	if (r < 0)
		return r;
	if (o->most > 0 && (number < o->least || number > o->most))
		return -ERANGE;
	*(uint64_t *)place = number;
	return 0;
}

static int
option_refuse(const struct option *o, const char *value, int error, struct text *why)
{
	if (error == -E2BIG) {
		text_printf(why, "--%s may be given at most %d times", o->name, OPTION_LIST_MAX);
	} else {
		text_printf(why, "--%s %s: expected ", o->name, *value ? value : "''");
		option_form(o, why);
	}
	return -EINVAL;
}

static const struct option *
option_named(const struct option *table, const char *name, size_t length)
{
	for (const struct option *o = table; o && o->name; o++)
		if (strlen(o->name) == length && memcmp(o->name, name, length) == 0)
			return o;
	return NULL;
}

static const struct option *
option_lettered(const struct option *table, char letter)
{
	for (const struct option *o = table; o && o->name; o++)
		if (o->letter && o->letter == letter)
			return o;
	return NULL;
}

/* One argument that starts with a dash. Returns how many elements of argv it used, OPTIONS_HELP as -ECANCELED, or -EINVAL. */
static int
option_take(const struct command *c, char **at, void *into, struct text *why)
{
	const char *word = at[0], *value = NULL;
	const struct option *o;
	int used = 1, r;

	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		return -ECANCELED;
	if (word[1] == '-') {
		size_t length = strcspn(word + 2, "=");

		o = option_named(c->options, word + 2, length);
		if (word[2 + length])
			value = word + 2 + length + 1;
	} else {
		o = option_lettered(c->options, word[1]);
		if (o && word[2] && o->kind != OPTION_FLAG)
			value = word + 2;
		else if (word[2])
			o = NULL; /* letters are not bundled */
	}
	if (!o) {
		text_printf(why, "unknown option %s (see heapd %s --help)", word, c->name);
		return -EINVAL;
	}
	if (o->kind == OPTION_FLAG && value) {
		text_printf(why, "--%s takes no value", o->name);
		return -EINVAL;
	}
	if (o->kind != OPTION_FLAG && !value) {
		value = at[1];
		used = 2;
		if (!value) {
			text_printf(why, "--%s needs a value: ", o->name);
			option_form(o, why);
			return -EINVAL;
		}
	}
	r = option_store(o, into, value);
	return r < 0 ? option_refuse(o, value, r, why) : used;
}

int
options_parse(const struct command *c, char **argv, void *into, char ***ret_operands, struct text *why)
{
	char **out = argv + 1, **operands = argv + 1;
	unsigned n = 0;

	memset(into, 0, c->size);
	for (const struct option *o = c->options; o && o->name; o++)
		if (o->standard && option_store(o, into, o->standard) < 0)
			return option_refuse(o, o->standard, -EINVAL, why);

	/* Operands are gathered at the front of argv, so options may follow them. */
	for (char **at = argv + 1; *at;) {
		int used;

		if (strcmp(*at, "--") == 0) {
			for (at++; *at; at++, n++)
				*out++ = *at;
			break;
		}
		if ((*at)[0] != '-' || !(*at)[1]) {
			if (c->operands_end_options) {
				for (; *at; at++, n++)
					*out++ = *at;
				break;
			}
			*out++ = *at++;
			n++;
			continue;
		}
		used = option_take(c, at, into, why);
		if (used == -ECANCELED)
			return OPTIONS_HELP;
		if (used < 0)
			return used;
		at += used;
	}
	*out = NULL;
	if (n < c->operands_least || n > c->operands_most) {
		if (n > c->operands_most)
			text_printf(why, "%s: one operand too many", operands[c->operands_most]);
		else
			text_printf(why, "heapd %s needs %s", c->name, c->operands);
		text_printf(why, " (see heapd %s --help)", c->name);
		return -EINVAL;
	}
	*ret_operands = operands;
	return OPTIONS_RUN;
}

/* The sentence in lines of at most 100 columns, indented like the first. */
static void
help_wrap(struct text *to, const char *sentence, size_t indent)
{
	size_t column = indent;

	while (*sentence) {
		size_t length = strcspn(sentence, " ");

		if (column > indent && column + 1 + length > 100) {
			text_printf(to, "\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			text_add_char(to, ' ');
			column++;
		}
		text_add_bytes(to, sentence, length);
		column += length;
		sentence += length;
		sentence += strspn(sentence, " ");
	}
	text_add_char(to, '\n');
}

void
options_help(const struct command *c, struct text *to)
{
	enum { COLUMN = 30 };
	struct text left = { 0 };

	text_printf(to, "Usage: heapd %s%s%s%s\n\n%s\n", c->name, c->options && c->options->name ? " [OPTION]..." : "",
		    *c->operands ? " " : "", c->operands, c->sentence);
	if (*c->description)
		text_printf(to, "%s\n", c->description);
	text_add(to, "\n");
	for (const struct option *o = c->options; o && o->name; o++) {
		struct text sentence = { 0 };

		if (o->letter)
			text_printf(&left, "  -%c, ", o->letter);
		else
			text_add(&left, "      ");
		text_printf(&left, "--%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
		text_add(&sentence, o->sentence);
		if (o->standard)
			text_printf(&sentence, " (default %s)", o->standard);
		text_printf(to, "%-*s", COLUMN, text_string(&left));
		if (left.size >= COLUMN)
			text_printf(to, "\n%*s", COLUMN, "");
		help_wrap(to, text_string(&sentence), COLUMN);
		text_done(&sentence);
		text_done(&left);
	}
	text_printf(to, "%-*s%s\n", COLUMN, "  -h, --help", "Print this and end.");
}
