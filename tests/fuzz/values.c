/* values.c - command lines. The first byte chooses the command, the rest are its arguments, ended by NUL; each is also
 * taken for every kind of value by itself, and all of it for the file of a token.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "cli.h"
#include "fuzz.h"
#include "guard.h"
#include "number.h"

enum { ARGUMENTS = 64 };

static bool
may_return(int r)
{
	return r == 0 || r == -EINVAL || r == -ERANGE;
}

/* What is digits alone means itself, and what is written back is read as the same. */
static void
parse_value(const char *s)
{
	uint64_t number = 0, size = 0, ms = 0, again = 0;
	int r = number_parse(s, &number), r_size = size_parse(s, &size), r_duration = duration_parse(s, &ms);
	struct address address;
	char text[64], host[ADDRESS_TEXT];

	MUST(may_return(r) && may_return(r_size) && may_return(r_duration));
	MUST(r != 0 || (*s && strspn(s, "0123456789") == strlen(s)));
	MUST((r_size != 0 || (double)size >= strtod(s, NULL)) && (r_duration != 0 || (double)ms >= strtod(s, NULL)));
	MUST(r != 0 || (r_size == 0 && size == number));
	MUST(r != 0 || (r_duration == 0 ? ms == number * 1000 : r_duration == -ERANGE));
	if (r_size == 0) {
		snprintf(text, sizeof(text), "%lluB", (unsigned long long)size);
		MUST(size_parse(text, &again) == 0 && again == size);
		MUST(strlen(size_format((double)size, text, SIZE_TEXT)) < SIZE_TEXT);
		MUST(strlen(count_format(-(double)size, text, COUNT_TEXT)) < COUNT_TEXT);
	}
	if (r_duration == 0) {
		snprintf(text, sizeof(text), "%llums", (unsigned long long)ms);
		MUST(duration_parse(text, &again) == 0 && again == ms);
	}
	if (address_parse(s, &address) == 0) {
		snprintf(text, sizeof(text), "%s:%u", address_host(&address, host, sizeof(host)),
			 address_port(&address));
		MUST(address_parse(text, &address) == 0);
	}
}

/* All of the input as the file of a token. */
static void
read_token(const uint8_t *bytes, size_t size)
{
	int fd = fuzz_file(bytes, size), r;
	char path[40], *token;

	MUST(fchmod(fd, 0600) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = token_read(path, &token);
	MUST(r == 0 || r == -EINVAL);
	if (r == 0) {
		MUST(strlen(token) >= TOKEN_MIN && strlen(token) <= TOKEN_MAX && !strpbrk(token, " \t\r\n\x7f"));
		MUST(strncmp(token, (const char *)bytes, strlen(token)) == 0);
		free(token);
	}
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = { bytes, size };
	unsigned choice = (unsigned)input_number(&in, 1), n_commands = 0;
	const struct command *command;
	char *argv[ARGUMENTS + 2], *own[ARGUMENTS + 2], **operands = NULL;
	struct text why = { 0 };
	size_t n = 0;
	void *options;
	int r;

	read_token(bytes, size);
	while (commands[n_commands])
		n_commands++;
	command = commands[choice % n_commands];
	own[n++] = strdup(command->name);
	while (in.left > 0 && n <= ARGUMENTS) {
		own[n] = input_string(&in, strnlen((const char *)in.at, in.left));
		(void)input_number(&in, 1); /* the NUL */
		parse_value(own[n++]);
	}
	own[n] = NULL;
	memcpy(argv, own, sizeof(argv[0]) * (n + 1));
	options = malloc(command->size ? command->size : 1);
	MUST(options);
	r = options_parse(command, argv, options, &operands, &why);
	MUST(r == OPTIONS_RUN || r == OPTIONS_HELP || (r == -EINVAL && why.size > 0));
	if (r == OPTIONS_RUN) {
		size_t n_operands = 0;

		while (operands[n_operands])
			n_operands++;
		MUST(n_operands >= command->operands_least && n_operands <= command->operands_most);
	}
	text_done(&why);
	free(options);
	while (n > 0)
		free(own[--n]);
	return 0;
}
