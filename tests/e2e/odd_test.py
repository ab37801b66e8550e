"""Programs unlike others: of another kind, with more rights than their user, on an allocator of their own, under other tools.

Each works as without heapd and has its profile, or is refused with the reason; one that cannot be sampled and is started by one
that can runs as if heapd were not there.
"""

import os
import re
import shutil
import subprocess

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
	r = place.heapd("run", "--no-serve", "--period", str(1 << 40), "--", "sh", "-c", program).good()
	check_match("no allocation of sh was sampled.*musl", r.errors, "what heapd says of a run without a sample")
	check("ls" in {os.path.basename(m.file) for m in p.mappings}, "the child beside it was sampled", p.mappings)
	refused(place, program, "musl")


@test
def a_program_that_brings_an_older_c_library_is_refused(place):
	loader = "/lib64/ld-linux-x86-64.so.2"
	with open(loader, "rb") as f:
		content = f.read()
	if b"GLIBC_2.34\0" not in content:
		raise Skip("this system's C library is older itself")
	older = place.write("ld-older.so.2", content.replace(b"GLIBC_2.34\0", b"GLIBC_2.ZZ\0"), 0o755)
	refused(place, place.compile("linked.c", "older", libs=(f"-Wl,-dynamic-linker,{older}",)), "older than libheapd.so was built for")
	own = place.write("ld-own.so.2", content, 0o755)
	program = place.compile("linked.c", "own", libs=(f"-Wl,-dynamic-linker,{own}",))
	p = compare(place, program)
	check_eq(1000000, p.cumulative().get("keep_malloc"), "what one with a loader of its own, but recent, has in use")


@test
def the_preloaded_path_is_one_for_every_loader(place):
	r = place.heapd("run", "--quiet", "--no-serve", "--", "sh", "-c", "echo $LD_PRELOAD").good()
	check_match(r"/\$PLATFORM/libheapd\.so$", r.text.strip(), "LD_PRELOAD")
	# A library by itself is preloaded by its own name.
	alone = place.path("libheapd.so")
	shutil.copy(LIBHEAPD, alone)
	r = place.heapd("run", "--quiet", "--no-serve", "--", "sh", "-c", "echo $LD_PRELOAD", env={"HEAPD_LIBRARY": alone}).good()
	check_eq(os.path.realpath(alone), r.text.strip(), "LD_PRELOAD")


# -- allocators inside the program --

JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.a"


@test
def a_program_with_jemalloc_linked_in_is_refused(place):
	if not os.path.exists(JEMALLOC):
		raise Skip("no static jemalloc")
	refused(place, place.compile("linked.c", "dynamic-jemalloc", libs=(JEMALLOC, "-lm", "-lpthread", "-ldl")), "not interposable")
	refused(place, place.compile("linked.c", "static-jemalloc", flags=("-O2", "-static"), libs=(JEMALLOC, "-lm", "-lpthread", "-ldl")), "statically linked")


@test
def an_allocator_under_names_of_its_own_is_told_and_the_rest_is_sampled(place):
	program = place.compile("prefixed.c")
	out = place.path("p.pb.gz")
	r = place.heapd("run", "--no-serve", "--period", "1", "--output", out, "--", program).good()
	check_match(r"^heapd: \S+/prefixed has jemalloc inside", r.errors, "what heapd says")
	with open(out, "rb") as f:
		p = pprofile.decode(f.read())
	check_eq(200000, p.cumulative().get("keep_in_libc"), "what the C library's malloc gave")
	r = place.heapd("run", "--no-serve", "--", place.compile("linked.c")).good()
	check("jemalloc" not in r.errors, "nothing is told of another program", r.errors)


# -- sanitizers --

def without_addresses(text):
	lines = [re.sub(r"0x[0-9a-f]+|(?<===)\d+(?===)|pid=\d+|BuildId: \S+", "N", l) for l in text.splitlines()]
	# The shadow memory is shown by address, and in which order depends on it.
	return [l for l in lines if not l.startswith(("heapd: ", "  N: ", "=>N"))]


