"""heapd on aarch64: cross-compiled, run under qemu-user, its profiles read on this machine and there.

What the emulator does not do is left to hardware: it neither wipes memory on fork nor limits the address space, and runs no worker
for symbols, which forbids itself everything by a filter of system calls.
"""

import fcntl
import json
import os
import re
import shutil

from e2e import *

QEMU = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]

# Minutes of many threads in each other's way, which an emulator runs one after the other.
SLOW = {"a_row_that_another_thread_takes_over_is_not_used_half", "no_stack_however_wrong_makes_us_read_outside_of_it",
	"walks_stay_right_while_rows_are_forgotten_under_them", "a_frame_is_recorded_once_however_often_its_row_is_forgotten",
	"more_addresses_than_the_table_holds_are_all_walked"}
TRUE_TARGETS = ("sizes", "partial", "realloc", "aligned", "libc", "cxx", "threads 4 1000", "plugins")
# What is the same arithmetic everywhere, and a program that is another one's with a smaller table.
ELSEWHERE = {"pace", "unwind_crowd"}


def cross_build(place, name, options, *targets):
	"""These targets in a build directory for aarch64 beside the others, up to date."""
	need("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++", "qemu-aarch64", "cmake", "ninja")
	directory = os.path.join(ROOT, name)
	os.makedirs(directory, exist_ok=True)
	with open(os.path.join(directory, ".lock"), "w") as lock:
		fcntl.flock(lock, fcntl.LOCK_EX)
		place.run(["cmake", "-S", ROOT, "-B", directory, "-G", "Ninja", f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/deploy/aarch64.cmake", *options],
			env={"HOME": None}, seconds=120).good()
		r = place.run(["cmake", "--build", directory, "-j", "2", "--target", *targets], seconds=900)
		check_eq(0, r.code, f"the exit code of the build ({clip(r.text)})")
	return directory


def cross_sampler(place):
	# Not all targets: some are about instructions of x86-64.
	return cross_build(place, "build-aarch64", ["-DHEAPD_SAMPLER_ONLY=ON"], "heapd-sampler", "tests/unit/all", "semantics", "interrupted", "slots",
		*[t.split()[0] for t in TRUE_TARGETS])


def sampled(place, period=1):
	"""qemu's options that put the sampler into its program."""
	return ["-E", f"LD_PRELOAD={cross_sampler(place)}/sampler/libheapd.so", "-E", f"HEAPD_DIR={place.shm}", "-E", f"HEAPD_PERIOD={period}"]


def run_cross(place, source, compiler="aarch64-linux-gnu-gcc", flags=("-g", "-O2"), arguments=()):
	"""Run a program without and with the sampler under qemu; its profile."""
	options = sampled(place)
	program = place.compile(source, compiler=compiler, flags=flags)
	plain = place.run([*QEMU, program, *arguments]).good()
	under = place.run([*QEMU, *options, program, *arguments], seconds=120)
	check_eq((plain.code, plain.text, plain.errors), (under.code, under.text, under.errors), "exit code, stdout and stderr")
	segment, = place.segments()
	return place.fetch(segment)


@test
def counts_and_names_are_exact_on_aarch64(place):
	p = run_cross(place, "linked.c")
	objects, space = p.cumulative("inuse_objects"), p.cumulative("inuse_space")
	want = {"keep_malloc": (1000, 1000000), "keep_aligned": (1000, 512000), "keep_realloc": (1000, 3000000)}
	check_eq(want, {n: (objects.get(n), space.get(n)) for n in want}, "what is in use")
	check_eq(0, objects.get("give_back", 0), "what was given back and is in use")
	check_eq(1000, p.cumulative("alloc_objects")["give_back"], "what was given back")
	check_eq(objects["keep_malloc"], sum(s.values[p.index("inuse_objects")] for s in p.samples if p.names(s)[:2] == ["keep_malloc", "main"]), "stacks from keep_malloc to main")


@test
def stacks_without_frame_pointers_reach_main_on_aarch64(place):
	p = run_cross(place, "leaky.c", flags=("-g", "-O2", "-fomit-frame-pointer"), arguments=("50",))
	i = p.index("alloc_objects")
	whole = sum(s.values[i] for s in p.samples if "main" in p.names(s))
	check(whole >= 150, "the stacks of three sites and 50 rounds reach main", p.cumulative("alloc_objects"))


@test
def the_samplers_own_tests_pass_on_aarch64(place):
	directory = os.path.join(cross_sampler(place), "tests", "unit")
	programs = sorted(n for n in os.listdir(directory) if n.endswith("_test") and n[:-5] not in ELSEWHERE)
	check({"cfi_test", "live_test", "segment_writer_test", "sites_test", "thread_test", "unwind_test", "unwind_code_test"} <= set(programs),
		"the unwinder's, the tables' and the segment's are there", programs)
	for program in programs:
		source = os.path.join(ROOT, "tests", "unit", program + ".c")
		with open(source) as f:
			names = re.findall(r"^TEST\((\w+)\)", f.read(), re.M)
		r = place.run([*QEMU, os.path.join(directory, program), *[n for n in names if n not in SLOW]], env={"EMULATED": "1"}, seconds=240)
		check_eq(0, r.code, f"the exit code of {program} ({clip(r.text + r.errors)})")
		# Some are about x86-64 alone.
		check(len(re.findall(r"^ok ", r.text, re.M)) >= len(names) / 2, f"there are tests of {program}", r.text)


@test
def targets_count_exactly_on_aarch64(place):
	targets = os.path.join(cross_sampler(place), "tests", "targets")
	library = os.path.join(cross_sampler(place), "sampler", "libheapd.so")
	for target in TRUE_TARGETS:
		program, *arguments = target.split()
		r = place.run([os.path.join(TARGETS, "truth_check"), "--library", library, "--period", "1", "--", shutil.which(QEMU[0]), *QEMU[1:],
			os.path.join(targets, program), *arguments], seconds=120)
		check(r.code == 0, target, r.text)
		check_match(r"^right$", r.text, target)


@test
def every_entry_point_answers_as_without_the_sampler_on_aarch64(place):
	command = [os.path.join(cross_sampler(place), "tests", "targets", "semantics"), "2000"]
	plain = place.run([*QEMU, *command], seconds=120).good()
	check(len(plain.text.splitlines()) > 3000, "the program tries little", len(plain.text))
	for period in (1, 4096):
		under = place.run([*QEMU, *sampled(place, period), *command], seconds=120).good()
		check_eq(plain.text.splitlines(), under.text.splitlines(), f"what the calls returned at period {period}")


@test
def handlers_that_allocate_and_jump_out_leave_sampling_at_work_on_aarch64(place):
	targets = os.path.join(cross_sampler(place), "tests", "targets")
	options = [o + f":{targets}/slots.so" if o.startswith("LD_PRELOAD") else o for o in sampled(place)]
	r = place.run([*QEMU, *options, os.path.join(targets, "interrupted"), "100"], seconds=120).good()
	check_eq("signals many, jumps many\n", r.text, "what the program saw")
	segment, = place.segments()
	p = place.fetch(segment)
	check_eq((1000, 777000), (p.cumulative("inuse_objects").get("keep_after"), p.cumulative().get("keep_after")), "what is in use after the storm")


@test
def the_daemon_reads_the_same_from_a_segment_on_aarch64(place):
	sysroot = os.path.join(ROOT, "build-aarch64-sysroot")
	os.makedirs(sysroot, exist_ok=True)
	with open(os.path.join(sysroot, ".lock"), "w") as lock:
		fcntl.flock(lock, fcntl.LOCK_EX)
		r = place.run([os.path.join(ROOT, "deploy", "sysroot"), "arm64", sysroot], seconds=300)
	if r.code:
		raise Skip(f"no libraries for arm64: {clip(r.errors, 200)}")
	directory = cross_build(place, "build-aarch64-daemon", [f"-DHEAPD_SYSROOT={sysroot}", "-DCMAKE_BUILD_TYPE=Debug"], "heapd")
	heapd = ["qemu-aarch64", "-L", sysroot, os.path.join(directory, "daemon", "heapd")]
	check_match(r"^heapd \d", place.run([*heapd, "--version"]).good().text, "its version")

	program = place.compile("linked.c", compiler="aarch64-linux-gnu-gcc")
	place.run([*QEMU, *sampled(place), program], seconds=120).good()
	there, = place.segments()
	for segment in (there, native_segment(place)):
		totals = []
		for command in ([HEAPD], heapd):
			out = place.path("sites.json")
			place.run([*command, "fetch", "--json", "-o", out, segment], seconds=120).good()
			with open(out) as f:
				report = json.load(f)
			totals.append((report["totals"], sorted((r["values"]["alloc_objects"]["value"], r["values"]["alloc_space"]["value"]) for r in report["rows"])))
		check(totals[0][0]["alloc_objects"]["value"] >= 4000, "there is something in it", totals[0])
		check_eq(totals[0], totals[1], "what the daemon on aarch64 reads")


def native_segment(place):
	known = set(place.segments())
	place.run([place.compile("linked.c", "linked-here")], env=place.preload(1)).good()
	segment, = set(place.segments()) - known
	return segment


if __name__ == "__main__":
	main()
