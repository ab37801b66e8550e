/* terminal.c - see terminal.h. */
#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static struct termios saved;
static volatile sig_atomic_t begun;
static volatile sig_atomic_t resized;

static void
put(const char *s, size_t size)
{
	while (size > 0) {
		ssize_t n = write(STDOUT_FILENO, s, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		s += n;
		size -= (size_t)n;
	}
}

bool
terminal_is_live(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

/* Async-signal-safe. */
void
terminal_end(void)
{
	static const char show_cursor[] = "\033[?25h";

	if (!begun)
		return;
	begun = 0;
	put(show_cursor, sizeof(show_cursor) - 1);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

static void
end_by_signal(int number)
{
	terminal_end();
	(void)signal(number, SIG_DFL);
	(void)raise(number);
}

static void
note_resize(int number)
{
	(void)number;
	resized = 1;
}

int
terminal_begin(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	static const char start[] = "\033[?25l\033[H\033[2J";
	struct sigaction action = { .sa_handler = end_by_signal };
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return -errno;
	raw = saved;
	/* Ctrl-C comes as a key, so that it ends as politely as q does; Ctrl-Z would leave the terminal half changed. */
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		(void)sigaction(ends[i], &action, NULL);
	action.sa_handler = note_resize;
	(void)sigaction(SIGWINCH, &action, NULL);
	(void)atexit(terminal_end);
	begun = 1;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0) {
		begun = 0;
		return -errno;
	}
	put(start, sizeof(start) - 1);
	return 0;
}

void
terminal_size(size_t *ret_columns, size_t *ret_rows)
{
	struct winsize size = { 0 };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		size = (struct winsize){ 0 };
	*ret_columns = size.ws_col ? size.ws_col : 80;
	*ret_rows = size.ws_row ? size.ws_row : 24;
}

void
terminal_show(const char *screen, size_t size)
{
	static const char home[] = "\033[H", rest[] = "\033[J";

	put(home, sizeof(home) - 1);
	put(screen, size);
	put(rest, sizeof(rest) - 1);
}

static int64_t
now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool
terminal_wait(uint64_t ms)
{
	int64_t end = now_ms() + (int64_t)ms, left;

	while ((left = end - now_ms()) > 0 && !resized) {
		struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
		char key;

		if (poll(&input, 1, left > 1000000 ? 1000000 : (int)left) <= 0)
			continue;
		if (read(STDIN_FILENO, &key, 1) != 1)
			return true; /* hung up */
		if (key == 'q' || key == 'Q' || key == 3 || key == 4)
			return true;
	}
	if (resized) {
		static const char clear[] = "\033[2J";

		resized = 0;
		put(clear, sizeof(clear) - 1);
	}
	return false;
}
