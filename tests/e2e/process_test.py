"""Processes that come, go, and turn into others: forks, execs, daemons, and how they end."""

import os
import re

from e2e import *


def skipped(profile):
	return sum(int(m[1]) for m in (re.match(r"(\d+) samples skipped", c) for c in profile.comments) if m)


def profile_of(place, pid):
	"""From a copy of its segment: heapd would first tidy up a directory with so many."""
	segment, = [s for s in place.segments() if os.path.basename(s).startswith(f"{pid}-")]
	return place.fetch(shutil.copy(segment, place.tmp))


@test
def a_child_forked_by_a_signal_handler_inside_a_sample_returns_into_it_unharmed(place):
	forks = 150
	for late in ([], ["late"]):
		before = len(place.segments())
		program = place.start([os.path.join(TARGETS, "forked_inside"), forks, *late],
			env=place.preload(1, LD_PRELOAD=f"{LIBHEAPD} {TARGETS}/slots.so"))
		r = program.wait().good()                       # its exit code tells of its children
		check_eq(forks + 1, len(place.segments()) - before, "how many processes have a profile")
		p = profile_of(place, program.pid)
		made = int(check_match(r"^(\d+) allocations$", r.text, "what it printed")[1])
		# A child that was not between a look at whose the segment is and the count has left it alone.
		check(0 <= p.total("alloc_objects") + skipped(p) - made <= forks // 5, "children do not count in their parent",
			(p.total("alloc_objects"), skipped(p), made))


if __name__ == "__main__":
	main()