@test
def reports_of_sanitizers_stay_as_they_are(place):
	for compiler, flags, what, arguments in (
			("gcc", "-fsanitize=address", "AddressSanitizer", ["free"]),
			("gcc", "-fsanitize=address -static-libasan", "AddressSanitizer", ["free"]),
			("clang", "-fsanitize=address", "AddressSanitizer", ["free"]),
			("clang", "-fsanitize=memory", "MemorySanitizer", []),
			("gcc", "-fsanitize=thread", "ThreadSanitizer", ["free"]),
			("gcc", "-fsanitize=leak", "LeakSanitizer", []),
			("gcc", "-fsanitize=undefined", None, [])):
		program = place.compile("overflow.c", "overflow-" + flags.replace(" ", ""), flags=("-g", "-O1", "-w", *flags.split()), compiler=compiler)
		calm = ["setarch", "-R"]        # older sanitizers want addresses they know
		plain = place.run([*calm, program, *arguments])
		out = place.path("p.pb.gz")
		r = place.run([*calm, HEAPD, "run", "--quiet", "--no-serve", "--period", "1", "--output", out, "--", program, *arguments])
		check_eq((plain.code, plain.text), (r.code, r.text), f"exit code and stdout with {compiler} {flags}")
		check_eq(without_addresses(plain.errors), without_addresses(r.errors), f"the report with {compiler} {flags}")
		if what:
			check_in(f"is built with {what}", r.errors, "what heapd says")
			check_eq(1, r.errors.count("heapd: "), "lines of heapd's")
		else:
			# It has no allocator, so it is sampled.
			check_in("runtime error: signed integer overflow", r.errors, "its report")
			with open(out, "rb") as f:
				check_eq(100000, pprofile.decode(f.read()).cumulative().get("keep_block"), "bytes of keep_block")


# -- other languages with C below --

@test
def goroutines_that_allocate_in_c_are_counted_exactly(place):
	need("go")
	shutil.copy(os.path.join(PROGRAMS, "goroutines.go"), place.path("goroutines.go"))
	program, out = place.path("goroutines"), place.path("p.pb.gz")
	r = place.run(["go", "build", "-o", program, place.path("goroutines.go")], env={"CGO_ENABLED": "1"}, seconds=240)
	check_eq(0, r.code, f"the exit code of go build ({clip(r.errors)})")
	plain = place.run([program])
	check_eq(5, plain.code, "the exit code without heapd")
	for period in ("4k", "1"):
		r = place.heapd("run", "--quiet", "--no-serve", "--period", period, "--output", out, "--", program)
		check_eq((plain.code, plain.text, plain.errors), (r.code, r.text, r.errors), f"exit code, stdout and stderr at period {period}")
	with open(out, "rb") as f:
		p = pprofile.decode(f.read())
	check_eq((12800, 12800000), (p.cumulative("inuse_objects").get("keep_in_c"), p.cumulative().get("keep_in_c")), "what is in use")
	check_eq((38400, 0), (p.cumulative("alloc_objects").get("give_back_in_c"), p.cumulative().get("give_back_in_c", 0)), "what was given back")
	i = p.index("alloc_objects")
	check_eq(12800, sum(s.values[i] for s in p.samples if re.fullmatch(r"keep_in_c _cgo_\w+_Cfunc_keep_in_c runtime\.asmcgocall.*", " ".join(p.names(s)))),
		"stacks that lead from C to where Go called it")


@test
def java_threads_that_allocate_through_jni_are_counted_exactly(place):
	need("java")
	for name in ("Native.java", "native.c"):
		shutil.copy(os.path.join(PROGRAMS, name), place.path(name))
	# The compiler is in the JRE, without a command of its own.
	r = place.run(["java", "-m", "jdk.compiler/com.sun.tools.javac.Main", "-d", place.tmp, place.path("Native.java")], seconds=240)
	if r.code:
		raise Skip(f"no Java compiler: {clip(r.errors, 200)}")
	library, out = place.compile("native.c", "libnative.so", flags=("-g", "-O2", "-shared", "-fPIC")), place.path("p.pb.gz")
	command = ["java", "-Xmx64m", "-cp", place.tmp, "Native", library]
	plain = place.run(command, seconds=120).good()
	check_eq("[20019980, 20019980, 20019980, 20019980] kept\n", plain.text, "what it says without heapd")
	r = place.heapd("run", "--quiet", "--no-serve", "--period", "1", "--output", out, "--", *command, seconds=240).good()
	check_eq((plain.text, plain.errors), (r.text, r.errors), "stdout and stderr")
	with open(out, "rb") as f:
		p = pprofile.decode(f.read())
	check_eq((1000, 3000000), (p.cumulative("inuse_objects").get("keep_in_jni"), p.cumulative().get("keep_in_jni")), "what is in use")
	check_eq((80000, 0), (p.cumulative("alloc_objects").get("give_back_in_jni"), p.cumulative().get("give_back_in_jni", 0)), "what was given back")
	i = p.index("alloc_objects")
	check_eq(80000, sum(s.values[i] for s in p.samples if re.match(r"give_back_in_jni (Java_Native_giveBack )?\[jit\]", " ".join(p.names(s)))),
		"stacks that lead from C to the code that Java compiled")


