"""Threads in great numbers, with little room, that end in every way."""

import os
import re

from e2e import *

SLOTS = {"LD_PRELOAD": f"{LIBHEAPD} {TARGETS}/slots.so"}        # an allocator that may be left in the middle, unlike glibc's


def skipped(profile):
	return sum(int(m[1]) for m in (re.match(r"(\d+) samples skipped", c) for c in profile.comments) if m)


def sampled(place, program, *arguments, **env):
	before = place.segments()
	r = place.run([program, *arguments], env=place.preload(1, **env)).good()
	segment, = [s for s in place.segments() if s not in before]
	return r, place.fetch(segment)


def threaded(place):
	return place.compile("threaded.c", flags=("-g", "-O2", "-pthread"))


@test
def ten_thousand_threads_at_once_are_sampled_every_one_and_cost_a_few_words_each(place):
	r, p = sampled(place, threaded(place), "crowd", 10000)
	check_eq("10000 threads\n", r.text, "what it prints")
	kept = p.cumulative("inuse_objects").get("keep_in_thread")
	check_eq(30000, kept + skipped(p), "blocks kept and skipped")
	check(skipped(p) < 30, "blocks skipped", skipped(p))    # none, unless a thousand threads wait inside a sample
	headers = place.run(["readelf", "-lW", LIBHEAPD]).good().text
	size = int(check_match(r"^\s+TLS\s+\S+\s+\S+\s+\S+\s+\S+\s+0x(\w+)", headers, "program headers of the library")[1], 16)
	check(size <= 128, "bytes of a thread's own memory", size)


@test
def threads_that_come_and_go_leave_nothing_and_are_counted_to_their_last_act(place):
	r, p = sampled(place, threaded(place), "churn", 20000)
	grew = int(check_match(r"^grew by (-?\d+) KiB$", r.text, "what it prints")[1])
	check(grew <= 1024, "memory in use grows", grew)
	check_eq((200000, 0), (p.cumulative("alloc_objects").get("last_act"), skipped(p)), "blocks of destructors, skipped")


@test
def threads_that_first_touch_what_a_late_library_keeps_for_each_are_counted_exactly(place):
	library = place.compile("thread_local.c", "thread_local.so", flags=("-g", "-O2", "-shared", "-fPIC", "-ftls-model=global-dynamic"))
	_, p = sampled(place, threaded(place), "touch", 1000, library)
	check_eq((3000, 1000, 0), (p.cumulative("inuse_objects").get("keep_in_thread"), p.cumulative("alloc_objects").get("touch"), skipped(p)),
		"blocks of the threads, of their variables, skipped")


@test
def threads_that_end_inside_a_sample_do_not_end_sampling(place):
	for how in ("cancel", "leap"):
		_, p = sampled(place, threaded(place), how, 300, **SLOTS)
		check_eq(1000, p.cumulative("inuse_objects").get("keep_after"), f"blocks kept after threads that {how}")
		check_eq(0, skipped(p), "skipped")


@test
def sampling_takes_less_than_a_kilobyte_of_a_small_stack(place):
	program = place.compile("narrow.c", flags=("-g", "-O2", "-pthread"))
	for where in (["signal"], ["signal", "later"], ["thread"], ["thread", "later"]):
		used = []
		for env in ({}, place.preload(1)):
			# Or the loader, which binds functions when they are first called, uses more than all others.
			text = place.run([program, *where], env={**env, "LD_BIND_NOW": "1"}).good().text
			used.append(int(check_match(r"^used (\d+) of \d+ bytes$", text, "what it prints")[1]))
		check(used[1] - used[0] <= 1024, f"bytes used in a {' '.join(where)}, without and with", used)


if __name__ == "__main__":
	main()
