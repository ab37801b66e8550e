/* symbol_worker.c - the worker as a program of its own, for tests that have no heapd to exec. */
#include "worker.h"

int
main(void)
{
	return worker_main();
}
