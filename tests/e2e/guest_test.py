"""The sampler is a guest: signals, jumps, forks and limits of its host do not make either of them stumble."""

import os

from e2e import *


@test
def a_storm_of_signals_whose_handlers_allocate_and_jump_out_leaves_sampling_at_work(place):
	out = place.path("p.pb.gz")
	# On an allocator that survives such a storm itself, which glibc's does not.
	r = place.heapd("run", "--quiet", "--period", "1", "--output", out, "--", os.path.join(TARGETS, "interrupted"), "1500",
		env={"LD_PRELOAD": os.path.join(TARGETS, "slots.so")}).good()
	check_eq("signals many, jumps many\n", r.text, "what the program saw")
	with open(out, "rb") as f:
		p = pprofile.decode(f.read())
	check_eq((1000, 777000), (p.cumulative("inuse_objects").get("keep_after"), p.cumulative("inuse_space").get("keep_after")), "what is in use after the storm")


@test
def children_forked_from_among_busy_threads_live_and_do_not_count_in_their_parent(place):
	for period in ("1", "20000"):
		r = place.heapd("run", "--quiet", "--period", period, "--", os.path.join(TARGETS, "forkstorm"), "150").good()
		check_eq("0 failed\n", r.text, f"what the parent saw at period {period}")
	out = place.path("p.pb.gz")
	place.heapd("run", "--quiet", "--period", "1", "--output", out, "--", os.path.join(TARGETS, "forkstorm"), "20").good()
	with open(out, "rb") as f:
		p = pprofile.decode(f.read())
	check_eq(777000, p.cumulative("inuse_space").get("keep"), "what the parent keeps")


@test
def a_program_that_locks_itself_in_is_not_killed_for_what_the_sampler_does(place):
	program = place.compile("sandboxed.c")
	for how in (["prctl"], ["syscall"], ["strict"], ["counter"], ["prctl", "unsampled"]):
		r = place.run([program] + how, env=place.preload(1)).good()
		check_eq("inside\n", r.text, f"what {how} printed")
	check_eq(5, len(place.segments()), "segments")
	for segment in place.segments():
		kept = place.fetch(segment).cumulative("inuse_objects").get("keep_inside", 0)
		check(10000 <= kept <= 200000, "blocks kept inside are sampled while there is room", kept)


if __name__ == "__main__":
	main()
