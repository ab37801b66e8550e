"""heapd serve while one allocation, or one system call, fails: each in turn, at its start and in every kind of request.

It never crashes and never hangs: it ends with a sentence, or it goes on and says what was lost, and the next request is answered
as ever. By itself this tries some of each, spread evenly; `fault_test.py all` tries every one, which takes some minutes.
"""

import contextlib
import http.client
import mmap
import os
import struct
import sys

import pprofile
from e2e import (HEAPD, TARGETS, Failure, Server, Skip, check, free_port, listens, main, test, wait_until)

ALL = "all" in sys.argv
SOME = 50                               # at the start; a fifth of that for each kind of request
NOT_TOLD = (1, 20)                      # write and writev: who cannot write cannot tell


class Faults:
	"""The file that says which of them fails (see targets/deny.h)."""

	def __init__(self, place):
		self.path = place.write(f"fail{place.serial}", bytes(32))
		with open(self.path, "r+b") as f:
			self.map = mmap.mmap(f.fileno(), 32)
		self.set(-1)

	def set(self, countdown):
		self.map[16:24] = struct.pack("<q", -1)
		self.map[0:8] = struct.pack("<q", countdown)

	@property
	def seen(self):
		return struct.unpack("<Q", self.map[8:16])[0]

	@property
	def failed(self):
		"""What failed: bytes or a system call; None if the countdown still runs."""
		what = struct.unpack("<q", self.map[16:24])[0]
		return None if what < 0 else what


def allocations(faults):
	return [], {"LD_PRELOAD": os.path.join(TARGETS, "deny_malloc.so"), "DENY": faults.path}


def system_calls(faults):
	return [os.path.join(TARGETS, "deny_calls"), faults.path], {}


def before_main(place, how):
	"""How many are made before heapd has a say, by the loader and by libraries."""
	faults = Faults(place)
	before, env = how(faults)
	result = place.run([*before, HEAPD, "--version"], env=env)
	if result.code == 77:
		raise Skip("the kernel does not let us answer for system calls")
	result.good()
	return faults.seen - 3          # what writing the version takes


def ended(result, faults):
	"""It ended by itself: with a sentence."""
	check(result.code in (1, 2), f"status with {faults.failed} failed", (result.code, result.errors))
	check(result.errors.strip() or faults.failed in NOT_TOLD, f"a sentence about why it ended, with {faults.failed} failed", result.code)


def start(place, faults, how):
	"""The server once it serves, or None: it ended."""
	before, env = how(faults)
	port = free_port()
	running = place.start([*before, HEAPD, "serve", "--listen", f"127.0.0.1:{port}", "--dir", place.shm], env=env)
	server = Server(running, port)

	def serves():
		return "serving on" in running.errors or (faults.failed is not None and listens(port) and ask(server, "/healthz"))
	wait_until(lambda: not running.alive() or serves(), "heapd serves or ends")
	if running.alive():
		return server
	ended(running.wait(), faults)
	return None


def ask(server, path):
	"""The answer, or None if the connection was cut."""
	try:
		return server.get(path)
	except TimeoutError:
		raise Failure(f"no answer to {path}: {server.running.errors}") from None
	except (OSError, http.client.HTTPException):
		return None


def good(server, path, faults):
	"""The answer of a server that has nothing to complain about any more."""
	def answer():
		reply = ask(server, path)
		return reply if reply and reply.status == 200 else None
	return wait_until(answer, f"{path} is answered, with {faults.failed} failed", running=server.running)


def check_profile(server, reply, faults):
	"""Whole, with names, or it is said what became of them."""
	if reply is None:
		return
	check(reply.body, f"an answer with a body, status {reply.status}, with {faults.failed} failed")
	if reply.status != 200:
		check(400 <= reply.status < 600, "status", reply.status)
		return
	p = pprofile.decode(reply.body)
	if sum(s.values[p.index("inuse_space")] for s in p.samples) < 4096 * 1000:
		raise Failure(f"a profile of less than there is, with {faults.failed} failed: {server.running.errors}")
	if not any("serve" in p.names(s) for s in p.samples):
		check("no names" in server.running.errors, f"a line about lost names, with {faults.failed} failed", server.running.errors)


