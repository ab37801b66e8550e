/* real.c - see real.h.
 *
 * dlsym(RTLD_NEXT) may itself allocate and comes back through the hooks then. While a thread resolves, its own calls are
 * served from a small static pool, whose blocks are recognised for ever. Names that an allocator need not have are not
 * asked for where nobody has them: dlsym would allocate to say so, and the host's heap would not look as it does without us.
 */
#include "real.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include "dynamic.h"
#include "pages.h"
#include "thread.h"

#define POOL_SIZE 65536u
#define POOL_ALIGNMENT 16u

static _Alignas(64) char pool[POOL_SIZE];
static _Atomic size_t pool_used;
/* Atomic, because dlsym is declared as one that never calls back into this file. */
static __thread _Atomic bool resolving __attribute__((tls_model("initial-exec")));
static _Atomic bool resolved;

/* -- the pool -- */

static bool
in_pool(const void *block)
{
	return (uintptr_t)block - (uintptr_t)pool < POOL_SIZE;
}

/* Zeroed, since nothing is ever handed out twice. The size stands in front of the block. */
static void *
pool_aligned(size_t alignment, size_t size)
{
	size_t at = atomic_load_explicit(&pool_used, memory_order_relaxed), start;

	if (alignment < POOL_ALIGNMENT)
		alignment = POOL_ALIGNMENT;
	do {
		if (size > POOL_SIZE || alignment > POOL_SIZE)
			goto full;
		/* On a multiple of the address, not of the place in the pool. */
		start = at + sizeof(size_t);
		start += -((uintptr_t)pool + start) & (alignment - 1);
		if (start > POOL_SIZE || size > POOL_SIZE - start)
			goto full;
	} while (!atomic_compare_exchange_weak_explicit(&pool_used, &at, start + size, memory_order_relaxed,
							memory_order_relaxed));
	memcpy(pool + start - sizeof(size), &size, sizeof(size));
	return pool + start;
full:
	errno = ENOMEM;
	return NULL;
}

static size_t
pool_size(const void *block)
{
	size_t size;

	memcpy(&size, (const char *)block - sizeof(size), sizeof(size));
	return size;
}

/* -- what stands in until the real functions are known -- */

static void *
no_memory(size_t size)
{
	(void)size;
	errno = ENOMEM;
	return NULL;
}

static void *
first_malloc(size_t size)
{
	if (resolving)
		return pool_aligned(0, size);
	real_resolve();
	return real.malloc(size);
}

static void *
first_calloc(size_t count, size_t size)
{
	size_t bytes;

	if (!resolving) {
		real_resolve();
		return real.calloc(count, size);
	}
	if (!__builtin_mul_overflow(count, size, &bytes))
		return pool_aligned(0, bytes);
	errno = ENOMEM;
	return NULL;
}

/* Also the real one's guard where the pool was used: its blocks may come back at any time. */
static struct real next;

static void *
pool_realloc(void *block, size_t size)
{
	void *moved;

	if (!in_pool(block))
		return next.realloc(block, size);
	moved = real.malloc(size);
	if (moved)
		memcpy(moved, block, pool_size(block) < size ? pool_size(block) : size);
	return moved;
}

static void
pool_free(void *block)
{
	if (!in_pool(block))
		next.free(block);
}

static size_t
pool_usable_size(void *block)
{
	if (!in_pool(block))
		return next.malloc_usable_size ? next.malloc_usable_size(block) : 0;
	return pool_size(block);
}

static void *
first_realloc(void *block, size_t size)
{
	if (resolving && (block == NULL || in_pool(block))) {
		void *moved = pool_aligned(0, size);

		if (moved && block)
			memcpy(moved, block, pool_size(block) < size ? pool_size(block) : size);
		return moved;
	}
	real_resolve();
	return real.realloc(block, size);
}

static void
first_free(void *block)
{
	if (resolving || in_pool(block))
		return; /* while resolving there is nothing else to free */
	real_resolve();
	real.free(block);
}

static int
first_posix_memalign(void **ret, size_t alignment, size_t size)
{
	void *block;

	if (!resolving) {
		real_resolve();
		return real.posix_memalign(ret, alignment, size);
	}
	if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0)
		return EINVAL;
	block = pool_aligned(alignment, size);
	if (!block)
		return ENOMEM;
	*ret = block;
	return 0;
}

