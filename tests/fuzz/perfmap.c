/* perfmap.c - the file that a runtime leaves for perf, twice: as far as it was written at first (two bytes of length), and
 * whole.
 */
#include "perfmap.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "target_files.h"

static struct input file;

extern __typeof__(target_files_open) __wrap_target_files_open;

int
__wrap_target_files_open(struct target_files *t, const char *path, bool follow, uint32_t uid, int *ret_fd,
			 struct stat *ret_stat)
{
	(void)t, (void)uid;
	MUST(strncmp(path, "/tmp/perf-", 10) == 0 && !follow);
	*ret_fd = fuzz_file(file.at, file.left);
	MUST(fstat(*ret_fd, ret_stat) == 0);
	ret_stat->st_uid = 0;
	return 0;
}

/* Every eighth byte range, the ends of all, and addresses of the input's own. */
static void
find_some(const struct perfmap *map)
{
	for (size_t i = 0; i < 64; i++) {
		uint64_t address = i < 32 ? i : i < 48 ? UINT64_MAX - i : UINT64_C(1) << i;
		size_t length = 0;
		const char *name;

		if (i + 8 < file.left)
			memcpy(&address, file.at + i, sizeof(address));
		name = perfmap_find(map, address, &length);
		MUST(!name || (length > 0 && length <= file.left && !memchr(name, '\n', length)));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = { bytes, size };
	size_t first = input_number(&in, 2);
	struct perfmap *map = perfmap_new();
	struct target_files *target = NULL;
	int free_fd = fuzz_free_fd();

	MUST(map && target_files_new((uint32_t)getpid(), 0, &target) == 0);
	file = (struct input){ in.at, first < in.left ? first : in.left };
	MUST(perfmap_update(map, target) == 0);
	find_some(map);
	file = in;
	MUST(perfmap_update(map, target) == 0);
	find_some(map);
	perfmap_free(map);
	target_files_free(target);
	MUST(fuzz_free_fd() == free_fd);
	return 0;
}
