/* manual_test.c - the manual page says what the option tables say. */
#include "cli.h"

#include <stdlib.h>

#include "test.h"

/* The page as plain words: no requests, no font changes, no backslashes, one space between words. */
static char *
manual(void)
{
	static char *page;
	FILE *f;
	char line[4096];
	struct text all = { 0 };

	if (page)
		return page;
	f = fopen(MANUAL, "r");
	CHECK(f != NULL);
	while (f && fgets(line, sizeof(line), f)) {
		char *s = line;

		if (*s == '.')
			s += strcspn(s, " \n");
		for (; *s; s++) {
			if (s[0] == '\\' && s[1] == 'f' && s[2])
				s += 2;
			else if (s[0] == '\\' && s[1] == '&')
				s++;
			else if (s[0] == '\\' && s[1] == '-')
				continue;
			else if (*s == '\n' || *s == ' ' || *s == '"') {
				if (all.size > 0 && all.data[all.size - 1] != ' ')
					text_add_char(&all, ' ');
			} else
				text_add_char(&all, *s);
		}
	}
	if (f)
		(void)fclose(f);
	(void)text_take(&all, &page, NULL);
	return page;
}

static void
contains(const char *from, const char *words)
{
	if (!strstr(from, words)) {
		printf("# the manual does not say: %s\n", words);
		test_failed = true;
	}
}

TEST(every_command_and_option_is_in_the_manual_in_the_tables_words)
{
	for (const struct command *const *c = commands; *c; c++) {
		struct text heading = { 0 };
		const char *section;

		if ((*c)->hidden)
			continue;
		text_printf(&heading, "heapd %s", (*c)->name);
		section = strstr(manual(), text_string(&heading));
		contains(manual(), text_string(&heading));
		contains(manual(), (*c)->sentence);
		for (const struct option *o = (*c)->options; section && o && o->name; o++) {
			struct text option = { 0 };

			text_printf(&option, "--%s%s%s", o->name, o->argument ? " " : "",
				    o->argument ? o->argument : "");
			contains(section, text_string(&option));
			contains(section, o->sentence);
			if (o->standard) {
				text_done(&option);
				text_printf(&option, "(default %s)", o->standard);
				contains(section, text_string(&option));
			}
			text_done(&option);
		}
		text_done(&heading);
	}
}

TEST(every_default_in_the_tables_is_what_its_own_parser_takes)
{
	for (const struct command *const *c = commands; *c; c++) {
		char name[] = "command";
		char *argv[64] = { name };
		struct text why = { 0 };
		void *into = calloc(1, (*c)->size ? (*c)->size : 1);
		char **operands;

		for (unsigned i = 0; i < (*c)->operands_least; i++)
			argv[i + 1] = name;
		CHECK_EQ(OPTIONS_RUN, options_parse(*c, argv, into, &operands, &why));
		CHECK_STR("", text_string(&why));
		text_done(&why);
		free(into);
	}
}

TEST(environment_and_exit_statuses_are_in_the_manual)
{
	static const char *const words[] = {
		"HEAPD_PERIOD", "HEAPD_NAME",      "HEAPD_DIR", "HEAPD_LIBRARY", "HEAPD_MAX_SAMPLES",
		"HEAPD_SEED",   "XDG_RUNTIME_DIR", "125",       "126",           "127",
		"128",          "go tool pprof"
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		contains(manual(), words[i]);
}
