/* pprof_check_file.c - pprof_check FILE.pb.gz...: ends with 0 if every reader would take them, else says why not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pprof_check.h"

/* The content of a file, malloced; NULL with errno. */
static char *
read_file(const char *path, size_t *ret_size)
{
	FILE *f = fopen(path, "re");
	char *content = NULL, *grown;
	size_t size = 0, n;

	if (!f)
		return NULL;
	do {
		grown = realloc(content, size + 65536);
		if (!grown)
			break;
		content = grown;
		n = fread(content + size, 1, 65536, f);
		size += n;
	} while (n > 0);
	if (!grown || ferror(f)) {
		free(content);
		content = NULL;
	}
	(void)fclose(f);
	*ret_size = size;
	return content;
}

int
main(int argc, char **argv)
{
	int failures = argc < 2;

	if (argc < 2)
		fprintf(stderr, "usage: pprof_check FILE.pb.gz...\n");
	for (int i = 1; i < argc; i++) {
		size_t size = 0;
		char *content = read_file(argv[i], &size);
		const char *why = content ? pprof_check(content, size) : strerror(errno);

		if (why)
			fprintf(stderr, "%s: %s\n", argv[i], why);
		failures += why != NULL;
		free(content);
	}
	return failures != 0;
}
