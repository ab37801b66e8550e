"""Names come from strangers: of functions, files, programs, arguments and services. Nowhere do they become more than text."""

import html.parser
import pty
import select

from e2e import *

# What a name may try: markup, a second line, an escape sequence (also in C1), bytes that are no UTF-8, quotes, format.
NAMES = [b"<script>alert(1)</script>&<b>'\"", b"end\n# TYPE x counter\nx 1\r\n@ 0x1", b"\x1b]0;title\x07\x1b[2J\x9b31m\xc2\x9b31m", b"\xff\xfe\xc0\x80\xed\xa0\x80%s%n\"\\\t{,}=\xe2\x82"]
FILE = b"pro<i>g\n\"'\x1b[31m\xff&.so"


class Program:
	"""hostile.c with such names, in a file and a directory with such a name, called with such arguments."""

	def __init__(self, place):
		plain = place.compile("hostile.c", flags=("-g", "-O1"))
		code = open(plain, "rb").read()
		for letter, name in zip("ABCD", NAMES):
			placeholder = f"NAME_{letter}_23456789_123456789_12345".encode()
			check(placeholder in code, "the placeholder is in the program")
			code = code.replace(placeholder, name.ljust(len(placeholder), b"!"))
		os.makedirs(place.path("d\x1b\n<u>"), exist_ok=True)
		self.path = os.path.join(os.fsencode(place.path("d\x1b\n<u>")), FILE)
		with contextlib.suppress(FileNotFoundError):
			os.unlink(self.path)
		with open(self.path, "wb") as f:
			f.write(code)
		os.chmod(self.path, 0o755)
		self.arguments = NAMES


def start(place, name=None):
	program = Program(place)
	port = free_port()
	# Not by Place.start(), which makes text of its arguments.
	out, err = place.path("hostile.out"), place.path("hostile.err")
	options = [b"--name", name] if name else []
	with open(out, "wb") as o, open(err, "wb") as e:
		process = subprocess.Popen([HEAPD, "run", "--period", "1", "--listen", f"127.0.0.1:{port}", *options, "--", program.path, *program.arguments],
			stdin=subprocess.PIPE, stdout=o, stderr=e, env=place.environment(None), cwd=place.tmp, start_new_session=True)
	running = Running(place, [HEAPD, "run"], process, out, err)
	place.started.append(running)
	wait_until(lambda: "ready" in running.text, "the program is ready", running=running)
	server = Server(running, port)
	return server, wait_until(lambda: server.targets(), "heapd knows it", running=running)[0]


def check_printable(raw, what, allowed=""):
	"""UTF-8, in lines, without anything that a terminal would obey."""
	text = raw.decode("utf-8")                              # raises
	for c in text:
		n = ord(c)
		check(c in "\n" + allowed or not (n < 0x20 or 0x7f <= n < 0xa0), f"{what} is printable", (c, text))
	return text


class Page(html.parser.HTMLParser):
	"""Every element of a page, and its text."""

	def __init__(self, page):
		super().__init__()
		self.tags, self.words = set(), ""
		self.feed(page)

	def handle_starttag(self, tag, attributes):
		self.tags.add(tag)
		for name, value in attributes:
			check(name in ("href", "lang", "charset"), "attributes are ours", (tag, name, value))

	def handle_data(self, data):
		self.words += data


@test
def pages_and_metrics_stay_what_they_are(place):
	for name in (None, *NAMES):
		server, target = start(place, name)
		for path in ("/", f"/targets/{target['id']}/debug/pprof/", "/debug/pprof/"):
			reply = server.get(path).good()
			page = Page(check_printable(reply.body, path))
			check(page.tags <= {"html", "head", "meta", "title", "body", "h1", "table", "thead", "tr", "th", "td", "a", "p", "code", "i"}, f"the elements of {path}", page.tags)
			check_in(target["name"], page.words, path)
		for line in check_printable(server.get("/metrics").good().body, "/metrics").splitlines():
			check(re.fullmatch(r'# (HELP|TYPE) heapd_.*|heapd_[a-z_]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)+\})? [0-9.eE+-]+', line), "a line of /metrics", line)
		server.running.stop()


@test
def json_is_json_and_utf8(place):
	server, target = start(place, NAMES[1])
	for path in ("/api/v1/targets", f"/api/v1/targets/{target['id']}", f"/api/v1/targets/{target['id']}/top?n=100", "/api/v1/services"):
		raw = server.get(path).good().body.strip()
		answer = json.loads(raw.decode("utf-8"))
		check(not re.search(rb"[<>&\x00-\x1f\x7f]", raw), f"{path} may stand in a page", raw)
		if path.endswith("100"):
			functions = [row["function"] for row in answer["rows"]]
			check(any("<script>" in f for f in functions), "the names are told as they are", functions)
	one = server.get(f"/api/v1/targets/{target['id']}").json()
	check_eq(len(NAMES) + 1, len(one["cmdline"]), "the number of arguments")
	check_eq(NAMES[0].decode(), one["cmdline"][1], "an argument")
	service = urllib.parse.quote(target["name"], safe="")
	check_eq(200, server.get(f"/services/{service}/debug/pprof/heap").status, "the service by its name")


