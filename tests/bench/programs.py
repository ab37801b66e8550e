"""Real programs that allocate as programs do, each doing a fixed amount of work.

A workload is a command that ends by itself, or a server with clients. `size` scales the work: 1 is around a second of CPU
time.
"""

import os
import shutil
import socket
import subprocess
import time

import measure

PYTHON_CHURN = """
import random, sys
random.seed(1)
live = {}
for i in range(int(sys.argv[1])):
    key = random.randrange(20000)
    live[key] = [str(i), {"n": i, "s": "x" * (i % 200)}, (i, i + 1)]
    if i % 3 == 0:
        live.pop(random.randrange(20000), None)
print(len(live))
"""

NODE_CHURN = """
const live = new Map();
let seed = 1;
const random = n => (seed = (seed * 48271) % 2147483647) % n;
for (let i = 0; i < Number(process.argv[2]); i++) {
  live.set(random(20000), { n: i, b: Buffer.allocUnsafeSlow(64 + random(2000)), s: JSON.stringify({ i, t: "x".repeat(i % 50) }) });
  if (i % 3 === 0) live.delete(random(20000));
}
console.log(live.size);
"""

PERL_CHURN = """
my %live; my $seed = 1;
sub r { $seed = ($seed * 48271) % 2147483647; return $seed % $_[0] }
for my $i (0 .. $ARGV[0]) {
  $live{r(20000)} = [ "s$i" x (1 + $i % 20), { n => $i, k => "v$i" } ];
  delete $live{r(20000)} if $i % 3 == 0;
}
print scalar(keys %live), "\\n";
"""

CXX_HEADERS = """
#include <algorithm>
#include <map>
#include <string>
#include <vector>
"""

CXX_MORE_HEADERS = """
#include <iostream>
#include <random>
#include <regex>
#include <thread>
#include <variant>
"""

CXX_FUNCTION = """
struct item_{n} {{ std::map<std::string, std::vector<int>> m; long v; }};
std::string work_{n}(const std::vector<item_{n}> &items) {{
  std::map<std::string, const item_{n} *> index;
  std::string out;
  for (auto &i : items) for (auto &[k, v] : i.m) {{ index[k] = &i; out += k + std::to_string(std::count(v.begin(), v.end(), 3)); }}
  for (auto &[k, i] : index) out += k + std::to_string(i->v);
  return out;
}}
"""


class Command:
	def __init__(self, name, command, env=None, stdin=None):
		self.name, self.command, self.env, self.stdin = name, command, env or {}, stdin

	def cpu(self, env):
		return measure.cpu_of(self.command, {**self.env, **env}, self.stdin)


