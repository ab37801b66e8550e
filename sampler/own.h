/* own.h - this library's functions by second names that nobody else has: a pointer to `malloc` would be one to whichever malloc
 * the program uses. */
#ifndef HEAPD_OWN_H
#define HEAPD_OWN_H

/* In the file that defines it. */
#define OWN(name) __asm__(".globl own_" #name "\n\t.hidden own_" #name "\n\t.set own_" #name ", " #name)

#endif
