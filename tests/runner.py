"""Builds heapd in every way it has to build, runs every test program, and counts.

A test program prints "ok NAME", "not ok NAME" or "ok NAME # skip REASON" per test and explains with "# " lines; a program
that crashes, runs out of time, or fails without saying which test, is itself a failed test. Each gets directories of its own
and is followed to its end with all it started, so runs do not meet, not even two of the whole.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
JOBS = 2

# How the sources are built. The first one is what end-to-end tests use.
Build = collections.namedtuple("Build", "name options targets wrap")
BUILDS = [
	Build("test", [], ["all"], []),
	Build("test-asan", ["-DHEAPD_SANITIZE=address,undefined", "-DCMAKE_BUILD_TYPE=Debug"], ["tests/unit/all"], []),
	# ThreadSanitizer of gcc 12 does not follow fences, and gives up when the kernel randomises more bits than it knows.
	Build("test-tsan", ["-DHEAPD_SANITIZE=thread", "-DCMAKE_C_FLAGS=-Wno-tsan"], ["tests/unit/all"], ["setarch", "-R"]),
	Build("test-fuzz", ["-DCMAKE_C_COMPILER=clang", "-DCMAKE_CXX_COMPILER=clang++", "-DHEAPD_SANITIZE=address,undefined,fuzzer-no-link"],
		["tests/fuzz/all"], []),
	Build("test-clang", ["-DCMAKE_C_COMPILER=clang", "-DCMAKE_CXX_COMPILER=clang++"], ["all"], []),
]
UNIT_SECONDS = 180
E2E_SECONDS = 1200
SLOW = ("semantics_test.py", "programs_test.py", "aarch64_test.py")        # started first, so that the others run beside them

Program = collections.namedtuple("Program", "name command seconds")


class Tally:
	"""What happened so far; prints one line a program that passed and everything of one that did not."""

	def __init__(self):
		self.passed = self.failed = self.skipped = 0
		self.failures = []
		self.lock = threading.Lock()

	def add(self, name, output, seconds, problem=None, may_be_empty=False):
		passed = skipped = 0
		failures = []
		for line in output.splitlines():
			m = re.match(r"(not )?ok (\S+)(.*)", line)
			if not m:
				continue
			if m[1]:
				failures.append(f"{name}: {m[2]}")
			elif re.match(r"\s+# skip\b", m[3], re.I):
				skipped += 1
			else:
				passed += 1
		if problem and not (problem == "exit 1" and failures):
			failures.append(f"{name}: {problem}")
		elif not passed and not skipped and not failures and not may_be_empty:
			failures.append(f"{name}: printed no result")
		with self.lock:
			self.passed += passed
			self.failed += len(failures)
			self.skipped += skipped
			self.failures += failures
			if failures:
				print(f"FAIL {name}  ({passed} passed, {len(failures)} failed, {seconds:.0f} s)")
				for line in output.splitlines():
					if not line.startswith("ok "):
						print(f"     {line}")
				if problem:
					print(f"     # {problem}")
			elif passed or skipped:
				print(f"ok   {name}  ({passed} passed, {skipped} skipped, {seconds:.0f} s)" if skipped else
					f"ok   {name}  ({passed} passed, {seconds:.0f} s)")
				for line in output.splitlines():
					if " # skip" in line:
						print(f"     {line}")
			sys.stdout.flush()


def end_group(pgid):
	"""The program is gone or has to go: so do those of its children that stayed in its process group."""
	try:
		os.killpg(pgid, signal.SIGKILL)
	except ProcessLookupError:
		pass


def run_program(program, arguments, tally, products):
	"""Run one test program in directories of its own."""
	tmp = tempfile.mkdtemp(prefix="heapd-test-")
	shm = tempfile.mkdtemp(prefix="heapd-test-", dir="/dev/shm")
	os.chmod(tmp, 0o755)
	env = {k: v for k, v in os.environ.items() if not k.startswith(("HEAPD_", "LD_", "MALLOC_", "PYTHON", "PPROF_")) and k != "XDG_RUNTIME_DIR"}
	# Debian's programs, not those of a rustup or pyenv of whoever runs the tests.
	env.update(PATH="/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", TMPDIR=tmp, HOME=tmp, HEAPD_DIR=shm, HEAPD_TEST_BUILD=products, LC_ALL="C.UTF-8",
		PYTHONDONTWRITEBYTECODE="1", UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1", TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1")
	started = time.monotonic()
	try:
		output, problem = follow(program, arguments, env, tmp)
	finally:
		for directory in (tmp, shm):
			shutil.rmtree(directory, ignore_errors=True)
	tally.add(program.name, output, time.monotonic() - started, problem, may_be_empty=bool(arguments))


def follow(program, arguments, env, cwd):
	"""Start it and see it and all it started end. (What it wrote, what was wrong with how it ended)"""
	problem = None
	with tempfile.TemporaryFile() as out:
		try:
			process = subprocess.Popen(program.command + arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
				env=env, cwd=cwd, start_new_session=True)
		except OSError as e:
			return "", f"cannot be started: {e.strerror}"
		try:
			code = process.wait(program.seconds)
			if code < 0:
				problem = f"killed by {signal.Signals(-code).name}"
			elif code:
				problem = f"exit {code}"
		except subprocess.TimeoutExpired:
			problem = f"not done after {program.seconds} s"
			# Let it clean up what it started in other sessions.
			process.terminate()
			try:
				process.wait(10)
			except subprocess.TimeoutExpired:
				pass
		finally:
			end_group(process.pid)
			process.wait()
		out.seek(0)
		return out.read().decode("utf-8", "replace"), problem


def build(b, tally):
	"""Configure and build; one builder at a time in a directory. False: it does not build."""
	directory = os.path.join(ROOT, f"build-{b.name}")
	os.makedirs(directory, exist_ok=True)
	started = time.monotonic()
	with open(os.path.join(directory, ".lock"), "w") as lock:
		fcntl.flock(lock, fcntl.LOCK_EX)
		for command in (["cmake", "-S", ROOT, "-B", directory, "-G", "Ninja"] + b.options,
				["cmake", "--build", directory, "-j", str(JOBS), "--target"] + b.targets):
			r = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
				errors="replace")
			if r.returncode:
				interesting = [l for l in r.stdout.splitlines() if not re.match(r"\[\d+/\d+\] |-- ", l)]
				text = "\n".join("# " + l for l in interesting[-60:])
				tally.add(f"build-{b.name}", f"{text}\nnot ok build", time.monotonic() - started)
				return False
	tally.add(f"build-{b.name}", "ok build", time.monotonic() - started)
	return True


@contextlib.contextmanager
def products():
	"""A copy of what end-to-end tests run: whoever builds meanwhile, a second run for one, does not pull it away under them."""
	build_directory = os.path.join(ROOT, f"build-{BUILDS[0].name}")
	with tempfile.TemporaryDirectory(prefix="heapd-test-products-") as copy:
		os.chmod(copy, 0o755)
		with open(os.path.join(build_directory, ".lock")) as lock:
			fcntl.flock(lock, fcntl.LOCK_EX)
			for name in ("daemon/heapd", "daemon/heapd-inject", "sampler", "tests/targets"):
				source, target = os.path.join(build_directory, name), os.path.join(copy, name)
				os.makedirs(os.path.dirname(target), exist_ok=True)
				if os.path.isdir(source):
					shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("CMakeFiles", "*.cmake"))
				elif os.path.exists(source):
					shutil.copy2(source, target)
		yield copy


def unit_programs(b):
	"""Every tests/unit/NAME_test.c as it was built here; one that was not built fails when it is run."""
	directory = os.path.join(ROOT, f"build-{b.name}", "tests", "unit")
	wrap = b.wrap
	if wrap and subprocess.run(wrap + ["true"], stderr=subprocess.DEVNULL).returncode:
		wrap = []
	kind = b.name.replace("test", "unit", 1)
	sources = sorted(f for f in os.listdir(os.path.join(ROOT, "tests", "unit")) if f.endswith("_test.c"))
	return [Program(f"{kind}/{f[:-2]}", wrap + [os.path.join(directory, f[:-2])], UNIT_SECONDS) for f in sources]


def e2e_programs():
	directory = os.path.join(ROOT, "tests", "e2e")
	names = sorted((n for n in os.listdir(directory) if n.endswith("_test.py")), key=lambda n: (n not in SLOW, n))
	return [Program(f"e2e/{n[:-3]}", ["/usr/bin/python3", os.path.join(directory, n)], E2E_SECONDS) for n in names]


def fuzz_programs(b):
	run, directory = os.path.join(ROOT, "tests", "fuzz", "run"), os.path.join(ROOT, f"build-{b.name}", "tests", "fuzz")
	names = subprocess.run([run, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
	return [Program(f"fuzz/{n}", [run, "--bounded", n, directory], UNIT_SECONDS) for n in names]


def source_checks():
	return [Program("ci/format", [os.path.join(ROOT, ".ci", "format")], 120),
		Program("ci/borders", [os.path.join(ROOT, ".ci", "borders"), os.path.join(ROOT, "build-test")], 120)]


def run_all(programs, patterns, tally):
	"""Two at a time. A pattern that a program's own name does not contain is asked for inside the program."""
	with products() as copy, concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
		futures = []
		for p in programs:
			if not patterns or any(x in p.name for x in patterns):
				futures.append(pool.submit(run_program, p, [], tally, copy))
			elif not p.name.startswith("ci/"):
				futures.append(pool.submit(run_program, p, patterns, tally, copy))
		for f in futures:
			f.result()


