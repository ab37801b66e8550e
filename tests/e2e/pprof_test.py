"""heapd as go tool pprof, protoc, curl and careful scrapers see it: the contract of /debug/pprof/."""

import concurrent.futures
import gzip
import http.server
import os
import re
import socket
import subprocess
import threading
import time

import pprofile
from e2e import *

TYPES = ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]


def leaky(place, rounds=2000, size=4000, period=1):
	"""leaky under heapd run: (server, path prefix of the target, the target as the API tells it)."""
	program = place.compile("leaky.c")
	server = place.heapd_run([program, str(rounds), str(size)], "--period", str(period), stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in server.running.text, "the program is ready", running=server.running)
	target = server.target(name="leaky")
	return server, f"/targets/{target['id']}", target


def more_rounds(server, n=1):
	server.running.process.stdin.write(b"again\n" * n)
	server.running.process.stdin.flush()


class Recorder(http.server.ThreadingHTTPServer):
	"""Stands between a client and heapd and writes down what was asked."""

	daemon_threads = True

	def __init__(self, server):
		self.requests = []
		recorder = self

		class Handler(http.server.BaseHTTPRequestHandler):
			def forward(self):
				body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
				recorder.requests.append((self.command, self.path))
				headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection",)}
				headers["Host"] = f"127.0.0.1:{server.port}"
				r = server.request(self.command, self.path, body=body, headers=headers)
				self.send_response(r.status)
				for k, v in r.headers.items():
					if k.lower() not in ("connection", "transfer-encoding", "content-length"):
						self.send_header(k, v)
				self.send_header("Content-Length", str(len(r.body)))
				self.end_headers()
				self.wfile.write(r.body)

			do_GET = do_POST = do_HEAD = forward

			def log_message(self, *_):
				pass

		super().__init__(("127.0.0.1", 0), Handler)
		self.url = f"http://127.0.0.1:{self.server_address[1]}"
		threading.Thread(target=self.serve_forever, daemon=True).start()


@test
def the_heap_profile_has_the_headers_of_gos_handler(place):
	need("curl")
	server, prefix, _ = leaky(place)
	out = place.path("h.pb.gz")
	head = place.run(["curl", "-sS", "-D-", "-o", out, server.url + prefix + "/debug/pprof/heap"]).good().text.lower()
	check_match(r"^http/1\.1 200 ", head, "the reply")
	check_match(r"^content-type: application/octet-stream\s*$", head, "the reply")
	check_match(r'^content-disposition: attachment; filename="heap"\s*$', head, "the reply")
	check_match(r"^x-content-type-options: nosniff\s*$", head, "the reply")
	check("content-encoding" not in head, "the profile is gzip itself, not gzip on the way", head)
	with open(out, "rb") as f:
		check_eq(b"\x1f\x8b", f.read(2), "the magic")


@test
def protoc_decodes_the_profile_by_our_schema(place):
	need("protoc")
	server, prefix, _ = leaky(place)
	raw = server.get(prefix + "/debug/pprof/heap").good().body
	proto = os.path.join(ROOT, "proto")
	text = place.run(["protoc", f"--proto_path={proto}", "--decode=perftools.profiles.Profile", os.path.join(proto, "profile.proto")],
		input=gzip.decompress(raw)).good().text
	strings = [eval("b" + s).decode() for s in re.findall(r'^string_table: (".*")$', text, re.M)]
	check_eq("", strings[0], "string_table[0]")
	types = re.findall(r"^sample_type {\n  type: (\d+)\n  unit: (\d+)\n}", text, re.M)
	check_eq([("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")],
		[(strings[int(a)], strings[int(b)]) for a, b in types], "sample types")
	a, b = re.search(r"^period_type {\n  type: (\d+)\n  unit: (\d+)\n}", text, re.M).groups()
	check_eq(("space", "bytes"), (strings[int(a)], strings[int(b)]), "period type")
	for kind in ("mapping", "location", "function"):
		ids = [int(i) for i in re.findall(rf"^{kind} {{\n  id: (\d+)$", text, re.M)]
		check(ids, f"there are {kind}s")
		check_eq(list(range(1, len(ids) + 1)), ids, f"ids of {kind}s")
	check("duration_nanos" not in text, "a cumulative profile has no duration")
	check_match(r"^time_nanos: [1-9]", text, "the profile")
	check("unknown" not in text and not re.search(r"^\d+:", text, re.M), "every field is in the schema", text)


