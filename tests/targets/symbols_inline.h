/* symbols_inline.h - a function of another file, inlined into main of symbols_inline.c. */
static inline __attribute__((always_inline)) void
header_inline(void (*call)(const char *))
{
	call("header"); /* MARK header 0 */
	__asm__ volatile("");
}
