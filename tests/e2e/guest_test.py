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
def a_process_that_shares_memory_behind_the_c_librarys_back_harms_nobody(place):
	out = place.path("p.pb.gz")
	place.heapd("run", "--quiet", "--period", "1", "--output", out, "--", os.path.join(TARGETS, "borrowed"), "1", "100000",
		env={"LD_PRELOAD": os.path.join(TARGETS, "slots.so")}).good()
	with open(out, "rb") as f:
		p = pprofile.decode(f.read())
	check_eq((1000, 777000), (p.cumulative("inuse_objects").get("keep_after"), p.cumulative("inuse_space").get("keep_after")), "what is in use afterwards")


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
def the_heap_at_main_is_what_it_is_without_the_sampler(place):
	program = place.compile("heap_at_main.c")
	plain = place.run([program]).good().text
	check_match(r"^\d+ bytes in use, \d+ free, first block at \.\.\.[0-9a-f]+$", plain.strip(), "what it prints")
	check_eq(plain, place.run([program], env=place.preload()).good().text, "the same, sampled")


@test
def a_block_whose_realloc_failed_is_still_in_use(place):
	out = place.path("p.pb.gz")
	place.heapd("run", "--quiet", "--period", "1", "--output", out, "--", place.compile("failed_realloc.c")).good()
	with open(out, "rb") as f:
		p = pprofile.decode(f.read())
	check_eq((10, 1000000), (p.cumulative("inuse_objects").get("keep"), p.cumulative("inuse_space").get("keep")), "what is in use")


if __name__ == "__main__":
	main()