@test
def a_careful_reader_finds_exact_values_and_names_at_period_1(place):
	server, prefix, target = leaky(place, rounds=2000, size=4000)
	p = server.profile(prefix + "/debug/pprof/heap")
	check_eq([(n, "count" if n.endswith("objects") else "bytes") for n in TYPES], p.types, "sample types")
	check_eq(("space", "bytes"), p.period_type, "period type")
	check_eq(1, p.period, "period")
	check_eq("", p.default_type, "default sample type")
	check(p.time_nanos > 10**18 and p.duration_nanos == 0, "time is set and duration is not", (p.time_nanos, p.duration_nanos))
	check_eq("leaky", os.path.basename(p.mappings[0].file), "the first mapping")
	check(p.mappings[0].build_id, "the main program has a build id")
	for function, want in (("keep_blob", (2000, 2000 * 4000, 2000, 2000 * 4000)), ("outer_with_inline", (2000, 2000 * 2001, 2000, 2000 * 2001)),
			("churn_scratch", (2000, 2000 * 8000, 0, 0))):
		got = tuple(p.cumulative(t).get(function, 0) for t in TYPES)
		check_eq(want, got, f"values of {function}")
	inline = [l for s in p.samples for l in s.stack if len(l.lines) > 1]
	check(any([x.function.name for x in l.lines] == ["inlined_inner", "outer_with_inline"] for l in inline), "the inlined function comes before its caller",
		[[x.function.name for x in l.lines] for l in inline])
	blob = [f for f in p.functions if f.name == "keep_blob"][0]
	check_eq("leaky.c", os.path.basename(blob.file), "the file of keep_blob")
	lines = {l.line for loc in p.locations for l in loc.lines if l.function is blob}
	with open(os.path.join(PROGRAMS, "leaky.c")) as f:
		source = f.read().splitlines()
	check(any("malloc(size)" in source[n - 1] for n in lines), "the line is that of the malloc in keep_blob", lines)


@test
def pprof_top_names_the_allocating_function_and_asks_for_nothing_else(place):
	server, prefix, _ = leaky(place)
	recorder = Recorder(server)
	r = place.pprof("-top", recorder.url + prefix + "/debug/pprof/heap").good()
	check_match(r"^File: leaky$", r.text, "pprof's report")
	check_match(r"^Type: inuse_space$", r.text, "pprof's report")
	rows = re.findall(r"^\s*\S+\s+[\d.]+%\s+[\d.]+%\s+\S+\s+[\d.]+%\s+(.+)$", r.text, re.M)
	check_eq("keep_blob", rows[0], "the first row")
	check_eq([("GET", prefix + "/debug/pprof/heap")], recorder.requests, "what pprof asked for")


@test
def pprof_shows_each_of_the_four_types_of_a_saved_profile(place):
	server, prefix, _ = leaky(place)
	saved = place.write("h.pb.gz", server.get(prefix + "/debug/pprof/heap").good().body)
	for name in TYPES:
		r = place.pprof("-top", f"-sample_index={name}", saved).good()
		check_match(rf"^Type: {name}$", r.text, "pprof's report")
	check_in("churn_scratch", place.pprof("-top", "-sample_index=alloc_space", saved).good().text, "what was ever allocated")
	check("churn_scratch" not in place.pprof("-top", "-sample_index=inuse_space", saved).good().text, "what was freed is not in use")


@test
def the_allocs_profile_differs_only_in_its_default_type(place):
	server, prefix, _ = leaky(place)
	r = place.pprof("-top", server.url + prefix + "/debug/pprof/allocs").good()
	check_match(r"^Type: alloc_space$", r.text, "pprof's report")
	heap, allocs = server.profile(prefix + "/debug/pprof/heap"), server.profile(prefix + "/debug/pprof/allocs")
	check_eq("alloc_space", allocs.default_type, "default type of allocs")
	for t in TYPES:
		check_eq(heap.total(t), allocs.total(t), f"total of {t}")
	check_in('filename="allocs"', server.get(prefix + "/debug/pprof/allocs").headers["Content-Disposition"], "the file name")