@test
def profiles_keep_their_lines_and_their_fields(place):
	server, target = start(place)
	profile = server.profile("/debug/pprof/heap")           # as strict as the strictest reader
	total = sum(s.values[3] for s in profile.samples)
	check(total >= 50 * 4 * 10000, "the memory in use", total)
	text = check_printable(server.get("/debug/pprof/heap?debug=1").good().body, "the text form", "\t")
	check_eq(1, len(re.findall(r"^heap profile: ", text, re.M)), "the number of heads")
	for line in text.splitlines():
		check(re.match(r"heap profile: |\d+: \d+ \[|#|$", line), "a line of the text form", line)
	for path in ("/pprof/heap", "/raw/pprof/heap", "/pprof/growth"):
		text = check_printable(server.get(path).good().body, path, "\t")
		for line in text.splitlines():
			check(re.match(r"heap profile: |\s*\d+: +\d+ \[|MAPPED_LIBRARIES:|[0-9a-f]+-[0-9a-f]+ |# |$", line), f"a line of {path}", line)
	addresses = re.findall(r"0x[0-9a-f]+", server.get("/debug/pprof/heap?debug=1").text)[:50]
	for path in ("/debug/pprof/symbol", "/pprof/symbol"):
		text = check_printable(server.get(path + "?" + "+".join(addresses)).good().body, path, "\t")
		for line in text.splitlines():
			check(re.match(r"num_symbols: 1$|0x[0-9a-f]+[ \t]", line), f"a line of {path}", line)
	r = server.get(f"/targets/{target['id']}/debug/pprof/%3Cscript%3E%0Ax%1b")
	check_eq(404, r.status, "the status of a hostile path")
	check_printable(r.body, "its answer")


@test
def pprof_reads_them(place):
	server, _ = start(place)
	for mode in ("-top", "-raw", "-traces"):
		r = place.pprof(mode, server.url + "/debug/pprof/heap").good()
		check_in("alert", r.text, f"pprof {mode}")         # it takes <...> for template arguments
		check_printable(r.out, f"pprof {mode}", "\t")


def on_a_terminal(place, command):
	"""What a program writes into a terminal 200 columns wide, until it ends at a q."""
	main, terminal = pty.openpty()
	import fcntl, termios, struct
	fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
	process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=place.environment({"TERM": "xterm"}), cwd=place.tmp, start_new_session=True)
	os.close(terminal)
	raw, asked = b"", False
	try:
		while True:
			if not select.select([main], [], [], SECONDS)[0]:
				raise Failure(f"{command} says nothing: {clip(raw)}")
			try:
				part = os.read(main, 65536)
			except OSError:
				break
			if not part:
				break
			raw += part
			if not asked and b"alert" in raw:
				os.write(main, b"q")
				asked = True
	finally:
		process.kill()
		process.wait()
		os.close(main)
	return raw


@test
def nothing_in_a_terminal_obeys_them(place):
	server, target = start(place, NAMES[2])
	for command in (["list"], ["top"], ["top", "-s", "alloc_objects"], ["list", "--json"], ["fetch", "--text"], ["fetch", "--json"]):
		r = place.heapd(*command).good()
		check_printable(r.out, f"heapd {command}", "\t")
		check_printable(r.err, f"what heapd {command} complains of")
	for command in (["top", "\x1b[2J\n<b>"], ["fetch", "\x1b[2J\n"], ["set", "--period", "1", "\x1b[2J"]):
		check_printable(place.heapd(*command).err, f"what heapd {command} complains of")
	r = place.heapd("fetch").good()
	check_printable(r.err, "what heapd fetch says")
	made = [n for n in os.listdir(place.tmp) if n.startswith("heap.")]
	check(len(made) == 1 and re.fullmatch(r"heap\.[A-Za-z0-9._-]+\.\d+\.pb\.gz", made[0]), "the name it gives a file", made)
	shown = on_a_terminal(place, [HEAPD, "top"])
	check(b"alert(1)" in shown, "heapd top shows them", shown)
	check(b"31m" not in re.sub(rb"\?31m", b"", shown), "no colour is theirs", shown)
	ours = re.sub(rb"\x1b\[[0-9;?]*[HJKhlm]", b"", shown)     # our own moves of the cursor
	check_printable(ours.replace(b"\r", b""), "the rest of the screen")
	server.running.stop()
	check_printable(server.running.read(server.running.err_path), "what heapd run says")


if __name__ == "__main__":
	main()
