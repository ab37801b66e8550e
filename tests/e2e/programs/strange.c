/* strange - allocates 100 blocks of 100 bytes each from code and stacks that no unwinder can be sure of, and keeps them:
 * a misaligned stack, unwind tables that lie, garbage frame pointers, no tables, code made at run time, a call through NULL, fibres beside
 * memory that may not be touched, fibres inside the thread's own stack, a deep recursion. Prints "done".
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>

#define BLOCKS 100
#define SIZE 100

void *(*allocate)(size_t) = malloc;
void (*release)(void *) = free;

/* clang-format off */
#define FUNCTION(name, body) \
	__asm__(".text\n .type " #name ",@function\n .globl " #name "\n " #name ": " body "\n .size " #name ",. - " #name "\n");
#define WITH_TABLES(name, body) FUNCTION(name, ".cfi_startproc\n" body "ret\n .cfi_endproc\n")
#define CALL "mov $100,%edi\n call *allocate(%rip)\n"
#define BY_FP_START "push %rbp\n .cfi_def_cfa_offset 16\n .cfi_offset 6,-16\n .cfi_def_cfa 6,16\n"
#define BY_FP_END ".cfi_def_cfa 7,16\n pop %rbp\n .cfi_def_cfa_offset 8\n"

/* With a stack that is on no multiple of 16. */
WITH_TABLES(misaligned, "sub $16,%rsp\n .cfi_def_cfa_offset 24\n" CALL "add $16,%rsp\n .cfi_def_cfa_offset 8\n")
WITH_TABLES(free_misaligned, "sub $16,%rsp\n .cfi_def_cfa_offset 24\n call *release(%rip)\n add $16,%rsp\n .cfi_def_cfa_offset 8\n")
WITH_TABLES(cfa_too_far, "sub $8,%rsp\n .cfi_def_cfa_offset 1<<30\n" CALL ".cfi_def_cfa_offset 16\n add $8,%rsp\n")
WITH_TABLES(cfa_a_word_off, "sub $8,%rsp\n .cfi_def_cfa_offset 24\n" CALL ".cfi_def_cfa_offset 16\n add $8,%rsp\n")
WITH_TABLES(cfa_below, "sub $8,%rsp\n .cfi_def_cfa_offset -4096\n" CALL ".cfi_def_cfa_offset 16\n add $8,%rsp\n")
WITH_TABLES(fp_garbage, BY_FP_START "mov $0x4141414141414140,%rbp\n" CALL BY_FP_END)
WITH_TABLES(fp_unmapped, BY_FP_START "mov $4096,%rbp\n" CALL BY_FP_END)
WITH_TABLES(fp_at_the_end, BY_FP_START "mov stack_end(%rip),%rbp\n sub $8,%rbp\n" CALL BY_FP_END)
WITH_TABLES(return_nowhere, ".cfi_undefined 16\n sub $8,%rsp\n" CALL "add $8,%rsp\n")
FUNCTION(no_tables, "push %rbp\n mov $0x1234567,%ebp\n" CALL "pop %rbp\n ret\n")
FUNCTION(no_tables_but_fp, "push %rbp\n mov %rsp,%rbp\n" CALL "pop %rbp\n ret\n")
/* switch_stack(to, function): no tables, junk for a frame pointer, nothing sensible below */
FUNCTION(switch_stack, "push %rbx\n push %rbp\n push %r12\n mov %rsp,%rbx\n mov %rdi,%rsp\n mov %rsi,%rax\n"
	"mov $0x7fffffffffffff0,%rbp\n call *%rax\n mov %rbx,%rsp\n pop %r12\n pop %rbp\n pop %rbx\n ret\n")
/* clang-format on */

void *misaligned(void), *cfa_too_far(void), *cfa_a_word_off(void), *cfa_below(void), *fp_garbage(void),
	*fp_unmapped(void), *fp_at_the_end(void), *no_tables(void), *no_tables_but_fp(void), *return_nowhere(void);
void free_misaligned(void *block);
void switch_stack(void *to, void (*function)(void));
uintptr_t stack_end;

static void *kept[64 * BLOCKS];
static unsigned n_kept;

static void
keep(void *p)
{
	memset(p, 7, SIZE);
	kept[n_kept++] = p;
}

static void
keep_all(void *(*function)(void))
{
	for (int i = 0; i < BLOCKS; i++)
		keep(function());
}

static void *
made_at_run_time(void)
{
	/* sub $8,%rsp; mov $100,%edi; movabs $allocate,%rax; call *%rax; add $8,%rsp; ret */
	static const unsigned char code[] = { 0x48, 0x83, 0xec, 8, 0xbf, SIZE, 0, 0, 0, 0x48, 0xb8 };
	static const unsigned char rest[] = { 0xff, 0xd0, 0x48, 0x83, 0xc4, 8, 0xc3 };
	static unsigned char *page;

	if (!page) {
		page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memcpy(page, code, sizeof(code));
		memcpy(page + sizeof(code), &allocate, 8);
		memcpy(page + sizeof(code) + 8, rest, sizeof(rest));
	}
	return ((void *(*)(void))(uintptr_t)page)();
}

/* -- a call through NULL -- */

static sigjmp_buf again;
static void (*volatile nothing)(void);

__attribute__((noinline)) static void
in_fault_handler(int number)
{
	(void)number;
	keep(allocate(SIZE));
	siglongjmp(again, 1);
}

static void
call_nothing(void)
{
	struct sigaction action = { .sa_handler = in_fault_handler };

	sigaction(SIGSEGV, &action, NULL);
	for (volatile int i = 0; i < BLOCKS; i++)
		if (sigsetjmp(again, 1) == 0)
			nothing();
}

/* -- fibres -- */

#define FIBRE 16384

static unsigned char *
guarded(void)
{
	unsigned char *p = mmap(NULL, FIBRE + 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(p + 4096, FIBRE, PROT_READ | PROT_WRITE);
	return p + 4096;
}

__attribute__((noinline)) static void *
on_fibre(void)
{
	void *p = allocate(SIZE);

	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}

static void
fibre(void)
{
	keep_all(on_fibre);
}

static ucontext_t here, there;

static void
context_fibre(void)
{
	fibre();
	swapcontext(&there, &here);
}

static void
fibres(void)
{
	unsigned char *stack = guarded();
	unsigned char own[FIBRE] __attribute__((aligned(16)));

	getcontext(&there);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = FIBRE;
	there.uc_link = NULL;
	makecontext(&there, context_fibre, 0);
	swapcontext(&here, &there);
	/* The first frame lies against the guard. */
	switch_stack(guarded() + FIBRE, fibre);
	/* In the middle of our own stack, on what earlier calls left there. */
	memset(own, 0x41, sizeof(own));
	switch_stack(own + FIBRE / 2, fibre);
	switch_stack(own + FIBRE, fibre);
}

/* -- depth -- */

__attribute__((noinline)) static int
deep(int n)
{
	int r = 0;

	if (n > 0)
		r = deep(n - 1);
	else
		keep_all(on_fibre);
	__asm__ volatile("" : "+r"(r));
	return r + 1;
}

int
main(void)
{
	static void *(*const functions[])(void) = { misaligned,       cfa_too_far,    cfa_a_word_off,  cfa_below,
						    fp_garbage,       fp_unmapped,    fp_at_the_end,   no_tables,
						    no_tables_but_fp, return_nowhere, made_at_run_time };
	extern void *__libc_stack_end;

	stack_end = (uintptr_t)__libc_stack_end & ~(uintptr_t)15;
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		keep_all(functions[i]);
	for (int i = 0; i < BLOCKS; i++)
		free_misaligned(misaligned());
	call_nothing();
	fibres();
	deep(100000);
	for (unsigned i = 0; i < n_kept; i++)
		if (((unsigned char *)kept[i])[SIZE - 1] != 7)
			abort();
	printf("done, %u kept\n", n_kept);
	return 0;
}