@test
def pprof_traces_show_sizes_and_inlined_frames(place):
	server, prefix, _ = leaky(place)
	saved = place.write("h.pb.gz", server.get(prefix + "/debug/pprof/heap").good().body)
	text = place.pprof("-traces", saved).good().text
	check_match(r"^\s+bytes:\s*\S", text, "the traces")
	check_match(r"inlined_inner \(inline\)", text, "the traces")
	sizes = {s.labels.get("bytes") for s in pprofile.decode(open(saved, "rb").read()).samples if s.stack[0].lines[0].function.name == "keep_blob"}
	check_eq({4000}, sizes, "the bytes label of keep_blob's blocks")


@test
def a_delta_holds_only_what_happened_inside_its_seconds(place):
	server, prefix, _ = leaky(place, rounds=500)
	started = time.monotonic()
	pprof = place.start(["go", "tool", "pprof", "-raw", "-seconds", "2", server.url + prefix + "/debug/pprof/heap"])
	# The window opens when heapd has the request; that is not visible, so the activity covers the whole of it.
	done = 0
	while pprof.alive() and done < 400:
		more_rounds(server)
		done += 1
		time.sleep(0.02)
	raw = pprof.wait().good().text
	check(time.monotonic() - started < 8, "a delta of 2 s comes soon after", time.monotonic() - started)
	duration = float(check_match(r"Duration: ([\d.]+)", raw, "pprof -raw")[1])
	check_near(2, duration, 0.7, "Duration")
	# A busy machine may be behind with what was asked of the program.
	wait_until(lambda: server.profile(prefix + "/debug/pprof/heap").cumulative("alloc_objects")["keep_blob"] == 500 * (1 + done),
		"the program has done its rounds", running=server.running)
	r = server.get(prefix + "/debug/pprof/heap?seconds=1").good()
	check_in('filename="heap-delta"', r.headers["Content-Disposition"], "the file name of a delta")
	quiet = pprofile.decode(r.body)
	check_near(1e9, quiet.duration_nanos, 5e8, "duration_nanos")
	check_eq([], quiet.samples, "samples of a second in which nothing happened")
	check_in("keep_blob", raw, "the delta with activity")


@test
def a_delta_counts_what_the_window_added(place):
	server, prefix, _ = leaky(place, rounds=500)
	with concurrent.futures.ThreadPoolExecutor(1) as pool:
		future = pool.submit(server.get, prefix + "/debug/pprof/heap?seconds=3")
		time.sleep(1)           # inside the window, with a second to spare on both sides
		more_rounds(server, 3)
		p = pprofile.decode(future.result().good().body)
	check_eq(3 * 500, p.cumulative("alloc_objects").get("keep_blob"), "allocations of keep_blob in the window")
	check_eq(3 * 500 * 4000, p.cumulative("inuse_space").get("keep_blob"), "growth of keep_blob in the window")


@test
def profiles_of_two_runs_subtract_function_by_function(place):
	saved = []
	for i, rounds in enumerate((1000, 3000)):
		server, prefix, _ = leaky(place, rounds=rounds)
		saved.append(place.write(f"{i}.pb.gz", server.get(prefix + "/debug/pprof/heap").good().body))
		server.running.close_stdin()
		server.running.stop()
	for option in ("-base", "-diff_base"):
		text = place.pprof("-top", "-unit=B", option, saved[0], saved[1]).good().text
		rows = re.findall(r"^\s*(-?\d+)B\s.*%\s+keep_blob$", text, re.M)
		check_eq([str(2000 * 4000)], rows, f"rows of keep_blob with {option}")
	text = place.pprof("-top", "-base", saved[1], saved[1]).good().text
	check_match(r"of 0 total|^Showing nodes accounting for 0", text, "a profile minus itself")


