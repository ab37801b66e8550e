/* text.c - names from a target on their way into HTML, JSON, a terminal, and names of segment files. The first byte is a
 * width.
 */
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "inner_pids.h"
#include "json.h"
#include "target.h"
#include "utf8.h"

static size_t
characters(const char *s)
{
	size_t n = 0;

	for (size_t left = strlen(s), step; left > 0; s += step, left -= step, n++) {
		step = text_character(s, left);
		MUST(step >= 1 && step <= 4 && step <= left);
	}
	return n;
}

/* No byte of a control character, told apart without the code under test. */
static bool
is_plain(const char *text)
{
	for (const unsigned char *s = (const unsigned char *)text; *s; s++)
		if (*s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0))
			return false;
	return true;
}

static void
make_clean(const char *s, size_t size, size_t width)
{
	char *copy = strdup(s);
	size_t cut;

	MUST(copy);
	MUST((utf8_make_clean(copy, size) == 0) == utf8_clean(s, size));
	MUST(strlen(copy) == size && is_plain(copy) && utf8_clean(copy, size) && utf8_make_clean(copy, size) == 0);
	cut = utf8_cut(copy, size, width);
	MUST(cut <= width && cut <= size && utf8_clean(copy, cut) && (size <= width ? cut == size : cut + 3 >= width));
	free(copy);
}

static void
print(const char *s, size_t width)
{
	struct text t = { 0 };
	size_t used = text_add_printable(&t, s, width);

	MUST(utf8_clean(text_string(&t), t.size) && is_plain(text_string(&t)));
	MUST(used == characters(text_string(&t)) && (width == 0 || used <= width));
	text_done(&t);
	text_add_html(&t, s);
	MUST(!strpbrk(text_string(&t), "<>\"'"));
	for (const char *a = text_string(&t); (a = strchr(a, '&')) != NULL; a++)
		MUST(strncmp(a, "&lt;", 4) == 0 || strncmp(a, "&gt;", 4) == 0 || strncmp(a, "&amp;", 5) == 0 ||
		     strncmp(a, "&quot;", 6) == 0 || strncmp(a, "&#", 2) == 0);
	text_done(&t);
}

static void
write_json(const uint8_t *bytes, size_t size)
{
	struct json j = { 0 };
	char *text;
	size_t length;

	json_string_bytes(&j, (const char *)bytes, size);
	MUST(json_take(&j, &text, &length) == 0 && length == strlen(text) && length >= 3);
	MUST(text[0] == '"' && text[length - 2] == '"' && text[length - 1] == '\n');
	text[length - 1] = '\0';
	MUST(!strpbrk(text, "<>&") && is_plain(text));
	for (size_t i = 1; i < length - 2; i++) {
		MUST(text[i] != '"');
		if (text[i] == '\\')
			MUST(strchr("\"\\/bfnrtu", text[++i]));
	}
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = { bytes, size };
	size_t width = input_number(&in, 1);
	char *s = input_string(&in, in.left);
	struct target_watch watch = { 0 };
	struct target *target = NULL;
	struct target_source nowhere = { .dir = open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
					 .dir_path = "/proc/self/fdinfo",
					 .name = s,
					 .inner_pids = inner_pids_new() };

	make_clean(s, strlen(s), width);
	print(s, width);
	write_json(bytes, size);
	if (!strchr(s, '/'))
		MUST(target_new(&nowhere, 0, &watch, &target) < 0);
	inner_pids_free(nowhere.inner_pids);
	close(nowhere.dir);
	free(s);
	return 0;
}
