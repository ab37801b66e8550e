"""heapd's command line: `run` must not change the program it runs, and what cannot work is told in plain words."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import termios

import pprofile
from e2e import *


def preloaded_leaky(place, *arguments, period=1, **env):
	"""leaky with the sampler and no daemon; its one segment."""
	program = place.compile("leaky.c")
	running = place.start([program, *arguments], env=place.preload(period, **env), stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in running.text, "the program is ready", running=running)
	segment, = place.segments()
	return running, segment


@test
def the_exit_code_is_the_programs(place):
	for code in (0, 1, 7, 255):
		check_eq(code, place.heapd("run", "--", "sh", "-c", f"exit {code}").code, "the exit code")


@test
def a_program_ended_by_a_signal_looks_the_same_to_a_shell(place):
	for name, number in (("TERM", 15), ("KILL", 9), ("SEGV", 11)):
		r = place.run(["sh", "-c", '"$@"; echo "code $?"', "sh", HEAPD, "run", "--", "sh", "-c", f"kill -{name} $$"])
		check_match(rf"^code {128 + number}$", r.text, f"the shell's view of SIG{name}")


@test
def a_signal_to_heapd_reaches_the_program(place):
	server = place.heapd_run(["sh", "-c", 'trap "echo got TERM; exit 9" TERM; echo ready; while :; do sleep 0.05; done'])
	wait_until(lambda: "ready" in server.running.text, "the program is ready", running=server.running)
	r = server.running.stop(signal.SIGTERM)
	check_eq((9, "ready\ngot TERM\n"), (r.code, r.text), "exit code and output")


@test
def ctrl_c_reaches_the_program_once(place):
	# A terminal sends SIGINT to heapd and to the program. Passing it on would make two, and redis takes the second as
	# "without saving".
	try:
		master, slave = pty.openpty()
	except OSError as e:
		raise Skip(e) from None
	flags = termios.tcgetattr(slave)
	flags[3] &= ~termios.ECHO
	termios.tcsetattr(slave, termios.TCSANOW, flags)
	script = place.write("count.py", """
import signal, sys, time
n = 0
def count(*_):
	global n
	n += 1
signal.signal(signal.SIGINT, count)
print("ready", flush=True)
while not n:
	time.sleep(0.01)
