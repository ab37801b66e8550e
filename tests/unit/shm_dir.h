/* shm_dir.h - a private directory on a tmpfs for segments that a unit test makes, removed at exit. */
#ifndef HEAPD_TEST_SHM_DIR_H
#define HEAPD_TEST_SHM_DIR_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char shm_dir[] = "/dev/shm/heapd-test-XXXXXX";

static void
shm_dir_remove(void)
{
	DIR *d = opendir(shm_dir);

	for (struct dirent *e; d && (e = readdir(d)) != NULL;)
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(shm_dir);
}

/* Runs before main, so before the sampler's options are read. */
__attribute__((constructor)) static void
shm_dir_make(void)
{
	if (!mkdtemp(shm_dir)) {
		perror(shm_dir);
		exit(1);
	}
	setenv("HEAPD_DIR", shm_dir, 1);
	atexit(shm_dir_remove);
}

#endif