static void *
first_aligned_alloc(size_t alignment, size_t size)
{
	if (resolving)
		return pool_aligned(alignment, size);
	real_resolve();
	return real.aligned_alloc(alignment, size);
}

static void *
first_memalign(size_t alignment, size_t size)
{
	if (resolving)
		return pool_aligned(alignment, size);
	real_resolve();
	return real.memalign(alignment, size);
}

static void *
first_valloc(size_t size)
{
	if (resolving)
		return pool_aligned(pages_size(), size);
	real_resolve();
	return real.valloc(size);
}

static void *
first_pvalloc(size_t size)
{
	if (resolving)
		return size > POOL_SIZE ? no_memory(size)
					: pool_aligned(pages_size(), (size + pages_size() - 1) & -pages_size());
	real_resolve();
	return real.pvalloc(size);
}

static size_t
first_malloc_usable_size(void *block)
{
	if (in_pool(block))
		return pool_size(block);
	real_resolve();
	return real.malloc_usable_size(block);
}

/* System calls must not wait for a resolution, which takes locks and allocates: an allocator may be making this one while it
 * holds its own lock. So until then they are made here, the way the C library does; the last argument is where the caller put it. */
long raw_syscall(SYSCALL_PARAMETERS) __attribute__((visibility("hidden")));
__attribute__((visibility("hidden"), used)) long raw_syscall_failed(long error);

long
raw_syscall_failed(long error)
{
	errno = (int)error;
	return -1;
}

/* clang-format off */
#if defined(__x86_64__)
__asm__(".pushsection .text\n"
	".type raw_syscall, @function\n"
	".hidden raw_syscall\n"
	".globl raw_syscall\n"
	"raw_syscall:\n"
	"	.cfi_startproc\n"
	"	mov %rdi, %rax\n"
	"	mov %rsi, %rdi\n"
	"	mov %rdx, %rsi\n"
	"	mov %rcx, %rdx\n"
	"	mov %r8, %r10\n"
	"	mov %r9, %r8\n"
	"	mov 8(%rsp), %r9\n"
	"	syscall\n"
	"	cmp $-4095, %rax\n"
	"	jae 1f\n"
	"	ret\n"
	"1:	neg %rax\n"
	"	mov %rax, %rdi\n"
	"	jmp raw_syscall_failed\n"
	"	.cfi_endproc\n"
	".size raw_syscall, . - raw_syscall\n"
	".popsection\n");
#elif defined(__aarch64__)
__asm__(".pushsection .text\n"
	".type raw_syscall, %function\n"
	".hidden raw_syscall\n"
	".globl raw_syscall\n"
	"raw_syscall:\n"
	"	.cfi_startproc\n"
	"	mov x8, x0\n"
	"	mov x0, x1\n"
	"	mov x1, x2\n"
	"	mov x2, x3\n"
	"	mov x3, x4\n"
	"	mov x4, x5\n"
	"	mov x5, x6\n"
	"	svc #0\n"
	"	cmn x0, #4095\n"
	"	b.cs 1f\n"
	"	ret\n"
	"1:	neg x0, x0\n"
	"	b raw_syscall_failed\n"
	"	.cfi_endproc\n"
	".size raw_syscall, . - raw_syscall\n"
	".popsection\n");
#endif
/* clang-format on */

static int
first_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
#if defined(__x86_64__)
	return (int)raw_syscall(SYS_prctl, option, (long)a, (long)b, (long)c, (long)d);
#else
	return (int)raw_syscall(SYS_prctl, option, (long)a, (long)b, (long)c, (long)d, 0);
#endif
}

struct real real = {
	.prctl = first_prctl,
	.syscall = raw_syscall,
	.malloc = first_malloc,
	.calloc = first_calloc,
	.realloc = first_realloc,
	.free = first_free,
	.posix_memalign = first_posix_memalign,
	.aligned_alloc = first_aligned_alloc,
	.memalign = first_memalign,
	.valloc = first_valloc,
	.pvalloc = first_pvalloc,
	.malloc_usable_size = first_malloc_usable_size,
};