time.sleep(0.3)        # a second one would come at once
print("signals", n, flush=True)
sys.exit(5)
""")
	def own_terminal():
		import fcntl
		fcntl.ioctl(0, termios.TIOCSCTTY, 0)
	running = place.start([HEAPD, "run", "--listen", f"127.0.0.1:{free_port()}", "--", "/usr/bin/python3", script], stdin=slave, preexec=own_terminal)
	os.close(slave)
	wait_until(lambda: "ready" in running.text, "the program is ready", running=running)
	os.write(master, b"\x03")
	r = running.wait()
	os.close(master)
	check_eq((5, "ready\nsignals 1\n"), (r.code, r.text), "exit code and output")


@test
def output_input_and_descriptors_are_the_programs(place):
	script = 'cat; echo out; echo err >&2; ls /proc/self/fd | wc -l; echo "$#:$1:$2"; pwd; umask'
	command = ["sh", "-c", script, "sh", "one arg", ""]
	plain = place.run(command, input=b"some\0input\n")
	under = place.heapd("run", "--quiet", "--", *command, input=b"some\0input\n")
	check_eq((plain.code, plain.out, plain.err), (under.code, under.out, under.err), "exit code, stdout and stderr")
	loud = place.heapd("run", "--", *command, input=b"some\0input\n")
	check_eq(plain.out, loud.out, "stdout without --quiet")
	check_match(r"http://127\.0\.0\.1:\d+", loud.errors, "stderr without --quiet")


@test
def the_last_profile_is_written_where_output_says(place):
	program = place.compile("leaky.c")
	out = place.path("last.pb.gz")
	r = place.heapd("run", "--period", "1", "--listen", f"127.0.0.1:{free_port()}", "--output", out, "--", program, "300", "5000").good()
	check_eq("ready\n", r.text, "stdout")
	with open(out, "rb") as f:
		p = pprofile.decode(f.read())
	check_eq(300 * 5000, p.cumulative()["keep_blob"], "bytes of keep_blob")
	check_eq("leaky", os.path.basename(p.mappings[0].file), "the main program")


@test
def two_runs_at_once_both_serve(place):
	program = place.compile("leaky.c")
	servers = [place.start([HEAPD, "run", "--period", "1", "--", program, "10"], stdin=subprocess.PIPE) for _ in range(2)]
	urls = {wait_until(lambda: re.search(r"http://127\.0\.0\.1:(\d+)", s.errors), "heapd says its URL", running=s)[1] for s in servers}
	check_eq(2, len(urls), "distinct ports")
	for s, port in zip(servers, urls):
		wait_until(lambda: listens(int(port)), "it listens", running=s)
		Server(s, int(port)).target(name="leaky")


@test
def sizes_are_read_with_their_units_and_nonsense_is_refused(place):
	for period, want in (("4k", 4096), ("512K", 524288), ("1M", 1 << 20), ("4096", 4096)):
		out = place.path("p.pb.gz")
		place.heapd("run", "--quiet", "--period", period, "--output", out, "--", place.compile("leaky.c")).good()
		with open(out, "rb") as f:
			check_eq(want, pprofile.decode(f.read()).period, f"the period of {period}")
	for period in ("0", "x", "-1", "4q", "", "99999999999999999999"):
		r = place.heapd("run", "--period", period, "--", "true")
		check(r.code not in (0, 1) and "period" in r.errors, f"--period '{period}' is refused", (r.code, r.errors))
		r = place.heapd("run", "--no-serve", "--", "true", env={"HEAPD_PERIOD": period})
		check(r.code not in (0, 1) and "HEAPD_PERIOD" in r.errors, f"HEAPD_PERIOD={period} is refused", (r.code, r.errors))


@test
def help_is_there_at_every_level(place):
	top = place.heapd("--help").good().text
	for command in ("run", "serve", "list", "top", "fetch", "set"):
		check_match(rf"\b{command}\b", top, "heapd --help")
		text = place.heapd(command, "--help").good().text
		check_match(rf"heapd {command}", text, f"heapd {command} --help")
		check(len(text.splitlines()) >= 3, f"heapd {command} --help explains", text)
		r = place.heapd(command, "--no-such-option")
		check(r.code == 2 and "no-such-option" in r.errors, f"an unknown option of {command} is told", (r.code, r.errors))
	r = place.heapd("no-such-command")
	check(r.code == 2 and "no-such-command" in r.errors, "an unknown command is told", (r.code, r.errors))
	check_match(r"\d+\.\d+", place.heapd("--version").good().text, "the version")


@test
def a_command_that_cannot_be_started_is_told_as_a_shell_would(place):
	r = place.heapd("run", "--", "no-such-program-anywhere")
	check_eq(127, r.code, "the exit code of a missing program")
	check_in("no-such-program-anywhere", r.errors, "the message")
	r = place.heapd("run", "--", place.write("not-executable", "text\n"))
	check_eq(126, r.code, "the exit code of a file that cannot be executed")
	check_in("not-executable", r.errors, "the message")
	r = place.heapd("run")
	check(r.code == 2 and r.errors, "run without a command is a usage error", (r.code, r.errors))


@test
def a_static_program_is_told_to_be_out_of_reach(place):
	program = place.compile("leaky.c", "static", ("-O2", "-static"))
	r = place.heapd("run", "--", program, "10")
	check_in("static", r.errors, "the message")
	check(r.code != 0 or r.text == "ready\n", "it runs as always or is refused", (r.code, r.text))


@test
def a_setuid_program_is_told_to_be_out_of_reach(place):
	program = place.path("setuid-true")
	shutil.copy("/usr/bin/true", program)
	if os.geteuid() == 0:
		os.chown(program, 65534, 65534)
	os.chmod(program, 0o4755)
	r = place.heapd("run", "--", program)
	if os.geteuid() != 0 and not r.errors:
		raise Skip("a program set-uid to ourselves is not special")
	check_match(r"set-?uid", r.errors.lower(), "the message")


@test
def a_port_in_use_is_told(place):
	with socket.socket() as s:
		s.bind(("127.0.0.1", 0))
		s.listen()
		port = s.getsockname()[1]
		for command in (["run", "--listen", f"127.0.0.1:{port}", "--", "echo", "ran"], ["serve", "--listen", f"127.0.0.1:{port}", "--dir", place.shm]):
			r = place.heapd(*command)
			check(r.code != 0, f"heapd {command[0]} fails")
			check_match(rf"{port}.*in use", r.errors, "the message")
			check_eq("", r.text, "what ran")
	for address in ("127.0.0.1:99999", "nonsense", "127.0.0.1:x"):
		r = place.heapd("serve", "--listen", address, "--dir", place.shm)
		check(r.code != 0 and address in r.errors, f"--listen {address} is refused", (r.code, r.errors))


@test
def a_directory_that_cannot_be_used_is_told_and_harms_no_program(place):
	bad = os.path.join(place.write("file", "x"), "below")
	r = place.heapd("run", "--", "echo", "hello", env={"HEAPD_DIR": bad})
	check_in(bad, r.errors, "the message of heapd run")
	program = place.compile("leaky.c")
	for directory in (bad, "/proc/self", "relative", ""):
		r = place.run([program, "10"], env=place.preload(1, HEAPD_DIR=directory, XDG_RUNTIME_DIR=bad)).good()
		check_eq(("ready\n", ""), (r.text, r.errors), f"output with HEAPD_DIR={directory}")
	r = place.heapd("run", "--output", os.path.join(bad, "out"), "--", "true")
	check(r.code != 0 and bad in r.errors, "an output that cannot be written is told", (r.code, r.errors))


@test
def directories_and_libraries_that_the_user_names_have_to_be_some(place):
	missing, file = place.path("missing"), place.write("file", "x" * 100)
	for command in (["list"], ["top"], ["fetch", "-o", place.path("o"), "x"], ["set", "x", "--period", "4k"]):
		for directory, why in ((missing, "No such file or directory"), (file, "Not a directory")):
			for with_option in (True, False):
				r = place.heapd(*command, *(["--dir", directory] if with_option else []), env=None if with_option else {"HEAPD_DIR": directory})
				check_eq((1, ""), (r.code, r.text), f"exit code and output of heapd {command[0]}")
				check_in(f"{directory}: {why}", r.errors, f"what heapd {command[0]} says")
	r = place.heapd("serve", "--listen", f"127.0.0.1:{free_port()}", "--dir", file)
	check_eq(1, r.code, "exit code of heapd serve")
	check_in(f"{file}: Not a directory", r.errors, "what heapd serve says")
	server = place.serve(directory=missing)
	check_in(f"{missing} does not exist yet: waiting for it", server.running.errors, "what heapd serve says of one to come")
	for library in (file, missing):
		r = place.heapd("run", "--", "echo", "ran", env={"HEAPD_LIBRARY": library})
		check_eq((125, ""), (r.code, r.text), f"exit code and output with {library} for a library")
		check_in(library, r.errors, "what heapd run says")
	check_in("not a shared library", place.heapd("run", "--", "true", env={"HEAPD_LIBRARY": file}).errors, "what heapd run says")


@test
def a_file_that_is_no_segment_is_told_from_a_broken_one(place):
	running, segment = preloaded_leaky(place)
	with open(segment, "rb") as f:
		content = f.read(1 << 20)
	files = {"empty": b"", "text": b"hello, world\n" * 1000, "short": content[:100], "page": content[:4096], "magic": b"XXXXXXX\0" + content[8:],
		"version": content[:8] + b"\xff\xff\0\0" + content[12:], "damaged": content[:100] + bytes([content[100] ^ 1]) + content[101:]}
	for name, data in files.items():
		path = place.write(name + ".heapd", data)
		r = place.heapd("fetch", "-o", place.path("o"), path)
		check(r.code not in (0, -11, -6), f"fetch of {name} fails properly", (r.code, r.errors))
		check_in(name + ".heapd", r.errors, f"the message for {name}")
		check(len(r.errors.strip().splitlines()) == 1, f"one line says it for {name}", r.errors)
	check(not os.path.exists(place.path("o")), "no output is left behind")
	# Beside a real one they do not disturb the daemon.
	for name, data in files.items():
		with open(os.path.join(place.shm, f"1-1-{name}.heapd"), "wb") as f:
			f.write(data)
	os.mkfifo(os.path.join(place.shm, "2-2-fifo.heapd"))
	os.symlink("/etc/passwd", os.path.join(place.shm, "3-3-link.heapd"))
	server = place.serve()
	server.target(pid=running.pid)
	check_eq([running.pid], [t["pid"] for t in server.targets()], "the targets")


@test
def unknown_targets_are_told(place):
	r = place.heapd("fetch", "no-such-target")
	check(r.code != 0 and "no-such-target" in r.errors, "fetch tells", (r.code, r.errors))
	r = place.heapd("set", "no-such-target", "--period", "4k")
	check(r.code != 0 and "no-such-target" in r.errors, "set tells", (r.code, r.errors))
	server = place.serve()
	for path in ("/targets/no-such/debug/pprof/heap", "/services/no-such/debug/pprof/heap", "/targets/no-such/pprof/heap", "/no/such/path"):
		r = server.get(path)
		check(r.status == 404 and r.text.strip(), f"{path} is 404 with a reason", (r.status, r.text))
	r = server.get("/debug/pprof/heap")
	check(r.status in (400, 404, 503) and r.headers["X-Go-Pprof"] and r.text.strip(), "the root explains that there is no target", (r.status, r.text))


@test
def the_root_lists_targets_when_there_are_several(place):
	program = place.compile("leaky.c")
	server = place.serve()
	ids = []
	for _ in range(2):
		r = place.start([program, "10"], env=place.preload(1), stdin=subprocess.PIPE)
		ids.append(server.target(pid=r.pid)["id"])
	r = server.get("/debug/pprof/heap")
	check_eq(400, r.status, "the status")
	for i in ids:
		check_in(i, r.text, "the message")
	p = server.profile("/services/leaky/debug/pprof/heap")
	check_eq(2 * 10 * 4096, p.cumulative()["keep_blob"], "bytes of the service")


@test
def a_killed_target_leaves_its_last_profile(place):
	server = place.serve()
	running, segment = preloaded_leaky(place, "123")
	server.target(pid=running.pid, alive=True)
	running.stop(signal.SIGKILL)
	check_eq(123 * 4096, place.fetch(segment).cumulative()["keep_blob"], "bytes of keep_blob by file")
	target = server.target(pid=running.pid, alive=False)
	check_eq(123 * 4096, server.profile(f"/targets/{target['id']}/debug/pprof/heap").cumulative()["keep_blob"], "bytes of keep_blob by HTTP")
	later = place.serve()
	check_eq(target["id"], later.target(pid=running.pid)["id"], "the id a later daemon finds")


@test
def a_daemon_finds_targets_that_were_there_before_it_and_survive_it(place):
	running, _ = preloaded_leaky(place, "50")
	for _ in range(2):
		server = place.serve()
		target = server.target(pid=running.pid, alive=True)
		check_eq(50 * 4096, server.profile(f"/targets/{target['id']}/debug/pprof/heap").cumulative()["keep_blob"], "bytes")
		server.running.stop(signal.SIGTERM)
	running.check_alive()


@test
def forked_children_have_profiles_of_their_own(place):
	program = place.compile("forker.c", flags=("-O1", "-g"))
	server = place.heapd_run([program], "--period", "1", stdin=subprocess.PIPE)
	wait_until(lambda: server.running.text.count("ready") == 3, "all three are ready", running=server.running)
	wait_until(lambda: len(server.targets()) == 3, "three targets", running=server.running)
	got = sorted(sorted((n, v) for n, v in server.profile(f"/targets/{t['id']}/debug/pprof/heap").cumulative().items() if n.startswith("in_"))
		for t in server.targets())
	check_eq([[("in_child_one", 200000)], [("in_child_two", 300000)], [("in_parent_after", 400000), ("in_parent_before", 100000)]], got, "who holds what")
	whole = server.profile("/services/forker/debug/pprof/heap").cumulative()
	check_eq(1000000, whole["main"], "bytes of the service")


@test
def the_program_itself_outlasts_the_crowd_of_its_children(place):
	program = place.compile("crowd.c")
	for _ in range(2):                      # the second time heapd run ends without having looked once
		r = place.heapd("run", "--no-serve", "--period", "1", "--", program, "150", "1000").good()
		pid = r.text.split()[1]
		rows = json.loads(place.heapd("list", "--json").good().text)["targets"]
		check_in(pid, [str(t["pid"]) for t in rows], "what heapd list shows")
		check_eq(1000, place.fetch(pid).cumulative()["parent_holds"], "bytes of the parent")
	r = place.heapd("run", "--no-serve", "--period", "1", "--", "bash", "-c", "for i in $(seq 100); do (:); done; echo pid $$").good()
	check(place.fetch(r.text.split()[1]).cumulative("alloc_space"), "bash's own profile")


@test
def exec_starts_a_new_profile_under_the_new_name(place):
	program = place.compile("leaky.c")
	server = place.heapd_run(["sh", "-c", f"exec {program} 20"], "--period", "1", stdin=subprocess.PIPE)
	wait_until(lambda: "ready" in server.running.text, "the program is ready", running=server.running)
	target = server.target(name="leaky", alive=True)
	p = server.profile(f"/targets/{target['id']}/debug/pprof/heap")
	check_eq(20 * 4096, p.cumulative()["keep_blob"], "bytes of keep_blob")
	check("execve" not in p.cumulative(), "nothing of the shell is left")


@test
def a_name_makes_the_service(place):
	program = place.compile("leaky.c")
	server = place.heapd_run([program, "20"], "--period", "1", "--name", "my service/1", stdin=subprocess.PIPE)
	server.target(name="my service/1")
	p = server.profile("/services/my%20service%2F1/debug/pprof/heap")
	check_eq(20 * 4096, p.cumulative()["keep_blob"], "bytes of keep_blob")


@test
def a_process_that_takes_no_sample_leaves_no_file(place):
	place.run(["true"], env=place.preload(1 << 40)).good()
	check_eq([], place.segments(), "segments")


@test
def the_last_profile_of_a_run_stays_readable(place):
	place.heapd("run", "--quiet", "--period", "1", "--", place.compile("leaky.c"), "11").good()
	check_eq(11 * 4096, place.fetch("leaky").cumulative()["keep_blob"], "bytes of keep_blob")
	check_match(r"keep_blob", place.heapd("top", "leaky").good().text, "heapd top")


@test
def a_library_the_loader_found_by_a_relative_path_is_named_from_anywhere(place):
	os.mkdir(place.path("libraries"))
	place.compile("stripped.c", "libraries/librelative.so", ("-g", "-O2", "-fPIC", "-shared", "-fno-inline"))
	program = place.compile("uses_stripped.c", "uses_relative", flags=("-g", "-O2", "-Wl,-rpath,./libraries"),
		libs=("-L" + place.path("libraries"), "-lrelative"))
	place.heapd("run", "--quiet", "--period", "1", "--", program, cwd=place.tmp).good()
	segment, = place.segments()
	p = place.fetch(segment)                # it has ended, and heapd is in another directory
	check_in(place.path("libraries", "librelative.so"), [m.file for m in p.mappings], "the profile's mappings")
	check("nameless" in p.cumulative("alloc_space"), "the library's functions have names", p.cumulative("alloc_space"))


@test
def a_full_directory_is_told_and_harms_no_program(place):
	if os.geteuid() != 0:
		raise Skip("not root")
	need("unshare", "mount")
	if place.run(["unshare", "-m", "true"]).code:
		raise Skip("no right to make namespaces")
	program = place.compile("leaky.c")
	script = 'mount -t tmpfs -o size=64k tmpfs "$1" && HEAPD_DIR=$1 exec "$2" run --quiet --no-serve --period 1 -- "$3" 10'
	r = place.run(["unshare", "-m", "sh", "-c", script, "sh", place.shm, HEAPD, program]).good()
	check_in("ready", r.text, "the program's output")
	check_match("no profile of .*has no room left", r.errors, "what heapd says")
	check("allocated little" not in r.errors, "heapd does not blame the program", r.errors)


@test
def a_run_without_a_sample_tells_the_possible_reasons(place):
	r = place.heapd("run", "--no-serve", "--period", str(1 << 40), "--", "env", "-i", place.compile("leaky.c"), "10").good()
	check_match("no allocation of env was sampled.*LD_PRELOAD", r.errors, "what heapd says")


@test
def runs_do_not_pile_up(place):
	place.heapd("run", "--quiet", "--period", str(1 << 40), "--", "true").good()
	check_eq([], os.listdir(place.shm), "what a run without samples leaves")
	program = place.compile("leaky.c")
	for _ in range(12):
		place.heapd("run", "--quiet", "--period", "1", "--", program, "1").good()
	check(1 <= len(place.segments()) <= 9, "only the last few runs stay", os.listdir(place.shm))


@test
def a_run_inside_a_run_is_seen_and_cleared_away_like_any_other(place):
	program = place.compile("leaky.c")
	inner = [HEAPD, "run", "--quiet", "--no-serve", "--period", "1", "--", program, "7"]
	for _ in range(12):
		place.heapd("run", "--quiet", "--no-serve", "--period", str(1 << 40), "--", *inner).good()
	check_match(r"\bleaky\b", place.heapd("list").good().text, "heapd list")
	check(1 <= len(place.segments()) <= 10, "only the last few runs stay", place.segments())


@test
def list_top_and_set_work_on_a_live_target(place):
	running, segment = preloaded_leaky(place, "50")
	table = place.heapd("list").good().text
	check_match(rf"\b{running.pid}\b.*leaky|leaky.*\b{running.pid}\b", table, "heapd list")
	rows = json.loads(place.heapd("list", "--json").good().text)
	rows = rows["targets"] if isinstance(rows, dict) else rows
	check_eq([(running.pid, "leaky")], [(t["pid"], t["name"]) for t in rows], "heapd list --json")
	top = place.heapd("top", str(running.pid)).good().text
	check_match(r"keep_blob", top, "heapd top on a pipe")
	check("\x1b" not in top, "a pipe gets no colours", top)
	for what in (str(running.pid), "leaky", rows[0]["id"]):
		check_eq(50 * 4096, place.fetch(what).cumulative()["keep_blob"], f"heapd fetch {what}")
	place.heapd("set", str(running.pid), "--period", "64k").good()
	running.process.stdin.write(b"\n" * 100)
	running.process.stdin.flush()
	wait_until(lambda: place.fetch(segment).period == 65536, "the new period is in force", running=running)
	r = place.heapd("set", str(running.pid), "--period", "0")
	check(r.code != 0, "a period of 0 is refused")


@test
def limits_on_file_size_and_descriptors_do_not_harm_the_program(place):
	program = place.compile("leaky.c")
	for limit in ("-f 0", "-f 1", "-n 4", "-v 200000"):
		r = place.run(["bash", "-o", "pipefail", "-c", f'(ulimit {limit}; exec "$@") | cat', "sh", "env",
			*(f"{k}={v}" for k, v in place.preload(1).items()), program, "20"])
		check_eq((0, "ready\n", ""), (r.code, r.text, r.errors), f"the program with ulimit {limit}")


if __name__ == "__main__":
	main()
