"""Services under `heapd run` with real load: they answer as always, end as always, and their profiles name their code."""

import os
import re
import signal
import socket

from e2e import *


def check_service(server, name, pattern, share=0.3, value="alloc_space"):
	p = server.profile(f"/services/{name}/debug/pprof/heap")
	i = p.index(value)
	total = p.total(value)
	hit = sum(s.values[i] for s in p.samples if any(re.search(pattern, n) for n in p.names(s)))
	check(total > 0 and hit >= share * total, f"{pattern} stands on {share:.0%} of what {name} allocated; {hit} of {total}",
		sorted(p.cumulative(value).items(), key=lambda x: -x[1])[:12])
	return p


def plain_or_run(place, under, command, period, **kw):
	"""Start a service, plainly or under heapd; (running, server or None)."""
	if not under:
		return place.start(command, **kw), None
	port = free_port()
	running = place.start([HEAPD, "run", "--period", period, "--listen", f"127.0.0.1:{port}", "--", *command], **kw)
	return running, Server(running, port)


def receive(connection, end):
	data = b""
	while not data.endswith(end):
		more = connection.recv(65536)
		if not more:
			break
		data += more
	return data


@test
def redis(place):
	need("redis-server", "redis-cli", "redis-benchmark")
	commands = "".join(f"SET key:{i} {'v' * (i % 300)}\nLPUSH list {i}\nHSET hash f{i} {i * 3}\n" for i in range(2000)) + """
LRANGE list 0 5
HLEN hash
HGET hash f77
EVAL "local t = {} for i = 1, 1000 do t[i] = tostring(i) end return #table.concat(t)" 0
NOSUCHCOMMAND
DBSIZE
"""
	answers = []
	for under in (False, True):
		port = free_port()
		home = place.path(f"redis{int(under)}")
		os.mkdir(home)
		running, server = plain_or_run(place, under, ["redis-server", "--port", port, "--save", "", "--dir", home, "--bind", "127.0.0.1"], "16k")
		wait_until(lambda: listens(port), "redis listens", running=running)
		text = place.run(["redis-cli", "-p", port], input=commands).good().text
		bench = place.run(["redis-benchmark", "-p", port, "-q", "-P", "16", "-n", "20000", "-r", "5000", "-d", "200", "-t", "set,get,lpush,hset"]).good()
		check_match(r"SET: [\d.]+ requests per second", bench.text.replace("\r", "\n"), "the benchmark")
		digest = place.run(["redis-cli", "-p", port, "STRLEN", "key:299"]).good().text
		if under:
			check_service(server, "redis-server", r"^(zmalloc|ztrymalloc|_sdsnewlen|sdsnewlen|createStringObject|dictAdd|readQueryFromClient|processCommand|call)", 0.5)
			p = server.profile("/services/redis-server/debug/pprof/heap")
			check(p.total() > 500000, "what redis holds is in use", p.total())
		place.run(["redis-cli", "-p", port, "BGSAVE"]).good()          # a fork with a copy of it all
		wait_until(lambda: "rdb_bgsave_in_progress:0" in place.run(["redis-cli", "-p", port, "INFO", "persistence"]).text, "the save is done", running=running)
		check_in("rdb_last_bgsave_status:ok", place.run(["redis-cli", "-p", port, "INFO", "persistence"]).text, "redis")
		place.run(["redis-cli", "-p", port, "SHUTDOWN", "NOSAVE"])
		answers.append((text, digest, running.wait().code))
	check_eq(answers[0], answers[1], "what redis answered, and its exit code")


@test
def nginx_with_workers(place):
	need("nginx", "wrk")
	page = "".join(f"<p>paragraph {i}</p>\n" for i in range(2000))
	answers = []
	for under in (False, True):
		port = free_port()
		root = place.path(f"www{int(under)}")
		os.makedirs(os.path.join(root, "t"))
		os.chmod(root, 0o755)
		place.write(f"www{int(under)}/index.html", page)
		user = "user root;" if os.geteuid() == 0 else ""
		config = place.write(f"nginx{int(under)}.conf", f"""
daemon off; {user} worker_processes 2; pid {root}/pid; error_log {root}/error.log;
events {{ worker_connections 256; }}
http {{ access_log off; gzip on; gzip_types *; {' '.join(f'{k}_temp_path {root}/t/{k};' for k in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))}
server {{ listen 127.0.0.1:{port}; root {root}; location /x {{ return 200 "some $args\n"; }} }} }}
""")
		running, server = plain_or_run(place, under, ["nginx", "-p", root, "-e", f"{root}/error.log", "-c", config], "4k")
		wait_until(lambda: listens(port), "nginx listens", running=running)
		web = Server(running, port)
		got = [web.get(p, headers={"Accept-Encoding": "gzip"} if z else {}) for p in ("/", "/x?a=b", "/missing") for z in (0, 1)]
		load = place.run(["wrk", "-t1", "-c16", "-d2", "-H", "Accept-Encoding: gzip", f"http://127.0.0.1:{port}/"]).good().text
		check("Non-2xx" not in load and int(re.search(r"(\d+) requests in", load)[1]) > 100, "wrk is content", load)
		if under:
			# Master and workers, each with a profile of its own.
			check(len([t for t in server.targets() if t["name"] == "nginx"]) >= 3, "three processes", server.targets())
			check_service(server, "nginx", r"^ngx_", 0.9)
		running.send(signal.SIGHUP)          # new workers, the old ones end
		wait_until(lambda: web.get("/x?after").text == "some after\n", "nginx answers after a reload", running=running)
		running.send(signal.SIGQUIT)
		answers.append(([(r.status, r.body) for r in got], running.wait().code))
	check_eq(answers[0], answers[1], "what nginx answered, and its exit code")


