"""Beyond loopback: the token, HTTPS, and the clients that have to come through both."""

import ssl
import struct

from e2e import *

TOKEN = "0123456789abcdef0123456789abcdef"


class Keys:
	"""A certificate for localhost that vouches for itself, its key, another key, and a token."""

	def __init__(self, place):
		need("openssl")
		self.place = place
		self.cert, self.key, self.other = place.path("cert.pem"), place.path("key.pem"), place.path("other.pem")
		place.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=localhost",
			"-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", self.key, "-out", self.cert]).good()
		place.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.other]).good()
		self.token = place.write("token", TOKEN + "\n", 0o600)
		for key in (self.key, self.other):
			os.chmod(key, 0o600)
		self.options = ["--token-file", self.token, "--tls-cert", self.cert, "--tls-key", self.key]

	def curl(self, server, path, *arguments, cert=True):
		place = self.place
		return place.run(["curl", "-sS", "--max-time", str(SECONDS), *(["--cacert", self.cert] if cert else []), *arguments,
			f"https://localhost:{server.port}{path}", "-w", "\n%{http_code}"])

	def connect(self, server, **versions):
		"""A TLS connection."""
		context = ssl.create_default_context(cafile=self.cert)
		if versions:
			context.set_ciphers("DEFAULT:@SECLEVEL=0")
		for name, version in versions.items():
			setattr(context, name, version)
		return context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), SECONDS), server_hostname="localhost")


def ends(s):
	"""The other side closes, in one way or the other."""
	s.settimeout(SECONDS)
	try:
		while s.recv(65536):
			pass
	except TimeoutError:
		return False
	except OSError:
		pass
	return True


@test
def beyond_loopback_nobody_is_served_without_a_token(place):
	for listen in ("0.0.0.0:0", "[::]:0", "192.0.2.1:0"):
		r = place.heapd("serve", "--listen", listen, "--dir", place.shm)
		check_eq(2, r.code, f"the exit status for {listen}")
		check_in("--token-file", r.errors, "the complaint")
	r = place.heapd("run", "--listen", "0.0.0.0:0", "--", "sh", "-c", "echo ran")
	check_eq(("", True), (r.text, r.code != 0), "what `heapd run` does")
	check_in("--token-file", r.errors, "the complaint")
	for mode in (0o644, 0o640, 0o604, 0o602):
		token = place.write("loose", TOKEN, mode)
		if os.geteuid() == 0:
			os.chown(token, 1, 1)
		r = place.heapd("serve", "--listen", "127.0.0.1:0", "--token-file", token, "--dir", place.shm)
		check_eq(1, r.code, f"the exit status for a token of mode {mode:o}")
		check_in("chmod 600", r.errors, "the complaint")


@test
def where_it_listens_everywhere_its_addresses_are_its_names(place):
	keys = Keys(place)
	running = place.start([HEAPD, "serve", "--listen", "0.0.0.0:0", "--token-file", keys.token, "--dir", place.shm])
	port = int(wait_until(lambda: re.search(r"serving on http://0\.0\.0\.0:(\d+)/", running.errors), "heapd serve listens", running=running)[1])
	check_in("clear text", running.errors, "a word about the missing TLS")
	server = Server(running, port)
	for host, status in (("127.0.0.1", 200), (f"127.0.0.1:{port}", 200), ("localhost", 200), ("127.0.0.2", 421), ("192.0.2.1", 421), ("evil.example", 421)):
		r = server.get("/healthz", headers={"Host": host, "Authorization": "Bearer " + TOKEN})
		check_eq(status, r.status, f"the status for Host {host}")