/* -- resolution -- */

/* An allocator without this entry point: what the C library would do for it. */
static void *
no_aligned_memory(size_t alignment, size_t size)
{
	(void)alignment;
	return no_memory(size);
}

static size_t
no_usable_size(void *block)
{
	(void)block;
	return 0;
}

#if defined(__x86_64__)
#define FIRST_VERSION "GLIBC_2.2.5"
#else
#define FIRST_VERSION "GLIBC_2.17"
#endif

extern const char __ehdr_start[] __attribute__((visibility("hidden"))), _end[] __attribute__((visibility("hidden")));

/* Late, RTLD_NEXT would search what comes after us among our own dependencies, past an allocator that the program prefers. Where
 * another preload has a dlsym of its own and does not leave it by a jump, RTLD_NEXT is what comes next to that one: if that
 * is us, we would call ourselves. */
static void *
resolve(const char *name)
{
	void *found = dynamic_is_late() ? dynamic_find(name) : dlsym(RTLD_NEXT, name);

	if ((uintptr_t)found >= (uintptr_t)__ehdr_start && (uintptr_t)found < (uintptr_t)_end)
		found = dlvsym(RTLD_NEXT, name, FIRST_VERSION);
	return found;
}

#define RESOLVE(name) (*(void **)&next.name = resolve(#name))
#define RESOLVE_IF_ANY(name) (*(void **)&next.name = dynamic_defined(#name) ? resolve(#name) : NULL)

void
real_resolve(void)
{
	int saved = errno;

	if (atomic_load_explicit(&resolved, memory_order_acquire) || resolving)
		return;
	resolving = true;
	thread_self.quiet++;
	/* What every allocator has comes first and is in force before the rest is looked for: a missing name makes dlsym
	 * allocate, and a pool that was used costs every later free a look. Threads that resolve at the same time write the
	 * same values. */
	RESOLVE(malloc);
	RESOLVE(free);
	RESOLVE(calloc);
	RESOLVE(realloc);
	RESOLVE(malloc_usable_size);
	real.calloc = next.calloc;
	real.malloc = next.malloc;
	real.realloc = pool_realloc;
	real.free = pool_free;
	real.malloc_usable_size = pool_usable_size;
	RESOLVE(posix_memalign);
	RESOLVE(memalign);
	RESOLVE(aligned_alloc);
	RESOLVE(valloc);
	RESOLVE(pvalloc);
	RESOLVE_IF_ANY(cfree);
	RESOLVE_IF_ANY(free_sized);
	RESOLVE_IF_ANY(free_aligned_sized);
	RESOLVE(prctl);
	RESOLVE(syscall);
	/* The last one is always there: success makes the loader forget a name that was missing all the same, which the host
	 * would be told of otherwise. dlerror() would format it first, and what it allocates for that is too much for a
	 * ThreadSanitizer that has just begun to start. */
	RESOLVE(dlclose);
	real.posix_memalign = next.posix_memalign;
	real.memalign = next.memalign ? next.memalign : no_aligned_memory;
	real.aligned_alloc = next.aligned_alloc ? next.aligned_alloc : real.memalign;
	real.valloc = next.valloc ? next.valloc : no_memory;
	real.pvalloc = next.pvalloc ? next.pvalloc : no_memory;
	real.cfree = next.cfree;
	real.free_sized = next.free_sized;
	real.free_aligned_sized = next.free_aligned_sized;
	real.dlclose = next.dlclose;
	if (next.prctl)
		real.prctl = next.prctl;
	if (next.syscall)
		real.syscall = next.syscall;
	/* From here on nobody gets a block of the pool: before, somebody else's dlsym or a signal handler may have. */
	if (atomic_load_explicit(&pool_used, memory_order_relaxed) == 0) {
		real.realloc = next.realloc;
		real.free = next.free;
		real.malloc_usable_size = next.malloc_usable_size ? next.malloc_usable_size : no_usable_size;
	}
	thread_self.quiet--;
	resolving = false;
	atomic_store_explicit(&resolved, true, memory_order_release);
	errno = saved;
}