# -- other tools --

@test
def valgrinds_report_stays_as_it_is(place):
	need("valgrind")
	program = place.compile("leaks.c", flags=("-g", "-O0"))
	for tool in ("memcheck --leak-check=full --error-exitcode=9", "helgrind"):
		command = ["valgrind", *f"--tool={tool}".split(), program]
		plain = place.run(command, seconds=120)
		r = place.heapd("run", "--quiet", "--no-serve", "--period", "1", "--", *command, seconds=120)
		check_eq((plain.code, plain.text), (r.code, r.text), f"exit code and stdout with {tool}")
		check_eq(without_addresses(plain.errors), without_addresses(r.errors), f"the report of {tool}")
	check_in("total heap usage: 200 allocs, 1 frees", place.run(["valgrind", program]).errors, "the report")


# -- rights --

def give_directory(place):
	"""Let the user nobody have the directory for segments, and reach it."""
	os.chown(place.shm, NOBODY, NOBODY)
	parent = os.path.dirname(place.shm)
	while parent not in ("/dev/shm", "/"):
		os.chmod(parent, os.stat(parent).st_mode | 0o011)
		parent = os.path.dirname(parent)


@test
def a_program_with_more_rights_than_its_user_never_has_the_sampler(place):
	need("setpriv")
	if os.geteuid() != 0:
		raise Skip("not root")
	user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
	give_directory(place)
	program = place.compile("trusted.c")
	linked = place.compile("trusted.c", "trusted-linked", libs=("-Wl,--no-as-needed", LIBHEAPD, f"-Wl,-rpath,{os.path.dirname(LIBHEAPD)}"))
	for mode, uid in ((0o4755, 0), (0o2755, NOBODY)):
		for p in (program, linked):
			os.chmod(p, mode)
		if place.run([*user, program, "libheapd"]).text != f"uid {uid} secure 1 mapped 0\n":
			raise Skip("set-user-id bits have no effect here")
		r = place.run([*user, program, "libheapd"], env=place.preload(1)).good()
		check_eq((f"uid {uid} secure 1 mapped 0\n", ""), (r.text, r.errors), "what a preloaded one says")
		# Should it be in such a program all the same, because it was linked, it believes nothing of the environment.
		r = place.run([*user, linked, "libheapd"], env={"HEAPD_DIR": place.shm, "HEAPD_PERIOD": "1", "XDG_RUNTIME_DIR": place.shm}).good()
		check_eq((f"uid {uid} secure 1 mapped 1\n", ""), (r.text, r.errors), "what a linked one says")
		check_eq([], place.segments(), "segments")
	os.chmod(linked, 0o755)
	place.run([*user, linked, "libheapd"], env={"HEAPD_DIR": place.shm, "HEAPD_PERIOD": "1"}).good()
	check_eq(1, len(place.segments()), "segments of the same without those rights")


@test
def a_program_that_hides_its_proc_files_is_found_alive_and_named(place):
	need("setpriv")
	if os.geteuid() != 0:
		raise Skip("not root")
	user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
	program = place.compile("secretive.c")
	give_directory(place)
	running = place.start([*user, program], env=place.preload(1), stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in running.text, "the program is ready", running=running)
	check_eq(0, os.stat(f"/proc/{running.pid}/maps").st_uid, "the owner of its maps")
	for who in ([], user):
		port = free_port()
		server = Server(place.start([*who, HEAPD, "serve", "--listen", f"127.0.0.1:{port}", "--dir", place.shm]), port)
		wait_until(lambda: listens(port), "heapd listens", running=server.running)
		target = server.target(pid=running.pid, name="secretive", alive=True)
		p = server.profile(f"/targets/{target['id']}/debug/pprof/heap")
		check_eq(300000, p.cumulative().get("keep_secret"), "bytes of keep_secret")
		check("main" in p.cumulative(), "main is named", p.cumulative())
		check_eq(program, p.mappings[0].file, "the main program")
		place.run([*who, HEAPD, "set", "--dir", place.shm, running.pid, "--period", "64k"]).good()
		server.running.stop()
	running.close_stdin()
	check_eq(0, running.wait().code, "whether it can be dumped at its end")


if __name__ == "__main__":
	main()
