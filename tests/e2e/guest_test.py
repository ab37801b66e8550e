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
def code_and_stacks_that_nobody_can_walk_are_survived_and_counted(place):
	if os.uname().machine != "x86_64":
		raise Skip("its code is x86-64's")
	program = place.compile("strange.c", flags=("-g", "-O1"))
	plain = place.run([program]).good()
	for period in ("1", "300"):
		out = place.path("p.pb.gz")
		r = place.heapd("run", "--quiet", "--period", period, "--output", out, "--", program)
		check_eq((0, plain.text, ""), (r.code, r.text, r.errors), f"exit code, stdout and stderr at period {period}")
		if period != "1":
			continue
		with open(out, "rb") as f:
			p = pprofile.decode(f.read())
		objects, space = p.flat("inuse_objects"), p.flat("inuse_space")
		want = {name: (100, 10000) for name in ("misaligned", "cfa_too_far", "cfa_a_word_off", "cfa_below", "fp_garbage", "fp_unmapped", "fp_at_the_end", "no_tables",
			"no_tables_but_fp", "return_nowhere", "in_fault_handler")}
		want["on_fibre"] = (500, 50000)
		check_eq(want, {n: (objects.get(n), space.get(n)) for n in want}, "what is in use")
		check_eq(170000, sum(space.values()) - space.get("_IO_file_doallocate", 0), "all that is in use")
		for least, what in ((200, "not on the thread's own stack"), (100, "cut after 128 frames"), (300, "without unwind tables"), (400, "made no sense")):
			said = [int(c.split()[0]) for c in p.comments if c.endswith(what)]
			check(said and said[0] >= least, f"stacks that were {what}", p.comments)


@test
def a_plugin_that_goes_past_the_hooks_frees_what_came_through_them_and_the_reverse(place):
	plugin = place.compile("deepbind.c", "plugin.so", flags=("-g", "-O1", "-fno-builtin", "-fPIC", "-shared", "-DPLUGIN"))
	program = place.compile("deepbind.c", flags=("-g", "-O1", "-fno-builtin"))
	plain = place.run([program, plugin]).good()
	out = place.path("p.pb.gz")
	r = place.heapd("run", "--quiet", "--period", "1", "--output", out, "--", program, plugin)
	check_eq((0, plain.text, ""), (r.code, r.text, r.errors), "exit code, stdout and stderr")
	with open(out, "rb") as f:
		p = pprofile.decode(f.read())
	check_eq(2000, p.cumulative("alloc_objects").get("host_copies"), "what the program copied")
	check(p.cumulative("inuse_objects").get("host_copies", 0) < 20, "what is taken for in use", p.cumulative("inuse_objects"))
	unseen = [int(c.split()[0]) for c in p.comments if "free" in c]
	check(unseen and unseen[0] >= 100, "frees that were not seen", p.comments)


@test
def plugins_that_come_and_go_beside_exceptions_stall_nobody(place):
	first = place.compile("late.cc", "late0.so", compiler="g++", flags=("-g", "-O2", "-fPIC", "-shared"))
	plugins = [first]
	for i in range(1, 6):
		plugins.append(place.path(f"late{i}.so"))
		shutil.copy(first, plugins[-1])
	program = place.compile("storm.cc", compiler="g++", flags=("-g", "-O2", "-std=c++17"), libs=("-lpthread",))
	for period in ("1", "4096"):
		r = place.heapd("run", "--quiet", "--period", period, "--", program, "150", *plugins)
		check_eq((0, "done\n", ""), (r.code, r.text, r.errors), f"exit code, stdout and stderr at period {period}")


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
