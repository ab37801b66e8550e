/* word32.c - a 32-bit program that needs no 32-bit compiler's libraries: it says what it is and allocates. */
int printf(const char *, ...);
void *malloc(unsigned long);
void exit(int);

void
_start(void)
{
	for (int i = 0; i < 100; i++)
		if (!malloc(1000))
			exit(1);
	printf("%d bytes a pointer\n", (int)sizeof(void *));
	exit(4);
}
