"""What allocates before the sampler has started, or while it finds out what the allocator underneath is."""

import os

from e2e import *

MACHINE_VERSION = {"x86_64": '"GLIBC_2.2.5"', "aarch64": '"GLIBC_2.17"'}
SHARED = ("-g", "-O1", "-fno-builtin", "-fPIC", "-shared")


def program(place):
	return place.compile("early.c", "early", flags=("-g", "-O1", "-fno-builtin", "-DPROGRAM"))


def under(place, command, before=(), after=(), out="done\n"):
	"""Run it with the sampler between other preloads, exactly. The profile."""
	for f in place.segments():
		os.unlink(f)
	r = place.run(command, env=place.preload(1, LD_PRELOAD=":".join([*before, LIBHEAPD, *after]))).good()
	check_eq((out, ""), (r.text, r.errors), f"what {command[0]} printed with {before}, heapd, {after}")
	segments = place.segments()
	check_eq(1, len(segments), "segments")
	return place.fetch(segments[0])


def check_kept(p, what):
	check_eq((1000, 777000), (p.cumulative("inuse_objects").get("keep_in_main"), p.cumulative("inuse_space").get("keep_in_main")), what)


@test
def resolvers_of_indirect_functions_and_the_earliest_constructors_may_allocate(place):
	command = [program(place)]
	place.run(command).good()
	check_kept(under(place, command), "what is in use")


@test
def another_preload_may_allocate_and_ask_for_missing_names_before_us_and_after_us(place):
	other = place.compile("early.c", "early_library.so", flags=(*SHARED, "-DLIBRARY"))
	for before, after in (([other], []), ([], [other])):
		check_kept(under(place, [program(place)], before, after), f"what is in use with {before}, heapd, {after}")


@test
def a_dlsym_of_somebody_elses_that_allocates_is_survived(place):
	version = MACHINE_VERSION.get(os.uname().machine)
	if not version:
		raise Skip("which version its dlsym has is not known")
	for first in range(0, 10, 3):
		other = place.compile("early.c", f"early_dlsym{first}.so", flags=(*SHARED, "-DDLSYM", f"-DFROM={first}", f"-DVERSION={version}"))
		for before, after in (([other], []), ([], [other])):
			check_kept(under(place, [program(place)], before, after, "done\nresolved\n"), f"what is in use with {before}, heapd, {after}")


if __name__ == "__main__":
	main()
