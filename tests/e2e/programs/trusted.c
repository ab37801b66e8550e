/* trusted.c - a program to be made setuid: says who it is and whether a library is mapped whose name contains the argument. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static void *volatile keep;

int
main(int argc, char **argv)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[1024];
	int mapped = 0;

	for (int i = 0; i < 1000; i++)
		keep = malloc(1000);
	while (maps && fgets(line, sizeof(line), maps))
		mapped |= argc > 1 && strstr(line, argv[1]) != NULL;
	printf("uid %d secure %lu mapped %d\n", (int)geteuid(), getauxval(AT_SECURE), mapped);
	return keep == NULL;
}
