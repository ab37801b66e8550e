/* demangle_test.c - names as linkers write them, names as people read them, and names made to hurt. */
#include "test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "demangle.h"
#include "worker_sandbox.h"

TEST(names_lose_their_parameters_and_keep_their_template_arguments)
{
	static const struct {
		const char *mangled, *readable;
	} table[] = {
		{ "_ZN3foo3barEi", "foo::bar" },
		{ "_ZN3foo3barIiEEvT_", "foo::bar<int>" },
		{ "_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back" },
		{ "_ZNKSt3mapIivE4findEv", "std::map<int, void>::find" },
		{ "_Znwm", "operator new" },
		{ "_ZN3FooC2Ev", "Foo::Foo" },
		{ "_ZN3FooD0Ev", "Foo::~Foo" },
		{ "_ZL5localv", "local" },
		{ "_ZN12_GLOBAL__N_14hideEv", "(anonymous namespace)::hide" },
		{ "_ZZ3fooiENKUlvE_clEv", "foo(int)::{lambda()#1}::operator()" },
		{ "_Z3foov.part.0", "foo" },
		{ "_Z3foov.isra.0.cold", "foo" },
		{ "_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place" },
		{ "_RNvNtC3std3mem8align_of", "std::mem::align_of" },
		{ "_RINvNtC3std3mem8align_ofdE", "std::mem::align_of::<f64>" },
		{ "_D8demangle4testFaZv", "demangle.test(char)" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		char readable[256] = "";
		CHECK(demangle_name(table[i].mangled, readable, sizeof(readable)));
		CHECK_STR(table[i].readable, readable);
	}
}

TEST(a_name_that_is_not_mangled_is_left_alone)
{
	static const char *const table[] = { "",       "_",  "_Z", "_Zz",   "malloc", "main", "__libc_start_main",
					     "_start", "_D", "_R", "Z3foov" };

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		char readable[64] = "untouched";
		CHECK(!demangle_name(table[i], readable, sizeof(readable)));
		CHECK_STR("untouched", readable);
	}
}

TEST(a_name_longer_than_a_kilobyte_is_still_read)
{
	char mangled[4000] = "_ZN", readable[8192];
	size_t n = strlen(mangled);

	while (n < 3000)
		n += (size_t)sprintf(mangled + n, "9namespace");
	strcpy(mangled + n, "1fEv");
	CHECK(demangle_name(mangled, readable, sizeof(readable)));
	CHECK(strncmp(readable, "namespace::namespace::", 22) == 0);
	CHECK_STR("::f", readable + strlen(readable) - 3);
}

/* f<p<p<i,i>, p<i,i>>, ...>: each level has the one before it twice, by back reference. */
static void
make_bomb(char *mangled, int levels)
{
	size_t n = (size_t)sprintf(mangled, "_Z1fI1pIiiE");

	for (int i = 0; i < levels; i++) {
		/* S_ is f, S0_ is p, S1_ is p<i,i>, and so on. */
		char digit = (char)(i + 1 < 10 ? '0' + i + 1 : 'A' + i + 1 - 10);
		n += (size_t)sprintf(mangled + n, "S0_IS%c_S%c_E", digit, digit);
	}
	strcpy(mangled + n, "EvT_");
}

TEST(a_name_that_would_print_gigabytes_is_refused_at_once)
{
	char mangled[1024], readable[4096] = "untouched";

	make_bomb(mangled, 30);
	CHECK(!demangle_name(mangled, readable, sizeof(readable)));
	CHECK_STR("untouched", readable);
	make_bomb(mangled, 2);
	CHECK(demangle_name(mangled, readable, sizeof(readable)));
	CHECK_STR("f<p<int, int>, p<p<int, int>, p<int, int> >, p<p<p<int, int>, p<int, int> >, p<p<int, int>, p<int, "
		  "int> > > >",
		  readable);
}

/* In a child with the worker's limit for the stack, because what could go wrong is a crash. */
TEST(the_deepest_possible_nesting_does_not_overflow_the_stack)
{
	static const char *const units[] = { "P",  "K", "1aI", "N1aI", "FvP",  "A_",   "M1a",
					     "Dp", "X", "XsZ", "DTsz", "LZ1f", "PFvS_" };
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		char mangled[4097], readable[4096];
		if (sandbox_limits() < 0)
			_exit(1);
		for (size_t u = 0; u < sizeof(units) / sizeof(*units); u++) {
			static const char *const starts[] = { "_Z1fI", "_RYY", "_RNvXs", "_D1f" };
			for (size_t k = 0; k < 4; k++) {
				size_t n = (size_t)sprintf(mangled, "%s", starts[k]);
				while (n + strlen(units[u]) + 4 < sizeof(mangled))
					n += (size_t)sprintf(mangled + n, "%s", units[u]);
				strcpy(mangled + n, "iEv");
				demangle_name(mangled, readable, sizeof(readable));
			}
		}
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(0, WEXITSTATUS(status));
}

TEST(an_answer_that_does_not_fit_is_none)
{
	char readable[9] = "short";

	CHECK(!demangle_name("_ZN3foo6barbarEi", readable, sizeof(readable)));
	CHECK_STR("short", readable);
	CHECK(demangle_name("_ZN3foo3barEi", readable, sizeof(readable)));
	CHECK_STR("foo::bar", readable);
}

/* Mutations of real names: nothing to expect but that it returns. Under the address sanitizer that says something. */
TEST(mutated_names_never_crash)
{
	static const char *const seeds[] = {
		"_ZNSt8_Rb_treeIlSt4pairIKllESt10_Select1stIS2_ESt4lessIlESaIS2_EE6insertES2_",
		"_RINvMNtC3std3memINtB2_4CageNtB4_3FooE3putdE", "_D3std5stdio4File6writeMFZv",
		"_ZN4core3ptr13drop_in_place17h0123456789abcdefE"
	};
	unsigned random = 1;
	size_t readable_names = 0;

	for (int round = 0; round < 20000; round++) {
		char mangled[128], readable[512];
		strcpy(mangled, seeds[round % 4]);
		for (int i = 0; i < 3; i++) {
			random = random * 1103515245 + 12345;
			mangled[2 + (random >> 16) % (strlen(mangled) - 2)] = (char)('!' + (random >> 8) % 94);
		}
		readable_names += demangle_name(mangled, readable, sizeof(readable));
	}
	CHECK(readable_names > 100);
}
