"""Programs under limits run as they do without the sampler, which takes little or stays inert."""

import os
import re
import resource

from e2e import *

MIB = 1 << 20


def limit(which, value):
	return lambda: resource.setrlimit(which, (value, value))


def run(place, command, preload, preexec=None, env=None):
	"""Like place.run, but through pipes: a limit on the size of files would end the writing of its output."""
	r = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, preexec_fn=preexec,
		env=place.environment({**(place.preload(1) if preload else {}), **(env or {})}))
	return r.returncode, r.stdout, r.stderr


def blocks(output):
	return int(check_match(r"^Cannot allocate memory after (\d+) blocks$", output.decode(), "what it printed")[1])


def skipped(profile):
	return sum(int(m[1]) for m in (re.match(r"(\d+) samples skipped", c) for c in profile.comments) if m)


@test
def a_limit_on_the_size_of_files_kills_nobody(place):
	program = place.compile("limited.c")
	for size, segments in ((0, 0), (MIB, 0), (4 * MIB, 1)):
		plain = run(place, [program, "keep", 20000], False, limit(resource.RLIMIT_FSIZE, size))
		check_eq(plain, run(place, [program, "keep", 20000], True, limit(resource.RLIMIT_FSIZE, size)), f"what happens with {size} bytes")
		check_eq(0, plain[0], "exit code")
		check_eq(segments, len(place.segments()), f"segments with {size} bytes")


@test
def a_program_near_its_limit_of_address_space_keeps_all_of_it(place):
	program = place.compile("limited.c")
	for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
		for size in (16 * MIB, 28 * MIB):               # nothing can be had of that
			code, plain, errors = run(place, [program, "blocks", 65536], False, limit(which, size))
			check_eq(0, code, f"exit code ({errors})")
			code, out, errors = run(place, [program, "blocks", 65536], True, limit(which, size))
			check_eq((0, b""), (code, errors), "exit code and stderr, sampled")
			want, got = blocks(plain), blocks(out)
			# Mapping the library costs some.
			check(want - 16 <= got <= want, f"blocks of {want} under a limit of {size}", got)
		check_eq([], place.segments(), "segments")


@test
def of_a_limited_address_space_the_sampler_takes_a_small_part(place):
	program = place.compile("limited.c")
	for size in (128 * MIB, 400 * MIB):
		for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
			before = place.segments()
			counts = []
			for preload in (False, True):
				code, out, errors = run(place, [program, "blocks", MIB // 2], preload, limit(which, size))
				check_eq((0, b""), (code, errors), "exit code and stderr")
				counts.append(blocks(out))
			check(counts[0] * 0.9 <= counts[1] <= counts[0], f"blocks under {size} bytes", counts)
			segment, = [s for s in place.segments() if s not in before]
			p = place.fetch(segment)
			check_eq(counts[1], p.cumulative("alloc_objects").get("blocks"), "blocks in its profile")


@test
def a_program_without_files_to_open_opens_as_many_as_ever(place):
	program = place.compile("limited.c")
	for n in (3, 4, 5, 8, 40):
		plain = run(place, [program, "files", n], False)
		check_eq(0, plain[0], "exit code")
		check_eq(plain, run(place, [program, "files", n], True), f"what happens with {n} files")


@test
def a_full_tmpfs_costs_samples_which_are_counted(place):
	program = place.compile("limited.c")
	mount = place.path("small")
	os.mkdir(mount)
	if place.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=700", "none", mount]).code:
		raise Skip("may not mount a tmpfs")
	try:
		plain = place.run([program, "fill", 300000, place.path("small", "file")]).good()
		os.unlink(place.path("small", "file"))
		# At period 1 the segment alone would fill it several times over.
		r = place.run([program, "fill", 300000, place.path("small", "file")], env=place.preload(1, HEAPD_DIR=mount)).good()
		check_eq(plain.out, r.out, "what it prints")
		check_eq(plain.errors, r.errors, "stderr")
		os.unlink(place.path("small", "file"))
		segment, = [f for f in os.listdir(mount) if f.endswith(".heapd")]
		check(os.stat(os.path.join(mount, segment)).st_blocks * 512 <= 24 * MIB, "half of the file system is left to others")
		p = place.fetch(shutil.copy(os.path.join(mount, segment), place.tmp))
		check(skipped(p) > 0, "what found no room is counted", p.comments)
		got = p.cumulative("alloc_objects")
		check_eq(600000, got.get("keep_some", 0) + skipped(p), "sampled and skipped")
	finally:
		place.run(["umount", mount])


@test
def a_memory_cgroup_holds_program_and_segment(place):
	parent = next((m for m in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup") if os.path.exists(os.path.join(m, "cgroup.procs"))), None)
	if not parent:
		raise Skip("no cgroups")
	group = os.path.join(parent, f"heapd-test-{os.getpid()}")
	try:
		os.mkdir(group)
		name = next(n for n in ("memory.limit_in_bytes", "memory.max") if os.path.exists(os.path.join(group, n)))
		with open(os.path.join(group, name), "w") as f:
			f.write(str(64 * MIB))
	except (OSError, StopIteration) as e:
		with contextlib.suppress(OSError):
			os.rmdir(group)
		raise Skip(f"no memory cgroup can be made: {e}") from None

	def enter():
		with open(os.path.join(group, "cgroup.procs"), "w") as f:
			f.write(str(os.getpid()))
	try:
		program = place.compile("limited.c")
		plain = run(place, [program, "keep", 100000], False, enter)
		check_eq(0, plain[0], "exit code")
		check_eq(plain, run(place, [program, "keep", 100000], True, enter), "what happens in it")
		segment, = place.segments()
		check_eq(100000, place.fetch(segment).cumulative("inuse_objects").get("keep_some"), "blocks kept")
	finally:
		for f in place.segments():
			os.unlink(f)
		wait_until(lambda: not open(os.path.join(group, "cgroup.procs")).read(), "the group is empty")
		os.rmdir(group)


if __name__ == "__main__":
	main()