def check_recovered(server, faults):
	"""The next profile has the names, unless their file was given up for a minute, which was said."""
	p = pprofile.decode(good(server, "/targets/shop/debug/pprof/heap", faults).body)
	if not any("serve" in p.names(s) for s in p.samples):
		check("trying again in a minute" in server.running.errors, f"names in the next profile, with {faults.failed} failed", server.running.errors)


def stop(server, faults):
	result = server.running.stop()
	check(result.code in (0, 1), f"status at the end, with {faults.failed} failed", (result.code, result.errors))


def chosen(n, some):
	return range(n) if ALL or n <= some else sorted({round(i * (n - 1) / (some - 1)) for i in range(some)})


def target(place):
	running = place.start([os.path.join(TARGETS, "fake_target"), place.shm, "shop", "3600"])
	wait_until(place.segments, "the target has a segment", running=running)
	return running


def at_the_start(place, how):
	target(place)
	first = before_main(place, how)
	faults = Faults(place)
	server = start(place, faults, how)
	check_profile(server, server.get("/debug/pprof/heap").good(), faults)
	n = faults.seen - first
	stop(server, faults)
	for k in chosen(n, SOME):
		faults = Faults(place)
		faults.set(first + k)
		server = start(place, faults, how)
		if server:
			reply = ask(server, "/debug/pprof/heap")
			if server.running.alive():
				check_profile(server, reply, faults)
				check_recovered(server, faults)
				stop(server, faults)
			else:
				ended(server.running.wait(), faults)
	print(f"# {n} at the start and in a profile, {len(chosen(n, SOME))} of them tried")


def while_serving(place, how):
	pid = target(place).pid
	faults = Faults(place)
	server = start(place, faults, how)
	id = server.target(name="shop")["id"]
	server.get("/debug/pprof/heap").good()
	tried = 0
	for path in ("/targets/{}/debug/pprof/heap", "/targets/{}/debug/pprof/heap?debug=1", "/targets/{}/pprof/heap", "/api/v1/targets/{}/top?n={}",
			"/api/v1/targets/{}", "/targets/{}/debug/pprof/symbol?0x401000+0x{:x}", "/metrics", "/"):
		def get(k):
			# Replies are kept for a moment; other words for the same ask for a new one.
			return ask(server, path.format((id, pid, "shop")[k % 3], k + 1))
		before = faults.seen
		reply = get(0)
		check(reply and reply.status == 200, f"{path} as ever", reply and reply.text)
		n = faults.seen - before
		for k in chosen(n, SOME // 5):
			faults.set(k)
			reply = get(k + 1)
			server.running.check_alive()
			check(reply is None or reply.body, f"a body of {path}, with {faults.failed} failed", reply and reply.status)
			if reply and reply.status == 200 and path.endswith("{}/debug/pprof/heap"):
				check_profile(server, reply, faults)
			faults.set(-1)
			wait_until(lambda: (lambda r: r and r.status == 200)(get(k + 1)), f"{path} is answered again", running=server.running)
			tried += 1
	stop(server, faults)
	print(f"# {tried} tried")


@test
def an_allocation_that_fails_at_the_start_ends_it_with_a_sentence_or_costs_little(place):
	at_the_start(place, allocations)


@test
def an_allocation_that_fails_in_a_request_costs_that_answer_at_most(place):
	while_serving(place, allocations)


@test
def a_system_call_that_fails_at_the_start_ends_it_with_a_sentence_or_costs_little(place):
	at_the_start(place, system_calls)


@test
def a_system_call_that_fails_in_a_request_costs_that_answer_at_most(place):
	while_serving(place, system_calls)


if __name__ == "__main__":
	with contextlib.suppress(ValueError):
		sys.argv.remove("all")
	main()