@test
def curl_comes_through_with_the_certificate_and_the_token_and_not_without(place):
	keys = Keys(place)
	server = place.serve(*keys.options)
	bearer = ["-H", "Authorization: Bearer " + TOKEN]
	check_eq("ok\n\n200", keys.curl(server, "/healthz", *bearer).good().text, "the answer")
	check_eq("ok\n\n200", keys.curl(server, "/healthz", "-u", "heapd:" + TOKEN).good().text, "the answer to Basic")
	for wrong in ([], ["-H", "Authorization: Bearer " + TOKEN[:-1] + "x"], ["-u", "heapd:" + TOKEN[:-1]], ["-u", TOKEN + ":"]):
		check_match(r"^401$", keys.curl(server, "/metrics", *wrong).good().text, f"the answer with {wrong}")
	check_eq("400", keys.curl(server, "/healthz", *bearer, *bearer).good().text.splitlines()[-1], "the status for two tokens")
	r = keys.curl(server, "/healthz", *bearer, cert=False)
	check(r.code == 60, "curl refuses a certificate that nobody vouches for", r.errors)
	check("heapd: serving on https://127.0.0.1:" in server.running.errors, "the log tells the URL", server.running.errors)


@test
def go_tool_pprof_takes_the_token_from_its_url(place):
	keys = Keys(place)
	server = place.heapd_run([place.compile("leaky.c"), "1000", "3000"], "--period", "1", *keys.options, stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in server.running.text, "the program is ready", running=server.running)
	place_of, trust = f"localhost:{server.port}/debug/pprof/heap", {"SSL_CERT_FILE": keys.cert}
	# Go's own pprof does not heed its -tls_ca: it trusts the system's certificates, or looks away.
	for url, env in ((f"https://heapd:{TOKEN}@{place_of}", trust), (f"https+insecure://heapd:{TOKEN}@{place_of}", None)):
		check_in("keep_blob", place.pprof("-top", url, env=env).good().text, "the profile")
	r = place.pprof("-top", f"https://{place_of}", env=trust)
	check(r.code != 0, "without the token there is no profile")
	check_match(r"401(.|\n)*heapd:TOKEN@", r.errors, "what pprof says then")


@test
def a_certificate_and_a_key_that_will_not_do_are_named_at_once(place):
	keys = Keys(place)
	encrypted = place.path("encrypted.pem")
	place.run(["openssl", "pkey", "-in", keys.key, "-aes256", "-passout", "pass:secret", "-out", encrypted]).good()
	loose = place.write("loose.pem", open(keys.key, "rb").read(), 0o604)
	empty, garbage = place.write("empty", "", 0o600), place.write("garbage", b"\0\xff" * 500, 0o600)
	huge = place.write("huge", "", 0o600)
	os.truncate(huge, 1 << 40)
	for name in (encrypted, keys.cert):
		os.chmod(name, 0o600)
	for cert, key, words in (
			(keys.cert, None, "go together"), (None, keys.key, "go together"), (keys.cert, keys.other, "not the key of the certificate"),
			(keys.cert, encrypted, "encrypted"), (keys.cert, loose, "chmod 600"), (keys.cert, keys.cert, "no private key"),
			(keys.key, keys.key, "no certificate"), (empty, keys.key, "no certificate"), (garbage, keys.key, "PEM"), (keys.cert, empty, "no private key"),
			(keys.cert, huge, "too large"), (place.path("none"), keys.key, "No such file"), (place.tmp, keys.key, "directory")):
		arguments = [*(["--tls-cert", cert] if cert else []), *(["--tls-key", key] if key else [])]
		r = place.heapd("serve", "--listen", "127.0.0.1:0", "--dir", place.shm, *arguments)
		check(r.code in (1, 2), f"the exit status for {arguments}", r.code)
		check_match(rf"^heapd: --tls-(cert|key) .*{words}", r.errors, f"the complaint about {arguments}")
	if os.geteuid() == 0:
		os.chmod(keys.key, 0o640)                       # root's file, its group may read: as a service is handed its secrets
		place.serve("--tls-cert", keys.cert, "--tls-key", keys.key)


@test
def an_expired_certificate_is_served_with_a_warning(place):
	keys = Keys(place)
	place.run(["openssl", "x509", "-in", keys.cert, "-signkey", keys.key, "-days", "-1", "-out", place.path("old.pem")]).good()
	server = place.serve("--tls-cert", place.path("old.pem"), "--tls-key", keys.key)
	check_match(r"old\.pem: this certificate has expired", server.running.errors, "the warning")


