"""Programs unlike others: of another kind, with more rights than their user, on an allocator of their own, under other tools.

Each works as without heapd and has its profile, or is refused with the reason; one that cannot be sampled and is started by one
that can runs as if heapd were not there.
"""

import os
import shutil

from e2e import *

NOBODY = 65534


def compare(place, script, *options, code=0, period=1, env=None):
	"""Run a shell script plainly and under heapd: output and exit code are the same. The second run's profile."""
	out = place.path("all.pb.gz")
	plain = place.run(["sh", "-c", script], env=env)
	check_eq(code, plain.code, f"the exit code without heapd ({clip(plain.errors)})")
	r = place.heapd("run", "--quiet", "--no-serve", "--period", period, "--output", out, *options, "--", "sh", "-c", script, env=env)
	check_eq((plain.code, plain.text, plain.errors), (r.code, r.text, r.errors), "exit code, stdout and stderr")
	with open(out, "rb") as f:
		return pprofile.decode(f.read())


def refused(place, program, pattern):
	"""heapd run does not start the program, and says why."""
	r = place.heapd("run", "--no-serve", "--", program)
	check_eq((125, ""), (r.code, r.text), "exit code and stdout of a program that is refused")
	check_match(pattern, r.errors, "the reason")
	check_eq(1, len(r.errors.splitlines()), "lines that say it")


# -- other loaders --

def compile_32_bit(place):
	libc, loader = "/lib32/libc.so.6", "/lib/ld-linux.so.2"
	if not os.path.exists(libc) or not os.path.exists(loader):
		raise Skip("no 32-bit C library (libc6-i386)")
	return place.compile("word32.c", flags=("-m32", "-nostdlib", "-fno-stack-protector", "-fno-builtin"), libs=(libc, f"-Wl,-dynamic-linker,{loader}"))


@test
def a_32_bit_child_runs_without_noise(place):
	program = compile_32_bit(place)
	check_eq("4 bytes a pointer\n", place.run([program]).text, "what it says alone")
	compare(place, f"{program}; echo $?")
	refused(place, program, "32-bit")


@test
def a_child_that_uses_musl_runs(place):
	need("musl-gcc")
	program = place.compile("linked.c", "linked-musl", compiler="musl-gcc")
	p = compare(place, f"{program}; echo $?; ls /")
	check("ls" in {os.path.basename(m.file) for m in p.mappings}, "the child beside it was sampled", p.mappings)
	refused(place, program, "musl")


@test
def the_preloaded_path_is_one_for_every_loader(place):
	r = place.heapd("run", "--quiet", "--no-serve", "--", "sh", "-c", "echo $LD_PRELOAD").good()
	check_match(r"/\$PLATFORM/libheapd\.so$", r.text.strip(), "LD_PRELOAD")
	# A library by itself is preloaded by its own name.
	alone = place.path("libheapd.so")
	shutil.copy(LIBHEAPD, alone)
	r = place.heapd("run", "--quiet", "--no-serve", "--", "sh", "-c", "echo $LD_PRELOAD", env={"HEAPD_LIBRARY": alone}).good()
	check_eq(os.path.realpath(alone), r.text.strip(), "LD_PRELOAD")


if __name__ == "__main__":
	main()
