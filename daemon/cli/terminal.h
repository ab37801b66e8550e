/* terminal.h - the live screen of heapd top, with nothing but ANSI sequences.
 *
 * There is one terminal, so this module has one state. Whatever ends the program by a signal restores the terminal first.
 */
#ifndef HEAPD_TERMINAL_H
#define HEAPD_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Standard output is a terminal, and standard input too, so that keys can be read. */
bool terminal_is_live(void);

/* Keys without Enter, no echo, no cursor; undone by terminal_end(), exit and signals. 0 or -errno. */
int terminal_begin(void);
void terminal_end(void);

void terminal_size(size_t *ret_columns, size_t *ret_rows);

/* Replace what the screen shows. Its lines should end with TERMINAL_LINE_END before the newline. */
#define TERMINAL_LINE_END "\033[K"
void terminal_show(const char *screen, size_t size);

/* Wait for a key that ends (q, Ctrl-C, end of input) or for the time. True: ends. A resized window ends the wait early. */
bool terminal_wait(uint64_t ms);

#endif
