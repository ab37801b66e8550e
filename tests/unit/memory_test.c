/* memory_test.c - every allocation of the rooms profile and target fails once, and all that happens is -ENOMEM.
 *
 * The linker sends their calls through the __wrap functions here (see profile.cmake). Under AddressSanitizer a leak on
 * the way out is an error, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_segment.h"
#include "profile.h"
#include "reader.h"
#include "targets.h"
#include "test.h"

static long countdown = -1; /* allocations that still succeed; -1: all */
static bool failed; /* one was refused */

static bool
refuse(void)
{
	if (countdown < 0)
		return false;
	if (countdown-- > 0)
		return false;
	countdown = 0; /* and all that follow, as when there really is none */
	failed = true;
	return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
int __wrap_asprintf(char **ret, const char *format, ...) __attribute__((format(printf, 2, 3)));

void *
__wrap_malloc(size_t size)
{
	return refuse() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return refuse() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t size)
{
	return refuse() ? NULL : __real_realloc(p, size);
}

char *
__wrap_strdup(const char *s)
{
	return refuse() ? NULL : __real_strdup(s);
}

char *
__wrap_strndup(const char *s, size_t n)
{
	return refuse() ? NULL : __real_strndup(s, n);
}

int
__wrap_asprintf(char **ret, const char *format, ...)
{
	va_list arguments;
	int r;

	if (refuse()) {
		*ret = (char *)1; /* undefined, as in the real one */
		return -1;
	}
	va_start(arguments, format);
	r = vasprintf(ret, format, arguments);
	va_end(arguments);
	return r;
}

static struct fake_segment *
segment(void)
{
	struct fake_segment *f = fake_new(8123, 1, 1, "shop");
	uint32_t module = fake_module(f, "/usr/bin/shop", 0x400000, 0x480000, 0, "aabb"), stack[100];

	(void)fake_module(f, "/usr/lib/libcart.so", 0x10000000, 0x10010000, 0, NULL);
	for (uint32_t i = 0; i < 100; i++)
		stack[i] = fake_frame(f, 0x401000 + 16 * i, module, 0);
	for (uint32_t i = 0; i < 100; i++)
		fake_count(f, fake_site(f, stack + i, 100 - i, 0), 4096, 10, 4);
	fake_count(f, HEAPD_OVERFLOW_SITE, 1, 1, 0);
	return f;
}

static int fd;
static struct snapshot *snapshot;
static struct profile *profile;
static char dir[64];

/* What comes out in spite of a failure (an attempt to save memory, say) has to be whole. */
static void
check_whole(int r, size_t size, size_t *expected)
{
	if (r == 0 && *expected == 0)
		*expected = size;
	else if (r == 0)
		CHECK_EQ(*expected, size);
}

/* One attempt each: 0, having released what it got, or the error. */
static int
try_reader(void)
{
	struct reader *reader = NULL;
	struct snapshot *s = snapshot_new();
	int r = s ? reader_open(fd, &reader) : -ENOMEM;

	if (r == 0)
		r = reader_copy(reader, s);
	reader_free(reader);
	snapshot_free(s);
	return r;
}

static int
try_profile(void)
{
	const struct profile_source sources[] = { { snapshot, NULL }, { snapshot, NULL } };
	struct profile *p = NULL;
	int r = profile_new(sources, 2, &p);

	profile_free(p);
	return r;
}

static int
try_pprof(void)
{
	static size_t expected;
	uint8_t *packed = NULL;
	size_t size = 0;
	int r = profile_encode_pprof(profile, NULL, PROFILE_INUSE_SPACE, true, &packed, &size);

	free(packed);
	check_whole(r, size, &expected);
	return r;
}

static int
try_text(void)
{
	static size_t expected;
	char *text = NULL;
	size_t size = 0;
	int r = profile_encode_text(profile, &text, &size);

	free(text);
	check_whole(r, size, &expected);
	return r;
}

static int
try_legacy(void)
{
	static size_t expected;
	char *text = NULL;
	size_t size = 0;
	int r = profile_encode_legacy(profile, false, true, &text, &size);

	free(text);
	check_whole(r, size, &expected);
	return r;
}

/* Looking at a directory goes on without what found no memory, and finds it the next time. */
static int
try_targets(void)
{
	const char *const dirs[] = { dir, NULL };
	struct targets *t = NULL;
	struct target **list;
	int r = targets_new(dirs, &t);

	if (r == 0) {
		countdown = -1;
		CHECK_EQ(0, targets_poll(t));
		list = targets_list(t);
		CHECK(list[0] && !list[1]);
		targets_list_free(list);
	}
	targets_free(t);
	return r;
}

static void
fail_each(const char *what, int (*attempt)(void))
{
	long n = 0;
	int r = attempt(); /* with memory, to know what it gives */

	CHECK_EQ(0, r);
	do {
		failed = false;
		countdown = n++;
		r = attempt();
		countdown = -1;
		if (r != -ENOMEM && r != 0) {
			printf("# %s, allocation %ld: %s\n", what, n, strerror(-r));
			CHECK_EQ(-ENOMEM, r);
		}
	} while (failed && n < 100000);
	CHECK_EQ(0, r);
	CHECK(n > 3); /* it did allocate */
}

TEST(without_memory_every_step_says_so_and_leaks_nothing)
{
	struct fake_segment *f = segment();
	struct reader *reader = NULL;
	struct profile_source source;
	char name[128], path[256];
	int file;

	fd = memfd_create("segment", MFD_CLOEXEC);
	fake_write(f, fd);
	snapshot = snapshot_new();
	CHECK_EQ(0, reader_open(fd, &reader));
	CHECK_EQ(0, reader_copy(reader, snapshot));
	reader_free(reader);
	source = (struct profile_source){ snapshot, NULL };
	CHECK_EQ(0, profile_new(&source, 1, &profile));
	snprintf(dir, sizeof(dir), "/dev/shm/test-heapd-XXXXXX");
	CHECK(mkdtemp(dir) != NULL);
	fake_file_name(f, name, sizeof(name));
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	fake_write(f, file);
	close(file);

	fail_each("reader", try_reader);
	fail_each("profile", try_profile);
	fail_each("pprof", try_pprof);
	fail_each("text", try_text);
	fail_each("legacy", try_legacy);
	fail_each("targets", try_targets);

	unlink(path);
	rmdir(dir);
	profile_free(profile);
	snapshot_free(snapshot);
	close(fd);
	fake_free(f);
}
