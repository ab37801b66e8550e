/* uses_stripped.c - calls into libstripped.so, then waits until stdin closes. */
#include <stdio.h>
#include <stdlib.h>

void library_fill(unsigned n, size_t size);

int
main(void)
{
	library_fill(1000, 10000);
	printf("ready\n");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