@test
def a_stripped_library_shows_as_file_and_offset(place):
	library = place.compile("stripped.c", "libstripped.so", ("-O2", "-fPIC", "-shared", "-s", "-fno-inline"))
	program = place.compile("uses_stripped.c", flags=("-O2", "-g", f"-Wl,-rpath,{place.tmp}"), libs=(library,))
	server = place.heapd_run([program], "--period", "1", stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in server.running.text, "the program is ready", running=server.running)
	recorder = Recorder(server)
	r = place.pprof("-top", recorder.url + "/debug/pprof/heap", env={"PPROF_BINARY_PATH": "/nonexistent"}).good()
	check_match(r"libstripped\.so\+0x[0-9a-f]+", r.text, "pprof's report")
	check_match(r"\d+(\.\d+)?MB.*\slibrary_fill$", r.text, "pprof's report")
	check("symbol" not in r.errors.lower(), "pprof does not complain about symbols", r.errors)


@test
def pprofs_web_pages_work_on_the_profile(place):
	need("go")
	server, prefix, _ = leaky(place)
	saved = place.write("h.pb.gz", server.get(prefix + "/debug/pprof/heap").good().body)
	port = free_port()
	web = place.start(["go", "tool", "pprof", f"-http=127.0.0.1:{port}", "-no_browser", saved])
	wait_until(lambda: listens(port), "pprof listens", running=web)
	pages = Server(web, port)
	for page in ("/ui/top", "/ui/flamegraph", "/ui/peek?f=keep_blob"):
		check_in("keep_blob", pages.get(page).good().text, f"the page {page}")
	pprofile.decode(pages.get("/ui/download").good().body)


@test
def pprof_shows_the_daemons_own_words_for_what_is_not_there(place):
	server, prefix, _ = leaky(place, rounds=10)
	for url, word in ((server.url, "heap"), (server.url + prefix + "/debug/pprof/nope", "nknown profile"),
			(server.url + "/targets/no-such/debug/pprof/heap", "no-such")):
		r = place.pprof("-top", url)
		check(r.code != 0, f"pprof fails for {url}")
		check_in(word, r.errors, f"what pprof says for {url}")


@test
def what_go_does_not_allow_is_refused_with_a_reason(place):
	server, prefix, _ = leaky(place, rounds=10)
	for query in ("seconds=0", "seconds=-1", "seconds=x", "seconds=1&debug=1", "seconds=999999999999999999999"):
		r = server.get(f"{prefix}/debug/pprof/heap?{query}")
		check_eq(400, r.status, f"the status for {query}")
		check_eq("1", r.headers["X-Go-Pprof"], f"X-Go-Pprof for {query}")
		check(r.headers["Content-Type"].startswith("text/plain"), f"the type for {query}", r.headers["Content-Type"])
		check(r.text.strip() and r.text.endswith("\n"), f"the message for {query}", r.text)
	for name in ("goroutine", "block", "mutex", "threadcreate", "profile", "trace", "nope"):
		r = server.get(f"{prefix}/debug/pprof/{name}")
		check_eq(404, r.status, f"the status of {name}")
		check_eq("1", r.headers["X-Go-Pprof"], f"X-Go-Pprof of {name}")
	server.get(f"{prefix}/debug/pprof/heap?gc=1").good()


@test
def the_text_form_is_gos_and_pprof_reads_it(place):
	server, prefix, _ = leaky(place, rounds=3000, size=3000, period=4096)
	text = server.get(prefix + "/debug/pprof/heap?debug=1").good()
	check_eq("text/plain; charset=utf-8", text.headers["Content-Type"].lower(), "the type")
	lines = text.text.splitlines()
	check_match(r"^heap profile: \d+: \d+ \[\d+: \d+\] @ heap/8192$", lines[0], "the first line")
	check_match(r"^# runtime\.MemStats$", text.text, "the tail")
	check_match(r"^#\t0x[0-9a-f]+\tkeep_blob(\+0x[0-9a-f]+)?\t.*leaky\.c:\d+$", text.text, "the frames")
	want = server.profile(prefix + "/debug/pprof/heap").cumulative()["keep_blob"]
	report = place.pprof("-top", "-unit=B", server.url + prefix + "/debug/pprof/heap?debug=1").good().text
	got = int(check_match(r"^\s*(\d+)B\s.*%\s+keep_blob$", report, "pprof's report of the text")[1])
	check_near(want, got, want * 0.01, "keep_blob by the text form")