class Redis:
	"""CPU time of the server for a fixed number of requests; the clients' is not counted."""

	def __init__(self, requests, tests):
		self.name, self.requests, self.tests = f"redis {tests}", requests, tests.lower()

	def cpu(self, env):
		with socket.socket() as s:
			s.bind(("127.0.0.1", 0))
			port = str(s.getsockname()[1])
		server = subprocess.Popen(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
			env=measure.clean_environment(env), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
		try:
			for _ in range(400):
				if subprocess.run(["redis-cli", "-p", port, "ping"], capture_output=True).stdout == b"PONG\n":
					break
				time.sleep(0.025)
			else:
				raise measure.Failed("redis-server does not answer")
			r = subprocess.run(["redis-benchmark", "-p", port, "-t", self.tests, "-n", str(self.requests), "-P", "16", "-r", "100000",
				"-d", "100", "-q"], capture_output=True)
			subprocess.run(["redis-cli", "-p", port, "shutdown", "nosave"], capture_output=True)
			_, status, usage = os.wait4(server.pid, 0)
			server.returncode = os.waitstatus_to_exitcode(status)
		finally:
			if server.returncode is None:
				server.kill()
				server.wait()
		if r.returncode or server.returncode:
			raise measure.Failed(f"redis: exit {r.returncode}, {server.returncode}")
		return usage.ru_utime + usage.ru_stime


def write(path, text):
	with open(path, "w") as f:
		f.write(text)
	return path


def json_lines(path, n):
	with open(path, "w") as f:
		f.write("[")
		for i in range(n):
			f.write(f'{"," if i else ""}{{"id":{i},"name":"user {i}","tags":["a{i % 7}","b{i % 11}"],"pos":{{"x":{i * 3 % 1000},"y":{i % 77}}}}}\n')
		f.write("]")
	return path


def all_of(scratch, size):
	"""The workloads for which this machine has the program."""
	n = lambda count: max(1, int(count * size))
	source = write(scratch.file("big.cc"), CXX_HEADERS + (CXX_MORE_HEADERS if size > 0.5 else "") +
		"".join(CXX_FUNCTION.format(n=i) for i in range(n(12))))
	numbers = json_lines(scratch.file("big.json"), n(150000))
	sql = write(scratch.file("build.sql"), f"""
		create table t (id integer primary key, a text, b real, c blob);
		insert into t with recursive n(i) as (select 1 union all select i + 1 from n where i < {n(1000000)})
			select i, 'row number ' || i, i * 0.5, zeroblob(i % 40) from n;
		create index t_a on t (a); select count(*), sum(b) from t where a like '%77%';""")
	cc1plus = subprocess.run(["g++", "-print-prog-name=cc1plus"], capture_output=True, text=True).stdout.strip() if shutil.which("g++") else ""
	multiarch = subprocess.run(["g++", "-print-multiarch"], capture_output=True, text=True).stdout.strip() if cc1plus else ""
	# Scripts are files, not arguments: heaptrack 1.4 trips over arguments of several lines.
	found = [
		Redis(n(700000), "SET"), Redis(n(1000000), "GET"), Redis(n(800000), "LPUSH"),
		Command("sqlite3 build", ["sqlite3", ":memory:"], stdin=sql),
		Command("g++ -O1", [cc1plus, "-quiet", "-imultiarch", multiarch, "-D_GNU_SOURCE", "-std=gnu++17", "-O1", source, "-o", os.devnull]),
		Command("python3 churn", ["/usr/bin/python3", write(scratch.file("churn.py"), PYTHON_CHURN), str(n(350000))], {"PYTHONMALLOC": "malloc"}),
		Command("node churn", ["node", write(scratch.file("churn.js"), NODE_CHURN), str(n(250000))]),
		Command("jq", ["jq", "-c", "map(select(.pos.x > 500) | {id, t: (.tags | join(\",\"))}) | length", numbers]),
		Command("perl churn", ["perl", write(scratch.file("churn.pl"), PERL_CHURN), str(n(700000))]),
	]
	return [w for w in found if shutil.which("redis-benchmark" if isinstance(w, Redis) else w.command[0] or "no")]


def cpu_under_heaptrack(workload, library, interpreter, scratch):
	"""Target and interpreter together, without the compressor that heaptrack runs behind it."""
	pipe = scratch.file("heaptrack.pipe")
	if os.path.exists(pipe):
		os.unlink(pipe)
	os.mkfifo(pipe)
	both = os.open(pipe, os.O_RDWR)         # an end alone would wait for the other
	with open(pipe, "rb") as source:
		p = subprocess.Popen([interpreter], env=measure.clean_environment({}), stdin=source, stdout=subprocess.DEVNULL,
			stderr=subprocess.DEVNULL)
	holder = os.open(pipe, os.O_WRONLY)     # the interpreter goes on until this is closed
	os.close(both)
	try:
		cpu = workload.cpu({"LD_PRELOAD": library, "DUMP_HEAPTRACK_OUTPUT": pipe})
	finally:
		os.close(holder)
		_, status, usage = os.wait4(p.pid, 0)
		p.returncode = os.waitstatus_to_exitcode(status)
	if p.returncode:
		raise measure.Failed(f"heaptrack_interpret: exit {p.returncode}")
	return cpu + usage.ru_utime + usage.ru_stime
