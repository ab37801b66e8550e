/* preload.c - see preload.h. */
#include "preload.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBRARY "libheapd.so"
#define BY_PLATFORM "/$PLATFORM/" LIBRARY

/* The loader splits LD_PRELOAD at spaces and colons, with no way to quote them. */
static bool
fits_preload(const char *path)
{
	return strpbrk(path, " :") == NULL;
}

/* What our kind of loader may put for $PLATFORM, whether or not this one does: programs may bring one of their own. */
static const char *const platforms[] = {
#if defined(__x86_64__)
	"x86_64", "haswell", "xeon_phi"
#else
	"aarch64"
#endif
};

/* Whether the directory of the library has it under every name of the platform, too, and the loader will know a name. */
static bool
is_by_platform(const char *directory, const struct stat *library)
{
	const char *kernels = (const char *)getauxval(AT_PLATFORM); /* the loader starts from this */
	bool known = false;

	for (size_t i = 0; i < sizeof(platforms) / sizeof(platforms[0]); i++) {
		char path[PATH_MAX + 64];
		struct stat st;

		(void)snprintf(path, sizeof(path), "%s/%s/" LIBRARY, directory, platforms[i]);
		if (stat(path, &st) < 0 || st.st_dev != library->st_dev || st.st_ino != library->st_ino)
			return false;
		known |= kernels && strcmp(kernels, platforms[i]) == 0;
	}
	return known;
}

/* A name by which only programs that can load the library find it, if there is one. *path is malloced and may be replaced. */
static int
prefer_platform(char **path)
{
	struct stat st;
	char *directory, *wanted = NULL;
	int r = 0;

	directory = strndup(*path, (size_t)(strrchr(*path, '/') - *path));
	if (!directory)
		return -ENOMEM;
	if (stat(*path, &st) == 0 && is_by_platform(directory, &st)) {
		if (asprintf(&wanted, "%s" BY_PLATFORM, directory) < 0) {
			r = -ENOMEM;
		} else {
			free(*path);
			*path = wanted;
		}
	}
	free(directory);
	return r;
}

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#else
#define OUR_MACHINE EM_AARCH64
#endif

/* Otherwise the loader passes over it with a line of its own, and the program runs without the sampler. */
static bool
is_library(const char *path)
{
	Elf64_Ehdr eh = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? 0 : read(fd, &eh, sizeof(eh));

	if (fd >= 0)
		close(fd);
	return n == sizeof(eh) && memcmp(eh.e_ident, ELFMAG, SELFMAG) == 0 && eh.e_ident[EI_CLASS] == ELFCLASS64 &&
	       eh.e_machine == OUR_MACHINE && eh.e_type == ET_DYN;
}

static int
library_accept(const char *path, char **ret, struct text *why)
{
	char *real = realpath(path, NULL);

	if (!real)
		return -errno;
	if (access(real, R_OK) < 0) {
		int r = -errno;

		free(real);
		return r;
	}
	if (!is_library(real)) {
		text_printf(why, "%s is not a shared library for this machine; HEAPD_LIBRARY has to name libheapd.so",
			    real);
		free(real);
		return -EINVAL;
	}
	if (!fits_preload(real)) {
		text_printf(why, "%s: the loader cannot preload a path with a space or colon in it; move it", real);
		free(real);
		return -EINVAL;
	}
	if (prefer_platform(&real) < 0) {
		free(real);
		return -ENOMEM;
	}
	*ret = real;
	return 0;
}

