"""Real services in small, each with a load whose answers are known to be the same wherever and whenever it is put on them.

A service is a server that is asked, or a program that is run again and again; both do one step at a time. A step depends on
its number alone and never on what came before, so that a service may be killed at any moment, and two of them can be compared
step by step.
"""

import hashlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time

import measure
import programs

POSTGRES = "/usr/lib/postgresql/15/bin"

PYTHON_SERVER = """
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        n = int(self.path[1:])
        body = json.dumps({str(i): ["x" * (i * n % 300), {"n": i * n}] for i in range(300)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

NODE_SERVER = """
require("http").createServer((request, response) => {
  const n = Number(request.url.slice(1)), parts = [];
  for (let i = 0; i < 300; i++) parts.push(Buffer.alloc(1 + i * n % 500, "y").toString("base64"));
  response.end(JSON.stringify(parts));
}).listen(Number(process.argv[2]), "127.0.0.1");
"""

CXX = """
#include <map>
#include <string>
#include <vector>
std::map<std::string, std::vector<int>> f(int n) { std::map<std::string, std::vector<int>> m; for (int i = 0; i < n; i++) m[std::to_string(i)].push_back(i); return m; }
int main(int argc, char **) { return (int)f(argc).size() - argc; }
"""


def free_port():
	with socket.socket() as s:
		s.bind(("127.0.0.1", 0))
		return s.getsockname()[1]


def family(pid):
	"""A process and all that descend from it."""
	found = [pid]
	try:
		for task in os.listdir(f"/proc/{pid}/task"):
			with open(f"/proc/{pid}/task/{task}/children") as f:
				for child in f.read().split():
					found += family(int(child))
	except OSError:
		pass
	return found


def send(pid, number):
	try:
		os.kill(pid, number)
	except ProcessLookupError:
		pass


def is_gone(pid):
	try:
		with open(f"/proc/{pid}/stat") as f:
			return f.read().rpartition(")")[2].split()[0] in "ZX"
	except OSError:
		return True


def kill_family(pid):
	"""All at once, so that no parent sees a child die and starts another. Returns when they have ended; whoever uses this is the
	reaper of what they leave (PR_SET_CHILD_SUBREAPER)."""
	send(pid, signal.SIGSTOP)
	pids = family(pid)
	for p in pids:
		send(p, signal.SIGKILL)
	end = time.monotonic() + 10
	while not all(is_gone(p) for p in pids) and time.monotonic() < end:
		time.sleep(0.01)
	for p in pids[1:]:
		try:
			os.waitpid(p, os.WNOHANG)
		except ChildProcessError:
			pass


def rss_kib(pid):
	total = 0
	for p in family(pid):
		try:
			with open(f"/proc/{p}/statm") as f:
				total += int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
		except OSError:
			pass
	return total


def exchange(port, request, end, least=0):
	"""Send it all, and receive until the answer ends so and has that many bytes."""
	with socket.create_connection(("127.0.0.1", port), 60) as s:
		s.sendall(request)
		got = b""
		while len(got) < least or not got.endswith(end):
			part = s.recv(1 << 16)
			if not part:
				raise OSError("the connection ended early")
			got += part
		return got


class Service:
	"""One service under one environment. A subclass says how it starts and what a step is."""

	name = needs = None
	user = []
	server = True
	pause = 0.3                     # seconds between steps

	def __init__(self, directory, environment):
		self.directory, self.environment = directory, environment
		self.port, self.process, self.errors = free_port(), None, open(os.path.join(directory, "stderr"), "wb+")

	def start(self, command, **kw):
		return subprocess.Popen(self.user + command, env=self.environment, stdin=kw.pop("stdin", subprocess.DEVNULL), stdout=kw.pop("stdout", subprocess.DEVNULL),
			stderr=self.errors, cwd=self.directory, start_new_session=True, **kw)

	def prepare(self):
		"""Once."""

	def command(self):
		raise NotImplementedError

	def launch(self):
		"""Start the server and wait until it listens; False: it does not."""
		self.process = self.start(self.command())
		end = time.monotonic() + 120
		while time.monotonic() < end and self.process.poll() is None:
			try:
				socket.create_connection(("127.0.0.1", self.port), 5).close()
				return True
			except OSError:
				time.sleep(0.1)
		return False

	def step(self, n):
		"""Bytes that are the same for every service of this kind."""
		raise NotImplementedError

	def said(self):
		self.errors.seek(0)
		return self.errors.read()[-20000:].decode("utf-8", "replace")


class Redis(Service):
	name, needs = "redis", ["redis-server"]

	def command(self):
		return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.directory, "--daemonize", "no"]

	def step(self, n):
		commands = []
		for i in range(200):
			commands += [b"SET key:%d %s" % (i, b"v" * (i * n % 900 + 1)), b"LPUSH list:%d a b c" % n, b"HSET hash:%d f%d %d" % (n, i, i)]
		commands += [b"LLEN list:%d" % n, b"STRLEN key:77", b"HLEN hash:%d" % n, b"DEL list:%d hash:%d" % (n, n)]
		if n % 50 == 7:
			commands.append(b"BGSAVE")          # a fork with a copy of it all
		got = exchange(self.port, b"".join(c + b"\r\n" for c in commands) + b"ECHO done\r\n", b"$4\r\ndone\r\n")
		return b"\n".join(line for line in got.split(b"\r\n") if b"ackground" not in line)     # started, or one is under way


class Memcached(Service):
	name, needs = "memcached", ["memcached"]

	def command(self):
		return ["memcached", "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-t", "4", "-m", "64"] + (["-u", "root"] if os.geteuid() == 0 else [])

	def step(self, n):
		sets = b"".join(b"set k%d 0 0 %d\r\n%s\r\n" % (i, i * n % 4000, b"v" * (i * n % 4000)) for i in range(100))
		return exchange(self.port, sets + b"get " + b" ".join(b"k%d" % i for i in range(100)) + b"\r\n", b"END\r\n")


class Nginx(Service):
	name, needs = "nginx", ["nginx"]

	def prepare(self):
		os.mkdir(os.path.join(self.directory, "t"))
		with open(os.path.join(self.directory, "index.html"), "w") as f:
			f.write("".join(f"<p>paragraph {i}</p>\n" for i in range(3000)))

	def command(self):
		temporary = " ".join(f"{k}_temp_path {self.directory}/t/{k};" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
		with open(os.path.join(self.directory, "conf"), "w") as f:
			f.write(f"daemon off; {'user root;' if os.geteuid() == 0 else ''} worker_processes 2; pid {self.directory}/pid; error_log {self.directory}/log;\n"
				f"events {{ worker_connections 64; }}\nhttp {{ access_log off; gzip on; gzip_types *; {temporary}\n"
				f"server {{ listen 127.0.0.1:{self.port} reuseport; root {self.directory}; location /x {{ return 200 \"some $args\"; }} }} }}\n")
		return ["nginx", "-p", self.directory, "-e", f"{self.directory}/log", "-c", f"{self.directory}/conf"]

	def step(self, n):
		answers = []
		for path in ("/", f"/x?{n}", "/missing", "/index.html") * 10:
			c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
			c.request("GET", path, headers={"Accept-Encoding": "gzip"})
			r = c.getresponse()
			answers.append(b"%d " % r.status + r.read())
			c.close()
		return b"\n".join(answers)


class Postgres(Service):
	name, needs, pause = "postgres", [f"{POSTGRES}/postgres"], 2

	def prepare(self):
		if os.geteuid() == 0:
			self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
			shutil.chown(self.directory, "postgres", "postgres")
		plain = {k: v for k, v in self.environment.items() if k != "LD_PRELOAD"}
		subprocess.run([*self.user, f"{POSTGRES}/initdb", "-D", f"{self.directory}/db", "-A", "trust", "-U", "postgres", "--no-sync"], env=plain,
			cwd=self.directory, stdout=subprocess.DEVNULL, check=True)

	def command(self):
		return [f"{POSTGRES}/postgres", "-D", f"{self.directory}/db", "-p", str(self.port), "-k", self.directory, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
			"-c", "dynamic_shared_memory_type=mmap"]

	def launch(self):
		return super().launch() and self.ready()

	def psql(self, sql):
		plain = {k: v for k, v in self.environment.items() if k != "LD_PRELOAD"}
		return subprocess.run([f"{POSTGRES}/psql", "-X", "-A", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", "postgres", "-f", "-"], env=plain,
			input=sql.encode(), capture_output=True, cwd="/")

	def ready(self):
		end = time.monotonic() + 120
		while time.monotonic() < end and self.process.poll() is None:
			if self.psql("select 1").returncode == 0:
				return True
			time.sleep(0.2)
		return False

	def step(self, n):
		r = self.psql(f"""begin; create temp table t as select i, md5((i * {n})::text) as h, repeat('x', i % 500) as x from generate_series(1, 5000) i;
