"""What the end-to-end tests share: a Place for each test, which starts real programs and cleans up behind them.

A test is a function `name(place)` under @test; its name is a sentence about behaviour. A file of tests ends with main().
Nothing here waits for time to pass: wait_until() asks for a condition again and again, up to a limit that only a broken heapd
reaches. Every Place has a temporary directory and a HEAPD_DIR of its own, so all tests may run at once.
"""

import contextlib
import ctypes
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse

import pprofile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("HEAPD_TEST_BUILD", os.path.join(ROOT, "build-test"))
HEAPD = os.path.join(BUILD, "daemon", "heapd")
LIBHEAPD = os.path.join(BUILD, "sampler", "libheapd.so")
TARGETS = os.path.join(BUILD, "tests", "targets")
PROGRAMS = os.path.join(ROOT, "tests", "e2e", "programs")
SECONDS = 60                            # no single step takes so long unless it hangs


class Skip(Exception):
	"""This machine cannot run the test; the message says why."""


class Failure(Exception):
	pass


tests = []


def test(function):
	tests.append(function)
	return function


# Checks. Each says what it saw; `what` names it.

def clip(value, limit=2000):
	text = value if isinstance(value, str) else repr(value)
	return text if len(text) <= limit else text[: limit // 2] + f"\n[... {len(text) - limit} more ...]\n" + text[-limit // 2 :]


def check(condition, what, seen=None):
	if not condition:
		raise Failure(what if seen is None else f"{what}: saw {clip(seen)}")


def check_eq(want, got, what):
	if want != got:
		raise Failure(f"{what} is {clip(got)}, not {clip(want)}")


def check_in(needle, text, what):
	if needle not in text:
		raise Failure(f"{what} lacks {needle!r}: {clip(text)}")


def check_match(pattern, text, what):
	m = re.search(pattern, text, re.M)
	if not m:
		raise Failure(f"{what} does not match {pattern!r}: {clip(text)}")
	return m


def check_near(want, got, tolerance, what):
	if not abs(got - want) <= tolerance:
		raise Failure(f"{what} is {got}, not within {tolerance} of {want}")


def need(*programs):
	for p in programs:
		if not shutil.which(p):
			raise Skip(f"no {p}")


class Result:
	"""How a program ended and what it wrote."""

	def __init__(self, command, code, out, err):
		self.command, self.code, self.out, self.err = command, code, out, err

	@property
	def text(self):
		return self.out.decode("utf-8", "replace")

	@property
	def errors(self):
		return self.err.decode("utf-8", "replace")

	def good(self):
		if self.code:
			raise Failure(f"{' '.join(map(str, self.command))[:300]} ended with {self.code}: {clip(self.errors or self.text)}")
		return self


class Running:
	"""A program that was started; its output goes to files, so that it never waits for a reader."""

	def __init__(self, place, command, process, out, err):
		self.place, self.command, self.process, self.out_path, self.err_path = place, command, process, out, err
		self.pid = process.pid

	def read(self, path):
		with open(path, "rb") as f:
			return f.read()

	@property
	def text(self):
		return self.read(self.out_path).decode("utf-8", "replace")

	@property
	def errors(self):
		return self.read(self.err_path).decode("utf-8", "replace")

	def alive(self):
		return self.process.poll() is None

	def check_alive(self):
		if not self.alive():
			raise Failure(f"{' '.join(map(str, self.command))[:300]} ended with {self.process.returncode}: {clip(self.errors or self.text)}")

	def wait(self, seconds=SECONDS):
		try:
			code = self.process.wait(seconds)
		except subprocess.TimeoutExpired:
			raise Failure(f"{' '.join(map(str, self.command))[:300]} still runs after {seconds} s: {clip(self.errors)}") from None
		return Result(self.command, code, self.read(self.out_path), self.read(self.err_path))

	def send(self, number):
		self.process.send_signal(number)

	def stop(self, number=signal.SIGTERM, seconds=SECONDS):
		if self.alive():
			self.send(number)
		return self.wait(seconds)

	def close_stdin(self):
		self.process.stdin.close()


def wait_until(condition, what, seconds=SECONDS, running=None):
	"""Ask until the answer is true and return it."""
	end = time.monotonic() + seconds
	pause = 0.005
	while True:
		answer = condition()
		if answer:
			return answer
		if running is not None:
			running.check_alive()
		if time.monotonic() > end:
			raise Failure(f"waited {seconds} s in vain until {what}")
		time.sleep(pause)
		pause = min(pause * 1.5, 0.2)


def free_port():
	with socket.socket() as s:
		s.bind(("127.0.0.1", 0))
		return s.getsockname()[1]


def listens(port):
	with socket.socket() as s:
		s.settimeout(1)
		return s.connect_ex(("127.0.0.1", port)) == 0


class Reply:
	def __init__(self, status, headers, body):
		self.status, self.headers, self.body = status, headers, body

	@property
	def text(self):
		return self.body.decode("utf-8", "replace")

	def json(self):
		return json.loads(self.body)

	def good(self):
		if self.status != 200:
			raise Failure(f"HTTP status {self.status}: {clip(self.text)}")
		return self


class Server:
	"""heapd's HTTP side, whoever runs it (`heapd serve` or `heapd run`)."""

	def __init__(self, running, port):
		self.running, self.port = running, port
		self.url = f"http://127.0.0.1:{port}"

	def request(self, method, path, body=None, headers=None, seconds=SECONDS):
		connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
		try:
			connection.request(method, path, body=body, headers=headers or {})
			r = connection.getresponse()
			return Reply(r.status, r.headers, r.read())
		finally:
			connection.close()

	def get(self, path, **kw):
		return self.request("GET", path, **kw)

	def targets(self):
		"""The list of targets, whether the answer is a bare list or has it under a name."""
		answer = self.get("/api/v1/targets").good().json()
		return answer["targets"] if isinstance(answer, dict) else answer

	def target(self, pid=None, name=None, alive=None):
		"""The one target with this pid or name, as soon as it is there."""
		def find():
			found = [t for t in self.targets() if (pid is None or t["pid"] == pid) and (name is None or t["name"] == name)
				and (alive is None or t["alive"] == alive)]
			return found[0] if found else None
		return wait_until(find, f"heapd knows a target with pid {pid}, name {name}", running=self.running)

	def profile(self, path):
		return pprofile.decode(self.get(path).good().body)


class Place:
	"""Where one test lives."""

	def __init__(self):
		self.tmp = tempfile.mkdtemp(prefix="heapd-e2e-")
		shm = os.environ.get("HEAPD_DIR")
		self.shm = tempfile.mkdtemp(prefix="heapd-e2e-", dir=shm if shm and os.path.isdir(shm) else "/dev/shm")
		os.chmod(self.tmp, 0o755)
		self.started = []
		self.serial = 0
		self.env = {k: v for k, v in os.environ.items() if not k.startswith(("HEAPD_", "LD_", "PPROF_", "PYTHON", "MALLOC_"))}
		# No pyenv, nvm or rustup of whoever runs the tests: Debian's programs.
		self.env.update(PATH="/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", HOME=self.tmp, TMPDIR=self.tmp, HEAPD_DIR=self.shm,
			PPROF_TMPDIR=os.path.join(self.tmp, "pprof"), LC_ALL="C.UTF-8", PYTHONDONTWRITEBYTECODE="1", GOFLAGS="-mod=mod", GOTELEMETRY="off",
			GOCACHE=os.path.join(self.tmp, "go"))

	def path(self, *names):
		return os.path.join(self.tmp, *names)

	def write(self, name, content, mode=0o644):
		path = self.path(name)
		os.makedirs(os.path.dirname(path), exist_ok=True)
		with open(path, "wb") as f:
			f.write(content if isinstance(content, bytes) else content.encode())
		os.chmod(path, mode)
		return path

	def environment(self, extra):
		env = dict(self.env)
		env.update(extra or {})
		return {k: str(v) for k, v in env.items() if v is not None}

	def start(self, command, env=None, stdin=subprocess.DEVNULL, cwd=None, preexec=None):
		"""Start a program that ends with this Place at the latest."""
		self.serial += 1
		out, err = self.path(f"{self.serial}.out"), self.path(f"{self.serial}.err")
		with open(out, "wb") as o, open(err, "wb") as e:
			process = subprocess.Popen([str(c) for c in command], stdin=stdin, stdout=o, stderr=e, env=self.environment(env),
				cwd=cwd or self.tmp, start_new_session=True, preexec_fn=preexec)
		running = Running(self, command, process, out, err)
		self.started.append(running)
		return running

	def run(self, command, env=None, input=None, seconds=SECONDS, cwd=None, preexec=None):
		"""Run a program to its end."""
		stdin = subprocess.DEVNULL
		if input is not None:
			with open(self.path("stdin"), "wb") as f:
				f.write(input if isinstance(input, bytes) else input.encode())
			stdin = open(self.path("stdin"), "rb")
		try:
			return self.start(command, env=env, stdin=stdin, cwd=cwd, preexec=preexec).wait(seconds)
		finally:
			if input is not None:
				stdin.close()

	def heapd(self, *arguments, **kw):
		return self.run([HEAPD, *arguments], **kw)

	def preload(self, period=None, **extra):
		"""The environment that puts the sampler into a program without `heapd run`."""
		env = {"LD_PRELOAD": LIBHEAPD, "HEAPD_DIR": self.shm}
		if period is not None:
			env["HEAPD_PERIOD"] = str(period)
		env.update(extra)
		return env

	def serve(self, *arguments, directory=None, env=None):
		"""heapd serve over this Place's directory."""
		port = free_port()
		running = self.start([HEAPD, "serve", "--listen", f"127.0.0.1:{port}", "--dir", directory or self.shm, *arguments], env=env)
		server = Server(running, port)
		wait_until(lambda: listens(port), "heapd serve listens", running=running)
		return server

	def heapd_run(self, command, *arguments, stdin=subprocess.DEVNULL, env=None):
		"""heapd run in the background, with its server."""
		port = free_port()
		running = self.start([HEAPD, "run", "--listen", f"127.0.0.1:{port}", *arguments, "--", *command], stdin=stdin, env=env)
		wait_until(lambda: listens(port), "heapd run listens", running=running)
		return Server(running, port)

	def segments(self):
		return sorted(os.path.join(d, f) for d, _, names in os.walk(self.shm) for f in names if f.endswith(".heapd"))

	def fetch(self, what, *arguments):
		"""The decoded profile of a segment file, or of a target by id, pid or name."""
		out = self.path(f"fetch{self.serial}.pb.gz")
		self.heapd("fetch", "-o", out, *arguments, what).good()
		with open(out, "rb") as f:
			return pprofile.decode(f.read())

	def pprof(self, *arguments, env=None, seconds=SECONDS):
		"""go tool pprof, keeping its files to itself."""
		need("go")
		return self.run(["go", "tool", "pprof", *arguments], env=env, seconds=seconds)

	def compile(self, source, name=None, flags=("-g", "-O2"), libs=(), compiler="gcc"):
		"""Compile a program of tests/e2e/programs."""
		out = self.path(name or os.path.splitext(os.path.basename(source))[0])
		source = source if os.path.isabs(source) else os.path.join(PROGRAMS, source)
		self.run([compiler, "-Wall", *flags, "-o", out, source, *libs], seconds=120).good()
		return out

	def close(self):
		for r in reversed(self.started):
			with contextlib.suppress(ProcessLookupError, PermissionError):
				os.killpg(r.pid, signal.SIGKILL)
			with contextlib.suppress(OSError):
				if r.process.stdin:
					r.process.stdin.close()
			r.process.wait()
		end_orphans()
		# Mount points and files of other users may have been made below; as root both go.
		shutil.rmtree(self.tmp, ignore_errors=True)
		shutil.rmtree(self.shm, ignore_errors=True)


def children():
	me = os.getpid()
	found = []
	for name in os.listdir("/proc"):
		if name.isdigit():
			with contextlib.suppress(OSError, IndexError, ValueError):
				with open(f"/proc/{name}/stat", "rb") as f:
					if int(f.read().rpartition(b")")[2].split()[1]) == me:
						found.append(int(name))
	return found


def end_orphans():
	"""Daemons that left their process group came to us when their parents ended (see main): end them too."""
	for _ in range(50):
		pids = children()
		if not pids:
			return
		for pid in pids:
			with contextlib.suppress(ProcessLookupError, PermissionError):
				os.kill(pid, signal.SIGKILL)
		for pid in pids:
			with contextlib.suppress(ChildProcessError):
				os.waitpid(pid, 0)


def main():
	"""Run the tests of the calling file; with arguments those whose name contains one of them."""
	ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)         # PR_SET_CHILD_SUBREAPER
	signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
	resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
	sys.stdout.reconfigure(line_buffering=True)
	failed = 0
	for function in tests:
		name = function.__name__
		if len(sys.argv) > 1 and not any(a in name for a in sys.argv[1:]):
			continue
		place = Place()
		started = time.monotonic()
		try:
			function(place)
			print(f"ok {name}")
		except Skip as e:
			print(f"ok {name} # skip {e}")
		except Exception as e:
			failed += 1
			lines = [str(e)] if isinstance(e, Failure) else traceback.format_exc().splitlines()
			frame = [f for f in traceback.extract_tb(e.__traceback__) if f.filename == sys.argv[0] or f.filename == os.path.abspath(sys.argv[0])]
			if isinstance(e, Failure) and frame:
				print(f"# {os.path.basename(frame[-1].filename)}:{frame[-1].lineno}:")
			for line in "\n".join(lines).splitlines():
				print(f"# {line}")
			print(f"not ok {name}")
		finally:
			place.close()
		if os.environ.get("HEAPD_TEST_TIMES"):
			print(f"# {name}: {time.monotonic() - started:.1f} s")
	sys.exit(1 if failed else 0)
