/* options_test.c - a command line of every shape, and what is said of a wrong one. */
#include "options.h"

#include <errno.h>

#include "test.h"

struct sample_options {
	uint64_t period, rows, interval;
	const char *name, *sort;
	struct option_list dirs;
	bool quiet;
};

static const struct option table[] = {
	{ .name = "period",
	  .letter = 'p',
	  .kind = OPTION_SIZE,
	  .offset = offsetof(struct sample_options, period),
	  .argument = "N",
	  .standard = "512k",
	  .least = 1,
	  .most = 1 << 20,
	  .sentence = "How often." },
	{ .name = "rows",
	  .letter = 'n',
	  .kind = OPTION_COUNT,
	  .offset = offsetof(struct sample_options, rows),
	  .argument = "N",
	  .least = 1,
	  .most = 50,
	  .sentence = "How many." },
	{ .name = "interval",
	  .kind = OPTION_DURATION,
	  .offset = offsetof(struct sample_options, interval),
	  .argument = "TIME",
	  .standard = "2s",
	  .sentence = "How long." },
	{ .name = "name",
	  .kind = OPTION_TEXT,
	  .offset = offsetof(struct sample_options, name),
	  .argument = "NAME",
	  .sentence = "What it is called." },
	{ .name = "sort",
	  .kind = OPTION_CHOICE,
	  .offset = offsetof(struct sample_options, sort),
	  .argument = "VALUE",
	  .standard = "space",
	  .choices = "space|objects",
	  .sentence = "In which order." },
	{ .name = "dir",
	  .kind = OPTION_LIST,
	  .offset = offsetof(struct sample_options, dirs),
	  .argument = "DIR",
	  .sentence = "Where; several times." },
	{ .name = "quiet",
	  .letter = 'q',
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct sample_options, quiet),
	  .sentence = "Say nothing." },
	{ 0 },
};

static struct command sample = { .name = "sample",
				 .operands = "[WHAT]",
				 .sentence = "Is a command.",
				 .description = "",
				 .options = table,
				 .size = sizeof(struct sample_options),
				 .operands_most = 3 };

static struct sample_options got;
static char **operands;
static struct text why;

#define PARSE(...) parse((char *[]){ "sample", __VA_ARGS__, NULL })

static int
parse(char **argv)
{
	static char *kept[32];
	size_t n = 0;

	for (; argv[n]; n++)
		kept[n] = argv[n];
	kept[n] = NULL;
	text_done(&why);
	return options_parse(&sample, kept, &got, &operands, &why);
}

TEST(options_have_their_defaults)
{
	CHECK_EQ(OPTIONS_RUN, parse((char *[]){ "sample", NULL }));
	CHECK_EQ(524288, got.period);
	CHECK_EQ(2000, got.interval);
	CHECK_EQ(0, got.rows);
	CHECK_STR("space", got.sort);
	CHECK(!got.name && !got.quiet && got.dirs.n == 0);
	CHECK(!operands[0]);
}

TEST(values_may_stand_behind_a_space_an_equals_sign_or_the_letter)
{
	CHECK_EQ(OPTIONS_RUN,
		 PARSE("--period", "4k", "--rows=7", "--interval=500ms", "-q", "--name", "-x", "--sort", "objects"));
	CHECK_EQ(4096, got.period);
	CHECK_EQ(7, got.rows);
	CHECK_EQ(500, got.interval);
	CHECK_STR("-x", got.name);
	CHECK_STR("objects", got.sort);
	CHECK(got.quiet);
	CHECK_EQ(OPTIONS_RUN, PARSE("-p64k", "-n", "3"));
	CHECK_EQ(65536, got.period);
	CHECK_EQ(3, got.rows);
}

TEST(a_list_takes_every_value)
{
	CHECK_EQ(OPTIONS_RUN, PARSE("--dir", "/a", "--dir=/b"));
	CHECK_EQ(2, got.dirs.n);
	CHECK_STR("/a", got.dirs.values[0]);
	CHECK_STR("/b", got.dirs.values[1]);
	CHECK(!got.dirs.values[2]);
}

