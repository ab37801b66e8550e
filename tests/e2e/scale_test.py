"""Much of everything: samples a second, stacks, live samples."""

import concurrent.futures
import json
import os
import time

from e2e import *


def resident_mib(pid):
	with open(f"/proc/{pid}/statm") as f:
		return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def described(place, pid):
	rows = json.loads(place.heapd("list", "--json").good().text)["targets"]
	return next((t for t in rows if t["pid"] == pid), None)


@test
def a_ceiling_on_samples_a_second_is_kept_and_shown(place):
	started = time.monotonic()
	r = place.heapd("run", "--quiet", "--no-serve", "--period", "1", "--max-samples", "1000", "--", os.path.join(TARGETS, "churn"), "10000000").good()
	seconds = time.monotonic() - started
	target, = json.loads(place.heapd("list", "--json").good().text)["targets"]
	check_eq(1000, target["max_samples"], "the ceiling")
	# A flood brings a second's worth more before the period has followed. Without a ceiling it would be millions.
	check(100 <= target["samples"] <= 1200 * seconds + 2000, f"samples in {seconds:.2f} s", target["samples"])
	check(target["period"] > 1, "the period grew", target)
	truth = sum(map(int, re.findall(r"^site \S+ (\d+)", r.text, re.M)))
	objects = target["totals"]["alloc_objects"]
	check_near(truth, objects["value"], 6 * objects["standard_error"] + 0.05 * truth, "blocks allocated")
	check_match(r"IN USE +PERIOD +SAMPLES", place.heapd("list").good().text, "heapd list")
	check_match(r"≤ 1,000/s", place.heapd("list").good().text, "heapd list")
	check_match(r"one every .*, at most 1,000 a second", place.heapd("top").good().text, "heapd top")


@test
def a_ceiling_is_set_and_lifted_while_the_program_runs(place):
	running = place.start([place.compile("leaky.c"), "50"], stdin=subprocess.PIPE, env=place.preload(1))
	wait_until(lambda: described(place, running.pid), "it is sampled", running=running)

	def allocate(rounds):
		running.process.stdin.write(b"\n" * rounds)
		running.process.stdin.flush()

	def period_is(condition, what):
		def look():
			allocate(200)
			return condition(described(place, running.pid)["period"])
		wait_until(look, what, running=running)
	r = place.heapd("set", str(running.pid), "--max-samples", "20").good()
	check_match(r"samples a second were unlimited and are 20", r.errors, "heapd set")
	check_eq(20, described(place, running.pid)["max_samples"], "the ceiling")
	period_is(lambda p: p > 64, "the period grows")
	place.heapd("set", str(running.pid), "--max-samples", "0").good()
	period_is(lambda p: p == 1, "the period is what was asked for again")
	for value in ("-1", "many", "10/s"):
		r = place.heapd("set", str(running.pid), "--max-samples", value)
		check_eq(2, r.code, f"exit code of heapd set --max-samples {value}")
		check_in("whole number", r.errors, f"what heapd set --max-samples {value} says")


@test
def a_ceiling_that_is_no_number_is_refused_before_the_program_starts(place):
	for value in ("0", "ten", "5k"):
		check_eq(2, place.heapd("run", "--max-samples", value, "--", "true").code, f"exit code of --max-samples {value}")
	r = place.heapd("run", "--", "true", env={"HEAPD_MAX_SAMPLES": "lots"})
	check_eq(2, r.code, "exit code with HEAPD_MAX_SAMPLES=lots")
	check_in("HEAPD_MAX_SAMPLES=lots", r.errors, "what is said of it")


@test
def a_quarter_of_a_million_stacks_and_a_million_live_samples_are_exact(place):
	r = place.run([os.path.join(TARGETS, "truth_check"), "--library", LIBHEAPD, "--period", "1", "--", os.path.join(TARGETS, "stacks"), "256000", "4", "20"])
	check(r.code == 0, "256,000 stacks of 46 frames, 1,024,000 live blocks", r.text)


@test
def more_stacks_than_there_is_room_for_keep_the_totals_and_the_profile_can_be_read(place):
	server = place.heapd_run([os.path.join(TARGETS, "stacks"), "--wait", "1000000", "1"], "--period", "1", stdin=subprocess.PIPE)
	wait_until(lambda: "end\n" in server.running.text, "it has allocated", running=server.running)
	target = server.target(name="stacks")
	check_eq(1 << 18, target["sites"], "sites, the one for all others included")
	# The C library's own stacks take sites, too.
	without = 1000000 - ((1 << 18) - 1)
	check(without <= target["lost"]["no_site"] <= without + 100, "samples without a site of their own", target["lost"])
	check_eq(0, target["lost"]["no_live"], "samples without room")
	objects, space = (int(x) for x in re.search(r"^site leaf (\d+) (\d+)", server.running.text, re.M).groups())
	check_eq(1000000, objects, "blocks")
	for name, want in (("inuse_objects", objects), ("inuse_space", space)):
		got = target["totals"][name]["value"]
		check(want <= got <= want + 200000, f"{name}, those of the C library included", (got, want))
	profile = server.profile("/debug/pprof/heap")
	for name in ("inuse_objects", "inuse_space", "alloc_objects", "alloc_space"):
		i = profile.index(name)
		check_eq(target["totals"][name]["value"], sum(s.values[i] for s in profile.samples), f"{name} in the profile")
	wait_until(lambda: resident_mib(server.running.pid) < 40, "the daemon gives back the memory that the profile took", running=server.running)
	top = place.pprof("-sample_index=inuse_objects", "-top", server.url + "/debug/pprof/heap").good().text
	check_match(r"\bleaf\b", top, "go tool pprof -top")


def anonymous_mib(pid):
	with open(f"/proc/{pid}/status") as f:
		return int(re.search(r"RssAnon:\s+(\d+)", f.read())[1]) / 1024


@test
def what_profiles_took_is_given_back(place):
	targets = [place.start([os.path.join(TARGETS, "stacks"), "--wait", "20000", "2"], stdin=subprocess.PIPE, env=place.preload(1)) for _ in range(3)]
	server = place.serve()
	ids = [server.target(pid=t.pid)["id"] for t in targets]
	for t in targets:
		wait_until(lambda: "end\n" in t.text, "it has allocated", running=t)
	paths = [f"/targets/{i}/{p}" for i in ids for p in ("debug/pprof/heap", "debug/pprof/allocs", "debug/pprof/heap?debug=1", "pprof/heap", "raw/pprof/heap")]
	most = 0
	for _ in range(3):
		with concurrent.futures.ThreadPoolExecutor(8) as pool:
			for reply in pool.map(server.get, paths):
				reply.good()
		most = max(most, anonymous_mib(server.running.pid))
	wait_until(lambda: anonymous_mib(server.running.pid) < 16, f"of {most:.0f} MiB less than 16 are left when nobody asks", running=server.running)


if __name__ == "__main__":
	main()
