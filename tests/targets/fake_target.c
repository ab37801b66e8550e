/* fake_target.c - a process that is sampled only on paper: it writes a segment about itself, maps it and goes on counting.
 *
 * For trying whatever reads segments without a sampler. The stacks are real ones of this program, so they have names; the
 * numbers are made up but known: serve() holds 1000 blocks of 4096 bytes, cache() 20 of 1 MiB, parse() frees all of its
 * 64-byte ones. Every 100 ms each allocates a little more and frees as much.
 *
 *   fake_target [DIR [NAME [SECONDS]]]      DIR: $HEAPD_DIR, else /dev/shm/heapd-UID; prints the path of its file
 */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fake_segment.h"

static struct fake_segment *segment;
static uint32_t serve_site, cache_site, parse_site;

static const struct heapd_module *
module_of(uint64_t address, uint32_t *ret)
{
	for (uint32_t i = 0; i < segment->used[HEAPD_MODULES]; i++) {
		if (address >= segment->modules[i].start && address < segment->modules[i].end) {
			*ret = i;
			return &segment->modules[i];
		}
	}
	*ret = HEAPD_NONE;
	return NULL;
}

/* A site with the stack of whoever calls. */
__attribute__((noinline)) static uint32_t
site_here(void)
{
	void *pcs[64];
	uint32_t frames[64], n = 0, module;
	int depth = backtrace(pcs, 64);

	for (int i = 1; i < depth; i++) {
		(void)module_of((uintptr_t)pcs[i], &module);
		frames[n++] = fake_frame(segment, (uintptr_t)pcs[i], module, 0);
	}
	return fake_site(segment, frames, n, 0);
}

__attribute__((noinline)) static void
parse(void)
{
	parse_site = site_here();
	fake_count(segment, parse_site, 64, 500, 500);
}

__attribute__((noinline)) static void
cache(void)
{
	cache_site = site_here();
	fake_count(segment, cache_site, 1 << 20, 20, 0);
}

__attribute__((noinline)) static void
serve(void)
{
	serve_site = site_here();
	fake_count(segment, serve_site, 4096, 1000, 0);
	parse();
	cache();
}

static int
add_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	uint64_t start = UINT64_MAX, end = 0;
	char id[2 * HEAPD_BUILD_ID_MAX + 1] = "", exe[4096];
	const char *path = info->dlpi_name;

	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD) {
			start = p->p_vaddr < start ? p->p_vaddr : start;
			end = p->p_vaddr + p->p_memsz > end ? p->p_vaddr + p->p_memsz : end;
		}
		if (p->p_type != PT_NOTE)
			continue;
		for (const char *n = (const char *)(info->dlpi_addr + p->p_vaddr), *stop = n + p->p_memsz;
		     n + 12 < stop;) {
			const ElfW(Nhdr) *note = (const void *)n;
			const unsigned char *desc = (const unsigned char *)n + 12 + (note->n_namesz + 3) / 4 * 4;

			if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
			    note->n_descsz <= HEAPD_BUILD_ID_MAX) {
				for (uint32_t k = 0; k < note->n_descsz; k++)
					snprintf(id + 2 * k, 3, "%02x", desc[k]);
			}
			n = (const char *)desc + (note->n_descsz + 3) / 4 * 4;
		}
	}
	if (!path[0] && segment->used[HEAPD_MODULES] == 0) {
		ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

		exe[n > 0 ? n : 0] = '\0';
		path = exe;
	}
	start &= ~UINT64_C(4095);
	end = (end + 4095) & ~UINT64_C(4095);
	if (end > start)
		fake_module(segment, path[0] ? path : "[vdso]", info->dlpi_addr + start, info->dlpi_addr + end,
			    info->dlpi_addr, id);
	return 0;
}

/* The totals of one round: 10 more of that size, and 10 freed. */
static void
go_on(char *map, uint32_t site, uint64_t size)
{
	struct heapd_site *shared;

	fake_count(segment, site, size, 10, 10);
	shared = (struct heapd_site *)(void *)(map + fake_offset(segment, HEAPD_SITES, site));
	shared->alloc = segment->sites[site].alloc;
	atomic_thread_fence(memory_order_release);
	shared->freed = segment->sites[site].freed;
	((struct heapd_header *)(void *)map)->samples += 10;
}

int
main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : getenv("HEAPD_DIR"), *name = argc > 2 ? argv[2] : "fake_target";
	long rounds = argc > 3 ? atol(argv[3]) * 10 : -1;
	char usual[64], file[128], path[4352];
	struct timespec now;
	uint64_t size;
	char *map;
	int fd;

	if (!dir) {
		snprintf(usual, sizeof(usual), "/dev/shm/heapd-%u", geteuid());
		dir = usual;
	}
	mkdir(dir, 0700);
	clock_gettime(CLOCK_REALTIME, &now);
	segment = fake_new((uint32_t)getpid(), fake_start_time((uint32_t)getpid()),
			   ((uint64_t)now.tv_nsec << 16 ^ (uint64_t)getpid()) & 0xffffffffffff, name);
	segment->header.cmdline_length =
		(uint32_t)snprintf(segment->header.cmdline, sizeof(segment->header.cmdline), "%s%cserving", name, 0) +
		1;
	dl_iterate_phdr(add_module, NULL);
	serve();

	fake_file_name(segment, file, sizeof(file));
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		fprintf(stderr, "fake_target: cannot create %s: %s\n", path, strerror(errno));
		return 1;
	}
	fake_write(segment, fd);
	size = segment->header.file_size;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED) {
		fprintf(stderr, "fake_target: cannot map %s: %s\n", path, strerror(errno));
		return 1;
	}
	puts(path);
	fflush(stdout);
	for (long i = 0; i != rounds; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
		go_on(map, serve_site, 4096);
		go_on(map, cache_site, 1 << 20);
		go_on(map, parse_site, 64);
	}
	return 0;
}