int
preload_find(char **ret, struct text *why)
{
	static const char *const beside[] = { "../sampler/" LIBRARY, "../lib/heapd/" LIBRARY, "../lib64/heapd/" LIBRARY,
					      LIBRARY };
	const char *named = getenv("HEAPD_LIBRARY");
	char here[PATH_MAX], path[PATH_MAX + 64];
	ssize_t length;
	int r;

	if (named && *named) {
		r = library_accept(named, ret, why);
		if (r < 0 && !why->size)
			text_printf(why, "HEAPD_LIBRARY=%s: %s", named, strerror(-r));
		return r;
	}
	length = readlink("/proc/self/exe", here, sizeof(here) - 1);
	here[length > 0 ? length : 0] = '\0';
	if (strrchr(here, '/'))
		*strrchr(here, '/') = '\0';
	for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", here, beside[i]);
		r = library_accept(path, ret, why);
		if (r == 0 || why->size)
			return r;
	}
	r = library_accept(HEAPD_LIBDIR "/" LIBRARY, ret, why);
	if (r < 0 && !why->size)
		text_printf(why,
			    LIBRARY " was not found beside %s nor in " HEAPD_LIBDIR
				    ": install heapd, or set HEAPD_LIBRARY to its path",
			    here);
	return r;
}

int
preload_library(char **ret, struct text *why)
{
	int r = preload_find(ret, why);
	char *platform = r == 0 ? strstr(*ret, BY_PLATFORM) : NULL;

	if (platform)
		(void)snprintf(platform, sizeof(BY_PLATFORM), "/" LIBRARY);
	return r;
}

/* The value of NAME=VALUE if the entry is for this name. */
static const char *
value_of(const char *entry, const char *name)
{
	size_t length = strlen(name);

	return strncmp(entry, name, length) == 0 && entry[length] == '=' ? entry + length + 1 : NULL;
}

static const char *
colon_if(const char *rest)
{
	return rest && *rest ? ":" : "";
}

char **
preload_environment(const struct preload_options *options)
{
	static const char *const ours[] = { "LD_PRELOAD", "ASAN_OPTIONS", "HEAPD_DIR",
					    "HEAPD_NAME", "HEAPD_PERIOD", "HEAPD_MAX_SAMPLES" };
	const char *preload = getenv("LD_PRELOAD"), *asan = getenv("ASAN_OPTIONS");
	struct text strings = { 0 };
	size_t n = 0, at = 0;
	char **block;

	for (char **e = environ; *e; e++) {
		bool replaced = value_of(*e, ours[0]) || value_of(*e, ours[1]) || value_of(*e, ours[2]) ||
				(options->name && value_of(*e, ours[3])) ||
				(options->period && value_of(*e, ours[4])) ||
				(options->max_samples && value_of(*e, ours[5]));

		if (!replaced) {
			text_add_bytes(&strings, *e, strlen(*e) + 1);
			n++;
		}
	}
	text_printf(&strings, "LD_PRELOAD=%s%s%s%c", options->library, colon_if(preload), preload ? preload : "", 0);
	/* Should the program start one with AddressSanitizer, that one would end at once because it is not the first library;
	 * the sampler steps aside in it. */
	text_printf(&strings, "ASAN_OPTIONS=verify_asan_link_order=0%s%s%c", colon_if(asan), asan ? asan : "", 0);
	text_printf(&strings, "HEAPD_DIR=%s%c", options->dir, 0);
	n += 3;
	if (options->name) {
		text_printf(&strings, "HEAPD_NAME=%s%c", options->name, 0);
		n++;
	}
	if (options->period) {
		text_printf(&strings, "HEAPD_PERIOD=%" PRIu64 "%c", options->period, 0);
		n++;
	}
	if (options->max_samples) {
		text_printf(&strings, "HEAPD_MAX_SAMPLES=%" PRIu64 "%c", options->max_samples, 0);
		n++;
	}
	block = strings.failed ? NULL : malloc((n + 1) * sizeof(*block) + strings.size);
	if (block) {
		char *copy = memcpy(block + n + 1, strings.data, strings.size);

		for (size_t i = 0; i < n; i++) {
			block[i] = copy + at;
			at += strlen(copy + at) + 1;
		}
		block[n] = NULL;
	}
	text_done(&strings);
	return block;
}
