/* image.h - what is loaded into another process, read from its memory.
 *
 * Files on disk are not asked: they may have been replaced or deleted, or be another namespace's. The process runs on
 * meanwhile and may be hostile: every address is checked by the kernel (reads fail), every list has an end.
 * Threads: a struct image belongs to one thread.
 */
#ifndef HEAPD_IMAGE_H
#define HEAPD_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct image_module {
	char *path; /* as the loader has it; "" for the program itself */
	uint64_t bias; /* runtime address - address in the ELF file */
	uint64_t dynamic; /* address of its dynamic section */
};

enum image_kind {
	IMAGE_DYNAMIC, /* with a loader, whose list of modules is in modules[] */
	IMAGE_STATIC,
	IMAGE_GO, /* static, made by the Go linker */
};

struct image {
	int mem; /* /proc/PID/mem; owned */
	enum image_kind kind;
	bool position_independent; /* the program itself */
	char *interpreter; /* the loader's path in the program; NULL if it has none */
	uint64_t loader; /* where it is mapped; 0 without */
	uint64_t debug; /* address of the loader's struct r_debug; 0 if it has not got that far */
	struct image_module *modules; /* in the order in which names are looked up */
	size_t n_modules;
};

/* Read what a process has loaded. `proc` is a descriptor of /proc/PID. 0, or -errno: -EACCES and -EPERM where its memory is
 * not ours to read, -ESRCH if it ended or has no memory, -EPROTO if what it holds makes no sense. */
int image_open(int proc, struct image **ret);
void image_free(struct image *image); /* NULL is fine */

/* All of size bytes of its memory. 0 or -errno. */
int image_read(const struct image *image, uint64_t address, void *to, size_t size);

/* The first module that defines a function of this name, as the loader would find it: its address, and the module's index
 * if ret_module is not NULL. 0 if there is none. */
uint64_t image_find(const struct image *image, const char *name, size_t *ret_module);

/* Where the loader's own segments lie. 0 or -errno. */
int image_loader_range(const struct image *image, uint64_t *ret_start, uint64_t *ret_end);

/* What the loader is doing: 0 nothing (RT_CONSISTENT), 1 adding, 2 removing modules, or -errno. */
int image_loader_state(const struct image *image);

#endif