@test
def postgres(place):
	home = "/usr/lib/postgresql/15/bin"
	if not os.path.exists(f"{home}/postgres"):
		raise Skip("no postgresql-15")
	# postgres refuses to be root.
	user = []
	data = place.path("pg")
	os.mkdir(data)
	os.chmod(place.shm, 0o1777)
	parent = os.path.dirname(place.shm)
	while parent != "/dev/shm" and parent != "/":
		os.chmod(parent, os.stat(parent).st_mode | 0o011)
		parent = os.path.dirname(parent)
	if os.geteuid() == 0:
		shutil.chown(data, "postgres", "postgres")
		user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
	place.run([*user, f"{home}/initdb", "-D", f"{data}/db", "-A", "trust", "-U", "postgres", "--no-sync"], cwd=data, seconds=120).good()
	sql = """create table t as select i, md5(i::text) as h, repeat('x', i % 500) as x from generate_series(1, 20000) i;
create index on t(h); analyze t;
select count(*), max(h), sum(length(x)) from t;
select a.i, b.h from t a join t b using (h) order by b.h limit 5;
select jsonb_object_agg(i, h) -> '77' from t where i < 200;
do $$ declare n int; begin for k in 1..50 loop execute format('select count(*) from t where i %% %s = 0', k) into n; end loop; raise notice 'n %', n; end $$;
select 1 / 0;
drop table t;
"""
	answers = []
	for under in (False, True):
		port = free_port()
		command = [f"{home}/postgres", "-D", f"{data}/db", "-p", port, "-k", data, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_parallel_workers=2"]
		http = free_port()
		if under:
			command = [HEAPD, "run", "--quiet", "--period", "4k", "--listen", f"127.0.0.1:{http}", "--", *command]
		running = place.start([*user, *command], cwd=data)
		server = Server(running, http)
		psql = [*user, f"{home}/psql", "-X", "-h", data, "-p", port, "-U", "postgres", "-d", "postgres"]
		wait_until(lambda: place.run([*psql, "-c", "select 1"], cwd=data).code == 0, "postgres answers", running=running)
		r = place.run([*psql, "-A", "-f", "-"], input=sql, cwd=data, seconds=120)
		check_in("division by zero", r.errors, "psql's errors")
		if under:
			# A backend of each connection and the helpers, all forked from one.
			check(len(server.targets()) >= 4, "postgres's processes are targets", [t["name"] for t in server.targets()])
			check_service(server, "postgres", r"^(AllocSetAlloc|AllocSetContextCreate|MemoryContextAlloc|palloc|PostmasterMain|PostgresMain|AllocSet)", 0.5)
		running.send(signal.SIGINT)          # fast shutdown
		answers.append((r.code, r.text, r.errors, running.wait().code))
	check_eq(answers[0], answers[1], "what postgres answered, and its exit code")


@test
def memcached(place):
	need("memcached")
	answers = []
	for under in (False, True):
		port = free_port()
		user = ["-u", "root"] if os.geteuid() == 0 else []
		running, server = plain_or_run(place, under, ["memcached", "-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "4", "-m", "64", *user], "4k")
		wait_until(lambda: listens(port), "memcached listens", running=running)
		got = []
		for c in range(8):
			with socket.create_connection(("127.0.0.1", port), 30) as s:
				for i in range(200):
					value = b"v" * (i * 37 % 5000)
					s.sendall(b"set key%d-%d 0 0 %d\r\n%s\r\n" % (c, i, len(value), value))
					got.append(receive(s, b"\r\n"))
				s.sendall(b"get " + b" ".join(b"key%d-%d" % (c, i) for i in range(200)) + b"\r\n")
				got.append(receive(s, b"END\r\n"))
				s.sendall(b"nonsense\r\n")
				got.append(receive(s, b"\r\n"))
		if under:
			p = check_service(server, "memcached", r"^(memcached\+0x|event_base_loop|libevent)", 0.3)
			check_eq("memcached", os.path.basename(p.mappings[0].file), "the main program")
		running.send(signal.SIGINT)
		answers.append((got, running.wait().code))
	check_eq(answers[0], answers[1], "what memcached answered, and its exit code")


if __name__ == "__main__":
	main()