@test
def symbol_answers_get_and_post(place):
	server, prefix, _ = leaky(place)
	p = server.profile(prefix + "/debug/pprof/heap")
	wanted = {l.address: l.lines[0].function.name for l in p.locations if len(l.lines) == 1}
	some = [a for a, n in wanted.items() if n in ("keep_blob", "churn_scratch", "main")]
	query = "+".join(f"{a:#x}" for a in some)
	for r in (server.request("POST", prefix + "/debug/pprof/symbol", body=query, headers={"Content-Type": "application/x-www-form-urlencoded"}),
			server.get(prefix + "/debug/pprof/symbol?" + query)):
		r.good()
		check(r.text.endswith("\n"), "the last line ends", r.text)
		lines = r.text.splitlines()
		check_match(r"^num_symbols: [1-9]\d*$", lines[0], "the first line")
		got = {int(l.split()[0], 16): l.split(None, 1)[1] for l in lines[1:]}
		check_eq({a: wanted[a] for a in some}, got, "the names")
	head = server.request("HEAD", prefix + "/debug/pprof/symbol")
	check_eq((200, b""), (head.status, head.body), "the answer to HEAD")


@test
def head_and_the_index_behave_as_gos(place):
	server, prefix, _ = leaky(place, rounds=10)
	get, head = server.get(prefix + "/debug/pprof/heap").good(), server.request("HEAD", prefix + "/debug/pprof/heap").good()
	check_eq(b"", head.body, "the body of HEAD")
	for name in ("Content-Type", "Content-Disposition", "X-Content-Type-Options"):
		check_eq(get.headers[name], head.headers[name], name)
	for base in ("", prefix):
		r = server.get(base + "/debug/pprof")
		check_eq(301, r.status, "the status without slash")
		check(r.headers["Location"].endswith(base + "/debug/pprof/"), "where it sends", r.headers["Location"])
	index = server.get(prefix + "/debug/pprof/").good()
	check(index.headers["Content-Type"].startswith("text/html"), "the type of the index", index.headers["Content-Type"])
	check_match(r"heap\?debug=1", index.text, "the index")
	check_eq(get.headers["Content-Type"], server.get("/debug/pprof/heap").good().headers["Content-Type"], "the root answers for the only target")


@test
def cmdline_is_the_arguments_joined_by_nul(place):
	server, prefix, target = leaky(place, rounds=10, size=77)
	r = server.get(prefix + "/debug/pprof/cmdline").good()
	check(r.headers["Content-Type"].startswith("text/plain"), "the type", r.headers["Content-Type"])
	check_eq([place.path("leaky").encode(), b"10", b"77"], r.body.split(b"\0"), "the arguments")


@test
def a_mix_of_tiny_and_huge_blocks_of_one_stack_is_estimated_without_bias(place):
	program = place.compile("two_sizes.c")
	runs, small, large = 40, (200000, 64), (4, 4 << 20)
	true_bytes, true_objects = small[0] * small[1] + large[0] * large[1], small[0] + large[0]
	bytes_, objects = [], []
	for i in range(runs):
		place.run([program, *small, *large], env=place.preload(HEAPD_SEED=i + 1)).good()
		segment, = place.segments()
		p = place.fetch(segment)
		os.unlink(segment)
		bytes_.append(p.cumulative().get("keep_both", 0))
		objects.append(p.cumulative("inuse_objects").get("keep_both", 0))
	# Standard deviations of one run, from p = 1 - exp(-s/R): sum of (1-p)/p x^2.
	sd_bytes, sd_objects = 0.088 * true_bytes, 0.202 * true_objects
	for got, true, sd, what in ((bytes_, true_bytes, sd_bytes, "bytes"), (objects, true_objects, sd_objects, "objects")):
		mean = sum(got) / runs
		check_near(true, mean, 4 * sd / runs**0.5, f"the mean of {runs} estimates of {what}")
		for g in got:
			check_near(true, g, 5 * sd, f"one estimate of {what}")
		check(len(set(got)) > runs / 4, f"the runs differ in {what}", got)