create index on t(h); select count(*), max(h), sum(length(x)) from t; select a.i, b.h from t a join t b using (h) order by b.h limit 5; rollback;
select 1 / 0;\n""")
		if r.returncode == 2:
			raise OSError(f"psql lost its server: {r.stderr[-200:]!r}")
		return b"%d " % r.returncode + r.stdout + r.stderr


class PythonServer(Service):
	name = "python3 http"

	def command(self):
		return ["/usr/bin/python3", "-c", PYTHON_SERVER, str(self.port)]

	def step(self, n):
		answers = []
		for i in range(10):
			c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
			c.request("GET", f"/{n + i}")
			answers.append(c.getresponse().read())
			c.close()
		return b"\n".join(answers)


class NodeServer(PythonServer):
	name, needs = "node http", ["node"]

	def command(self):
		return ["node", "-e", NODE_SERVER, "x", str(self.port)]


class Runs(Service):
	"""A program that ends by itself: a step is one run. What it says on standard output and how it ends is the answer."""

	server, pause = False, 0.5
	standard_input = b""
	bears_faults = True             # a failing madvise does not end it by itself

	def launch(self):
		return True

	def arguments(self, n):
		raise NotImplementedError

	def step(self, n):
		with open(os.path.join(self.directory, "stdin"), "wb") as f:
			f.write(self.standard_input)
		with open(f.name, "rb") as source, open(os.path.join(self.directory, "stdout"), "wb+") as out:
			self.process = self.start(self.arguments(n), stdin=source, stdout=out)
			code = self.process.wait()
			out.seek(0)
			return b"%d " % code + out.read()


class Sqlite(Runs):
	name, needs = "sqlite3", ["sqlite3"]

	def arguments(self, n):
		return ["sqlite3", ":memory:", f"create table t(a, b); with recursive r(i) as (select 1 union all select i + 1 from r where i < 8000) insert into t select i, hex(i * {n}) || 'abc' from r; "
			"create index x on t(b); select count(*), max(b), sum(length(b)) from t; select * from t order by b desc limit 3;"]


class Perl(Runs):
	name = "perl"

	def arguments(self, n):
		return ["perl", "-e", programs.PERL_CHURN, str(20000 + n % 100)]


class Python(Runs):
	name = "python3"

	def arguments(self, n):
		return ["/usr/bin/python3", "-c", programs.PYTHON_CHURN, str(20000 + n % 100)]


class Node(Runs):
	name, needs, bears_faults = "node", ["node"], False

	def arguments(self, n):
		return ["node", "-e", programs.NODE_CHURN, "x", str(20000 + n % 100)]


class Java(Runs):
	name, needs, bears_faults, pause = "java", ["java"], False, 3

	def arguments(self, n):
		return ["java", "-Xmx64m", "--list-modules"]


class Compiler(Runs):
	name, needs, pause = "g++", ["g++"], 3
	standard_input = CXX.encode()

	def arguments(self, n):
		return ["g++", "-O1", "-S", "-x", "c++", "-", "-o", "-"]


class Shell(Runs):
	name = "sh"

	def arguments(self, n):
		return ["bash", "-c", f"for i in $(seq 20); do echo $((i * {n})) | sort | tr 0-9 a-j; done | sha256sum"]


# Twenty.
MIX = [Redis, Redis, Redis, Nginx, Nginx, Memcached, Memcached, Postgres, Postgres, PythonServer, PythonServer, NodeServer, Sqlite, Sqlite, Perl, Python, Node, Java, Compiler, Shell]


def digest(answer):
	return hashlib.sha256(answer).hexdigest()[:16]


def missing(kind):
	return [p for p in kind.needs or [] if not shutil.which(p)]


def environment(extra):
	env = measure.clean_environment(extra)
	env["PATH"] = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
	return env
