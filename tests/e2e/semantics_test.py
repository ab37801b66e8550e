"""Every entry point answers as it does without heapd: results, errno, alignment, contents, failures."""

import os

from allocators import LIBRARIES, library
from e2e import *

SEMANTICS = os.path.join(TARGETS, "semantics")


def same_answers(place, arguments, preload, plain):
	for period in ("1", "200", "4096", "524288"):
		under = place.run([SEMANTICS, *arguments], env={"LD_PRELOAD": preload, "HEAPD_PERIOD": period}).good()
		check_eq(plain.text.splitlines(), under.text.splitlines(), f"what the calls returned under {preload} at period {period}")


@test
def the_c_librarys_allocator_answers_as_without_heapd(place):
	plain = place.run([SEMANTICS, "100000"]).good()
	check(len(plain.text.splitlines()) > 3000, "the program tries little", len(plain.text))
	same_answers(place, ["100000"], LIBHEAPD, plain)


@test
def other_allocators_answer_as_without_heapd_wherever_it_stands(place):
	for name in LIBRARIES:
		below = library(name)
		plain = place.run([SEMANTICS, "5000", "valid"], env={"LD_PRELOAD": below}).good()
		same_answers(place, ["5000", "valid"], f"{LIBHEAPD}:{below}", plain)
		same_answers(place, ["5000", "valid"], f"{below}:{LIBHEAPD}", plain)


@test
def sizes_that_no_allocator_grants_are_refused_as_without_heapd(place):
	program = place.compile("refused.c", flags=("-O1", "-fno-builtin", "-w"))
	for name in LIBRARIES:
		plain = place.run([program], env={"LD_PRELOAD": library(name)}).good()
		for period in ("1", "524288"):
			under = place.run([program], env={"LD_PRELOAD": f"{LIBHEAPD}:{library(name)}", "HEAPD_PERIOD": period}).good()
			check_eq(plain.text.splitlines(), under.text.splitlines(), f"what {name} refuses at period {period}")


@test
def a_broken_program_breaks_as_without_heapd(place):
	program = place.compile("broken.c", flags=("-g", "-O1", "-w"))
	ended = 0
	for how in ("twice", "inside", "stack", "resize-stack", "resize-freed", "overrun", "top", "far", "large-twice", "nothing"):
		plain = place.run([program, how])
		ended += plain.code < 0
		for period in ("1", "524288"):
			under = place.run([program, how], env=place.preload(period))
			check_eq((plain.code, plain.text, plain.errors), (under.code, under.text, under.errors), f"how {how} ended at period {period}")
	check(ended >= 6, "of ten ways so many are noticed", ended)


if __name__ == "__main__":
	main()
