/* stub.c - see stub.h. x86-64 alone so far. */
#include "stub.h"

/* Where assembly finds the words. */
#define WORD(name, offset) \
	_Static_assert(offsetof(struct stub_words, name) == (offset), "stub.c writes it " #offset " bytes in")
WORD(dlopen, 0);
WORD(dlsym, 8);
WORD(dlerror, 16);
WORD(errno_location, 24);
WORD(pop_rdi, 32);
WORD(syscall, 40);
WORD(region, 48);
WORD(region_size, 56);
WORD(all_signals, 64);
WORD(whole, 72);
WORD(registers.ax, 80);
WORD(registers.bx, 88);
WORD(registers.cx, 96);
WORD(registers.dx, 104);
WORD(registers.si, 112);
WORD(registers.di, 120);
WORD(registers.bp, 128);
WORD(registers.sp, 136);
WORD(registers.r8, 144);
WORD(registers.r9, 152);
WORD(registers.r10, 160);
WORD(registers.r11, 168);
WORD(registers.r12, 176);
WORD(registers.r13, 184);
WORD(registers.r14, 192);
WORD(registers.r15, 200);
WORD(registers.ip, 208);
WORD(registers.flags, 216);
WORD(signals, 224);
WORD(handle, 232);
WORD(error, 240);
WORD(entry, 248);
WORD(result, 256);
WORD(done, 264);
WORD(nap_s, 272);
WORD(nap_ns, 280);
WORD(seen, 288);
WORD(symbol, 296);
WORD(path, 328);
WORD(options, 4424);
_Static_assert(STUB_SIZE == STUB_PAGE + 3 * 4096 + 16 * 1024 + 256 * 1024, "stub.c knows where state and stack are");
_Static_assert(STUB_WAIT_MS == 500, "stub.c counts so many naps");

/* clang-format off */
__asm__(".pushsection .rodata\n"
	".hidden stub_start, stub_end\n"
	".globl stub_start, stub_end\n"
	".balign 16\n"
	"stub_start:\n"
	".set words, stub_start + 4096\n"
	"	lea words+((3 * 4096) + (16 * 1024) + (256 * 1024))(%rip), %rsp\n"
	"	cmpq $0, words+72(%rip)\n"
	"	je 1f\n"
	"	mov $-1, %eax\n"
	"	mov $-1, %edx\n"
	"	xsave64 words+(3 * 4096)(%rip)\n"
	"1:	cld\n"
	"	xor %ebp, %ebp\n"
	/* rt_sigprocmask(SIG_SETMASK, all_signals, signals, 8) */
	"	mov $14, %eax\n"
	"	mov $2, %edi\n"
	"	lea words+64(%rip), %rsi\n"
	"	lea words+224(%rip), %rdx\n"
	"	mov $8, %r10d\n"
	"	syscall\n"
	"	call *words+24(%rip)\n"
	"	mov %rax, %rbx\n"
	"	mov (%rax), %r12d\n"
	/* dlopen(path, RTLD_NOW) */
	"	lea words+328(%rip), %rdi\n"
	"	mov $2, %esi\n"
	"	call *words+0(%rip)\n"
	"	mov %rax, words+232(%rip)\n"
	"	test %rax, %rax\n"
	"	jz 1f\n"
	"	mov %rax, %rdi\n"
	"	lea words+296(%rip), %rsi\n"
	"	call *words+8(%rip)\n"
	"	mov %rax, words+248(%rip)\n"
	"	test %rax, %rax\n"
	"	jz 1f\n"
	"	lea words+4424(%rip), %rdi\n"
	"	call *%rax\n"
	"	movslq %eax, %rax\n"
	"	mov %rax, words+256(%rip)\n"
	"	jmp 2f\n"
	"1:	call *words+16(%rip)\n"
	"	mov %rax, words+240(%rip)\n"
	"2:	mov %r12d, (%rbx)\n"
	"	cmpq $0, words+72(%rip)\n"
	"	je 1f\n"
	"	mov $-1, %eax\n"
	"	mov $-1, %edx\n"
	"	xrstor64 words+(3 * 4096)(%rip)\n"
	"1:	movq $1, words+264(%rip)\n"
	/* pselect6(0, NULL, NULL, NULL, 1 ms, NULL) until it was seen, STUB_WAIT_MS times at most. It writes the time that is
	 * left; but nanosleep, interrupted, would write over what an interrupted call of the thread's has to be restarted from. */
	"	mov $500, %r12d\n"
	"1:	cmpq $0, words+288(%rip)\n"
	"	jne 2f\n"
	"	movq $0, words+272(%rip)\n"
	"	movq $1000000, words+280(%rip)\n"
	"	mov $270, %eax\n"
	"	xor %edi, %edi\n"
	"	xor %esi, %esi\n"
	"	xor %edx, %edx\n"
	"	xor %r10d, %r10d\n"
	"	lea words+272(%rip), %r8\n"
	"	xor %r9d, %r9d\n"
	"	syscall\n"
	"	dec %r12d\n"
	"	jnz 1b\n"
	"2:\n"
	/* rt_sigprocmask(SIG_SETMASK, signals, NULL, 8) */
	"	mov $14, %eax\n"
	"	mov $2, %edi\n"
	"	lea words+224(%rip), %rsi\n"
	"	xor %edx, %edx\n"
	"	mov $8, %r10d\n"
	"	syscall\n"
	"	cmpq $0, words+72(%rip)\n"
	"	jne 3f\n"
	"	mov words+88(%rip), %rbx\n"
	"	mov words+128(%rip), %rbp\n"
	"	mov words+176(%rip), %r12\n"
	/* Below the thread's own stack: munmap returns to pop %rdi, that to the function. */
	"	mov words+136(%rip), %rcx\n"
	"	mov words+208(%rip), %rax\n"
	"	mov %rax, -8(%rcx)\n"
	"	mov words+120(%rip), %rax\n"
	"	mov %rax, -16(%rcx)\n"
	"	mov words+32(%rip), %rax\n"
	"	mov %rax, -24(%rcx)\n"
	"	lea -24(%rcx), %rsp\n"
	/* munmap(region, region_size) */
	"	mov $11, %eax\n"
	"	mov words+48(%rip), %rdi\n"
	"	mov words+56(%rip), %rsi\n"
	"	jmp *words+40(%rip)\n"
	"3:	push words+216(%rip)\n"
	"	popfq\n"
	"	mov words+80(%rip), %rax\n"
	"	mov words+88(%rip), %rbx\n"
	"	mov words+96(%rip), %rcx\n"
	"	mov words+104(%rip), %rdx\n"
	"	mov words+112(%rip), %rsi\n"
	"	mov words+120(%rip), %rdi\n"
	"	mov words+128(%rip), %rbp\n"
	"	mov words+144(%rip), %r8\n"
	"	mov words+152(%rip), %r9\n"
	"	mov words+160(%rip), %r10\n"
	"	mov words+168(%rip), %r11\n"
	"	mov words+176(%rip), %r12\n"
	"	mov words+184(%rip), %r13\n"
	"	mov words+192(%rip), %r14\n"
	"	mov words+200(%rip), %r15\n"
	"	mov words+136(%rip), %rsp\n"
	"	jmp *words+208(%rip)\n"
	"stub_end:\n"
	".popsection\n");
/* clang-format on */
