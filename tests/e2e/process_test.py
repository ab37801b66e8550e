"""Processes that come, go, and turn into others: forks, execs, daemons, and how they end."""

import os
import platform
import re

from e2e import *


def skipped(profile):
	return sum(int(m[1]) for m in (re.match(r"(\d+) samples skipped", c) for c in profile.comments) if m)


def profile_of(place, pid):
	"""From a copy of its segment: heapd tidies up a directory with so many."""
	# A child that was forked while it was made may have left another one, empty.
	mine = [s for s in place.segments() if os.path.basename(s).startswith(f"{pid}-")]
	return place.fetch(shutil.copy(max(mine, key=lambda s: os.stat(s).st_blocks), place.tmp))


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
		# A child that was not between a look at whose the segment is and the count has left it alone. On a busy machine that is where
		# a signal often comes: the count's page is touched there first. Without the looks nearly every child counts.
		check(0 <= p.total("alloc_objects") + skipped(p) - made <= forks // 2, "children do not count in their parent",
			(p.total("alloc_objects"), skipped(p), made))


@test
def a_child_forked_after_any_instruction_of_the_sampler_goes_on_from_there_unharmed(place):
	if platform.machine() != "x86_64":
		raise Skip("single steps are written for x86-64 only")
	for stride, how in ((37, ["each", 0, "warm"]), (37, ["each", 18, "warm"]), (397, ["each", 0])):
		program = place.start([os.path.join(TARGETS, "forked_inside"), stride, *how],
			env=place.preload(1, LD_PRELOAD=f"{LIBHEAPD} {TARGETS}/slots.so"))
		r = program.wait().good()                       # its exit code tells of its children
		forks, made = (int(n) for n in check_match(r"^(\d+) forks\n(\d+) allocations$", r.text, "what it printed").groups())
		check(forks > 50, "how often it forked", forks)
		p = profile_of(place, program.pid)
		check(0 <= p.total("alloc_objects") + skipped(p) - made <= 1 + forks // 20, "children do not count in their parent",
			(p.total("alloc_objects"), skipped(p), made, forks))
		for s in place.segments():
			os.unlink(s)


@test
def a_daemon_that_closes_all_its_files_is_sampled_on_and_finds_nothing_in_those_it_opens(place):
	files = place.path("files")
	os.mkdir(files)
	place.run([place.compile("lives.c"), "daemon", files], env=place.preload(1)).good()
	def pid():
		with contextlib.suppress(OSError):
			with open(os.path.join(files, "pid")) as f:
				return int(f.read())
	daemon = wait_until(pid, "the daemon tells its pid")
	wait_until(lambda: not alive(daemon), "the daemon has ended")
	check_eq({str(n): 0 for n in range(3, 21)}, {f: os.path.getsize(os.path.join(files, f)) for f in os.listdir(files) if f != "pid"}, "sizes of its files")
	check_eq(1000, profile_of(place, daemon).cumulative("inuse_objects").get("keep"), "blocks the daemon keeps")


def alive(pid):
	with contextlib.suppress(ProcessLookupError):
		os.kill(pid, 0)
		with open(f"/proc/{pid}/stat") as f:
			return " Z " not in f.read()
	return False


@test
def a_program_that_executes_itself_again_and_again_leaves_a_profile_each_time_and_the_daemon_none_of_its_files(place):
	lives = place.compile("lives.c")
	server = place.serve()
	place.run([lives, "again", 3], env=place.preload(1)).good()
	wait_until(lambda: len([t for t in server.targets() if not t["alive"]]) == 4, "four ended targets")
	def open_files():
		return len(os.listdir(f"/proc/{server.running.pid}/fd"))
	before = open_files()
	place.run([lives, "again", 150], env=place.preload(1)).good()
	# More than it keeps of those that ended.
	wait_until(lambda: all(not t["alive"] for t in server.targets()) and len(server.targets()) <= 64, "the rest is tidied away")
	check(open_files() <= before + 64 + 4, "open files of the daemon", (before, open_files()))
	counts = [server.profile(f"/targets/{t['id']}/debug/pprof/heap").cumulative("inuse_objects").get("keep") for t in server.targets()[:5]]
	check_eq([10] * 5, counts, "blocks of five of them")


@test
def a_file_that_is_asked_for_is_read_before_it_is_tidied_away(place):
	place.run([place.compile("lives.c"), "again", 80], env=place.preload(1)).good()
	oldest = min(place.segments(), key=os.path.getmtime)
	check_eq(10, place.fetch(oldest).cumulative("inuse_objects").get("keep"), "blocks in the oldest of 81 files")
	check(len(place.segments()) <= 64, "the rest is tidied up")


@test
def children_of_every_kind_end_as_ever_and_count_as_their_own(place):
	lives = place.compile("lives.c")
	plain = place.run([lives, "spawn"]).good()
	program = place.start([lives, "spawn"], env=place.preload(1))
	r = program.wait().good()
	check_eq((plain.out, plain.err), (r.out, r.err), "what it prints")
	p = profile_of(place, program.pid)
	check_eq((2000, None), (p.cumulative("inuse_objects").get("keep"), p.cumulative("alloc_objects").get("in_child")), "blocks of the parent")
	profiles = [place.fetch(shutil.copy(s, place.tmp)) for s in place.segments()]
	check_eq([100], [n for n in (q.cumulative("inuse_objects").get("in_child") for q in profiles) if n], "blocks of the clone")


@test
def no_file_stays_open_in_a_program_or_in_what_it_becomes(place):
	lives = place.compile("lives.c")
	plain = place.run([lives, "files"]).good()
	check_eq(2, len(plain.text.splitlines()), "lists of files")
	check_eq(plain.text, place.run([lives, "files"], env=place.preload(1)).good().text, "the same, sampled")


@test
def however_a_program_ends_among_busy_threads_its_last_profile_is_there(place):
	lives = place.compile("lives.c", flags=("-g", "-O2", "-pthread"))
	for how in ("exit", "_exit", "abort", "kill", "exec"):
		plain = place.run([lives, "end", how])
		program = place.start([lives, "end", how], env=place.preload(1))
		r = program.wait()
		check_eq((plain.code, plain.out, plain.err), (r.code, r.out, r.err), f"how it ends by {how}")
		found = [place.fetch(s).cumulative("inuse_objects").get("keep") for s in place.segments() if os.path.basename(s).startswith(f"{program.pid}-")]
		check_in(1000, found, f"blocks kept at the end by {how}")


@test
def a_program_goes_on_while_heapd_is_stopped_killed_and_started_again(place):
	program = place.start([place.compile("lives.c"), "steps"], env=place.preload(1), stdin=subprocess.PIPE)
	steps = 0
	def step():
		nonlocal steps
		steps += 1
		program.process.stdin.write(b"\n")
		program.process.stdin.flush()
		wait_until(lambda: program.text.count("done") == steps, "the program answers", running=program)
	def kept(server):
		return server.profile(f"/targets/{server.target(pid=program.pid)['id']}/debug/pprof/heap").cumulative("inuse_objects").get("keep")
	step()                                          # nobody there
	server = place.serve()
	check_eq(2000, kept(server), "blocks, heapd being there")
	server.running.send(signal.SIGSTOP)
	step()
	server.running.send(signal.SIGKILL)
	server.running.wait()
	step()
	server = place.serve()
	step()
	check_eq(5000, kept(server), "blocks after all of it")
	program.close_stdin()
	program.wait().good()


if __name__ == "__main__":
	main()
