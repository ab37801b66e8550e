"""Running programs and comparing what they cost.

Machines are shared and drift, so nothing is compared across time: the candidates run in turns, A B C A B C, and what
counts is the median of the ratios within a turn. CPU time is user + system time of the process and all it waited for.
"""

import math
import os
import shutil
import statistics
import subprocess
import tempfile


class Failed(Exception):
	pass


def clean_environment(extra):
	env = {k: v for k, v in os.environ.items()
		if not k.startswith(("HEAPD_", "LD_", "MALLOC_", "TCMALLOC_", "PYTHON", "DUMP_HEAPTRACK"))}
	env["LC_ALL"] = "C.UTF-8"
	env.update(extra)
	return env


def cpu_of(command, extra=None, stdin=None, stdout=subprocess.DEVNULL, cwd=None):
	"""CPU seconds of command and its children; what it says on stderr is dropped."""
	with open(stdin or os.devnull, "rb") as source:
		p = subprocess.Popen(command, env=clean_environment(extra or {}), stdin=source, stdout=stdout, stderr=subprocess.DEVNULL, cwd=cwd)
		try:
			_, status, usage = os.wait4(p.pid, 0)
		except BaseException:
			p.kill()
			p.wait()
			raise
	p.returncode = os.waitstatus_to_exitcode(status)
	if p.returncode:
		raise Failed(f"{command[0]}: exit {p.returncode}")
	return usage.ru_utime + usage.ru_stime


def output_of(command, extra=None):
	r = subprocess.run(command, env=clean_environment(extra or {}), stdin=subprocess.DEVNULL, capture_output=True, text=True)
	if r.returncode:
		raise Failed(f"{' '.join(command)}: exit {r.returncode}: {r.stderr.strip()[-200:]}")
	return r.stdout


def interleaved(candidates, turns, warm_up=True):
	"""candidates: name -> function that returns a cost. Returns name -> list of costs, one a turn, or None if it fails.

	Every second turn goes backwards, so that nobody always comes after the same neighbour."""
	costs = {name: [] for name in candidates}
	for turn in range(-1 if warm_up else 0, turns):
		for name in (list(candidates) if turn % 2 == 0 else reversed(list(candidates))):
			if costs[name] is None:
				continue
			try:
				cost = candidates[name]()
			except (Failed, OSError, ValueError):
				costs[name] = None
				continue
			if turn >= 0:
				costs[name].append(cost)
	return costs


def ratio(costs, base):
	"""Median of the ratios of each turn; None if either failed."""
	if not costs or not base:
		return None
	return statistics.median(a / b for a, b in zip(costs, base) if b > 0)


def geometric_mean(values):
	values = [v for v in values if v is not None]
	return math.exp(sum(math.log(v) for v in values) / len(values)) if values else None


def show(value, digits=3):
	return "-" if value is None else f"{value:.{digits}f}"


def table(head, rows):
	"""A markdown table, padded so that it reads in a terminal as well."""
	rows = [[str(c) for c in r] for r in rows]
	widths = [max(len(r[i]) for r in [head] + rows) for i in range(len(head))]

	def line(cells):
		return "| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))) + " |"
	print(line(head))
	print("|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|")
	for r in rows:
		print(line(r))
	print(flush=True)


class Scratch:
	"""A directory for segments and inputs, on a tmpfs if there is one; gone at the end."""

	def __init__(self):
		self.path = tempfile.mkdtemp(prefix="heapd-bench-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)

	def __enter__(self):
		return self

	def __exit__(self, *_):
		shutil.rmtree(self.path, ignore_errors=True)

	def file(self, *names):
		return os.path.join(self.path, *names)

	def forget_segments(self):
		for name in os.listdir(self.path):
			if name.endswith(".heapd"):
				os.unlink(self.file(name))