def main():
	parser = argparse.ArgumentParser(prog="tests/run")
	parser.add_argument("--quick", action="store_true", help="without the sanitizer, fuzz and clang builds")
	parser.add_argument("--list", action="store_true", help="print the test programs that would run")
	parser.add_argument("patterns", nargs="*", metavar="NAME-PATTERN")
	args = parser.parse_args()
	quick = args.quick or bool(args.patterns)
	os.chdir(ROOT)

	tally = Tally()
	# Fuzz targets have a build of their own, which a pattern may ask for.
	fuzz = any("fuzz" in p for p in args.patterns)
	builds = [b for i, b in enumerate(BUILDS) if i == 0 or not quick or (fuzz and b.name == "test-fuzz")]
	built = builds if args.list else [b for b in builds if build(b, tally)]
	programs = source_checks() + [p for b in built for p in (fuzz_programs(b) if b.name == "test-fuzz" else unit_programs(b))]
	if BUILDS[0] in built:
		programs += e2e_programs()
	if args.list:
		print("\n".join(p.name for p in programs))
		return 0
	run_all(programs, args.patterns, tally)

	if tally.failures:
		print("\nfailed:")
		for name in tally.failures:
			print(f"  {name}")
	print(f"{tally.passed} passed, {tally.failed} failed" + (f", {tally.skipped} skipped" if tally.skipped else ""))
	return 1 if tally.failed else 0


if __name__ == "__main__":
	signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
	sys.exit(main())