@test
def only_tls_1_2_and_1_3_are_spoken(place):
	keys = Keys(place)
	server = place.serve(*keys.options)
	for version in ("TLSv1_2", "TLSv1_3"):
		version = getattr(ssl.TLSVersion, version)
		with keys.connect(server, minimum_version=version, maximum_version=version) as s:
			s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n")
			check(s.recv(100).startswith(b"HTTP/1.1 200"), f"{version} is answered")
	import warnings
	warnings.simplefilter("ignore", DeprecationWarning)
	for version in ("TLSv1", "TLSv1_1"):
		version = getattr(ssl.TLSVersion, version)
		try:
			keys.connect(server, minimum_version=version, maximum_version=version).close()
			check(False, f"{version} is refused")
		except OSError:
			pass
	with socket.create_connection(("127.0.0.1", server.port), SECONDS) as s:
		s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		check(ends(s), "plain HTTP is ended")


def client_hello(n):
	"""The beginning of a handshake, n bytes of it: a record that says to be 512 bytes long."""
	return (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(501))[:n]


@test
def half_open_handshakes_are_closed_and_keep_nobody_out(place):
	keys = Keys(place)
	server = place.serve(*keys.options)
	silent = []
	for i in range(150):
		s = socket.create_connection(("127.0.0.1", server.port), SECONDS)
		s.sendall(client_hello(i % 300))
		silent.append(s)
	check_eq("ok\n\n200", keys.curl(server, "/healthz", "-u", "heapd:" + TOKEN).good().text, "the answer to somebody else")
	# A byte now and then does not make it longer: the time runs from the first moment.
	drip = socket.create_connection(("127.0.0.1", server.port), SECONDS)
	drip.settimeout(0.2)
	for i, byte in enumerate(client_hello(500)):
		try:
			drip.sendall(bytes([byte]))
			if not drip.recv(1):
				break
		except TimeoutError:
			continue
		except OSError:
			break
	else:
		check(False, "a handshake byte by byte is ended")
	for s in silent:
		check(ends(s), "a half-open handshake is ended")
		s.close()
	check_eq("ok\n\n200", keys.curl(server, "/healthz", "-u", "heapd:" + TOKEN).good().text, "the answer afterwards")


@test
def a_client_that_leaves_or_resets_in_the_middle_of_tls_does_no_harm(place):
	keys = Keys(place)
	server = place.serve(*keys.options)
	request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
	for n in range(0, 2000, 97):
		s = keys.connect(server)
		s.sendall(request)
		if n and n < 1500:
			s.recv(n)
		if n % 2:
			s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))       # a reset
		s.close()
		with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), SECONDS) as raw:
			raw.sendall(client_hello(n % 512) + os.urandom(n % 50))
	server.running.check_alive()
	fds = lambda: len(os.listdir(f"/proc/{server.running.pid}/fd"))
	check_eq("ok\n\n200", keys.curl(server, "/healthz", "-u", "heapd:" + TOKEN).good().text, "the answer afterwards")
	wait_until(lambda: fds() < 20, "its descriptors are few again", running=server.running)


@test
def clients_that_are_connected_do_not_hold_up_the_end(place):
	keys = Keys(place)
	server = place.heapd_run([place.compile("leaky.c"), "10"], "--period", "1", stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in server.running.text, "the program is ready", running=server.running)
	for options in ([], keys.options):
		server = place.serve(*options)
		held = []
		for kind in range(30):
			s = keys.connect(server) if options and kind % 3 else socket.create_connection(("127.0.0.1", server.port), SECONDS)
			if kind % 3 == 1:       # waits for its answer
				s.sendall(b"GET /debug/pprof/heap?seconds=3600 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n")
			elif kind % 3 == 2:     # in the middle of its request
				s.sendall(b"GET /debug")
			held.append(s)
		if not options:
			wait_until(lambda: "heapd_http_waiting_requests 10" in server.get("/metrics").text, "requests wait", running=server.running)
		r = server.running.stop(signal.SIGTERM, seconds=20)
		check_eq(0, r.code, "the exit status")
		for s in held:
			s.close()


if __name__ == "__main__":
	main()
