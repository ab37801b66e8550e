/* proc.c - /proc/PID/stat, status and maps, whatever names of programs and files they hold: three texts, each behind two
 * bytes of its length.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "life.h"
#include "target_files.h"

static struct {
	const char *name;
	char *text;
} files[] = { { "stat", NULL }, { "status", NULL }, { "maps", NULL } };

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);

static int
fake(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (strcmp(name, files[i].name) == 0)
			return fuzz_file(files[i].text, strlen(files[i].text));
	return -1;
}

int
__wrap_open(const char *path, int flags, ...)
{
	int fd = fake(path);
	va_list more;
	mode_t mode;

	va_start(more, flags);
	mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
	va_end(more);
	return fd >= 0 ? fd : __real_open(path, flags, mode); /* libFuzzer's own */
}

int
__wrap_openat(int dir, const char *path, int flags, ...)
{
	int fd = fake(path);

	MUST(!(flags & O_CREAT));
	return fd >= 0 ? fd : __real_openat(dir, path, flags);
}

FILE *
__wrap_fopen(const char *path, const char *mode)
{
	int fd = fake(path);

	return fd >= 0 ? fdopen(fd, "r") : __real_fopen(path, mode);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = { bytes, size };
	struct target_files *t = NULL;
	struct stat st;
	int fd = -1, r, free_fd = fuzz_free_fd();

	MUST(stat("/proc/self/exe", &st) == 0);
	for (size_t i = 0; i < 3; i++)
		files[i].text = input_string(&in, input_number(&in, 2));
	r = life_started((uint32_t)getpid(), 4711);
	MUST(r == 0 || r == 1 || r == -EPROTO);
	r = life_maps((uint32_t)getpid(), &st, "prog");
	MUST(r == 0 || r == 1);
	r = target_files_new((uint32_t)getpid(), size % 2 ? 4711 : 0, &t);
	MUST(r == 0 || r == -ESRCH);
	if (r == 0) {
		(void)target_files_uid(t);
		(void)target_files_inner_pid(t);
		(void)target_files_mapped_inode(t, 0x1000, 0x2000);
		if (target_files_open_mapped(t, 0, UINT64_MAX, &fd, &st) == 0)
			close(fd);
		target_files_free(t);
	}
	for (size_t i = 0; i < 3; i++)
		free(files[i].text);
	MUST(fuzz_free_fd() == free_fd);
	return 0;
}
