"""The sampler on aarch64, cross-compiled and run under qemu-user; the profile is read on this machine."""

import os

from e2e import *


def run_cross(place, source, compiler="aarch64-linux-gnu-gcc", flags=("-g", "-O2"), arguments=()):
	"""Run a program without and with the sampler under qemu; its profile."""
	need("aarch64-linux-gnu-gcc", "qemu-aarch64", "cmake", "ninja")
	build = place.path("cross")
	if not os.path.isdir(build):
		place.run(["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DHEAPD_SAMPLER_ONLY=ON", "-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc",
			"-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"]).good()
		place.run(["cmake", "--build", build, "-j", "2"], seconds=180).good()
	library = os.path.join(build, "sampler", "libheapd.so")
	program = place.compile(source, compiler=compiler, flags=flags)
	qemu = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]
	plain = place.run([*qemu, program, *arguments]).good()
	under = place.run([*qemu, "-E", f"LD_PRELOAD={library}", "-E", f"HEAPD_DIR={place.shm}", "-E", "HEAPD_PERIOD=1", program, *arguments], seconds=120)
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


if __name__ == "__main__":
	main()