@test
def metrics_are_compressed_only_for_who_asks(place):
	need("curl")
	server, _, _ = leaky(place, rounds=10)
	def names(text):
		return sorted({re.split(r"[ {]", l)[0] for l in text.splitlines() if l and not l.startswith("#")})
	plain = server.get("/metrics").good()
	identity = server.get("/metrics", headers={"Accept-Encoding": "identity"}).good()
	asked = server.get("/metrics", headers={"Accept-Encoding": "gzip"}).good()
	check_eq((None, None, "gzip"), tuple(r.headers.get("Content-Encoding") for r in (plain, identity, asked)), "Content-Encoding")
	check(names(plain.text), "there are metrics")
	check_eq(names(plain.text), names(identity.text), "the metrics for identity")
	check_eq(names(plain.text), names(gzip.decompress(asked.body).decode()), "the metrics by gzip")
	curl = place.run(["curl", "-sS", "--compressed", "-H", "Accept-Encoding: gzip", server.url + "/metrics"]).good()
	check_eq(names(plain.text), names(curl.text), "the metrics as curl unpacks them")


def follow(server, path, step, rounds):
	"""Ask again and again as a client that subtracts does; the last profile."""
	last, p = {}, None
	for i in range(rounds):
		step(i)
		p = server.profile(path)
		now = {}
		for s in p.samples:
			check(p.key(s) not in now, "stack and labels tell the samples apart")
			now[p.key(s)] = s.values[:2]
		gone = [k for k in last if k not in now]
		check(not gone, f"round {i}: of {len(last)} samples none vanishes", (len(gone), gone[:3]))
		down = [(k, v, now[k]) for k, v in last.items() if any(b < a for a, b in zip(v, now[k]))]
		check(not down, f"round {i}: alloc_* never decrease", (len(down), down[:3]))
		last = now
	check(last, "there are samples")
	return p


@test
def cumulative_values_never_go_down_while_the_target_lives(place):
	server, prefix, _ = leaky(place, rounds=2000, size=300, period=4096)
	follow(server, prefix + "/debug/pprof/allocs", lambda _: more_rounds(server), 6)


@test
def nor_where_there_are_more_stacks_than_readers_take(place):
	server = place.heapd_run([place.compile("branches.c", flags=("-g", "-O1"))], "--period", "1", stdin=subprocess.PIPE)
	prefix = f"/targets/{server.target(name='branches')['id']}"

	def step(i):
		server.running.process.stdin.write(b"x")
		server.running.process.stdin.flush()
		wait_until(lambda: server.running.text.count("round") > i, "a round is done", running=server.running)
	follow(server, prefix + "/debug/pprof/heap", step, 4)

	# Answers are kept for a moment: those of one and the same.
	def both():
		totals = server.get("/api/v1" + prefix).good().json()["totals"]
		profile = server.profile(prefix + "/debug/pprof/heap")
		same = all(totals[name]["value"] == profile.total(name) for name in ("alloc_space", "inuse_space"))
		return profile if same and profile.cumulative("inuse_space").get("late_leak", 0) == 64 << 20 else None
	p = wait_until(both, "the totals are those of the profile, and a stack that was small first and is the largest now is there with all it holds",
		running=server.running)
	check("[other]" in p.cumulative("alloc_space"), "some are folded")
	check(len(p.samples) <= 16000 and p.size <= 4 << 20, "readers take it", (len(p.samples), p.size))


@test
def go_tool_pprof_passes_over_the_allocators_own_functions(place):
	source = place.write("keeps.cc", """
#include <unistd.h>
#include <vector>
struct Item { char *block; __attribute__((noinline)) Item() : block(new char[100000]) {} };
static std::vector<Item> *items;
__attribute__((noinline)) void keep_array() { static char *volatile kept; kept = new char[300000]; }
__attribute__((noinline)) void keep_items() { items = new std::vector<Item>; items->reserve(8); for (int i = 0; i < 5; i++) items->emplace_back(); }
int main() { keep_array(); keep_items(); }
""")
	program = place.compile(source, "keeps", compiler="g++", flags=("-g", "-O1"))
	out = place.path("keeps.pb.gz")
	place.heapd("run", "--quiet", "--no-serve", "--period", "1", "--output", out, "--", program).good()
	text = place.pprof("-top", "-unit", "b", out).good().text
	check("operator new" not in text, "operator new is passed over", text)
	check_match(r"^ *500000B .*Item::Item", text, "go tool pprof -top")
	check_match(r"^ *300000B .*keep_array", text, "go tool pprof -top")


