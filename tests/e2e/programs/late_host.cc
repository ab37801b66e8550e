// Makes a thousand blocks, which a plugin deletes that is loaded only then.
#include <cstdio>

extern "C" void (*late_load(void))(char **made, int n);

static char *made[1000];

__attribute__((noinline)) static char *
host_make()
{
	char *p = new char[500];

	__asm__ volatile("" : "+r"(p));
	return p;
}

int
main()
{
	for (char *&p : made)
		p = host_make();
	void (*work)(char **, int) = late_load();
	if (!work)
		return 1;
	work(made, 1000);
	puts("done");
	return 0;
}
