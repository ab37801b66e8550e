/* base_text_test.c - what hostile names become on their way to a page or a terminal. */
#include "text.h"

#include <errno.h>
#include <stdlib.h>

#include "test.h"

static const char *
html(const char *s)
{
	static struct text t;

	text_done(&t);
	text_add_html(&t, s);
	return text_string(&t);
}

static const char *
printable(const char *s, size_t columns)
{
	static struct text t;

	text_done(&t);
	(void)text_add_printable(&t, s, columns);
	return text_string(&t);
}

TEST(markup_in_a_name_stays_text)
{
	CHECK_STR("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;", html("<script>alert(\"1\")</script>"));
	CHECK_STR("a&#39; onload=&#39;x &amp;amp;", html("a' onload='x &amp;"));
	CHECK_STR("a b", html("a\nb"));
}

TEST(a_name_cannot_move_the_cursor)
{
	CHECK_STR("?[2Jx", printable("\033[2Jx", 0));
	CHECK_STR("a?b?c", printable("a\nb\rc", 0));
	CHECK_STR("?[31m", printable("\xc2\x9b[31m", 0)); /* C1 form of ESC [ */
	CHECK_STR("?", printable("\x7f", 0));
}

TEST(bytes_that_are_not_utf8_are_replaced_one_by_one)
{
	CHECK_STR("a?b", printable("a\xff"
				   "b",
				   0));
	CHECK_STR("??", printable("\xc0\xaf", 0)); /* overlong slash */
	CHECK_STR("???", printable("\xed\xa0\x80", 0)); /* surrogate */
	CHECK_STR("????", printable("\xf4\x90\x80\x80", 0)); /* above U+10FFFF */
	CHECK_STR("??", printable("\xe2\x82", 0)); /* ends in the middle */
	CHECK_STR("grün €", printable("grün €", 0));
}

TEST(a_long_name_is_cut_by_characters_and_says_so)
{
	CHECK_STR("grü~", printable("grünspan", 4));
	CHECK_STR("grün", printable("grün", 4));
	CHECK_STR("~", printable("ab", 1));
}

TEST(text_grows_over_many_pieces_and_is_handed_over_whole)
{
	struct text t = { 0 };
	char *data = NULL;
	size_t size = 0;

	for (int i = 0; i < 10000; i++)
		text_printf(&t, "%d,", i);
	CHECK_EQ(0, text_take(&t, &data, &size));
	CHECK_EQ(48890, size);
	CHECK(strncmp(data, "0,1,2,", 6) == 0 && strcmp(data + size - 5, "9999,") == 0);
	CHECK_EQ(0, t.size);
	free(data);
}

TEST(a_text_that_lost_a_piece_is_not_handed_over)
{
	struct text t = { 0 };
	char *data = (char *)1;

	text_add(&t, "some");
	t.failed = true;
	text_add(&t, "thing");
	CHECK_EQ(-ENOMEM, text_take(&t, &data, NULL));
	CHECK(data == (char *)1);
	CHECK_STR("", text_string(&t));
}

TEST(an_empty_text_is_an_empty_string)
{
	struct text t = { 0 };
	char *data = NULL;
	size_t size = 9;

	CHECK_EQ(0, text_take(&t, &data, &size));
	CHECK_STR("", data);
	CHECK_EQ(0, size);
	free(data);
}