@test
def every_call_in_a_program_optimised_at_link_time_has_the_inlined_functions_that_addr2line_tells(place):
	need("objdump", "addr2line")
	program = place.compile("inlines.cc", compiler="g++", flags=("-g", "-O2", "-flto", "-std=c++17"))
	server = place.heapd_run([program], "--period", "1", stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in server.running.text, "the program is ready", running=server.running)
	p = server.profile(f"/targets/{server.target(name='inlines')['id']}/debug/pprof/heap")
	code = place.run(["objdump", "-d", "--no-show-raw-insn", program]).good().text
	calls = [int(a, 16) - 1 for a in re.findall(r"\tcall .*\n +([0-9a-f]+):", code)]
	check(len(calls) > 100, "there are calls", len(calls))
	told = place.run(["addr2line", "-a", "-i", "-f", "-e", program], input="".join(f"{a:#x}\n" for a in calls)).good().text
	want = {int(a, 16): rest.count("\n") // 2 for a, rest in re.findall(r"^(0x[0-9a-f]+)\n((?:(?!0x).*\n)*)", told, re.M)}
	# Where the program is: the first page of its file holds its header, at address 0.
	with open(f"/proc/{server.target(name='inlines')['pid']}/maps") as f:
		base = min(int(l.split("-")[0], 16) for l in f if l.rstrip().endswith(program))
	check_eq(program, p.mappings[0].file, "the main program")
	answer = server.request("POST", "/pprof/symbol", body="+".join(hex(base + a) for a in calls)).good().text
	got = {int(a, 16) - base: names.count("--") + 1 for a, names in re.findall(r"^(0x[0-9a-f]+)\t(.*)$", answer, re.M)}
	wrong = [(hex(a), got.get(a), want[a]) for a in calls if got.get(a) != want[a]]
	check(not wrong, f"of {len(calls)} calls all have as many functions as addr2line tells", wrong)


@test
def what_is_not_clean_http_gets_one_answer_with_the_headers_of_every_other(place):
	server = place.serve()
	for head in ("GET /healthz HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n"):
		with socket.create_connection(("127.0.0.1", server.port), 60) as s:
			s.sendall(head.encode() + b"Connection: close\r\n\r\n")
			data = b""
			while chunk := s.recv(65536):
				data += chunk
		top, _, body = data.decode().partition("\r\n\r\n")
		check_match(r"^HTTP/1.1 40[04] ", top, f"the answer to {head!r}")
		for header in ("X-Content-Type-Options: nosniff", "Content-Type: text/plain", "X-Go-Pprof: 1", "Cache-Control: no-store"):
			check_in(header.lower(), top.lower(), f"the answer to {head!r}")
		check_match(rf"(?i)^content-length: {len(body.encode())}\r?$", top, f"the answer to {head!r}")
		check(body and "HTTP/" not in body and "ontent-" not in body, f"the answer to {head!r} is a sentence", body)


@test
def fifty_clients_at_once_and_five_slow_ones_are_all_served(place):
	server, prefix, target = leaky(place, rounds=5000, size=100)
	path = prefix + "/debug/pprof/heap"
	server.profile(path)
	slow = []
	for _ in range(5):
		s = socket.create_connection(("127.0.0.1", server.port), 60)
		s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
		s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n\r\n".encode())
		slow.append(s)
	with concurrent.futures.ThreadPoolExecutor(50) as pool:
		replies = list(pool.map(lambda _: server.get(path), range(50)))
	for r in replies:
		pprofile.decode(r.good().body)
	for s in slow:
		data = b""
		while chunk := s.recv(512):
			data += chunk
		s.close()
		check_eq(b"HTTP/1.1 200", data[:12], "the answer to a slow reader")
		pprofile.decode(data.partition(b"\r\n\r\n")[2])
	with open(f"/proc/{server.running.pid}/status") as f:
		peak = int(re.search(r"VmHWM:\s+(\d+) kB", f.read())[1])
	check(peak < 256 * 1024, "heapd's memory stays bounded (kB)", peak)
	more_rounds(server)
	wait_until(lambda: server.profile(path).cumulative("alloc_objects")["keep_blob"] == 10000, "the target goes on", running=server.running)


if __name__ == "__main__":
	main()