TEST(operands_may_stand_between_options_and_behind_the_dashes)
{
	CHECK_EQ(OPTIONS_RUN, PARSE("one", "-q", "-", "--", "--period"));
	CHECK_STR("one", operands[0]);
	CHECK_STR("-", operands[1]);
	CHECK_STR("--period", operands[2]);
	CHECK(!operands[3] && got.quiet);
}

TEST(the_first_operand_may_begin_somebody_elses_command_line)
{
	sample.operands_end_options = true;
	CHECK_EQ(OPTIONS_RUN, PARSE("-q", "ls", "-l", "--period"));
	CHECK_STR("ls", operands[0]);
	CHECK_STR("-l", operands[1]);
	CHECK_STR("--period", operands[2]);
	CHECK_EQ(OPTIONS_RUN, PARSE("-q", "--", "ls", "--", "-l"));
	CHECK_STR("ls", operands[0]);
	CHECK_STR("--", operands[1]);
	sample.operands_end_options = false;
}

TEST(what_is_wrong_is_named_with_its_value_and_what_was_expected)
{
	static const struct {
		char *one, *two;
		const char *words[3];
	} cases[] = {
		{ "--period", "4q", { "--period", "4q", "512k" } },
		{ "--period", "0", { "--period", "0", "from 1 B to" } },
		{ "--period", "2M", { "--period", "2M", "1.00 MiB" } },
		{ "--period", "", { "--period", "''", "number of bytes" } },
		{ "--period", NULL, { "--period", "needs a value", "512k" } },
		{ "-p", NULL, { "--period", "needs a value", "512k" } },
		{ "--rows", "51", { "--rows", "51", "1 to 50" } },
		{ "--interval", "5 s", { "--interval", "5 s", "500ms" } },
		{ "--sort", "spac", { "--sort", "spac", "space|objects" } },
		{ "--sort", "", { "--sort", "''", "space|objects" } },
		{ "--quiet=yes", NULL, { "--quiet", "no value", "" } },
		{ "--perio", "1", { "--perio", "unknown option", "--help" } },
		{ "-z", NULL, { "-z", "unknown option", "--help" } },
		{ "-qq", NULL, { "-qq", "unknown option", "" } },
		{ "--", "a", { "", "", "" } },
	};

	for (size_t i = 0; i + 1 < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK_EQ(-EINVAL, PARSE(cases[i].one, cases[i].two));
		for (size_t k = 0; k < 3; k++) {
			if (!strstr(text_string(&why), cases[i].words[k]))
				CHECK_STR(cases[i].words[k], text_string(&why));
		}
	}
}

TEST(too_many_or_too_few_operands_are_told)
{
	CHECK_EQ(-EINVAL, PARSE("a", "b", "c", "excess"));
	CHECK(strstr(text_string(&why), "excess"));
	sample.operands_least = 2;
	CHECK_EQ(-EINVAL, PARSE("a"));
	CHECK(strstr(text_string(&why), "[WHAT]"));
	sample.operands_least = 0;
}

TEST(help_is_asked_for_anywhere_and_tells_every_option)
{
	struct text help = { 0 };

	CHECK_EQ(OPTIONS_HELP, PARSE("a", "--help", "--nonsense"));
	CHECK_EQ(OPTIONS_HELP, PARSE("-h"));
	options_help(&sample, &help);
	for (const struct option *o = table; o->name; o++) {
		CHECK(strstr(text_string(&help), o->name));
		CHECK(strstr(text_string(&help), o->sentence));
		if (o->standard)
			CHECK(strstr(text_string(&help), o->standard));
	}
	CHECK(strstr(text_string(&help), "heapd sample [OPTION]... [WHAT]"));
	text_done(&help);
}
