/* stepped - a signal between any two instructions of the sampler, whose handler allocates and frees, too.
 *
 *   stepped [ROUNDS [THREADS]]          default 3, 2; 89 rounds come to every instruction
 *
 * The processor's trap flag makes a SIGTRAP after every instruction; the handler does its work after every 89th of
 * libheapd.so's, in each round after others. (Other code may hold the allocator's locks; and if it did its work after each,
 * an exchange that has to be tried again when the word has changed would be tried for ever.) First alone, then, from the first pthread_create on, beside
 * threads that do the same at full speed and free what others allocated. What the handler allocates while a sample is under
 * way may be skipped, and is counted then: truth_check --busy handled. Not x86-64: no table.
 */
#include "truth.h"

#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

SITE_FUNCTION(handled, malloc(size))
SITE_FUNCTION(plain, malloc(size))
SITE_FUNCTION(zeroed, calloc(size / 8, 8))
SITE_FUNCTION(kept, malloc(size))
SITE_FUNCTION(given, malloc(size))

SITE(moved)
SITE_CODE(moved) static void moved(struct truth_block *b, size_t size)
{
	void *p = realloc(b->p, size);

	if (!p)
		abort();
	truth_gone(b->site, b->size);
	truth_made(&site_moved, p, size);
	*b = (struct truth_block){ p, size, &site_moved };
}

static uintptr_t sampler_start, sampler_end;
static unsigned long steps;

enum { RING = 64, HANDLED_SIZE = 40, STRIDE = 89, FIRST = 400 };
static struct truth_block ring[RING];

static int
find_sampler(struct dl_phdr_info *module, size_t size, void *closure)
{
	(void)size;
	(void)closure;
	if (!strstr(module->dlpi_name, "libheapd"))
		return 0;
	for (int i = 0; i < module->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &module->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && (p->p_flags & PF_X)) {
			sampler_start = module->dlpi_addr + p->p_vaddr;
			sampler_end = sampler_start + p->p_memsz;
		}
	}
	return 1;
}

/* Blocks of one site that the handler and what it interrupts free. */
enum { GIVEN = 1024 };
static struct truth_block given_blocks[GIVEN];
static _Atomic unsigned given_next;

static void
give(void)
{
	for (given_next = 0; given_next < GIVEN; given_next++)
		if (!given_blocks[given_next].p)
			given_blocks[given_next] = (struct truth_block){ given(24), 24, &site_given };
	given_next = 0;
}

static void
take_given(void)
{
	unsigned i = given_next++;

	if (i < GIVEN)
		truth_free_block(&given_blocks[i]);
}

#if defined(__x86_64__)
static void
on_step(int number, siginfo_t *info, void *closure)
{
	const ucontext_t *interrupted = (const ucontext_t *)closure;
	uintptr_t pc = (uintptr_t)interrupted->uc_mcontext.gregs[REG_RIP];
	struct truth_block *b;

	(void)number;
	(void)info;
	if (pc < sampler_start || pc >= sampler_end || ++steps % STRIDE != 0 || steps < FIRST)
		return;
	b = &ring[steps / STRIDE % RING];
	truth_free_block(b);
	*b = (struct truth_block){ handled(HANDLED_SIZE), HANDLED_SIZE, &site_handled };
	take_given();
}

static void
step(bool on)
{
	if (on)
		__asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq" : : : "memory", "cc");
	else
		__asm__ volatile("pushfq; andl $~0x100, (%%rsp); popfq" : : : "memory", "cc");
}
#endif

static _Atomic int handed_over; /* blocks for others to free */
static struct truth_block exchange[256];
static pthread_mutex_t exchange_lock = PTHREAD_MUTEX_INITIALIZER;

static void *volatile last_kept; /* or a compiler takes the call out */

/* One of everything. The block that is left belongs to the caller. */
static struct truth_block
one_round(void)
{
	struct truth_block a = { plain(100), 100, &site_plain }, b = { zeroed(200), 200, &site_zeroed }, c;

	moved(&a, 300);
	last_kept = kept(16);
	truth_free_block(&b);
	c = (struct truth_block){ plain(60), 60, &site_plain };
	moved(&c, 20);
	truth_free_block(&a);
	return c;
}

/* Put a block where another thread takes it, and free what lay there. */
static void
hand_over(struct truth_block b)
{
	struct truth_block other;
	unsigned i = (unsigned)handed_over++ % (sizeof(exchange) / sizeof(exchange[0]));

	pthread_mutex_lock(&exchange_lock);
	other = exchange[i];
	exchange[i] = b;
	pthread_mutex_unlock(&exchange_lock);
	truth_free_block(&other);
}

static _Atomic bool done;

static void *
work(void *closure)
{
	(void)closure;
	while (!done) {
		for (int i = 0; i < 10; i++)
			hand_over(one_round());
		usleep(1000); /* the other side is slow */
	}
	return NULL;
}

#if defined(__x86_64__)
static void
stepped_rounds(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		struct truth_block b;

		steps += STRIDE - steps % STRIDE + i * 29 % STRIDE;
		give();
		step(true);
		b = one_round();
		for (int k = 0; k < 4; k++)
			take_given();
		step(false);
		hand_over(b);
	}
}
#endif

int
main(int argc, char **argv)
{
	uint64_t values[] = { 3, 2 };
	pthread_t threads[16];

	truth_begin(argc, argv, values, 2);
	dl_iterate_phdr(find_sampler, NULL);
	if (sampler_end == 0 || values[1] > sizeof(threads) / sizeof(threads[0]))
		return 2;
#if defined(__x86_64__)
	struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

	sigaction(SIGTRAP, &action, NULL);
	step(true);
	last_kept = kept(16); /* the first sample makes the segment: from FIRST on it is at it */
	step(false);
	stepped_rounds(values[0]);
	for (uint64_t i = 0; i < values[1]; i++)
		if (pthread_create(&threads[i], NULL, work, NULL) != 0)
			return 1;
	stepped_rounds(values[0]);
	done = true;
	for (uint64_t i = 0; i < values[1]; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < RING; i++)
		truth_free_block(&ring[i]);
	if (steps < 1000 * values[0] || given_next >= GIVEN)
		return 3;
	truth_end();
#endif
	return 0;
}
