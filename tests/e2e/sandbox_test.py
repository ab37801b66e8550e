"""Programs that lock themselves in with seccomp: they live, and what the sampler then cannot record is counted."""

import os
import re

from e2e import *

BLOCKS = 200000


def skipped(profile):
	return sum(int(m[1]) for m in (re.match(r"(\d+) samples skipped", c) for c in profile.comments) if m)


@test
def a_program_that_locks_itself_in_is_not_killed_for_what_the_sampler_does(place):
	program = place.compile("sandboxed.c")
	for how in ("prctl", "syscall", "strict", "counter"):
		before = place.segments()
		r = place.run([program, how], env=place.preload(1)).good()
		check_eq("inside\n", r.text, f"what it printed after {how}")
		new = [s for s in place.segments() if s not in before]
		check_eq(1, len(new), f"segments of {how}")
		p = place.fetch(new[0])
		check(p.cumulative("inuse_objects").get("keep_inside", 0) >= 10000, f"blocks are sampled after {how} while there is room", p.cumulative("inuse_objects"))
		check_eq(BLOCKS + 1, p.total("alloc_objects") + skipped(p), f"sampled and skipped after {how}")


@test
def a_program_that_locks_itself_in_before_its_first_sample_leaves_no_file(place):
	r = place.run([place.compile("sandboxed.c"), "prctl", "unsampled"], env=place.preload(1 << 30)).good()
	check_eq("inside\n", r.text, "what it printed")
	check_eq([], place.segments(), "segments")


@test
def asking_what_the_kernel_can_costs_nothing_and_closes_nothing(place):
	program = place.compile("sandbox_asks.c")
	sizes = []
	for n in ("0", "1", "500"):
		before = place.segments()
		place.run([program, n], env=place.preload(1)).good()
		segment, = [s for s in place.segments() if s not in before]
		sizes.append(os.stat(segment).st_blocks // 2)
		p = place.fetch(segment)
		check_eq(30000, p.cumulative("inuse_objects").get("keep_after"), f"blocks kept after {n} questions")
		check_eq(0, skipped(p), "samples skipped")
	check(max(sizes) - min(sizes) <= 4096, "the segment does not grow with each question", sizes)


@test
def a_vfork_child_that_locks_itself_in_leaves_its_parent_alone(place):
	place.run([place.compile("sandbox_vfork.c")], env=place.preload(1)).good()
	seen = [place.fetch(s).cumulative("inuse_objects").get("keep_after", 0) for s in place.segments()]
	check_eq([0, 30000], sorted(seen)[-2:], "what parent and exec'd child keep")


if __name__ == "__main__":
	main()
