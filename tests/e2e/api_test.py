"""heapd's own HTTP: JSON for programs, the page for people, metrics, and who is let in."""

import os
import socket
import subprocess

from e2e import *


def leaky(place, period="1"):
	server = place.heapd_run([place.compile("leaky.c"), "1000", "3000"], "--period", period, stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in server.running.text, "the program is ready", running=server.running)
	return server, server.target(name="leaky")


@test
def targets_and_their_top_sites_come_as_json_with_standard_errors(place):
	server, target = leaky(place, "64k")
	check(target["alive"] is True and target["period"] == 65536, "the target is described", target)
	check_eq(place.path("leaky"), target["exe"], "the program")
	top = server.get(f"/api/v1/targets/{target['id']}/top").good().json()
	row = top["rows"][0]
	check_eq(("keep_blob", "leaky.c"), (row["function"], os.path.basename(row["file"])), "the first row")
	check_near(3000000, row["value"], 5 * row["standard_error"], "keep_blob's bytes")
	check(0 < row["standard_error"] < 1500000, "the standard error", row["standard_error"])
	values = [r["value"] for r in top["rows"]]
	check_eq(sorted(values, reverse=True), values, "the order")
	exact, target = leaky(place, "1")
	row = exact.get(f"/api/v1/targets/{target['id']}/top").good().json()["rows"][0]
	check_eq((3000000, 0), (row["value"], row["standard_error"]), "value and standard error at period 1")


@test
def the_page_shows_the_target(place):
	server, _ = leaky(place)
	page = server.get("/").good()
	check(page.headers["Content-Type"].startswith("text/html"), "the type", page.headers["Content-Type"])
	check_in("leaky", page.text, "the page")


@test
def names_in_a_page_cannot_become_markup(place):
	name = "<script>alert(1)</script>&\"'"
	server = place.heapd_run([place.compile("leaky.c"), "10"], "--period", "1", "--name", name, stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in server.running.text, "the program is ready", running=server.running)
	server.target(name=name)
	for path in ("/", "/debug/pprof/"):
		check("<script>alert" not in server.get(path).text, f"{path} escapes the name")
	metrics = server.get("/metrics").good().text
	for line in metrics.splitlines():
		check(re.fullmatch(r'#.*|[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)+\})? [0-9.eE+-]+', line), "a line of /metrics", line)


@test
def health_is_a_plain_200(place):
	check_eq(200, place.serve().get("/healthz").status, "the status")


@test
def metrics_satisfy_the_text_format(place):
	server, _ = leaky(place)
	reply = server.get("/metrics").good()
	check_match(r"^text/plain; version=0\.0\.4", reply.headers["Content-Type"], "the type")
	check(reply.text.endswith("\n") and "\r" not in reply.text, "the line ends")
	typed, seen, last = {}, set(), None
	for line in reply.text.splitlines():
		if line.startswith("# TYPE "):
			_, _, name, kind = line.split()
			check(name not in typed, f"{name} has one type")
			typed[name] = kind
		elif not line.startswith("#"):
			series, name = line.rpartition(" ")[0], re.match(r"\w+", line)[0]
			check(name in typed, f"{name} has a type")
			check((typed[name] == "counter") == name.endswith("_total"), f"{name} is named for its type", typed[name])
			check(series not in seen, f"{series} stands once")
			check(name == last or not any(s.split("{")[0] == name for s in seen), f"{name} stands together")
			seen.add(series)
			last = name
	check(len(seen) > 5, "there are metrics", seen)


@test
def a_foreign_host_header_is_turned_away(place):
	server, target = leaky(place)
	for host in ("evil.example", "evil.example:%d" % server.port, "127.0.0.1.evil.example:%d" % server.port, ""):
		r = server.get("/api/v1/targets", headers={"Host": host})
		check(r.status in (400, 403, 421), f"Host {host!r} is turned away", r.status)
	for host in ("localhost", "127.0.0.1", "localhost:%d" % server.port):
		check_eq(200, server.get("/api/v1/targets", headers={"Host": host}).status, f"the status for Host {host}")


@test
def nonsense_on_the_wire_does_not_harm(place):
	server, _ = leaky(place)
	for data in (b"\0" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000,
			b"POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\nx",
			b"GET /targets/%00/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /targets/%zz/debug/pprof/heap HTTP/1.1\r\nHost: localhost\r\n\r\n"):
		with socket.create_connection(("127.0.0.1", server.port), 10) as s:
			with contextlib.suppress(OSError):
				s.sendall(data)
				s.shutdown(socket.SHUT_WR)
				while s.recv(65536):
					pass
	server.target(name="leaky")
	check_eq(200, server.get("/healthz").status, "the status afterwards")


@test
def a_client_that_sends_byte_by_byte_is_cut_off_and_others_are_served(place):
	server, _ = leaky(place)
	drips = []
	for head, tail in (("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", "y"),
			("POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n", "0"),
			("POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n0\r\n"), ("", "G")):
		s = socket.create_connection(("127.0.0.1", server.port), SECONDS)
		s.sendall(head.encode())
		drips.append((s, tail.encode()))

	def all_cut():
		for s, tail in list(drips):
			try:
				s.sendall(tail)
				s.settimeout(0.1)
				gone = not s.recv(1)
			except TimeoutError:
				gone = False
			except OSError:
				gone = True
			if gone:
				drips.remove((s, tail))
				s.close()
		check_eq(200, server.get("/healthz").status, "the status for others")
		return not drips
	wait_until(all_cut, "clients that send a byte now and then are cut off", running=server.running)


@test
def a_hundred_at_once_get_whole_profiles_of_a_changing_program(place):
	program = place.compile("leaky.c")
	server = place.heapd_run([program, "1000", "100"], "--period", "1", stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in server.running.text, "the program is ready", running=server.running)
	server.target(name="leaky")
	done = threading.Event()

	def churn():
		while not done.is_set():
			server.running.process.stdin.write(b"more\n" * 20)
			server.running.process.stdin.flush()
			done.wait(0.01)
	thread = threading.Thread(target=churn)
	thread.start()
	wrong = []

	def fetch():
		try:
			reply = server.get("/debug/pprof/heap").good()
			profile = pprofile.decode(reply.body)
			total = sum(s.values[3] for s in profile.samples)
			check(total >= 1000 * 100, "the memory in use", total)
			check(all(v >= 0 for s in profile.samples for v in s.values), "no value is negative")
		except Exception as e:
			wrong.append(e)
	try:
		fetchers = [threading.Thread(target=fetch) for _ in range(100)]
		for f in fetchers:
			f.start()
		for f in fetchers:
			f.join()
	finally:
		done.set()
		thread.join()
	if wrong:
		raise wrong[0]


@test
def an_address_that_this_machine_has_not_is_told(place):
	token = place.write("token", "0123456789abcdef", 0o600)
	r = place.heapd("serve", "--listen", "192.0.2.77:0", "--token-file", token, "--dir", place.shm)
	check_eq(1, r.code, "the exit status")
	check_match(r"^heapd: cannot listen on 192\.0\.2\.77:0: Cannot assign requested address", r.errors, "the complaint")
	# A network without IPv6.
	r = place.run(["unshare", "-rn", "sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 && exec {HEAPD} serve --listen '[::1]:0' --dir {place.shm}"])
	if "unshare" in r.errors or "sh:" in r.errors:
		raise Skip("no network namespaces here")
	check_eq(1, r.code, "the exit status")
	check_match(r"^heapd: cannot listen on \[::1\]:0: ", r.errors, "the complaint")


if __name__ == "__main__":
	main()
