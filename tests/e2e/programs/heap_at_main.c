/* Prints what the allocator holds when main begins, and where the first block lies in its page. */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int
main(void)
{
	struct mallinfo2 heap = mallinfo2();
	void *p = malloc(24);

	printf("%zu bytes in use, %zu free, first block at ...%03x\n", heap.uordblks, heap.fordblks,
	       (unsigned)((uintptr_t)p & 0xfff));
	free(p);
	return 0;
}
